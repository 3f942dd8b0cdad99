"""Matrix products at every edge of the blocks and tiles of gemm.pxi, in several layouts, against NumPy in float64.

Tiles are of 4, 6 or 8 rows and 4 to 48 columns.
"""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fastae import settings

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
MC, KC, NC = getattr(settings.kernels(), "BLOCKS", (144, 512, 2016))  # NumPy has none


@functools.cache
def operands(m, n, k, dtype):
    """A and B within -1 and 1, and their product in float64."""
    rng = np.random.default_rng([m, n, k])
    a, b = rng.uniform(-1, 1, (m, k)).astype(dtype), rng.uniform(-1, 1, (k, n)).astype(dtype)
    return a, b, a.astype(np.float64) @ b.astype(np.float64)


LAYOUTS = {
    "row-major": (np.ascontiguousarray, np.ascontiguousarray),
    "A transposed": (np.asfortranarray, np.ascontiguousarray),
    "B transposed": (np.ascontiguousarray, np.asfortranarray),
    "both transposed": (np.asfortranarray, np.asfortranarray),
}
each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def check(kernels, guarded, tolerance, dtype, m, n, k, layout=LAYOUTS["row-major"], alpha=1.0, beta=0.0):
    a, b, product = operands(m, n, k, dtype)
    c = guarded((m, n), dtype, beta if beta else np.nan)  # beta everywhere, so that beta c is its square
    kernels.matmul(layout[0](a), layout[1](b), c, alpha, beta, 1)
    np.testing.assert_allclose(c, alpha * product + beta * beta, rtol=0, atol=tolerance(dtype, k), err_msg=f"{m} x {n} x {k}")


@DTYPES
@each_layout
@pytest.mark.parametrize("k", [1, 2, 17])
def test_edges_of_tiles(kernels, layout, dtype, k, guarded, tolerance):
    """All M from 1 to 17 and N from 1 to 50: every part of a tile in both directions, and one tile more."""
    a, b, product = operands(17, 50, k, dtype)
    for m in range(1, 18):
        for n in range(1, 51):
            c = guarded((m, n), dtype)
            kernels.matmul(layout[0](a[:m]), layout[1](b[:, :n]), c, 1.0, 0.0, 1)
            assert np.abs(c - product[:m, :n]).max() <= tolerance(dtype, k), (m, n)


@DTYPES
@each_layout
@pytest.mark.parametrize("k", [KC - 1, KC, KC + 1, 2 * KC, 2 * KC + 1])
def test_edges_of_kc(kernels, layout, dtype, k, guarded, tolerance):
    for m, n in ((1, 1), (9, 50), (13, 230)):  # A read in place, and packed
        for alpha, beta in ((1.0, 0.0), (-0.75, 2.0)):  # alpha is used in every block, beta in the first only
            check(kernels, guarded, tolerance, dtype, m, n, k, layout, alpha, beta)


@DTYPES
@each_layout
@pytest.mark.parametrize("m", [MC - 1, MC, MC + 1, 2 * MC, 2 * MC + 7])
def test_edges_of_mc(kernels, layout, dtype, m, guarded, tolerance):
    for n in (5, 200):
        check(kernels, guarded, tolerance, dtype, m, n, 9, layout)


@DTYPES
@each_layout
@pytest.mark.parametrize("n", [NC - 1, NC, NC + 1, 2 * NC, 2 * NC + 49])
def test_edges_of_nc(kernels, layout, dtype, n, guarded, tolerance):
    for m in (1, 9):
        check(kernels, guarded, tolerance, dtype, m, n, 7, layout)


@DTYPES
def test_one_more_than_every_block(kernels, dtype, guarded, tolerance):
    check(kernels, guarded, tolerance, dtype, MC + 1, NC + 1, KC + 1, beta=2.0)


