"""What a fit calls: when, with what, and what the callbacks of fastae do."""

import csv
import subprocess
import sys

import numpy as np
import pytest

import fastae
from fastae import SGD, Autoencoder, DivergenceError, Trainer
from fastae.callbacks import Callback, Checkpoint, CSVLog, EarlyStopping, LogTo, ProgressBar, WeightAverage


def trainer_of(backend, lr=0.5, **settings):
    return Trainer(Autoencoder([6, 3], seed=0, backend=backend), SGD(lr, 0.9), batch_size=8, seed=1, **settings)


class Diary(Callback):
    """Everything that it is told."""

    def __init__(self, every=0, stop_at=0):
        self.every, self.stop_at, self.told = every, stop_at, []

    def on_fit_begin(self, trainer):
        self.told.append("begin")

    def on_steps(self, trainer, rows, loss):
        self.told.append((trainer.steps, rows, loss))

    def on_epoch_end(self, trainer, logs):
        self.told.append(logs)
        return trainer.epochs == self.stop_at

    def on_fit_end(self, trainer, finished):
        self.told.append(finished)


def test_what_callbacks_are_told(backend, rng):
    x = rng.random((52, 6), "float32")
    trainer, diary = trainer_of(backend), Diary(every=3)
    history = trainer.fit(x, epochs=2, validation_data=x, callbacks=[diary])
    assert diary.told[0] == "begin"
    assert diary.told[-1] is True
    logs = [told for told in diary.told if isinstance(told, dict)]
    assert [log["epoch"] for log in logs] == [1, 2]
    assert [log["loss"] for log in logs] == history.loss
    assert [log["val_loss"] for log in logs] == history.val_loss
    assert [log["seconds"] for log in logs] == history.seconds
    assert {log["lr"] for log in logs} == {0.5}
    steps = [told for told in diary.told if isinstance(told, tuple)]
    assert {3, 6, 7, 9, 12, 14} <= {step for step, *_ in steps}  # multiples of three, and the ends of epochs
    assert sum(rows for _, rows, _ in steps) == 104
    assert [loss for step, _, loss in steps if step in (7, 14)] == pytest.approx(history.loss, rel=1e-15)


def test_callbacks_change_no_bit(backend, rng):
    x = rng.random((52, 6), "float32")
    alone, watched = trainer_of(backend), trainer_of(backend)
    alone.fit(x, epochs=3)
    watched.fit(x, epochs=3, progress=True, callbacks=[Diary(1), Diary(5), WeightAverage(0.9, 2, assign=False)])
    np.testing.assert_array_equal(watched.model.parameters, alone.model.parameters)
    assert watched.history.loss == alone.history.loss


def test_a_callback_ends_a_fit_and_the_others_are_told(rng):
    first, second = Diary(stop_at=2), Diary()
    history = trainer_of("numpy").fit(rng.random((52, 6)), epochs=9, callbacks=[first, second])
    assert len(history.loss) == 2
    assert len([told for told in second.told if isinstance(told, dict)]) == 2
    assert second.told[-1] is True


def test_an_exception_ends_a_fit_and_all_are_told(rng):
    diary = Diary()
    trainer = Trainer(Autoencoder([6, 3], output_activation="identity", seed=0, backend="numpy"), SGD(1e3), "half_squared", 8)
    with pytest.raises(DivergenceError):
        trainer.fit(1e3 * rng.random((52, 6)), epochs=50, callbacks=diary)
    assert diary.told[-1] is False


# ---- early stopping --------------------------------------------------------------------------------------------------


class Losses(Trainer):
    """Validation losses as they are given."""

    def __init__(self, losses):
        super().__init__(Autoencoder([6, 3], seed=0, backend="numpy"), SGD(0.1), batch_size=8, seed=0)
        self.losses, self.weights = list(losses), []

    def _evaluate(self, data):
        self.weights.append(self.model.parameters.copy())
        return self.losses[len(self.weights) - 1]


X = np.random.default_rng(0).random((16, 6))


