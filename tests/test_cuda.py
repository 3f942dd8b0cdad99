"""CUDA without a GPU: what the compiler makes of every kernel, random numbers, uploads, what is said of what is missing.

The kernels' results are tested by test_kernels.py and test_trainer.py, in numba's simulator (``NUMBA_ENABLE_CUDASIM=1``).
"""

import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fastae._kernels import noise
from fastae._kernels.names import ACTIVATIONS, LOSSES, NOISES, WHOLE_ROW
from fastae._kernels.recipe import Recipe

if find_spec("numba_cuda") is None:
    pytest.skip("numba-cuda is not installed: pip install fastae[cuda]", allow_module_level=True)

from fastae._kernels.cuda import drawn, epilogues, gemm, losses, memory, passes, philox
from fastae._kernels.cuda.network import MISSING, Plan, supported
from fastae._kernels.cuda.toolkit import SIMULATED, cuda

ROOT = Path(__file__).parents[1]
simulated = pytest.mark.skipif(not SIMULATED, reason="runs kernels: needs NUMBA_ENABLE_CUDASIM=1")
not_simulated = pytest.mark.skipif(SIMULATED, reason="NUMBA_ENABLE_CUDASIM=1 is set: the simulator compiles nothing")
GELU, SIGMOID, BCE = ACTIVATIONS.index("gelu"), ACTIVATIONS.index("sigmoid"), LOSSES.index("bce")

# ---- what the compiler makes of the kernels --------------------------------------------------------------------------

Machine = namedtuple("Machine", "ptx stack spills registers shared")


def ptxas():
    """The assembler, of the wheel or of an installed toolkit."""
    try:
        wheel = [str(f.locate()) for f in files("nvidia-cuda-nvcc") or () if f.name in ("ptxas", "ptxas.exe")]
    except PackageNotFoundError:
        wheel = []
    return wheel[0] if wheel else shutil.which("ptxas")


@pytest.fixture(params=[(8, 0), (9, 0)], ids=["sm_80", "sm_90"])
def build(request, monkeypatch, tmp_path):
    """Compiles a kernel for a device that is not there."""
    assembler, (major, minor) = ptxas(), request.param
    if assembler is None:
        pytest.skip("needs ptxas: pip install nvidia-cuda-nvcc")
    # For its device functions, numba asks the present device what it can do.
    device = SimpleNamespace(compute_capability=request.param)
    monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: device)

    def compiled(kernel, *signature):
        ptx, _ = cuda.compile_ptx(kernel.py_func, signature, cc=request.param)
        (tmp_path / "kernel.ptx").write_text(ptx)
        command = [assembler, "-v", f"-arch=sm_{major}{minor}", "kernel.ptx", "-o", "kernel.cubin"]
        report = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr

        def number(pattern):
            return sum(map(int, re.findall(pattern, report)))

        patterns = r"(\d+) bytes stack", r"(\d+) bytes spill", r"Used (\d+) registers", r"(\d+) bytes smem"
        return Machine(ptx, *map(number, patterns))

    return compiled


def types_of(real):
    """Numba's number, vector and matrix."""
    from numba import types

    number = types.float32 if real is np.float32 else types.float64
    return number, number[::1], number[:, ::1]


def check_memory(machine, real):
    assert machine.stack == machine.spills == 0
    assert not re.search(r"\b(ld|st)\.local\b", machine.ptx), "local memory"
    assert not re.search(r"\bcall\b", machine.ptx), "a function that is not inlined"
    if real is np.float32:
        assert not re.search(r"\.f64\b", machine.ptx), "float64 in a float32 kernel"


