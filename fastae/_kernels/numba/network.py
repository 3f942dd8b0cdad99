"""Samples on their way through a network: what training and inference share. cython/network.pxi tells of layouts and blocks.

Records are laid out by NumPy and read by compiled code. ``like``, where a function takes it, is a number of the element type.
"""

from ctypes import c_char

import numpy as np

from .elementwise import activate_rows, add, ceil_div, copy_padded, dots, fill
from .functions import compiled
from .machine import MR, NV
from .tile import AHEAD, tile, transpose
from .unit import INTEGER, POINTER, unit
from .vector import bytes_of, lanes, number, pointer, prefetch, prefetch_write, record

KC = 512  # a product adds over k in blocks of this, see _kernels/README.md
MANY = 16
BLOCK_SAMPLES = 96
BLOCK_BYTES = 393216
LINE = 16

_N = np.int64
MATRIX = np.dtype([("data", _N), ("stride", _N)])
# Samples of the caller's: a matrix, or scipy's CSR, which has row_ends.
SOURCE = np.dtype(
    [
        (name, _N)
        for name in ("data", "row_stride", "column_stride", "row_bytes", "kind", "row_ends", "columns", "wide", "stored")
    ]
)
UINT8, FLOAT32, FLOAT64 = range(3)  # kinds
LAYER = np.dtype(
    [(name, _N) for name in ("n_in", "n_out", "activation", "keeps_input", "weight_at", "bias_at")]
    # From a weight to the next input's, 1 but for tied layers; the activation whose slope input_gradient applies; has a stage;
    # its dz, once it is there, is in dz_block too.
    + [(name, _N) for name in ("across", "slope", "staged", "in_rows")]
    + [(name, _N) for name in ("bias", "bias_velocity", "bias_square", "bias_gradient")]
    + [(name, MATRIX) for name in ("weight", "velocity", "square", "turned", "turned_velocity", "turned_square")]
    + [(name, MATRIX) for name in ("x", "y", "x_rows", "y_rows", "kept", "kept_rows", "dz", "dz_rows")]
    + [(name, MATRIX) for name in ("gradient", "passed", "gate", "eps", "squared", "dz_block")]
    + [("dropout", np.float64)]
)
_LAYER_BYTES = LAYER.itemsize


@compiled
def layer_at(layers, l):
    """The l-th of the layers at an address."""
    return record(layers + l * _LAYER_BYTES, LAYER)


@compiled
def at(m, row, column, like):
    """Where an element of a matrix lies."""
    return pointer(m.data, like) + (row * m.stride + column)