@pytest.mark.parametrize(
    ("losses", "settings", "epochs", "best"),
    [
        ([5, 4, 3, 3.5, 3.2, 9, 9], {"patience": 2}, 5, 3),
        ([5, 4, 3, 3.5, 2, 9, 9], {"patience": 2}, 7, 5),
        ([5, 4.9, 4.8, 4.7, 4.6], {"patience": 2, "min_delta": 0.5}, 3, 1),
        ([5, 4.9, 4.8, 4.4, 4.3], {"patience": 3, "min_delta": 0.5}, 5, 4),
        ([3, np.nan, np.nan, 1], {"patience": 2}, 3, 1),
        ([5, 4, 3], {"patience": 10}, 3, 3),  # the fit ends by itself
        ([3, 4, 5], {"patience": 10}, 3, 1),
    ],
)
def test_early_stopping_restores_the_best_weights(losses, settings, epochs, best):
    trainer, stopping = Losses(losses), EarlyStopping(**settings)
    history = trainer.fit(X, epochs=len(losses), validation_data=X, callbacks=[stopping])
    assert (len(history.loss), stopping.best_epoch, stopping.best) == (epochs, best, losses[best - 1])
    np.testing.assert_array_equal(trainer.model.parameters, trainer.weights[best - 1])


def test_early_stopping_may_keep_the_last_weights():
    trainer = Losses([3, 4, 5, 6])
    trainer.fit(X, epochs=4, validation_data=X, callbacks=EarlyStopping(1, restore_best=False))
    np.testing.assert_array_equal(trainer.model.parameters, trainer.weights[-1])
    assert len(trainer.weights) == 2


def test_early_stopping_by_an_argument_and_by_the_training_loss():
    trainer = Losses([3, 4, 2, 4, 4, 4])
    trainer.fit(X, epochs=6, validation_data=X, early_stopping=2)
    np.testing.assert_array_equal(trainer.model.parameters, trainer.weights[2])
    trainer = trainer_of("numpy", lr=0.0)
    assert len(trainer.fit(X, epochs=9, early_stopping=2, shuffle=False).loss) == 3


def test_each_fit_begins_anew():
    stopping = EarlyStopping(1)
    Losses([1, 2, 3]).fit(X, epochs=3, validation_data=X, callbacks=[stopping])
    trainer = Losses([6, 5, 4])
    assert len(trainer.fit(X, epochs=3, validation_data=X, callbacks=[stopping]).loss) == 3
    assert stopping.best == 4


# ---- averages --------------------------------------------------------------------------------------------------------


def test_an_average_from_a_step_on_that_is_not_assigned(rng):
    x = rng.random((80, 6))
    average, trainer, seen = WeightAverage(None, 2, start=5, assign=False), trainer_of("numpy"), []

    class Seen(Callback):
        every = 1

        def on_steps(self, trainer, rows, loss):
            seen.append(trainer.model.parameters.copy())

    trainer.fit(x, epochs=1, callbacks=[average, Seen()])
    assert average.n == 3  # after steps 6, 8 and 10
    np.testing.assert_allclose(average.average, np.mean([seen[i - 1] for i in (6, 8, 10)], axis=0), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(trainer.model.parameters, seen[-1])


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_log_of_lines(tmp_path, rng):
    trainer, path = trainer_of("numpy", schedule=fastae.schedules.Step(7, 0.1)), tmp_path / "log.csv"
    x = rng.random((52, 6))
    for _ in range(2):  # the second fit's log replaces the first one's
        history = trainer.fit(x, epochs=3, validation_data=x, callbacks=[CSVLog(path)])
    with open(path, newline="") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["loss"]) for line in lines] == history.loss
    assert [float(line["val_loss"]) for line in lines] == history.val_loss
    assert [int(line["epoch"]) for line in lines] == [4, 5, 6]
    assert [float(line["lr"]) for line in lines] == pytest.approx([0.5e-3, 0.5e-4, 0.5e-5])
    trainer.fit(x, epochs=1, callbacks=[CSVLog(path)])
    assert path.read_text().splitlines()[1].split(",")[2] == ""  # no validation


