"""The backends: modules with the same kernels (README.md states them), chosen here and nowhere else."""

import importlib
from functools import cache
from typing import cast

from .contract import Kernels

# Name, module, and how to get it where it is missing. The first that loads is the default.
BACKENDS = {
    "cython": (
        "fastae._kernels.cython",
        "install fastae where gcc or clang is present; in a folder of its source, by pip install -e .",
    ),
    "numba": ("fastae._kernels.numba", "pip install fastae[numba]"),
    "numpy": ("fastae._kernels.reference", ""),
    "cuda": (
        "fastae._kernels.cuda",
        "it takes an NVIDIA GPU, a driver for CUDA 13, and pip install fastae[cuda]; NUMBA_ENABLE_CUDASIM=1 simulates a GPU",
    ),
}


def load(name: str) -> Kernels:
    """Kernels of a backend; which instruction set it uses is decided the first time.

    Raises
    ------
    ValueError
        Unknown name.
    ImportError
        The backend cannot run here; the message says why and what to do.
    """
    if not isinstance(name, str) or name not in BACKENDS:
        raise ValueError(f"backend takes one of {', '.join(map(repr, BACKENDS))}; got {name!r}")
    return _load(name)


@cache
def _load(name: str) -> Kernels:
    module, remedy = BACKENDS[name]
    try:
        loaded = importlib.import_module(module)
        return cast(Kernels, loaded.kernels() if hasattr(loaded, "kernels") else loaded)
    except ImportError as error:
        why = f"backend {name!r} is missing: {error}"
        raise ImportError(why if "FASTAE_ISA" in str(error) or "DISABLE_JIT" in str(error) else f"{why}; {remedy}") from error


def missing() -> dict[str, str]:
    """For each backend that cannot run here, why."""
    reasons = {}
    for name in BACKENDS:
        try:
            load(name)
        except ImportError as error:
            reasons[name] = str(error)
    return reasons