def products(real):
    """Every epilogue with its layout and the types of its operands; of many formulas the longest."""
    from numba import types

    number, vector, matrix = types_of(real)
    pair, rates = types.UniTuple(matrix, 2), types.UniTuple(number, 9)
    learning = pair, pair, pair, pair, rates, types.int64, types.int64[::1]
    last = matrix, matrix, matrix, number, vector, matrix, matrix
    return {
        "scale_and_add": (epilogues.scale_and_add(real), False, True, (matrix, number, number)),
        "forward": (epilogues.forward(real, GELU, True), False, False, (matrix,) * 3),
        "last_layer": (epilogues.last_layer(real, SIGMOID, BCE), False, False, last),
        "last_layer of a recipe": (epilogues.last_layer(real, SIGMOID, BCE, True, True, True), False, False, last),
        "input_gradient": (epilogues.input_gradient(real, GELU), False, True, (matrix,) * 3),
        "input_gradient of a recipe": (epilogues.input_gradient(real, GELU, True), False, True, (matrix,) * 3),
        "weight_gradient": (epilogues.weight_gradient(real), True, True, (matrix,) * 2),
        **{f"learn, {kind}": (epilogues.learn(real, RULES[kind], True, True), True, True, learning) for kind in RULES},
        "learn plainly": (epilogues.learn(real, ("sgd", False, False, False), False, False), True, True, learning),
    }


RULES = {kind: (kind, kind != "adam", kind == "sgd", True) for kind in ("sgd", "adam", "adamw", "rmsprop")}
PRODUCTS = (
    *("scale_and_add", "forward", "last_layer", "last_layer of a recipe", "input_gradient", "input_gradient of a recipe"),
    *("weight_gradient", *(f"learn, {kind}" for kind in RULES), "learn plainly"),
)
TILES = [(real, tile) for real, tiles in gemm.TILES.items() for tile in tiles]


