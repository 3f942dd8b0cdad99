"""``fastae impute``: a table with what is missing filled in."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import arguments


def add(commands: Any) -> None:
    command = commands.add_parser("impute", help="fill in what is missing from a table")
    command.add_argument("data", type=Path, help="a table: .csv with empty cells, NA or nan; .npy or .npz with NaN")
    command.add_argument("--seed", type=arguments.seed, default=0, metavar="N", help="default 0")
    command.add_argument("--output", type=Path, metavar="FILE", help=".npy, .npz or .csv; default NAME-impute, as the table is")
    arguments.machine(command)
    command.set_defaults(run=impute)


def impute(options: argparse.Namespace) -> None:
    """Learn from a table what its cells tell of each other, and fill it in."""
    import sys
    import warnings

    import numpy as np

    from .. import settings
    from ..files import WRITABLE, column_names, csv_with, file_stem, read_matrix, write_matrix
    from ..imputation import Imputer
    from ..persistence import write_atomically

    settings.configure(options.backend, options.threads)
    csv = options.data.suffix.lower() == ".csv"
    output = options.output or Path(f"{file_stem(options.data.name)}-impute.{'csv' if csv else 'npy'}")
    arguments.outputs([(output, WRITABLE)], [options.data])
    x = read_matrix(options.data, missing=True)
    missing = np.isnan(x)
    if not missing.any():
        raise ValueError(f"{options.data} has nothing missing")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of columns without a number, which are told below
        filled = Imputer(seed=options.seed).fit(x, progress=True).transform(x)
    if csv and output.suffix.lower() == ".csv":  # as it was, but for what was missing
        write_atomically(output, csv_with(options.data, filled, missing).encode())
    else:
        write_matrix(output, filled)
    names = column_names(options.data) or [f"{column} (from 0)" for column in range(x.shape[1])]
    if empty := [names[column] for column in np.flatnonzero(missing.all(axis=0))]:
        print(f"fastae impute: filled with 0, as there is no number: column {', '.join(empty)}", file=sys.stderr)
    print(f"wrote {output}: {missing.sum()} of {x.size} cells filled, in {missing.any(axis=0).sum()} columns")
