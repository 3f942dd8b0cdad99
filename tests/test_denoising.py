"""Denoising: of vectors, of images by patches; noise estimated; files, wrong input; the command line."""

import json
import struct
import zlib

import numpy as np
import pytest
import safetensors.numpy

import fastae
from fastae import cli
from fastae.denoising import Denoiser, ImageDenoiser, estimate_sigma, files, image, learning, patches, pixels, training, vectors

Image = pytest.importorskip("PIL.Image")


def scene(rows=96, columns=80, channels=None, seed=0):
    """Ramps, discs and stripes from 0 to 255: what a photograph is made of."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns].astype(float)
    planes = []
    for _ in range(channels or 1):
        plane = 120 + 60 * np.sin(y / 30 + rng.uniform(0, 6)) + 20 * x / columns
        for _ in range(6):
            radius, cy, cx = rng.uniform(4, 20), rng.uniform(0, rows), rng.uniform(0, columns)
            plane[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.uniform(20, 235)
        planes.append(plane)
    return planes[0] if channels is None else np.stack(planes, axis=-1)


def noisy(clean, sigma, seed=1):
    return clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)


def rms(a, b):
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))


@pytest.fixture(scope="module")
def denoiser():
    return ImageDenoiser()


# ---- images ----------------------------------------------------------------------------------------------------------


def by_hand(model, picture, sigma):
    """Patch by patch, pixel by pixel, each pixel's weights normalised at the end."""
    side, middle = patches.SIDE, patches.MIDDLE
    edge, around = (side - middle) // 2, 4 * patches.STRIDE
    x = np.pad(picture / sigma, around, mode="reflect")
    bell = np.exp(-0.5 * ((np.arange(middle) - (middle - 1) / 2) / (middle / 4)) ** 2)
    total, weights = np.zeros_like(x), np.zeros_like(x)
    first = around % patches.STRIDE  # so that patches' middles begin at multiples of the stride from the first pixel on
    for i in range(first, len(x) - middle - edge + 1, patches.STRIDE):
        for j in range(first, x.shape[1] - middle - edge + 1, patches.STRIDE):
            if min(i, j) < edge:
                continue
            patch = x[i - edge : i - edge + side, j - edge : j - edge + side]
            found = model.reconstruct((patch - patch.mean()).reshape(1, -1).astype(np.float32)).reshape(middle, middle)
            weight = np.outer(bell, bell)
            total[i : i + middle, j : j + middle] += weight * (found + patch.mean())
            weights[i : i + middle, j : j + middle] += weight
    inside = slice(around, -around)
    return sigma * (total[inside, inside] / weights[inside, inside])


@pytest.mark.parametrize("shape", [(23, 31), (40, 17), (14, 14)])
def test_a_pixel_is_the_weighted_mean_of_its_patches(denoiser, shape):
    picture = noisy(scene(*shape), 20)
    expected = by_hand(denoiser.model, picture, 20.0)
    expected = np.clip(expected, picture - 80, picture + 80)
    np.testing.assert_allclose(denoiser.denoise(picture, 20), expected, rtol=0, atol=2e-3)


def test_bands_do_not_show(denoiser, monkeypatch):
    """A large image is denoised some rows at a time."""
    picture = noisy(scene(90, 50, 3), 15)
    whole = denoiser.denoise(picture, 15)
    for some in (1, 200, 700):
        monkeypatch.setattr(image, "_PATCHES", some)
        np.testing.assert_allclose(denoiser.denoise(picture, 15), whole, rtol=0, atol=1e-3)


@pytest.mark.parametrize("sigma", [5, 15, 25, 50])
@pytest.mark.parametrize("channels", [None, 3])
def test_noise_is_taken_away(denoiser, sigma, channels):
    clean = scene(channels=channels)
    left = rms(denoiser.denoise(noisy(clean, sigma), sigma), clean)
    assert left < (0.55 if sigma > 5 else 0.75) * sigma


def test_the_unit_of_an_image_does_not_count(denoiser):
    """255, 65535 or 1 for white."""
    picture = noisy(scene(), 20)
    cleaned = denoiser.denoise(picture, 20)
    for factor in (1 / 255, 257.0):
        np.testing.assert_allclose(denoiser.denoise(factor * picture, factor * 20) / factor, cleaned, rtol=0, atol=2e-2)
    integers = [np.clip(np.rint(factor * picture), 0, most) for factor, most in ((1, 255), (257, 65535))]
    small, large = (
        denoiser.denoise(x.astype(dtype), s) for x, dtype, s in zip(integers, ("u1", "u2"), (20, 257 * 20), strict=True)
    )
    assert small.dtype == np.uint8
    assert large.dtype == np.uint16
    assert rms(small, large / 257) < 0.7
    assert rms(small, np.clip(cleaned, 0, 255)) < 2


