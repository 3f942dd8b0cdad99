"""What a training step does beside products, activations, a loss and an update. README.md states each part."""

from itertools import pairwise
from math import inf
from typing import Any, NamedTuple

from .names import ACTIVATIONS, LOSSES, NOISES, WHOLE_ROW


class Recipe(NamedTuple):
    """One model's additions to a plain training step; the defaults add nothing.

    Of a network of L layers, ``code`` is the number of the one whose output is the code.
    """

    key: int = 0  # of all random numbers, below 2^64
    noise: str | None = None  # of names.NOISES, on the input
    level: float = 0.0  # standard deviation, or probability
    condition: int = 0  # the last features of the input: not disturbed, no target, handed to the decoder behind the code
    dropout: tuple[float, ...] = ()  # probability for the outputs of each layer but the last; (): none
    code: int = -1
    top_k: int = 0  # of the code's outputs, so many stay; 0: all
    l1: float = 0.0  # penalty on the code's absolute outputs
    kl: float = 0.0  # penalty on the distance of the code's mean outputs from rho
    rho: float = 0.05
    gaussian: bool = False  # the code layer gives means and logarithms of variances, from which the code is drawn
    kl_weight: float = 1.0  # of the distance of that distribution from the standard normal one
    contractive: float = 0.0  # penalty on the squared slopes of the first layer's outputs by its inputs
    tied: bool = False  # layer L - 1 - l has the transposed weights of layer l, and biases of its own
    missing: bool = False  # NaN in the input is 0, NaN in the target is absent from the loss
    scale: float = 0.0  # the loss is scale times the sum over features, its mean over samples; 0: the loss's own mean
    feature_weight: Any = None  # (n_out,) of the weights' dtype
    clip_norm: float = inf  # bound of the gradient's Euclidean norm
    clip_value: float = inf  # bound of each of its elements
    accumulate: int = 1  # batches of a step

    @property
    def in_blocks(self) -> bool:
        """Whether samples must pass in blocks, however few they are."""
        penalties = self.l1 or self.kl or self.gaussian or self.contractive
        on_data = self.noise is not None or self.missing or self.feature_weight is not None
        return bool(on_data or penalties or self.top_k or any(self.dropout) or self.tied)

    @property
    def unfused(self) -> bool:
        """Whether the whole gradient is needed before an update."""
        return self.clip_norm < inf or self.accumulate > 1


def check(recipe: Recipe | None, layers: list[Any], loss: int) -> Recipe:
    """A recipe that fits the layers (n_in, n_out, activation, has_bias) and the loss; None is a plain one."""
    recipe, n = recipe or Recipe(), len(layers)
    if recipe.noise is not None and recipe.noise not in NOISES:
        raise ValueError(f"there is no noise {recipe.noise!r}")
    if recipe.dropout and (len(recipe.dropout) != n - 1 or not all(0 <= p < 1 for p in recipe.dropout)):
        raise ValueError(f"dropout takes {n - 1} probabilities below 1, got {recipe.dropout}")
    on_code = recipe.top_k or recipe.l1 or recipe.kl or recipe.gaussian
    if on_code and not 0 <= recipe.code < n - 1:
        raise ValueError(f"the code is the output of a layer from 0 to {n - 2}, got {recipe.code}")
    width = layers[recipe.code][1]
    if recipe.top_k and not 1 <= recipe.top_k <= width:
        raise ValueError(f"top_k takes 1 to {width}, got {recipe.top_k}")
    if recipe.gaussian and (width % 2 or recipe.top_k or recipe.l1 or recipe.kl):
        raise ValueError("a Gaussian code takes means and as many variances, and no other penalty")
    if recipe.condition and not (recipe.gaussian and recipe.condition < layers[0][0]):
        raise ValueError("a condition takes a Gaussian code, and other features beside it")
    if recipe.kl and layers[recipe.code][2] != ACTIVATIONS.index("sigmoid"):
        raise ValueError("the penalty kl takes a code of sigmoid")
    if recipe.contractive and (n < 2 or layers[0][2] >= len(ACTIVATIONS) or ACTIVATIONS[layers[0][2]] not in CONTRACTIVE):
        raise ValueError(f"the penalty contractive takes a first layer of {', '.join(CONTRACTIVE)}")
    if recipe.tied and (n % 2 or any((a[0], a[1]) != (b[1], b[0]) for a, b in zip(layers, layers[::-1], strict=True))):
        raise ValueError(f"tied weights take mirrored layers, got {layers}")
    if recipe.tied and recipe.gaussian:
        raise ValueError("tied weights take no Gaussian code")
    if loss in WHOLE_ROW and (recipe.missing or recipe.feature_weight is not None):
        raise ValueError(f"loss {LOSSES[loss]!r} takes neither missing values nor weights of features")
    for number, (below, above) in enumerate(pairwise(layers)):
        gives = below[1] // 2 + recipe.condition if recipe.gaussian and number == recipe.code else below[1]
        if gives != above[0]:
            raise ValueError(f"layers must chain from features in to features out, got {layers}")
    return recipe


CONTRACTIVE = ("sigmoid", "tanh")  # whose second derivative follows from the output
