"""Recommendation: metrics by hand and by scikit-learn, closed forms by other means, files, bad input, the command."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fastae
from fastae import cli

sparse = pytest.importorskip("scipy.sparse")

from fastae import recommendation as rec  # noqa: E402 (needs SciPy)
from fastae.recommendation import EASE, AutoRec, Blend, MultDAE, MultVAE, Ratings  # noqa: E402

SMALL = {
    "ease": lambda: EASE(5.0),
    "autorec-item": lambda: AutoRec("item", 6, epochs=3, batch_size=8, seed=0),
    "autorec-user": lambda: AutoRec("user", (8, 4), epochs=3, batch_size=8, scale=(1, 5), seed=0),
    "mult-dae": lambda: MultDAE("user", (8, 4), epochs=3, batch_size=8, seed=0),
    "mult-dae-item": lambda: MultDAE("item", 6, epochs=3, batch_size=8, seed=0),
    "mult-vae": lambda: MultVAE((8, 4), epochs=3, batch_size=8, seed=0),
    "blend": lambda: Blend([EASE(5.0), MultDAE("item", 6, epochs=3, batch_size=8, seed=0)], [2, 1]),
    "blend of ratings": lambda: Blend([SMALL["autorec-item"](), SMALL["autorec-user"]()]),
}
ALL = pytest.mark.parametrize("make", SMALL.values(), ids=SMALL)


@pytest.fixture
def ratings(rng):
    """40 users, 25 items, whole numbers from 1 to 5; user 7 has rated nothing, item 3 nobody, user 9 all other items."""
    dense = rng.integers(1, 6, (40, 25)) * (rng.random((40, 25)) < 0.3)
    dense[9] = 4
    dense[7] = dense[:, 3] = 0
    return sparse.csr_array(dense.astype(np.float32))


# ---- metrics


def test_metrics_by_hand():
    """Three places: hits at ranks 1 and 3, of four relevant items; at rank 2, of the only one; a user who has none."""
    items = np.array([[4, 0, 2], [1, 3, -1], [0, 1, 2]])
    relevant = sparse.csr_array(np.array([[0, 1, 1, 1, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]], float))
    best = 1 + 1 / np.log2(3) + 0.5
    assert rec.ndcg(items, relevant) == pytest.approx((1.5 / best + 1 / np.log2(3)) / 2)
    assert rec.recall(items, relevant) == pytest.approx((2 / 4 + 1) / 2)
    assert rec.precision(items, relevant) == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert rec.mean_average_precision(items, relevant) == pytest.approx(((1 + 2 / 3) / 4 + 1 / 2) / 2)
    assert rec.ndcg(items, relevant, k=1) == pytest.approx(0.5)
    assert rec.precision(items, relevant, k=1) == pytest.approx(0.5)
    assert rec.recall(items, relevant, k=1) == pytest.approx(0.125)
    assert rec.rmse([1, 2, 3], [1, 4, 4]) == pytest.approx(np.sqrt(5 / 3))


def test_metrics_are_those_of_scikit_learn(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    scores, relevant = rng.random((30, 20)), rng.random((30, 20)) < 0.2
    relevant[:, 0] = True
    items, csr = np.argsort(-scores, axis=1), sparse.csr_array(relevant.astype(float))
    for k in (1, 5, 20):
        assert rec.ndcg(items, csr, k) == pytest.approx(metrics.ndcg_score(relevant, scores, k=k))
    expected = np.mean([metrics.average_precision_score(*pair) for pair in zip(relevant, scores, strict=True)])
    assert rec.mean_average_precision(items, csr) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("items", "k", "says"),
    [
        ([[0, 1]], None, r"items takes integers of shape \(2, n\), got int64 \(1, 2\)"),
        ([[0.0], [1.0]], None, "items takes integers"),
        ([[0], [5]], None, "items takes -1 to 4, got 0 to 5"),
        ([[0], [1]], 2, "k takes at most the number of items recommended, 1; got 2"),
    ],
)
def test_metrics_refuse(items, k, says):
    with pytest.raises(ValueError, match=says):
        rec.ndcg(np.array(items), sparse.csr_array(np.eye(2, 5)), k)


def test_metrics_without_anything_relevant():
    with pytest.raises(ValueError, match="relevant takes at least one relevant item"):
        rec.ndcg(np.zeros((2, 1), int), sparse.csr_array((2, 5)))


# ---- what recommenders compute


def test_ease_is_least_squares_without_the_diagonal(ratings):
    """Each column by ridge regression on the others, solved alone."""
    x = (ratings.toarray() > 0).astype(float)
    expected = np.zeros((25, 25))
    for j in range(25):
        others = np.delete(np.arange(25), j)
        a = x[:, others]
        expected[others, j] = np.linalg.solve(a.T @ a + 5 * np.eye(24), a.T @ x[:, j])
    some = np.diff(ratings.indptr) > 0
    np.testing.assert_allclose(EASE(5.0).fit(ratings).scores(ratings)[some], (x @ expected)[some], atol=1e-5)


def test_ease_of_counts(ratings):
    doubled = EASE(20.0, binary=False).fit(2 * ratings).scores(2 * ratings)
    np.testing.assert_allclose(doubled, 2 * EASE(5.0, binary=False).fit(ratings).scores(ratings), atol=1e-4)


@pytest.mark.parametrize("by", ["item", "user"])
def test_autorec_starts_from_biases(ratings, by):
    """Without a step that changes anything, a user of items' AutoRec is far from it by what the ridge regression adds."""
    made = AutoRec(by, 4, epochs=1, lr=0.0, damping=2.0, l2=1e12, activation="identity", seed=0).fit(ratings)
    x, observed = ratings.toarray().astype(float), ratings.toarray() > 0
    mean = x[observed].mean()
    item = np.array([(c[o] - mean).sum() / (o.sum() + 2) for c, o in zip(x.T, observed.T, strict=True)])
    user = np.array([(r[o] - mean - item[o]).sum() / (o.sum() + 2) for r, o in zip(x, observed, strict=True)])
    expected = mean + item + user[:, None]
    if by == "user":
        rest = np.where(observed, x - expected + made.offset, 0)
        expected = expected + made._net.reconstruct(rest.astype(np.float32))
    np.testing.assert_allclose(made.scores(ratings), expected, atol=1e-5)


