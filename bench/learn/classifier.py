"""A logistic regression on codes, by scikit-learn."""

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression


def error_of(codes, labels, test_codes, test_labels, strengths=(0.01, 0.03, 0.1, 0.3, 1.0), held_out=10000):
    """Error in % on the test set, and what was chosen: C on the last ``held_out`` samples, then trained on all."""
    scale = np.sqrt(np.mean(np.square(codes, dtype=np.float64)))
    codes, test_codes = codes / np.float32(scale), test_codes / np.float32(scale)
    cut = len(codes) - held_out
    errors = [wrong(codes[:cut], labels[:cut], codes[cut:], labels[cut:], c) for c in strengths]
    best = strengths[int(np.argmin(errors))]
    found = wrong(codes, labels, test_codes, test_labels, best)
    return found, f"C = {best:g}, held out {min(errors):.2f} %"


def wrong(x, labels, test, test_labels, c):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lbfgs may stop at its most iterations
        model = LogisticRegression(C=c, max_iter=300, tol=1e-3).fit(x, labels)
    return 100 * float(np.mean(model.predict(test) != test_labels))
