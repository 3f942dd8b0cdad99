"""What training takes: arrays, memory-mapped or not, and sparse rows. Checked here, and not again inside."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from . import _check
from ._check import Array
from ._kernels.names import LOSSES
from ._kernels.recipe import Recipe
from .layers import BLOCK, Network

NAMES = ("x", "target", "sample_weight")
_VALIDATION = ("validation_data", "the target of validation_data", "the sample_weight of validation_data")

TARGETS = {  # what these losses take
    "bce": (0, 1),
    "bce_with_logits": (0, 1),
    "poisson": (0, math.inf),
    "multinomial": (0, math.inf),
}
_OUTPUTS = {  # the last layer's activation that they take, and why
    "bce": ("sigmoid", "outputs from 0 to 1, of a sigmoid", ". Take 'bce_with_logits'"),
    "bce_with_logits": ("identity", "logits, of the identity", ". Take 'bce'"),
    "poisson": ("identity", "logarithms of rates, of the identity", ""),
    "multinomial": ("identity", "logits, of the identity", ""),
}
_HIDES_NAN = ("masking", "salt_and_pepper", "dropout", "binarize")  # noises that put numbers in place of others


class Data(NamedTuple):
    """Samples of a fit: x (samples, n_in) and target (samples, n_out) are matrices or scipy's CSR; target may be x itself."""

    x: Any
    target: Any
    weight: Array | None = None  # (samples,)
    rows: Array | None = None  # the numbers of those that count, ascending; None: all

    @property
    def n(self) -> int:
        """Samples that count."""
        return int(self.x.shape[0]) if self.rows is None else len(self.rows)

    def blocks(self) -> Iterator[tuple[Array, Array, Array | None]]:
        """x, target and weight of some thousand samples at a time, dense. Where target is x, so it is in a block."""
        step = min(_check.together(self.x, BLOCK), _check.together(self.target, BLOCK))
        for start in range(0, self.n, step):
            rows = slice(start, min(start + step, self.n)) if self.rows is None else self.rows[start : start + step]
            x = _check.dense(self.x, rows)
            target = x if self.target is self.x else _check.dense(self.target, rows)
            yield x, target, None if self.weight is None else self.weight[rows]

    def split(self, fraction: float, order: Array) -> tuple[Data, Data]:
        """The samples to learn from, and a part of them held back, the first of an order of all."""
        cut = min(max(round(fraction * len(order)), 1), len(order) - 1)
        return self._replace(rows=np.sort(order[cut:])), self._replace(rows=np.sort(order[:cut]))


def weights(value: Any, argument: str, n: int, dtype: np.dtype[Any]) -> Array:
    """Weights (n,) of samples or features, at least 0, in a model's dtype."""
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{argument} takes numbers of shape ({n},): {error}") from error
    if given.shape != (n,) or given.dtype.kind not in "fiub":
        raise ValueError(f"{argument} takes numbers of shape ({n},), got {given.dtype} {given.shape}")
    _check.finite(given.reshape(-1, 1), argument, dtype)
    if given.min() < 0:
        raise ValueError(f"{argument} takes numbers of at least 0, got {given.min():g}")
    return np.ascontiguousarray(given, dtype)


class Door:
    """What a model and a loss take; every array that training is given passes here once.

    Parameters
    ----------
    model : Network
    loss : str
    recipe : Recipe
        Of the model.

    Attributes
    ----------
    looks_first : bool
        Whether values must be looked at before a step, which would take wrong ones without a sign.
    """

    def __init__(self, model: Network, loss: str, recipe: Recipe) -> None:
        self.model, self.loss, self.dtype = model, loss, model.dtype
        self.n_in, self.n_out, self.limits = model.n_in, model.n_out, TARGETS.get(loss)
        activation, own = model.layers[-1].activation, model.default_loss
        if model.own_loss and loss in LOSSES and loss != own:
            raise ValueError(f"loss of this {type(model).__name__} takes {own!r}, by which its outputs are read; got {loss!r}")
        self.remedy = "scale it" if model.own_loss else "scale it, or use loss 'mse'"
        takes, what, remedy = _OUTPUTS.get(loss, (activation, "", ""))
        if activation != takes:
            raise ValueError(f"loss {loss!r} takes {what}; the last layer has {activation!r}{remedy}")

        self.follow(recipe)

    def follow(self, recipe: Recipe) -> None:
        """Take the model's recipe as it is now."""
        self.recipe = recipe
        self.looks_first = self.limits is not None or recipe.noise in _HIDES_NAN

    def pair(self, x: Any, target: Any, names: tuple[str, ...] = NAMES) -> tuple[Any, Any]:
        """x (samples, n_in) and target (samples, n_out), by default x itself."""
        checked = _check.matrix(x, names[0], self.n_in)
        if target is None or target is x:
            if self.n_in - self.recipe.condition != self.n_out:
                raise ValueError(f"{names[1]} is needed: the model takes {self.n_in} features and gives {self.n_out}")
            return checked, checked
        goal = _check.matrix(target, names[1], self.n_out)
        if goal.shape[0] != checked.shape[0]:
            raise ValueError(f"{names[1]} takes as many samples as {names[0]}, {checked.shape[0]}; got {goal.shape[0]}")
        return checked, goal

    def data(self, x: Any, target: Any, weight: Any, names: tuple[str, ...] = NAMES) -> Data:
        """Samples, with a weight for each or None."""
        x, target = self.pair(x, target, names)
        return Data(x, target, None if weight is None else self.weight(weight, x.shape[0], names[2]))

    def weight(self, value: Any, n: int, name: str = NAMES[2]) -> Array:
        """Weights of n samples."""
        return weights(value, name, n, self.dtype)

    def validation(self, given: Any) -> Data:
        """Samples from an array, a pair, or a triple with weights, looked at."""
        parts = given if isinstance(given, tuple) and len(given) in (2, 3) else (given,)
        x, target, weight = (*parts, None, None)[:3]
        data = self.data(x, target, weight, _VALIDATION)
        self.look(data.x, data.target, _VALIDATION)
        return data

    def batch(self, given: Any, number: int) -> Data:
        """One of a stream, with its number, looked at."""
        names = f"batch {number} of x", f"the target of batch {number} of x"
        x, target = given, None
        if isinstance(given, tuple) or (
            isinstance(given, list) and any(len(getattr(part, "shape", ())) > 1 for part in given)
        ):  # PyTorch's DataLoader gives lists, of one or more
            if len(given) not in (1, 2):
                raise ValueError(f"{names[0]} takes an array or a pair (x, target), got {len(given)} of them")
            x, target = (*given, None)[:2]
        data = Data(*self.pair(x, target, names))
        self.look(data.x, data.target, names)  # now, since a step may have rows of two
        return data

    def look(self, x: Any, target: Any, names: tuple[str, ...] = NAMES) -> None:
        """At every value: finite, NaN where it may be missing, and what the loss takes."""
        _check.finite_rows(x, names[0], self.dtype, self.recipe.missing)
        if target is not x:
            _check.finite_rows(target, names[1], self.dtype, self.recipe.missing)
        argument = names[0] if target is x else names[1]
        if self.limits is not None:  # 0, which a sparse matrix does not hold, is within all limits
            values = target.data.reshape(-1, 1) if hasattr(target, "tocsr") else target[:, : self.n_out]
            _check.between(values, *self.limits, f"{argument} of loss {self.loss!r}", self.remedy)
