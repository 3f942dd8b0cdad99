"""``fastae detect``, and ``fastae score`` of a detector: rows of a table that are unlike the others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import arguments

if TYPE_CHECKING:
    from ..anomaly import AnomalyDetector

_SHOWN = 5  # rows and columns


def add(commands: Any) -> None:
    command = commands.add_parser("detect", help="learn what rows of a table are like; score them, or those of another")
    command.add_argument("train", help="rows to learn from, few of them anomalies: a table, or the word digits")
    command.add_argument("test", nargs="?", help="rows to score; default: the same")
    rate = command.add_mutually_exclusive_group()
    rate.add_argument("--contamination", type=float, metavar="X", help="part of rows beyond the threshold; default 0.05")
    rate.add_argument("--quantile", type=float, metavar="X", help="of scores, for the threshold: 1 - contamination")
    command.add_argument("--seed", type=arguments.seed, default=0, metavar="N", help="default 0")
    command.add_argument("--model", type=Path, metavar="FILE", help="the detector; default NAME-detector.safetensors")
    command.add_argument("--output", type=Path, metavar="FILE", help="scores: .npy, .npz or .csv; default NAME-detect.npy")
    arguments.machine(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Learn from a table; scores of it or of another."""
    from .. import _check, settings
    from ..anomaly import AnomalyDetector
    from ..files import WRITABLE, column_names, file_stem, read_samples, write_matrix

    settings.configure(options.backend, options.threads)
    detector = AnomalyDetector(options.contamination, quantile=options.quantile, seed=options.seed)
    other = options.test or options.train
    output = options.output or Path(f"{file_stem(other)}-detect.npy")
    model = options.model or Path(f"{file_stem(options.train)}-detector.safetensors")
    arguments.outputs([(output, WRITABLE), (model, ())], [options.train, options.test])
    x, _ = read_samples(options.train)
    test = x if options.test is None else read_samples(other)[0]
    if test.shape[1] != x.shape[1]:
        raise ValueError(f"{other} has {test.shape[1]} columns, {options.train} has {x.shape[1]}")
    learnt, scored = column_names(options.train), column_names(other)
    if learnt and scored and learnt != scored:
        a, b = next((a, b) for a, b in zip(learnt, scored, strict=True) if a != b)
        raise ValueError(f"{other} has the column {b!r} where {options.train} has {a!r}; give both the same order")
    _check.finite(test, other)
    detector.fit(x, progress=True)
    scores = detector.score(test)
    write_matrix(output, scores)
    detector.save(model)
    print(f"wrote {output}: {len(scores)} scores; {model}")
    report(detector, test, scores, scored or learnt)


def detector(path: Path) -> AnomalyDetector | None:
    """The detector in a model's file, or None."""
    from .. import tables
    from ..anomaly import KEY, AnomalyDetector

    return AnomalyDetector.load(path) if tables.has(path, KEY) else None


def report(detector: AnomalyDetector, x: Any, scores: Any, names: list[str] | None) -> None:
    """Print the highest scores of rows, and the columns that more than half of each comes from, or the first of these."""
    print(f"{(scores > detector.threshold).sum()} of {len(scores)} rows score more than {detector.threshold:.6g}")
    worst = scores.argsort(kind="stable")[::-1][:_SHOWN]
    for row, errors in zip(worst, detector.feature_error(x[worst]), strict=True):
        columns = errors.argsort(kind="stable")[::-1]
        half = int((errors[columns].cumsum() <= errors.sum() / 2).sum()) + 1
        told = ", ".join(names[column] if names else str(column) for column in columns[: min(half, _SHOWN)])
        print(f"row {row}: {scores[row]:.6g}, above all from {'' if names else 'columns (from 0) '}{told}")
