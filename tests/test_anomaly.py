"""Anomaly detection: scores worked out anew, thresholds, files, wrong input; the command line."""

import json
import re

import numpy as np
import pytest
import safetensors.numpy

import fastae
from fastae import anomaly, cli
from fastae.anomaly import AnomalyDetector
from fastae.callbacks import Callback


def circle(n, seed=0, radius=1.0):
    """Points on a circle, in columns of scales 10 and 0.01, and a constant."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)
    return np.stack([10 * radius * np.cos(angle) + 5, 0.01 * radius * np.sin(angle), np.full(n, 3.0)], axis=1)


X = circle(400)


@pytest.fixture
def few_steps(monkeypatch):
    """Where it does not matter how well is learnt."""
    monkeypatch.setattr(anomaly, "_STEPS", 50)


@pytest.fixture(scope="module")
def detector():
    return AnomalyDetector(seed=0).fit(X)


def test_scores_worked_out_anew(detector):
    """Huber's loss of reconstructions of standardised columns, feature by feature."""
    x = circle(20, seed=1)
    x[0] = [5, 0, 1000.0]  # the middle, and another constant: far beyond 1
    z = (x - detector.columns.mean) / detector.columns.scale
    rebuilt = detector.model.reconstruct(z.astype(np.float32)).astype(float)
    expected = np.zeros(x.shape)
    for i, j in np.ndindex(*x.shape):
        e = abs(rebuilt[i, j] - z[i, j])
        expected[i, j] = e * e / 2 if e < 1 else e - 0.5
    np.testing.assert_allclose(detector.feature_error(x), expected, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(detector.score(x), expected.sum(axis=1) / 3, rtol=1e-5)
    assert detector.feature_error(x)[0].argmax() == 2
    assert expected[0, 2] > 900  # in units of a constant column, whose scale is 1


def test_columns_are_those_of_the_rows_learnt_from(detector, few_steps):
    assert detector.columns.scale[2] == 1
    assert detector.columns.mean[2] == 3
    learnt = AnomalyDetector(seed=0).fit(X[:9]).columns  # of fewer than ten rows, all
    np.testing.assert_allclose(learnt.mean[:2], X[:9, :2].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(learnt.scale[:2], X[:9, :2].std(axis=0), rtol=1e-12)


def test_it_tells_the_inside_of_a_circle_from_the_circle(detector):
    """Which no covariance can: the inside is nearer to the mean."""
    inside, outside = circle(200, seed=2, radius=0.4), circle(200, seed=3, radius=1.8)
    same = detector.score(circle(200, seed=4))
    for other in (inside, outside):
        assert np.mean(detector.score(other)[:, None] > same) > 0.98  # the area under the ROC curve
        assert detector.predict(other).mean() > 0.9
    assert detector.predict(circle(200, seed=4)).mean() < 0.15


def test_threshold_is_a_quantile_of_rows_not_learnt_from():
    """Else far more of other rows would be beyond it than asked for."""
    mixing = np.random.default_rng(0).normal(size=(10, 40))
    x, others = (np.random.default_rng(seed).normal(size=(n, 10)) @ mixing for seed, n in ((1, 300), (2, 2000)))
    detector = AnomalyDetector(0.2, seed=0).fit(x)
    assert detector.threshold > np.quantile(detector.score(x), 0.8)  # mostly rows learnt from
    assert abs(detector.predict(others).mean() - 0.2) < 0.15
    assert np.mean(detector.score(others) > np.quantile(detector.score(x), 0.8)) > 0.35


def test_calibrate_sets_the_threshold_by_other_rows(few_steps):
    others, detector = circle(4000, seed=1), AnomalyDetector(0.2).fit(X)
    detector.calibrate(others, 0.1)
    assert detector.predict(others).mean() == pytest.approx(0.1, abs=5e-4)
    detector.calibrate(others)  # the detector's own
    assert detector.predict(others).mean() == pytest.approx(0.2, abs=5e-4)
    detector.calibrate(others, quantile=0.75)
    assert detector.threshold == np.quantile(detector.score(others), 0.75)
    detector.calibrate(others, 0)
    assert not detector.predict(others).any()
    detector.threshold = 0.0
    assert detector.predict(others).all()


def test_quantile_is_the_rest_of_contamination(few_steps):
    thresholds = {AnomalyDetector(**rate).fit(X[:50]).threshold for rate in ({"contamination": 0.25}, {"quantile": 0.75})}
    assert len(thresholds) == 1


@pytest.mark.parametrize(("steps", "taken"), [(3, 3), (80, 80), (83, 80)])
def test_steps_are_about_so_many_and_watched(steps, taken):
    """1422 rows, of which 1280 are learnt from: ten batches an epoch."""

    class Watch(Callback):
        def on_fit_end(self, trainer, finished):
            self.steps = trainer.steps

    watch = Watch()
    AnomalyDetector(steps=steps).fit(circle(1422), callbacks=watch)
    assert watch.steps == taken


def test_same_seed_same_bits_on_any_number_of_threads(few_steps):
    detector, again = AnomalyDetector(seed=0, n_threads=1).fit(X), AnomalyDetector(seed=0, n_threads=2).fit(X.tolist())
    assert again.model.parameters.tobytes() == detector.model.parameters.tobytes()
    assert again.threshold == detector.threshold
    assert np.array_equal(again.score(X), detector.score(X))
    assert AnomalyDetector(seed=1).fit(X).threshold != detector.threshold


def test_a_row_has_one_score_whatever_stands_beside_it(detector):
    np.testing.assert_allclose(detector.score(X[7:8]), detector.score(X)[7:8], rtol=1e-4)


def test_a_saved_detector_is_the_same(detector, tmp_path):
    path = tmp_path / "d.safetensors"
    detector.save(path)
    loaded = AnomalyDetector.load(path)
    assert np.array_equal(loaded.score(X), detector.score(X))
    assert loaded.threshold == detector.threshold
    assert loaded.quantile == detector.quantile
    assert isinstance(fastae.load(path), fastae.DenoisingAutoencoder)


def rewritten(path, change):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        metadata = json.loads(file.read(size))["__metadata__"]
    own = json.loads(metadata["fastae.anomaly"])
    change(own)
    arrays = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file(arrays, path, metadata | {"fastae.anomaly": json.dumps(own)})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda own: own.pop("mean"), "mean"),
        (lambda own: own["mean"].pop(), "not 3"),
        (lambda own: own.update(scale=[1, 0, 1]), "positive"),
        (lambda own: own.update(mean=[1, float("nan"), 1]), "finite"),
        (lambda own: own.update(threshold=-1), "threshold takes"),
        (lambda own: own.update(quantile="high"), "quantile takes"),
        (lambda own: own.pop("threshold"), "threshold"),
    ],
)
def test_a_wrong_file_is_refused(detector, tmp_path, change, says):
    path = tmp_path / "d.safetensors"
    detector.save(path)
    rewritten(path, change)
    with pytest.raises(ValueError, match=says):
        AnomalyDetector.load(path)


