"""Features: histograms and codes worked out anew, what they are worth to a classifier, files, wrong input; the command line."""

import json
import math

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fastae
from fastae import cli, imputation, tables
from fastae.features import FeatureExtractor, extractor, gradients
from fastae.imputation import Imputer

DIGITS, LABELS = fastae.datasets.load_digits()


def table(n, seed=0):
    """Five columns of two numbers, of scales from 1e-3 to 1e3, the fourth a constant."""
    a, b = np.random.default_rng(seed).normal(size=(2, n, 1))
    return np.hstack([a, 1e3 * b + 500, 1e-3 * (a - b), np.full((n, 1), 7.25), 10 * (a + b) - 3])


@pytest.fixture
def few_steps(monkeypatch):
    """Where it does not matter how well is learnt."""
    monkeypatch.setattr(extractor, "_STEPS", 30)


@pytest.fixture(scope="module")
def learnt():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extractor, "_STEPS", 1000)
        return FeatureExtractor(8, shape=(8, 8), seed=0).fit(DIGITS[:1400])


# ---- gradients


def test_an_edge_by_hand():
    """Dark on the right: both columns beside the edge have a gradient of 1 to the right, the first of eight directions."""
    image = np.array([[0, 0, 1, 1]] * 4, np.float32)
    found = gradients(image.reshape(1, 16), (4, 4)).reshape(4, 4, 8)
    expected = np.zeros((4, 4, 8))
    expected[:, 1:3, 0] = 1
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(gradients(1 - image.reshape(1, 16), (4, 4)).reshape(4, 4, 8)[:, 1:3, 4], np.ones((4, 2)))


