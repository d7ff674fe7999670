"""A refined schedule follows the gradient norms of a run that was made: low where they are high, and falling to zero.

Reference: Defazio et al. 2023, When, why and how much?, arXiv:2310.07831, theorem 3 and algorithm 1.
"""

from typing import Any

import numpy as np
from scipy.ndimage import median_filter

from lrlab.refusal import Refused


def refined(gradient_norms: Any, smooth: float = 0.0, power: float = 2.0) -> np.ndarray:
    """The rates w_t (w_{t+1} + ... + w_T), w_t = G_t^-power, as shares of the highest, [T]; the last is 0.

    Args:
        gradient_norms: G_t > 0 of every update, [T].
        smooth: the norms are first a running median over this share of the run, with the end reflected, since the nearest norm
            repeated would be one of many draws; 0.1 for norms that were measured.
        power: 2 for gradient descent and Euclidean norms; 1 for Adam and the sums of absolute values.

    Norms that do not change give the linear decay, norms that fall also a warm-up.

    >>> refined([2.0, 1.0, 1.0, 1.0]).round(3).tolist()
    [0.375, 1.0, 0.5, 0.0]
    """
    G = np.asarray(gradient_norms, float)
    if G.ndim != 1 or len(G) < 2 or not (np.isfinite(G).all() and (G > 0).all()):
        raise Refused("a schedule is refined by the gradient norms of one run, at least two, all positive and finite")
    if smooth:
        half = int(smooth * len(G)) // 2
        G = median_filter(np.pad(G, (0, half), mode="reflect"), 2 * half + 1, mode="nearest")[: len(G)]
    w = (G / G.min()) ** -power
    rates = w * np.append(np.cumsum(w[:0:-1])[::-1], 0)
    return rates / rates.max()
