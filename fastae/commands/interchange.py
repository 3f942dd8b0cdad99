"""``fastae export``: a model as an ONNX file or as C."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import arguments


def add(commands: Any) -> None:
    command = commands.add_parser("export", help="write a model as an ONNX file or as C source")
    command.add_argument("model", type=Path, help="a model file")
    command.add_argument("output", type=Path, help=".onnx or .c")
    command.add_argument(
        "--part",
        choices=("reconstruct", "encode", "decode"),
        help="with .onnx: what the file computes; default reconstruct",
    )
    command.add_argument("--name", metavar="NAME", help="with .c: what its functions' names begin with; default: the file's")
    command.set_defaults(run=export)


def export(options: argparse.Namespace) -> None:
    """Read a model, and write what the output's name says."""
    from ..interchange import export_c, export_onnx
    from ..persistence import load

    suffix = options.output.suffix.lower()
    if suffix not in (".onnx", ".c"):
        raise ValueError(f"{options.output}: the name ends in {options.output.suffix!r}; .onnx or .c is written")
    for argument, ending in (("part", ".onnx"), ("name", ".c")):
        if suffix != ending and getattr(options, argument) is not None:
            raise ValueError(f"--{argument} counts with {ending} only")
    arguments.outputs([(options.output, ())], [options.model])
    model, part = load(options.model), options.part or "reconstruct"
    if suffix == ".onnx":
        export_onnx(model, options.output, part)
    else:
        export_c(model, options.output, options.name)
    way = {
        "reconstruct": f"{model.n_in} features to {model.n_latent} to {model.n_out}",
        "encode": f"{model.n_in} features to {model.n_latent}",
        "decode": f"{model.n_latent} features to {model.n_out}",
    }
    print(f"wrote {options.output}: {way[part]}, {model.dtype}")
