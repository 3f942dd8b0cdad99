"""What a fit takes beside arrays, and how it goes on: streams, weights, fractions, interrupts, pre-training."""

import re

import numpy as np
import pytest

import fastae
from fastae import (
    SGD,
    Adam,
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    DivergenceError,
    Linear,
    MaskedAutoencoder,
    Sequential,
    SparseAutoencoder,
    Trainer,
    VariationalAutoencoder,
)
from fastae.callbacks import Callback
from fastae.schedules import Cosine, OneCycle, Plateau, WarmUp


def trainer_of(backend, dtype="float32", **settings):
    model = DenoisingAutoencoder([6, 5, 3], activation="tanh", dtype=dtype, seed=0, backend=backend, level=0.1, dropout=0.1)
    return Trainer(model, Adam(1e-2), **{"batch_size": 8, "seed": 1, **settings})


def assert_same_bits(*trainers):
    for other in trainers[1:]:
        np.testing.assert_array_equal(other.model.parameters, trainers[0].model.parameters)
        assert (other.steps, other.epochs, other.history.loss) == (
            trainers[0].steps,
            trainers[0].epochs,
            trainers[0].history.loss,
        )


# ---- streams ---------------------------------------------------------------------------------------------------------


class Chunks:
    """Samples in pieces of the sizes given, again and again; can be iterated anew."""

    def __init__(self, x, sizes, target=None):
        self.x, self.target, self.sizes, self.passes = x, target, sizes, 0

    def __iter__(self):
        self.passes += 1
        at, number, buffer = 0, 0, np.empty_like(self.x)
        while at < len(self.x):
            n = min(self.sizes[number % len(self.sizes)], len(self.x) - at)
            buffer[:n] = self.x[at : at + n]  # the same memory each time
            yield buffer[:n] if self.target is None else (buffer[:n], self.target[at : at + n])
            at, number = at + n, number + 1
            buffer[...] = np.nan if buffer.dtype != np.uint8 else 255


@pytest.mark.parametrize("sizes", [[8], [1], [3], [29], [7, 11, 1], [100]], ids=str)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_chunks_of_any_sizes_are_the_same_batches(backend, rng, sizes, accumulate):
    x = rng.random((61, 6), "float32")
    fitted, streamed = (trainer_of(backend, accumulate=accumulate) for _ in range(2))
    fitted.fit(x, epochs=2, shuffle=False)
    source = Chunks(x, sizes)
    streamed.fit(source, epochs=2)
    assert_same_bits(fitted, streamed)
    assert source.passes == 2


def test_a_generator_once_and_pairs(backend, rng):
    x, target = rng.random((50, 6)), rng.random((50, 6), "float32")
    fitted, streamed = (trainer_of(backend) for _ in range(2))
    fitted.fit(x, target, epochs=1, shuffle=False)
    streamed.fit(iter(Chunks(x, [9], target)), epochs=1)
    assert_same_bits(fitted, streamed)


def test_chunks_of_bytes_and_of_floats(backend, rng):
    x = rng.integers(0, 256, (50, 6)).astype(np.uint8)
    fitted, streamed, mixed = (trainer_of(backend, "float64") for _ in range(3))
    fitted.fit(x, epochs=1, shuffle=False)
    streamed.fit(Chunks(x, [11]), epochs=1)
    assert_same_bits(fitted, streamed)
    mixed.fit(iter([x[:11], x[11:] / 255]), epochs=1)
    np.testing.assert_allclose(mixed.model.parameters, fitted.model.parameters, rtol=0, atol=1e-9)


def test_steps_per_epoch_go_on_where_the_epoch_before_ended(backend, rng):
    x = rng.random((64, 6), "float32")
    whole, cut = (trainer_of(backend) for _ in range(2))
    whole.fit(Chunks(x, [10]), epochs=3)  # 24 steps
    cut.fit(Chunks(x, [10]), epochs=8, steps_per_epoch=3)
    np.testing.assert_array_equal(cut.model.parameters, whole.model.parameters)
    assert (cut.steps, cut.epochs, len(cut.history.loss)) == (24, 8, 8)
    once = trainer_of(backend)
    once.fit(iter(Chunks(x, [10])), epochs=8, steps_per_epoch=1)
    np.testing.assert_array_equal(once.steps, 8)


