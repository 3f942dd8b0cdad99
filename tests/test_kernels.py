"""Every compiled kernel against the reference in float64: operands of any strides, guarded outputs, refusals, the plan."""

import ctypes
import inspect
import itertools
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastae._kernels import reference
from fastae._kernels.names import ACTIVATIONS, LOSSES, keeps_input

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
ACTIVATION_NUMBERS = pytest.mark.parametrize("activation", range(len(ACTIVATIONS)), ids=ACTIVATIONS)
LOSS_NUMBERS = pytest.mark.parametrize("loss", range(len(LOSSES)), ids=LOSSES)


def strided(a):
    view = np.full((2 * a.shape[0], 3 * a.shape[1]), np.nan if a.dtype.kind == "f" else 77).astype(a.dtype)[::2, ::3]
    view[...] = a
    return view


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS = {
    "row-major": np.ascontiguousarray,
    "transposed": np.asfortranarray,
    "strided": strided,
    "reversed": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "read-only": read_only,
}
each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def wide(*arrays):
    """The same numbers in float64."""
    return [None if a is None else np.array(a, np.float64) for a in arrays]


def uniform(rng, dtype, *shape):
    return rng.uniform(-1, 1, shape).astype(dtype)


def kept_of(rng, activation, dtype, *shape):
    """What a layer with this activation would have kept of its output or its argument."""
    z = uniform(rng, dtype, *shape) * 3
    if not keeps_input(activation):
        reference.activate(activation, z, z, 1)
    return z


# ---- one contract ----------------------------------------------------------------------------------------------------


def test_all_modules_have_the_names_and_arguments_of_the_reference(compiled):
    functions = {name: f for name, f in vars(reference).items() if inspect.isfunction(f) and not name.startswith("_")}
    functions = {name: f for name, f in functions.items() if f.__module__ == reference.__name__}
    assert len(functions) == 12
    if "define" not in vars(compiled):  # which is left to each backend
        del functions["define"]
    for name, function in functions.items():
        assert list(inspect.signature(getattr(compiled, name)).parameters) == list(inspect.signature(function).parameters)
    for name in ("Plan", "Inference"):
        ours, theirs = (inspect.signature(getattr(module, name).run).parameters for module in (compiled, reference))
        assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()]
    values = [(2, 3, 0, True)], np.zeros(9), None, 4, 0, 2, None, None
    plan = compiled.Plan(**dict(zip(inspect.signature(reference.Plan).parameters, values, strict=True)))
    assert (plan.batch_size, plan.n_threads) == (4, 2)
    plan.n_threads = 1


# ---- matrix products -------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("layout_b", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("layout_a", LAYOUTS.values(), ids=LAYOUTS)
def test_matmul(compiled, layout_a, layout_b, dtype, rng, guarded, tolerance):
    for m, n, k in ((13, 37, 21), (9, 210, 5)):  # A read in place, A packed
        a, b, c = layout_a(uniform(rng, dtype, m, k)), layout_b(uniform(rng, dtype, k, n)), uniform(rng, dtype, m, n)
        for alpha, beta in ((1, 0), (1, 1), (-0.75, 0.5), (0, 2)):
            out, expected = guarded((m, n), dtype, c if beta else np.nan), np.array(c, np.float64)
            compiled.matmul(a, b, out, alpha, beta, 1)
            reference.matmul(*wide(a, b), expected, alpha, beta, 1)
            np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance(dtype, k))


@DTYPES
def test_empty_products(kernels, dtype, guarded):
    """A sum over nothing is 0, and an array of nothing is left alone."""
    for m, n, k in itertools.product((0, 3), (0, 50), (0, 7)):
        a, b = np.ones((m, k), dtype), np.ones((k, n), dtype)
        for beta in (0, 2):
            c = guarded((m, n), dtype, 5 if beta else np.nan)
            kernels.matmul(a, b, c, 1.0, beta, 2)
            assert (c == k + 5 * beta).all()
        y, keep, bias = guarded((m, n), dtype), guarded((m, n), dtype), np.full(n, -9, dtype)
        kernels.linear(a, b.T, bias, ACTIVATIONS.index("relu"), y, keep, 2)
        assert (keep == k - 9).all()
        assert (y == 0).all()
        dx, dweight, dbias = guarded((m, n), dtype), guarded((k, n), dtype), guarded((k,), dtype)
        kernels.linear_grad_input(a, b, ACTIVATIONS.index("leaky_relu"), y, dx, 2)
        np.testing.assert_allclose(dx, np.full((m, n), 0.01 * k), rtol=1e-6)
        kernels.linear_grad_weight(a, np.ones((m, n), dtype), dweight, dbias, 2)
        assert (dweight == m).all()
        assert (dbias == m).all()


