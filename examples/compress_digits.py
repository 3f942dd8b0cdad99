"""
Compression: half a bit per pixel
=================================

Digits in half a bit per pixel: a codec learns from 1500 and compresses the others: lossily, within a bound, lossless.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastae
from fastae.compression import Codec, psnr
from fastae.generation import tiled

x, _ = fastae.datasets.load_digits()
x = np.rint(255 * x).astype(np.uint8)
train, test = x[:1500], x[1500:]

codec = Codec.fit(train, bits_per_pixel=0.5, hidden=128, epochs=200, seed=0)
codec.save("digits-codec.safetensors")  # who decompresses needs it

for max_error in (None, 16, 0):
    data = codec.compress(test, max_error=max_error)
    again = Codec.load("digits-codec.safetensors").decompress(data)
    worst = np.abs(again.astype(int) - test).max()
    print(
        f"max_error {max_error!s:>4}: {len(data):>6} bytes of {test.size}, {8 * len(data) / test.size:.2f} bits per pixel, "
        f"PSNR {psnr(again, test):.1f} dB, largest error {worst}"
    )

shown = {"as they were": test, "half a bit per pixel": codec.decompress(codec.compress(test))}
for axes, (title, digits) in zip(plt.subplots(1, 2, figsize=(8, 4), layout="constrained")[1], shown.items(), strict=True):
    axes.imshow(tiled(digits[:36]), cmap="gray")
    axes.set(title=title, xticks=[], yticks=[])
plt.show()

try:
    codec.decompress(data[:100] + b"?" + data[101:])
except ValueError as error:
    print("a damaged file:", error)
