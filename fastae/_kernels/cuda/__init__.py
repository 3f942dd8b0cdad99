"""The CUDA backend: kernels for NVIDIA GPUs, written in Python and compiled by numba-cuda.

    engine.py       the functions of the contract: arrays of the host in and out
    network.py      Plan and Inference: parameters, batches and optimiser state stay on the device
      -> passage.py     a batch's way through the layers and back, with what a recipe adds
        -> gemm.py          the tile: one kernel for every matrix product
          -> epilogues.py       what is fused into its store
        -> drawn.py         noise, dropout, the Gaussian code
        -> losses.py        losses of whole rows, the tally of a step's
    passes.py       the kernels that take an array element by element
    formulas.py     activations, losses, optimisers: each formula once
    philox.py       random numbers
    memory.py       padded matrices, parameters, and the pinned buffers through which batches go up
    toolkit.py      the one import of numba.cuda; loads and stores of four numbers

``NUMBA_ENABLE_CUDASIM=1`` runs all of it in numba's simulator, slowly, where there is no GPU.
"""

import importlib
from importlib.util import find_spec
from types import ModuleType


def kernels() -> ModuleType:
    """The kernels, or an ImportError that says what is missing; numba is imported here and not before."""
    if find_spec("numba_cuda") is None:
        raise ImportError("the package numba-cuda is not installed")
    toolkit = importlib.import_module(f"{__name__}.toolkit")
    if reason := toolkit.missing():
        raise ImportError(reason)
    return importlib.import_module(f"{__name__}.engine")
