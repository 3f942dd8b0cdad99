"""The Numba backend: the Cython backend's kernels in Python, compiled when they are first used and kept on disk.

engine.py       the functions of the contract: checks, addresses
  -> entries.py     the compiled functions that Python calls; plan.py, layout.py: what the larger ones work on; team.py: threads
    -> training.py backward.py tiny.py inference.py network.py    steps, passes, blocks
       recipes.py stages.py losses.py noise.py                    what a recipe adds to them
       gemm.py passes.py order.py                                 products, passes over whole arrays, an epoch's order
      -> elementwise.py functions.py    rows of numbers; formulas
        -> tile.py        where the time goes

vector.py       vectors for Numba
unit.py         functions compiled by themselves
machine.py      the instruction set; ``FASTAE_ISA`` forces another one
rows.py python.py dual.py own.py    functions of the user's own: of whole rows, of vectors, derived, found by number
"""

import importlib
from importlib.util import find_spec
from types import ModuleType


def kernels() -> ModuleType:
    """The kernels, or an ImportError that says what is missing; numba is imported here and not before."""
    if find_spec("numba") is None:
        raise ImportError("the package numba is not installed")
    return importlib.import_module(f"{__name__}.engine")
