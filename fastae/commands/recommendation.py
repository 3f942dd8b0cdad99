"""fastae recommend: a file of ratings in, the best items of each user out."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import settings
from ..files import file_stem
from ..persistence import write_atomically
from . import arguments

_METHODS = ("blend", "ease", "mult-dae", "mult-vae", "autorec", "autorec-user")


def add(commands: Any) -> None:
    """The parser of this command."""
    command = commands.add_parser("recommend", help="items that users may like, from a file of ratings")
    command.add_argument("ratings", help="user, item, rating[, time] in lines of a .csv, .tsv or .inter")
    command.add_argument("--method", choices=_METHODS, help="default blend: EASE and Mult-DAE of items")
    command.add_argument(
        "--scale", nargs=2, type=float, metavar=("LEAST", "MOST"), help="of autorec: ratings that may come; default: those here"
    )
    command.add_argument("--top", type=arguments.positive, default=10, metavar="N", help="items for each user; default 10")
    command.add_argument("--output", type=Path, metavar="FILE", help=".csv of user, item, score; default NAME-recommend.csv")
    command.add_argument("--save", type=Path, metavar="FILE", help="keep the recommender, as .safetensors")
    command.add_argument("--model", type=Path, metavar="FILE", help="use a recommender that was kept; nothing is trained")
    command.add_argument("--evaluate", action="store_true", help="hold back a quarter of each user's ratings, and say how well")
    command.add_argument("--seed", type=arguments.seed, metavar="N", help="default 0")
    arguments.machine(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Train, or load, and recommend or evaluate."""
    from .. import recommendation

    given = (options.evaluate or None, options.save, options.method, options.scale, options.seed)
    if options.model is not None and any(option is not None for option in given):
        raise ValueError("--model takes neither --evaluate, --save, --method, --scale nor --seed")
    if options.evaluate and not (options.output is options.save is None):
        raise ValueError("--evaluate writes nothing, and takes neither --output nor --save")
    if options.scale is not None and not (options.method or "").startswith("autorec"):
        raise ValueError("--scale counts with --method autorec or autorec-user only")
    output = options.output or Path(f"{file_stem(options.ratings)}-recommend.csv")
    arguments.outputs([(None if options.evaluate else output, (".csv",)), (options.save, ())], [options.ratings, options.model])
    settings.configure(options.backend, options.threads)
    recommender = _method(options) if options.model is None else recommendation.load(options.model)
    ratings = recommendation.read_ratings(options.ratings, recommender.item_ids)
    users, items = ratings.matrix.shape
    read = f"{options.ratings}: {ratings.matrix.nnz:,} ratings, {users:,} users, {items:,} items"
    if options.evaluate:
        kept, held_out = recommendation.split(ratings, seed=options.seed or 0)
        if not held_out.matrix.nnz:
            raise ValueError(f"{options.ratings} has no user with three ratings, of whom one could be held back")
        found = recommendation.evaluate(recommender.fit(kept, progress=True), kept, held_out, options.top)
        print(f"{read}\na quarter of each user's ratings held back, {options.top} items recommended")
        print("   ".join(f"{name} {value:.4f}" for name, value in found.items()))
        return
    if options.model is None:
        recommender.fit(ratings, progress=True)
    best = recommender.recommend(ratings, options.top)
    if options.save is not None:
        recommender.save(options.save)
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("user", "item", "score"))
    for user, numbers, scores in zip(ratings.user_ids.tolist(), best.items.tolist(), best.scores.tolist(), strict=True):
        lines.writerows(
            (user, ratings.item_ids[item], f"{score:.6g}") for item, score in zip(numbers, scores, strict=True) if item >= 0
        )
    write_atomically(output, text.getvalue().encode())
    print(read)
    if options.save is not None:
        print(f"wrote {options.save}")
    print(f"wrote {output}: at most {options.top} items for each user, best first")


def _method(options: argparse.Namespace) -> Any:
    """A recommender by its name."""
    from ..recommendation import EASE, AutoRec, Blend, MultDAE, MultVAE

    seed, scale = options.seed or 0, options.scale
    made: dict[str, Callable[[], Any]] = {
        "blend": lambda: Blend([EASE(), MultDAE("item", seed=seed)]),
        "ease": EASE,
        "mult-dae": lambda: MultDAE(seed=seed),
        "mult-vae": lambda: MultVAE(seed=seed),
        "autorec": lambda: AutoRec(scale=scale, seed=seed),
        "autorec-user": lambda: AutoRec("user", scale=scale, seed=seed),
    }
    return made[options.method or "blend"]()