def test_gradients_pixel_by_pixel(rng):
    """Of an image that is no square, cells of different sizes."""
    height, width = 9, 16
    images = rng.random((3, height, width), np.float32)
    expected = np.zeros((3, 7, 7, 8))
    rows, columns = ([side * i // 7 for i in range(8)] for side in (height, width))
    for n, i, j in np.ndindex(images.shape):
        down = images[n, i + 1, j] - images[n, i - 1, j] if 0 < i < height - 1 else 0
        right = images[n, i, j + 1] - images[n, i, j - 1] if 0 < j < width - 1 else 0
        turn = (math.atan2(down, right) / (2 * math.pi) * 8) % 8
        cell = np.searchsorted(rows, i, "right") - 1, np.searchsorted(columns, j, "right") - 1
        size = (rows[cell[0] + 1] - rows[cell[0]]) * (columns[cell[1] + 1] - columns[cell[1]])
        for part, share in ((int(turn), 1 - turn % 1), (int(turn) + 1, turn % 1)):
            expected[n, *cell, part % 8] += math.hypot(down, right) * share / size
    found = gradients(images.reshape(3, -1), (height, width))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.sqrt(expected).reshape(3, -1), atol=2e-4)


@pytest.mark.parametrize("shape", [(3, 3), (3, 9), (7, 7), (8, 8), (28, 28)])
def test_gradients_of_any_shape(shape):
    found = gradients(np.ones((2, math.prod(shape))), shape)
    assert found.shape == (2, min(shape[0], 7) * min(shape[1], 7) * 8)
    assert not found.any()


def test_gradients_of_bytes_are_those_of_parts_of_255(rng):
    x = rng.integers(0, 256, (2, 64), dtype=np.uint8)
    np.testing.assert_allclose(gradients(x, (8, 8)), gradients(x / 255, (8, 8)), atol=1e-5)
    np.testing.assert_array_equal(gradients((x / 255).tolist(), [8, 8]), gradients(x / 255, (8, 8)))


def test_at_a_border_the_difference_across_it_is_0():
    image = np.add.outer([0, 1, 2], [0.0, 0, 0])
    found = gradients(image.reshape(1, 9), (3, 3)).reshape(3, 3, 8)
    assert found[1, :, 2] == pytest.approx(2**0.5)  # downwards, at the left and the right border too
    assert not found[::2].any()


@pytest.mark.parametrize(
    ("x", "shape", "error", "says"),
    [
        (None, (8, 8), ValueError, "x takes a table"),
        (DIGITS[0], (8, 8), ValueError, "x takes a table"),
        (DIGITS[:0], (8, 8), ValueError, "at least one of each"),
        (DIGITS[:2] * np.nan, (8, 8), ValueError, "x has NaN"),
        (DIGITS[:2], (7, 8), ValueError, r"x takes an array of shape \(samples, 56\), got \(2, 64\)"),
        (DIGITS[:2], 8, ValueError, r"shape takes \(height, width\), got 8"),
        (DIGITS[:2], (2, 32), ValueError, "shape takes at least 3 x 3 pixels, got 2 x 32"),
        (DIGITS[:2].astype(int), (8, 8), TypeError, "x takes float32"),
    ],
)
def test_what_has_no_gradients(x, shape, error, says):
    with pytest.raises(error, match=says):
        gradients(x, shape)


# ---- codes


def test_codes_of_images_worked_out_anew(learnt):
    x = DIGITS[1400:1410]
    expected = learnt.model.encode(gradients(np.sqrt(x), (8, 8)))
    np.testing.assert_allclose(learnt.transform(x), expected, rtol=1e-5, atol=1e-5)


def test_codes_of_columns_worked_out_anew(few_steps):
    x = table(200)
    learnt = FeatureExtractor(3).fit(x)
    z = ((x - x.mean(axis=0)) / np.where(np.arange(5) == 3, 1, x.std(axis=0))).astype(np.float32)
    np.testing.assert_allclose(learnt.transform(x), learnt.model.encode(z), rtol=1e-4, atol=1e-5)
    assert learnt.columns.constant.tolist() == [False, False, False, True, False]
    assert not learnt.roots


def test_codes_have_mean_0_and_deviation_1(learnt, few_steps):
    for codes in (learnt.transform(DIGITS[:1400]), FeatureExtractor(4).fit_transform(table(300))):
        np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(codes.std(axis=0), 1, atol=1e-4)


def test_reconstructions_stay_when_codes_are_moved(rng):
    model = fastae.DenoisingAutoencoder([6, 5, 3], output_activation="identity", seed=0)
    x = rng.normal(size=(50, 6)).astype(np.float32)
    before = model.reconstruct(x)
    extractor._standardise_code(model, model.encode(x))
    np.testing.assert_allclose(model.reconstruct(x), before, rtol=1e-4, atol=1e-5)


def test_bytes_are_parts_of_255(few_steps):
    x = np.rint(DIGITS * 255).astype(np.uint8)
    a, b = (FeatureExtractor(4).fit(part[:100]).transform(part) for part in (x, x / np.float32(255)))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_codes_tell_digits_better_than_principal_components(learnt):
    """By their nearest mean."""
    centred = DIGITS - DIGITS[:1400].mean(axis=0)
    axes = np.linalg.svd(centred[:1400], full_matrices=False)[2][:8]
    rates = []
    for codes in (learnt.transform(DIGITS), centred @ axes.T):
        means = np.stack([codes[:1400][LABELS[:1400] == digit].mean(axis=0) for digit in range(10)])
        nearest = np.argmin(np.linalg.norm(codes[1400:, None] - means, axis=2), axis=1)
        rates.append(np.mean(nearest == LABELS[1400:]))
    assert rates[0] > rates[1] + 0.03


@pytest.mark.parametrize("layerwise", [False, True])
def test_same_seed_same_bits_on_any_number_of_threads(few_steps, layerwise):
    x = table(300)
    one, two, other = (
        FeatureExtractor(3, layerwise=layerwise, seed=s, n_threads=n).fit_transform(x) for s, n in ((0, 1), (0, 2), (1, 1))
    )
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()


def test_layerwise_begins_elsewhere(few_steps):
    whole, pairs = (FeatureExtractor(3, layerwise=on).fit_transform(table(300)) for on in (False, True))
    assert whole.shape == pairs.shape
    assert not np.allclose(whole, pairs)


@pytest.mark.parametrize(
    "x", [np.full((5, 3), 2.5), np.zeros((5, 3), np.uint8), np.eye(2), table(40) * [1e200, 1e-200, 1, 1, 1]]
)
def test_tables_at_the_edge(few_steps, x):
    """Constants only, two rows, numbers too large to square."""
    codes = FeatureExtractor(2).fit_transform(x)
    assert np.isfinite(codes).all()
    assert codes.shape == (len(x), 2)


def test_one_row_and_blocks(learnt):
    codes = learnt.transform(np.tile(DIGITS, (3, 1)))
    np.testing.assert_allclose(learnt.transform(DIGITS[:1]), codes[:1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(codes[-len(DIGITS) :], codes[: len(DIGITS)], rtol=1e-4, atol=1e-4)


# ---- files


def test_a_saved_extractor_is_the_same(learnt, few_steps, tmp_path):
    path = tmp_path / "f.safetensors"
    for x, one in ((DIGITS[:50], learnt), (table(50), FeatureExtractor(3).fit(table(50)))):
        one.save(path)
        again = FeatureExtractor.load(path)
        assert np.array_equal(again.transform(x), one.transform(x))
        assert (again.width, again.shape, again.roots) == (one.width, one.shape, one.roots)
        assert isinstance(fastae.load(path), fastae.DenoisingAutoencoder)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="cut short"):
        FeatureExtractor.load(path)
    fastae.DenoisingAutoencoder([3, 2], seed=0).save(path)
    with pytest.raises(ValueError, match=r"not one of fastae\.features"):
        FeatureExtractor.load(path)
    with pytest.raises(FileNotFoundError):
        FeatureExtractor.load(tmp_path / "none")


@pytest.mark.parametrize("wrong", [{"roots": 1}, {"shape": [8]}, {"shape": [9, 3]}, {"shape": "8x8"}, {"roots": None}])
def test_wrong_settings_in_a_file(learnt, tmp_path, wrong):
    from safetensors import safe_open

    path = tmp_path / "f.safetensors"
    learnt.save(path)
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    metadata["fastae.features"] = json.dumps(json.loads(metadata["fastae.features"]) | wrong)
    save_file(load_file(path), path, metadata)
    with pytest.raises(ValueError, match=r"settings of fastae\.features that cannot be read"):
        FeatureExtractor.load(path)


# ---- wrong input

NAN = table(20)
NAN[4, 2] = np.nan
EMPTY = table(20)
EMPTY[:, 1] = np.nan


@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (NAN, ValueError, "x has NaN or infinity, the first in row 4, column 2"),
        (EMPTY, ValueError, "x has NaN or infinity, the first in row 0, column 1"),
        (table(20) * np.inf, ValueError, "NaN or infinity"),
        (table(1), ValueError, "at least 2 rows to learn from, got 1"),
        (table(5)[:0], ValueError, r"\(0, 5\)"),
        (table(5)[:, 0], ValueError, r"\(5,\)"),
        (np.zeros((5, 3), int), TypeError, "got int64"),
        (np.array([["a", "b"], ["c", "d"]]), TypeError, "got <U1"),
    ],
)
def test_wrong_tables(x, error, says):
    with pytest.raises(error, match=says):
        FeatureExtractor().fit(x)


