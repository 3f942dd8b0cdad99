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
    "rmsprop with momentum": (3, 0.01, 0.9, False, 0.0, 0.9, 1e-2),
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


# ---- recipes ---------------------------------------------------------------------------------------------------------

KEY = 0x1234_5678_9ABC_DEF0
CASES = {  # the recipe's fields, a loss; what the data are, other than numbers from 0 to 1
    "plain": ({}, "mse", ()),
    "gaussian noise": ({"noise": "gaussian", "level": 0.3}, "mse", ()),
    "masking": ({"noise": "masking", "level": 0.3}, "mse", ()),
    "salt and pepper": ({"noise": "salt_and_pepper", "level": 0.3}, "mse", ()),
    "dropped input": ({"noise": "dropout", "level": 0.3}, "mse", ()),
    "binarize": ({"noise": "binarize"}, "bce_with_logits", ()),
    "binarize, target apart": ({"noise": "binarize"}, "mse", ("target",)),
    "dropout": ({"dropout": (0.2, 0.0, 0.4)}, "mse", ()),
    "top_k": ({"code": 1, "top_k": 2}, "mse", ()),
    "top_k and dropout": ({"code": 1, "top_k": 3, "dropout": (0.1, 0.2, 0.3)}, "mse", ()),
    "l1": ({"code": 1, "l1": 0.3}, "mse", ()),
    "kl": ({"code": 1, "kl": 0.3, "rho": 0.1}, "mse", ()),
    "kl and dropout": ({"code": 1, "kl": 0.3, "rho": 0.1, "dropout": (0.1, 0.2, 0.3)}, "mse", ()),
    "variational": ({"code": 1, "gaussian": True, "kl_weight": 0.7, "scale": 1.0}, "bce_with_logits", ()),
    "conditional": ({"code": 1, "gaussian": True, "condition": 2, "noise": "binarize", "scale": 1.0}, "bce_with_logits", ()),
    "conditional, mean": ({"code": 1, "gaussian": True, "condition": 5, "noise": "masking", "level": 0.2}, "mse", ()),
    "contractive": ({"contractive": 0.4}, "mse", ()),
    "contractive and dropout": ({"contractive": 0.4, "dropout": (0.4, 0.0, 0.0)}, "mse", ()),
    "tied": ({"tied": True}, "mse", ()),
    "tied and dropout": ({"tied": True, "dropout": (0.2, 0.0, 0.1)}, "mse", ()),
    "missing": ({"missing": True}, "mse", ("nan",)),
    "missing, target apart": ({"missing": True}, "mae", ("nan", "target")),
    "missing, scaled": ({"missing": True, "scale": 2.0}, "huber", ("nan",)),
    "feature weights": ({"feature_weight": True}, "poisson", ()),
    "sample weights": ({}, "mse", ("weights",)),
    "sample weights, noise": ({"noise": "masking", "level": 0.1}, "mse", ("weights",)),
    "sample weights, l1": ({"code": 1, "l1": 0.3}, "mse", ("weights",)),
    "sample weights, kl": ({"code": 1, "kl": 0.3, "rho": 0.1}, "mse", ("weights",)),
    "sample weights, variational": ({"code": 1, "gaussian": True, "scale": 1.0}, "bce_with_logits", ("weights",)),
    "sample weights, contractive": ({"contractive": 0.4}, "mse", ("weights",)),
    "multinomial": ({}, "multinomial", ("target", "weights")),
    "cosine": ({}, "cosine", ("target",)),
    "clip_norm": ({"clip_norm": 0.05}, "half_squared", ()),
    "clip_norm and clip_value": ({"clip_norm": 0.5, "clip_value": 0.01}, "half_squared", ()),
    "accumulate": ({"accumulate": 2, "clip_norm": 0.1}, "half_squared", ()),
    "accumulate, missing": ({"accumulate": 3, "missing": True, "dropout": (0.1, 0.1, 0.1)}, "mse", ("nan", "weights")),
    "accumulate, kl": ({"accumulate": 2, "code": 1, "kl": 0.2}, "mse", ()),
    "all": (
        {
            "noise": "masking", "level": 0.2, "dropout": (0.1, 0.2, 0.3), "code": 1, "top_k": 3, "l1": 0.1, "tied": True,
            "contractive": 0.2, "missing": True, "accumulate": 2, "feature_weight": True, "clip_norm": 1.0, "clip_value": 0.1,
        },
        "mse",
        ("nan", "weights"),
    ),
}  # fmt: skip
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def problem_of(case, rows, rng, widths=(7, 6, 4)):
    """Layers, recipe, loss, x, target (None: x) and weights of samples, in float32 where they are numbers."""
    fields, loss, data = case
    n, hidden, code = widths
    gaussian, condition = fields.get("gaussian", False), fields.get("condition", 0)
    last = "identity"
    layers = [
        (n, hidden, A("tanh"), True),
        (hidden, 2 * code if gaussian else code, A("identity" if gaussian else "sigmoid"), True),
        (code + condition, hidden, A("gelu"), not fields.get("tied")),
        (hidden, n - condition, A(last), True),
    ]
    fields = {"key": KEY, **fields}
    if "feature_weight" in fields:
        fields["feature_weight"] = rng.random(n - condition).astype("float32")
    x, target = rng.random((rows, n)).astype("float32"), None
    if "target" in data:
        target = rng.integers(0, 4, (rows, n)).astype("float32") + np.float32(0.25)
    if "nan" in data:
        for a in (x, target):
            if a is not None:
                a[rng.random(a.shape) < 0.3] = np.nan
    return layers, Recipe(**fields), L(loss), x, target, rng.random(rows).astype("float32") if "weights" in data else None


