"""
Generation: digits to order
===========================

Draw handwritten digits to order, and from the codes of a plain autoencoder; writes two pictures.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastae
from fastae.generation import Generator, tiled, write_png

digits, labels = fastae.datasets.load_digits()

to_order = Generator.learn(digits, 6, labels, hidden=(128, 64), seed=0)
wanted = np.arange(100) % 10
images = to_order.sample(100, wanted, seed=0)
write_png("digits-to-order.png", images, columns=10, zoom=3)
nearest = labels[np.linalg.norm(images[:, None] - digits, axis=2).argmin(axis=1)]
print(f"nearest real digit has the wanted label: {np.mean(nearest == wanted):.0%}")
assert np.mean(nearest == wanted) > 0.9

model = fastae.Autoencoder([64, 48, 8], activation="silu", seed=0)
fastae.Trainer(model, fastae.Adam(3e-3), "bce", 32, seed=0).fit(digits, epochs=100)
of_codes = Generator.of_codes(model, digits, 20, seed=0)
ways = [of_codes.interpolate(digits[i], digits[i + 1]) for i in range(0, 10, 2)]
write_png("digits-between.png", np.concatenate(ways), columns=10, zoom=3)
print("wrote digits-to-order.png, digits-between.png")

for axes, drawn, title in zip(
    plt.subplots(1, 2, figsize=(8, 4), layout="constrained")[1],
    (images, np.concatenate(ways)),
    ("to order", "between two"),
    strict=True,
):
    axes.imshow(tiled(drawn, columns=10), cmap="gray")
    axes.set(title=title, xticks=[], yticks=[])
plt.show()
