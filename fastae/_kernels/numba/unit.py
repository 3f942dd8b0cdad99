"""Functions that are compiled by themselves and called by their symbols, once for float32 and once for float64.

Numba makes a caller's machine code from its own and that of all functions below it: through some levels of calls a register
tile would be optimised a dozen times. A unit is compiled once, and a caller knows no more than its name. All are kept on
disk; since a caller that comes from there looks for the symbols of its units, ``define`` must have been called before.
"""

import inspect
from pickle import UnpicklingError

import numpy as np
from llvmlite import binding, ir
from numba import cfunc, from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic

from .machine import BUILD
from .vector import Pointer

INTEGER, REAL, POINTER, DOUBLES = "integer", "real", "pointer", "doubles"  # kinds of arguments; or a record's dtype
OPTIONS = {"error_model": "numpy", "cache": True}
_units = []


class Unit:
    """One function, as many signatures as there are element types."""

    def __init__(self, function, result, group, kinds):
        self.function, self.result, self.group, self.kinds = function, result, group, kinds
        self._defined = {}

    def signature(self, real):
        known = {INTEGER: types.intp, REAL: real, POINTER: Pointer(real), DOUBLES: Pointer(types.float64)}
        arguments = [known[kind] if isinstance(kind, str) else from_dtype(kind) for kind in self.kinds]
        return (types.intp if self.result else types.void)(*arguments)

    def symbol(self, real):
        return f"fastae_{self.function.__name__}_{real}_{BUILD}"

    def define(self, real):
        if real not in self._defined:
            self._defined[real] = compiled = cached(cfunc, self.signature(real), self.function)
            binding.add_symbol(self.symbol(real), compiled.address)
        return self.symbol(real)


def cached(compiler, signature, function):
    """Compiled, and kept on disk where that can be: where there is a folder for it, room, and no broken file."""
    try:
        return compiler(signature, **OPTIONS)(function)
    except (RuntimeError, OSError, EOFError, UnpicklingError) as error:
        if isinstance(error, RuntimeError) and "cannot cache" not in str(error):
            raise
        return compiler(signature, **OPTIONS | {"cache": False})(function)


def unit(*kinds, result=False, group=None):
    """A decorator; kinds are those of the arguments, of which one is a POINTER; result: an integer is returned; group: of
    entries that alone need it, such as "tiny"."""

    def decorate(function):
        made = Unit(function, result, group, kinds)
        _units.append(made)
        place = kinds.index(POINTER)

        def typing(context, *arguments):
            real = arguments[place].real
            name, sig = made.define(real), made.signature(real)

            def build(context, builder, _, values):
                values = [context.cast(builder, v, a, b) for v, a, b in zip(values, arguments, sig.args, strict=True)]
                wanted = ir.FunctionType(
                    context.get_value_type(sig.return_type) if result else ir.VoidType(), [v.type for v in values]
                )
                answer = builder.call(cgutils.get_or_insert_function(builder.module, wanted, name), values)
                return answer if result else context.get_dummy_value()

            return sig.return_type(*arguments), build

        typing.__name__, typing.__doc__ = function.__name__, function.__doc__
        given = inspect.signature(function).parameters.values()
        typing.__signature__ = inspect.Signature([next(iter(inspect.signature(typing).parameters.values())), *given])
        return intrinsic(typing)

    return decorate


def define(dtype, group):
    """All units for an element type, those of a group among them: compiled, or taken from the disk."""
    real = from_dtype(np.dtype(dtype))
    for made in _units:
        if made.group in (None, group):
            made.define(real)
