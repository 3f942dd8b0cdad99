"""Activations and losses of one's own: the same as the built-in ones of the same formula, in every backend; what is refused."""

import copy
import math
import os
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
from gradcheck import central_differences, relative_error

import fastae
from fastae import Autoencoder, Linear, Sequential, Trainer, functions
from fastae._kernels.names import ACTIVATIONS, LOSSES

numba = pytest.importorskip("numba")
njit = numba.njit

OWN_BACKENDS = pytest.mark.parametrize("backend", ["numpy", "cython", "numba"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])

# With a branch and without, each against the built-in one of its name.
ACTIVATION = {
    "tanh": fastae.activation(lambda x: math.tanh(x), name="own tanh"),
    "sigmoid": fastae.activation(lambda x: 1 / (1 + math.exp(-x)), name="own sigmoid"),
    "relu": fastae.activation(lambda x: max(x, 0.0), lambda x: 1.0 if x > 0 else 0.0, "own relu"),
    "elu": fastae.activation(lambda x: x if x > 0 else math.expm1(x), name="own elu"),
    "silu": fastae.activation(lambda x: x / (1 + math.exp(-x)), name="own silu"),
}
LOSS = {
    "mse": fastae.loss(lambda y, t: (y - t) ** 2, name="own mse"),
    "bce_with_logits": fastae.loss(
        lambda y, t: max(y, 0) + math.log1p(math.exp(-abs(y))) - y * t,
        lambda y, t: 1 / (1 + math.exp(-y)) - t,
        "own cross-entropy",
        targets=(0, 1),
    ),
}


def available(backend):
    from fastae import _kernels

    if backend in _kernels.missing():
        pytest.skip(f"{backend} does not load here")
    return backend


def trained(activation, loss, backend, dtype, batch_size):
    """Weights and losses after two epochs; the last layer is linear."""
    rng = np.random.default_rng(3)
    layers = [Linear(*n, f, True, dtype, rng, available(backend)) for n, f in (((21, 18), activation), ((18, 21), "identity"))]
    for layer in layers:  # the same whatever the activation's name says of the start
        layer.weight = rng.uniform(-0.4, 0.4, layer.weight.shape)
    network = Sequential(*layers)
    trainer = Trainer(network, fastae.SGD(0.05, momentum=0.9), loss=loss, batch_size=batch_size, seed=0)
    history = trainer.fit(np.random.default_rng(4).random((83, 21)), epochs=2)
    return network.parameters, np.array(history.loss)


@OWN_BACKENDS
@DTYPES
@pytest.mark.parametrize("batch_size", [1, 7, 40])
@pytest.mark.parametrize(("name", "loss"), [*((name, "mse") for name in ACTIVATION), ("tanh", "bce_with_logits")])
def test_it_trains_as_the_built_in_one(backend, dtype, batch_size, name, loss):
    expected = trained(name, loss, backend, dtype, batch_size)
    got = trained(ACTIVATION[name], LOSS[loss], backend, dtype, batch_size)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=3e-6 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("n", [1, 15, 16, 100])
@pytest.mark.parametrize("backend", ["cython", "numba"])
def test_inference_on_threads(backend, n):
    model = Autoencoder([40, 33, 5], activation=ACTIVATION["elu"], seed=0, backend=available(backend))
    same = Autoencoder([40, 33, 5], activation="elu", seed=0, backend=backend)
    for ours, theirs in zip(model.layers, same.layers, strict=True):
        ours.weight = theirs.weight
    x = np.random.default_rng(0).normal(size=(n, 40))
    np.testing.assert_allclose(model.encode(x), same.encode(x), atol=1e-6)
    assert np.array_equal(model.encode(x, n_threads=1), model.encode(x, n_threads=2))


@OWN_BACKENDS
def test_gradients_agree_with_finite_differences(backend):
    swish = fastae.activation(lambda x: x * math.exp(-x * x), name="bump")
    cosh = fastae.loss(lambda y, t: math.log(math.cosh(y - t)), name="log cosh")
    rng = np.random.default_rng(0)
    network = Sequential(*(Linear(*n, swish, True, "float64", rng, available(backend)) for n in ((5, 4), (4, 5))))
    x = rng.normal(size=(20, 5))
    trainer = Trainer(network, fastae.SGD(1e-300), loss=cosh, batch_size=20)
    trainer.step(x)
    gradients = network.gradients.copy()
    expected = central_differences(lambda _: trainer.evaluate(x), network.parameters)
    assert relative_error(gradients, expected) < 1e-6
    assert trainer.evaluate(x) == pytest.approx(np.mean(np.log(np.cosh(network.forward(x) - x))), rel=1e-12)


