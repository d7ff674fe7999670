"""From curves to a rate: rules suggest, short runs at the suggestion and beside it choose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lrlab.finder.rules import OURS, RULES, Curve
from lrlab.finder.scan import Curves
from lrlab.refusal import Failed, Refused

FEWEST = 20  # updates
_MOST_TRIALS = 16
_WORSE = 0.02  # of the fall of the best short run: what comes so near to it counts as good

Measure = Callable[[np.ndarray, bool], Curves]  # of the rates of each update; whether these are a short run's


class Choice(NamedTuple):
    """A rate, and the range over seeds of what each of them would have chosen."""

    rate: float
    low: float
    high: float


class Trial(NamedTuple):
    """A short run: the peak of its schedule, and the loss over its last tenth for each seed, inf where it diverged."""

    rate: float
    losses: np.ndarray


@dataclass(frozen=True, eq=False)
class RangeTest:
    """What a range test found.

    Args:
        rates: of each update, [steps].
        losses: before each update, [seeds, steps]; nan after a test has ended.
        smoothed: their exponential means, without the bias of their beginning, [seeds, steps].
        suggestions: rate by rule, the geometric mean over seeds; rules that find nothing are left out.
        spread: lowest and highest rate over seeds, by rule.
        chosen: the rate to take.
        trials: the short runs that chose it, by rate.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestions: dict[str, float]
    spread: dict[str, tuple[float, float]]
    chosen: Choice
    trials: tuple[Trial, ...]

    @property
    def derivative(self) -> np.ndarray:
        """Of the smoothed loss by the logarithm of the rate, [seeds, steps]."""
        return np.gradient(self.smoothed, np.log(self.rates), axis=1)

    @property
    def ended(self) -> list[float | None]:
        """The rate at which each seed's loss had left for good, or None."""
        last = np.isfinite(self.smoothed).sum(1)
        return [None if n == len(self.rates) else float(self.rates[n]) for n in last]

    def as_json(self) -> dict[str, Any]:
        """Everything as plain lists and numbers."""
        return {
            "rates": self.rates.tolist(),
            "losses": self.losses.tolist(),
            "smoothed": self.smoothed.tolist(),
            "derivative": self.derivative.tolist(),
            "suggestions": self.suggestions,
            "spread": self.spread,
            "chosen": self.chosen._asdict(),
            "ended": self.ended,
            "trials": [{"rate": trial.rate, "losses": trial.losses.tolist()} for trial in self.trials],
        }


def spaced(low: float, high: float, steps: int) -> np.ndarray:
    """The rates of a test, a geometric sequence from `low` to `high`, [steps]. Raises `Refused` for what is none."""
    if not 0 < low < high < np.inf:
        raise Refused(f"low={low:g}, high={high:g}: the rates rise from low to high; write low=1e-7, high=10")
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < FEWEST:
        raise Refused(
            f"steps={steps!r}: each update tries one rate, and a curve needs {FEWEST} or more; write steps=100"
        )
    return np.geomspace(low, high, steps)


def found(measure: Measure, rates: np.ndarray, shape: np.ndarray | None) -> RangeTest:
    """The range test over `rates`, then short runs in which the rate follows `shape`, [steps], up to 1; None is without.

    Raises `Refused` if the first loss is not finite, and `Failed` if the loss never falls.
    """
    losses, smoothed = (np.asarray(curves, np.float64) for curves in measure(rates, False))
    if not np.isfinite(losses[:, 0]).all():
        raise Refused(
            f"the loss before the first update is {losses[np.argmin(np.isfinite(losses[:, 0])), 0]}; "
            "no rate can mend that: look at the data, the initial values and the dtype"
        )
    curves = _curves(rates, losses, smoothed)
    readings = [{name: rule(curve) for name, rule in RULES.items()} for curve in curves]
    suggestions, spread = {}, {}
    for name in RULES:
        read = [rate for reading in readings if (rate := reading[name]) is not None]
        if read:
            suggestions[name] = _mean(read)
            spread[name] = (min(read), max(read))
    if OURS not in suggestions:
        raise Failed(
            f"the loss never falls between {rates[0]:g} and {rates[-1]:g}: it is {np.mean([curve.start for curve in curves]):.4g} at first and "
            f"{np.nanmin(losses):.4g} at its lowest, which is noise; no rate can be told from that"
        )
    if shape is None:
        chosen, trials = Choice(suggestions[OURS], *spread[OURS]), ()
    else:
        begun = np.array([curve.start for curve in curves])
        trials = _tried(measure, shape, suggestions[OURS], begun)
        chosen = _chosen(trials, begun)
    return RangeTest(rates, losses, smoothed, suggestions, spread, chosen, trials)


def _curves(rates: np.ndarray, losses: np.ndarray, smoothed: np.ndarray) -> list[Curve]:
    ends = [int(np.argmin(known)) if not known.all() else len(rates) for known in np.isfinite(smoothed)]
    return [Curve(rates[:end], l[:end], s[:end], len(rates)) for end, l, s in zip(ends, losses, smoothed)]


def _tried(measure: Measure, shape: np.ndarray, start: float, begun: np.ndarray) -> tuple[Trial, ...]:
    """Short runs at the suggestion and its neighbours by factors of two, and on to where either side is worse."""
    last, trials, wanted = max(1, len(shape) // 10), {}, [0, -1, 1]
    while wanted and len(trials) < _MOST_TRIALS:
        for k in wanted:
            rate = start * 2.0**k
            ends = np.asarray(measure(rate * shape, True).losses, np.float64)[:, -last:].mean(1)
            trials[k] = Trial(rate, np.where(np.isfinite(ends), ends, np.inf))
        order = sorted(trials)
        good, best = _basin(np.array([trials[k].losses.mean() for k in order]), float(begun.mean()))
        wanted = [order[0] - 1] if good == 0 else []
        if best == len(order) - 1:
            wanted.append(order[-1] + 1)
    return tuple(trials[k] for k in sorted(trials))


def _chosen(trials: Sequence[Trial], begun: np.ndarray) -> Choice:
    """The lowest rate whose short run is as good as the best: longer runs prefer lower rates than short ones do."""
    losses = np.array([trial.losses for trial in trials])
    if not losses.mean(1).min() < begun.mean():
        raise Failed(
            f"no short run at a peak from {trials[0].rate:.2g} to {trials[-1].rate:.2g} ends lower than it began; "
            "leave the short runs out to see what the rules read"
        )
    rate = trials[_basin(losses.mean(1), float(begun.mean()))[0]].rate
    each = [trials[_basin(own, start)[0]].rate for own, start in zip(losses.T, begun)]
    return Choice(rate, min(rate, *each), max(rate, *each))


def _basin(losses: np.ndarray, begun: float) -> tuple[int, int]:
    """The first short run whose fall is nearly that of the best, and the best, by their numbers."""
    best = int(np.argmin(losses))
    return int(np.argmax(losses <= losses[best] + _WORSE * max(begun - losses[best], 0.0))), best


def _mean(rates: Sequence[float]) -> float:
    """The geometric mean."""
    return float(np.exp(np.mean(np.log(rates))))
