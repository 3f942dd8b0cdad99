"""The autoencoder: an encoder from input to code, a decoder back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from . import _check
from ._check import Array
from ._kernels.recipe import Recipe
from .functions import Own, resolve
from .layers import BLOCK, Linear, Network, Sequential, generator


class Fixed:
    """An attribute of a model that another model must be made for to be another."""

    def __set_name__(self, _: type, name: str) -> None:
        self.name = name

    def __get__(self, model: Any, _: type | None = None) -> Any:
        return self if model is None else getattr(model, f"_{self.name}")

    def __set__(self, model: Any, value: Any) -> None:
        raise AttributeError(f"{self.name} of a {type(model).__name__} stays what it was made with; make another model")


class Setting(Fixed):
    """An attribute of a model that is checked when it is set, and counts from a trainer's next step on.

    Parameters
    ----------
    check : function (model, value) -> value
    """

    def __init__(self, check: Callable[[Any, Any], Any]) -> None:
        self.check = check

    def __set__(self, model: Any, value: Any) -> None:
        setattr(model, f"_{self.name}", self.check(model, value))
        model.changes += 1


class Autoencoder(Network):
    """A network that learns to reproduce its input through a narrow code.

    Parameters
    ----------
    sizes : sequence of int
        Features from the input to the code, as [784, 256, 64]; the decoder mirrors them.
    activation : str or what :func:`fastae.activation` makes
        Of the hidden layers; see :class:`fastae.Linear`.
    latent_activation : str
        Of the code.
    output_activation : str
        Of the reconstruction: "sigmoid" for data from 0 to 1, "identity" for others.
    bias : bool
    dtype : {"float32", "float64"}
    seed : int, numpy.random.Generator or None
        Of the initial weights.
    backend : str, optional
    init : str, optional
        Distribution of the initial weights; see :class:`fastae.Linear`.
    encoder, decoder : Sequential
        In place of all the above: networks made by hand. They become parts of this one.
    tied : bool
        The decoder has the encoder's weights, transposed, and biases of its own. Both halves' arrays hold them, and assigning
        to one sets both; of arrays written into, element by element, the encoder's count from the next training step on.
    dropout : float or sequence of float
        Probability that training sets an output of a hidden layer to 0, and divides those that stay by what is left of 1
        (Srivastava et al., JMLR 2014); of all layers but the last, or one number for each of them.

    Attributes
    ----------
    encoder, decoder : Sequential
    parameters, gradients : array (P,)
        All weights and biases, and their gradients, of which the layers' arrays are views.

    Examples
    --------
    >>> import numpy as np, fastae
    >>> model = fastae.Autoencoder([64, 32, 8], seed=0)
    >>> model.encode(np.zeros((5, 64), "float32")).shape
    (5, 8)
    """

    kinds: ClassVar[dict[str, type[Autoencoder]]] = {}  # all models by the name that a saved file has
    setting_names: ClassVar[tuple[str, ...]] = (
        "tied",
        "dropout",
    )  # arguments kept as attributes, beside the halves
    n_conditions = 0  # features behind the others that are given, not modelled

    def __init_subclass__(cls, **others: Any) -> None:
        super().__init_subclass__(**others)
        Autoencoder.kinds[cls.__name__] = cls

    def __init__(
        self,
        sizes: Sequence[int] | Array | None = None,
        activation: str | Own = "relu",
        latent_activation: str | Own = "identity",
        output_activation: str | Own = "sigmoid",
        bias: bool = True,
        dtype: Any = "float32",
        seed: Any = None,
        backend: str | None = None,
        init: str | None = None,
        *,
        encoder: Sequential | None = None,
        decoder: Sequential | None = None,
        tied: bool = False,
        dropout: float | Sequence[float] = 0.0,
    ) -> None:
        if (sizes is None) == (encoder is None) or (encoder is None) != (decoder is None):
            raise TypeError(f"{type(self).__name__} takes sizes, or both encoder and decoder")
        others = (activation, latent_activation, output_activation, bias, dtype, seed, backend, init)
        if sizes is None and others != ("relu", "identity", "sigmoid", True, "float32", None, None, None):
            raise TypeError(
                "with encoder and decoder, the layers' own activations, biases, dtype and backend count; give no others"
            )
        if sizes is not None:
            if not isinstance(sizes, (list, tuple, np.ndarray, range)) or np.ndim(sizes) != 1 or len(sizes) < 2:
                raise ValueError(f"sizes takes at least two integers, input and code, as [784, 64]; got {sizes!r}")
            for number, argument in (
                (activation, "activation"),
                (latent_activation, "latent_activation"),
                (output_activation, "output_activation"),
            ):
                resolve("activation", number, argument)
            widths = [_check.positive_integer(n, "sizes") for n in sizes]
            rng = generator(seed)

            def half(widths: list[int], last: str | Own) -> Sequential:
                ends = [activation] * (len(widths) - 2) + [last]
                return Sequential(
                    *(
                        Linear(n_in, n_out, f, bias, dtype, rng, backend, init)
                        for n_in, n_out, f in zip(widths[:-1], widths[1:], ends, strict=True)
                    )
                )

            up, down = self._widths(widths)
            encoder, decoder = half(up, latent_activation), half(down, output_activation)
        if not isinstance(encoder, Sequential) or not isinstance(decoder, Sequential):
            raise TypeError(f"encoder and decoder take a Sequential, got {type(encoder).__name__} and {type(decoder).__name__}")
        if self._passes(encoder.n_out) != decoder.n_in:
            raise ValueError(
                f"the decoder takes a code of {decoder.n_in} features, the encoder gives {self._passes(encoder.n_out)}"
            )
        if encoder.part or decoder.part:
            raise ValueError("encoder and decoder belong to another autoencoder; give copies made by copy.deepcopy")
        self._encoder, self._decoder = encoder, decoder
        self._own([*encoder, *decoder])
        encoder.part = decoder.part = True
        self._tied = _check.flag(tied, "tied")
        if self.tied:
            self._tie()
        self.dropout = dropout

    tied = Fixed()
    dropout = Setting(lambda model, value: model._probabilities(value))

    def _widths(self, sizes: list[int]) -> tuple[list[int], list[int]]:
        """Of the encoder's layers and of the decoder's."""
        return sizes, sizes[::-1]

    def _passes(self, n: int) -> int:
        """Features that the decoder takes where the encoder gives n."""
        return n

    def _tie(self) -> None:
        shapes = [layer.weight.shape for layer in self.layers]
        if shapes != [shape[::-1] for shape in reversed(shapes)]:
            raise ValueError(f"tied takes a decoder that mirrors the encoder; the layers' weights are {shapes}")
        for below, above in self._tied_layers():
            below.twin, above.twin = above, below
            below.lead()

    def _tied_layers(self) -> Iterator[tuple[Linear, Linear]]:
        return zip(self.encoder, reversed(self.decoder.layers), strict=True)

    def _probabilities(self, dropout: Any) -> float | tuple[float, ...]:
        takes, layers = "a probability 0 <= p < 1, or one for each layer but the last", len(self.layers) - 1
        if not isinstance(dropout, (list, tuple, np.ndarray)):
            return _check.real_number(dropout, "dropout", 0, 1, takes)
        if len(dropout) != layers:
            raise ValueError(f"dropout takes {takes}, here {layers}; got {len(dropout)}")
        return tuple(_check.real_number(p, "dropout", 0, 1, takes) for p in dropout)

    def recipe(self) -> Recipe:
        """What a training step of this model does besides; the trainer adds what is its own, as the key."""
        dropout = self.dropout if isinstance(self.dropout, tuple) else (self.dropout,) * (len(self.layers) - 1)
        return Recipe(tied=self.tied, dropout=dropout if any(dropout) else ())

    def settings(self) -> dict[str, Any]:
        """The arguments that made this model, without those that made its halves."""
        return {name: getattr(self, name) for name in self.setting_names}

    def _state(self, state: Mapping[str, Any]) -> dict[str, Array]:
        checked = super()._state(state)
        for number in range(len(self.encoder) if self.tied else 0):
            below, above = f"encoder.{number}.weight", f"decoder.{len(self.decoder) - 1 - number}.weight"
            if not np.array_equal(checked[below], checked[above].T):
                raise ValueError(
                    f"state takes the same weights in both halves of a tied model; {below} and {above} are not each other's "
                    "transposes"
                )
        return checked

    def _bind(self, parameters: Array, gradients: Array) -> None:
        self._parameters, self._gradients, self._inference = parameters, gradients, None
        cut = sum(layer.size for layer in self.encoder)
        self.encoder._bind(parameters[:cut], gradients[:cut])
        self.decoder._bind(parameters[cut:], gradients[cut:])

    @property
    def encoder(self) -> Sequential:
        """The layers from input to code."""
        return self._encoder

    @property
    def decoder(self) -> Sequential:
        """The layers from code to output."""
        return self._decoder

    @property
    def n_latent(self) -> int:
        """Features of the code."""
        return self.encoder.n_out

    def named_arrays(self) -> Iterator[tuple[str, Array]]:
        """Pairs of "encoder.0.weight" and the array itself."""
        for layer in self.encoder:
            layer.lead()  # of what was written into a tied model's arrays, the encoder's counts
        for part in ("encoder", "decoder"):
            for name, array in getattr(self, part).named_arrays():
                yield f"{part}.{name}", array

    def encode(self, x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
        """Codes of samples.

        Parameters
        ----------
        x : array (samples, n_in) of float32, float64, or uint8 (scaled to 0 to 1)
        out : array (samples, n_latent), optional
        n_threads : int, optional

        Returns
        -------
        array (samples, n_latent)
        """
        return self.encoder.infer(x, "x", out, n_threads)

    def decode(self, z: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
        """Samples from codes.

        Parameters
        ----------
        z : array (samples, n_latent)
        out : array (samples, n_out), optional
        n_threads : int, optional

        Returns
        -------
        array (samples, n_out)
        """
        return self.decoder.infer(z, "z", out, n_threads)

    def reconstruct(self, x: Any, out: Array | None = None, n_threads: int | None = None) -> Array:
        """What ``decode(encode(x))`` gives, in one pass.

        Parameters
        ----------
        x : array (samples, n_in) of float32, float64, or uint8 (scaled to 0 to 1)
        out : array (samples, n_out), optional
        n_threads : int, optional

        Returns
        -------
        array (samples, n_out)
        """
        return self.infer(x, "x", out, n_threads)

    def reconstruction_error(self, x: Any, n_threads: int | None = None) -> Array:
        """Mean squared error of each sample's reconstruction.

        Parameters
        ----------
        x : array or CSR (samples, n_in)
        n_threads : int, optional

        Returns
        -------
        array (samples,) of float64
        """
        x = _check.matrix(x, "x", self.n_in)
        if self.n_in - self.n_conditions != self.n_out:
            raise ValueError(f"this model gives {self.n_out} features for {self.n_in}, so they cannot be compared")
        errors, step = np.empty(x.shape[0]), _check.together(x, BLOCK)
        for start in range(0, len(errors), step):
            block = _check.converted(_check.dense(x, slice(start, start + step)), self.dtype, "x", first_row=start)
            features = block[:, : self.n_out]
            difference = self._expected(self.reconstruct(block, n_threads=n_threads), features) - features
            errors[start : start + len(block)] = np.einsum("ij,ij->i", difference, difference, dtype=np.float64)
        return errors / self.n_out

    def _expected(self, y: Array, x: Array) -> Array:
        """Features that a reconstruction y of x means."""
        return y

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a safetensors file; a file already there is replaced only once the new one is whole."""
        from .persistence import save

        save(self, path)

    def __repr__(self) -> str:
        settings = "".join(f", {name}={value!r}" for name, value in self.settings().items())
        return f"{type(self).__name__}(encoder={self.encoder!r}, decoder={self.decoder!r}{settings})"

    def __reduce__(self) -> Any:
        return _rebuilt, (type(self), self.encoder.__reduce__()[1], self.decoder.__reduce__()[1], self.settings())


Autoencoder.kinds["Autoencoder"] = Autoencoder


def _rebuilt(
    kind: type[Autoencoder], encoder: tuple[Linear, ...], decoder: tuple[Linear, ...], settings: dict[str, Any]
) -> Autoencoder:
    return kind(encoder=Sequential(*encoder), decoder=Sequential(*decoder), **settings)