@DTYPES
@pytest.mark.parametrize("k", [19, 1030])  # one block of K and three: bias, keep and activation belong to the last
@ACTIVATION_NUMBERS
def test_linear(compiled, activation, k, dtype, rng, guarded, tolerance):
    x, weight, bias = uniform(rng, dtype, 7, k), uniform(rng, dtype, 53, k), uniform(rng, dtype, 53)
    for with_bias, with_keep in itertools.product((False, True), repeat=2):
        y, keep = guarded((7, 53), dtype), guarded((7, 53), dtype)
        b = bias if with_bias else None
        compiled.linear(x, weight, b, activation, y, keep if with_keep else None, 1)
        expected, expected_keep = np.empty((2, 7, 53))
        reference.linear(*wide(x, weight, b), activation, expected, expected_keep, 1)
        np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance(dtype, k))
        if with_keep:
            np.testing.assert_allclose(keep, expected_keep, rtol=0, atol=tolerance(dtype, k))
        else:
            assert np.isnan(keep).all()


@DTYPES
@pytest.mark.parametrize("k", [19, 1030])
@ACTIVATION_NUMBERS
def test_linear_grad_input(compiled, activation, k, dtype, rng, guarded, tolerance):
    dz, weight = uniform(rng, dtype, 7, k), uniform(rng, dtype, k, 53)
    kept = None if activation == 0 else kept_of(rng, activation, dtype, 7, 53)
    dx, expected = guarded((7, 53), dtype), np.empty((7, 53))
    compiled.linear_grad_input(dz, weight, activation, kept, dx, 1)
    reference.linear_grad_input(*wide(dz, weight), activation, *wide(kept), expected, 1)
    np.testing.assert_allclose(dx, expected, rtol=0, atol=2 * tolerance(dtype, k))


def test_identity_ignores_what_was_kept(kernels):
    dz, weight, dx = np.full((2, 3), 2.0), np.ones((3, 4)), np.empty((2, 4))
    for kept in (None, np.full((2, 4), np.nan)):
        kernels.linear_grad_input(dz, weight, 0, kept, dx, 1)
        assert (dx == 6).all()
        kernels.differentiate(0, kept, dx, dx, 1)
        assert (dx == 6).all()


@DTYPES
@each_layout
def test_layers_take_any_strides(compiled, layout, dtype, rng, guarded, tolerance):
    """x of linear and linear_grad_weight, and weights."""
    x, weight = layout(uniform(rng, dtype, 11, 29)), layout(uniform(rng, dtype, 17, 29))
    dz = uniform(rng, dtype, 11, 17)
    y, dweight, dx = guarded((11, 17), dtype), guarded((17, 29), dtype), guarded((11, 29), dtype)
    compiled.linear(x, weight, None, 0, y, None, 1)
    compiled.linear_grad_weight(dz, x, dweight, None, 1)
    compiled.linear_grad_input(dz, weight, 0, None, dx, 1)
    x, weight, dz = wide(x, weight, dz)
    for got, expected in ((y, x @ weight.T), (dweight, dz.T @ x), (dx, dz @ weight)):
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance(dtype, 29))


@DTYPES
@pytest.mark.parametrize("rows", [1, 6, 515])
def test_linear_grad_weight(compiled, rows, dtype, rng, guarded, tolerance):
    for n_out, n_in in ((1, 1), (67, 9), (130, 50)):
        dz, x = uniform(rng, dtype, rows, n_out), uniform(rng, dtype, rows, n_in)
        dweight, dbias = guarded((n_out, n_in), dtype), guarded((n_out,), dtype)
        compiled.linear_grad_weight(dz, x, dweight, dbias, 1)
        expected, expected_bias = np.empty((n_out, n_in)), np.empty(n_out)
        reference.linear_grad_weight(*wide(dz, x), expected, expected_bias, 1)
        np.testing.assert_allclose(dweight, expected, rtol=0, atol=tolerance(dtype, rows))
        np.testing.assert_allclose(dbias, expected_bias, rtol=0, atol=tolerance(dtype, rows))


# ---- passes ----------------------------------------------------------------------------------------------------------


@DTYPES
@LOSS_NUMBERS
def test_loss(compiled, loss, dtype, rng, guarded):
    close = {"rtol": 20 * float(np.finfo(dtype).eps), "atol": 4 * float(np.finfo(dtype).eps)}
    low, high = (0, 1) if LOSSES[loss] == "bce" else (-4, 4)
    for shape in ((1, 1), (3, 5), (4, 16), (5, 33), (2, 67), (1, 129)):
        y, target = rng.uniform(low, high, shape).astype(dtype), rng.uniform(0, 1, shape).astype(dtype)
        expected_dy = np.empty(shape)
        expected = reference.loss(loss, *wide(y, target), expected_dy, 1)
        apart, in_place = guarded(shape, dtype), guarded(shape, dtype, y)
        for values, dy in ((y, None), (y, apart), (in_place, in_place)):
            np.testing.assert_allclose(compiled.loss(loss, values, target, dy, 1), expected, **close)
            if dy is not None:
                np.testing.assert_allclose(dy, expected_dy, **close)