def test_checkpoints_every_so_many_epochs_and_of_the_best(tmp_path):
    trainer = Losses([3, 2, 4, 5, 6])
    trainer.fit(X, epochs=5, validation_data=X, callbacks=Checkpoint(tmp_path / "a", every=2, best=tmp_path / "b"))
    for name, epoch in (("a", 4), ("b", 2)):
        np.testing.assert_array_equal(fastae.load(tmp_path / name).parameters, trainer.weights[epoch - 1])
        assert Trainer.resume(tmp_path / name).epochs == epoch


def test_the_bar_shows_where_there_is_a_terminal(monkeypatch, capsys, rng):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    trainer_of("numpy").fit(rng.random((52, 6)), epochs=2, callbacks=[ProgressBar()])
    shown = capsys.readouterr().err
    assert "loss 0." in shown
    assert "104/104" in shown


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: LogTo(3), TypeError, "target takes a function of"),
        (lambda: LogTo(print, 1), TypeError, "prefix takes a string"),
        (lambda: EarlyStopping(0), ValueError, "patience takes a positive integer"),
        (lambda: EarlyStopping(1, -1), ValueError, "min_delta takes"),
        (lambda: WeightAverage(1.0), ValueError, "decay takes 0 <= decay < 1, or None"),
        (lambda: WeightAverage(0.9, 0), ValueError, "every takes a positive integer"),
        (lambda: WeightAverage(0.9, 1, -1), ValueError, "start takes an integer >= 0"),
        (lambda: Checkpoint("a", 0), ValueError, "every takes a positive integer"),
        (lambda: Checkpoint("a", best="a"), ValueError, "best takes another file than path, got a for both"),
    ],
)
def test_bad_arguments(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(("every", "error"), [(1.5, TypeError), (None, TypeError), (-1, ValueError)])
def test_every_is_looked_at_before_a_fit(every, error):
    trainer = trainer_of("numpy")
    with pytest.raises(error, match="every of Diary takes an integer >= 0, got"):
        trainer.fit(X, callbacks=Diary(every))
    assert trainer.steps == 0


def test_callbacks_within_a_run_and_between_runs(backend, rng):
    """Each is told of every row once; those between runs see the steps that were taken."""
    x = rng.random((16_000, 6), "float32")
    trainer, within, between, often = trainer_of(backend), Diary(), Diary(), Diary(every=1500)
    within.within = True
    average = WeightAverage(None, every=1500, assign=False)
    history = trainer.fit(x, epochs=2, callbacks=[within, between, often, average])
    for diary in (within, between, often):
        steps = [told for told in diary.told if isinstance(told, tuple)]
        assert sum(rows for _, rows, _ in steps) == 32_000
        assert [loss for *_, loss in steps][-1] == pytest.approx(history.loss[-1], rel=1e-12)
    for diary in (between, often):
        counted = np.cumsum([rows for _, rows, _ in (told for told in diary.told if isinstance(told, tuple))])
        assert [step for step, *_ in (told for told in diary.told if isinstance(told, tuple))] == (counted // 8).tolist()
    assert average.n == 2


def test_a_log_of_a_fit_that_resumes_has_each_epoch_once(rng, tmp_path):
    """Though epochs after the last checkpoint were logged before."""
    x, path = rng.random((52, 6), "float32"), tmp_path / "log.csv"

    class Kill(Callback):
        def on_epoch_end(self, trainer, logs):
            if trainer.epochs == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer_of("numpy").fit(x, epochs=5, callbacks=[CSVLog(path), Checkpoint(tmp_path / "t", every=2), Kill()])
    Trainer.resume(tmp_path / "t").fit(x, epochs=5, callbacks=CSVLog(path), resume=True)
    with open(path) as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4", "5"]
    path.unlink()
    Trainer.resume(tmp_path / "t").fit(x, epochs=5, callbacks=CSVLog(path), resume=True)
    with open(path) as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["3", "4", "5"]


def test_an_average_and_the_best_weights_cannot_both_be_given(rng):
    x, average = rng.random((52, 6), "float32"), WeightAverage(0.9)
    with pytest.raises(ValueError, match=r"callbacks takes either a WeightAverage .*assign=False"):
        trainer_of("numpy").fit(x, epochs=2, early_stopping=1, callbacks=average)
    trainer_of("numpy").fit(x, epochs=2, callbacks=[average, EarlyStopping(1, restore_best=False)])


# ---- logs --------------------------------------------------------------------------------------------------------------


class Writer:
    """TensorBoard's signature."""

    def __init__(self):
        self.told = []

    def add_scalar(self, tag, scalar_value, global_step=None, walltime=None, new_style=False, double_precision=False):
        self.told.append((tag, scalar_value, global_step))


class Experiment:
    """MLflow's."""

    def __init__(self):
        self.told = []

    def log_metrics(self, metrics, step=None, synchronous=None, run_id=None, timestamp=None):
        self.told += [(name, value, step) for name, value in metrics.items()]


def test_numbers_of_epochs_are_handed_over():
    told, writer, experiment = [], Writer(), Experiment()
    trainer = trainer_of("numpy", schedule=fastae.schedules.Step(2, 0.1))
    trainer.fit(X, epochs=1)
    watch = [LogTo(lambda metrics, step: told.append((metrics, step))), LogTo(writer, "a/"), LogTo(experiment)]
    history = trainer.fit(X, epochs=2, validation_data=X, callbacks=watch)
    expected = [
        ({"loss": loss, "seconds": seconds, "lr": pytest.approx(lr), "val_loss": val_loss}, step)
        for loss, seconds, lr, val_loss, step in zip(
            history.loss, history.seconds, (0.05, 0.005), history.val_loss, (2, 3), strict=True
        )
    ]
    assert told == expected
    assert {type(value) for metrics, _ in told for value in metrics.values()} == {float}
    flat = [(name, value, step) for metrics, step in told for name, value in metrics.items()]
    assert writer.told == [("a/" + name, value, step) for name, value, step in flat]
    assert experiment.told == flat


def test_an_exception_of_what_is_told_ends_the_fit():
    def full(metrics, step):
        raise OSError("disk full")

    diary, trainer = Diary(), trainer_of("numpy")
    with pytest.raises(OSError, match="disk full"):
        trainer.fit(X, epochs=3, callbacks=[LogTo(full), diary])
    assert (trainer.epochs, diary.told[-1]) == (1, False)


def test_tensorboard_reads_what_its_writer_was_told(tmp_path):
    pytest.importorskip("tensorboard")
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard.SummaryWriter(tmp_path) as writer:
        history = trainer_of("numpy").fit(X, epochs=3, callbacks=LogTo(writer))
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("loss")
    assert [event.step for event in events] == [1, 2, 3]
    assert [event.value for event in events] == pytest.approx(history.loss, rel=1e-6)


def test_the_logger_tells_of_fits(caplog):
    caplog.set_level("DEBUG", "fastae")
    history = trainer_of("numpy").fit(X, epochs=2, validation_data=X)
    levels, lines = zip(*((record.levelname, record.getMessage()) for record in caplog.records), strict=True)
    assert levels == ("INFO", "DEBUG", "DEBUG", "INFO")
    assert lines[0] == "fit begins: Autoencoder, batch size 8, 32 samples to go"
    assert f"epoch 2: loss {history.loss[1]:.6g}" in lines[2]
    assert lines[3].startswith("fit ends: epochs 2, seconds ")
    assert lines[3].endswith(f"val_loss {history.val_loss[1]:.6g}")
    caplog.clear()
    caplog.set_level("INFO", "fastae")
    with pytest.raises(ZeroDivisionError):
        trainer_of("numpy").fit(X, epochs=2, callbacks=LogTo(lambda *_: 1 / 0))
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["fit begins", "fit interrupted"]


def test_a_fit_that_a_callback_lets_not_begin_raises_what_it_raised(caplog, tmp_path):
    caplog.set_level("INFO", "fastae")
    with pytest.raises(FileNotFoundError):
        trainer_of("numpy").fit(X, callbacks=CSVLog(tmp_path / "no-folder" / "log.csv"))
    assert caplog.records == []


def test_nobody_hears_the_logger_unless_asked():
    code = "import numpy as np, fastae; fastae.Trainer(fastae.Autoencoder([6, 3]), fastae.SGD(0.1)).fit(np.ones((128, 6)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""
