"""F. Chollet, "Building autoencoders in Keras" (2016), the deep one: MNIST, 784-128-64-32-64-128-784, relu and a sigmoid,
cross-entropy, Adam, batch 256, 100 epochs; mean cross-entropy of a pixel of the 10,000 test images. The images' own entropy
is 0.0581. His code is of relu, too; here it is linear, and the learning rate follows one cycle."""

from .blog import LOW, UNIT, run

PUBLISHED, BAR = "0.08", 0.080
KERAS = True
SETTINGS = {
    "sizes": [784, 128, 64, 32],
    "latent_activation": "identity",
    "batch_size": 256,
    "epochs": 100,
    "lr": 3e-3,
    "schedule": "one-cycle",
}
__all__ = ["BAR", "LOW", "PUBLISHED", "SETTINGS", "UNIT", "run"]
