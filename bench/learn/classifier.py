"""A logistic regression on codes, by scikit-learn."""

import numpy as np
from sklearn.linear_model import LogisticRegression


def error_of(codes, labels, test_codes, test_labels, strengths=(0.005, 0.01, 0.02, 0.04), held_out=10000):
    """Error in % on the test set, and what was chosen: C on the last ``held_out`` samples, then trained on all.

    All codes are moved and scaled alike, so that their mean is 0 and their mean square 1.
    """
    mean = codes.mean(axis=0)
    scale = np.sqrt(np.mean(np.square(codes - mean, dtype=np.float64))).astype(codes.dtype)
    codes, test_codes = (codes - mean) / scale, (test_codes - mean) / scale
    cut = len(codes) - held_out
    errors = [wrong(codes[:cut], labels[:cut], codes[cut:], labels[cut:], c) for c in strengths]
    best = strengths[int(np.argmin(errors))]
    found = wrong(codes, labels, test_codes, test_labels, best)
    return found, f"C = {best:g}, held out {min(errors):.2f} %"


def wrong(x, labels, test, test_labels, c):
    model = LogisticRegression(C=c, max_iter=2000, tol=2e-5).fit(x, labels)
    return 100 * float(np.mean(model.predict(test) != test_labels))
