"""The autoencoder's relatives: gradients, agreement with PyTorch, what each of them is for."""

import copy
import json
import math
import pickle
import re

import numpy as np
import pytest
import safetensors
from gradcheck import central_differences, relative_error

import fastae
from fastae import (
    SGD,
    Adam,
    Autoencoder,
    ConditionalVariationalAutoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    Linear,
    MaskedAutoencoder,
    MultinomialAutoencoder,
    Sequential,
    SparseAutoencoder,
    Trainer,
    VariationalAutoencoder,
    _kernels,
)
from fastae._kernels import noise
from fastae._kernels.names import LOSSES
from fastae._kernels.recipe import Recipe


def _trains_models(name):
    try:
        layers, flat = [(2, 1, 0, False), (1, 2, 0, False)], np.zeros(4, "float32")
        _kernels.load(name).Plan(layers, flat, None, 1, 0, 1, None, Recipe(noise="gaussian", level=0.1))
    except (ImportError, NotImplementedError, TypeError):
        return False
    return True


ABLE = [name for name in _kernels.BACKENDS if _trains_models(name)]


@pytest.fixture(scope="module", params=ABLE)
def backend(request):
    """Each backend whose plan has recipes."""
    return request.param


def made(kind, *sizes, **others):
    """A constructor of small models; sizes [12, 7, 4] unless given."""
    return lambda **common: kind(*(sizes or ([12, 7, 4],)), **{"activation": "tanh", **others, **common})


MODELS = {
    "deep": made(Autoencoder, [12, 9, 7, 4]),
    "tied": made(Autoencoder, tied=True),
    "dropout": made(Autoencoder, dropout=0.3),
    "dropout by layer": made(Autoencoder, dropout=(0.5, 0, 0.2)),
    "gaussian noise": made(DenoisingAutoencoder),
    "masking": made(DenoisingAutoencoder, noise="masking", level=0.4),
    "salt and pepper": made(DenoisingAutoencoder, noise="salt_and_pepper", level=0.4),
    "dropout of the input": made(DenoisingAutoencoder, noise="dropout", level=0.4, tied=True),
    "KL": made(SparseAutoencoder, weight=0.7, rho=0.1),
    "L1": made(SparseAutoencoder, penalty="l1", latent_activation="tanh"),
    "k-sparse": made(KSparseAutoencoder, [12, 7, 9], k=3),
    "k-sparse, untied": made(KSparseAutoencoder, [12, 9], k=2, tied=False),
    "contractive": made(ContractiveAutoencoder, [12, 7]),
    "contractive, tanh": made(ContractiveAutoencoder, activation="tanh", tied=False),
    "VAE": made(VariationalAutoencoder),
    "VAE, binary": made(VariationalAutoencoder, binarize=True),
    "beta-VAE, Gaussian": made(VariationalAutoencoder, decoder="gaussian", beta=2.5, sigma=0.5, dropout=0.2),
    "Mult-VAE": made(VariationalAutoencoder, decoder="multinomial", beta=0.2),
    "Mult-VAE, dropout of the input": made(VariationalAutoencoder, decoder="multinomial", beta=0.2, input_dropout=0.4),
    "conditional VAE": made(ConditionalVariationalAutoencoder, [12, 7, 4], 3),
    "conditional VAE, dropout of the input": made(ConditionalVariationalAutoencoder, [12, 7, 4], 3, input_dropout=0.2),
    "missing values": made(MaskedAutoencoder, output_activation="identity"),
    "missing values and noise": made(MaskedAutoencoder, noise="masking", tied=True),
    "Mult-DAE": made(MultinomialAutoencoder),
}
EACH = pytest.mark.parametrize("name", MODELS)


def data_for(model, rng, n=17, dtype="float64"):
    """Samples as the model takes them."""
    x = rng.random((n, 12))
    if model.default_loss == "multinomial":
        x = rng.poisson(1.5, (n, 12)).astype(float)
    if isinstance(model, MaskedAutoencoder):
        x[rng.random(x.shape) < 0.3] = np.nan
    if isinstance(model, ConditionalVariationalAutoencoder):
        return model.join(x, rng.integers(0, 3, n)).astype(dtype)
    return x.astype(dtype)


def trained(model, x, epochs=60, lr=3e-3, batch_size=32, **others):
    history = Trainer(model, Adam(lr), batch_size=batch_size, seed=0, **others).fit(x, epochs=epochs)
    return model, history


@pytest.fixture(scope="module")
def digits():
    """Training and test images of the digits, and the labels of both."""
    x, labels = fastae.datasets.load_digits()
    return x[:1200], x[1200:], labels[:1200], labels[1200:]


# ---- gradients -------------------------------------------------------------------------------------------------------


@EACH
def test_gradient(backend, rng, name):
    """Of the training loss, with its penalties and the noise of one step."""
    model = MODELS[name](dtype="float64", seed=rng, backend=backend)
    x = data_for(model, rng)
    trainer = Trainer(model, SGD(0.0), batch_size=len(x), seed=3)

    def f(_):
        trainer.steps = 0  # so that the noise is the same
        return trainer.step(x)

    expected = central_differences(f, model.parameters)
    f(None)
    assert relative_error(model.gradients, expected) < 1e-6


def test_noise_is_new_in_every_step_and_the_same_for_the_same_seed(backend, rng):
    model = MODELS["gaussian noise"](seed=0, backend=backend)
    x, losses = rng.random((9, 12), "float32"), []
    for _ in range(2):
        trainer = Trainer(model, SGD(0.0), seed=1)
        losses.append([trainer.step(x) for _ in range(3)])
    assert losses[0] == losses[1]
    assert len(set(losses[0])) == 3
    assert trainer.evaluate(x) == pytest.approx(np.mean((model.reconstruct(x) - x) ** 2), rel=1e-5)  # without noise


# ---- the same steps in PyTorch ---------------------------------------------------------------------------------------


