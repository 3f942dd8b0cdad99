"""What scikit-learn's users give, as fastae takes it: tables, seeds, widths of layers."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from .. import _check
from ..layers import generator


def table(estimator: Any, X: Any, **how: Any) -> Any:
    """X as an array (rows, columns), or CSR where that is accepted: float32 as it is, all else as float64."""
    return validate_data(estimator, unmasked(X, "X"), dtype=dtypes(X), **how)


def unmasked(X: Any, argument: str) -> Any:
    """X itself; scikit-learn would take what lies under a mask."""
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError(
            f"{argument} has masked elements; fill them first, as with {argument}.filled(0), or with NaN for AutoencoderImputer"
        )
    return X


def dtypes(X: Any) -> Any:
    """What scikit-learn is to make of X; of float32 in tensors, in polars' and in Arrow's frames it does not know by itself."""
    if hasattr(X, "__array__"):
        with contextlib.suppress(Exception):  # what NumPy cannot read, or slice, is scikit-learn's to refuse
            if np.asarray(X[:1]).dtype.type is np.float32:  # of either byte order
                return np.float32
    return [np.float64, np.float32]


def seeded(random_state: Any) -> np.random.Generator:
    """For an integer, a Generator, None, or a RandomState, of which a number is drawn; never NumPy's global state."""
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31 - 1)
    return generator(random_state, "random_state")


def widths(hidden: int | Sequence[int]) -> list[int]:
    """Of hidden layers, from one or several."""
    given = [hidden] if isinstance(hidden, numbers.Integral) else hidden
    if not isinstance(given, (list, tuple, np.ndarray)):
        raise TypeError(f"hidden_layer_sizes takes an integer or a sequence of them, got {hidden!r}")
    return [_check.positive_integer(width, "hidden_layer_sizes") for width in given]


def shown(verbose: bool | int) -> bool:
    """Whether a bar is to be shown; scikit-learn's other estimators take numbers, too."""
    return bool(_check.count(int(verbose) if isinstance(verbose, (bool, np.bool_)) else verbose, "verbose"))