@pytest.mark.parametrize(
    ("x", "says"),
    [(np.zeros((5, 63)), "images of 8 x 8 pixels, got rows of 63"), (np.full((5, 64), 3.0), "from 0 to 1, got 3 to 3")],
)
def test_images_that_are_none(x, says):
    with pytest.raises(ValueError, match=says):
        FeatureExtractor(shape=(8, 8)).fit(x)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"width": 0}, ValueError, "width takes a positive integer, got 0"),
        ({"width": 2.0}, TypeError, "width takes"),
        ({"shape": 28}, ValueError, r"shape takes \(height, width\), got 28"),
        ({"shape": (8,)}, ValueError, "shape takes"),
        ({"shape": (8, 0)}, ValueError, "shape takes a positive integer"),
        ({"shape": (2, 32)}, ValueError, "shape takes at least 3 x 3 pixels, got 2 x 32"),
        ({"layerwise": 1}, TypeError, "layerwise takes True or False"),
        ({"seed": "one"}, ValueError, "seed takes"),
        ({"n_threads": 0}, ValueError, "n_threads takes"),
        ({"backend": "xx"}, ValueError, "backend takes one of"),
    ],
)
def test_wrong_arguments(arguments, error, says):
    with pytest.raises(error, match=says):
        FeatureExtractor(**arguments)


def test_wrong_rows(learnt):
    with pytest.raises(ValueError, match=r"\(samples, 64\), got \(2, 63\)"):
        learnt.transform(np.zeros((2, 63)))
    with pytest.raises(ValueError, match=r"x takes values from -1 to 2, got 0 to 2\.5; the rows learnt from were from 0 to 1"):
        learnt.transform(np.linspace(0, 2.5, 64)[None])
    with pytest.raises(ValueError, match="NaN"):
        learnt.transform(np.full((1, 64), np.nan))
    with pytest.raises(RuntimeError, match="call fit"):
        FeatureExtractor().transform(DIGITS)


