"""Threads, backends, instruction sets, versions, and what an import costs."""

import importlib
import os
import re
import subprocess
import sys

import pytest

import fastae
from fastae import settings

THREADS = ("FASTAE_NUM_THREADS", "OMP_NUM_THREADS")


def run(code, **environment):
    """Output and error output of Python on some code, in this process's environment but for fastae's variables."""
    env = {k: v for k, v in os.environ.items() if k not in (*THREADS, "FASTAE_ISA")} | environment
    done = subprocess.run([sys.executable, "-P", "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def restored():
    """The settings of the process, put back after the test."""
    threads, backend = fastae.get_num_threads(), fastae.get_backend()
    yield
    fastae.set_num_threads(threads)
    fastae.set_backend(backend)


def usable_isas():
    try:
        return importlib.import_module("fastae._kernels.cython").isas()
    except ImportError:  # nothing was compiled
        return []


needs_cython = pytest.mark.skipif(not usable_isas(), reason="the Cython backend does not load")

# ---- threads ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("restored")
def test_set_num_threads():
    for n in (1, 3, 256):
        fastae.set_num_threads(n)
        assert fastae.get_num_threads() == n
        assert type(fastae.get_num_threads()) is int
    for bad in (0, 257, 1.5):
        with pytest.raises((TypeError, ValueError)):
            fastae.set_num_threads(bad)
        assert fastae.get_num_threads() == 256


@pytest.mark.usefixtures("restored")
def test_the_default_is_what_calls_use(monkeypatch):
    taken = []
    kernels = settings.kernels("numpy")
    monkeypatch.setattr(kernels, "matmul", lambda a, b, c, alpha, beta, n_threads: taken.append(n_threads))
    fastae.set_backend("numpy")
    fastae.set_num_threads(3)
    fastae.ops.matmul([[1.0]], [[1.0]])
    fastae.ops.matmul([[1.0]], [[1.0]], n_threads=2)
    assert taken == [3, 2]


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({"FASTAE_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"FASTAE_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"FASTAE_NUM_THREADS": "", "OMP_NUM_THREADS": "5"}, 5),
        ({"FASTAE_NUM_THREADS": "many", "OMP_NUM_THREADS": "0"}, None),
        ({"FASTAE_NUM_THREADS": "-1"}, None),
        ({"FASTAE_NUM_THREADS": "²"}, None),
        ({"FASTAE_NUM_THREADS": "256"}, 256),
        ({"OMP_NUM_THREADS": "3,2"}, 3),
        ({}, None),
    ],
    ids=str,
)
def test_threads_of_the_environment(environment, threads):
    code = (
        "import fastae; print(fastae.get_num_threads(), fastae.settings._usable_processors());"
        "print(fastae.ops.matmul([[2.0]] * 500, [[3.0] * 500])[499, 499])"
    )
    found, processors, product = run(code, **environment)[0].split()
    assert int(found) == (threads or int(processors))  # a wrong value is passed over
    assert float(product) == 6


def test_the_environment_cannot_ask_for_more_threads_than_a_call():
    code = "import fastae; fastae.set_num_threads(fastae.get_num_threads()); print(fastae.get_num_threads())"
    assert 1 <= int(run(code, FASTAE_NUM_THREADS="1000")[0]) <= 256


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_threads_of_the_affinity():
    code = "import os, fastae; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); print(fastae.get_num_threads())"
    assert run(code)[0] == "1\n"


