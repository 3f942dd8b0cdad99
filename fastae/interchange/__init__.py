"""Models in other libraries' terms and back: PyTorch modules, ONNX files, C source. docs/interchange.md shows each.

What is given away is inference: what ``encode``, ``decode`` and ``reconstruct`` compute, without noise, dropout and penalties.
"""

from .c99 import export_c
from .onnx_file import export_onnx
from .pytorch import from_torch, to_torch

__all__ = ["export_c", "export_onnx", "from_torch", "to_torch"]
