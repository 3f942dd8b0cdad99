"""MNIST from the folder FASTAE_DATA, as the protocols take it."""

import os
from pathlib import Path

import numpy as np

import fastae


def mnist():
    """(training images, labels, test images, labels): images (n, 784) of uint8."""
    folder = os.environ.get("FASTAE_DATA")
    if not folder:
        raise SystemExit("FASTAE_DATA must name the folder that has mnist/train-images-idx3-ubyte and its three companions")
    arrays = []
    for part in ("train", "t10k"):
        images, labels = (find(Path(folder) / "mnist", f"{part}-{kind}") for kind in ("images", "labels"))
        arrays += [np.ascontiguousarray(images.reshape(len(images), -1)), labels]
    return arrays


def begin_as_images(model, x, norm, seed):
    """Make each unit of a tied model's code a training image, less the mean image, of a norm; drawn by the seed."""
    rng, mean = np.random.default_rng(seed), x.mean(axis=0) / 255
    images = x[rng.choice(len(x), model.n_latent, replace=False)] / 255 - mean
    images *= norm / np.linalg.norm(images, axis=1, keepdims=True)
    model.load_state_dict(
        {
            **model.state_dict(),
            "encoder.0.weight": images,
            "encoder.0.bias": -images @ mean,
            "decoder.0.weight": images.T,
        }
    )


def find(folder, start):
    """The IDX file whose name begins so, compressed or not."""
    paths = [path for path in sorted(folder.iterdir()) if path.name.startswith(start)]
    if not paths:
        raise SystemExit(f"{folder} has no file {start}*")
    return fastae.datasets.load_idx(paths[0])
