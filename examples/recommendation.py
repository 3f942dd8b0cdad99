"""
Recommendation: where the ink goes
==================================

Recommendations for handwriting: a digit is a user, its 64 pixels are items, the ink is the rating.

Half of each digit's inked pixels are shown, and recommenders say which others have ink.
"""

import numpy as np

import fastae
from fastae.recommendation import EASE, AutoRec, Blend, MultDAE, Ratings, evaluate, rmse, split

x, _ = fastae.datasets.load_digits()
digits, pixels = x.nonzero()
ink = Ratings.from_columns(digits, [f"row {p // 8}, column {p % 8}" for p in pixels], 16 * x[digits, pixels])
shown, hidden = split(ink, 0.5, seed=0)

for recommender in (EASE(), MultDAE("item", 32, seed=0), Blend([EASE(), MultDAE("item", 32, seed=0)])):
    found = evaluate(recommender.fit(shown), shown, hidden)
    print(f"{type(recommender).__name__:8} nDCG@10 {found['ndcg']:.3f}   precision@10 {found['precision']:.3f}")

recommender = AutoRec("user", 64, scale=(1, 16), epochs=30, lr=3e-3, weight_decay=1e-4, seed=0).fit(shown)
found = evaluate(recommender, shown, hidden)
spread = rmse(np.full(hidden.matrix.nnz, shown.matrix.data.mean()), hidden.matrix.data)
print(f"AutoRec  RMSE {found['rmse']:.2f} of ink from 1 to 16; of the mean {spread:.2f}")

best = recommender.recommend(shown, n=1)
print(f"the first digit's blackest pixel that was not shown: {recommender.item_ids[best.items[0, 0]]}")
