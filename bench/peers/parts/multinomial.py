"""A training step of Mult-VAE (Liang et al., WWW 2018) on 20,000 items of which a sample has 0.1 %: items-600-200-600-items,
tanh, a Gaussian code, half of the input dropped, the multinomial likelihood, Adam. fastae reads CSR; PyTorch gets each batch
as a matrix, made inside the time, as its users do."""

from dataclasses import dataclass

import numpy as np

from ..row import OWN, Bar, Row

TITLE = "a training step of Mult-VAE on CSR of 0.1 % density, against PyTorch's dense step"
STEPS, KL_WEIGHT, LR = 30, 0.2, 1e-3


@dataclass(frozen=True)
class Case:
    items: int
    batch: int

    def counts(self):
        """Samples of some steps: CSR of ones."""
        from scipy import sparse

        rng = np.random.default_rng(0)
        n, each = self.batch * STEPS, self.items // 1000
        columns = np.concatenate([np.sort(rng.choice(self.items, each, replace=False)) for _ in range(n)])
        return sparse.csr_matrix((np.ones(n * each, np.float32), columns, np.arange(0, n * each + 1, each)), (n, self.items))


def own(case, threads):
    import fastae

    x = case.counts()
    normalised = x / np.float32(np.sqrt(x.getnnz(axis=1)[0]))
    model = fastae.VariationalAutoencoder(
        [case.items, 600, 200], decoder="multinomial", activation="tanh", beta=KL_WEIGHT, input_dropout=0.5, seed=0
    )
    trainer = fastae.Trainer(model, fastae.Adam(LR), batch_size=case.batch, n_threads=threads, seed=0)

    def epoch():  # the noise is of each engine's own: not compared
        assert np.isfinite(trainer.fit(normalised, target=x, epochs=1).loss[0])

    return epoch


def torch_dense(case, threads):
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    counts = case.counts()
    encoder = torch.nn.Sequential(torch.nn.Linear(case.items, 600), torch.nn.Tanh(), torch.nn.Linear(600, 400))
    decoder = torch.nn.Sequential(torch.nn.Linear(200, 600), torch.nn.Tanh(), torch.nn.Linear(600, case.items))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], LR, fused=True)

    def step(x):
        mean, log_variance = encoder(functional.dropout(functional.normalize(x), 0.5)).chunk(2, dim=1)
        output = decoder(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))
        likelihood = -(functional.log_softmax(output, dim=1) * x).sum(1).mean()
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
        optimizer.zero_grad()
        (likelihood + KL_WEIGHT * divergence).backward()
        optimizer.step()

    def epoch():
        for start in range(0, counts.shape[0], case.batch):
            step(torch.from_numpy(counts[start : start + case.batch].toarray()))

    return epoch


ENGINES = {OWN: own, "torch": torch_dense}


def rows(threads):
    cases = [Case(20000, batch) for batch in (100, 500)]
    return [Row(f"{c.items:,} items, batch {c.batch}", c, [Bar("torch", 3.0)], threads, steps=STEPS) for c in cases]
