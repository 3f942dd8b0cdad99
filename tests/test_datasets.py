"""Data sets: the digits that are shipped, idx files, and MNIST's folders."""

import gzip
import hashlib
import struct

import numpy as np
import pytest

from fastae import datasets

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}


def idx(array):
    """An idx file's bytes, as http://yann.lecun.com/exdb/mnist describes them."""
    code = {np.dtype(dtype): code for code, dtype in TYPES.items()}[array.dtype]
    big_endian = np.asarray(array).astype(array.dtype.newbyteorder(">")).tobytes()
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + big_endian


DIGITS = "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"  # SHA-256 of the levels 0 to 16 as bytes
LABELS = "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0"

# ---- digits ----------------------------------------------------------------------------------------------------------


def test_digits():
    x, labels = datasets.load_digits()
    assert x.shape == (1797, 64)
    assert x.dtype == np.float32
    assert labels.shape == (1797,)
    assert labels.dtype == np.int64
    assert (x.min(), x.max()) == (0, 1)
    levels = (x * 16).astype(np.uint8)
    np.testing.assert_array_equal(levels / np.float32(16), x)  # steps of 1/16
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as UCI's digits.names says
    assert labels[:10].tolist() == list(range(10))
    assert levels.sum() == 561718
    assert hashlib.sha256(levels.tobytes()).hexdigest() == DIGITS
    assert hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest() == LABELS


def test_digits_are_those_of_scikit_learn():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    x, labels = datasets.load_digits()
    expected, expected_labels = sklearn_datasets.load_digits(return_X_y=True)
    np.testing.assert_array_equal(x * 16, expected)
    np.testing.assert_array_equal(labels, expected_labels)


def test_every_call_gives_its_own_digits():
    datasets.load_digits()[0][...] = 7
    assert datasets.load_digits()[0].max() == 1


# ---- idx files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("code", TYPES)
@pytest.mark.parametrize("shape", [(5,), (3, 2), (2, 3, 4), (2, 1, 2, 3), (0, 4), ()], ids=str)
def test_load_idx(tmp_path, rng, code, shape, zipped):
    low = 0 if code == 0x08 else -100
    array = np.asarray(rng.integers(low, 100, shape)).astype(TYPES[code])
    data = idx(array)
    path = tmp_path / "numbers"  # no suffix is needed
    path.write_bytes(gzip.compress(data) if zipped else data)
    for place in (path, str(path)):
        found = datasets.load_idx(place)
        assert found.dtype == array.dtype
        assert found.dtype.isnative
        assert found.flags.writeable
        np.testing.assert_array_equal(found, array)


def test_idx_numbers_by_hand(tmp_path):
    path = tmp_path / "numbers"
    path.write_bytes(bytes([0, 0, 0x0B, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 1, 1, 0, 255, 255]))
    np.testing.assert_array_equal(datasets.load_idx(path), [[1, 256, -1]])
    path.write_bytes(bytes([0, 0, 0x0D, 1, 0, 0, 0, 1, 0x3F, 0xC0, 0, 0]))
    np.testing.assert_array_equal(datasets.load_idx(path), [1.5])


