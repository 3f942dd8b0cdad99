"""Checks at the public door. What passes here is not checked again inside."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
DTYPES = ("float32", "float64")
FLOATS = (np.float32, np.float64)
_SOURCES = frozenset(map(np.dtype, ("float32", "float64", "uint8")))  # of native byte order
_ROWS = 4096  # of a block of large data
_DENSE = 1 << 22  # elements of sparse rows that are made dense at a time


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """float32 or float64."""
    try:
        given = np.dtype(dtype)
    except TypeError:
        given = np.dtype(object)
    for name in DTYPES:
        if dtype is not None and given == np.dtype(name):  # NumPy's None is float64
            return np.dtype(name)
    raise ValueError(f"dtype takes 'float32' or 'float64', got {dtype!r}")


def positive_integer(value: Any, argument: str) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{argument} takes a positive integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{argument} takes a positive integer, got {value}")
    return int(value)


def count(value: Any, argument: str) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{argument} takes an integer >= 0, got {value!r}")
    if value < 0:
        raise ValueError(f"{argument} takes an integer >= 0, got {value}")
    return int(value)


def widths(value: Any, argument: str) -> list[int]:
    """Widths of layers, from one or a sequence of them."""
    if isinstance(value, str) or not (isinstance(value, numbers.Integral) or hasattr(value, "__iter__")):
        raise TypeError(f"{argument} takes a positive integer, or several; got {value!r}")
    return [positive_integer(width, argument) for width in ([value] if isinstance(value, numbers.Integral) else value)]


def flag(value: Any, argument: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{argument} takes True or False, got {value!r}")
    return bool(value)


def real_number(value: Any, argument: str, low: float, high: float, takes: str) -> float:
    """A number with low <= value < high; NaN is outside."""
    if type(value) is float and low <= value < high:
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{argument} takes {takes}, got {value!r}")
    try:
        inside = low <= float(value) < high
    except OverflowError:
        inside = False
    if not inside:
        raise ValueError(f"{argument} takes {takes}, got {value}")
    return float(value)


def choice(value: Any, argument: str, names: Sequence[str]) -> str:
    """One of some names."""
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{argument} takes one of {', '.join(map(repr, names))}; got {value!r}")
    return value


def array(value: Any, takes: str) -> Array:
    """An array that shares the memory of a value, where it can: a tensor, a data frame, what has DLPack alone."""
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        x: Array = np.asanyarray(value)
    except TypeError as error:
        raise TypeError(f"{takes}: {error}") from error
    except (BufferError, RuntimeError, ValueError) as error:  # as of a tensor that requires a gradient, or is on a GPU
        raise ValueError(f"{takes}: {error}") from error
    return x


def samples(value: Any, argument: str, width: int) -> Array:
    """A matrix (samples, width) of float32, float64 or uint8 as it is, not copied; NaN and infinity are not looked for."""
    if type(value) is np.ndarray and value.dtype in _SOURCES and value.ndim == 2 and value.flags.aligned:
        n, columns = value.shape
        if n > 0 and columns == width:  # nearly always; what follows would find the same, in thrice the time
            return value
    if hasattr(value, "tocsr"):
        raise TypeError(f"{argument} takes an array here, got a sparse matrix; give {argument}.toarray()")
    takes = f"{argument} takes an array of shape (samples, {width}) of float32, float64 or uint8"
    x = array(value, takes)
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise ValueError(
            f"{argument} has masked elements; fill them first, as with {argument}.filled(0), "
            "or with NaN for a MaskedAutoencoder"
        )
    if x.dtype.type not in (*FLOATS, np.uint8):
        if x.ndim == 0 and not hasattr(value, "dtype"):  # a path, None, a dictionary, a generator
            raise TypeError(f"{takes}, got {type(value).__name__}")
        raise TypeError(
            f"{argument} takes float32, float64 or uint8 (0 to 255, scaled to 0 to 1), got {x.dtype}; {remedy(value, argument)}"
        )
    if x.ndim != 2 or x.shape[1] != width:
        hint, it = "", argument if argument.isidentifier() else "it"
        if x.ndim == 1 and x.shape == (width,):
            hint = f"; for one sample give {it}.reshape(1, -1)"
        elif x.ndim > 2 and math.prod(x.shape[1:]) == width:
            hint = f"; flatten the samples with {it}.reshape(len({it}), -1)"
        raise ValueError(f"{argument} takes an array of shape (samples, {width}), got {x.shape}{hint}")
    if len(x) == 0:
        raise ValueError(f"{argument} is empty, of shape {x.shape}; at least one sample is needed")
    if not (x.dtype.isnative and x.flags.aligned):
        x = x.astype(x.dtype.newbyteorder("="))
    return np.asarray(x)  # of numpy.matrix, which is never of one dimension, what others index


def _numeric(dtype: Any) -> bool:
    """Of a column of pandas or polars."""
    return getattr(dtype, "kind", "") in tuple("biuf") or str(dtype) == "Boolean" or getattr(dtype, "is_numeric", bool)()


def remedy(value: Any, argument: str) -> str:
    """What makes float32 of a value, in the words of its library; or the columns of a data frame of which nothing does."""
    named = zip(value.columns, value.dtypes, strict=True) if hasattr(value, "columns") and hasattr(value, "dtypes") else ()
    text = [str(name) for name, dtype in named if not _numeric(dtype)]
    if text:
        return f"no numbers are in {', '.join(text[:3])}{', ...' if text[3:] else ''}"
    whose = f"{argument}." if argument.isidentifier() else ""
    calls = {"torch": "float()", "polars": "cast(polars.Float32)", "builtins": f"numpy.asarray({argument}, 'float32')"}
    call = calls.get(type(value).__module__.partition(".")[0], "astype('float32')")
    return f"convert it with {call if call.startswith('numpy') else whose + call}"


def matrix(value: Any, argument: str, width: int) -> Any:
    """As ``samples``, or scipy's CSR of float32 or float64; not copied."""
    if type(value) is np.ndarray or not hasattr(value, "tocsr"):
        return samples(value, argument, width)
    if value.format != "csr":
        raise TypeError(f"{argument} takes sparse matrices of format 'csr', got {value.format!r}; give {argument}.tocsr()")
    if value.dtype not in FLOATS:
        raise TypeError(
            f"{argument} takes a sparse matrix of float32 or float64, got {value.dtype}; "
            f"convert it with {argument}.astype('float32')"
        )
    if len(value.shape) != 2 or value.shape[1] != width:
        raise ValueError(f"{argument} takes a matrix of shape (samples, {width}), got {value.shape}")
    if value.shape[0] == 0:
        raise ValueError(f"{argument} is empty, of shape {value.shape}; at least one sample is needed")
    sound(value, argument)
    if not value.has_canonical_format:  # columns in order, none twice
        value = value.copy()
        value.sum_duplicates()
    return value


