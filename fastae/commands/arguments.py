"""Arguments that several commands take."""

import argparse
from typing import Any

from .. import _check
from .._kernels import BACKENDS


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


def with_train(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of some options that were given, which count with --train only."""
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    if given and not options.train:
        raise ValueError(f"--{next(iter(given)).replace('_', '-')} counts with --train only")
    return given