def test_autorec_trains_on_what_was_rated_only(ratings):
    """A step of full batches is that of MaskedAutoencoder on the whole dense matrix."""
    made = AutoRec("user", 5, epochs=4, batch_size=64, level=0.0, weight_decay=0.0, seed=3).fit(ratings)
    rest, _ = made._rest(ratings)
    rows = np.flatnonzero(np.diff(ratings.indptr))
    target = np.full(ratings.shape, np.nan, np.float32)
    target[rest.nonzero()] = rest.data[rest.data != 0]
    shown = np.where(np.isnan(target), 0, target + 1)[rows]
    rng = np.random.default_rng(3)
    network = made._network(25, rng)
    trainer = fastae.Trainer(network, fastae.Adam(1e-3), "mse", len(rows), seed=rng, schedule=fastae.schedules.Cosine())
    trainer.fit(shown, target[rows], epochs=4, shuffle=False)
    np.testing.assert_allclose(made._net.parameters, network.parameters, atol=1e-5)


def test_a_user_of_items_autorec_is_a_ridge_regression(ratings):
    linear = pytest.importorskip("sklearn.linear_model")
    made = SMALL["autorec-item"]().fit(ratings)
    rest, bias = made._rest(ratings)
    for user in (0, 9):  # of few and of many ratings
        row = rest[[user]].tocoo()
        ridge = linear.Ridge(made.l2, fit_intercept=False).fit(made._codes[row.coords[1]].astype(float), row.data)
        expected = bias[user] + made._item_bias + made._codes @ ridge.coef_
        np.testing.assert_allclose(made.scores(ratings)[user], expected, atol=1e-5)


def test_a_user_of_items_mult_dae_is_a_newton_step(ratings):
    """Gradient and Hessian of the Poisson likelihood with the prior, at w = 0, by finite differences."""
    made = MultDAE("item", 3, epochs=3, batch_size=8, l2=4.0, seed=0).fit(ratings)
    x = (ratings.toarray()[0] > 0).astype(float)
    h, d, n = made._codes.astype(float), made._shares, x.sum()

    def loss(w):
        rate = n * d * np.exp(h @ w)
        return np.sum(rate - x * np.log(rate)) + 2.0 * w @ w

    e, eps = np.eye(3), 1e-4
    gradient = np.array([loss(eps * a) - loss(-eps * a) for a in e]) / (2 * eps)
    hessian = [[loss(eps * (a + b)) - loss(eps * (a - b)) - loss(eps * (b - a)) + loss(-eps * (a + b)) for b in e] for a in e]
    w = -np.linalg.solve(np.array(hessian) / (4 * eps**2), gradient)
    np.testing.assert_allclose(made.scores(ratings)[0], np.log(d) + h @ w, atol=1e-3)


@pytest.mark.parametrize("name", ["mult-dae", "mult-vae"])
def test_scores_are_logarithms_of_probabilities(ratings, name):
    made = SMALL[name]().fit(ratings)
    x = (ratings.toarray() > 0).astype(np.float32)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    np.testing.assert_allclose(np.exp(made.scores(ratings)), made._net.reconstruct(x), atol=1e-6)