GOOD = idx(np.arange(24, dtype="i4").reshape(2, 3, 4))
ZIPPED = gzip.compress(GOOD, mtime=0)
BAD = {
    "empty": b"",
    "three bytes": GOOD[:3],
    "no dimensions": GOOD[:4],
    "cut in the header": GOOD[:15],
    "no elements": GOOD[:16],
    "one byte less": GOOD[:-1],
    "one byte more": GOOD + b"\0",
    "first byte": b"\1" + GOOD[1:],
    "second byte": b"\0\1" + GOOD[2:],
    "unknown type": b"\0\0\x0a" + GOOD[3:],
    "type of wider elements": b"\0\0\x0e" + GOOD[3:],
    "more dimensions": b"\0\0\x0c\xff" + GOOD[4:],
    "huge": b"\0\0\x0c\3" + b"\xff" * 12,
    "empty in too many dimensions": b"\0\0\x0c\xff" + bytes(4 * 255),
    "empty and huge": b"\0\0\x0c\5" + bytes(4) + b"\xff" * 16,
    "text": b"a table of numbers\n1,2,3\n",
    "zipped, cut": ZIPPED[:-1],
    "zipped, cut in the middle": ZIPPED[: len(ZIPPED) // 2],
    "zipped, its magic alone": ZIPPED[:2],
    "zipped, checksum": ZIPPED[:-6] + b"\0\0" + ZIPPED[-4:],
    "zipped, damaged": ZIPPED[:12] + b"\xff\xff" + ZIPPED[14:],
    "zipped, trailing": ZIPPED + b"x",
    "zipped, of one byte less": gzip.compress(GOOD[:-1]),
    "zipped, empty": gzip.compress(b""),
    "zipped twice": gzip.compress(ZIPPED),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_idx_files(tmp_path, name):
    path = tmp_path / "numbers"
    path.write_bytes(BAD[name])
    with pytest.raises(ValueError, match="numbers"):
        datasets.load_idx(path)


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        datasets.load_idx(tmp_path / "nothing")
    with pytest.raises(OSError, match=tmp_path.name):
        datasets.load_idx(tmp_path)


# ---- MNIST -----------------------------------------------------------------------------------------------------------

LOADERS = {"mnist": datasets.load_mnist, "fashion-mnist": datasets.load_fashion_mnist}
by_loader = pytest.mark.parametrize("name", LOADERS)


def fill(folder, n=5, zipped=False):
    """A folder of the four files, with their arrays."""
    folder.mkdir(parents=True)
    arrays = {}
    rng = np.random.default_rng(n)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = rng.integers(0, 256, (n, 4, 3), np.uint8), rng.integers(0, 10, n, np.uint8)
        for stem, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            path = folder / (stem + ".gz" * zipped)
            path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
        arrays[split] = images.reshape(n, 12), labels
        n += 1
    return arrays


def assert_loaded(found, expected):
    for array, other in zip(found, expected, strict=True):
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, other)


@by_loader
@pytest.mark.parametrize("zipped", [False, True])
def test_load_from_a_folder(tmp_path, name, zipped):
    arrays = fill(tmp_path / "here", zipped=zipped)
    for folder in (tmp_path / "here", str(tmp_path / "here")):
        assert_loaded(LOADERS[name](path=folder), arrays["train"])
        assert_loaded(LOADERS[name]("train", folder), arrays["train"])
        assert_loaded(LOADERS[name]("test", folder), arrays["test"])


@by_loader
def test_load_from_the_environment(tmp_path, monkeypatch, name):
    arrays = {other: fill(tmp_path / other, n) for other, n in (("mnist", 3), ("fashion-mnist", 7))}
    monkeypatch.setenv("FASTAE_DATA", str(tmp_path))
    assert_loaded(LOADERS[name]("test"), arrays[name]["test"])
    other = fill(tmp_path / "elsewhere", 9)
    assert_loaded(LOADERS[name]("test", tmp_path / "elsewhere"), other["test"])  # a path goes first


@by_loader
def test_a_missing_folder_says_what_to_do(tmp_path, monkeypatch, name):
    monkeypatch.setattr(datasets.Path, "is_dir", lambda self: False)  # whatever this machine has in /usr/share
    monkeypatch.setenv("FASTAE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        LOADERS[name]()
    for words in (str(tmp_path / name), f"/usr/share/datasets/{name}", "path", "FASTAE_DATA"):
        assert words in str(error.value)
    monkeypatch.delenv("FASTAE_DATA")
    with pytest.raises(FileNotFoundError, match="set FASTAE_DATA"):
        LOADERS[name]()


@by_loader
def test_missing_files_are_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="train-images-idx3-ubyte"):
        LOADERS[name](path=tmp_path)
    fill(tmp_path / "part")
    (tmp_path / "part" / "t10k-labels-idx1-ubyte").unlink()
    LOADERS[name]("train", tmp_path / "part")
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte"):
        LOADERS[name]("test", tmp_path / "part")


@by_loader
@pytest.mark.parametrize("split", ["validation", "t10k", None, 0, ["train"]])
def test_unknown_splits(tmp_path, name, split):
    with pytest.raises((TypeError, ValueError), match=r"split takes 'train' or 'test', got"):
        LOADERS[name](split, tmp_path)


@by_loader
@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((5, 4, 3), "u1"), np.zeros(4, "u1")),
        (np.zeros((5, 12), "u1"), np.zeros(5, "u1")),
        (np.zeros((5, 4, 3), "u1"), np.zeros((5, 1), "u1")),
    ],
    ids=["lengths", "flat images", "labels in columns"],
)
def test_files_that_do_not_fit(tmp_path, name, images, labels):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(ValueError, match=tmp_path.name):
        LOADERS[name](path=tmp_path)


# ---- the real files --------------------------------------------------------------------------------------------------

MD5 = {  # of the unpacked idx files
    ("train", "images"): "6bbc9ace898e44ae57da46a324031adb",
    ("train", "labels"): "a25bea736e30d166cdddb491f175f624",
    ("test", "images"): "2646ac647ad5339dbf082846283269ea",
    ("test", "labels"): "27ae3e4e09519cfbb04c329615203637",
}


@pytest.mark.parametrize(("split", "n"), [("train", 60000), ("test", 10000)])
@by_loader
def test_the_real_files(data_folder, name, split, n):
    if not (data_folder / name).is_dir():
        pytest.skip(f"{name} is not in FASTAE_DATA")
    images, labels = LOADERS[name](split, data_folder / name)
    assert images.shape == (n, 784)
    assert labels.shape == (n,)
    assert images.dtype == labels.dtype == np.uint8
    assert set(labels.tolist()) == set(range(10))
    assert images.max() == 255
    if name == "mnist":
        for kind, array in (("images", images.reshape(n, 28, 28)), ("labels", labels)):
            assert hashlib.md5(idx(array)).hexdigest() == MD5[split, kind]
    else:
        assert np.bincount(labels).tolist() == [n // 10] * 10
