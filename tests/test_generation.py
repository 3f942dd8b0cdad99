"""Generation: mixtures, arcs, maps and tiles by hand, what is drawn, files, wrong input; the command line."""

import io
import json
import sys
from statistics import NormalDist

import numpy as np
import pytest

import fastae
from fastae import cli
from fastae.generation import Generator, Mixture, generator, tiled, write_png

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("sklearn")
DIGITS, LABELS = fastae.datasets.load_digits()


@pytest.fixture(scope="module")
def vae():
    return Generator.learn(DIGITS[:1500], 4, hidden=(48,), epochs=20, seed=0)


@pytest.fixture(scope="module")
def conditional():
    return Generator.learn(DIGITS[:1500], 3, LABELS[:1500], hidden=(64,), epochs=60, seed=0)


@pytest.fixture(scope="module")
def plain():
    model = fastae.Autoencoder([64, 32, 6], activation="silu", seed=0)
    fastae.Trainer(model, fastae.Adam(3e-3), "bce", 32, seed=0).fit(DIGITS, epochs=30)
    return model


def size(path):
    """Of a picture, width and height."""
    with Image.open(path) as picture:
        return picture.size


def nearest_label(images):
    """Of the training digit that is nearest to each."""
    distances = (images**2).sum(axis=1)[:, None] - 2 * images @ DIGITS.T + (DIGITS**2).sum(axis=1)
    return LABELS[distances.argmin(axis=1)]


# ---- mixtures


TWO = Mixture(np.array([0.25, 0.75]), np.array([[0.0, 4.0], [8.0, 0.0]]), np.array([[[1, 0], [0, 4.0]], [[4, 1], [1, 1.0]]]))


def test_moments_by_hand():
    """Mean 0.75 * 8; variance 0.25 (1 + 36) + 0.75 (4 + 4), and so on."""
    np.testing.assert_allclose(TWO.mean, [6, 1])
    np.testing.assert_allclose(TWO.deviation**2, [15.25, 0.25 * (4 + 9) + 0.75 * (1 + 1)])
    assert Mixture.standard(3).mean.tolist() == [0, 0, 0]
    assert Mixture.standard(3).deviation.tolist() == [1, 1, 1]


def test_draws_have_the_moments():
    codes = TWO.sample(200_000, np.random.default_rng(0))
    np.testing.assert_allclose(codes.mean(axis=0), TWO.mean, atol=0.03)
    np.testing.assert_allclose(codes.std(axis=0), TWO.deviation, rtol=0.01)
    second = Mixture(np.ones(1), TWO.means[1:], TWO.covariances[1:]).sample(200_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.cov(second.T), TWO.covariances[1], atol=0.03)


def test_fit_finds_a_mixture_whatever_its_units():
    codes = TWO.sample(4000, np.random.default_rng(0)) * [1e-4, 1e4]
    found = Mixture.fit(codes, 2, np.random.default_rng(0))
    order = np.argsort(found.weights)
    np.testing.assert_allclose(found.weights[order], TWO.weights, atol=0.02)
    np.testing.assert_allclose(found.means[order] / [1e-4, 1e4], TWO.means, atol=0.2)
    np.testing.assert_allclose(found.covariances[order] / np.outer([1e-4, 1e4], [1e-4, 1e4]), TWO.covariances, atol=0.35)


# ---- tiles


def test_tiles_by_hand():
    images = np.array([[0, 1, 0.5, 2], [1, 1, 1, 1], [0, 0, 0, -1]])
    expected = [
        [255, 0, 255, 0, 0],
        [127, 0, 255, 0, 0],
        [255, 255, 255, 255, 255],
        [255, 255, 255, 255, 255],
        [255, 255, 255, 255, 255],
    ]
    assert tiled(images).tolist() == expected
    assert tiled(images[:1] * 0 + 1, shape=(1, 4)).tolist() == [[0, 0, 0, 0]]
    assert tiled(np.array([[255, 55]], np.uint8), shape=(2, 1)).tolist() == [[0], [200]]
    assert tiled(np.ones((5, 6)), columns=5, shape=(2, 3)).shape == (2, 5 * 4 - 1)


def test_png_is_the_tiles(tmp_path):
    write_png(tmp_path / "a.png", DIGITS[:6], columns=3, zoom=2)
    with Image.open(tmp_path / "a.png") as file:
        picture = np.asarray(file)
    assert np.array_equal(picture[::2, 1::2], tiled(DIGITS[:6], 3))
    assert picture.shape == (2 * 17, 2 * 26)


