"""Rows of numbers: activations, losses, sums and the optimiser, as cython/elementwise.h; products of few samples, as dots.h."""

import math

import numpy as np

from .functions import (
    SGD,
    activated,
    add_loss,
    all_rates_of,
    any_step,
    compiled,
    is_plain,
    keeps_mean,
    loss_slope,
    rates_of,
    sgd_step,
    times_slope,
)
from .own import OWN_ACTIVATION, OWN_LOSS, SLOPE, TERMS, VALUE, call_rows, own_rows
from .unit import DOUBLES, INTEGER, POINTER, REAL, unit
from .vector import (
    address_of,
    converted,
    every,
    fma,
    full,
    lanes,
    lanes_below,
    load,
    load16,
    load16_some,
    load_like,
    load_some,
    room,
    store,
    store_some,
    sum_tree,
    where,
)

# Of an optimiser. root, (1 - beta^t)^-1/2, and shrink, 1 - lr decay, follow from the step; bound is that of a gradient.
RATES = np.dtype(
    [(name, np.float64) for name in ("lr", "momentum", "weight_decay", "beta", "eps", "root", "shrink", "bound")]
    + [("kind", np.int64), ("nesterov", np.int64)]
)


def rates_record(optimizer, bound=math.inf):
    """The values of a RATES record, from (kind, lr, momentum, nesterov, weight_decay, beta, eps)."""
    kind, lr, momentum, nesterov, weight_decay, beta, eps = optimizer
    return lr, momentum, weight_decay, beta, eps, 1.0, 1.0, bound, kind, nesterov


@compiled
def ceil_div(a, b):
    return (a + b - 1) // b


@compiled
def padded(n, p):
    """n, up to whole vectors of what p points to."""
    return ceil_div(n, lanes(p)) * lanes(p)


@compiled
def fill(p, n, number):
    for i in range(n):
        p[i] = number


@compiled
def load_upto(p, n):
    """At most n lanes of a vector, the others 0."""
    return load(p) if n >= lanes(p) else load_some(p, n)


@compiled
def store_upto(p, v, n):
    """At most n lanes."""
    if n >= lanes(p):
        store(p, v)
    else:
        store_some(p, v, n)


@unit(INTEGER, INTEGER, INTEGER, POINTER, INTEGER, POINTER, INTEGER)
def activate_rows(activation, rows, n, z, ldz, y, ldy):
    """y := f(z), in place or not."""
    if activation >= OWN_ACTIVATION:
        for r in range(rows):
            call_rows(own_rows(VALUE, activation, z), n, (z + r * ldz, y + r * ldy))
        return
    for r in range(rows):
        for i in range(0, n, lanes(z)):
            store_upto(y + (r * ldy + i), activated(activation, load_upto(z + (r * ldz + i), n - i)), n - i)


@unit(INTEGER, INTEGER, INTEGER, POINTER, INTEGER, POINTER, INTEGER, POINTER, INTEGER)
def differentiate_rows(activation, rows, n, kept, ldk, dy, ldy, dz, ldz):
    """dz := dy f'(z), in place or not."""
    if activation >= OWN_ACTIVATION:
        for r in range(rows):
            call_rows(own_rows(SLOPE, activation, dy), n, (kept + r * ldk, dy + r * ldy, dz + r * ldz))
        return
    for r in range(rows):
        for i in range(0, n, lanes(dy)):
            k, d = load_upto(kept + (r * ldk + i), n - i), load_upto(dy + (r * ldy + i), n - i)
            store_upto(dz + (r * ldz + i), times_slope(activation, k, d), n - i)


@compiled
def own_row(loss, n, y, target, scale, dy):
    """The same as loss_rows of one row, with a loss of the user's own."""
    terms, total = room(16, y), converted(full(0, load16(y)), 1.0)
    for i in range(0, n, 16):
        left = min(n - i, 16)
        call_rows(own_rows(TERMS, loss, y), left, (y + i, target + i, scale, dy + i, terms))
        total = total + converted(load16_some(terms, left), 1.0)
    fill(dy + n, padded(n, y) - n, 0)
    return sum_tree(total)


