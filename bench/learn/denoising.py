"""The denoising autoencoder beside k-sparse ones in A. Makhzani and B. Frey, "k-sparse autoencoders", ICLR 2014: 1000 hidden
units, 20 % of the input masked, trained on MNIST without labels; a logistic regression on the code; error on the 10,000
test images. C is chosen on the last 10,000 training images.

Each unit begins as an image of its own, as those of ksparse."""

import time

import fastae

from .classifier import error_of
from .data import begin_as_images, mnist

PUBLISHED, BAR, UNIT, LOW = "1.95 %", 1.8, "% wrong", True
SETTINGS = {
    "width": 1000,
    "activation": "relu",
    "level": 0.2,
    "norm": 1.0,
    "batch_size": 128,
    "epochs": 60,
    "max_lr": 3e-3,
}


def run(seed, width, activation, level, norm, batch_size, epochs, max_lr):
    x, labels, test, test_labels = mnist()
    model = fastae.DenoisingAutoencoder(
        [784, width], noise="masking", level=level, latent_activation=activation, tied=True, seed=seed
    )
    begin_as_images(model, x, norm, seed)
    schedule = fastae.schedules.OneCycle(max_lr=max_lr, cycle_momentum=False)
    trainer = fastae.Trainer(model, fastae.Adam(), "bce", batch_size, seed=seed, schedule=schedule)
    start = time.perf_counter()
    trainer.fit(x, epochs=epochs)
    seconds = time.perf_counter() - start
    error, beside = error_of(model.encode(x), labels, model.encode(test), test_labels)
    return error, seconds, beside
