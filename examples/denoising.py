"""
Denoising: digits and a picture
===============================

Noise from handwritten digits: one by one, by a network that has learnt what digits are like, and as one large picture.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastae
from fastae.denoising import Denoiser, ImageDenoiser, estimate_sigma


def psnr(x, clean):
    return -10 * np.log10(np.mean((np.clip(x, 0, 1) - clean) ** 2))


digits, _ = fastae.datasets.load_digits()
train, clean = digits[:1500], digits[1500:1780]
noisy = clean + np.random.default_rng(0).normal(0, 0.3, clean.shape)

denoiser = Denoiser(hidden=256, epochs=150, seed=0).fit_clean(train, level=0.3)
cleaned = denoiser.denoise(noisy)
print(f"280 digits: noisy {psnr(noisy, clean):.1f} dB, denoised {psnr(cleaned, clean):.1f} dB")

pairs = Denoiser(hidden=256, epochs=150, seed=0).fit(train + np.random.default_rng(1).normal(0, 0.3, train.shape), train)
print(f"learnt from 1500 pairs, whatever their noise: {psnr(pairs.denoise(noisy), clean):.1f} dB")

# A picture of the same digits, each pixel a square of 4 x 4, goes through the network of photographs that comes with fastae.
mosaic = clean.reshape(14, 20, 8, 8).transpose(0, 2, 1, 3).reshape(112, 160).repeat(4, axis=0).repeat(4, axis=1)
noisy = mosaic + np.random.default_rng(0).normal(0, 0.3, mosaic.shape)
cleaned = ImageDenoiser().denoise(noisy)
print(f"a picture of {mosaic.shape[1]} x {mosaic.shape[0]}: noise estimated as {estimate_sigma(noisy):.3f}, it is 0.3")
print(f"noisy {psnr(noisy, mosaic):.1f} dB, denoised {psnr(cleaned, mosaic):.1f} dB")

for axes, picture, title in zip(
    plt.subplots(1, 2, figsize=(8, 4), layout="constrained")[1], (noisy, cleaned), ("noisy", "denoised"), strict=True
):
    axes.imshow(picture[:256, :256], cmap="gray", vmin=0, vmax=1)
    axes.set(title=title, xticks=[], yticks=[])
plt.show()
