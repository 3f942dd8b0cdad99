"""Tables of numbers, for applications: checks, standardised columns, a model's file with an application's settings in it."""

from __future__ import annotations

import json
import os
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from . import _check, persistence
from ._check import Array
from .autoencoder import Autoencoder
from .layers import generator
from .settings import check_threads, kernels

Model = TypeVar("Model", bound=Autoencoder)

_FARTHEST = 1e6  # standard deviations from the mean; what is farther counts as this, so that float32 can hold its square


def rows(value: Any, argument: str, least: int = 1, missing: bool = False) -> Array:
    """A table (rows, columns) of float32, float64 or uint8 as it is, looked at: finite, or NaN where that may be."""
    try:
        shape = value.shape if hasattr(value, "shape") else np.shape(value)
    except ValueError as error:
        raise ValueError(f"{argument} takes a table of shape (rows, columns): {error}") from error
    if shape == () and not hasattr(value, "dtype"):  # a path, None, a generator
        raise ValueError(f"{argument} takes a table of shape (rows, columns), got {type(value).__name__}")
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"{argument} takes a table of shape (rows, columns), at least one of each; got shape {shape}")
    x = _check.samples(value, argument, shape[1])
    if len(x) < least:
        raise ValueError(f"{argument} takes at least {least} rows to learn from, got {len(x)}")
    return _check.finite(x, argument, missing=missing)


class Columns(NamedTuple):
    """Mean and scale of each column: arrays (columns,) of float64; ``constant`` (columns,) of bool, where nothing varies."""

    mean: Array
    scale: Array
    constant: Array

    @classmethod
    def of(cls, x: Array) -> Columns:
        """Those of a table's numbers, NaN apart.

        The scale is the standard deviation, as scikit-learn's StandardScaler has it; it is 1 for a constant column, whose
        numbers differ by rounding at most. A column without any number has mean 0 and scale 1.
        """
        precision = np.finfo(np.float64 if x.dtype == np.uint8 else x.dtype).eps
        mean, scale, constant = np.zeros(x.shape[1]), np.ones(x.shape[1]), np.ones(x.shape[1], bool)
        for j, column in enumerate(x.T):
            known = column[~np.isnan(column)].astype(np.float64)
            if len(known) and (largest := np.abs(known).max()) > 0:
                known /= largest  # squares then neither overflow nor vanish
                spread = known.std()
                mean[j], constant[j] = known.mean() * largest, spread <= 8 * precision
                scale[j] = 1 if constant[j] else spread * largest
        return cls(mean, scale, constant)

    def standardise(self, x: Array) -> Array:
        """(x - mean) / scale in float64, at most a million from 0."""
        with np.errstate(over="ignore"):
            standard: Array = np.clip((x - self.mean) / self.scale, -_FARTHEST, _FARTHEST)
        return standard

    def restore(self, standard: Array) -> Array:
        """The way back, but for what was too far."""
        restored: Array = standard * self.scale + self.mean
        return restored


class Learner(Generic[Model]):
    """What learns from a table: the arguments that all such have, a model of standardised columns, and these.

    Attributes
    ----------
    model : Autoencoder
        Of standardised columns.
    columns : Columns
        Mean and scale of each column: ``columns.mean``, ``columns.scale``, (columns,).
    """

    def __init__(self, seed: Any, n_threads: int | None, backend: str | None) -> None:
        check_threads(n_threads)  # these three refuse a wrong one now, and not in fit
        kernels(backend)
        generator(seed)
        self.seed, self.n_threads, self.backend = seed, n_threads, backend
        self._fitted: tuple[Model, Columns] | None = None

    @property
    def model(self) -> Model:
        """The autoencoder of standardised columns."""
        return self._ready()[0]

    @property
    def columns(self) -> Columns:
        """Mean and scale of each column."""
        return self._ready()[1]

    def _ready(self) -> tuple[Model, Columns]:
        if self._fitted is None:
            name = type(self).__name__
            raise RuntimeError(f"this {name} has learnt nothing yet; call fit, or {name}.load")
        return self._fitted


def save(path: str | os.PathLike[str], model: Autoencoder, columns: Columns, key: str, **settings: Any) -> None:
    """Write a model, columns and settings to a safetensors file: these as JSON in its metadata, under the application's key."""
    from safetensors.numpy import save as to_bytes

    arrays, metadata = persistence.contents(model)
    own = {name: column.tolist() for name, column in columns._asdict().items()} | settings
    persistence.write_atomically(path, to_bytes(arrays, metadata | {key: json.dumps(own)}))


def has(path: str | os.PathLike[str], key: str) -> bool:
    """Whether a safetensors file has an application's key."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return key in (file.metadata() or {})


def load(
    path: str | os.PathLike[str], key: str, kind: type[Autoencoder], backend: str | None = None
) -> tuple[Any, Columns, dict[str, Any]]:
    """Read what :func:`save` wrote: model, columns, the other settings.

    Raises
    ------
    OSError
        The file is missing or unreadable.
    ValueError
        It is not a whole file of this application.
    """
    from safetensors import safe_open

    model = persistence.load(path, backend)
    with safe_open(path, framework="np") as file:
        text = (file.metadata() or {}).get(key)
    if text is None or not isinstance(model, kind):
        raise ValueError(f"{path} holds a model, but not one of {key}")
    try:
        settings = json.loads(text)
        kinds = (np.float64, np.float64, np.bool_)
        columns = Columns(*(np.array(settings.pop(name), kind) for name, kind in zip(Columns._fields, kinds, strict=True)))
        if any(column.shape != (model.n_out,) for column in columns):
            raise ValueError(f"its columns are not {model.n_out}")
        if not np.isfinite(columns).all() or columns.scale.min() <= 0:
            raise ValueError("its means and scales are not finite, or scales not positive")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} has settings of {key} that cannot be read: {error}") from error
    return model, columns, settings
