"""A. Makhzani and B. Frey, "k-sparse autoencoders", ICLR 2014: 1000 hidden units with tied weights, of which the 25 largest
stay, trained on MNIST without labels; a logistic regression on the code (the alpha k largest stay); error on the 10,000
test images. C is chosen on the last 10,000 training images, as alpha was beforehand.

Against units that never win, they lower k from a high number; here each unit begins as an image of its own. SGD with
momentum, as theirs: Adam's codes are less fit for classifying."""

import time

import numpy as np

import fastae

from .classifier import error_of
from .data import begin_as_images, mnist

PUBLISHED, BAR, UNIT, LOW = "1.35 % (k = 25)", 1.35, "% wrong", True
SETTINGS = {
    "width": 1000,
    "k": 25,
    "alpha": 2.5,
    "norm": 0.3,
    "batch_size": 128,
    "epochs": 60,
    "max_lr": 25.0,
    "momentum": 0.9,
}


def run(seed, width, k, alpha, norm, batch_size, epochs, max_lr, momentum):
    x, labels, test, test_labels = mnist()
    model = fastae.KSparseAutoencoder([784, width], k, output_activation="identity", seed=seed)
    begin_as_images(model, x, norm, seed)
    schedule = fastae.schedules.OneCycle(max_lr=max_lr, cycle_momentum=False)
    trainer = fastae.Trainer(model, fastae.SGD(max_lr, momentum), "mse", batch_size, seed=seed, schedule=schedule)
    start = time.perf_counter()
    trainer.fit(x, epochs=epochs)
    seconds = time.perf_counter() - start
    codes, test_codes = (model.encode(images, alpha=alpha) for images in (x, test))
    error, beside = error_of(codes, labels, test_codes, test_labels)
    return error, seconds, f"{beside}, {np.count_nonzero(test_codes) / len(test):.0f} of {width} not 0"
