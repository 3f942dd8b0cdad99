"""Draw docs/images/anomaly.png: ``python docs/make_anomaly_picture.py``. Scores in a plane; digits unlike the others."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import fastae
from fastae.anomaly import AnomalyDetector

PATH = Path(__file__).parent / "images" / "anomaly.png"


def spiral(n):
    rng = np.random.default_rng(0)
    angle = 1.5 + 9 * np.sqrt(rng.random(n))
    return np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1) + rng.normal(0, 0.35, (n, 2))


figure = Figure((10, 4.4), dpi=80, layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(4.4, 5.6))

points = spiral(1500)
detector = AnomalyDetector(contamination=0.02, seed=0).fit(points)
across = np.linspace(-15, 15, 200)
grid = np.stack(np.meshgrid(across, across), axis=-1).reshape(-1, 2)
scores = detector.score(grid).reshape(200, 200)
axis = left.subplots()
axis.pcolormesh(across, across, np.log10(scores + 1e-5), cmap="viridis", rasterized=True)
axis.contour(across, across, scores, [detector.threshold], colors="white", linewidths=1)
axis.plot(*points.T, ".", color="black", markersize=1)
axis.set(xticks=[], yticks=[], aspect="equal", title="Rows of two columns; colour: score; white: threshold")

digits, _ = fastae.datasets.load_digits()
detector = AnomalyDetector(seed=0).fit(digits)
order = detector.score(digits).argsort()
rows = [("lowest scores", order[:8]), ("highest scores", order[:-9:-1])]
axes = right.subplots(3, 8)
for (label, chosen), line in zip(rows, axes, strict=False):
    for picture, digit in zip(line, digits[chosen], strict=True):
        picture.imshow(digit.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    line[3].set_title(label, fontsize=10, loc="left")
for picture, errors in zip(axes[2], detector.feature_error(digits[order[:-9:-1]]), strict=True):
    picture.imshow(np.sqrt(errors).reshape(8, 8), cmap="magma")
axes[2][3].set_title("where these come from", fontsize=10, loc="left")
for picture in axes.flat:
    picture.axis("off")

figure.savefig(PATH)
Image.open(PATH).convert("RGB").quantize(128).save(PATH, optimize=True)
print(f"wrote {PATH}, {PATH.stat().st_size / 1024:.0f} KB")