def test_an_iterator_that_ends_early_ends_the_fit(backend, rng):
    trainer = trainer_of(backend)
    with pytest.warns(UserWarning, match="x gave no more samples after 3 of 9 epochs"):
        history = trainer.fit(iter(Chunks(rng.random((40, 6)), [9])), epochs=9, steps_per_epoch=2)
    assert (trainer.steps, trainer.epochs, len(history.loss)) == (5, 3, 3)
    with pytest.raises(ValueError, match="x takes an iterable that gives samples; got one that gave none"):
        trainer.fit(iter([]), epochs=1)


def test_a_bad_batch_is_named(rng):
    trainer, x = trainer_of("numpy"), rng.random((64, 6), "float32")
    for bad, error, words in (
        (x[:, :5], ValueError, r"batch 2 of x takes an array of shape \(samples, 6\), got \(64, 5\)"),
        ((x, x[:9]), ValueError, "the target of batch 2 of x takes as many samples as batch 2 of x, 64; got 9"),
        (x.astype(int), TypeError, "batch 2 of x takes float32"),
        ((x, x, x), ValueError, r"batch 2 of x takes an array or a pair \(x, target\), got 3 of them"),
    ):
        with pytest.raises(error, match=words):
            trainer.fit(iter([x, x, bad]), epochs=1)
    y = x.copy()
    y[3, 3] = np.nan
    with pytest.raises(ValueError, match="batch 1 of x has NaN or infinity, the first in row 3, column 3"):
        trainer.fit(iter([x, y]), epochs=1)


# ---- one pass --------------------------------------------------------------------------------------------------------


def test_partial_fit_is_one_unshuffled_epoch_that_is_not_counted(backend, rng):
    x = rng.random((45, 6), "float32")
    fitted, partial = (trainer_of(backend) for _ in range(2))
    loss = fitted.fit(x, epochs=1, shuffle=False).loss[0]
    assert partial.partial_fit(x) == loss
    assert (partial.steps, partial.epochs, partial.position) == (6, 0, 0)
    np.testing.assert_array_equal(partial.model.parameters, fitted.model.parameters)
    partial.partial_fit(x[:3])
    assert partial.steps == 7


def test_partial_fit_of_bad_data_changes_nothing(rng):
    trainer, x = trainer_of("numpy"), rng.random((45, 6), "float32")
    x[40, 1] = np.inf
    before = trainer.model.parameters.copy()
    with pytest.raises(ValueError, match="x has NaN or infinity, the first in row 40, column 1"):
        trainer.partial_fit(x)
    np.testing.assert_array_equal(trainer.model.parameters, before)
    assert trainer.steps == 0


# ---- weights of samples and features ---------------------------------------------------------------------------------


def linear(backend, weight):
    layer = Linear(4, 3, bias=False, dtype="float64", backend=backend)
    layer.weight = weight
    return Sequential(layer)


@pytest.mark.parametrize("how", ["step", "fit", "partial_fit"])
def test_weights_multiply_the_terms_of_the_loss(backend, rng, how):
    x, t, w, f = rng.normal(size=(8, 4)), rng.normal(size=(8, 3)), rng.random(8), rng.random(3)
    weight = rng.normal(size=(3, 4))
    model = linear(backend, weight)
    trainer = Trainer(model, SGD(0.3), batch_size=8, feature_weight=f)
    call = getattr(trainer, how)
    value = call(x, t, epochs=1, sample_weight=w).loss[0] if how == "fit" else call(x, t, sample_weight=w)
    error = x @ weight.T - t
    assert value == pytest.approx(np.mean(w[:, None] * f * error**2), rel=1e-12)
    gradient = 2 / error.size * (w[:, None] * f * error).T @ x
    np.testing.assert_allclose(model[0].weight, weight - 0.3 * gradient, rtol=0, atol=1e-14)
    error = x @ model[0].weight.T - t
    assert trainer.evaluate(x, t, w) == pytest.approx(np.mean(w[:, None] * error**2), rel=1e-12)


