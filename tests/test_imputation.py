"""Imputation: fills worked out anew, fills known, what is there kept to the bit, files, wrong input; the command line."""

import numpy as np
import pytest

import fastae
from fastae import cli, imputation
from fastae.callbacks import Callback
from fastae.imputation import Imputer


def table(n, seed=0, dtype="float64"):
    """Columns that tell of each other, of scales from 1e-3 to 1e3, the fourth a constant; and the same with a fifth missing."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n, 1))
    whole = np.hstack([a, 1e3 * b + 500, 1e-3 * (a - b), np.full((n, 1), 7.25), 10 * (a + b) - 3]).astype(dtype)
    return whole, np.where(rng.random(whole.shape) < 0.2, np.nan, whole).astype(dtype)


@pytest.fixture
def few_steps(monkeypatch):
    """Where it does not matter how well is learnt."""
    monkeypatch.setattr(imputation, "_STEPS", 50)


@pytest.fixture(scope="module")
def imputer():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imputation, "_STEPS", 1000)
        return Imputer(seed=0).fit(table(400)[1])


def test_fills_worked_out_anew(imputer):
    _, x = table(30, seed=1)
    filled = imputer.transform(x)
    mean, scale, _ = imputer.columns
    for i, j in np.argwhere(np.isnan(x)):
        z = np.nan_to_num((x[i] - mean) / scale).astype(np.float32)
        shown = np.concatenate([z, ~np.isnan(x[i])])[None].astype(np.float32)
        expected = 7.25 if j == 3 else mean[j] + scale[j] * imputer.model.reconstruct(shown)[0, j]
        assert filled[i, j] == pytest.approx(expected, rel=1e-4, abs=1e-4 * scale[j])


def test_columns_are_standardised_by_what_is_there(imputer):
    _, x = table(400)
    np.testing.assert_allclose(imputer.columns.mean, np.nanmean(x, axis=0), rtol=1e-9)
    np.testing.assert_allclose(imputer.columns.scale[[0, 1, 2, 4]], np.nanstd(x, axis=0)[[0, 1, 2, 4]], rtol=1e-9)
    assert imputer.columns.constant.tolist() == [False, False, False, True, False]


def test_it_finds_what_the_other_columns_tell(imputer):
    """Each column of one and the same table, hidden alone: the others determine it."""
    whole, _ = table(200, seed=2)
    for j in (0, 1, 2, 4):
        x = whole.copy()
        x[:, j] = np.nan
        error = (imputer.transform(x)[:, j] - whole[:, j]) / whole[:, j].std()
        assert np.sqrt(np.mean(error**2)) < 0.35


def test_a_mean_that_is_there_is_not_one_that_is_missing(monkeypatch):
    """b = a squared, of a = -1, 0, 1: it is 0 where a is its mean, and 2/3 where nothing is known."""
    monkeypatch.setattr(imputation, "_STEPS", 1000)
    a = np.random.default_rng(0).integers(-1, 2, (500, 1)).astype(float)
    fitted = Imputer(seed=0).fit(np.hstack([a, a**2]))
    mean = a.mean()
    filled = fitted.transform([[mean, np.nan], [1.0, np.nan], [np.nan, np.nan]])[:, 1]
    np.testing.assert_allclose(filled, [0, 1, np.mean(a**2)], atol=0.15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_there_stays_to_the_bit(few_steps, dtype):
    _, x = table(50, dtype=dtype)
    before, missing = x.copy(), np.isnan(x)
    filled = Imputer().fit_transform(x)
    assert filled.dtype == x.dtype
    assert filled[~missing].tobytes() == x[~missing].tobytes()
    assert np.isfinite(filled).all()
    assert (filled[missing[:, 3], 3] == 7.25).all()
    np.testing.assert_array_equal(x, before)  # a table of its own


def test_a_whole_table_stays_as_it_is(imputer):
    whole, _ = table(20, seed=3)
    filled = imputer.transform(whole)
    assert np.array_equal(filled, whole)
    assert not np.shares_memory(filled, whole)


def test_a_constant_differs_in_another_table(imputer):
    """What is there is kept; what is missing is the constant that was learnt."""
    filled = imputer.transform(np.array([[0.1, 2, 3, 8, 5], [0.1, 2, 3, np.nan, 5]]))
    assert filled[:, 3].tolist() == [8, 7.25]


def test_a_column_without_a_number(few_steps, tmp_path):
    _, x = table(50)
    x[:, 1] = np.nan
    with pytest.warns(UserWarning, match=r"no number in columns 1 \(from 0\); they are filled with 0"):
        imputer = Imputer().fit(x)
    filled = imputer.transform(x)
    assert (filled[:, 1] == 0).all()
    assert np.isfinite(filled).all()
    assert imputer.transform(table(5)[0])[0, 1] == table(5)[0][0, 1]


def test_one_row_and_a_row_without_a_number(imputer):
    whole, _ = table(1, seed=4)
    whole[0, 2] = np.nan
    assert np.isfinite(imputer.transform(whole)).all()
    assert np.isfinite(imputer.transform(np.full((1, 5), np.nan))).all()


def test_two_rows_are_enough(few_steps):
    filled = Imputer().fit_transform(np.array([[1.0, np.nan], [np.nan, 4.0]]))
    assert filled.tolist() == [[1, 4], [1, 4]]  # a column with one number is constant


@pytest.mark.parametrize(("steps", "taken"), [(3, 3), (60, 60), (70, 60)])
def test_steps_are_taken_by_rounds_and_watched(steps, taken):
    class Watch(Callback):
        def on_fit_end(self, trainer, finished):
            self.steps = trainer.steps

    watch = Watch()
    Imputer(steps=steps).fit(table(50)[1], callbacks=watch)
    assert watch.steps == taken


def test_rows_without_a_number_teach_nothing(few_steps):
    _, x = table(50)
    with_empty = np.vstack([x, np.full((3, 5), np.nan)])
    a, b = Imputer().fit(x), Imputer().fit(with_empty)
    assert a.model.parameters.tobytes() == b.model.parameters.tobytes()


def test_numbers_too_large_to_square(few_steps):
    _, x = table(50)
    assert np.isfinite(Imputer().fit_transform(x * [1e200, 1e-200, 1, 1, 1])).all()


def test_same_seed_same_bits_on_any_number_of_threads(few_steps):
    _, x = table(300)
    one, two, other = (Imputer(seed=s, n_threads=n).fit_transform(x) for s, n in ((0, 1), (0, 2), (1, 1)))
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()


def test_a_saved_imputer_is_the_same(imputer, tmp_path):
    path = tmp_path / "i.safetensors"
    imputer.save(path)
    _, x = table(50, seed=5)
    assert np.array_equal(Imputer.load(path).transform(x), imputer.transform(x))
    assert isinstance(fastae.load(path), fastae.MaskedAutoencoder)
    fastae.MaskedAutoencoder([3, 2], seed=0).save(path)
    with pytest.raises(ValueError, match=r"not one of fastae\.imputation"):
        Imputer.load(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="cut short"):
        Imputer.load(path)


INF = table(20)[0]
INF[4, 2] = -np.inf


@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (INF, ValueError, "x has infinity, the first in row 4, column 2"),
        (np.full((5, 3), np.nan), ValueError, "no number to learn from"),
        (table(1)[0], ValueError, "at least 2 rows to learn from, got 1"),
        (table(5)[0][:0], ValueError, r"\(0, 5\)"),
        (table(5)[0][:, 0], ValueError, r"\(5,\)"),
        (np.zeros((5, 3), np.uint8), TypeError, "got uint8"),
        (np.zeros((5, 3), int), TypeError, "x takes float32 or float64, in which NaN is missing, got int64"),
        (np.array([["a", "b"], ["c", "d"]]), TypeError, "got <U1"),
        (np.ma.masked_equal(table(5)[0], 7.25), ValueError, "x has masked elements"),
    ],
)
def test_wrong_tables(x, error, says):
    with pytest.raises(error, match=says):
        Imputer().fit(x)


def test_wrong_rows_and_arguments(imputer):
    with pytest.raises(ValueError, match=r"\(samples, 5\), got \(2, 4\)"):
        imputer.transform(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="infinity"):
        imputer.transform(INF)
    with pytest.raises(RuntimeError, match="call fit"):
        Imputer().transform(INF)
    with pytest.raises(ValueError, match="seed takes"):
        Imputer(seed="one")
    with pytest.raises(ValueError, match="n_threads takes"):
        Imputer(n_threads=0)
    with pytest.raises(ValueError, match="backend takes one of"):
        Imputer(backend="xx")
    with pytest.raises(ValueError, match="steps takes a positive integer, got 0"):
        Imputer(steps=0)


def test_labels_are_ignored(few_steps):
    x = np.random.default_rng(0).normal(size=(20, 3))
    x[0, 1] = np.nan
    filled = Imputer().fit_transform(x)
    assert np.array_equal(Imputer().fit_transform(x, np.arange(20)), filled)
    assert np.array_equal(Imputer().fit(x, np.arange(20)).transform(x), filled)


# ---- the command line ------------------------------------------------------------------------------------------------

CSV = "a,b,c\n1.50,2,0.1\n2,,0.2\n3,6.000,NA\n 4 ,8,0.4\n5, ?,0.5\n"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_impute_a_csv_file(few_steps, tmp_path, monkeypatch, capsys, newline):
    """Only the cells without a number change: header, spaces and digits of the others stay."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(CSV, newline=newline)
    assert cli.main(["impute", "t.csv"]) == 0
    assert "3 of 15 cells filled, in 2 columns" in capsys.readouterr().out
    old, new = (text.split("\n") for text in (CSV, (tmp_path / "t-impute.csv").read_text()))
    assert len(old) == len(new)
    changed = [(i, j) for i, row in enumerate(old) for j, cell in enumerate(row.split(",")) if new[i].split(",")[j] != cell]
    assert changed == [(2, 1), (3, 2), (5, 1)]
    x = np.loadtxt("t-impute.csv", delimiter=",", skiprows=1)
    missing = np.array([[1.5, 2, 0.1], [2, np.nan, 0.2], [3, 6, np.nan], [4, 8, 0.4], [5, np.nan, 0.5]])
    np.testing.assert_allclose(x, Imputer().fit_transform(missing), rtol=1e-8)