@compiled
def own_columns(loss, features, n, y, ldy, target, ldt, scale, dy, ldd, sample_loss):
    """The same as loss_columns, a vector of samples at a time."""
    terms = room(16, y)
    for i in range(0, n, lanes(y)):
        left, total = min(n - i, lanes(y)), load_like(sample_loss + i, load(y))
        for first in range(0, features, 8):
            eight = full(0, load(y))
            for f in range(first, min(first + 8, features)):
                u, t, d = y + (f * ldy + i), target + (f * ldt + i), dy + (f * ldd + i)
                call_rows(own_rows(TERMS, loss, y), left, (u, t, scale, d, terms))
                fill(d + left, lanes(y) - left, 0)
                eight = eight + load_some(terms, left)
            total = total + converted(eight, 1.0)
        store(sample_loss + i, total)


@unit(INTEGER, INTEGER, INTEGER, POINTER, POINTER, INTEGER, REAL, POINTER, INTEGER, DOUBLES)
def loss_rows(loss, rows, n, y, target, ld, scale, dy, ldd, row_loss):
    """A sample a row: row_loss := the sum of its terms, sixteen interleaved sums in float64 whatever the width of vectors;
    dy := scale times their slope, and 0 up to whole vectors. dy may be y."""
    if loss >= OWN_LOSS:
        for r in range(rows):
            row_loss[r] = own_row(loss, n, y + r * ld, target + r * ld, scale, dy + r * ldd)
        return
    for r in range(rows):
        total = converted(full(0, load16(y)), 1.0)
        for i in range(0, n, 16):
            at, left = r * ld + i, min(n - i, 16)
            u, t = load16_some(y + at, left), load16_some(target + at, left)
            inside = lanes_below(left, u)
            store_some(dy + (r * ldd + i), where(inside, loss_slope(loss, u, t) * scale, 0), min(padded(n, y) - i, 16))
            total = total + converted(where(inside, add_loss(loss, u, t, full(0, u)), 0), 1.0)
        row_loss[r] = sum_tree(total)


@unit(INTEGER, INTEGER, INTEGER, POINTER, INTEGER, POINTER, INTEGER, REAL, POINTER, INTEGER, DOUBLES)
def loss_columns(loss, features, n, y, ldy, target, ldt, scale, dy, ldd, sample_loss):
    """A sample a column: to each sample's sum in float64 its terms are added, eight features at a time, whose sum is rounded;
    dy := scale times their slope, and 0 up to whole vectors."""
    if loss >= OWN_LOSS:
        own_columns(loss, features, n, y, ldy, target, ldt, scale, dy, ldd, sample_loss)
        return
    for i in range(0, n, lanes(y)):
        inside = lanes_below(n - i, load(y))
        total = load_like(sample_loss + i, load(y))
        for first in range(0, features, 8):
            eight = full(0, load(y))
            for f in range(first, min(first + 8, features)):
                u, t = load(y + (f * ldy + i)), load(target + (f * ldt + i))
                store(dy + (f * ldd + i), where(inside, loss_slope(loss, u, t) * scale, 0))
                eight = add_loss(loss, u, t, eight)
            total = total + converted(eight, 1.0)
        store(sample_loss + i, total)


