"""The C functions that models are made of. They are of doubles, of which ``code`` makes floats; NAME is a model's."""

import re
from typing import Any

import numpy as np

from .._check import Array

BEGIN = """/* Written by fastae VERSION: C99, or C++, that needs the C library's math alone (link with -lm).

   Each function takes and gives one sample; its arrays must not overlap. Nothing is allocated, no state is kept. */

#include <math.h>

#ifdef __cplusplus
extern "C" {
#endif
"""

END = """
#ifdef __cplusplus
}
#endif
"""

LAYERS = """
void NAME_forward(const double *x, double *y); /* x[NAME_n_in], y[NAME_n_out] */
"""

AUTOENCODER = """
void NAME_encode(const double *x, double *z);      /* x[NAME_n_in], z[NAME_n_latent] */
void NAME_decode(const double *z, double *y);      /* z[NAME_n_latent], y[NAME_n_out] */
void NAME_reconstruct(const double *x, double *y); /* x[NAME_n_in], y[NAME_n_out] */
"""

CONDITIONED = """
/* The condition is the last NAME_n_conditions features of x and of z. */

void NAME_encode(const double *x, double *z);      /* x[NAME_n_in], z[NAME_n_latent] */
void NAME_decode(const double *z, double *y);      /* z[NAME_n_latent + NAME_n_conditions], y[NAME_n_out] */
void NAME_reconstruct(const double *x, double *y); /* x[NAME_n_in], y[NAME_n_out] */
"""

# Weights are stored (n_in, n_out): the inner loop, over outputs, sums nothing up, so compilers make vectors of it.
LINEAR = """
static void NAME_linear(int n_in, int n_out, const double *weight, const double *bias, const double *x, double *y)
{
    int i, o;
    for (o = 0; o < n_out; o++) y[o] = bias[o];
    for (i = 0; i < n_in; i++, weight += n_out)
        for (o = 0; o < n_out; o++) y[o] += weight[o] * x[i];
}
"""

_ACTIVATION = """
static void NAME_ACTIVATION(int n, double *y)
{
    int i;
    for (i = 0; i < n; i++) {
        const double z = y[i];
        y[i] = FORMULA;
    }
}
"""

_FORMULAS = {  # fastae's definitions, as PyTorch's
    "relu": "z > 0.0 ? z : 0.0",
    "leaky_relu": "z > 0.0 ? z : 0.01 * z",
    "elu": "z > 0.0 ? z : expm1(z)",
    "sigmoid": "1.0 / (1.0 + exp(-z))",
    "tanh": "tanh(z)",
    "softplus": "(z > 0.0 ? z : 0.0) + log1p(exp(-fabs(z)))",
    "gelu": "0.5 * z * erfc(-z * 0.70710678118654752)",
    "silu": "z / (1.0 + exp(-z))",
}

_SOFTMAX = """
static void NAME_softmax(int n, double *y)
{
    int i;
    double most = y[0], sum = 0.0;
    for (i = 1; i < n; i++) most = y[i] > most ? y[i] : most;
    for (i = 0; i < n; i++) {
        y[i] = exp(y[i] - most);
        sum += y[i];
    }
    for (i = 0; i < n; i++) y[i] /= sum;
}
"""

LARGEST = """
static void NAME_largest(int n, int k, double *y) /* all but the k largest become 0; equals of the k-th stay */
{
    int i, j, above;
    double least = HUGE_VAL;
    for (i = 0; i < n; i++) {
        for (j = 0, above = 0; j < n; j++) above += y[j] > y[i];
        if (above < k && y[i] < least) least = y[i];
    }
    for (i = 0; i < n; i++) y[i] = y[i] < least ? 0.0 : y[i];
}
"""

MISSING = """
static void NAME_missing(int n, const double *x, double *y) /* NaN counts as 0 */
{
    int i;
    for (i = 0; i < n; i++) y[i] = x[i] == x[i] ? x[i] : 0.0;
}
"""

RECONSTRUCT = """
void NAME_reconstruct(const double *x, double *y)
{
    double z[NAME_n_latent];
    NAME_encode(x, z);
    NAME_decode(z, y);
}
"""

RECONSTRUCT_CONDITIONED = """
void NAME_reconstruct(const double *x, double *y)
{
    int i;
    double z[NAME_n_latent + NAME_n_conditions];
    NAME_encode(x, z);
    for (i = 0; i < NAME_n_conditions; i++) z[NAME_n_latent + i] = x[NAME_n_in - NAME_n_conditions + i];
    NAME_decode(z, y);
}
"""

_NUMBERS = 8  # on a line

_FLOATS = (  # of double's types, functions and constants
    (r"\bdouble\b", "float"),
    (r"\b(exp|expm1|log1p|erfc|tanh|fabs)(?=\()", r"\1f"),
    (r"\bHUGE_VAL\b", "HUGE_VALF"),
    (r"\b\d+\.\d+\b", r"\g<0>f"),
)


def helper(activation: str) -> str:
    """What applies an activation to n numbers in place."""
    if activation == "softmax":
        return _SOFTMAX
    return _ACTIVATION.replace("ACTIVATION", activation).replace("FORMULA", _FORMULAS[activation])


def code(text: str, name: str, dtype: np.dtype[Any]) -> str:
    """What stands above, of a model's name and dtype."""
    for pattern, single in _FLOATS if dtype == np.float32 else ():
        text = re.sub(pattern, single, text)
    return re.sub(r"\bNAME(?=_)", name, text)


def constants(name: str, values: Array) -> str:
    """An array, each number in the fewest digits that give it back to the bit."""
    kind, suffix = ("float", "f") if values.dtype == np.float32 else ("double", "")
    numbers = [number + suffix for number in values.ravel().astype(str).tolist()]
    lines = (", ".join(numbers[i : i + _NUMBERS]) for i in range(0, len(numbers), _NUMBERS))
    inside = ",\n    ".join(lines)
    return f"\nstatic const {kind} {name}[{values.size}] = {{\n    {inside}\n}};\n"
