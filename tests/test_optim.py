"""A hundred steps here and in PyTorch: optimisers, schedules, clipping, accumulation, averages of weights."""

import numpy as np
import pytest

from fastae import SGD, Adam, AdamW, Autoencoder, RMSprop, Trainer
from fastae.callbacks import Callback, WeightAverage
from fastae.schedules import Cosine, OneCycle, Plateau, Step, WarmUp

torch = pytest.importorskip("torch")
lr_scheduler = torch.optim.lr_scheduler
torch.set_num_threads(1)

STEPS, BATCH = 100, 8
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
TOLERANCE = 1e-6  # of a weight, all of which are near 1


def model_of(backend, dtype="float64"):
    return Autoencoder([12, 7, 3], "tanh", output_activation="identity", dtype=dtype, seed=3, backend=backend)


def twin_of(model):
    def linear(ours):
        return torch.nn.Linear(ours.n_in, ours.n_out, dtype=getattr(torch, model.dtype.name))

    first, second, third, fourth = map(linear, model.layers)
    twin = torch.nn.Sequential(first, torch.nn.Tanh(), second, third, torch.nn.Tanh(), fourth)
    state = dict(zip(twin.state_dict(), map(torch.from_numpy, model.state_dict().values()), strict=True))
    twin.load_state_dict(state)
    return twin


def flat(twin):
    return np.concatenate([p.detach().numpy().ravel() for p in twin.parameters()])


class Record(Callback):
    """The weights after every tenth step."""

    every = 10

    def on_fit_begin(self, trainer):
        self.weights = []

    def on_steps(self, trainer, rows, loss):
        if trainer.steps % self.every == 0:
            self.weights.append(trainer.model.parameters.copy())


def data(rng, dtype, batches=STEPS):
    return rng.normal(size=(batches * BATCH, 12)).astype(dtype)


def compare(trainer, x, theirs, scheduler=None, before=None, accumulate=1, every=BATCH):
    """Steps over x, unshuffled, here and there; ``before`` is done to PyTorch's gradients, scheduler has a step after each."""
    twin = twin_of(trainer.model)
    optimizer = theirs(twin.parameters())
    scheduler = scheduler and scheduler(optimizer)
    record = Record()
    history = trainer.fit(x, epochs=1, shuffle=False, callbacks=[record])
    expected, total = [], 0.0
    for number in range(len(x) // (every * accumulate)):
        batch = torch.from_numpy(x[number * every * accumulate :][: every * accumulate])
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(twin(batch), batch)
        loss.backward()
        total += loss.item() * len(batch)
        if before is not None:
            before(twin.parameters())
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        if (number + 1) % Record.every == 0:
            expected.append(flat(twin))
    assert len(record.weights) == len(expected) > 0
    np.testing.assert_allclose(record.weights, expected, rtol=0, atol=TOLERANCE)
    assert history.loss[0] == pytest.approx(total / len(x), rel=1e-5)


OPTIMIZERS = {
    "sgd": (SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (SGD(0.05, 0.9, weight_decay=0.01), lambda p: torch.optim.SGD(p, 0.05, 0.9, weight_decay=0.01)),
    "nesterov": (SGD(0.05, 0.8, nesterov=True), lambda p: torch.optim.SGD(p, 0.05, 0.8, nesterov=True)),
    "adam": (Adam(1e-2), lambda p: torch.optim.Adam(p, 1e-2)),
    "adam, all": (
        Adam(3e-3, (0.8, 0.99), 1e-4, 0.02),
        lambda p: torch.optim.Adam(p, 3e-3, betas=(0.8, 0.99), eps=1e-4, weight_decay=0.02),
    ),
    "adamw": (AdamW(1e-2, weight_decay=0.1), lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1)),
    "rmsprop": (RMSprop(2e-3), lambda p: torch.optim.RMSprop(p, 2e-3)),
    "rmsprop, all": (
        RMSprop(1e-3, 0.95, 1e-4, 0.02, 0.7),
        lambda p: torch.optim.RMSprop(p, 1e-3, 0.95, 1e-4, 0.02, 0.7),
    ),
}


@DTYPES
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(backend, rng, name, dtype):
    ours, theirs = OPTIMIZERS[name]
    compare(Trainer(model_of(backend, dtype), ours, batch_size=BATCH), data(rng, dtype), theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SGD(0.05, 0.9), lambda p: torch.optim.SGD(p, 0.05, 0.9, dampening=0.1)),
        (Adam(1e-2), lambda p: torch.optim.Adam(p, 1e-2, betas=(0.9, 0.9991))),
        (Adam(1e-2, weight_decay=0.1), lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1)),
        (RMSprop(2e-3), lambda p: torch.optim.RMSprop(p, 2e-3, centered=True)),
    ],
)
def test_that_another_formula_would_be_noticed(rng, ours, theirs):
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(Trainer(model_of("numpy"), ours, batch_size=BATCH), data(rng, "float64"), theirs)


