"""What the code is compiled for: vectors as wide as the processor's registers, and the register tile that fits them.

``FASTAE_ISA`` forces another width, as for the Cython backend: avx512, avx2, neon or baseline. A process has one.
"""

import os
import platform
import zlib
from pathlib import Path

from llvmlite import binding
from numba import config

if config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set, with which Numba compiles nothing")

# Bytes of a vector, MR, NV, and whether a multiply-add is one instruction; cython/tile.h derives the tiles.
SHAPES = {
    "avx512": (64, 8, 3, True),
    "avx2": (32, 6, 2, True),
    "neon": (16, 8, 2, True),
    "baseline": (16, 4, 2, False),
}


def isas() -> list[str]:
    """Those of SHAPES that this machine can run, the fastest first."""
    if platform.machine() in ("aarch64", "arm64"):
        return ["neon", "baseline"]
    features = binding.get_host_cpu_features()
    needs = {"avx512": ("avx512f", "avx512dq", "avx512bw", "avx512vl"), "avx2": ("avx2", "fma")}
    return [isa for isa, names in needs.items() if all(features.get(name) for name in names)] + ["baseline"]


ISA = os.environ.get("FASTAE_ISA") or isas()[0]
if ISA not in isas():
    raise ImportError(f"instruction set {ISA!r} is not usable here (FASTAE_ISA takes {', '.join(isas())})")
VECTOR_BYTES, MR, NV, FUSED = SHAPES[ISA]

# Numba keys the machine code that it keeps on disk by a function's bytecode and types, not by the functions that it calls. So
# the name of a type, Pointer, and symbols hold this, which changes with the source and the vectors' width.
_SOURCE = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
BUILD = f"{ISA}_{zlib.crc32(_SOURCE):08x}"
