"""``fastae generate``: samples of a model, ways from one image to another, maps of the latent space; numbers and a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import READABLE
from . import arguments

if TYPE_CHECKING:
    from ..generation import Generator


def add(commands: Any) -> None:
    command = commands.add_parser(
        "generate", help="samples of a model, ways from one image to another, maps of its latent space"
    )
    command.add_argument("model", type=Path, help="a model file, read, or with --train written")
    command.add_argument(
        "data",
        nargs="?",
        help=f"images: {READABLE}, or the word digits; needed with --train, --between, and for a model that is not variational",
    )
    command.add_argument("--train", action="store_true", help="first learn a variational autoencoder from these images")
    command.add_argument("--codes", type=arguments.positive, metavar="N", help="with --train: features of the code; default 20")
    command.add_argument(
        "--epochs", type=arguments.positive, metavar="N", help="with --train; default: about 2 million samples"
    )
    what = command.add_mutually_exclusive_group()
    what.add_argument("--samples", type=arguments.positive, default=100, metavar="N", help="how many to draw; default 100")
    what.add_argument(
        "--between", type=int, nargs=2, metavar="ROW", help="the way between two images of the data, in ten steps"
    )
    what.add_argument("--map", action="store_true", help="a map of the first two features of the code, 20 x 20 images")
    command.add_argument("--arc", action="store_true", help="with --between: along an arc, not a line")
    command.add_argument("--label", type=int, metavar="N", help="of a conditional model")
    command.add_argument("--shape", type=arguments.image, metavar="HxW", help="of an image, as 28x28; default: a square")
    command.add_argument("--seed", type=arguments.seed, default=0, metavar="N", help="of learning and of drawing; default 0")
    arguments.white(command)
    command.add_argument("--output", type=Path, metavar="FILE", help=".npy, .npz or .csv; default NAME-generate.npy")
    command.add_argument("--picture", type=Path, metavar="FILE", help="default NAME-generate.png")
    arguments.machine(command)
    command.set_defaults(run=generate)


def generate(options: argparse.Namespace) -> None:
    """Learn, where asked to, and write arrays and a picture of them."""
    from .. import settings
    from ..files import WRITABLE, file_stem, write_matrix
    from ..generation import tiled, write_png

    settings.configure(options.backend, options.threads)
    given = arguments.with_train(options, "codes", "epochs")
    if options.data is None and (options.train or options.between):
        raise ValueError(f"data are needed with --{'train' if options.train else 'between'}")
    if options.arc and not options.between:
        raise ValueError("--arc counts with --between only")
    if options.train and options.label is not None:
        raise ValueError("--label is for a conditional model, and --train makes none")
    if options.train and options.map and options.codes == 1:
        raise ValueError("--map takes a code of at least two features, got --codes 1")
    stem = file_stem(options.data or options.model.name)
    output, picture = options.output or Path(f"{stem}-generate.npy"), options.picture or Path(f"{stem}-generate.png")
    made, used = (options.model, None) if options.train else (None, options.model)
    arguments.outputs([(output, WRITABLE), (picture, (".png",)), (made, ())], [options.data, used])
    x: Any = None if options.data is None else arguments.pixels(options, unit=options.train)
    if options.between and not 0 <= min(options.between) <= max(options.between) < len(x):
        raise ValueError(f"--between takes rows from 0 to {len(x) - 1}, got {' and '.join(map(str, options.between))}")
    if options.train:
        tiled(x[:1], None, options.shape)  # refuses what is no image before the training
    generator = _generator(options, x, given)
    width = generator.model.n_in - generator.model.n_conditions
    if x is not None and x.shape[1] != width:
        raise ValueError(f"{options.data} has {x.shape[1]} columns, {options.model} takes {width}")
    if options.train:  # now, lest a picture that fails, as without Pillow, takes the training with it
        generator.save(options.model)
        print(f"wrote {options.model}: images of {x.shape[1]} pixels, codes of {generator.model.n_latent} features")
    if options.between:
        a, b = x[options.between]
        images, columns = generator.interpolate(a, b, 10, options.label, spherical=options.arc), 10
    elif options.map:
        images, columns = generator.map(condition=options.label), 20
    else:
        images, columns = generator.sample(options.samples, options.label, seed=options.seed), None
    write_png(picture, images, columns, options.shape, zoom=max(1, round(28 / images.shape[1] ** 0.5)))
    write_matrix(output, images)
    print(f"wrote {output}: {' x '.join(map(str, images.shape))} {images.dtype}; {picture}")


def _generator(options: argparse.Namespace, x: Any, given: dict[str, Any]) -> Generator:
    """Learnt, read, or of a plain autoencoder and the codes of data where the file has no distribution of them."""
    from .. import tables
    from ..generation import KEY, Generator
    from ..models import VariationalAutoencoder

    if options.train:
        names = {"codes": "n_codes", "epochs": "epochs"}
        learnt = {names[name]: value for name, value in given.items()}
        return Generator.learn(x, **learnt, seed=options.seed, progress=True)
    model = arguments.model(options.model)
    if x is None or isinstance(model, VariationalAutoencoder) or tables.has(options.model, KEY):
        return Generator.load(options.model)
    return Generator.of_codes(model, x, min(20, len(x)), seed=options.seed)