def test_blend_of_ratings_is_their_mean(ratings):
    made = SMALL["blend of ratings"]().fit(ratings)
    parts = [part.scores(ratings) for part in made.parts]
    np.testing.assert_allclose(made.scores(ratings), np.mean(parts, axis=0), atol=1e-6)
    assert made.predicts_ratings
    assert made.limits == (1, 5)


def test_blend_of_others_standardises(ratings):
    made = SMALL["blend"]().fit(ratings)
    a, b = (part.scores(ratings) for part in made.parts)
    a, b = ((s - s.mean(axis=1, keepdims=True)) / s.std(axis=1, keepdims=True) for s in (a, b))
    np.testing.assert_allclose(made.scores(ratings), (2 * a + b) / 3, atol=1e-5)
    with pytest.raises(TypeError, match="Blend ranks items"):
        made.predict(ratings, [0], [0])


def test_groups_are_found(rng):
    """Two groups of users who rate two groups of items, 5 their own and 1 the other's: what is not shown is told."""
    group, of_item = np.arange(200) % 2, np.arange(40) % 2
    truth = np.where(group[:, None] == of_item, 5.0, 1.0)
    observed = rng.random(truth.shape) < 0.4
    shown = sparse.csr_array(np.where(observed, truth, 0))
    users, items = np.nonzero(~observed)
    for by in ("item", "user"):
        made = AutoRec(by, 20, epochs=60, batch_size=10, lr=1e-2, l2=0.5, weight_decay=0.0, seed=0).fit(shown)
        assert rec.rmse(made.predict(shown, users, items), truth[users, items]) < 0.5  # biases alone: 2
    liked = sparse.csr_array(np.where(observed & (truth == 5), 1.0, 0))
    hidden = sparse.csr_array(np.where(~observed & (truth == 5), 1.0, 0))
    for made in (
        EASE(5.0),
        MultDAE("user", 20, epochs=30, batch_size=10, seed=0),
        MultDAE("item", 10, epochs=60, batch_size=5, level=0.3, seed=0),
        MultVAE(20, epochs=60, batch_size=10, lr=3e-3, seed=0),
    ):
        items, _ = made.fit(liked).recommend(liked, 5)
        assert rec.precision(items, hidden) > 0.95, made  # at random 0.5


# ---- what all have in common


@ALL
def test_the_best_items(ratings, make):
    made = make().fit(ratings)
    scores, (items, best) = made.scores(ratings), made.recommend(ratings, 4)
    assert scores.dtype == best.dtype == np.float32
    assert items.shape == best.shape == (40, 4)
    scores[ratings.nonzero()] = -np.inf
    for user in np.delete(np.arange(40), 9):
        np.testing.assert_array_equal(best[user], -np.sort(-scores[user])[:4])
        np.testing.assert_array_equal(scores[user, items[user]], best[user])
    assert items[9].tolist() == [3, -1, -1, -1]  # the only item that this user has not seen
    assert np.isneginf(best[9, 1:]).all()
    assert np.isfinite(best[7]).all()
    seen, _ = made.recommend(ratings, 25, exclude_seen=False)
    np.testing.assert_array_equal(np.sort(seen, axis=1), np.tile(np.arange(25), (40, 1)))
    items, best = made.recommend(ratings, 30, exclude_seen=False)  # more than there are
    np.testing.assert_array_equal(items[:, :25], seen)
    assert (items[:, 25:] == -1).all()
    assert np.isneginf(best[:, 25:]).all()


@ALL
def test_new_users_need_no_training(ratings, make):
    """A user's scores depend on nothing but the row, whoever stands beside it; one without ratings is a defined user."""
    made = make().fit(ratings[:30])
    alone = np.concatenate([made.scores(ratings[[user]]) for user in range(40)])
    np.testing.assert_allclose(made.scores(ratings), alone, atol=2e-6)
    assert np.array_equal(made.scores(ratings[[7, 7]])[0], made.scores(ratings[[7]])[0])


@ALL
def test_saved_and_loaded(ratings, make, tmp_path):
    named = Ratings(ratings, np.arange(40), np.array([f"film é{n}" for n in range(25)]))
    made = make().fit(named)
    made.save(tmp_path / "m.safetensors")
    back = rec.load(tmp_path / "m.safetensors")
    assert repr(back) == repr(made)
    assert back.limits == made.limits
    np.testing.assert_array_equal(back.item_ids, named.item_ids)
    np.testing.assert_array_equal(back.scores(ratings), made.scores(ratings))
    back.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()


@ALL
def test_the_same_seed_and_any_threads_give_the_same_bits(ratings, make):
    before = fastae.get_num_threads()
    scores = []
    try:
        for threads in (1, 1, 3):
            fastae.set_num_threads(threads)
            scores.append(make().fit(ratings).scores(ratings))
    finally:
        fastae.set_num_threads(before)
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])


