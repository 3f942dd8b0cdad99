"""Numbers of the activations and losses: backends pass these, the public API takes the names."""

ACTIVATIONS = ("identity", "relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus", "gelu", "silu")
LOSSES = ("half_squared", "mse", "bce", "bce_with_logits")

# The derivative of these is computed from the input z of the activation; of the others, from its output y.
KEEPS_INPUT = frozenset({ACTIVATIONS.index("gelu"), ACTIVATIONS.index("silu")})
