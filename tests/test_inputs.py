"""Arrays of other libraries: taken as they are, without a copy where their memory is an array's, or refused by name."""

import numpy as np
import pytest

import fastae
from fastae import _check
from fastae.anomaly import AnomalyDetector


@pytest.fixture
def model():
    return fastae.Autoencoder([3, 2], seed=0)


@pytest.fixture
def x(rng):
    return rng.normal(size=(20, 3)).astype(np.float32)


class Exporter:
    """What has DLPack and nothing else."""

    def __init__(self, x, device=None):
        self.x, self.device = x, device

    def __dlpack__(self, **options):
        return self.x.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device or self.x.__dlpack_device__()


class Asked:
    """What has ``__array__`` alone."""

    def __init__(self, x):
        self.x = x

    def __array__(self, dtype=None, copy=None):
        return self.x


def taken(value, model):
    """As the model takes it; it computes the same of it as of an array, and a trainer does."""
    x = _check.samples(value, "x", model.n_in)
    np.testing.assert_array_equal(model.encode(value), model.encode(np.array(x)))
    losses = []
    for samples in (value, np.array(x)):
        twin = fastae.Autoencoder([3, 2], output_activation="identity", seed=0)
        losses.append(fastae.Trainer(twin, fastae.SGD(lr=0.01), seed=0, batch_size=8).fit(samples, epochs=2).loss)
    assert losses[0] == losses[1]
    return x


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("kind", [Exporter, Asked, memoryview])
def test_protocols_share_memory(model, rng, kind, dtype):
    x = (rng.random((20, 3)) * (255 if dtype == "uint8" else 1)).astype(dtype)
    assert np.shares_memory(taken(kind(x), model), x)


def test_parameters_from_what_has_dlpack(model):
    state = {name: Exporter(array + 1) for name, array in model.state_dict().items()}
    model.load_state_dict(state)
    np.testing.assert_array_equal(model.encoder[0].bias, 1)


def test_operands_from_what_has_dlpack(x):
    np.testing.assert_array_equal(fastae.ops.matmul(Exporter(x), Exporter(x), transpose_b=True), fastae.ops.matmul(x, x.T))


def test_what_cannot_be_exported_is_refused(model, x):
    def refuse(**_):
        raise BufferError("it is on the moon")

    there = Exporter(x)
    there.x = type("Far", (), {"__dlpack__": refuse, "__dlpack_device__": lambda self: (1, 0)})
    with pytest.raises(ValueError, match=r"x takes an array of shape \(samples, 3\) of float32.*on the moon"):
        model.encode(there)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize("view", [lambda t: t, lambda t: t.T.contiguous().T, lambda t: t[::2]])
def test_tensors_share_memory(model, dtype, view):
    torch = pytest.importorskip("torch")
    tensor = view((torch.rand(40, 3) * (255 if dtype == "uint8" else 1)).to(getattr(torch, dtype)))
    assert taken(tensor, model).ctypes.data == tensor.data_ptr()


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda t: t.requires_grad_(), ValueError, "requires grad.*detach"),
        (lambda t: t.bfloat16(), TypeError, "BFloat16"),
        (lambda t: t.half(), TypeError, "got float16"),
        (lambda t: t.int(), TypeError, "got int32"),
        (lambda t: t.to("meta"), TypeError, "meta"),
        (lambda t: t.to_sparse(), TypeError, "Sparse.*to_dense"),
        (lambda t: t[0], ValueError, r"\(3,\).*reshape"),
    ],
)
def test_wrong_tensors(model, make, error, says):
    torch = pytest.importorskip("torch")
    with pytest.raises(error, match=rf"^x takes .*{says}"):
        model.encode(make(torch.rand(5, 3)))


