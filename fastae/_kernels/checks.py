"""What the arguments of kernels must be, for the backends whose kernels are Python; README.md states it.

Each check returns what it was given, or raises the error that ``cython/arrays.pxi`` raises.
"""

from itertools import pairwise

import numpy as np

from .names import ACTIVATIONS, LOSSES, OPTIMIZERS, keeps_square

_FLOATS = (np.dtype("float32"), np.dtype("float64"))
_SOURCES = (*_FLOATS, np.dtype("uint8"))


def ndarray(a, dtypes=_FLOATS):
    """An array of one of some types, in native byte order and aligned."""
    if not isinstance(a, np.ndarray):
        raise TypeError(f"an array is needed, got {type(a).__name__}")
    if a.dtype not in dtypes:
        raise TypeError(f"{' or '.join(d.name for d in dtypes)} is needed, got {a.dtype}")
    if not a.flags.aligned:
        raise ValueError("an aligned array is needed")
    return a


def matrix_shape(a):
    """The shape of a matrix of float32 or float64."""
    if ndarray(a).ndim != 2:
        raise ValueError(f"an array of two dimensions is needed, got shape {a.shape}")
    return a.shape


def strided(a, dtype, *shape):
    """An array of this type and shape, whatever its strides."""
    if ndarray(a).dtype != dtype or a.shape != shape:
        raise ValueError(f"an array of {dtype} {shape} is needed, got {a.dtype} {a.shape}")
    return a


def contiguous(a, dtype, *shape):
    if not strided(a, dtype, *shape).flags.c_contiguous:
        raise ValueError("a C-contiguous array is needed")
    return a


def writable(a, dtype, *shape):
    if not contiguous(a, dtype, *shape).flags.writeable:
        raise ValueError("a writable array is needed")
    return a


def activation(number, own=frozenset()):
    """A number of names.ACTIVATIONS, or of the user's own."""
    if not 0 <= number < len(ACTIVATIONS) and number not in own:
        raise IndexError(f"there is no activation {number}")
    return number


def loss(number, own=frozenset()):
    """A number of names.LOSSES, or of the user's own."""
    if not 0 <= number < len(LOSSES) and number not in own:
        raise IndexError(f"there is no loss {number}")
    return number


def optimizer(given, velocity, square):
    """An optimiser of README.md whose running means are there."""
    kind, _, momentum, *_ = given
    if len(given) != 7:
        raise ValueError(f"an optimizer has seven values, got {given}")
    if not 0 <= kind < len(OPTIMIZERS):
        raise IndexError(f"there is no optimizer {kind}")
    name = OPTIMIZERS[kind]
    if velocity is None and (momentum != 0 or name in ("adam", "adamw")):
        raise ValueError(f"{name} with momentum {momentum} needs a velocity")
    if square is None and keeps_square(kind):
        raise ValueError(f"{name} needs a square")
    return given


def schedule(given, steps, velocity):
    """lr, momentum and the factor of penalties for so many steps."""
    contiguous(given, np.float64, steps, 3)
    if velocity is None and given[:, 1].any():
        raise ValueError("momentum needs a velocity")
    return given


def layers(shapes, n_parameters, own=frozenset(), chained=True):
    """Layers of (n_in, n_out, activation, has_bias) that hold so many weights and biases; chained: and fit one another."""
    if not shapes:
        raise ValueError("a network has at least one layer")
    for below, above in pairwise(shapes) if chained else ():
        if below[1] != above[0]:
            raise ValueError(f"a layer gives {below[1]} features, the one above takes {above[0]}")
    held = sum((n_in + bool(has_bias)) * n_out for n_in, n_out, _, has_bias in shapes)
    if held != n_parameters:
        raise ValueError(f"the layers hold {held} weights and biases, the flat array {n_parameters}")
    for _, _, number, _ in shapes:
        activation(number, own)
    return list(shapes)


def plan(weights, velocity, batch_size, square=None):
    """What a plan keeps and writes to."""
    writable(weights, ndarray(weights).dtype, weights.size)
    for state in (velocity, square):
        if state is not None:
            writable(state, weights.dtype, weights.size)
    if batch_size < 1:
        raise ValueError(f"a batch holds at least one row, got {batch_size}")
    return weights


def source(x, width):
    """Samples: a matrix of float32, float64 or uint8, any strides, or scipy's CSR of these."""
    if hasattr(x, "indptr"):
        return _sparse(x, width)
    if ndarray(x, _SOURCES).ndim != 2 or x.shape[1] != width:
        raise ValueError(f"a matrix of {width} columns is needed, got shape {x.shape}")
    return x


def _sparse(x, width):
    """A CSR matrix, recognised by its parts, of which what is stored out of range is left out."""
    if getattr(x, "format", None) != "csr":
        raise TypeError(f"a sparse matrix must be CSR, got {type(x).__name__}")
    indices = [ndarray(part, (np.dtype("int32"), np.dtype("int64"))) for part in (x.indptr, x.indices)]
    if x.shape[1] != width:
        raise ValueError(f"a matrix of {width} columns is needed, got shape {x.shape}")
    if indices[0].dtype != indices[1].dtype or not all(a.flags.c_contiguous for a in (*indices, ndarray(x.data, _SOURCES))):
        raise TypeError("a CSR matrix takes contiguous arrays, and indices of one type")
    if len(indices[0]) != x.shape[0] + 1 or len(indices[1]) < len(x.data):
        raise ValueError(f"the arrays of a CSR matrix do not fit its shape {x.shape}")
    return x


def rows(order, first, last, n):
    """The rows order[first:last] of n; None: the rows first to last themselves."""
    if order is not None:
        ndarray(order, (np.dtype("int64"),))
        if order.ndim != 1 or not order.flags.c_contiguous:
            raise TypeError("order must be a contiguous vector of int64")
    if not 0 <= first <= last <= (n if order is None else len(order)):
        raise ValueError(f"rows {first} to {last} are not in the data")
    if order is not None and first < last:
        asked = order[first:last]
        if asked.min() < 0 or asked.max() >= n:
            raise IndexError(f"order has rows from {asked.min()} to {asked.max()}, the data have {n}")
    return order


def places(key, epoch, n, first, out):
    """The arguments of ``shuffled``."""
    if not (0 <= key < 2**64 and 0 <= epoch < 2**64):
        raise OverflowError(f"key and epoch take 0 to 2**64 - 1, got {key} and {epoch}")
    ndarray(out, (np.dtype("int64"),))
    if out.ndim != 1 or not out.flags.carray:
        raise ValueError("rows takes a writable contiguous vector of int64")
    if not 0 <= first <= first + len(out) <= n:
        raise ValueError(f"places {first} to {first + len(out)} are not among {n} rows")
    return out
