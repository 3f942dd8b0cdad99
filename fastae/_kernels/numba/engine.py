"""The functions of the contract, ``_kernels/README.md``: arrays are checked, and their addresses given to compiled code."""

from time import perf_counter

import numba
import numpy as np

from .. import checks
from ..names import ACTIVATIONS, PER_SAMPLE, WHOLE_ROW
from . import team as threads
from .elementwise import rates_record
from .entries import entry
from .gemm import PRODUCT
from .machine import ISA, MR, NV, VECTOR_BYTES
from .network import KC, MANY
from .order import PLACES, WORK
from .own import TERMS, VALUE, define, defined
from .passes import CHAIN, ELEMENTS, LOSS, UPDATE
from .plan import Inference, Plan

__all__ = [
    "Inference", "Plan", "activate", "define", "differentiate", "info", "linear", "linear_grad_input", "linear_grad_weight",
    "loss", "matmul", "sample_losses", "shuffled", "update",
]  # fmt: skip

BLOCKS = KC, MR, NV * VECTOR_BYTES // 4  # for tests of their edges
_IDENTITY = ACTIVATIONS.index("identity")


def info():
    """What this backend runs on, for ``show_versions``."""
    return f"Numba {numba.__version__}, {ISA}, {VECTOR_BYTES}-byte vectors, {MR} x {NV * VECTOR_BYTES // 4} float32 tile"


def _run(name, dtype, record, operations=0.0, n_threads=1, **values):
    """An entry with a job of these values; the job."""
    job = np.zeros(1, record)
    for field, value in values.items():
        job[field] = value
    threads.run(entry(name, dtype), job.ctypes.data, threads.team_size(operations, n_threads))
    return job[0]


def _address(a):
    return 0 if a is None else a.ctypes.data