@compiled
def part(n, team, member):
    """A member's part of n, cut at multiples of LINE."""
    lines = ceil_div(n, LINE)
    return min(n, lines * member // team.size * LINE), min(n, lines * (member + 1) // team.size * LINE)


@compiled
def most_samples(widest, bytes_each):
    """Samples of the largest block, of layers so wide."""
    most = min(BLOCK_SAMPLES, BLOCK_BYTES // (widest * bytes_each) // LINE * LINE)
    return most if most >= 2 * LINE else BLOCK_SAMPLES  # too wide for L2 in any case: weights come from memory less often


@compiled
def block_samples(samples, widest, bytes_each):
    """Samples of a block, of so many samples and layers so wide; the blocks are nearly equal."""
    most = most_samples(widest, bytes_each)
    return ceil_div(ceil_div(samples, max(ceil_div(samples, most), 1)), LINE) * LINE


@compiled
def panel(first, last, p):
    """Vectors of the next panel of columns first to last: at most NV, and no single one that the panel before could share."""
    vectors = ceil_div(last - first, lanes(p))
    return vectors if vectors <= NV else (NV + 2) // 2 if vectors == NV + 1 else NV


@unit(INTEGER, INTEGER, INTEGER, INTEGER, POINTER)
def convert_row(p, n, step, kind, out):
    """out := n numbers of a kind, step bytes apart from the address p on."""
    if kind == UINT8 and step == 1:  # a constant, so that vectors can do it
        for j in range(n):
            out[j] = number(pointer(p, np.uint8(0))[j], out) * number(1.0 / 255, out)
    elif kind == UINT8:
        for j in range(n):
            out[j] = number(pointer(p + j * step, np.uint8(0))[0], out) * number(1.0 / 255, out)
    elif kind == FLOAT32:
        for j in range(n):
            out[j] = pointer(p + j * step, np.float32(0))[0]
    else:
        for j in range(n):
            out[j] = pointer(p + j * step, np.float64(0))[0]


@compiled
def stored_value(s, k, like):
    """A stored element of a sparse source."""
    if s.kind == UINT8:
        return number(pointer(s.data, np.uint8(0))[k], like) * number(1.0 / 255, like)
    return number(pointer(s.data, np.float32(0))[k] if s.kind == FLOAT32 else pointer(s.data, np.float64(0))[k], like)


@compiled
def index_at(address, k, wide):
    return np.int64(pointer(address, np.int64(0))[k] if wide else pointer(address, np.int32(0))[k])


@unit(SOURCE, INTEGER, INTEGER, INTEGER, POINTER)
def scatter_row(s, row, n, step, out):
    """Adds the stored elements of a sparse source's row to n numbers, step apart; what is out of range is left out."""
    for k in range(max(index_at(s.row_ends, row, s.wide), 0), min(index_at(s.row_ends, row + 1, s.wide), s.stored)):
        j = index_at(s.columns, k, s.wide)
        if 0 <= j < n:
            out[j * step] = out[j * step] + stored_value(s, k, out)


@compiled
def gather_row(s, row, n, out):
    """A row of the source; where it needs no conversion, filled up with zeros to whole vectors."""
    if s.row_ends != 0:
        fill(out, n, 0)
        scatter_row(s, row, n, 1, out)
        return
    p = s.data + row * s.row_stride
    if s.column_stride == bytes_of(out) and s.kind == (FLOAT32 if bytes_of(out) == 4 else FLOAT64):
        copy_padded(n, out, pointer(p, out))
    else:
        convert_row(p, n, s.column_stride, s.kind, out)


@compiled
def fetch(address, count):
    """Asks for the cache lines of so many bytes ahead of their use."""
    for i in range(0, count, 64):
        prefetch(address + i)


@compiled
def fetch_write(address, count):
    """The same of what will be written."""
    for i in range(0, count, 64):
        prefetch_write(address + i)


@unit(INTEGER, INTEGER, POINTER, INTEGER, POINTER, INTEGER)
def turn(rows, columns, source, lds, target, ldt):
    """target[c, r] := source[r, c], in whole squares of lanes."""
    for r in range(0, rows, lanes(source)):
        for c in range(0, columns, lanes(source)):
            transpose(source + (r * lds + c), lds, target + (c * ldt + r), ldt)


@compiled
def halfway(n):
    """Where n features are cut in two, whose sums are added in the end; n where they are too few or too many for that."""
    return ceil_div(n, 2 * LINE) * LINE if KC < n <= 2 * KC else n


@unit(
    INTEGER, INTEGER, INTEGER, POINTER, INTEGER, INTEGER, POINTER, INTEGER, POINTER, POINTER, INTEGER, POINTER, POINTER, INTEGER
)
def sum_tile(mr, nv, K, a, rs, cs, b, ldb, start, out, ldo, space, ahead, stride):
    """A tile over all of k: two halves, or block by block of KC, added up in order; all but the first start from zero. space:
    a tile, then MR zeros. ahead: what is asked for meanwhile, stride elements apart: any place and 0 for nothing."""
    w, size = nv * lanes(a), min(halfway(K), KC)
    tile(mr, nv, size, a, rs, cs, b, ldb, start, out, ldo, ahead, stride)
    for k in range(size, K, max(size, 1)):
        zeros, further = zeros_behind(space), ahead + k // AHEAD * stride
        tile(mr, nv, min(K - k, size), a + k * cs, rs, cs, b + k * ldb, ldb, zeros, space, w, further, stride)
        for i in range(mr):
            add(w, out + i * ldo, space + i * w)


@compiled
def zeros_behind(space):
    """MR zeros, where sums start that have no bias."""
    return space + MR * NV * lanes(space)


@unit(LAYER, INTEGER, INTEGER, INTEGER, POINTER)
def forward(layer, o0, o1, samples, space):
    """y := f(W x + b) for some outputs of a block of samples. A tile of weights meets all of them while it is in L1, and
    meanwhile the next one's rows are asked for."""
    line = 64 // bytes_of(space)
    for o in range(o0, o1, MR):
        mr, s = min(MR, o1 - o), 0
        weight = at(layer.weight, o, 0, space)
        lines = min(MR, layer.n_out - o - mr) * layer.weight.stride // line if layer.across == 1 else 0
        while s < samples:
            nv = panel(s, samples, space)
            z, y = at(layer.kept, o, s, space), at(layer.y, o, s, space)
            ahead, stride = weight, 0
            if lines > 0:
                ahead, stride = weight + (mr * layer.weight.stride + lines * s // samples * line), line
            sum_tile(
                mr, nv, layer.n_in, weight, layer.weight.stride, layer.across, at(layer.x, 0, s, space), layer.x.stride,
                pointer(layer.bias, space) + o, z, layer.kept.stride, space, ahead, stride,
            )  # fmt: skip
            activate_rows(layer.activation, mr, nv * lanes(space), z, layer.kept.stride, y, layer.y.stride)
            s += nv * lanes(space)


@unit(LAYER, INTEGER, INTEGER, INTEGER, POINTER)
def forward_few(layer, samples, o0, o1, like):
    """y := f(x W^T + b) for some outputs of few samples."""
    z, y = at(layer.kept_rows, 0, o0, like), at(layer.y_rows, 0, o0, like)
    dots(
        samples, o1 - o0, layer.n_in, at(layer.weight, o0, 0, like), layer.weight.stride, at(layer.x_rows, 0, 0, like),
        layer.x_rows.stride, pointer(layer.bias, like) + o0, z, layer.kept_rows.stride,
    )  # fmt: skip
    activate_rows(layer.activation, samples, o1 - o0, z, layer.kept_rows.stride, y, layer.y_rows.stride)


# ---- laying out ------------------------------------------------------------------------------------------------------


def source_of(a):
    """The record of samples as the caller has them."""
    if hasattr(a, "indptr"):
        kind = ("uint8", "float32", "float64").index(a.data.dtype.name)
        parts = (part.ctypes.data for part in (a.indptr, a.indices))
        return a.data.ctypes.data, 0, 0, 0, kind, *parts, a.indptr.dtype.itemsize == 8, len(a.data)
    step = a.strides[1] if a.shape[1] > 1 else a.itemsize
    kind = ("uint8", "float32", "float64").index(a.dtype.name)
    return a.ctypes.data, a.strides[0], a.strides[1], a.shape[1] * step if step == a.itemsize else 0, kind, 0, 0, 0, 0


class Arena:
    """Zeroed memory, aligned to cache lines, which is kept as long as the arena."""

    def __init__(self):
        self._blocks = []

    def take(self, size):
        """The address of so many bytes."""
        self._blocks.append(block := np.zeros(size + 64, np.uint8))
        return -(-block.ctypes.data // 64) * 64

    def records(self, n, dtype):
        """The address of n records, and an array of them."""
        address = self.take(n * dtype.itemsize)
        return address, np.frombuffer((c_char * (n * dtype.itemsize)).from_address(address), dtype)

    def matrix(self, rows, n, itemsize):
        """Rows an odd number of cache lines apart, so that columns do not crowd into few sets of the caches; rows and columns
        are padded to whole vectors."""
        lines = -(-n * itemsize // 64) | 1
        return self.take(-(-rows // LINE) * LINE * lines * 64), lines * 64 // itemsize
