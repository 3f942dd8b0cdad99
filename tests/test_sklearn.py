"""Estimators for scikit-learn: its whole check of each; faces of fastae and no more; pipelines, searches, frames."""

import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import fastae

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastae import anomaly, denoising, imputation
from fastae.sklearn import (
    AnomalyDetector,
    AutoencoderImputer,
    AutoencoderTransformer,
    DenoisingTransformer,
    VAETransformer,
)

SMALL = [
    AutoencoderTransformer(max_iter=5, n_threads=1),
    AutoencoderTransformer(max_iter=5, optimizer="sgd", activation="tanh", loss="half_squared", n_threads=1),
    VAETransformer(max_iter=5, n_threads=1),
    DenoisingTransformer(hidden_layer_sizes=16, epochs=2, n_threads=1),
    DenoisingTransformer(noise="masking", hidden_layer_sizes=(16, 8), epochs=2, n_threads=1),
    AnomalyDetector(steps=200, n_threads=1),  # with so few as 20, float32 rounds more than the checks forgive
    AutoencoderImputer(steps=20, n_threads=1),
]
ONE_OF_EACH = [SMALL[0], *SMALL[2:4], *SMALL[5:]]


def each(estimators=ONE_OF_EACH):
    return pytest.mark.parametrize("estimator", [clone(e) for e in estimators], ids=lambda e: type(e).__name__)


@pytest.fixture(scope="module")
def digits():
    x, labels = fastae.datasets.load_digits()
    return x[:400].astype(np.float64), labels[:400]


@pytest.mark.filterwarnings("ignore")  # of the checks themselves
@parametrize_with_checks(SMALL)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# ---- faces ----------------------------------------------------------------------------------------------------------


def test_autoencoder_is_that_of_fastae(digits):
    x, _ = digits
    given = AutoencoderTransformer(
        3, hidden_layer_sizes=(20, 10), activation="tanh", output_activation="sigmoid", loss="bce", learning_rate=0.01,
        batch_size=50, max_iter=4, random_state=7,
    ).fit(x)  # fmt: skip
    rng = np.random.default_rng(7)
    model = fastae.Autoencoder([64, 20, 10, 3], "tanh", output_activation="sigmoid", dtype="float64", seed=rng)
    history = fastae.Trainer(model, fastae.Adam(0.01), "bce", 50, rng).fit(x, epochs=4)
    assert given.model_.parameters.tobytes() == model.parameters.tobytes()
    assert given.loss_curve_ == history.loss
    assert given.n_iter_ == 4
    np.testing.assert_array_equal(given.transform(x), model.encode(x))
    np.testing.assert_array_equal(given.inverse_transform(given.transform(x)), model.reconstruct(x))
    assert given.score(x) == pytest.approx(-np.mean((model.reconstruct(x) - x) ** 2))
    weights = np.arange(400.0)
    by_hand = -np.average(np.mean((model.reconstruct(x) - x) ** 2, axis=1), weights=weights)
    assert given.score(x, sample_weight=weights) == pytest.approx(by_hand)


def test_vae_is_that_of_fastae(digits):
    x, _ = digits
    given = VAETransformer(3, hidden_layer_sizes=20, decoder="bernoulli", beta=0.5, max_iter=3, random_state=7).fit(x)
    rng = np.random.default_rng(7)
    model = fastae.VariationalAutoencoder([64, 20, 3], decoder="bernoulli", beta=0.5, dtype="float64", seed=rng)
    fastae.Trainer(model, fastae.Adam(1e-3), None, 128, rng).fit(x, epochs=3)
    np.testing.assert_array_equal(given.transform(x), model.encode(x))
    np.testing.assert_array_equal(given.inverse_transform(given.transform(x)), model.reconstruct(x))
    np.testing.assert_array_equal(given.sample(5, random_state=1), model.sample(5, seed=1))
    assert given.score(x) == model.elbo(x, seed=0).mean() == given.score(x)


def test_denoiser_is_that_of_fastae(digits):
    x, _ = digits
    rng = np.random.default_rng(0)
    noisy = x + rng.normal(0, 0.3, x.shape)
    given = DenoisingTransformer(0.3, hidden_layer_sizes=16, epochs=3, random_state=7).fit(x)
    own = denoising.Denoiser(16, epochs=3, seed=7).fit_clean(x, 0.3)
    np.testing.assert_array_equal(given.transform(noisy), own.denoise(noisy))
    pairs = DenoisingTransformer(noise=None, hidden_layer_sizes=16, epochs=3, random_state=7).fit(noisy, x.tolist())
    own = denoising.Denoiser(16, epochs=3, seed=7).fit(noisy, x)
    np.testing.assert_array_equal(pairs.transform(noisy), own.denoise(noisy))