def test_orthonormal_planes():
    """Noise of all planes is that of the channels; the way back is exact."""
    noise = np.random.default_rng(0).normal(size=(60, 50, 3))
    planes = pixels.planes(noise)
    np.testing.assert_allclose(np.sum(planes**2, axis=0), np.sum(noise**2, axis=-1), rtol=1e-5)
    np.testing.assert_allclose(pixels.restored(planes), noise, atol=1e-6)
    np.testing.assert_allclose(pixels.planes(np.ones((1, 1, 3)))[1:], 0, atol=1e-7)  # grey has no colour


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_stays(denoiser, channels):
    clean = scene(channels=channels)
    picture = np.clip(noisy(clean, 20), 0, 255).astype(np.uint8)
    found = denoiser.denoise(picture, 20)
    assert np.array_equal(found[..., -1], picture[..., -1])
    opaque = picture[..., :-1] if channels == 4 else picture[..., 0]
    assert np.array_equal(found[..., :-1].reshape(opaque.shape), denoiser.denoise(opaque, 20))


@pytest.mark.parametrize("channels", [3, 4])
def test_equal_channels_are_grey(denoiser, channels):
    """Their noise is one, not three; no tint comes of it."""
    grey = np.clip(noisy(scene(40, 40), 20), 0, 255).astype(np.uint8)
    picture = np.stack([grey] * channels, axis=-1)
    assert estimate_sigma(picture) == estimate_sigma(grey)
    found = denoiser.denoise(picture, 20)
    for channel in range(3):
        assert np.array_equal(found[..., channel], denoiser.denoise(grey, 20))
    if channels == 4:
        assert np.array_equal(found[..., 3], grey)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (5, 3), (2, 40), (3, 1, 1), (12, 12, 3)])
def test_smaller_than_a_patch(denoiser, shape):
    """Mirrored as often as needed."""
    picture = np.full(shape, 100.0) + np.random.default_rng(0).normal(0, 1, shape)
    found = denoiser.denoise(picture, 1.0)
    assert found.shape == shape
    assert np.abs(found - 100).max() < np.abs(picture - 100).max() + 1


def test_no_noise_no_change(denoiser):
    picture = scene().astype(np.uint8)
    assert np.array_equal(denoiser.denoise(picture, 0), picture)
    assert np.array_equal(denoiser.denoise(np.full((20, 20), 7, np.uint8)), np.full((20, 20), 7))  # estimated: none
    for even in (np.full((20, 20), 0.3), np.full((20, 20, 3), [0.1, 0.2, 0.3], np.float32), np.zeros((20, 20))):
        assert np.array_equal(denoiser.denoise(even, 0.1), even)
    point = np.zeros((20, 20))
    point[3, 4] = 1e-300
    assert np.abs(denoiser.denoise(point, 1e-300)).max() < 1e-299


@pytest.mark.parametrize("channels", [1, 3])
def test_no_plane_is_changed_by_more_than_four_deviations(denoiser, channels):
    points = np.zeros((40, 40, channels))
    points[::9, ::9, 0] = 1000
    points[::7, ::7, channels - 1] = 1000
    change = pixels.planes(denoiser.denoise(points, 2.0) - points)
    assert np.abs(change).max() <= 8 + 1e-3


def test_what_is_given_stays(denoiser):
    picture = noisy(scene(30, 30, 3), 10)[::-1, :, ::-1]  # no contiguous array
    before = picture.copy()
    found = denoiser.denoise(picture, 10)
    assert np.array_equal(picture, before)
    assert np.array_equal(found, denoiser.denoise(before, 10))
    assert np.array_equal(denoiser.denoise(picture.astype(">f8"), 10), found)


def test_same_bits_on_any_number_of_threads():
    picture = noisy(scene(), 20)
    one, two = (ImageDenoiser(n_threads=n).denoise(picture, 20) for n in (1, 2))
    assert np.array_equal(one, two)


