"""Matrix products x W^T, in place."""

import numpy as np

from ..row import Bar, Row

TITLE = "a product x W^T"
NOT_COUNTED = ("torch",)  # shown beside; the bars are ratios to NumPy
# M, N, K, least ratio to NumPy, least share of the FMA peak.
TABLE = [
    (1, 1000, 784, 0.97, None),
    (32, 128, 784, 1.3, None),
    (64, 64, 64, 1.3, None),
    (256, 32, 256, 1.3, None),
    (256, 256, 784, 0.97, None),
    (256, 784, 256, 0.97, None),
    (1024, 1000, 784, 0.97, None),
    (2048, 2048, 2048, 0.97, 0.90),
    (4096, 4096, 4096, 0.97, None),
]


def rows(threads):
    return [
        Row(f"{m} x {n} x {k}", (m, n, k), [Bar("numpy", ratio), Bar("peak", share)], threads, 2.0 * m * n * k)
        for m, n, k, ratio, share in TABLE
    ]


def _operands(case):
    """x (M, K), W (N, K), room for the product (M, N)."""
    m, n, k = case
    rng = np.random.default_rng(0)
    return rng.random((m, k), np.float32), rng.random((n, k), np.float32), np.empty((m, n), np.float32)


def own(case, threads):
    import fastae

    x, w, c = _operands(case)
    return lambda: fastae.ops.matmul(x, w, transpose_b=True, out=c, n_threads=threads)


def numpy(case, threads):
    x, w, c = _operands(case)
    return lambda: np.matmul(x, w.T, out=c)


def torch(case, threads):
    import torch

    torch.set_num_threads(threads)
    x, w = map(torch.from_numpy, _operands(case)[:2])

    def call():
        with torch.inference_mode():
            return torch.nn.functional.linear(x, w)

    return call


ENGINES = {"fastae": own, "numpy": numpy, "torch": torch}