@pytest.mark.parametrize(
    ("images", "arguments", "error", "says"),
    [
        (np.zeros((2, 63)), {}, ValueError, r"63 pixels, which make no square; give shape=\(height, width\)"),
        (np.zeros((2, 64)), {"shape": (8, 7)}, ValueError, "of 64 pixels, got 8 x 7"),
        (np.zeros((2, 64)), {"shape": 8}, ValueError, r"shape takes \(height, width\), got 8"),
        (np.zeros((2, 64)), {"columns": 0}, ValueError, "columns takes"),
        (
            np.zeros((2, 8, 8)),
            {},
            ValueError,
            r"\(samples, 64\).* images\.reshape\(len\(images\), -1\)",
        ),
        (np.zeros(64), {}, ValueError, "images takes"),
        (np.zeros((0, 64)), {}, ValueError, "images is empty"),
        (np.full((2, 64), np.nan), {}, ValueError, "images has NaN"),
        (np.full((2, 64), "a"), {}, TypeError, "images takes float32"),
    ],
)
def test_what_is_no_image(images, arguments, error, says):
    with pytest.raises(error, match=says):
        tiled(images, **arguments)


# ---- generators


def test_samples_are_decoded_draws(vae, plain):
    for one in (vae, Generator.of_codes(plain, DIGITS, 5)):
        codes = one.prior.sample(7, np.random.default_rng(3)).astype(np.float32)
        assert np.array_equal(one.sample(7, seed=3), one.model.decode(codes))
        assert one.sample(7, seed=4).tobytes() != one.sample(7, seed=3).tobytes()


def test_samples_are_like_digits(plain):
    """Nearer to one than random codes' images are, whose mean and deviation are the same."""
    mixture = Generator.of_codes(plain, DIGITS, 20, seed=0)
    whole = Mixture(np.ones(1), mixture.prior.mean[None], np.diag(mixture.prior.deviation**2)[None])
    errors = []
    for one in (mixture, Generator(plain, whole)):
        images = one.sample(300, seed=0)
        errors.append(np.mean(np.min(((images[:, None] - DIGITS) ** 2).sum(axis=2), axis=1)))
    assert errors[0] < 0.8 * errors[1]


def test_a_conditional_model_gives_the_digits_asked_for(conditional):
    labels = np.arange(300) % 10
    assert np.mean(nearest_label(conditional.sample(300, labels, seed=0)) == labels) > 0.95
    assert (nearest_label(conditional.map(3, condition=4)) == 4).mean() > 0.7
    way = conditional.interpolate(DIGITS[4], DIGITS[14], 3, 4)
    np.testing.assert_allclose(way[::2], conditional.model.reconstruct(DIGITS[[4, 14]], np.array([4, 4])), atol=1e-5)


@pytest.mark.parametrize("spherical", [False, True])
def test_ways_begin_and_end_at_reconstructions(vae, plain, spherical):
    for one in (vae, Generator.of_codes(plain, DIGITS, 3)):
        way = one.interpolate(DIGITS[0], DIGITS[1], 5, spherical=spherical)
        np.testing.assert_allclose(way[[0, -1]], one.model.reconstruct(DIGITS[:2]), atol=1e-5)
        assert one.interpolate(DIGITS[0], DIGITS[1], 1).shape == (1, 64)


def test_arcs_by_hand():
    a, b, t = np.array([[2.0, 0]]), np.array([[0, 2.0]]), np.array([[0], [1 / 3], [1]])
    np.testing.assert_allclose(generator._arc(a, b, t), [[2, 0], [3**0.5, 1], [0, 2]], atol=1e-12)
    for other in (a, -a, 3 * a, 0 * a):  # no plane to turn in
        np.testing.assert_allclose(generator._arc(a, other, t), (1 - t) * a + t * other, atol=1e-12)


def test_maps_by_hand(vae):
    """Quantiles of 1/6, 1/2 and 5/6; the first axis to the right, the second upwards."""
    q = NormalDist().inv_cdf(5 / 6)
    codes = np.zeros((9, 4), np.float32)
    codes[:, 3] = [-q, 0, q] * 3
    codes[:, 1] = np.repeat([q, 0, -q], 3)
    np.testing.assert_allclose(vae.map(3, (3, 1)), vae.model.decode(codes), atol=1e-6)
    shifted = Generator(vae.model, Mixture(np.ones(1), np.full((1, 4), 0.5), 4 * np.eye(4)[None]))
    expected = np.full((9, 4), 0.5, np.float32)
    expected[:, :2] += 2 * codes[:, [3, 1]]
    np.testing.assert_allclose(shifted.map(3), vae.model.decode(expected), atol=1e-6)