def test_a_plain_model_is_no_detector(tmp_path):
    path = tmp_path / "m.safetensors"
    fastae.DenoisingAutoencoder([3, 2], seed=0).save(path)
    with pytest.raises(ValueError, match=r"not one of fastae\.anomaly"):
        AnomalyDetector.load(path)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_other_dtypes(dtype, few_steps):
    images = np.random.default_rng(0).integers(0, 256, (60, 4), dtype=np.uint8)
    x = images if dtype == "uint8" else (images / 255).astype(dtype)
    scores = AnomalyDetector().fit(x).score(x)
    np.testing.assert_allclose(scores, AnomalyDetector().fit(images / 255).score(images / 255), rtol=1e-3)


def test_all_columns_constant(few_steps):
    """Nothing is learnt but the constant; what differs from it is an anomaly."""
    detector = AnomalyDetector().fit(np.full((30, 4), 7.5))
    assert detector.predict(np.array([[7.5, 7.5, 7.5, 7.5], [7.5, 9, 7.5, 7.5]])).tolist() == [False, True]


def test_numbers_too_large_to_square(detector, few_steps):
    x = np.array([[1e300, 0, 3], [-1e300, 0, 3]])
    assert np.isfinite(detector.score(x)).all()
    assert detector.predict(x).all()
    assert np.isfinite(AnomalyDetector().fit(X * [1e200, 1e-200, 1]).score(X * [1e200, 1e-200, 1])).all()