@pytest.mark.parametrize("kind", ["variational", "l1", "contractive"])
def test_samples_of_weight_0_change_nothing(backend, rng, kind):
    """Not by their penalties either; and weights scale all of the loss, whose value in validation is that of training."""
    x = rng.random((16, 12))
    w = (np.arange(16) < 9).astype(float)

    def step(rows, weight):
        if kind == "variational":
            model = VariationalAutoencoder([12, 9, 5], seed=0, dtype="float64", backend=backend)
        elif kind == "l1":
            model = SparseAutoencoder([12, 9], penalty="l1", seed=0, dtype="float64", backend=backend)
        else:
            model = ContractiveAutoencoder([12, 9], seed=0, dtype="float64", backend=backend)
        loss = Trainer(model, SGD(0.1), batch_size=16, seed=0).step(rows, sample_weight=weight)
        return loss, model.parameters.copy()

    other = x.copy()
    other[9:] = rng.random((7, 12))
    (loss, after), (same, as_well) = step(x, w), step(other, w)
    assert loss == same
    np.testing.assert_array_equal(after, as_well)
    assert step(x, 3 * w)[0] == pytest.approx(3 * loss, rel=1e-12)
    assert step(x, 0 * w)[0] == 0


def test_of_data_that_are_all_missing_nothing_is_known(backend):
    trainer = Trainer(MaskedAutoencoder([4, 2], seed=0, backend=backend), SGD(0.1), batch_size=3)
    assert np.isnan(trainer.evaluate(np.full((5, 4), np.nan, "float32")))


def test_a_trainer_says_what_it_is():
    trainer = Trainer(Autoencoder([4, 2], seed=0), SGD(0.1), batch_size=3)
    for part in ("Trainer(Autoencoder(", "SGD(", "loss='mse'", "batch_size=3", "steps=0"):
        assert part in repr(trainer)


def test_weights_follow_their_samples_when_these_are_shuffled(backend, rng):
    """What weighs nothing may be anything."""
    x, w = rng.random((40, 6)), (rng.random(40) < 0.5).astype("float32")
    other = np.where(w[:, None] > 0, x, rng.random((40, 6)))
    results = []
    for data in (x, other):
        trainer = Trainer(Autoencoder([6, 3], seed=0, backend=backend, dtype="float64"), SGD(0.1), batch_size=8, seed=0)
        history = trainer.fit(data, epochs=3, sample_weight=w, validation_fraction=0.2)
        results.append((trainer.model.parameters, history.loss, history.val_loss))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


# ---- validation by a fraction ----------------------------------------------------------------------------------------


def test_a_fraction_is_held_back_by_the_seed(backend, rng):
    x = np.arange(40)[:, None] + np.zeros((40, 6))
    seen = []
    for seed in (1, 1, 2):
        trainer = trainer_of(backend, seed=seed)
        seen.append([rows.rows for rows in trainer._split(trainer._door.data(x, None, None), 0.25)])
        kept, held = seen[-1]
        assert len(held) == 10
        np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(40))
    np.testing.assert_array_equal(seen[0][1], seen[1][1])
    assert not np.array_equal(seen[0][1], seen[2][1])


@pytest.mark.parametrize("shuffle", [True, False])
def test_what_is_held_back_is_not_learnt(backend, rng, shuffle):
    x = rng.random((50, 6), "float32")
    trainer, twin = (trainer_of(backend) for _ in range(2))
    kept, held = (part.rows for part in trainer._split(trainer._door.data(x, None, None), 0.3))
    history = trainer.fit(x, epochs=3, validation_fraction=0.3, shuffle=shuffle)
    expected = twin.fit(x[kept], epochs=3, validation_data=x[held], shuffle=shuffle)
    assert (history.loss, history.val_loss) == (expected.loss, expected.val_loss)
    np.testing.assert_array_equal(trainer.model.parameters, twin.model.parameters)


# ---- going on after an interrupt -------------------------------------------------------------------------------------


class Interrupt(Callback):
    """Ctrl-C after some steps."""

    def __init__(self, step, every=1):
        self.step, self.every = step, every

    def on_steps(self, trainer, rows, loss):
        if trainer.steps == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", [1, 5, 7, 8, 14, 20])
@pytest.mark.parametrize("source", ["array", "fraction", "stream", "steps"])
def test_an_interrupted_fit_goes_on_to_the_same_bits(backend, rng, step, source):
    x = rng.random((52, 6), "float32")  # 7 steps an epoch
    settings = {
        "array": {"x": x, "validation_data": x[:5]},
        "fraction": {"x": x, "validation_fraction": 0.1},
        "stream": {"x": Chunks(x, [9])},
        "steps": {"x": Chunks(x, [9]), "steps_per_epoch": 4},
    }[source]
    whole, cut = (trainer_of(backend, schedule=None if source == "stream" else WarmUp(5, Cosine())) for _ in range(2))
    expected = whole.fit(**settings, epochs=4)
    if step > whole.steps:
        return
    with pytest.raises(KeyboardInterrupt):
        cut.fit(**settings, epochs=4, callbacks=[Interrupt(step)])
    assert cut.steps == step
    history = cut.fit(**settings, epochs=4, resume=True)
    assert history is cut.history
    assert (history.loss, history.val_loss) == (expected.loss, expected.val_loss)
    assert_same_bits(whole, cut)


