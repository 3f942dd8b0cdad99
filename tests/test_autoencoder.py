"""The autoencoder: its shape, its three ways through, `out=`, state and errors of reconstruction."""

from itertools import pairwise

import numpy as np
import pytest

import fastae
from fastae import SGD, Autoencoder, Linear, Sequential, Trainer

BLOCK = 4096  # samples that inference takes at a time


def small(backend=None, dtype="float32", **kind):
    return Autoencoder([6, 5, 3], "tanh", dtype=dtype, seed=0, backend=backend, **kind)


def by_layers(network, x):
    for layer in network.layers:
        x = layer.forward(x)
    return x


def assert_close(found, expected):
    """But for rounding: a layer alone, few samples and many add in other orders."""
    np.testing.assert_allclose(found, expected, 1e-5, 1e-6)


# ---- what it consists of ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[6, 2], [6, 5, 4, 2], (6, 9), np.array([6, 5, 2]), range(6, 1, -2)], ids=repr)
@pytest.mark.parametrize("bias", [True, False])
def test_the_decoder_mirrors_the_encoder(sizes, bias):
    model = Autoencoder(sizes, bias=bias, dtype="float64", seed=0)
    widths = [int(n) for n in sizes]
    pairs = list(pairwise(widths))
    assert [(layer.n_in, layer.n_out) for layer in model.encoder] == pairs
    assert [(layer.n_out, layer.n_in) for layer in model.decoder] == pairs[::-1]
    assert all(layer.has_bias == bias and layer.dtype == np.float64 for layer in model.layers)
    assert (model.n_in, model.n_latent, model.n_out) == (widths[0], widths[-1], widths[0])
    assert model.parameters.size == sum(2 * a * b + (a + b) * bias for a, b in pairs)
    assert model.layers == (*model.encoder, *model.decoder)


def test_activations_at_their_places():
    model = Autoencoder([6, 5, 4, 2], "elu", "tanh", "softplus")
    assert [layer.activation for layer in model.encoder] == ["elu", "elu", "tanh"]
    assert [layer.activation for layer in model.decoder] == ["elu", "elu", "softplus"]
    model = Autoencoder([6, 5, 2])
    assert [layer.activation for layer in model.layers] == ["relu", "identity", "relu", "sigmoid"]
    assert model.dtype == np.float32
    assert [layer.activation for layer in Autoencoder([6, 2], "relu", "silu", "gelu").layers] == ["silu", "gelu"]


def test_encoder_and_decoder_given():
    encoder = Sequential(Linear(6, 4, "relu", seed=1), Linear(4, 2, seed=2))
    decoder = Sequential(Linear(2, 7, "tanh", bias=False, seed=3))
    values = np.concatenate([encoder.parameters, decoder.parameters])
    model = Autoencoder(encoder=encoder, decoder=decoder)
    assert model.encoder is encoder
    assert model.decoder is decoder
    assert (model.n_in, model.n_latent, model.n_out) == (6, 2, 7)
    np.testing.assert_array_equal(model.parameters, values)
    model.parameters[...] = np.arange(values.size)
    model.gradients[...] = -np.arange(values.size)
    cut = encoder.parameters.size
    for part, numbers in ((encoder, np.arange(cut)), (decoder, np.arange(cut, values.size))):
        np.testing.assert_array_equal(part.parameters, numbers)
        np.testing.assert_array_equal(part.gradients, -numbers)
    np.testing.assert_array_equal(decoder[0].weight.ravel(), np.arange(cut, values.size))


# ---- encode, decode, reconstruct -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 17])
def test_the_ways_agree_with_layer_by_layer(backend, rng, dtype, n):
    model = small(backend, dtype)
    x = rng.normal(size=(n, 6)).astype(dtype)
    z = by_layers(model.encoder, x)
    x_hat = by_layers(model.decoder, z)
    assert z.shape == (n, 3)
    assert x_hat.shape == (n, 6)
    for found, expected in (
        (model.encode(x), z),
        (model.decode(z), x_hat),
        (model.reconstruct(x), x_hat),
        (model.encoder(x), z),
        (model.decoder(z), x_hat),
    ):
        assert found.dtype == dtype
        assert_close(found, expected)
    manual = x.astype("float64")
    for layer in model.layers:
        manual = manual @ layer.weight.T.astype("float64") + layer.bias
        manual = {"tanh": np.tanh, "identity": lambda a: a, "sigmoid": lambda a: 1 / (1 + np.exp(-a))}[layer.activation](manual)
    np.testing.assert_allclose(x_hat, manual, 1e-5 if dtype == "float32" else 1e-13)


