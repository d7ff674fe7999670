"""A verdict says whether a paper's claims held, from runs over seeds, with an interval each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    paper: str = ""  # what the paper found, in its own numbers
    p: float | None = None  # of the test behind `holds`, two-sided

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
    p: float  # of the mean against `null`


def paired(
    first: Sequence[float], second: Sequence[float], confidence: float = CONFIDENCE, null: float = 0.0
) -> Difference:
    """`first` - `second`, paired by seed, with the t interval of the mean and its test against `null` (Student 1908).

    Raises `Refused` for fewer than three seeds or unequal numbers of them.

    >>> difference = paired([1.0, 1.2, 1.1], [1.5, 1.6, 1.6])
    >>> round(difference.mean, 3), round(difference.high, 2), round(difference.p, 3)
    (-0.467, -0.32, 0.005)
    """
    if len(first) != len(second) or len(first) < 3:
        raise Refused(
            f"{len(first)} and {len(second)} seeds cannot be compared; an interval needs three pairs: --seeds 3"
        )
    from scipy import special  # takes a third of JAX's time to import, and sweeps need no t interval

    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    n, mean = len(differences), differences.mean()
    error = differences.std(ddof=1) / np.sqrt(n)
    width = special.stdtrit(n - 1, 0.5 + confidence / 2) * error
    same = int(np.sum(np.sign(differences) == np.sign(mean)))
    p = 2 * special.stdtr(n - 1, -abs(mean - null) / error) if error else float(mean == null)
    return Difference(float(mean), float(mean - width), float(mean + width), same, n, float(p))


def lower(
    text: str,
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    *,
    by: float = 0.0,
    unit: str = "nats",
    note: str = "",
    paper: str = "",
) -> Claim:
    """The claim that `first` is lower than `second` by more than `by`: it holds if the whole interval says so.

    Diverged runs are nan. It does not hold where one of `first` diverged, and where all of `second` did it holds, since no
    loss is worse.
    """
    nan, finite = float("nan"), [np.isfinite(values) for values in (first, second)]
    both = [pair for pair, a, b in zip(zip(first, second), *finite) if a and b]
    lost = f"{np.sum(~finite[0])} of {len(first)} runs diverged, and {np.sum(~finite[1])} of the other arm"
    if len(both) < 3:
        holds = bool(finite[0].all() and not finite[1].any())
        return Claim(text, holds, nan, nan, nan, unit, lost, paper)
    difference = paired([a for a, _ in both], [b for _, b in both], null=-by)
    holds = bool(difference.high < -by and finite[0].all())
    notes = [note] if note else []
    if len(both) < len(first):
        notes.append(lost)
    return _claim(text, holds, difference, unit, notes, paper)


def equal(
    text: str,
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    *,
    within: float,
    unit: str = "nats",
    note: str = "",
    paper: str = "",
) -> Claim:
    """The claim that `first` and `second` differ by less than `within`: it holds if the whole interval says so.

    Which is stricter than two one-sided tests at 5 % (Schuirmann 1987). It does not hold where a run diverged.

    >>> equal("as good", [1.0, 1.2, 1.1], [1.01, 1.19, 1.1], within=0.1).holds
    True
    """
    return between(text, np.subtract(first, second), -within, within, unit=unit, note=note, paper=paper)


def between(
    text: str,
    values: Sequence[float] | np.ndarray,
    low: float = -np.inf,
    high: float = np.inf,
    *,
    unit: str = "",
    note: str = "",
    paper: str = "",
) -> Claim:
    """The claim that a quantity with one value per seed lies between two bounds: it holds if its whole t interval does.

    >>> between("the gap", [0.07, 0.08, 0.09], 0.04, 0.12, unit="nats").holds
    True
    """
    values = np.asarray(values, float)
    if not np.isfinite(values).all():
        nan, told = float("nan"), f"{np.sum(~np.isfinite(values))} of {len(values)} seeds have no value"
        return Claim(text, False, nan, nan, nan, unit, told, paper)
    mean = paired(values.tolist(), [0.0] * len(values))
    told = f"asked: {_range(low, high)}"
    holds = low <= mean.low and mean.high <= high
    return replace(_claim(text, holds, mean, unit, [note, told] if note else [told], paper), p=None)


def exact(
    text: str,
    value: float,
    low: float = -np.inf,
    high: float = np.inf,
    *,
    unit: str = "",
    note: str = "",
    paper: str = "",
) -> Claim:
    """The claim that a number without chance in it, computed or published, lies between two bounds.

    >>> print(exact("the ratio", 1.95, 1.5, 2.5))
    held: the ratio: +1.950 [+1.950, +1.950]  (asked: 1.5 to 2.5)
    """
    value, told = float(value), f"asked: {_range(low, high)}"
    return Claim(
        text, bool(low <= value <= high), value, value, value, unit, f"{note}; {told}" if note else told, paper
    )


def often(text: str, hits: Sequence[Any], at_least: int, *, note: str = "", paper: str = "") -> Claim:
    """The claim that something happens in at least so many seeds; the share of them with Clopper and Pearson's interval (1934).

    >>> print(often("it collapses", [True, True, True, False], at_least=3))
    held: it collapses: +0.750 [+0.194, +0.994] of seeds (3 of 4; asked: 3)
    """
    from scipy import special

    k, n, tail = sum(map(bool, hits)), len(hits), (1 - CONFIDENCE) / 2
    low = special.betaincinv(k, n - k + 1, tail) if k else 0.0
    high = special.betaincinv(k + 1, n - k, 1 - tail) if k < n else 1.0
    told = f"{k} of {n}; asked: {at_least}"
    return Claim(
        text, k >= at_least, k / n, float(low), float(high), "of seeds", f"{note}; {told}" if note else told, paper
    )


def corrected(claims: Sequence[Claim]) -> list[Claim]:
    """Claims that were tested together, each with its p-value and what is left of it after Holm's correction (1979).

    >>> first, second = (Claim("", True, -1, -2, -0.1, "nats", p=p) for p in (0.01, 0.04))
    >>> [claim.because for claim in corrected([first, second])]
    ['p 0.01, 0.02 among 2 claims', 'p 0.04, 0.04 among 2 claims']
    """
    tested = sorted((i for i, claim in enumerate(claims) if claim.p is not None), key=lambda i: claims[i].p or 0.0)
    told, least = list(claims), 0.0
    for rank, i in enumerate(tested):
        claim = claims[i]
        p = claim.p or 0.0
        least = max(least, min(1.0, (len(tested) - rank) * p))
        note = f"p {p:.1g}, {least:.1g} among {len(tested)} claims" if len(tested) > 1 else f"p {p:.1g}"
        told[i] = replace(claim, because="; ".join(filter(None, [claim.because, note])))
    return told


def as_json(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Claims as they stand in JSON."""
    return [vars(claim) for claim in claims]


def _claim(text: str, holds: bool, found: Difference, unit: str, notes: list[str], paper: str) -> Claim:
    told = "; ".join([*notes, f"{found.same_sign} of {found.seeds} seeds"])
    return Claim(text, bool(holds), found.mean, found.low, found.high, unit, told, paper, found.p)


def _range(low: float, high: float) -> str:
    if np.isinf(low):
        return f"at most {high:g}"
    return f"at least {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"