def test_without_resume_the_epoch_begins_anew(backend, rng):
    x = rng.random((52, 6), "float32")
    trainer = trainer_of(backend)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(x, epochs=4, callbacks=[Interrupt(10)])
    assert (trainer.steps, trainer.epochs, trainer.position) == (10, 1, 24)
    assert len(trainer.fit(x, epochs=2).loss) == 2
    assert (trainer.steps, trainer.epochs, trainer.position) == (24, 3, 0)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(x, epochs=4, callbacks=[Interrupt(30)])
    with pytest.raises(ValueError, match="x takes the samples of the fit to resume, which had done 48"):
        trainer.fit(x[:40], epochs=4, resume=True)


class Fails:
    """A model's losses that are interrupted once."""

    def __init__(self, losses):
        self.losses, self.calls = losses, 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls == 2:
            raise KeyboardInterrupt
        return self.losses(*arguments)


@pytest.mark.parametrize("stream", [False, True])
def test_a_validation_that_is_interrupted_is_made_up_for(rng, monkeypatch, stream):
    x = rng.random((52, 6), "float32")
    whole, cut = (trainer_of("numpy") for _ in range(2))
    given = Chunks(x, [9]) if stream else x
    expected = whole.fit(given, epochs=4, validation_data=x)
    monkeypatch.setattr(cut.model, "losses", Fails(cut.model.losses))
    with pytest.raises(KeyboardInterrupt):
        cut.fit(given, epochs=4, validation_data=x)
    assert (cut.epochs, len(cut.history.loss)) == (2, 1)
    assert cut.fit(given, epochs=4, validation_data=x, resume=True).val_loss == expected.val_loss
    assert_same_bits(whole, cut)


def test_a_factor_of_penalties_at_each_step(backend, rng):
    """As of a variational autoencoder's divergence: here 0 for three steps, then 1/2."""

    class Annealed(fastae.SparseAutoencoder):
        def penalty_factor(self, steps):
            assert steps.ndim == 1
            return np.where(steps < 3, 0.0, 0.5)

    x, seen = rng.random((48, 6)), []
    kind = {"seed": 0, "backend": backend, "dtype": "float64", "penalty": "l1"}
    trainer = Trainer(Annealed([6, 3], weight=0.1, **kind), SGD(0.1), batch_size=8)
    trainer.fit(x, epochs=1, shuffle=False)
    trainer.step(x[:8])
    for first, last, l1 in ((0, 24, 0.0), (24, 48, 0.05), (0, 8, 0.05)):
        other = Trainer(fastae.SparseAutoencoder([6, 3], weight=l1, **kind), SGD(0.1), batch_size=8)
        if seen:
            other.model.parameters = seen[-1]
        other.partial_fit(x[first:last])
        seen.append(other.model.parameters)
    np.testing.assert_allclose(trainer.model.parameters, seen[-1], rtol=0, atol=1e-14)


# ---- arguments -------------------------------------------------------------------------------------------------------