def _multiply(a, b, c, n_threads, **epilogue):
    """C := epilogue(A B)"""
    (M, K), N, size = a.shape, b.shape[1], c.itemsize
    if M == 0 or N == 0:
        return
    strides = [s // size for s in (*a.strides, *b.strides)]
    room_bytes = (KC * NV * VECTOR_BYTES + 2 * MR * NV * VECTOR_BYTES + 1024) // 64 * 64
    operations = (2.0 * M + 16) * N * K
    rooms = np.empty(threads.team_size(operations, n_threads) * room_bytes + 64, np.uint8)
    rooms[:] = 0
    plain = epilogue.get("alpha", 1) == 1 and epilogue.get("beta", 0) == 0 and "kept" not in epilogue
    values = {"alpha": 1.0, "M": M, "N": N, "K": K, "A": _address(a), "B": _address(b), "C": _address(c), "ldc": N} | epilogue
    values |= dict(zip(("rsa", "csa", "rsb", "csb"), strides, strict=True))
    values |= {"rooms": -(-rooms.ctypes.data // 64) * 64, "room_bytes": room_bytes}
    values["few"] = M < MANY and strides[1] == 1 and strides[2] == 1 and plain
    _run("multiply", c.dtype, PRODUCT, operations, n_threads, **values)


def matmul(a, b, c, alpha, beta, n_threads):
    """C := alpha A B + beta C; a and b with any strides."""
    (M, N), K = checks.matrix_shape(c), checks.matrix_shape(a)[1]
    checks.strided(a, c.dtype, M, K), checks.strided(b, c.dtype, K, N), checks.writable(c, c.dtype, M, N)
    _multiply(a, b, c, n_threads, alpha=alpha, beta=beta)


def linear(x, weight, bias, activation, y, keep, n_threads):
    """y := f(x W^T + b); keep, where it is not None, receives the argument of f."""
    (B, O), I = checks.matrix_shape(y), checks.matrix_shape(x)[1]
    checks.strided(x, y.dtype, B, I), checks.strided(weight, y.dtype, O, I), checks.writable(y, y.dtype, B, O)
    if bias is not None:
        checks.contiguous(bias, y.dtype, O)
    if keep is not None:
        checks.writable(keep, y.dtype, B, O)
    given = {
        "bias": _address(bias),
        "keep": _address(keep),
        "activation": checks.activation(activation, defined(VALUE, y.dtype)),
    }
    _multiply(x, weight.T, y, n_threads, **given)


def linear_grad_input(dz, weight, activation, kept, dx, n_threads):
    """dx := (dz W) f'(kept), where f is the activation of the layer below, which made x."""
    (B, I), O = checks.matrix_shape(dx), checks.matrix_shape(dz)[1]
    checks.strided(dz, dx.dtype, B, O), checks.strided(weight, dx.dtype, O, I), checks.writable(dx, dx.dtype, B, I)
    epilogue = {"activation": checks.activation(activation, defined(VALUE, dx.dtype))}
    if activation != _IDENTITY:
        epilogue["kept"] = _address(checks.contiguous(kept, dx.dtype, B, I))
    _multiply(dz, weight, dx, n_threads, **epilogue)


def linear_grad_weight(dz, x, dweight, dbias, n_threads):
    """dW := dz^T x, db := the sum of dz over the batch (unless dbias is None)."""
    (O, I), B = checks.matrix_shape(dweight), checks.matrix_shape(dz)[0]
    (
        checks.strided(dz, dweight.dtype, B, O),
        checks.strided(x, dweight.dtype, B, I),
        checks.writable(dweight, dweight.dtype, O, I),
    )
    if dbias is not None:
        checks.contiguous(dz, dweight.dtype, B, O), checks.writable(dbias, dweight.dtype, O)
        values = {"rows": B, "n": O, "source": _address(dz), "out": _address(dbias)}
        _run("sum_columns", dz.dtype, ELEMENTS, 4.0 * dz.size, n_threads, **values)
    _multiply(dz.T, x, dweight, n_threads)


def _elements(activation, kept, source, out, n_threads):
    rows, n = checks.matrix_shape(out)
    for a in (source,) if kept is None else (source, kept):
        checks.contiguous(a, out.dtype, rows, n)
    values = {
        "n": rows * n,
        "kept": _address(kept),
        "source": _address(source),
        "out": _address(checks.writable(out, out.dtype, rows, n)),
    }
    _run(
        "elements",
        out.dtype,
        ELEMENTS,
        16.0 * out.size,
        n_threads,
        activation=checks.activation(activation, defined(VALUE, out.dtype)),
        **values,
    )


def activate(activation, z, y, n_threads):
    """y := f(z), in place or not."""
    _elements(activation, None, z, y, n_threads)


def differentiate(activation, kept, dy, dz, n_threads):
    """dz := dy f'(z), in place or not; kept is y, or z for gelu and silu."""
    if kept is None and activation != _IDENTITY:
        raise TypeError("kept is needed, got None")
    _elements(activation, dy if activation == _IDENTITY else kept, dy, dz, n_threads)


def _losses(loss, y, target, dy, out, scale, n_threads):
    """Each sample's sum to out; the sum of all. dy, where it is not None, receives the gradient of scale times it."""
    rows, n = checks.matrix_shape(y)
    checks.contiguous(y, y.dtype, rows, n), checks.contiguous(target, y.dtype, rows, n)
    if dy is not None:
        checks.writable(dy, y.dtype, rows, n)
    checks.loss(loss, defined(TERMS, y.dtype))
    if n == 0:
        out[:] = 0
        return 0.0
    whole, most = loss in WHOLE_ROW, threads.team_size(16.0 * y.size, n_threads)
    lanes = VECTOR_BYTES // y.itemsize
    numbers = 4 * lanes * (n + lanes) + 2 * lanes if whole else n + 80
    rooms = np.zeros((most, numbers), y.dtype)
    values = {"loss": loss, "rows": rows, "n": n, "y": _address(y), "target": _address(target), "dy": _address(dy)}
    values |= {"out": _address(out), "scale": scale, "rooms": _address(rooms), "room_bytes": numbers * y.itemsize}
    return float(_run("whole_losses" if whole else "losses", y.dtype, LOSS, 16.0 * y.size, n_threads, **values)["value"])


def loss(loss, y, target, dy, n_threads):
    """The loss of a batch; dy (None, y or another array) receives its gradient."""
    rows, n = checks.matrix_shape(y)
    divisor = float(rows if loss in PER_SAMPLE else rows * n) or 1.0
    return _losses(loss, y, target, dy, np.empty(rows), 1 / divisor, n_threads) / divisor


def sample_losses(loss, y, target, out, n_threads):
    """out (B,) of float64 := each sample's sum over features."""
    checks.writable(out, np.float64, checks.matrix_shape(y)[0])
    _losses(loss, y, target, None, out, 1.0, n_threads)


def update(weight, dweight, velocity, square, optimizer, step, n_threads):
    """One update of flat arrays; False, and nothing written, where a result is not finite."""
    n = checks.ndarray(weight).size
    checks.writable(weight, weight.dtype, n), checks.contiguous(dweight, weight.dtype, n)
    checks.optimizer(optimizer, velocity, square)
    for state in (velocity, square):
        if state is not None:
            checks.writable(state, weight.dtype, n)
    values = {"n": n, "weight": _address(weight), "dweight": _address(dweight), "velocity": _address(velocity)}
    most = threads.team_size(10.0 * n, n_threads)
    flags = np.zeros(most, np.int64)
    values |= {"square": _address(square), "step": step, "flags": _address(flags), "rates": rates_record(optimizer)}
    return bool(_run("update", weight.dtype, UPDATE, 10.0 * n, n_threads, **values)["finite"])


def shuffled(key, epoch, n, first, rows):
    """rows (int64) := the rows at the places from first on, of n rows in the order of an epoch."""
    checks.places(key, epoch, n, first, rows)
    work = np.empty(WORK, np.uint8)
    values = {"key": key, "epoch": epoch, "n": n, "first": first, "out": _address(rows), "work": _address(work)}
    _run("shuffle", rows.dtype, PLACES, count=len(rows), **values)


def peak(n_threads):
    """GFLOP/s of float32 multiply-adds from registers to registers: the best of some tries, on n_threads threads."""
    rounds, best = 4_000_000, float("inf")
    job = np.zeros(1, CHAIN)
    job["rounds"] = rounds
    for _ in range(15):
        start = perf_counter()
        threads.run(entry("measure", np.dtype("float32")), job.ctypes.data, n_threads)
        best = min(best, perf_counter() - start)
    return rounds * 2 * 12 * VECTOR_BYTES / 4 * n_threads / best / 1e9
