"""The training step inside an epoch, on the networks of the table.

relu in all hidden layers and the code, sigmoid at the output, mean squared error, plain SGD; whatever a framework offers to be
fast (compiled whole step, scan over the epoch, donated buffers) is an engine of its own.
"""

import os

from ..network import Network
from ..row import Bar, Row

TITLE = "a training step inside an epoch"
# Encoder's widths, batch, least ratio to the best peer, least share of the FMA peak.
TABLE = [
    ((8, 3), 1, 8.0, None),
    ((8, 3), 32, 8.0, None),
    ((30, 16, 8), 64, 5.0, None),
    ((64, 32, 8), 32, 3.0, None),
    ((784, 32), 64, 2.5, None),
    ((784, 256, 64), 128, 1.7, 0.75),
    ((784, 256, 64), 1024, 1.35, 0.80),
    ((784, 1000, 500, 250, 30), 128, 1.4, 0.80),
    ((784, 1000, 500, 250, 30), 1024, 1.2, 0.85),
]


def row(network, bars, threads):
    return Row(network.name, network, bars, threads, network.operations, network.steps)


def rows(threads):
    return [
        row(Network(sizes, batch), [Bar("best", ratio), Bar("peak", share)], threads) for sizes, batch, ratio, share in TABLE
    ]


def trainer(network, threads, momentum=0.0, backend=None, activation="relu"):
    """fastae's model from the common weights, to be trained."""
    import fastae

    functions = {"activation": activation, "latent_activation": activation, "output_activation": "sigmoid"}
    model = fastae.Autoencoder(network.sizes, **functions, backend=backend)
    for layer, (w, b) in zip(model.layers, network.weights(), strict=True):
        layer.weight, layer.bias = w, b
    return fastae.Trainer(model, fastae.SGD(lr=network.lr, momentum=momentum), batch_size=network.batch, n_threads=threads)


def own(network, threads, momentum=0.0, **model):
    x, training = network.data(), trainer(network, threads, momentum, **model)
    return lambda: training.fit(x, epochs=1, shuffle=False).loss[0]


def numpy(network, threads):
    from fastae.benchmark import numpy_step

    layers, batches = network.weights(), network.batches(network.data())
    return lambda: network.mean([numpy_step(layers, x, network.lr) for x in batches])


def _torch_step(network, threads):
    import torch

    torch.set_num_threads(threads)
    modules = []
    for w, b in network.weights():
        linear = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w))
            linear.bias.copy_(torch.from_numpy(b))
        modules += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1], torch.nn.Sigmoid())
    optimizer = torch.optim.SGD(model.parameters(), lr=network.lr, foreach=True)

    def step(sample):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(sample), sample)
        loss.backward()
        optimizer.step()
        return loss

    return torch, step, network.batches(torch.from_numpy(network.data()))


def torch_eager(network, threads):
    torch, step, batches = _torch_step(network, threads)
    return lambda: network.mean(torch.stack([step(x).detach() for x in batches]).numpy())


def torch_compile(network, threads):
    torch, step, batches = _torch_step(network, threads)
    torch.compiler.reset()  # it keeps eight compilations of this function, then runs it uncompiled
    compiled = torch.compile(step)
    return lambda: network.mean(torch.stack([compiled(x).detach() for x in batches]).numpy())


def _jax_step(network):
    import jax
    import jax.numpy as jnp

    parameters = [(jnp.asarray(w), jnp.asarray(b)) for w, b in network.weights()]

    def loss(parameters, x):
        y = x
        for w, b in parameters[:-1]:
            y = jax.nn.relu(y @ w.T + b)
        w, b = parameters[-1]
        return jnp.mean((jax.nn.sigmoid(y @ w.T + b) - x) ** 2)

    def step(parameters, x):
        value, gradients = jax.value_and_grad(loss)(parameters, x)
        return jax.tree.map(lambda p, g: p - network.lr * g, parameters, gradients), value

    return jax, step, parameters


def jax_jit(network, threads):
    jax, step, parameters = _jax_step(network)
    compiled = jax.jit(step, donate_argnums=0)
    batches = [jax.device_put(x) for x in network.batches(network.data())]

    def epoch():
        nonlocal parameters
        values = []
        for x in batches:
            parameters, value = compiled(parameters, x)
            values.append(value)
        return network.mean(jax.block_until_ready(values))

    return epoch


def jax_scan(network, threads):
    if network.rest:
        raise ValueError("a scan takes batches of one size")
    jax, step, parameters = _jax_step(network)
    compiled = jax.jit(lambda parameters, samples: jax.lax.scan(step, parameters, samples), donate_argnums=0)
    samples = jax.device_put(network.data().reshape(-1, network.batch, network.sizes[0]))

    def epoch():
        nonlocal parameters
        parameters, values = jax.block_until_ready(compiled(parameters, samples))
        return network.mean(values)

    return epoch


def sklearn(network, threads):
    from sklearn.neural_network import MLPRegressor

    x, hidden = network.data(), network.widths[1:-1]
    plain = {"solver": "sgd", "momentum": 0, "alpha": 0, "shuffle": False}
    model = MLPRegressor(hidden_layer_sizes=hidden, batch_size=network.batch, **plain)

    def epoch():  # its output is linear, its loss and weights its own: timed, not compared
        model.partial_fit(x, x)

    return epoch


def keras(network, threads):
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    x, weights = network.data(), network.weights()
    layers = [keras.layers.Dense(len(b), activation="relu") for _, b in weights[:-1]]
    model = keras.Sequential([keras.Input((x.shape[1],)), *layers, keras.layers.Dense(x.shape[1], activation="sigmoid")])
    model.set_weights([a for w, b in weights for a in (w.T, b)])
    model.compile(keras.optimizers.SGD(network.lr), loss="mse")
    return lambda: model.fit(x, x, batch_size=network.batch, epochs=1, shuffle=False, verbose=0).history["loss"][0]


ENGINES = {
    "fastae": own,
    "numpy": numpy,
    "torch": torch_eager,
    "torch-compile": torch_compile,
    "jax": jax_jit,
    "jax-scan": jax_scan,
    "sklearn": sklearn,
    "keras": keras,
}
