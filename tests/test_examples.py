"""The examples run as they stand, without a warning, in an empty folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

# What an example must print, beyond ending well.
PRINTED = {
    "backpropagation_step_by_step": (
        *("0.85", "0.48", "0.191", "0.3272405", "-0.809"),  # forward, error and its slope
        *("0.1743825", "0.169416", "0.121326", "0.226989", "0.132135", "0.0982025"),  # new weights
        *("0.2557457808075", "0.26062834"),  # new prediction, and that of the common mistake
        *("0.33231393", "0.41937285", "0.60831396", "0.92564089", "0.99906859"),  # after 2, 3, 5, 10, 20 steps
    ),
    "compress_digits": ("19008", "damaged"),
}
NEEDS = {  # beside what the tests need
    "compress_digits": "constriction",
    "generation": "sklearn",
    "sklearn_pipeline": "sklearn",
}


def run(code, folder):
    """Printed text of a script in a process of its own, where warnings are errors and plots have no window."""
    command = [sys.executable, "-P", "-W", "error", *code]
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= PRINTED.keys()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    for package in NEEDS.get(path.stem, "").split():
        pytest.importorskip(package)
    if path.stem == "interchange" and not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("needs a C compiler")
    printed = run([path], tmp_path)
    numbers = printed.split()
    for number in PRINTED.get(path.stem, ()):
        assert any(word.startswith(number) for word in numbers), f"{number} is not in\n{printed}"


def test_backpropagation_example_fails_on_a_wrong_number(tmp_path):
    text = (ROOT / "examples" / "backpropagation_step_by_step.py").read_text("utf-8")
    assert text.count("-0.809)") == 1
    (tmp_path / "wrong.py").write_text(text.replace("-0.809)", "-0.8091)"), "utf-8")
    with pytest.raises(AssertionError, match="dE/dprediction"):
        run(["wrong.py"], tmp_path)
