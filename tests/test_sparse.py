"""Sparse rows: the steps of the same data as an array, and never more than a batch of them dense."""

import subprocess
import sys

import numpy as np
import pytest

import fastae
from fastae import SGD, Adam, Autoencoder, DenoisingAutoencoder, MultinomialAutoencoder, RMSprop, Trainer

sparse = pytest.importorskip("scipy.sparse")

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def random_rows(rng, n=70, width=12, density=0.2, dtype="float32"):
    x = (rng.random((n, width)) * (rng.random((n, width)) < density)).astype(dtype)
    x[5] = 0  # a row of nothing
    return x


def trainer_of(backend, dtype="float32", loss="mse", **settings):
    last = "identity" if loss == "multinomial" else "sigmoid"
    model = Autoencoder([12, 6, 3], "tanh", output_activation=last, dtype=dtype, seed=0, backend=backend)
    return Trainer(model, Adam(1e-2), loss, batch_size=8, seed=1, **settings)


@DTYPES
@pytest.mark.parametrize("stored", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix"])
@pytest.mark.parametrize("how", ["both", "own target", "x", "target"])
def test_sparse_rows_are_those_of_the_array(backend, rng, dtype, stored, kind, how):
    x, target = random_rows(rng, dtype=stored), random_rows(rng, dtype=stored)
    make = getattr(sparse, kind)
    given = {
        "both": (make(x), make(target)),
        "own target": (make(x), None),
        "x": (make(x), target),
        "target": (x, make(target)),
    }[how]
    dense, rows = trainer_of(backend, dtype), trainer_of(backend, dtype)
    pair = (x, None if how == "own target" else target)
    expected = dense.fit(*pair, epochs=3, validation_data=(x[:20], pair[1] if pair[1] is None else target[:20]))
    validation = tuple(part if part is None else part[:20] for part in given)
    history = rows.fit(*given, epochs=3, validation_data=validation)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(rows.model.parameters, dense.model.parameters, rtol=0, atol=tolerance)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=tolerance)
    np.testing.assert_allclose(history.val_loss, expected.val_loss, rtol=tolerance)
    assert rows.step(*given) == pytest.approx(dense.step(*pair), rel=tolerance)
    assert rows.partial_fit(*given) == pytest.approx(dense.partial_fit(*pair), rel=tolerance)
    assert rows.evaluate(*given) == pytest.approx(dense.evaluate(*pair), rel=tolerance)


def test_streams_and_fractions_of_sparse_rows(backend, rng):
    x = random_rows(rng)
    dense, streamed = trainer_of(backend), trainer_of(backend)
    dense.fit(x, epochs=1, shuffle=False)
    streamed.fit(iter([sparse.csr_array(x[:30]), x[30:41], sparse.csr_array(x[41:])]), epochs=1)
    np.testing.assert_allclose(streamed.model.parameters, dense.model.parameters, rtol=0, atol=1e-5)
    rows, weight = sparse.csr_array(x), rng.random(len(x))
    histories = [trainer_of(backend).fit(a, epochs=2, validation_fraction=0.3, sample_weight=weight) for a in (x, rows)]
    np.testing.assert_allclose(histories[1].val_loss, histories[0].val_loss, rtol=1e-5)


def test_counts(backend, rng):
    counts = sparse.csr_array(rng.poisson(0.3, (60, 12)).astype("float32"))
    trainer = trainer_of(backend, loss="multinomial")
    history = trainer.fit(counts, epochs=30, validation_data=counts)
    assert history.val_loss[-1] < history.val_loss[0]


def test_rows_not_in_order_and_twice(backend):
    """As scipy allows it: columns in any order, and two numbers for one element, which add up."""
    data, indices = np.array([1, 2, 4, 8], "float32") / 16, np.array([3, 0, 3, 7])
    x = sparse.csr_array((data, indices, np.array([0, 3, 4])), shape=(2, 12))
    before = [a.copy() for a in (x.data, x.indices, x.indptr)]
    dense, rows = trainer_of(backend), trainer_of(backend)
    assert rows.step(x) == pytest.approx(dense.step(x.toarray()), rel=1e-6)
    np.testing.assert_allclose(rows.model.parameters, dense.model.parameters, rtol=0, atol=1e-6)
    for own, old in zip((x.data, x.indices, x.indptr), before, strict=True):
        np.testing.assert_array_equal(own, old)