def test_another_seed_gives_other_scores(ratings):
    a, b = (AutoRec(hidden=6, epochs=2, seed=seed).fit(ratings).scores(ratings) for seed in (0, 1))
    assert not np.array_equal(a, b)


def test_predictions_are_of_pairs_and_within_the_scale(ratings):
    made = SMALL["autorec-user"]().fit(ratings)
    users, items = np.array([5, 0, 5, 39, 7]), np.array([3, 24, 0, 1, 2])
    expected = made.scores(ratings)[users, items].clip(1, 5)
    np.testing.assert_allclose(made.predict(ratings, users, items), expected, atol=1e-6)
    assert len(made.predict(ratings, np.array([], int), np.array([], int))) == 0
    with pytest.raises(ValueError, match="items takes 0 to 24, got 25 to 25"):
        made.predict(ratings, [0], [25])
    with pytest.raises(ValueError, match="users and items take integers"):
        made.predict(ratings, [0, 1], [2])


def test_more_users_than_a_block(rng):
    """Blocks of users join to one answer, in order, for pairs too."""
    x = sparse.random_array((3000, 3000), density=0.002, rng=rng, format="csr", dtype=np.float32)
    x.data[:] = np.ceil(5 * x.data)
    made = AutoRec("item", 4, epochs=1, seed=0).fit(x)
    users = rng.integers(0, 3000, 30)
    items = rng.integers(0, 3000, 30)
    expected = np.concatenate([made.predict(x[[user]], [0], [item]) for user, item in zip(users, items, strict=True)])
    np.testing.assert_allclose(made.predict(x, users, items), expected, atol=1e-5)
    np.testing.assert_array_equal(made.recommend(x, 3).items[2990:], made.recommend(x[2990:], 3).items)


@ALL
def test_one_user(make):
    one = sparse.csr_array(np.array([[5.0, 3, 0, 0]], np.float32))
    items, scores = make().fit(one).recommend(one, 2)
    assert sorted(items[0]) == [2, 3]
    assert np.isfinite(scores).all()


def test_all_ratings_equal(ratings):
    """The scale is one number, and so are all predictions."""
    same = sparse.csr_array((np.full(ratings.nnz, 3.0), ratings.indices, ratings.indptr), ratings.shape)
    made = AutoRec(hidden=4, epochs=2, seed=0).fit(same)
    assert (made.predict(same, [0, 7], [1, 3]) == 3).all()


def test_a_stored_0_is_a_rating_of_0_but_nothing_taken():
    x = sparse.csr_array((np.array([0.0, 2.0, 1.0, 0.0]), [0, 1, 0, 1], [0, 2, 4]), (2, 3))
    assert AutoRec(hidden=2, epochs=1, seed=0).fit(x).limits == (0, 2)
    without = x.copy()
    without.eliminate_zeros()
    np.testing.assert_array_equal(EASE(1.0).fit(x).scores(x), EASE(1.0).fit(without).scores(without))


# ---- bad input


def _with(ratings, value):
    changed = ratings.copy()
    changed.data[5] = value
    return changed


BAD = {
    "array": (lambda x: x.toarray(), TypeError, "ratings takes scipy's CSR .* got ndarray"),
    "csc": (lambda x: x.tocsc(), TypeError, r"got format 'csc'; give ratings.tocsr\(\)"),
    "complex": (lambda x: x.astype(complex), TypeError, "real numbers, got complex128"),
    "no rows": (lambda x: x[:0], ValueError, r"got \(0, 25\)"),
    "no ratings": (lambda x: sparse.csr_array((3, 25)), ValueError, "at least one rating"),
    "NaN": (lambda x: _with(x, np.nan), ValueError, r"NaN or infinity, the first by user \d+ of item \d+"),
    "infinity": (lambda x: _with(x, np.inf), ValueError, "NaN or infinity"),
    "too large": (lambda x: _with(x.astype(float), 1e39), ValueError, "NaN or infinity"),
    "twice": (
        lambda x: sparse.csr_array((np.array([1.0, 2.0]), [3, 3], [0, 0, 2]), (2, 25)),
        ValueError,
        "two ratings of item 3 by user 1",
    ),
}


@ALL
@pytest.mark.parametrize(("change", "error", "says"), BAD.values(), ids=BAD)
def test_bad_ratings(ratings, make, change, error, says):
    with pytest.raises(error, match=says):
        make().fit(change(ratings))


def test_columns_out_of_order_are_not_twice():
    x = sparse.csr_array((np.array([1.0, 2.0, 3.0]), [2, 0, 2], [0, 2, 3]), (2, 3))
    ordered = x.copy()
    ordered.sort_indices()
    assert np.array_equal(EASE(1.0).fit(x).scores(x), EASE(1.0).fit(ordered).scores(ordered))
    assert x.indices.tolist() == [2, 0, 2]  # what was given stays


