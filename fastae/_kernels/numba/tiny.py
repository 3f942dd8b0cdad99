"""Training of networks no wider than 16 with batches of few samples, in registers; cython/tiny.h tells why and how."""

from .backward import TRAINING
from .elementwise import padded, store_upto
from .functions import (
    SGD,
    activated,
    add_loss,
    all_rates_of,
    any_step,
    compiled,
    inlined,
    is_plain,
    keeps_mean,
    loss_slope,
    sgd_step,
    times_slope,
)
from .network import at, layer_at, turn
from .unit import INTEGER, POINTER, REAL, unit
from .vector import (
    address_of,
    converted,
    every,
    fma,
    full,
    lanes,
    lanes_below,
    load,
    load16_some,
    pointer,
    store,
    sum_tree,
    where,
)


@inlined
def combine(n, a, m, ld, start):
    """start + the sum over k < n of a[k] times row k of m; even and odd k in a chain each."""
    odd, k = full(0, start), 0
    while k + 1 < n:
        start, odd = fma(load(m), a[k], start), fma(load(m + ld), a[k + 1], odd)
        m, k = m + 2 * ld, k + 2
    if k < n:
        start = fma(load(m), a[k], start)
    return start + odd


@inlined
def tiny_forward(a, s, j, like):
    """f(W x + b) for lanes j on of a layer's outputs, and what its slope is computed from."""
    bias = load(pointer(a.bias, like) + j)
    z = combine(a.n_in, at(a.x_rows, s, 0, like), at(a.turned, 0, j, like), a.turned.stride, bias)
    y = activated(a.activation, z)
    return y, z if a.keeps_input else y


@compiled
def turn_whole(m, turned, rows, columns, like):
    p = at(m, 0, 0, like)
    turn(padded(rows, p), padded(columns, p), p, m.stride, at(turned, 0, 0, like), turned.stride)


@unit(TRAINING, POINTER, group="tiny")
def turn_all(p, like):
    """The weights' other layout."""
    for l in range(p.n_layers):
        layer = layer_at(p.layers, l)
        turn_whole(layer.weight, layer.turned, layer.n_out, layer.n_in, like)
        if p.velocity != 0:
            turn_whole(layer.velocity, layer.turned_velocity, layer.n_out, layer.n_in, like)
        if p.square != 0:
            turn_whole(layer.square, layer.turned_square, layer.n_out, layer.n_in, like)


@unit(TRAINING, INTEGER, REAL, POINTER, group="tiny")
def pass_tiny(p, samples, scale, like):
    """Phase 1, once samples are gathered. Beyond n_out a layer's outputs are made zero, as f(0) may not be."""
    top = layer_at(p.layers, p.n_layers - 1)
    target = layer_at(p.layers, 0).x_rows if p.is_target_input else p.target_rows
    step = lanes(pointer(0, like))
    for s in range(samples):
        for l in range(p.n_layers - 1):
            a = layer_at(p.layers, l)
            for j in range(0, a.n_out, step):
                y, kept = tiny_forward(a, s, j, like)
                if a.keeps_input:
                    store(at(a.kept_rows, s, j, like), kept)
                store(at(a.y_rows, s, j, like), where(lanes_below(a.n_out - j, y), y, 0))
        terms = at(top.y_rows, s, 0, like)  # of which nothing is left to be read
        for j in range(0, top.n_out, step):
            y, kept = tiny_forward(top, s, j, like)
            t, inside = load(at(target, s, j, like)), lanes_below(top.n_out - j, y)
            store(terms + j, where(inside, add_loss(p.loss, y, t, full(0, y)), 0))
            dz = times_slope(top.activation, kept, loss_slope(p.loss, y, t) * scale)
            store(at(top.dz_rows, s, j, like), where(inside, dz, 0))
        pointer(p.sample_loss, 1.0)[s] = sum_tree(converted(load16_some(terms, top.n_out), 1.0))
        for l in range(p.n_layers - 1, 0, -1):
            a, below = layer_at(p.layers, l), layer_at(p.layers, l - 1)
            for j in range(0, a.n_in, step):
                w = at(a.weight, 0, j, like)
                dy = combine(a.n_out, at(a.dz_rows, s, 0, like), w, a.weight.stride, full(0, load(w)))
                dz = times_slope(below.activation, load(at(below.kept_rows, s, j, like)), dy)
                store(at(below.dz_rows, s, j, like), dz)