# ---- schedules -------------------------------------------------------------------------------------------------------

SCHEDULES = {
    "step": (Step(30, 0.5), lambda o: lr_scheduler.StepLR(o, 30, 0.5)),
    "cosine": (Cosine(STEPS, 0.001), lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, 0.001)),
    "cosine of the fit": (Cosine(), lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)),
    "one cycle": (
        OneCycle(STEPS + 1, 0.02),
        lambda o: lr_scheduler.OneCycleLR(o, 0.02, STEPS + 1),
    ),
    "one cycle, all": (
        OneCycle(STEPS + 7, 0.03, 0.4, 10.0, 100.0, 0.7, 0.9),
        lambda o: lr_scheduler.OneCycleLR(
            o, 0.03, STEPS + 7, pct_start=0.4, div_factor=10, final_div_factor=100, base_momentum=0.7, max_momentum=0.9
        ),
    ),
    "one cycle of the rate": (
        OneCycle(STEPS + 1, 0.02, cycle_momentum=False),
        lambda o: lr_scheduler.OneCycleLR(o, 0.02, STEPS + 1, cycle_momentum=False),
    ),
    "warm-up": (WarmUp(20, start=0.1), lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, 20)),
    "warm-up, then cosine": (
        WarmUp(20, Cosine()),
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, 1 / 3, 1.0, 20), lr_scheduler.CosineAnnealingLR(o, STEPS - 20)], [20]
        ),
    ),
}


@pytest.mark.filterwarnings("ignore")  # PyTorch's of its own: the epoch parameter in scheduler.step()
@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_those_of_pytorch(name):
    schedule, theirs = SCHEDULES[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.01, 0.9)
    scheduler, expected = theirs(optimizer), []
    for _ in range(STEPS):
        expected.append([optimizer.param_groups[0][key] for key in ("lr", "momentum")])
        optimizer.step()
        scheduler.step()
    found = schedule.rates(np.arange(STEPS), 0.01, 0.9, STEPS)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-17)
    parts = [schedule.rates(np.arange(a, b), 0.01, 0.9, STEPS) for a, b in ((0, 1), (1, 37), (37, STEPS))]
    np.testing.assert_array_equal(np.concatenate(parts), found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_steps_of_a_schedule(backend, rng, name, optimizer):
    schedule, scheduler = SCHEDULES[name]
    ours, theirs = OPTIMIZERS[optimizer]
    trainer = Trainer(model_of(backend), ours, batch_size=BATCH, schedule=schedule)
    compare(trainer, data(rng, "float64"), theirs, scheduler)


def test_single_steps_follow_the_schedule(backend, rng):
    x = data(rng, "float64")
    fitted, stepped = (Trainer(model_of(backend), SGD(0.05, 0.9), batch_size=BATCH, schedule=Cosine(60)) for _ in range(2))
    fitted.fit(x, epochs=1, shuffle=False)
    for start in range(0, len(x), BATCH):
        stepped.step(x[start : start + BATCH])
    np.testing.assert_array_equal(stepped.model.parameters, fitted.model.parameters)


def test_the_cosine_stays_at_its_end():
    np.testing.assert_array_equal(Cosine(10, 0.25).rates(np.array([10, 11, 25]), 1.0, 0.5)[:, 0], 0.25)


def test_a_schedule_of_the_fit_begins_anew_in_each(rng):
    trainer = Trainer(model_of("numpy"), SGD(0.1), batch_size=BATCH, schedule=Cosine())
    x, rates = data(rng, "float64", 5), []

    class Rates(Callback):
        def on_epoch_end(self, trainer, logs):
            rates.append(logs["lr"])

    for _ in range(2):
        trainer.fit(x, epochs=2, callbacks=Rates())
    np.testing.assert_allclose(rates, [*(0.1 * (1 + np.cos(np.pi * np.array([0.4, 0.9]))) / 2)] * 2)


@pytest.mark.parametrize("settings", [{}, {"threshold": 0.05, "cooldown": 2, "patience": 1}, {"minimum": 0.02, "patience": 0}])
def test_plateau(rng, settings):
    names = {"minimum": "min_lr"}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    settings = {"patience": 3, **settings}
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, **{names.get(k, k): v for k, v in settings.items()})
    schedule = Plateau(0.5, **settings)
    for loss in np.exp(-np.arange(60) / 15) + 0.2 * rng.random(60):
        scheduler.step(loss)
        schedule.observe(float(loss))
        rate = schedule.rates(np.zeros(1), 0.1, 0.0)[0, 0]
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
    assert schedule.reductions > 0