# ---- noise -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [2, 10, 40])
@pytest.mark.parametrize("channels", [None, 2, 3, 4])
def test_noise_is_estimated(sigma, channels):
    assert estimate_sigma(noisy(scene(200, 160, channels), sigma)) == pytest.approx(sigma, rel=0.1)


def test_estimate_worked_out_by_hand():
    x = np.array([[1.0, 5], [2, 9]])  # (1 - 5 - 2 + 9) / 2 = 1.5
    assert estimate_sigma(x) == pytest.approx(1.5 / 0.6744897501960817)
    assert estimate_sigma(np.full((9, 9), 4, np.uint8)) == 0
    large = np.random.default_rng(0).normal(0, 3, (2000, 1500)).astype(np.float32)  # of which rows are left out
    assert estimate_sigma(large) == pytest.approx(3, rel=0.01)


# ---- learning --------------------------------------------------------------------------------------------------------


def test_patches_drawn_are_noisy_and_their_middles_clean(monkeypatch):
    """Of a picture of known values: noise of standard deviation 1 and, in the target, none."""
    monkeypatch.setattr(training, "_SIZES", 1)
    ramp = np.add.outer(np.arange(40.0), 3 * np.arange(50.0))[..., None] / 255
    drawn = training.drawn([ramp], (0.5, 0.5), np.random.default_rng(0))
    x, target = (np.concatenate(parts) for parts in zip(*(next(drawn) for _ in range(10)), strict=True))
    assert x.shape == (10 * training._DRAWN, patches.SIDE**2)
    np.testing.assert_allclose(x.mean(axis=1), 0, atol=1e-4)
    noise = patches.middles(x) - target
    assert noise.std() == pytest.approx(1, rel=0.01)
    steps = np.diff(target.reshape(-1, patches.MIDDLE, patches.MIDDLE), axis=2)
    ways = np.unique(np.round(np.abs(steps[:, 0, 0]) * 255 / 2, 3))
    np.testing.assert_allclose(ways, [1, 3], atol=2e-3)  # turned or not


def test_sizes_of_a_picture():
    picture = np.arange(4 * 13 * 54 * 3, dtype=np.float32).reshape(52, 54, 3)
    sizes = list(training._sizes(picture))
    assert [planes.shape for planes in sizes] == [(3, 52, 54), (3, 26, 27), (3, 13, 13)]
    np.testing.assert_allclose(sizes[1][0, 0, 0], sizes[0][0, :2, :2].mean(), rtol=1e-5)


def test_all_eight_ways():
    patch = np.arange(9).reshape(1, 3, 3)
    ways = {training._turned(patch, way).tobytes() for way in range(8)}
    expected = {np.rot90(a, k).tobytes() for k in range(4) for a in (patch[0], patch[0].T)}
    assert ways == expected


@pytest.fixture(scope="module")
def own():
    """A denoiser that has learnt from a few pictures."""
    pictures = [scene(70, 60, seed=seed).astype(np.uint8) for seed in (5, 6)] + [scene(60, 60, 3, seed=7).astype(np.uint8)]
    return ImageDenoiser(seed=0).fit(pictures, samples=60_000)


def test_it_learns_from_ones_own_pictures(own):
    clean = scene()
    assert rms(own.denoise(noisy(clean, 25), 25), clean) < 0.5 * 25
    assert own.model.n_in == patches.SIDE**2


def test_same_seed_same_network():
    pictures = [scene(40, 40) / 255]
    models = [ImageDenoiser(seed=3, n_threads=n).fit(pictures, samples=640).model for n in (1, 2)]
    assert np.array_equal(models[0].parameters, models[1].parameters)


def test_a_saved_image_denoiser_is_the_same(own, tmp_path):
    path, picture = tmp_path / "d.safetensors", noisy(scene(), 20)
    own.save(path)
    assert np.array_equal(ImageDenoiser.load(path).denoise(picture, 20), own.denoise(picture, 20))
    assert isinstance(fastae.load(path), fastae.Autoencoder)
    with pytest.raises(ValueError, match=r"not one of fastae\.denoising"):
        Denoiser.load(path)


def test_a_plain_model_is_no_denoiser(tmp_path):
    path = tmp_path / "m.safetensors"
    fastae.DenoisingAutoencoder([3, 2], seed=0).save(path)
    for kind in (ImageDenoiser, Denoiser):
        with pytest.raises(ValueError, match="holds a model, but not one of"):
            kind.load(path)
        with pytest.raises(FileNotFoundError):
            kind.load(tmp_path / "none")