def test_loss_of_nothing_is_zero(kernels):
    for loss, shape, dtype in itertools.product(range(len(LOSSES)), ((0, 3), (3, 0)), ("float32", "float64")):
        y = np.ones(shape, dtype)
        for dy in (None, y):
            assert kernels.loss(loss, y, np.ones(shape, dtype), dy, 1) == 0


@DTYPES
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sgd(compiled, momentum, nesterov, weight_decay, dtype, rng, guarded):
    for n in (*range(68), 1000):
        start = uniform(rng, dtype, 3, n)
        w, v = guarded((n,), dtype, start[0]), guarded((n,), dtype, start[1]) if momentum else None
        expected_w, dw, expected_v = wide(*start)[0], start[2], wide(v)[0]
        for _ in range(3):
            assert compiled.update(w, dw, v, None, (0, 0.3, momentum, nesterov, weight_decay, 0, 0), 0, 1) is True
            assert (
                reference.update(
                    expected_w, *wide(dw), expected_v, None, (0, 0.3, momentum, nesterov, weight_decay, 0, 0), 0, 1
                )
                is True
            )
        np.testing.assert_allclose(w, expected_w, rtol=0, atol=16 * np.finfo(dtype).eps)
        if momentum:
            np.testing.assert_allclose(v, expected_v, rtol=0, atol=16 * np.finfo(dtype).eps)


def test_without_momentum_a_velocity_is_left_alone(kernels):
    """As PyTorch does: a momentum of 0 now and 0.9 later goes on from the velocity there was."""
    w, v = np.ones(3), np.full(3, 7.0)
    assert kernels.update(w, np.ones(3), v, None, (0, 0.5, 0.0, False, 0.0, 0, 0), 0, 1)
    assert (w == 0.5).all()
    assert (v == 7).all()
    plan = kernels.Plan([(2, 1, 0, True)], w, v, 1, 0, 1)
    assert plan.run(np.ones((1, 2)), np.zeros((1, 1)), None, 0, 1, (0, 0.5, 0.0, False, 0.0, 0, 0))[0] == 1
    assert (w == -0.25).all()
    assert (v == 7).all()


@DTYPES
@pytest.mark.parametrize("where", [0, 40, 66])
def test_sgd_writes_nothing_where_a_result_is_not_finite(kernels, where, dtype, guarded):
    big = float(np.finfo(dtype).max)
    for bad_w, bad_dw, bad_v in ((1, np.nan, 0), (1, -np.inf, 0), (big, -big, 0), (1, 1, np.inf), (1, big, big)):
        w, dw, v = (guarded((67,), dtype, 1) for _ in range(3))
        w[where], dw[where], v[where] = bad_w, bad_dw, bad_v
        before = w.tobytes(), v.tobytes()
        assert kernels.update(w, dw, v, None, (0, 0.5, 0.9, False, 0.0, 0, 0), 0, 1) is False
        assert (w.tobytes(), v.tobytes()) == before


# ---- inference -------------------------------------------------------------------------------------------------------


def inference(module, net, weights, activation, last):
    layers = [(n_in, n_out, activation, bias) for n_in, n_out, bias in net]
    layers[-1] = (*net[-1][:2], last, net[-1][2])
    return module.Inference(layers, weights)


def check_inference(compiled, guarded, rng, x, dtype, net, activation=1, last=0, n_threads=1):
    size = sum((n_in + bias) * n_out for n_in, n_out, bias in net)
    weights = read_only(uniform(rng, dtype, size))
    out, expected = guarded((len(x), net[-1][1]), dtype), np.empty((len(x), net[-1][1]))
    assert inference(compiled, net, weights, activation, last).run(x, out, n_threads) is True
    assert inference(reference, net, *wide(weights), activation, last).run(x, expected, 1) is True
    np.testing.assert_allclose(out, expected, rtol=1e3 * np.finfo(dtype).eps, atol=1e3 * float(np.finfo(dtype).eps))


@DTYPES
@ACTIVATION_NUMBERS
def test_inference_by_activation(compiled, activation, dtype, rng, guarded):
    for samples in (5, 21):
        x = uniform(rng, dtype, samples, 6)
        check_inference(compiled, guarded, rng, x, dtype, ((6, 19, True), (19, 4, False)), activation, activation)


@DTYPES
@pytest.mark.parametrize("net", [((1, 1, True),), ((49, 33, True), (33, 15, False), (15, 130, True)), ((520, 3, True),)])
def test_inference_of_any_number_of_samples(compiled, net, dtype, rng, guarded):
    for samples in (*range(1, 50), 95, 96, 97, 192, 193, 300):
        x = uniform(rng, dtype, samples, net[0][0])
        for n_threads in (1, 3):
            check_inference(compiled, guarded, rng, x, dtype, net, n_threads=n_threads)


