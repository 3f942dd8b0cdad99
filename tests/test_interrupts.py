"""Signals during a fit on two threads: Ctrl-C, and a handler that trains itself."""

import signal

import pytest
from test_processes import run_in_process

from fastae import _kernels

pytest.importorskip("fastae._kernels.cython._runtime")
pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that send signals")

FITS = """
import hashlib, signal
import numpy as np, fastae
x = np.random.default_rng(0).random((2000, 128), "float32")
def trainer(seed, n_threads):
    model = fastae.Autoencoder([128, 96, 32], seed=seed)
    return fastae.Trainer(model, fastae.SGD(0.1, 0.9), batch_size=100, seed=seed, n_threads=n_threads)
def fitted(seed, n_threads, epochs):
    t = trainer(seed, n_threads)
    t.fit(x, epochs=epochs)
    return hashlib.sha256(t.model.parameters).hexdigest()
"""


def test_ctrl_c_leaves_threads_that_work_and_rest():
    """Twenty interrupts in a row: each ends its fit, and the next ones give the bits of one thread."""
    equal, seconds = run_in_process(
        FITS
        + """
signal.signal(signal.SIGALRM, signal.default_int_handler)
expected, equal, interrupted = fitted(1, 1, 2), 0, 0
for i in range(20):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.005 + 0.003 * i)
        trainer(0, 2).fit(x, epochs=10**6)
    except KeyboardInterrupt:
        interrupted += 1
    equal += fitted(1, 2, 2) == expected
assert interrupted == 20
time.sleep(0.02)
used = time.process_time()
time.sleep(0.5)
print(equal, time.process_time() - used)
"""
    )
    assert int(equal) == 20
    assert float(seconds) < 0.002


def test_a_fit_within_a_fit():
    """A handler runs between two calls into the kernels, in the thread that fits, and may train another model there."""
    inner, outer, times = run_in_process(
        FITS
        + """
alone, inner = [fitted(seed, 1, epochs) for seed, epochs in ((0, 60), (1, 2))], []
def handler(*_):
    inner.append(fitted(1, 2, 2))
signal.signal(signal.SIGALRM, handler)
t = trainer(0, 2)
while not inner:
    t = trainer(0, 2)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.05)
    t.fit(x, epochs=60)
    signal.setitimer(signal.ITIMER_REAL, 0)
print(set(inner) == {alone[1]}, hashlib.sha256(t.model.parameters).hexdigest() == alone[0], len(inner))
"""
    )
    assert (inner, outer) == ("True", "True")
    assert int(times) >= 1


@pytest.mark.parametrize("backend", ["cython", "numba"])
@pytest.mark.parametrize("n", [2000, 256], ids=["many calls an epoch", "one"])
def test_ctrl_c_loses_no_count(backend, n):
    """After each interrupt the weights are those of as many steps as the trainer says, in the order that it says."""
    if backend in _kernels.missing():
        pytest.skip(f"{backend} does not load here")
    wrong = run_in_process(
        FITS
        + f"""
backend, n = {backend!r}, {n}
signal.signal(signal.SIGALRM, signal.default_int_handler)
def small():
    model = fastae.Autoencoder([16, 8, 4], seed=0, backend=backend)
    return fastae.Trainer(model, fastae.SGD(0.1, 0.9), batch_size=64, seed=0, n_threads=1)
def replayed(steps):
    t, epoch = small(), 0
    plan = t._planned(64, t.optimizer.hyperparameters())
    while steps > 0:
        order = np.empty(n, np.int64)
        t._kernels.shuffled(t._key, epoch, n, 0, order)
        rows = min(steps * 64, n)
        plan.run(x, x, order, 0, rows, t.optimizer.hyperparameters())
        steps, epoch = steps - -(-rows // 64), epoch + 1
    return t.model.parameters
x, wrong = np.ascontiguousarray(x[:n, :16]), 0
small().fit(x, epochs=3)
for i in range(300):
    t = small()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.003 + 0.00001 * i)
        t.fit(x, epochs=10**6)
    except KeyboardInterrupt:
        pass
    wrong += not np.array_equal(t.model.parameters, replayed(t.steps))
    wrong += t.epochs != t.steps // -(-n // 64)
print(wrong)
"""
    )
    assert wrong == ["0"]


def test_a_fit_that_is_interrupted_and_resumed_is_the_same_fit():
    """Again and again, wherever it hits: weights, averages of weights and the losses of all epochs.

    With Cython; a run of the other backends is not one piece of compiled code, and Ctrl-C may hit between its steps and counts.
    """
    same, interrupts = run_in_process(
        FITS
        + """
from fastae.callbacks import WeightAverage
x = np.ascontiguousarray(x[:, :16])
def small():
    model = fastae.DenoisingAutoencoder([16, 8, 4], seed=0, backend="cython")
    return fastae.Trainer(model, fastae.Adam(1e-3), batch_size=16, seed=0, n_threads=1)
def result(t, average):
    return t.model.parameters.tobytes(), average.average.tobytes(), average.n, t.history.loss, t.history.val_loss, t.epochs
fit = dict(x=x, epochs=40, validation_data=x[:100])
whole, average = small(), WeightAverage(0.9, every=7)
whole.fit(**fit, callbacks=[average])
expected, interrupts = result(whole, average), 0
signal.signal(signal.SIGALRM, signal.default_int_handler)
t, average, resume = small(), WeightAverage(0.9, every=7), False
while True:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.008 + 0.003 * (interrupts % 10))
        t.fit(**fit, callbacks=[average], resume=resume)
        signal.setitimer(signal.ITIMER_REAL, 0)
        break
    except KeyboardInterrupt:
        interrupts, resume = interrupts + 1, True
        if interrupts == 40:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
print(result(t, average) == expected, interrupts)
"""
    )
    assert same == "True"
    assert int(interrupts) > 1
