"""``fastae encode``: codes of a table's rows, by a model, or by features learnt from the table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..files import READABLE
from . import arguments


def add(commands: Any) -> None:
    command = commands.add_parser("encode", help="codes of samples, by a model, or with --train by features learnt from them")
    command.add_argument("model", type=Path, help="a model file, read, or with --train written")
    command.add_argument("data", help=f"samples: {READABLE}, or the word digits")
    command.add_argument("--train", action="store_true", help="first learn the features from these samples")
    command.add_argument("--width", type=arguments.positive, metavar="N", help="with --train: features of a code; default 32")
    command.add_argument("--shape", type=arguments.image, metavar="HxW", help="with --train: samples are images, as 28x28")
    command.add_argument(
        "--layerwise", action="store_true", default=None, help="with --train: layer by layer, and then the whole"
    )
    arguments.white(command)
    command.add_argument("--seed", type=arguments.seed, metavar="N", help="with --train; default 0")
    command.add_argument("--output", type=Path, metavar="FILE", help=".npy, .npz or .csv; default NAME-encode.npy")
    arguments.machine(command)
    command.set_defaults(run=encode)


def encode(options: argparse.Namespace) -> None:
    """Learn features, where asked to, and write codes."""
    from .. import settings, tables
    from ..features import KEY, FeatureExtractor
    from ..files import WRITABLE, file_stem, write_matrix

    settings.configure(options.backend, options.threads)
    given = arguments.with_train(options, "width", "shape", "layerwise", "seed")
    output = options.output or Path(f"{file_stem(options.data)}-encode.npy")
    made, used = (options.model, None) if options.train else (None, options.model)
    arguments.outputs([(output, WRITABLE), (made, ())], [options.data, used])
    model = None if options.train else arguments.model(options.model, KEY)
    x = arguments.pixels(options, unit=options.shape is not None)
    if model is None:
        learnt = FeatureExtractor(**given).fit(x, progress=True)
        codes = learnt.transform(x)
        learnt.save(options.model)
        print(f"wrote {options.model}: {x.shape[1]} columns to {learnt.width} features")
    elif tables.has(options.model, KEY):
        codes = FeatureExtractor.load(options.model).transform(x)
    else:
        codes = model.encode(x)
    write_matrix(output, codes)
    print(f"wrote {output}: {' x '.join(map(str, codes.shape))} {codes.dtype}")