def test_ratings_outside_the_scale(ratings):
    made = AutoRec(hidden=4, scale=(1, 4), epochs=1)
    with pytest.raises(ValueError, match=r"ratings takes ratings from 1 to 4, got 5 by user \d+ of item \d+"):
        made.fit(ratings)
    made = AutoRec(hidden=4, epochs=1, seed=0).fit(ratings)
    with pytest.raises(ValueError, match="from 1 to 5, got 6"):
        made.recommend(_with(ratings, 6))
    for made in (EASE(), MultDAE(), Blend([EASE(), MultDAE()])):
        with pytest.raises(ValueError, match="of at least 0, got -1"):
            made.fit(_with(ratings, -1))


def test_a_rating_outside_the_scale_is_told_by_its_ids(ratings):
    made = AutoRec(hidden=4, epochs=1, seed=0).fit(Ratings(ratings, np.arange(40), np.array([f"film {n}" for n in range(25)])))
    with pytest.raises(ValueError, match="from 1 to 5, got 6 by user 'Ann' of item 'film 3'"):
        made.recommend(Ratings.from_columns(["Bob", "Ann"], ["film 9", "film 3"], [5, 6]))


def test_rmse_refuses():
    for predicted, error, says in (
        ([1.0, np.nan], ValueError, "predicted has NaN or infinity, the first in row 1"),
        (["a", "b"], TypeError, "predicted and actual take arrays"),
        ([1.0], ValueError, "of one length"),
    ):
        with pytest.raises(error, match=says):
            rec.rmse(predicted, [1.0, 2.0])


def test_nothing_learnt_yet_or_another_matrix(ratings):
    with pytest.raises(RuntimeError, match="this EASE has learnt nothing yet"):
        EASE().scores(ratings)
    with pytest.raises(RuntimeError, match="this Blend has learnt nothing yet"):
        Blend([EASE()]).save("never")
    made = EASE().fit(ratings)
    with pytest.raises(ValueError, match=r"shape \(users, 25\), got \(40, 24\)"):
        made.scores(ratings[:, :24])
    with pytest.raises(ValueError, match="n takes a positive integer, got 0"):
        made.recommend(ratings, 0)
    for k, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="k takes a positive integer"):
            rec.evaluate(made, ratings, ratings, k)
    with pytest.raises(ValueError, match="held_out takes at least one rating"):
        rec.evaluate(made, ratings, sparse.csr_array((40, 25)))


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: EASE(0), ValueError, "l2 takes"),
        (lambda: EASE(binary=1), TypeError, "binary takes"),
        (lambda: AutoRec("film"), ValueError, "by takes one of 'item', 'user'"),
        (lambda: AutoRec("item", (8, 4)), ValueError, "hidden takes"),
        (lambda: AutoRec(hidden=0), ValueError, "hidden takes"),
        (lambda: AutoRec(scale=(5, 1)), ValueError, "scale takes"),
        (lambda: AutoRec(scale=5), TypeError, "scale takes"),
        (lambda: AutoRec(level=1), ValueError, "level takes"),
        (lambda: AutoRec(activation="swish"), ValueError, "activation takes"),
        (lambda: AutoRec(lr=-1), ValueError, "lr takes"),
        (lambda: AutoRec(epochs=1.5), TypeError, "epochs takes"),
        (lambda: MultDAE("item", (8, 4)), ValueError, "hidden takes"),
        (lambda: MultDAE(l2=0), ValueError, "l2 takes"),
        (lambda: MultVAE(beta=-1), ValueError, "beta takes"),
        (lambda: Blend([]), TypeError, "parts takes"),
        (lambda: Blend([EASE], None), TypeError, "parts takes"),
        (lambda: Blend([EASE()], [1, 1]), ValueError, "weights takes"),
        (lambda: Blend([EASE()], [0]), ValueError, "weights takes"),
        (lambda: Blend([EASE()], [-1]), ValueError, "weights takes"),
    ],
)
def test_bad_arguments(make, error, says):
    with pytest.raises(error, match=says):
        make()


# ---- tables, files


