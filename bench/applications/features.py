"""A logistic regression on 32 numbers of an image: codes learnt without labels, or principal components.

All learn from the 60,000 training images, the regression from their labels; the number is the accuracy on the 10,000 test
images in percent, the bar three points more than that by PCA of the pixels. Each feature is standardised; C is chosen of 0.1, 1
and 10 on the last 10,000 training images (bench.learn.classifier).

The hyperparameters are those of ``fastae.features``; docs/features.md says how they were chosen. Beside it, the same
extractor pre-trained layer by layer, the same without knowing that rows are images, and PCA of what the first one takes in.
"""

import time

import numpy as np
from sklearn.decomposition import PCA

import fastae
from bench.learn.classifier import error_of
from fastae.features import FeatureExtractor, gradients

from .bars import Bar

WIDTH, SHAPE = 32, (28, 28)


def accuracy(transform, train, labels, test, test_labels):
    """In %."""
    codes = transform(train)
    mean, scale = codes.mean(axis=0), codes.std(axis=0)
    codes, others = ((part - mean) / scale for part in (codes, transform(test)))
    return 100 - error_of(codes, labels, others, test_labels, strengths=(0.1, 1, 10))[0]


def bars(seed):
    for name, load in (("Fashion-MNIST", fastae.datasets.load_fashion_mnist), ("MNIST", fastae.datasets.load_mnist)):
        data = *load("train"), *load("test")
        start = time.perf_counter()
        extractor = FeatureExtractor(WIDTH, SHAPE, seed=seed).fit(data[0])
        seconds = time.perf_counter() - start
        ours = accuracy(extractor.transform, *data)
        pixels = accuracy(principal(lambda x: x / np.float32(255), data[0]), *data)
        others = {
            "PCA": pixels,
            "PCA of the gradients": accuracy(principal(edges, data[0]), *data),
            "layer by layer": accuracy(FeatureExtractor(WIDTH, SHAPE, layerwise=True, seed=seed).fit(data[0]).transform, *data),
            "without shape": accuracy(FeatureExtractor(WIDTH, seed=seed).fit(data[0]).transform, *data),
            "training, s": seconds,
        }
        yield Bar(f"{name}, logistic regression on {WIDTH} features, %", ours, pixels + 3, others, digits=2)


def edges(x):
    return np.concatenate([gradients(np.sqrt(part / np.float32(255)), SHAPE) for part in np.array_split(x, 20)])


def principal(prepare, x):
    """What gives the components of prepared rows."""
    model = PCA(WIDTH, svd_solver="covariance_eigh").fit(prepare(x))
    return lambda rows: model.transform(prepare(rows))