X = np.zeros((20, 6), "float32")
BAD = [
    (lambda t: t.fit(X, validation_fraction=1.0), ValueError, "validation_fraction takes 0 <= validation_fraction < 1, got 1"),
    (lambda t: t.fit(X, validation_fraction="all"), TypeError, "validation_fraction takes .*, got 'all'"),
    (lambda t: t.fit(X, validation_fraction=0.5, validation_data=X), ValueError, "validation_fraction takes 0 where"),
    (lambda t: t.fit(X, callbacks=3), TypeError, "callbacks takes a list of callbacks, got int"),
    (lambda t: t.fit(X, callbacks=[print]), TypeError, "callbacks takes objects of fastae.callbacks.Callback, got"),
    (lambda t: t.fit(X, early_stopping=0), ValueError, "early_stopping takes a positive integer, got 0"),
    (lambda t: t.fit(X, shuffle="False"), TypeError, "shuffle takes True or False, got 'False'"),
    (lambda t: t.fit(X, progress="no"), TypeError, "progress takes True or False, got 'no'"),
    (lambda t: t.fit(X, sample_weight=np.ones(19)), ValueError, r"sample_weight takes numbers of shape \(20,\), got"),
    (lambda t: t.fit(X, sample_weight=-np.ones(20)), ValueError, "sample_weight takes numbers of at least 0, got -1"),
    (lambda t: t.step(X, sample_weight=["a"] * 20), ValueError, "sample_weight takes numbers"),
    (lambda t: t.partial_fit(X, sample_weight=np.full(20, np.nan)), ValueError, "sample_weight has NaN"),
    (lambda t: t.fit(X, steps_per_epoch=2), ValueError, "steps_per_epoch takes an iterable of batches as x, got ndarray"),
    (lambda t: t.fit(iter([X]), steps_per_epoch=0), ValueError, "steps_per_epoch takes a positive integer, got 0"),
    (lambda t: t.fit(iter([X]), epochs=2), ValueError, "epochs takes 1 where x is an iterator"),
    (lambda t: t.fit(iter([X]), X, epochs=1), ValueError, "x that is an iterable takes no target"),
    (lambda t: t.fit("abc"), TypeError, r"x takes an array of shape .*, got str$"),
    (lambda t: Trainer(t.model, SGD(), clip_norm=0), ValueError, "clip_norm takes a finite number above 0, or None; got 0"),
    (lambda t: Trainer(t.model, SGD(), clip_value=-1), ValueError, "clip_value takes a finite number above 0, or None, got -1"),
    (lambda t: Trainer(t.model, SGD(), accumulate=1.5), TypeError, "accumulate takes a positive integer, got 1.5"),
    (lambda t: Trainer(t.model, SGD(), feature_weight=[1, 2]), ValueError, r"feature_weight takes numbers of shape \(6,\)"),
    (lambda t: Trainer(t.model, SGD(), schedule=0.1), TypeError, "schedule takes one of fastae.schedules, got float"),
    (lambda t: Trainer(t.model, SGD(), schedule=OneCycle()).step(X), ValueError, "total of OneCycle takes a number of steps"),
    (lambda t: Trainer(t.model, SGD(), schedule=Cosine()).fit(iter([X]), epochs=1), ValueError, "total of Cosine takes"),
    (lambda t: Trainer(t.model, SGD(), "multinomial"), ValueError, "'multinomial' takes logits, of the identity"),
    (lambda t: fastae.find_learning_rate(t, X, 1.0, 0.1), ValueError, "low and high take numbers 0 < low < high"),
    (lambda t: fastae.pretrain(t, X, SGD()), TypeError, "model takes an Autoencoder, got Trainer"),
]


@pytest.mark.parametrize(("call", "error", "words"), BAD, ids=[re.sub(r"\W+", " ", words) for *_, words in BAD])
def test_bad_arguments(call, error, words):
    trainer = trainer_of("numpy")
    before = trainer.model.parameters.copy()
    with pytest.raises(error, match=words):
        call(trainer)
    np.testing.assert_array_equal(trainer.model.parameters, before)
    assert (trainer.steps, trainer.epochs, trainer.position) == (0, 0, 0)


def test_counts_of_multinomial_and_directions_of_cosine(backend, rng):
    model = Autoencoder([6, 3], output_activation="identity", seed=0, backend=backend)
    with pytest.raises(ValueError, match="x of loss 'multinomial' takes values of at least 0, got -1 to"):
        Trainer(model, SGD(), "multinomial").step(-np.ones((4, 6)))
    with pytest.raises(ValueError, match="loss 'cosine' takes neither missing values nor weights of features"):
        Trainer(model, SGD(), "cosine", feature_weight=np.ones(6))
    x = rng.normal(size=(40, 6))
    for loss, data in (("multinomial", rng.poisson(2.0, (40, 6)).astype("float32")), ("cosine", x)):
        trainer = Trainer(model, Adam(1e-2), loss, batch_size=10, seed=0)
        history = trainer.fit(data, epochs=20, validation_data=data)
        assert history.loss[-1] < history.loss[0]
        assert history.val_loss[-1] < history.val_loss[0]


@pytest.mark.parametrize("noise", ["masking", "salt_and_pepper", "dropout"])
def test_noise_hides_no_nan(noise):
    model = DenoisingAutoencoder([6, 3], noise=noise, level=0.99, seed=0, backend="numpy")
    x = X.copy()
    x[7, 2] = np.nan
    with pytest.raises(ValueError, match="x has NaN or infinity, the first in row 7, column 2"):
        Trainer(model, SGD(), batch_size=4).fit(x, X, epochs=1)


