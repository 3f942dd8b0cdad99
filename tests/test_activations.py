"""Every activation in every module of kernels: pinned values, special numbers, accuracy in ulp, tails of rows."""

import math

import numpy as np
import pytest

from fastae._kernels import reference
from fastae._kernels.names import ACTIVATIONS, LOSSES, keeps_input

INF = math.inf
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
ALL = pytest.mark.parametrize("name", ACTIVATIONS)

# (z, f(z), f'(z)) worked out by hand or with Python's math. A wrong number in names.py or in the C enum fails at z = -1.
PINS = {
    "identity": [(0, 0, 1), (-1, -1, 1), (100, 100, 1), (-100, -100, 1), (1e4, 1e4, 1), (-1e4, -1e4, 1)],
    "relu": [(0, 0, 0), (-0.0, 0, 0), (1e-30, 1e-30, 1), (-1, 0, 0), (100, 100, 1), (-100, 0, 0), (1e4, 1e4, 1), (-1e4, 0, 0)],
    "leaky_relu": [
        *((0, 0, 0.01), (-0.0, 0, 0.01), (1e-30, 1e-30, 1), (-1, -0.01, 0.01)),
        *((100, 100, 1), (-100, -1, 0.01), (1e4, 1e4, 1), (-1e4, -100, 0.01)),
    ],
    "elu": [
        *((0, 0, 1), (-0.0, 0, 1), (1, 1, 1), (-1, math.expm1(-1), math.exp(-1)), (-1e-30, -1e-30, 1)),
        *((100, 100, 1), (-100, -1, 0), (1e4, 1e4, 1), (-1e4, -1, 0)),
    ],
    "sigmoid": [
        *((0, 0.5, 0.25), (-0.0, 0.5, 0.25), (-1, 0.2689414213699951, 0.19661193324148185)),
        *((100, 1, 0), (-100, math.exp(-100), math.exp(-100)), (1e4, 1, 0), (-1e4, 0, 0)),
    ],
    "tanh": [
        *((0, 0, 1), (-0.0, 0, 1), (-1, math.tanh(-1), 0.41997434161402607), (1e-30, 1e-30, 1)),
        *((100, 1, 0), (-100, -1, 0), (1e4, 1, 0), (-1e4, -1, 0)),
    ],
    "softplus": [
        *((0, math.log(2), 0.5), (-0.0, math.log(2), 0.5), (-1, 0.31326168751822286, 0.2689414213699951)),
        *((100, 100, 1), (-100, math.exp(-100), math.exp(-100)), (1e4, 1e4, 1), (-1e4, 0, 0)),
    ],
    "gelu": [
        *((0, 0, 0.5), (-0.0, 0, 0.5), (-1, -0.15865525393145705, -0.08331547058768629)),
        *((100, 100, 1), (-100, 0, 0), (1e4, 1e4, 1), (-1e4, 0, 0)),
    ],
    "silu": [
        *((0, 0, 0.5), (-0.0, 0, 0.5), (-1, -0.2689414213699951, 0.07232948812851325)),
        *((100, 100, 1), (-100, -100 * math.exp(-100), -99 * math.exp(-100)), (1e4, 1e4, 1), (-1e4, 0, 0)),
    ],
}

# (y, target, loss, its slope) of one element.
LOSS_PINS = {
    "half_squared": [(0.25, 1, 0.28125, -0.75), (-3, 1, 8, -4)],
    "mse": [(0.25, 1, 0.5625, -1.5), (-3, 1, 16, -8)],
    "bce": [
        *((0.25, 1, -math.log(0.25), -4), (0.25, 0, -math.log(0.75), 4 / 3), (0.25, 0.25, 0.5623351446188083, 0)),
        *((0, 0, 0, 0), (1, 1, 0, 0), (0, 1, 100, -1e12), (1, 0, 100, 1e12), (0, 0.25, 25, -0.25e12)),  # PyTorch's clamps
    ],
    "bce_with_logits": [
        *((0, 1, math.log(2), -0.5), (2, 0, 2.1269280110429727, 0.8807970779778823), (2, 1, 0.12692801104297252, -0.11920292)),
        *((100, 1, 0, 0), (-100, 1, 100, -1), (1e4, 0, 1e4, 1), (-1e4, 0, 0, 0)),
    ],
    "mae": [(0.25, 1, 0.75, -1), (3, 1, 2, 1), (1, 1, 0, 0)],
    "huber": [(0.25, 1, 0.28125, -0.75), (3, 1, 1.5, 1), (0, 1, 0.5, -1), (-3, 1, 3.5, -1), (1, 1, 0, 0)],
    "poisson": [(0, 2, 1, -1), (math.log(3), 3, 3 - 3 * math.log(3), 0), (-200, 1, 200, -1), (2, 0, math.e**2, math.e**2)],
}


def value(kernels, name, z):
    y = np.empty_like(z)
    kernels.activate(ACTIVATIONS.index(name), z, y, 1)
    return y