@inlined
def tiny_update(how, samples, left, lda, rows, right, ldb, columns, w, ldw, v, q, gradients, zeros):
    """w := w less the update for the gradient, the sum over samples of left[., r] right[., c] (NULL left: of right alone);
    returns zeros, with NaN where a weight is not finite."""
    rates, sgd, mean, square = how
    step = rates[0]
    plain = sgd and step[1] == 0 and step[2] == 0  # neither momentum nor decay
    for j in range(0, columns, lanes(w)):
        for r in range(rows):
            g = load(right + j)
            if address_of(left) != 0:
                g = g * left[r]
                for n in range(1, samples):
                    g = fma(load(right + (n * ldb + j)), left[n * lda + r], g)
            else:
                for n in range(1, samples):
                    g = g + load(right + (n * ldb + j))
            if address_of(gradients) != 0:
                store_upto(gradients + (r * columns + j), g, columns - j)
            place = r * ldw + j
            now = load(w + place)
            if plain:
                now = fma(-step[0], g, now)
            elif sgd:
                now, velocity = sgd_step(step, now, load(v + place) if mean else g, g)
                if mean:
                    store(v + place, velocity)
            else:
                now, velocity, squares = any_step(
                    rates, now, load(v + place) if mean else g, load(q + place) if square else g, g
                )
                if mean:
                    store(v + place, velocity)
                if square:
                    store(q + place, squares)
                    zeros = zeros + squares * 0
            store(w + place, now)
            zeros = zeros + now * 0
    return zeros


@unit(TRAINING, INTEGER, POINTER, result=True, group="tiny")
def learn_tiny(p, samples, like):
    """Phase 2; whether all weights are finite after it."""
    null, how = pointer(0, like), (all_rates_of(p.rates, like), is_plain(p.rates), keeps_mean(p.rates), p.rates.kind != SGD)
    zeros = full(0, load(at(layer_at(p.layers, 0).weight, 0, 0, like)))
    for l in range(p.n_layers):
        a = layer_at(p.layers, l)
        n_in, n_out = a.n_in, a.n_out
        dz, ldz, x, ldx = at(a.dz_rows, 0, 0, like), a.dz_rows.stride, at(a.x_rows, 0, 0, like), a.x_rows.stride
        w, v, q = at(a.weight, 0, 0, like), at(a.velocity, 0, 0, like), at(a.square, 0, 0, like)
        turned, turned_v, turned_q = (
            at(a.turned, 0, 0, like),
            at(a.turned_velocity, 0, 0, like),
            at(a.turned_square, 0, 0, like),
        )
        g = pointer(p.gradients, like)
        dw, db = (g + a.weight_at, g + a.bias_at) if p.gradients != 0 else (null, null)
        zeros = tiny_update(how, samples, dz, ldz, n_out, x, ldx, n_in, w, a.weight.stride, v, q, dw, zeros)
        ldw = a.turned.stride
        zeros = tiny_update(how, samples, x, ldx, n_in, dz, ldz, n_out, turned, ldw, turned_v, turned_q, null, zeros)
        if a.bias_at >= 0:
            b, bv, bq = pointer(a.bias, like), pointer(a.bias_velocity, like), pointer(a.bias_square, like)
            zeros = tiny_update(how, samples, null, 0, 1, dz, ldz, n_out, b, 0, bv, bq, db, zeros)
    return every(zeros == 0)


# ---- single samples by plain SGD: updates that are late, or early, as cython/tiny.h tells ----


@inlined
def late(n, x, before, dz, w, ld, start):
    """start + the sum over k of x[k] times row k of w, after it has become less before[k] times dz."""
    odd, k = full(0, start), 0
    while k + 1 < n:
        first, second = fma(-before[k], dz, load(w)), fma(-before[k + 1], dz, load(w + ld))
        store(w, first)
        store(w + ld, second)
        start, odd = fma(first, x[k], start), fma(second, x[k + 1], odd)
        w, k = w + 2 * ld, k + 2
    if k < n:
        first = fma(-before[k], dz, load(w))
        store(w, first)
        start = fma(first, x[k], start)
    return start + odd


@inlined
def early(n, dz, x, w, ld):
    """The sum over k of dz[k] times row k of w, which becomes less dz[k] times x."""
    even, odd, k = full(0, x), full(0, x), 0
    while k + 1 < n:
        first, second = load(w), load(w + ld)
        even, odd = fma(first, dz[k], even), fma(second, dz[k + 1], odd)
        store(w, fma(-dz[k], x, first))
        store(w + ld, fma(-dz[k + 1], x, second))
        w, k = w + 2 * ld, k + 2
    if k < n:
        first = load(w)
        even = fma(first, dz[k], even)
        store(w, fma(-dz[k], x, first))
    return even + odd


