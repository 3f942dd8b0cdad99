"""Linear and Sequential: their numbers, buffers, owners, seeds and copies."""

import copy
import pickle

import numpy as np
import pytest

import fastae
from fastae import Linear, Sequential
from fastae._kernels.names import ACTIVATIONS

# f and f' at -1, 0 and 2; at the kinks PyTorch's slopes.
BY_HAND = {
    "identity": ([-1, 0, 2], [1, 1, 1]),
    "relu": ([0, 0, 2], [0, 0, 1]),
    "leaky_relu": ([-0.01, 0, 2], [0.01, 0.01, 1]),
    "elu": ([-0.6321205588285577, 0, 2], [0.36787944117144233, 1, 1]),
    "sigmoid": ([0.2689414213699951, 0.5, 0.8807970779778824], [0.19661193324148185, 0.25, 0.10499358540350652]),
    "tanh": ([-0.7615941559557649, 0, 0.9640275800758169], [0.41997434161402614, 1, 0.07065082485316447]),
    "softplus": ([0.31326168751822286, 0.6931471805599453, 2.1269280110429727], [0.2689414213699951, 0.5, 0.8807970779778824]),
    "gelu": ([-0.15865525393145707, 0, 1.9544997361036416], [-0.08331547058768628, 0.5, 1.0852318010781969]),
    "silu": ([-0.2689414213699951, 0, 1.7615941559557649], [0.0723294881285132, 0.5, 1.0907842487848955]),
}


def two_layers(backend="numpy", dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    return Sequential(
        Linear(5, 4, "tanh", True, dtype, rng, backend),
        Linear(4, 3, "sigmoid", False, dtype, rng, backend),
    )


def gradient(f, array, step=1e-6):
    """Of the number f() by the elements of an array, by central differences."""
    slopes = np.empty_like(array)
    for i in np.ndindex(array.shape):
        old = array[i]
        array[i] = old + step
        above = f()
        array[i] = old - step
        slopes[i] = (above - f()) / (2 * step)
        array[i] = old
    return slopes


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_every_activation_has_numbers_by_hand():
    assert set(BY_HAND) == set(ACTIVATIONS)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 1e-6)])
@pytest.mark.parametrize("activation", BY_HAND)
def test_activation_by_hand(backend, activation, dtype, tolerance):
    layer = Linear(1, 1, activation, dtype=dtype, backend=backend)
    layer.weight = [[1.0]]
    values, slopes = BY_HAND[activation]
    np.testing.assert_allclose(layer.forward([[-1.0], [0.0], [2.0]])[:, 0], values, tolerance, tolerance)
    np.testing.assert_allclose(layer.backward([[1.0], [1.0], [1.0]])[:, 0], slopes, tolerance, tolerance)


def test_the_worked_example_of_the_slides(backend):
    network = Sequential(*(Linear(2, n, bias=False, dtype="float64", backend=backend) for n in (2, 1)))
    network[0].weight, network[1].weight = [[0.11, 0.21], [0.12, 0.08]], [[0.14, 0.15]]
    np.testing.assert_allclose(network[0].forward([[2.0, 3.0]]), [[0.85, 0.48]], 1e-14)
    prediction = network.forward([[2.0, 3.0]])
    np.testing.assert_allclose(prediction, [[0.191]], 1e-14)
    dx = network.backward(prediction - 1.0)
    np.testing.assert_allclose(network[1].grad_weight, [[-0.809 * 0.85, -0.809 * 0.48]], 1e-14)
    np.testing.assert_allclose(network[0].grad_weight, [[-0.22652, -0.33978], [-0.2427, -0.36405]], 1e-14)
    np.testing.assert_allclose(dx, [[-0.809 * (0.14 * 0.11 + 0.15 * 0.12), -0.809 * (0.14 * 0.21 + 0.15 * 0.08)]], 1e-14)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backward_agrees_with_finite_differences(backend, rng, activation, bias):
    layer = Linear(4, 3, activation, bias, "float64", rng, backend)
    x, dy = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    if bias:
        layer.bias = rng.normal(size=3)
    layer.forward(x)
    dx = layer.backward(dy)
    checks = [(x, dx), (layer.weight, layer.grad_weight), *([(layer.bias, layer.grad_bias)] if bias else [])]
    for array, found in checks:
        np.testing.assert_allclose(found, gradient(lambda: np.sum(layer.forward(x) * dy), array), 1e-7, 1e-8)


