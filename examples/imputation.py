"""Hide a fifth of the pixels of handwritten digits, and fill them in."""

import numpy as np

import fastae
from fastae.imputation import Imputer

digits, _ = fastae.datasets.load_digits()
hidden = np.random.default_rng(0).random(digits.shape) < 0.2
incomplete = np.where(hidden, np.nan, digits)


def error(filled):
    return np.sqrt(np.mean((filled - digits)[hidden] ** 2))


filled = Imputer(seed=0).fit_transform(incomplete)
means = np.broadcast_to(np.nanmean(incomplete, axis=0), digits.shape)
print(f"root mean square error of the pixels filled in: {error(filled):.3f}; by each pixel's mean {error(means):.3f}")
assert np.array_equal(filled[~hidden], digits[~hidden])
assert error(filled) < 0.6 * error(means)