def test_ratings_from_columns():
    """Ids in the order in which they come; of two ratings the later counts, of equal times the last."""
    users, items, times = ["b", "a", "b", "b", "a"], [70, 7, 7, 70, 7], [5, 9, 1, 5, 2]
    made = Ratings.from_columns(users, items, [1, 2, 3, 4, 5], times)
    assert made.user_ids.tolist() == ["b", "a"]
    assert made.item_ids.tolist() == [70, 7]
    assert made.matrix.toarray().tolist() == [[4, 3], [0, 2]]
    without = Ratings.from_columns(users, items, [1, 2, 3, 4, 5])
    assert without.matrix.toarray().tolist() == [[4, 3], [0, 5]]
    late = 2**60  # which floats do not tell from the next integer
    assert Ratings.from_columns([1, 1], [2, 2], [3, 4], [late + 1, late]).matrix.toarray().tolist() == [[3]]
    again = Ratings.from_columns(["c"], [7], [1], item_ids=made.item_ids)
    assert again.matrix.toarray().tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("columns", "error", "says"),
    [
        (([1], [2], []), ValueError, "values takes at least one rating"),
        (([1, 1], [2, 3], [1, np.nan]), ValueError, "values has NaN or infinity, the first in row 1"),
        (([1, 1], [2], [1, 2]), ValueError, "one length, got 2, 1 and 2"),
        (([1.5], [2], [1]), TypeError, "users takes .* integers or of strings, got float64"),
        (([1], [2], [1], [np.nan]), ValueError, "times takes"),
        (
            (np.array([2**63], np.uint64), [2], [1]),
            ValueError,
            r"users takes integers below 2\^63, .* got 9223372036854775808",
        ),
        (([1], [2], [1], None, [3, 4]), ValueError, "items takes ids among item_ids; 1 are not, the first is 2"),
    ],
)
def test_bad_columns(columns, error, says):
    with pytest.raises(error, match=says):
        Ratings.from_columns(*columns)


def test_ratings_are_looked_at(ratings):
    users, items = np.arange(40), np.arange(25)
    assert Ratings(ratings.astype(int), users.tolist(), items).matrix.dtype == np.float32
    for given, error, says in (
        ((ratings.toarray(), users, items), TypeError, "matrix takes scipy's CSR"),
        ((ratings, users[:39], items), ValueError, r"user_ids takes an id for each of 40, .* got 39"),
        ((ratings, users, users), ValueError, "item_ids takes an id for each of 25"),
        ((ratings, users, items // 2), ValueError, "item_ids has 0 2 times"),
        ((ratings, users, items / 2), TypeError, "item_ids takes an array"),
        ((_with(ratings, np.nan), users, items), ValueError, "matrix has NaN"),
    ):
        with pytest.raises(error, match=says):
            Ratings(*given)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "item, rating,other,user\ni1,5,a,u1\ni2,3.5,b,u2\ni2,1,c,u1\n"),
        ("a.csv", "user,item,rating,genre\nu1,i1,5,a\nu2,i2,3.5,b\nu1,i2,1,a\n"),
        ("a.csv", " u1,i1 ,5\nu2,i2,3.5\nu1, i2, 1\n"),
        ("a.csv", "u1,i1,5\nu2,i2,3.5\nu1,i2,1\n"),
        ("a.csv", "\ufeffuserId,movieId,rating,timestamp\r\nu1,i1,5,10\r\nu2,i2,3.5,10\r\n\r\nu1,i2,1,10\r\n"),
        ("a.tsv", "u1\ti1\t5\t1\nu2\ti2\t3.5\t1\nu1\ti2\t4\t2\nu1\ti2\t1\t3\nu1\ti2\t2\t1\n"),
        ("a.inter", "rating:float\tuser_id:token\tother:float\titem_id:token\n5\tu1\t0\ti1\n3.5\tu2\t0\ti2\n1\tu1\t0\ti2\n"),
        ("a.csv", '"u1","i1",5\n"u2","i2",3.5\n"u1","i2",1\n'),
    ],
)
def test_files(tmp_path, name, text):
    (tmp_path / name).write_text(text, newline="")
    read = rec.read_ratings(tmp_path / name)
    assert read.user_ids.tolist() == ["u1", "u2"]
    assert read.item_ids.tolist() == ["i1", "i2"]
    assert read.matrix.toarray().tolist() == [[5, 1], [0, 3.5]]


BAD_FILES = {
    "empty.csv": ("", "holds no ratings"),
    "header.csv": ("user,item,rating\n", "holds no ratings"),
    "word.csv": ("u,i,3\nu,j,good\n", "line 2 takes user, item, rating"),
    "nan.csv": ("u,i,nan\n", "line 1 takes user, item, rating.*finite"),
    "narrow.csv": ("u,i\nu,j\n", "line 1 takes user, item, rating"),
    "ragged.csv": ("u,i,3\nu,j\n", "line 2 has 2 fields, the first one 3"),
    "swapped.csv": ("movieId,userId,rating\ni,u,3\n", "bring them in this order"),
    "nobody.csv": ("u,i,3\n ,j,4\n", "line 2 takes user, item, rating.*an id is empty"),
    "bytes.csv": (b"\xff\xfe\x00", "not a table of ratings"),
    "other.parquet": ("u,i,3\n", "the name ends in '.parquet'; .csv, .tsv, .inter, .data are read"),
}


