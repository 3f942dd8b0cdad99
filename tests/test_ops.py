"""The functions of fastae.ops: their results, and what they take and refuse."""

import numpy as np
import pytest

import fastae
from fastae import ops
from fastae._kernels.names import ACTIVATIONS

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture(autouse=True)
def _of_the_backend(backend):
    before = fastae.get_backend()
    fastae.set_backend(backend)
    yield
    fastae.set_backend(before)


def close(found, expected, dtype):
    assert found.dtype == dtype
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, *((1e-5, 1e-5) if dtype == "float32" else (1e-13, 1e-13)))


def arrays(rng, dtype, *shapes):
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


# ---- results ---------------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (2, 40, 1), (33, 5, 50)], ids=str)
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
def test_matmul(rng, shape, transpose_a, transpose_b, dtype):
    m, k, n = shape
    a, b = arrays(rng, dtype, (k, m) if transpose_a else (m, k), (n, k) if transpose_b else (k, n))
    product = (a.T if transpose_a else a).astype("float64") @ (b.T if transpose_b else b)
    close(ops.matmul(a, b, transpose_a, transpose_b), product, dtype)
    close(ops.matmul(a, b, transpose_a, transpose_b, alpha=-2.5), -2.5 * product, dtype)
    for alpha, beta in ((1, 1), (2, -0.5), (0, 3)):
        (c,) = arrays(rng, dtype, (m, n))
        expected = alpha * product + beta * c
        assert ops.matmul(a, b, transpose_a, transpose_b, alpha, beta, c) is c
        close(c, expected, dtype)


@DTYPES
def test_matmul_does_not_read_out_where_beta_is_0(rng, dtype):
    a, b = arrays(rng, dtype, (3, 4), (4, 5))
    out = np.full((3, 5), np.nan, dtype)
    close(ops.matmul(a, b, beta=0.0, out=out), a @ b, dtype)


@DTYPES
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("with_bias", [False, True])
def test_linear(rng, activation, with_bias, dtype):
    x, weight, bias = arrays(rng, dtype, (6, 4), (3, 4), (3,))
    z = x.astype("float64") @ weight.T + bias * with_bias
    layer = fastae.Linear(3, 3, activation, dtype="float64", backend="numpy")  # the activation alone
    layer.weight = np.eye(3)
    close(ops.linear(x, weight, bias if with_bias else None, activation), layer.forward(z), dtype)


@DTYPES
def test_gradients(rng, dtype):
    dy, x, weight = arrays(rng, dtype, (6, 3), (6, 4), (3, 4))
    close(ops.linear_grad_input(dy, weight), dy @ weight, dtype)
    dweight, dbias = ops.linear_grad_weight(dy, x)
    close(dweight, dy.T @ x, dtype)
    close(dbias, dy.sum(axis=0), dtype)
    out = np.full((3, 4), np.nan, dtype), np.full(3, np.nan, dtype)
    found = ops.linear_grad_weight(dy, x, out)
    for given, returned, expected in zip(out, found, (dweight, dbias), strict=True):
        assert given is returned
        np.testing.assert_array_equal(given, expected)