def slope(kernels, name, z, y):
    number = ACTIVATIONS.index(name)
    dz = np.empty_like(z)
    kernels.differentiate(number, z if keeps_input(number) else y, np.ones_like(z), dz, 1)
    return dz


@DTYPES
@ALL
def test_pinned_values_and_slopes(kernels, name, dtype):
    z, y, dy = (np.array(column, dtype)[None] for column in zip(*PINS[name], strict=True))
    # 1e-43 is some 70 of the smallest float32: silu multiplies a subnormal sigmoid by -100.
    close = {"rtol": 4 * np.finfo(dtype).eps, "atol": 1e-43 if dtype == "float32" else 1e-300}
    got = value(kernels, name, z)
    np.testing.assert_allclose(got, y, **close)
    np.testing.assert_allclose(slope(kernels, name, z, got), dy, **close | {"rtol": 8 * np.finfo(dtype).eps})


# Of losses that are no sums over features: outputs, target, loss, slopes.
ROW_PINS = {
    "multinomial": [
        ([0, math.log(3)], [2, 1], 2 * math.log(4) + math.log(4 / 3), [-1.25, 1.25]),
        ([1000, 0], [0, 1], 1000, [1, -1]),
        ([-1000, 5], [0, 0], 0, [0, 0]),
    ],
    "cosine": [
        ([3, 4], [4, 3], 0.04, [-0.0448, 0.0336]),
        ([-2, 0], [5, 0], 2, [0, 0]),
        ([0, 0], [2, 0], 1, [-1e8, 0]),  # norms of at least 1e-8
    ],
}


@DTYPES
@pytest.mark.parametrize("name", ROW_PINS)
def test_pinned_losses_of_rows(kernels, name, dtype):
    y, target, expected, slopes = (np.array(column, dtype) for column in zip(*ROW_PINS[name], strict=True))
    sums, dy, close = np.empty(3), np.empty_like(y), {"rtol": 1e-6, "atol": 3e-7}
    kernels.sample_losses(LOSSES.index(name), y, target, sums, 1)
    np.testing.assert_allclose(sums, expected, **close)
    assert kernels.loss(LOSSES.index(name), y, target, dy, 1) == pytest.approx(expected.mean(), rel=1e-6)
    np.testing.assert_allclose(3 * dy, slopes, **close)


@DTYPES
@pytest.mark.parametrize("name", LOSS_PINS)
def test_pinned_losses(kernels, name, dtype):
    assert LOSS_PINS.keys() | ROW_PINS.keys() == set(LOSSES)
    for y, target, expected, expected_slope in LOSS_PINS[name]:
        y, target, dy = (np.full((1, 1), number, dtype) for number in (y, target, math.nan))
        got = kernels.loss(LOSSES.index(name), y, target, dy, 1)
        np.testing.assert_allclose([got, dy[0, 0]], [expected, expected_slope], rtol=1e-6, atol=1e-9)


@DTYPES
@pytest.mark.parametrize("y", [-0.5, 1.5, -INF, INF, math.nan])
def test_bce_of_what_is_no_probability_is_nan(kernels, y, dtype):
    with np.errstate(invalid="ignore", divide="ignore"):
        for target in (0, 0.25, 1):
            given, goal = (np.full((1, 1), number, dtype) for number in (y, target))
            assert math.isnan(kernels.loss(LOSSES.index("bce"), given, goal, None, 1))


@DTYPES
@ALL
def test_nan_stays_nan_in_its_own_element(kernels, name, dtype, rng):
    z = rng.uniform(-3, 3, (1, 67)).astype(dtype)
    holes = rng.random(z.shape) < 0.3
    with np.errstate(invalid="ignore"):
        y = value(kernels, name, np.where(holes, z.dtype.type(math.nan), z))
    assert (np.isnan(y) == holes).all()
    np.testing.assert_allclose(y[~holes], value(kernels, name, z)[~holes], rtol=1e-6)


@DTYPES
def test_infinities(kernels, dtype):
    z = np.array([[INF, -INF]], dtype)
    limits = {"relu": (INF, 0), "leaky_relu": (INF, -INF), "elu": (INF, -1), "sigmoid": (1, 0), "tanh": (1, -1)}
    limits |= {"identity": (INF, -INF), "softplus": (INF, 0)}
    limits |= {"gelu": (INF, math.nan), "silu": (INF, math.nan)}  # -inf * 0, as in PyTorch
    with np.errstate(invalid="ignore", over="ignore"):
        for name in ACTIVATIONS:
            np.testing.assert_array_equal(value(kernels, name, z)[0], np.array(limits[name], dtype), err_msg=name)


# ---- accuracy --------------------------------------------------------------------------------------------------------

