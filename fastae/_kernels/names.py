"""Numbers of the activations and losses: backends pass these, the public API takes the names.

Numbers behind those of the names are functions of the user's own, which a backend learns by its ``define``.
"""

ACTIVATIONS = ("identity", "relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "gelu", "silu")
LOSSES = ("half_squared", "mse", "bce", "bce_with_logits", "mae", "huber", "poisson")
MOST_OWN = 1024  # functions of the user's own, of each kind

_FROM_INPUT = frozenset({ACTIVATIONS.index("gelu"), ACTIVATIONS.index("silu")})


def keeps_input(activation: int) -> bool:
    """Whether the derivative is computed from the input z of the activation; else from its output y."""
    return activation in _FROM_INPUT or activation >= len(ACTIVATIONS)
