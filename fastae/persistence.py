"""Models in safetensors files: arrays by name, the configuration as JSON in the file's metadata, never pickle."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ._check import Array
from .autoencoder import Autoencoder
from .functions import known
from .layers import Linear, Sequential
from .settings import kernels

TRAINER = "trainer."  # begins the names of arrays that are a training's, not a model's; see checkpoint.py
KEY = "fastae"
_FORMAT = 1


def save(model: Autoencoder, path: str | os.PathLike[str]) -> None:
    """Write a model to a file.

    Parameters
    ----------
    model : Autoencoder
    path : path
        Replaced only once the new file is whole; on an error nothing is left behind.
    """
    from safetensors.numpy import save as to_bytes

    write_atomically(path, to_bytes(*contents(model)))


def contents(model: Autoencoder) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the metadata of a model's file."""
    if not isinstance(model, Autoencoder):
        raise TypeError(f"model takes an Autoencoder, got {type(model).__name__}")
    if Autoencoder.kinds.get(type(model).__name__) is not type(model):
        raise ValueError(f"model is of a class {type(model).__name__!r}, by which load does not find it, but another or none")
    config = {
        "format": _FORMAT,
        "model": type(model).__name__,
        "settings": model.settings(),
        "encoder": [layer.config() for layer in model.encoder],
        "decoder": [layer.config() for layer in model.decoder],
    }
    for own in (layer.own_activation for layer in model.layers):
        if own is not None and not own.named:
            raise ValueError(f"model has the activation {own.name!r}, by which nothing finds it again; make it with a name=")
    for name, array in model.named_arrays():
        if not np.isfinite(array).all():  # which load would refuse
            raise ValueError(f"model takes finite weights and biases; {name} has NaN or infinity")
    return model.state_dict(), {KEY: json.dumps(config)}


def load(path: str | os.PathLike[str], backend: str | None = None) -> Autoencoder:
    """Read a model that :func:`save` wrote, or ``Trainer.save``.

    Parameters
    ----------
    path : path
    backend : str, optional

    Raises
    ------
    OSError
        The file is missing or unreadable.
    ValueError
        It is not a whole model file of fastae.

    Examples
    --------
    >>> import fastae
    >>> model = fastae.Autoencoder([64, 32, 8], seed=0)
    >>> model.save("model.safetensors")
    >>> fastae.load("model.safetensors").n_latent
    8
    """
    from safetensors import SafetensorError, safe_open

    kernels(backend)  # an unknown one is not the file's fault
    path = Path(path)
    with open(path, "rb"):  # a missing or unreadable file is the system's error, with its own words
        pass
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            kinds = {name: file.get_slice(name) for name in file.keys() if not name.startswith(TRAINER)}  # noqa: SIM118
            shapes = {name: (kind.get_dtype(), tuple(kind.get_shape())) for name, kind in kinds.items()}
            if KEY not in metadata:
                raise ValueError("it is a safetensors file, but not a model of fastae")
            kind, settings, halves = _configuration(metadata[KEY], shapes)
            own = next((a for half in halves for a in _activations(half) if not known("activation", a)), None)
            state = {name: file.get_tensor(name) for name in shapes}
        if own is not None:
            raise ValueError(
                f"a layer has the activation {own!r}, a function of one's own; make it before, by "
                f"fastae.activation(..., name={own!r})"
            )
        encoder, decoder = (Sequential(*(Linear(**layer, seed=0, backend=backend) for layer in half)) for half in halves)
        model = kind(encoder=encoder, decoder=decoder, **settings)
        model.load_state_dict(state)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file, or is cut short: {error}") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} does not hold a model of fastae that can be loaded here: {error}") from error
    return model


def _activations(half: list[dict[str, Any]]) -> list[str]:
    return [layer["activation"] for layer in half]


def _configuration(
    text: str, found: dict[str, tuple[str, tuple[int, ...]]]
) -> tuple[type[Autoencoder], dict[str, Any], list[list[dict[str, Any]]]]:
    """The class, its settings, and the arguments of both halves' layers, after a look at whether the arrays fit: before
    anything is allocated. Old files name no class."""
    config = json.loads(text)
    if config["format"] != _FORMAT:
        raise ValueError(f"its format is {config['format']!r}; this version reads {_FORMAT}")
    kind, settings = config.get("model", "Autoencoder"), config.get("settings", {})
    if kind not in Autoencoder.kinds:
        raise ValueError(
            f"it is a {kind!r}, which is none of {', '.join(Autoencoder.kinds)}; import or define its class before"
        )
    halves = [config["encoder"], config["decoder"]]
    expected: dict[str, tuple[str, tuple[int, ...]]] = {}
    for part, half in zip(("encoder", "decoder"), halves, strict=True):
        for number, layer in enumerate(half):
            dtype = {"float32": "F32", "float64": "F64"}[layer["dtype"]]
            expected[f"{part}.{number}.weight"] = dtype, (layer["n_out"], layer["n_in"])
            if layer["bias"]:
                expected[f"{part}.{number}.bias"] = dtype, (layer["n_out"],)
    for name in expected.keys() | found.keys():
        if expected.get(name) != found.get(name):
            raise ValueError(f"{name} is {found.get(name, 'missing')}, its configuration says {expected.get(name, 'nothing')}")
    return Autoencoder.kinds[kind], settings, halves


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Put data into a file that is either the old or the new one, whole, at any moment.

    An old file keeps its permissions; of a symbolic link, what it points to is replaced. What is not a file, such as /dev/null
    or a pipe, is written to.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~umask  # mkstemp's 0600 would surprise
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
