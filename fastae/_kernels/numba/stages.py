"""What a recipe puts between two layers, for a block of samples: dropout, top_k, a Gaussian code, and penalties; each forward
and backward side by side. ``kept`` stays what the layer gave, ``passed`` is what the layer above receives.
"""

import math

import numpy as np

from .backward import row_of
from .elementwise import copy, copy_padded, differentiate_rows, dots, load_upto, store_upto
from .functions import SIGMOID, compiled, exp
from .losses import weights_at
from .network import LAYER, MATRIX, at, fetch, gather_row, layer_at
from .noise import NONE, SAMPLES, disturb, normals, uniforms
from .unit import INTEGER, POINTER, unit
from .vector import (
    absolute,
    bits,
    bytes_of,
    converted,
    fma,
    from_bits,
    full,
    lanes,
    load,
    load_like,
    number,
    pointer,
    store,
    where,
)

_N, _F = np.int64, np.float64
RECIPE = np.dtype(
    [(name, _N) for name in ("key_low", "key_high", "noise", "condition", "code", "top_k", "gaussian", "tied", "missing")]
    + [
        (name, _N)
        for name in ("accumulate", "unfused", "in_blocks", "whole", "weighted", "counted", "own_target", "copies_input")
    ]
    + [(name, _N) for name in ("feature_weight", "sample_weight", "weights", "penalties", "norms", "counts", "desks")]
    + [(name, _F) for name in ("level", "l1", "kl", "rho", "kl_weight", "contractive", "clip_norm", "penalty")]
)
# What a member knows of the step, its number and rows, and of the batch, its start in the order, place in the step and samples.
# Room for a row of samples, for slopes and means of the code, and for the norms of the first layer's weights.
DESK = np.dtype(
    [(name, _N) for name in ("step", "rows", "start", "place", "samples", "row", "pull", "means", "squares")]
    + [(name, _F) for name in ("factor", "divisor")]
)
DESK_BYTES = DESK.itemsize


@compiled
def key_of(r):
    return r.key_low, r.key_high


@compiled
def put_zero_for_nan(n, x):
    for i in range(0, n, lanes(x)):
        v = load_upto(x + i, n - i)
        store_upto(x + i, where(v == v, v, 0), n - i)


@compiled
def gather_disturbed(p, r, desk, s0, s1, like):
    """Samples s0 to s1 of the batch as rows, with noise; targets without."""
    first, top = layer_at(p.layers, 0), layer_at(p.layers, p.n_layers - 1)
    for s in range(s0, s1):
        row = row_of(p, desk.start + s)
        x = at(first.x_rows, s, 0, like)
        gather_row(p.x_source, row, first.n_in, x)
        if r.copies_input:
            copy_padded(top.n_out, at(p.target_rows, s, 0, like), x)
        elif not p.is_target_input:
            gather_row(p.target_source, row, top.n_out, at(p.target_rows, s, 0, like))
        if r.sample_weight != 0:
            pointer(r.weights, like)[s] = pointer(r.sample_weight, like)[row]
        if r.missing:
            put_zero_for_nan(first.n_in, x)
        if r.noise != NONE:
            disturb(r.noise, r.level, key_of(r), desk.step, desk.place + s, first.n_in - r.condition, x)
        ahead = desk.start + p.batch_size + s  # the same place of the next batch
        if ahead < p.last:
            fetch(p.x_source.data + row_of(p, ahead) * p.x_source.row_stride, p.x_source.row_bytes)


# ---- dropout and top_k -----------------------------------------------------------------------------------------------