def test_same_seed_same_bits_on_any_number_of_threads(plain):
    one, two = (
        Generator.learn(DIGITS[:200], 3, hidden=(16,), epochs=2, seed=0, n_threads=n).sample(3, seed=0, n_threads=n)
        for n in (1, 2)
    )
    assert one.tobytes() == two.tobytes()
    again = [Generator.of_codes(plain, DIGITS, 3, seed=5).sample(3, seed=1) for _ in range(2)]
    assert np.array_equal(*again)


@pytest.mark.parametrize("x", [np.ones((2, 9)), np.zeros((3, 9), np.uint8), np.eye(9)[:, :1]])
def test_tables_at_the_edge(x):
    """Constants, two rows, one pixel; a mixture of constant codes."""
    made = Generator.learn(x, 2, hidden=4, epochs=2)
    mixed = Generator.of_codes(fastae.Autoencoder([x.shape[1], 2], seed=0), x, 2 if x.std() else 1)
    for one in (made, mixed):
        assert np.isfinite(one.sample(4, seed=0)).all()


def test_saved_and_loaded(vae, conditional, plain, tmp_path):
    path = tmp_path / "g.safetensors"
    mixed = Generator.of_codes(plain, DIGITS, 3)
    for one, condition in ((vae, None), (conditional, 3), (mixed, None)):
        one.save(path)
        assert np.array_equal(Generator.load(path).sample(5, condition, seed=0), one.sample(5, condition, seed=0))
        assert type(fastae.load(path)) is type(one.model)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="cut short"):
        Generator.load(path)
    vae.model.save(path)  # has a prior by itself
    assert np.array_equal(Generator.load(path).sample(5, seed=0), vae.sample(5, seed=0))
    plain.save(path)
    with pytest.raises(ValueError, match="a Autoencoder and no distribution of its codes"):
        Generator.load(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": [0.5, 0.2, 0.2]},
        {"weights": [2, -0.5, -0.5]},
        {"weights": "many"},
        {"means": [[0] * 6]},
        {"covariances": np.zeros((3, 6, 6)).tolist()},
        {"means": np.full((3, 6), np.inf).tolist()},
    ],
)
def test_wrong_priors_in_a_file(plain, tmp_path, wrong):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "g.safetensors"
    Generator.of_codes(plain, DIGITS, 3).save(path)
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    metadata["fastae.generation"] = json.dumps(json.loads(metadata["fastae.generation"]) | wrong)
    save_file(load_file(path), path, metadata)
    with pytest.raises(ValueError, match="distribution of codes that cannot be read"):
        Generator.load(path)


