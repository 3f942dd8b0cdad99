"""The trainer: losses, order, batches, updates, divergence, Ctrl-C."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import fastae
from fastae import SGD, Autoencoder, DivergenceError, Linear, Sequential, Trainer


def model_of(backend=None, dtype="float32", sizes=(6, 5, 3), **kind):
    return Autoencoder(sizes, "tanh", dtype=dtype, seed=0, backend=backend, **kind)


def one_layer(n_in, n_out, backend, activation="identity", dtype="float64", bias=False, weight=None):
    layer = Linear(n_in, n_out, activation, bias, dtype, 0, backend)
    if weight is not None:
        layer.weight = weight
    return Sequential(layer)


def assert_same_bits(first, second):
    assert first.dtype == second.dtype
    np.testing.assert_array_equal(first, second)


# ---- the worked example and the losses -------------------------------------------------------------------------------


def test_the_worked_example_of_the_slides(backend):
    network = Sequential(*(Linear(2, n, bias=False, dtype="float64", backend=backend) for n in (2, 1)))
    network[0].weight, network[1].weight = [[0.11, 0.21], [0.12, 0.08]], [[0.14, 0.15]]
    trainer = Trainer(network, SGD(lr=0.05), loss="half_squared")
    x, target = np.array([[2.0, 3.0]]), np.array([[1.0]])
    assert trainer.step(x, target) == pytest.approx(0.3272405, rel=1e-12)
    np.testing.assert_allclose(network[1].weight, [[0.1743825, 0.169416]], 1e-13)
    np.testing.assert_allclose(network[0].weight, [[0.121326, 0.226989], [0.132135, 0.0982025]], 1e-13)
    assert network(x)[0, 0] == pytest.approx(0.2557457808075, rel=1e-12)  # 0.26062834 if the new W2 were used for W1
    for steps, prediction in ((2, 0.33231393), (3, 0.41937285), (5, 0.60831396), (10, 0.92564089), (20, 0.99906859)):
        while trainer.steps < steps:
            trainer.step(x, target)
        assert network(x)[0, 0] == pytest.approx(prediction, abs=5e-9)


LOSSES = {  # output activation, the loss of outputs y and targets t
    "half_squared": ("identity", lambda y, t: np.mean(np.sum((y - t) ** 2, axis=1)) / 2),
    "mse": ("tanh", lambda y, t: np.mean((y - t) ** 2)),
    "bce": ("sigmoid", lambda y, t: -np.mean(t * np.log(y) + (1 - t) * np.log(1 - y))),
    "bce_with_logits": ("identity", lambda y, t: np.mean(np.log(1 + np.exp(y)) - t * y)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_values(backend, rng, loss, dtype):
    activation, formula = LOSSES[loss]
    network = one_layer(4, 3, backend, activation, dtype, bias=True)
    x, t = rng.normal(size=(7, 4)), rng.random((7, 3))
    value = formula(network(x).astype("float64"), t)
    trainer = Trainer(network, SGD(0.1), loss, batch_size=7)
    rel = 1e-6 if dtype == "float32" else 1e-13
    assert trainer.evaluate(x, t) == pytest.approx(value, rel=rel)
    assert trainer.step(x, t) == pytest.approx(value, rel=rel)  # before the step
    value = formula(network(x).astype("float64"), t)
    assert trainer.fit(x, t, epochs=1).loss == [pytest.approx(value, rel=rel)]


def test_bce_of_certain_outputs_is_at_most_100(backend):
    network = one_layer(1, 1, backend, "sigmoid", weight=[[1.0]])
    trainer = Trainer(network, SGD(0.1), "bce")
    assert trainer.evaluate([[1000.0], [-1000.0]], [[0.0], [1.0]]) == 100
    assert trainer.evaluate([[1000.0], [-1000.0]], [[1.0], [0.0]]) == 0
    assert trainer.step([[1000.0], [-1000.0]], [[0.0], [1.0]]) == 100
    assert np.isfinite(network.parameters).all()


# ---- batches and their order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [12, 14, 5], ids=["full batches", "partial last", "one and a bit"])
def test_fit_is_steps_on_its_batches(backend, rng, dtype, n):
    x = rng.random((n, 6)).astype(dtype)
    fitted, stepped = (Trainer(model_of(backend, dtype), SGD(0.5, 0.9), batch_size=4) for _ in range(2))
    history = fitted.fit(x, epochs=2, shuffle=False)
    losses = []
    for _ in range(2):
        batches = [x[i : i + 4] for i in range(0, n, 4)]
        losses.append(sum(stepped.step(batch) * len(batch) for batch in batches) / n)
    assert_same_bits(fitted.model.parameters, stepped.model.parameters)
    assert history.loss == pytest.approx(losses, rel=1e-14)
    assert fitted.steps == stepped.steps == 2 * -(-n // 4)
    assert fitted.epochs == 2


def test_long_fits_are_the_same_steps(backend, rng):
    """Many batches go into one call of the kernels, more and more of them."""
    x = rng.random((1003, 2)).astype("float32")
    fitted, stepped = (Trainer(Autoencoder([2, 1], seed=0, backend=backend), SGD(0.1, 0.5), batch_size=2) for _ in range(2))
    fitted.fit(x, epochs=1, shuffle=False)
    for i in range(0, 1003, 2):
        stepped.step(x[i : i + 2])
    assert_same_bits(fitted.model.parameters, stepped.model.parameters)
    assert fitted.steps == 502


def orders(n, epochs=1, batch_size=1, seed=5, momentum=0.0, backend=None, n_threads=None, shuffle=True, **fit):
    """The batches in which samples come, for each epoch, read from the weights.

    With x = 1, target = the identity matrix and lr = 1/2 each step halves every weight, and adds 1 / (2 len(batch)) to those
    whose sample is in the batch: the exponent of a weight tells when its sample came.
    """
    network = one_layer(1, n, backend, weight=np.zeros((n, 1)))
    trainer = Trainer(network, SGD(0.5, momentum), "half_squared", batch_size, seed, n_threads)
    x, target, found = np.ones((n, 1)), np.eye(n), []
    n_batches = -(-n // batch_size)
    for _ in range(epochs):
        network.parameters[...] = 0
        trainer.fit(x, target, epochs=1, shuffle=shuffle, **fit)
        found.append((n_batches + np.floor(np.log2(network.parameters * batch_size))).astype(int))
    return found


def test_every_sample_comes_once_in_an_epoch(backend):
    for positions in orders(40, epochs=3, backend=backend):
        assert sorted(positions) == list(range(40))
    for positions in orders(42, epochs=2, batch_size=4, backend=backend):
        # The two of the last batch weigh double, as if they had come one batch later.
        assert np.bincount(positions).tolist() == [*[4] * 10, 0, 2]


def test_order_depends_on_seed_and_epoch_alone(backend):
    first = orders(40, epochs=3, backend=backend)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[1], first[2])
    assert not np.array_equal(first[0], np.arange(40))
    assert not np.array_equal(first[0], orders(40, seed=6, backend=backend)[0])
    assert not np.array_equal(*(orders(40, seed=None, backend=backend)[0] for _ in range(2)))
    again = orders(
        40, epochs=3, backend=backend, seed=np.random.default_rng(5), n_threads=3, validation_data=(([[1.0]], [[0.0] * 40]))
    )
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(orders(40, epochs=3, batch_size=8, backend=backend), np.array(first) // 8)


def test_unshuffled_order(backend):
    np.testing.assert_array_equal(orders(40, shuffle=False, backend=backend)[0], np.arange(40))
    np.testing.assert_array_equal(orders(40, batch_size=8, shuffle=False, backend=backend)[0], np.arange(40) // 8)


def test_the_order_of_an_epoch_does_not_depend_on_how_the_epochs_were_asked_for(backend, rng):
    x = rng.random((30, 6), "float32")
    results = []
    for calls in ([4], [2, 2], [1, 3], [1, 1, 1, 1]):
        trainer = Trainer(model_of(backend), SGD(0.5, 0.9, nesterov=True, weight_decay=1e-3), batch_size=8, seed=1)
        losses = [loss for epochs in calls for loss in trainer.fit(x, epochs=epochs).loss]
        results.append((trainer.model.parameters, losses))
        assert trainer.epochs == 4
    for parameters, losses in results[1:]:
        assert_same_bits(parameters, results[0][0])
        assert losses == results[0][1]


def test_a_step_on_a_larger_batch_does_not_change_the_batches_of_fit(backend, rng):
    x = rng.random((64, 6), "float32")
    results = []
    for first in (8, 64):
        trainer = Trainer(model_of(backend), SGD(0.5), batch_size=8, seed=1)
        trainer.step(x[:first])
        trainer.model.load_state_dict(model_of(backend).state_dict())
        trainer.fit(x, epochs=2)
        results.append((trainer.model.parameters, trainer.steps))
    assert results[0][1] == results[1][1] == 17
    assert_same_bits(results[0][0], results[1][0])


def test_batch_size_may_be_changed(backend, rng):
    x = rng.random((64, 6), "float32")
    for first, second in ((4, 16), (16, 4)):
        trainer = Trainer(model_of(backend), SGD(0.5), batch_size=first)
        trainer.fit(x, epochs=1)
        trainer.batch_size = second
        trainer.model.load_state_dict(model_of(backend).state_dict())
        trainer.fit(x, epochs=1, shuffle=False)
        other = Trainer(model_of(backend), SGD(0.5), batch_size=second)
        other.fit(x, epochs=1, shuffle=False)
        assert_same_bits(trainer.model.parameters, other.model.parameters)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_do_not_change_bits(backend, rng, dtype):
    x, results = rng.random((330, 128)), []  # a batch is work enough for three threads
    for n_threads in (1, 2, 3):
        model = model_of(backend, dtype, (128, 96, 32))
        trainer = Trainer(model, SGD(0.5, 0.9), batch_size=100, seed=1, n_threads=n_threads)
        history = trainer.fit(x, epochs=2, validation_data=x[:50])
        results.append((model.parameters, history.loss, history.val_loss))
    for parameters, *losses in results[1:]:
        assert_same_bits(parameters, results[0][0])
        assert losses == [*results[0][1:]]


# ---- history and validation ------------------------------------------------------------------------------------------


def test_history(backend, rng):
    x, x_val = rng.random((20, 6), "float32"), rng.random((9, 6), "float32")
    trainer, twin = (Trainer(model_of(backend), SGD(1.0), batch_size=8, seed=2) for _ in range(2))
    history = trainer.fit(x, epochs=5)
    assert len(history.loss) == len(history.seconds) == 5
    assert history.val_loss == []
    assert history.loss[-1] < history.loss[0]
    assert all(seconds > 0 for seconds in history.seconds)
    expected = []
    for _ in range(5):
        twin.fit(x, epochs=1)
        expected.append(twin.evaluate(x_val))
    fresh = Trainer(model_of(backend), SGD(1.0), batch_size=8, seed=2)
    history = fresh.fit(x, epochs=5, validation_data=x_val)
    assert history.val_loss == expected
    assert_same_bits(fresh.model.parameters, trainer.model.parameters)


def test_validation_with_targets(backend, rng):
    x, target, x_val, target_val = (rng.random((n, m)) for n in (12, 7) for m in (4, 3))
    trainer = Trainer(one_layer(4, 3, backend), SGD(0.1), batch_size=5)
    history = trainer.fit(x, target, epochs=2, validation_data=(x_val, target_val))
    assert len(history.val_loss) == 2
    assert history.val_loss[-1] == pytest.approx(np.mean((trainer.model(x_val) - target_val) ** 2), rel=1e-13)


def test_evaluate_learns_nothing_and_takes_many_rows(backend, rng):
    trainer = Trainer(model_of(backend, "float64"), SGD(0.1))
    before, x = trainer.model.parameters.copy(), rng.random((5000, 6))
    assert trainer.evaluate(x) == pytest.approx(np.mean((trainer.model.reconstruct(x) - x) ** 2), rel=1e-12)
    assert_same_bits(trainer.model.parameters, before)
    assert trainer.steps == 0


def test_progress_does_not_disturb(rng, capfd):
    trainer, twin = (Trainer(model_of(), SGD(0.1), batch_size=4, seed=0) for _ in range(2))
    x = rng.random((9, 6), "float32")
    assert trainer.fit(x, epochs=2, progress=True).loss == twin.fit(x, epochs=2).loss
    assert capfd.readouterr() == ("", "")  # no terminal, no bar


# ---- data ------------------------------------------------------------------------------------------------------------


def fitted(backend, x, target=None, dtype="float32", width=6):
    trainer = Trainer(model_of(backend, dtype, (width, 5, 3)), SGD(0.5, 0.9), batch_size=8, seed=3)
    history = trainer.fit(x, target, epochs=2)
    return trainer.model.parameters, history.loss


def unaligned(x):
    return np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)


VARIANTS = {  # the same numbers, otherwise stored
    "list": lambda x: x.astype("float64").tolist(),
    "rows apart": lambda x: np.repeat(x, 2, axis=0)[::2],
    "columns apart": lambda x: np.repeat(x, 3, axis=1)[:, ::3],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "Fortran": np.asfortranarray,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "unaligned": unaligned,
    "float64": lambda x: x.astype("float64"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_how_data_are_stored_does_not_matter(backend, rng, variant):
    x = rng.random((20, 6), "float32")
    parameters, losses = fitted(backend, x)
    other = VARIANTS[variant](x)
    other_parameters, other_losses = fitted(backend, other)
    assert_same_bits(other_parameters, parameters)
    assert other_losses == losses
    parameters, _ = fitted(backend, x, x[::-1])
    assert_same_bits(fitted(backend, other, VARIANTS[variant](x[::-1].copy()))[0], parameters)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uint8_data_count_as_0_to_1(backend, rng, dtype):
    x, target = (rng.integers(0, 256, (20, 6), np.uint8) for _ in range(2))
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for data in ((x, None), (x, target)):
        parameters, losses = fitted(backend, *data, dtype=dtype)
        scaled = [None if a is None else a.astype(dtype) / 255 for a in data]
        expected, expected_losses = fitted(backend, *scaled, dtype=dtype)
        np.testing.assert_allclose(parameters, expected, tolerance, tolerance)
        assert losses == pytest.approx(expected_losses, rel=tolerance)
        mixed = fitted(backend, data[0], scaled[1], dtype=dtype)[0]  # a uint8 input with a float target
        np.testing.assert_allclose(mixed, expected, tolerance, tolerance)
    trainer = Trainer(model_of(backend, dtype), SGD(0.5))
    assert trainer.evaluate(x) == pytest.approx(trainer.evaluate(x / 255), rel=tolerance)
    assert trainer.step(x) == pytest.approx(Trainer(model_of(backend, dtype), SGD(0.5)).step(x / 255), rel=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_memory_mapped_data(backend, rng, tmp_path, dtype):
    x = rng.integers(0, 2, (20, 6)).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    assert_same_bits(fitted(backend, mapped)[0], fitted(backend, x)[0])
    assert_same_bits(fitted(backend, mapped, mapped)[0], fitted(backend, x)[0])


def test_data_are_left_alone(backend, rng):
    x, target = rng.random((20, 6), "float32"), rng.random((20, 6), "float32")
    before = x.copy(), target.copy()
    fitted(backend, x, target)
    assert_same_bits(x, before[0])
    assert_same_bits(target, before[1])


def test_a_target_of_its_own(backend, rng):
    """The target, not the input, is what is learnt."""
    x, target = rng.random((20, 4)), rng.random((20, 3))
    network = one_layer(4, 3, backend, bias=True)
    trainer = Trainer(network, SGD(1.0, 0.9), batch_size=20)
    trainer.fit(x, target, epochs=3000)
    solution, *_ = np.linalg.lstsq(np.hstack([x, np.ones((20, 1))]), target)
    np.testing.assert_allclose(network[0].weight, solution[:4].T, atol=1e-8)
    np.testing.assert_allclose(network[0].bias, solution[4], atol=1e-8)


# ---- the optimiser ---------------------------------------------------------------------------------------------------


def trajectory(weight, x, target, settings):
    """A linear layer under SGD as PyTorch defines it, for one dict of hyperparameters each step."""
    w, v = weight.copy(), np.zeros_like(weight)
    for s in settings:
        g = 2 / target.size * (x @ w.T - target).T @ x + s.get("weight_decay", 0) * w
        momentum = s.get("momentum", 0)
        if momentum:
            v = momentum * v + g
            g = g + momentum * v if s.get("nesterov") else v
        w = w - s["lr"] * g
        yield w


SETTINGS = {
    "plain": [{"lr": 0.3}] * 6,
    "momentum": [{"lr": 0.2, "momentum": 0.9}] * 6,
    "nesterov": [{"lr": 0.2, "momentum": 0.8, "nesterov": True}] * 6,
    "weight decay": [{"lr": 0.3, "weight_decay": 0.1}] * 6,
    "all": [{"lr": 0.2, "momentum": 0.7, "nesterov": True, "weight_decay": 0.05}] * 6,
    "lr 0": [{"lr": 0.0, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.9}],
    "changed": [
        {"lr": 0.3},
        {"lr": 0.1, "weight_decay": 0.2},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.05, "momentum": 0.5},
        {"lr": 0.05, "momentum": 0.5, "nesterov": True},
        {"lr": 0.2, "momentum": 0.3, "weight_decay": 0.1},
    ],
    # Plain steps in between leave the velocity as it is.
    "momentum off and on": [{"lr": 0.1, "momentum": m} for m in (0.9, 0.9, 0.0, 0.0, 0.9, 0.9)],
}


@pytest.mark.parametrize("name", SETTINGS)
def test_sgd(backend, rng, name):
    x, target, weight = rng.normal(size=(8, 4)), rng.normal(size=(8, 3)), rng.normal(size=(3, 4))
    network = one_layer(4, 3, backend, weight=weight)
    optimizer = SGD()
    trainer = Trainer(network, optimizer)
    for setting, expected in zip(SETTINGS[name], trajectory(weight, x, target, SETTINGS[name]), strict=True):
        for attribute in ("lr", "momentum", "nesterov", "weight_decay"):
            setattr(optimizer, attribute, setting.get(attribute, 0))
        trainer.step(x, target)
        np.testing.assert_allclose(network[0].weight, expected, 1e-12, 1e-13)


def test_weight_decay_acts_on_biases_too(backend):
    network = one_layer(1, 1, backend, bias=True, weight=[[0.0]])
    network[0].bias = [2.0]
    Trainer(network, SGD(0.5, weight_decay=0.1), "half_squared").step([[0.0]], [[2.0]])  # the loss has no slope here
    assert network[0].bias[0] == pytest.approx(1.9, rel=1e-15)


def test_lr_0_changes_nothing(backend, rng):
    trainer = Trainer(model_of(backend), SGD(0.0, 0.9, weight_decay=0.1), batch_size=4)
    before = trainer.model.parameters.copy()
    trainer.fit(rng.random((9, 6)), epochs=2)
    assert_same_bits(trainer.model.parameters, before)


def test_trainers_do_not_share_a_velocity(backend, rng):
    x, optimizer = rng.random((9, 6)), SGD(0.5, 0.9)
    first, second, alone = (Trainer(model_of(backend), optimizer) for _ in range(3))
    for _ in range(3):
        first.step(x)
        second.step(x[:4])
    for _ in range(3):
        alone.step(x)
    assert_same_bits(first.model.parameters, alone.model.parameters)


def test_a_linear_autoencoder_reaches_pca(backend):
    x = fastae.datasets.load_digits()[0][::4].astype("float64")
    x -= x.mean(axis=0)
    singular_values = np.linalg.svd(x, compute_uv=False)
    best = np.sum(singular_values[8:] ** 2) / x.size  # Eckart and Young: no map through 8 numbers loses less
    model = Autoencoder([64, 8], output_activation="identity", dtype="float64", seed=0, backend=backend)
    trainer = Trainer(model, SGD(0.1, 0.95, nesterov=True), "half_squared", batch_size=len(x))
    trainer.fit(x, epochs=600)
    reached = model.reconstruction_error(x).mean()
    assert best * (1 - 1e-12) <= reached <= best * 1.001


# ---- divergence ------------------------------------------------------------------------------------------------------

BATCH = 4


def diverging_data(rng, dtype, at):
    """Finite samples, of which the square of those of step ``at`` is not."""
    x = rng.random((6 * BATCH, 6)).astype(dtype)
    x[at * BATCH + 1, 2] = np.finfo(dtype).max / 2
    return x


def sgd():
    return SGD(0.5, 0.9, weight_decay=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("at", [0, 1, 5])
def test_divergence_keeps_the_weights_before_it(backend, rng, dtype, at):
    x = diverging_data(rng, dtype, at)
    fit, step, exact = (Trainer(model_of(backend, dtype), sgd(), "half_squared", BATCH) for _ in range(3))
    for i in range(at):
        exact.step(x[i * BATCH : (i + 1) * BATCH])
        step.step(x[i * BATCH : (i + 1) * BATCH])
    with pytest.raises(DivergenceError, match=f"at step {at}:") as error:
        fit.fit(x, epochs=2, shuffle=False)
    with pytest.raises(DivergenceError, match=f"at step {at}:"):
        step.step(x[at * BATCH : (at + 1) * BATCH])
    assert error.value.step == at
    assert fit.steps == step.steps == exact.steps == at
    for trainer in (fit, step):
        assert np.isfinite(trainer.model.parameters).all()
        assert_same_bits(trainer.model.parameters, exact.model.parameters)
    for trainer in (exact, fit, step):  # the velocity is that before it, too
        trainer.step(x[2 * BATCH : 3 * BATCH] if at != 2 else x[:BATCH])
        assert_same_bits(trainer.model.parameters, exact.model.parameters)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_divergence_in_a_later_epoch_and_in_many_threads(backend, rng, n_threads):
    x, results = rng.random((200, 128), "float32"), []
    optimizer = SGD(30.0, 0.9)
    kind = {"output_activation": "identity"}
    trainer = Trainer(model_of(backend, sizes=(128, 96, 32), **kind), optimizer, "half_squared", 100, 0, n_threads)
    with pytest.raises(DivergenceError) as error:
        trainer.fit(x, epochs=500, shuffle=False)
    steps = error.value.step
    assert steps == trainer.steps > 2
    assert trainer.epochs == steps // 2
    exact = Trainer(model_of(backend, sizes=(128, 96, 32), **kind), optimizer, "half_squared", 100, 0, 1)
    for i in range(steps):
        results.append(exact.step(x[:100] if i % 2 == 0 else x[100:]))
    assert np.isfinite(exact.model.parameters).all()
    assert_same_bits(trainer.model.parameters, exact.model.parameters)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(("dtype", "lr"), [("float32", 1e37), ("float64", 1e307), ("float32", 1e300)])
def test_divergence_in_the_weights_alone(backend, dtype, lr, momentum):
    """Loss and gradient are finite, the new weight is not: 10 - lr 100."""
    for train in (lambda t, x: t.step(x, 0 * x), lambda t, x: t.fit(x, 0 * x, epochs=1)):
        network = one_layer(1, 1, backend, dtype=dtype, weight=[[1.0]])
        trainer = Trainer(network, SGD(lr, momentum), "half_squared", 1)
        with pytest.raises(DivergenceError, match=r"at step 0: .*lower the learning rate"):
            train(trainer, np.array([[10.0]]))
        assert network.parameters[0] == 1
        trainer.optimizer.lr = 1e-3
        train(trainer, np.array([[10.0]]))
        assert network.parameters[0] == pytest.approx(0.9)


def test_some_weights_overflow_and_none_is_changed(backend):
    """The check of all weights comes before the update of any."""
    n = 1000  # of which only the last one's gradient is large
    x, weight = np.full((1, n), 1e-20), np.ones((1, n))
    x[0, -1] = 1e3
    network = one_layer(n, 1, backend, weight=weight)
    with pytest.raises(DivergenceError):
        Trainer(network, SGD(1e305), "half_squared").step(x, [[0.0]])
    np.testing.assert_array_equal(network.parameters, 1.0)


def test_a_divergence_error_can_be_copied():
    error = DivergenceError(17)
    for twin in (copy.copy(error), *(pickle.loads(pickle.dumps(error, n)) for n in range(pickle.HIGHEST_PROTOCOL + 1))):
        assert type(twin) is DivergenceError
        assert isinstance(twin, ArithmeticError)
        assert twin.step == 17
        assert str(twin) == str(error)


# ---- Ctrl-C ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_stops_a_fit_and_leaves_a_usable_model(backend):
    code = f"""
        import signal, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background inherits an ignored one
        import numpy as np, fastae

        x = np.random.default_rng(0).random((20000, 128), "float32")
        model = fastae.Autoencoder([128, 64, 16], seed=0, backend={backend!r})
        trainer = fastae.Trainer(model, fastae.SGD(0.1, 0.9), batch_size=64, seed=0)
        before = model.parameters.copy()
        trainer.step(x[:64])
        try:
            print("started", flush=True)
            trainer.fit(x, epochs=10**6)
        except KeyboardInterrupt:
            print(time.time())
        assert np.isfinite(model.parameters).all() and not np.array_equal(model.parameters, before)
        assert np.isfinite(model.reconstruct(x)).all()
        assert len(trainer.fit(x[:640], epochs=1).loss) == 1
        print("usable")
    """
    with subprocess.Popen([sys.executable, "-P", "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "started\n"
            time.sleep(0.5)  # into the fit
            sent = time.time()
            child.send_signal(signal.SIGINT)
            stopped, usable = child.communicate(timeout=60)[0].split()
        finally:
            child.kill()
    assert (usable, child.returncode) == ("usable", 0)
    assert float(stopped) - sent < 10  # and not after the fit's days; the promised 0.1 s are for the benchmarks


def test_a_used_trainer_can_be_copied_and_continues(backend, rng):
    x = rng.random((40, 6), "float32")
    trainer = Trainer(model_of(backend), SGD(0.5, 0.9), batch_size=8, seed=0)
    trainer.fit(x, epochs=2)
    twins = [copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))]
    trainer.fit(x, epochs=2)
    for twin in twins:
        assert twin.model is not trainer.model
        twin.fit(x, epochs=2)
        assert_same_bits(twin.model.parameters, trainer.model.parameters)


def test_losses_do_not_depend_on_how_an_epoch_is_cut_into_calls(backend, rng):
    x, losses = rng.random((400, 6), "float32"), []
    for steps in (1, 2, 3, 50):
        trainer = Trainer(model_of(backend), SGD(0.5), batch_size=8, seed=0)
        trainer._steps = steps
        losses.append(trainer.fit(x, epochs=3).loss)
    assert all(loss == losses[0] for loss in losses)


def test_what_of_a_trainer_may_be_changed(rng):
    trainer = Trainer(Autoencoder([4, 2], seed=0), SGD(0.1), batch_size=4)
    with pytest.raises(AttributeError):
        trainer.loss = "bce"
    with pytest.raises(TypeError, match=r"optimizer takes an SGD.*, got NoneType"):
        trainer.optimizer = None
    trainer.optimizer = SGD(0.01)
    assert trainer.optimizer.lr == 0.01


@pytest.mark.parametrize("name", ["numpy", "numba", "cython"])
def test_a_trainer_of_another_backend_than_its_model(backend, name, rng):
    if name in fastae._kernels.missing():
        pytest.skip(f"{name} does not load here")
    x, results = rng.random((50, 6)), []
    for chosen in (None, name):
        model = Autoencoder([6, 3], activation="tanh", seed=0, backend=backend, dtype="float64")
        trainer = Trainer(model, SGD(0.1, momentum=0.9), batch_size=8, seed=0, backend=chosen)
        assert trainer.backend == (chosen or backend)
        trainer = pickle.loads(pickle.dumps(trainer))
        history = trainer.fit(x, epochs=2, validation_data=x)
        assert {layer.backend for layer in trainer.model.layers} == {backend}
        results.append((trainer.model.parameters, history.val_loss))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=0, atol=1e-13)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-12)
    with pytest.raises(ValueError, match="backend takes"):
        Trainer(model, SGD(0.1), backend="fortran")


def test_counts(backend, rng):
    """A bias alone learns the logarithm of the mean count."""
    counts = rng.poisson(3.0, (400, 1)).astype("float64")
    model = Sequential(Linear(1, 1, dtype="float64", seed=0, backend=backend))
    model.parameters[...] = 0
    trainer = Trainer(model, SGD(0.2), loss="poisson", batch_size=400)
    for _ in range(200):
        trainer.step(np.zeros_like(counts), counts)
    assert model.parameters[1] == pytest.approx(np.log(counts.mean()), rel=1e-6)
    with pytest.raises(ValueError, match="of loss 'poisson' takes values of at least 0, got -1 to"):
        trainer.step(counts, counts - counts.min() - 1)
    with pytest.raises(ValueError, match="'poisson' takes logarithms of rates"):
        Trainer(Autoencoder([3, 2]), SGD(), loss="poisson")


def test_fortran_ordered_bytes(backend, rng):
    x = np.asfortranarray(rng.integers(0, 256, (20, 16)).astype(np.uint8))
    trainer = Trainer(Autoencoder([16, 4], seed=0, backend=backend), SGD(0.1), batch_size=8, seed=0)
    assert trainer.evaluate(x) == trainer.evaluate(np.ascontiguousarray(x))
    assert len(trainer.fit(x, epochs=1, validation_data=x).val_loss) == 1
