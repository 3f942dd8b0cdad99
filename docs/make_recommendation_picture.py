"""Draw docs/images/recommendation.png: ``python docs/make_recommendation_picture.py``, from the root; two minutes on two cores.

The numbers are those of ``python -m bench.applications recommendation``, whose data this takes.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy import sparse

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.applications.recommendation import biases, movielens, ranking
from fastae.recommendation import AutoRec, Blend

PATH = Path(__file__).parent / "images" / "recommendation.png"


def main():
    figure = Figure((8, 2.7), dpi=80, layout="constrained")
    left, right = figure.subplots(1, 2)
    bar = ranking(0)
    found = dict(sorted({**bar.others, "EASE and Mult-DAE\nof items": bar.value}.items(), key=lambda pair: pair[1]))
    drawn = left.barh(list(found), list(found.values()), color=["tab:gray"] * (len(found) - 1) + ["tab:blue"])
    left.bar_label(drawn, fmt="%.3f", padding=2, fontsize=8)
    left.set(title="nDCG@10, 25 % of ratings held out", xlim=(0, 0.57))
    error_by_ratings(right)
    figure.savefig(PATH)
    Image.open(PATH).convert("RGB").quantize(48).save(PATH, optimize=True)
    print(f"wrote {PATH}, {PATH.stat().st_size / 1024:.0f} KB")


def error_by_ratings(axis):
    users, items, values = movielens()
    test, base = slice(0, 20_000), slice(20_000, None)
    ratings = sparse.csr_array((values[base], (users[base], items[base])), (943, 1682))
    parts = [AutoRec("item", scale=(1, 5), seed=number) for number in range(3)]
    blend = Blend([*parts, AutoRec("user", scale=(1, 5), seed=0)]).fit(ratings)
    predicted = {
        "damped biases": biases(users[base], items[base], values[base], users[test], items[test]).clip(1, 5),
        "blend of AutoRecs": blend.predict(ratings, users[test], items[test]),
    }
    n = np.diff(ratings.indptr)[users[test]]
    edges = np.quantile(n, np.linspace(0, 1, 8))
    part = np.searchsorted(edges[1:-1], n)
    middle = [np.median(n[part == k]) for k in range(7)]
    for (name, y), colour in zip(predicted.items(), ("tab:gray", "tab:blue"), strict=True):
        squares = (y - values[test]) ** 2
        axis.plot(middle, [np.sqrt(squares[part == k].mean()) for k in range(7)], "o-", label=name, color=colour, markersize=4)
    axis.set(title="RMSE on u1", xlabel="ratings known of the user", xscale="log")
    axis.legend(fontsize=8)


main()