# ---- what comes before a fit -----------------------------------------------------------------------------------------


def test_the_search_for_a_learning_rate_leaves_all_as_it_was(backend, rng):
    x = rng.random((100, 6), "float32")
    trainer, twin = (trainer_of(backend) for _ in range(2))
    for t in (trainer, twin):
        t.fit(x, epochs=1)
    found = fastae.find_learning_rate(trainer, x, 1e-5, 10.0, 60)
    assert 1e-4 < found.suggestion < 1
    assert len(found.rates) == len(found.losses) <= 60
    assert found.losses.min() < found.losses[0]
    for t in (trainer, twin):
        t.fit(x, epochs=2)
    assert_same_bits(trainer, twin)


def test_the_search_ends_where_it_diverges(backend, rng):
    model = Autoencoder([6, 3], output_activation="identity", seed=0, backend=backend)
    found = fastae.find_learning_rate(Trainer(model, SGD(), batch_size=16), rng.random((64, 6)), 1e-3, 1e30, 100)
    assert len(found.rates) < 60
    with pytest.raises(DivergenceError):
        fastae.find_learning_rate(Trainer(model, SGD(), batch_size=16), 1e5 * rng.random((64, 6)), 1e30, 1e36, 100)


def test_pretraining_gives_a_deep_model_a_better_start(backend):
    x = fastae.datasets.load_digits()[0][::4]
    losses = []
    for pretrained in (False, True):
        model = Autoencoder([64, 40, 24, 8], "tanh", seed=0, backend=backend)
        if pretrained:
            histories = fastae.pretrain(model, x, Adam(3e-3), epochs=15, batch_size=32, seed=0)
            assert [len(history.loss) for history in histories] == [15] * 3
            assert all(history.loss[-1] < history.loss[0] for history in histories)
        losses.append(Trainer(model, Adam(1e-3), batch_size=32).evaluate(x))
    assert losses[1] < 0.6 * losses[0]


def test_pretraining_of_tied_weights_keeps_them_so_and_noise_is_taken(rng):
    model = Autoencoder([6, 5, 3], "sigmoid", tied=True, seed=0, backend="numpy")
    before = model.parameters.copy()
    fastae.pretrain(model, rng.random((30, 6)), SGD(0.1), epochs=1, noise="masking", level=0.2)
    for below, above in zip(model.encoder, reversed(model.decoder.layers), strict=True):
        np.testing.assert_array_equal(above.weight, below.weight.T)
    assert not np.array_equal(model.parameters, before)
    with pytest.raises(ValueError, match="model takes a decoder that mirrors the encoder"):
        fastae.pretrain(fastae.VariationalAutoencoder([6, 4, 2], backend="numpy"), rng.random((30, 6)), SGD(0.1))


# ---- settings, and who is at work ------------------------------------------------------------------------------------


def test_batches_may_be_lists_of_two_matrices(rng):
    """As loaders of other libraries give pairs."""
    x, target = rng.random((16, 6), "float32"), rng.random((16, 6), "float32")
    pairs, lists = (trainer_of("numpy") for _ in range(2))
    pairs.fit(iter([(x, target)]), epochs=1)
    lists.fit(iter([[x, target]]), epochs=1)
    assert_same_bits(pairs, lists)


def test_a_fit_is_left_alone(rng):
    """While it is at work, in its callbacks or another thread, its trainer refuses all that would change its state."""
    x, trainer, told = rng.random((40, 6), "float32"), trainer_of("numpy"), []

    class Meddler(Callback):
        every = 2

        def on_steps(self, own, rows, loss):
            for call in (
                lambda: own.fit(x, epochs=1),
                lambda: own.partial_fit(x),
                lambda: own.step(x[:3]),
                lambda: fastae.find_learning_rate(own, x),
                lambda: setattr(own, "batch_size", 4),
            ):
                with pytest.raises(RuntimeError, match="at work, in another thread"):
                    call()
            told.append(own.evaluate(x))  # this one may be asked

    quiet = trainer_of("numpy")
    quiet.fit(x, epochs=2)
    trainer.fit(x, epochs=2, callbacks=Meddler())
    assert len(told) > 4
    assert_same_bits(quiet, trainer)
    with pytest.raises(ValueError, match="x takes"):
        trainer.fit(x[:, :2], epochs=1)
    trainer.step(x)  # refused data leave it free