@pytest.mark.parametrize(
    ("membership", "files", "threads"),
    [
        ("0::/", {}, 64),
        ("0::/", {"cpu.max": "max 100000"}, 64),
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "5000 100000"}, 1),
        ("0::/", {"cpu.max": "nonsense"}, 64),
        ("0::/", {"cpu.max": "100000 0"}, 64),
        ("0::/a/b", {"a/b/cpu.max": "300000 100000", "a/cpu.max": "max 100000"}, 3),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "500000 100000"}, 5),
        ("0::/a/b", {"a/b/cpu.max": "900000 100000", "a/cpu.max": "400000 100000", "cpu.max": "800000 100000"}, 4),
        ("0::/a", {"other/cpu.max": "100000 100000"}, 64),
        ("0::/host/path/of/a/container", {"cpu.max": "600000 100000"}, 6),
        ("0::/../../elsewhere", {"cpu.max": "600000 100000"}, 6),
        (None, {"cpu.max": "600000 100000"}, 6),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "250000"}, 64),
        (
            "5:memory:/m\n4:cpu,cpuacct:/a:b/c\n1:name=systemd:/s\n0::/u",  # both versions; a path with a colon
            {"cpu,cpuacct/a:b/cpu.cfs_quota_us": "50000", "cpu,cpuacct/a:b/cpu.cfs_period_us": "10000"},
            5,
        ),
        ("4:cpuacct,cpu:/a", {"cpu/a/cpu.cfs_quota_us": "70000", "cpu/a/cpu.cfs_period_us": "10000"}, 7),
        ("4:cpuset:/", {"cpuset/cpu.cfs_quota_us": "10000", "cpuset/cpu.cfs_period_us": "10000"}, 64),
    ],
)
def test_threads_of_the_quota(monkeypatch, tmp_path, membership, files, threads):
    """Of both versions of control groups; of 64 processors."""
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text + "\n")
    if membership:
        (tmp_path / "membership").write_text(membership + "\n")
    monkeypatch.setattr(settings, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(settings, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    assert settings._usable_processors() == threads


# ---- backends --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("restored")
def test_set_backend(backend):
    fastae.set_backend(backend)
    assert fastae.get_backend() == backend
    layer = fastae.Linear(2, 2)
    assert layer.backend == backend
    assert layer.kernels is settings.kernels(backend)
    fastae.set_backend("numpy")
    assert layer.backend == backend  # what exists keeps its own
    assert fastae.Linear(2, 2).backend == "numpy"
    assert fastae.Linear(2, 2, backend=backend).backend == backend
    with pytest.raises(ValueError, match="'torch'"):
        fastae.set_backend("torch")
    assert fastae.get_backend() == "numpy"


@needs_cython
def test_the_default_backend_is_cython():
    assert run("import fastae; print(fastae.get_backend())")[0] == "cython\n"


ISA = """
import fastae, numpy as np
x = np.random.default_rng(0).random((50, 20))
model = fastae.Autoencoder([20, 10, 3], "tanh", dtype="float64", seed=0)
fastae.Trainer(model, fastae.SGD(0.5, 0.9), batch_size=8, seed=0).fit(x, epochs=3)
print(fastae.get_backend(), model.reconstruction_error(x).sum())
fastae.show_versions()
"""


@needs_cython
@pytest.mark.parametrize("isa", usable_isas())
def test_every_instruction_set_can_be_forced(isa):
    out, err = run(ISA, FASTAE_ISA=isa)
    backend, error = out.splitlines()[0].split()
    assert backend == "cython"
    assert re.search(rf"^backend cython +{isa}, ", out, re.MULTILINE)
    assert err == ""
    _, expected = run(ISA.replace("seed=0)\nfastae", 'seed=0, backend="numpy")\nfastae'))[0].splitlines()[0].split()
    assert float(error) == pytest.approx(float(expected), rel=1e-10)


IMPOSSIBLE = next(name for name in ("neon", "avx512", "avx2", "vsx") if name not in usable_isas())


@pytest.mark.parametrize("isa", [IMPOSSIBLE, "avx1024", "../baseline", " "])
def test_an_impossible_instruction_set_falls_back_to_numpy(isa):
    out, err = run(ISA, FASTAE_ISA=isa)
    assert out.startswith("numpy ")
    assert err.count("RuntimeWarning") == 1  # once in a process
    for words in (repr(isa), "FASTAE_ISA", "NumPy", *usable_isas()):
        assert words in err
    assert re.search(r"^backend cython +.*instruction set .* is not usable", out, re.MULTILINE)
    assert re.search(r"^backend numpy +NumPy", out, re.MULTILINE)
    code = "import fastae\ntry:\n    fastae.set_backend('cython')\nexcept ImportError as error:\n    print(error)"
    out, err = run(code, FASTAE_ISA=isa)  # asked for by name: an error, no substitute
    assert repr(isa) in out
    assert err == ""


def test_the_fallback_warning_points_to_the_caller():
    _, err = run("import fastae\nfastae.Linear(2, 2)\n", FASTAE_ISA="none")
    assert "Using NumPy" in err
    assert "settings.py" not in err


# ---- versions --------------------------------------------------------------------------------------------------------


def test_show_versions(capsys):
    assert fastae.show_versions() is None
    out, err = capsys.readouterr()
    assert err == ""
    rows = dict(re.split(r" {2,}", line, maxsplit=1) for line in out.splitlines())
    assert rows["fastae"] == fastae.__version__
    assert rows["python"] == sys.version.split()[0]
    assert rows["default backend"] == fastae.get_backend()
    assert rows["threads"].startswith(f"{fastae.get_num_threads()} of ")
    assert {"platform", "processor", "safetensors", "tqdm", "numba", "scikit-learn", "matplotlib", "torch"} <= rows.keys()
    assert rows["numpy"] == sys.modules["numpy"].__version__
    assert rows["backend numpy"] == f"NumPy {rows['numpy']}"
    isas = usable_isas()
    if isas:
        assert rows["backend cython"].split(",")[0] == (os.environ.get("FASTAE_ISA") or isas[0])
    assert all(value.strip() for value in rows.values())
    columns = {re.match(r".*? {2,}", line).end() for line in out.splitlines()}
    assert len(columns) == 1  # the values stand below each other


# ---- the import ------------------------------------------------------------------------------------------------------


def test_import_loads_only_numpy():
    code = "import sys, fastae; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = run(code)[0].split()
    assert "numpy" in loaded
    unwanted = {
        "numba",
        "llvmlite",
        "sklearn",
        "scipy",
        "matplotlib",
        "safetensors",
        "tqdm",
        "torch",
        "onnx",
        "mpi4py",
        "Cython",
    }
    assert not unwanted & set(loaded)


def test_import_starts_no_thread_and_warns_of_nothing():
    code = "import threading, fastae; print(threading.active_count())"
    done = subprocess.run([sys.executable, "-P", "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_public_names():
    for name in fastae.__all__:
        assert getattr(fastae, name).__doc__
    assert set(fastae.ops.__all__) == {"matmul", "linear", "linear_grad_input", "linear_grad_weight"}
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", fastae.__version__)
