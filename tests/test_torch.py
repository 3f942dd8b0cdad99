"""Step by step agreement with PyTorch: the same weights, batches and hyperparameters give the same losses and weights."""

import numpy as np
import pytest

from fastae import SGD, Autoencoder, Linear, Sequential, Trainer
from fastae._kernels.names import ACTIVATIONS, LOSSES

torch = pytest.importorskip("torch")
F = torch.nn.functional

torch.set_num_threads(1)  # the products are tiny: more threads would only wait for each other

TORCH_ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "gelu": F.gelu,
    "silu": F.silu,
}
TORCH_LOSSES = {
    "half_squared": lambda y, t: 0.5 * ((y - t) ** 2).sum(dim=1).mean(),  # of the slides; PyTorch has none by this name
    "mse": F.mse_loss,
    "bce": F.binary_cross_entropy,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
    "poisson": F.poisson_nll_loss,
    "multinomial": lambda y, t: -(t * F.log_softmax(y, dim=1)).sum(dim=1).mean(),  # its cross_entropy wants probabilities
    "cosine": lambda y, t: (1 - F.cosine_similarity(y, t)).mean(),
}
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}  # of a difference, relative to the largest element of the array


def twin_of(model):
    """The Linear layers of a model in PyTorch, under the names that PyTorch gives them."""
    parts = {
        name: torch.nn.Sequential(
            *(torch.nn.Linear(a.n_in, a.n_out, bias=a.has_bias, dtype=getattr(torch, a.dtype.name)) for a in part)
        )
        for name, part in (("encoder", model.encoder), ("decoder", model.decoder))
    }
    twin = torch.nn.ModuleDict(parts)
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in model.state_dict().items()})  # strict
    return twin


def forward(twin, model, x):
    layers = [*twin["encoder"], *twin["decoder"]]
    for layer, ours in zip(layers, model.layers, strict=True):
        x = TORCH_ACTIVATIONS[ours.activation](layer(x))
    return x


def assert_close(found, expected, tolerance):
    expected = expected.detach().numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def compare(model, loss, settings, rng, target=False, n=16):
    """Ten steps here and there, a batch and a dict of hyperparameters each."""
    twin, tolerance = twin_of(model), TOLERANCE[model.dtype.name]
    optimizer, theirs = SGD(), torch.optim.SGD(twin.parameters(), lr=0.1)
    trainer = Trainer(model, optimizer, loss)
    for setting in settings:
        for name in ("lr", "momentum", "nesterov", "weight_decay"):
            value = setting.get(name, 0)
            setattr(optimizer, name, value)
            theirs.param_groups[0][name] = value
        x = rng.random((n, model.n_in)).astype(model.dtype)
        t = rng.random((n, model.n_out)).astype(model.dtype) if target else x
        theirs.zero_grad()
        value = TORCH_LOSSES[loss](forward(twin, model, torch.from_numpy(x)), torch.from_numpy(t))
        value.backward()
        theirs.step()
        assert trainer.step(x, t) == pytest.approx(value.item(), rel=tolerance)
        found, expected = model.state_dict(), twin.state_dict()
        for name in expected:
            assert_close(found[name], expected[name], tolerance)
    for layer, linear in zip(model.layers, [*twin["encoder"], *twin["decoder"]], strict=True):  # those of the last step
        assert_close(layer.grad_weight, linear.weight.grad, 10 * tolerance)


DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])


def test_all_names_are_compared():
    assert set(TORCH_ACTIVATIONS) == set(ACTIVATIONS)
    assert set(TORCH_LOSSES) == set(LOSSES)


@DTYPES
@pytest.mark.parametrize("target", [False, True], ids=["input", "target"])
@pytest.mark.parametrize(
    ("loss", "output"),
    [
        *(
            ("half_squared", "identity"),
            ("mse", "sigmoid"),
            ("mse", "tanh"),
            ("bce", "sigmoid"),
            ("bce_with_logits", "identity"),
        ),
        *(("mae", "identity"), ("huber", "softplus"), ("poisson", "identity")),
        *(("multinomial", "identity"), ("cosine", "tanh")),
    ],
)
def test_losses(backend, rng, loss, output, target, dtype):
    model = Autoencoder([20, 12, 5], "tanh", "identity", output, dtype=dtype, seed=rng, backend=backend)
    compare(model, loss, [{"lr": 0.1, "momentum": 0.5}] * 10, rng, target)


@DTYPES
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(backend, rng, activation, dtype):
    model = Autoencoder([20, 12, 5], activation, activation, activation, dtype=dtype, seed=rng, backend=backend)
    compare(model, "mse", [{"lr": 0.3}] * 10, rng)


SETTINGS = {
    "plain": [{"lr": 0.5}] * 10,
    "momentum": [{"lr": 0.3, "momentum": 0.9}] * 10,
    "nesterov": [{"lr": 0.3, "momentum": 0.9, "nesterov": True}] * 10,
    "weight decay": [{"lr": 0.5, "weight_decay": 0.1}] * 10,
    "all": [{"lr": 0.3, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}] * 10,
    "a schedule": [{"lr": 0.5 / (1 + i), "momentum": 0.09 * i} for i in range(10)],
    "momentum off and on": [{"lr": 0.1, "momentum": m} for m in (0.9, 0.9, 0.9, 0, 0, 0, 0.9, 0.9, 0, 0.9)],
}


