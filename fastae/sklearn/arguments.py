"""What scikit-learn's users give, as fastae takes it: tables, seeds, widths of layers."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

from .. import _check
from ..layers import generator


def table(estimator: Any, X: Any, **how: Any) -> Any:
    """X as an array (rows, columns), or CSR where that is accepted: float32 as it is, all else as float64."""
    return validate_data(estimator, X, dtype=[np.float64, np.float32], **how)


def seeded(random_state: Any) -> np.random.Generator:
    """For an integer, a Generator, None, or a RandomState, of which a number is drawn; never NumPy's global state."""
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31 - 1)
    return generator(random_state)


def widths(hidden: int | Sequence[int]) -> list[int]:
    """Of hidden layers, from one or several."""
    given = [hidden] if isinstance(hidden, numbers.Integral) else hidden
    if not isinstance(given, (list, tuple, np.ndarray)):
        raise TypeError(f"hidden_layer_sizes takes an integer or a sequence of them, got {hidden!r}")
    return [_check.positive_integer(width, "hidden_layer_sizes") for width in given]
