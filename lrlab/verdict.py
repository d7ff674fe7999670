"""A verdict says whether a paper's claims held, from runs over seeds, with an interval each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from lrlab.refusal import Refused

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper and what was measured of it: an effect with its confidence interval."""

    text: str
    holds: bool
    measured: float
    low: float
    high: float
    unit: str
    because: str = ""  # why it does not hold here, or what else a reader should know

    def __str__(self) -> str:
        verdict = "held" if self.holds else "NOT held here"
        tail = f" ({self.because})" if self.because else ""
        return f"{verdict}: {self.text}: {self.measured:+.3f} [{self.low:+.3f}, {self.high:+.3f}] {self.unit}{tail}"


class Difference(NamedTuple):
    """A mean difference over paired seeds with its two-sided t interval."""

    mean: float
    low: float
    high: float
    same_sign: int  # seeds in which the difference has the sign of the mean
    seeds: int


def paired(first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE) -> Difference:
    """`first` - `second`, paired by seed, with the t interval of the mean (Student 1908).

    Raises `Refused` for fewer than three seeds or unequal numbers of them.

    >>> difference = paired([1.0, 1.2, 1.1], [1.5, 1.6, 1.6])
    >>> round(difference.mean, 3), round(difference.high, 2)
    (-0.467, -0.32)
    """
    if len(first) != len(second) or len(first) < 3:
        raise Refused(
            f"{len(first)} and {len(second)} seeds cannot be compared; an interval needs three pairs: --seeds 3"
        )
    from scipy import special  # takes a third of JAX's time to import, and sweeps need no t interval

    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    mean, error = differences.mean(), differences.std(ddof=1) / np.sqrt(len(differences))
    width = special.stdtrit(len(differences) - 1, 0.5 + confidence / 2) * error
    same = int(np.sum(np.sign(differences) == np.sign(mean)))
    return Difference(float(mean), float(mean - width), float(mean + width), same, len(differences))


def lower(
    text: str, first: Sequence[float], second: Sequence[float], *, by: float = 0.0, unit: str = "nats", note: str = ""
) -> Claim:
    """The claim that `first` is lower than `second` by more than `by`: it holds if the whole interval says so.

    Diverged runs are nan; a claim whose baseline diverged in every seed holds, since no loss is worse.
    """
    nan, finite = float("nan"), [np.isfinite(values) for values in (first, second)]
    both = [pair for pair, a, b in zip(zip(first, second), *finite) if a and b]
    lost = f"{np.sum(~finite[0])} of {len(first)} runs diverged, and {np.sum(~finite[1])} of the other arm"
    if len(both) < 3:
        return Claim(text, bool(finite[0].all() and not finite[1].any()), nan, nan, nan, unit, lost)
    difference = paired([a for a, _ in both], [b for _, b in both])
    notes = [note] if note else []
    if len(both) < len(first):
        notes.append(lost)
    notes.append(f"{difference.same_sign} of {difference.seeds} seeds")
    return Claim(text, difference.high < -by, difference.mean, difference.low, difference.high, unit, "; ".join(notes))


def tuned(losses: Sequence[Sequence[float]]) -> Sequence[float]:
    """Of one arm at several peaks, the losses at the peak with the lowest mean over seeds (a diverged run is no candidate).

    The choice is made on the seeds that are then compared, which flatters every arm alike.

    >>> tuned([[2.0, 2.2], [1.9, 2.0], [1.5, float("nan")]])
    [1.9, 2.0]
    """
    means = [np.mean(values) for values in losses]
    return losses[int(np.argmin(np.where(np.isfinite(means), means, np.inf)))]


def as_json(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Claims as they stand in JSON."""
    return [vars(claim) for claim in claims]
