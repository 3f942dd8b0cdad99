"""Processes that use threads: forks and other children, what is started and when, memory, idleness, exit."""

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
from test_threads import multiply, train

needs_fork = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
TASKS = Path("/proc/self/task")  # one entry for each thread
needs_proc = pytest.mark.skipif(not TASKS.exists(), reason="needs /proc")

# ---- forks -----------------------------------------------------------------------------------------------------------


def train_and_multiply(module, seed):
    kernels = importlib.import_module(module)
    return train(kernels, 2, seed=seed), multiply(kernels, 3, seed=seed)


def in_child(module, seed):
    result = train_and_multiply(module, seed)
    if TASKS.exists():
        assert len(list(TASKS.iterdir())) > 1, "the child started no threads of its own"
    return result


def train_in_children(module):
    """What three children give that are forked now and train at once; a child that hangs is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)  # that is what is tested
        with multiprocessing.get_context("fork").Pool(3) as pool:
            return pool.starmap_async(in_child, [(module, seed) for seed in range(3)], chunksize=1).get(60)


@needs_fork
def test_children_of_a_process_that_has_trained(compiled):
    expected = [train_and_multiply(compiled.__name__, seed) for seed in range(3)]
    assert train_in_children(compiled.__name__) == expected
    assert [train_and_multiply(compiled.__name__, seed) for seed in range(3)] == expected  # the parent's threads go on


@needs_fork
def test_children_of_a_process_that_is_training(compiled):
    """The pool is taken at the moment of the fork; the child must not wait for threads that it does not have."""
    expected, stop = [train_and_multiply(compiled.__name__, seed) for seed in range(3)], threading.Event()

    def keep_busy():
        while not stop.is_set():
            train(compiled, 2)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    try:
        assert train_in_children(compiled.__name__) == expected
    finally:
        stop.set()
        busy.join()


@needs_fork
def test_fifty_forks_of_a_process_that_has_trained(compiled):
    """One after another, the parent training in between; a child that hangs is ended by its alarm."""
    expected = train(compiled, 2)
    for i in range(50):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 2
            try:
                signal.alarm(60)
                code = 0 if train(compiled, 2) == expected else 1
            finally:
                os._exit(code)  # whatever happened: the child must not go on as a second pytest
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, f"child {i}"
        if i % 10 == 0:
            assert train(compiled, 2) == expected


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_children_of_other_kinds(compiled, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    expected = train_and_multiply(compiled.__name__, 0)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply_async(train_and_multiply, (compiled.__name__, 0)).get(120) == expected


# ---- processes of their own ------------------------------------------------------------------------------------------

PROLOGUE = """
import os, sys, threading, time
sys.path.append(os.getcwd())
import test_threads
from fastae._kernels import cython
kernels = cython.kernels()
def threads():
    return len(os.listdir("/proc/self/task"))
"""


def run_in_process(code):
    """Lines that the code prints; it must end with 0 and nothing on stderr."""
    command = [sys.executable, "-P", "-W", "error", "-c", PROLOGUE + code]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@needs_proc
def test_threads_are_started():
    """None for one thread, seven for eight and no more later: so the tests above do use threads."""
    before, after_one, after_eight, later = map(
        int,
        run_in_process("""
print(threads())
test_threads.all_kernels(kernels, 1, "float32")
print(threads())
for part in (test_threads.multiply, test_threads.train):
    part(kernels, 8)
print(threads())
test_threads.all_kernels(kernels, 3, "float64")
print(threads())
"""),
    )
    assert after_one == before
    assert after_eight == later == before + 7


MODEL = """
import numpy as np, fastae
x = np.random.default_rng(0).random((1000, 256), "float32")
model = fastae.Autoencoder([256, 128, 32], seed=0)
trainer = fastae.Trainer(model, fastae.SGD(0.1, 0.9), batch_size=100, seed=0)
"""


@needs_proc
@pytest.mark.parametrize(("n_threads", "more"), [(1, 0), (2, 1)])
def test_threads_of_a_model(n_threads, more):
    """Training and encoding start what they are allowed, and nothing besides."""
    before, *after = run_in_process(
        MODEL
        + f"""
fastae.set_num_threads({n_threads})
print(threads())
for _ in range(3):
    trainer.step(x)
print(threads())
for n in (1, 15, 50, 1000):
    model.reconstruct(x[:n])
    fastae.ops.matmul(x[:n], x.T)
