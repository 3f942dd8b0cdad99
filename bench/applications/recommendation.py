"""Recommendations on MovieLens-100K (Harper and Konstan, *ACM TiiS* 5, 2015), and memory on a large matrix.

Ratings are those of ``pip install --no-deps recbole==1.2.1``; they may not be redistributed.

RMSE: the canonical split u1, whose test is the first 20,000 rows. The blend is of three AutoRecs of items and one of users, all
weights equal.

nDCG@10: three quarters of each user's ratings to learn from, the rest to find, all positive, the protocol of the table in
github.com/recommenders-team/recommenders (BiVAE 0.475). Means of five splits, whose deviation is 0.005, much of it the same for
all. The blend is of EASE and a Mult-DAE of items, both weights equal.

Hyperparameters are the classes' defaults. Those of AutoRec were chosen by ratings held back from u1's training part; those for
ranking, from the training parts of other random splits of the same data, which overlap these tests: docs/recommendation.md.

- AutoRec: 300 sigmoids, 30 % masked, offset 1, damping 5, Adam 1e-3 to 0 along a cosine, weight decay 1e-3, batches of 64, 50
  epochs; l2 of a user's ridge regression 60.
- EASE: l2 500. Mult-DAE: 200 tanh, dropout 0.7, Adam 1e-3 to 0, batches of 100, 60 epochs; l2 of items' 20. Mult-VAE: 200,
  dropout 0.5, beta 0.5.

Memory: one epoch of an AutoRec of users, 32 wide, on 20 million ratings of 1 million users and 20,000 items, in a process of
its own: the peak of all that is resident, with the ratings (161 MB) and the interpreter.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import sparse

import fastae
from fastae.recommendation import EASE, AutoRec, Blend, MultDAE, MultVAE, evaluate, ndcg, read_ratings, rmse, split

from .bars import Bar

SPLITS = 5


def bars(seed):
    """The three."""
    yield rating_error(seed)
    yield ranking(seed)
    yield memory(seed)


def movielens():
    """Ratings in the order of the file: users, items (from 0), values."""
    package = importlib.util.find_spec("recbole")
    path = Path(package.submodule_search_locations[0], "dataset_example/ml-100k/ml-100k.inter")
    table = np.loadtxt(path, skiprows=1)
    assert table.shape == (100_000, 4)
    assert read_ratings(path).matrix.nnz == 100_000
    return table[:, 0].astype(int) - 1, table[:, 1].astype(int) - 1, table[:, 2]


def rating_error(seed):
    users, items, values = movielens()
    test, base = slice(0, 20_000), slice(20_000, None)
    ratings = sparse.csr_array((values[base], (users[base], items[base])), (943, 1682))

    def error(predicted):
        return rmse(np.clip(predicted, 1, 5), values[test])

    parts = [AutoRec("item", scale=(1, 5), seed=seed + number) for number in range(3)]
    parts.append(AutoRec("user", scale=(1, 5), seed=seed))
    blend = Blend(parts).fit(ratings)
    others = {
        "AutoRec of items": error(parts[0].predict(ratings, users[test], items[test])),
        "AutoRec of users": error(parts[-1].predict(ratings, users[test], items[test])),
        "biases": error(biases(users[base], items[base], values[base], users[test], items[test])),
        "mean": error(np.full(20_000, values[base].mean())),
    }
    value = rmse(blend.predict(ratings, users[test], items[test]), values[test])
    return Bar("MovieLens-100K, u1: RMSE of a blend of AutoRecs", value, 0.905, others, low=True, digits=4)


def biases(users, items, values, u, i, damping=5):
    """Mean, damped mean of an item's rest, damped mean of a user's rest."""
    mean = values.mean()
    item = np.bincount(items, values - mean, 1682) / (np.bincount(items, minlength=1682) + damping)
    user = np.bincount(users, values - mean - item[items], 943) / (np.bincount(users, minlength=943) + damping)
    return mean + item[i] + user[u]


def ranking(seed):
    users, items, _ = movielens()
    ratings = sparse.csr_array((np.ones(100_000), (users, items)), (943, 1682))
    found = {}
    for number in range(seed, seed + SPLITS):
        kept, held_out = split(ratings, 0.25, number)
        blend = Blend([EASE(), MultDAE("item", seed=number)]).fit(kept)
        fitted = {
            "blend": blend,
            "EASE": blend.parts[0],
            "Mult-DAE of items": blend.parts[1],
            "Mult-DAE": MultDAE(seed=number).fit(kept),
            "Mult-VAE": MultVAE(seed=number).fit(kept),
        }
        for name, recommender in fitted.items():
            found.setdefault(name, []).append(evaluate(recommender, kept, held_out)["ndcg"])
        unseen = kept.sum(axis=0) - 1e9 * (kept.toarray() > 0)
        popular = np.argsort(-unseen, axis=1, kind="stable")[:, :10]
        found.setdefault("most popular", []).append(ndcg(popular, held_out))
    means = {name: float(np.mean(values)) for name, values in found.items()}
    what = f"MovieLens-100K, {SPLITS} splits 75/25: nDCG@10 of EASE and a Mult-DAE of items"
    return Bar(what, means.pop("blend"), 0.483, means, digits=4)


def memory(seed):
    threads = fastae.get_num_threads()
    command = [sys.executable, "-m", f"{__package__}.recommendation_memory", str(seed), str(threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak, seconds = map(float, done.stdout.split())
    what = "1 million users x 20,000 items, 20 million ratings: peak MB of an epoch of AutoRec"
    return Bar(what, peak, 2048, {"seconds": seconds}, low=True, digits=0)
