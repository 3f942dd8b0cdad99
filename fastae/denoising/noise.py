"""How much noise an image has."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import pixels

_MEDIAN = 0.6744897501960817  # of the absolute value of a standard normal variable
_ENOUGH = 1 << 20  # pixels, for a median to three digits


def estimate_sigma(image: Any) -> float:
    """Standard deviation of the white noise of an image, in the image's own units.

    Four pixels in a square, a and b over c and d, give (a - b - c + d) / 2, the finest diagonal Haar wavelet: noise stays as it
    is there, and of an image little is left but corners. The estimate is the median of the absolute values over 0.6745, which
    a few corners hardly move (Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81, 1994).
    Fine texture all over counts as noise; noise with a grain of several pixels is underestimated.

    Parameters
    ----------
    image : array (rows, columns) or (rows, columns, channels)
        As :meth:`ImageDenoiser.denoise` takes it, at least 2 x 2.

    Returns
    -------
    float
    """
    x = pixels.colours(pixels.checked(image, "image"))
    rows, columns = x.shape[:2]
    if min(rows, columns) < 2:
        raise ValueError(f"image takes at least 2 x 2 pixels for its noise to be estimated, got {rows} x {columns}; give sigma")
    step = max(rows * columns // _ENOUGH, 1)  # of a large image, some pairs of rows
    difference = x[:-1:step].astype(np.float64) - x[1::step]
    return float(np.median(np.abs(difference[:, 1:] - difference[:, :-1])) / 2 / _MEDIAN)