def test_backward_of_a_network_agrees_with_finite_differences(backend, rng):
    network = two_layers(backend)
    x, dy = rng.normal(size=(6, 5)), rng.normal(size=(6, 3))
    network.forward(x)
    dx = network.backward(dy)
    for array, found in ((x, dx), (network.parameters, network.gradients)):
        np.testing.assert_allclose(found, gradient(lambda: np.sum(network(x) * dy), array), 1e-7, 1e-9)


def test_backward_replaces_the_gradients_of_the_call_before(backend, rng):
    layer = Linear(4, 3, dtype="float64", seed=0, backend=backend)
    x, dy = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    layer.forward(x)
    layer.backward(dy)
    once = layer.grad_weight.copy(), layer.grad_bias.copy()
    layer.backward(dy)
    np.testing.assert_array_equal(layer.grad_weight, once[0])
    np.testing.assert_array_equal(layer.grad_bias, once[1])


def test_a_layer_without_bias(backend, rng):
    layer = Linear(4, 3, bias=False, dtype="float64", seed=0, backend=backend)
    x = rng.normal(size=(5, 4))
    assert layer.bias is None
    assert layer.grad_bias is None
    assert layer.size == 12
    np.testing.assert_allclose(layer.forward(x), x @ layer.weight.T, 1e-13)
    with pytest.raises(ValueError, match="bias=False"):
        layer.bias = np.zeros(3)


# ---- inputs ----------------------------------------------------------------------------------------------------------


def unaligned(x):
    copy_ = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)
    assert not copy_.flags.aligned
    return copy_


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


