"""The command line: ``fastae train | encode | decode | reconstruct | score | bench | info``."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import __version__, benchmark, settings, train_command
from ._kernels.names import ACTIVATIONS, LOSSES
from .commands import APPLICATIONS, anomaly, arguments
from .files import READABLE, WRITABLE, column_names, file_stem, read_samples, write_matrix
from .history import DivergenceError

_LOSSES = [name for name in LOSSES if name not in ("poisson", "multinomial")]  # whose models give logarithms


def main(words: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0, 1 for a diverged training, 2 for bad input, 130 after Ctrl-C, 141 when nobody
    reads on what it prints, as in ``fastae ... | head -1``."""
    options = _parser().parse_args(words)
    options.words = sys.argv[1:] if words is None else words
    try:
        options.run(options)
        print(end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes at its end
        return 141
    except MemoryError as error:
        print(f"fastae {options.command}: not enough memory: {error}", file=sys.stderr)
        return 2
    except (OSError, ValueError, TypeError, ImportError) as error:
        print(f"fastae {options.command}: {_words(error)}", file=sys.stderr)
        return 2
    except DivergenceError as error:
        print(f"fastae {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"fastae {options.command}: interrupted", file=sys.stderr)
        return 130
    return 0


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastae", description="Trains and runs autoencoders on a CPU, fast.")
    parser.add_argument("--version", action="version", version=f"fastae {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    training = commands.add_parser("train", help="train an autoencoder, by default on handwritten digits")
    training.add_argument("--data", default="digits", metavar="FILE", help=f"{READABLE}; default: digits that fastae ships")
    training.add_argument("--layers", type=_layers, metavar="N-N-N", help="widths, as 64-32-8-32-64 or its half 64-32-8")
    training.add_argument(
        "--epochs", type=arguments.positive, metavar="N", help="default: about a million samples, at most 500 epochs"
    )
    training.add_argument("--lr", type=float, metavar="X", help="learning rate; default 1 for data from 0 to 1, else 0.05")
    training.add_argument("--batch-size", type=arguments.positive, metavar="N", help="default 32, or all samples where fewer")
    training.add_argument("--loss", choices=_LOSSES, default="mse", help="default mse")
    training.add_argument("--activation", choices=ACTIVATIONS, default="silu", help="of hidden layers; default silu")
    training.add_argument("--seed", type=arguments.seed, default=0, metavar="N", help="of split, weights and order; default 0")
    training.add_argument("--output", type=Path, metavar="FOLDER", help="default fastae-NAME, NAME being that of the data")
    training.add_argument("--report", type=Path, metavar="FILE", help="also write a page of pictures and numbers, as .html")
    arguments.machine(training)
    training.set_defaults(run=train)

    for name, what, source in (
        ("decode", "samples from codes", "codes"),
        ("reconstruct", "reconstructions of samples", "samples"),
        ("score", "mean squared error of each sample's reconstruction, or a detector's scores", "samples"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("model", type=Path, help="a model file" + (", or a detector's" if name == "score" else ""))
        command.add_argument("data", help=f"{source}: {READABLE}" + ("" if name == "decode" else ", or the word digits"))
        command.add_argument("--output", type=Path, metavar="FILE", help=f".npy, .npz or .csv; default NAME-{name}.npy")
        arguments.machine(command)
        command.set_defaults(run=apply)

    measure = commands.add_parser("bench", help="measure against NumPy on this machine")
    measure.add_argument("--threads", type=arguments.positive, metavar="N", help="default: all that the process may use")
    measure.set_defaults(run=bench)

    commands.add_parser("info", help="versions, instruction set, threads, backends").set_defaults(run=info)
    for application in APPLICATIONS:
        application.add(commands)
    return parser


def _layers(text: str) -> list[int]:
    """Widths from the input to the code: the whole network's, if they mirror each other, are cut in the middle."""
    try:
        widths = [int(part) for part in text.split("-")]
    except ValueError:
        widths = []
    if len(widths) < 2 or min(widths) < 1:
        raise argparse.ArgumentTypeError(f"takes at least two widths, as 64-32-8-32-64 or 64-32-8; got {text!r}")
    if len(widths) > 2 and widths[0] == widths[-1] and (widths != widths[::-1] or len(widths) % 2 == 0):
        raise argparse.ArgumentTypeError(f"the widths of a whole network mirror each other around the code; got {text!r}")
    return widths[: len(widths) // 2 + 1] if len(widths) % 2 and widths == widths[::-1] else widths


def train(options: argparse.Namespace) -> None:
    """Train on a file, and say how well and how fast."""
    settings.configure(options.backend, options.threads)
    x, labels = read_samples(options.data)
    train_command.run(
        x,
        labels,
        name=file_stem(options.data),
        sizes=options.layers,
        epochs=options.epochs,
        lr=options.lr,
        batch_size=options.batch_size,
        loss=options.loss,
        activation=options.activation,
        seed=options.seed,
        output=options.output,
        report=options.report,
        feature_names=column_names(options.data),
        command=shlex.join(["fastae", *options.words]),
        source=options.data,
    )


def apply(options: argparse.Namespace) -> None:
    """decode, reconstruct, score: a model on a file."""
    settings.configure(options.backend, options.threads)
    output = options.output or Path(f"{file_stem(options.data)}-{options.command}.npy")
    arguments.outputs([(output, WRITABLE)], [options.model, options.data])
    model = arguments.model(options.model, "fastae.anomaly" if options.command == "score" else None)
    x, _ = read_samples(options.data)
    detector = anomaly.detector(options.model) if options.command == "score" else None
    if detector is not None:
        result = detector.score(x)
    else:
        result = getattr(model, "reconstruction_error" if options.command == "score" else options.command)(x)
    write_matrix(output, result)
    print(f"wrote {output}: {' x '.join(map(str, result.shape))} {result.dtype}")
    if detector is not None:
        anomaly.report(detector, x, result, column_names(options.data))
    elif options.command == "score":
        worst = int(np.argmax(result))
        print(f"mean {result.mean():.6f}, median {np.median(result):.6f}, largest {result[worst]:.6f} (row {worst})")


def bench(options: argparse.Namespace) -> None:
    """Measure against NumPy."""
    settings.configure(None, options.threads)
    benchmark.run(settings.get_num_threads())


def info(options: argparse.Namespace) -> None:
    """Versions and what the machine has."""
    settings.show_versions()
