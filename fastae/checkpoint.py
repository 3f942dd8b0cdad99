"""A training's whole state in a safetensors file that is a model's, too; never pickle."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from . import persistence, schedules
from ._check import Array
from .autoencoder import Autoencoder
from .functions import known
from .history import History
from .layers import Network
from .optim import SGD, Adam, AdamW, Optimizer, RMSprop
from .schedules import Schedule
from .trainer import Trainer

_KEY = "fastae.trainer"
_FORMAT = 1
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (SGD, Adam, AdamW, RMSprop)} | {
    name: getattr(schedules, name) for name in ("Step", "Cosine", "OneCycle", "WarmUp", "Plateau")
}
_SETTINGS = ("batch_size", "n_threads", "backend", "accumulate", "clip_norm", "clip_value")  # arguments kept as attributes
_COUNTS = ("steps", "epochs", "position", "_total", "_ended", "_stopped", "_begun", "_key")


def save(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Write a trainer to a file; see ``Trainer.save``."""
    from safetensors.numpy import save as to_bytes

    model, config = trainer.model, json.dumps(_config(trainer))
    arrays: dict[str, Array | None] = {
        "velocity": trainer._velocity,
        "square": trainer._square,
        "feature_weight": trainer.feature_weight,
    }
    for number, (_, state) in enumerate(trainer.callback_states()):
        arrays |= {f"callbacks.{number}.{name}": array for name, array in state.items()}
    ours = {f"{persistence.TRAINER}{name}": array for name, array in arrays.items() if array is not None}
    theirs, metadata = persistence.contents(model) if isinstance(model, Autoencoder) else (model.state_dict(), {})
    persistence.write_atomically(path, to_bytes(theirs | ours, metadata | {_KEY: config}))


def check(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Raise what ``save`` would, before a long training instead of after it."""
    _config(trainer)
    if isinstance(trainer.model, Autoencoder):
        persistence.contents(trainer.model)
    if not (folder := Path(path).resolve().parent).is_dir():
        raise FileNotFoundError(f"{path} is to be written into {folder}, which is not a folder")


def _config(trainer: Trainer) -> dict[str, Any]:
    """All but the arrays."""
    own = trainer._own_loss
    if own is not None and not own.named:
        raise ValueError(f"trainer has the loss {own.name!r}, by which nothing finds it again; make it with a name=")
    return {
        "format": _FORMAT,
        "loss": trainer.loss,
        "model_backend": trainer.model.layers[0].backend,
        "optimizer": _described(trainer.optimizer),
        "schedule": _described(trainer.schedule),
        "settings": {name: getattr(trainer, name) for name in _SETTINGS},
        "counts": {name: getattr(trainer, name) for name in _COUNTS},
        "history": asdict(trainer.history),
        "callbacks": [name for name, _ in trainer.callback_states()],
    }


def load(path: str | os.PathLike[str], model: Network | None) -> Trainer:
    """Read a trainer from a file; see ``Trainer.resume``."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    with open(path, "rb"):  # a missing or unreadable file is the system's error, with its own words
        pass
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if _KEY not in metadata:
            raise ValueError("it is a safetensors file, but not of a trainer")
        config = json.loads(metadata[_KEY])
        if config["format"] != _FORMAT:
            raise ValueError(f"its format is {config['format']!r}; this version reads {_FORMAT}")
        if not known("loss", config["loss"]):
            raise ValueError(
                f"its loss is {config['loss']!r}, a function of one's own; make it before, by "
                f"fastae.loss(..., name={config['loss']!r})"
            )
        state = {name: array for name, array in tensors.items() if not name.startswith(persistence.TRAINER)}
        arrays = {name.removeprefix(persistence.TRAINER): tensors[name] for name in tensors.keys() - state.keys()}
        if model is None and persistence.KEY not in metadata:
            raise ValueError("it trained a Sequential, whose layers it does not tell; give one of the same layers as model=")
        model = persistence.load(path, config["model_backend"]) if model is None else model
        return _restored(config, state, arrays, model)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file, or is cut short: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} does not hold a trainer of fastae that can be resumed here: {error}") from error


def _restored(config: dict[str, Any], state: dict[str, Array], arrays: dict[str, Array], model: Network) -> Trainer:
    settings, counts = config["settings"], config["counts"]
    bounds = {name: None if settings[name] == float("inf") else settings[name] for name in ("clip_norm", "clip_value")}
    trainer = Trainer(
        model,
        _made(config["optimizer"]),
        config["loss"],
        schedule=_made(config["schedule"]),
        feature_weight=arrays.get("feature_weight"),
        **{**settings, **bounds},
    )
    for name in ("velocity", "square"):
        array = arrays.get(name)
        if array is not None and (array.dtype, array.shape) != (model.dtype, model.parameters.shape):
            raise ValueError(f"{name} is {array.dtype} {array.shape}, the model has {model.dtype} {model.parameters.shape}")
        setattr(trainer, f"_{name}", array)
    history = History(**config["history"])
    model.load_state_dict(state)
    for name in _COUNTS:
        value = counts[name]
        setattr(trainer, name, tuple(value) if isinstance(value, list) else value)
    trainer.history = history
    trainer._states = [
        (name, {key.split(".", 2)[2]: a for key, a in arrays.items() if key.startswith(f"callbacks.{number}.")})
        for number, name in enumerate(config["callbacks"])
    ]
    return trainer


def _described(value: Optimizer | Schedule | None) -> Any:
    """Name and arguments of an optimiser or a schedule."""
    if value is None:
        return None
    name = type(value).__name__
    if _KINDS.get(name) is not type(value):
        raise ValueError(f"a file takes optimizers and schedules of fastae, got {name}")
    return name, {key: _described(a) if isinstance(a, Schedule) else _plain(a) for key, a in vars(value).items()}


def _plain(value: Any) -> Any:
    """A number as JSON knows it."""
    if isinstance(value, (tuple, list)):
        return {"pair": [_plain(a) for a in value]}
    return value.item() if isinstance(value, np.generic) else value


def _made(described: Any) -> Any:
    """What ``_described`` told of."""
    if isinstance(described, dict):
        return tuple(described["pair"])
    if isinstance(described, list):
        name, arguments = described
        return _KINDS[name](**{key: _made(value) for key, value in arguments.items()})
    return described
