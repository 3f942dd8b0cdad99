"""Compression: hand numbers for its parts, files refused where anything is wrong, bounds that hold for every pixel."""

import json
import math
import zlib

import numpy as np
import pytest

import fastae
from fastae import cli

pytest.importorskip("constriction")
from fastae import compression
from fastae.compression import Codec, Table, bounded, container, entropy, learning


@pytest.fixture(scope="module")
def digits():
    return np.rint(fastae.datasets.load_digits()[0] * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def codec(digits):
    return Codec.fit(digits[:1500], 0.5, hidden=128, epochs=150, seed=0)


# ---- parts, by hand


def test_psnr_by_hand():
    original = np.zeros((1, 4), np.uint8)
    for decoded in (np.array([[0, 0, 0, 51]], np.uint8), np.array([[0, 0, 0, 0.2]])):  # floats from 0 to 1 are bytes / 255
        assert compression.psnr(decoded, original) == pytest.approx(10 * math.log10(4 * 25))  # 255^2 / (51^2 / 4)
    assert compression.psnr(original, original) == math.inf
    for decoded, kind, says in (
        (original.astype(int), TypeError, "decoded takes float32, float64 or uint8"),
        (original + 3.0, ValueError, "decoded takes values from 0 to 1"),
        (original[:, :2], ValueError, r"original takes an array of shape \(samples, 2\)"),
        (np.repeat(original, 2, axis=0), ValueError, r"one shape, got \(2, 4\) and \(1, 4\)"),
    ):
        with pytest.raises(kind, match=says):
            compression.psnr(decoded, original)


def test_table_by_hand():
    assert entropy.tabulate(np.array([3.0, 1.0, 3.0, 3.0])) == Table(1, (1, 0, 3))
    assert entropy.tabulate(np.array([-1, 1]), seen=1) == Table(-1, (2, 1, 2))
    assert entropy.tabulate(np.array([5])).counts == (1, 0)  # of two integers at least
    assert entropy.tabulate(np.array([])) == Table(0, (1, 1))
    assert Table(-2, (4, 2, 1, 1)).bits.tolist() == [1, 2, 3, 3]
    assert Table(-2, (4, 2, 1, 1)).high == 1


def test_coded_length_is_the_entropy(rng):
    tables = [Table(0, (1, 1)), Table(-5, (4, 2, 1, 1))]
    columns = [rng.integers(0, 2, 4000).astype(np.int32), rng.choice(4, 4000, p=[0.5, 0.25, 0.125, 0.125]).astype(np.int32)]
    data = entropy.encode(columns, tables)
    expected = sum(float(table.bits[column].sum()) for table, column in zip(tables, columns, strict=True))
    assert expected <= 8 * len(data) + 1e-3 * expected
    assert 8 * len(data) <= expected + 64 + 1e-3 * expected
    for a, b in zip(entropy.decode(data, [4000, 4000], tables), columns, strict=True):
        assert np.array_equal(a, b)
    with pytest.raises(ValueError, match="more was coded"):
        list(entropy.decode(data, [4000, 3000], tables))


def test_tables_survive_packing():
    tables = [Table(-3, (1, 0, 70000)), Table(0, (1, 1)), Table(200, (5, 5))]
    assert entropy.unpack(entropy.pack(tables), 1000) == tables


def test_water_filling_by_hand():
    """Variances 16 and 1/4: at level 4, a bit of the first component; at level 1, two; at 1/8, three and a half, and a half."""
    for bits, level, components in ((1, 4, 1), (2, 1, 1), (4, 0.125, 2)):
        noise, above = learning.water_filling(np.array([0.25, 16.0, 0.0]), bits)
        assert noise**2 == pytest.approx(level, rel=1e-6)
        assert above == components


@pytest.mark.parametrize("bound", [0, 1, 2, 7, 100, 127, 128, 255])
def test_every_pixel_is_within_its_bound(bound, rng):
    x = rng.integers(0, 256, (40, 30), dtype=np.uint8)
    x[0, :9] = 0, 1, 2, 3, 127, 128, 253, 254, 255
    for reconstruction in (x, 255 - x, np.zeros_like(x), rng.integers(0, 256, x.shape, dtype=np.uint8)):
        again = bounded.decode(reconstruction.copy(), bound, *bounded.encode(x, reconstruction, bound))
        assert np.abs(again.astype(int) - x).max() <= bound


def test_pixels_cost_little_where_the_reconstruction_is_good(rng):
    x = rng.integers(0, 256, (400, 100), dtype=np.uint8)
    near = np.clip(x + rng.integers(-3, 4, x.shape), 0, 255).astype(np.uint8)
    lengths = [sum(map(len, bounded.encode(x, y, 0))) for y in (near, rng.permuted(near))]
    assert lengths[0] < 0.6 * lengths[1]


def test_steps_do_not_change_what_a_model_gives(rng):
    """Where the steps are tiny, a calibrated codec's pixels are those of the model; a feature that is constant is left out."""
    model = fastae.Autoencoder([12, 8, 5], "tanh", seed=1)
    model.encoder[-1].weight[2] = 0
    model.encoder[-1].bias[2] = 0.7
    x = rng.integers(0, 256, (300, 12), dtype=np.uint8)
    codec = Codec.calibrate(model, x, 8.0, spread=[1, 2, 1, 0.5, 3])
    assert codec.model.n_latent == 4
    expected = np.rint(255 * model.reconstruct(x))
    assert np.abs(codec.decompress(codec.compress(x)) - expected).max() <= 1
    assert np.array_equal(codec.model.encoder[0].weight, model.encoder[0].weight)


def test_calibration_meets_the_rate(rng):
    x = np.clip(128 + 30 * rng.standard_normal((4000, 8)), 0, 255).astype(np.uint8)
    identity = fastae.Autoencoder([8, 8], output_activation="identity", seed=0)
    identity.encoder[0].weight = identity.decoder[0].weight = np.eye(8, dtype="float32")
    qualities = []
    for bits in (0.5, 1, 2, 4):
        codec = Codec.calibrate(identity, x, bits)
        data = codec.compress(x)
        assert 8 * len(data) / x.size == pytest.approx(bits, abs=0.05)
        qualities.append(compression.psnr(codec.decompress(data), x))
    # At a high rate a bit is 6.02 dB, and a step d makes an error of d^2 / 12: h(x) - log2(d) bits.
    assert qualities[3] - qualities[2] == pytest.approx(12.04, abs=0.15)
    step = 30 * math.sqrt(2 * math.pi * math.e) / 2**4
    assert qualities[3] == pytest.approx(10 * math.log10(255**2 / ((step**2 + 1) / 12)), abs=0.3)


# ---- whole


def test_learns_digits_better_than_pca(codec, digits):
    test = digits[1500:]
    data = codec.compress(test)
    assert codec.decompress(data).shape == test.shape
    assert 8 * len(data) / test.size < 0.5 * 1.15  # the header of 68 bytes is 4 %
    mean = digits[:1500].mean(axis=0) / 255
    axes = np.linalg.svd(digits[:1500] / 255 - mean, full_matrices=False)[2].astype(np.float32)
    pca = fastae.Autoencoder([64, 64], output_activation="identity", seed=0)
    pca.encoder[0].weight, pca.encoder[0].bias = axes, -axes @ mean
    pca.decoder[0].weight, pca.decoder[0].bias = axes.T, mean
    by_pca = Codec.calibrate(pca, digits[:1500], 0.5)
    other = by_pca.compress(test)
    assert len(other) > 0.9 * len(data)
    assert compression.psnr(codec.decompress(data), test) > compression.psnr(by_pca.decompress(other), test) + 0.5


@pytest.mark.parametrize("max_error", [0, 1, 12])
def test_max_error(codec, digits, max_error):
    test = digits[1500:].copy()
    test[3] = 255 - test[3]  # unlike anything it was trained on
    test[4] = 255
    again = codec.decompress(codec.compress(test, max_error=max_error))
    assert np.abs(again.astype(int) - test).max() <= max_error
    assert np.array_equal(again, test) == (max_error == 0)


def test_floats_are_bytes_of_255(codec, digits):
    x = digits[:7]
    for same in (x / 255, x / np.float32(255), np.asfortranarray(x)):
        assert codec.compress(same) == codec.compress(x)


def test_one_row_and_blocks(codec, digits):
    """A row alone, and more rows than are decoded at a time, give what rows among others do (to a grey level: sums differ)."""
    many = np.tile(digits, (3, 1))
    again = codec.decompress(codec.compress(many)).astype(int)
    one = codec.decompress(codec.compress(many[5000:5001]))
    assert one.shape == (1, 64)
    assert np.abs(again[5000] - one[0]).max() <= 1
    assert np.abs(again[: len(digits)] - again[2 * len(digits) :]).max() <= 1


def test_same_seed_same_bits_on_any_number_of_threads(digits):
    settings = {"hidden": [24, 16], "epochs": 10, "refine": 1}
    one, two = (Codec.fit(digits[:600], 1.0, **settings, seed=5, n_threads=n) for n in (1, 3))
    other = Codec.fit(digits[:600], 1.0, **settings, seed=6)
    assert one.digest == two.digest != other.digest
    for bound in (None, 0):
        data = one.compress(digits, bound, n_threads=1)
        assert data == two.compress(digits, bound, n_threads=3)
        assert np.array_equal(one.decompress(data, n_threads=1), two.decompress(data, n_threads=3))


def test_saved_and_loaded(codec, digits, tmp_path):
    path = tmp_path / "codec.safetensors"
    codec.save(path)
    again = Codec.load(path)
    assert again.digest == codec.digest
    assert again.tables == codec.tables
    data = codec.compress(digits, max_error=0)
    assert again.compress(digits, max_error=0) == data
    assert np.array_equal(again.decompress(data), digits)
    assert fastae.load(path).n_latent == codec.model.n_latent
    for cut in (path.read_bytes()[:-7], b"junk"):
        (tmp_path / "bad").write_bytes(cut)
        with pytest.raises(ValueError, match="bad"):
            Codec.load(tmp_path / "bad")
    codec.model.save(path)
    with pytest.raises(ValueError, match="holds a model, but no codec"):
        Codec.load(path)
    with pytest.raises(FileNotFoundError):
        Codec.load(tmp_path / "none")


def test_other_backends_read_the_files(codec, digits, tmp_path):
    codec.save(tmp_path / "c")
    numpy = Codec.load(tmp_path / "c", backend="numpy")
    data = codec.compress(digits[:200], max_error=0)
    assert np.array_equal(numpy.decompress(data), digits[:200])  # the float64 decoder rounds alike
    lossy = codec.compress(digits[:200])
    assert np.abs(numpy.decompress(lossy).astype(int) - codec.decompress(lossy)).max() <= 1


# ---- files that are wrong


@pytest.mark.parametrize("max_error", [None, 3])
def test_every_flipped_byte_and_every_cut_is_refused(codec, digits, max_error):
    data = codec.compress(digits[:2], max_error)
    codec.decompress(data)
    for place in range(len(data)):
        for flip in (0xFF, 0x01, 0x80):
            wrong = bytearray(data)
            wrong[place] ^= flip
            with pytest.raises(ValueError, match=r"data (is|was|has)"):
                codec.decompress(bytes(wrong))
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"data (is|has)"):
            codec.decompress(data[:length])
    with pytest.raises(ValueError, match="cut short or damaged"):
        codec.decompress(data + b"\0")


