"""Arguments that several commands take."""

import argparse

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
