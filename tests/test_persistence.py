"""Saving and loading: whole files, or errors that name the file."""

import json
import os
import pickle
import re
import struct
import threading

import numpy as np
import pytest
import safetensors.numpy

import fastae
from fastae import Autoencoder, Linear, Sequential

MODELS = {
    "float32": lambda **kind: Autoencoder([6, 5, 3], "gelu", seed=0, **kind),
    "float64": lambda **kind: Autoencoder([6, 5, 3], "elu", "tanh", "identity", dtype="float64", seed=0, **kind),
    "without bias": lambda **kind: Autoencoder([6, 5, 3], bias=False, seed=0, **kind),
    "explicit": lambda **kind: Autoencoder(
        encoder=Sequential(Linear(6, 4, "relu", False, seed=1, **kind), Linear(4, 2, "silu", seed=2, **kind)),
        decoder=Sequential(Linear(2, 7, "softplus", seed=3, **kind)),
    ),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path):
    """A good file, its path."""
    MODELS["float32"]().save(path)
    return path


# ---- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("by", ["method", "function", "str"])
def test_round_trip(backend, rng, path, name, by):
    model = MODELS[name](backend=backend)
    model.parameters[...] = rng.normal(size=model.parameters.size)
    model.parameters[:4] = [-0.0, 1e-40, np.finfo(model.dtype).tiny, np.finfo(model.dtype).max]  # bits, not just values
    if by == "function":
        assert fastae.save(model, path) is None
    else:
        model.save(str(path) if by == "str" else path)
    twin = fastae.load(str(path) if by == "str" else path, backend=backend)
    assert repr(twin) == repr(model)
    assert twin.parameters.dtype == model.dtype
    assert twin.parameters.tobytes() == model.parameters.tobytes()
    assert all(layer.backend == backend for layer in twin.layers)
    assert list(path.parent.iterdir()) == [path]
    np.testing.assert_array_equal(twin.state_dict()["decoder.0.weight"], model.decoder[0].weight)


def test_a_loaded_model_trains_on_as_the_saved_one(backend, rng, path):
    x, results = rng.random((9, 6), "float32"), []
    model = MODELS["float32"](backend=backend)
    model.save(path)
    for one in (model, fastae.load(path, backend)):
        fastae.Trainer(one, fastae.SGD(0.5, 0.9), batch_size=4, seed=0).fit(x, epochs=2)
        results.append(one.parameters)
        assert np.shares_memory(one.encoder[0].weight, one.parameters)
    np.testing.assert_array_equal(*results)


def test_the_file_is_plain_safetensors(path):
    model = MODELS["explicit"]()
    model.save(path)
    state = safetensors.numpy.load_file(path)
    assert state.keys() == model.state_dict().keys()
    for name, array in model.state_dict().items():
        assert state[name].dtype == array.dtype
        np.testing.assert_array_equal(state[name], array)
    with safetensors.safe_open(path, "np") as file:
        config = json.loads(file.metadata()["fastae"])
    assert config["encoder"][0] == {"n_in": 6, "n_out": 4, "activation": "relu", "bias": False, "dtype": "float32"}


def test_no_pickle(saved, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, refuse)
    model = fastae.load(saved)
    model.save(saved)
    assert b"numpy" not in saved.read_bytes()  # the name of a class, as a pickle has it


def test_saving_again_replaces(saved):
    before = saved.read_bytes()
    MODELS["explicit"]().save(saved)
    assert saved.read_bytes() != before
    assert fastae.load(saved).n_out == 7
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for name in "ab":
        MODELS["explicit"]().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_permissions_are_those_of_an_ordinary_file(path):
    before = os.umask(0o027)
    try:
        MODELS["float32"]().save(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


# ---- a failed save ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["OSError", "Ctrl-C"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(path, monkeypatch, function, error, exists):
    if exists:
        MODELS["float32"]().save(path)
        before = path.read_bytes()

    def fail(*_):
        raise error

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)):
        MODELS["explicit"]().save(path)
    monkeypatch.undo()
    assert [p.name for p in path.parent.iterdir()] == [path.name] * exists
    if exists:
        assert path.read_bytes() == before
        assert fastae.load(path).n_out == 6


