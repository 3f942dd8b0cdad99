"""The variational autoencoder as a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.utils.validation import check_is_fitted

from .. import _check
from .._check import Array
from ..models import VariationalAutoencoder
from ..optim import Optimizer
from .arguments import seeded, table
from .network import Network
from .progress import watched


class VAETransformer(Network):
    """Means of codes by a :class:`fastae.VariationalAutoencoder`, and new rows from codes drawn at random.

    The network learns in the dtype of X: give float32, which takes half the time of float64. There are no weights of rows: the
    noise of each row's code is its own, so a row given twice is not a row with a weight of 2.

    Parameters
    ----------
    n_components : int
        Features of the code.
    hidden_layer_sizes : int or sequence of int
        Widths of the layers between input and code; the decoder mirrors them.
    decoder : {"gaussian", "bernoulli", "multinomial"}
        Distribution of rows: of standardised columns, of X from 0 to 1, of counts.
    beta, sigma : float
        Weight of the codes' divergence from the standard normal, and standard deviation of the Gaussian decoder.
    activation, optimizer, learning_rate, batch_size, max_iter
        Of :class:`AutoencoderTransformer`.
    random_state : int, numpy.random.Generator, RandomState or None
        Of weights, order and codes.
    n_threads : int, optional
    verbose : bool or int
        Show a progress bar on stderr, if that is a terminal or a notebook.

    Attributes
    ----------
    model_ : VariationalAutoencoder
    loss_curve_, n_iter_
        Of :class:`AutoencoderTransformer`.

    Examples
    --------
    >>> import fastae
    >>> from fastae.sklearn import VAETransformer
    >>> x, _ = fastae.datasets.load_digits()
    >>> vae = VAETransformer(n_components=4, decoder="bernoulli", max_iter=5, random_state=0).fit(x)
    >>> vae.sample(10, random_state=0).shape
    (10, 64)
    """

    def __init__(
        self,
        n_components: int = 8,
        *,
        hidden_layer_sizes: int | Sequence[int] = (128,),
        decoder: str = "gaussian",
        beta: float = 1.0,
        sigma: float = 1.0,
        activation: str = "relu",
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
        self.decoder = decoder
        self.beta = beta
        self.sigma = sigma
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_threads = n_threads
        self.verbose = verbose

    def _network(self, sizes: list[int], **others: Any) -> VariationalAutoencoder:
        return VariationalAutoencoder(sizes, decoder=self.decoder, beta=self.beta, sigma=self.sigma, **others)

    @watched
    def fit(self, X: Any, y: Any = None) -> VAETransformer:
        """Learn from rows, anew: X an array or sparse matrix (rows, features); y is ignored."""
        return self._fit(X, y)

    def partial_fit(self, X: Any, y: Any = None) -> VAETransformer:
        """Go on learning: one pass over rows as they come."""
        return self._partial_fit(X)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Means of rows, for codes drawn from the standard normal distribution: (n_samples, features)."""
        check_is_fitted(self, "model_")
        n = _check.positive_integer(n_samples, "n_samples")
        rows: Array = self.model_.sample(n, seed=seeded(random_state), n_threads=self.n_threads)
        return rows

    def score(self, X: Any, y: Any = None) -> float:
        """Mean evidence lower bound of X's rows, in nats, with the same draws at every call; higher is better."""
        check_is_fitted(self, "model_")
        X = table(self, X, accept_sparse="csr", reset=False)
        return float(self.model_.elbo(X, seed=0, n_threads=self.n_threads).mean())
