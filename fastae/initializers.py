"""Initial weights: distributions whose variance keeps signals, or gradients, of one size from layer to layer."""

from __future__ import annotations

import math

import numpy as np

from ._check import Array

# Variance = gain / fan, with the fan of (n_in, n_out).
_SCALES = {
    "glorot": lambda n_in, n_out: 2 / (n_in + n_out),  # Glorot and Bengio, AISTATS 2010
    "he": lambda n_in, n_out: 2 / n_in,  # He et al., ICCV 2015
    "lecun": lambda n_in, n_out: 1 / n_in,  # LeCun et al., "Efficient BackProp", 1998
}
INITIALIZERS = (*(f"{scale}_{kind}" for scale in _SCALES for kind in ("uniform", "normal")), "orthogonal")
_RECTIFIERS = ("relu", "leaky_relu", "elu", "softplus", "gelu", "silu")  # which let half of a signal through


def default(activation: str) -> str:
    """The initializer of a layer with an activation."""
    return "he_uniform" if activation in _RECTIFIERS else "glorot_uniform"


def check(name: str | None) -> str | None:
    """A known name, or None."""
    if name is not None and (not isinstance(name, str) or name not in INITIALIZERS):
        raise ValueError(f"init takes one of {', '.join(INITIALIZERS)}, or None; got {name!r}")
    return name


def weights(name: str, n_out: int, n_in: int, generator: np.random.Generator) -> Array:
    """Weights (n_out, n_in) of float64.

    ``uniform`` lies within +-sqrt(3 variance). ``orthogonal`` has orthonormal rows, or columns where these are fewer: Q of a QR
    decomposition of normal numbers, its signs those that make R's diagonal positive (Saxe et al., ICLR 2014; Mezzadri, "How to
    generate random matrices from the classical compact groups", 2007).
    """
    if name == "orthogonal":
        tall = generator.normal(size=(max(n_out, n_in), min(n_out, n_in)))
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diag(r) < 0, -1, 1)
        return q if n_out >= n_in else q.T
    scale, kind = name.split("_")
    variance = _SCALES[scale](n_in, n_out)
    if kind == "normal":
        return generator.normal(0, math.sqrt(variance), (n_out, n_in))
    bound = math.sqrt(3 * variance)
    return generator.uniform(-bound, bound, (n_out, n_in))
