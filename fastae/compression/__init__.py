"""Compression of images, or other rows of bytes: learned codes, quantised in training, entropy-coded.

docs/compression.md has the method, the format of the files, and what was measured.
"""

from .codec import Codec, images, psnr
from .entropy import Table

__all__ = ["Codec", "Table", "images", "psnr"]
