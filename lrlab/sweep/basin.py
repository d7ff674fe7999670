"""The basin of a hyperparameter: final loss against its value over seeds, its optimum with an interval, its sensitivity."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lrlab.verdict import CONFIDENCE

_RESAMPLES = 2000


class Optimum(NamedTuple):
    """Where a basin is lowest, with a bootstrap interval over seeds (nan with a single seed)."""

    value: float
    low: float
    high: float


class Basin(NamedTuple):
    """A basin over n values, [n] each."""

    mean: np.ndarray  # nan where a run diverged
    low: np.ndarray  # bootstrap interval of the mean
    high: np.ndarray
    best: int  # index of the lowest mean; -1 if every value diverged
    optimum: Optimum  # between the values, by a parabola in the logarithm
    at_edge: bool  # the best is the first or the last value, and the true one may lie beyond


def basin(values: Sequence[float], losses: np.ndarray, seed: int = 0) -> Basin:
    """The basin of `losses` [values, seeds] over ascending positive `values`; a loss that is not finite is a divergence.

    The interval resamples seeds, the same ones at every value since runs of a seed share their data (Efron 1979).
    """
    losses = np.where(np.isfinite(losses), losses, np.nan)
    mean = losses.mean(1)
    if np.isnan(mean).all():
        none = np.full(len(mean), np.nan)
        return Basin(mean, none, none, -1, Optimum(np.nan, np.nan, np.nan), False)
    seeds = losses.shape[1]
    drawn = np.random.default_rng(seed).integers(seeds, size=(_RESAMPLES if seeds > 1 else 0, seeds))
    means = losses[:, drawn].mean(2).T  # [resamples, values]
    best = int(np.nanargmin(mean))
    known = means[~np.isnan(means).all(1)]
    low, high = _interval(means)
    optimum = Optimum(log_parabola(values, mean), *_interval([log_parabola(values, one) for one in known]))
    return Basin(mean, low, high, best, optimum, best in (0, len(mean) - 1))


def lowest(losses: np.ndarray) -> int:
    """Which of the values of `losses`, [values, seeds], has the lowest mean; one at which a run diverged is no candidate.

    >>> lowest(np.array([[1.0, 1.2], [0.5, float("nan")], [0.9, 1.0]]))
    2
    """
    return int(np.argmin(np.nan_to_num(losses.mean(1), nan=np.inf)))


class Tuned(NamedTuple):
    """An arm at its best value: what it loses there, for each seed."""

    value: float  # common to all seeds
    losses: list[float]  # by the parabola of each seed; nan where every value diverged
    values: list[float]  # of each seed by itself
    at_edge: bool  # the true optimum may lie beyond the values tried


def tuned(values: Sequence[float], losses: Sequence[Sequence[float]] | np.ndarray) -> Tuned:
    """An arm that was run at several `values`, with `losses` [values, seeds], at its optimum by `log_parabola`.

    The value is chosen on the seeds that are then compared, which flatters every arm alike. A value at which some run
    diverged is no candidate.

    >>> arm = tuned([1e-3, 1e-2, 1e-1], [[2.0, 2.2], [1.0, 1.1], [2.0, 2.2]])
    >>> round(arm.value, 4), np.round(arm.losses, 6).tolist(), arm.at_edge
    (0.01, [1.0, 1.1], False)
    """
    losses = np.asarray(losses, float)
    known = np.where(np.isfinite(losses), losses, np.nan)
    mean = known.mean(1)
    if np.isnan(mean).all():
        lost = [float("nan")] * losses.shape[1]
        return Tuned(float("nan"), lost, lost, False)
    best, value = int(np.nanargmin(mean)), log_parabola(values, mean)
    own = [log_parabola(values, one) if np.isfinite(one).any() else float("nan") for one in known.T]
    at_edge = best in (0, len(mean) - 1)
    if value == values[best]:
        return Tuned(value, known[best].tolist(), own, at_edge)
    x, around = np.log(values), slice(best - 1, best + 2)
    through = np.polynomial.polynomial.polyfit(x[around] - x[best], known[around], 2)
    return Tuned(value, np.polynomial.polynomial.polyval(np.log(value) - x[best], through).tolist(), own, at_edge)


def log_parabola(values: Sequence[float], losses: Sequence[float] | np.ndarray) -> float:
    """The value of lowest loss, by the parabola in log(value) through the lowest loss and its neighbours.

    At an edge, beside a divergence, or where the three do not curve upwards it is the value of lowest loss itself.

    >>> round(log_parabola([1e-3, 1e-2, 1e-1], [1.0, 0.5, 1.0]), 4)
    0.01
    >>> 0.01 < log_parabola([1e-3, 1e-2, 1e-1], [1.0, 0.5, 0.7]) < 0.1
    True
    """
    losses = np.where(np.isfinite(losses), losses, np.nan)
    best = int(np.nanargmin(losses))
    around = slice(best - 1, best + 2)
    if best == 0 or best == len(losses) - 1 or np.isnan(losses[around]).any():
        return float(values[best])
    x = np.log(values[around])
    (left, right), (below, above) = np.diff(x), np.diff(losses[around])
    if left == 0 or right == 0:  # a search tried the value twice
        return float(values[best])
    curvature = above / right - below / left
    if curvature <= 0:
        return float(values[best])
    slope = (below / left * right + above / right * left) / (left + right)
    return float(np.exp(x[1] - slope * (left + right) / (2 * curvature)))


def sensitivity(values: Sequence[float], losses: Sequence[float] | np.ndarray, initial: float) -> float:
    """How much is lost by not knowing the best rate: the mean over log(value) of min(loss, initial) - lowest loss.

    Runs that diverged count with the loss at the start. Reference: Wortsman et al. 2023, arXiv:2309.14322, section 2.2.

    >>> round(sensitivity([1e-3, 1e-2, 1e-1], [1.2, 1.0, float("nan")], initial=2.0), 3)
    0.3
    """
    bounded = np.minimum(np.where(np.isfinite(losses), losses, initial), initial)
    x = np.log(values)
    return float(np.trapezoid(bounded - bounded.min(), x) / (x[-1] - x[0]))


def _interval(samples: Any) -> Any:
    """Lower and upper end of the central interval of `samples` [resamples, ...]; nan where there are none."""
    samples, tail = np.asarray(samples, float), (1 - CONFIDENCE) / 2
    if not len(samples):
        return np.full((2, *samples.shape[1:]), np.nan)
    return np.quantile(samples, [tail, 1 - tail], axis=0)