def sound(value: Any, argument: str) -> None:
    """Rows and columns of a CSR matrix are within its shape: scipy looks at some of it only, and writes where they say."""
    try:
        value.check_format(full_check=True)
    except ValueError as error:
        raise ValueError(
            f"{argument} takes a CSR matrix whose indptr and indices fit its shape {value.shape}: {error}"
        ) from error


def dense(source: Any, rows: Any) -> Array:
    """Rows of an array or a CSR matrix as an array."""
    part: Array = source[rows].toarray() if hasattr(source, "tocsr") else source[rows]
    return part


def together(source: Any, most: int) -> int:
    """Rows to take at a time, of a CSR matrix no more than make an array of some megabytes."""
    return min(most, max(_DENSE // source.shape[1], 1)) if hasattr(source, "tocsr") else most


def finite(x: Array, argument: str, dtype: np.dtype[Any] | None = None, first_row: int = 0, missing: bool = False) -> Array:
    """x, after a look at every element, in blocks, so that a memory-mapped array stays on disk.

    The elements must be finite in dtype (default: x's own), or NaN where they may be missing. x may be a part of the argument,
    from ``first_row`` on.
    """
    dtype = dtype or x.dtype
    if x.dtype != np.uint8:
        for start in range(0, len(x), _ROWS):
            with np.errstate(over="ignore", invalid="ignore"):
                block = x[start : start + _ROWS].astype(dtype, copy=False)
                suspect = not np.isfinite(np.sum(block))  # a finite sum has finite terms
            if suspect and not (ok := np.isfinite(block) | (missing & np.isnan(block))).all():
                row, column = np.argwhere(~ok)[0]
                given, place = x[start + row, column], f"the first in row {first_row + start + row}, column {column}"
                what = f"numbers too large for {dtype.name}, as {given:g}" if np.isfinite(given) else "NaN or infinity"
                what = "infinity" if missing and np.isinf(given) else what
                raise ValueError(f"{argument} has {what}, {place}; finite numbers are needed")
    return x


def finite_rows(source: Any, argument: str, dtype: np.dtype[Any], missing: bool = False) -> None:
    """As ``finite``, of an array or a CSR matrix."""
    if not hasattr(source, "tocsr"):
        finite(source, argument, dtype, missing=missing)
        return
    with np.errstate(over="ignore", invalid="ignore"):
        ok = np.isfinite(source.data.astype(dtype, copy=False))
    while not ok.all():  # of the rows with something else, the first that may not have it raises
        row = int(np.searchsorted(source.indptr, int(np.argmin(ok)), "right")) - 1
        finite(source[[row]].toarray(), argument, dtype, row, missing)
        ok[: source.indptr[row + 1]] = True


def between(x: Array, low: float, high: float, argument: str, remedy: str) -> None:
    """Probabilities, or counts: from low to high only."""
    if x.dtype != np.uint8:
        for start in range(0, len(x), _ROWS):
            block = x[start : start + _ROWS]
            if np.any(block < low) or np.any(block > high):  # of NaN, which may be missing values, neither
                takes = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
                least, most = (str(end).removesuffix(".0") for end in (np.nanmin(block), np.nanmax(block)))  # all their digits
                raise ValueError(f"{argument} takes values {takes}, got {least} to {most}; {remedy}")


def converted(x: Array, dtype: np.dtype[Any], argument: str, first_row: int = 0) -> Array:
    """Finite samples as a C-contiguous array of a layer's dtype, uint8 scaled to 0 to 1; a copy only where needed."""
    if x.dtype == np.uint8:
        scaled: Array = np.multiply(x, dtype.type(1 / 255), dtype=dtype, order="C")
        return scaled
    finite(x, argument, dtype, first_row)
    return np.ascontiguousarray(x, dtype)


def output(out: Array | None, shape: tuple[int, ...], dtype: np.dtype[Any], *inputs: Array | None) -> tuple[Array, bool]:
    """An array for a kernel to write to, and whether it must be copied to ``out`` afterwards.

    That is so for an ``out`` with gaps between its elements, or one that overlaps an input.
    """
    if out is None:
        return np.empty(shape, dtype), False
    if not isinstance(out, np.ndarray) or out.dtype != dtype or out.shape != shape:
        got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out takes an array of {dtype} {shape}, got {got}")
    flags = out.flags
    if not flags.carray:  # writable, C-contiguous and aligned
        if not flags.writeable:
            raise ValueError("out is read-only; a writable array is needed")
        return np.empty(shape, dtype), True
    for a in inputs:  # two arrays that own their memory share none of it, which is sooner seen
        if a is not None and (a is out or a.base is not None or not flags.owndata) and np.may_share_memory(out, a):
            return np.empty(shape, dtype), True
    return out, False