def signed(data):
    """A file with the checksum that its bytes have."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def test_what_a_file_is_refused_for_is_said(codec, digits):
    data = codec.compress(digits[:2], max_error=3)
    other, tables = Codec.calibrate(codec.model, digits, 0.4), 64 + int.from_bytes(data[40:48], "little")
    for wrong, says in (
        (b"", "begins with b''"),
        (b"PNG", "no file of fastae.compression"),
        (data[:40], "cut short: it has 40 bytes"),
        (data[:-1], "its header says"),
        (signed(data[:4] + b"\x03" + data[5:]), "of version 3 of the format, this fastae reads 2"),
        (data[:100] + bytes([data[100] ^ 1]) + data[101:], "damaged: its checksum"),
        (other.compress(digits[:2]), f"another codec, {other.digest.hex()}; this one is {codec.digest.hex()}"),
        (signed(data[:12] + bytes([data[12] ^ 1]) + data[13:]), "arithmetic rounds otherwise"),
        (signed(data[:16] + b"\x01" + data[17:]), "more was coded"),
        (signed(data[:16] + (1 << 40).to_bytes(8, "little") + data[24:]), f"cannot hold {1 << 40} samples"),
        (signed(data[:8] + b"\xff\xff\xff\xff" + data[12:]), "it has 4294967295 features"),
        (signed(data[:6] + b"\xff\x7f" + data[8:]), "max_error 32767"),
        (signed(data[:tables] + b"nonsense" + data[tables + 8 :]), "its tables cannot be read"),
    ):
        with pytest.raises(ValueError, match=r"data|coded") as error:
            codec.decompress(wrong)
        assert says in str(error.value)
    with pytest.raises(TypeError, match="data takes bytes, got str"):
        codec.decompress("data")


@pytest.mark.parametrize("n", [1, 5, 6, 7, 40])
@pytest.mark.parametrize("max_error", [None, 2])
def test_on_any_number_of_threads(codec, digits, n, max_error):
    """With more than one, the first samples are decoded while the others' codes are read."""
    data = codec.compress(digits[:n], max_error, n_threads=2)
    assert data == codec.compress(digits[:n], max_error, n_threads=1)
    alone = codec.decompress(data, n_threads=1)
    assert np.array_equal(alone, codec.decompress(data, n_threads=2))
    assert max_error is None or np.abs(alone.astype(int) - digits[:n]).max() <= max_error