@compiled
def gate_of_largest(k, layer, samples, like):
    """gate := 1 for those of a sample's outputs that are at least as large as its k-th largest, which is found bit by bit."""
    n = layer.n_out
    width = 8 * bytes_of(at(layer.y, 0, 0, like))
    greatest = (1 << (width - 1)) - 1
    for i in range(0, samples, lanes(at(layer.y, 0, 0, like))):
        y, gate = at(layer.y, 0, i, like), at(layer.gate, 0, i, like)
        least = full(-greatest - 1, bits(load(y)))
        for place in range(width - 1, -1, -1):
            tried, count = least + (1 << place), full(0, least)
            for f in range(n):
                b = bits(load(y + f * layer.y.stride))
                key = where(b < 0, b ^ greatest, b)  # integers in the order of the numbers
                count = count + where(key >= tried, full(1, b), 0)
            least = where(count >= k, tried, least)
        bound = from_bits(where(least < 0, least ^ greatest, least), load(y))
        for f in range(n):
            v = load(y + f * layer.y.stride)
            store(gate + f * layer.gate.stride, where(v >= bound, full(1, v), 0))


@compiled
def drop(gate, f, n, stride, i, p, times, u):
    """The gate of an output for a vector of samples, from a random number for each; nothing where there is no such output."""
    if f < n:
        out = gate + (f * stride + i)
        kept = where(u < number(p, out), 0, full(number(1 / (1 - p), out), u))
        store(out, load(out) * kept if times else kept)


