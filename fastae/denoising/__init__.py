"""Denoising: images of any size through overlapping patches, and vectors.

``ImageDenoiser().denoise(image)`` takes white noise from a photograph; :class:`Denoiser` learns from pairs of noisy and clean
vectors. docs/denoising.md has the formulas, and measurements.
"""

from .image import ImageDenoiser
from .noise import estimate_sigma
from .vectors import Denoiser

__all__ = ["Denoiser", "ImageDenoiser", "estimate_sigma"]
