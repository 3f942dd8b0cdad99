"""Dual numbers in Numba: a value and its slope, so that a function compiled for them gives its derivative too.

(a + a' e) (b + b' e) = a b + (a' b + a b') e and f(a + a' e) = f(a) + f'(a) a' e, since e^2 = 0. Value and slope are numbers,
or vectors.
"""

import math
import operator

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typeconv import Conversion
from numba.extending import intrinsic, lower_cast, overload, register_model

from .functions import compiled
from .python import select
from .vector import Vector, widened


class Dual(types.Type):
    """A value and its slope, of one type."""

    def __init__(self, of):
        self.of = of
        super().__init__(f"Dual({of})")

    def can_convert_from(self, typing, other):
        """A branch may end with an ordinary number."""
        return Conversion.safe if isinstance(other, types.Number) and isinstance(self.of, types.Number) else None


@register_model(Dual)
class _Model(models.StructModel):
    def __init__(self, manager, t):
        super().__init__(manager, t, [("value", t.of), ("slope", t.of)])


def _pair(context, builder, made, value, slope):
    pair = cgutils.create_struct_proxy(made)(context, builder)
    pair.value, pair.slope = value, slope
    return pair._getvalue()


def _as(context, builder, number, given, wanted):
    """A number as a vector, or as another type of number."""
    if isinstance(wanted, Vector):
        return widened(context, builder, number, given, wanted)
    return context.cast(builder, number, given, wanted)


@lower_cast(types.Number, Dual)
def _from_number(context, builder, given, made, number):
    zero = context.get_constant(types.float64, 0.0)
    return _pair(
        context,
        builder,
        made,
        _as(context, builder, number, given, made.of),
        _as(context, builder, zero, types.float64, made.of),
    )


@intrinsic
def dual(typing, value, slope):
    """A dual number."""
    made = Dual(value)

    def build(context, builder, sig, values):
        return _pair(context, builder, made, values[0], _as(context, builder, values[1], slope, value))

    return made(value, slope), build


def _part(context, builder, sig, values, name):
    return getattr(cgutils.create_struct_proxy(sig.args[0])(context, builder, values[0]), name)


@intrinsic
def _value(typing, number):
    return number.of(number), lambda *arguments: _part(*arguments, "value")


@intrinsic
def _slope(typing, number):
    return number.of(number), lambda *arguments: _part(*arguments, "slope")


def value_of(x):
    """The value; of an ordinary number, itself."""


def slope_of(x):
    """The slope; of an ordinary number, which is constant, 0."""


@overload(value_of)
def _value_of(x):
    return (lambda x: _value(x)) if isinstance(x, Dual) else (lambda x: x)


@overload(slope_of)
def _slope_of(x):
    return (lambda x: _slope(x)) if isinstance(x, Dual) else (lambda x: 0.0 * x)


@compiled
def tie(first, second, of_first, of_second):
    """What belongs to the first number where it is the one, to the second, or, as in PyTorch and JAX, half to each."""
    return select(first, of_first, select(second, of_second, 0.5 * (of_first + of_second)))


@compiled
def power_slope(x, y, dx, dy, z):
    return z * (dy * math.log(x) + y * dx / x)


@compiled
def sign(x):
    return select(x < 0, 0.0 * x - 1.0, select(x > 0, 0.0 * x + 1.0, 0.0 * x))