# Every function and operator that dual.py and python.py define, with a branch (compiled number by number) and without.
FORMULAS = {
    "exp": lambda x: math.exp(-x),
    "expm1": lambda x: math.expm1(x / 4),
    "log": lambda x: math.log(x * x + 1),
    "log1p": lambda x: math.log1p(abs(x)),
    "sqrt": lambda x: math.sqrt(x * x + 0.5),
    "tanh": lambda x: math.tanh(x),
    "sin": lambda x: math.sin(x) + math.cos(2 * x),
    "atan": lambda x: math.atan(x),
    "tan": lambda x: math.tan(x / 8),
    "sinh": lambda x: math.sinh(x / 4) - math.cosh(x / 4),
    "asinh": lambda x: math.asinh(x),
    "erf": lambda x: math.erf(x) * math.erfc(x),
    "fabs": lambda x: math.fabs(x - 1),
    "powers": lambda x: x**3 - x**2 / 2 + (x * x + 1) ** 0.5 + (x * x + 1) ** -2,
    "min": lambda x: min(max(x, -1), 1),
    "constant": lambda x: 2.0,
    "identity": lambda x: x,
    "quotient": lambda x: (1 - x) / (2 + abs(x)) - 3 / (x * x + 1),
    "if": lambda x: -x if x <= 0 else x / 2,
    "numbers": lambda x: 0 if x < -1 else 1 if x > 1 else x,
    "loop": lambda x: of_loop(x),
    "pow": lambda x: math.pow(abs(x) + 1, 1.5) + 2**x + (abs(x) + 1) ** x / 10,
    "logs": lambda x: math.log2(x * x + 1) + math.log10(x * x + 2),
    "inverse": lambda x: math.asin(x / 10) + math.acos(x / 11) + math.atanh(x / 12) + math.acosh(x * x + 2),
    "three": lambda x: max(x, -x, 0.5) + min(x, 1.0, 2.0),
    "copysign": lambda x: math.copysign(x * x, x),
    "numpy": lambda x: np.tanh(x) + np.exp(-x * x) + np.maximum(x, 0.0) + np.log1p(np.abs(x)) + np.sin(+x),
    "tiny": lambda x: x**0 * x,
}


@njit
def of_loop(x):
    total = 0.0
    for i in range(3):
        total += 2 * x**i
    return total


@pytest.mark.parametrize("name", FORMULAS)
@DTYPES
def test_the_derived_derivative(name, dtype):
    f = FORMULAS[name]
    own = fastae.activation(f, name=f"formula {name}")
    layer = Linear(1, 1, own, dtype=dtype, backend="numpy")
    layer.weight, x = np.ones((1, 1)), np.linspace(-6, 6, 77)[:, None] + 0.0011
    np.testing.assert_allclose(
        layer.forward(x), np.vectorize(f, otypes=[float])(x), rtol=2e-6, atol=1e-6 if dtype == "float32" else 1e-12
    )
    h = 1e-6
    quotient = (np.vectorize(f, otypes=[float])(x + h) - np.vectorize(f, otypes=[float])(x - h)) / (2 * h)
    np.testing.assert_allclose(layer.backward(np.ones_like(x, dtype)), quotient, rtol=2e-5, atol=2e-5)


def test_by_name():
    assert Linear(2, 2, "own tanh", backend="numpy").activation_number == ACTIVATION["tanh"].number
    again = fastae.activation(lambda x: 2 * math.tanh(x), name="own twice")
    with pytest.warns(UserWarning, match="'own twice' was made before"):
        last = fastae.activation(lambda x: 3 * math.tanh(x), name="own twice")
    assert again.number != last.number
    assert functions.find("activation", "own twice") is last
    assert repr(last) == "fastae.activation(own twice)"
    unnamed = fastae.activation(lambda x: x)
    assert unnamed.name == f"lambda {unnamed.number - len(ACTIVATIONS) + 1}"
    assert len(ACTIVATIONS) <= again.number
    assert LOSS["mse"].number >= len(LOSSES)


