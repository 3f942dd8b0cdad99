"""What documents tell a reader to run: Python blocks run in order and print what is said; commands are those there are."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastae
from fastae import cli

ROOT = Path(__file__).parents[1]
DOCUMENTS = [path for path in (*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md") if path.exists()]
NEEDS = {
    "coming_from_pytorch": "torch",
    "compression": "constriction",
    "engines": "numba",
    "generation": "PIL sklearn",
    "interchange": "torch onnx onnxruntime",
    "sklearn": "sklearn",
}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SKIP = re.compile(r"<!-- not run: \S.*-->\n\Z")  # with a reason, on the line above
END = "\0\n"


def fences(path):
    """Language, place and text of each block of code that is not to be skipped."""
    text = path.read_text("utf-8")
    return [(found[1], found.start(2), found[2]) for found in FENCE.finditer(text) if not SKIP.search(text, 0, found.start())]


def script(path):
    """The Python blocks, each on the lines where it stands, so that a traceback leads there; END is printed after each."""
    text, lines, expected = path.read_text("utf-8"), [], []
    for language, place, code in fences(path):
        if language == "python":
            lines += [""] * (text.count("\n", 0, place) - len(lines)) + code.splitlines() + [f"print(end={END!r})"]
            expected.append(None)
        elif language == "text" and expected:
            expected[-1] = code
    return "\n".join(lines), expected


def commands(path):
    """Words of each ``fastae`` command."""
    lines = [line for language, _, code in fences(path) if language == "sh" for line in code.splitlines()]
    words = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    return [line[1:] for line in words if line[:1] == ["fastae"]]


def run(path, folder):
    """Run a document's Python in a process of its own, where warnings are errors and plots have no window."""
    code, expected = script(path)
    (folder / path.name).write_text(code, "utf-8")
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    command = [sys.executable, "-P", "-W", "error", path.name]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for printed, wanted in zip(done.stdout.split(END), expected, strict=False):
        if wanted is not None:
            assert printed == wanted


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if script(path)[1]], ids=lambda path: path.stem)
def test_python(tmp_path, path):
    for package in NEEDS.get(path.stem, "").split():
        pytest.importorskip(package)
    run(path, tmp_path)


def test_a_wrong_line_and_a_wrong_output_are_seen(tmp_path):
    path = tmp_path / "wrong.md"
    path.write_text("# A\n\n```python\nprint(1)\n```\n\n```text\n2\n```\n", "utf-8")
    with pytest.raises(AssertionError, match="2"):
        run(path, tmp_path)
    path.write_text("# A\n\n```python\n1 / 0\n```\n", "utf-8")
    with pytest.raises(AssertionError, match="line 4"):
        run(path, tmp_path)
    path.write_text("# A\n\n<!-- not run: it fails -->\n```python\n1 / 0\n```\n", "utf-8")
    run(path, tmp_path)


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if commands(path)], ids=lambda path: path.stem)
def test_commands_are_understood(path):
    for words in commands(path):
        cli._parser().parse_args(words)


def test_commands_of_the_readme(tmp_path, monkeypatch, rng):
    """All but ``bench``, which takes a minute."""
    if ROOT / "README.md" not in DOCUMENTS:
        pytest.skip("no README beside this copy of the tests")
    for package in ("PIL", "matplotlib", "onnx", "scipy", "sklearn"):
        pytest.importorskip(package)
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    table = rng.standard_normal((200, 4)) @ rng.standard_normal((4, 20))
    for name, rows in (("table", table), ("good", table[:150]), ("new", table[150:])):
        np.savetxt(f"{name}.csv", rows, delimiter=",")
    Image.fromarray(rng.integers(0, 256, (32, 32), np.uint8)).save("in.png")
    ratings = [f"u{i},i{(7 * i + j * j) % 30},{1 + (i + j) % 5}" for i in range(50) for j in range(6)]
    Path("ratings.csv").write_text("\n".join(ratings))
    for words in commands(ROOT / "README.md"):
        if words == ["impute", "table.csv"]:
            np.savetxt("table.csv", np.where(rng.random(table.shape) < 0.1, np.nan, table), delimiter=",")
        if words != ["bench"]:
            assert cli.main(words) == 0, words
        if words == ["impute", "table.csv"]:
            np.savetxt("table.csv", table, delimiter=",")


def test_every_public_module_is_in_the_reference():
    if not (ROOT / "docs").exists():
        pytest.skip("no documents beside this copy of the tests")
    listed = re.findall(r"^   (fastae[\w.]*)$", (ROOT / "docs" / "reference.md").read_text("utf-8"), re.MULTILINE)
    modules = [name for name in fastae.__all__ if isinstance(getattr(fastae, name), type(os))]
    assert sorted(listed) == sorted(["fastae", *(f"fastae.{name}" for name in {*modules, *fastae._APPLICATIONS})])