def test_header_by_hand(codec, digits):
    """The table of docs/compression.md."""
    data = codec.compress(digits[:3], max_error=7)
    number = lambda a, b: int.from_bytes(data[a:b], "little", signed=True)  # noqa: E731
    assert data[:6] == b"FAEC\x02\x00"
    assert number(6, 8) == 7
    assert number(8, 12) == 64
    assert number(16, 24) == 3
    assert data[24:40] == codec.digest
    assert 64 + number(40, 48) + number(48, 56) + number(56, 64) + 4 == len(data)
    assert int.from_bytes(data[-4:], "little") == zlib.crc32(data[:-4])
    lossy = codec.compress(digits[:3])
    assert int.from_bytes(lossy[6:8], "little", signed=True) == -1
    assert container.read(lossy, codec.digest).pixels == b""


# ---- input that is wrong

GOOD = np.zeros((30, 64), np.uint8)
BAD = [
    (np.zeros((3, 63), np.uint8), ValueError, "x takes an array of shape (samples, 64), got (3, 63)"),
    (np.zeros(64, np.uint8), ValueError, "x.reshape(1, -1)"),
    (np.zeros((2, 8, 8), np.uint8), ValueError, "flatten the samples"),
    (np.zeros((0, 64), np.uint8), ValueError, "x is empty"),
    (np.zeros((2, 64), np.int64), TypeError, "got int64"),
    (np.full((2, 64), "a"), TypeError, "x takes float32"),
    (np.full((2, 64), np.nan), ValueError, "x has NaN or infinity, the first in row 0, column 0"),
    (np.full((2, 64), 1.01), ValueError, "x takes values from 0 to 1, got 1.01 to 1.01; scale them, or give uint8"),
    (np.full((2, 64), 1 + 1e-9), ValueError, "got 1.000000001 to 1.000000001"),
    (np.full((2, 64), -0.01), ValueError, "x takes values from 0 to 1"),
    (np.full((2, 64), np.inf), ValueError, "infinity"),
    ([[1, 2], [3]], ValueError, "x takes"),
    (None, TypeError, "x takes"),
]