def test_unwritable_places(saved):
    before = saved.read_bytes()
    folder = saved.parent / "folder"
    folder.mkdir()
    for place in (saved.parent / "missing" / "m.safetensors", saved / "m.safetensors", folder):
        with pytest.raises(OSError, match=place.name):
            MODELS["explicit"]().save(place)
    assert sorted(p.name for p in saved.parent.iterdir()) == ["folder", saved.name]
    assert list(folder.iterdir()) == []
    assert saved.read_bytes() == before


@pytest.mark.parametrize("bad", [Linear(3, 2), Sequential(Linear(3, 2)), None, {}])
def test_only_autoencoders_are_saved(path, bad):
    with pytest.raises(TypeError, match=f"model takes an Autoencoder, got {type(bad).__name__}"):
        fastae.save(bad, path)
    assert not path.exists()


# ---- loading what is not a good file ---------------------------------------------------------------------------------


def refused(path, words=""):
    """The file is refused by a ValueError that names it."""
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        fastae.load(path)
    assert words in str(error.value)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        fastae.load(tmp_path / "nothing.safetensors")
    with pytest.raises(OSError, match=tmp_path.name):
        fastae.load(tmp_path)


def test_truncated_files(saved):
    data = saved.read_bytes()
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for length in (0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, len(data) - 4, len(data) - 1):
        saved.write_bytes(data[:length])
        refused(saved)
    saved.write_bytes(data)
    fastae.load(saved)


def test_trailing_and_random_bytes(saved, rng):
    data = saved.read_bytes()
    saved.write_bytes(data + b"\0")
    refused(saved)
    for n in (1, 8, 9, 100, 5000):
        saved.write_bytes(rng.bytes(n))
        refused(saved)
        saved.write_bytes(struct.pack("<Q", n) + rng.bytes(n))
        refused(saved)
    saved.write_bytes(pickle.dumps(MODELS["float32"]()))
    refused(saved)


def test_flipped_bits_are_refused_or_give_a_model(saved, rng):
    """Never another exception, nor a crash."""
    data = bytearray(saved.read_bytes())
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for position in rng.integers(0, header, 300):
        damaged = data.copy()
        damaged[position] ^= 1 << int(rng.integers(8))
        saved.write_bytes(damaged)
        error = None
        try:
            fastae.load(saved)
        except ValueError as caught:
            error = caught
        assert error is None or str(saved) in str(error)


def written(path, tensors, metadata=None, dtype="F32", size=4):
    """A safetensors file made by hand, with any dtype and any metadata."""
    header, at = {} if metadata is None else {"__metadata__": metadata}, 0
    for name, shape in tensors.items():
        end = at + size * int(np.prod(shape))
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))
    return path


@pytest.mark.parametrize(("dtype", "size"), [("F32", 4), ("BF16", 2), ("F16", 2), ("F8_E4M3", 1), ("I64", 8), ("BOOL", 1)])
@pytest.mark.parametrize("metadata", [None, {"format": "pt"}], ids=["no metadata", "metadata"])
def test_files_of_other_programs(path, metadata, dtype, size):
    refused(written(path, {"lm_head.weight": (3, 2)}, metadata, dtype, size), "not a model of fastae")


SHAPES = {name: array.shape for name, array in MODELS["float32"]().state_dict().items()}


def config(**changes):
    """The configuration that fits SHAPES, with changes to the first layer's, or to the whole."""
    layers = [
        [{"n_in": a, "n_out": b, "activation": "relu", "bias": True, "dtype": "float32"} for a, b in pairs]
        for pairs in (((6, 5), (5, 3)), ((3, 5), (5, 6)))
    ]
    whole = {"format": 1, "encoder": layers[0], "decoder": layers[1]}
    for key, value in changes.items():
        (layers[0][0] if key in layers[0][0] or key == "extra" else whole)[key] = value
    return json.dumps(whole)


def test_a_file_made_by_hand_loads(path):
    model = fastae.load(written(path, SHAPES, {"fastae": config()}))
    assert repr(model) == repr(Autoencoder([6, 5, 3], "relu", "relu", "relu"))


