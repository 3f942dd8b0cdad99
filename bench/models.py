"""What the models' additions to a training step cost: ``python -m bench.models``; each beside a plain autoencoder."""

import argparse
import time

import numpy as np

import fastae

SIZES, BATCH, SAMPLES = [784, 256, 64], 128, 12800
MODELS = {
    "Autoencoder": fastae.Autoencoder,
    "tied": lambda *a, **k: fastae.Autoencoder(*a, tied=True, **k),
    "dropout": lambda *a, **k: fastae.Autoencoder(*a, dropout=0.2, **k),
    "Denoising, gaussian": fastae.DenoisingAutoencoder,
    "Denoising, masking": lambda *a, **k: fastae.DenoisingAutoencoder(*a, noise="masking", **k),
    "Sparse, kl": fastae.SparseAutoencoder,
    "KSparse": lambda *a, **k: fastae.KSparseAutoencoder(*a, k=8, **k),
    "Contractive": lambda *a, **k: fastae.ContractiveAutoencoder(*a, tied=False, **k),
    "Variational": fastae.VariationalAutoencoder,
    "Variational, binarize": lambda *a, **k: fastae.VariationalAutoencoder(*a, binarize=True, **k),
    "Masked": fastae.MaskedAutoencoder,
    "Multinomial": fastae.MultinomialAutoencoder,
}


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.models", description=__doc__)
    parser.add_argument("--turns", type=int, default=5, help="each model's epochs, taking turns")
    turns = parser.parse_args().turns
    x = np.random.default_rng(0).random((SAMPLES, SIZES[0]), "float32")
    trainers = {
        name: fastae.Trainer(make(SIZES, seed=0), fastae.SGD(0.001), batch_size=BATCH, seed=0, n_threads=1)
        for name, make in MODELS.items()
    }
    seconds = {name: [] for name in MODELS}
    for turn in range(turns + 1):
        for name, trainer in trainers.items():
            start = time.process_time()  # of one thread: others' work on the machine counts little
            trainer.fit(x, epochs=1)
            if turn:
                seconds[name].append(time.process_time() - start)
    print(f"float32, {'-'.join(map(str, SIZES))} and back, batch {BATCH}, SGD, 1 thread")
    for name, times in seconds.items():
        step, ratio = np.median(times) * BATCH / SAMPLES, np.median(np.divide(times, seconds["Autoencoder"]))
        print(f"{name:<22} {1e6 * step:8.0f} us a step   {ratio:.2f}")


if __name__ == "__main__":
    main()
