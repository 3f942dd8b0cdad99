"""
scikit-learn: one pipeline from gaps to labels
==============================================

Handwritten digits, some of whose pixels are lost: filled in, encoded and recognised, in one pipeline of scikit-learn.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastae
from fastae.sklearn import AutoencoderImputer, AutoencoderTransformer

digits, labels = fastae.datasets.load_digits()
incomplete = np.where(np.random.default_rng(0).random(digits.shape) < 0.1, np.nan, digits)
train, test = slice(0, 1400), slice(1400, None)

pipeline = make_pipeline(
    AutoencoderImputer(steps=300, random_state=0),  # a few thousand fill in better, and take seconds
    AutoencoderTransformer(batch_size=32, max_iter=50, random_state=0),
    StandardScaler(),
    LogisticRegression(max_iter=1000),
)
widths = [2, 8, 32]
search = GridSearchCV(pipeline, {"autoencodertransformer__n_components": widths}, cv=2)
search.fit(incomplete[train], labels[train])
for width, right in zip(widths, search.cv_results_["mean_test_score"], strict=True):
    print(f"{width:2d} components: {right:.1%} right in cross-validation")

right = search.score(incomplete[test], labels[test])
print(f"the best, learnt from all: {right:.1%} right on the last digits")
assert right > 0.85