def test_inference_is_not_training(backend, rng):
    model = small(backend)
    x = rng.random((5, 6), "float32")
    before, untouched = model.parameters.copy(), x.copy()
    model.reconstruct(x)
    model.reconstruction_error(x)
    np.testing.assert_array_equal(model.parameters, before)
    np.testing.assert_array_equal(x, untouched)
    with pytest.raises(ValueError, match="needs a forward"):
        model.decoder.backward(x)


@pytest.mark.parametrize("n", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3])
def test_more_rows_than_a_block(backend, rng, n):
    model = small(backend)
    x = rng.random((n, 6), "float32")
    expected = by_layers(model, x)
    assert_close(model.reconstruct(x), expected)
    assert_close(model.decode(model.encode(x)), expected)
    assert_close(model.reconstruct(x)[-3:], model.reconstruct(x[-3:]))


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_threads_do_not_change_bits(backend, n_threads):
    model = Autoencoder([200, 100, 20], seed=0, backend=backend)
    x = np.random.default_rng(0).random((300, 200), "float32")
    np.testing.assert_array_equal(model.reconstruct(x, n_threads=n_threads), model.reconstruct(x, n_threads=1))


# ---- out= ------------------------------------------------------------------------------------------------------------


def ways(model, x):
    """name, function, input, width of its output."""
    return [
        ("encode", model.encode, x, 3),
        ("decode", model.decode, model.encode(x), 6),
        ("reconstruct", model.reconstruct, x, 6),
    ]


OUTS = {
    "plain": lambda n, m: np.full((n, m), np.nan, "float32"),
    "Fortran": lambda n, m: np.full((n, m), np.nan, "float32", order="F"),
    "rows apart": lambda n, m: np.full((2 * n, m), np.nan, "float32")[::2],
    "columns apart": lambda n, m: np.full((n, 2 * m), np.nan, "float32")[:, 1::2],
    "backwards": lambda n, m: np.full((n, m), np.nan, "float32")[::-1],
    "unaligned": lambda n, m: np.full(4 * n * m + 1, 255, np.uint8)[1:].view("float32").reshape(n, m),
}


@pytest.mark.parametrize("n", [4, BLOCK + 2])
@pytest.mark.parametrize("kind", OUTS)
def test_out(backend, rng, kind, n):
    for _, way, x, width in ways(small(backend), rng.random((n, 6), "float32")):
        out = OUTS[kind](n, width)
        assert way(x, out=out) is out
        np.testing.assert_array_equal(out, way(x))


@pytest.mark.parametrize("n", [4, BLOCK + 2])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_out_may_overlap_the_input(backend, rng, shift, n):
    model = small(backend)
    memory = rng.random((n + 2, 6), "float32")
    x = memory[:n]
    expected = model.reconstruct(x)
    np.testing.assert_array_equal(model.reconstruct(x, out=memory[shift : n + shift]), expected)
    np.testing.assert_array_equal(memory[shift : n + shift], expected)
    memory = rng.random((n, 6), "float32")
    z = model.encode(memory)
    np.testing.assert_array_equal(model.encode(memory, out=memory[:, shift : shift + 3]), z)


def read_only(shape):
    out = np.zeros(shape, "float32")
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda n, m: np.zeros((n, m + 1), "float32"), "float32 "),
        (lambda n, m: np.zeros((n + 1, m), "float32"), "float32 "),
        (lambda n, m: np.zeros(n * m, "float32"), "float32 "),
        (lambda n, m: np.zeros((n, m)), "float64 "),
        (lambda n, m: np.zeros((n, m), "int32"), "int32 "),
        (lambda n, m: np.zeros((n, m)).tolist(), "list"),
        (lambda n, m: read_only((n, m)), "read-only"),
    ],
    ids=["columns", "rows", "flat", "float64", "int32", "list", "read-only"],
)
def test_a_wrong_out_is_refused(rng, make, got):
    for _, way, x, width in ways(small(), rng.random((4, 6), "float32")):
        with pytest.raises(ValueError, match=f"out .*{got}"):
            way(x, out=make(4, width))