class Twin:
    """A model in PyTorch, fed with the random numbers of fastae."""

    def __init__(self, model, torch):
        self.model, self.torch, self.F = model, torch, torch.nn.functional
        self.dtype = model.dtype
        self.tensors = {name: torch.from_numpy(a).requires_grad_() for name, a in model.state_dict().items()}

    def parameters(self):
        below = [f"decoder.{i}.weight" for i in range(len(self.model.decoder))] if self.model.tied else []
        return [t for name, t in self.tensors.items() if name not in below]

    def uniform(self, stream, x):
        return self.torch.from_numpy(noise.uniform(self.key, self.step, stream, 0, *x.shape, self.dtype))

    def normal(self, stream, x):
        return self.torch.from_numpy(noise.normal(self.key, self.step, stream, 0, *x.shape, self.dtype))

    def disturbed(self, x):
        model, level = self.model, getattr(self.model, "level", getattr(self.model, "input_dropout", 0))
        dropped = isinstance(model, MultinomialAutoencoder | VariationalAutoencoder)
        kind = "dropout" if dropped else getattr(model, "noise", None)
        if kind == "gaussian":
            return x + level * self.normal(0, x)
        if kind in ("masking", "dropout"):
            return self.torch.where(self.uniform(0, x) < level, 0, x if kind == "masking" else x / (1 - level))
        if kind == "salt_and_pepper":
            u = self.uniform(0, x)
            return self.torch.where(u < level / 2, 1, self.torch.where(u < level, 0, x)).to(x)
        return x

    def layer(self, number, x):
        part, i = ("encoder", number) if number < len(self.model.encoder) else ("decoder", number - len(self.model.encoder))
        weight = self.tensors[f"{part}.{i}.weight"]
        if part == "decoder" and self.model.tied:
            weight = self.tensors[f"encoder.{len(self.model.decoder) - 1 - i}.weight"].T
        z = self.F.linear(x, weight, self.tensors[f"{part}.{i}.bias"])
        return {"identity": lambda z: z, "tanh": self.torch.tanh, "sigmoid": self.torch.sigmoid, "relu": self.torch.relu}[
            self.model.layers[number].activation
        ](z)

    def __call__(self, x, step, key):
        """The training loss of a batch."""
        torch, model, (self.step, self.key) = self.torch, self.model, (step, key)
        x = torch.from_numpy(x)
        missing = torch.isnan(x)
        features, condition, penalty, last = x[:, : model.n_out], x[:, model.n_out :], 0.0, len(model.layers) - 1
        target = torch.where(missing[:, : model.n_out], 0, features)
        if getattr(model, "binarize", False):
            target = (self.uniform(0, features) < features).to(x)
        y = torch.cat([self.disturbed(target), condition], dim=1)
        dropout = model.dropout if isinstance(model.dropout, tuple) else (model.dropout,) * last
        for number in range(last + 1):
            y = self.layer(number, y)
            code = number == len(model.encoder) - 1
            if number == 0 and isinstance(model, ContractiveAutoencoder):
                slope = y * (1 - y) if model.layers[0].activation == "sigmoid" else 1 - y**2
                jacobian = slope[:, :, None] * self.tensors["encoder.0.weight"]
                penalty = model.weight * (jacobian**2).sum() / len(x)
            if code and isinstance(model, KSparseAutoencoder):
                y = torch.zeros_like(y).scatter(1, (top := y.topk(model.k)).indices, top.values)
            if number < last and dropout[number] and not (code and isinstance(model, VariationalAutoencoder)):
                y = torch.where(self.uniform(2 * number + 1, y) < dropout[number], 0, y / (1 - dropout[number]))
            if code and isinstance(model, SparseAutoencoder):
                r, rho = y.mean(dim=0), model.rho
                kl = (rho * torch.log(rho / r) + (1 - rho) * torch.log((1 - rho) / (1 - r))).sum()
                penalty = model.weight * (kl if model.penalty == "kl" else y.abs().sum() / len(x))
            if code and isinstance(model, VariationalAutoencoder):
                mean, log_variance = y.chunk(2, dim=1)
                q = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
                prior = torch.distributions.Normal(torch.zeros_like(q.mean), 1)
                penalty = model.beta * torch.distributions.kl_divergence(q, prior).sum() / len(x)
                y = torch.cat([q.mean + q.stddev * self.normal(2 * number + 2, q.mean), condition], dim=1)
        return self.loss(y, target, ~missing[:, : model.n_out]) + penalty

    def loss(self, y, t, observed):
        likelihood = getattr(self.model, "likelihood", None)
        if likelihood == "bernoulli":
            return self.F.binary_cross_entropy_with_logits(y, t, reduction="sum") / len(t)
        if self.model.default_loss == "multinomial":
            return -(t * self.torch.log_softmax(y, dim=1)).sum() / len(t)
        squares = ((y - t) ** 2)[observed]
        if self.model.default_loss == "mse":
            return squares.mean()
        return squares.sum() / 2 / len(t) / getattr(self.model, "sigma", 1) ** 2


class Spy:
    """Kernels that tell the key of the last plan's random numbers."""

    def __init__(self, kernels):
        self._kernels, self.key = kernels, None

    def __getattr__(self, name):
        return getattr(self._kernels, name)

    def Plan(self, *arguments, **named):
        recipe = next(a for a in (*arguments, *named.values()) if isinstance(a, Recipe))
        self.key = recipe.key
        return self._kernels.Plan(*arguments, **named)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@EACH