# ---- wrong input


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda g, c, p: Generator(p), ValueError, "prior is needed for a Autoencoder; make one by Generator.of_codes"),
        (lambda g, c, p: Generator(3), TypeError, "model takes an Autoencoder, got int"),
        (lambda g, c, p: Generator(p, np.ones(3)), TypeError, "prior takes a Mixture, got ndarray"),
        (lambda g, c, p: Generator(p, Mixture.standard(5)), ValueError, r"prior takes K weights, \(K, 6\) means"),
        (lambda g, c, p: Generator.of_codes(3, DIGITS), TypeError, "model takes an Autoencoder, got int"),
        (lambda g, c, p: Generator.of_codes(c.model, DIGITS), ValueError, "one without conditions"),
        (lambda g, c, p: Generator.of_codes(p, DIGITS[:3], 4), ValueError, "at least 4 samples for n_components=4, got 3"),
        (lambda g, c, p: Generator.of_codes(p, DIGITS[:1], 1), ValueError, "at least 2 samples"),
        (lambda g, c, p: Generator.of_codes(p, DIGITS, 0), ValueError, "n_components takes"),
        (lambda g, c, p: Generator.of_codes(p, DIGITS * np.nan), ValueError, "x has NaN"),
        (lambda g, c, p: Generator.learn(DIGITS[:1]), ValueError, "at least 2 rows to learn from, got 1"),
        (lambda g, c, p: Generator.learn(DIGITS * 16), ValueError, "x takes values from 0 to 1, got 0 to 16; scale them"),
        (lambda g, c, p: Generator.learn(DIGITS * np.nan), ValueError, "x has NaN"),
        (lambda g, c, p: Generator.learn(DIGITS[0]), ValueError, "x takes a table"),
        (lambda g, c, p: Generator.learn(DIGITS, 0), ValueError, "sizes takes"),
        (lambda g, c, p: Generator.learn(DIGITS, beta=-1.0), ValueError, "beta takes a finite number >= 0"),
        (lambda g, c, p: Generator.learn(DIGITS, epochs=0), ValueError, "epochs takes"),
        (lambda g, c, p: Generator.learn(DIGITS, batch_size=0), ValueError, "batch_size takes"),
        (lambda g, c, p: Generator.learn(DIGITS, labels=LABELS[:5]), ValueError, "labels takes 1797 integers from 0 on, got"),
        (
            lambda g, c, p: Generator.learn(DIGITS, labels=-LABELS),
            ValueError,
            "from 0 to 1796, got -9 to 0",
        ),
        (lambda g, c, p: Generator.learn(DIGITS, labels=LABELS * 10**9), ValueError, "from 0 to 1796, got 0 to 9000000000"),
        (
            lambda g, c, p: Generator.learn(DIGITS, hidden=1.5),
            TypeError,
            "integer, or several; got 1.5",
        ),
        (lambda g, c, p: write_png("digits.jpg", DIGITS), ValueError, r"the name ends in '\.jpg'; \.png is written"),
        (lambda g, c, p: Generator.learn(DIGITS, labels=LABELS / 2), ValueError, "labels takes"),
        (lambda g, c, p: g.sample(0), ValueError, "n takes"),
        (lambda g, c, p: g.sample(5, 3), TypeError, "condition takes a conditional model, this is a Variational"),
        (lambda g, c, p: c.sample(5), TypeError, "condition is needed"),
        (lambda g, c, p: c.sample(5, 10), ValueError, "condition takes 5 labels from 0 to 9"),
        (
            lambda g, c, p: g.interpolate(DIGITS[:2], DIGITS[1]),
            ValueError,
            r"a takes one sample of shape \(64,\), got \(2, 64\)",
        ),
        (lambda g, c, p: g.interpolate(DIGITS[0], DIGITS[1] * np.inf), ValueError, "b has NaN or infinity"),
        (lambda g, c, p: g.interpolate(DIGITS[0], DIGITS[1], 0), ValueError, "steps takes"),
        (lambda g, c, p: g.interpolate(DIGITS[0], DIGITS[1], spherical=1), TypeError, "spherical takes"),
        (lambda g, c, p: c.interpolate(DIGITS[0], DIGITS[1]), TypeError, "condition is needed"),
        (lambda g, c, p: g.map(0), ValueError, "steps takes"),
        (lambda g, c, p: g.map(3, (0, 4)), ValueError, "axes takes features from 0 to 3, got"),
        (lambda g, c, p: g.map(3, (1, 1)), ValueError, "axes takes two features of the code"),
        (lambda g, c, p: g.map(3, 1), ValueError, "axes takes two features of the code, got 1"),
        (lambda g, c, p: Generator(fastae.VariationalAutoencoder([4, 1])).map(), ValueError, "at least two features, got 1"),
        (lambda g, c, p: write_png(io.BytesIO(), DIGITS, zoom=0), ValueError, "zoom takes"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_wrong_calls(vae, conditional, plain, call, error, says):
    with pytest.raises(error, match=says):
        call(vae, conditional, plain)


# ---- the command line


def test_generate_learns_then_samples(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["generate", "v.safetensors", "digits", "--train", "--codes", "2", "--epochs", "3", "--samples", "10"]) == 0
    printed = capsys.readouterr().out
    assert "wrote v.safetensors: images of 64 pixels, codes of 2 features" in printed
    assert "wrote digits-generate.npy: 10 x 64 float32; digits-generate.png" in printed
    made = Generator.load("v.safetensors")
    assert np.array_equal(np.load("digits-generate.npy"), made.sample(10, seed=0))
    assert size("digits-generate.png") == ((4 * 9 - 1) * 4, (3 * 9 - 1) * 4)
    assert cli.main(["generate", "v.safetensors", "--map", "--output", "map.npz", "--picture", "map.png"]) == 0
    assert np.array_equal(np.load("map.npz")["x"], made.map())
    assert cli.main(["generate", "v.safetensors", "digits", "--between", "3", "5", "--arc", "--shape", "4x16"]) == 0
    way = made.interpolate(DIGITS[3], DIGITS[5], spherical=True)
    assert np.array_equal(np.load("digits-generate.npy"), way)
    assert size("digits-generate.png") == ((10 * 17 - 1) * 4, 4 * 4)


def test_generate_from_other_models(plain, conditional, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain.save("p.safetensors")
    conditional.model.save("c.safetensors")
    assert cli.main(["generate", "p.safetensors", "digits", "--samples", "4", "--seed", "2"]) == 0
    expected = Generator.of_codes(plain, DIGITS, seed=2).sample(4, seed=2)
    assert np.array_equal(np.load("digits-generate.npy"), expected)
    assert cli.main(["generate", "c.safetensors", "--label", "7", "--samples", "4"]) == 0
    assert np.array_equal(np.load("c-generate.npy"), conditional.sample(4, 7, seed=0))


def test_a_saved_mixture_is_used_where_data_are_given(plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved = Generator.of_codes(plain, DIGITS[:200], 2)
    saved.save("p.safetensors")
    assert cli.main(["generate", "p.safetensors", "digits", "--samples", "4"]) == 0
    assert np.array_equal(np.load("digits-generate.npy"), saved.sample(4, seed=0))


def test_generate_from_pixels_whose_white_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savetxt("p.csv", np.rint(DIGITS[:100] * 255), fmt="%d", delimiter=",")
    assert cli.main(["generate", "v", "p.csv", "--train", "--white", "255", "--epochs", "1", "--samples", "3"]) == 0
    bytes_ = np.rint(DIGITS[:100] * 255).astype(np.uint8)
    np.testing.assert_allclose(np.load("p-generate.npy"), Generator.learn(bytes_, epochs=1).sample(3, seed=0), atol=1e-3)


def test_the_model_is_kept_where_a_picture_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert cli.main(["generate", "v.safetensors", "digits", "--train", "--epochs", "1"]) == 2
    assert "a PNG needs Pillow" in capsys.readouterr().err
    Generator.load("v.safetensors")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["m"], "m: No such file"),
        (["p"], "no distribution of its codes; give data"),
        (["v", "--train"], "data are needed with --train"),
        (["v", "--between", "0", "1"], "data are needed with --between"),
        (["v", "digits", "--between", "0", "1797"], "rows from 0 to 1796, got 0 and 1797"),
        (["v", "digits", "--between", "-1", "5"], "--between"),
        (["v", "--arc"], "--arc counts with --between only"),
        (["v", "--codes", "3"], "--codes counts with --train only"),
        (["v", "--label", "3"], "condition takes a conditional model"),
        (["v", "--shape", "5x5"], "of 64 pixels, got 5 x 5"),
        (["v", "--map", "--samples", "3"], "not allowed with"),
        (["n", "table.csv", "--train"], "table.csv takes values from 0 to 1, got 0 to 7; tell what white is, as --white 255"),
        (["n", "table.csv", "--train", "--white", "0"], "--white takes a number > 0"),
        (["n", "digits", "--train", "--label", "3"], "--label is for a conditional model"),
        (["n", "digits", "--train", "--map", "--codes", "1"], "at least two features, got --codes 1"),
        (["n", "digits", "--train", "--output", "o.xyz"], "the name ends in '.xyz'"),
        (["n", "digits", "--train", "--picture", "o.jpg"], "the name ends in '.jpg'"),
        (["n", "digits", "--train", "--output", "none/o.npy"], "none/o.npy: No such file"),
        (["none/n", "digits", "--train"], "none/n: No such file"),
        ([".", "digits", "--train"], ".: Is a directory"),
        (["table.csv", "table.csv", "--train"], "would be written over table.csv, which is read"),
        (["v", "table.csv", "--output", "table.csv"], "would be written over table.csv, which is read"),
        (["v", "table.csv"], "table.csv has 4 columns, v takes 64"),
        (["n", "row.csv", "--train"], "at least 2 rows"),
        (["n", "wide.csv", "--train"], "3 pixels, which make no square"),
        (["p", "table.csv"], "(samples, 64), got (2, 4)"),
    ],
)
def test_wrong_commands(vae, plain, tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    vae.model.save("v")
    plain.save("p")
    for name, text in (("table", "0,1,7,1\n1,0,0,1\n"), ("row", "1,0,0,1\n"), ("wide", "1,0,0\n0,1,0\n")):
        (tmp_path / f"{name}.csv").write_text(text)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(fastae.Trainer, "fit", lambda *_, **__: pytest.fail("the training has begun"))
    try:
        code = cli.main(["generate", *arguments])
    except SystemExit as exit_:  # argparse's own
        code = exit_.code
    assert code == 2
    assert says in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
