"""One HTML page that needs nothing but itself: tables of what was done, and all displays of a model."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from ..autoencoder import Autoencoder
from ..files import check_ending
from ..history import History
from ..persistence import write_atomically
from ..settings import processor_name
from . import samples
from .display import Display, matplotlib
from .feature_error import FeatureErrorDisplay
from .latent import LatentDisplay
from .loss import LossDisplay
from .reconstruction import ReconstructionDisplay
from .traversal import TraversalDisplay
from .weights import WeightsDisplay

ENDINGS = (".html", ".htm")


def write_report(
    path: str | os.PathLike[str],
    model: Autoencoder,
    x: Any,
    history: History | None = None,
    *,
    labels: Any = None,
    feature_names: Sequence[str] | None = None,
    image_shape: Any = None,
    condition: Any = None,
    title: str = "Autoencoder",
    tables: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write a page with what a model learnt: ``fastae train --report`` makes one.

    Parameters
    ----------
    path : path
        Ends in .html or .htm; an old file is replaced once the new one is whole.
    model : Autoencoder
    x : array or CSR (samples, n_in)
        Best such as it did not learn from. For a conditional model, what its ``join`` gives.
    history : History, optional
        Of its training.
    labels : array (samples,), optional
        Colours of the codes.
    feature_names : sequence of str, optional
    image_shape : (height, width), (height, width, 3), False or None
        Of a sample; None: a square of 8 x 8 features or more is an image, unless there are names.
    condition : int or array (n_conditions,), optional
        Of a conditional model, which needs one: under which its codes are decoded.
    title : str
    tables : mapping of titles to mappings, optional
        Further tables, of names and values, before that of the model.

    Raises
    ------
    ImportError
        matplotlib is missing.
    TypeError, ValueError
        Of the displays; nothing is written.

    Notes
    -----
    Each picture is there twice, for light screens and for dark ones. While they are drawn, matplotlib's settings are those
    of its own styles, in the whole process; they are put back.
    """
    path = check_ending(path, ENDINGS)
    samples.autoencoder(model)
    if not isinstance(title, str):
        raise TypeError(f"title takes a string, got {type(title).__name__}")
    if tables is not None and not (isinstance(tables, Mapping) and all(isinstance(rows, Mapping) for rows in tables.values())):
        raise TypeError(f"tables takes mappings of names to values by their titles, got {tables!r}")
    matplotlib()
    if image_shape is None and feature_names is not None:
        image_shape = False
    shape: dict[str, Any] = {"image_shape": image_shape}
    names: dict[str, Any] = {"feature_names": feature_names}
    given = {} if condition is None else {"condition": condition}
    draw: dict[str, Callable[[Any], Display]] = {
        "Reconstructions": lambda ax: ReconstructionDisplay.from_model(model, x, **shape, ax=ax),
        "Latent space": lambda ax: LatentDisplay.from_model(model, x, labels, ax=ax),
        "Features of the code": lambda ax: TraversalDisplay.from_model(model, x, **given, **shape, ax=ax),
        "Error of each feature": lambda ax: FeatureErrorDisplay.from_model(model, x, **names, **shape, ax=ax),
        "Weights of the first layer": lambda ax: WeightsDisplay.from_model(model, 0, **shape, ax=ax),
        "Weights of the last layer": lambda ax: WeightsDisplay.from_model(model, -1, **shape, ax=ax),
    }
    if history is not None:
        draw = {"Loss": lambda ax: LossDisplay.from_history(history, ax=ax), **draw}
    pictures = "\n".join(_section(name, figure) for name, make in draw.items() for figure in [_figure(name, make)])
    whole = {**(tables or {}), "Model": dict(_layers(model))}
    page = Template((files(__package__) / "report.html").read_text("utf-8"))
    made = f"{datetime.now().astimezone():%d %B %Y, %H:%M %Z}, by fastae {_version()}, on {processor_name()}"
    filled = page.substitute(
        version=escape(_version()),
        title=escape(title),
        made=escape(made),
        tables="\n".join(_section(name, _table(rows)) for name, rows in whole.items()),
        figures=pictures,
    )
    write_atomically(path, filled.encode())


def _version() -> str:
    from .. import __version__

    return __version__


def _layers(model: Autoencoder) -> Iterator[tuple[str, str]]:
    """What the model is made of."""
    yield "class", type(model).__name__
    for half in ("encoder", "decoder"):
        for number, layer in enumerate(getattr(model, half)):
            yield f"{half} {number}", f"{layer.n_in} to {layer.n_out}, {layer.activation}"
    yield "parameters", f"{model.parameters.size:,} of {model.dtype}"
    yield from ((name, str(value)) for name, value in model.settings().items())


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>"


def _table(rows: Mapping[str, Any]) -> str:
    lines = (f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(str(value))}</td></tr>' for name, value in rows.items())
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _figure(title: str, make: Callable[[Any], Display]) -> str:
    """A display for light and dark screens, with its caption."""
    from matplotlib import style

    with style.context("default"):
        display = make(_axes((4, 3)))  # to see which size suits it
        light, width, height = _png(display)
    with style.context(["default", "dark_background"]):
        dark, *_ = _png(display)
    caption = escape(display.caption)
    return (
        f'<figure>\n<picture>\n<source media="(prefers-color-scheme: dark)" srcset="{dark}">\n'
        f'<img src="{light}" width="{width}" height="{height}" alt="{escape(title)}. {caption}">\n</picture>\n'
        f"<figcaption>{caption}</figcaption>\n</figure>"
    )


def _axes(size: tuple[float, float]) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()


def _png(display: Display, density: int = 2) -> tuple[str, int, int]:
    """A display as a data URI, and the size that a screen shows it in, of which it has ``density`` pixels each way."""
    file = io.BytesIO()
    display.plot(_axes(display.size)).ax_.set_title("")  # which the section's heading says
    display.figure_.savefig(file, format="png", dpi=96 * density, transparent=True, bbox_inches="tight")
    data = file.getvalue()
    width, height = (int.from_bytes(data[start : start + 4]) // density for start in (16, 20))  # of the header, IHDR
    return f"data:image/png;base64,{base64.b64encode(data).decode()}", width, height
