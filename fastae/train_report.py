"""The page of a training run: what was trained, how well, how fast, and all displays of the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import settings
from ._check import Array
from .autoencoder import Autoencoder
from .plots import write_report
from .plots.display import counted
from .trainer import Trainer


def write(
    path: Path,
    model: Autoencoder,
    trainer: Trainer,
    parts: tuple[Array, Array],
    labels: Array | None,
    feature_names: Sequence[str] | None,
    command: str,
    name: str,
    run: dict[str, Any],
    errors: tuple[float, float],
    speeds: tuple[float, float],
) -> None:
    """Write it.

    Parameters
    ----------
    model : Autoencoder
        Trained by ``trainer``, and giving what the data are.
    parts : arrays (samples, features)
        To train with and to test with.
    labels, feature_names
        Of the test samples, of columns.
    run : dict
        More about the run, for the table that begins with the command.
    errors, speeds
        The model's on the test data and PCA's; fastae's samples/s and NumPy's.
    """
    train, test = parts
    history, layers = trainer.history, model.layers
    training = {
        "command": command,
        "data": f"{name}: {counted(len(train), 'sample')} to train, {len(test):,} to test, {counted(model.n_in, 'feature')}",
        "network": "-".join(str(n) for n in (model.n_in, *(layer.n_out for layer in layers))),
        "activation": layers[0].activation,
        "loss": trainer.loss,
        "optimiser": repr(trainer.optimizer),
        "batch size": trainer.batch_size,
        "epochs": trainer.epochs,
        **run,
    }
    results = {
        "mean squared error, test": f"{errors[0]:.6f}",
        f"of PCA, {counted(model.n_latent, 'component')}": f"{errors[1]:.6f}",
        "loss, last epoch": f"{history.loss[-1]:.6f}",
        "validation loss, last epoch": f"{history.val_loss[-1]:.6f}",
        "time": f"{sum(history.seconds):.2f} s, validation apart",
        "samples/s": f"{speeds[0]:,.0f}",
        "samples/s of NumPy": f"{speeds[1]:,.0f}, so fastae is {speeds[0] / speeds[1]:.1f} times as fast",
    }
    found = settings.versions()
    used = ("fastae", "python", "platform", "processor", "threads", f"backend {trainer.backend}", "numpy", "matplotlib")
    machine = {row: found[row] for row in used}
    tables = {"Training": training, "Results": results, "Versions and machine": machine}
    title = f"fastae: {name}"
    write_report(path, model, test, history, labels=labels, feature_names=feature_names, title=title, tables=tables)
