"""Activations of arrays that fit in the second-level cache, from one array into another."""

import numpy as np

from ..row import Bar, Row

TITLE = "an activation of 64 x 1024 numbers"
SHAPE = 64, 1024  # 256 KiB in, 256 KiB out
NAMES = "sigmoid", "tanh", "gelu"


def rows(threads):
    return [
        Row(f"{name}, {n} thread{'s' * (n > 1)}", name, [Bar("torch", 1.0), Bar("numpy", 3.0)], n)
        for name in NAMES
        for n in dict.fromkeys((1, threads))
    ]


def _arrays():
    x = np.random.default_rng(0).uniform(-6, 6, SHAPE).astype(np.float32)
    return x, np.empty_like(x)


def own(name, threads):
    from fastae._kernels.names import ACTIVATIONS
    from fastae.settings import kernels

    (x, y), number, activate = _arrays(), ACTIVATIONS.index(name), kernels().activate

    def call():
        activate(number, x, y, threads)
        return y

    return call


def numpy(name, threads):
    x, y = _arrays()

    def sigmoid():
        np.negative(x, out=y)
        np.exp(y, out=y)
        np.add(y, 1, out=y)
        return np.reciprocal(y, out=y)

    def tanh():
        return np.tanh(x, out=y)

    if name != "gelu":
        return {"sigmoid": sigmoid, "tanh": tanh}[name]
    from scipy.special import erf

    def gelu():
        np.multiply(x, np.float32(0.5**0.5), out=y)
        erf(y, out=y)
        np.add(y, 1, out=y)
        np.multiply(y, x, out=y)
        return np.multiply(y, np.float32(0.5), out=y)

    return gelu


def torch(name, threads):
    import torch

    torch.set_num_threads(threads)
    x, y = map(torch.from_numpy, _arrays())
    # torch.nn.functional.gelu has no out=; this is what it calls, without allocating.
    function = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "gelu": torch.ops.aten.gelu.out}[name]
    return lambda: function(x, out=y)


ENGINES = {"fastae": own, "numpy": numpy, "torch": torch}
