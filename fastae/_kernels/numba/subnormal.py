"""Subnormal numbers count as zero in training and inference, which would be slow with them; cython/subnormal.h tells how."""

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vector import INT64, call

_INT32, _VOID, _MACHINE = ir.IntType(32), ir.VoidType(), platform.machine().lower()
_X86, _ARM = _MACHINE in ("x86_64", "amd64"), _MACHINE in ("aarch64", "arm64")
_ZERO = 0x8040 if _X86 else 1 << 24  # flush to zero, denormals are zero; or flush to zero, of operands too


def _on_x86(builder, name, place):
    call(builder, f"llvm.x86.sse.{name}mxcsr", _VOID, builder.bitcast(place, ir.IntType(8).as_pointer()))


def _load(builder):
    if _X86:
        place = cgutils.alloca_once(builder, _INT32)
        _on_x86(builder, "st", place)
        return builder.zext(builder.load(place), INT64)
    return call(builder, "llvm.aarch64.get.fpcr", INT64) if _ARM else INT64(0)


def _store(builder, mode):
    if _X86:
        place = cgutils.alloca_once(builder, _INT32)
        builder.store(builder.trunc(mode, _INT32), place)
        _on_x86(builder, "ld", place)
    elif _ARM:
        call(builder, "llvm.aarch64.set.fpcr", _VOID, mode)


@intrinsic
def zero_subnormals(typing):
    """From here on in this thread subnormal numbers are zero; returns the mode before, which the caller sets again."""

    def build(context, builder, sig, values):
        before = _load(builder)
        _store(builder, builder.or_(before, INT64(_ZERO)))
        return before

    return types.intp(), build


@intrinsic
def set_float_mode(typing, mode):
    """This thread's control register."""

    def build(context, builder, sig, values):
        _store(builder, values[0])
        return context.get_dummy_value()

    return types.void(types.intp), build
