"""A fifth of a table's cells hidden at random, filled in: root mean square error over them, in standard deviations of columns.

The tables were chosen beforehand: breast_cancer of scikit-learn, satellite and pendigits of ADBench, all rows. Each is filled
by what learnt from the same incomplete table. Means over three draws of the hidden cells, by the seeds 1000, 1001, 1002 after
the one given; hyperparameters were chosen on another draw of the same tables. scikit-learn's imputers have their defaults, the
iterative one 25 rounds in place of 10. The imputer's hyperparameters are those of ``fastae.imputation``.
"""

import os
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from fastae.imputation import Imputer

from .bars import Bar

HIDDEN = 0.2
DRAWS = 3


def tables():
    yield "breast_cancer", load_breast_cancer().data
    for name in ("30_satellite", "28_pendigits"):
        with np.load(Path(os.environ["FASTAE_DATA"], "adbench", f"{name}.npz")) as stored:
            yield name.partition("_")[2], stored["X"].astype(np.float64)


def errors(x, seed, draw):
    """Of each imputer, on one draw of hidden cells."""
    whole = (x - x.mean(axis=0)) / x.std(axis=0)
    hidden = np.random.default_rng(seed + 1000 + draw).random(x.shape) < HIDDEN
    given = np.where(hidden, np.nan, whole)
    imputers = {
        "fastae": Imputer(seed=seed),
        "mean": SimpleImputer(),
        "k-NN": KNNImputer(),
        "iterative": IterativeImputer(max_iter=25, random_state=seed),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {
            name: np.sqrt(np.mean((imputer.fit_transform(given) - whole)[hidden] ** 2)) for name, imputer in imputers.items()
        }


def bars(seed):
    for name, x in tables():
        draws = [errors(x, seed, draw) for draw in range(DRAWS)]
        means = {method: float(np.mean([draw[method] for draw in draws])) for method in draws[0]}
        ours = means.pop("fastae")
        yield Bar(
            f"{name}, {x.shape[0]} x {x.shape[1]}, RMSE of cells filled in",
            ours,
            min(means.values()),
            means,
            low=True,
            digits=4,
        )