def test_no_more_than_a_block_is_dense(monkeypatch, rng):
    made = []

    class Counted(sparse.csr_array):
        def toarray(self, *arguments, **others):
            made.append(self.shape[0])
            return super().toarray(*arguments, **others)

    x = Counted(sparse.random_array((20_000, 12), density=0.1, format="csr", dtype="float32", rng=rng))
    trainer_of("numpy").fit(x, epochs=1, validation_data=x, early_stopping=3)
    assert made
    assert max(made) <= 4096


@pytest.mark.parametrize(
    "model",
    [
        fastae.Autoencoder([12, 8, 4], seed=0),
        fastae.KSparseAutoencoder([12, 8], k=2, seed=0),
        fastae.MaskedAutoencoder([12, 8, 4], seed=0),
        fastae.MultinomialAutoencoder([12, 8, 4], seed=0),
        fastae.VariationalAutoencoder([12, 8, 4], seed=0),
        fastae.VariationalAutoencoder([12, 8, 4], decoder="multinomial", seed=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_inference_takes_sparse_rows(model, rng, monkeypatch):
    monkeypatch.setattr(fastae._check, "_DENSE", 7 * 12)  # rows at a time
    x = random_rows(rng)
    rows = sparse.csr_array(x)
    out = np.empty((len(x), 12), "float32")
    assert model.reconstruct(rows, out=out) is out
    np.testing.assert_allclose(out, model.reconstruct(x), rtol=1e-5, atol=1e-6)
    for call in (model.encode, model.reconstruct, model.reconstruction_error):
        np.testing.assert_allclose(call(rows), call(x), rtol=1e-5, atol=1e-6)
    if hasattr(model, "elbo"):
        np.testing.assert_allclose(model.elbo(rows, seed=0).mean(), model.elbo(x, seed=0).mean(), rtol=0.1)
        np.testing.assert_allclose(model.log_likelihood(rows, 50, seed=0), model.log_likelihood(x, 50, seed=0), rtol=1e-5)


def test_inference_of_wrong_sparse_rows():
    model = fastae.Autoencoder([12, 4], seed=0)
    for call in (model.encode, model.reconstruct, model.reconstruction_error):
        with pytest.raises(ValueError, match="x has NaN or infinity, the first in row 7, column 7"):
            call(bad(np.nan))
    with pytest.raises(TypeError, match="format 'csr', got 'csc'"):
        model.encode(GOOD.tocsc())
    with pytest.raises(TypeError, match=r"x takes an array here, got a sparse matrix; give x.toarray\(\)"):
        model.encoder[0].forward(GOOD)


GOOD = sparse.csr_array(np.eye(12, dtype="float32"))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: GOOD.tocsc(), TypeError, "x takes sparse matrices of format 'csr', got 'csc'; give x.tocsr()"),
        (lambda: GOOD.tocoo(), TypeError, "got 'coo'"),
        (lambda: GOOD.astype(np.int64), TypeError, "x takes a sparse matrix of float32 or float64, got int64"),
        (lambda: GOOD.astype(np.uint8), TypeError, "got uint8"),
        (lambda: GOOD[:, :5], ValueError, r"x takes a matrix of shape \(samples, 12\), got \(12, 5\)"),
        (lambda: GOOD[:0], ValueError, r"x is empty, of shape \(0, 12\)"),
        (lambda: bad(np.nan), ValueError, "x has NaN or infinity, the first in row 7, column 7"),
        (lambda: bad(np.inf), ValueError, "x has NaN or infinity, the first in row 7, column 7"),
        (lambda: bad(1e300), ValueError, r"x has numbers too large for float32, as 1e\+300, the first in row 7"),
    ],
)
@pytest.mark.parametrize("how", ["step", "fit", "evaluate", "partial_fit"])
def test_bad_rows(make, error, words, how):
    trainer = trainer_of("numpy")
    before = trainer.model.parameters.copy()
    with pytest.raises(error, match=words):
        getattr(trainer, how)(make())
    np.testing.assert_array_equal(trainer.model.parameters, before)
    assert (trainer.steps, trainer.epochs) == (0, 0)