# ---- state -----------------------------------------------------------------------------------------------------------


def test_state_dict_names_and_shapes():
    model = Autoencoder(
        encoder=Sequential(Linear(6, 5, bias=False, seed=0), Linear(5, 3, seed=1)), decoder=Sequential(Linear(3, 6, seed=2))
    )
    state = model.state_dict()
    assert {name: array.shape for name, array in state.items()} == {
        "encoder.0.weight": (5, 6),
        "encoder.1.weight": (3, 5),
        "encoder.1.bias": (3,),
        "decoder.0.weight": (6, 3),
        "decoder.0.bias": (6,),
    }
    assert list(model.encoder.state_dict()) == ["0.weight", "1.weight", "1.bias"]
    np.testing.assert_array_equal(np.concatenate([a.ravel() for a in state.values()]), model.parameters)
    state["encoder.0.weight"][...] = 9  # a copy
    assert not np.any(model.encoder[0].weight == 9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_load_state_dict(dtype):
    source, model = (Autoencoder([6, 4, 2], dtype=dtype, seed=seed) for seed in (1, 2))
    weight, buffer = model.encoder[0].weight, model.parameters
    model.load_state_dict(source.state_dict())
    np.testing.assert_array_equal(model.parameters, source.parameters)
    assert model.parameters is buffer
    assert model.encoder[0].weight is weight
    assert not np.shares_memory(model.parameters, source.parameters)
    other = Autoencoder([6, 4, 2], dtype="float32", seed=3)
    other.load_state_dict({name: array.tolist() for name, array in source.state_dict().items()})
    np.testing.assert_array_equal(other.parameters, source.parameters.astype("float32"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("decoder.1.bias"), "missing: decoder.1.bias"),
        (lambda s: s.update(extra=np.zeros(1)), "unknown: extra"),
        (lambda s: s.update({"decoder.1.weight": np.zeros((4, 6))}), r"decoder.1.weight .*\(6, 4\).*\(4, 6\)"),
        (lambda s: s.update({"decoder.1.bias": np.zeros((6, 1))}), r"decoder.1.bias .*\(6,\).*\(6, 1\)"),
        (lambda s: s.update({"decoder.1.bias": np.array([1, 2, 3, np.nan, 5, 6])}), "decoder.1.bias has NaN"),
        (lambda s: s.update({"decoder.1.bias": np.zeros(6, complex)}), "decoder.1.bias .*complex128"),
        (lambda s: s.update({"decoder.1.bias": np.array(list("abcdef"))}), "decoder.1.bias .*<U1"),
    ],
    ids=["missing", "unknown", "transposed", "ndim", "NaN", "complex", "str"],
)
def test_load_state_dict_takes_all_or_nothing(change, words):
    model = Autoencoder([6, 4, 2], seed=0)
    before = model.parameters.copy()
    state = {name: array + 1 for name, array in model.state_dict().items()}
    change(state)
    with pytest.raises(ValueError, match=words):
        model.load_state_dict(state)
    np.testing.assert_array_equal(model.parameters, before)


# ---- reconstruction_error --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 9, BLOCK + 5])
def test_reconstruction_error(backend, rng, dtype, n):
    model = small(backend, dtype)
    x = rng.random((n, 6))
    errors = model.reconstruction_error(x)
    assert errors.shape == (n,)
    assert errors.dtype == np.float64
    expected = np.mean((model.reconstruct(x).astype("float64") - x) ** 2, axis=1)
    np.testing.assert_allclose(errors, expected, 1e-5 if dtype == "float32" else 1e-13)


def test_reconstruction_error_of_uint8(backend, rng):
    model, x = small(backend), rng.integers(0, 256, (9, 6), np.uint8)
    np.testing.assert_allclose(model.reconstruction_error(x), model.reconstruction_error(x / 255), 1e-5)


