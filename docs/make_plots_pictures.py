"""Draw docs/images/plots-images.png and plots-tables.png: ``python docs/make_plots_pictures.py``; a few seconds.

All displays, of handwritten digits and of a table of thirteen columns."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_wine

import fastae
from fastae import plots

FOLDER = Path(__file__).parent / "images"


def draw(name, size, model, x, labels, history, **names):
    """Six displays of a model in one picture."""
    figure = Figure(size, dpi=75, layout="constrained")
    (loss, latent, error), (pairs, traversal, weights) = figure.subplots(2, 3)
    plots.LossDisplay.from_history(history, ax=loss)
    plots.LatentDisplay.from_model(model, x, labels, ax=latent)
    plots.FeatureErrorDisplay.from_model(model, x, **names, ax=error)
    plots.ReconstructionDisplay.from_model(model, x, n_samples=5, ax=pairs)
    plots.TraversalDisplay.from_model(model, x, n_steps=7, ax=traversal)
    plots.WeightsDisplay.from_model(model, max_units=16, ax=weights)
    path = FOLDER / f"plots-{name}.png"
    figure.savefig(path)
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)
    print(f"wrote {path}, {path.stat().st_size / 1024:.0f} KB")


digits, labels = fastae.datasets.load_digits()
model = fastae.Autoencoder([64, 32, 4], activation="silu", seed=0)
trainer = fastae.Trainer(model, fastae.SGD(1.0, momentum=0.9), batch_size=32, seed=0)
history = trainer.fit(digits[:1400], epochs=300, validation_data=digits[1400:])
draw("images", (13, 7), model, digits[1400:], labels[1400:], history)

wine = load_wine()
table = ((wine.data - wine.data.mean(axis=0)) / wine.data.std(axis=0)).astype(np.float32)
order = np.random.default_rng(0).permutation(len(table))
table, kinds = table[order], wine.target_names[wine.target[order]]
model = fastae.Autoencoder([13, 16, 2], activation="tanh", output_activation="identity", seed=0)
trainer = fastae.Trainer(model, fastae.Adam(3e-3), batch_size=16, seed=0)
history = trainer.fit(table[:120], epochs=200, validation_data=table[120:])
draw("tables", (13, 7), model, table, kinds, history, feature_names=wine.feature_names)
