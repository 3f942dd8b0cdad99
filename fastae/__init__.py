"""fastae: trains and runs fully connected autoencoders on a CPU, fast."""

__version__ = "0.1.0"

import logging as _logging
import typing as _typing
from importlib import import_module as _import_module

from . import callbacks, datasets, ops, schedules
from .autoencoder import Autoencoder
from .functions import activation, loss
from .history import DivergenceError, History
from .layers import Linear, Sequential
from .learning_rate import find_learning_rate
from .models import (
    ConditionalVariationalAutoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    KSparseAutoencoder,
    MaskedAutoencoder,
    MultinomialAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from .optim import SGD, Adam, AdamW, RMSprop
from .persistence import load, save
from .pretraining import pretrain
from .settings import get_backend, get_num_threads, register_threadpoolctl, set_backend, set_num_threads, show_versions
from .trainer import Trainer

_logging.getLogger(__name__).addHandler(_logging.NullHandler())  # silent unless a program says where its logs go

if _typing.TYPE_CHECKING:  # what __getattr__ imports where it is used
    from . import anomaly as anomaly
    from . import compression as compression
    from . import denoising as denoising
    from . import features as features
    from . import generation as generation
    from . import imputation as imputation
    from . import interchange as interchange
    from . import plots as plots
    from . import recommendation as recommendation
    from . import sklearn as sklearn
    from .interchange import export_c, export_onnx, from_torch, to_torch

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Autoencoder",
    "ConditionalVariationalAutoencoder",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "DivergenceError",
    "History",
    "KSparseAutoencoder",
    "Linear",
    "MaskedAutoencoder",
    "MultinomialAutoencoder",
    "RMSprop",
    "Sequential",
    "SparseAutoencoder",
    "Trainer",
    "VariationalAutoencoder",
    "activation",
    "callbacks",
    "datasets",
    "export_c",
    "export_onnx",
    "find_learning_rate",
    "from_torch",
    "get_backend",
    "get_num_threads",
    "load",
    "loss",
    "ops",
    "pretrain",
    "register_threadpoolctl",
    "save",
    "schedules",
    "set_backend",
    "set_num_threads",
    "show_versions",
    "to_torch",
]

_APPLICATIONS: tuple[str, ...] = (
    "anomaly",
    "compression",
    "denoising",
    "features",
    "generation",
    "imputation",
    "interchange",
    "plots",
    "recommendation",
    "sklearn",
)  # modules that are imported where they are used
_INTERCHANGE: tuple[str, ...] = ("export_c", "export_onnx", "from_torch", "to_torch")  # and functions of one of them


def __getattr__(name: str) -> _typing.Any:
    if name in _APPLICATIONS:
        return _import_module(f"{__name__}.{name}")
    if name in _INTERCHANGE:
        return getattr(_import_module(f"{__name__}.interchange"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_APPLICATIONS, *_INTERCHANGE})
