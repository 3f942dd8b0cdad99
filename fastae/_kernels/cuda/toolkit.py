"""The one import of numba.cuda, and what every kernel is written with: device functions, and four numbers at a time.

Memory moves fastest sixteen bytes at a time. Numba has no such load, so two intrinsics write it in LLVM's terms: NVVM makes
ld.global.v4.f32 or ld.shared.v4.f32 of it, and two ld.v2.f64 for float64. The simulator, which runs kernels as Python, has the
same functions in Python.
"""

import math

import numpy as np
from numba import cuda
from numba.cuda.core import config

__all__ = [
    "SHARED_ALIGNMENT",
    "SIMULATED",
    "cos_pi",
    "cuda",
    "device",
    "each",
    "each_pair",
    "each_with",
    "info",
    "load4",
    "missing",
    "sin_pi",
    "store4",
]

SIMULATED = bool(config.ENABLE_CUDASIM)
# numba warns at each launch of fewer than 128 blocks; a small network has no more work than that.
config.CUDA_LOW_OCCUPANCY_WARNINGS = 0
SHARED_ALIGNMENT = None if SIMULATED else 16  # of load4 and store4; the simulator's arrays refuse one

if SIMULATED:

    def _as_it_is(function):
        return function

    device = _as_it_is

    def _cos_pi(x):
        return math.cos(math.pi * x)

    def _sin_pi(x):
        return math.sin(math.pi * x)

    cos_pi, sin_pi = dict.fromkeys((np.float32, np.float64), _cos_pi), dict.fromkeys((np.float32, np.float64), _sin_pi)

    def load4(a, row, column):
        return a[row, column], a[row, column + 1], a[row, column + 2], a[row, column + 3]

    def store4(a, row, column, values):
        for e in range(4):
            a[row, column + e] = values[e]

else:
    from llvmlite import ir
    from numba import types
    from numba.cuda import cgutils, libdevice
    from numba.cuda.extending import intrinsic, register_jitable

    device = register_jitable

    # cos and sin of pi x: unlike those of x they have no slow path, with float64 and local memory, for large arguments.
    cos_pi = {np.float32: libdevice.cospif, np.float64: libdevice.cospi}
    sin_pi = {np.float32: libdevice.sinpif, np.float64: libdevice.sinpi}

    def _vector_pointer(context, builder, array_type, array, place):
        """Address of the four numbers from a[row, column] on; a is C-contiguous and its rows are a multiple of four long."""
        view = context.make_array(array_type)(context, builder, array)
        row, column = place
        at = builder.add(builder.mul(row, cgutils.unpack_tuple(builder, view.shape)[1]), column)
        element = builder.gep(view.data, [at])
        vector = ir.VectorType(element.type.pointee, 4)
        return builder.bitcast(element, vector.as_pointer(element.type.addrspace)), vector

    def _lane(n):
        return ir.Constant(ir.IntType(32), n)

    @intrinsic
    def load4(typing_context, a, row, column):
        """Four numbers of a row, from a column that is a multiple of four."""

        def generate(context, builder, signature, arguments):
            array, *place = arguments
            pointer, _ = _vector_pointer(context, builder, signature.args[0], array, place)
            vector = builder.load(pointer)
            vector.align = 16
            lanes = [builder.extract_element(vector, _lane(n)) for n in range(4)]
            return context.make_tuple(builder, signature.return_type, lanes)

        return types.UniTuple(a.dtype, 4)(a, types.intp, types.intp), generate

    @intrinsic
    def store4(typing_context, a, row, column, values):
        """a[row, column : column + 4] := four numbers of a's type."""

        def generate(context, builder, signature, arguments):
            array, *place, lanes = arguments
            pointer, vector_type = _vector_pointer(context, builder, signature.args[0], array, place)
            vector = ir.Constant(vector_type, ir.Undefined)
            for n, lane in enumerate(cgutils.unpack_tuple(builder, lanes)):
                vector = builder.insert_element(vector, lane, _lane(n))
            builder.store(vector, pointer).align = 16
            return context.get_dummy_value()

        return types.void(a, types.intp, types.intp, types.UniTuple(a.dtype, 4)), generate


def each(f):
    """f of four numbers."""

    @device
    def of_four(a):
        return f(a[0]), f(a[1]), f(a[2]), f(a[3])

    return of_four


def each_pair(f):
    """f of four pairs."""

    @device
    def of_four(a, b):
        return f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])

    return of_four


def each_with(f):
    """f of four numbers and one more that they share."""

    @device
    def of_four(a, shared):
        return f(a[0], shared), f(a[1], shared), f(a[2], shared), f(a[3], shared)

    return of_four


@cuda.jit
def _nothing():
    pass


def missing() -> str:
    """Why no kernel can run here; empty if one can."""
    if SIMULATED:
        return ""
    if not cuda.is_available():
        why = " ".join(str(cuda.cuda_error() or "numba-cuda finds none").split())
        return f"no NVIDIA GPU with a driver that numba-cuda can use ({why})"
    try:  # an old driver is found, and fails only here
        _nothing[1, 1]()
        cuda.synchronize()
    except Exception as error:
        return f"the GPU's driver cannot run what numba-cuda compiles ({' '.join(str(error).split())})"
    return ""


def info() -> str:
    """The device, for ``show_versions``."""
    if SIMULATED:
        return "numba's CUDA simulator"
    device_ = cuda.get_current_device()
    name = device_.name.decode() if isinstance(device_.name, bytes) else device_.name
    return f"{name}, compute capability {'.'.join(map(str, device_.compute_capability))}"