def test_rows_barely_beyond_0_to_1_count_as_the_nearer_end(learnt, few_steps):
    x = DIGITS[1400:1405].copy()
    expected = learnt.transform(x)
    x[x == 0], x[x == 1] = -1e-3, 1.5
    assert np.array_equal(learnt.transform(x), expected)
    table_ = np.random.default_rng(0).random((50, 4))
    one = FeatureExtractor(2).fit(table_)
    assert np.array_equal(one.transform(table_ * 1.2), one.transform(np.minimum(table_ * 1.2, 1)))


def test_a_step_of_a_pipeline(few_steps):
    pipelines, linear = pytest.importorskip("sklearn.pipeline"), pytest.importorskip("sklearn.linear_model")
    line = pipelines.make_pipeline(Imputer(), FeatureExtractor(8), linear.LogisticRegression())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imputation, "_STEPS", 20)
        line.fit(DIGITS[:200], LABELS[:200])
    assert line.predict(DIGITS[:5]).shape == (5,)
    labelled, plain = (FeatureExtractor(2).fit(DIGITS[:50], y).transform(DIGITS) for y in (LABELS[:50], None))
    assert np.array_equal(labelled, plain)


def test_a_failed_fit_changes_nothing(learnt):
    before = learnt.transform(DIGITS[:5])
    with pytest.raises(ValueError, match="from 0 to 1"):
        learnt.fit(DIGITS * 3)
    assert np.array_equal(learnt.transform(DIGITS[:5]), before)


# ---- the command line


def test_encode_learns_and_encodes(few_steps, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["encode", "f.safetensors", "digits", "--train", "--width", "6", "--shape", "8x8", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    assert "wrote f.safetensors: 64 columns to 6 features" in printed
    assert "wrote digits-encode.npy: 1797 x 6 float32" in printed
    codes = np.load("digits-encode.npy")
    assert np.array_equal(codes, FeatureExtractor(6, (8, 8), seed=3).fit_transform(DIGITS))
    np.savetxt("new.csv", DIGITS[:10], delimiter=",")
    assert cli.main(["encode", "f.safetensors", "new.csv", "--output", "new.npz"]) == 0
    np.testing.assert_allclose(np.load("new.npz")["x"], codes[:10], rtol=1e-4, atol=1e-5)
    assert tables.has("f.safetensors", "fastae.features")
    np.savetxt("pixels.csv", DIGITS[:10] * 255, delimiter=",")
    assert cli.main(["encode", "f.safetensors", "pixels.csv", "--white", "255"]) == 0
    np.testing.assert_allclose(np.load("pixels-encode.npy"), codes[:10], rtol=1e-3, atol=1e-3)
    assert cli.main(["encode", "g", "pixels.csv", "--train", "--shape", "8x8", "--white", "255"]) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["m", "good.csv"], "m: No such file"),
        (["m", "good.csv", "--width", "2"], "--width counts with --train only"),
        (["m", "good.csv", "--layerwise"], "--layerwise counts with --train only"),
        (["m", "good.csv", "--shape", "8"], "as 28x28; got '8'"),
        (["m", "good.csv", "--train", "--shape", "8x8"], "images of 8 x 8 pixels, got rows of 2"),
        (["m", "one.csv", "--train"], "at least 2 rows"),
        (["m", "nan.csv", "--train"], "row 1, column 1"),
        (["m", "none.csv", "--train"], "none.csv: No such file"),
        (["good.csv", "good.csv", "--train"], "good.csv would be written over good.csv, which is read; name another file"),
        (["m.npy", "good.csv", "--train", "--output", "m.npy"], "m.npy would be written over m.npy, which is written too"),
        (["none/m", "good.csv", "--train"], "none/m: No such file"),
        (["m", "good.csv", "--train", "--output", "o.xyz"], "the name ends in '.xyz'"),
        (["m", "good.csv", "--train", "--output", "none/o.csv"], "none/o.csv: No such file"),
        (
            ["m", "dark.csv", "--train", "--shape", "1x2"],
            "dark.csv takes values from 0 to 1, got 0 to 255; tell what white is",
        ),
    ],
)
def test_wrong_commands(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    for name, text in (("good", "0,1\n1,0\n"), ("nan", "1,2\n4,nan\n"), ("one", "1,2\n"), ("dark", "0,255\n9,8\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(fastae.Trainer, "fit", lambda *_, **__: pytest.fail("the training has begun"))
    try:
        code = cli.main(["encode", *arguments])
    except SystemExit as exit_:  # argparse's own
        code = exit_.code
    assert code == 2
    assert says in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
