"""Mult-DAE and Mult-VAE: autoencoders of what users took, with a softmax over items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from .. import _check
from .._check import Array
from ..autoencoder import Autoencoder
from ..layers import generator
from ..models import MultinomialAutoencoder, VariationalAutoencoder
from ..optim import Adam
from ..schedules import Cosine
from ..trainer import Trainer
from .autorec import widths
from .ease import positives
from .recommender import Recommender, expect, restored, state


class _Multinomial(Recommender):
    """What both have in common: rows of counts x, shown as x / ||x|| with dropout, and the softmax's likelihood of x."""

    by = "user"

    def __init__(
        self, hidden: Any, binary: bool, level: float, epochs: int, batch_size: int, lr: float, weight_decay: float, seed: Any
    ) -> None:
        self.hidden, self.seed = widths(hidden, self.by), seed
        self.binary = _check.flag(binary, "binary")
        self.level = _check.real_number(level, "level", 0, 1, "a probability 0 <= level < 1")
        self.epochs = _check.positive_integer(epochs, "epochs")
        self.batch_size = _check.positive_integer(batch_size, "batch_size")
        self.lr, self.weight_decay = lr, weight_decay
        Adam(lr, weight_decay=weight_decay)  # which looks at its arguments

    def _network(self, width: int, seed: Any = 0, steps: int = 0) -> Any:
        raise NotImplementedError

    def _trained(self, x: Any, progress: bool) -> Any:
        """A network that has learnt rows of counts."""
        x = x[np.flatnonzero(np.diff(x.indptr))]
        if x.shape[0] == 0:
            raise ValueError("ratings takes at least one rating above 0, got none")
        rng, size = generator(self.seed), min(self.batch_size, x.shape[0])
        network = self._network(x.shape[1], rng, self.epochs * -(-x.shape[0] // size))
        optimizer = Adam(self.lr, weight_decay=self.weight_decay)
        trainer = Trainer(network, optimizer, batch_size=size, seed=rng, schedule=Cosine())
        trainer.fit(_normalised(x), x, epochs=self.epochs, progress=progress)
        return network

    def _fit(self, matrix: Any, progress: bool) -> None:
        self._net: Autoencoder = self._trained(positives(matrix, self.binary), progress)

    def _score(self, rows: Any) -> Array:
        logits: Array = self._net.reconstruct(_normalised(positives(rows, self.binary)), logits=True)  # type: ignore[call-arg]
        largest = logits.max(axis=1, keepdims=True)
        logits -= largest + np.log(np.sum(np.exp(logits - largest), axis=1, keepdims=True))
        return logits

    def _arrays(self) -> dict[str, Array]:
        return state(self._net)

    def _restore(self, arrays: dict[str, Array]) -> None:
        self._net = restored(self._network, self.n_items, arrays)


class MultDAE(_Multinomial):
    """Mult-DAE of users, or of items.

    A user's row x of counts, or of 0 and 1, is shown as x / ||x|| with dropout; the loss is minus the sum of x_i log p_i, p the
    softmax of the outputs over items; scores are log p (Liang, Krishnan, Hoffman, Jebara, "Variational autoencoders for
    collaborative filtering", WWW 2018).

    With ``by="item"``, the same network learns the rows of items, over users. Its codes h_i stay and its decoder goes: a user u
    takes item i at the rate n_u d_i exp(w_u h_i), n_u the sum of the row, d_i the item's part of all counts (+ 1),
    w_u a priori normal with variance 1 / l2. One step of Newton's from w_u = 0 gives

        w_u = (n_u H^T D H + l2 I)^-1 H^T (x_u - n_u d),    scores log d_i + w_u h_i

    for whoever's row is given. It errs unlike EASE, more than networks of users do: the better part of a :class:`Blend`.

    Parameters
    ----------
    by : {"user", "item"}
        Whose row is a sample. The network's weights grow with the number of items, or of users.
    hidden : int or sequence of int
        Widths from the input to the code; one of them with ``by="item"``.
    binary : bool
        Whatever is rated above 0 counts as 1.
    level : float
        Probability of dropout.
    l2 : float
        Above 0. Only with ``by="item"``.
    epochs, batch_size, lr, weight_decay : int, int, float, float
        Of Adam, whose rate ends at 0 along half a cosine.
    seed : int, numpy.random.Generator or None
    """

    setting_names = ("by", "hidden", "binary", "level", "l2", "epochs", "batch_size", "lr", "weight_decay", "seed")

    def __init__(
        self,
        by: str = "user",
        hidden: int | Sequence[int] = 200,
        *,
        binary: bool = True,
        level: float = 0.7,
        l2: float = 20.0,
        epochs: int = 60,
        batch_size: int = 100,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        seed: Any = None,
    ) -> None:
        self.by = _check.choice(by, "by", ("user", "item"))
        self.l2 = _check.real_number(l2, "l2", np.finfo(float).tiny, math.inf, "a finite number above 0")
        super().__init__(hidden, binary, level, epochs, batch_size, lr, weight_decay, seed)

    def _network(self, width: int, seed: Any = 0, steps: int = 0) -> MultinomialAutoencoder:
        return MultinomialAutoencoder([width, *self.hidden], level=self.level, seed=seed)

    def _fit(self, matrix: Any, progress: bool) -> None:
        if self.by == "user":
            super()._fit(matrix, progress)
            return
        items = positives(matrix, self.binary).T.tocsr()
        self._codes = self._trained(items, progress).encode(_normalised(items))
        counts = np.asarray(items.sum(axis=1), np.float64) + 1
        self._shares = counts / counts.sum()
        self._decompose()

    def _decompose(self) -> None:
        """H^T D H in its own axes, in which all users' equations are diagonal."""
        h = self._codes.astype(np.float64)
        self._values, axes = np.linalg.eigh((h * self._shares[:, None]).T @ h)
        self._turned = h @ axes

    def _score(self, rows: Any) -> Array:
        if self.by == "user":
            return super()._score(rows)
        x = positives(rows, self.binary)
        n = np.asarray(x.sum(axis=1), np.float64)[:, None]
        slope = x @ self._turned - n * (self._shares @ self._turned)
        scores = (slope / (n * self._values + self.l2)) @ self._turned.T
        return np.asarray(scores + np.log(self._shares), np.float32)

    def _arrays(self) -> dict[str, Array]:
        return super()._arrays() if self.by == "user" else {"codes": self._codes, "shares": self._shares}

    def _restore(self, arrays: dict[str, Array]) -> None:
        if self.by == "user":
            super()._restore(arrays)
            return
        self._codes, self._shares = expect(arrays, codes=(self.n_items, *self.hidden), shares=(self.n_items,))
        self._decompose()


class MultVAE(_Multinomial):
    """Mult-VAE: :class:`MultDAE` of users with a code that is drawn, and beta times its divergence in the loss.

    Liang, Krishnan, Hoffman, Jebara, "Variational autoencoders for collaborative filtering", WWW 2018, equation 8; beta grows
    from 0 over the first half of the steps. Scores are log p at the code's mean.

    Parameters
    ----------
    hidden : int or sequence of int
        Widths from the input to the code.
    beta : float
    binary, level, epochs, batch_size, lr, weight_decay, seed
        As of :class:`MultDAE`.
    """

    setting_names = ("hidden", "beta", "binary", "level", "epochs", "batch_size", "lr", "weight_decay", "seed")

    def __init__(
        self,
        hidden: int | Sequence[int] = 200,
        *,
        beta: float = 0.5,
        binary: bool = True,
        level: float = 0.5,
        epochs: int = 60,
        batch_size: int = 100,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        seed: Any = None,
    ) -> None:
        self.beta = _check.real_number(beta, "beta", 0, math.inf, "a finite number >= 0")
        super().__init__(hidden, binary, level, epochs, batch_size, lr, weight_decay, seed)

    def _network(self, width: int, seed: Any = 0, steps: int = 0) -> VariationalAutoencoder:
        return VariationalAutoencoder(
            [width, *self.hidden],
            decoder="multinomial",
            activation="tanh",
            beta=self.beta,
            anneal_steps=steps // 2,
            input_dropout=self.level,
            seed=seed,
        )


def _normalised(x: Any) -> Any:
    """Rows by their Euclidean norms."""
    counts = np.diff(x.indptr)
    norms = np.ones(x.shape[0], np.float32)
    some = counts > 0
    if some.any():
        norms[some] = np.sqrt(np.add.reduceat(x.data * x.data, x.indptr[:-1][some]))
    return sparse.csr_array((x.data / np.repeat(norms, counts), x.indices, x.indptr), x.shape)
