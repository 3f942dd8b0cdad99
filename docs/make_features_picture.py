"""Draw docs/images/features.png: ``python docs/make_features_picture.py``; MNIST from FASTAE_DATA, a minute.

Test images in the plane: by two principal components, and by a code of two features."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import fastae
from fastae.features import FeatureExtractor

PATH = Path(__file__).parent / "images" / "features.png"

x, _ = fastae.datasets.load_mnist("train")
test, labels = fastae.datasets.load_mnist("test")
mean = x.mean(axis=0) / 255
sample = x[:20000] / 255 - mean
axes = np.linalg.eigh(sample.T @ sample)[1][:, -2:]
codes = FeatureExtractor(2, shape=(28, 28), seed=0).fit(x, progress=True).transform(test)

figure = Figure((10, 5), dpi=80, layout="constrained")
planes = {"Two principal components": (test / 255 - mean) @ axes, "A code of two features": codes}
for axis, (title, points) in zip(figure.subplots(1, 2), planes.items(), strict=True):
    drawn = axis.scatter(*points.T, c=labels, cmap="tab10", s=2, linewidths=0, rasterized=True)
    low, high = np.quantile(points, (0.001, 0.999), axis=0)
    axis.set(xticks=[], yticks=[], title=title, xlim=(low[0], high[0]), ylim=(low[1], high[1]))
figure.legend(*drawn.legend_elements(), title="digit", loc="outside right center", frameon=False)
figure.savefig(PATH)
Image.open(PATH).convert("RGB").quantize(64).save(PATH, optimize=True)
print(f"wrote {PATH}, {PATH.stat().st_size / 1024:.0f} KB")
