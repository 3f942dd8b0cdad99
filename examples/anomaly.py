"""
Anomalies: digits that lie on their side
========================================

Learn what handwritten digits are like, then find the ones that lie on their side.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastae
from fastae.anomaly import AnomalyDetector
from fastae.generation import tiled

digits, _ = fastae.datasets.load_digits()
train, normal, turned = digits[:1400], digits[1400:1600], digits[1600:]
turned = np.rot90(turned.reshape(-1, 8, 8), axes=(1, 2)).reshape(-1, 64)

detector = AnomalyDetector(contamination=0.02, seed=0).fit(train)
scores, others = detector.score(turned), detector.score(normal)
area = np.mean(scores[:, None] > others)
print(f"area under the ROC curve {area:.3f}")
parts = [detector.predict(x).mean() for x in (turned, normal)]
print(f"beyond the threshold: {parts[0]:.0%} of the turned digits, {parts[1]:.0%} of the others")

worst = scores.argmax()
errors = detector.feature_error(turned[worst : worst + 1])[0]
print(f"the highest score, {scores[worst]:.1f}, comes most of all from pixels {', '.join(map(str, errors.argsort()[:-4:-1]))}")
assert area > 0.9

both, together = np.concatenate([normal, turned]), np.concatenate([others, scores])
order = together.argsort()
for axes, chosen, title in zip(
    plt.subplots(1, 2, figsize=(8, 4), layout="constrained")[1],
    (order[:50], order[-50:]),
    ("lowest scores", "highest"),
    strict=True,
):
    axes.imshow(tiled(both[chosen]), cmap="gray")
    axes.set(title=title, xticks=[], yticks=[])
plt.show()