def test_a_parameter_in_a_state(model):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(array) for name, array in model.state_dict().items()}
    model.load_state_dict(state)
    state["encoder.0.bias"] = torch.nn.Parameter(state["encoder.0.bias"])
    with pytest.raises(ValueError, match=r"encoder\.0\.bias takes numbers of shape \(2,\).*detach"):
        model.load_state_dict(state)


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_pandas_shares_memory(model, x):
    pandas = pytest.importorskip("pandas")
    assert np.shares_memory(taken(pandas.DataFrame(x, copy=False), model), x)
    frame = pandas.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]})
    np.testing.assert_array_equal(taken(frame, model), x)
    with pytest.raises(TypeError, match=r"got object; no numbers are in b, c$"):
        model.encode(frame.assign(c="text", b=pandas.Timestamp(0)))
    with pytest.raises(TypeError, match=r"got int64; convert it with x\.astype\('float32'\)"):
        model.encode(frame.astype(int))
    with pytest.raises(TypeError, match=r"got object; convert it"):
        model.encode(pandas.Series(["text"]))
    with pytest.raises(ValueError, match=r"\(samples, 3\), got \(20, 4\)"):
        model.encode(frame.assign(d=0.0))


def test_polars_shares_memory(model, x):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(np.asfortranarray(x))  # whose columns lie one after another
    assert np.shares_memory(taken(frame, model), frame.to_numpy())
    np.testing.assert_array_equal(taken(polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}), model), x)


def test_polars_without_float(model, x):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [1, 2], "b": [3, 4], "c": [True, False]})
    with pytest.raises(TypeError, match=r"convert it with x\.cast\(polars\.Float32\)"):
        model.encode(frame)
    with pytest.raises(TypeError, match=r"no numbers are in b$"):
        model.encode(frame.with_columns(b=polars.lit("text")))


@pytest.mark.parametrize("value", ["table.csv", None, {"x": 1}, 3, iter([])])
def test_what_is_no_array_is_named(model, value):
    with pytest.raises(TypeError, match=rf"^x takes an array of shape \(samples, 3\) .*, got {type(value).__name__}$"):
        model.encode(value)
    with pytest.raises(ValueError, match=rf"^x takes a table of shape \(rows, columns\), got {type(value).__name__}$"):
        AnomalyDetector().fit(value)


def test_the_remedy_is_of_the_values_own_library(model):
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"got int32; convert it with x\.float\(\)$"):
        model.encode(torch.ones(2, 3, dtype=torch.int32))
    with pytest.raises(TypeError, match=r"got int64; convert it with numpy\.asarray\(x, 'float32'\)$"):
        model.encode([[1, 2, 3]])
    with pytest.raises(TypeError, match=r"^batch 0 of x takes .*; convert it with astype\('float32'\)$"):
        fastae.Trainer(model, fastae.SGD(0.1)).fit(iter([np.ones((2, 3), int)]), epochs=1)


def test_arrow(model, x):
    arrow = pytest.importorskip("pyarrow")
    assert np.shares_memory(taken(arrow.Tensor.from_numpy(x), model), x)
    columns = {name: np.ascontiguousarray(x[:, i]) for i, name in enumerate("abc")}
    np.testing.assert_array_equal(taken(arrow.table(columns), model), x)
    np.testing.assert_array_equal(taken(arrow.record_batch(columns), model), x)


def test_missing_cells_of_tables_are_nan(x):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    model = fastae.MaskedAutoencoder([2, 1], seed=0)
    expected = model.encode(np.array([[1.0, np.nan], [2.0, 3.0]], np.float32))
    cells = {"a": [1.0, 2.0], "b": [None, 3.0]}
    np.testing.assert_array_equal(model.encode(pandas.DataFrame(cells, dtype="float32")), expected)
    nullable = pandas.DataFrame(cells, dtype="Float32")  # an array of objects, to NumPy
    with pytest.raises(TypeError, match=r"got object; convert it with x\.astype\('float32'\)"):
        model.encode(nullable)
    np.testing.assert_array_equal(model.encode(nullable.astype("float32")), expected)
    np.testing.assert_array_equal(model.encode(polars.DataFrame(cells)), expected)
