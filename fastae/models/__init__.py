"""The autoencoder's relatives: their ``recipe`` says what a training step does besides. docs/models.md has all formulas."""

from .conditional import ConditionalVariationalAutoencoder
from .contractive import ContractiveAutoencoder
from .denoising import DenoisingAutoencoder
from .ksparse import KSparseAutoencoder
from .masked import MaskedAutoencoder
from .multinomial import MultinomialAutoencoder
from .sparse import SparseAutoencoder
from .variational import VariationalAutoencoder

__all__ = [
    "ConditionalVariationalAutoencoder",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "KSparseAutoencoder",
    "MaskedAutoencoder",
    "MultinomialAutoencoder",
    "SparseAutoencoder",
    "VariationalAutoencoder",
]
