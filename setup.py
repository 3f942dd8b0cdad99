"""Builds the Cython kernels: one extension for each instruction set, all from fastae/_kernels/cython/kernels.pxi.

A machine's compiler that lacks a flag builds the instruction sets that remain; the package itself always installs.
"""

import platform
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


def extension(name, flags=()):
    return Extension(
        f"{FOLDER.replace('/', '.')}.{name}",
        [f"{FOLDER}/{name}.pyx"],
        depends=[*glob(f"{FOLDER}/*.[hp]*"), "setup.py"],
        include_dirs=[FOLDER, numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=[*FLAGS, *flags],
        extra_link_args=["-pthread"],
        optional=True,
    )


class BuildWhatCompiles(build_ext):
    """Extensions in parallel; one that does not compile is left out, with a warning."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or True

    def build_extension(self, ext):
        try:
            super().build_extension(ext)
        except Exception as error:  # setuptools' own handling of optional extensions lets some errors through
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
