"""Draw docs/images/generation.png: ``python docs/make_generation_picture.py``; MNIST from FASTAE_DATA, some minutes.

Samples, a map of a latent space, ways between two test images."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import fastae
from fastae.generation import Generator, tiled

PATH = Path(__file__).parent / "images" / "generation.png"

x, labels = (part[:30000] for part in fastae.datasets.load_mnist("train"))
test, _ = fastae.datasets.load_mnist("test")

conditional = Generator.learn(x, 10, labels, beta=3.0, epochs=12, progress=True)
plane = Generator.learn(x, 2, epochs=12, progress=True)
variational = Generator.learn(x, 20, epochs=12, progress=True)
model = fastae.Autoencoder([784, 256, 128, 12], activation="silu", seed=0)
schedule = fastae.schedules.Cosine()
fastae.Trainer(model, fastae.Adam(2e-3), "bce", 100, seed=0, schedule=schedule).fit(x, epochs=12, progress=True)
plain = Generator.of_codes(model, x[:20000], 50)

ends = ((0, 2), (61, 18), (3, 4), (8, 21), (7, 1))  # test images
ways = [variational.interpolate(test[a], test[b], 10, spherical=arc) for a, b in ends for arc in (False, True)]
pictures = {
    "Conditional: a label in each column": (conditional.sample(100, np.arange(100) % 10, seed=0), 10),
    "Plain autoencoder, mixture of codes": (plain.sample(100, seed=0), 10),
    "Map of a code of two features": (plane.map(14), 14),
    "Ways, by a line, then by an arc": (np.concatenate(ways), 10),
}
figure = Figure((12, 3.3), dpi=90, layout="constrained")
for axis, (title, (images, columns)) in zip(figure.subplots(1, 4), pictures.items(), strict=True):
    axis.imshow(tiled(images, columns), cmap="gray", vmin=0, vmax=255)
    axis.set_title(title, fontsize=10)
    axis.axis("off")
figure.savefig(PATH)
Image.open(PATH).convert("L").quantize(32).save(PATH, optimize=True)
print(f"wrote {PATH}, {PATH.stat().st_size / 1024:.0f} KB")