VARIANTS = {  # the same numbers, otherwise stored
    "list": lambda x: x.tolist(),
    "rows apart": lambda x: np.repeat(x, 2, axis=0)[::2],
    "columns apart": lambda x: np.repeat(x, 3, axis=1)[:, ::3],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "Fortran": np.asfortranarray,
    "read-only": read_only,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "unaligned": unaligned,
    "other float": lambda x: x.astype("float32" if x.dtype == np.float64 else "float64"),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_how_an_input_is_stored_does_not_matter(backend, rng, variant, dtype):
    # Steps of 1/64 are the same numbers in both dtypes.
    x, dy = (np.round(rng.normal(size=(6, n)) * 64).astype(dtype) / 64 for n in (5, 3))
    layer = Linear(5, 3, "tanh", True, dtype, 0, backend)
    y, dx, dw, db = layer.forward(x), layer.backward(dy), layer.grad_weight.copy(), layer.grad_bias.copy()
    other_x, other_dy = VARIANTS[variant](x), VARIANTS[variant](dy)
    np.testing.assert_array_equal(layer.forward(other_x), y)
    np.testing.assert_array_equal(layer.backward(other_dy), dx)
    np.testing.assert_array_equal(layer.grad_weight, dw)
    np.testing.assert_array_equal(layer.grad_bias, db)
    np.testing.assert_array_equal(other_x, x)  # left as they were
    np.testing.assert_array_equal(other_dy, dy)
    assert y.dtype == dx.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uint8_is_scaled_to_0_to_1(backend, dtype):
    layer = Linear(2, 2, dtype=dtype, backend=backend)
    layer.weight = np.eye(2)
    np.testing.assert_allclose(layer.forward(np.array([[0, 255], [51, 128]], np.uint8)), [[0, 1], [0.2, 128 / 255]], 1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", "gelu"])
def test_backward_does_not_see_later_changes_of_the_callers_arrays(backend, rng, activation):
    layer = Linear(3, 3, activation, dtype="float64", seed=0, backend=backend)
    x, dy = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    y = layer.forward(x)
    dx, dw = layer.backward(dy), layer.grad_weight.copy()
    layer.forward(x)[...] = 7.0
    np.testing.assert_array_equal(layer.backward(dy), dx)
    x[...] = 7.0
    np.testing.assert_array_equal(layer.backward(dy), dx)
    np.testing.assert_array_equal(layer.grad_weight, dw)
    assert not np.any(y == 7)


# ---- the flat buffers ------------------------------------------------------------------------------------------------


def test_a_network_is_a_chain(backend, rng):
    network, x = two_layers(backend, "float32"), rng.normal(size=(7, 5)).astype("float32")
    y = network[1].forward(network[0].forward(x))
    np.testing.assert_array_equal(network.forward(x), y)
    np.testing.assert_allclose(network(x), y, 1e-6)
    assert (network.n_in, network.n_out, len(network), network.dtype) == (5, 3, 2, np.float32)
    assert tuple(network) == network.layers == (network[0], network[-1])


def test_layer_arrays_are_views_of_the_flat_buffers():
    network = two_layers()
    first, second = network
    assert network.parameters.shape == network.gradients.shape == (5 * 4 + 4 + 4 * 3,)
    network.parameters[...] = np.arange(36)
    network.gradients[...] = np.arange(36) + 0.5
    for weight, bias, other_weight, extra in (
        (first.weight, first.bias, second.weight, 0),
        (first.grad_weight, first.grad_bias, second.grad_weight, 0.5),
    ):  # for each layer W row by row, then b
        np.testing.assert_array_equal(weight, np.arange(20).reshape(4, 5) + extra)
        np.testing.assert_array_equal(bias, np.arange(20, 24) + extra)
        np.testing.assert_array_equal(other_weight, np.arange(24, 36).reshape(3, 4) + extra)


def test_backward_fills_the_flat_gradients(backend, rng):
    network = two_layers(backend)
    network.forward(rng.normal(size=(6, 5)))
    network.backward(rng.normal(size=(6, 3)))
    layers = [a.ravel() for layer in network for a in (layer.grad_weight, layer.grad_bias) if a is not None]
    np.testing.assert_array_equal(network.gradients, np.concatenate(layers))
    assert np.all(network.gradients != 0)


@pytest.mark.parametrize("make", [lambda: Linear(5, 4, seed=0), two_layers], ids=["Linear", "Sequential"])
def test_assigning_copies_into_the_buffer(make):
    network = make()
    layer = network if isinstance(network, Linear) else network[0]
    weight, bias = layer.weight, layer.bias
    new = np.arange(20.0).reshape(4, 5)
    layer.weight, layer.bias = new, [4, 3, 2, 1]
    assert layer.weight is weight
    assert layer.bias is bias
    np.testing.assert_array_equal(weight, new)
    np.testing.assert_array_equal(bias, [4, 3, 2, 1])
    new[...] = -1
    assert layer.weight[3, 4] == 19
    if network is not layer:
        np.testing.assert_array_equal(network.parameters[:24], [*range(20), 4, 3, 2, 1])


def test_joining_a_network_keeps_the_weights():
    layers = [Linear(5, 4, seed=1), Linear(4, 3, bias=False, seed=2)]
    old = [layer.weight.copy() for layer in layers]
    layers[0].bias = [1, 2, 3, 4]
    network = Sequential(*layers)
    assert network[0] is layers[0]
    for layer, weight in zip(layers, old, strict=True):
        np.testing.assert_array_equal(layer.weight, weight)
        assert np.shares_memory(layer.weight, network.parameters)
    np.testing.assert_array_equal(network.parameters, [*old[0].ravel(), 1, 2, 3, 4, *old[1].ravel()])


# ---- owners ----------------------------------------------------------------------------------------------------------


def test_a_layer_has_one_place():
    layer = Linear(3, 3, seed=0)
    with pytest.raises(ValueError, match="one place in one network"):
        Sequential(layer, layer)
    network = Sequential(layer)  # the failed attempt did not take it
    with pytest.raises(ValueError, match="one place in one network"):
        Sequential(Linear(3, 3), layer)
    with pytest.raises(ValueError, match=r"copy\.deepcopy"):
        fastae.Autoencoder(encoder=network, decoder=network)
    assert np.shares_memory(layer.weight, network.parameters)


def test_a_network_is_part_of_one_autoencoder():
    encoder, decoder = Sequential(Linear(3, 2, seed=0)), Sequential(Linear(2, 3, seed=1))
    fastae.Autoencoder(encoder=encoder, decoder=decoder)
    for pair in ((encoder, Sequential(Linear(2, 3))), (Sequential(Linear(3, 2)), decoder)):
        with pytest.raises(ValueError, match="another autoencoder"):
            fastae.Autoencoder(encoder=pair[0], decoder=pair[1])
    with pytest.raises(ValueError, match="one place in one network"):
        Sequential(encoder[0])


def same_network():
    network = Sequential(Linear(3, 3))
    return network, network


@pytest.mark.parametrize(
    "parts",
    [
        same_network,
        lambda: (Sequential(Linear(3, 2)), Sequential(Linear(2, 3, dtype="float64"))),
        lambda: (Sequential(Linear(3, 2)), Sequential(Linear(4, 3))),
    ],
    ids=["the same twice", "two dtypes", "widths"],
)
def test_a_failed_autoencoder_leaves_its_parts_whole(parts):
    encoder, decoder = parts()
    with pytest.raises(ValueError, match=r"one place|one dtype|the decoder takes"):
        fastae.Autoencoder(encoder=encoder, decoder=decoder)
    for network in (encoder, decoder):
        assert np.shares_memory(network[0].weight, network.parameters)
        with pytest.raises(ValueError, match="one place in one network"):  # still owned
            Sequential(network[0])


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (lambda: Linear(3, 2, backend="numpy"), "layer 1 takes 3 features, but layer 0 gives 2"),
        (lambda: Linear(2, 3, dtype="float64", backend="numpy"), "one dtype"),
        (lambda: Linear(2, 3, backend="cython"), "one backend"),
    ],
    ids=["widths", "dtypes", "backends"],
)
def test_layers_must_fit(second, words):
    if words == "one backend" and fastae.get_backend() == "numpy":
        pytest.skip("the Cython backend does not load")
    layers = Linear(3, 2, backend="numpy"), second()
    with pytest.raises(ValueError, match=words):
        Sequential(*layers)
    for layer in layers:  # the failed attempt did not take them
        Sequential(layer)


