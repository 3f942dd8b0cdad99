"""Arguments that several commands take, and what is looked at before any work."""

from __future__ import annotations

import argparse
import errno
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check
from .._kernels import BACKENDS
from ..files import check_ending, read_samples

if TYPE_CHECKING:
    from ..autoencoder import Autoencoder

# Models that take prepared data: the key of an application in their files, and what prepares the data.
_PREPARED = {
    "fastae.anomaly": ("a detector", "fastae score, or AnomalyDetector.load in Python"),
    "fastae.denoising": ("a denoiser of vectors", "Denoiser.load in Python"),
    "fastae.denoising.image": ("a denoiser of images", "fastae denoise --model, or ImageDenoiser.load in Python"),
    "fastae.features": ("a feature extractor", "fastae encode, or FeatureExtractor.load in Python"),
    "fastae.imputation": ("an imputer", "Imputer.load in Python"),
}


def machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=positive, metavar="N", help="default: all that the process may use")
    parser.add_argument("--backend", choices=list(BACKENDS), help="default: the fastest that this machine has")


def positive(text: str) -> int:
    try:
        return _check.positive_integer(int(text), "value")
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a positive integer, got {text!r}") from None


def seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"takes an integer >= 0, got {text!r}")
    return int(text)


def image(text: str) -> tuple[int, int]:
    try:
        height, width = map(positive, text.split("x"))
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"takes height and width of an image, as 28x28; got {text!r}") from None
    return height, width


def white(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--white", type=float, metavar="X", help="data are pixels from 0 to X, as 255, and divided by it; uint8 needs none"
    )


def pixels(options: argparse.Namespace, unit: bool) -> Any:
    """Samples, over the value that white has; from 0 to 1, where that is needed."""
    x = read_samples(options.data)[0]
    if options.white is not None:
        x = x / np.float32(_check.real_number(options.white, "--white", 1e-30, math.inf, "a number > 0"))
    if unit:
        _check.between(x, 0, 1, options.data, "tell what white is, as --white 255")
    return x


def outputs(written: Sequence[tuple[Path | None, Sequence[str]]], read: Sequence[str | Path | None]) -> None:
    """Refuse now, and not after the work, files that cannot be written: pairs of a path, or None, and the endings that its
    name may have, none for any. Nor may one be another, or one that is read."""
    taken = {os.path.realpath(path): f"{path}, which is read" for path in read if path is not None}
    for path, endings in written:
        if path is None:
            continue
        if endings:
            check_ending(path, endings)
        real = Path(os.path.realpath(path))
        if real.exists() and not real.is_file() and not real.is_dir():  # /dev/null, a pipe
            continue
        if str(real) in taken:
            raise ValueError(f"{path} would be written over {taken[str(real)]}; name another file")
        taken[str(real)] = f"{path}, which is written too"
        try:
            if real.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            tempfile.TemporaryFile(dir=real.parent).close()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error


def model(path: Path, handled: str | None = None) -> Autoencoder:
    """A model from a file, unless it takes what an application prepares, other than the one that is handled."""
    from safetensors import safe_open

    from ..persistence import load

    found = load(path)
    with safe_open(path, framework="np") as file:
        keys = file.metadata().keys() & _PREPARED.keys() - {handled}
    for key in keys:
        what, instead = _PREPARED[key]
        raise ValueError(f"{path} is {what}, whose model takes prepared data; use {instead}")
    return found


def with_train(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of some options that were given, which count with --train only."""
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if given and not options.train:
        raise ValueError(f"--{next(iter(given)).replace('_', '-')} counts with --train only")
    return given
