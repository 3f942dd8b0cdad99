"""Training and inference take subnormal numbers for zero; what else a thread does is as before."""

import numpy as np
import pytest
from conftest import COMPILED

from fastae._kernels.names import ACTIVATIONS, LOSSES, OPTIMIZERS
from fastae._kernels.recipe import Recipe

IDENTITY, MSE, ADAM = ACTIVATIONS.index("identity"), LOSSES.index("mse"), OPTIMIZERS.index("adam")
KERNELS = pytest.mark.parametrize("kernels", [k for name, k in COMPILED.items() if name != "cuda"], ids=lambda k: k.__name__)
WATCHED = pytest.mark.parametrize(
    "kernels", [k for name, k in COMPILED.items() if name.startswith("cython")], ids=lambda k: k.__name__
)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
# Widths and batches of each way of training: a tiny network, few samples, blocks of samples, the same with a recipe, in a team.
WAYS = pytest.mark.parametrize(
    ("width", "batch", "recipe"),
    [(4, 3, None), (40, 3, None), (40, 64, None), (40, 64, Recipe(clip_norm=1e9)), (300, 700, None)],
)


def small(dtype):
    """A subnormal number, which decays to no other by a factor of 0.999 and stays what it is where it is added to zero."""
    return np.finfo(dtype).smallest_subnormal * 100


def one(dtype):
    return np.dtype(dtype).type(1)


def computes_with_subnormals(kernels, dtype):
    """Whether this thread does, and two members of a team."""
    x, y = np.full((1000, 1000), small(dtype)), np.ones((1000, 1000), dtype)
    kernels.matmul(x, np.eye(1000, dtype=dtype), y, 1.0, 0.0, 2)
    return bool((y == small(dtype)).all()) and small(dtype) * one(dtype) != 0


@KERNELS
@DTYPES
@WAYS
def test_training(kernels, dtype, width, batch, recipe):
    layers = [(width, width, IDENTITY, True), (width, width, IDENTITY, True)]
    n = 2 * width * (width + 1)
    weights, velocity, square = (np.full(n, small(dtype)) for _ in range(3))
    plan = kernels.Plan(layers, weights, velocity, batch, MSE, 2, square, recipe)
    x = np.zeros((3 * batch, width), dtype)
    plan.run(x, x, None, 0, len(x), (ADAM, 1e-3, 0.9, False, 0.0, 0.999, 1e-8))
    for state in (weights, velocity, square):
        assert not state.any()
    assert computes_with_subnormals(kernels, dtype)


@KERNELS
@DTYPES
@pytest.mark.parametrize("samples", [1, 3, 40, 3000])
def test_inference(kernels, dtype, samples):
    weights = np.full(100 * 101, small(dtype))
    out = np.ones((samples, 100), dtype)
    network = kernels.Inference([(100, 100, IDENTITY, True)], weights)
    assert network.run(np.ones((samples, 100), dtype), out, 2)
    assert not out.any()
    assert network.run(np.full((samples, 100), small(dtype)), out, 2)  # they are finite
    assert computes_with_subnormals(kernels, dtype)


@WATCHED
@DTYPES
def test_the_watcher_is_called_as_the_caller_computes(kernels, dtype):
    weights, seen, x = np.zeros(300 * 301, dtype), [], np.zeros((64, 300), dtype)
    plan = kernels.Plan([(300, 300, IDENTITY, True)], weights, None, 64, MSE, 1)
    plan.watch = lambda rows, total: seen.append(small(dtype) * one(dtype) != 0)
    order = np.tile(np.arange(64), 400)
    while not seen:
        plan.run(x, x, order, 0, len(order), (0, 1e-3, 0.0, False, 0.0, 0.0, 0.0))
    assert all(seen)
    # After the watcher the steps go on as before it.
    weights[:] = small(dtype)
    seen.clear()
    while not seen:
        plan.run(x, x, order, 0, len(order), (0, 1e-3, 0.0, False, 0.0, 0.0, 0.0))
    assert not weights.any()
