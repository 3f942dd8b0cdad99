"""Draw docs/images/imputation.png: ``python docs/make_imputation_picture.py``. Digits of which half is missing."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import fastae
from fastae.imputation import Imputer

PATH = Path(__file__).parent / "images" / "imputation.png"

digits, labels = fastae.datasets.load_digits()
hidden = np.random.default_rng(0).random(digits.shape) < 0.5
incomplete = np.where(hidden, np.nan, digits)
filled = Imputer(seed=0).fit_transform(incomplete)
means = np.where(hidden, np.nanmean(incomplete, axis=0), digits)

shown = [int(np.flatnonzero(labels == digit)[7]) for digit in range(10)]
rows = {"given": incomplete, "by the mean": means, "by Imputer": filled, "whole": digits}
figure = Figure((9, 4), dpi=80)
for line, (label, images), at in zip(figure.subplots(4, 10), rows.items(), range(4), strict=True):
    for axis, image in zip(line, images[shown], strict=True):
        axis.set_facecolor("#f4c095")  # what is missing
        axis.imshow(np.ma.masked_invalid(image.reshape(8, 8)), cmap="gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
    figure.text(0.01, 0.87 - 0.245 * at, label, va="center", fontsize=10)
figure.subplots_adjust(0.12, 0.01, 0.99, 0.99, 0.05, 0.05)
figure.savefig(PATH)
Image.open(PATH).convert("RGB").quantize(64).save(PATH, optimize=True)
print(f"wrote {PATH}, {PATH.stat().st_size / 1024:.0f} KB")