@not_simulated
@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize(("real", "tile"), TILES, ids=[f"{real.__name__}-{tile.size}" for real, tile in TILES])
def test_products_as_compiled(build, real, tile, name):
    from numba import types

    epilogue, a_by_k, b_by_k, operands = products(real)[name]
    matrix = types_of(real)[2]
    kernel = gemm.gemm(real, tile, a_by_k, b_by_k, epilogue)
    machine = build(kernel, types.int64, types.int64, types.int64, matrix, matrix, types.Tuple(operands))
    check_memory(machine, real)
    threads = gemm.threads(tile)
    registers = -(-machine.registers // 8) * 8  # are given out by eights
    assert registers * threads * tile.resident <= 65536
    assert machine.shared * tile.resident <= 100 * 1024  # less than the 164 and 228 KB of sm_80 and sm_90
    numbers = "v4.f32" if real is np.float32 else "v2.f64"
    for operation in (f"ld.global.{numbers}", f"ld.shared.{numbers}", f"st.global.{numbers}"):
        assert operation in machine.ptx
    assert (f"st.shared.{numbers}" in machine.ptx) == (a_by_k or b_by_k)
    assert not re.search(r"ld\.shared\.f", machine.ptx), "a number loaded alone"
    assert len(re.findall(rf"fma\.rn\.{numbers[3:]}", machine.ptx)) >= (4 * tile.halves) ** 2


@not_simulated
@pytest.mark.parametrize("real", gemm.TILES, ids=lambda real: real.__name__)
def test_passes_as_compiled(build, real):
    from numba import types

    number, vector, matrix = types_of(real)
    kernels = [(passes.activate(real, i), vector, vector) for i in range(len(ACTIVATIONS))]
    kernels += [(passes.differentiate(real, i), vector, vector, vector) for i in range(len(ACTIVATIONS))]
    by_element = [i for i in range(len(LOSSES)) if i not in WHOLE_ROW]
    kernels += [(losses.loss(real, i), vector, vector, number, vector, vector) for i in by_element]
    row = types.int64, types.int64, matrix, matrix, matrix, number, matrix, matrix, vector
    kernels += [(losses.row_losses(real, i, GELU, True), *row) for i in (0, *WHOLE_ROW)]
    rates, flag = types.UniTuple(number, 9), types.int64[::1]
    kernels += [(passes.optimise(rule), *[vector] * 4, rates, flag) for rule in RULES.values()]
    for kernel, *signature in kernels:
        check_memory(build(kernel, *signature), real)


@not_simulated
def test_the_tally_and_noise_as_compiled(build):
    from numba import types

    f64, i64, words = types.float64, types.int64, types.UniTuple(types.uint64, 2)
    for real in gemm.TILES:
        number, vector, matrix = types_of(real)
        tally = vector, i64, f64, vector, i64, f64, f64, i64, f64[::1], i64[::1]
        check_memory(build(losses.tally, *tally), np.float64)
        for normal in (False, True):
            check_memory(build(philox.noise(real, normal), words, words, i64, matrix), real)
        for kind in (None, *NOISES):
            signature = i64, i64, i64, words, words, number, matrix, matrix
            check_memory(build(drawn.disturb(real, kind, True), *signature), real)
        check_memory(build(drawn.drop(real), i64, i64, words, words, number, number, matrix, matrix, matrix), real)
        code = i64, i64, words, words, matrix, matrix, i64, i64, matrix, matrix, vector
        check_memory(build(drawn.gaussian_code(real), *code), real)
        check_memory(build(drawn.gaussian_code_gradient(real, GELU, True), i64, i64, number, *[matrix] * 6), real)


# ---- random numbers --------------------------------------------------------------------------------------------------


KNOWN = [  # Random123's kat_vectors, of philox 4x32 10: counter, key, words
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_published_numbers(counter, key, words):
    as_words = [tuple(map(np.uint64, a)) for a in (counter, key)]
    assert list(map(int, noise.philox(as_words[0], key))) == words
    assert list(map(int, philox.philox(*as_words))) == words


@simulated
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_numbers_are_those_of_the_contract(dtype):
    """Features on both sides of 64, samples from a later one on, a step and a key of more than 32 bits."""
    key, step, stream, first = 2**63 + 7, 2**33 + 5, 3, 4
    for features in (1, 16, 63, 70, 131):
        out = np.empty((3, features), dtype)
        place = key, step, stream, first, 3, features, np.dtype(dtype)
        philox.fill(out, key, step, stream, first)
        np.testing.assert_array_equal(out, noise.uniform(*place))
        philox.fill(out, key, step, stream, first, normal=True)
        np.testing.assert_allclose(out, noise.normal(*place), rtol=0, atol=32 * float(np.finfo(dtype).eps))


def test_the_logarithm_of_a_normal_number_has_an_exact_argument():
    """Of floats of 24 bits, u + 2^-25 is one below 1/2, and 1 - (u + 2^-25) from there on."""
    for bits in (0, 1, 2**22, 2**23 - 1, 2**23, 2**23 + 1, 2**24 - 2, 2**24 - 1):
        u, half, one = np.float32(bits * 2.0**-24), np.float32(2.0**-25), np.float32(1)
        exact = bits * 2.0**-24 + 2.0**-25
        assert float(u + half) == exact if bits < 2**23 else 1 + float(half - (one - u)) == exact


# ---- recipes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", MISSING)
def test_a_part_of_a_recipe_that_is_missing_is_named(part):
    message = rf"recipe part '{part}' is not in the cuda backend; take backend='cython' or 'numpy'"
    with pytest.raises(NotImplementedError, match=message):
        supported(Recipe(**{part: 2}))


# ---- what goes up, and when ------------------------------------------------------------------------------------------


def test_a_batch_goes_up_while_the_one_before_is_computed(monkeypatch, rng):
    """Two buffers: the upload of batch n waits for the step of batch n - 2 alone, and the host for the upload of n - 2."""
    calls = []

    class Event:
        made = 0

        def __init__(self):
            kind = "uploaded", "used"
            self.name = f"{kind[Event.made % 2]} {Event.made // 2}"
            Event.made += 1

        def record(self, stream):
            calls.append(f"{stream}: record {self.name}")

        def wait(self, stream):
            calls.append(f"{stream}: wait for {self.name}")

        def synchronize(self):
            calls.append(f"host: wait for {self.name}")

    class Device:
        def copy_to_device(self, host, stream):
            calls.append(f"{stream}: upload {host[: len(x), 0].tolist()}")

    pinned = []

    def pinned_array(shape, dtype):
        pinned.append(np.empty(shape, dtype))
        return pinned[-1]

    fake = SimpleNamespace(event=Event, pinned_array=pinned_array, to_device=lambda host: Device())
    monkeypatch.setattr(memory, "cuda", fake)
    staging = [memory.Staging(2, 3, 3, np.float32) for _ in range(2)]
    assert [a.shape for a in pinned] == [(2, 4), (2, 4), (1, 4)] * 2
    for n in range(3):
        x = np.full((2, 3), n, np.float32)
        staging[n % 2].send(x, x, None, slice(None), "copies", "steps")
        staging[n % 2].used("steps")
    for n, buffer in enumerate((0, 1, 0)):
        assert calls[6 * n : 6 * n + 6] == [
            f"host: wait for uploaded {buffer}",
            f"copies: wait for used {buffer}",
            f"copies: upload {[float(n)] * 2}",
            f"copies: record uploaded {buffer}",
            f"steps: wait for uploaded {buffer}",
            f"steps: record used {buffer}",
        ]


@simulated
def test_parameters_go_up_only_where_they_were_changed(monkeypatch, rng):
    weights, velocity, x = rng.random(12), np.zeros(12), rng.random((4, 3))
    plan = Plan([(3, 3, 0, True)], weights, velocity, 2, 0, 1)
    uploads = []
    for name, parameters in (("weights", plan._parameters), ("velocity", plan._velocities)):
        monkeypatch.setattr(parameters._device, "copy_to_device", lambda *a, name=name, **k: uploads.append(name))
    run = (x, x, None, 0, 4, (0, 0.1, 0.9, False, 0.0, 0, 0))
    plan.run(*run)
    plan.run(*run)
    assert uploads == ["weights", "velocity"]
    weights[3] = np.nextafter(weights[3], 1)
    plan.run(*run)
    assert uploads == ["weights", "velocity", "weights"]


# ---- what a machine that lacks something says ------------------------------------------------------------------------


def run_python(code, **environment):
    variables = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"} | environment
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


ASK = """
import sys, fastae
assert not [name for name in sys.modules if name.startswith("numba")]
{before}
try:
    fastae.set_backend("cuda")
except ImportError as error:
    print(error)
assert fastae.get_backend() != "cuda"
print(fastae.settings.versions()["backend cuda"])
"""


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("sys.modules['numba_cuda'] = None", "the package numba-cuda is not installed"),
        ("from numba import cuda; cuda.is_available = lambda: False", "no NVIDIA GPU with a driver"),
        (
            "from numba import cuda; cuda.is_available = lambda: True\n"
            "def old(): raise RuntimeError('PTX of another version')\n"
            "cuda.synchronize = old; cuda.dispatcher.CUDADispatcher.__getitem__ = lambda *a: lambda: None",
            "the GPU's driver cannot run what numba-cuda compiles (PTX of another version)",
        ),
    ],
    ids=["no package", "no GPU", "old driver"],
)
def test_what_is_missing_is_said(before, reason):
    refused, listed = run_python(ASK.format(before=before)).splitlines()
    assert refused == listed
    assert refused.startswith(f"backend 'cuda' is missing: {reason}")
    assert "pip install fastae[cuda]" in refused


def test_the_simulator_is_a_backend():
    assert "simulator" in run_python(
        "import fastae; fastae.set_backend('cuda'); fastae.show_versions()", NUMBA_ENABLE_CUDASIM="1"
    )


@pytest.mark.skipif(not (ROOT / "bench").is_dir(), reason="the folder bench is not here")
def test_the_benchmark_refuses_a_simulator():
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    command = [sys.executable, "-m", "bench.cuda"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("bench.cuda measures a GPU, and NUMBA_ENABLE_CUDASIM=1 is set")


def test_one_file_imports_numba():
    files = {path.name: path.read_text() for path in Path(gemm.__file__).parent.glob("*.py")}
    found = [name for name, text in files.items() if re.search(r"^\s*(from|import) (numba|llvmlite)", text, re.MULTILINE)]
    assert found == ["toolkit.py"]