def bad(value):
    x = GOOD.astype("float64")
    x[7, 7] = value
    return x


def test_limits_of_targets(rng):
    x = sparse.csr_array(random_rows(rng))
    trainer = trainer_of("numpy", loss="bce")
    trainer.fit(x, epochs=1)
    with pytest.raises(ValueError, match="x of loss 'bce' takes values from 0 to 1"):
        trainer.fit(2 * x, epochs=1)
    with pytest.raises(ValueError, match="x of loss 'bce' takes values from 0 to 1"):
        trainer.step(-x)


def test_scipy_is_not_imported():
    code = "import sys, numpy, fastae; fastae.Trainer(fastae.Autoencoder([4, 2], backend='numpy'), fastae.SGD(0.1))"
    code += ".fit(numpy.zeros((200, 4)), epochs=1); assert not any(name.startswith('scipy') for name in sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_sgd_of_sparse_rows_of_many_columns(backend, rng):
    x = sparse.random_array((64, 3000), density=0.01, format="csr", dtype="float32", rng=rng)
    losses = []
    for data in (x, x.toarray()):
        model = Autoencoder([3000, 4], seed=0, backend=backend)
        losses.append(Trainer(model, SGD(1.0), batch_size=16, seed=0).fit(data, epochs=2).loss)
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize("how", ["own target", "target", "sparse target"])
@pytest.mark.parametrize("noise", ["none", "masking", "multinomial"])
@pytest.mark.parametrize("optimizer", [SGD(0.1, 0.9), Adam(1e-2), RMSprop(1e-3)], ids=["momentum", "adam", "rmsprop"])
def test_few_values_in_many_columns(backend, rng, optimizer, noise, how):
    """Where rows are so sparse that the first layer works with their values alone, its weights turned."""
    x, other = (sparse.random_array((50, 300), density=0.03, format="csr", dtype="float32", rng=rng) for _ in range(2))
    weight, trainers, histories = rng.random(50), [], []
    for dense in (False, True):
        if noise == "multinomial":
            model = MultinomialAutoencoder([300, 20, 6], level=0.5, seed=0, backend=backend)
        elif noise == "masking":
            model = DenoisingAutoencoder([300, 20, 6], noise="masking", level=0.3, seed=0, backend=backend)
        else:
            model = Autoencoder([300, 20, 6], seed=0, backend=backend)
        target = {"own target": None, "target": other.toarray(), "sparse target": other.toarray() if dense else other}[how]
        trainers.append(Trainer(model, optimizer, "multinomial" if noise == "multinomial" else "mse", batch_size=16, seed=0))
        histories.append(trainers[-1].fit(x.toarray() if dense else x, target, epochs=3, sample_weight=weight).loss)
    np.testing.assert_allclose(*histories, rtol=2e-5)
    np.testing.assert_allclose(*(trainer.model.parameters for trainer in trainers), rtol=0, atol=2e-5)


@pytest.mark.parametrize("damage", ["index", "negative", "far", "pointer", "order"])
def test_a_matrix_whose_rows_or_columns_are_not_its_own_is_refused(damage):
    """Scipy makes such, and crashes on some."""
    a = sparse.csr_array(random_rows(np.random.default_rng(0), 20, density=0.3))
    if damage in ("index", "negative", "far"):
        a.indices[5] = {"index": 50, "negative": -3, "far": 10**8}[damage]
    else:
        a.indptr[5] = 10**6 if damage == "pointer" else -7
    model = fastae.Autoencoder([12, 3], seed=0)
    trainer = fastae.Trainer(model, SGD(0.1), batch_size=5)
    for call in (model.encode, model.reconstruct, trainer.fit, trainer.step, trainer.evaluate):
        with pytest.raises(ValueError, match="x takes a CSR matrix whose indptr and indices fit its shape"):
            call(a)