def test_numbers_by_hand():
    x, weight, bias = [[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [-1.0, 1.0], [0.0, -2.0]], [0.5, -0.5, 1.0]
    np.testing.assert_array_equal(ops.linear(x, weight, bias), [[1.5, 0.5, -3.0], [3.5, 0.5, -7.0]])
    np.testing.assert_array_equal(ops.linear(x, weight, bias, "relu"), [[1.5, 0.5, 0.0], [3.5, 0.5, 0.0]])
    dy = [[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]
    np.testing.assert_array_equal(ops.linear_grad_input(dy, weight), [[1.0, -4.0], [-1.0, 3.0]])
    dweight, dbias = ops.linear_grad_weight(dy, x)
    np.testing.assert_array_equal(dweight, [[1.0, 2.0], [3.0, 4.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(dbias, [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(ops.matmul(x, [[1.0], [1.0]]), [[3.0], [7.0]])  # lists are float64
    assert ops.matmul(x, x).dtype == np.float64


# ---- how arrays are stored -------------------------------------------------------------------------------------------

CALLS = {  # name: the operands' shapes, a call, the result's shape
    "matmul": ([(6, 4), (4, 3)], ops.matmul, (6, 3)),
    "matmul T": ([(4, 6), (3, 4)], lambda a, b, **k: ops.matmul(a, b, True, True, **k), (6, 3)),
    "matmul beta": ([(6, 4), (4, 3)], lambda a, b, **k: ops.matmul(a, b, beta=2.0 * ("out" in k), **k), (6, 3)),
    "linear": ([(6, 4), (3, 4), (3,)], lambda x, w, b, **k: ops.linear(x, w, b, "tanh", **k), (6, 3)),
    "linear_grad_input": ([(6, 3), (3, 4)], ops.linear_grad_input, (6, 4)),
    "linear_grad_weight": ([(6, 3), (6, 4)], lambda dy, x: ops.linear_grad_weight(dy, x)[0], (3, 4)),
    "its bias": ([(6, 3), (6, 4)], lambda dy, x: ops.linear_grad_weight(dy, x)[1], (3,)),
}
WITH_OUT = [name for name in CALLS if "grad_weight" not in name and name != "its bias"]


def unaligned(a):
    return np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape)


def field(a):
    """A field of a structured array, whose strides are no multiples of its items' size."""
    records = np.zeros(a.shape, [("pad", "u1"), ("value", a.dtype)])
    records["value"] = a
    return records["value"]


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


STORED = {
    "rows apart": lambda a: np.repeat(a, 2, axis=0)[::2],
    "columns apart": lambda a: np.repeat(a, 3, axis=-1)[..., ::3],
    "backwards": lambda a: np.flip(np.flip(a).copy()),
    "Fortran": np.asfortranarray,
    "read-only": read_only,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "unaligned": unaligned,
    "a field": field,
    "broadcast": lambda a: np.broadcast_to(a[..., :1], a.shape),
}


@DTYPES
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("name", CALLS)
def test_how_operands_are_stored_does_not_matter(rng, name, stored, dtype):
    shapes, call, _ = CALLS[name]
    operands = [STORED[stored](a) for a in arrays(rng, dtype, *shapes)]
    plain = [np.array(a, dtype, order="C") for a in operands]
    expected = call(*plain)
    # NumPy's BLAS may add in another order for another layout.
    np.testing.assert_allclose(call(*operands), expected, 1e-5 if dtype == "float32" else 1e-13, 1e-6)
    for a, same in zip(operands, plain, strict=True):
        np.testing.assert_array_equal(a, same)


@DTYPES
def test_lists_are_float64(rng, dtype):
    for shapes, call, _ in CALLS.values():
        operands = arrays(rng, dtype, *shapes)
        result = call(*(a.tolist() for a in operands))
        assert result.dtype == np.float64
        np.testing.assert_allclose(result, call(*operands), 1e-4, 1e-5)


# ---- out= ------------------------------------------------------------------------------------------------------------

OUTS = {
    "Fortran": lambda n, m, dtype: np.ones((n, m), dtype, order="F"),
    "rows apart": lambda n, m, dtype: np.ones((2 * n, m), dtype)[::2],
    "columns apart": lambda n, m, dtype: np.ones((n, 2 * m), dtype)[:, 1::2],
    "backwards": lambda n, m, dtype: np.ones((n, m), dtype)[::-1, ::-1],
    "unaligned": lambda n, m, dtype: np.frombuffer(bytearray(np.ones(n * m + 1, dtype)), np.uint8)[
        1 : 1 + n * m * np.dtype(dtype).itemsize
    ].view(dtype).reshape(n, m),
    "a field": lambda n, m, dtype: np.ones((n, m), [("pad", "u1"), ("value", dtype)])["value"],
}  # fmt: skip


@DTYPES
@pytest.mark.parametrize("stored", OUTS)
@pytest.mark.parametrize("name", WITH_OUT)
def test_out_may_be_stored_in_any_way(rng, name, stored, dtype):
    shapes, call, shape = CALLS[name]
    operands, out = arrays(rng, dtype, *shapes), OUTS[stored](*shape, dtype)
    expected = call(*operands, out=np.array(out))
    assert call(*operands, out=out) is out
    np.testing.assert_array_equal(out, expected)


@DTYPES
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("shift", [0, 1, 5])
def test_out_may_overlap_an_operand(rng, which, shift, dtype):
    """All shapes are (4, 4), and out lies in the memory of one operand, some elements further on."""
    calls = [
        ops.matmul,
        lambda a, b, out: ops.matmul(a, b, transpose_a=True, beta=0.5, out=out),
        lambda a, b, out: ops.linear(a, b, None, "relu", out),
        ops.linear_grad_input,
        lambda a, b, out: ops.linear_grad_weight(a, b, (out, np.zeros(4, dtype)))[0],
    ]
    for call in calls:
        memory = rng.normal(size=16 + shift).astype(dtype)
        operands = arrays(rng, dtype, (4, 4), (4, 4))
        operands[which] = memory[:16].reshape(4, 4)
        out = memory[shift:].reshape(4, 4)
        expected = call(*(a.copy() for a in operands), out=out.copy())
        assert call(*operands, out=out) is out
        np.testing.assert_array_equal(out, expected)


@DTYPES
def test_out_may_be_the_bias_or_a_bias_gradient_in_the_operand(rng, dtype):
    x, weight, memory = arrays(rng, dtype, (1, 4), (4, 4), (4,))
    expected = ops.linear(x, weight, memory.copy())
    np.testing.assert_array_equal(ops.linear(x, weight, memory, out=memory.reshape(1, 4)), expected)
    dy, x = arrays(rng, dtype, (5, 4), (5, 3))
    dweight, dbias = ops.linear_grad_weight(dy, x)
    found = ops.linear_grad_weight(dy, x, (np.empty((4, 3), dtype), dy[0]))
    np.testing.assert_array_equal(found[0], dweight)
    np.testing.assert_array_equal(dy[0], dbias)


# ---- shapes and numbers at the edge ----------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize(("m", "k", "n"), [(0, 4, 3), (2, 0, 3), (2, 4, 0), (0, 0, 3), (0, 0, 0)])
def test_empty_arrays(m, k, n, dtype):
    """A sum over nothing is 0."""
    a, b, c = np.ones((m, k), dtype), np.ones((k, n), dtype), np.full((m, n), 3, dtype)
    close(ops.matmul(a, b), np.full((m, n), float(k)), dtype)
    close(ops.matmul(a, b, beta=2.0, out=c), np.full((m, n), k + 6.0), dtype)
    close(ops.linear(a, b.T, np.full(n, -1, dtype), "leaky_relu"), np.full((m, n), k - 1.0 if k else -0.01), dtype)
    close(ops.linear_grad_input(a, b), np.full((m, n), float(k)), dtype)
    dweight, dbias = ops.linear_grad_weight(np.ones((k, m), dtype), b)
    close(dweight, np.full((m, n), float(k)), dtype)
    close(dbias, np.full(m, float(k)), dtype)


@DTYPES
def test_nan_and_infinity_pass_through(dtype):
    a, one = np.array([[np.nan], [np.inf], [-np.inf], [1.0]], dtype), np.ones((1, 1), dtype)
    np.testing.assert_array_equal(ops.matmul(a, one), a)
    for activation in ACTIVATIONS:
        with np.errstate(invalid="ignore"):  # of which NumPy warns, and the compiled kernels do not
            y = ops.linear(a, one, activation=activation)
        assert np.isnan(y[0, 0])
        assert np.isfinite(y[3, 0])
    np.testing.assert_array_equal(ops.linear(a, one, activation="relu")[1:], [[np.inf], [0], [1]])


@DTYPES
def test_threads_do_not_change_bits(rng, dtype):
    a, b = arrays(rng, dtype, (150, 200), (200, 130))
    for name, call in (
        ("matmul", lambda n: ops.matmul(a, b, n_threads=n)),
        ("linear", lambda n: ops.linear(a, b.T, activation="gelu", n_threads=n)),
        ("linear_grad_input", lambda n: ops.linear_grad_input(a, b, n_threads=n)),
        ("linear_grad_weight", lambda n: ops.linear_grad_weight(a.T, b, n_threads=n)[0]),
        ("its bias", lambda n: ops.linear_grad_weight(a.T, b, n_threads=n)[1]),
    ):
        for n_threads in (2, 3):
            np.testing.assert_array_equal(call(n_threads), call(1), name)


# ---- what is refused -------------------------------------------------------------------------------------------------

NAMES = {
    "matmul": ("a", "b"),
    "linear": ("x", "weight", "bias"),
    "linear_grad_input": ("dy", "weight"),
    "linear_grad_weight": ("dy", "x"),
}
OPERANDS = [(name, i) for name, arguments in NAMES.items() for i in range(len(arguments))]


@pytest.mark.parametrize("bad", ["float16", "int64", "uint8", "bool", "complex128", "longdouble", "O", "U1", "mixed"])
@pytest.mark.parametrize(("name", "i"), OPERANDS)
def test_other_dtypes_are_refused(name, i, bad):
    operands = [np.ones(shape, "float32") for shape in CALLS[name][0]]
    operands[i] = operands[i].astype("float64" if bad == "mixed" else bad)
    argument = NAMES[name][1 if bad == "mixed" and i == 0 else i]  # the first one sets the dtype
    got = "float32" if bad == "mixed" and i == 0 else str(operands[i].dtype)
    with pytest.raises(TypeError, match=f"^{argument} takes .*got {got}$"):
        getattr(ops, name)(*operands)


@pytest.mark.parametrize("extra", [-1, 1])
@pytest.mark.parametrize(("name", "i"), OPERANDS)
def test_other_dimensions_are_refused(name, i, extra):
    operands = [np.ones(shape) for shape in CALLS[name][0]]
    operands[i] = operands[i][0] if extra == -1 else operands[i][None]
    with pytest.raises(ValueError, match=rf"^{NAMES[name][i]} takes .*dimensions, got shape \(") as error:
        getattr(ops, name)(*operands)
    assert str(operands[i].shape) in str(error.value)


@pytest.mark.parametrize(
    ("name", "i", "words"),
    [
        ("matmul", 1, r"columns of op\(a\) .* rows of op\(b\), got 4 and 5"),
        ("linear", 1, "columns of x .* columns of weight, got 4 and 5"),
        ("linear", 2, "length of bias .* rows of weight, got 4 and 3"),
        ("linear_grad_input", 1, "columns of dy .* rows of weight, got 3 and 4"),
        ("linear_grad_weight", 1, "rows of dy .* rows of x, got 6 and 7"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name, i, words):
    operands = [np.ones(shape) for shape in CALLS[name][0]]
    operands[i] = np.ones([n + 1 for n in operands[i].shape])
    with pytest.raises(ValueError, match=words):
        getattr(ops, name)(*operands)


@pytest.mark.parametrize(
    ("out", "got"),
    [
        (np.zeros((3, 6)), r"\(3, 6\)"),
        (np.zeros(18), r"\(18,\)"),
        (np.zeros((6, 3), "float32"), "float32"),
        (np.zeros((6, 3), "int64"), "int64"),
        (read_only(np.zeros((6, 3))), "read-only"),
        ([[0.0] * 3] * 6, "list"),
        (1.0, "float"),
    ],
    ids=["shape", "flat", "float32", "int64", "read-only", "list", "number"],
)
def test_a_wrong_out_is_refused(out, got):
    for name in ("matmul", "linear"):
        operands = [np.ones(shape) for shape in CALLS[name][0]]
        with pytest.raises(ValueError, match=f"^out .*{got}"):
            getattr(ops, name)(*operands, out=out)
    with pytest.raises(ValueError, match=f"^out .*{got}"):
        ops.linear_grad_input(np.ones((6, 2)), np.ones((2, 3)), out=out)
    with pytest.raises(ValueError, match=f"^out .*{got}"):
        ops.linear_grad_weight(np.ones((2, 6)), np.ones((2, 3)), out=(out, np.zeros(6)))


def test_sparse_operands_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"^b takes an array, got a sparse matrix; give b\.toarray\(\)$"):
        ops.matmul(np.ones((2, 3)), sparse.csr_array(np.ones((3, 2))))


def test_other_wrong_arguments_are_refused():
    a = np.ones((2, 2))
    with pytest.raises(ValueError, match="out is needed with beta = 1"):
        ops.matmul(a, a, beta=1)
    with pytest.raises(TypeError, match=r"out takes a pair .*ndarray"):
        ops.linear_grad_weight(a, a, out=a)
    with pytest.raises(TypeError, match=r"out takes a pair .*tuple"):
        ops.linear_grad_weight(a, a, out=(a, a[0], a))
    with pytest.raises(ValueError, match=r"activation takes .*'swish'"):
        ops.linear(a, a, activation="swish")
    for n_threads, error in ((0, ValueError), (-1, ValueError), (1000, ValueError), (1.5, TypeError), ("2", TypeError)):
        for call in (ops.matmul, ops.linear, ops.linear_grad_input, ops.linear_grad_weight):
            with pytest.raises(error, match=f"n_threads takes .*got {n_threads!r}"):
                call(a, a, n_threads=n_threads)


@pytest.mark.parametrize("bad", [None, "x", [1.0], 1j])
@pytest.mark.parametrize("argument", ["alpha", "beta"])
def test_wrong_factors_are_refused(argument, bad):
    a = np.ones((2, 2))
    with pytest.raises((TypeError, ValueError), match=f"^{argument} takes"):
        ops.matmul(a, a, out=a.copy(), **{argument: bad})
