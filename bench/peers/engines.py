"""The peers. Each makes, for a network and a batch size, a function that trains an epoch on x in order and returns its loss.

relu in all hidden layers and the code, sigmoid at the output, mean squared error, plain SGD; whatever a framework offers to be
fast (compiled whole step, scan over the epoch, donated buffers) is a peer of its own.
"""

import os

import numpy as np

from .cases import LR, weights


def fastae(sizes, batch, x, threads):
    import fastae

    model = fastae.Autoencoder(sizes, activation="relu", latent_activation="relu", output_activation="sigmoid")
    for layer, (w, b) in zip(model.layers, weights(sizes), strict=True):
        layer.weight, layer.bias = w, b
    trainer = fastae.Trainer(model, fastae.SGD(lr=LR), batch_size=batch, seed=0, n_threads=threads)
    return lambda: trainer.fit(x, epochs=1, shuffle=False).loss[0]


def numpy(sizes, batch, x, threads):
    from fastae.benchmark import NumpyTraining

    training = NumpyTraining(sizes, batch)
    training.layers = weights(sizes)
    return training.epoch(x)


def _torch_step(sizes, batch, x, threads):
    import torch

    torch.set_num_threads(threads)
    modules = []
    for w, b in weights(sizes):
        linear = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(w))
            linear.bias.copy_(torch.from_numpy(b))
        modules += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1], torch.nn.Sigmoid())
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, foreach=True)
    batches = list(torch.from_numpy(x).split(batch))

    def step(sample):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(sample), sample)
        loss.backward()
        optimizer.step()
        return loss

    return torch, step, batches


def torch_eager(sizes, batch, x, threads):
    torch, step, batches = _torch_step(sizes, batch, x, threads)
    return lambda: float(torch.stack([step(sample).detach() for sample in batches]).mean())


def torch_compile(sizes, batch, x, threads):
    torch, step, batches = _torch_step(sizes, batch, x, threads)
    compiled = torch.compile(step)
    return lambda: float(torch.stack([compiled(sample).detach() for sample in batches]).mean())


def _jax_step(sizes, threads):
    os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    import jax
    import jax.numpy as jnp

    parameters = [(jnp.asarray(w), jnp.asarray(b)) for w, b in weights(sizes)]

    def loss(parameters, x):
        y = x
        for w, b in parameters[:-1]:
            y = jax.nn.relu(y @ w.T + b)
        w, b = parameters[-1]
        return jnp.mean((jax.nn.sigmoid(y @ w.T + b) - x) ** 2)

    def step(parameters, x):
        value, gradients = jax.value_and_grad(loss)(parameters, x)
        return jax.tree.map(lambda p, g: p - LR * g, parameters, gradients), value

    return jax, step, parameters


def jax_jit(sizes, batch, x, threads):
    jax, step, parameters = _jax_step(sizes, threads)
    compiled = jax.jit(step, donate_argnums=0)
    batches = [jax.device_put(part) for part in np.split(x, len(x) // batch)]

    def epoch():
        nonlocal parameters
        values = []
        for sample in batches:
            parameters, value = compiled(parameters, sample)
            values.append(value)
        return float(np.mean(jax.block_until_ready(values)))

    return epoch


def jax_scan(sizes, batch, x, threads):
    jax, step, parameters = _jax_step(sizes, threads)
    compiled = jax.jit(lambda p, samples: jax.lax.scan(step, p, samples), donate_argnums=0)
    samples = jax.device_put(x.reshape(-1, batch, x.shape[1]))

    def epoch():
        nonlocal parameters
        parameters, values = jax.block_until_ready(compiled(parameters, samples))
        return float(values.mean())

    return epoch


def sklearn(sizes, batch, x, threads):
    from sklearn.neural_network import MLPRegressor

    hidden = (*sizes[1:], *sizes[-2:0:-1])
    network = MLPRegressor(hidden, solver="sgd", batch_size=batch, learning_rate_init=LR, momentum=0, alpha=0, shuffle=False)

    def epoch():  # its output is linear and its loss another: timed, not compared
        network.partial_fit(x, x)

    return epoch


ENGINES = {
    "fastae": fastae,
    "numpy": numpy,
    "torch": torch_eager,
    "torch-compile": torch_compile,
    "jax": jax_jit,
    "jax-scan": jax_scan,
    "sklearn": sklearn,
}