@pytest.mark.parametrize(("x", "kind", "says"), BAD, ids=[says[:30] for _, _, says in BAD])
def test_bad_images(codec, x, kind, says):
    with pytest.raises(kind) as error:
        codec.compress(x)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"bits_per_pixel": 0}, ValueError, "bits_per_pixel takes a number above 0, at most 8, got 0"),
        ({"bits_per_pixel": 9}, ValueError, "bits_per_pixel"),
        ({"bits_per_pixel": math.nan}, ValueError, "bits_per_pixel"),
        ({"bits_per_pixel": "low"}, TypeError, "bits_per_pixel"),
        ({"x": GOOD[:19]}, ValueError, "at least 20 samples"),
        ({"x": GOOD[:1]}, ValueError, "at least 20 samples"),
        ({"x": GOOD[:0]}, ValueError, "empty"),
        ({"x": np.full((30, 4), 2.0)}, ValueError, "from 0 to 1"),
        ({"n_codes": 0}, ValueError, "n_codes"),
        ({"sigma": 0}, ValueError, "sigma"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"refine": -1}, ValueError, "refine"),
        ({"hidden": 0}, ValueError, "hidden takes a positive integer, got 0"),
        ({"hidden": [8, 1.5]}, TypeError, "hidden takes a positive integer, got 1.5"),
        ({"x": np.zeros((50, 8, 8), np.uint8)}, ValueError, r"flatten the samples with x.reshape\(len\(x\), -1\)"),
        ({"lr": -1}, ValueError, "lr"),
    ],
    ids=str,
)
def test_bad_arguments_of_fit(arguments, kind, says):
    with pytest.raises(kind, match=says):
        Codec.fit(**{"x": GOOD, **arguments})


