"""Generation: samples, ways from one to another, and maps of the latent space, of variational autoencoders and of others.

docs/generation.md has the formulas, and what was measured.
"""

from .generator import KEY, Generator
from .mixture import Mixture
from .picture import tiled, write_png

__all__ = ["KEY", "Generator", "Mixture", "tiled", "write_png"]
