"""Draw docs/images/compression.png: ``python docs/make_compression_picture.py``; Fashion-MNIST from FASTAE_DATA, some minutes.

Test images, what is left of them at some rates, and below what JPEG and PCA make of 0.28 and 0.1 bits per pixel.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from matplotlib.figure import Figure
from PIL import Image

import fastae
from bench.applications.compression import bits, picture, principal
from fastae.compression import Codec, psnr

PATH = Path(__file__).parent / "images" / "compression.png"
SHOWN = slice(0, 20)


def main():
    x, test = (fastae.datasets.load_fashion_mnist(split)[0] for split in ("train", "test"))
    rows = [("originals, 8 bits per pixel", test)]
    for rate in (0.5, 0.25, 0.1):
        rows.append(described("fastae", Codec.fit(x, rate, epochs=24), test))
    rows.append(described("PCA", Codec.calibrate(principal(x), x, 0.1), test))
    data, decoded = picture(test, "JPEG", quality=1, optimize=True, progressive=True)
    rows.append((f"JPEG at its lowest quality, {bits(data, test):.2f} bits per pixel, {psnr(decoded, test):.1f} dB", decoded))
    figure = Figure((9, 0.68 * len(rows)), dpi=90)
    for axis, (label, images) in zip(figure.subplots(len(rows), 1), rows, strict=True):
        axis.imshow(images[SHOWN].reshape(-1, 28, 28).transpose(1, 0, 2).reshape(28, -1), cmap="gray_r", vmin=0, vmax=255)
        axis.set_title(label, fontsize=8, pad=2)
        axis.axis("off")
    figure.subplots_adjust(0, 0, 1, 0.96, hspace=0.45)
    figure.savefig(PATH)
    Image.open(PATH).convert("L").quantize(32).save(PATH, optimize=True)
    print(f"wrote {PATH}, {PATH.stat().st_size / 1024:.0f} KB")


def described(name, codec, test):
    data = codec.compress(test)
    decoded = codec.decompress(data)
    return f"{name}, {bits(data, test):.2f} bits per pixel, {psnr(decoded, test):.1f} dB", decoded


if __name__ == "__main__":
    main()
