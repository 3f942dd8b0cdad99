"""A. Makhzani and B. Frey, "k-sparse autoencoders", ICLR 2014: 1000 hidden units with tied weights, of which the 25 largest
stay, trained on MNIST without labels; a logistic regression on the code (the alpha k largest stay); error on the 10,000
test images. C is chosen on the last 10,000 training images."""

import time

import numpy as np

import fastae

from .classifier import error_of
from .data import mnist

PUBLISHED, BAR, UNIT, LOW = "1.35 % (k = 25)", 1.35, "% wrong", True
SETTINGS = {"width": 1000, "k": 25, "k_first": 100, "alpha": 3.0, "batch_size": 128, "epochs": 60, "max_lr": 1e-3}


def run(seed, width, k, k_first, alpha, batch_size, epochs, max_lr):
    x, labels, test, test_labels = mnist()
    model = fastae.KSparseAutoencoder([784, width], k, output_activation="identity", seed=seed)
    start = time.perf_counter()
    stages = (
        [(k_first, epochs // 4), (max(k, k_first // 2), epochs // 4), (k, epochs - epochs // 4 * 2)]
        if k_first
        else [(k, epochs)]
    )
    for number, (kept, stage) in enumerate(stages):
        stage_model = fastae.KSparseAutoencoder([784, width], kept, output_activation="identity", seed=seed)
        stage_model.load_state_dict(model.state_dict())
        schedule = fastae.schedules.OneCycle(max_lr=max_lr, cycle_momentum=False)
        fastae.Trainer(stage_model, fastae.Adam(), "mse", batch_size, seed=[seed, number], schedule=schedule).fit(
            x, epochs=stage
        )
        model.load_state_dict(stage_model.state_dict())
    seconds = time.perf_counter() - start
    codes, test_codes = (model.encode(images, alpha=alpha) for images in (x, test))
    error, beside = error_of(codes, labels, test_codes, test_labels)
    return error, seconds, f"{beside}, {np.count_nonzero(test_codes) / len(test):.0f} of {width} not 0"
