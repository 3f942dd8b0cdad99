"""The progress bar."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .callback import Callback

if TYPE_CHECKING:
    from ..trainer import Trainer


class ProgressBar(Callback):
    """A bar of samples, samples/s and loss on stderr, if that is a terminal or a notebook: ``fit(..., progress=True)``."""

    within = True

    def __init__(self) -> None:
        self._bar: Any = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Show the bar; even one that tqdm disables would start a thread."""
        if sys.stderr and (sys.stderr.isatty() or "ipykernel" in sys.modules):
            from tqdm import tqdm

            self._bar = tqdm(total=trainer.samples_to_go, unit=" samples", unit_scale=True, leave=True)

    def on_steps(self, trainer: Trainer, rows: int, loss: float) -> None:
        """Move it."""
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.5f}", refresh=False)
            self._bar.update(rows)

    def on_fit_end(self, trainer: Trainer, finished: bool) -> None:
        """Leave it as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
