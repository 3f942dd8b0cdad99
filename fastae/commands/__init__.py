"""The applications' commands: a module each, whose ``add`` puts a parser beside the others.

A module imports its application, and what else takes long, only when it runs.
"""

from types import ModuleType

from . import anomaly, compression, denoising, features, generation, imputation, interchange, recommendation

APPLICATIONS: tuple[ModuleType, ...] = (
    anomaly,
    compression,
    denoising,
    features,
    generation,
    imputation,
    interchange,
    recommendation,
)
