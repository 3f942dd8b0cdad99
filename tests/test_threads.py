"""Threads: equal bytes on any number of them and from several Python threads at once.

Sizes here are above 8 times the work that kernels.pxi (WORK_PER_THREAD, 2^20 operations) asks of each thread, so that eight
threads are used where eight are allowed; test_threads_are_started in test_processes.py checks that they are.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

import fastae
from fastae._kernels.names import ACTIVATIONS, LOSSES
from fastae.loop import Pace

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
THREADS = (1, 2, 3, 5, 8)
SGD = (0, 0.05, 0.9, True, 0.001, 0, 0)
GELU, TANH = ACTIVATIONS.index("gelu"), ACTIVATIONS.index("tanh")


def layers_of(widths):
    """As Plan and Inference take them: gelu between the layers, tanh at the end, biases everywhere."""
    last = len(widths) - 2
    return [(n_in, n_out, TANH if i == last else GELU, True) for i, (n_in, n_out) in enumerate(pairwise(widths))]


def train(kernels, n_threads, dtype="float32", seed=0, gradients=False, widths=(64, 96, 64), batch=128, rows=333, sgd=SGD):
    """Bytes of the weights, velocities, gradients and loss after two epochs; by default of 64-96-64, the last batch of 77."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (rows, widths[0])).astype(dtype)
    layers = layers_of(widths)
    weights = rng.uniform(-0.1, 0.1, sum((n_in + 1) * n_out for n_in, n_out, _, _ in layers)).astype(dtype)
    velocity, kept = np.zeros_like(weights), np.zeros_like(weights)
    plan = kernels.Plan(layers, weights, velocity if sgd[2] else None, batch, LOSSES.index("mse"), n_threads)
    for _ in range(2):
        done, total = plan.run(x, x, rng.permutation(rows), 0, rows, sgd, kept if gradients else None)
        assert done == rows
    return b"".join((weights.tobytes(), velocity.tobytes(), kept.tobytes(), np.float64(total).tobytes()))


def infer(kernels, n_threads, dtype, samples, widths):
    """Bytes of the outputs of a network."""
    rng = np.random.default_rng(samples)
    layers = layers_of(widths)
    weights = rng.uniform(-0.1, 0.1, sum((n_in + 1) * n_out for n_in, n_out, _, _ in layers)).astype(dtype)
    x, out = rng.uniform(0, 1, (samples, widths[0])).astype(dtype), np.empty((samples, widths[-1]), dtype)
    assert kernels.Inference(layers, weights).run(x, out, n_threads)
    return out.tobytes()


