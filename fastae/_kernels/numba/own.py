"""The table of the user's own activations and losses: addresses of C functions of rows, made by rows.py."""

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from ..names import ACTIVATIONS, LOSSES, MOST_OWN
from .vector import INT64, llvm

# [slot, which of its kind, whether float64]
VALUE, SLOPE, TERMS = range(3)
_table = np.zeros((3, MOST_OWN, 2), np.int64)
_SYMBOL = "fastae_own_functions"
binding.add_symbol(_SYMBOL, _table.ctypes.data)

OWN_ACTIVATION, OWN_LOSS = len(ACTIVATIONS), len(LOSSES)  # the first number


def define(kind, number, dtype, functions):
    """Learn an activation (its value and its slope) or a loss (its terms): addresses of C functions for a dtype."""
    slots, first = ((VALUE, SLOPE), OWN_ACTIVATION) if kind == "activation" else ((TERMS,), OWN_LOSS)
    for slot, address in zip(slots, functions, strict=True):
        _table[slot, number - first, int(dtype == np.float64)] = address


def defined(slot, dtype):
    """Numbers of those that are known for a dtype."""
    first = OWN_LOSS if slot == TERMS else OWN_ACTIVATION
    return {first + int(n) for n in np.flatnonzero(_table[slot, :, int(dtype == np.float64)])}


@intrinsic
def own_rows(typing, slot, number, p):
    """The address of a function for the type that p points to."""
    kinds = [OWN_ACTIVATION, OWN_ACTIVATION, OWN_LOSS]
    is_double = int(p.real == types.float64)
    if not isinstance(slot, types.IntegerLiteral):
        return None

    def build(context, builder, sig, values):
        module, wanted = builder.module, ir.ArrayType(INT64, _table.size)
        table = module.globals.get(_SYMBOL) or ir.GlobalVariable(module, wanted, _SYMBOL)
        row = builder.sub(values[1], INT64(kinds[slot.literal_value] - slot.literal_value * MOST_OWN))
        place = builder.add(builder.mul(row, INT64(2)), INT64(is_double))
        return builder.load(builder.gep(table, [INT64(0), place]))

    return types.intp(slot, types.intp, p), build


@intrinsic
def call_rows(typing, address, n, arguments):
    """Calls a C function of rows: n, then a tuple of pointers and numbers."""

    def build(context, builder, sig, values):
        given = [types.intp, *arguments.types]
        function = ir.FunctionType(ir.VoidType(), [llvm(t) for t in given]).as_pointer()
        unpacked = [builder.extract_value(values[2], i) for i in range(len(arguments.types))]
        builder.call(builder.inttoptr(values[0], function), [values[1], *unpacked])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, arguments), build
