"""fastae: trains and runs fully connected autoencoders on a CPU, fast."""

__version__ = "0.1.0"

from . import datasets, ops
from .autoencoder import Autoencoder
from .functions import activation, loss
from .layers import Linear, Sequential
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
from .settings import get_backend, get_num_threads, register_threadpoolctl, set_backend, set_num_threads, show_versions
from .trainer import DivergenceError, History, Trainer

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
    "datasets",
    "get_backend",
    "get_num_threads",
    "load",
    "loss",
    "ops",
    "register_threadpoolctl",
    "save",
    "set_backend",
    "set_num_threads",
    "show_versions",
]
