"""F. Chollet, "Building autoencoders in Keras" (2016): MNIST, 784-32 relu-784 sigmoid, cross-entropy, Adam, batch 256, 50
epochs; mean cross-entropy of a pixel of the 10,000 test images. The images' own entropy is 0.0581."""

import time

import fastae

from .data import mnist

PUBLISHED, BAR, UNIT, LOW = "0.09", 0.0930, "nats a pixel", True
KERAS = True
SETTINGS = {"sizes": [784, 32], "latent_activation": "relu", "batch_size": 256, "epochs": 50, "lr": 1e-3, "schedule": None}


def run(seed, sizes, latent_activation, batch_size, epochs, lr, schedule):
    x, _, test, _ = mnist()
    model = fastae.Autoencoder(sizes, latent_activation=latent_activation, seed=seed)
    schedule = schedule and fastae.schedules.OneCycle(max_lr=lr, cycle_momentum=False)
    trainer = fastae.Trainer(model, fastae.Adam(lr), "bce", batch_size, seed=seed, schedule=schedule)
    start = time.perf_counter()
    history = trainer.fit(x, epochs=epochs)
    return trainer.evaluate(test), time.perf_counter() - start, f"last training loss {history.loss[-1]:.4f}"