@pytest.mark.parametrize(("name", "text", "says"), [(name, *pair) for name, pair in BAD_FILES.items()], ids=BAD_FILES)
def test_bad_files(tmp_path, name, text, says):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=says):
        rec.read_ratings(tmp_path / name)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        rec.read_ratings(tmp_path / "none.csv")


def test_items_are_known_by_their_ids(ratings):
    """Rows with other columns, or in another order, are those of the recommender's items."""
    item_ids = np.array([f"i{n}" for n in range(25)])
    made = EASE(5.0).fit(Ratings(ratings, np.arange(40), item_ids))
    turned = Ratings(sparse.csr_array(ratings[:, ::-1]), np.arange(40), item_ids[::-1])
    np.testing.assert_allclose(made.scores(turned), made.scores(ratings), atol=1e-6)
    with pytest.raises(ValueError, match="items takes ids among item_ids; 1 are not, the first is 'new'"):
        made.scores(Ratings(ratings[:, :1], np.arange(40), np.array(["new"])))


def test_split_keeps_all_and_repeats(ratings):
    kept, held = rec.split(ratings, 0.25, seed=1)
    assert np.array_equal((kept + held).toarray(), ratings.toarray())
    assert kept.multiply(held).nnz == 0
    n = np.diff(ratings.indptr)
    assert np.array_equal(np.diff(kept.indptr), [round(0.75 * k) for k in n.tolist()])
    assert np.array_equal(rec.split(ratings, 0.25, seed=1)[0].toarray(), kept.toarray())
    assert not np.array_equal(rec.split(ratings, 0.25, seed=2)[0].toarray(), kept.toarray())


def _damaged(config, arrays):
    settings = config["settings"]
    yield "format", {**config, "format": 99}, arrays, "its format is 99"
    yield "kind", {**config, "kind": "Oracle"}, arrays, "'Oracle'"
    yield "settings", {**config, "settings": {**settings, "l3": 1}}, arrays, "l3"
    yield "hidden", {**config, "settings": {**settings, "hidden": [9]}}, arrays, "codes has the shape"
    yield "array missing", config, {name: a for name, a in arrays.items() if name != "codes"}, "codes"
    yield "NaN", config, {**arrays, "codes": np.full_like(arrays["codes"], np.nan)}, "codes has NaN"
    yield "items", {**config, "n_items": 24}, arrays, "shape"
    yield "no metadata", None, arrays, "not of a recommender"


def test_damaged_files_are_refused(ratings, tmp_path):
    from safetensors import safe_open

    path = tmp_path / "m.safetensors"
    SMALL["autorec-item"]().fit(ratings).save(path)
    with safe_open(path, framework="np") as file:
        config = json.loads(file.metadata()["fastae.recommendation"])
    for _, damaged, arrays, says in _damaged(config, load_file(path)):
        metadata = None if damaged is None else {"fastae.recommendation": json.dumps(damaged)}
        save_file(arrays, tmp_path / "bad.safetensors", metadata)
        with pytest.raises(ValueError, match=says):
            rec.load(tmp_path / "bad.safetensors")
    (tmp_path / "short.safetensors").write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match="cut short"):
        rec.load(tmp_path / "short.safetensors")


# ---- the command


def _run(capsys, *arguments, code=0):
    assert cli.main(["recommend", *map(str, arguments)]) == code
    return capsys.readouterr()


