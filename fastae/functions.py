"""Activations and losses of one's own: scalar Python functions, compiled by Numba and called inside the kernels."""

from __future__ import annotations

import inspect
import math
import numbers
import warnings
from collections.abc import Callable, Sequence
from ctypes import CFUNCTYPE, c_double, c_ssize_t, c_void_p
from importlib import import_module
from typing import Any

import numpy as np

from ._check import Array, real_number
from ._kernels.contract import Kernels
from ._kernels.names import ACTIVATIONS, LOSSES, MOST_OWN

_NAMES = {"activation": ACTIVATIONS, "loss": LOSSES}
_made: dict[str, list[Own]] = {"activation": [], "loss": []}
_STEP = 1e-5  # of difference quotients in float64, whose error is some 1e-10 f''' and 1e-11 f
_CLOSE = 1e-6
_F64 = np.dtype("float64")


class Own:
    """An activation or a loss of one's own, made by :func:`fastae.activation` or :func:`fastae.loss`.

    Attributes
    ----------
    kind : {"activation", "loss"}
    name : str
        By which layers, trainers and saved models know it.
    number : int
        By which kernels know it.
    named : bool
        Whether it has a name of its own, by which a saved model can find it; a lambda without one has not.
    """

    def __init__(self, kind: str, f: Callable[..., float], df: Callable[..., float] | None, name: str | None) -> None:
        for argument, value in (("f", f), ("df", df)):
            if not (callable(value) or (argument == "df" and value is None)):
                raise TypeError(f"{argument} takes a Python function, got {value!r}")
        python = getattr(f, "py_func", f)  # of one that Numba has compiled
        given = name if name is not None else getattr(python, "__name__", "")
        if not isinstance(given, str) or not given.strip():
            raise TypeError(f"name takes a string that is not empty, got {name!r}")
        self.named = given != "<lambda>"
        if not self.named:
            given = f"lambda {len(_made[kind]) + 1}"
        if given in _NAMES[kind]:
            raise ValueError(f"name takes another one than fastae's own, {', '.join(_NAMES[kind])}; got {given!r}")
        if len(_made[kind]) == MOST_OWN:
            raise ValueError(f"a process can have {MOST_OWN} functions of its own of a kind, and has them")
        self.kind, self.name, self.number = kind, given, -1
        self._f, self._df, self._python = f, df, python
        self._snapshot = _snapshot(f), _snapshot(df)
        self._rows: dict[np.dtype[Any], list[Any]] = {}

    def __repr__(self) -> str:
        return f"fastae.{self.kind}({self.name})"

    def __reduce__(self) -> Any:
        return find, (self.kind, self.name)

    def __copy__(self) -> Own:
        return self

    def __deepcopy__(self, _: Any) -> Own:
        return self

    def is_the_same_as(self, other: Own) -> bool:
        """Whether code and values around it are equal, as of a notebook's cell that is run again."""
        try:
            return bool(self._snapshot == other._snapshot)
        except Exception:  # arrays, for one, are not simply equal
            return False

    def give(self, kernels: Kernels, dtype: np.dtype[Any]) -> None:
        """Make it known to a backend."""
        if not hasattr(kernels, "define"):
            raise ValueError(f"{self.kind} takes a name of fastae's own with this backend, got {self!r}")
        kernels.define(self.kind, self.number, dtype, [made.address for made in self.compiled(dtype)])

    def compiled(self, dtype: np.dtype[Any]) -> list[Any]:
        """C functions of rows of numbers: the value and the slope, or the terms of a loss; see _kernels/numba/rows.py."""
        if dtype not in self._rows:
            try:
                rows: Any = import_module("fastae._kernels.numba.rows")
            except ImportError as error:
                raise ImportError(f"a function of one's own needs Numba, pip install fastae[numba]: {error}") from error
            try:
                self._rows[dtype] = rows.compiled(self.kind, self._f, self._df, dtype.name)
            except rows.NotDerived as error:
                raise TypeError(f"the derivative of {self.place()} cannot be derived; give it as df: {error}") from error
            except Exception as error:  # Numba raises assertions and others beside errors of its own
                raise TypeError(f"{self.place()} is not what Numba can compile: {rows.reason(error)}") from error
        return self._rows[dtype]

    def place(self, function: Any = None) -> str:
        """Its name and where its source is."""
        code = getattr(function or self._python, "__code__", None)
        return f"{self.kind} {self.name!r}" + (f" ({code.co_filename}:{code.co_firstlineno})" if code else "")

    def check(self, points: Array) -> None:
        """Compare the compiled functions with Python's, and the slope with difference quotients, at points (n, arguments)."""
        expected = self._by_python(self._python, points)
        if self._df is not None:
            self._by_python(getattr(self._df, "py_func", self._df), points)
        values, slopes = self._by_rows(points)
        first = np.eye(1, points.shape[1])
        for i in np.flatnonzero(~(np.abs(values - expected) <= _CLOSE * (1 + np.abs(expected)))):
            raise ValueError(f"{self.place()} is {values[i]} at {_at(points[i])} when compiled, but {expected[i]} in Python")
        below, above, twice_below, twice_above = (self._by_rows(points + s * _STEP * first)[0] for s in (-1, 1, -2, 2))
        left, right = (values - below) / _STEP, (above - values) / _STEP
        central, bend = (left + right) / 2, np.abs(right - left)
        truncation = np.abs((twice_above - twice_below) / (4 * _STEP) - central)  # three times what is left in central
        kink = bend > 1e-2 * (1 + np.abs(central))  # where a slope between those of both sides is right
        error = np.abs(slopes - central) - truncation - np.where(kink, bend / 2, 0)
        for i in np.flatnonzero(~(error <= _CLOSE * (1 + np.abs(central) + np.abs(values)))):
            raise ValueError(
                f"{self.place(self._df)}: the derivative at {_at(points[i])} is {slopes[i]:.9g}, but the difference quotient "
                f"of the function {central[i]:.9g}"
            )

    def _by_python(self, function: Any, points: Array) -> Array:
        """Its values, each of which must be a finite number."""
        values = np.empty(len(points))
        for i, point in enumerate(points):
            try:
                value = function(*map(float, point))
            except Exception as error:
                raise ValueError(f"{self.place(function)} raises {type(error).__name__} at {_at(point)}: {error}") from error
            if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
                raise TypeError(f"{self.place(function)} must return a number; at {_at(point)} it returns {value!r}")
            if not math.isfinite(value):
                raise ValueError(f"{self.place(function)} must be finite; at {_at(point)} it is {value}")
            values[i] = value
        return values

    def _by_rows(self, points: Array) -> tuple[Array, Array]:
        """Values and slopes of the compiled functions."""
        inputs, n = [np.ascontiguousarray(column) for column in points.T], len(points)
        values, slopes = np.empty(n), np.ones(n)
        rows = self.compiled(_F64)
        if self.kind == "activation":
            value = CFUNCTYPE(None, c_ssize_t, *[c_void_p] * 2)(rows[0].address)
            slope = CFUNCTYPE(None, c_ssize_t, *[c_void_p] * 3)(rows[1].address)
            value(n, inputs[0].ctypes.data, values.ctypes.data)
            slope(n, inputs[0].ctypes.data, slopes.ctypes.data, slopes.ctypes.data)
        else:
            terms = CFUNCTYPE(None, c_ssize_t, c_void_p, c_void_p, c_double, c_void_p, c_void_p)(rows[0].address)
            terms(n, *(a.ctypes.data for a in inputs), 1.0, slopes.ctypes.data, values.ctypes.data)
        return values, slopes


