"""The kernels that have no product: activations, slopes, losses and the optimiser on arrays; the tally of a step's losses."""

import math
from functools import cache

import numpy as np

from .formulas import formulas, sgd
from .toolkit import SIMULATED, cuda

THREADS = 2 if SIMULATED else 256
TERMS = 64  # of a loss, most that are added in the kernel's type


def launch(kernel, n, *arguments, stream=0):
    """A kernel in which each thread takes some of n elements, or one."""
    blocks = 1 if SIMULATED else max(1, min(-(-n // THREADS), 1024))
    kernel[blocks, THREADS, stream](*arguments)


@cache
def activate(real, activation):
    f = formulas(real).activate[activation]

    @cuda.jit
    def kernel(z, y):
        for i in range(cuda.grid(1), z.size, cuda.gridsize(1)):
            y[i] = f(z[i])

    return kernel


@cache
def differentiate(real, activation):
    times_slope = formulas(real).times_slope[activation]

    @cuda.jit
    def kernel(kept, dy, dz):
        for i in range(cuda.grid(1), dy.size, cuda.gridsize(1)):
            dz[i] = times_slope(kept[i], dy[i])

    return kernel


@cache
def loss(real, number):
    """Gradients, and in losses[i] the sum of the terms i, i + losses.size, ..., TERMS at most."""
    term, slope = formulas(real).term[number], formulas(real).slope[number]
    zero = real(0)

    @cuda.jit
    def kernel(y, target, scale, dy, losses):
        for part in range(cuda.grid(1), losses.size, cuda.gridsize(1)):
            total = zero
            for i in range(part, y.size, losses.size):
                total += term(y[i], target[i])
                dy[i] = slope(y[i], target[i]) * scale
            losses[part] = total

    return kernel


@cache
def optimise(momentum, nesterov):
    """``sgd`` of flat arrays; failed[0] := 0 where a result is not finite."""
    update = sgd(momentum, nesterov)

    @cuda.jit
    def kernel(weight, dweight, velocity, rates, failed):
        for i in range(cuda.grid(1), weight.size, cuda.gridsize(1)):
            w, v = update(weight[i], velocity[i], dweight[i], rates)
            if not (math.isfinite(w) and math.isfinite(v)):
                failed[0] = 0
            weight[i] = w
            if momentum:
                velocity[i] = v

    return kernel


@cuda.jit
def tally(losses, n, divisor, rows, step, total, failed):
    """total += rows times the mean loss of a step, unless a step has failed; where it is not finite, this one has.

    One block. It adds in float64, each thread a part and then in pairs, an order that depends on n alone. This is the one
    place where a float32 network meets float64: a few thousand additions a step.
    """
    parts = cuda.shared.array(THREADS, np.float64)
    t = cuda.threadIdx.x
    parts[t] = 0.0
    for i in range(t, n, THREADS):
        parts[t] += losses[i]
    half = THREADS // 2
    while half > 0:
        cuda.syncthreads()
        if t < half:
            parts[t] += parts[t + half]
        half //= 2
    if t == 0 and failed[0] < 0:
        mean = parts[0] / divisor
        if math.isfinite(mean):
            total[0] += mean * rows
        else:
            failed[0] = step