def test_a_model_is_saved_with_the_name(tmp_path):
    model = Autoencoder([4, 3], activation=ACTIVATION["silu"], latent_activation=ACTIVATION["tanh"], seed=0)
    model.save(tmp_path / "m.safetensors")
    x = np.random.default_rng(0).random((5, 4))
    for same in (fastae.load(tmp_path / "m.safetensors"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert same.layers[0].activation == "own tanh"
        assert np.array_equal(same.reconstruct(x), model.reconstruct(x))
    code = "import sys, fastae; fastae.load(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "m.safetensors"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "'own tanh'" in done.stderr
    assert "fastae.activation" in done.stderr


def test_a_trainer_can_be_pickled():
    trainer = Trainer(Autoencoder([4, 3], seed=0), fastae.SGD(0.1), loss=LOSS["mse"], batch_size=4, seed=0)
    x = np.random.default_rng(0).random((8, 4))
    trainer.fit(x, epochs=1)
    again = pickle.loads(pickle.dumps(trainer))
    assert again.fit(x, epochs=1).loss == trainer.fit(x, epochs=1).loss


def a_text(x):
    return "1"


def a_truth(x):
    return x > 0


def a_root(x):
    return math.sqrt(x)


def not_a_number(x):
    return math.nan if x > 3 else x


def an_infinity(x):
    return math.inf if x > 3 else x


def with_an_import(x):
    import os

    return x * len(os.sep)


def with_a_class(x):
    return type("Made", (), {"value": x}).value


def square(x):
    return x * x


def half_of_its_slope(x):
    return x


def of_random(x):
    return x + random.random()


@pytest.mark.parametrize(
    ("arguments", "error", "parts"),
    [
        ((3,), TypeError, ["f takes a Python function, got 3"]),
        ((square, 3), TypeError, ["df takes a Python function, got 3"]),
        ((square, None, 3), TypeError, ["name takes a string that is not empty, got 3"]),
        ((square, None, "relu"), ValueError, ["relu", "softplus", "'relu'"]),
        ((a_text,), TypeError, ["'a_text'", "test_functions.py:", "must return a number", "'1'"]),
        ((a_truth,), TypeError, ["'a_truth'", "test_functions.py:", "must return a number", "False"]),
        ((a_root,), ValueError, ["'a_root'", "test_functions.py:", "raises ValueError at x = -7.997"]),
        ((not_a_number,), ValueError, ["'not_a_number'", "must be finite; at x = 3", "nan"]),
        ((an_infinity,), ValueError, ["'an_infinity'", "must be finite; at x = 3", "inf"]),
        ((with_an_import,), TypeError, ["'with_an_import'", "test_functions.py:", "Numba can compile"]),
        ((with_a_class,), TypeError, ["'with_a_class'", "test_functions.py:", "Numba can compile"]),
        ((of_random,), ValueError, ["'of_random'", "when compiled, but"]),
        ((square, half_of_its_slope), ValueError, ["derivative at x = -7.997 is -7.997", "quotient of the function -15.994"]),
        ((square, a_root), ValueError, ["raises ValueError at x = -7.997"]),
        ((square, lambda x: math.nan), ValueError, ["must be finite"]),
    ],
)
def test_what_is_refused(arguments, error, parts):
    before = functions._made["activation"][:]
    with pytest.raises(error) as caught:
        fastae.activation(*arguments)
    for part in parts:
        assert part in str(caught.value).replace("\n", " ")
    assert functions._made["activation"] == before


def test_a_loss_that_is_refused():
    with pytest.raises(ValueError, match=r"derivative at y = .* is .*, but the difference quotient"):
        fastae.loss(lambda y, t: (y - t) ** 2, lambda y, t: y - t)
    with pytest.raises(ValueError, match=r"raises ValueError at y = -2.86"):
        fastae.loss(lambda y, t: t * math.log(y))
    fastae.loss(lambda y, t: -t * math.log(y), outputs=(0.1, 1), targets=(0, 1))
    for bad in ((1,), 3, (2, 1), (0, math.inf), ("a", "b")):
        with pytest.raises((TypeError, ValueError), match=r"outputs takes"):
            fastae.loss(lambda y, t: y - t, outputs=bad)


def test_one_kind_is_not_the_other():
    with pytest.raises(ValueError, match=r"what fastae\.activation makes"):
        Linear(2, 2, LOSS["mse"])
    with pytest.raises(ValueError, match=r"what fastae\.loss makes"):
        Trainer(Autoencoder([4, 2]), fastae.SGD(), loss=ACTIVATION["tanh"])


def test_numbers_that_nobody_has_made(kernels):
    z = np.zeros((2, 2), np.float32)
    with pytest.raises(IndexError, match="no activation 900"):
        kernels.activate(900, z, z.copy(), 1)
    with pytest.raises(IndexError, match="no loss 900"):
        kernels.loss(900, z, z, None, 1)


def test_without_numba():
    code = "import sys; sys.modules['numba'] = None; import fastae; fastae.activation(lambda x: x)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert "pip install fastae[numba]" in done.stderr


def test_numba_is_imported_where_it_is_used_alone():
    code = "import sys, fastae; fastae.Autoencoder([4, 2]); assert not {'numba', 'llvmlite'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def stops(x):
    if x >= 30:
        raise ValueError
    return -x


@OWN_BACKENDS
def test_an_exception_is_not_a_number(backend):
    """Outside of what was checked a function may raise: its value is NaN then, and training stops."""
    own = fastae.activation(stops)
    model = Sequential(Linear(1, 3, own, seed=0, backend=available(backend)), Linear(3, 1, seed=0, backend=backend))
    model.layers[0].weight, model.layers[0].bias = np.ones((3, 1)), [0, 100, 0]
    x = np.arange(20.0)[:, None]
    assert np.isnan(model.layers[0].forward(x)).sum(axis=0).tolist() == [0, 20, 0]
    with pytest.raises(fastae.DivergenceError):
        Trainer(model, fastae.SGD(0.1), batch_size=20).fit(x, epochs=1)


@DTYPES
@pytest.mark.parametrize("name", ["silu", "sigmoid"])
def test_a_derived_slope_does_not_overflow(name, dtype):
    z = np.array([[-1000.0], [-100], [-88.5], [-50], [0], [50], [1000]])
    slopes = []
    for activation in (ACTIVATION[name], name):
        layer = Linear(1, 1, activation, dtype=dtype, backend="numpy")
        layer.weight = [[1.0]]
        layer.forward(z)
        slopes.append(layer.backward(np.ones_like(z, dtype)))
    np.testing.assert_allclose(*slopes, rtol=1e-5, atol=1e-18)


@pytest.mark.parametrize(
    ("f", "slope"), [(lambda x: max(x, 0.0), 0.5), (lambda x: min(0.0, x), 0.5), (lambda x: abs(x), 0), (lambda x: x**0 * x, 1)]
)
def test_slopes_at_kinks_and_zero(f, slope):
    layer = Linear(1, 1, fastae.activation(f), seed=0, backend="numpy")
    layer.weight = [[1.0]]
    layer.forward([[0.0]])
    assert layer.backward([[1.0]])[0, 0] == slope


FACTOR = 1.0


def scaled(x):
    return FACTOR * x


def test_values_are_those_of_the_moment_it_is_made(monkeypatch):
    own = fastae.activation(scaled)
    assert fastae.activation(scaled) is own
    in_a_loop = [fastae.activation(lambda x: i * x, name=f"times {i}") for i in (1.0, 2.0, 3.0)]  # noqa: B023
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 2.0)
    for function, factor in ((own, 1), *zip(in_a_loop, (1, 2, 3), strict=True)):
        for dtype in ("float32", "float64"):
            layer = Linear(1, 1, function, dtype=dtype, backend="numpy")
            layer.weight = [[1.0]]
            assert layer.forward([[1.0]])[0, 0] == factor
    with pytest.warns(UserWarning, match="'scaled' was made before"):
        assert fastae.activation(scaled) is not own


def test_copies_keep_their_function():
    first = fastae.activation(lambda x: 2 * x, name="own copied")
    model = Autoencoder([5, 2], activation=first, latent_activation=first, seed=0)
    trainer = Trainer(model, fastae.SGD(0.1), loss=LOSS["mse"], batch_size=4)
    with pytest.warns(UserWarning, match="made before"):
        fastae.activation(lambda x: 3 * x, name="own copied")
    x = np.random.default_rng(0).random((4, 5))
    assert np.array_equal(copy.deepcopy(model).encode(x), model.encode(x))
    assert np.array_equal(copy.deepcopy(trainer).model.encode(x), model.encode(x))


def test_a_lambda_without_a_name_is_not_saved(tmp_path):
    model = Autoencoder([4, 2], latent_activation=fastae.activation(lambda x: 2 * x), seed=0)
    with pytest.raises(ValueError, match=r"'lambda \d+', by which nothing finds it again; make it with a name="):
        model.save(tmp_path / "m.safetensors")


def test_a_slope_near_a_pole_is_not_taken_for_wrong():
    fastae.activation(lambda x: 1 / x, name="own reciprocal")
    fastae.activation(lambda x: math.sqrt(abs(x)), name="own root")


def test_without_compilation():
    code = "import fastae\ntry:\n    fastae.set_backend('numba')\nexcept ImportError as error:\n    print(error)"
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert "NUMBA_DISABLE_JIT is set" in done.stdout