def test_steps_agree_with_pytorch(backend, rng, name, dtype):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    tolerance = {"float64": 1e-9, "float32": 2e-4}[dtype]
    model = MODELS[name](dtype=dtype, seed=rng, backend=backend)
    twin = Twin(model, torch)
    trainer = Trainer(model, SGD(0.05, momentum=0.9), seed=7)
    trainer._kernels = spy = Spy(trainer._kernels)
    theirs = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    for step in range(5):
        x = data_for(model, rng, 17, dtype)
        loss = trainer.step(x)
        theirs.zero_grad()
        expected = twin(x, step, spy.key)
        expected.backward()
        theirs.step()
        assert loss == pytest.approx(expected.item(), rel=tolerance)
    for key, array in model.state_dict().items():
        tied = model.tied and key.startswith("decoder") and key.endswith("weight")
        other = f"encoder.{len(model.decoder) - 1 - int(key.split('.')[1])}.weight" if tied else key
        wanted = twin.tensors[other].detach().numpy()
        np.testing.assert_allclose(array, wanted.T if tied else wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


# ---- tied weights and dropout ----------------------------------------------------------------------------------------


def are_tied(model):
    return all(
        np.array_equal(below.weight, above.weight.T)
        for below, above in zip(model.encoder, reversed(model.decoder.layers), strict=True)
    )


def test_tied_weights_are_equal_at_all_times(backend, rng, tmp_path):
    model = Autoencoder([12, 7, 4], tied=True, seed=0, backend=backend)
    assert are_tied(model)
    np.testing.assert_array_equal(model.encoder[0].weight, Autoencoder([12, 7, 4], seed=0).encoder[0].weight)
    trained(model, rng.random((40, 12), "float32"), epochs=2)
    assert are_tied(model)
    twin = Autoencoder([12, 7, 4], tied=True, seed=1, backend=backend)
    twin.load_state_dict(model.state_dict())
    assert are_tied(twin)
    for other in (twin, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.tied
        np.testing.assert_array_equal(other.parameters, model.parameters)
    untied = Autoencoder([12, 7, 4], seed=2).state_dict()
    with pytest.raises(ValueError, match=r"encoder\.0\.weight and decoder\.1\.weight"):
        twin.load_state_dict(untied)
    np.testing.assert_array_equal(twin.parameters, model.parameters)
    made_by_hand = Autoencoder(
        encoder=Sequential(Linear(5, 3, seed=0)), decoder=Sequential(Linear(3, 5, "relu", seed=1)), tied=True
    )
    assert are_tied(made_by_hand)


def test_a_tied_model_that_was_written_into_can_be_saved(tmp_path):
    """Element by element; the encoder's weights count."""
    model = Autoencoder([12, 7, 4], tied=True, seed=0)
    model.encoder[0].weight[0, 0] = 7
    model.save(path := tmp_path / "m.safetensors")
    assert fastae.load(path).encoder[0].weight[0, 0] == 7
    assert are_tied(fastae.load(path))
    assert are_tied(model)
    model.encoder[1].weight[0, 0] = 8
    model.load_state_dict(model.state_dict())


def test_tied_weights_stay_equal_whatever_is_assigned(rng):
    model = Autoencoder([12, 7, 4], tied=True, seed=0)
    x = rng.random((3, 12), "float32")

    def check(weight):
        np.testing.assert_array_equal(model.encoder[0].weight, weight)
        np.testing.assert_array_equal(model.decoder[1].weight, weight.T)
        y = model.reconstruct(x)
        np.testing.assert_array_equal(y, copy.deepcopy(model).reconstruct(x))

    weight = rng.random((7, 12), "float32")
    model.encoder[0].weight = weight
    check(weight)
    model.decoder[1].weight = 2 * weight.T
    check(2 * weight)
    model.parameters = 3 * model.parameters
    check(6 * weight)
    model.parameters = (values := rng.random(model.parameters.size, "float32"))
    check(values[:84].reshape(7, 12))
    model.decoder.parameters = (values := rng.random(model.decoder.parameters.size, "float32"))
    check(values[-84 - 12 : -12].reshape(12, 7).T)
    model.encoder.load_state_dict({**model.encoder.state_dict(), "0.weight": weight})
    check(weight)


def test_tied_takes_mirrored_layers():
    with pytest.raises(ValueError, match="tied takes a decoder that mirrors"):
        Autoencoder(encoder=Sequential(Linear(5, 4), Linear(4, 3)), decoder=Sequential(Linear(3, 5)), tied=True)
    with pytest.raises(ValueError, match="tied takes a decoder that mirrors"):
        VariationalAutoencoder([12, 4], tied=True)


@pytest.mark.parametrize("dropout", [1, -0.1, math.nan, "half", (0.1, 0.2), [0.1, 0.2, 1.0], True])
def test_wrong_dropout(dropout):
    with pytest.raises((TypeError, ValueError), match="dropout takes"):
        Autoencoder([12, 7, 4], dropout=dropout)


# ---- denoising -------------------------------------------------------------------------------------------------------


def test_a_denoiser_denoises_better_than_a_plain_autoencoder(backend, digits, rng):
    x, test, _, _ = digits
    noisy = test + 0.4 * rng.standard_normal(test.shape, "float32")
    errors = {}
    for kind, others in ((Autoencoder, {}), (DenoisingAutoencoder, {"level": 0.4})):
        model, _ = trained(kind([64, 48, 32], seed=0, backend=backend, **others), x, 40)
        errors[kind] = np.mean((model.reconstruct(noisy) - test) ** 2)
    assert errors[DenoisingAutoencoder] < 0.7 * errors[Autoencoder]
    assert errors[DenoisingAutoencoder] < 0.3 * np.mean((noisy - test) ** 2)


# ---- sparse ----------------------------------------------------------------------------------------------------------


def test_sparse_codes_are_near_rho(backend, digits):
    plain, _ = trained(Autoencoder([64, 40], latent_activation="sigmoid", seed=0, backend=backend), digits[0], 20)
    sparse, _ = trained(SparseAutoencoder([64, 40], rho=0.08, seed=0, backend=backend), digits[0], 60)
    means = [model.encode(digits[1]).mean(axis=0) for model in (plain, sparse)]
    assert np.abs(means[1] - 0.08).mean() < 0.03
    assert means[0].mean() > 3 * means[1].mean()


def test_l1_makes_zeros(backend, digits):
    model, _ = trained(SparseAutoencoder([64, 40], penalty="l1", weight=0.3, seed=0, backend=backend), digits[0], 30)
    plain, _ = trained(SparseAutoencoder([64, 40], penalty="l1", weight=0, seed=0, backend=backend), digits[0], 30)
    zeros = [np.mean(m.encode(digits[1]) < 1e-3) for m in (model, plain)]
    assert zeros[0] > zeros[1] + 0.1


def test_k_sparse_codes_have_k_elements(backend, digits):
    model, history = trained(KSparseAutoencoder([64, 100], k=9, seed=0, backend=backend), digits[0], 20)
    assert model.tied
    assert are_tied(model)
    assert history.loss[-1] < 0.5 * history.loss[0]
    x = digits[1]
    z = model.encode(x)
    assert (np.sum(z != 0, axis=1) == 9).all()
    full = model.encoder(x)
    assert (np.sort(full, axis=1)[:, -9:] == np.sort(np.where(z == 0, -np.inf, z), axis=1)[:, -9:]).all()
    assert (np.sum(model.encode(x, alpha=2) != 0, axis=1) == 18).all()
    assert (np.sum(model.encode(x, alpha=1e9) != 0, axis=1) == 100).all()
    np.testing.assert_allclose(model.reconstruct(x), model.decode(z), atol=1e-6)
    out = np.empty((len(x), 200), "float32")[:, ::2]
    assert model.encode(x, out=out) is out
    np.testing.assert_array_equal(out, z)


# ---- contractive -----------------------------------------------------------------------------------------------------


def test_contraction(backend, digits):
    slopes = []
    for weight in (0, 1.0):
        model, _ = trained(ContractiveAutoencoder([64, 30], weight=weight, seed=0, backend=backend), digits[0], 30)
        h = model.encode(digits[1])
        squares = (model.encoder[0].weight ** 2).sum(axis=1)
        slopes.append(np.mean(((h * (1 - h)) ** 2) @ squares))
    assert slopes[1] < 0.3 * slopes[0]


# ---- variational -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binarize", [False, True])
def test_the_elbo_improves_and_bounds_the_likelihood(backend, digits, binarize):
    x = digits[1][:200]
    model = VariationalAutoencoder([64, 48, 6], seed=0, backend=backend, binarize=binarize)
    before = model.elbo(x, seed=0).mean()
    _, history = trained(model, digits[0], 60)
    after = np.mean([model.elbo(x, seed=seed).mean() for seed in range(5)])
    assert after > before + 10
    assert history.loss[-1] < history.loss[0] - 10
    assert model.elbo(x, seed=0).shape == (200,)
    few, many = (model.log_likelihood(x, n, seed=0).mean() for n in (1, 300))
    assert few == pytest.approx(after, abs=1)  # of the same expectation, but for the KL term's variance
    assert many > after + 0.2
    assert many < 0
    np.testing.assert_array_equal(model.elbo(x, seed=1), model.elbo(x, seed=np.random.default_rng(1)))


def test_log_likelihood_of_a_linear_gaussian_model(backend, rng):
    """Probabilistic PCA: x = W z + b + sigma e has N(b, W W^T + sigma^2 I); q is its posterior, so one code is enough."""
    n_in, k, sigma = 5, 2, 0.7
    w, b, x = rng.normal(size=(n_in, k)), rng.normal(size=n_in), rng.normal(size=(30, n_in))
    model = VariationalAutoencoder([n_in, k], decoder="gaussian", sigma=sigma, dtype="float64", backend=backend)
    covariance = w @ w.T + sigma**2 * np.eye(n_in)
    posterior = np.linalg.inv(w.T @ w / sigma**2 + np.eye(k))
    model.decoder[0].weight, model.decoder[0].bias = w, b
    gain = posterior @ w.T / sigma**2
    variances = np.diag(posterior)
    model.encoder[0].weight = np.concatenate([gain, np.zeros((k, n_in))])
    model.encoder[0].bias = np.concatenate([-gain @ b, np.log(variances)])
    d = x - b
    exact = -0.5 * (np.einsum("ij,jk,ik->i", d, np.linalg.inv(covariance), d) + np.linalg.slogdet(2 * np.pi * covariance)[1])
    np.testing.assert_allclose(model.log_likelihood(x, 20_000, seed=0), exact, atol=0.03)
    lower = np.mean([model.elbo(x, seed=seed) for seed in range(400)], axis=0)
    gap = 0.5 * (np.sum(np.log(variances)) - np.linalg.slogdet(posterior)[1])  # KL(q || posterior), of equal means
    trace = 0.5 * (np.trace(np.linalg.inv(posterior) @ np.diag(variances)) - k)
    np.testing.assert_allclose(lower.mean(), (exact - trace + gap).mean(), atol=0.1)


def test_log_likelihood_does_not_depend_on_blocks(backend, rng, monkeypatch):
    from fastae.models import variational

    model = VariationalAutoencoder([12, 6, 3], seed=0, dtype="float64", backend=backend)
    x = rng.random((40, 12))
    one = model.log_likelihood(x, 4000, seed=0)
    monkeypatch.setattr(variational, "_ROWS", 1000)
    other = model.log_likelihood(x, 4000, seed=1)
    np.testing.assert_allclose(one, other, atol=0.2)


def test_annealing():
    model = VariationalAutoencoder([12, 4], anneal_steps=10, seed=0)
    np.testing.assert_allclose(model.penalty_factor(np.arange(0, 20, 5)), [0, 0.5, 1, 1])
    np.testing.assert_array_equal(VariationalAutoencoder([12, 4]).penalty_factor(np.arange(3)), [1, 1, 1])


def test_a_trainer_anneals(backend, rng):
    """At step 0 without KL, from anneal_steps on with all of it."""
    x, losses = rng.random((9, 12)), {}
    for anneal_steps in (0, 4):
        model = VariationalAutoencoder([12, 4], anneal_steps=anneal_steps, seed=0, dtype="float64", backend=backend)
        trainer = Trainer(model, SGD(0.0), seed=1)
        losses[anneal_steps] = np.array([trainer.step(x) for _ in range(6)])
    mean, s = model.encode_distribution(x)
    kl = np.mean(0.5 * np.sum(np.exp(s) + mean**2 - 1 - s, axis=1))
    np.testing.assert_allclose(losses[0] - losses[4], kl * np.array([1, 0.75, 0.5, 0.25, 0, 0]), atol=1e-9)


@pytest.mark.parametrize("decoder", ["bernoulli", "gaussian", "multinomial"])
def test_what_a_variational_autoencoder_gives(backend, rng, decoder):
    model = VariationalAutoencoder([12, 7, 3], decoder=decoder, seed=0, backend=backend)
    x = rng.random((9, 12), "float32")
    assert [(layer.n_in, layer.n_out) for layer in model.layers] == [(12, 7), (7, 6), (3, 7), (7, 12)]
    assert model.n_latent == 3
    mean, log_variance = model.encode_distribution(x)
    assert mean.shape == log_variance.shape == (9, 3)
    np.testing.assert_array_equal(model.encode(x), mean)
    np.testing.assert_array_equal(model.encode(x, out=np.empty((9, 3), "float32")), mean)
    y, p = model.decode(mean, logits=True), model.decode(mean)
    np.testing.assert_allclose(model.reconstruct(x), p, atol=1e-6)
    np.testing.assert_allclose(model.reconstruct(x, logits=True), y, atol=1e-6)
    e = np.exp(y - (y.max(axis=1, keepdims=True) if decoder == "multinomial" else 0))
    expected = {"bernoulli": e / (1 + e), "gaussian": y, "multinomial": e / e.sum(axis=1, keepdims=True)}[decoder]
    np.testing.assert_allclose(p, expected, atol=1e-6)
    for out in (np.empty((9, 12), "float32"), np.empty((9, 24), "float32")[:, ::2], np.empty((9, 12), "float32", order="F")):
        assert model.decode(mean, out=out) is out
        np.testing.assert_array_equal(out, p)
    samples = model.sample(5, seed=0)
    assert samples.shape == (5, 12)
    np.testing.assert_array_equal(samples, model.sample(5, seed=0))
    assert not np.array_equal(samples, model.sample(5, seed=1))
    way = model.interpolate(x[0], x[1], steps=4)
    assert way.shape == (4, 12)
    np.testing.assert_allclose(way[[0, 3]], p[:2], atol=1e-6)
    means = p * x.sum(axis=1, keepdims=True) if decoder == "multinomial" else p
    np.testing.assert_allclose(model.reconstruction_error(x), np.mean((means - x) ** 2, axis=1, dtype="float64"), rtol=1e-4)


def test_validation_is_the_bound(backend, rng):
    model = VariationalAutoencoder([12, 4], decoder="gaussian", sigma=0.5, beta=3, seed=0, dtype="float64", backend=backend)
    x = rng.random((30, 12))
    losses = model.losses(x, x, LOSSES.index("half_squared"))
    mean, s = model.encode_distribution(x)
    kl = 0.5 * np.sum(np.exp(s) + mean**2 - 1 - s, axis=1)
    constant = 0.5 * 12 * math.log(2 * math.pi * 0.25)
    np.testing.assert_allclose(-model.elbo(x, seed=0), losses - 2 * kl + constant, rtol=1e-12)
    assert Trainer(model, SGD()).evaluate(x) == pytest.approx(losses.mean())


# ---- conditional -----------------------------------------------------------------------------------------------------


def test_conditional_samples_are_of_their_label(backend, digits):
    x, test, labels, test_labels = digits
    model = ConditionalVariationalAutoencoder([64, 48, 4], 10, seed=0, backend=backend)
    trained(model, model.join(x, labels), 60)
    centres = np.stack([x[labels == label].mean(axis=0) for label in range(10)])
    right = 0
    for label in range(10):
        samples = model.sample(30, condition=label, seed=label)
        right += np.mean(np.argmin(((samples[:, None] - centres) ** 2).sum(axis=2), axis=1) == label)
    assert right / 10 > 0.7
    assert not np.allclose(model.sample(1, 3, seed=0), model.sample(1, 8, seed=0), atol=0.05)
    own, other = (model.elbo(test, c, seed=0).mean() for c in (test_labels, (test_labels + 1) % 10))
    assert own > other + 2
    assert (
        model.log_likelihood(test[:20], test_labels[:20], 100, seed=0).mean()
        > model.elbo(test[:20], test_labels[:20], 0).mean()
    )


def test_forms_of_a_condition(rng):
    model = ConditionalVariationalAutoencoder([12, 7, 3], 4, seed=0)
    x, labels = rng.random((5, 12), "float32"), np.array([0, 3, 1, 1, 2])
    one_hot = np.eye(4)[labels]
    joined = model.join(x, labels)
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined, np.concatenate([x, one_hot], axis=1).astype("float32"))
    for form in (labels.tolist(), one_hot, one_hot.astype(bool), one_hot.astype(np.uint8)):
        np.testing.assert_array_equal(model.join(x, form), joined)
    np.testing.assert_array_equal(model.join(x, 2), model.join(x, np.eye(4)[2]))
    np.testing.assert_array_equal(model.join(np.uint8(255 * x), labels)[:, 12:], one_hot)
    for condition, z in ((labels, model.encode(x, labels)), (one_hot, model.encode(joined))):
        np.testing.assert_array_equal(z, model.encode_distribution(x, condition)[0])
        y = model.decode(z, condition)
        np.testing.assert_allclose(model.reconstruct(x, condition), y, atol=1e-6)
        np.testing.assert_array_equal(y, model.decode(np.concatenate([z, one_hot], axis=1, dtype="float32")))
    np.testing.assert_array_equal(model.reconstruct(x, labels), model.reconstruct(joined))
    np.testing.assert_allclose(
        model.reconstruction_error(x, labels), np.mean((model.reconstruct(joined) - x) ** 2, axis=1), rtol=1e-5
    )
    assert model.interpolate(x[0], x[1], 3, condition=2).shape == (3, 12)
    assert model.sample(5, labels, seed=0).shape == (5, 12)


@pytest.mark.parametrize(
    "condition", [[0, 1], [0, 1, 4], [-1, 0, 1], 4, [[0.5] * 3] * 3, ["a"] * 3, [[math.nan] * 4] * 3, None]
)
def test_a_wrong_condition(rng, condition):
    model = ConditionalVariationalAutoencoder([12, 7, 3], 4, seed=0)
    with pytest.raises((TypeError, ValueError), match="condition"):
        model.join(rng.random((3, 12), "float32"), condition)
    with pytest.raises((TypeError, ValueError), match="condition"):
        model.sample(3, condition)


def test_a_condition_that_may_be_meant_otherwise(rng):
    """Floats of as many samples as there are conditions may be labels, not one condition of all."""
    model, x = ConditionalVariationalAutoencoder([12, 7, 3], 4, seed=0), rng.random((4, 12), "float32")
    with pytest.raises(ValueError, match="condition takes 4 integers, or numbers"):
        model.join(x, np.array([0.0, 1.0, 3.0, 2.0]))
    with pytest.raises(TypeError, match=r"condition is needed beside x of 12 features; or give join\(x, condition\)"):
        model.encode(x)
    one = ConditionalVariationalAutoencoder([12, 7, 3], 1, seed=0)
    for numbers in (np.array([0, 1, 1, 5]), np.array([0.0, 1.0, 1.0, 5.0]), np.array([[0], [1], [1], [5]])):
        np.testing.assert_array_equal(one.join(x, numbers)[:, 12], [0, 1, 1, 5])
    for a, b, name in ((x[0, :5], x[1], "a"), (x[0], x[:2], "b")):
        with pytest.raises(ValueError, match=rf"{name} takes one sample of shape \(12,\)"):
            model.interpolate(a, b, condition=1)
    with pytest.raises(ValueError, match="b has NaN"):
        model.interpolate(x[0], np.full(12, np.nan, "float32"), condition=1)


def test_a_conditional_trainer_takes_targets_and_validation_data(backend, rng):
    model = ConditionalVariationalAutoencoder([12, 7, 3], 2, seed=0, backend=backend)
    x = rng.random((20, 12), "float32")
    joined = model.join(x, np.full((20, 2), 7.0))  # a condition may be any numbers
    for target in (None, joined[:, :12].copy()):
        trainer = Trainer(model, SGD(0.0), batch_size=20, seed=0)
        history = trainer.fit(joined, target, epochs=1, shuffle=False, validation_data=joined)
        assert history.val_loss[0] == pytest.approx(trainer.evaluate(joined, x))
        assert history.loss[0] == pytest.approx(trainer.evaluate(joined), rel=0.1)


# ---- missing values --------------------------------------------------------------------------------------------------


def test_imputation_is_better_than_the_means_of_columns(backend, digits, rng):
    x, test, _, _ = digits
    hidden = rng.random(x.shape) < 0.2
    model = MaskedAutoencoder([64, 48, 24], noise="masking", level=0.2, seed=0, backend=backend)
    trained(model, model.hide(x, ~hidden), 60)
    hidden = rng.random(test.shape) < 0.2
    filled = model.impute(model.hide(test, ~hidden))
    np.testing.assert_array_equal(filled[~hidden], test[~hidden])
    error = np.mean((filled - test)[hidden] ** 2)
    by_means = np.mean((np.broadcast_to(x.mean(axis=0), test.shape) - test)[hidden] ** 2)
    assert error < 0.5 * by_means


@pytest.mark.parametrize("loss", ["mse", "half_squared", "mae", "bce", "huber"])
def test_missing_elements_count_for_nothing(backend, rng, loss):
    """Whatever is there."""
    model = MaskedAutoencoder([12, 7, 4], seed=0, dtype="float64", backend=backend)
    x = rng.random((20, 12))
    x[rng.random(x.shape) < 0.3] = np.nan
    trainer = Trainer(model, SGD(0.0), loss=loss, batch_size=20)
    value = trainer.step(x)
    assert trainer.evaluate(x) == pytest.approx(value, rel=1e-12)
    seen = ~np.isnan(x)
    y = model.reconstruct(x)
    term = {"mse": (y - x) ** 2, "half_squared": (y - x) ** 2 / 2, "mae": np.abs(y - x), "huber": (y - x) ** 2 / 2}
    if loss in term:
        total = np.nansum(term[loss])
        assert value == pytest.approx(total / (20 if loss == "half_squared" else seen.sum()), rel=1e-9)
    np.testing.assert_allclose(model.reconstruction_error(x), np.nanmean((y - x) ** 2, axis=1), rtol=1e-12)
    np.testing.assert_array_equal(model.encode(x), model.encode(np.nan_to_num(x)))
    np.testing.assert_array_equal(y, model.reconstruct(np.nan_to_num(x)))


def test_incomplete_data_are_evaluated_by_all_that_is_observed(rng):
    """However much of each block of samples is."""
    model, x = MaskedAutoencoder([5, 3], seed=0, dtype="float64"), rng.random((4096 + 500, 5))
    x[:4096][rng.random((4096, 5)) < 0.9] = np.nan
    error = (model.reconstruct(x) - x) ** 2
    trainer = Trainer(model, SGD(0.0), loss="mse", batch_size=len(x))
    assert trainer.evaluate(x) == pytest.approx(np.nanmean(error), rel=1e-12)
    assert trainer.evaluate(x) == pytest.approx(trainer.step(x), rel=1e-9)
    weight = rng.random(len(x))
    by_hand = np.nansum(error * weight[:, None]) / np.sum(~np.isnan(x))
    assert trainer.evaluate(x, sample_weight=weight) == pytest.approx(by_hand, rel=1e-12)
    assert np.isnan(trainer.evaluate(np.full((3, 5), np.nan)))  # of which nothing is known


def test_imputation_leaves_what_is_observed(rng):
    model, x = MaskedAutoencoder([5, 3], seed=0), 1000 + rng.random((6, 5))
    hidden = rng.random(x.shape) < 0.3
    filled = model.impute(np.where(hidden, np.nan, x))
    assert filled.dtype == np.float64
    np.testing.assert_array_equal(filled[~hidden], x[~hidden])
    assert np.isfinite(filled).all()


def test_a_complete_table_trains_as_without_missing_values(backend, rng):
    x, weights = rng.random((40, 12), "float32"), []
    for kind in (Autoencoder, MaskedAutoencoder):
        model, _ = trained(kind([12, 7, 4], seed=0, backend=backend), x, 3)
        weights.append(model.parameters)
    np.testing.assert_allclose(*weights, atol=1e-5)


def test_infinity_is_not_missing(backend, rng):
    model = MaskedAutoencoder([12, 4], seed=0, backend=backend)
    x = rng.random((5, 12), "float32")
    x[0, 0], x[3, 2] = np.nan, np.inf
    trainer = Trainer(model, SGD(0.1), batch_size=5)
    for call in (model.encode, model.reconstruct, model.impute, model.reconstruction_error, trainer.step, trainer.fit):
        with pytest.raises(ValueError, match=r"x has .*infinity.*row 3, column 2"):
            call(x)
    with pytest.raises(ValueError, match="x has NaN"):
        Autoencoder([12, 4], seed=0, backend=backend).encode(x)
    assert np.isnan(model.reconstruction_error(np.full((1, 12), np.nan)))[0]
    with pytest.raises(ValueError, match="observed takes an array of bool"):
        model.hide(x, np.ones((5, 12)))


# ---- counts ----------------------------------------------------------------------------------------------------------


def test_counts(backend, rng):
    taste = rng.dirichlet(np.full(30, 0.1), 4)
    people = rng.dirichlet(np.full(4, 0.2), 500)
    x = np.stack([rng.multinomial(40, p) for p in people @ taste]).astype("float32")
    model, history = trained(MultinomialAutoencoder([30, 20, 4], seed=0, backend=backend), x, 60)
    assert history.loss[-1] < 0.9 * history.loss[0]
    p = model.reconstruct(x)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    popular = x.sum(axis=0) / x.sum()
    assert -np.mean(np.sum(x * np.log(p), axis=1)) < -np.mean(x @ np.log(popular + 1e-9)) - 5
    np.testing.assert_allclose(model.decode(model.encode(x)), p, atol=1e-6)
    y = model.reconstruct(x, logits=True)
    np.testing.assert_allclose(np.log(p), y - np.logaddexp.reduce(y, axis=1, keepdims=True), atol=1e-4)


@pytest.mark.parametrize("decoder", ["Mult-DAE", "Mult-VAE"])
def test_reconstruction_error_of_counts(rng, decoder):
    model, x = MODELS[decoder](seed=0), rng.poisson(1.5, (9, 12)).astype("float32")
    expected = model.reconstruct(x) * x.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.reconstruction_error(x), np.mean((expected - x) ** 2, axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "losses"),
    [("VAE", ["mse", "bce", "half_squared"]), ("beta-VAE, Gaussian", ["mse", "bce_with_logits"]), ("Mult-DAE", ["mse", "mae"])],
)
def test_outputs_that_are_logits_take_no_other_loss(name, losses):
    model = MODELS[name](seed=0)
    Trainer(model, SGD(), model.default_loss)
    for loss in losses:
        with pytest.raises(ValueError, match=rf"loss of this .* takes '{model.default_loss}'.*got '{loss}'"):
            Trainer(model, SGD(), loss)
    with pytest.raises(ValueError, match=r"x of loss '\w+' takes values .*; scale it$"):
        Trainer(MODELS["VAE"](), SGD()).step(np.full((3, 12), 2.0))


