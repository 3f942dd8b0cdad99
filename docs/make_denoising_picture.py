"""Draw docs/images/denoising.png: ``python docs/make_denoising_picture.py``, with scikit-image for the photograph.

A photograph that the shipped network has not learnt from, and digits.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from skimage import data
from skimage.restoration import denoise_nl_means

import fastae
from fastae.denoising import Denoiser, ImageDenoiser

PATH = Path(__file__).parent / "images" / "denoising.png"
CROP = np.s_[70:250, 150:330]


def psnr(x, clean):
    return -10 * np.log10(np.mean((np.clip(x, 0, 1) - clean) ** 2))


figure = Figure((10, 5.2), dpi=90, layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=(3.1, 2.1))

clean = data.camera() / 255
sigma = 25 / 255
noisy = clean + np.random.default_rng(0).normal(0, sigma, clean.shape)
shown = [
    ("noisy", noisy),
    ("non-local means", denoise_nl_means(noisy, patch_size=5, patch_distance=6, h=0.6 * sigma, sigma=sigma)),
    ("fastae", ImageDenoiser().denoise(noisy, sigma)),
    ("clean", clean),
]
for axis, (name, picture) in zip(above.subplots(1, 4), shown, strict=True):
    axis.imshow(picture[CROP], cmap="gray", vmin=0, vmax=1)
    axis.set_title(name if name == "clean" else f"{name}, {psnr(picture, clean):.1f} dB", fontsize=10)
    axis.axis("off")

digits, _ = fastae.datasets.load_digits()
train, clean = digits[:1500], digits[1500:1518]
noisy = clean + np.random.default_rng(0).normal(0, 0.3, clean.shape)
cleaned = Denoiser(hidden=256, epochs=300, seed=0).fit_clean(train, level=0.3).denoise(noisy)
for line, (name, rows) in zip(below.subplots(3, 18), (("noisy", noisy), ("fastae", cleaned), ("clean", clean)), strict=True):
    for axis, digit in zip(line, rows, strict=True):
        axis.imshow(digit.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[], frame_on=False)
    line[0].set_ylabel(name, fontsize=9)

figure.savefig(PATH)
Image.open(PATH).convert("L").quantize(64).save(PATH, optimize=True)
print(f"wrote {PATH}, {PATH.stat().st_size / 1024:.0f} KB")
