"""Several recommenders as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from .recommender import Recommender, made


class Blend(Recommender):
    """The weighted mean of several recommenders' scores.

    Where all predict ratings, so does the blend. Else the scores of each part are standardised before, to mean 0 and variance 1
    over the items of a user, as they have no common unit.

    Parameters
    ----------
    parts : sequence of Recommender
        Of any kinds; fitted together by ``fit``.
    weights : sequence of float, optional
        At least 0. Default: all equal.
    """

    def __init__(self, parts: Sequence[Recommender], weights: Sequence[float] | None = None) -> None:
        if not isinstance(parts, (list, tuple)) or not parts or not all(isinstance(part, Recommender) for part in parts):
            raise TypeError(f"parts takes a list of at least one recommender, got {parts!r}")
        self.parts = list(parts)
        given = [1.0] * len(parts) if weights is None else list(weights)
        takes = f"{len(parts)} numbers of at least 0, one for each part, and not all 0"
        self.weights = [_check.real_number(weight, "weights", 0, math.inf, takes) for weight in given]
        if len(self.weights) != len(parts) or not any(self.weights):
            raise ValueError(f"weights takes {takes}; got {weights!r}")
        self.predicts_ratings = all(part.predicts_ratings for part in parts)

    setting_names = ("parts", "weights")

    def _scale_of(self, matrix: Any) -> tuple[float, float]:
        limits = [part._scale_of(matrix) for part in self.parts]
        return max(low for low, _ in limits), min(high for _, high in limits)

    def _fit(self, matrix: Any, progress: bool) -> None:
        for part in self.parts:
            part.fit(matrix, progress)

    def _score(self, rows: Any) -> Array:
        total = np.zeros(rows.shape, np.float32)
        for part, weight in zip(self.parts, self.weights, strict=True):
            scores = part._score(rows)
            if not self.predicts_ratings:
                scores -= scores.mean(axis=1, keepdims=True)
                scores /= np.maximum(scores.std(axis=1, keepdims=True), np.finfo(np.float32).tiny)  # of equals, all are 0
            total += scores * np.float32(weight / sum(self.weights))
        return total

    def _contents(self) -> tuple[dict[str, Array], dict[str, Any]]:
        parts = [part._contents() for part in self.parts] if self.n_items else []
        arrays, config = super()._contents()
        for number, (own, _) in enumerate(parts):
            arrays |= {f"{number}.{name}": array for name, array in own.items()}
        config["settings"]["parts"] = [described for _, described in parts]
        return arrays, config

    @classmethod
    def _configured(cls, settings: dict[str, Any], arrays: dict[str, Array]) -> Recommender:
        parts = []
        for number, described in enumerate(settings["parts"]):
            names = [name for name in arrays if name.startswith(f"{number}.")]
            parts.append(made(described, {name.partition(".")[2]: arrays.pop(name) for name in names}))
        return cls(parts, settings["weights"])

    def _arrays(self) -> dict[str, Array]:
        return {}

    def _restore(self, arrays: dict[str, Array]) -> None:
        if sizes := {part.n_items for part in self.parts} - {self.n_items}:
            raise ValueError(f"it is of {self.n_items} items, its parts of {sizes}")
