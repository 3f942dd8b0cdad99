"""The kernels' contract on a GPU: arrays of the host go up, kernels run, results come down. README.md states every function.

For training these copies would cost more than the work; ``Plan`` leaves everything on the device.
"""

import math
from typing import Any

import numpy as np

from .. import checks, reference
from ..names import WHOLE_ROW
from . import epilogues, formulas, losses, passes
from .gemm import multiply
from .memory import download, download_row, matrix, uploaded
from .network import Inference, Plan
from .toolkit import cuda, info

__all__ = [
    "Inference",
    "Plan",
    "activate",
    "differentiate",
    "info",
    "linear",
    "linear_grad_input",
    "linear_grad_weight",
    "loss",
    "matmul",
    "sample_losses",
    "shuffled",
    "update",
]


def matmul(a, b, c, alpha, beta, n_threads):
    """C := alpha A B + beta C. C is not read where beta is 0."""
    m, n = checks.matrix_shape(c)
    k = checks.matrix_shape(a)[1]
    checks.strided(a, c.dtype, m, k), checks.strided(b, c.dtype, k, n), checks.writable(c, c.dtype, m, n)
    real = c.dtype.type
    on_device = uploaded(c) if beta else matrix(m, n, real)
    operands = on_device, real(alpha), real(beta)
    multiply(real, m, n, k, uploaded(a), uploaded(b), False, True, epilogues.scale_and_add(real), operands)
    download(on_device, c)


def linear(x, weight, bias, activation, y, keep, n_threads):
    """y := f(x W^T + b). ``keep``, where it is not None, receives the argument of f."""
    m, n = checks.matrix_shape(y)
    k = checks.matrix_shape(x)[1]
    checks.strided(x, y.dtype, m, k), checks.strided(weight, y.dtype, n, k), checks.writable(y, y.dtype, m, n)
    if bias is not None:
        checks.contiguous(bias, y.dtype, n)
    if keep is not None:
        checks.writable(keep, y.dtype, m, n)
    real = y.dtype.type
    offset = matrix(1, n, real) if bias is None else uploaded(bias[None])
    output = matrix(m, n, real)
    kept = output if keep is None else matrix(m, n, real)
    epilogue = epilogues.forward(real, checks.activation(activation), keep is not None)
    multiply(real, m, n, k, uploaded(x), uploaded(weight), False, False, epilogue, (offset, output, kept))
    download(output, y)
    if keep is not None:
        download(kept, keep)


def linear_grad_input(dz, weight, activation, kept, dx, n_threads):
    """dx := (dz W) f'(kept), where f is the activation of the layer below, which made x."""
    m, n = checks.matrix_shape(dx)
    k = checks.matrix_shape(dz)[1]
    checks.contiguous(dz, dx.dtype, m, k), checks.strided(weight, dx.dtype, k, n), checks.writable(dx, dx.dtype, m, n)
    if checks.activation(activation) > 0:
        checks.contiguous(kept, dx.dtype, m, n)
    real = dx.dtype.type
    output = matrix(m, n, real)
    below = uploaded(kept) if activation > 0 else output
    epilogue = epilogues.input_gradient(real, activation)
    multiply(real, m, n, k, uploaded(dz), uploaded(weight), False, True, epilogue, (below, below, output))
    download(output, dx)


def linear_grad_weight(dz, x, dweight, dbias, n_threads):
    """dW := dz^T x, db := the sum of dz over the batch (unless ``dbias`` is None)."""
    m, n = checks.matrix_shape(dweight)
    k = len(checks.ndarray(dz))
    checks.contiguous(dz, dweight.dtype, k, m), checks.strided(x, dweight.dtype, k, n)
    checks.writable(dweight, dweight.dtype, m, n)
    if dbias is not None:
        checks.writable(dbias, dweight.dtype, m)
    real = dweight.dtype.type
    operands = matrix(m, n, real), matrix(1, m, real)
    multiply(real, m, n, k, uploaded(dz), uploaded(x), True, True, epilogues.weight_gradient(real), operands)
    download(operands[0], dweight)
    if dbias is not None:
        download_row(operands[1], dbias)


def activate(activation, z, y, n_threads):
    """y := f(z), in place or not."""
    shape = checks.matrix_shape(y)
    checks.contiguous(z, y.dtype, *shape), checks.writable(y, y.dtype, *shape)
    kernel = passes.activate(y.dtype.type, checks.activation(activation))
    if y.size:
        on_device = cuda.to_device(z.ravel())
        passes.launch(kernel, y.size, on_device, on_device)
        y[...] = on_device.copy_to_host().reshape(shape)