NAN, INF = X.copy(), X.copy()
NAN[3, 1], INF[5, 0] = np.nan, np.inf
LABELS = np.zeros(400, int)
BAD = [  # x of fit, what is said
    (NAN, "x has NaN or infinity, the first in row 3, column 1"),
    (INF, "row 5, column 0"),
    (X[:1], "at least 2 rows to learn from, got 1"),
    (X[:0], r"\(rows, columns\), at least one of each; got shape \(0, 3\)"),
    (X[:, :0], r"\(400, 0\)"),
    (X[0], r"\(3,\)"),
    (LABELS, r"\(400,\)"),
    ([[1.0, 2.0], [3.0]], "x takes a table"),
    ("table.csv", "x takes a table"),
    (None, "x takes a table"),
]


@pytest.mark.parametrize(("x", "says"), BAD)
def test_wrong_tables(x, says):
    with pytest.raises(ValueError, match=says):
        AnomalyDetector().fit(x)


@pytest.mark.parametrize("x", [LABELS[:, None], X > 0, X.astype(complex), X.astype(object), X.astype(str)])
def test_wrong_dtypes(detector, x):
    """Labels in place of rows are among these."""
    with pytest.raises(TypeError, match=r"x takes float32, float64 or uint8 .*, got"):
        AnomalyDetector().fit(x)
    if x.shape[1] == 3:
        with pytest.raises(TypeError, match="x takes float32"):
            detector.score(x)


@pytest.mark.parametrize("method", ["score", "feature_error", "predict", "calibrate"])
@pytest.mark.parametrize(
    ("x", "says"),
    [(X[:, :2], r"\(samples, 3\), got \(400, 2\)"), (np.hstack([X, X]), r"got \(400, 6\)"), (NAN, "NaN"), (X[:0], "empty")],
)
def test_wrong_rows(detector, method, x, says):
    before = detector.threshold
    with pytest.raises(ValueError, match=says):
        getattr(detector, method)(x)
    assert detector.threshold == before


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"contamination": -0.1}, ValueError, "contamination takes a number from 0 to 0.5, got -0.1"),
        ({"contamination": 0.6}, ValueError, "got 0.6"),
        ({"contamination": float("nan")}, ValueError, "got nan"),
        ({"contamination": "auto"}, TypeError, "contamination takes"),
        ({"contamination": LABELS}, TypeError, "contamination takes"),
        ({"quantile": 0.4}, ValueError, "quantile takes a number from 0.5 to 1, got 0.4"),
        ({"quantile": 1.1}, ValueError, "got 1.1"),
        ({"contamination": 0.1, "quantile": 0.9}, ValueError, "not both"),
        ({"seed": -1}, ValueError, "seed takes"),
        ({"n_threads": 0}, ValueError, "n_threads takes"),
        ({"backend": "xx"}, ValueError, "backend takes one of"),
        ({"steps": 0}, ValueError, "steps takes a positive integer, got 0"),
    ],
)
def test_wrong_arguments(arguments, error, says):
    with pytest.raises(error, match=says):
        AnomalyDetector(**arguments)


def test_a_quantile_that_is_set_is_looked_at(few_steps):
    detector = AnomalyDetector(0.2)
    with pytest.raises(ValueError, match=r"quantile takes a number from 0\.5 to 1, got 5"):
        detector.quantile = 5
    detector.quantile = 0.95
    assert detector.fit(X).threshold == AnomalyDetector(0.05).fit(X).threshold


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_is_an_array(few_steps):
    detector = AnomalyDetector().fit(np.asmatrix(X))
    assert np.array_equal(detector.score(np.asmatrix(X)), AnomalyDetector().fit(X).score(X))


