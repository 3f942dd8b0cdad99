"""``fastae denoise``: an image without its noise."""

from __future__ import annotations

import argparse
import math
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
    from .. import _check, settings
    from ..denoising import ImageDenoiser, estimate_sigma
    from ..denoising.files import encoded, read_image, write_image
    from ..denoising.image import clean_image
    from ..files import file_stem

    settings.configure(options.backend, options.threads)
    output = options.output or Path(f"{file_stem(options.image.name)}-denoise.png")
    given = arguments.with_train(options, "samples", "seed")
    made, used = (options.model, options.train) if options.train else (None, [options.model])
    arguments.outputs([(output, ()), (made, ())], [options.image, *used])
    image, kept = read_image(options.image)
    encoded(output, image[:1, :1], kept)  # refused now, and not after the work
    if options.sigma is None:
        sigma = estimate_sigma(image)
    else:
        sigma = _check.real_number(options.sigma, "sigma", 0, math.inf, "a number >= 0")
    if options.train:
        denoiser = ImageDenoiser(seed=given.pop("seed", 0))
        images = [read_image(path)[0] for path in options.train]
        for path, one in zip(options.train, images, strict=True):
            clean_image(one, str(path))  # refused by its name
        denoiser.fit(images, **given, progress=True)
        if options.model is not None:
            denoiser.save(options.model)
            print(f"wrote {options.model}")
    else:
        denoiser = ImageDenoiser() if options.model is None else ImageDenoiser.load(options.model)
    start = time.perf_counter()
    clean = denoiser.denoise(image, sigma)
    seconds = time.perf_counter() - start
    write_image(output, clean, kept)
    rows, columns = image.shape[:2]
    print(
        f"wrote {output}: {columns} x {rows}, noise {sigma:.1f} {'estimated' if options.sigma is None else 'given'}, "
        f"{rows * columns / seconds / 1e6:.2f} megapixels/s"
    )