@DTYPES
def test_sums_do_not_depend_on_the_size_of_the_product(compiled, dtype):
    """Equal bits for a part of a product alone: what README.md says of the order of summation."""
    a, b, _ = operands(130, 230, KC + 3, dtype)
    whole = np.empty((130, 230), dtype)
    compiled.matmul(a, b, whole, 1.0, 0.0, 1)
    for rows, columns in ((slice(0, 16), slice(0, 1)), (slice(3, 24), slice(5, 60)), (slice(113, 130), slice(0, 230))):
        part = np.empty_like(whole[rows, columns])
        for layout in (np.ascontiguousarray, np.asfortranarray):
            compiled.matmul(layout(a[rows]), layout(b[:, columns]), part, 1.0, 0.0, 1)
            assert part.tobytes() == whole[rows, columns].tobytes()
    b = np.asfortranarray(b)  # few rows by such a B, which is W^T of a layer, add in an order of their own
    few = np.empty((15, 230), dtype)
    compiled.matmul(a[:15], b, few, 1.0, 0.0, 1)
    for rows, columns in ((slice(0, 1), slice(0, 230)), (slice(2, 9), slice(5, 60))):
        part = np.empty_like(few[rows, columns])
        compiled.matmul(a[rows], b[:, columns], part, 1.0, 0.0, 1)
        assert part.tobytes() == few[rows, columns].tobytes()


@DTYPES
@pytest.mark.parametrize(("m", "n", "k"), [(1, 7, 96), (4, 4, 64), (7, 9, 83), (15, 6, 95), (3, 5, 130)])
def test_where_few_rows_begin_changes_no_bit(compiled, tolerance, dtype, m, n, k):
    """Rows of B^T that begin anywhere in a line of the cache, with what must not be read beside them."""
    a, b, product = operands(m, n, k, dtype)
    line, ld, results = 64 // a.itemsize, -(-k // 32) * 32, set()
    for first in range(2 * line):
        memory = np.full(line * 3 + n * ld, np.nan, dtype)
        memory = memory[-memory.ctypes.data % 64 // a.itemsize :]
        rows = memory[first : first + n * ld].reshape(n, ld)[:, :k]
        rows[:] = b.T
        c = np.empty((m, n), dtype)
        compiled.matmul(a, rows.T, c, 1.0, 0.0, 1)
        results.add(c.tobytes())
        np.testing.assert_allclose(c, product, rtol=0, atol=tolerance(dtype, k))
    assert len(results) == 1


steps = st.sampled_from([1, 2, 5, 0, -1, -3])


@hypothesis_settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    dtype=st.sampled_from(["float32", "float64"]),
    sizes=st.tuples(st.integers(0, 40), st.integers(0, 120), st.integers(0, 70)),
    strides=st.tuples(steps, steps, steps, steps),
    transposed=st.tuples(st.booleans(), st.booleans()),
    scale=st.tuples(st.sampled_from([1.0, 0.0, -1.5]), st.sampled_from([0.0, 1.0, -0.5])),
    seed=st.integers(0, 1000),
)
def test_any_shape_and_strides(kernels, tolerance, dtype, sizes, strides, transposed, scale, seed):
    """Operands are windows of larger arrays, with steps forwards, backwards, and 0 (one row or column repeated)."""
    rng = np.random.default_rng(seed)
    m, n, k = sizes

    def window(rows, columns, row_step, column_step, transpose):
        if transpose:
            return window(columns, rows, row_step, column_step, False).T
        a = rng.uniform(-1, 1, (max(rows * abs(row_step), 1), max(columns * abs(column_step), 1))).astype(dtype)
        a = a[:: row_step or 1, :: column_step or 1]
        return np.broadcast_to(a, (rows, columns))[:rows, :columns] if 0 in (row_step, column_step) else a[:rows, :columns]

    a, b = window(m, k, *strides[:2], transposed[0]), window(k, n, *strides[2:], transposed[1])
    assert (a.shape, b.shape) == ((m, k), (k, n))
    alpha, beta = scale
    c = rng.uniform(-1, 1, (m, n)).astype(dtype) if beta else np.full((m, n), np.nan, dtype)
    expected = alpha * (a.astype(np.float64) @ b.astype(np.float64)) + (beta * c.astype(np.float64) if beta else 0)
    kernels.matmul(a, b, c, alpha, beta, 1)
    np.testing.assert_allclose(c, expected, rtol=0, atol=2 * tolerance(dtype, k))
