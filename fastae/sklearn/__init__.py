"""Estimators for scikit-learn's pipelines and searches, each a face of what fastae has for its purpose.

They take tables, data frames and, where they say so, sparse matrices; docs/sklearn.md has a list.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(f"fastae.sklearn needs scikit-learn 1.6 or later, pip install 'fastae[sklearn]': {error}") from error

from .autoencoder import AutoencoderTransformer
from .denoising import DenoisingTransformer
from .detector import AnomalyDetector
from .imputer import AutoencoderImputer
from .variational import VAETransformer

__all__ = [
    "AnomalyDetector",
    "AutoencoderImputer",
    "AutoencoderTransformer",
    "DenoisingTransformer",
    "VAETransformer",
]