# Largest error in float32 ulp of the result: of the compiled kernels, over all float32 (measured: elu 1.16, sigmoid 2.41,
# tanh 2.50, softplus 1.99, silu 3.29, gelu 7.6 for z > -3), and a looser one of NumPy, whose exp depends on its version.
# gelu's tail loses z^2 / 2 ulp from rounding the exponent -z^2 / 2; silu below -87 multiplies a subnormal.
ULP = {
    "identity": (0, 0),
    "relu": (0, 0),
    "leaky_relu": (0.85, 0.85),
    "elu": (1.2, 4.5),
    "sigmoid": (2.5, 5),
    "tanh": (2.5, 4.5),
    "softplus": (2.1, 5),
    "silu": (3.4, 6),
    "gelu": (8.5, 14),
}


@pytest.fixture(scope="module")
def float32_values():
    """About half a million float32 numbers from all of them: both signs, subnormals, up to the largest."""
    values = np.arange(0, 1 << 32, 8191, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return values[np.isfinite(values)][None]


@pytest.fixture(scope="module", params=ACTIVATIONS)
def exact(request, float32_values):
    """Name of an activation, and its value and slope in float64 at these numbers."""
    z = float32_values.astype(np.float64)
    y = value(reference, request.param, z)
    return request.param, y, slope(reference, request.param, z, y)


def test_accuracy_in_float32(kernels, exact, float32_values):
    name, y, dy = exact
    z = float32_values
    with np.errstate(over="ignore", under="ignore"):
        got = value(kernels, name, z)
        error = np.abs(got - y) / np.spacing(np.abs(y).astype(np.float32))
        got_slope = slope(kernels, name, z, got)
    lowest = {"gelu": -3, "silu": -87}.get(name, -INF)
    worst = np.argmax(np.where(z > lowest, error, 0))
    assert error[0, worst] <= ULP[name][kernels is reference], f"{name}({z[0, worst]}) = {got[0, worst]}, exactly {y[0, worst]}"
    tail = error[z <= lowest]
    assert tail.max(initial=0) <= (250 if kernels is reference else 70)
    # Slopes lie between -0.13 and 1.13. From a y rounded in float32 they are good to some eps (silu: z (1 - s), 8.2).
    assert np.abs(got_slope - dy).max() <= (9 if name == "silu" else 2.5) * np.finfo(np.float32).eps


@ALL
def test_accuracy_in_float64(compiled, name):
    """Within 8 eps of NumPy's, relative, where the result is not tiny."""
    z = np.linspace(-20, 20, 40001)[None]
    y, expected = value(compiled, name, z), value(reference, name, z)
    np.testing.assert_allclose(y, expected, rtol=8 * np.finfo(np.float64).eps, atol=0)
    np.testing.assert_allclose(slope(compiled, name, z, y), slope(reference, name, z, y), rtol=0, atol=3e-15)


def test_accuracy_of_exponential_and_logarithm(compiled):
    """Where they show: sigmoid(z) is e^z below -17.5; cross-entropy is -log(y) for a target of 1, -log(1 - y) for 0."""
    bits = np.arange(np.float32(17.5).view(np.uint32), np.float32(103.9).view(np.uint32), 101, dtype=np.uint32)
    z = -bits.view(np.float32)[None]
    exact = np.exp(z, dtype=np.float64)
    assert (np.abs(value(compiled, "sigmoid", z) - exact) / np.spacing(exact.astype(np.float32))).max() <= 1.1

    y = np.arange(1, np.float32(1).view(np.uint32), 200003, dtype=np.uint32).view(np.float32)
    y = y[y > 1e-43]  # below, log is less than -100, the clamp
    for target, ulp, exact in ((1, 1.2, -np.log(y, dtype=np.float64)), (0, 1.5, -np.log1p(-y, dtype=np.float64))):
        t = np.full((1, 1), target, np.float32)
        got = np.array([compiled.loss(LOSSES.index("bce"), number[None, None], t, None, 1) for number in y])
        assert (np.abs(got - exact) / np.spacing(exact.astype(np.float32))).max() <= ulp


# ---- tails -----------------------------------------------------------------------------------------------------------


@DTYPES
@ALL
def test_runs_of_every_length(kernels, name, dtype, rng, guarded):
    """0 to 67 elements, out of place and in place: the same values whatever the length, nothing written beyond."""
    number = ACTIVATIONS.index(name)
    z = rng.uniform(-4, 4, (1, 67)).astype(dtype)
    dy = rng.uniform(-1, 1, z.shape).astype(dtype)
    y = value(kernels, name, z)
    kept = z if keeps_input(number) else y
    dz = dy * slope(reference, name, z, y)
    close = {"rtol": 0, "atol": 8 * np.finfo(dtype).eps}
    for n in range(68):
        z_n, kept_n, dy_n = (np.ascontiguousarray(array[:, :n]) for array in (z, kept, dy))
        for source, out in ((z_n, guarded((1, n), dtype)), [guarded((1, n), dtype, z_n)] * 2):
            kernels.activate(number, source, out, 1)
            np.testing.assert_allclose(out, y[:, :n], **close)
        for source, out in ((dy_n, guarded((1, n), dtype)), [guarded((1, n), dtype, dy_n)] * 2):
            kernels.differentiate(number, kept_n, source, out, 1)
            np.testing.assert_allclose(out, dz[:, :n], **close)
