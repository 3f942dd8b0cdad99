"""Every bad input: the type of the error, that it names the argument and what it got, and that no weight has changed.

fastae.ops and out= have their own: test_ops.py, test_autoencoder.py. Files: test_persistence.py, test_datasets.py.
"""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import fastae
from fastae import SGD, Autoencoder, Linear, Sequential, Trainer

N_IN, N_CODE, N_OUT = 6, 2, 4  # all different, so that none passes for another


@pytest.fixture
def s():
    """Something of everything, and samples that fit."""
    rng = np.random.default_rng(0)
    here = SimpleNamespace(
        model=Autoencoder([N_IN, 3, N_CODE], "tanh", seed=0),
        network=Sequential(Linear(N_IN, 5, "elu", seed=1), Linear(5, N_OUT, "sigmoid", seed=2)),
        layer=Linear(N_IN, N_OUT, "relu", seed=3),
        x=rng.random((9, N_IN)),
        y=rng.random((9, N_OUT)),
    )
    here.trainer = Trainer(here.model, SGD(0.1, 0.9), batch_size=4, seed=0)
    here.mapper = Trainer(here.network, SGD(0.1, 0.9), "bce", batch_size=4, seed=0)  # with targets of their own
    here.network.forward(here.x)
    here.layer.forward(here.x)
    return here


def state(s):
    trained = [(t.steps, t.epochs) for t in (s.trainer, s.mapper)]
    numbers = [s.model.parameters, s.network.parameters, s.layer.weight, s.layer.bias]
    return [a.tobytes() for a in numbers], trained


def refused(s, call, errors, *words):
    """The call raises an error of these types, whose message holds the words in order, and changes nothing."""
    before = state(s)
    with pytest.raises(errors) as error:
        call()
    assert type(error.value) in ((errors,) if isinstance(errors, type) else errors)  # not a subclass such as a decoding error
    assert re.search(".*".join(words), str(error.value), re.DOTALL), str(error.value)
    assert state(s) == before


# ---- arrays of samples -----------------------------------------------------------------------------------------------

# name: the argument, its width, a call with it
ARRAYS = {
    "encode": ("x", N_IN, lambda s, a: s.model.encode(a)),
    "decode": ("z", N_CODE, lambda s, a: s.model.decode(a)),
    "reconstruct": ("x", N_IN, lambda s, a: s.model.reconstruct(a)),
    "reconstruction_error": ("x", N_IN, lambda s, a: s.model.reconstruction_error(a)),
    "encoder()": ("x", N_IN, lambda s, a: s.model.encoder(a)),
    "Sequential.forward": ("x", N_IN, lambda s, a: s.network.forward(a)),
    "Sequential.backward": ("dy", N_OUT, lambda s, a: s.network.backward(a)),
    "Linear.forward": ("x", N_IN, lambda s, a: s.layer.forward(a)),
    "Linear.backward": ("dy", N_OUT, lambda s, a: s.layer.backward(a)),
    "step": ("x", N_IN, lambda s, a: s.trainer.step(a)),
    "step target": ("target", N_OUT, lambda s, a: s.mapper.step(s.x, a)),
    "step x": ("x", N_IN, lambda s, a: s.mapper.step(a, s.y)),
    "fit": ("x", N_IN, lambda s, a: s.trainer.fit(a)),
    "fit target": ("target", N_OUT, lambda s, a: s.mapper.fit(s.x, a)),
    "fit x": ("x", N_IN, lambda s, a: s.mapper.fit(a, s.y)),
    "validation_data": ("validation_data", N_IN, lambda s, a: s.trainer.fit(s.x, validation_data=a)),
    "validation x": ("validation_data", N_IN, lambda s, a: s.mapper.fit(s.x, s.y, validation_data=(a, s.y))),
    "validation target": ("validation_data", N_OUT, lambda s, a: s.mapper.fit(s.x, s.y, validation_data=(s.x, a))),
    "evaluate": ("x", N_IN, lambda s, a: s.trainer.evaluate(a)),
    "evaluate target": ("target", N_OUT, lambda s, a: s.mapper.evaluate(s.x, a)),
}


