"""What mypy and pyright must find in fastae's types, read by them and not run: a user's script, and the kernels' contract."""

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastae
from fastae._kernels import reference
from fastae._kernels.contract import Kernels
from fastae._kernels.cython import _runtime, avx2, avx512, baseline, neon
from fastae.anomaly import AnomalyDetector

Array = NDArray[Any]

x: NDArray[np.float32] = np.random.default_rng(0).random((100, 64), np.float32)

model = fastae.Autoencoder([64, 32, 8], activation="silu", latent_activation="identity", dtype="float32", seed=0)
assert_type(model, fastae.Autoencoder)
trainer = fastae.Trainer(model, fastae.Adam(lr=1e-3), loss="mse", batch_size=32, seed=0, n_threads=None)
history = trainer.fit(x, epochs=2, validation_data=x, callbacks=[fastae.callbacks.EarlyStopping(patience=3)])
assert_type(history, fastae.History)
assert_type(history.val_loss, list[float])
assert_type(trainer.step(x), float)
assert_type(model.encode(x), Array)
assert_type(model.decode(model.encode(x.tolist())), Array)
assert_type(model.reconstruct(x, n_threads=1), Array)
assert_type(model.encoder, fastae.Sequential)
assert_type(model.state_dict(), dict[str, Array])
model.save("model.safetensors")
assert_type(fastae.load("model.safetensors"), fastae.Autoencoder)
assert_type(fastae.Linear(64, 32, activation="relu").forward(x), Array)
assert_type(fastae.ops.linear(x, x), Array)
assert_type(fastae.ops.linear_grad_weight(x, x), tuple[Array, Array])
assert_type(fastae.VariationalAutoencoder([64, 8]).sample(3), Array)
assert_type(fastae.get_num_threads(), int)
assert_type(fastae.datasets.load_digits(), tuple[Array, Array])

# What is imported where it is used has its types too.
assert_type(fastae.anomaly.AnomalyDetector().fit(x), AnomalyDetector)
fastae.export_c(model, "model.c")

# What must be an error: without it mypy's warn_unused_ignores complains.
fastae.Trainer(model, fastae.SGD(lr=0.1), batch_size="32")  # type: ignore[arg-type]
fastae.Autoencoder([64, 8], activaton="relu")  # type: ignore[call-arg]
fastae.load(3)  # type: ignore[arg-type]

# Every instruction set's module and the reference are what _kernels/contract.py says.
contract: list[Kernels] = [avx512, avx2, neon, baseline, reference]
assert_type(_runtime.machine_isas(), list[str])
assert_type(baseline.peak(1), float)