def test_bad_models(digits):
    fits = fastae.Autoencoder([64, 8], seed=0)
    with pytest.raises(TypeError, match="model takes an Autoencoder, got int"):
        Codec.calibrate(3, digits)
    with pytest.raises(ValueError, match="float32"):
        Codec.calibrate(fastae.Autoencoder([64, 8], dtype="float64", seed=0), digits)
    with pytest.raises(ValueError, match="decodes what it encodes"):
        Codec.calibrate(fastae.VariationalAutoencoder([64, 8], seed=0), digits)
    with pytest.raises(ValueError, match="activation 'identity', got 'tanh'"):
        Codec.calibrate(fastae.Autoencoder([64, 8], latent_activation="tanh", seed=0), digits)
    with pytest.raises(ValueError, match="spread takes 8 numbers above 0"):
        Codec.calibrate(fits, digits, spread=[1, 2])
    with pytest.raises(ValueError, match="one for each of 8 features"):
        Codec(fits, [Table(0, (1, 1))])
    with pytest.raises(ValueError, match="at least two samples"):
        Codec.calibrate(fits, digits[:1])
    for bound, kind in ((-1, ValueError), (256, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(kind, match="max_error takes an integer"):
            Codec.calibrate(fits, digits[:50]).compress(digits, max_error=bound)


def test_degenerate_images():
    """Constant pixels, constant images, one pixel: a codec is made, and lossless is lossless."""
    gradient = np.tile(np.arange(64, dtype=np.uint8), (30, 1))
    for x in (GOOD, GOOD + 255, gradient, GOOD[:, :1], np.eye(64, dtype=np.uint8) * 255):
        codec = Codec.fit(x, 0.5, hidden=8, epochs=2)
        assert np.array_equal(codec.decompress(codec.compress(x, max_error=0)), x)
        assert codec.decompress(codec.compress(x[:1])).shape == x[:1].shape


def test_images_that_hardly_vary(digits, rng):
    """Training learns nothing of them, or less than nothing: constants and two values are exact all the same."""
    two_greys = np.where(rng.random((200, 1)) < 0.5, np.uint8(50), np.uint8(180)) * np.ones((1, 64), np.uint8)
    for x in (np.full((1000, 64), 200, np.uint8), two_greys, np.tile(digits[:1], (100, 1)), np.tile(digits[:2], (50, 1))):
        codec = Codec.fit(x, seed=0)
        assert np.array_equal(codec.decompress(codec.compress(x)), x)
    nearly = (200 + rng.integers(0, 2, (300, 64))).astype(np.uint8)
    codec = Codec.fit(nearly, epochs=20, seed=0)
    assert compression.psnr(codec.decompress(codec.compress(nearly)), nearly) > 52  # their mean: 51.2


# ---- the command line


def run(*words, code=0):
    assert cli.main([str(word) for word in words]) == code


def test_command_line(tmp_path, monkeypatch, capsys, digits):
    monkeypatch.chdir(tmp_path)
    run("compress", "c.safetensors", "digits", "--train", "--bits-per-pixel", 1, "--epochs", 3)
    printed = capsys.readouterr().out
    assert "wrote c.safetensors" in printed
    assert "1797 images of 64 pixels" in printed
    run("decompress", "c.safetensors", "digits.faec")
    again = np.load("digits-decompress.npy")
    assert again.dtype == np.uint8
    assert f"PSNR {compression.psnr(again, digits):.2f} dB" in printed
    np.save("mine.npy", digits[:9])
    run("compress", "c.safetensors", "mine.npy", "--max-error", 0, "--output", "o.faec")
    assert "PSNR inf dB" in capsys.readouterr().out
    run("decompress", "c.safetensors", "o.faec", "--output", "o.csv")
    assert np.array_equal(np.loadtxt("o.csv", delimiter=","), digits[:9])
    capsys.readouterr()
    (tmp_path / "cut.faec").write_bytes((tmp_path / "o.faec").read_bytes()[:-9])
    np.save("wide.npy", np.zeros((3, 65), np.uint8))
    np.save("grey.npy", np.full((3, 64), 200.5))
    np.savetxt("bytes.csv", digits[:9], delimiter=",", fmt="%d")
    np.save("bytes.npy", digits[:9].astype(np.int64))
    np.savetxt("bits.csv", digits[:9] > 127, delimiter=",", fmt="%d")
    for name, same in (("bytes.csv", digits[:9]), ("bytes.npy", digits[:9]), ("bits.csv", np.where(digits[:9] > 127, 255, 0))):
        run("compress", "c.safetensors", name, "--max-error", 0, "--output", "o.faec")
        run("decompress", "c.safetensors", "o.faec", "--output", "o.npy")
        assert np.array_equal(np.load("o.npy"), same)
    capsys.readouterr()
    before = sorted(tmp_path.iterdir())
    for words, says in (
        (("decompress", "c.safetensors", "cut.faec"), "decompress: data is cut short"),
        (("decompress", "c.safetensors", "mine.npy"), "no file of fastae.compression"),
        (("decompress", "c.safetensors", "none.faec"), "none.faec: No such file"),
        (("decompress", "none.safetensors", "o.faec"), "none.safetensors: No such file"),
        (("decompress", "c.safetensors", "o.faec", "--output", "o.xyz"), ".npy or .npz or .csv"),
        (("compress", "none.safetensors", "digits"), "none.safetensors: No such file"),
        (("compress", "mine.npy", "digits"), "mine.npy"),
        (("compress", "c.safetensors", "wide.npy"), "(samples, 64), got (3, 65)"),
        (("compress", "c.safetensors", "grey.npy"), "from 0 to 1"),
        (("compress", "c.safetensors", "digits", "--epochs", "3"), "--epochs counts with --train only"),
        (("compress", "c.safetensors", "digits", "--max-error", "300"), "max_error takes an integer from 0 to 255"),
        (("compress", "d.safetensors", "digits", "--train", "--bits-per-pixel", "0"), "bits_per_pixel"),
        (("compress", "d.safetensors", "wide.npy", "--train"), "at least 20 samples"),
        (("compress", "c.safetensors", "digits", "--train"), "c.safetensors exists; --train would make all files"),
        (("compress", "d.safetensors", "digits", "--train", "--max-error", "-1"), "max_error takes an integer >= 0"),
        (("compress", "d.safetensors", "digits", "--train", "--output", "none/o"), "none/o: No such file"),
        (("compress", "none/d", "digits", "--train"), "none/d: No such file"),
        (("compress", "wide.npy", "wide.npy", "--train"), "over wide.npy, which is read"),
        (("compress", "d", "digits", "--train", "--output", "d"), "over d, which is written too"),
    ):
        run(*words, code=2)
        out, err = capsys.readouterr()
        assert says in err, (words, err)
        assert out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_missing_constriction_is_said(codec, digits, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "constriction", None)
    with pytest.raises(ImportError, match=r"pip install fastae\[compression\]"):
        codec.compress(digits[:2])


def test_settings_are_json_beside_the_model(codec, tmp_path):
    from safetensors import safe_open

    codec.save(tmp_path / "c")
    with safe_open(tmp_path / "c", framework="np") as file:
        tables = json.loads(file.metadata()["fastae.compression"])["tables"]
    assert tables == [[table.low, list(table.counts)] for table in codec.tables]
