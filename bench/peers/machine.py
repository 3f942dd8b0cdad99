"""The machine, the versions and the command that belong to the numbers."""

import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from .processes import processes
from .row import OWN
from .worker import kernels, openblas, peak

PACKAGES = ("fastae", "numpy", "scipy", "torch", "jax", "jaxlib", "keras", "scikit-learn", "onnxruntime")


def describe(threads, isa):
    """As a dictionary: processor, threads, peak in GFLOP/s, versions, ..."""
    from fastae import __version__
    from fastae.settings import processor_name

    with processes([OWN, "numpy"]) as workers:
        engine = workers[OWN].submit(kernels).result()
        gflops = workers[OWN].submit(peak, threads).result()
        core = workers["numpy"].submit(openblas).result()
    return {
        "processor": processor_name(),
        "threads": threads,
        "isa": isa or "all that the machine has",
        "kernels": engine,
        "openblas": core,
        "peak_gflops": gflops,
        "python": sys.version.split()[0],
        "versions": {"fastae": __version__} | {name: _version(name) for name in PACKAGES if name != "fastae"},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": " ".join(["python -m bench.peers", *sys.argv[1:]]),
    }


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
