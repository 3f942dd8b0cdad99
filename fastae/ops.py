"""The kernels as functions of NumPy arrays: float32 or float64, any strides, any shape including empty ones.

All take ``out``, which may overlap the inputs, and ``n_threads``. NaN and infinity pass through as IEEE 754 says.
"""

import numbers
from typing import Any

import numpy as np

from . import _check
from ._check import Array
from .functions import resolve
from .settings import check_threads, kernels

__all__ = ["linear", "linear_grad_input", "linear_grad_weight", "matmul"]
_FLOATS = frozenset(map(np.dtype, _check.DTYPES))  # of native byte order


def _operand(value: Any, argument: str, dtype: np.dtype[Any] | None = None, ndim: int = 2) -> Array:
    dtypes = _FLOATS if dtype is None else (dtype,)
    if type(value) is np.ndarray and value.dtype in dtypes and value.ndim == ndim and value.flags.aligned:
        return value  # nearly always; what follows would find the same
    if hasattr(value, "tocsr"):
        raise TypeError(f"{argument} takes an array, got a sparse matrix; give {argument}.toarray()")
    a = np.asarray(_check.array(value, f"{argument} takes an array of {ndim} dimensions"))
    kind = a.dtype.type  # of either byte order
    if kind not in _check.FLOATS or (dtype is not None and kind is not dtype.type):
        takes = "float32 or float64" if dtype is None else f"{dtype.name} as the other arrays"
        raise TypeError(f"{argument} takes {takes}, got {a.dtype}")
    if a.ndim != ndim:
        raise ValueError(f"{argument} takes an array of {ndim} dimensions, got shape {a.shape}")
    return a if a.flags.aligned and a.dtype.isnative else a.astype(a.dtype.newbyteorder("="))


def _factor(value: Any, argument: str) -> float:
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, numbers.Real)):
        raise TypeError(f"{argument} takes a number, got {value!r}")
    return float(value)


def _same(first: str, m: int, second: str, n: int) -> None:
    if m != n:
        raise ValueError(f"{first} must be equal to {second}, got {m} and {n}")


def _result(target: Array, copy: bool, out: Array | None) -> Array:
    if copy and out is not None:
        out[...] = target
        return out
    return target


def matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
    out: Array | None = None,
    n_threads: int | None = None,
) -> Array:
    """Matrix product ``out = alpha op(a) op(b) + beta out``.

    Parameters
    ----------
    a : array (M, K), or (K, M) with ``transpose_a``
    b : array (K, N), or (N, K) with ``transpose_b``
    transpose_a, transpose_b : bool
    alpha, beta : float
        Where ``beta`` is 0, ``out`` is not read.
    out : array (M, N), optional
        Needed where ``beta`` is not 0.
    n_threads : int, optional
        Default: :func:`fastae.get_num_threads`. The result does not depend on it.

    Returns
    -------
    array (M, N)

    Raises
    ------
    TypeError, ValueError
        Other dtypes, shapes that do not fit, a read-only ``out``.

    Examples
    --------
    >>> import numpy as np, fastae
    >>> fastae.ops.matmul(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    a = _operand(a, "a")
    b = _operand(b, "b", a.dtype)
    alpha, beta = _factor(alpha, "alpha"), _factor(beta, "beta")
    op_a, op_b = (a.T if transpose_a else a), (b.T if transpose_b else b)
    _same("columns of op(a)", op_a.shape[1], "rows of op(b)", op_b.shape[0])
    if beta != 0 and out is None:
        raise ValueError(f"out is needed with beta = {beta}")
    c, copy = _check.output(out, (op_a.shape[0], op_b.shape[1]), a.dtype, a, b)
    if copy and beta != 0:
        c[...] = out
    kernels().matmul(op_a, op_b, c, alpha, beta, check_threads(n_threads))
    return _result(c, copy, out)


def linear(
    x: Any,
    weight: Any,
    bias: Any = None,
    activation: str = "identity",
    out: Array | None = None,
    n_threads: int | None = None,
) -> Array:
    """A layer, ``f(x W^T + b)``, bias and activation applied as the product is stored.

    Parameters
    ----------
    x : array (B, I)
    weight : array (O, I)
    bias : array (O,), optional
    activation : str or what :func:`fastae.activation` makes
        identity, relu, leaky_relu (slope 0.01), elu (alpha 1), sigmoid, tanh, softplus, gelu (exact) or silu.
    out : array (B, O), optional
    n_threads : int, optional

    Returns
    -------
    array (B, O)

    Examples
    --------
    >>> import numpy as np, fastae
    >>> fastae.ops.linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [-5.0, 0.0]]), activation="relu")
    array([[11.,  0.]])
    """
    x = _operand(x, "x")
    weight = _operand(weight, "weight", x.dtype)
    _same("columns of x", x.shape[1], "columns of weight", weight.shape[1])
    if bias is not None:
        bias = np.ascontiguousarray(_operand(bias, "bias", x.dtype, ndim=1))
        _same("length of bias", len(bias), "rows of weight", len(weight))
    _, number, own = resolve("activation", activation, "activation")
    if own is not None:
        own.give(kernels(), x.dtype)
    y, copy = _check.output(out, (len(x), len(weight)), x.dtype, x, weight, bias)
    kernels().linear(x, weight, bias, number, y, None, check_threads(n_threads))
    return _result(y, copy, out)


def linear_grad_input(dy: Any, weight: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
    """Gradient of ``x W^T`` by x: ``dy W``.

    Parameters
    ----------
    dy : array (B, O)
    weight : array (O, I)
    out : array (B, I), optional
    n_threads : int, optional

    Returns
    -------
    array (B, I)
    """
    dy = _operand(dy, "dy")
    weight = _operand(weight, "weight", dy.dtype)
    _same("columns of dy", dy.shape[1], "rows of weight", len(weight))
    dx, copy = _check.output(out, (len(dy), weight.shape[1]), dy.dtype, dy, weight)
    kernels().linear_grad_input(dy, weight, 0, None, dx, check_threads(n_threads))
    return _result(dx, copy, out)


def linear_grad_weight(
    dy: Any, x: Any, out: tuple[Array, Array] | None = None, n_threads: int | None = None
) -> tuple[Array, Array]:
    """Gradients of ``x W^T + b`` by W and b: ``dy^T x`` and the sum of dy over the batch.

    Parameters
    ----------
    dy : array (B, O)
    x : array (B, I)
    out : pair of arrays (O, I) and (O,), optional
    n_threads : int, optional

    Returns
    -------
    dweight : array (O, I)
    dbias : array (O,)
    """
    dy = np.ascontiguousarray(_operand(dy, "dy"))
    x = _operand(x, "x", dy.dtype)
    _same("rows of dy", len(dy), "rows of x", len(x))
    if out is not None and (not isinstance(out, tuple) or len(out) != 2):
        raise TypeError(f"out takes a pair of arrays (dweight, dbias), got {type(out).__name__}")
    out_weight, out_bias = out or (None, None)
    if out is not None and np.may_share_memory(out_weight, out_bias):
        raise ValueError("out takes two arrays that do not overlap")
    dweight, copy_weight = _check.output(out_weight, (dy.shape[1], x.shape[1]), dy.dtype, dy, x)
    dbias, copy_bias = _check.output(out_bias, (dy.shape[1],), dy.dtype, dy, x)
    kernels().linear_grad_weight(dy, x, dweight, dbias, check_threads(n_threads))
    return _result(dweight, copy_weight, out_weight), _result(dbias, copy_bias, out_bias)
