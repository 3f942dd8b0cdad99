"""A training that is saved and resumed takes the steps that it would have taken, to the bit."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fastae
from fastae import SGD, Adam, AdamW, Autoencoder, DenoisingAutoencoder, Linear, RMSprop, Sequential, Trainer
from fastae.callbacks import Callback, Checkpoint, EarlyStopping, WeightAverage
from fastae.schedules import Cosine, OneCycle, Plateau, Step, WarmUp


def trainer_of(backend, optimizer=None, dtype="float32", **settings):
    model = DenoisingAutoencoder([6, 5, 3], activation="tanh", dtype=dtype, seed=0, backend=backend, dropout=0.2)
    return Trainer(model, optimizer or Adam(1e-2), batch_size=8, seed=1, **settings)


class SaveAt(Callback):
    """Saves after a step, as somebody may at any moment, and lets the fit go on."""

    every = 1

    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_steps(self, trainer, rows, loss):
        if trainer.steps == self.step:
            trainer.save(self.path)


SETTINGS = {
    "sgd": (SGD(0.1), {}),
    "nesterov": (SGD(0.1, 0.9, nesterov=True, weight_decay=1e-3), {"schedule": Step(3, 0.5)}),
    "adam": (Adam(1e-2, (0.8, 0.99)), {"schedule": WarmUp(5, OneCycle(max_lr=0.02)), "accumulate": 2}),
    "adamw": (AdamW(1e-2), {"schedule": Cosine(20, 1e-4), "clip_norm": 0.1, "clip_value": 0.05}),
    "rmsprop": (RMSprop(1e-3, momentum=0.5), {"schedule": Plateau(0.5, 0), "feature_weight": np.arange(6.0)}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("step", [0, 3, 4, 9, 12])
@pytest.mark.parametrize("name", SETTINGS)
def test_resuming_changes_no_bit(backend, rng, tmp_path, name, step, dtype):
    optimizer, settings = SETTINGS[name]
    x = rng.random((52, 6), "float32")
    trainer, path = trainer_of(backend, optimizer, dtype, **settings), tmp_path / "trainer"
    if step == 0:
        trainer.save(path)
    fit = {"epochs": 4, "validation_fraction": 0.1}
    trainer.fit(x, **fit, callbacks=[SaveAt(step, path)])
    other = Trainer.resume(path)
    assert other.steps == step
    assert (other.optimizer, other.loss, other.batch_size) == (trainer.optimizer, trainer.loss, trainer.batch_size)
    assert (type(other.model), other.backend, other.model.layers[0].backend) == (DenoisingAutoencoder, backend, backend)
    other.fit(x, **fit, resume=True)
    np.testing.assert_array_equal(other.model.parameters, trainer.model.parameters)
    assert (other.history.loss, other.history.val_loss) == (trainer.history.loss, trainer.history.val_loss)
    assert (other.steps, other.epochs, other.schedule) == (trainer.steps, trainer.epochs, trainer.schedule)
    trainer.fit(x, epochs=2)
    other.fit(x, epochs=2)
    np.testing.assert_array_equal(other.model.parameters, trainer.model.parameters)


def callbacks(path):
    return [WeightAverage(0.9, 3, assign=False), EarlyStopping(3, min_delta=3e-3), Checkpoint(path)]


@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_callbacks_go_on_too(rng, tmp_path, epoch):
    """What is saved within a fit has what its callbacks know."""
    x = rng.random((52, 6), "float32")

    class Stop(Callback):
        last = True

        def on_epoch_end(self, trainer, logs):
            if trainer.epochs == epoch:
                raise KeyboardInterrupt

    whole, cut = (trainer_of("numpy", Adam(0.02)) for _ in range(2))
    expected = whole.fit(x, epochs=12, callbacks=callbacks(tmp_path / "whole"))
    assert 4 < len(expected.loss) < 12  # stopped early
    with pytest.raises(KeyboardInterrupt):
        cut.fit(x, epochs=12, callbacks=[*callbacks(tmp_path / "cut"), Stop()])
    for other in (Trainer.resume(tmp_path / "cut"), cut):
        watch = callbacks(tmp_path / "other")
        assert other.fit(x, epochs=12, callbacks=watch, resume=True).loss == expected.loss
        np.testing.assert_array_equal(other.model.parameters, whole.model.parameters)


def test_a_fit_that_was_stopped_early_stays_so(rng, tmp_path):
    """From its last checkpoint it takes no step more, and gives the best weights."""
    x, arguments = rng.random((52, 6), "float32"), {"epochs": 40, "validation_fraction": 0.2, "early_stopping": 1}
    trainer = trainer_of("numpy", Adam(0.05))
    history = trainer.fit(x, **arguments, callbacks=Checkpoint(tmp_path / "t"))
    assert len(history.loss) < 40
    other = Trainer.resume(tmp_path / "t")
    assert other.fit(x, **arguments, callbacks=Checkpoint(tmp_path / "u"), resume=True).loss == history.loss
    np.testing.assert_array_equal(other.model.parameters, trainer.model.parameters)
    assert other.steps == trainer.steps
    other.fit(x, epochs=2)  # another fit begins
    assert other.epochs == trainer.epochs + 2


def test_a_checkpoint_that_cannot_be_saved_is_refused_before_training(rng, tmp_path):
    class Own(Cosine):
        pass

    x = rng.random((52, 6), "float32")
    for trainer, path, error, words in (
        (trainer_of("numpy", schedule=Own(9)), tmp_path / "t", ValueError, "schedules of fastae, got Own"),
        (trainer_of("numpy"), tmp_path / "none" / "t", FileNotFoundError, "not a folder"),
    ):
        with pytest.raises(error, match=words):
            trainer.fit(x, epochs=1, callbacks=Checkpoint(path))
        assert trainer.steps == 0


def test_a_training_that_is_killed_goes_on(tmp_path):
    """In another process, from the last checkpoint."""
    code = f"""
        import sys, os, numpy as np, fastae
        from fastae.callbacks import Callback, Checkpoint
        x, path = np.random.default_rng(0).random((52, 6), "float32"), {str(tmp_path / "trainer")!r}
        class Kill(Callback):
            every = 1
            def on_steps(self, trainer, rows, loss):
                if trainer.steps == 24:
                    os._exit(9)
        if sys.argv[1] == "begin":
            model = fastae.Autoencoder([6, 3], seed=0, backend="numpy")
            trainer = fastae.Trainer(model, fastae.Adam(1e-2), batch_size=8, seed=0)
            trainer.fit(x, epochs=6, callbacks=[Checkpoint(path), *([Kill()] if sys.argv[2] == "kill" else [])])
        else:
            trainer = fastae.Trainer.resume(path)
            assert trainer.steps == 21
            trainer.fit(x, epochs=6, resume=True)
        print(trainer.model.parameters.tobytes().hex(), trainer.history.loss)
    """
    answers = []
    for arguments in (["begin", "on"], ["begin", "kill"], ["resume"]):
        run = subprocess.run(
            [sys.executable, "-P", "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, env=os.environ
        )
        assert run.returncode == (9 if "kill" in arguments else 0), run.stderr
        answers.append(run.stdout)
    assert answers[0] == answers[2] != ""


def test_the_file_is_a_model_too_and_another_model_may_take_the_weights(backend, rng, tmp_path):
    trainer, path = trainer_of(backend), tmp_path / "trainer.safetensors"
    trainer.fit(rng.random((52, 6)), epochs=1)
    trainer.save(path)
    model = fastae.load(path, backend=backend)
    np.testing.assert_array_equal(model.parameters, trainer.model.parameters)
    twin = trainer_of(backend).model
    assert Trainer.resume(path, twin).model is twin
    np.testing.assert_array_equal(twin.parameters, trainer.model.parameters)
    with pytest.raises(ValueError, match="does not hold a trainer of fastae that can be resumed here: "):
        Trainer.resume(path, Autoencoder([6, 3], seed=0))


def test_a_network_that_is_no_autoencoder(rng, tmp_path):
    def network(seed):
        return Sequential(Linear(4, 5, "tanh", seed=seed, backend="numpy"), Linear(5, 3, seed=seed, backend="numpy"))

    x, target, path = rng.random((20, 4)), rng.random((20, 3)), tmp_path / "trainer"
    trainer = Trainer(network(0), SGD(0.1, 0.9), batch_size=8, seed=0)
    trainer.fit(x, target, epochs=1)
    trainer.save(path)
    with pytest.raises(ValueError, match=r"trained a Sequential.*give one of the same layers as model="):
        Trainer.resume(path)
    other = Trainer.resume(path, network(1))
    for each in (trainer, other):
        each.fit(x, target, epochs=2)
    np.testing.assert_array_equal(other.model.parameters, trainer.model.parameters)


def test_a_failed_save_leaves_the_old_file(rng, tmp_path, monkeypatch):
    trainer, path = trainer_of("numpy"), tmp_path / "trainer"
    trainer.save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("no space left")

    trainer.fit(rng.random((16, 6)), epochs=1)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        trainer.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["trainer"]


def test_files_that_are_none(tmp_path):
    from safetensors.numpy import load_file, save_file

    trainer, path = trainer_of("numpy"), tmp_path / "trainer"
    with pytest.raises(FileNotFoundError):
        Trainer.resume(path)
    trainer.model.save(path)
    with pytest.raises(ValueError, match="not of a trainer"):
        Trainer.resume(path)
    trainer.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with pytest.raises(ValueError, match="is not a safetensors file, or is cut short"):
        Trainer.resume(path)
    path.write_bytes(whole)
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    for change, words in (
        ({"format": 7}, "its format is 7; this version reads 1"),
        ({"loss": "own"}, "its loss is 'own', a function of one's own; make it before"),
        ({"optimizer": ["Sgd", {}]}, "cannot|does not hold"),
        ({"settings": {}}, "does not hold"),
    ):
        config = json.loads(metadata["fastae.trainer"]) | change
        save_file(load_file(path), tmp_path / "bad", {**metadata, "fastae.trainer": json.dumps(config)})
        with pytest.raises(ValueError, match=words):
            Trainer.resume(tmp_path / "bad")


def test_what_cannot_be_saved(tmp_path):
    class Own(SGD):
        """Not of fastae."""

    with pytest.raises(ValueError, match="a file takes optimizers and schedules of fastae, got Own"):
        trainer_of("numpy", Own(0.1)).save(tmp_path / "trainer")
    assert os.listdir(tmp_path) == []
