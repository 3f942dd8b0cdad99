"""The autoencoder as a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .. import _check
from ..autoencoder import Autoencoder
from ..optim import Optimizer
from .arguments import table
from .network import Network, weights
from .progress import watched

_LOSSES = ("mse", "half_squared", "mae", "huber", "bce")  # of outputs that are the reconstruction


class AutoencoderTransformer(Network):
    """Codes of rows by a :class:`fastae.Autoencoder`.

    The network learns in the dtype of X: give float32, which takes half the time of float64. Scale the columns before, as with
    StandardScaler, or MinMaxScaler for ``output_activation="sigmoid"``.

    Parameters
    ----------
    n_components : int
        Features of the code.
    hidden_layer_sizes : int or sequence of int
        Widths of the layers between input and code; the decoder mirrors them.
    activation, output_activation : str
        Of the hidden layers, and of the reconstruction; see :class:`fastae.Linear`.
    loss : {"mse", "half_squared", "mae", "huber", "bce"}
        "bce" takes X from 0 to 1 and ``output_activation="sigmoid"``; see :class:`fastae.Trainer`.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or an optimiser of fastae
        Of the latter, its own learning rate counts.
    learning_rate : float
    batch_size : int
        Of fewer rows, all of them.
    max_iter : int
        Epochs of ``fit``.
    random_state : int, numpy.random.Generator, RandomState or None
        Of weights and order.
    n_threads : int, optional
        Results do not depend on it.
    verbose : bool or int
        Show a progress bar on stderr, if that is a terminal or a notebook.

    Attributes
    ----------
    model_ : Autoencoder
    loss_curve_ : list of float
        Of each epoch, or call of ``partial_fit``.
    n_iter_ : int
        How many these are.

    Examples
    --------
    >>> import fastae
    >>> from fastae.sklearn import AutoencoderTransformer
    >>> x, _ = fastae.datasets.load_digits()
    >>> AutoencoderTransformer(n_components=4, max_iter=5, random_state=0).fit_transform(x).shape
    (1797, 4)
    """

    def __init__(
        self,
        n_components: int = 8,
        *,
        hidden_layer_sizes: int | Sequence[int] = (128,),
        activation: str = "relu",
        output_activation: str = "identity",
        loss: str = "mse",
        optimizer: str | Optimizer = "adam",
        learning_rate: float = 1e-3,
        batch_size: int = 128,
        max_iter: int = 100,
        random_state: Any = None,
        n_threads: int | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.output_activation = output_activation
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    def _network(self, sizes: list[int], **others: Any) -> Autoencoder:
        return Autoencoder(sizes, output_activation=self.output_activation, **others)

    def _loss(self) -> str:
        return _check.choice(self.loss, "loss", _LOSSES)

    @watched
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> AutoencoderTransformer:
        """Learn from rows, anew.

        Parameters
        ----------
        X : array or sparse matrix (rows, features)
            Of a sparse matrix, one batch at a time is made dense.
        y : ignored
        sample_weight : array (rows,), optional
            Multiplies each row's loss, after division by the mean of all. Where one batch has all rows, a weight of 2 is a row
            given twice.

        Returns
        -------
        AutoencoderTransformer
            This one.
        """
        return self._fit(X, y, sample_weight)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> AutoencoderTransformer:
        """Go on learning: one pass over rows as they come.

        Takes what :meth:`fit` takes; weights are not divided by their mean, so that calls are comparable.
        """
        return self._partial_fit(X, sample_weight)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the mean squared error of reconstructions, of X (rows, features); higher is better."""
        check_is_fitted(self, "model_")
        X = table(self, X, accept_sparse="csr", reset=False)
        errors = self.model_.reconstruction_error(X, n_threads=self.n_threads)
        return -float(np.average(errors, weights=None if sample_weight is None else weights(sample_weight, X)))
