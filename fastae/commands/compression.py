"""``fastae compress | decompress``: images to a small file, and back."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from .. import settings
from ..files import READABLE, WRITABLE, file_stem, read_samples, write_matrix
from ..persistence import write_atomically
from . import arguments


def add(commands: Any) -> None:
    """Both parsers."""
    command = commands.add_parser("compress", help="images to a small file, by a codec that has learnt from such")
    command.add_argument("codec", type=Path, help="the codec's file, read, or with --train written")
    command.add_argument("data", help=f"images, whole numbers to 255 or from 0 to 1: {READABLE}, or the word digits")
    command.add_argument("--train", action="store_true", help="first learn the codec from these images")
    command.add_argument("--bits-per-pixel", type=float, metavar="X", help="with --train: the rate to meet; default 0.5")
    command.add_argument(
        "--epochs", type=arguments.positive, metavar="N", help="with --train; default: about 2 million samples"
    )
    command.add_argument("--seed", type=arguments.seed, metavar="N", help="with --train; default 0")
    command.add_argument(
        "--max-error", type=int, metavar="N", help="bound of each pixel's error, of 255; 0 is lossless; default: no bound"
    )
    command.add_argument("--output", type=Path, metavar="FILE", help="default NAME.faec, NAME being that of the data")
    arguments.machine(command)
    command.set_defaults(run=compress)

    command = commands.add_parser("decompress", help="images from what compress wrote, as bytes")
    command.add_argument("codec", type=Path, help="the codec's file")
    command.add_argument("data", type=Path, help="what compress wrote")
    command.add_argument("--output", type=Path, metavar="FILE", help=".npy, .npz or .csv; default NAME-decompress.npy")
    arguments.machine(command)
    command.set_defaults(run=decompress)


def compress(options: argparse.Namespace) -> None:
    """Train, where asked to, and compress; say how small and how good."""
    from ..compression import Codec, images, psnr
    from ..compression.codec import check_max_error

    settings.configure(options.backend, options.threads)
    given = arguments.with_train(options, "bits_per_pixel", "epochs", "seed")
    output = options.output or Path(f"{file_stem(options.data)}.faec")
    made, used = (options.codec, None) if options.train else (None, options.codec)
    arguments.outputs([(output, ()), (made, ())], [options.data, used])
    if options.train and options.codec.exists():
        raise ValueError(f"{options.codec} exists; --train would make all files that were made by it useless; remove it first")
    check_max_error(options.max_error)
    x = _as_bytes(read_samples(options.data)[0])
    if options.train:
        codec = Codec.fit(x, **given, progress=True)
        codec.save(options.codec)
    else:
        codec = Codec.load(options.codec)
    start = time.perf_counter()
    data = codec.compress(x, options.max_error)
    seconds = time.perf_counter() - start
    write_atomically(output, data)
    original = images(x, "data")
    quality = psnr(codec.decompress(data), original)
    if options.train:
        widths = "-".join(str(n) for n in (codec.model.n_in, *(layer.n_out for layer in codec.model.layers)))
        print(f"wrote {options.codec}: {widths}, {options.codec.stat().st_size:,} bytes")
    print(
        f"wrote {output}: {len(x)} images of {x.shape[1]} pixels in {len(data):,} bytes, {8 * len(data) / original.size:.3f} "
        f"bits per pixel, PSNR {quality:.2f} dB, {original.size / seconds / 1e6:.0f} MB/s"
    )


def _as_bytes(x: Any) -> Any:
    """Whole numbers from 0 to 255, one above 1 among them, as uint8; others, as 0 and 1, as they are."""
    if x.dtype != np.uint8 and x.max() > 1 and x.min() >= 0 and x.max() <= 255 and (x == np.floor(x)).all():
        return x.astype(np.uint8)
    return x


def decompress(options: argparse.Namespace) -> None:
    """Decompress."""
    from ..compression import Codec

    settings.configure(options.backend, options.threads)
    output = options.output or Path(f"{file_stem(options.data.name)}-decompress.npy")
    arguments.outputs([(output, WRITABLE)], [options.codec, options.data])
    x = Codec.load(options.codec).decompress(options.data.read_bytes())
    write_matrix(output, x)
    print(f"wrote {output}: {' x '.join(map(str, np.shape(x)))} {x.dtype}")