@pytest.fixture
def file(tmp_path, ratings, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = ratings.tocoo()
    lines = [f"user {u},item {i},{r:g}" for u, i, r in zip(*table.coords, table.data, strict=True)]
    Path("ratings.csv").write_text("\n".join(["user,item,rating", *lines]))
    return Path("ratings.csv")


def test_command(file, capsys):
    out = _run(capsys, file, "--method", "ease", "--top", 3, "--save", "m.safetensors").out
    assert "40 ratings" not in out
    assert "39 users, 24 items" in out
    read, made = rec.read_ratings(file), rec.load("m.safetensors")
    rows = [line.split(",") for line in Path("ratings-recommend.csv").read_text().splitlines()]
    assert rows[0] == ["user", "item", "score"]
    items, scores = made.recommend(read, 3)
    of_first = [row for row in rows if row[0] == read.user_ids[0]]
    assert [row[1] for row in of_first] == made.item_ids[items[0]].tolist()
    np.testing.assert_allclose([float(row[2]) for row in of_first], scores[0], rtol=1e-5)
    Path("new.csv").write_text("somebody,item 5,4\n")
    _run(capsys, "new.csv", "--model", "m.safetensors", "--output", "o.csv")
    assert Path("o.csv").read_text().count("somebody,") == 10


@pytest.mark.parametrize("method", ["blend", "autorec"])
def test_command_evaluates(file, capsys, method, monkeypatch):
    for kind, name in ((AutoRec, "epochs"), (MultDAE, "epochs")):
        monkeypatch.setitem(kind.__init__.__kwdefaults__, name, 2)
    out = _run(capsys, file, "--evaluate", "--top", 5, "--method", method).out
    assert "ndcg 0." in out
    assert ("rmse" in out) == (method == "autorec")
    assert not Path("ratings-recommend.csv").exists()


def test_command_on_few_items(tmp_path, monkeypatch, capsys):
    """Fewer than --top: as many as there are."""
    monkeypatch.chdir(tmp_path)
    Path("few.csv").write_text("a,x,5\na,y,4\nb,x,3\nc,z,1\n")
    _run(capsys, "few.csv", "--method", "ease")
    assert [line.split(",")[0] for line in Path("few-recommend.csv").read_text().splitlines()[1:]] == list("abbcc")


def test_command_knows_a_scale(file, capsys, monkeypatch):
    monkeypatch.setitem(AutoRec.__init__.__kwdefaults__, "epochs", 1)
    Path("new.csv").write_text("somebody,item 5,6\n")
    _run(capsys, file, "--method", "autorec", "--save", "m.safetensors")
    err = _run(capsys, "new.csv", "--model", "m.safetensors", code=2).err
    assert "from 1 to 5, got 6 by user 'somebody' of item 'item 5'" in err
    _run(capsys, file, "--method", "autorec", "--scale", 0.5, 6, "--save", "m.safetensors")
    _run(capsys, "new.csv", "--model", "m.safetensors")


IGNORED = (["--evaluate"], ["--save", "n"], ["--method", "ease"], ["--seed", "0"], ["--scale", "1", "5"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.csv"], "none.csv: No such file"),
        (["ratings.csv", "--model", "none.safetensors"], "none.safetensors: No such file"),
        *((["ratings.csv", "--model", "m.safetensors", *words], "--model takes neither") for words in IGNORED),
        (["ratings.csv", "--evaluate", "--output", "o.csv"], "--evaluate writes nothing"),
        (["ratings.csv", "--evaluate", "--save", "o.safetensors"], "--evaluate writes nothing"),
        (["ratings.csv", "--scale", "1", "5"], "--scale counts with --method autorec"),
        (["few.csv", "--evaluate"], "few.csv has no user with three ratings"),
        (["ratings.csv", "--output", "o.xlsx"], ".csv is written"),
        (["ratings.csv", "--output", "ratings.csv"], "over ratings.csv, which is read"),
        (["ratings.csv", "--output", "none/o.csv"], "none/o.csv: No such file"),
        (["ratings.csv", "--save", "ratings.csv"], "over ratings.csv, which is read"),
        (["ratings.csv", "--save", "none/m"], "none/m: No such file"),
        (["unknown.csv", "--model", "m.safetensors"], "the first is 'new'"),
    ],
)
def test_command_refuses(file, capsys, monkeypatch, arguments, says):
    Path("unknown.csv").write_text("a,new,1\n")
    Path("few.csv").write_text("a,x,1\na,y,2\nb,x,3\n")
    EASE().fit(rec.read_ratings(file)).save("m.safetensors")
    words = arguments if "--model" in arguments else [*arguments, "--method", "ease"]
    monkeypatch.setattr(EASE, "fit", lambda *_, **__: pytest.fail("the training has begun"))
    err = _run(capsys, *words, code=2).err
    assert err.startswith("fastae recommend: ")
    assert says in err
    assert not list(Path().glob("*recommend.csv"))


def test_missing_scipy_is_said(file, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("fastae.recommendation")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(fastae, "recommendation")
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    assert "pip install 'fastae[recommendation]'" in _run(capsys, file, code=2).err


# ---- real ratings


@pytest.mark.skipif(importlib.util.find_spec("recbole") is None, reason="pip install --no-deps recbole==1.2.1")
def test_movielens():
    """The counts that are published of MovieLens-100K; EASE's nDCG@10, of 0.478 with a deviation of 0.005 over splits."""
    folder = importlib.util.find_spec("recbole").submodule_search_locations[0]
    read = rec.read_ratings(Path(folder, "dataset_example/ml-100k/ml-100k.inter"))
    assert read.matrix.shape == (943, 1682)
    assert np.unique(read.matrix.data, return_counts=True)[1].tolist() == [6110, 11370, 27145, 34174, 21201]
    kept, held_out = rec.split(read, seed=0)
    assert rec.evaluate(EASE().fit(kept), kept, held_out)["ndcg"] == pytest.approx(0.478, abs=0.015)
