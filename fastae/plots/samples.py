"""What displays take: a model, samples, labels, names; and a part of many samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from ..autoencoder import Autoencoder
from ..layers import generator
from ..models import MaskedAutoencoder

MOST = 5000  # points that a picture has room for
MOST_CLASSES = 20  # that colours tell apart, with matplotlib's tab20


def autoencoder(model: Any) -> Autoencoder:
    """A model with an encoder and a decoder."""
    if not isinstance(model, Autoencoder):
        hint = "; of an application, or an estimator, give its .model or .model_" if hasattr(model, "fit") else ""
        raise TypeError(f"model takes an Autoencoder, which has encoder and decoder; got {type(model).__name__}{hint}")
    return model


def comparable(model: Autoencoder) -> None:
    """What goes in must be what comes out."""
    if model.n_in - model.n_conditions != model.n_out:
        raise ValueError(f"model gives {model.n_out} features for {model.n_in}, so they cannot be compared")


def checked(model: Autoencoder, x: Any) -> Any:
    """Samples, an array or CSR, all of them looked at; NaN where a MaskedAutoencoder takes it."""
    x = _check.matrix(x, "x", model.n_in)
    _check.finite_rows(x, "x", model.dtype, missing=isinstance(model, MaskedAutoencoder))
    return x


def floats(model: Autoencoder, x: Any, rows: Any) -> Array:
    """Some of checked samples in the model's dtype."""
    part = _check.dense(x, rows)
    return _check.converted(part, model.dtype, "x") if part.dtype == np.uint8 else np.ascontiguousarray(part, model.dtype)


def pairs(model: Autoencoder, x: Array) -> tuple[Array, Array]:
    """Features of samples, and their reconstructions."""
    features = x[:, : model.n_out]
    return features, model._expected(model.reconstruct(x), features)


def drawn(n: int, most: Any, seed: Any) -> Array:
    """Numbers of rows: all n, or a sample of as many as ``most`` allows, in order."""
    most = _check.positive_integer(most, "max_samples")
    return np.arange(n) if n <= most else np.sort(generator(seed).choice(n, most, replace=False))


def labels_of(labels: Any, n: int) -> Array | None:
    """One label for each of n samples: numbers, or strings."""
    if labels is None:
        return None
    y = _check.array(labels, "labels takes numbers or strings, one for each sample")
    if y.shape != (n,):
        raise ValueError(f"labels takes one for each of {n} samples, shape ({n},); got {y.shape}")
    if y.dtype.kind in "OTU":
        return y.astype(str)
    if y.dtype.kind not in "biuf":
        raise TypeError(f"labels takes numbers or strings, got {y.dtype}")
    if not np.isfinite(y).all():
        raise ValueError(f"labels has NaN or infinity, the first in row {np.argmin(np.isfinite(y))}")
    return y


def classes(labels: Array) -> Array | None:
    """The different labels, where these are classes and few; None where they are quantities, for a colour bar."""
    values = np.unique(labels)
    few = len(values) <= MOST_CLASSES
    if labels.dtype.kind == "U" and not few:
        raise ValueError(f"labels takes at most {MOST_CLASSES} different strings, got {len(values)}")
    whole = labels.dtype.kind != "f" or bool((values == np.rint(values)).all())
    return values if few and whole else None


def names_of(names: Any, n: int) -> list[str] | None:
    """One name for each of n features."""
    if names is None:
        return None
    if isinstance(names, str) or len(names) != n:
        got = repr(names) if isinstance(names, str) else len(names)
        raise ValueError(f"feature_names takes one for each of {n} features, got {got}")
    return [str(name) for name in names]
