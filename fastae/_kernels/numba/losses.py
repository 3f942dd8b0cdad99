"""Losses that only recipes need: weighted ones, and those of whole rows, multinomial and cosine, whose terms need sums over
all features of a sample first."""

from .elementwise import copy, copy_padded, fill, padded
from .functions import MULTINOMIAL, add_loss, compiled, exp, log, loss_slope
from .network import turn
from .own import OWN_LOSS, TERMS, call_rows, own_rows
from .unit import DOUBLES, INTEGER, POINTER, REAL, unit
from .vector import (
    address_of,
    converted,
    fma,
    full,
    lanes,
    lanes_below,
    load,
    load_like,
    number,
    pointer,
    room,
    square_root,
    store,
    where,
)

LEAST = 1e-8  # of a norm, as in PyTorch


@compiled
def weights_at(weights, i, like):
    """The weights of a vector of samples; 1 where there are none."""
    return load(weights + i) if address_of(weights) != 0 else full(1, like)


@unit(
    INTEGER, INTEGER, INTEGER, POINTER, INTEGER, POINTER, INTEGER, REAL, INTEGER, POINTER, POINTER, POINTER, INTEGER, DOUBLES,
    group="recipes",
)  # fmt: skip
def weighted_columns(
    loss, features, n, y, ldy, target, ldt, scale, missing, feature_weight, weights, dy, ldd, sample_loss
):  # fmt: skip
    """The same as loss_columns, with a weight of each feature and sample (NULL: 1); missing: NaN in the target has no term."""
    terms, slopes = room(16, y), room(16, y)
    for i in range(0, n, lanes(y)):
        inside, total = lanes_below(n - i, load(y)), load_like(sample_loss + i, load(y))
        weight = weights_at(weights, i, load(y))
        factor = weight * scale
        for first in range(0, features, 8):
            eight = full(0, weight)
            for f in range(first, min(first + 8, features)):
                u, t = load(y + (f * ldy + i)), load(target + (f * ldt + i))
                if loss >= OWN_LOSS:
                    given = (y + (f * ldy + i), target + (f * ldt + i), number(1.0, y), slopes, terms)
                    call_rows(own_rows(TERMS, loss, y), lanes(y), given)
                    term, slope = load(terms), load(slopes)
                else:
                    known = where(t == t, t, 0) if missing else t
                    term, slope = add_loss(loss, u, known, full(0, u)), loss_slope(loss, u, known)
                if missing:
                    term, slope = where(t == t, term, 0), where(t == t, slope, 0)
                if address_of(feature_weight) != 0:
                    term, slope = term * feature_weight[f], slope * feature_weight[f]
                store(dy + (f * ldd + i), where(inside, slope * factor, 0))
                eight = eight + term
            total = total + converted(eight, 1.0) * converted(weight, 1.0)
        store(sample_loss + i, total)


@compiled
def multinomial(features, n, y, ldy, t, ldt, factor, dy, ldd):
    """Of a vector of samples: the sums of -t log softmax(y); dy := factor (softmax(y) sum(t) - t), and 0 from lane n on."""
    largest, inside = load(y), lanes_below(n, load(y))
    for f in range(1, features):
        v = load(y + f * ldy)
        largest = where(v > largest, v, largest)
    total = counts = value = converted(full(0, largest), 1.0)
    for first in range(0, features, 8):
        e8 = t8 = full(0, largest)
        for f in range(first, min(first + 8, features)):
            e = exp(load(y + f * ldy) - largest)
            store(dy + f * ldd, e)
            e8, t8 = e8 + e, t8 + load(t + f * ldt)
        total, counts = total + converted(e8, 1.0), counts + converted(t8, 1.0)
    share, shift = converted(counts / total, largest), largest + converted(log(total), largest)
    for first in range(0, features, 8):
        eight = full(0, largest)
        for f in range(first, min(first + 8, features)):
            u, v, d = load(y + f * ldy), load(t + f * ldt), load(dy + f * ldd)
            eight = fma(v, shift - u, eight)
            store(dy + f * ldd, where(inside, fma(d, share, -v) * factor, 0))
        value = value + converted(eight, 1.0)
    return value


@compiled
def cosine(features, n, y, ldy, t, ldt, factor, dy, ldd):
    """The same of 1 - y t / (|y| |t|)."""
    zero, inside = full(0, load(y)), lanes_below(n, load(y))
    a = b = dot = converted(zero, 1.0)
    for first in range(0, features, 8):
        a8 = b8 = d8 = zero
        for f in range(first, min(first + 8, features)):
            u, v = load(y + f * ldy), load(t + f * ldt)
            a8, b8, d8 = fma(u, u, a8), fma(v, v, b8), fma(u, v, d8)
        a, b, dot = a + converted(a8, 1.0), b + converted(b8, 1.0), dot + converted(d8, 1.0)
    a, b = square_root(a), square_root(b)
    p, q = where(a > LEAST, a, LEAST), where(b > LEAST, b, LEAST)
    value = dot / (p * q)
    of_y, of_t = converted(where(a > LEAST, value, 0) / (p * p), zero), converted(1 / (p * q), zero)
    for f in range(features):
        d = fma(load(y + f * ldy), of_y, -(load(t + f * ldt) * of_t))
        store(dy + f * ldd, where(inside, d * factor, 0))
    return 1 - value


@unit(INTEGER, INTEGER, INTEGER, POINTER, INTEGER, POINTER, INTEGER, REAL, POINTER, POINTER, INTEGER, DOUBLES, group="recipes")
def whole_columns(loss, features, n, y, ldy, target, ldt, scale, weights, dy, ldd, sample_loss):
    """A sample a column: its loss, and dy := scale times its slope, both times the sample's weight (weights NULL: 1)."""
    for i in range(0, n, lanes(y)):
        weight = weights_at(weights, i, load(y))
        factor = weight * scale
        if loss == MULTINOMIAL:
            value = multinomial(features, n - i, y + i, ldy, target + i, ldt, factor, dy + i, ldd)
        else:
            value = cosine(features, n - i, y + i, ldy, target + i, ldt, factor, dy + i, ldd)
        store(sample_loss + i, value * converted(weight, 1.0))


@compiled
def whole_rows(loss, rows, n, y, target, ld, scale, dy, row_loss, room):
    """The same of at most a vector of samples, a sample a row; room: four matrices of a vector of rows, and a sum for each."""
    width = padded(n, room)
    size = lanes(room) * width
    losses = pointer(address_of(room), 1.0)
    space = room + 2 * lanes(room)
    u, t, d = space + size, space + 2 * size, space + 3 * size
    fill(space, size, 0)
    for source, columns in ((y, u), (target, t)):
        for r in range(rows):
            copy_padded(n, space + r * width, source + r * ld)
        turn(lanes(room), width, space, width, columns, lanes(room))
    whole_columns(loss, n, rows, u, lanes(room), t, lanes(room), scale, pointer(0, room), d, lanes(room), losses)
    for r in range(rows):
        row_loss[r] = losses[r]
    if address_of(dy) != 0:
        turn(width, lanes(room), d, lanes(room), space, width)
        for r in range(rows):
            copy(n, dy + r * ld, space + r * width)