NAN = scene()
NAN[3, 4] = np.nan


@pytest.mark.parametrize(
    ("picture", "error", "says"),
    [
        (np.zeros(5), ValueError, r"image takes an image of shape .*, got \(5,\)"),
        (np.zeros((0, 5)), ValueError, r"got \(0, 5\)"),
        (np.zeros((4, 4, 5)), ValueError, r"got \(4, 4, 5\)"),
        (np.zeros((2, 4, 4, 3)), ValueError, r"got \(2, 4, 4, 3\)"),
        (np.zeros((4, 4), int), TypeError, "image takes an image of uint8, uint16, float32, float64; got int64"),
        (np.zeros((4, 4), bool), TypeError, "got bool"),
        (np.zeros((4, 4), complex), TypeError, "got complex128"),
        ("photo.png", TypeError, "got <U9"),
        (None, TypeError, "got object"),
        (NAN, ValueError, "image has NaN or infinity, the first in row 3"),
        (np.full((30, 30), 1e308), ValueError, "image has numbers too large for float32"),
    ],
)
def test_images_that_are_none(denoiser, picture, error, says):
    with pytest.raises(error, match=says):
        denoiser.denoise(picture, 1.0)
    with pytest.raises(error, match=says):
        estimate_sigma(picture)
    with pytest.raises(
        error, match=says.replace("image takes an", r"images\[1\] takes an").replace("image has", r"images\[1\] has")
    ):
        ImageDenoiser().fit([scene() / 255, picture], samples=64)


@pytest.mark.parametrize(
    ("sigma", "error"),
    [(-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("a", TypeError), (True, TypeError)],
)
def test_wrong_sigma(denoiser, sigma, error):
    with pytest.raises(error, match="sigma takes a number >= 0, got"):
        denoiser.denoise(scene(), sigma)


def test_a_row_has_no_noise_to_estimate(denoiser):
    with pytest.raises(ValueError, match=r"at least 2 x 2 pixels .*, got 1 x 30; give sigma"):
        denoiser.denoise(np.zeros((1, 30)))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"images": []}, ValueError, "images takes at least one"),
        ({"images": [scene(12, 40)]}, ValueError, r"images\[0\] takes at least 13 pixels in either direction, got \(12, 40\)"),
        ({"sigmas": (0, 1)}, ValueError, "sigmas takes two numbers above 0, at most 1, the lower first, got 0"),
        ({"sigmas": (5, 100)}, ValueError, "at most 1, the lower first, got 5"),
        ({"images": [scene()]}, ValueError, r"images\[0\] takes values from -0.1 to 1.1, got .* 1 is white"),
        ({"images": None}, TypeError, "images takes a sequence of images, got None"),
        ({"sigmas": (0.2, 0.1)}, ValueError, r"the lower first, got \(0.2, 0.1\)"),
        ({"sigmas": 0.1}, TypeError, "sigmas takes two numbers above 0"),
        ({"sigmas": (0.1, 0.2, 0.3)}, TypeError, "sigmas takes two numbers"),
        ({"samples": 0}, ValueError, "samples takes a positive integer"),
        ({"progress": 1}, TypeError, "progress takes True or False"),
    ],
)
def test_wrong_arguments_of_fit(arguments, error, says):
    denoiser = ImageDenoiser()
    with pytest.raises(error, match=says):
        denoiser.fit(**{"images": [scene() / 255], **arguments})
    assert denoiser._model is None


@pytest.mark.parametrize("kind", [Denoiser, ImageDenoiser])
@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"seed": -1}, ValueError, "seed takes"),
        ({"n_threads": 0}, ValueError, "n_threads takes"),
        ({"n_threads": "two"}, TypeError, "n_threads takes"),
        ({"backend": "xx"}, ValueError, "backend takes one of"),
    ],
)
def test_wrong_arguments(kind, arguments, error, says):
    with pytest.raises(error, match=says):
        kind(**arguments)


# ---- vectors ---------------------------------------------------------------------------------------------------------


def waves(n, seed=0):
    """Of two numbers each, in 30: in columns of mean 5."""
    rng = np.random.default_rng(seed)
    return 5 + rng.uniform(1, 3, (n, 1)) * np.sin(np.linspace(0, 6, 30) + rng.uniform(0, 6, (n, 1)))


CLEAN, NEW = waves(600), waves(200, seed=1)


@pytest.fixture(scope="module")
def of_waves():
    return Denoiser(64, epochs=200, seed=0).fit(noisy(CLEAN, 0.5), CLEAN)