def differentiate(activation, kept, dy, dz, n_threads):
    """dz := dy f'(z), in place or not. ``kept`` is y = f(z), or z where names.keeps_input says so; unused for identity."""
    shape = checks.matrix_shape(dz)
    checks.contiguous(dy, dz.dtype, *shape), checks.writable(dz, dz.dtype, *shape)
    if checks.activation(activation) > 0:
        checks.contiguous(kept, dz.dtype, *shape)
    kernel = passes.differentiate(dz.dtype.type, activation)
    if dz.size:
        on_device = cuda.to_device(dy.ravel())
        passes.launch(kernel, dz.size, cuda.to_device(kept.ravel()) if activation > 0 else on_device, on_device, on_device)
        dz[...] = on_device.copy_to_host().reshape(shape)


def loss(loss, y, target, dy, n_threads):
    """The loss of a batch; ``dy`` (None, y or another array) receives its gradient."""
    shape = checks.matrix_shape(y)
    checks.contiguous(y, y.dtype, *shape), checks.contiguous(target, y.dtype, *shape)
    if dy is not None:
        checks.writable(dy, y.dtype, *shape)
    real = y.dtype.type
    checks.loss(loss)
    if not y.size:
        return 0.0
    divisor = reference._divisor(loss, *shape)
    if loss in WHOLE_ROW:
        gradient, each = _row_losses(loss, y, target, 1 / divisor)
        if dy is not None:
            download(gradient, dy)
        return float(np.sum(each, dtype=np.float64)) / divisor
    kernel = losses.loss(real, loss)
    gradient, parts = cuda.to_device(y.ravel()), cuda.device_array(-(-y.size // losses.TERMS), real)
    passes.launch(kernel, len(parts), gradient, cuda.to_device(target.ravel()), real(1 / divisor), gradient, parts)
    totals, failed = cuda.to_device(np.zeros(2)), cuda.to_device(np.full(1, -1))
    losses.tally[1, passes.THREADS](parts, len(parts), float(divisor), parts, 0, 0.0, 1.0, 0, totals, failed)
    if dy is not None:
        dy[...] = gradient.copy_to_host().reshape(shape)
    return float(totals.copy_to_host()[0])


def sample_losses(loss, y, target, out, n_threads):
    """out (B,) of float64 := each sample's sum over features."""
    shape = checks.matrix_shape(y)
    checks.contiguous(y, y.dtype, *shape), checks.contiguous(target, y.dtype, *shape)
    checks.writable(out, np.float64, len(y))
    checks.loss(loss)
    out[...] = _row_losses(loss, y, target, 1.0)[1] if y.size else 0


def _row_losses(loss, y, target, scale):
    """The gradient by y times ``scale``, on the device, and each row's loss."""
    real, (rows, columns) = y.dtype.type, y.shape
    on_device, each = uploaded(y), cuda.device_array(rows, real)
    kernel = losses.row_losses(real, loss, 0, False)
    operands = on_device, on_device, uploaded(target), real(scale), on_device, on_device, each
    losses.launch_by_rows(kernel, rows, columns, *operands)
    return on_device, each.copy_to_host()


def update(weight, dweight, velocity, square, optimizer, step, n_threads):
    """One update of flat arrays. False, and nothing written, where a result is not finite."""
    n, dtype = len(checks.ndarray(weight)), weight.dtype
    rule = formulas.rule(checks.optimizer(optimizer, velocity, square))
    has_velocity, has_square = formulas.keeps(rule)
    outputs = weight, velocity if has_velocity else None, square if has_square else None
    for a in outputs:
        if a is not None:
            checks.writable(a, dtype, n)
    checks.contiguous(dweight, dtype, n)
    if n == 0:
        return True
    on_device: list[Any] = [None if a is None else cuda.to_device(a) for a in outputs]
    w, v, s = (on_device[0] if a is None else a for a in on_device)
    rates, failed = formulas.rates(dtype.type, optimizer, step, math.inf), cuda.to_device(np.full(1, -1))
    passes.launch(passes.optimise(rule), n, w, cuda.to_device(dweight), v, s, rates, failed)
    if failed.copy_to_host()[0] >= 0:
        return False
    for result, a in zip(on_device, outputs, strict=True):
        if a is not None:
            result.copy_to_host(a)
    return True


def shuffled(key, epoch, n, first, rows):
    """rows (int64) := the rows at the places from first on, of n rows in the order of an epoch; the host computes them."""
    reference.shuffled(key, epoch, n, first, checks.places(key, epoch, n, first, rows))