def _at(point: Array) -> str:
    return ", ".join(
        f"{name} = {value:.6g}" for name, value in zip(("x",) if len(point) == 1 else ("y", "t"), point, strict=True)
    )


def find(kind: str, name: str) -> Own:
    """The last one made with a name in this process."""
    for own in reversed(_made[kind]):
        if own.name == name:
            return own
    raise ValueError(f"this process has no {kind} {name!r}; make it by fastae.{kind} first")


def known(kind: str, name: Any) -> bool:
    """Whether there is an activation or a loss of this name, fastae's own or made in this process."""
    return name in _NAMES[kind] or any(own.name == name for own in _made[kind])


def resolve(kind: str, given: Any, argument: str) -> tuple[str, int, Own | None]:
    """Name and number of an activation or a loss, and itself where it is one's own."""
    names = _NAMES[kind]
    if isinstance(given, str) and given in names:
        return given, names.index(given), None
    if isinstance(given, str) and known(kind, given):
        given = find(kind, given)
    if not isinstance(given, Own) or given.kind != kind:
        raise ValueError(f"{argument} takes one of {', '.join(names)}, or what fastae.{kind} makes; got {given!r}")
    return given.name, given.number, given


def _snapshot(f: Any) -> Any:
    """A function's code and the values of its globals, closure and defaults; compared to know one that is made again."""
    python = getattr(f, "py_func", f)
    code = getattr(python, "__code__", None)
    if code is None:
        return f
    return code, *map(dict, inspect.getclosurevars(python)[:2]), python.__defaults__, python.__kwdefaults__