def multiply(kernels, n_threads, dtype="float32", seed=0):
    """Bytes of a product, of several blocks of M and K."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (130, 530)).astype(dtype), rng.uniform(-1, 1, (530, 70)).astype(dtype)
    c = rng.uniform(-1, 1, (130, 70)).astype(dtype)
    kernels.matmul(a, b, c, 0.5, 2.0, n_threads)
    return c.tobytes()


def all_kernels(kernels, n_threads, dtype):
    """Bytes of what every kernel writes, by its name."""
    rng = np.random.default_rng(1)
    x, weight, dz = (rng.uniform(-1, 1, shape).astype(dtype) for shape in ((333, 130), (150, 130), (333, 150)))
    large, other = rng.uniform(0.1, 0.9, (2, 521, 1031)).astype(dtype)
    bias = rng.uniform(-1, 1, 150).astype(dtype)
    y, keep, dweight, dbias, dx = (np.empty_like(a) for a in (dz, dz, weight, bias, x))
    kernels.linear(x, weight, bias, GELU, y, keep, n_threads)
    results = {"linear": (y, keep)}
    kernels.linear_grad_input(dz, weight, GELU, x, dx, n_threads)
    kernels.linear_grad_weight(dz, x, dweight, dbias, n_threads)
    results |= {"linear_grad_input": dx, "linear_grad_weight": (dweight, dbias)}
    for name in ("activate", "differentiate"):
        out = np.empty_like(large)
        kernels.activate(GELU, large, out, n_threads)
        if name == "differentiate":
            kernels.differentiate(GELU, large, other, out, n_threads)
        results[name] = out
    for loss, name in enumerate(LOSSES):
        dy = np.empty_like(large)
        results[name] = (np.float64(kernels.loss(loss, large, other, dy, n_threads)), dy)
    w, v = large.reshape(-1).copy(), np.zeros(large.size, dtype)
    assert kernels.update(w, other.reshape(-1), v, None, SGD, 0, n_threads)
    results["sgd"] = (w, v)
    results = {name: b"".join(a.tobytes() for a in arrays) for name, arrays in results.items()}
    results["matmul"] = multiply(kernels, n_threads, dtype)
    results["plan"] = train(kernels, n_threads, dtype)
    results["plan with gradients"] = train(kernels, n_threads, dtype, gradients=True)
    return results


@DTYPES
def test_equal_bytes_on_any_number_of_threads(compiled, dtype):
    alone = all_kernels(compiled, 1, dtype)
    for n_threads in THREADS[1:]:
        together = all_kernels(compiled, n_threads, dtype)
        assert [name for name in alone if alone[name] != together[name]] == [], f"on {n_threads} threads"


@DTYPES
@pytest.mark.parametrize("sgd", [SGD, (0, 0.05, 0.0, False, 0.0, 0, 0)], ids=["momentum", "plain"])
@pytest.mark.parametrize(
    ("widths", "batch", "rows"),
    [  # the last batch is always one row
        ((8, 3, 8), 1, 41),
        ((8, 3, 8), 32, 321),
        ((30, 16, 8, 16, 30), 64, 641),
        ((64, 32, 8, 32, 64), 32, 321),
        ((784, 32, 784), 64, 129),
        ((784, 32, 784), 1, 21),
        ((97, 53, 31, 53, 97), 50, 151),
        ((97, 53, 31, 53, 97), 7, 57),
        ((97, 53, 31, 53, 97), 1, 41),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else f"{value}",
)
def test_training_gives_equal_bytes_on_any_number_of_threads(compiled, widths, batch, rows, sgd, dtype):
    results = {n: train(compiled, n, dtype, widths=widths, batch=batch, rows=rows, sgd=sgd) for n in THREADS}
    assert [n for n in THREADS if results[n] != results[1]] == []


@DTYPES
@pytest.mark.parametrize("widths", [(97, 53, 31), (784, 256, 64, 256, 784), (1100, 1000, 30)], ids=str)
@pytest.mark.parametrize("samples", [1, 7, 15, 16, 50, 1000])
def test_inference_gives_equal_bytes_on_any_number_of_threads(compiled, samples, widths, dtype):
    """The widest network is work enough for two threads even with one sample."""
    results = {n: infer(compiled, n, dtype, samples, widths) for n in THREADS}
    assert [n for n in THREADS if results[n] != results[1]] == []


def test_teams_of_changing_size(compiled):
    """Workers that sat out one team are in the next: many short jobs, each on another number of threads."""
    product, weights = multiply(compiled, 1), train(compiled, 1)
    for i in range(100):
        assert multiply(compiled, THREADS[i * 7 % 5]) == product
        if i % 10 == 0:
            assert train(compiled, THREADS[i // 10 % 5]) == weights


@pytest.mark.parametrize("callers", [8])
def test_python_threads_at_once(compiled, callers):
    """The pool serves one caller at a time; the others run alone. Nobody sees a difference."""
    expected = [(train(compiled, 1, seed=seed), multiply(compiled, 1, seed=seed)) for seed in range(callers)]
    barrier = threading.Barrier(callers)

    def work(seed):
        barrier.wait(60)
        return [(train(compiled, 2, seed=seed), multiply(compiled, 3, seed=seed)) for _ in range(5)]

    with ThreadPoolExecutor(callers) as pool:
        for seed, results in enumerate(pool.map(work, range(callers))):
            assert results == [expected[seed]] * 5


def test_models_in_python_threads_at_once():
    """Each thread trains a model of its own, and all encode with one that they share."""
    x = np.random.default_rng(0).random((700, 128), "float32")
    shared = fastae.Autoencoder([128, 96, 32], "tanh", seed=99)

    def work(seed, n_threads=2):
        model = fastae.Autoencoder([128, 96, 32], seed=seed)
        trainer = fastae.Trainer(model, fastae.SGD(0.5, 0.9), batch_size=100, seed=seed, n_threads=n_threads)
        results = []
        for _ in range(5):
            results += trainer.fit(x, epochs=2).loss
            results += [shared.encode(x[: seed + n], n_threads=n_threads).tobytes() for n in (1, 15, 100, 690)]
        return [*results, model.parameters.tobytes()]

    alone = [work(seed, 1) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == alone


def test_one_trainer_in_two_threads_is_refused():
    """Not a race: the second caller gets an error, or comes after the first."""
    x = np.random.default_rng(0).random((20000, 64), np.float32)
    trainer = fastae.Trainer(fastae.Autoencoder([64, 48, 16], seed=0), fastae.SGD(0.1), batch_size=20000)
    errors = []

    def train():
        try:
            for _ in range(5):
                trainer.step(x)
        except RuntimeError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all("another thread" in error for error in errors)
    assert np.isfinite(trainer.model.parameters).all()


def test_pace_takes_what_is_faster_and_tries_again():
    """Three calls by a team, three by one thread; what is said then holds for 50 times as long as they took."""
    for team, alone, taken in ((1e-5, 2e-5, 4), (2e-5, 1e-5, 1), (1e-5, 0.98e-5, 4)):
        pace, threads = Pace(), []
        for _ in range(6):
            assert pace.tries
            threads.append(pace.threads(4))
            pace.took(100, 100 * (alone if threads[-1] == 1 else team))
        assert threads == [4, 4, 4, 1, 1, 1]
        spent = 300 * (team + alone)
        assert (pace.tries, pace.threads(4)) == (False, taken)
        pace.took(100, 49 * spent)
        assert (pace.tries, pace.threads(4)) == (False, taken)
        pace.took(100, 2 * spent)
        assert (pace.tries, pace.threads(4)) == (True, 4)


def test_small_steps_are_tried_with_a_team_and_alone(monkeypatch):
    """The plan is told both numbers of threads, and the weights are those of one thread."""
    x = np.random.default_rng(0).random((32 * 2000, 64), np.float32)
    told, weights = [], []
    choose = Pace.threads
    monkeypatch.setattr(Pace, "threads", lambda self, most: told.append(choose(self, most)) or told[-1])
    for n_threads in (1, 3):
        model = fastae.Autoencoder([64, 32, 8], seed=0)
        fastae.Trainer(model, fastae.SGD(lr=0.1), batch_size=32, n_threads=n_threads, seed=0).fit(x, epochs=1)
        weights.append(model.parameters.tobytes())
    assert told[:6] == [3, 3, 3, 1, 1, 1]
    assert weights[0] == weights[1]
