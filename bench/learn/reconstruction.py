"""The deep autoencoder of Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313
(2006), figure 2B: MNIST, 784-1000-500-250-30, trained on 60,000 images; squared error summed over the pixels, mean of the
10,000 test images. They trained restricted Boltzmann machines layer by layer, then the whole by conjugate gradients; here
all layers at once from random weights."""

import time

import numpy as np

import fastae

from .data import mnist

PUBLISHED, BAR, UNIT, LOW = "3.00 (PCA with 30 components 13.87)", 4.5, "squared error", True
SETTINGS = {
    "sizes": [784, 1000, 500, 250, 30],
    "activation": "silu",
    "loss": "mse",
    "batch_size": 128,
    "epochs": 40,
    "max_lr": 2e-3,
    "weight_decay": 0.0,
    "noise": 0.0,
}
LONG, LONG_BAR = {"epochs": 200}, 3.0


def run(seed, sizes, activation, loss, batch_size, epochs, max_lr, weight_decay, noise):
    x, _, test, _ = mnist()
    model = fastae.DenoisingAutoencoder(
        sizes, activation=activation, noise="gaussian" if noise else None, level=noise, seed=seed
    )
    schedule = fastae.schedules.OneCycle(max_lr=max_lr, cycle_momentum=False)
    optimizer = fastae.AdamW(weight_decay=weight_decay)
    trainer = fastae.Trainer(model, optimizer, loss, batch_size, seed=seed, schedule=schedule)
    start = time.perf_counter()
    history = trainer.fit(x, epochs=epochs)
    seconds = time.perf_counter() - start
    error = [784 * float(np.mean(model.reconstruction_error(images))) for images in (test, x[:10000])]
    return error[0], seconds, f"training images {error[1]:.3f}, last loss {history.loss[-1]:.6f}"
