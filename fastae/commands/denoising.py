"""``fastae denoise``: an image without its noise."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from . import arguments


def add(commands: Any) -> None:
    command = commands.add_parser("denoise", help="take the noise from an image")
    command.add_argument("image", type=Path, help="the noisy image, grey or colour: .png, .jpg, .tif, ...")
    command.add_argument("output", type=Path, nargs="?", help="the clean image; default NAME-denoise.png")
    command.add_argument(
        "--sigma", type=float, metavar="X", help="standard deviation of the noise, of 255, or 65535; default: estimated"
    )
    command.add_argument("--train", type=Path, nargs="+", metavar="FILE", help="first learn from these clean images")
    command.add_argument(
        "--model", type=Path, metavar="FILE", help="a denoiser's file: read, or with --train written; default: fastae's own"
    )
    command.add_argument(
        "--samples", type=arguments.positive, metavar="N", help="with --train: patches to learn from; default 5 million"
    )
    command.add_argument("--seed", type=arguments.seed, metavar="N", help="with --train; default 0")
    arguments.machine(command)
    command.set_defaults(run=denoise)


def denoise(options: argparse.Namespace) -> None:
    """Learn, where asked to, and denoise; say how noisy it was and how long it took."""
    from .. import settings
    from ..denoising import ImageDenoiser, estimate_sigma
    from ..denoising.files import format_of, read_image, write_image
    from ..files import file_stem

    settings.configure(options.backend, options.threads)
    output = options.output or Path(f"{file_stem(options.image.name)}-denoise.png")
    format_of(output)  # refused now, and not after the work
    for name in ("samples", "seed"):
        if getattr(options, name) is not None and not options.train:
            raise ValueError(f"--{name} counts with --train only")
    image, kept = read_image(options.image)
    if options.train:
        denoiser = ImageDenoiser(seed=options.seed or 0)
        given = {} if options.samples is None else {"samples": options.samples}
        denoiser.fit([read_image(path)[0] for path in options.train], **given, progress=True)
        if options.model is not None:
            denoiser.save(options.model)
            print(f"wrote {options.model}")
    else:
        denoiser = ImageDenoiser() if options.model is None else ImageDenoiser.load(options.model)
    sigma = estimate_sigma(image) if options.sigma is None else options.sigma
    start = time.perf_counter()
    clean = denoiser.denoise(image, sigma)
    seconds = time.perf_counter() - start
    write_image(output, clean, kept)
    rows, columns = image.shape[:2]
    print(
        f"wrote {output}: {columns} x {rows}, noise {sigma:.1f} {'estimated' if options.sigma is None else 'given'}, "
        f"{rows * columns / seconds / 1e6:.2f} megapixels/s"
    )