@DTYPES
@pytest.mark.parametrize("source", ["uint8", "float32", "float64"])
@each_layout
def test_inference_reads_any_source(compiled, layout, source, dtype, rng, guarded):
    for samples in (3, 37):
        whole = rng.integers(0, 256, (samples, 23))
        x = layout(whole.astype(source) if source == "uint8" else (whole / 255).astype(source))
        check_inference(compiled, guarded, rng, x, dtype, ((23, 7, True),))


def test_inference_tells_of_numbers_that_are_not_finite(kernels):
    net, weights = ((5, 3, True),), np.ones(18, np.float32)
    for samples, bad in itertools.product((4, 40), (np.nan, np.inf, -np.inf, 1e300)):
        run = inference(kernels, net, weights, 1, 0).run
        out = np.empty((samples, 3), np.float32)
        for row in (0, samples - 1):
            x = np.ones((samples, 5))
            assert run(x, out, 2)
            x[row, 4] = bad
            assert not run(x, out, 2)


# ---- the order of an epoch -------------------------------------------------------------------------------------------


def order_of(module, n, first=0, last=None, key=7, epoch=0):
    rows = np.empty((n if last is None else last) - first, np.int64)
    module.shuffled(key, epoch, n, first, rows)
    return rows


def test_orders_are_permutations_and_the_same_in_all_modules(compiled):
    for n in (*range(1, 70), 127, 128, 129, 1000, 65537):
        order = order_of(compiled, n, key=n, epoch=n % 5)
        assert sorted(order) == list(range(n))
        np.testing.assert_array_equal(order, order_of(reference, n, key=n, epoch=n % 5))
        np.testing.assert_array_equal(order[n // 3 : n - n // 4], order_of(compiled, n, n // 3, n - n // 4, n, n % 5))
    for key, n in ((2**63 - 1, 2**62), (2**64 - 1, 2**40 + 3)):
        far = order_of(compiled, n, n - 9, key=key, epoch=2**33)
        assert 0 <= far.min() <= far.max() < n
        np.testing.assert_array_equal(far, order_of(reference, n, n - 9, key=key, epoch=2**33))


def test_the_order_is_the_one_that_is_promised(kernels):
    """README.md says how it is computed: a seed's results must not change with a version."""
    assert order_of(kernels, 10).tolist() == [2, 7, 3, 6, 0, 5, 1, 8, 9, 4]


def test_orders_are_random(kernels):
    """Each row is at each place about equally often, and which row follows which is as random."""
    n, epochs = 13, 4000
    orders = np.array([order_of(kernels, n, key=3, epoch=e) for e in range(epochs)])
    expected = epochs / n
    for pairs in (orders * n + np.arange(n), orders[:, :-1] * n + orders[:, 1:]):
        counts = np.bincount(pairs.ravel(), minlength=n * n)
        if pairs.shape[1] < n:  # a row does not follow itself
            counts, expected = counts[counts > 0], epochs / n
            assert len(counts) == n * (n - 1)
        chi2 = np.sum((counts - expected) ** 2) / expected
        assert abs(chi2 - len(counts)) < 6 * (2 * len(counts)) ** 0.5
    assert len({tuple(order) for order in orders}) == epochs


# ---- the plan --------------------------------------------------------------------------------------------------------

SGD = (0, 0.2, 0.9, True, 0.01, 0, 0)
PLAIN_SGD = (0, 0.2, 0.0, False, 0.0, 0, 0)
NET = ((6, 9, True), (9, 4, False), (4, 6, True))  # n_in, n_out, bias
ELU, TANH, SIGMOID = (ACTIVATIONS.index(name) for name in ("elu", "tanh", "sigmoid"))


def check_plan(
    compiled, guarded, rng, x, target, order, dtype, tolerance, activation=ELU, last=None, loss=1, net=NET, batch=5, sgd=SGD
):
    """Two epochs in a compiled plan and in the reference's in float64: rows, losses, weights, velocities, gradients agree."""
    target = x if target is None else target
    layers = [(n_in, n_out, activation, bias) for n_in, n_out, bias in net]
    layers[-1] = (*net[-1][:2], activation if last is None else last, net[-1][2])
    start = np.concatenate([rng.uniform(-1, 1, (n_in + bias) * n_out) / n_in**0.5 for n_in, n_out, bias in net]).astype(dtype)
    weights, gradients = guarded(start.shape, dtype, start), guarded(start.shape, dtype)
    velocity = guarded(start.shape, dtype, 0) if sgd[2] else None
    results = []
    for module, (w, v, g) in ((compiled, (weights, velocity, gradients)), (reference, wide(weights, velocity, gradients))):
        plan = module.Plan(layers, w, v, batch, loss, 1)
        rows, losses = zip(
            *(plan.run(x, target, order, 0, len(x), sgd, kept) for kept in (None, g)),
            strict=True,
        )
        assert rows == (len(x), len(x))
        results.append([np.array(losses) / len(x), w, g] + ([v] if sgd[2] else []))
    for got, expected in zip(*results, strict=True):
        assert np.isfinite(got).all()
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


@pytest.fixture
def check(compiled, guarded, rng):
    return lambda x, target, order, dtype, tolerance=None, **options: check_plan(
        compiled, guarded, rng, x, target, order, dtype, tolerance or 64 * float(np.finfo(dtype).eps), **options
    )


# A plan has three paths: layers of at most 16 features and fewer than 16 samples; fewer than 16 samples; more.
each_path = pytest.mark.parametrize(("middle", "batch"), [(9, 5), (19, 5), (9, 18)], ids=["tiny", "few", "many"])


@DTYPES
@ACTIVATION_NUMBERS
@each_path
def test_plan_by_activation(check, middle, batch, activation, dtype, rng):
    """23 rows in batches of 5 or 18, in a shuffled order, the last batch of 3 or 5."""
    net = ((6, middle, True), (middle, 4, False), (4, 6, True))
    check(uniform(rng, dtype, 23, 6), None, rng.permutation(23), dtype, activation=activation, net=net, batch=batch)


@DTYPES
@LOSS_NUMBERS
@each_path
def test_plan_by_loss(check, middle, batch, loss, dtype, rng):
    x, target = uniform(rng, dtype, 23, 6), rng.uniform(0, 1, (23, 3)).astype(dtype)
    net, last = ((6, middle, False), (middle, 3, False)), SIGMOID if LOSSES[loss] == "bce" else 0
    for sgd in (SGD, (0, 0.2, 0.0, False, 0.0, 0, 0), (0, 0.2, 0.0, False, 0.01, 0, 0), (0, 0.2, 0.9, False, 0.0, 0, 0)):
        check(x, target, None, dtype, activation=TANH, last=last, loss=loss, net=net, sgd=sgd, batch=batch)


@DTYPES
@ACTIVATION_NUMBERS
def test_plan_of_single_samples(check, activation, dtype, rng):
    """Networks of one to three layers no wider than 16, each sample a step of plain SGD, all orders and targets."""
    for widths in ((3, 3), (16, 1, 16), (8, 3, 8), (1, 15, 2), (7, 16, 5, 7)):
        net = tuple((n, m, (n + m) % 3 > 0) for n, m in itertools.pairwise(widths))
        x, target = uniform(rng, dtype, 23, widths[0]), uniform(rng, dtype, 23, widths[-1])
        for order in (None, rng.permutation(23)):
            check(x, target, order, dtype, activation=activation, net=net, batch=1, sgd=PLAIN_SGD)
            if widths[0] == widths[-1]:
                check(x, None, order, dtype, activation=activation, last=SIGMOID, net=net, batch=1, sgd=PLAIN_SGD)


@DTYPES
@LOSS_NUMBERS
def test_plan_of_single_samples_by_loss(check, loss, dtype, rng):
    x, target = uniform(rng, dtype, 23, 6), rng.uniform(0, 1, (23, 3)).astype(dtype)
    net, last = ((6, 4, False), (4, 3, True)), SIGMOID if LOSSES[loss] == "bce" else 0
    check(x, target, None, dtype, activation=TANH, last=last, loss=loss, net=net, sgd=PLAIN_SGD, batch=1)


@DTYPES
@pytest.mark.parametrize("batch", range(1, 51))
def test_plan_of_any_batch(check, batch, dtype, rng):
    """Batches from 1 to 50, and a last one of 1 sample or more."""
    x, net = uniform(rng, dtype, batch + batch // 2 + 1, 21), ((21, 18, True), (18, 21, True))
    check(x, None, None, dtype, net=net, batch=batch)


@DTYPES
@pytest.mark.parametrize("source", ["uint8", "float32", "float64"])
@each_layout
def test_plan_reads_any_source(check, layout, source, dtype, rng):
    """Samples and targets of one type and layout, the same array or another; some rows twice, some never."""
    whole = rng.integers(0, 256, (2, 23, 6))
    x, other = (layout(a.astype(source) if source == "uint8" else (a / 255).astype(source)) for a in whole)
    before = x.copy()
    for target in (None, other, x[:, ::-1], layout(np.linspace(0, 1, 138).reshape(23, 6).astype(dtype))):
        for batch in (5, 18):
            check(x, target, rng.integers(0, 23, 23), dtype, batch=batch)
    assert (x == before).all()


@DTYPES
def test_plan_of_any_width(check, dtype, rng):
    """Widths from 1 to 50: padding to whole vectors stays without effect, also where f(0) is not 0."""
    for n in range(1, 51):
        m, x = n * 7 % 50 + 1, uniform(rng, dtype, 18, n)
        softplus = ACTIVATIONS.index("softplus")
        for batch in (5, 16):
            check(
                x,
                None,
                None,
                dtype,
                activation=softplus,
                last=SIGMOID,
                net=((n, m, n % 2 == 0), (m, n, n % 3 == 0)),
                batch=batch,
            )


@DTYPES
@pytest.mark.parametrize(
    ("net", "batch"),
    [
        (((1, 1, True), (1, 1, False)), 1),
        (((97, 193, True), (193, 47, True), (47, 97, True)), 65),  # one more than blocks of 96, 48 and 64
        (((520, 33, True), (33, 520, True)), 515),  # more than KC of inputs, of outputs, and of rows
        (((521, 70, True), (70, 521, True)), 35),  # weights that are not near, from more than KC outputs
    ],
)
def test_plan_at_the_edges_of_blocks(check, net, batch, dtype, rng, tolerance):
    x = uniform(rng, dtype, 2 * batch + 3, net[0][0])
    sgd = (0, 0.05, 0.9, False, 0.0, 0, 0)
    check(x, None, rng.permutation(len(x)), dtype, tolerance(dtype, batch), net=net, batch=batch, sgd=sgd)


@DTYPES
def test_plan_runs_parts_of_an_order(kernels, dtype, rng):
    """The same bits in one run or several, and for an order as for rows taken in that order."""
    x, order = uniform(rng, dtype, 20, 3), rng.permutation(20)
    runs = (
        lambda run: [run(x, x, order, 3, 18, SGD), run(x, x, order, 7, 7, SGD), run(x, x, order, 0, 20, SGD)],
        lambda run: [
            *(run(x, x, order, at, min(at + 4, 18), SGD) for at in range(3, 18, 4)),
            run(x[order], x[order], None, 0, 20, SGD),
        ],
    )
    results = []
    for steps in runs:
        weights, velocity = np.full(12, 0.25, dtype), np.zeros(12, dtype)
        done = np.sum(steps(kernels.Plan([(3, 3, ELU, True)], weights, velocity, 4, 0, 1).run), axis=0)
        assert done[0] == 35
        results.append((weights.tobytes(), velocity.tobytes(), round(done[1], 9)))
    assert results[0] == results[1]


@DTYPES
@pytest.mark.parametrize("bad", ["nan", "inf", "loss", "gradient", "weights"])
def test_plan_stops_before_a_step_that_is_not_finite(kernels, bad, dtype, rng):
    """The steps before are taken, as if no more had been asked for; that one is not. The plan can go on."""
    largest = float(np.finfo(dtype).max)
    x = uniform(rng, dtype, 20, 3)
    x[13] = {"nan": np.nan, "inf": np.inf, "loss": largest / 4, "gradient": largest**0.45, "weights": largest**0.4}[bad]
    sgd = (0, largest**0.7, 0.9, True, 0.0, 0, 0) if bad == "weights" else SGD
    start = np.full(38, 0.25, dtype)
    if bad in ("gradient", "weights"):  # the loss is finite, and the first steps, of zeros, learn nothing
        x[:12] = start[:] = 0
    if bad == "gradient":
        start[20:35] = largest**0.6  # the upper layer's weights, through which it overflows
    results = []
    for rows, with_gradients in ((20, True), (12, True), (20, False)):
        weights, velocity, gradients = start.copy(), np.zeros_like(start), np.full_like(start, 7)
        plan = kernels.Plan([(3, 5, TANH, True), (5, 3, 0, True)], weights, velocity, 4, 0, 1)
        done, total = plan.run(x, x, None, 0, rows, sgd, gradients if with_gradients else None)
        assert done == 12
        assert plan.run(x, x, None, 16, 20, SGD)[0] == 4
        results.append((weights.tobytes(), velocity.tobytes(), total, gradients.tobytes()))
    assert results[0] == results[1]
    assert results[0][:3] == results[2][:3]


@DTYPES
@pytest.mark.parametrize("layers", [((3, 3),), ((3, 5), (5, 3))], ids=["one layer", "two layers"])
@pytest.mark.parametrize("bad", ["nan", "inf", "weights"])
def test_plan_of_single_samples_stops_before_a_step_that_is_not_finite(kernels, bad, layers, dtype, rng):
    """The same where weights are only looked at in the end: with sigmoids an infinite one does not show in the loss."""
    largest = float(np.finfo(dtype).max)
    x, target = np.ones((20, 3), dtype), np.full((20, 3), 0.5, dtype)  # of which nothing is learnt from weights of 0
    rates = (0, largest**0.7, 0.0, False, 0.0, 0, 0)
    x[13], target[13] = largest**0.4 if bad == "weights" else float(bad), 0
    net = [(*widths, 1, True) for widths in layers[:-1]] + [(*layers[-1], SIGMOID, True)]
    size = sum((n + 1) * m for n, m in layers)
    start = np.zeros(size, dtype)
    start[: size - 3 * (layers[-1][0] + 1)] = 0.25
    results = []
    for rows, with_gradients in ((20, True), (20, False), (14, False), (13, False)):
        weights, gradients = start.copy(), np.zeros_like(start)
        plan = kernels.Plan(net, weights, None, 1, 0, 1)
        done, total = plan.run(x, target, None, 0, rows, rates, gradients if with_gradients else None)
        assert done == 13
        assert np.isfinite(weights).all()
        assert plan.run(x, target, None, 16, 20, PLAIN_SGD)[0] == 4
        results.append((weights.tobytes(), total))
    assert len(set(results)) == 1


# ---- refusals and fences, in a process of their own, as a failure may be a crash ---------------------------------------


def spoiled(a):
    """What is not an aligned, writable, C-contiguous float32 array of the shape of ``a``."""
    aside = np.ones(a.nbytes + 1, np.uint8)
    gaps = np.ones((*a.shape[:-1], 2 * a.shape[-1]), np.float32)[..., ::2]
    return {
        **{kind: a.astype(kind) for kind in ("float64", "float16", "int32", "complex64", "object", ">f4")},
        "longer": np.ones([n + 1 for n in a.shape], np.float32),
        "another dimension": a[None],
        "no dimension": np.array(1, np.float32),
        "list": a.tolist(),
        "None": None,
        "misaligned": aside[1:].view(np.float32).reshape(a.shape),
        "gaps": gaps,
        "read-only": read_only(a),
    }


def wrong_calls(k):
    """Calls that must raise TypeError, ValueError or IndexError, by what is wrong with them."""
    f, v = np.ones((4, 4), np.float32), np.ones(4, np.float32)
    calls = {  # arguments; places of outputs, of inputs with any strides, and of those that may be None
        "matmul": ([f, f, f.copy(), 1.0, 0.0, 1], [2], [0, 1], []),
        "linear": ([f, f, v, 1, f.copy(), f.copy(), 1], [4, 5], [0, 1], [2, 5]),
        "linear_grad_input": ([f, f, 1, f, f.copy(), 1], [4], [0, 1], []),
        "linear_grad_weight": ([f, f, f.copy(), v.copy(), 1], [2, 3], [1], [3]),
        "activate": ([1, f, f.copy(), 1], [2], [], []),
        "differentiate": ([1, f, f, f.copy(), 1], [3], [], []),
        "loss": ([0, f, f, f.copy(), 1], [3], [], [3]),
        "update": ([v.copy(), v, v.copy(), v.copy(), (1, 0.1, 0.9, False, 0.0, 0.9, 1e-8), 0, 1], [0, 2, 3], [], []),
        "Plan": ([[(1, 2, 0, True)], v.copy(), v.copy(), 2, 0, 1], [1, 2], [], [2]),
        "Inference": ([[(1, 2, 0, True)], v.copy()], [], [], []),
    }
    for name, (arguments, outputs, strided_inputs, optional) in calls.items():
        getattr(k, name)(*arguments)  # is accepted
        for place, good in enumerate(arguments):
            for what, bad in spoiled(good).items() if isinstance(good, np.ndarray) else ():
                fine = (what == "None" and place in optional) or (what == "read-only" and place not in outputs)
                fine = fine or (name == "Inference" and what == "float64")  # its only array gives it its dtype
                if not fine and not (what == "gaps" and place in strided_inputs):
                    given = [*arguments[:place], bad, *arguments[place + 1 :]]
                    yield f"{name}, argument {place}: {what}", lambda name=name, given=given: getattr(k, name)(*given)

    for what, layers in {"no layers": [], "layers that do not chain": [(1, 1, 0, False), (500, 3, 0, False)]}.items():
        size = sum(n_in * n_out for n_in, n_out, *_ in layers)
        yield (
            what,
            lambda n=size, a=layers: k.Plan(a, np.ones(n), None, 2, 0, 1).run(
                np.ones((2, 1)), np.ones((2, 3)), None, 0, 2, (0, 0.1, 0.0, False, 0.0, 0, 0)
            ),
        )
    rows = np.arange(4)
    k.shuffled(1, 0, 9, 5, rows)
    for bad in (rows.astype(np.int32), rows.astype(float), rows[::2], rows[None], read_only(rows), None, [0, 1]):
        yield f"shuffled: {bad!r}", lambda bad=bad: k.shuffled(1, 0, 9, 2, bad)
    for key, epoch, n, first in ((-1, 0, 9, 0), (1, -1, 9, 0), (2**64, 0, 9, 0), (1, 0, 9, 6), (1, 0, 9, -1), (1, 0, 3, 0)):
        yield f"shuffled: {key, epoch, n, first}", lambda given=(key, epoch, n, first): k.shuffled(*given, rows)
    run = k.Inference([(4, 4, 0, False)], np.ones(16, np.float32)).run
    run(f, f.copy(), 1)
    for place in (0, 1):
        for what, bad in spoiled(f).items():
            if place == 1 or what not in ("float64", "gaps", "read-only", "longer"):
                given = [bad if place == 0 else f, bad if place == 1 else f.copy(), 1]
                yield f"Inference.run, argument {place}: {what}", lambda given=given: run(*given)
    plan = k.Plan([(4, 4, 0, False)], np.ones(16, np.float32), None, 2, 0, 1)
    good = [f, f.copy(), np.arange(4), 0, 4, (0, 0.1, 0.0, False, 0.0, 0, 0), np.ones(16, np.float32)]
    assert plan.run(*good)[0] == 4
    sources = [f.astype(kind) for kind in ("int32", "float16", "complex64", "object", ">f4")]
    sources += [f[:, :3], f[:3], f[None], f.tolist(), np.array(1, np.float32), None]
    orders = [np.arange(4, dtype=np.int32), np.arange(4.0), np.zeros((4, 1), int), np.arange(8)[::2], [0, 1, 2, 3]]
    orders += [np.array([0, 1, 2, 4]), np.array([0, -1, 2, 3]), np.arange(3)]
    gradients = [np.ones(15, np.float32), np.ones(16), read_only(np.ones((1, 16), np.float32))[0], [1.0] * 16]
    for place, values in {
        0: sources,
        1: sources,
        2: orders,
        3: [-1, 5],
        4: [-1, 5],
        5: [None, (0.1,), SGD],
        6: gradients,
    }.items():
        for case, bad in enumerate(values):
            given = [*good[:place], bad, *good[place + 1 :]]
            yield f"Plan.run, argument {place}: wrong value {case}", lambda given=given: plan.run(*given)


def report_accepted(k):
    """Print the wrong calls that do not raise what they should; each is made in a child of its own."""
    for what, call in wrong_calls(k):
        child = os.fork()
        if child == 0:
            try:
                call()
                os._exit(1)
            except (TypeError, ValueError, IndexError, OverflowError):
                os._exit(0)
            except BaseException:
                os._exit(2)
        status = os.waitpid(child, 0)[1]
        if status:
            kind = {1: "was accepted", 2: "raised something else"}.get(os.waitstatus_to_exitcode(status), "crashed")
            print(f"{what}: {kind}")


def touch_fences(k):
    """Every kernel on arrays that begin or end where memory is protected: reading or writing beyond them is a crash."""
    page, libc = mmap.PAGESIZE, ctypes.CDLL(None, use_errno=True)

    def fenced(shape, dtype, at_end):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        inner = -(-size // page) * page
        memory = mmap.mmap(-1, inner + 2 * page)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for fence in (address, address + page + inner):
            assert libc.mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(page), 0) == 0
        array = np.frombuffer(memory, dtype, int(np.prod(shape)), page + (inner - size if at_end else 0)).reshape(shape)
        array[...] = 0.5
        return array

    for dtype, at_end, (b, i, o) in itertools.product(
        ("f4", "f8"), (False, True), ((7, 53, 13), (5, 9, 201), (1, 1, 1), (19, 16, 16), (33, 5, 17))
    ):
        x, y, dy, weight, bias = (fenced(shape, dtype, at_end) for shape in ((b, i), (b, o), (b, o), (o, i), (o,)))
        flat, gradients, velocity = (fenced((i * o + o,), dtype, at_end) for _ in range(3))
        order, small = fenced((b,), "i8", at_end), fenced((b, i), "u1", at_end)
        order[...] = np.arange(b)
        for activation in range(len(ACTIVATIONS)):
            k.linear(x, weight, bias, activation, y, dy, 1)
            k.linear_grad_input(dy, weight, activation, x, x, 1)
            k.activate(activation, y, y, 1)
            k.differentiate(activation, y, dy, dy, 1)
        k.matmul(np.asfortranarray(x), weight.T, y, 0.5, 0.5, 1)
        k.linear_grad_weight(dy, x, weight, bias, 1)
        k.update(flat, gradients, velocity, None, (0, 0.1, 0.9, False, 0.0, 0, 0), 0, 1)
        for loss, source in itertools.product(range(len(LOSSES)), (x, small)):
            k.loss(loss, y, dy, None, 1)
            for batch in (3, 16):
                plan = k.Plan([(i, o, 1, True)], flat, velocity, batch, loss, 1)
                for kept in (None, gradients):
                    plan.run(source, y, order, 0, b, (0, 0.0, 0.0, False, 0.0, 0, 0), kept)
        for source in (x, small):
            k.Inference([(i, o, 1, True)], flat).run(source, y, 2)
    print("done")


def output_of(function, compiled):
    """What ``function`` of this module prints in a new process."""
    code = f"import importlib, test_kernels; test_kernels.{function}(importlib.import_module({compiled.__name__!r}))"
    folder, environment = Path(__file__).parent, os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_wrong_arguments_are_refused(compiled):
    accepted = output_of("report_accepted", compiled)
    assert not accepted, "\n".join(accepted)


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
def test_nothing_beyond_an_array_is_read_or_written(compiled):
    assert output_of("touch_fences", compiled) == ["done"]