def linear(train, x, sigma):
    """The best linear denoiser of Gaussian data: what any other must beat."""
    variances, axes = np.linalg.eigh(np.cov(train.T))
    variances = np.maximum(variances, 0)
    return train.mean(axis=0) + (x - train.mean(axis=0)) @ axes * (variances / (variances + sigma**2)) @ axes.T


def test_vectors_from_pairs(of_waves):
    x = noisy(NEW, 0.5, seed=2)
    assert rms(of_waves.denoise(x), NEW) < 0.4 * 0.5


def test_fresh_noise_is_better_than_the_best_linear_denoiser():
    """Of bumps here and there, which no covariance knows."""
    places = np.random.default_rng(0).uniform(3, 27, (1200, 1))
    bumps = np.exp(-(((np.arange(30) - places) / 2) ** 2))
    train, new = bumps[:1000], bumps[1000:]
    x = noisy(new, 0.3)
    found = Denoiser(64, epochs=100, seed=0).fit_clean(train, 0.3).denoise(x)
    assert rms(found, new) < 0.8 * rms(linear(train, x, 0.3), new)


def test_what_is_lost_is_filled_in():
    lost = np.random.default_rng(3).random(NEW.shape) < 0.3
    x = np.where(lost, CLEAN.mean(axis=0), NEW)
    found = Denoiser(64, epochs=60, seed=0).fit_clean(CLEAN, 0.3, "masking").denoise(x)
    assert rms(found[lost], NEW[lost]) < 0.5 * rms(x[lost], NEW[lost])


