"""threadpoolctl lists fastae and limits its default number of threads; workers of joblib keep to their limits."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastae
from fastae import settings

threadpoolctl = pytest.importorskip("threadpoolctl", "3.2")
pytest.importorskip("fastae._kernels.cython._runtime")

fastae.register_threadpoolctl()


@pytest.fixture(autouse=True)
def four_threads():
    """The default of these tests; the process's own is put back."""
    before = fastae.get_num_threads()
    fastae.set_num_threads(4)
    yield
    fastae.set_num_threads(before)


def test_info():
    fastae.register_threadpoolctl()  # again: no second row
    (info,) = [row for row in threadpoolctl.threadpool_info() if row["user_api"] == "fastae"]
    assert info["internal_api"] == "fastae"
    assert info["num_threads"] == 4
    assert info["version"] == fastae.__version__
    assert info["instruction_set"] == settings.kernels("cython").__name__.rpartition(".")[2]
    assert os.path.basename(info["filepath"]).startswith("_runtime.")


def test_limits():
    with threadpoolctl.threadpool_limits(2):
        assert fastae.get_num_threads() == 2
        with threadpoolctl.threadpool_limits(1, user_api="fastae"):
            assert fastae.get_num_threads() == 1
        assert fastae.get_num_threads() == 2
    assert fastae.get_num_threads() == 4
    with threadpoolctl.threadpool_limits({"fastae": 3, "blas": 1}):
        assert fastae.get_num_threads() == 3
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert fastae.get_num_threads() == 4
    with pytest.raises(KeyError), threadpoolctl.threadpool_limits(1):
        raise KeyError
    assert fastae.get_num_threads() == 4
    for n, taken in ((0, 1), (10**6, 256)):
        with threadpoolctl.threadpool_limits(n, user_api="fastae"):
            assert fastae.get_num_threads() == taken


def test_an_explicit_number_wins_over_a_limit(monkeypatch):
    taken = []
    monkeypatch.setattr(settings.kernels("numpy"), "matmul", lambda a, b, c, alpha, beta, n_threads: taken.append(n_threads))
    monkeypatch.setattr(settings, "_backend", "numpy")
    with threadpoolctl.threadpool_limits(1):
        fastae.ops.matmul([[1.0]], [[1.0]])
        fastae.ops.matmul([[1.0]], [[1.0]], n_threads=3)
    assert taken == [1, 3]


def found(code, **environment):
    """What Python prints that runs the code."""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


LISTED = "print(*[row['user_api'] for row in threadpoolctl.threadpool_info() if row['user_api'] == 'fastae'])"


def test_the_import_registers_only_with_a_threadpoolctl_that_is_there():
    assert found("import sys, fastae; print('threadpoolctl' in sys.modules)") == ["False"]
    assert found(f"import threadpoolctl, fastae; {LISTED}") == ["fastae"]
    assert found(f"import fastae, threadpoolctl; {LISTED}; fastae.register_threadpoolctl(); {LISTED}") == ["fastae"]
    code = f"import threadpoolctl, fastae; {LISTED}; fastae.set_backend('numpy'); print(fastae.get_num_threads())"
    assert found(code, FASTAE_ISA="none", FASTAE_NUM_THREADS="3") == ["3"]  # no kernels: nothing to list
    assert found("import sys, types; sys.modules['threadpoolctl'] = types.ModuleType('threadpoolctl'); import fastae") == []


# ---- joblib ----------------------------------------------------------------------------------------------------------


def fitted(seed):
    """Bytes of a trained model, and the default number of threads where it was trained."""
    x = np.random.default_rng(seed).random((300, 128), "float32")
    model = fastae.Autoencoder([128, 96, 32], seed=seed)
    fastae.Trainer(model, fastae.SGD(0.5, 0.9), batch_size=100, seed=seed, n_threads=2).fit(x, epochs=3)
    return model.parameters.tobytes(), model.encode(x).tobytes()


def default_threads(_):
    import fastae

    return fastae.get_num_threads()


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_fits_in_joblib(backend):
    joblib = pytest.importorskip("joblib")
    with joblib.parallel_config(backend, n_jobs=2):
        assert joblib.Parallel()(joblib.delayed(fitted)(seed) for seed in range(4)) == [fitted(seed) for seed in range(4)]


def test_workers_of_loky_keep_to_its_limit(monkeypatch):
    joblib = pytest.importorskip("joblib")
    for name in ("FASTAE_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for limit in (1, 3):
        with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=limit):
            assert joblib.Parallel()(joblib.delayed(default_threads)(i) for i in range(4)) == [limit] * 4
