"""
Imputation: pixels filled in
============================

Hide a fifth of the pixels of handwritten digits, and fill them in.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastae
from fastae.generation import tiled
from fastae.imputation import Imputer

digits, _ = fastae.datasets.load_digits()
hidden = np.random.default_rng(0).random(digits.shape) < 0.2
incomplete = np.where(hidden, np.nan, digits)


def error(filled):
    return np.sqrt(np.mean((filled - digits)[hidden] ** 2))


filled = Imputer(steps=1500, seed=0).fit_transform(incomplete)  # more by default, which takes longer and fills in better
means = np.broadcast_to(np.nanmean(incomplete, axis=0), digits.shape)
print(f"root mean square error of the pixels filled in: {error(filled):.3f}; by each pixel's mean {error(means):.3f}")
assert np.array_equal(filled[~hidden], digits[~hidden])
assert error(filled) < 0.6 * error(means)

shown = {"with a fifth hidden": np.where(hidden, 0.5, digits), "filled in": filled, "as they were": digits}
for axes, (title, images) in zip(plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")[1], shown.items(), strict=True):
    axes.imshow(tiled(images[:36]), cmap="gray")
    axes.set(title=title, xticks=[], yticks=[])
plt.show()
