"""What is measured, and the bars: networks by their encoder's widths, batch sizes, and weights that all peers start from."""

from itertools import pairwise

import numpy as np

LR = 0.01
# Encoder widths, batch, least ratio to the best peer, least share of the FMA peak (or None).
TRAINING = [
    ([8, 3], 1, 8.0, None),
    ([8, 3], 32, 8.0, None),
    ([30, 16, 8], 64, 5.0, None),
    ([64, 32, 8], 32, 3.0, None),
    ([784, 32], 64, 2.5, None),
    ([784, 256, 64], 128, 1.7, 0.75),
    ([784, 256, 64], 1024, 1.35, 0.80),
    ([784, 1000, 500, 250, 30], 128, 1.4, 0.80),
    ([784, 1000, 500, 250, 30], 1024, 1.2, 0.85),
]


def full(sizes):
    """Widths of the whole network."""
    return [*sizes, *sizes[-2::-1]]


def name(sizes):
    return "-".join(map(str, full(sizes)))


def operations(sizes, batch):
    """Floating-point operations of a step: three products for each layer, but no input gradient for the first."""
    products = [a * b for a, b in pairwise(full(sizes))]
    return 2.0 * batch * (3 * sum(products) - products[0])


def steps_of(sizes, batch):
    """Steps of one timed call: some milliseconds of work, an epoch of in-memory data."""
    return int(np.clip(2e9 / operations(sizes, batch), 8, 2000))


def weights(sizes):
    """(W, b) of each layer: float32, W (out, in), the same for every peer."""
    rng = np.random.default_rng(0)
    pairs = []
    for n_in, n_out in pairwise(full(sizes)):
        bound = np.sqrt(6 / (n_in + n_out))
        pairs.append((rng.uniform(-bound, bound, (n_out, n_in)).astype(np.float32), np.zeros(n_out, np.float32)))
    return pairs


def data(sizes, batch):
    """Samples of one timed call."""
    return np.random.default_rng(1).random((batch * steps_of(sizes, batch), sizes[0]), np.float32)
