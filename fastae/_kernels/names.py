"""Numbers of the activations, losses and optimisers: backends pass these, the public API takes the names.

Numbers behind those of the activations and losses are functions of the user's own, which a backend learns by its ``define``.
"""

ACTIVATIONS = ("identity", "relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "gelu", "silu")
LOSSES = ("half_squared", "mse", "bce", "bce_with_logits", "mae", "huber", "poisson", "multinomial", "cosine")
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
NOISES = ("gaussian", "masking", "salt_and_pepper", "dropout", "binarize")
MOST_OWN = 1024  # functions of the user's own, of each kind

PER_SAMPLE = frozenset(map(LOSSES.index, ("half_squared", "multinomial", "cosine")))  # a sum over features, no mean
WHOLE_ROW = frozenset(map(LOSSES.index, ("multinomial", "cosine")))  # not a sum of terms of single elements

_FROM_INPUT = frozenset({ACTIVATIONS.index("gelu"), ACTIVATIONS.index("silu")})


def keeps_input(activation: int) -> bool:
    """Whether the derivative is computed from the input z of the activation; else from its output y."""
    return activation in _FROM_INPUT or activation >= len(ACTIVATIONS)


def keeps_velocity(optimizer: int, momentum: float) -> bool:
    """Whether it has a running mean of gradients, or a momentum."""
    return momentum != 0 or OPTIMIZERS[optimizer] in ("adam", "adamw")


def keeps_square(optimizer: int) -> bool:
    """Whether it has a running mean of squared gradients."""
    return OPTIMIZERS[optimizer] != "sgd"
