"""C = epilogue(op(A) op(B)): a panel of B is packed, and all tiles of A's rows meet it, read where they lie.

Columns of C are divided among the members, or rows where columns are few. Every element is a sum over k in ascending order
within blocks of KC, each from zero, then added to the blocks before: the order depends neither on the threads nor on M and N.
Fewer rows than MANY, where packing would outweigh the product, are left to dots.
"""

import numpy as np

from .elementwise import activate_rows, ceil_div, copy, differentiate_rows, dots, fill, load_upto
from .functions import compiled
from .machine import MR, NV
from .network import KC, zeros_behind
from .team import meet
from .tile import tile
from .vector import fma, lanes, load, number, pointer, store

_N, _F = np.int64, np.float64
PRODUCT = np.dtype(
    [
        (name, _N)
        for name in ("M", "N", "K", "A", "rsa", "csa", "B", "rsb", "csb", "C", "ldc", "bias", "activation", "keep", "kept")
    ]
    + [(name, _N) for name in ("few", "rooms", "room_bytes")]
    + [("alpha", _F), ("beta", _F)]
)


@compiled
def pack(packed, b, rs, cs, kc, nr, width):
    """b[:kc, :nr] as rows of the panel, filled up with zeros."""
    if nr < width:
        fill(packed, kc * width, 0)
    if cs == 1:
        for k in range(kc):
            copy(nr, packed + k * width, b + k * rs)
    else:
        for j in range(nr):
            for k in range(kc):
                packed[k * width + j] = b[k * rs + j * cs]


@compiled
def store_tile(g, tile_, w, i, j, mr, nr, first, last):
    """A tile of sums becomes C[i:i+mr, j:j+nr]: alpha times it, added to beta C, or to the sums before, then the epilogue."""
    like = tile_
    beta = number(g.beta if first else 1.0, like)
    for r in range(mr):
        row, at = tile_ + r * w, (i + r) * g.ldc + j
        c = pointer(g.C, like) + at
        if g.alpha != 1:
            for n in range(nr):
                row[n] = number(g.alpha, like) * row[n]
        if beta == 1:
            for n in range(nr):
                row[n] = row[n] + c[n]
        elif beta != 0:
            for n in range(0, nr, lanes(like)):  # of C nothing behind the row is read
                left = min(nr - n, lanes(like))
                store(row + n, fma(beta, load_upto(c + n, left), load(row + n)))
        if not last:
            copy(nr, c, row)
            continue
        if g.bias != 0:
            bias = pointer(g.bias, like) + j
            for n in range(nr):
                row[n] = row[n] + bias[n]
        if g.keep != 0:
            copy(nr, pointer(g.keep, like) + at, row)
        if g.kept != 0:
            differentiate_rows(g.activation, 1, nr, pointer(g.kept, like) + at, 0, row, 0, c, 0)
        else:
            activate_rows(g.activation, 1, nr, row, 0, c, 0)


@compiled
def product(g, i0, i1, j0, j1, room):
    """C[i0:i1, j0:j1]. room: a tile, MR zeros, a panel of KC rows."""
    width = NV * lanes(room)
    packed = zeros_behind(room) + 16
    for j in range(j0, j1, width):
        nr = min(width, j1 - j)
        nv = ceil_div(nr, lanes(room))
        w = nv * lanes(room)
        for k in range(0, max(g.K, 1), KC):
            kc = min(KC, g.K - k)
            pack(packed, pointer(g.B, room) + (k * g.rsb + j * g.csb), g.rsb, g.csb, kc, nr, w)
            for i in range(i0, i1, MR):
                mr = min(MR, i1 - i)
                a = pointer(g.A, room) + (i * g.rsa + k * g.csa)
                tile(mr, nv, kc, a, g.rsa, g.csa, packed, w, zeros_behind(room), room, w, a, 0)
                store_tile(g, room, w, i, j, mr, nr, k == 0, k + KC >= g.K)


@compiled
def few(g, j0, j1, like):
    """f(A B + bias) for few rows of A, the rows of A and the columns of B in one piece each."""
    c, a, b = pointer(g.C, like) + j0, pointer(g.A, like), pointer(g.B, like) + j0 * g.csb
    z = c if g.keep == 0 else pointer(g.keep, like) + j0
    bias = pointer(g.bias, like) if g.bias == 0 else pointer(g.bias, like) + j0
    dots(g.M, j1 - j0, g.K, b, g.csb, a, g.rsa, bias, z, g.ldc)
    activate_rows(g.activation, g.M, j1 - j0, z, g.ldc, c, g.ldc)


@compiled
def multiply(g, team, member, like):
    room = pointer(g.rooms + member * g.room_bytes, like)
    width, rows = lanes(room), ceil_div(g.M, MR)
    vectors = ceil_div(g.N, width)
    j0, j1 = min(vectors * member // team.size * width, g.N), min(vectors * (member + 1) // team.size * width, g.N)
    if g.few:
        few(g, j0, j1, room)
    elif vectors >= NV * team.size or vectors > rows:
        product(g, 0, g.M, j0, j1, room)
    else:
        i0, i1 = rows * member // team.size * MR, min(rows * (member + 1) // team.size * MR, g.M)
        product(g, i0, i1, 0, g.N, room)
    meet(team)
