"""The kernels that take an array element by element: activations, slopes, an optimiser's step."""

import math
from functools import cache

from .formulas import formulas, keeps, optimiser
from .toolkit import SIMULATED, cuda

THREADS = 2 if SIMULATED else 256


def blocks(n):
    """Of THREADS threads each."""
    return 1 if SIMULATED else max(1, min(-(-n // THREADS), 1024))


def launch(kernel, n, *arguments, stream=0):
    """A kernel in which each thread takes some of n elements, or one."""
    kernel[blocks(n), THREADS, stream](*arguments)


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
def optimise(rule):
    """An optimiser's step of flat arrays; failed[0] := 0 where a result is not finite."""
    update = optimiser(rule)
    has_velocity, has_square = keeps(rule)

    @cuda.jit
    def kernel(weight, dweight, velocity, square, rates, failed):
        for i in range(cuda.grid(1), weight.size, cuda.gridsize(1)):
            w, v, s = update(weight[i], velocity[i], square[i], dweight[i], rates)
            if not (math.isfinite(w) and math.isfinite(v) and math.isfinite(s)):
                failed[0] = 0
            weight[i] = w
            if has_velocity:
                velocity[i] = v
            if has_square:
                square[i] = s

    return kernel