def test_reconstruction_error_needs_as_many_outputs_as_inputs():
    model = Autoencoder(encoder=Sequential(Linear(6, 2)), decoder=Sequential(Linear(2, 5)))
    with pytest.raises(ValueError, match=r"5 features for 6"):
        model.reconstruction_error(np.zeros((3, 6)))


# ---- after training --------------------------------------------------------------------------------------------------


def test_the_parts_follow_the_training(backend, rng):
    model = small(backend, output_activation="identity")
    encoder, decoder, weight = model.encoder, model.decoder, model.encoder[0].weight
    x, old = rng.random((20, 6), "float32"), weight.copy()
    fastae.Trainer(model, fastae.SGD(0.1, momentum=0.9), batch_size=5, seed=0).fit(x, epochs=2)
    assert model.encoder[0].weight is weight
    assert np.all(weight != old)
    np.testing.assert_array_equal(encoder(x), model.encode(x))
    np.testing.assert_array_equal(decoder(encoder(x)), model.reconstruct(x))
    assert np.shares_memory(weight, model.parameters)
    np.testing.assert_array_equal(model.parameters, np.concatenate([encoder.parameters, decoder.parameters]))


def test_training_a_part_trains_the_whole(backend, rng):
    model = small(backend)
    before, cut = model.parameters.copy(), model.encoder.parameters.size
    fastae.Trainer(model.encoder, fastae.SGD(0.1)).step(rng.random((9, 6)), rng.random((9, 3)))
    assert np.all(model.parameters[:cut] != before[:cut])
    np.testing.assert_array_equal(model.parameters[cut:], before[cut:])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_trained_network_that_becomes_a_part_trains_on(backend, rng, momentum):
    """Its buffers move then, under the trainer that was made before."""
    x, target = rng.random((9, 6)), rng.random((9, 3))
    results = []
    for joins in (False, True):
        encoder = Sequential(Linear(6, 4, "tanh", seed=1, backend=backend), Linear(4, 3, seed=2, backend=backend))
        trainer = fastae.Trainer(encoder, fastae.SGD(0.1, momentum))
        trainer.step(x, target)
        if joins:
            model = Autoencoder(encoder=encoder, decoder=Sequential(Linear(3, 6, seed=3, backend=backend)))
        trainer.step(x, target)
        results.append(encoder.parameters.copy())
    np.testing.assert_array_equal(*results)
    np.testing.assert_array_equal(model.parameters[: results[0].size], results[0])


def test_given_parts_take_no_other_arguments():
    for other in ({"activation": "tanh"}, {"dtype": "float64"}, {"seed": 0}, {"bias": False}):
        with pytest.raises(TypeError, match="layers' own"):
            fastae.Autoencoder(
                encoder=fastae.Sequential(fastae.Linear(3, 2)), decoder=fastae.Sequential(fastae.Linear(2, 3)), **other
            )


def test_assigning_parameters_copies_into_them(rng):
    model = small()
    layer, flat, x = model.layers[0], model.parameters, rng.random((9, 6), "float32")
    new = rng.normal(size=flat.shape)
    model.parameters = new
    assert model.parameters is flat
    assert np.array_equal(layer.weight.ravel(), new[:30].astype("float32"))
    before = model.encode(x)
    model.parameters *= 0.5
    model.encoder.parameters *= 2
    model.decoder.parameters *= 2
    assert np.array_equal(model.encode(x), before)
    Trainer(model, SGD(0.1), batch_size=9).step(x)
    assert not np.array_equal(model.encode(x), before)
    for wrong in (np.zeros(3), np.full(flat.shape, np.nan), "zeros"):
        with pytest.raises((TypeError, ValueError), match="parameters"):
            model.parameters = wrong
    model.gradients = np.zeros_like(flat)
    assert not layer.grad_weight.any()


@pytest.mark.parametrize("name", ["encoder", "decoder", "n_latent"])
def test_the_parts_of_a_model_stay(name):
    model = small()
    with pytest.raises(AttributeError):
        setattr(model, name, getattr(small(), name))
    with pytest.raises(AttributeError):
        model.layers.append(model.layers[0])
    with pytest.raises(AttributeError):
        model.layers[0].activation = "relu"