def test_a_plateau_lowers_the_rate_of_a_fit(rng):
    x = rng.random((32, 12))
    trainer = Trainer(model_of("numpy"), SGD(0.0), batch_size=BATCH, schedule=Plateau(0.1, 1))
    trainer.fit(x, epochs=8, validation_data=x)  # at the rate 0, no loss gets better
    assert trainer.schedule.reductions == 3
    assert trainer.schedule.best == pytest.approx(trainer.evaluate(x))


# ---- gradients -------------------------------------------------------------------------------------------------------

CLIPS = {
    "norm": ({"clip_norm": 0.3}, lambda p: torch.nn.utils.clip_grad_norm_(p, 0.3)),
    "value": ({"clip_value": 0.02}, lambda p: torch.nn.utils.clip_grad_value_(p, 0.02)),
    "a norm that is seldom reached": ({"clip_norm": 0.6}, lambda p: torch.nn.utils.clip_grad_norm_(p, 0.6)),
}


@DTYPES
@pytest.mark.parametrize("name", CLIPS)
def test_clipping(backend, rng, name, dtype):
    settings, before = CLIPS[name]
    trainer = Trainer(model_of(backend, dtype), SGD(0.1, 0.5), batch_size=BATCH, **settings)
    compare(trainer, data(rng, dtype), lambda p: torch.optim.SGD(p, 0.1, 0.5), before=before)


@DTYPES
def test_accumulation_is_one_larger_batch(backend, rng, dtype):
    x = data(rng, dtype, 4 * STEPS)
    trainer = Trainer(model_of(backend, dtype), Adam(1e-2), batch_size=BATCH, accumulate=4, clip_norm=0.5)
    compare(
        trainer,
        x,
        lambda p: torch.optim.Adam(p, 1e-2),
        before=lambda p: torch.nn.utils.clip_grad_norm_(p, 0.5),
        accumulate=4,
    )
    assert trainer.steps == STEPS


def test_a_step_accumulates_too(backend, rng):
    x = data(rng, "float64", 4)
    one, four = (Trainer(model_of(backend), SGD(0.1), batch_size=32 // n, accumulate=n) for n in (1, 4))
    assert four.step(x) == pytest.approx(one.step(x), rel=1e-12)
    np.testing.assert_allclose(four.model.parameters, one.model.parameters, rtol=0, atol=1e-14)
    assert four.steps == 1


# ---- averages --------------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("decay", [0.9, None])
@pytest.mark.parametrize("every", [1, 5])
def test_averages_are_those_of_pytorch(backend, rng, decay, every, dtype):
    x, model = data(rng, dtype), model_of(backend, dtype)
    twin = twin_of(model)
    optimizer = torch.optim.SGD(twin.parameters(), 0.1)
    function = None if decay is None else torch.optim.swa_utils.get_ema_multi_avg_fn(decay)
    averaged = torch.optim.swa_utils.AveragedModel(twin, multi_avg_fn=function)
    for number in range(STEPS):
        batch = torch.from_numpy(x[number * BATCH :][:BATCH])
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(twin(batch), batch).backward()
        optimizer.step()
        if (number + 1) % every == 0:
            averaged.update_parameters(twin)
    average = WeightAverage(decay, every)
    Trainer(model, SGD(0.1), batch_size=BATCH).fit(x, epochs=1, shuffle=False, callbacks=[average])
    assert average.n == STEPS // every
    np.testing.assert_allclose(average.average, flat(averaged.module), rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(model.parameters, average.average)
