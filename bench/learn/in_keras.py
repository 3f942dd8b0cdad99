"""The runs of the Keras blog in Keras itself, on JAX, with the same settings."""

import os
import time

from .data import mnist

os.environ["KERAS_BACKEND"] = "jax"


def run(seed, sizes, latent_activation, batch_size, epochs, lr, schedule):
    import keras

    x, _, test, _ = (a.astype("float32") / 255 if a.ndim == 2 else a for a in mnist())
    keras.utils.set_random_seed(seed)
    hidden = [*sizes[1:], *sizes[-2:0:-1]]
    names = ["relu"] * (len(sizes) - 2) + [{"identity": "linear"}.get(latent_activation, latent_activation)]
    names += ["relu"] * (len(hidden) - len(names))
    layers = [keras.layers.Dense(n, activation=name) for n, name in zip(hidden, names, strict=True)]
    model = keras.Sequential([keras.Input((sizes[0],)), *layers, keras.layers.Dense(sizes[0], activation="sigmoid")])
    if schedule:
        steps = epochs * -(-len(x) // batch_size)
        lr = keras.optimizers.schedules.CosineDecay(lr / 25, int(0.7 * steps), warmup_target=lr, warmup_steps=int(0.3 * steps))
    model.compile(keras.optimizers.Adam(lr), loss="binary_crossentropy")
    start = time.perf_counter()
    history = model.fit(x, x, batch_size=batch_size, epochs=epochs, verbose=0).history
    loss = model.evaluate(test, test, batch_size=1000, verbose=0)
    return loss, time.perf_counter() - start, f"last training loss {history['loss'][-1]:.4f}"
