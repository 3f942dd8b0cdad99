"""
Features: codes that need few labels
====================================

Learn short codes of handwritten digits without labels; then a few labels are enough.
"""

import numpy as np

import fastae
from fastae.features import FeatureExtractor

digits, labels = fastae.datasets.load_digits()
codes = FeatureExtractor(8, shape=(8, 8), seed=0).fit(digits[:1400]).transform(digits)
centred = digits - digits[:1400].mean(axis=0)
components = centred @ np.linalg.svd(centred[:1400], full_matrices=False)[2][:8].T


def right(features):
    """Part of the last digits whose nearest mean, of the first 300 by their labels, is that of their label."""
    means = np.stack([features[:300][labels[:300] == digit].mean(axis=0) for digit in range(10)])
    distances = np.linalg.norm(features[1400:, None] - means, axis=2)
    return np.mean(distances.argmin(axis=1) == labels[1400:])


print(
    f"nearest mean of 300 labelled digits: {right(codes):.1%} right by codes, {right(components):.1%} by principal components"
)
assert right(codes) > right(components)