TAMPERED = {
    "no JSON": "{",
    "empty": "",
    "number": "3",
    "list": "[]",
    "null": "null",
    "empty object": "{}",
    "nested": "[" * 100_000,
    "format": config(format=2),
    "format text": config(format="1"),
    "encoder null": config(encoder=None),
    "encoder empty": config(encoder=[]),
    "encoder text": config(encoder="relu"),
    "encoder of numbers": config(encoder=[1, 2]),
    "decoder missing": config().replace("decoder", "recoder"),
    "decoder is the encoder": json.dumps({**json.loads(config()), "decoder": json.loads(config())["encoder"]}),
    "activation": config(activation="rellu"),
    "activation null": config(activation=None),
    "activation list": config(activation=["relu"]),
    "dtype": config(dtype="float16"),
    "dtype null": config(dtype=None),
    "dtype mixed": config(dtype="float64"),
    "n_in": config(n_in=7),
    "n_in 0": config(n_in=0),
    "n_in negative": config(n_in=-6),
    "n_in text": config(n_in="6"),
    "n_in fraction": config(n_in=6.0),
    "n_in huge": config(n_in=10**15),
    "n_in too huge": config(n_in=10**30),
    "n_out": config(n_out=4),
    "n_out huge": config(n_out=10**12),
    "bias": config(bias=False),
    "unknown key": config(extra=1),
    "seed": config().replace('"bias"', '"seed": 1, "bias"', 1),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_configurations(path, name):
    refused(written(path, SHAPES, {"fastae": TAMPERED[name]}))


@pytest.mark.parametrize("change", ["missing", "extra", "renamed", "transposed", "flat"])
def test_tampered_tensors(path, change):
    shapes = dict(SHAPES)
    if change == "missing":
        del shapes["decoder.1.bias"]
    elif change == "extra":
        shapes["decoder.2.bias"] = (6,)
    elif change == "renamed":
        shapes["decoder.1.Bias"] = shapes.pop("decoder.1.bias")
    elif change == "transposed":
        shapes["decoder.1.weight"] = shapes["decoder.1.weight"][::-1]
    else:
        shapes["decoder.1.weight"] = (30,)
    refused(written(path, shapes, {"fastae": config()}), "decoder.")


@pytest.mark.parametrize(("dtype", "size"), [("F64", 8), ("F16", 2), ("BF16", 2), ("I32", 4), ("BOOL", 1)])
def test_tensors_of_another_dtype_than_the_configuration_says(path, dtype, size):
    refused(written(path, SHAPES, {"fastae": config()}, dtype, size))


def test_weights_that_are_not_finite(path):
    model = MODELS["float32"]()
    model.save(path)
    state = {name: array.copy() for name, array in safetensors.numpy.load_file(path).items()}
    state["encoder.0.weight"][0, 0] = np.nan
    with safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata()
    safetensors.numpy.save_file(state, path, metadata)
    refused(path, "NaN")


@pytest.mark.parametrize("bad", [None, 3.5, ["a"]])
def test_what_is_no_path(bad):
    with pytest.raises(TypeError):
        fastae.load(bad)


# ---- what is at the path already -------------------------------------------------------------------------------------


def test_an_old_file_keeps_its_permissions_and_a_link_its_target(tmp_path):
    target, link = tmp_path / "m.safetensors", tmp_path / "link"
    Autoencoder([4, 2], seed=0).save(target)
    target.chmod(0o640)
    link.symlink_to(target)
    model = Autoencoder([5, 2], seed=0)
    model.save(link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert fastae.load(target).n_in == 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes by name")
def test_a_pipe_is_written_to(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    model = Autoencoder([4, 2], seed=0)
    model.save(pipe)
    reader.join(10)
    (tmp_path / "m.safetensors").write_bytes(read[0])
    assert np.array_equal(fastae.load(tmp_path / "m.safetensors").parameters, model.parameters)
    assert not pipe.is_file()


def test_a_model_that_load_would_refuse_is_not_saved(tmp_path):
    model = Autoencoder([4, 2], seed=0)
    model.parameters[3] = np.nan
    with pytest.raises(ValueError, match=r"finite weights and biases; encoder\.0\.weight"):
        model.save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())
