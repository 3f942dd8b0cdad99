"""The run behind ``fastae train``: split, train, compare with PCA and with NumPy, write the model, a picture, a report."""

from __future__ import annotations

import copy
import sys
import time
from pathlib import Path

import numpy as np

from . import _check, settings, train_report
from ._check import Array
from .autoencoder import Autoencoder
from .commands import arguments
from .history import DivergenceError
from .layers import Linear, Sequential
from .optim import SGD
from .plots import training_picture
from .plots.display import counted, matplotlib
from .plots.report import ENDINGS
from .trainer import Trainer

_MOMENTUM = 0.9
_BATCH_SIZE = 32
_NUMPY_SECONDS = 0.5  # of NumPy's training, enough for its speed


def run(
    x: Array,
    labels: Array | None,
    name: str,
    sizes: list[int] | None,
    epochs: int | None,
    lr: float | None,
    batch_size: int | None,
    loss: str,
    activation: str,
    seed: int,
    output: Path | None,
    report: Path | None = None,
    feature_names: list[str] | None = None,
    command: str = "",
    source: str | None = None,
) -> None:
    """Train on samples (n, features) and print what came of it; None stands for the defaults that the command line names.

    A report names the command, and the data's columns, where these have names. Nothing is written over ``source``, the data's
    file.
    """
    if report is not None:
        matplotlib()  # is there
    x = _check.finite(_check.samples(x, "data", x.shape[1]), "data", np.dtype(np.float32))
    if len(x) < 2:
        raise ValueError(f"data holds {len(x)} sample; at least two are needed, one to test with")
    n_in = x.shape[1]
    sizes = sizes or [n_in, max(n_in // 2, 1), max(n_in // 8, 1)]
    if sizes[0] != n_in:
        raise ValueError(f"--layers starts with {sizes[0]} features, the data have {n_in}")
    _warn_of_offsets(x)
    train, test, test_labels = _split(x, labels, seed)
    if batch_size is None:
        batch_size = min(_BATCH_SIZE, len(train))
    if batch_size > len(train):
        raise ValueError(f"--batch-size takes at most the number of training samples, {len(train)}; got {batch_size}")

    unit = _in_unit_interval(train) and _in_unit_interval(test)
    if "bce" in loss and not unit:
        raise ValueError(f"--loss {loss} takes data from 0 to 1; take mse")
    if not unit:
        mean, scale = _column_scale(train)
        train, test = ((part - mean) / scale for part in (train, test))
    epochs = epochs or min(max(round(1e6 / len(train)), 10), 500)
    result = "sigmoid" if unit and loss != "bce_with_logits" else "identity"

    def trainer(optimizer: SGD, backend: str | None = None) -> Trainer:
        model = Autoencoder(sizes, activation=activation, output_activation=result, seed=seed, backend=backend)
        return Trainer(model, optimizer, loss=loss, batch_size=batch_size, seed=seed)

    ours = trainer(SGD(lr=(1.0 if unit else 0.05) if lr is None else lr, momentum=_MOMENTUM))
    model = ours.model
    assert isinstance(model, Autoencoder)
    mirrored = "-".join(map(str, [*sizes, *sizes[-2::-1]]))
    print(f"{name}: {len(train)} samples to train, {len(test)} to test; network {mirrored}, {activation}, {loss}")
    if not unit:
        print("values outside 0 to 1: columns standardised (errors below too); the saved model takes values as they are")
    output = output or Path(f"fastae-{name}")
    file, picture = output / "model.safetensors", output / "training.png"
    missing = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
        arguments.outputs([(file, ()), (picture, ()), (report, ENDINGS)], [source])
    except (OSError, ValueError):
        for folder in filter(Path.exists, missing):
            folder.rmdir()
        raise

    def save() -> None:
        saved = copy.deepcopy(model)
        if not unit:
            _fold_in(saved, mean, scale)
        if loss == "bce_with_logits":
            saved = _with_sigmoid(saved)
        saved.save(file)

    try:
        history = ours.fit(train, epochs=epochs, validation_data=test, progress=True)
    except (KeyboardInterrupt, DivergenceError):
        save()
        print(f"stopped after {counted(ours.steps, 'step')}; wrote {file}")
        raise
    save()
    seconds = sum(history.seconds)
    if loss == "bce_with_logits":
        model = _with_sigmoid(model)
    own, linear = _test_errors(model, train, test)
    ratio = f"   ratio {own / linear:.3f}" if linear > 1e-12 else ""
    print(f"test error   fastae {own:.6f}   PCA of {counted(sizes[-1], 'component')} {linear:.6f}{ratio}")
    # The same work with a learning rate of 0, which cannot diverge.
    speed, numpy_speed = epochs * len(train) / seconds, _numpy_speed(trainer(SGD(lr=0.0, momentum=_MOMENTUM), "numpy"), train)
    print(
        f"samples/s    fastae {speed:,.0f}   NumPy {numpy_speed:,.0f}   ratio {speed / numpy_speed:.1f}   "
        f"({epochs} epochs in {seconds:.2f} s, {settings.get_num_threads()} threads, {settings.processor_name()})"
    )

    written, image_shape = [file, picture], False if feature_names else None
    try:
        training_picture(picture, model, test, history, test_labels, image_shape)
    except ImportError:
        written.pop()
        print("no picture: matplotlib is missing; pip install 'fastae[plot]'", file=sys.stderr)
    if report is not None:
        facts = {
            "columns": "as they are" if unit else "standardised; the saved model takes values as they are",
            "seed": seed,
            "model": file,
        }
        errors, speeds = (own, linear), (speed, numpy_speed)
        data = (train, test), test_labels, feature_names
        train_report.write(report, model, ours, *data, command, name, facts, errors, speeds)
        written.append(report)
    print(f"wrote        {', '.join(map(str, written))}")


def _split(x: Array, labels: Array | None, seed: int) -> tuple[Array, Array, Array | None]:
    """Four fifths to train, one to test, in float32 (uint8 scaled to 0 to 1)."""
    order = np.random.default_rng(seed).permutation(len(x))
    cut = max(len(x) // 5, 1)
    parts = [_check.converted(x[rows], np.dtype(np.float32), "data") for rows in (order[cut:], order[:cut])]
    return parts[0], parts[1], None if labels is None else labels[order[:cut]]


def _warn_of_offsets(x: Array) -> None:
    """Say which columns lose more than a thousandth of what they tell when they become float32."""
    if x.dtype == np.float64:
        spread, largest = x.std(axis=0), np.abs(x).max(axis=0)
        lost = np.flatnonzero((largest * np.finfo(np.float32).eps > 1e-3 * spread) & (spread > 0))
        if len(lost):
            columns = ", ".join(map(str, lost[:5])) + (", ..." if len(lost) > 5 else "")
            print(
                f"warning: float32 cannot hold columns {columns} (from 0): near {largest[lost[0]]:.3g} it tells apart only "
                f"steps of {np.spacing(np.float32(largest[lost[0]])):.3g}; subtract an offset from them first",
                file=sys.stderr,
            )


def _in_unit_interval(x: Array) -> bool:
    return bool(x.min() >= 0 and x.max() <= 1)


def _column_scale(x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each column; 1 for a constant column."""
    scale = x.std(axis=0, dtype=np.float64)
    return x.mean(axis=0, dtype=np.float64).astype(x.dtype), np.where(scale > 0, scale, 1).astype(x.dtype)


def _fold_in(model: Autoencoder, mean: Array, scale: Array) -> None:
    """Let a model of standardised columns take and give the columns as they were: (x - m) / s into the first layer, s y + m
    into the last, which is linear."""
    first, last = model.layers[0], model.layers[-1]
    assert first.bias is not None
    assert last.bias is not None
    first.weight = first.weight / scale
    first.bias = first.bias - first.weight @ mean
    last.weight = last.weight * scale[:, None]
    last.bias = last.bias * scale + mean


def _with_sigmoid(model: Autoencoder) -> Autoencoder:
    """The same model, giving values from 0 to 1 instead of logits."""
    *layers, last = model.decoder
    end = Linear(last.n_in, last.n_out, "sigmoid", last.has_bias, last.dtype, 0, last.backend)
    end.weight, end.bias = last.weight, last.bias
    parts = Sequential(*map(copy.deepcopy, model.encoder)), Sequential(*map(copy.deepcopy, layers), end)
    return Autoencoder(encoder=parts[0], decoder=parts[1])


def _test_errors(model: Autoencoder, train: Array, test: Array) -> tuple[float, float]:
    """Mean squared errors on the test data: the model's, and that of PCA with as many components as the code."""
    y = model.reconstruct(test)
    mean = train.mean(axis=0, dtype=np.float64)
    spread = train - mean
    axes = np.linalg.eigh(spread.T @ spread)[1][:, -model.n_latent :]
    centred = test - mean
    return float(np.mean((y - test) ** 2, dtype=np.float64)), float(np.mean((centred - centred @ axes @ axes.T) ** 2))


def _numpy_speed(trainer: Trainer, x: Array) -> float:
    """Samples per second of the same training by the NumPy backend."""
    trainer.fit(x[: trainer.batch_size])  # warm
    samples, start = 0, time.perf_counter()
    while time.perf_counter() < start + _NUMPY_SECONDS:
        part = x[: trainer.batch_size * 100]
        trainer.fit(part, epochs=1)
        samples += len(part)
    return samples / (time.perf_counter() - start)
