"""What transformers over a model of fastae have in common: a Trainer that learns, codes and back."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from math import inf
from typing import Any, Self

from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from .. import _check, data
from .._check import Array
from ..autoencoder import Autoencoder
from ..optim import SGD, Adam, AdamW, Optimizer, RMSprop
from ..trainer import Trainer
from .arguments import dtypes, seeded, shown, table, unmasked, widths
from .progress import Watched, told

_OPTIMIZERS = {kind.kind: kind for kind in (Adam, AdamW, RMSprop, SGD)}


class Network(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Watched, BaseEstimator):
    """A model of fastae and the Trainer that goes on with it; what it learns from may be sparse."""

    n_components: int
    hidden_layer_sizes: int | Sequence[int]
    activation: str
    optimizer: str | Optimizer
    learning_rate: float
    batch_size: int
    max_iter: int
    random_state: Any
    n_threads: int | None
    verbose: bool | int
    model_: Any

    def _network(self, sizes: list[int], **others: Any) -> Autoencoder:
        """A model with weights not trained yet; dtype and seed are among the others."""
        raise NotImplementedError

    def _loss(self) -> str | None:
        """Of the trainer; None: the model's."""
        return None

    def _optimizer(self) -> Optimizer:
        if isinstance(self.optimizer, Optimizer):
            return self.optimizer
        rate = _check.real_number(self.learning_rate, "learning_rate", 0, inf, "a finite number >= 0")
        return _OPTIMIZERS[_check.choice(self.optimizer, "optimizer", tuple(_OPTIMIZERS))](rate)

    def _trainer_of(self, X: Any) -> Trainer:
        """A new one, of a model for such rows."""
        rng = seeded(self.random_state)
        code = _check.positive_integer(self.n_components, "n_components")
        sizes = [X.shape[1], *widths(self.hidden_layer_sizes), code]
        model = self._network(sizes, activation=self.activation, dtype=X.dtype, seed=rng)
        return Trainer(model, self._optimizer(), self._loss(), self.batch_size, rng, self.n_threads)

    def _fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        X = table(self, X, accept_sparse="csr")
        epochs = _check.positive_integer(self.max_iter, "max_iter")
        trainer = self._trainer_of(X)
        trainer.batch_size = min(trainer.batch_size, X.shape[0])
        if sample_weight is not None:
            sample_weight = weights(sample_weight, X)
            sample_weight = sample_weight / sample_weight.mean()  # so that a step is as long as without
        with told(self, X, y, epochs, lambda trainer: {"model_": copy.deepcopy(trainer.model)}) as callbacks:
            history = trainer.fit(
                X, epochs=epochs, callbacks=callbacks, sample_weight=sample_weight, progress=shown(self.verbose)
            )
            self._trainer, self.model_ = trainer, trainer.model
            self.loss_curve_, self.n_iter_ = list(history.loss), len(history.loss)
        return self

    def _partial_fit(self, X: Any, sample_weight: Any = None) -> Self:
        begun = hasattr(self, "_trainer")
        X = table(self, X, accept_sparse="csr", reset=not begun)
        if sample_weight is not None:
            sample_weight = weights(sample_weight, X)
        trainer = self._trainer if begun else self._trainer_of(X)
        loss = trainer.partial_fit(X, sample_weight=sample_weight)
        self._trainer, self.model_ = trainer, trainer.model
        self.loss_curve_ = [*getattr(self, "loss_curve_", ()), loss]
        self.n_iter_ = len(self.loss_curve_)
        return self

    def transform(self, X: Any) -> Array:
        """Codes of rows: array or CSR (rows, features) -> (rows, n_components)."""
        check_is_fitted(self, "model_")
        X = table(self, X, accept_sparse="csr", reset=False)
        codes: Array = self.model_.encode(X, n_threads=self.n_threads)
        return codes

    def inverse_transform(self, X: Any) -> Array:
        """Rows from codes: (rows, n_components) -> (rows, features)."""
        check_is_fitted(self, "model_")
        X = check_array(unmasked(X, "X"), dtype=dtypes(X), input_name="X")
        rows: Array = self.model_.decode(_check.samples(X, "X", self.model_.n_latent), n_threads=self.n_threads)
        return rows

    @property
    def _n_features_out(self) -> int:
        return int(self.model_.n_latent)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def weights(sample_weight: Any, X: Any) -> Array:
    """Of rows, one at least above 0."""
    given = data.weights(sample_weight, "sample_weight", X.shape[0], X.dtype)
    if not given.any():
        raise ValueError("sample_weight takes weights of which one at least is above 0, got only zero")
    return given