@compiled
def interleaved_sum(n, p):
    """Of n numbers in float64, as eight interleaved sums; p may be read up to a whole number of them."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for i in range(0, n - 7, 8):
        s0, s1, s2, s3 = s0 + p[i], s1 + p[i + 1], s2 + p[i + 2], s3 + p[i + 3]
        s4, s5, s6, s7 = s4 + p[i + 4], s5 + p[i + 5], s6 + p[i + 6], s7 + p[i + 7]
    i, left = n // 8 * 8, n % 8
    s0 += p[i] if left > 0 else 0.0
    s1 += p[i + 1] if left > 1 else 0.0
    s2 += p[i + 2] if left > 2 else 0.0
    s3 += p[i + 3] if left > 3 else 0.0
    s4 += p[i + 4] if left > 4 else 0.0
    s5 += p[i + 5] if left > 5 else 0.0
    s6 += p[i + 6] if left > 6 else 0.0
    return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))


@compiled
def sum_rows(rows, n, a, ld, out):
    """out[j] := the sum over the rows, in order, of a[i, j]; n is padded to whole vectors."""
    for j in range(0, n, lanes(a)):
        total = full(0, load(a))
        for i in range(rows):
            total = total + load(a + (i * ld + j))
        store(out + j, total)


@compiled
def copy(n, target, source):
    for i in range(0, n, lanes(source)):
        store_upto(target + i, load_upto(source + i, n - i), n - i)


@compiled
def copy_padded(n, target, source):
    """The same in whole vectors, the last one filled up with zeros."""
    for i in range(0, n, lanes(source)):
        store(target + i, load_upto(source + i, n - i))


@compiled
def add(n, a, b):
    """a := a + b, in whole vectors."""
    for i in range(0, n, lanes(a)):
        store(a + i, load(a + i) + load(b + i))


@compiled
def all_finite(n, p):
    """Whether n numbers are: 0 times a finite number is 0."""
    zeros = full(0, load_upto(p, n))
    for i in range(0, n, lanes(p)):
        zeros = zeros + load_upto(p + i, n - i) * 0
    return every(zeros == 0)


@compiled
def update_any(s, rows, n, w, ld, v, q, dw, ldd):
    """The same of every optimiser, with clipping."""
    zeros, rates, mean, square = full(0, load_upto(w, n)), all_rates_of(s, w), keeps_mean(s), s.kind != SGD
    for r in range(rows):
        for i in range(0, n, lanes(w)):
            at, left = r * ld + i, n - i
            d = load_upto(dw + (r * ldd + i), left)
            old, old_v = load_upto(w + at, left), load_upto(v + at, left) if mean else d
            now, velocity, squares = any_step(rates, old, old_v, load_upto(q + at, left) if square else d, d)
            if mean:
                store_upto(v + at, velocity, left)
            if square:
                store_upto(q + at, squares, left)
                zeros = zeros + squares * 0
            zeros = zeros + now * 0
            store_upto(w + at, now, left)
    return every(zeros == 0)


@unit(RATES, INTEGER, INTEGER, POINTER, INTEGER, POINTER, POINTER, POINTER, INTEGER, result=True)
def update(s, rows, n, w, ld, v, q, dw, ldd):
    """One step on rows of weights, v (velocity) and q (mean of squares) like w; whether all are finite after it."""
    if not is_plain(s):
        return update_any(s, rows, n, w, ld, v, q, dw, ldd)
    zeros, rates = full(0, load_upto(w, n)), rates_of(s, w)
    for r in range(rows):
        for i in range(0, n, lanes(w)):
            at, left = r * ld + i, n - i
            old, d = load_upto(w + at, left), load_upto(dw + (r * ldd + i), left)
            if rates[1] == 0:  # no momentum
                now = sgd_step(rates, old, old, d)[0]
            else:
                now, velocity = sgd_step(rates, old, load_upto(v + at, left), d)
                store_upto(v + at, velocity, left)
            zeros = zeros + now * 0
            store_upto(w + at, now, left)
    return every(zeros == 0)


@unit(INTEGER, INTEGER, INTEGER, POINTER, INTEGER, POINTER, INTEGER, POINTER, POINTER, INTEGER)
def dots(samples, n_out, n, w, ldw, x, ldx, bias, y, ldy):
    """y := x w^T + bias, rows by rows, for few samples: sixteen interleaved sums over k, added as a tree. Four rows of w at a
    time, so that four chains of multiply-adds hide their latency."""
    last = n_out - 1
    for o in range(0, n_out, 4):
        w0, w1 = w + o * ldw, w + min(o + 1, last) * ldw
        w2, w3 = w + min(o + 2, last) * ldw, w + min(o + 3, last) * ldw
        for s in range(samples):
            row, out = x + s * ldx, y + (s * ldy + o)
            a = b = c = d = full(0, load16(x))
            for k in range(0, n - 15, 16):
                v = load16(row + k)
                a, b = fma(load16(w0 + k), v, a), fma(load16(w1 + k), v, b)
                c, d = fma(load16(w2 + k), v, c), fma(load16(w3 + k), v, d)
            k, left = n // 16 * 16, n % 16
            if left > 0:
                v = load16_some(row + k, left)
                a, b = fma(load16_some(w0 + k, left), v, a), fma(load16_some(w1 + k, left), v, b)
                c, d = fma(load16_some(w2 + k, left), v, c), fma(load16_some(w3 + k, left), v, d)
            biased = address_of(bias) != 0
            out[0] = sum_tree(a) + (bias[o] if biased else 0)
            if o + 1 < n_out:
                out[1] = sum_tree(b) + (bias[o + 1] if biased else 0)
            if o + 2 < n_out:
                out[2] = sum_tree(c) + (bias[o + 2] if biased else 0)
            if o + 3 < n_out:
                out[3] = sum_tree(d) + (bias[o + 3] if biased else 0)