def train(module, problem, start, dtype, batch, n_threads=1, optimizer=RATES["sgd"], order=None):
    """Two runs: loss and its penalties, weights, means and gradients."""
    layers, recipe, loss, x, target, sample_weight = problem
    real = np.dtype(dtype)
    w = start.astype(real)
    g, (v, s) = np.zeros_like(w), states(optimizer, w, real)
    if recipe.feature_weight is not None:
        recipe = recipe._replace(feature_weight=recipe.feature_weight.astype(real))
    plan = module.Plan(layers, w, v, batch, loss, n_threads, s, recipe)
    sample_weight = None if sample_weight is None else sample_weight.astype(real)
    steps, results = -(-len(x) // (batch * recipe.accumulate)), []
    schedule = np.column_stack([np.full(steps, optimizer[1]), np.full(steps, optimizer[2]), np.linspace(0.5, 2, steps)])
    for step, rates in ((3, None), (2**32 - 1, schedule)):
        rows, total = plan.run(
            x, x if target is None else target, order, 0, len(x), optimizer, g, 0.0, step, rates, sample_weight
        )  # fmt: skip
        assert rows == len(x)
        results += [np.array([total, plan.penalty]) / len(x), g.copy()]
    return [*results, w, *(a[own_weights(layers, recipe)] for a in (v, s) if a is not None)]


def own_weights(layers, recipe):
    """Which of the flat weights are of their layer alone; of others nothing is said of the running means."""
    halves = [recipe.tied and 2 * place >= len(layers) for place in range(len(layers))]
    parts = [[not h] * n_in * n_out + [True] * (n_out * b) for h, (n_in, n_out, _, b) in zip(halves, layers, strict=True)]
    return np.concatenate(parts).astype(bool)


def weights_for(problem, rng):
    layers, recipe = problem[:2]
    start = weights_of(layers, rng).astype("float32")
    if recipe.tied:
        reference.Plan(layers, start, None, 1, 0, 1, None, recipe)._tie(start)
    return start


@DTYPES
@pytest.mark.parametrize("batch", [1, 5, 16, 23, 128, 300])
@each_case
def test_recipe(compiled, case, batch, dtype, rng):
    problem = problem_of(case, 2 * batch + 3, rng)
    start, order = weights_for(problem, rng), rng.permutation(2 * batch + 3)
    results = [
        train(module, problem, start, real, batch, order=order) for module, real in ((compiled, dtype), (reference, "float64"))
    ]
    close = 1e-9 if dtype == "float64" else 2e-4
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=close * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize(("dtype", "optimizer"), [("float32", "adam"), ("float64", "sgd")])
@each_case
def test_recipe_gives_equal_bytes_on_any_number_of_threads(compiled, case, optimizer, dtype, rng):
    """Work enough for three threads: several blocks of samples each, several rectangles of weights.

    Who has which of them depends neither on the type nor on the optimiser, so that two pairs of these are enough.
    """
    problem = problem_of(case, 700, rng, (150, 101, 20))
    start = weights_for(problem, rng)
    for batch in (16, 300):
        results = [
            b"".join(a.tobytes() for a in train(compiled, problem, start, dtype, batch, n_threads, RATES[optimizer]))
            for n_threads in (1, 2, 3)
        ]
        assert [results[0] == other for other in results] == [True] * 3


@each_case
def test_wide_recipe(compiled, case, rng):
    """More than a block of samples and of weights, and widths that are no multiple of a vector."""
    problem = problem_of(case, 450, rng, (97, 131, 35))
    start = weights_for(problem, rng)
    results = [train(module, problem, start, "float64", 210, 2) for module in (compiled, reference)]
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("case", [CASES["multinomial"], CASES["kl"]], ids=["multinomial", "kl"])
def test_recipe_of_thousands_of_outputs(compiled, case, rng):
    """Wider than what stays in the cache: other sizes of blocks, whose bytes depend on no number of threads either."""
    problem = problem_of(case, 230, rng, (2100, 33, 7))
    start = weights_for(problem, rng)
    alone, team, expected = (
        train(module, problem, start, "float64", 230, n) for module, n in ((compiled, 1), (compiled, 3), (reference, 1))
    )
    for got, same, correct in zip(alone, team, expected, strict=True):
        assert np.array_equal(got, same)
        np.testing.assert_allclose(got, correct, rtol=0, atol=1e-9 * max(1.0, np.abs(correct).max()))


@DTYPES
@each_case
def test_recipe_stops_before_a_step_that_is_not_finite(kernels, case, dtype, rng):
    """The steps before it are taken, as if no more had been asked for; penalties are theirs."""
    problem, batch = problem_of(case, 40, rng), 5
    layers, recipe, loss, x, target, weight = problem
    x[31] = np.inf
    start, size = weights_for(problem, rng).astype(dtype), batch * recipe.accumulate
    good = 30 // size * size
    if recipe.feature_weight is not None:
        recipe = recipe._replace(feature_weight=recipe.feature_weight.astype(dtype))
    weight = None if weight is None else weight.astype(dtype)
    if recipe.noise == "binarize":
        return  # of which no number is not finite
    results = []
    for rows in (40, good):
        w, g = start.copy(), np.full_like(start, 7)
        v, s = states(RATES["adam"], w, dtype)
        plan = kernels.Plan(layers, w, v, batch, loss, 1, s, recipe)
        done, total = plan.run(x, x if target is None else target, None, 0, rows, RATES["adam"], g, sample_weight=weight)
        assert done == good
        results.append((w.tobytes(), v.tobytes(), s.tobytes(), g.tobytes(), total, plan.penalty))
    assert results[0] == results[1]


@pytest.mark.parametrize("source", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("batch", [5, 20])
def test_sparse_rows(kernels, batch, source, rng):
    """CSR gives what the matrix itself gives, in training, plain or by a recipe, and in inference."""
    sparse = pytest.importorskip("scipy.sparse")
    x = rng.random((53, 33)) * (rng.random((53, 33)) < 0.2)
    x = (255 * x if source == "uint8" else x).astype(source)
    order, rates = rng.permutation(53), (0, 0.1, 0.9, False, 0.0, 0, 0)
    layers = [(33, 40, A("tanh"), True), (40, 33, 0, True)]
    start = weights_of(layers, rng).astype("float32")
    for recipe in (None, Recipe(noise="masking", level=0.2), Recipe(noise="gaussian", level=0.2, missing=True)):
        results = []
        for index in (None, np.int32, np.int64):
            given, w = x, start.copy()
            if index is not None:
                given = sparse.csr_matrix(x)
                given.indices, given.indptr = given.indices.astype(index), given.indptr.astype(index)
            out = np.empty((53, 33), "float32")
            plan = kernels.Plan(layers, w, np.zeros_like(w), batch, L("mse"), 2, None, recipe)
            done, total = plan.run(given, given, order, 0, 53, rates)
            assert done == 53
            assert kernels.Inference(layers, w).run(given[:9], out[:9], 2)
            assert kernels.Inference(layers, w).run(given[9:], out[9:], 2)
            results.append((total, w, out))
        for others in results[1:]:
            for got, expected in zip(others, results[0], strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@each_case
def test_two_members_divide_the_features(compiled, case, rng):
    """From 513 to 1024 inputs and outputs: what the reference computes, in the same bytes on one thread, on two, who may divide
    features, and on three, who divide samples; also where the last batch is of few samples."""
    for batch, optimizer in ((40, RATES["adam"]), (280, (0, 0.001, 0.9, True, 0.01, 0.0, 0.0))):
        problem, order = problem_of(case, 2 * batch + 9, rng, (600, 41, 20)), rng.permutation(2 * batch + 9)
        start = weights_for(problem, rng)
        alone, *teams = (train(compiled, problem, start, "float64", batch, n, optimizer, order) for n in (1, 2, 3))
        expected = train(reference, problem, start, "float64", batch, 1, optimizer, order)
        for got, two, three, correct in zip(alone, *teams, expected, strict=True):
            assert got.tobytes() == two.tobytes() == three.tobytes()
            np.testing.assert_allclose(got, correct, rtol=0, atol=1e-9 * max(1.0, np.abs(correct).max()))


DIVIDED = {  # widths; samples in a batch
    "near weights": ((784, 32, 784), 64),
    "weights that are not near": ((1001, 37, 1001), 33),  # but a half of them alone would be
    "least": ((513, 8, 513), 16),
    "many samples": ((1024, 90, 1024), 192),
    "too many samples": ((784, 90, 784), 193),
    "most samples": ((784, 40, 2, 60, 784), 273),
    "too wide": ((1025, 5, 1025), 64),
    "two blocks of samples": ((784, 70, 3, 70, 640), 130),
    "inputs alone": ((784, 30, 100), 48),
    "outputs alone": ((100, 30, 784), 48),
}
SOURCES = [(net, "x") for net in DIVIDED] + [("near weights", kind) for kind in ("uint8", "strided", "target apart")]


@DTYPES
@pytest.mark.parametrize(("net", "source"), SOURCES)
def test_halves_of_features(compiled, net, source, dtype, rng):
    """Plain SGD on one to three threads, last batches of 1, 16 and 17 samples, samples of any kind."""
    widths, batch = DIVIDED[net]
    layers, close = layers_of(widths, "sigmoid"), 1e-9 if dtype == "float64" else 2e-5
    start, rates = weights_of(layers, rng).astype(dtype), (0, 0.5, 0.0, False, 0.0, 0, 0)
    for rest in (1, 16, 17):
        rows = 4 * batch + rest
        x, target = rng.random((rows, widths[0])).astype(dtype), rng.random((rows, widths[-1])).astype(dtype)
        if source == "uint8":
            x = rng.integers(0, 256, x.shape).astype("uint8")
        if source == "strided":
            x = np.asfortranarray(x)[::-1]
        if widths[0] == widths[-1] and source != "target apart":
            target = x
        results = []
        for module, n_threads in ((compiled, 1), (compiled, 2), (compiled, 3), (reference, 1)):
            w = start.astype("float64" if module is reference else dtype)
            plan = module.Plan(layers, w, None, batch, L("mse"), n_threads)
            done, total = plan.run(x, target, None, 0, rows, rates)
            assert done == rows
            results.append((w, total / rows))
        (alone, loss), (two, loss_of_two), (three, loss_of_three), (expected, correct) = results
        assert alone.tobytes() == two.tobytes() == three.tobytes()
        assert loss == loss_of_two == loss_of_three
        np.testing.assert_allclose(alone, expected, rtol=0, atol=close)
        np.testing.assert_allclose(loss, correct, rtol=close)


@DTYPES
@pytest.mark.parametrize("column", [0, 399, 400, 783])
def test_two_members_stop_before_a_step_that_is_not_finite(compiled, column, dtype, rng):
    """Whoever of them sees it; and the plan goes on from the steps before."""
    layers, rates = layers_of((784, 32, 784), "sigmoid"), (0, 0.5, 0.0, False, 0.0, 0, 0)
    start, x = weights_of(layers, rng).astype(dtype), rng.random((256, 784)).astype(dtype)
    x[170, column] = np.inf
    results = []
    for n_threads, rows in ((2, 256), (2, 128), (1, 256)):
        w, gradients = start.copy(), np.zeros_like(start)
        plan = compiled.Plan(layers, w, None, 64, L("mse"), n_threads)
        done, total = plan.run(x, x, None, 0, rows, rates, gradients)
        assert done == 128
        assert plan.run(x, x, None, 192, 256, rates)[0] == 64
        results.append((w.tobytes(), total, gradients.tobytes()))
    assert results[0] == results[1] == results[2]


def test_fewer_threads_from_run_to_run(compiled, rng):
    """The penalty kl keeps all blocks of a batch at once: of two members each has more than of eight."""
    layers = [(3000, 20, A("sigmoid"), True), (20, 3000, 0, True)]
    start, x = weights_of(layers, rng).astype("float32"), rng.random((768, 3000), "float32")
    results = []
    for numbers in ((1, 1, 1), (8, 2, 3)):
        w = start.copy()
        plan = compiled.Plan(layers, w, None, 768, L("mse"), 1, None, Recipe(code=0, kl=0.1))
        for n in numbers:
            plan.n_threads = n
            assert plan.run(x, x, None, 0, 768, (0, 0.1, 0.0, False, 0.0, 0, 0))[0] == 768
        results.append(w.tobytes())
    assert results[0] == results[1]


def test_a_loss_of_ones_own_in_a_recipe(compiled, rng):
    numba = pytest.importorskip("fastae._kernels.numba.rows")
    if not hasattr(compiled, "define"):
        pytest.skip("this backend learns no functions")
    functions = numba.compiled("loss", lambda y, t: (y - t) * (y - t), None, "float64")
    number = len(LOSSES) + 900
    compiled.define("loss", number, np.dtype("float64"), [f.address for f in functions])
    for case in ("missing", "feature weights", "sample weights"):
        problem = problem_of((CASES[case][0], "mse", CASES[case][2]), 50, rng)
        start = weights_for(problem, rng)
        own = (*problem[:2], number, *problem[3:])
        for got, expected in zip(*(train(compiled, p, start, "float64", 20) for p in (own, problem)), strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
