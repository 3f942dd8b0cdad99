"""Types of the installed package: its stubs are those of the compiled modules, and a user's type checker reads them."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from conftest import COMPILED

pytest.importorskip("mypy")
compiled = pytest.mark.skipif("cython-baseline" not in COMPILED, reason="the Cython kernels are not built here")
installed = pytest.mark.skipif(
    "site-packages" not in str(files("fastae")), reason="mypy cannot follow an editable installation"
)

# What Cython adds to a module, and names of kernels.pxi that nothing outside uses.
HELPERS = "Arena|NOISES|rectangles_of|pieces|halves"
ALLOWED = rf"fastae\._kernels\.cython\.\w+\.(__test__|__pyx_capi__|__(reduce|setstate)_cython__|{HELPERS})"


def run(folder, *arguments):
    """A tool of mypy's, away from the source, so that what it reads is what is installed."""
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@compiled
@installed
def test_stubs_are_what_is_compiled(tmp_path):
    """Names, arguments, defaults; all instruction sets' modules are of one source, and their stubs import this one's."""
    allowed = tmp_path / "allowed"
    allowed.write_text(ALLOWED)
    modules = [f"fastae._kernels.cython.{name}" for name in ("_runtime", "baseline")]
    run(tmp_path, "mypy.stubtest", "--ignore-unused-allowlist", "--allowlist", str(allowed), *modules)


def test_every_extension_module_has_a_stub():
    folder = files("fastae._kernels") / "cython"
    stubs = {path.name.removesuffix(".pyi") for path in folder.iterdir() if path.name.endswith(".pyi")}
    assert stubs >= {name.removeprefix("cython-") for name in COMPILED if name.startswith("cython-")} | {"_runtime", "neon"}
    assert (files("fastae") / "py.typed").is_file()


@installed
def test_types_of_a_users_script(tmp_path):
    """Without fastae's settings of mypy: strict, as a user might have it."""
    run(tmp_path, "mypy", "--strict", "--config-file=", str(Path(__file__).with_name("typed.py")))