def good(width):
    return np.random.default_rng(1).random((9, width), "float32")


def with_value(value, row=5, dtype="float32"):
    def make(width):
        a = good(width).astype(dtype)
        a[row, width - 1] = value
        return a

    return make


# name: a bad array of some width, the error, words of its message
BAD_ARRAYS = {
    "wider": (lambda w: good(w + 1), ValueError, lambda w: rf"\(samples, {w}\), got \(9, {w + 1}\)"),
    "narrower": (lambda w: good(w)[:, 1:], ValueError, lambda w: rf"\(samples, {w}\), got \(9, {w - 1}\)"),
    "no columns": (lambda w: good(w)[:, :0], ValueError, lambda w: r"got \(9, 0\)"),
    "one sample": (lambda w: good(w)[0], ValueError, lambda w: rf"got \({w},\).*reshape\(1, -1\)"),
    "flat": (lambda w: good(w).ravel(), ValueError, lambda w: rf"got \({9 * w},\)"),
    "images": (lambda w: good(w).reshape(9, w, 1), ValueError, lambda w: rf"got \(9, {w}, 1\).*reshape\(len\(.*\), -1\)"),
    "number": (lambda w: 1.5, ValueError, lambda w: r"got \(\)"),
    "empty": (lambda w: good(w)[:0], ValueError, lambda w: rf"is empty, of shape \(0, {w}\)"),
    "empty list": (lambda w: [], ValueError, lambda w: r"got \(0,\)"),
    "empty images": (lambda w: np.zeros((0, w, 1), "float32"), ValueError, lambda w: rf"\(0, {w}, 1\)"),
    "ragged": (lambda w: [[1.0] * w, [1.0]], ValueError, lambda w: rf"takes.*\(samples, {w}\)"),
    **{
        dtype: (lambda w, dtype=dtype: good(w).astype(dtype), TypeError, lambda w, dtype=dtype: f"takes float32.* got {dtype}")
        for dtype in ("int64", "int8", "uint16", "bool", "float16", "complex64", "complex128", "object")
    },
    "str": (lambda w: good(w).astype("U4"), TypeError, lambda w: "got <U4"),
    "date": (lambda w: good(w).astype("M8[D]"), TypeError, lambda w: r"got datetime64\[D\]"),
    "record": (lambda w: np.zeros((9, w), [("a", "f4")]), TypeError, lambda w: "got .*a.*f4"),
    "integers in lists": (lambda w: [[1] * w] * 9, TypeError, lambda w: "got int64"),
    "None in lists": (lambda w: [[None] * w] * 9, TypeError, lambda w: "got object"),
    "text": (lambda w: "x", TypeError, lambda w: "got str$"),
    "dict": (lambda w: {"x": 1}, TypeError, lambda w: "got dict$"),
    "NaN": (with_value(np.nan), ValueError, lambda w: f"NaN or infinity.*row 5, column {w - 1}"),
    "infinity": (with_value(np.inf, 0), ValueError, lambda w: f"NaN or infinity.*row 0, column {w - 1}"),
    "-infinity": (with_value(-np.inf, dtype="float64"), ValueError, lambda w: f"NaN or infinity.*row 5, column {w - 1}"),
}


@pytest.mark.parametrize("bad", BAD_ARRAYS)
@pytest.mark.parametrize("name", ARRAYS)
def test_bad_arrays(s, name, bad):
    argument, width, call = ARRAYS[name]
    make, error, words = BAD_ARRAYS[bad]
    refused(s, lambda: call(s, make(width)), error, argument, words(width))


@pytest.mark.parametrize("name", [name for name in ARRAYS if ARRAYS[name][0] in ("x", "z", "dy")])
def test_none_is_no_array(s, name):
    argument, _, call = ARRAYS[name]
    refused(s, lambda: call(s, None), TypeError, argument, "got NoneType$")


