"""Builds the Cython kernels: one extension for each instruction set, all from fastae/_kernels/cython/kernels.pxi.

A machine's compiler that lacks a flag builds the instruction sets that remain; the package itself always installs. Where
FASTAE_REQUIRE_KERNELS is set, as for wheels that are published, an instruction set that does not compile is an error.
"""

import os
import platform
import shutil
import sys
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = "fastae/_kernels/cython"
# Tile shapes are derived in tile.h.
X86 = {
    "baseline": ["-DVECTOR_BYTES=16", "-DMR=4", "-DNV=2"],
    "avx2": ["-mavx2", "-mfma", "-DVECTOR_BYTES=32", "-DMR=6", "-DNV=2"],
    "avx512": [
        *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"),
        *("-DVECTOR_BYTES=64", "-DMR=8", "-DNV=3"),
    ],
}
ARM = {"baseline": X86["baseline"], "neon": ["-DVECTOR_BYTES=16", "-DMR=8", "-DNV=2"]}
OTHER = {"baseline": X86["baseline"]}
MACHINE = {"x86_64": X86, "amd64": X86, "aarch64": ARM, "arm64": ARM}.get(platform.machine().lower(), OTHER)

# ISO C mode would turn multiply-adds off, and -ffast-math would change results of the whole process.
FLAGS = ["-std=gnu11", "-O3", "-g0", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-unused-function"]
WINDOWS = sys.platform == "win32"
OPTIONAL = not os.environ.get("FASTAE_REQUIRE_KERNELS")


def extension(name, flags=()):
    return Extension(
        f"{FOLDER.replace('/', '.')}.{name}",
        [f"{FOLDER}/{name}.pyx"],
        depends=[*glob(f"{FOLDER}/*.[hp]*"), "setup.py"],
        include_dirs=[FOLDER, numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=[f"/clang:{flag}" if WINDOWS else flag for flag in (*FLAGS, *flags)],
        extra_link_args=[] if WINDOWS else ["-pthread"],
        optional=OPTIONAL,
    )


class BuildWhatCompiles(build_ext):
    """Extensions in parallel; one that does not compile is left out, with a warning."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or True

    def build_extensions(self):
        """On Windows by clang-cl, with Visual Studio's libraries and linker: its own compiler has no vector types."""
        if self.compiler.compiler_type == "msvc":
            if not self.compiler.initialized:
                self.compiler.initialize()
            self.compiler.cc = shutil.which("clang-cl") or "clang-cl"  # not found: an error that names it
            self.compiler.compile_options.remove("/GL")  # asks for what clang-cl does not have
        super().build_extensions()

    def build_extension(self, ext):
        try:
            super().build_extension(ext)
        except Exception as error:  # setuptools' own handling of optional extensions lets some errors through
            if not OPTIONAL:
                raise
            self.warn(f"{ext.name} is left out: {error}")


setup(
    ext_modules=cythonize(
        [extension("_runtime"), *(extension(name, flags) for name, flags in MACHINE.items())],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "allow_none_for_extension_args": False,
        },
    ),
    cmdclass={"build_ext": BuildWhatCompiles},
)
