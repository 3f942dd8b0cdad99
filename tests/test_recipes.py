"""Optimisers, schedules and every part of a recipe, in each compiled backend against the reference in float64; the same bits
on any number of threads."""

from itertools import pairwise

import numpy as np
import pytest

from fastae._kernels import reference
from fastae._kernels.names import ACTIVATIONS, LOSSES, OPTIMIZERS
from fastae._kernels.recipe import Recipe

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
A, L = ACTIVATIONS.index, LOSSES.index
RATES = {  # (kind, lr, momentum, nesterov, weight_decay, beta, eps)
    "sgd": (0, 0.05, 0.9, True, 0.01, 0.0, 0.0),
    "adam": (1, 0.01, 0.9, False, 0.01, 0.99, 1e-3),
    "adam without momentum": (1, 0.01, 0.0, False, 0.0, 0.99, 1e-3),
    "adamw": (2, 0.01, 0.8, False, 0.1, 0.99, 1e-3),
    "rmsprop": (3, 0.01, 0.0, False, 0.01, 0.9, 1e-2),
    "rmsprop with momentum": (3, 0.01, 0.9, True, 0.0, 0.9, 1e-2),
}
each_optimizer = pytest.mark.parametrize("optimizer", RATES.values(), ids=RATES)


def layers_of(widths, activation="tanh"):
    last = len(widths) - 2
    return [(*n, A("identity" if i == last else activation), i != 1) for i, n in enumerate(pairwise(widths))]


def weights_of(layers, rng):
    return np.concatenate([rng.uniform(-1, 1, (n_in + bias) * n_out) / n_in**0.5 for n_in, n_out, _, bias in layers])


def states(optimizer, start, dtype):
    """Velocity and square, where the optimiser keeps them."""
    name = OPTIMIZERS[optimizer[0]]
    v = start.astype(dtype) * 0 if optimizer[2] or name.startswith("adam") else None
    return v, None if name == "sgd" else start.astype(dtype) * 0


# ---- optimisers ------------------------------------------------------------------------------------------------------


@DTYPES
@each_optimizer
def test_update(kernels, optimizer, dtype, rng, guarded):
    eps = float(np.finfo(dtype).eps)
    for n in (*range(1, 20), 67, 1000):
        start = rng.uniform(-1, 1, (2, n)).astype(dtype)
        w, dw = guarded((n,), dtype, start[0]), start[1]
        v, s = (None if a is None else guarded((n,), dtype, 0) for a in states(optimizer, w, dtype))
        expected = [start[0].astype(float), *states(optimizer, w, float)]
        for step in range(3):
            assert kernels.update(w, dw, v, s, optimizer, step, 2) is True
            assert reference.update(expected[0], dw.astype(float), *expected[1:], optimizer, step, 1) is True
        for got, wanted in zip((w, v, s), expected, strict=True):
            if wanted is not None:
                np.testing.assert_allclose(got, wanted, rtol=0, atol=64 * eps)


@DTYPES
@each_optimizer
def test_update_writes_nothing_where_a_result_is_not_finite(kernels, optimizer, dtype):
    big = float(np.finfo(dtype).max)
    for place in (0, 40, 66):
        for bad in (np.nan, np.inf, big):
            w, dw = np.ones(67, dtype), np.ones(67, dtype)
            dw[place] = bad
            v, s = states(optimizer, w, dtype)
            if OPTIMIZERS[optimizer[0]] == "sgd" and bad == big:
                w[place] = -big
                optimizer = (*optimizer[:1], 1.0, *optimizer[2:])
            assert kernels.update(w, dw, v, s, optimizer, 0, 1) is False
            assert (np.delete(w, place) == 1).all()
            assert all((a == 0).all() for a in (v, s) if a is not None)


each_path = pytest.mark.parametrize(("middle", "batch"), [(9, 5), (19, 5), (9, 18)], ids=["tiny", "few", "many"])


@DTYPES
@each_path
@each_optimizer
@pytest.mark.parametrize("clip_value", [float("inf"), 0.01])
def test_plan_by_optimizer(compiled, clip_value, optimizer, middle, batch, dtype, rng):
    """Two runs of 23 rows: weights, means, gradients and losses; the second with a schedule."""
    layers, x = layers_of((6, middle, 4, 6)), rng.random((23, 6)).astype(dtype)
    start, steps = weights_of(layers, rng).astype(dtype), -(-23 // batch)
    schedule = np.column_stack([np.linspace(0.5, 1, steps) * optimizer[1], np.linspace(0.5, 0.9, steps), np.ones(steps)])
    results = []
    for module, real in ((compiled, dtype), (reference, "float64")):
        w, g = start.astype(real), start.astype(real)
        v, s = states(optimizer, w, real)
        plan = module.Plan(layers, w, v, batch, L("mse"), 2, s, Recipe(clip_value=clip_value))
        first, total = plan.run(x, x, None, 0, 23, optimizer, g)
        again = plan.run(x, x, None, 0, 23, optimizer, g, total, steps, schedule if v is not None else None)
        assert (first, again[0]) == (23, 23)
        results.append([np.array([total, again[1]]), w, g, *(a for a in (v, s) if a is not None)])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=512 * float(np.finfo(dtype).eps))