def test_denoise_worked_out_anew(of_waves):
    """Means of columns, one scale."""
    mean, scale = CLEAN.mean(axis=0), np.sqrt(CLEAN.var(axis=0).mean())
    np.testing.assert_allclose(of_waves.columns.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(of_waves.columns.scale, scale, rtol=1e-12)
    expected = mean + scale * of_waves.model.reconstruct(((NEW - mean) / scale).astype(np.float32))
    np.testing.assert_allclose(of_waves.denoise(NEW), expected, rtol=1e-5)


@pytest.mark.parametrize("factor", [1, 10])
def test_level_is_in_units_of_the_data(factor):
    """Noise of the pairs that are learnt from, and of no other kind."""
    clean = factor * CLEAN
    columns = vectors._one_scale(fastae.tables.Columns.of(clean))
    x, target = next(vectors._drawn(clean, clean, columns, "gaussian", 0.5 * factor, np.random.default_rng(0)))
    assert np.std(columns.scale[0] * (x - target)) == pytest.approx(0.5 * factor, rel=0.02)
    np.testing.assert_allclose(np.sort(columns.restore(target), axis=0), np.sort(clean, axis=0), rtol=1e-4)
    x, target = next(vectors._drawn(clean, clean, columns, "masking", 0.3, np.random.default_rng(0)))
    assert np.mean(x != target) == pytest.approx(0.3, abs=0.02)
    assert not x[x != target].any()


def test_learning_turns_back_what_it_turned():
    """A linear map is learnt, in the inputs' own coordinates, where one of them is constant."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(4, 3)).astype(np.float32)

    def drawn():
        while True:
            x = rng.normal(size=(512, 4)).astype(np.float32) * np.float32([10, 1, 0.1, 0])
            yield x, x @ mixing

    model = learning.learn(drawn(), [64], 60_000, learning.Rule("mse", 2e-3, 0, 1), np.random.default_rng(0), 1, None, False)
    x, target = next(drawn())
    assert model.reconstruct(x).shape == (512, 3)
    assert np.mean((model.reconstruct(x) - target) ** 2) < 0.01 * np.mean(target**2)


def test_a_saved_denoiser_is_the_same(of_waves, tmp_path):
    path = tmp_path / "d.safetensors"
    of_waves.save(path)
    loaded = Denoiser.load(path)
    assert np.array_equal(loaded.denoise(NEW), of_waves.denoise(NEW))
    assert loaded.hidden == [64]
    assert isinstance(fastae.load(path), fastae.Autoencoder)


def test_uint8_is_taken_as_0_to_1():
    pictures = np.random.default_rng(0).integers(0, 256, (60, 9), dtype=np.uint8)
    pair = [Denoiser(8, epochs=2).fit_clean(x, 0.1).denoise(x) for x in (pictures, (pictures / 255).astype(np.float32))]
    np.testing.assert_allclose(*pair, atol=1e-4)


@pytest.mark.parametrize(("n", "epochs"), [(100, 6), (600, 5), (3000, 2)])
def test_epochs_by_the_rule(monkeypatch, n, epochs):
    seen = []
    monkeypatch.setattr(vectors, "_SAMPLES", 3000)
    monkeypatch.setattr(vectors, "_EPOCHS", (2, 6))
    monkeypatch.setattr(learning, "learn", lambda drawn, hidden, samples, *_: seen.append(samples))
    Denoiser(4).fit_clean(waves(n), 0.1)
    Denoiser(4, epochs=9).fit_clean(waves(n), 0.1)
    assert seen == [epochs * n, 9 * n]


def test_constants_come_back():
    denoiser = Denoiser(4, epochs=5).fit_clean(np.full((20, 3), 7.0), 0.1)
    assert (denoiser.denoise(np.array([[7.1, 6.9, 7.0]])) == 7).all()
    for scale in ("one", "column"):
        x = CLEAN * (np.arange(30) != 4) + 3.0 * (np.arange(30) == 4)
        assert (Denoiser(4, epochs=2, scale=scale).fit(noisy(x, 0.5), x).denoise(noisy(x, 0.5))[:, 4] == 3).all()


def test_columns_of_different_units(tmp_path):
    """A millionth, a million: one scale is that of the largest, by which the others have no noise and no shape."""
    units = 10.0 ** np.linspace(-6, 6, 30)
    left = []
    for scale in ("one", "column"):
        denoiser = Denoiser(64, epochs=60, scale=scale).fit(noisy(CLEAN, 0.5) * units, CLEAN * units)
        denoiser.save(tmp_path / "d")
        again = Denoiser.load(tmp_path / "d")
        found = again.denoise(noisy(NEW, 0.5, seed=2) * units)
        assert np.array_equal(found, denoiser.denoise(noisy(NEW, 0.5, seed=2) * units))
        assert again.scale == scale
        left.append(rms(found / units, NEW))
    assert left[1] < 0.25 < left[0]


def test_a_level_is_one_in_columns_of_their_own_scales():
    clean = CLEAN * np.arange(1, 31)
    columns = fastae.tables.Columns.of(clean)
    x, target = next(vectors._drawn(clean, clean, columns, "gaussian", 0.5, np.random.default_rng(0)))
    np.testing.assert_allclose(np.std(columns.scale * (x - target), axis=0), 0.5, rtol=0.15)


def test_large_numbers_are_told_or_right():
    with np.errstate(all="raise"):
        one = Denoiser(4, epochs=2).fit(1e30 * CLEAN, 1e30 * CLEAN)
        assert np.isfinite(one.denoise(1e30 * CLEAN)).all()
    for call in (lambda: one.fit(1e200 * CLEAN, CLEAN), lambda: one.denoise(1e200 * CLEAN)):
        with pytest.raises(ValueError, match="noisy has numbers too large for float32"):
            call()
    with pytest.raises(ValueError, match="clean has numbers too large for float32"):
        one.fit_clean(1e200 * CLEAN, 0.1)


BAD = CLEAN.copy()
BAD[3, 1] = np.nan


@pytest.mark.parametrize(
    ("pair", "error", "says"),
    [
        ((CLEAN[:10], CLEAN), ValueError, r"noisy takes the shape of clean, \(600, 30\); got \(10, 30\)"),
        ((CLEAN[:, :2], CLEAN), ValueError, r"got \(600, 2\)"),
        ((BAD, CLEAN), ValueError, "noisy has NaN or infinity, the first in row 3, column 1"),
        ((CLEAN, BAD), ValueError, "clean has NaN"),
        ((CLEAN[:1], CLEAN[:1]), ValueError, "at least 2 rows"),
        ((CLEAN[0], CLEAN), ValueError, "noisy takes a table"),
        ((CLEAN.astype(int), CLEAN), TypeError, "noisy takes float32"),
        ((CLEAN, None), ValueError, "clean takes a table"),
    ],
)
def test_wrong_pairs(pair, error, says):
    with pytest.raises(error, match=says):
        Denoiser(4).fit(*pair)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((-0.1,), ValueError, "level takes a standard deviation >= 0, got -0.1"),
        (("much",), TypeError, "level takes"),
        ((1.5, "masking"), ValueError, "level takes a probability 0 <= level < 1, got 1.5"),
        ((0.1, "salt"), ValueError, "noise takes one of 'gaussian', 'masking'; got 'salt'"),
    ],
)
def test_wrong_noise(arguments, error, says):
    with pytest.raises(error, match=says):
        Denoiser(4).fit_clean(CLEAN, *arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"hidden": 0}, ValueError, "hidden takes a positive"),
        ({"hidden": [8, 2.5]}, TypeError, "hidden takes"),
        ({"hidden": 1.5}, TypeError, "hidden takes a positive integer, or several; got 1.5"),
        ({"epochs": 0}, ValueError, "epochs takes"),
        ({"scale": "all"}, ValueError, "scale takes one of 'one', 'column'; got 'all'"),
    ],
)
def test_wrong_sizes(arguments, error, says):
    with pytest.raises(error, match=says):
        Denoiser(**arguments)


def test_an_unfitted_denoiser_says_so(of_waves):
    with pytest.raises(RuntimeError, match="call fit"):
        Denoiser().denoise(NEW)
    with pytest.raises(ValueError, match=r"\(samples, 30\)"):
        of_waves.denoise(NEW[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        of_waves.denoise(BAD)


# ---- the command line ------------------------------------------------------------------------------------------------


def write(path, picture, **how):
    Image.fromarray(picture).save(path, **how)
    return str(path)


def deep_colours(path):
    """A PNG of RGB with 16 bits, of which Pillow reads 8."""
    rows = b"".join(b"\0" + bytes(5 * 6) for _ in range(4))
    parts = (b"IHDR", struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    chunks = (struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_denoise_a_file(denoiser, tmp_path, monkeypatch, capsys, mode):
    monkeypatch.chdir(tmp_path)
    channels = None if mode in ("L", "I;16") else len(mode)
    white, dtype = (65535, np.uint16) if mode == "I;16" else (255, np.uint8)
    clean = scene(60, 50, channels) * white / 255
    picture = np.clip(noisy(clean, 0.08 * white), 0, white).astype(dtype)
    write("in.png", picture, dpi=(96, 96))
    assert cli.main(["denoise", "in.png", "out.png", "--sigma", str(0.08 * white)]) == 0
    assert "wrote out.png: 50 x 60, noise" in capsys.readouterr().out
    with Image.open("out.png") as found:
        assert found.mode == mode
        assert found.info["dpi"] == pytest.approx((96, 96), abs=0.1)
        assert np.array_equal(np.asarray(found), denoiser.denoise(picture, 0.08 * white))


def test_noise_is_estimated_and_the_name_is_derived(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    clean = scene(150, 120)
    write("photo.tif", np.clip(noisy(clean, 20), 0, 255).astype(np.uint8))
    assert cli.main(["denoise", "photo.tif"]) == 0
    assert "estimated" in capsys.readouterr().out
    with Image.open("photo-denoise.png") as found:
        assert rms(np.asarray(found), clean) < 10


def test_train_then_use(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("clean.png", scene(40, 40).astype(np.uint8))
    write("noisy.png", np.clip(noisy(scene(30, 40), 20), 0, 255).astype(np.uint8))
    train = ["--train", "clean.png", "clean.png", "--model", "m.safetensors", "--samples", "640", "--seed", "1"]
    assert cli.main(["denoise", "noisy.png", "a.png", *train]) == 0
    assert "wrote m.safetensors" in capsys.readouterr().out
    assert cli.main(["denoise", "noisy.png", "b.png", "--model", "m.safetensors"]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_palettes_and_bits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Image.fromarray(np.clip(noisy(scene(20, 30, 3), 20), 0, 255).astype(np.uint8)) as picture:
        picture.quantize(32).save("p.png")
        picture.convert("1").save("1.png")
    for name, mode in (("p", "RGB"), ("1", "L")):
        assert cli.main(["denoise", f"{name}.png", "out.png", "--sigma", "10"]) == 0
        with Image.open("out.png") as found:
            assert found.mode == mode


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("order", ["II", "MM"])
def test_grey_of_16_bits_in_either_order_of_bytes(denoiser, tmp_path, order, ending):
    picture = np.clip(257 * noisy(scene(30, 40), 20), 0, 65535).astype("<u2" if order == "II" else ">u2")
    path, out = tmp_path / "in.tif", tmp_path / f"out.{ending}"
    to, tags = "<" if order == "II" else ">", {256: 40, 257: 30, 258: 16, 259: 1, 262: 1, 273: 110, 278: 30, 279: 2400}
    entries = [struct.pack(f"{to}HHII", tag, 4, 1, n) for tag, n in tags.items()]
    head = order.encode() + struct.pack(f"{to}HIH", 42, 8, len(tags))
    path.write_bytes(b"".join((head, *entries, bytes(4))) + picture.tobytes())
    assert np.array_equal(files.read_image(path)[0], picture)
    assert cli.main(["denoise", str(path), str(out), "--sigma", "5140"]) == 0
    assert np.array_equal(files.read_image(out)[0], denoiser.denoise(picture, 5140))


@pytest.mark.parametrize(("mode", "key", "n"), [("L", 30, 2), ("RGB", (30, 30, 30), 4), ("1", 0, 2)])
def test_a_colour_that_is_transparent_stays_so(tmp_path, mode, key, n):
    path, out = tmp_path / "in.png", tmp_path / "out.png"
    picture = Image.new(mode, (20, 20), key)
    picture.paste(1 if mode == "1" else tuple([200] * len(mode)) if mode == "RGB" else 200, (0, 0, 7, 20))
    picture.save(path, transparency=key)
    assert cli.main(["denoise", str(path), str(out), "--sigma", "5"]) == 0
    found = files.read_image(out)[0]
    assert found.shape == (20, 20, n)
    assert (found[:, :7, -1] == 255).all()
    assert (found[:, 7:, -1] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.png"], "none.png: No such file"),
        (["text.png"], "text.png is no image that Pillow can read"),
        (["cut.png"], "cut.png cannot be read: "),
        (["deep.png"], "its colours have 16 bits"),
        (["cmyk.jpg"], "its pixels are CMYK"),
        (["moving.gif"], "it has 2 frames"),
        (["good.png", "out.txt"], "the name ends in '.txt'"),
        (["good.png", "none/out.png"], "No such file"),
        (["alpha.png", "out.jpg"], "out.jpg cannot be written: "),
        (["row.png"], "give sigma"),
        (["good.png", "--sigma", "-1"], "sigma takes a number >= 0"),
        (["good.png", "--sigma", "-1", "--train", "good.png"], "sigma takes a number >= 0"),
        (["row.png", "--train", "good.png"], "give sigma"),
        (["alpha.png", "out.jpg", "--train", "good.png"], "out.jpg cannot be written: "),
        (["good.png", "none/out.png", "--train", "good.png"], "none/out.png: No such file"),
        (["good.png", "--train", "good.png", "--model", "none/m"], "none/m: No such file"),
        (["good.png", "good.png"], "good.png would be written over good.png, which is read; name another file"),
        (["good.png", "--train", "row.png", "--model", "./row.png"], "would be written over row.png, which is read"),
        (["good.png", "--train", "row.png", "--model", "./good.png"], "would be written over good.png, which is read"),
        (["good.png", "out.png", "--train", "good.png", "--model", "out.png"], "over out.png, which is written too"),
        (["good.png", "--seed", "1"], "--seed counts with --train only"),
        (["good.png", "--train", "row.png"], "row.png takes at least 13 pixels"),
        (["good.png", "--model", "plain.safetensors"], "not one of fastae.denoising"),
    ],
)
def test_wrong_commands(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    good = scene(30, 30, 3).astype(np.uint8)
    write("good.png", good)
    write("row.png", good[:1])
    write("alpha.png", scene(30, 30, 4).astype(np.uint8))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:300])
    deep_colours(tmp_path / "deep.png")
    with Image.fromarray(good) as picture:
        picture.convert("CMYK").save("cmyk.jpg")
        picture.save("moving.gif", save_all=True, append_images=[picture.rotate(90)])
    fastae.Autoencoder([3, 2], seed=0).save("plain.safetensors")
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(ImageDenoiser, "fit", lambda *_, **__: pytest.fail("the training has begun"))
    assert cli.main(["denoise", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_of_denoisers_settings(of_waves, tmp_path):
    path = tmp_path / "d.safetensors"
    of_waves.save(path)
    with open(path, "rb") as file:
        metadata = json.loads(file.read(int.from_bytes(file.read(8), "little")))["__metadata__"]
    own = json.loads(metadata["fastae.denoising"])
    own["mean"].pop()
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), path, metadata | {"fastae.denoising": json.dumps(own)})
    with pytest.raises(ValueError, match="not 30"):
        Denoiser.load(path)
