"""Dual numbers in Numba: a value and its slope, so that a function compiled for them gives its derivative too.

(a + a' e) (b + b' e) = a b + (a' b + a b') e and f(a + a' e) = f(a) + f'(a) a' e, since e^2 = 0. Value and slope are numbers,
or vectors.
"""

import math
import operator

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


# The slopes of operators, from both operands' values and slopes and the result; of functions, from argument and result.
_OPERATORS = {
    operator.add: lambda x, y, dx, dy, z: dx + dy,
    operator.sub: lambda x, y, dx, dy, z: dx - dy,
    operator.mul: lambda x, y, dx, dy, z: dx * y + x * dy,
    operator.truediv: lambda x, y, dx, dy, z: (dx - z * dy) / y,
    max: lambda x, y, dx, dy, z: select(y > x, dy, dx),
    min: lambda x, y, dx, dy, z: select(y < x, dy, dx),
}
_FUNCTIONS = {
    operator.neg: lambda x, y: -1.0,
    abs: lambda x, y: select(x < 0, 0.0 * x - 1.0, 0.0 * x + 1.0),
    math.fabs: lambda x, y: select(x < 0, 0.0 * x - 1.0, 0.0 * x + 1.0),
    math.exp: lambda x, y: y,
    math.expm1: lambda x, y: y + 1.0,
    math.log: lambda x, y: 1.0 / x,
    math.log1p: lambda x, y: 1.0 / (x + 1.0),
    math.sqrt: lambda x, y: 0.5 / y,
    math.tanh: lambda x, y: 1.0 - y * y,
    math.sin: lambda x, y: math.cos(x),
    math.cos: lambda x, y: -math.sin(x),
    math.tan: lambda x, y: y * y + 1.0,
    math.atan: lambda x, y: 1.0 / (x * x + 1.0),
    math.sinh: lambda x, y: math.cosh(x),
    math.cosh: lambda x, y: math.sinh(x),
    math.asinh: lambda x, y: 1.0 / math.sqrt(x * x + 1.0),
    math.erf: lambda x, y: math.exp(-x * x) * 1.1283791670955126,  # 2 / sqrt(pi)
    math.erfc: lambda x, y: math.exp(-x * x) * -1.1283791670955126,
}


def _of_two(function, slope):
    @overload(function)
    def lower(a, b):
        if isinstance(a, Dual) or isinstance(b, Dual):

            def result(a, b):
                x, y = value_of(a), value_of(b)
                z = function(x, y)
                return dual(z, slope(x, y, slope_of(a), slope_of(b), z))

            return result
        return None


def _of_one(function, slope):
    @overload(function)
    def lower(a):
        if isinstance(a, Dual):

            def result(a):
                x = value_of(a)
                y = function(x)
                return dual(y, slope(x, y) * slope_of(a))

            return result
        return None


def _comparison(function):
    @overload(function)
    def lower(a, b):
        if isinstance(a, Dual) or isinstance(b, Dual):
            return lambda a, b: function(value_of(a), value_of(b))
        return None


@overload(operator.pow)
def _power(a, b):
    if isinstance(a, Dual) and isinstance(b, types.Number):
        return lambda a, b: dual(value_of(a) ** b, value_of(a) ** (b - 1) * b * slope_of(a))
    return None


for _function, _formula in _OPERATORS.items():
    _of_two(_function, compiled(_formula))
for _function, _formula in _FUNCTIONS.items():
    _of_one(_function, compiled(_formula))
for _function in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
    _comparison(_function)
