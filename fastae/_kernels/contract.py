"""The types of README.md's contract: what every backend's module has. mypy holds callers and compiled modules to it."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .recipe import Recipe

Array = NDArray[Any]
Layers = Sequence[tuple[int, int, int, bool]]  # n_in, n_out, activation, has_bias
Rule = tuple[int, float, float, bool, float, float, float]  # kind, lr, momentum, nesterov, weight_decay, beta, eps


class Plan(Protocol):
    """Training of one network."""

    n_threads: int
    done: int

    @property
    def batch_size(self) -> int: ...
    @property
    def penalty(self) -> float: ...
    @property
    def total(self) -> float: ...

    def run(
        self,
        x: Any,
        target: Any,
        order: Array | None,
        first: int,
        last: int,
        optimizer: Rule,
        gradients: Array | None = None,
        total: float = 0.0,
        step: int = 0,
        schedule: Array | None = None,
        sample_weight: Array | None = None,
    ) -> tuple[int, float]: ...


class MakesPlan(Protocol):
    """A class of plans."""

    def __call__(
        self,
        layers: Layers,
        weights: Array,
        velocity: Array | None,
        batch_size: int,
        loss: int,
        n_threads: int,
        square: Array | None = None,
        recipe: Recipe | None = None,
    ) -> Plan: ...


class Inference(Protocol):
    """Forward passes of one network."""

    def run(self, x: Any, out: Array, n_threads: int) -> bool: ...


class MakesInference(Protocol):
    """A class of inferences."""

    def __call__(self, layers: Layers, weights: Array) -> Inference: ...


class Kernels(Protocol):
    """A backend's module, or one instruction set's."""

    @property
    def __name__(self) -> str: ...
    @property
    def Plan(self) -> MakesPlan: ...
    @property
    def Inference(self) -> MakesInference: ...

    def matmul(self, a: Array, b: Array, c: Array, alpha: float, beta: float, n_threads: int) -> None: ...
    def linear(
        self, x: Array, weight: Array, bias: Array | None, activation: int, y: Array, keep: Array | None, n_threads: int
    ) -> None: ...
    def linear_grad_input(
        self, dz: Array, weight: Array, activation: int, kept: Array | None, dx: Array, n_threads: int
    ) -> None: ...
    def linear_grad_weight(self, dz: Array, x: Array, dweight: Array, dbias: Array | None, n_threads: int) -> None: ...
    def activate(self, activation: int, z: Array, y: Array, n_threads: int) -> None: ...
    def differentiate(self, activation: int, kept: Array | None, dy: Array, dz: Array, n_threads: int) -> None: ...
    def loss(self, loss: int, y: Array, target: Array, dy: Array | None, n_threads: int) -> float: ...
    def sample_losses(self, loss: int, y: Array, target: Array, out: Array, n_threads: int) -> None: ...
    def update(
        self,
        weight: Array,
        dweight: Array,
        velocity: Array | None,
        square: Array | None,
        optimizer: Rule,
        step: int,
        n_threads: int,
    ) -> bool: ...
    def shuffled(self, key: int, epoch: int, n: int, first: int, rows: NDArray[np.int64]) -> None: ...
    def define(self, kind: str, number: int, dtype: np.dtype[Any], functions: Sequence[int]) -> None: ...
    def info(self) -> str: ...
