"""An activation of one's own beside the built-in one of the same formula, in hidden layers and the code."""

import math
from dataclasses import dataclass

from ..network import Network
from ..row import OWN, Bar, Row
from .training import own

TITLE = "a training step with an activation of one's own, against fastae's built-in one of the same formula"
FORMULAS = {
    "relu": lambda x: max(x, 0.0),
    "tanh": lambda x: math.tanh(x),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "elu": lambda x: x if x > 0 else math.expm1(x),
}


@dataclass(frozen=True)
class Case:
    network: Network
    backend: str
    name: str


def of_ones_own(case, threads):
    import fastae

    activation = fastae.activation(FORMULAS[case.name], name=f"own {case.name}")
    return own(case.network, threads, backend=case.backend, activation=activation)


def built_in(case, threads):
    return own(case.network, threads, backend=case.backend, activation=case.name)


ENGINES = {OWN: of_ones_own, "built-in": built_in}


def rows(threads):
    network = Network((784, 256, 64), 128)
    cases = [Case(network, backend, name) for backend in ("cython", "numba") for name in FORMULAS]
    return [
        Row(f"{c.name} in {c.backend}", c, [Bar("built-in", 0.7)], threads, network.operations, network.steps) for c in cases
    ]