def test_nan_far_into_the_data_is_found_before_the_first_step(s):
    x = np.random.default_rng(0).random((9000, N_IN), "float32")
    x[8999, 3] = np.nan
    refused(s, lambda: s.trainer.fit(x), ValueError, "^x has NaN", "row 8999, column 3")
    refused(s, lambda: s.trainer.fit(s.x, validation_data=x), ValueError, "^validation_data has NaN", "row 8999, column 3")
    refused(s, lambda: s.trainer.fit(s.x, x[-9:]), ValueError, "^target has NaN", "row 8, column 3")
    refused(s, lambda: s.model.encode(x), ValueError, "^x has NaN", "row 8999, column 3")
    refused(s, lambda: s.model.reconstruction_error(x), ValueError, "^x has NaN", "row 8999, column 3")


def test_finite_numbers_that_a_float32_model_cannot_hold(s):
    x = s.x.copy()
    x[2, 1] = 1e300
    for call in (s.model.encode, s.layer.forward, s.model.reconstruction_error):
        refused(s, lambda call=call: call(x), ValueError, "^x ", "row 2, column 1")


# ---- pairs of arrays -------------------------------------------------------------------------------------------------

PAIRS = {
    "step": (lambda s: s.mapper.step(s.x, s.y[:8]), ["target", "as many samples as x, 9; got 8"]),
    "fit": (lambda s: s.mapper.fit(s.x[:8], s.y), ["target", "as many samples as x, 8; got 9"]),
    "evaluate": (lambda s: s.mapper.evaluate(s.x, s.y[:1]), ["target", "as many samples as x, 9; got 1"]),
    "validation": (lambda s: s.mapper.fit(s.x, s.y, validation_data=(s.x, s.y[:8])), ["validation_data", "9; got 8"]),
    "backward": (lambda s: s.layer.backward(s.y[:8]), ["dy", "as many samples as forward took, 9; got 8"]),
    "step without": (lambda s: s.mapper.step(s.x), ["target is needed", "6 features and gives 4"]),
    "fit without": (lambda s: s.mapper.fit(s.x), ["target is needed", "6 features and gives 4"]),
    "validation without": (lambda s: s.mapper.fit(s.x, s.y, validation_data=s.x), ["validation_data is needed", "6 .* 4"]),
    "reconstruction": (
        lambda s: Autoencoder(encoder=Sequential(Linear(6, 2)), decoder=Sequential(Linear(2, 4))).reconstruction_error(s.x),
        ["4 features for 6"],
    ),
    "batch_size": (lambda s: s.trainer.fit(s.x[:3]), ["batch_size", "number of samples, 3; got 4"]),
    "backward first": (lambda s: Linear(3, 2).backward(np.ones((1, 2))), ["forward"]),
    "parts": (
        lambda s: Autoencoder(encoder=Sequential(Linear(6, 2)), decoder=Sequential(Linear(3, 6))),
        ["decoder", "3 features", "encoder", "2"],
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_arrays_that_do_not_fit_each_other(s, name):
    call, words = PAIRS[name]
    refused(s, lambda: call(s), ValueError, *words)


# ---- targets of a cross-entropy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["bce", "bce_with_logits"])
@pytest.mark.parametrize("value", [-0.25, 1.5])
def test_targets_of_a_cross_entropy_are_from_0_to_1(s, loss, value):
    network = Sequential(Linear(N_IN, N_OUT, "sigmoid" if loss == "bce" else "identity", seed=0))
    own = Autoencoder([N_IN, 2], output_activation=network[0].activation, seed=0)
    s.network = network  # whose weights are looked at
    mapper, trainer = Trainer(network, SGD(0.1), loss, 4), Trainer(own, SGD(0.1), loss, 4)
    bad_y, bad_x = s.y.copy(), s.x.copy()
    bad_y[7, 2] = bad_x[7, 2] = value
    for argument, call in (
        ("target", lambda: mapper.fit(s.x, bad_y)),
        ("target", lambda: mapper.evaluate(s.x, bad_y)),
        ("target", lambda: mapper.step(s.x, bad_y)),
        ("target of validation_data", lambda: mapper.fit(s.x, s.y, validation_data=(s.x, bad_y))),
        ("x", lambda: trainer.fit(bad_x)),
        ("x", lambda: trainer.evaluate(bad_x)),
        ("x", lambda: trainer.step(bad_x)),
        ("validation_data", lambda: trainer.fit(s.x, validation_data=bad_x)),
    ):
        before = own.parameters.copy()
        refused(s, call, ValueError, argument, f"'{loss}'", "from 0 to 1, got", re.escape(f"{value:g}"))
        np.testing.assert_array_equal(own.parameters, before)
    mapper.step(bad_x, s.y)  # an input may be anything


# ---- weights ---------------------------------------------------------------------------------------------------------

WEIGHTS = {
    "weight shape": ("weight", np.zeros((N_IN, N_OUT)), [r"\(4, 6\)", r"\(6, 4\)"]),
    "weight flat": ("weight", np.zeros(N_IN * N_OUT), [r"\(4, 6\)", r"\(24,\)"]),
    "weight one number": ("weight", 0.0, [r"\(4, 6\)", r"\(\)"]),
    "weight complex": ("weight", np.zeros((N_OUT, N_IN), complex), ["complex128"]),
    "weight text": ("weight", np.full((N_OUT, N_IN), "1"), ["<U1"]),
    "weight object": ("weight", np.full((N_OUT, N_IN), None), ["object"]),
    "weight bool": ("weight", np.full((N_OUT, N_IN), True), ["bool"]),
    "weight NaN": ("weight", np.full((N_OUT, N_IN), np.nan), ["NaN or infinity"]),
    "weight too large": ("weight", np.full((N_OUT, N_IN), 1e300), ["too large for float32"]),
    "weight None": ("weight", None, ["object"]),
    "weight ragged": ("weight", [[1.0], [1.0, 2.0]], [r"\(4, 6\)"]),
    "bias shape": ("bias", np.zeros((N_OUT, 1)), [r"\(4,\)", r"\(4, 1\)"]),
    "bias infinite": ("bias", [0.0, 0.0, np.inf, 0.0], ["NaN or infinity"]),
    "bias None": ("bias", None, ["object"]),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_bad_weights(s, name):
    argument, value, words = WEIGHTS[name]
    refused(s, lambda: setattr(s.layer, argument, value), (ValueError, TypeError), argument, *words)
    state_dict = Sequential(Linear(N_IN, N_OUT)).state_dict() | {f"0.{argument}": value}
    network = Sequential(s.layer)
    refused(s, lambda: network.load_state_dict(state_dict), (ValueError, TypeError), rf"0\.{argument}", *words)


@pytest.mark.parametrize("bad", [None, [1, 2], "weights", 3])
def test_a_state_is_a_mapping(s, bad):
    for network in (s.model, s.network):
        refused(s, lambda network=network: network.load_state_dict(bad), (ValueError, TypeError), "state")


# ---- everything else -------------------------------------------------------------------------------------------------

EITHER = (TypeError, ValueError)
POSITIVE = [(0, ValueError), (-3, ValueError), (2.0, TypeError), ("2", TypeError), (None, TypeError), (True, TypeError)]


def numbers(call, argument, pairs):
    """Rows of the table for one argument: a call that takes its value, and bad values with their errors."""
    return [
        pytest.param(lambda s, bad=bad: call(s, bad), error, (argument, "takes", re.escape(str(bad))), id=f"{argument}={bad!r}")
        for bad, error in pairs
    ]


REAL = [(np.nan, ValueError), (np.inf, ValueError), ("0.1", TypeError), (None, TypeError), (True, TypeError), (1j, TypeError)]
UNKNOWN = [("swish", ValueError), ("", ValueError), ("RELU", ValueError), (None, EITHER), (1, EITHER), (["relu"], EITHER)]
SEEDS = [(-1, EITHER), (1.5, EITHER), ("seed", EITHER), (True, EITHER)]
THREADS = [(0, ValueError), (-1, ValueError), (257, ValueError), (1.0, TypeError), ("2", TypeError), (True, TypeError)]


def own(setting):
    """A change of the trainer's optimiser, which its next step refuses."""
    name, train = setting

    def call(s, bad):
        setattr(s.trainer.optimizer, name, bad)
        train(s)

    return call


TABLE = [
    *numbers(lambda s, n: Linear(n, 2), "n_in", POSITIVE),
    *numbers(lambda s, n: Linear(2, n), "n_out", POSITIVE),
    *numbers(lambda s, n: Autoencoder([4, n, 2]), "sizes", POSITIVE),
    *numbers(lambda s, n: Autoencoder(n), "sizes", [(a, EITHER) for a in ([], [4], 4, "64", {4, 2}, np.array(4))]),
    *numbers(lambda s, f: Linear(2, 2, f), "activation", UNKNOWN),
    *numbers(lambda s, f: Autoencoder([4, 3, 2], f), "activation", UNKNOWN),
    *numbers(lambda s, f: Autoencoder([4, 2], latent_activation=f), "latent_activation", UNKNOWN),
    *numbers(lambda s, f: Autoencoder([4, 2], output_activation=f), "output_activation", UNKNOWN),
    *numbers(
        lambda s, f: Linear(2, 2, dtype=f), "dtype", [(a, EITHER) for a in ("float16", "int64", "complex64", "f", 3, ">f4")[:3]]
    ),
    *numbers(lambda s, f: Linear(2, 2, dtype=f), "dtype", [(a, EITHER) for a in ("float16", "int64", "word", ">f4", 3, None)]),
    *numbers(lambda s, f: Autoencoder([4, 2], dtype=f), "dtype", [("float16", EITHER), (int, EITHER)]),
    *numbers(lambda s, f: Linear(2, 2, seed=f), "seed", SEEDS),
    *numbers(lambda s, f: Autoencoder([4, 2], seed=f), "seed", SEEDS),
    *numbers(lambda s, f: Trainer(s.model, SGD(), seed=f), "seed", SEEDS),
    *numbers(lambda s, f: Linear(2, 2, backend=f), "backend", [(a, EITHER) for a in ("torch", "NumPy", 1, ["numpy"])]),
    *numbers(lambda s, f: Autoencoder([4, 2], backend=f), "backend", [("torch", EITHER)]),
    *numbers(lambda s, f: fastae.set_backend(f), "backend", [(a, EITHER) for a in ("torch", "", None, 1, ["numpy"])]),
    *numbers(lambda s, n: fastae.set_num_threads(n), "n_threads", [*THREADS, (None, TypeError)]),
    *numbers(lambda s, n: Trainer(s.model, SGD(), n_threads=n), "n_threads", THREADS),
    *numbers(lambda s, n: s.model.encode(s.x, n_threads=n), "n_threads", THREADS),
    *numbers(lambda s, n: s.model.decode(s.x[:, :2], n_threads=n), "n_threads", THREADS),
    *numbers(lambda s, n: s.model.reconstruct(s.x, n_threads=n), "n_threads", THREADS),
    *numbers(lambda s, n: s.model.reconstruction_error(s.x, n_threads=n), "n_threads", THREADS),
    *numbers(lambda s, n: s.layer.forward(s.x, n), "n_threads", THREADS),
    *numbers(lambda s, n: s.layer.backward(s.y, n), "n_threads", THREADS),
    *numbers(lambda s, f: SGD(lr=f), "lr", [*REAL, (-0.1, ValueError), (-np.inf, ValueError)]),
    *numbers(lambda s, f: SGD(momentum=f), "momentum", [*REAL, (1, ValueError), (1.0, ValueError), (-0.1, ValueError)]),
    *numbers(lambda s, f: SGD(weight_decay=f), "weight_decay", [*REAL, (-0.1, ValueError)]),
    *numbers(own(("lr", lambda s: s.trainer.step(s.x))), "lr", [*REAL, (-0.1, ValueError)]),
    *numbers(own(("lr", lambda s: s.trainer.fit(s.x))), "lr", [(np.nan, ValueError)]),
    *numbers(own(("momentum", lambda s: s.trainer.step(s.x))), "momentum", [(1.0, ValueError), (np.nan, ValueError)]),
    *numbers(own(("weight_decay", lambda s: s.trainer.step(s.x))), "weight_decay", [(-1, ValueError)]),
    *numbers(lambda s, n: Trainer(s.model, SGD(), batch_size=n), "batch_size", POSITIVE),
    *numbers(lambda s, n: s.trainer.fit(s.x, epochs=n), "epochs", POSITIVE),
    *numbers(lambda s, f: Trainer(s.model, SGD(), f), "loss", [(a, EITHER) for a in ("l2", "", "MSE", 1, ["mse"])]),
]

OTHERS = {
    "nesterov alone": (lambda s: SGD(nesterov=True), ValueError, ["nesterov", "momentum", "got momentum=0"]),
    "nesterov later": (
        lambda s: (
            setattr(s.trainer.optimizer, "nesterov", True),
            setattr(s.trainer.optimizer, "momentum", 0),
            s.trainer.step(s.x),
        ),
        ValueError,
        ["nesterov", "momentum"],
    ),
    "model": (lambda s: Trainer(s.layer, SGD()), TypeError, ["model takes", "got Linear"]),
    "model None": (lambda s: Trainer(None, SGD()), TypeError, ["model takes", "got NoneType"]),
    "optimizer": (lambda s: Trainer(s.model, 0.1), TypeError, ["optimizer takes", "got float"]),
    "optimizer class": (lambda s: Trainer(s.model, SGD), TypeError, ["optimizer takes", "got type"]),
    "bce": (
        lambda s: Trainer(Autoencoder([4, 2], output_activation="tanh"), SGD(), "bce"),
        ValueError,
        ["'bce'", "sigmoid", "'tanh'"],
    ),
    "bce_with_logits": (
        lambda s: Trainer(s.model, SGD(), "bce_with_logits"),
        ValueError,
        ["'bce_with_logits'", "identity", "'sigmoid'"],
    ),
    "no sizes": (lambda s: Autoencoder(), TypeError, ["takes sizes, or both encoder and decoder"]),
    "sizes and parts": (
        lambda s: Autoencoder([4, 2], encoder=Sequential(Linear(4, 2)), decoder=Sequential(Linear(2, 4))),
        TypeError,
        ["takes sizes, or both encoder and decoder"],
    ),
    "encoder alone": (lambda s: Autoencoder(encoder=Sequential(Linear(4, 2))), TypeError, ["both encoder and decoder"]),
    "decoder alone": (lambda s: Autoencoder(decoder=Sequential(Linear(2, 4))), TypeError, ["both encoder and decoder"]),
    "parts are layers": (
        lambda s: Autoencoder(encoder=Linear(4, 2), decoder=Linear(2, 4)),
        TypeError,
        ["take a Sequential, got Linear"],
    ),
    "Sequential of nothing": (lambda s: Sequential(), TypeError, ["at least one Linear, got none"]),
    "Sequential of a list": (lambda s: Sequential([Linear(4, 2)]), TypeError, ["Linear, got list"]),
    "Sequential of text": (lambda s: Sequential(Linear(4, 2), "relu"), TypeError, ["Linear, got Linear, str"]),
    "Sequential of networks": (lambda s: Sequential(Sequential(Linear(4, 2))), TypeError, ["Linear, got Sequential"]),
}


@pytest.mark.parametrize(("call", "errors", "words"), TABLE)
def test_bad_arguments(s, call, errors, words):
    refused(s, lambda: call(s), errors, *words)


@pytest.mark.parametrize("name", OTHERS)
def test_bad_combinations(s, name):
    call, errors, words = OTHERS[name]
    refused(s, lambda: call(s), errors, *words)


def test_good_arguments_pass(s):
    """What is next to the refused: the table above must not refuse everything."""
    for n in (1, np.int64(2), np.uint8(3)):
        assert Linear(n, n).weight.shape == (n, n)
    for dtype in ("float32", np.float64, "f8", np.dtype("f4")):
        assert Linear(2, 2, dtype=dtype).dtype == np.dtype(dtype)
    for lr in (0, 1, np.float32(0.5), np.float64(1e300)):
        assert SGD(lr=lr).lr == lr
    SGD(momentum=0.999999, nesterov=True, weight_decay=0)
    Trainer(s.model, SGD(), n_threads=np.int64(256))
    s.trainer.fit(s.x[:4], epochs=np.int64(1))  # exactly a batch
    s.trainer.fit(s.x, validation_data=s.x[:1])
    s.mapper.fit(s.x, np.round(s.y))  # 0 and 1 are probabilities
