"""What all displays have: axes to draw on, a size, a caption."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self


def matplotlib() -> Any:
    """The package, or an error that says how to have it."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError("plots need matplotlib, which is not installed: pip install 'fastae[plot]'") from error
    return matplotlib


class Display(ABC):
    """Numbers that can be drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure or SubFigure
        Of the last ``plot``.
    """

    ax_: Any
    figure_: Any

    @property
    @abstractmethod
    def caption(self) -> str:
        """What there is to see, in a sentence or two, with its numbers."""

    @property
    def size(self) -> tuple[float, float]:
        """Inches, width and height, that suit a figure of its own."""
        return 6.4, 4.4

    @abstractmethod
    def plot(self, ax: Any = None) -> Self:
        """Draw, on axes of one's own or on those of a new figure of pyplot."""

    def _begin(self, ax: Any) -> Any:
        """The axes to draw on: those given, or those of a new figure of pyplot."""
        matplotlib()
        if ax is None:
            from matplotlib import pyplot

            _, ax = pyplot.subplots(figsize=self.size, layout="constrained")
        elif not (hasattr(ax, "imshow") and hasattr(ax, "figure")):
            raise TypeError(f"ax takes one Axes of matplotlib, got {type(ax).__name__}")
        self.ax_, self.figure_ = ax, ax.figure
        return ax


def counted(n: int, what: str) -> str:
    """A number of things."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def short(name: str) -> str:
    """A name for an axis: of a long one, its beginning and its end."""
    return name if len(name) <= 40 else f"{name[:27]}…{name[-12:]}"


def legend(ax: Any, **settings: Any) -> None:
    """Beside the axes, where the figure's layout makes room for it, else in a corner."""
    if ax.figure.get_layout_engine() is not None:
        settings = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "frameon": False, **settings}
    for text in ax.legend(**{"loc": "upper right", "fontsize": "small", **settings}).get_texts():
        text.set_parse_math(False)  # dollars are of the name