def test_labels_are_ignored(few_steps):
    assert np.array_equal(AnomalyDetector().fit(X, np.ones(len(X))).score(X), AnomalyDetector().fit(X).score(X))


def test_ends_of_the_ranges_are_taken():
    assert AnomalyDetector(0).quantile == 1
    assert AnomalyDetector(0.5).quantile == 0.5
    assert AnomalyDetector(quantile=1).quantile == 1


@pytest.mark.parametrize("name", ["threshold", "model", "columns"])
def test_an_unfitted_detector_says_so(name):
    with pytest.raises(RuntimeError, match="call fit"):
        getattr(AnomalyDetector(), name)


def test_a_failed_fit_changes_nothing(detector):
    before = detector.score(X)
    with pytest.raises(ValueError, match="NaN"):
        detector.fit(NAN)
    assert np.array_equal(detector.score(X), before)


# ---- the command line ------------------------------------------------------------------------------------------------


def test_detect_then_score(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    test = np.vstack([circle(50, seed=5), [[7.0, 0.003, 3.0]]])
    np.savetxt("good.csv", X, delimiter=",", header="a,b,c", comments="")
    np.savetxt("new.csv", test, delimiter=",")
    assert cli.main(["detect", "good.csv", "new.csv", "--contamination", "0.02", "--output", "scores.csv"]) == 0
    printed = capsys.readouterr().out
    assert "of 51 rows score more than" in printed
    assert re.search(r"^row 50: .*, above all from [ab](, [ab])?$", printed, re.MULTILINE)  # names, and not of all columns
    scores = np.loadtxt("scores.csv")
    detector = AnomalyDetector.load("good-detector.safetensors")
    assert detector.quantile == 0.98
    np.testing.assert_allclose(detector.score(test), scores, rtol=1e-8)
    assert cli.main(["score", "good-detector.safetensors", "new.csv", "--output", "again.npy"]) == 0
    assert "of 51 rows score more than" in capsys.readouterr().out
    np.testing.assert_allclose(np.load("again.npy"), scores, rtol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["detect", "none.csv"], "none.csv: No such file"),
        (["detect", "nan.csv"], "row 1, column 1"),
        (["detect", "good.csv", "nan.csv"], "nan.csv has NaN or infinity, the first in row 1, column 1"),
        (["detect", "good.csv", "--output", "o.xyz"], "the name ends in '.xyz'"),
        (["detect", "good.csv", "--model", "none/m"], "none/m: No such file"),
        (["detect", "good.csv", "--output", "good.csv"], "over good.csv, which is read"),
        (["detect", "good.csv", "wide.csv", "--model", "wide.csv"], "over wide.csv, which is read"),
        (["detect", "one.csv"], "at least 2 rows"),
        (["detect", "abc.csv", "bac.csv"], "bac.csv has the column 'b' where abc.csv has 'a'"),
        (["detect", "good.csv", "wide.csv"], "wide.csv has 4 columns, good.csv has 3"),
        (["detect", "good.csv", "--contamination", "0.9"], "from 0 to 0.5, got 0.9"),
        (["detect", "good.csv", "--contamination", "0.1", "--quantile", "0.9"], "not allowed with"),
        (["score", "detector.safetensors", "wide.csv"], "(samples, 3), got (2, 4)"),
        (["score", "detector.safetensors", "nan.csv"], "NaN"),
    ],
)
def test_wrong_commands(detector, tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    detector.save("detector.safetensors")
    for name, text in (
        ("good", "0,1,0\n1,0,1\n"),
        ("nan", "1,2,3\n4,nan,6\n"),
        ("one", "1,2,3\n"),
        ("abc", "a,b,c\n1,2,3\n4,5,6\n"),
        ("bac", "b,a,c\n1,2,3\n4,5,6\n"),
        ("wide", "1,2,3,4\n5,6,7,8\n"),
    ):
        (tmp_path / f"{name}.csv").write_text(text)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(fastae.Trainer, "fit", lambda *_, **__: pytest.fail("the training has begun"))
    try:
        code = cli.main(arguments)
    except SystemExit as exit_:  # argparse's own
        code = exit_.code
    assert code == 2
    assert says in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