@DTYPES
@pytest.mark.parametrize("name", SETTINGS)
def test_sgd(backend, rng, name, dtype):
    model = Autoencoder([20, 12, 5], "relu", dtype=dtype, seed=rng, backend=backend)
    compare(model, "bce", SETTINGS[name], rng)


@DTYPES
def test_without_bias_and_with_parts_of_different_depth(backend, rng, dtype):
    kind = {"dtype": dtype, "seed": rng, "backend": backend}
    encoder = Sequential(Linear(20, 12, "elu", False, **kind), Linear(12, 9, "relu", **kind), Linear(9, 4, **kind))
    model = Autoencoder(encoder=encoder, decoder=Sequential(Linear(4, 7, "sigmoid", False, **kind)))
    compare(model, "bce", [{"lr": 0.5}] * 10, rng, target=True, n=3)


def test_certain_outputs_of_bce(backend):
    """PyTorch's bounds: logarithms of at least -100, and a slope that stays finite."""
    x = np.array([[1000.0, -1000.0, 30.0, -40.0], [0.0, 20.0, -20.0, 800.0]])
    for target in (np.zeros_like(x), np.ones_like(x), np.full_like(x, 0.25)):
        logits = torch.from_numpy(x.copy()).requires_grad_()
        value = F.binary_cross_entropy(torch.sigmoid(logits), torch.from_numpy(target))
        value.backward()
        layer = Linear(4, 4, "sigmoid", dtype="float64", backend=backend)
        layer.weight = np.eye(4)
        assert Trainer(Sequential(layer), SGD(1.0), "bce").step(x, target) == pytest.approx(value.item(), rel=1e-10)
        assert_close(layer.grad_bias, logits.grad.sum(dim=0), 1e-7)  # 1 - y loses digits near y = 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reach", [5, 15, 26, 29, 35, 80, 200])
def test_bce_of_many_outputs(backend, reach, dtype, rng):
    """On both sides of the bounds, which some features meet and others do not; y near 1 has lost its digits in PyTorch, too."""
    x = rng.uniform(-min(reach, 80), min(reach, 8), (40, 60))
    x[:, 30:] /= reach
    x[3, 7], x[5, 50] = -reach, reach
    x, target = x.astype(dtype), rng.uniform(0, 1, x.shape).astype(dtype)
    logits = torch.from_numpy(x.copy()).requires_grad_()
    value = F.binary_cross_entropy(torch.sigmoid(logits), torch.from_numpy(target))
    value.backward()
    layer = Linear(60, 60, "sigmoid", dtype=dtype, backend=backend)
    layer.weight = np.eye(60)
    found = Trainer(Sequential(layer), SGD(1.0), "bce").step(x, target)
    assert found == pytest.approx(value.item(), rel=1e-4 if dtype == "float32" else 1e-8)
    assert_close(layer.grad_bias, logits.grad.sum(dim=0), 1e-4)


def test_state_dict_goes_to_pytorch_and_back(rng):
    model = Autoencoder([6, 4, 2], seed=0)
    twin = twin_of(model)
    assert list(twin.state_dict()) == list(model.state_dict())
    for name, tensor in twin.state_dict().items():
        assert tuple(tensor.shape) == model.state_dict()[name].shape
    torch.manual_seed(0)
    for parameter in twin.parameters():
        torch.nn.init.normal_(parameter)
    model.load_state_dict(twin.state_dict())  # tensors, as they are
    x = rng.random((5, 6), "float32")
    expected = forward(twin, model, torch.from_numpy(x))
    assert_close(model.reconstruct(x), expected, 1e-6)


def test_a_data_loader_gives_batches(rng):
    """Lists, of samples alone or with targets; labels are not targets, and images are to be flattened."""
    loader, tensors = torch.utils.data.DataLoader, torch.utils.data.TensorDataset
    x, target = (torch.from_numpy(rng.random((50, 6), "float32")) for _ in range(2))
    trainers = [Trainer(Autoencoder([6, 3], seed=0), SGD(0.1), batch_size=8, seed=0) for _ in range(4)]
    for given, whole, own in ((tensors(x), (x,), trainers[:2]), (tensors(x, target), (x, target), trainers[2:])):
        own[0].fit(loader(given, 9), epochs=2)
        own[1].fit(*whole, epochs=2, shuffle=False)
        np.testing.assert_array_equal(own[0].model.parameters, own[1].model.parameters)
    for given, says in (
        (tensors(x, torch.zeros(50)), r"^the target of batch 0 of x takes .*got \(9,\)"),
        (tensors(x.reshape(-1, 2, 3)), r"^batch 0 of x takes .*; flatten the samples with it\.reshape\(len\(it\), -1\)"),
        (tensors(x, x, x), "got 3 of them"),
    ):
        with pytest.raises(ValueError, match=says):
            trainers[0].fit(loader(given, 9), epochs=1)
