"""MNIST: digits of a conditional variational autoencoder, as a classifier sees them; the likelihood of one without conditions.

The classifier, 784-400-10 of ReLU with dropout, in PyTorch, learns from the 60,000 real training images; what it reaches on the
10,000 real test images stands beside. It is shown 10,000 generated images, 1,000 of each label. The bar is 97 % of them
recognised. beta, 3 of 1 and 3, and the codes, 10 of 4 and 10, were chosen on the first half of the training images, by a
classifier of the other half. Beside it, digits of a Gaussian mixture of ten components for each label, on 32 principal
components of its images.

The likelihood is that of the binarised test images, by 500 importance samples; the bar is what Davidson et al.,
"Hyperspherical variational auto-encoders", UAI 2018, table 1, report of the same layers, 784-256-128-20, by as many. The
protocols vae20 and vae of bench.learn train longer. Samples by a mixture of a plain autoencoder's codes have neither label nor
likelihood.
"""

import time

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

import fastae
from bench.learn.vae20 import SETTINGS, run
from fastae.generation import Generator

from .bars import Bar

EPOCHS, LIKELIHOOD_EPOCHS, N_CODES, BETA = 20, 80, 10, 3.0


def classifier(x, labels, seed):
    """A function from images, floats from 0 to 1, to labels."""
    torch.manual_seed(seed)
    torch.set_num_threads(fastae.get_num_threads())
    parts = torch.nn.Linear(784, 400), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(400, 10)
    network = torch.nn.Sequential(*parts)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    images, targets = torch.from_numpy(x / np.float32(255)), torch.from_numpy(labels.astype(np.int64))
    for _ in range(8):
        for batch in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images[batch]), targets[batch]).backward()
            optimizer.step()
    network.eval()
    return lambda x: network(torch.from_numpy(x.astype(np.float32))).argmax(dim=1).numpy()


def mixtures(x, labels, n, seed):
    """n images of each label, by a mixture of principal components."""
    pca = PCA(32, random_state=seed).fit(x[:10000] / 255)
    codes = [pca.transform(x[labels == label] / 255) for label in range(10)]
    drawn = [GaussianMixture(10, random_state=seed).fit(part).sample(n)[0] for part in codes]
    return np.clip(pca.inverse_transform(np.concatenate(drawn)), 0, 1)


def bars(seed):
    (x, labels), (test, test_labels) = fastae.datasets.load_mnist("train"), fastae.datasets.load_mnist("test")
    told = classifier(x, labels, seed)
    wanted = np.repeat(np.arange(10), 1000)
    start = time.perf_counter()
    generator = Generator.learn(x, N_CODES, labels, beta=BETA, epochs=EPOCHS, seed=seed)
    seconds = time.perf_counter() - start
    recognised = 100 * np.mean(told(generator.sample(len(wanted), wanted, seed=seed)) == wanted)
    others = {
        "mixtures of principal components": 100 * np.mean(told(mixtures(x, labels, 1000, seed)) == wanted),
        "real test images": 100 * np.mean(told(test / 255) == test_labels),
        "training, s": seconds,
    }
    yield Bar("MNIST, generated digits that are recognised, %", recognised, 97.0, others, digits=2)
    settings = SETTINGS | {"epochs": LIKELIHOOD_EPOCHS, "importance_samples": 500}
    nats, seconds, _ = run(seed, **settings)
    yield Bar("MNIST binarised, -log likelihood, nats", nats, 88.9, {"training, s": seconds}, low=True, digits=2)
