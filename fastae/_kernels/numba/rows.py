"""Scalar functions that a user writes, compiled to C functions of whole rows, which every backend on the processor can call.

    activation   value(n, z, y)                  y = f(z)
                 slope(n, z, dy, dz)             dz = dy f'(z)
    loss         terms(n, y, t, scale, dy, e)    e = f(y, t), dy = scale times its slope by y

n numbers in one piece each; an output may be an input. Where the function compiles for vectors, it works on those. Where it
raises, the result is NaN.
"""

import numpy as np
from numba import cfunc, njit, types
from numba.core.dispatcher import Dispatcher

from .dual import dual, slope_of
from .elementwise import load_upto, store_upto
from .vector import Pointer, lanes, number

_PLAIN = {"error_model": "numpy"}


class NotDerived(TypeError):
    """The function compiles, its derivative does not."""


def jitted(f):
    """A function for Numba."""
    return f if isinstance(f, Dispatcher) else njit(**_PLAIN)(f)


def derivative(f, arguments):
    """The slope of f by its first argument, by dual numbers."""
    if arguments == 1:
        return njit(**_PLAIN)(lambda x: slope_of(f(dual(x, 1.0))))
    return njit(**_PLAIN)(lambda y, t: slope_of(f(dual(y, 1.0), t)))


def _compiled(signature, by_vectors, by_numbers):
    """The one, if it compiles; else the other."""
    try:
        return cfunc(signature, **_PLAIN)(by_vectors)
    except Exception:  # Numba raises assertions and others beside errors of its own
        return cfunc(signature, **_PLAIN)(by_numbers)


def value_rows(f, real):
    def by_vectors(n, z, y):
        for i in range(0, n, lanes(z)):
            store_upto(y + i, f(load_upto(z + i, n - i)), n - i)

    def by_numbers(n, z, y):
        for i in range(n):
            try:
                y[i] = number(f(np.float64(z[i])), y)
            except Exception:
                y[i] = number(np.nan, y)

    p = Pointer(real)
    return _compiled(types.void(types.intp, p, p), by_vectors, by_numbers)


def slope_rows(df, real):
    def by_vectors(n, z, dy, dz):
        for i in range(0, n, lanes(z)):
            store_upto(dz + i, load_upto(dy + i, n - i) * df(load_upto(z + i, n - i)), n - i)

    def by_numbers(n, z, dy, dz):
        for i in range(n):
            try:
                dz[i] = dy[i] * number(df(np.float64(z[i])), dz)
            except Exception:
                dz[i] = number(np.nan, dz)

    p = Pointer(real)
    return _compiled(types.void(types.intp, p, p, p), by_vectors, by_numbers)


def loss_rows(f, df, real):
    def by_vectors(n, y, t, scale, dy, e):
        for i in range(0, n, lanes(y)):
            u, v = load_upto(y + i, n - i), load_upto(t + i, n - i)
            store_upto(dy + i, df(u, v) * scale, n - i)
            store_upto(e + i, f(u, v), n - i)

    def by_numbers(n, y, t, scale, dy, e):
        for i in range(n):
            u, v = np.float64(y[i]), np.float64(t[i])
            try:
                dy[i] = number(df(u, v), dy) * scale
                e[i] = number(f(u, v), e)
            except Exception:
                dy[i] = e[i] = number(np.nan, e)

    p = Pointer(real)
    return _compiled(types.void(types.intp, p, p, real, p, p), by_vectors, by_numbers)


def compiled(kind, f, df, dtype):
    """The C functions of a kind, in the order above."""
    f, arguments, real = jitted(f), 1 if kind == "activation" else 2, getattr(types, dtype)
    f.compile((types.float64,) * arguments)  # so that what fails later is the derivation
    derived = df is None
    try:
        df = derivative(f, arguments) if derived else jitted(df)
        return [value_rows(f, real), slope_rows(df, real)] if kind == "activation" else [loss_rows(f, df, real)]
    except Exception as error:
        if derived:
            raise NotDerived(reason(error)) from error
        raise


def reason(error):
    """The one line of Numba's message that tells most."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line and not line.startswith("Failed in ")), "unknown")
