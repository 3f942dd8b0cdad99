"""Settings of the process: the default backend, the default number of threads, and what the machine offers."""

import os
import platform
import sys
import warnings
from contextlib import suppress
from math import ceil
from pathlib import Path

from . import _kernels
from ._kernels.contract import Kernels

MAX_THREADS = 256
_CGROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")

_backend: str | None = None
_num_threads: int | None = None


def get_backend() -> str:
    """Name of the backend that new layers and the functions of :mod:`fastae.ops` use."""
    global _backend
    if _backend is None:
        _backend = "cython"
        try:
            _kernels.load(_backend)
        except ImportError as error:
            _backend = "numpy" if "numba" in _kernels.missing() else "numba"
            slower = (
                "Numba, which compiles for some seconds when first used" if _backend == "numba" else "NumPy, which is slower"
            )
            warnings.warn(f"{error}. Using {slower}.", RuntimeWarning, stacklevel=3)
    return _backend


def set_backend(name: str) -> None:
    """Choose the backend of new layers and of :mod:`fastae.ops`; what exists keeps its own.

    Parameters
    ----------
    name : {"cython", "numba", "cuda", "numpy"}

    Raises
    ------
    ValueError
        Unknown name.
    ImportError
        The backend cannot run here; the message says why.
    """
    global _backend
    _kernels.load(name)
    _backend = name


def configure(backend: str | None, n_threads: int | None) -> None:
    """Both of the above, each where it is given."""
    if backend is not None:
        set_backend(backend)
    if n_threads is not None:
        set_num_threads(n_threads)


def kernels(backend: str | None = None) -> Kernels:
    """Kernels of a backend, or of the default one."""
    return _kernels.load(backend or get_backend())


def get_num_threads() -> int:
    """Threads that calls use where they are given no number.

    As set by :func:`set_num_threads`, else the environment variable ``FASTAE_NUM_THREADS`` or ``OMP_NUM_THREADS``, else the
    processors that the process may use by its affinity and its control group's quota.
    """
    global _num_threads
    if _num_threads is None:
        for name in ("FASTAE_NUM_THREADS", "OMP_NUM_THREADS"):
            value = os.environ.get(name, "").partition(",")[0]  # OpenMP: one number for each level of nesting
            if value.isascii() and value.isdigit() and int(value) > 0:
                _num_threads = min(int(value), MAX_THREADS)
                break
            if value and name == "FASTAE_NUM_THREADS":
                taken = f"{name} takes 1 to {MAX_THREADS}, got {value!r}; it is passed over"
                warnings.warn(taken, RuntimeWarning, stacklevel=3)
        else:
            _num_threads = _usable_processors()
    return _num_threads


def set_num_threads(n: int) -> None:
    """Set the default number of threads. Results do not depend on it.

    Parameters
    ----------
    n : int
        1 to 256.

    Examples
    --------
    >>> import fastae
    >>> before = fastae.get_num_threads()
    >>> fastae.set_num_threads(1)
    >>> fastae.get_num_threads()
    1
    >>> fastae.set_num_threads(before)
    """
    global _num_threads
    if n is None:
        raise TypeError("n_threads takes an integer, got None")
    _num_threads = check_threads(n)


def check_threads(n: int | None) -> int:
    """``n`` as a valid number of threads; None is the default."""
    if n is None:
        return get_num_threads()
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"n_threads takes an integer, got {n!r}")
    if not 1 <= n <= MAX_THREADS:
        raise ValueError(f"n_threads takes 1 to {MAX_THREADS}, got {n}")
    return int(n)


def register_threadpoolctl() -> None:
    """Let threadpoolctl list fastae and limit its default number of threads.

    ``import fastae`` does it where threadpoolctl was imported before; call this where it is imported later. Limits are of the
    process, as those of :func:`set_num_threads`, and yield to an ``n_threads`` that is given explicitly.

    Raises
    ------
    ImportError
        threadpoolctl or the Cython backend is missing.

    Examples
    --------
    >>> import threadpoolctl, fastae
    >>> fastae.register_threadpoolctl()
    >>> with threadpoolctl.threadpool_limits(1, user_api="fastae"):
    ...     fastae.get_num_threads()
    1
    """
    from . import _threadpoolctl  # noqa: F401


def _usable_processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    n = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(n, MAX_THREADS, max(1, ceil(_quota())))


def _quota() -> float:
    """Processors' worth of time that the control groups of this process allow: its own, and all those around them.

    A container sees its group as the root of the tree, under whatever path the host gave it; missing folders allow anything.
    """
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:
        lines = []
    allowed = [float(MAX_THREADS)]
    for line in (*lines, "0::/"):
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):  # version 1 has a tree for each set of controllers
            continue
        for root in {_CGROUPS / name for name in (controllers, "cpu" if controllers else "")}:
            group = root / path.lstrip("/")
            allowed += [_quota_of(folder) for folder in (group, *group.parents) if folder.is_relative_to(root)]
    return min(allowed)


def _quota_of(group: Path) -> float:
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):  # versions 2 and 1
        try:  # "200000 100000": microseconds of processor time in each period; "max" or -1: any
            quota, period = map(int, " ".join((group / name).read_text() for name in names).split())
            if quota > 0:
                return quota / period
        except (OSError, ValueError, ZeroDivisionError):
            pass
    return float(MAX_THREADS)


def processor_name() -> str:
    """The processor as the system calls it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """What :func:`show_versions` prints, by name."""
    from importlib.metadata import PackageNotFoundError, version

    from . import __version__

    def installed(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "not installed"

    missing = _kernels.missing()
    rows = {
        "fastae": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": processor_name(),
        "threads": f"{get_num_threads()} of {os.cpu_count()} processors",
        "default backend": get_backend(),
    }
    for name in _kernels.BACKENDS:
        rows[f"backend {name}"] = missing.get(name) or f"{_kernels.load(name).info()}"
    for name in ("numpy", "safetensors", "tqdm", "numba", "numba-cuda", "scikit-learn", "matplotlib", "torch"):
        rows[name] = installed(name)
    return rows


def show_versions() -> None:
    """Print versions, processor, threads, and each backend with its instruction set or why it is missing."""
    rows = versions()
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value}")


if hasattr(sys.modules.get("threadpoolctl"), "register"):  # since 3.2
    with suppress(ImportError):
        register_threadpoolctl()