@inlined
def single_forward(a, now, j, like):
    """As tiny_forward, with the late update."""
    dz, bias = load(at(a.dz_rows, 0, j, like)), load(pointer(a.bias, like) + j)
    if a.bias_at >= 0:
        bias = bias - dz
        store(pointer(a.bias, like) + j, bias)
    x, before, turned = at(a.x_rows, now, 0, like), at(a.x_rows, 1 - now, 0, like), at(a.turned, 0, j, like)
    z = late(a.n_in, x, before, dz, turned, a.turned.stride, bias)
    y = activated(a.activation, z)
    return y, z if a.keeps_input else y


@unit(TRAINING, INTEGER, REAL, POINTER, group="tiny")
def step_single(p, now, scale, like):
    """One step; the sample is in row now of x, the one before in the other. The learning rate is in scale."""
    top = layer_at(p.layers, p.n_layers - 1)
    target = layer_at(p.layers, 0).x_rows if p.is_target_input else p.target_rows
    step = lanes(pointer(0, like))
    for l in range(p.n_layers - 1):
        a = layer_at(p.layers, l)
        for j in range(0, a.n_out, step):
            y, kept = single_forward(a, now, j, like)
            if a.keeps_input:
                store(at(a.kept_rows, now, j, like), kept)
            store(at(a.y_rows, now, j, like), where(lanes_below(a.n_out - j, y), y, 0))
    terms = at(top.y_rows, now, 0, like)
    for j in range(0, top.n_out, step):
        y, kept = single_forward(top, now, j, like)
        t, inside = load(at(target, now, j, like)), lanes_below(top.n_out - j, y)
        store(terms + j, where(inside, add_loss(p.loss, y, t, full(0, y)), 0))
        dz = times_slope(top.activation, kept, loss_slope(p.loss, y, t) * scale)
        store(at(top.dz_rows, 0, j, like), where(inside, dz, 0))
    pointer(p.sample_loss, 1.0)[0] = sum_tree(converted(load16_some(terms, top.n_out), 1.0))
    for l in range(p.n_layers - 1, 0, -1):
        a, below = layer_at(p.layers, l), layer_at(p.layers, l - 1)
        for j in range(0, a.n_in, step):
            x = load(at(a.x_rows, now, j, like))
            dy = early(a.n_out, at(a.dz_rows, 0, 0, like), x, at(a.weight, 0, j, like), a.weight.stride)
            dz = times_slope(below.activation, load(at(below.kept_rows, now, j, like)), dy)
            store(at(below.dz_rows, 0, j, like), dz)


@unit(TRAINING, POINTER, group="tiny")
def begin_singles(p, like):
    """Before the first step nothing is late."""
    step = lanes(pointer(0, like))
    for l in range(p.n_layers):
        a = layer_at(p.layers, l)
        for j in range(0, a.n_out, step):
            dz = at(a.dz_rows, 0, j, like)
            store(dz, full(0, load(dz)))
        for j in range(0, a.n_in, step):
            x = at(a.x_rows, 1, j, like)
            store(x, full(0, load(x)))


@unit(TRAINING, INTEGER, POINTER, result=True, group="tiny")
def end_singles(p, last, like):
    """Finishes the last step, of a sample in row last; whether all weights are finite."""
    zeros, step = full(0, load(at(layer_at(p.layers, 0).weight, 0, 0, like))), lanes(pointer(0, like))
    for l in range(p.n_layers):
        a = layer_at(p.layers, l)
        x = at(a.x_rows, last, 0, like)
        for j in range(0, a.n_out, step):
            dz, b = load(at(a.dz_rows, 0, j, like)), pointer(a.bias, like) + j
            if a.bias_at >= 0:
                bias = load(b) - dz
                store(b, bias)
                zeros = zeros + bias * 0
            for k in range(a.n_in):
                w = at(a.turned, k, j, like)
                now = fma(-x[k], dz, load(w))
                store(w, now)
                zeros = zeros + now * 0
    first = layer_at(p.layers, 0)
    turn_whole(first.turned, first.weight, first.n_in, first.n_out, like)
    return every(zeros == 0)