# ---- seeds -----------------------------------------------------------------------------------------------------------

MAKERS = {
    "linear": lambda **kind: Linear(30, 20, "relu", **kind).weight,
    "autoencoder": lambda **kind: fastae.Autoencoder([12, 8, 3], **kind).parameters,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_seeds(make):
    np.testing.assert_array_equal(make(seed=7), make(seed=7))
    np.testing.assert_array_equal(make(seed=7), make(seed=np.int64(7)))
    np.testing.assert_array_equal(make(seed=7), make(seed=np.random.default_rng(7)))
    np.testing.assert_array_equal(make(seed=7), make(seed=7, dtype="float64").astype("float32"))
    assert not np.array_equal(make(seed=7), make(seed=8))
    assert not np.array_equal(make(seed=None), make(seed=None))
    rng = np.random.default_rng(7)
    assert not np.array_equal(make(seed=rng), make(seed=rng))  # a generator goes on


def test_layers_of_one_seed_differ():
    model = fastae.Autoencoder([4, 4, 4], latent_activation="relu", seed=0)
    assert not np.array_equal(model.encoder[0].weight, model.encoder[1].weight)


def test_the_global_random_state_is_left_alone(rng):
    before = np.random.get_state()  # noqa: NPY002
    model = fastae.Autoencoder([4, 2], seed=None)
    fastae.Trainer(model, fastae.SGD(), batch_size=2).fit(rng.random((4, 4)), epochs=1)
    for old, new in zip(before, np.random.get_state(), strict=True):  # noqa: NPY002
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_initial_weights(activation):
    bound = np.sqrt(6 / (150 if activation in ("identity", "sigmoid", "tanh") else 50))  # Glorot's, He's
    layer = Linear(50, 100, activation, dtype="float64", seed=0)
    assert 0.99 * bound < np.abs(layer.weight).max() <= bound
    assert np.std(layer.weight) == pytest.approx(bound / np.sqrt(3), rel=0.03)  # uniform
    assert not layer.bias.any()


# ---- copies ----------------------------------------------------------------------------------------------------------

COPIES = {
    "deepcopy": copy.deepcopy,
    **{f"pickle {n}": lambda m, n=n: pickle.loads(pickle.dumps(m, n)) for n in range(2, pickle.HIGHEST_PROTOCOL + 1)},
}
ORIGINALS = {
    "Linear": lambda backend: Linear(5, 4, "gelu", True, "float64", 3, backend),
    "Linear without bias": lambda backend: Linear(5, 4, "tanh", False, "float32", 3, backend),
    "Sequential": two_layers,
    "Autoencoder": lambda backend: fastae.Autoencoder([5, 4, 2], "silu", bias=True, seed=3, backend=backend),
    "part": lambda backend: fastae.Autoencoder([5, 4, 2], "elu", seed=3, backend=backend).encoder,
    "layer of a part": lambda backend: fastae.Autoencoder([5, 4, 2], "elu", seed=3, backend=backend).decoder[1],
}


@pytest.mark.parametrize("original", ORIGINALS)
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_has_its_own_values_and_trains(backend, rng, how, original):
    model = ORIGINALS[original](backend)
    for layer in [model] if isinstance(model, Linear) else model.layers:
        if layer.has_bias:
            layer.bias = rng.normal(size=layer.n_out)
    twin = COPIES[how](model)
    assert type(twin) is type(model)
    assert repr(twin) == repr(model)
    network = Sequential(twin) if isinstance(twin, Linear) else twin  # a copy belongs to nobody
    layers = [model] if isinstance(model, Linear) else model.layers
    for old, new in zip(layers, network.layers, strict=True):
        assert (new.activation, new.has_bias, new.dtype, new.backend) == (old.activation, old.has_bias, old.dtype, backend)
        np.testing.assert_array_equal(new.weight, old.weight)
        assert (new.bias is None) == (old.bias is None)
        assert old.bias is None or np.array_equal(new.bias, old.bias)
        assert not np.shares_memory(new.weight, old.weight)
        assert np.shares_memory(new.weight, network.parameters)
        assert np.shares_memory(new.grad_weight, network.gradients)
    values = [layer.weight.copy() for layer in layers]
    x, target = rng.normal(size=(6, network.n_in)), rng.normal(size=(6, network.n_out))
    fastae.Trainer(network, fastae.SGD(0.1, 0.9)).step(x, target)
    for old, new, value in zip(layers, network.layers, values, strict=True):
        np.testing.assert_array_equal(old.weight, value)
        assert np.all(new.weight != value)


def test_a_copied_part_can_be_built_in():
    model = fastae.Autoencoder([5, 4, 2], seed=3)
    twin = fastae.Autoencoder(encoder=copy.deepcopy(model.encoder), decoder=copy.deepcopy(model.decoder))
    np.testing.assert_array_equal(twin.parameters, model.parameters)
    assert not np.shares_memory(twin.parameters, model.parameters)


@pytest.mark.parametrize(
    ("name", "variance"),
    [("glorot", 2 / (400 + 300)), ("he", 2 / 400), ("lecun", 1 / 400)],
)
@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_the_variance_of_initial_weights(name, variance, kind):
    weight = Linear(400, 300, "tanh", dtype="float64", seed=0, init=f"{name}_{kind}", backend="numpy").weight
    assert weight.var() == pytest.approx(variance, rel=0.03)
    assert abs(weight.mean()) < 4 * np.sqrt(variance / weight.size)
    fourth = np.mean(weight**4) / variance**2  # 1.8 of a uniform distribution, 3 of a normal one
    assert fourth == pytest.approx(1.8 if kind == "uniform" else 3, rel=0.05)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (1, 3)])
def test_orthogonal_weights(shape):
    w = Linear(*shape, dtype="float64", seed=0, init="orthogonal", backend="numpy").weight
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-14)


def test_orthogonal_weights_are_of_all_signs():
    """R's diagonal made positive: without it QR would give the first column one sign."""
    first = [Linear(2, 2, dtype="float64", seed=s, init="orthogonal", backend="numpy").weight[0, 0] for s in range(200)]
    assert 60 < np.sum(np.array(first) > 0) < 140


def test_init_of_a_model():
    model = fastae.Autoencoder([6, 4], init="lecun_normal", seed=3)
    same = Linear(6, 4, seed=np.random.default_rng(3), init="lecun_normal")
    assert np.array_equal(model.layers[0].weight, same.weight)
    for bad in ("xavier", "glorot", 3):
        with pytest.raises(ValueError, match=r"init takes one of glorot_uniform, .*orthogonal, or None; got"):
            Linear(3, 2, init=bad)