def test_columns_without_a_number_are_named(few_steps, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text('a,"b",c\n1,#N/A,\n2,N/A,3\n3,n/a,4\n')
    assert cli.main(["impute", "t.csv"]) == 0
    assert capsys.readouterr().err == "fastae impute: filled with 0, as there is no number: column b\n"
    assert (tmp_path / "t-impute.csv").read_text().startswith('a,"b",c\n1,0,')


def test_impute_an_array(few_steps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, x = table(40)
    np.save("t.npy", x)
    assert cli.main(["impute", "t.npy", "--seed", "3", "--output", "whole.npz"]) == 0
    assert np.array_equal(np.load("whole.npz")["x"], Imputer(seed=3).fit_transform(x))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,2\n3,4\n", "nothing missing"),
        ("1,\n3\n", "not a table"),
        ("1,two\n,4\n", "two"),
        ("1,inf\n,4\n", "infinity"),
        (",\nNA,?\n", "no number to learn from"),
        ("1,\n", "at least 2 rows"),
        ("", "not a table"),
        (None, "No such file"),
    ],
)
def test_wrong_commands(tmp_path, monkeypatch, capsys, text, says):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "t.csv").write_text(text)
    before = sorted(tmp_path.iterdir())
    assert cli.main(["impute", "t.csv"]) == 2
    assert says in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("t.csv", "t.csv would be written over t.csv, which is read; name another file"),
        ("o.xyz", "the name ends in '.xyz'"),
        ("none/o.csv", "none/o.csv: No such file"),
    ],
)
def test_outputs_are_looked_at_before_the_training(tmp_path, monkeypatch, capsys, output, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("1,2\n,4\n")
    monkeypatch.setattr(fastae.Trainer, "fit", lambda *_, **__: pytest.fail("the training has begun"))
    assert cli.main(["impute", "t.csv", "--output", output]) == 2
    assert says in capsys.readouterr().err
    assert (tmp_path / "t.csv").read_text() == "1,2\n,4\n"


def test_other_commands_take_no_missing_cells(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(CSV)
    assert cli.main(["train", "--data", "t.csv"]) == 2
    assert "t.csv is not a table" in capsys.readouterr().err