@pytest.mark.parametrize("name", ["accumulate", "clip_norm", "clip_value", "feature_weight", "batch_size"])
def test_settings_may_be_changed_and_are_checked(backend, rng, name):
    """They count from the next step or fit on, as if the trainer had been made with them."""
    x = rng.random((48, 6), "float32")
    value = {"accumulate": 2, "batch_size": 4, "feature_weight": np.arange(6.0)}.get(name, 1e-3)
    for train in (lambda t: t.step(x[:8]), lambda t: t.fit(x, epochs=1, shuffle=False)):
        changed, made = trainer_of(backend), trainer_of(backend, **{name: value})
        for one in (changed, made):
            one.step(x[:8])
        made.model.parameters = changed.model.parameters  # a first step with the setting is another
        made._velocity[:], made._square[:] = changed._velocity, changed._square
        setattr(changed, name, value)
        train(changed), train(made)
        assert_same_bits(changed, made)
    for wrong in (-1, "a", 0 if name != "feature_weight" else np.ones(5)):
        with pytest.raises((TypeError, ValueError), match=f"{name} takes"):
            setattr(changed, name, wrong)
    for fixed in ("model", "backend", "loss"):
        with pytest.raises(AttributeError):
            setattr(changed, fixed, None)


def test_a_schedule_is_each_trainers_own(rng):
    """What Plateau has learnt of one training does not lower the rates of the next."""
    x, plateau = rng.random((48, 6), "float32"), Plateau(patience=0, threshold=0.9)
    first, second = (trainer_of("numpy", schedule=plateau) for _ in range(2))
    first.fit(x, epochs=4)
    assert (first.schedule.reductions, second.schedule.reductions, plateau.reductions) == (3, 0, 0)
    model = Autoencoder([6, 5, 4, 3], seed=0, backend="numpy")
    alone = Autoencoder([6, 5, 4, 3], seed=0, backend="numpy")
    settings = {"epochs": 3, "seed": 0, "batch_size": 8}
    fastae.pretrain(model, x, Adam(0.01), schedule=plateau, **settings)
    fastae.pretrain(alone, x, Adam(0.01), schedule=Plateau(patience=0, threshold=0.9), **settings)
    np.testing.assert_array_equal(model.parameters, alone.parameters)


@pytest.mark.parametrize("sparse", [False, True])
def test_what_is_not_finite_in_held_back_rows_is_named_before_any_step(rng, sparse):
    x = rng.random((48, 6), "float32")
    order = np.empty(48, np.int64)
    trainer = trainer_of("numpy")
    trainer._kernels.shuffled(trainer._key, 2**64 - 1, 48, 0, order)
    x[order[0], 3] = np.nan  # held back
    data = pytest.importorskip("scipy.sparse").csr_matrix(x) if sparse else x
    before = trainer.model.parameters.copy()
    with pytest.raises(ValueError, match=f"row {order[0]}, column 3"):
        trainer.fit(data, epochs=1, validation_fraction=0.2)
    np.testing.assert_array_equal(trainer.model.parameters, before)


def test_a_partial_fit_leaves_an_interrupted_fit_where_it_was(rng):
    x, trainer = rng.random((48, 6), "float32"), trainer_of("numpy")

    class Stop(Callback):
        every = 1

        def on_steps(self, own, rows, loss):
            if own.steps == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(x, epochs=2, callbacks=Stop())
    position = trainer.position
    trainer.partial_fit(x)
    assert trainer.position == position == 32
    trainer.fit(x, epochs=2, resume=True)
    assert (trainer.epochs, trainer.steps) == (2, 12 + 6)


def test_a_wrong_weight_of_validation_data_is_named(rng):
    x = rng.random((16, 6), "float32")
    with pytest.raises(ValueError, match="the sample_weight of validation_data takes"):
        trainer_of("numpy").fit(x, epochs=1, validation_data=(x, x, np.ones(3)))


def test_find_learning_rate_says_what_it_takes(rng):
    x = rng.random((16, 6), "float32")
    with pytest.raises(TypeError, match="trainer takes a Trainer, got DenoisingAutoencoder"):
        fastae.find_learning_rate(trainer_of("numpy").model, x)
    with pytest.raises(ValueError, match="steps takes at least 2, got 1"):
        fastae.find_learning_rate(trainer_of("numpy"), x, steps=1)