def _register(own: Own, points: Array) -> Own:
    for older in _made[own.kind]:
        if older.named and older.name == own.name:
            if older.is_the_same_as(own):
                return older
            warnings.warn(
                f"{own.kind} {own.name!r} was made before, of another function; models that are loaded or unpickled from now "
                "on have this one",
                stacklevel=3,
            )
            break
    own.check(points)
    own.compiled(np.dtype("float32"))  # now, since Numba takes the values of globals and closures as they are
    own.number = len(_NAMES[own.kind]) + len(_made[own.kind])
    _made[own.kind].append(own)
    return own


def activation(f: Callable[[float], float], df: Callable[[float], float] | None = None, name: str | None = None) -> Own:
    """An activation of one's own, for ``Linear`` and ``Autoencoder``; needs Numba.

    It is compiled at once, with the values that its globals and closure have now, to work on whole rows where a layer's outputs
    are computed: with vectors if it has no branch on its argument (``max``, ``min``, ``abs`` and the functions of ``math`` are
    none), else number by number. Its derivative is checked against difference quotients.

    Parameters
    ----------
    f : function of a float to a float
        What Numba can compile; finite from -8 to 8.
    df : function, optional
        Its derivative, of the same argument. Default: derived from f by dual numbers.
    name : str, optional
        Default: the function's; a lambda without one cannot be saved. A saved model has the name, and is loaded in processes
        where an activation of that name was made; the last one counts.

    Returns
    -------
    Own

    Raises
    ------
    TypeError
        Not a function, not one that Numba can compile, or one that does not return numbers.
    ValueError
        It raises, is not finite, or the derivative is wrong; the message says where.
    ImportError
        Numba is missing.

    Examples
    --------
    >>> import fastae
    >>> softsign = fastae.activation(lambda x: x / (1 + abs(x)), name="softsign")
    >>> fastae.Linear(3, 2, activation=softsign, seed=0).activation
    'softsign'
    """
    points = np.linspace(-8, 8, 129)[:, None] + 0.003  # beside the places where kinks are likely
    return _register(Own("activation", f, df, name), points)


def loss(
    f: Callable[[float, float], float],
    df: Callable[[float, float], float] | None = None,
    name: str | None = None,
    outputs: Sequence[float] = (-3.0, 3.0),
    targets: Sequence[float] = (-3.0, 3.0),
) -> Own:
    """A loss of one's own, for ``Trainer``: the mean of ``f(y, t)`` over all elements; needs Numba.

    Parameters
    ----------
    f : function of an output y and its target t to a float
    df : function, optional
        Its derivative by y, of the same arguments. Default: derived from f by dual numbers.
    name : str, optional
        Default: the function's.
    outputs, targets : pairs of float
        From where to where y and t are in the check of the derivative; f must be finite there.

    Returns
    -------
    Own

    Raises
    ------
    TypeError, ValueError, ImportError
        As :func:`activation`.

    Examples
    --------
    >>> import math
    >>> import fastae
    >>> def log_cosh(y, t):
    ...     d = abs(y - t)  # log(cosh(d)), written so that nothing overflows
    ...     return d + math.log1p(math.exp(-2 * d)) - math.log(2)
    >>> loss = fastae.loss(log_cosh)
    >>> trainer = fastae.Trainer(fastae.Autoencoder([4, 2], seed=0), fastae.SGD(lr=0.1), loss=loss)
    """
    ranges = []
    for argument, pair in (("outputs", outputs), ("targets", targets)):
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise TypeError(f"{argument} takes two numbers, got {pair!r}")
        low, high = (real_number(value, argument, -math.inf, math.inf, "two finite numbers") for value in pair)
        if not (math.isfinite(low) and low < high):
            raise ValueError(f"{argument} takes two finite numbers, the smaller one first; got {pair!r}")
        ranges.append(low + (high - low) * (np.arange(23) + 0.53) / 23)
    points = np.stack(np.meshgrid(*ranges), -1).reshape(-1, 2)
    return _register(Own("loss", f, df, name), points)
