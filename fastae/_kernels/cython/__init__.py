"""The Cython backend: one extension module for each instruction set, of which this machine's best is used.

``FASTAE_ISA`` forces another one: avx512, avx2, neon or baseline.
"""

import importlib.util
import os
from typing import cast

from ..contract import Kernels


def isas() -> list[str]:
    """Instruction sets that are compiled and that this machine can run, the fastest first."""
    if importlib.util.find_spec(f"{__name__}._runtime") is None:
        raise ImportError(f"{os.path.dirname(__file__)} has no compiled kernels")
    from ._runtime import machine_isas

    return [name for name in machine_isas() if importlib.util.find_spec(f"{__name__}.{name}")]


def kernels(isa: str | None = None) -> Kernels:
    """Kernels of an instruction set; without one given, of ``FASTAE_ISA``, or the fastest."""
    usable = isas()
    isa = isa or os.environ.get("FASTAE_ISA") or (usable[0] if usable else "baseline")
    if isa not in usable:
        raise ImportError(f"instruction set {isa!r} is not usable here (FASTAE_ISA takes {', '.join(usable) or 'none'})")
    return cast(Kernels, importlib.import_module(f"{__name__}.{isa}"))