@compiled
def gate_of_dropout(r, desk, layer, l, s0, samples, times, like):
    """gate := 0 or 1 / (1 - p), or times that."""
    gate, n, stride = at(layer.gate, 0, 0, like), layer.n_out, layer.gate.stride
    for first in range(0, n, 64):
        for c in range(min(16, n - first)):
            f = first + c
            for i in range(0, samples, lanes(gate)):
                place = desk.place + s0 + i
                u = uniforms(key_of(r), desk.step, 2 * l + 1, place, first // 4 + c, SAMPLES, gate)
                drop(gate, f, n, stride, i, layer.dropout, times, u[0])
                drop(gate, f + 16, n, stride, i, layer.dropout, times, u[1])
                drop(gate, f + 32, n, stride, i, layer.dropout, times, u[2])
                drop(gate, f + 48, n, stride, i, layer.dropout, times, u[3])


@compiled
def times(rows, n, a, lda, b, ldb, out, ldo):
    """out := a b, in whole vectors."""
    for r in range(rows):
        for i in range(0, n, lanes(a)):
            store(out + (r * ldo + i), load(a + (r * lda + i)) * load(b + (r * ldb + i)))


# ---- the Gaussian code -----------------------------------------------------------------------------------------------


@compiled
def draw_some(layer, f, k, i, e, like):
    """passed := mean + exp(s / 2) e of one of k features for a vector of samples; nothing where there is no such feature."""
    if f < k:
        deviation = exp(load(at(layer.y, k + f, i, like)) * 0.5)
        store(at(layer.eps, f, i, like), e)
        store(at(layer.passed, f, i, like), fma(deviation, e, load(at(layer.y, f, i, like))))


@compiled
def draw(r, desk, layer, l, x, n_in, s0, samples, like):
    """The code, drawn from its distribution, and behind it the condition, the last of the input's features."""
    k, step = layer.n_out // 2, lanes(at(layer.y, 0, 0, like))
    for first in range(0, k, 64):
        for c in range(min(16, k - first)):
            f = first + c
            for i in range(0, samples, step):
                place = desk.place + s0 + i
                u = uniforms(key_of(r), desk.step, 2 * l + 2, place, first // 4 + c, SAMPLES, at(layer.y, 0, 0, like))
                e = normals(u)
                draw_some(layer, f, k, i, e[0], like)
                draw_some(layer, f + 16, k, i, e[1], like)
                draw_some(layer, f + 32, k, i, e[2], like)
                draw_some(layer, f + 48, k, i, e[3], like)
    for j in range(r.condition):
        copy(samples, at(layer.passed, k + j, 0, like), at(x, n_in - r.condition + j, 0, like))


@compiled
def gaussian_penalty(weight, layer, samples, penalties, like):
    """Adds to each sample's penalties weight / 2 times the sum of exp(s) + m^2 - 1 - s."""
    k = layer.n_out // 2
    for i in range(0, samples, lanes(at(layer.y, 0, 0, like))):
        total = load_like(penalties + i, load(at(layer.y, 0, i, like)))
        for f in range(k):
            m, s = load(at(layer.y, f, i, like)), load(at(layer.y, k + f, i, like))
            total = total + converted(exp(s) + fma(m, m, -1) - s, 1.0) * (0.5 * weight)
        store(penalties + i, total)


@compiled
def undraw(slope, weights, layer, dz, samples, like):
    """dz of means and logarithms of variances from that of the code drawn; slope: of the penalty, times samples' weights."""
    k, stride = layer.n_out // 2, layer.dz.stride
    slope = number(slope, dz)
    for f in range(k):  # what the row of the logarithm held belongs to the condition
        for i in range(0, samples, lanes(dz)):
            m, s = load(at(layer.y, f, i, like)), load(at(layer.y, k + f, i, like))
            d, deviation, pull = load(dz + (f * stride + i)), exp(s * 0.5), weights_at(weights, i, m) * slope
            half = fma(d * load(at(layer.eps, f, i, like)), deviation, (exp(s) - 1) * pull) * 0.5
            store(dz + ((k + f) * stride + i), half)
            store(dz + (f * stride + i), fma(m, pull, d))


# ---- penalties -------------------------------------------------------------------------------------------------------


@compiled
def weights_of(r, s0, like):
    """What multiplies losses and penalties of the samples from s0 on, or NULL."""
    return pointer(0, like) if r.sample_weight == 0 else pointer(r.weights, like) + s0


@compiled
def l1_penalty(weight, layer, samples, penalties, like):
    """Adds weight times the sum of |y|."""
    for i in range(0, samples, lanes(at(layer.y, 0, 0, like))):
        total = load_like(penalties + i, load(at(layer.y, 0, i, like)))
        for f in range(layer.n_out):
            total = total + converted(absolute(load(at(layer.passed, f, i, like))), 1.0) * weight
        store(penalties + i, total)


@compiled
def l1_slope(slope, weights, layer, dz, samples, like):
    slope = number(slope, dz)
    for f in range(layer.n_out):
        for i in range(0, samples, lanes(dz)):
            y, d = load(at(layer.passed, f, i, like)), load(dz + (f * layer.dz.stride + i))
            pull = weights_at(weights, i, y) * slope
            store(dz + (f * layer.dz.stride + i), d + where(y > 0, pull, where(y < 0, -pull, 0)))


@compiled
def kl_penalty(r, desk, layer, like):
    """Of the whole batch, from the means of the code's outputs; pull := its slope by each output."""
    means, pull, value = pointer(desk.means, 1.0), pointer(desk.pull, like), 0.0
    for j in range(0, layer.n_out, lanes(pull)):
        total = converted(full(0, load(pull)), 1.0)
        for s in range(desk.samples):
            total = total + converted(load(at(layer.y_rows, s, j, like)), 1.0)
        store(means + j, total)
    weight, rho = desk.factor * r.kl, r.rho
    for j in range(layer.n_out):
        m = means[j] / desk.samples
        m = 1e-7 if m < 1e-7 else (1 - 1e-7 if m > 1 - 1e-7 else m)
        value += rho * math.log(rho / m) + (1 - rho) * math.log((1 - rho) / (1 - m))
        pull[j] = number(weight / desk.rows * ((1 - rho) / (1 - m) - rho / m), pull)
    return weight * desk.samples * value


@compiled
def kl_slope(desk, layer, dz, samples, like):
    pull = pointer(desk.pull, like)
    for f in range(layer.n_out):
        for i in range(0, samples, lanes(dz)):
            store(dz + (f * layer.dz.stride + i), load(dz + (f * layer.dz.stride + i)) + pull[f])


@compiled
def first_slope(activation, h):
    """f'(z) of sigmoid or tanh, from f(z)."""
    return h * (1 - h) if activation == SIGMOID else fma(-h, h, 1)


@compiled
def row_norms(desk, layer, like):
    """The squares of the norms of the first layer's rows."""
    squares = pointer(desk.squares, like)
    for o in range(layer.n_out):
        w = at(layer.weight, o, 0, like)
        dots(1, 1, layer.n_in, w, 0, w, 0, pointer(0, like), squares + o, 0)


@compiled
def contractive_penalty(weight, weights, desk, layer, s0, samples, penalties, like):
    """Adds weight times the sum of f'(z_j)^2 times the norm of row j; squared := f'(z)^2, times samples' weights."""
    norms = pointer(desk.squares, like)
    for i in range(0, samples, lanes(norms)):
        total = load_like(penalties + i, load(norms))
        for f in range(layer.n_out):
            slope = first_slope(layer.activation, load(at(layer.kept, f, i, like)))
            store(at(layer.squared, f, s0 + i, like), slope * slope * weights_at(weights, i, slope))
            total = total + converted(slope * slope * norms[f], 1.0) * weight
        store(penalties + i, total)


@compiled
def contractive_slope(slope, weights, desk, layer, dz, samples, like):
    """Adds slope times the norm of row j times f'(z)^2 f''(z) / f'(z), times samples' weights."""
    norms = pointer(desk.squares, like)
    for f in range(layer.n_out):
        factor = number(slope, norms) * norms[f]
        for i in range(0, samples, lanes(dz)):
            h = load(at(layer.kept, f, i, like))
            first, second = first_slope(layer.activation, h), 1 - 2 * h if layer.activation == SIGMOID else -2 * h
            out = dz + (f * layer.dz.stride + i)
            store(out, fma(first * first * second, weights_at(weights, i, h) * factor, load(out)))


# ---- a layer's stage -------------------------------------------------------------------------------------------------


@unit(RECIPE, DESK, LAYER, MATRIX, INTEGER, INTEGER, INTEGER, INTEGER, POINTER, group="recipes")
def stage(r, desk, layer, x, n_in, l, s0, samples, like):
    """passed := what the layer above receives, for samples from s0 on; the penalties are added to the samples'."""
    penalties, at_code = pointer(r.penalties, 1.0) + s0, l == r.code
    if layer.gate.data != 0:
        largest = r.top_k > 0 and at_code
        if largest:
            gate_of_largest(r.top_k, layer, samples, like)
        if layer.dropout > 0:
            gate_of_dropout(r, desk, layer, l, s0, samples, largest, like)
        y, gate, passed = at(layer.y, 0, 0, like), at(layer.gate, 0, 0, like), at(layer.passed, 0, 0, like)
        times(layer.n_out, samples, y, layer.y.stride, gate, layer.gate.stride, passed, layer.passed.stride)
    if at_code and r.gaussian:
        draw(r, desk, layer, l, x, n_in, s0, samples, like)
        gaussian_penalty(desk.factor * r.kl_weight, layer, samples, penalties, like)
    if at_code and r.l1 != 0:
        l1_penalty(desk.factor * r.l1, layer, samples, penalties, like)
    if l == 0 and r.contractive != 0:
        weight = desk.factor * r.contractive
        contractive_penalty(weight, weights_of(r, s0, like), desk, layer, s0, samples, penalties, like)


@unit(RECIPE, DESK, LAYER, INTEGER, INTEGER, INTEGER, POINTER, group="recipes")
def unstage(r, desk, layer, l, s0, samples, like):
    """dz := the gradient by the layer's z, of that by what the layer above received."""
    dz, stride, at_code, weights = at(layer.dz, 0, s0, like), layer.dz.stride, l == r.code, weights_of(r, s0, like)
    if at_code and r.l1 != 0:
        l1_slope(desk.factor * r.l1 / desk.rows, weights, layer, dz, samples, like)
    if at_code and r.kl != 0:
        kl_slope(desk, layer, dz, samples, like)
    if at_code and r.gaussian:
        undraw(desk.factor * r.kl_weight / desk.rows, weights, layer, dz, samples, like)
    if layer.gate.data != 0:
        times(layer.n_out, samples, dz, stride, at(layer.gate, 0, 0, like), layer.gate.stride, dz, stride)
    kept = at(layer.kept, 0, 0, like)
    differentiate_rows(layer.activation, layer.n_out, samples, kept, layer.kept.stride, dz, stride, dz, stride)
    if l == 0 and r.contractive != 0:
        contractive_slope(2 * desk.factor * r.contractive / desk.rows, weights, desk, layer, dz, samples, like)