print(threads())
"""
    )
    assert after == [str(int(before) + more)] * 2


@needs_proc
def test_a_fit_with_one_thread_starts_none():
    before, after = run_in_process(
        MODEL + "trainer.n_threads = 1\nprint(threads())\ntrainer.fit(x, epochs=2)\nprint(threads())"
    )
    assert after == before


@needs_proc
def test_small_work_starts_no_thread():
    before, after = run_in_process("""
import numpy as np
a = np.ones((20, 20))
print(threads())
kernels.matmul(a, a, a.copy(), 1.0, 0.0, 8)
kernels.activate(1, a, a, 8)
print(threads())
""")
    assert before == after


def test_idle_threads_use_no_processor_time():
    """After a fit, workers spin for some microseconds and then sleep."""
    (seconds,) = run_in_process("""
import numpy as np, fastae
x = np.random.default_rng(0).random((1000, 256), "float32")
fastae.Trainer(fastae.Autoencoder([256, 128], seed=0), fastae.SGD(0.1), batch_size=100, n_threads=2).fit(x, epochs=20)
time.sleep(0.02)
used = time.process_time()
time.sleep(0.5)
print(time.process_time() - used)
""")
    assert float(seconds) < 0.002


MEMORY = """
import numpy as np, fastae
def memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
x = np.random.default_rng(0).random((1000, 8), "float32")
model = fastae.Autoencoder([8, 3], seed=0)
trainer = fastae.Trainer(model, fastae.SGD(0.01, 0.9), batch_size=1, seed=0)
"""


@needs_proc
@pytest.mark.parametrize(
    "work",
    [
        "trainer.fit(x, epochs=100 if later else 2)",
        "for i in range(100_000 if later else 1000): trainer.step(x[i % 1000 : i % 1000 + 1])",
        "for i in range(10_000 if later else 2000): model.encode(x[: i * 7 % 300 + 1])",
    ],
    ids=["fit", "step", "encode"],
)
def test_memory_does_not_grow(work):
    """Less than 2 MB over 100,000 steps, or 10,000 calls with changing numbers of samples."""
    before, after = run_in_process(MEMORY + f"for later in (False, True):\n    {work}\n    print(memory())")
    assert int(after) - int(before) < 2048


NEIGHBOUR = """
import subprocess, numpy as np, fastae
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
x = np.random.default_rng(0).random((1024, {0}), "float32")
trainer = fastae.Trainer(fastae.Autoencoder({1}, seed=0), fastae.SGD(0.1), batch_size={2}, seed=0, n_threads=2)
def seconds(epochs):
    start = time.perf_counter()
    trainer.fit(x, epochs=epochs)
    return time.perf_counter() - start
epochs = max(int(0.3 / min(seconds(1) for _ in range(5))), 1)
loop = "import os, sys\\nos.sched_setaffinity(0, [int(sys.argv[1])])\\nwhile True: pass"
alone, beside = [], []
for _ in range(4):
    alone.append(seconds(epochs))
    busy = [subprocess.Popen([sys.executable, "-S", "-c", loop, str(cpu)]) for cpu in os.sched_getaffinity(0)]
    time.sleep(0.1)
    beside.append(seconds(epochs))
    for process in busy:
        process.kill()
        process.wait()
print(min(beside) / min(alone))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
@pytest.mark.parametrize(("widths", "batch"), [([784, 256, 64], 128), ([784, 32], 64), ([64, 32, 8], 32)], ids=str)
def test_a_busy_process_on_every_processor(widths, batch):
    """It takes half of the time and should cost a factor of 2.5; members that wait for each other in turns would lose more."""
    (factor,) = run_in_process(NEIGHBOUR.format(widths[0], widths, batch))
    assert float(factor) < 5


BUSY = "threading.Thread(target=lambda: [test_threads.train(kernels, 2) for _ in range(10**6)], daemon=True).start()"
FIT = """
import numpy as np, fastae
x = np.random.default_rng(0).random((1000, 256), "float32")
trainer = fastae.Trainer(fastae.Autoencoder([256, 128], seed=0), fastae.SGD(0.1), batch_size=100, n_threads=2)
threading.Thread(target=lambda: trainer.fit(x, epochs=10**6), daemon=True).start()
while trainer.epochs < 3:
    time.sleep(0.01)
"""
AT_EXIT = "import atexit\natexit.register(test_threads.train, kernels, 2)"
ENDINGS = {"end": "", "sys.exit": "sys.exit(0)", "os._exit": "os._exit(0)", "busy": BUSY, "fit": FIT, "atexit": AT_EXIT}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_exit_right_after_use(ending):
    """Also while a daemon thread trains, or with training left to do at the exit."""
    assert run_in_process(f"test_threads.train(kernels, 5)\nprint('done', flush=True)\n{ending}\n") == ["done"]
