"""
Plots: what an autoencoder has learnt
=====================================

Draw what an autoencoder of handwritten digits learnt, one display at a time, all together, and as a page.
"""

from pathlib import Path

from matplotlib.figure import Figure

import fastae
from fastae import plots

digits, labels = fastae.datasets.load_digits()
train, test, kinds = digits[:1400], digits[1400:], labels[1400:]
model = fastae.Autoencoder([64, 32, 8], activation="silu", seed=0)
trainer = fastae.Trainer(model, fastae.SGD(lr=1.0, momentum=0.9), batch_size=32, seed=0)
history = trainer.fit(train, epochs=50, validation_data=test)

# Without axes, pyplot has a new figure, which notebooks show. The display has the numbers.
display = plots.LatentDisplay.from_model(model, test, kinds)
print(display.caption)
display.figure_.savefig("latent.png")

figure = Figure(figsize=(12, 4), layout="constrained")
left, middle, right = figure.subplots(1, 3)
print(plots.LossDisplay.from_history(history, ax=left).caption)
errors = plots.FeatureErrorDisplay.from_model(model, test, ax=middle)
print(f"the pixel that is learnt worst has {errors.errors.max() / errors.errors.mean():.1f} times the mean error")
plots.TraversalDisplay.from_model(model, test, ax=right)
figure.savefig("displays.png")

plots.write_report("report.html", model, test, history, labels=kinds, title="Digits")
for name in ("latent.png", "displays.png", "report.html"):
    print(f"wrote {name}, {Path(name).stat().st_size / 1024:.0f} KB")
