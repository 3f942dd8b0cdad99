"""Python's functions of numbers, of vectors too, so that a scalar function that a user writes compiles to vector code.

Of those without a formula in functions.py each lane is computed alone. A branch on a vector is no such function: what has
one is compiled for numbers.
"""

import math
import operator

import numpy as np
from numba import types
from numba.extending import overload

from . import functions
from .vector import Mask, Vector, absolute, full, lane, square_root, where, with_lane


def select(condition, a, b):
    """a where the condition is true, else b: of numbers, or for each lane."""


@overload(select)
def _select(condition, a, b):
    if isinstance(condition, Mask):
        return lambda condition, a, b: where(condition, a, b)
    return lambda condition, a, b: a if condition else b


def _defined(function, vectors):
    """Defines a function of one argument for vectors."""

    @overload(function)
    def lower(x):
        return (lambda x: vectors(x)) if isinstance(x, Vector) else None


def _by_lanes(function):
    @overload(function)
    def lower(x):
        if not isinstance(x, Vector):
            return None
        count = x.lanes

        def result(x):
            y = x
            for i in range(count):
                y = with_lane(y, i, function(lane(x, i)))
            return y

        return result


def _of_two(function, choose):
    @overload(function)
    def lower(a, b):
        if isinstance(a, Vector) or isinstance(b, Vector):
            return lambda a, b: where(choose(a, b), b, a)
        return None


@overload(operator.pow)
def _power(a, b):
    if isinstance(a, Vector) and isinstance(b, types.Integer):

        def result(a, b):
            y = full(1, a)
            for _ in range(abs(b)):
                y = y * a
            return y if b >= 0 else 1 / y

        return result
    if isinstance(a, Vector) and isinstance(b, types.Float):
        count = a.lanes

        def by_lanes(a, b):
            y = a
            for i in range(count):
                y = with_lane(y, i, lane(a, i) ** b)
            return y

        return by_lanes
    return None


for _names, _vectors in {
    (math.exp, np.exp): functions.exp,
    (math.expm1, np.expm1): functions.expm1,
    (math.log, np.log): functions.log,
    (math.log1p, np.log1p): functions.log1p,
    (math.tanh, np.tanh): functions.tanh,
    (math.sqrt, np.sqrt): square_root,
    (math.fabs, np.abs, abs): absolute,
    (operator.pos,): functions.compiled(lambda x: x),
}.items():
    for _name in _names:
        _defined(_name, _vectors)
for _name in [
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "erfc",
    "log2",
    "log10",
]:
    _by_lanes(getattr(math, _name))
_of_two(max, functions.compiled(lambda a, b: b > a))  # as Python's: the first of two that are equal, or of which one is NaN
_of_two(min, functions.compiled(lambda a, b: b < a))