def test_a_bound_of_what_the_decoder_cannot_give(rng):
    x = rng.random((4, 12))
    for name, wrong in (("VAE", x + 0.5), ("Mult-VAE", x - 0.5)):
        model = MODELS[name](seed=0)
        for call in (model.elbo, model.log_likelihood):
            with pytest.raises(ValueError, match=r"x of the decoder '\w+' takes values .*it has no likelihood"):
                call(wrong)


def test_the_target_is_the_input_where_it_is_the_same_array(rng):
    """Not where it only shares memory with it."""
    model = VariationalAutoencoder([12, 4], seed=0, dtype="float64")
    x = rng.random((40, 12))
    trainer = Trainer(model, SGD(0.0), batch_size=20)
    assert trainer.evaluate(x[:20], x[20:]) == trainer.evaluate(x[:20], x[20:].copy())
    assert trainer.evaluate(x[:20], x[5:25]) == trainer.evaluate(x[:20], x[5:25].copy())


# ---- what all have in common -----------------------------------------------------------------------------------------


@EACH
def test_round_trips_keep_class_and_settings(backend, rng, tmp_path, name):
    model = MODELS[name](seed=0, backend=backend)
    x, path = data_for(model, rng, dtype="float32"), tmp_path / "m.safetensors"
    Trainer(model, Adam(1e-2), seed=0).step(x)
    model.save(path)
    for twin in (fastae.load(path, backend), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(twin) is type(model)
        assert repr(twin) == repr(model)
        assert twin.settings() == model.settings()
        assert twin.recipe() == model.recipe()
        assert twin.parameters.tobytes() == model.parameters.tobytes()
        np.testing.assert_array_equal(twin.reconstruct(x), model.reconstruct(x))
        losses = [Trainer(m, SGD(0.0), seed=5).step(x) for m in (model, twin)]
        assert losses[0] == losses[1]
    assert type(model).__name__ in repr(model)
    assert all(f"{key}={value!r}" in repr(model) for key, value in model.settings().items())


@EACH
def test_threads_and_validation(backend, rng, name):
    results = []
    for n_threads in (1, 2):
        model = MODELS[name](seed=0, backend=backend)
        x = data_for(model, np.random.default_rng(0), 90, "float32")
        trainer = Trainer(model, Adam(1e-2), batch_size=32, seed=0, n_threads=n_threads)
        history = trainer.fit(x, epochs=2, validation_data=x)
        results.append((history.loss, history.val_loss, model.parameters.tobytes()))
        assert np.isfinite([*history.loss, *history.val_loss]).all()
    if backend != "numpy":
        assert results[0] == results[1]


@pytest.mark.parametrize("n", [1, 5000])
@EACH
def test_one_sample_and_several_blocks(backend, rng, name, n):
    model = MODELS[name](seed=0, backend=backend)
    x = data_for(model, rng, n, "float32")
    y = model.reconstruct(x)
    assert y.shape == (n, 12)
    assert model.encode(x).shape == (n, model.n_latent)
    np.testing.assert_allclose(y[-1:], model.reconstruct(x[-1:]), atol=1e-5)
    out = np.empty((n, 12), "float32")
    assert model.reconstruct(x, out=out) is out
    np.testing.assert_array_equal(out, y)


@pytest.mark.parametrize("name", ["tied", "masking", "k-sparse", "VAE", "VAE, binary", "missing values", "conditional VAE"])
def test_images_of_uint8(backend, rng, name):
    """Count as 0 to 1 wherever they go."""
    model, pixels, given = MODELS[name](seed=0, backend=backend), rng.integers(0, 256, (9, 12), np.uint8), ()
    if isinstance(model, ConditionalVariationalAutoencoder):
        given = (rng.integers(0, 3, 9),)
    x = (pixels / 255).astype("float32")
    for call in ("encode", "reconstruct", "reconstruction_error"):
        np.testing.assert_allclose(getattr(model, call)(pixels, *given), getattr(model, call)(x, *given), atol=1e-5)
    if isinstance(model, VariationalAutoencoder):
        np.testing.assert_allclose(model.elbo(pixels, *given, seed=0), model.elbo(x, *given, seed=0), rtol=1e-5)
        values = [model.log_likelihood(a, *given, n_samples=7, seed=0) for a in (pixels, x)]
        np.testing.assert_allclose(*values, rtol=1e-5)
    data = [model.join(a, *given) if given else a for a in (pixels, x)]
    losses = [Trainer(model, SGD(0.0), seed=0).step(a) for a in data]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_file_tells_its_class_and_nothing_else_is_made(tmp_path):
    path = tmp_path / "m.safetensors"
    SparseAutoencoder([6, 4], weight=2, seed=0).save(path)
    with safetensors.safe_open(path, "np") as file:
        config = json.loads(file.metadata()["fastae"])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert config["model"] == "SparseAutoencoder"
    assert config["settings"] == {"tied": False, "dropout": 0.0, "penalty": "kl", "weight": 2.0, "rho": 0.05}
    from safetensors.numpy import save_file

    for change in (
        *({"model": "os.system"}, {"model": None}, {"model": ["SparseAutoencoder"]}, {"model": "VariationalAutoencoder"}),
        *({"settings": None}, {"settings": {"penalty": "l3"}}, {"settings": {"sizes": [10**9, 10**9]}}, {"settings": [1]}),
        *({"settings": {"weight": math.inf}}, {"settings": {"seed": 1}}, {"settings": {"k": 3}}, {"settings": {"tied": True}}),
    ):
        save_file(state, path, {"fastae": json.dumps({**config, **change})})
        with pytest.raises(ValueError, match=re.escape(str(path))):
            fastae.load(path)
    del config["model"], config["settings"]
    save_file(state, path, {"fastae": json.dumps(config)})  # as before there were other models
    assert type(fastae.load(path)) is Autoencoder


def test_a_class_of_ones_own(tmp_path):
    class Mine(DenoisingAutoencoder):
        pass

    model = Mine([6, 4], noise="masking", seed=0)
    model.save(tmp_path / "m")
    twin = fastae.load(tmp_path / "m")
    assert type(twin) is Mine
    assert twin.noise == "masking"
    del Autoencoder.kinds["Mine"]
    with pytest.raises(ValueError, match="'Mine'"):
        fastae.load(tmp_path / "m")
    with pytest.raises(ValueError, match="class 'Mine'"):
        model.save(tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "setting", "value", "wrong"),
    [
        ("dropout", "dropout", 0.6, 1.5),
        ("gaussian noise", "level", 1.5, -1),
        ("masking", "level", 0.1, 1.5),
        ("KL", "weight", 2.0, -1),
        ("KL", "rho", 0.3, 0),
        ("L1", "weight", 1.0, math.inf),
        ("k-sparse", "k", 5, 10),
        ("contractive", "weight", 3.0, "a"),
        ("VAE", "beta", 4.0, -1),
        ("beta-VAE, Gaussian", "sigma", 0.1, 0),
        ("Mult-VAE", "input_dropout", 0.5, 1),
        ("Mult-DAE", "level", 0.1, 1),
    ],
)
def test_settings_are_checked_and_count_from_the_next_step_on(rng, name, setting, value, wrong):
    model = MODELS[name](seed=0, dtype="float64")
    x = data_for(model, rng)
    trainer = Trainer(model, SGD(0.0), batch_size=len(x), seed=3)
    before = trainer.step(x)
    setattr(model, setting, value)
    assert getattr(model, setting) == value
    trainer.steps = 0
    after = trainer.step(x)
    fresh = Trainer(copy.deepcopy(model), SGD(0.0), batch_size=len(x), seed=3).step(x)
    assert after == pytest.approx(fresh, rel=1e-12)
    assert abs(after - before) > 1e-6
    with pytest.raises((TypeError, ValueError), match=setting):
        setattr(model, setting, wrong)
    assert getattr(model, setting) == value


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tied", ["tied"]),
        ("masking", ["noise"]),
        ("KL", ["penalty"]),
        ("VAE", ["likelihood", "binarize"]),
        ("conditional VAE", ["n_conditions"]),
    ],
)
def test_what_a_model_is_made_with_stays(name, settings):
    model = MODELS[name]()
    for setting in settings:
        with pytest.raises(AttributeError, match=f"{setting} of a .* stays what it was made with"):
            setattr(model, setting, getattr(model, setting))