# The slopes of operators, from both operands' values and slopes and the result; of functions, from argument and result. A
# quotient's divides by y twice, not by its square, which may overflow.
_OPERATORS = {
    (operator.add, operator.iadd): lambda x, y, dx, dy, z: dx + dy,
    (operator.sub, operator.isub): lambda x, y, dx, dy, z: dx - dy,
    (operator.mul, operator.imul): lambda x, y, dx, dy, z: dx * y + x * dy,
    (operator.truediv, operator.itruediv): lambda x, y, dx, dy, z: dx / y - z * (dy / y),
    (max, np.maximum): lambda x, y, dx, dy, z: tie(x > y, y > x, dx, dy),
    (min, np.minimum): lambda x, y, dx, dy, z: tie(x < y, y < x, dx, dy),
    (math.copysign,): lambda x, y, dx, dy, z: dx * sign(x) * sign(z),
}
_LOG2 = math.log(2)
_LOG10 = math.log(10)
_FUNCTIONS = {
    (operator.pos,): lambda x, y: 1.0,
    (operator.neg,): lambda x, y: -1.0,
    (abs, math.fabs, np.abs): lambda x, y: sign(x),
    (math.expm1, np.expm1): lambda x, y: y + 1.0,
    (math.log, np.log): lambda x, y: 1.0 / x,
    (math.log1p, np.log1p): lambda x, y: 1.0 / (x + 1.0),
    (math.log2, np.log2): lambda x, y: 1.0 / (x * _LOG2),
    (math.log10, np.log10): lambda x, y: 1.0 / (x * _LOG10),
    (math.sqrt, np.sqrt): lambda x, y: 0.5 / y,
    (math.tanh, np.tanh): lambda x, y: 1.0 - y * y,
    (math.sin, np.sin): lambda x, y: math.cos(x),
    (math.cos, np.cos): lambda x, y: -math.sin(x),
    (math.tan, np.tan): lambda x, y: y * y + 1.0,
    (math.asin, np.arcsin): lambda x, y: 1.0 / math.sqrt(1.0 - x * x),
    (math.acos, np.arccos): lambda x, y: -1.0 / math.sqrt(1.0 - x * x),
    (math.atan, np.arctan): lambda x, y: 1.0 / (x * x + 1.0),
    (math.sinh, np.sinh): lambda x, y: math.cosh(x),
    (math.cosh, np.cosh): lambda x, y: math.sinh(x),
    (math.asinh, np.arcsinh): lambda x, y: 1.0 / math.sqrt(x * x + 1.0),
    (math.acosh, np.arccosh): lambda x, y: 1.0 / math.sqrt(x * x - 1.0),
    (math.atanh, np.arctanh): lambda x, y: 1.0 / (1.0 - x * x),
    (math.erf,): lambda x, y: math.exp(-x * x) * 1.1283791670955126,  # 2 / sqrt(pi)
    (math.erfc,): lambda x, y: math.exp(-x * x) * -1.1283791670955126,
}


def _of_two(function, value, slope):
    @overload(function)
    def lower(a, b):
        if isinstance(a, Dual) or isinstance(b, Dual):

            def result(a, b):
                x, y = value_of(a), value_of(b)
                z = value(x, y)
                return dual(z, slope(x, y, slope_of(a), slope_of(b), z))

            return result
        return None


def _of_one(function, value, slope):
    @overload(function)
    def lower(a):
        if isinstance(a, Dual):

            def result(a):
                x = value_of(a)
                y = value(x)
                return dual(y, slope(x, y) * slope_of(a))

            return result
        return None


def _comparison(function):
    @overload(function)
    def lower(a, b):
        if isinstance(a, Dual) or isinstance(b, Dual):
            return lambda a, b: function(value_of(a), value_of(b))
        return None


def _exp(a):
    """Where e^x overflows it is the largest number instead, so that what is divided by it has a slope."""
    if not isinstance(a, Dual):
        return None
    largest = 88.0 if getattr(a.of, "real", a.of) == types.float32 else 709.0

    def result(a):
        y = math.exp(min(value_of(a), largest))
        return dual(y, y * slope_of(a))

    return result


def _power(a, b):
    if isinstance(a, Dual) and isinstance(b, types.Number):

        def of_base(a, b):
            x = value_of(a)
            return dual(x**b, (b * x ** (b - 1) if b != 0 else 0.0 * x) * slope_of(a))

        return of_base
    if isinstance(b, Dual):

        def of_both(a, b):
            x, y = value_of(a), value_of(b)
            z = math.exp(y * math.log(x))
            return dual(z, power_slope(x, y, slope_of(a), slope_of(b), z))

        return of_both
    return None


@overload(max)
def _max_of_three(a, b, c):
    return lambda a, b, c: max(max(a, b), c)


@overload(min)
def _min_of_three(a, b, c):
    return lambda a, b, c: min(min(a, b), c)


for _names, _formula in _OPERATORS.items():
    for _name in _names:
        _of_two(_name, _names[0], compiled(_formula))
for _names, _formula in _FUNCTIONS.items():
    for _name in _names:
        _of_one(_name, _names[0], compiled(_formula))
for _name in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
    _comparison(_name)
for _name in (math.exp, np.exp):
    overload(_name)(_exp)
for _name in (operator.pow, operator.ipow, math.pow):
    overload(_name)(_power)
