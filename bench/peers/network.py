"""A network that is trained: its shape, the data and weights that all engines start from, and its arithmetic."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Network:
    """An autoencoder by its encoder's widths, its batch size, and the rows of a last, smaller batch (0: there is none)."""

    sizes: tuple
    batch: int
    rest: int = 0

    @property
    def widths(self):
        """Widths of the whole network."""
        return [*self.sizes, *self.sizes[-2::-1]]

    @property
    def name(self):
        last = f", the last {self.rest}" if self.rest else ""
        return f"{'-'.join(map(str, self.widths))}, batch {self.batch}{last}"

    @property
    def operations_per_sample(self):
        """Floating-point operations of training: three products a layer, but no input gradient for the first."""
        products = [a * b for a, b in pairwise(self.widths)]
        return 2.0 * (3 * sum(products) - products[0])

    @property
    def full_steps(self):
        """Full batches of one timed epoch: some milliseconds of work."""
        return int(np.clip(2e9 / (self.batch * self.operations_per_sample), 8, 2000))

    @property
    def steps(self):
        return self.full_steps + (self.rest > 0)

    @property
    def samples(self):
        """Of one timed epoch."""
        return self.batch * self.full_steps + self.rest

    @property
    def operations(self):
        """Of a step, the mean over an epoch."""
        return self.operations_per_sample * self.samples / self.steps

    @property
    def lr(self):
        # The error is a mean over features, which shrinks its slope; so the rate grows with them. An epoch at this rate changes
        # the loss of each network here by far more than results may differ: to compare losses is to compare the training.
        return 0.02 * self.sizes[0]

    def data(self):
        return np.random.default_rng(1).random((self.samples, self.sizes[0]), np.float32)

    def batches(self, x):
        return [x[start : start + self.batch] for start in range(0, len(x), self.batch)]

    def mean(self, losses):
        """Mean over samples of the batches' losses."""
        rows = [self.batch] * self.full_steps + [self.rest] * (self.rest > 0)
        return float(np.average(losses, weights=rows))

    def weights(self):
        """(W, b) of each layer: float32, W (out, in)."""
        rng = np.random.default_rng(0)
        pairs = []
        for n_in, n_out in pairwise(self.widths):
            bound = np.sqrt(6 / (n_in + n_out))
            pairs.append((rng.uniform(-bound, bound, (n_out, n_in)).astype(np.float32), np.zeros(n_out, np.float32)))
        return pairs