def halves(n_in, *widths, last="identity", code="identity"):
    """An encoder and a decoder by hand: n_in-w0-w1, w2-n_out."""
    w0, w1, w2, n_out = widths
    return {
        "encoder": Sequential(Linear(n_in, w0, "sigmoid", seed=0), Linear(w0, w1, code, seed=1)),
        "decoder": Sequential(Linear(w2, n_out, last, seed=2)),
    }


def test_halves_made_by_hand(rng):
    x = rng.random((9, 6), "float32")
    for model in (
        DenoisingAutoencoder(**halves(6, 5, 3, 3, 6)),
        SparseAutoencoder(**halves(6, 5, 3, 3, 6, code="sigmoid")),
        KSparseAutoencoder(k=2, tied=False, **halves(6, 5, 3, 3, 6)),
        ContractiveAutoencoder(tied=False, **halves(6, 5, 3, 3, 6)),
        MaskedAutoencoder(**halves(6, 5, 3, 3, 6)),
        MultinomialAutoencoder(**halves(6, 5, 3, 3, 6)),
        VariationalAutoencoder(likelihood="gaussian", **halves(6, 5, 4, 2, 6)),
        ConditionalVariationalAutoencoder(n_conditions=3, **halves(9, 5, 4, 5, 6)),
    ):
        joined = model.join(x, 1) if hasattr(model, "join") else x
        trained(model, joined, 1, batch_size=4)
        assert model.reconstruct(joined).shape == (9, 6)
    with pytest.raises(ValueError, match="even number"):
        VariationalAutoencoder(**halves(6, 5, 3, 2, 6))
    with pytest.raises(ValueError, match="code of 2 features, the encoder gives 3"):
        VariationalAutoencoder(**halves(6, 5, 6, 2, 6))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DenoisingAutoencoder([6, 4], noise="binarize"), "noise takes one of 'gaussian'.*'binarize'"),
        (lambda: DenoisingAutoencoder([6, 4], noise=3), "noise takes one of"),
        (lambda: Autoencoder([6, 4], tied="no"), "tied takes True or False, got 'no'"),
        (lambda: Autoencoder([6, 4], bias="no"), "bias takes True or False, got 'no'"),
        (lambda: VariationalAutoencoder([6, 4], binarize="no"), "binarize takes True or False, got 'no'"),
        (lambda: MaskedAutoencoder([6, 4]).encode(np.ma.masked_less(np.ones((2, 6)), 2)), "masked elements; .* with NaN for"),
        (lambda: DenoisingAutoencoder([6, 4], level=-1), "level takes a standard deviation"),
        (lambda: DenoisingAutoencoder([6, 4], noise="masking", level=1), "level takes a probability"),
        (lambda: DenoisingAutoencoder([6, 4], level="a"), "level takes"),
        (lambda: SparseAutoencoder([6, 4], penalty="l2"), "penalty takes one of 'kl', 'l1'; got 'l2'"),
        (lambda: SparseAutoencoder([6, 4], weight=-1), "weight takes a finite number"),
        (lambda: SparseAutoencoder([6, 4], rho=0), "rho takes 0 < rho < 1"),
        (lambda: SparseAutoencoder([6, 4], latent_activation="relu"), "latent_activation takes 'sigmoid'"),
        (lambda: KSparseAutoencoder([6, 4], k=5), "k takes at most the width of the code, 4; got 5"),
        (lambda: KSparseAutoencoder([6, 4], k=0), "k takes a positive integer"),
        (lambda: KSparseAutoencoder([6, 4], 1).encode(np.zeros((1, 6)), alpha=0), "alpha takes a number above 0"),
        (lambda: ContractiveAutoencoder([6, 4, 2], activation="relu"), "activation takes 'sigmoid' or 'tanh'.*'relu'"),
        (lambda: ContractiveAutoencoder([6, 4], weight=math.nan), "weight takes"),
        (lambda: VariationalAutoencoder([6, 4], decoder="poisson"), "decoder takes one of 'bernoulli'.*'poisson'"),
        (lambda: VariationalAutoencoder([6, 4], likelihood="poisson"), "likelihood takes one of"),
        (lambda: VariationalAutoencoder([6, 4], output_activation="sigmoid"), "output_activation .*'identity'.*'sigmoid'"),
        (lambda: VariationalAutoencoder([6, 4], latent_activation="tanh"), "latent_activation takes 'identity'"),
        (lambda: VariationalAutoencoder([6, 4], beta=-1), "beta takes"),
        (lambda: VariationalAutoencoder([6, 4], sigma=0), "sigma takes"),
        (lambda: VariationalAutoencoder([6, 4], anneal_steps=-3), "anneal_steps takes an integer >= 0"),
        (lambda: VariationalAutoencoder([6, 4], input_dropout=1.0), "input_dropout takes a probability.*got 1.0"),
        (lambda: VariationalAutoencoder([6, 4], binarize=True, input_dropout=0.1), "input_dropout takes 0 beside binarize"),
        (lambda: VariationalAutoencoder([6, 4], decoder="gaussian", binarize=True), "binarize takes the decoder 'bernoulli'"),
        (lambda: VariationalAutoencoder([6, 5, 4], dropout=(0, 0.5, 0)), "dropout takes 0 for the encoder's last"),
        (lambda: VariationalAutoencoder([6, 4]).sample(0), "n takes a positive integer"),
        (lambda: VariationalAutoencoder([6, 4]).sample(1, seed="x"), "seed takes"),
        (lambda: VariationalAutoencoder([6, 4]).elbo(np.zeros((2, 5))), r"x takes an array of shape \(samples, 6\)"),
        (lambda: VariationalAutoencoder([6, 4]).log_likelihood(np.zeros((2, 6)), 0), "n_samples takes a positive"),
        (lambda: VariationalAutoencoder([6, 4]).log_likelihood(np.full((2, 6), np.nan)), "x has NaN"),
        (lambda: VariationalAutoencoder([6, 4]).interpolate(np.zeros((2, 6)), np.zeros(6)), "a takes one sample"),
        (lambda: ConditionalVariationalAutoencoder([6, 4], 0), "n_conditions takes a positive integer"),
        (lambda: MaskedAutoencoder([6, 4], noise="masking", level=2), "level takes"),
        (lambda: MultinomialAutoencoder([6, 4], level=1), "level takes"),
        (lambda: MultinomialAutoencoder([6, 4], output_activation="sigmoid"), "output_activation .*'identity'.*'sigmoid'"),
        (lambda: SparseAutoencoder(), "SparseAutoencoder takes sizes, or both encoder and decoder"),
        (lambda: SparseAutoencoder([6]), "sizes takes at least two integers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_misuse(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()
