# The kernels of one instruction set: kernels.pxi, which the module of each includes. tests/typed.py holds them to contract.py.

from collections.abc import Callable, Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from ..contract import Array, Layers, Rule
from ..recipe import Recipe

BLOCKS: Final[tuple[int, int, int]]

def matmul(a: Array, b: Array, c: Array, alpha: float, beta: float, n_threads: int) -> None: ...
def linear(
    x: Array, weight: Array, bias: Array | None, activation: int, y: Array, keep: Array | None, n_threads: int
) -> None: ...
def linear_grad_input(dz: Array, weight: Array, activation: int, kept: Array | None, dx: Array, n_threads: int) -> None: ...
def linear_grad_weight(dz: Array, x: Array, dweight: Array, dbias: Array | None, n_threads: int) -> None: ...
def activate(activation: int, z: Array, y: Array, n_threads: int) -> None: ...
def differentiate(activation: int, kept: Array | None, dy: Array, dz: Array, n_threads: int) -> None: ...
def loss(loss: int, y: Array, target: Array, dy: Array | None, n_threads: int) -> float: ...
def sample_losses(loss: int, y: Array, target: Array, out: Array, n_threads: int) -> None: ...
def update(
    weight: Array,
    dweight: Array,
    velocity: Array | None,
    square: Array | None,
    optimizer: Rule,
    step: int,
    n_threads: int,
) -> bool: ...
def shuffled(key: int, epoch: int, n: int, first: int, rows: NDArray[np.int64]) -> None: ...
def define(kind: str, number: int, dtype: np.dtype[Any], functions: Sequence[int]) -> None: ...
def info() -> str: ...
def peak(n_threads: int) -> float: ...

@disjoint_base
class Plan:
    n_threads: int
    done: int
    watch: Callable[[int, float], object] | None
    @property
    def batch_size(self) -> int: ...
    @property
    def penalty(self) -> float: ...
    @property
    def total(self) -> float: ...
    def __new__(
        cls,
        layers: Layers,
        weights: Array,
        velocity: Array | None,
        batch_size: int,
        loss: int,
        n_threads: int,
        square: Array | None = None,
        recipe: Recipe | None = None,
    ) -> Self: ...
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

@disjoint_base
class Inference:
    def __new__(cls, layers: Layers, weights: Array) -> Self: ...
    def run(self, x: Any, out: Array, n_threads: int) -> bool: ...