def test_detector_is_that_of_fastae(digits):
    x, _ = digits
    own = anomaly.AnomalyDetector(steps=100, seed=7).fit(x)
    given = AnomalyDetector(steps=100, random_state=7).fit(x)
    np.testing.assert_array_equal(given.score_samples(x), -own.score(x))
    assert given.offset_ == -own.threshold
    np.testing.assert_array_equal(given.predict(x) == -1, own.predict(x))
    given = AnomalyDetector(0.1, steps=100, random_state=7).fit(x)
    assert np.count_nonzero(given.predict(x) == -1) == 40  # of the rows learnt from, whichever the seed held back
    np.testing.assert_array_equal(given.decision_function(x), given.score_samples(x) - given.offset_)
    np.testing.assert_array_equal(given.fit_predict(x), given.predict(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_imputer_is_that_of_fastae(digits, dtype):
    x = digits[0].astype(dtype)
    x[np.random.default_rng(0).random(x.shape) < 0.2] = np.nan
    x[:, 0] = 1
    filled = AutoencoderImputer(steps=50, random_state=7).fit_transform(x)
    own = imputation.Imputer(steps=50, seed=7).fit_transform(x)
    assert filled.dtype == dtype
    np.testing.assert_array_equal(filled, own)


# ---- weights, sparse rows, parts ------------------------------------------------------------------------------------


def test_weight_two_is_a_row_twice(digits):
    """In one batch; and weights all alike are none, in several, to the bit."""
    x, _ = digits
    weights = np.ones(100)
    weights[:30] = 2
    a = AutoencoderTransformer(4, max_iter=10, random_state=0).fit(x[:100], sample_weight=weights)
    b = AutoencoderTransformer(4, max_iter=10, random_state=0, batch_size=130).fit(np.vstack([x[:30], x[:100]]))
    np.testing.assert_allclose(a.transform(x), b.transform(x), rtol=1e-6, atol=1e-9)
    a, b = (AutoencoderTransformer(4, max_iter=3, random_state=0).fit(x, sample_weight=w) for w in (None, np.full(len(x), 8.0)))
    np.testing.assert_array_equal(a.transform(x), b.transform(x))


@each([AutoencoderTransformer(4, max_iter=3, random_state=0), VAETransformer(4, max_iter=3, random_state=0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sparse_rows_are_as_dense_ones(digits, estimator, dtype):
    sparse = pytest.importorskip("scipy.sparse")
    x = np.where(digits[0] > 0.5, digits[0], 0).astype(dtype)
    dense, thin = clone(estimator).fit(x), clone(estimator).fit(sparse.csr_array(x))
    assert thin.transform(sparse.csr_matrix(x)).dtype == dtype
    np.testing.assert_array_equal(dense.transform(x), thin.transform(sparse.coo_array(x)))
    assert dense.score(x) == pytest.approx(thin.score(sparse.csr_array(x)))
    clone(estimator).partial_fit(sparse.csr_array(x))


def test_sparse_rows_stay_sparse():
    """At no time is more than a part of 20000 x 2000 numbers, which take 160 MB, made dense."""
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.random(20000, 2000, 0.001, "csr", np.float32, np.random.default_rng(0))
    tracemalloc.start()
    given = AutoencoderTransformer(4, hidden_layer_sizes=8, max_iter=1, n_threads=1).fit(x)
    given.transform(x)
    given.score(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6


def test_partial_fit_goes_on(digits):
    x, _ = digits
    parts = AutoencoderTransformer(4, batch_size=50, random_state=0)
    for _ in range(3):
        for start in range(0, 400, 100):
            parts.partial_fit(x[start : start + 100])
    rng = np.random.default_rng(0)
    model = fastae.Autoencoder([64, 128, 4], output_activation="identity", dtype="float64", seed=rng)
    fastae.Trainer(model, fastae.Adam(1e-3), "mse", 50, rng).fit(x, epochs=3, shuffle=False)
    np.testing.assert_array_equal(parts.transform(x), model.encode(x))
    assert parts.n_iter_ == len(parts.loss_curve_) == 12
    before = parts.score(x)
    assert pickle.loads(pickle.dumps(parts)).partial_fit(x).score(x) > before
    assert parts.fit(x).n_iter_ == 100  # anew


def test_no_weight_is_without_effect(digits):
    x, _ = digits
    a, b = (AutoencoderTransformer(4, random_state=0) for _ in range(2))
    a.partial_fit(x, sample_weight=np.r_[np.zeros(200), np.ones(200)])
    b.partial_fit(x[200:])
    assert abs(a.transform(x) - b.transform(x)).max() > 1e-3  # a row without weight still is a part of its batch
    weights = np.r_[np.ones(128), np.zeros(72)]
    a = AutoencoderTransformer(4, batch_size=200, max_iter=5, random_state=0).fit(x[:200], sample_weight=weights)
    b = AutoencoderTransformer(4, max_iter=5, random_state=0).fit(x[:128])
    np.testing.assert_allclose(a.transform(x), b.transform(x), rtol=1e-6, atol=1e-9)


# ---- scikit-learn's tools -------------------------------------------------------------------------------------------


@each()
def test_the_same_seed_gives_the_same_bits(digits, estimator):
    """On any number of threads; a RandomState is drawn from, NumPy's global state is not touched."""
    x, _ = digits
    np.random.seed(0)  # noqa: NPY002 (what must stay as it is)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    method = "transform" if hasattr(estimator, "transform") else "score_samples"

    def results(state, n_threads=1):
        fitted = clone(estimator).set_params(random_state=state, n_threads=n_threads).fit(x)
        return getattr(fitted, method)(x)

    one, two, other = results(3), results(3, 2), results(None)
    assert one.tobytes() == two.tobytes()
    assert (method == "transform" and isinstance(estimator, AutoencoderImputer)) or one.tobytes() != other.tobytes()
    same = [results(np.random.RandomState(5)) for _ in range(2)]
    assert same[0].tobytes() == same[1].tobytes()
    assert results(np.random.default_rng(3)).tobytes() == one.tobytes()
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@each()
def test_a_pickle_is_the_same(digits, estimator):
    x, _ = digits
    estimator.fit(x)
    method = "transform" if hasattr(estimator, "transform") else "score_samples"
    again = pickle.loads(pickle.dumps(estimator))
    assert getattr(again, method)(x).tobytes() == getattr(estimator, method)(x).tobytes()
    assert not hasattr(clone(estimator), "n_features_in_")


@pytest.mark.parametrize("library", ["pandas", "polars"])
@each([e for e in ONE_OF_EACH if hasattr(e, "transform")])
def test_frames_in_and_out(digits, estimator, library):
    frames = pytest.importorskip(library)
    x, names = digits[0][:, :8].copy(), [f"pixel {number}" for number in range(8)]
    table = frames.DataFrame(dict(zip(names, x.T, strict=True)))
    codes = estimator.set_output(transform=library).fit_transform(table)
    prefix = type(estimator).__name__.lower()
    own = isinstance(estimator, (AutoencoderTransformer, VAETransformer))
    assert isinstance(codes, frames.DataFrame)
    assert list(codes.columns) == ([f"{prefix}{number}" for number in range(8)] if own else names)
    assert list(estimator.get_feature_names_out()) == list(codes.columns)
    estimator.set_output(transform="default")
    assert isinstance(estimator.transform(table), np.ndarray)
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.transform(table.rename(columns={"pixel 0": "p"}) if library == "pandas" else table.rename({"pixel 0": "p"}))


@pytest.mark.parametrize("library", ["numpy", "torch", "polars", "pyarrow"])
def test_float32_of_other_libraries_stays_float32(digits, library):
    pytest.importorskip(library)
    x = digits[0][:, :8].astype("float32")
    columns = {f"pixel {number}": column.copy() for number, column in enumerate(x.T)}
    given = {
        "numpy": lambda: x.astype(">f4"),
        "torch": lambda: sys.modules["torch"].from_numpy(x),
        "polars": lambda: sys.modules["polars"].DataFrame(columns),
        "pyarrow": lambda: sys.modules["pyarrow"].table(columns),
    }[library]()
    encoder = AutoencoderTransformer(2, max_iter=2, random_state=0).fit(given)
    assert encoder.model_.dtype == np.float32
    codes = AutoencoderTransformer(2, max_iter=2, random_state=0).fit_transform(x)
    np.testing.assert_array_equal(encoder.transform(given), codes, strict=True)


@each()
def test_masked_elements_are_refused(digits, estimator):
    """What lies under a mask is no number to learn from."""
    x = np.ma.masked_equal(digits[0], 0)
    with pytest.raises(ValueError, match="X has masked elements; fill them first"):
        estimator.fit(x)
    estimator.fit(np.ma.array(digits[0]))
    with pytest.raises(ValueError, match="X has masked elements; fill them first"):
        getattr(estimator, "transform", getattr(estimator, "predict", None))(x)


def test_missing_values_of_a_frame_are_filled():
    pandas = pytest.importorskip("pandas")
    a = np.random.default_rng(0).normal(size=300)
    table = pandas.DataFrame({"a": a, "b": 2 * a})
    table.loc[7, "b"] = None
    imputer = AutoencoderImputer(steps=500, random_state=0).set_output(transform="pandas")
    filled = imputer.fit_transform(table)
    assert filled.loc[7, "b"] == pytest.approx(2 * a[7], abs=0.3)
    assert filled.drop(index=7).equals(table.drop(index=7))


def test_search_in_a_pipeline(digits):
    x, labels = digits
    pipeline = make_pipeline(
        StandardScaler(), AutoencoderTransformer(batch_size=32, random_state=0, n_threads=1), LogisticRegression(max_iter=1000)
    )
    search = GridSearchCV(pipeline, {"autoencodertransformer__n_components": [1, 16]}, n_jobs=2, cv=2).fit(x, labels)
    assert search.best_params_ == {"autoencodertransformer__n_components": 16}
    assert search.best_score_ > 0.8


def test_search_by_own_score(digits):
    search = GridSearchCV(AutoencoderTransformer(max_iter=20, random_state=0), {"n_components": [1, 16]}, cv=2).fit(digits[0])
    assert search.best_params_ == {"n_components": 16}


def test_all_in_one_pipeline(digits):
    """Incomplete rows are filled, denoised, encoded, and judged."""
    x = np.where(np.random.default_rng(0).random(digits[0].shape) < 0.1, np.nan, digits[0])
    steps = (SMALL[6], SMALL[3], StandardScaler(), SMALL[2], SMALL[5])
    assert set(make_pipeline(*map(clone, steps)).fit(x).predict(x)) == {-1, 1}


@each()
def test_verbose_shows_a_bar(digits, estimator, monkeypatch, capsys):
    x = digits[0][:50]
    quiet = clone(estimator).fit(x)
    assert capsys.readouterr().err == ""
    monkeypatch.setitem(sys.modules, "ipykernel", sys)  # as in a notebook, whose stderr is no terminal
    loud = clone(estimator).set_params(verbose=2).fit(x)
    shown = capsys.readouterr().err
    assert "samples/s, loss " in shown or "sample/s, loss " in shown
    assert shown.count("\n") < 3
    assert quiet.get_params() | {"verbose": 2} == loud.get_params()
    with pytest.raises(ValueError, match="verbose takes an integer >= 0, got -1"):
        clone(estimator).set_params(verbose=-1).fit(x)
    with pytest.raises(TypeError, match="verbose takes an integer >= 0, got 'yes'"):
        clone(estimator).set_params(verbose="yes").fit(x)


def callbacks():
    return pytest.importorskip("sklearn.callback", reason="callbacks need scikit-learn 1.9")


@each()
def test_callbacks_are_told_of_epochs(digits, estimator):
    callbacks()

    class Seen:
        def __init__(self):
            self.begun, self.ended = [], []

        def setup(self, estimator, context):
            self.context = context

        def on_fit_task_begin(self, estimator, context):
            self.begun.append(context.task_name)

        def on_fit_task_end(self, estimator, context):
            self.ended.append(context.task_name)

        def teardown(self, estimator, context):
            self.context = None

    seen = Seen()
    estimator.set_callbacks(seen).fit(digits[0])
    epochs = {AutoencoderTransformer: 5, VAETransformer: 5, DenoisingTransformer: 0}.get(type(estimator))
    assert seen.begun[0] == seen.ended[-1] == "fit"
    assert set(seen.begun[1:]) <= {"epoch"}
    assert sorted(seen.begun) == sorted(seen.ended)
    assert len(seen.begun) == 1 + epochs if epochs is not None else len(seen.begun) > 10
    assert seen.context is None


def test_callbacks_judge_each_epoch_and_may_end_the_fit(digits):
    library = callbacks()
    x, labels = digits
    monitor = library.ScoringMonitor(scoring=lambda estimator, x, y: {"score": estimator.score(x)})

    class Enough:
        def setup(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...
        def on_fit_task_end(self, estimator, context):
            return context.task_name == "epoch" and context.task_id == 2

        def teardown(self, estimator, context): ...

    given = AutoencoderTransformer(max_iter=50, random_state=0).set_callbacks(monitor, Enough()).fit(x, labels)
    scores = [entry["score"] for entry in monitor.get_logs().data if entry["task_name"] == "epoch"]
    assert given.n_iter_ == len(scores) == 3
    assert scores[0] < scores[1] < scores[2] == given.score(x)


# ---- wrong arguments ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "error", "says"),
    [
        (AutoencoderTransformer(0), ValueError, "n_components takes a positive integer, got 0"),
        (AutoencoderTransformer(2.5), TypeError, "n_components takes a positive integer"),
        (AutoencoderTransformer(hidden_layer_sizes=(8, 0)), ValueError, "hidden_layer_sizes takes a positive integer, got 0"),
        (AutoencoderTransformer(hidden_layer_sizes="8"), TypeError, "hidden_layer_sizes takes an integer or a sequence"),
        (AutoencoderTransformer(activation="relux"), ValueError, "activation takes"),
        (AutoencoderTransformer(output_activation="relux"), ValueError, "output_activation takes"),
        (AutoencoderTransformer(loss="poisson"), ValueError, "loss takes one of 'mse'"),
        (AutoencoderTransformer(loss="bce"), ValueError, "loss 'bce' takes outputs from 0 to 1"),
        (AutoencoderTransformer(optimizer="lbfgs"), ValueError, "optimizer takes one of 'adam'"),
        (AutoencoderTransformer(learning_rate=-1), ValueError, "learning_rate takes a finite number >= 0, got -1"),
        (AutoencoderTransformer(batch_size=0), ValueError, "batch_size takes a positive integer, got 0"),
        (AutoencoderTransformer(max_iter=0), ValueError, "max_iter takes a positive integer, got 0"),
        (AutoencoderTransformer(random_state="0"), ValueError, "random_state takes an integer"),
        (AutoencoderTransformer(n_threads=0), ValueError, "n_threads takes"),
        (VAETransformer(decoder="poisson"), ValueError, "decoder takes one of 'bernoulli'"),
        (VAETransformer(beta=-1), ValueError, "beta takes"),
        (DenoisingTransformer(-1), ValueError, "level takes a standard deviation >= 0"),
        (DenoisingTransformer(1, noise="masking"), ValueError, "level takes a probability"),
        (DenoisingTransformer(noise="salt"), ValueError, "noise takes one of"),
        (DenoisingTransformer(noise=None), ValueError, "y takes the clean rows of X where noise is None, got None"),
        (DenoisingTransformer(epochs=0), ValueError, "epochs takes a positive integer, got 0"),
        (AnomalyDetector(0.6), ValueError, "contamination takes a number from 0 to 0.5, got 0.6"),
        (AnomalyDetector("some"), TypeError, "contamination takes a number from 0 to 0.5, got 'some'"),
        (AnomalyDetector(steps=0), ValueError, "steps takes a positive integer, got 0"),
        (AutoencoderImputer(steps=0), ValueError, "steps takes a positive integer, got 0"),
    ],
)
def test_wrong_arguments(estimator, error, says):
    """Are found by fit, as scikit-learn wants it, and leave an estimator that was not fitted."""
    with pytest.raises(error, match=says):
        estimator.fit(np.random.default_rng(0).random((20, 4)))
    with pytest.raises(NotFittedError):
        (getattr(estimator, "transform", None) or estimator.predict)(np.zeros((2, 4)))


def test_wrong_rows(digits):
    x, _ = digits
    given = AutoencoderTransformer(4, max_iter=1).fit(x)
    with pytest.raises(ValueError, match=r"X takes an array of shape \(samples, 4\), got \(2, 5\)"):
        given.inverse_transform(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"sample_weight takes numbers of shape \(400,\)"):
        given.fit(x, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match="of at least 0, got -1"):
        given.fit(x, sample_weight=-np.ones(400))
    with pytest.raises(ValueError, match=r"y takes the clean rows of X, of shape \(400, 64\); got \(400, 3\)"):
        DenoisingTransformer(noise=None).fit(x, x[:, :3])
    for estimator in (AnomalyDetector(), DenoisingTransformer(), AutoencoderImputer()):
        with pytest.raises(ValueError, match="minimum of 2 is required"):
            estimator.fit(x[:1])


def test_nothing_of_it_is_imported_with_fastae():
    code = (
        "import sys, fastae; assert 'sklearn' not in sys.modules; fastae.sklearn.VAETransformer; assert sys.modules['sklearn']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_scikit_learn_it_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; import fastae.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'fastae[sklearn]'" in done.stderr


def test_clean_rows_that_are_not_learnt_from_are_told_of(rng):
    x = rng.standard_normal((20, 5))
    with pytest.warns(UserWarning, match="y is ignored.*noise=None"):
        DenoisingTransformer(epochs=1, hidden_layer_sizes=(4,)).fit(x, x)
