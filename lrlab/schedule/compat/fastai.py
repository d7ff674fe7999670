"""fastai.callback.schedule (fastai 2.8), functions of the share of a run that is done, and the fits that use them.

`ParamScheduler({"lr": scheduler}, steps=...)` makes one a schedule of the update; so does `steps=...` everywhere, how many
updates the run has. A fit is given `steps_per_epoch`, the length of its data loader. Momentum is a schedule of its own.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.piece import ascending
from lrlab.schedule.compat.progress import Leg, laid, legs_of, steps_of
from lrlab.schedule.compat.rates import hold, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine, geometric, linear
from lrlab.schedule.write import written


def SchedLin(start: float, end: float, *, steps: int | None = None) -> Schedule:
    """A line from one value to another.

    >>> SchedLin(0, 0.1, steps=100)
    0.1 * warmup(100)
    """
    return _way("SchedLin", start, end, linear, steps)


def SchedCos(start: float, end: float, *, steps: int | None = None) -> Schedule:
    """A cosine from one value to another.

    >>> SchedCos(0.1, 0), SchedCos(0.1, 0, steps=100)
    (0.1 * decay(curve=cosine), 0.1 * decay(100, curve=cosine))
    """
    return _way("SchedCos", start, end, cosine, steps)


def SchedNo(start: float, end: float, *, steps: int | None = None) -> Schedule:
    """The first value; the other plays no part.

    >>> SchedNo(0.1, 0)
    0.1 * stable()
    """
    return laid([Leg(0.0, 1.0, hold(check.share(start, "SchedNo", "start")), 0.0)], steps_of(steps, "SchedNo"))


def SchedExp(start: float, end: float, *, steps: int | None = None) -> Schedule:
    """An exponential from one positive value to another.

    >>> SchedExp(1e-7, 10, steps=100)
    10 * warmup(100, start=1e-8, curve=geometric)
    """
    where = "SchedExp"
    return _way(where, check.rate(start, where, "start"), check.rate(end, where, "end"), geometric, steps)


def SchedPoly(start: float, end: float, power: float, *, steps: int | None = None) -> Schedule:
    """From one value to another as pos**power.

    >>> SchedPoly(0.1, 0, 2, steps=100)
    0.1 * decay(100, curve=power(2))
    """
    return _way("SchedPoly", start, end, ascending(check.share(power, "SchedPoly", "power", positive=True)), steps)


def combine_scheds(pcts: Sequence[float], scheds: Sequence[Schedule], *, steps: int | None = None) -> Schedule:
    """Schedulers one after another, each all of itself in its share of the run; the shares add up to 1 exactly.

    fastai counts in float32: in a part as short as a hundredth of the run it is some 3e-6 of the peak beside its formula.

    >>> combine_scheds([0.25, 0.75], [SchedLin(0, 0.1), SchedCos(0.1, 0)], steps=100)
    0.1 * warmup(25) >> decay(75, curve=cosine)
    """
    where, shares = "combine_scheds", [check.share(pct, "combine_scheds", "pcts", most=1.0) for pct in pcts]
    if sum(shares) != 1 or len(shares) != len(scheds):
        raise Refused(
            f"{where}(pcts={written(shares)}) of {len(scheds)} schedulers: there is one share for each, and they add up to "
            f"1 to the last digit, not to {sum(shares)!r}"
        )
    ends = list(accumulate(shares, initial=0.0))
    starts = (
        np.cumsum(np.asarray([0.0, *shares], np.float32), dtype=np.float64).astype(np.float32).tolist()
    )  # as PyTorch adds them
    legs = [
        Leg(begin + leg.begin * share, begin + leg.end * share, leg.way, begin + leg.start * share, begin - start)
        for sched, share, begin, start in zip(scheds, shares, ends, starts)
        if share
        for leg in legs_of(sched, where)
    ]
    return laid(legs, steps_of(steps, where), _float32)


def combined_cos(pct: float, start: float, middle: float, end: float, *, steps: int | None = None) -> Schedule:
    """A cosine from start to middle over a share of the run, then one to the end.

    >>> combined_cos(0.25, 0.004, 0.1, 1e-6, steps=100)
    0.1 * warmup(25, start=0.04, curve=cosine) >> decay(75, to=1e-5, curve=cosine)
    """
    share = check.share(pct, "combined_cos", "pct", most=1.0)
    return combine_scheds([share, 1 - share], [SchedCos(start, middle), SchedCos(middle, end)], steps=steps)


def ParamScheduler(
    scheds: Mapping[str, Schedule], *, steps: int | None = None, base_lr: float | None = None
) -> Schedule:
    """The scheduler of the learning rate among those of several hyperparameters. `base_lr` plays no part.

    >>> ParamScheduler({"lr": SchedCos(0.1, 0)}, steps=100)
    0.1 * decay(100, curve=cosine)
    """
    if not isinstance(scheds, Mapping) or "lr" not in scheds:
        raise Refused(f"ParamScheduler({written(scheds)}): write the scheduler of the rate, {{'lr': SchedCos(0.1, 0)}}")
    return laid(legs_of(scheds["lr"], "ParamScheduler"), steps_of(steps, "ParamScheduler"), _float32)


def fit_one_cycle(
    n_epoch: int,
    lr_max: float | None = None,
    div: float = 25.0,
    div_final: float = 1e5,
    pct_start: float = 0.25,
    *,
    steps_per_epoch: int,
    base_lr: float | None = None,
) -> Schedule:
    """Up from lr_max/div and down to lr_max/div_final along cosines (1cycle); `lr_max` is `base_lr` unless it is given.

    >>> fit_one_cycle(4, 0.1, steps_per_epoch=100)
    0.1 * warmup(100, start=0.04, curve=cosine) >> decay(300, to=1e-5, curve=cosine)
    """
    where, steps = "fit_one_cycle", _updates("fit_one_cycle", n_epoch, steps_per_epoch)
    high = check.rate(base_lr if lr_max is None else lr_max, where, "lr_max")
    low, end = (
        high / check.share(by, where, name, positive=True) for by, name in ((div, "div"), (div_final, "div_final"))
    )
    return combined_cos(check.share(pct_start, where, "pct_start", most=1.0), low, high, end, steps=steps)


def fit_flat_cos(
    n_epoch: int,
    lr: float | None = None,
    div_final: float = 1e5,
    pct_start: float = 0.75,
    *,
    steps_per_epoch: int,
    base_lr: float | None = None,
) -> Schedule:
    """The rate, then a cosine to lr/div_final; `lr` is `base_lr` unless it is given.

    >>> fit_flat_cos(4, 0.1, steps_per_epoch=100)
    0.1 * stable(300) >> decay(100, to=1e-5, curve=cosine)
    """
    where, steps = "fit_flat_cos", _updates("fit_flat_cos", n_epoch, steps_per_epoch)
    high = check.rate(base_lr if lr is None else lr, where, "lr")
    end = high / check.share(div_final, where, "div_final", positive=True)
    return combined_cos(check.share(pct_start, where, "pct_start", most=1.0), high, high, end, steps=steps)


def fit_sgdr(
    n_cycles: int,
    cycle_len: int,
    lr_max: float | None = None,
    cycle_mult: int = 2,
    *,
    steps_per_epoch: int,
    base_lr: float | None = None,
) -> Schedule:
    """Cosines to zero, each `cycle_mult` times as many epochs long as the one before (SGDR).

    Where fastai's shares, in float32, miss the update on which a cycle begins, it still ends the one before.

    >>> fit_sgdr(3, 1, 0.1, cycle_mult=3, steps_per_epoch=100)
    0.1 * repeat(decay(100, curve=cosine), 3, stretch=3)
    """
    where, count = "fit_sgdr", check.steps(n_cycles, "fit_sgdr", "n_cycles", least=1)
    mult, each = (
        check.steps(cycle_mult, where, "cycle_mult", least=2),
        check.steps(cycle_len, where, "cycle_len", least=1),
    )
    high = check.rate(base_lr if lr_max is None else lr_max, where, "lr_max")
    first, whole = _updates(where, each, steps_per_epoch), (mult**count - 1) // (mult - 1)
    schedule = combine_scheds([mult**i / whole for i in range(count)], [SchedCos(high, 0)] * count, steps=first * whole)
    begins = [first * (mult**i - 1) // (mult - 1) for i in range(count)]
    if count > 1 and all(float(schedule(begin)) == float(np.float32(high)) for begin in begins):
        return high * words.repeat(words.decay(first, curve=cosine), count, stretch=mult)
    return schedule


def fine_tune(
    epochs: int,
    base_lr: float = 2e-3,
    freeze_epochs: int = 1,
    lr_mult: float = 100,
    pct_start: float = 0.3,
    div: float = 5.0,
    *,
    steps_per_epoch: int,
    div_final: float = 1e5,
) -> Schedule:
    """The rate of the head: one cycle while all else is frozen, then another with half the rate.

    The body, which is frozen first, has 1/`lr_mult` of the second.

    >>> fine_tune(9, 0.01, steps_per_epoch=100).marks()[-1]
    Mark(name='decay', begin=370, end=1000)
    """
    frozen = fit_one_cycle(freeze_epochs, base_lr, pct_start=0.99, div_final=div_final, steps_per_epoch=steps_per_epoch)
    tuned = fit_one_cycle(epochs, base_lr / 2, div, div_final, pct_start, steps_per_epoch=steps_per_epoch)
    return words.join(frozen, tuned)


def _float32(share: float) -> float:
    return float(np.float32(share))


def _updates(where: str, epochs: Any, steps_per_epoch: Any) -> int:
    each = check.steps(steps_per_epoch, where, "steps_per_epoch", least=1)
    return check.steps(epochs, where, "n_epoch", least=1) * each


def _way(where: str, start: Any, end: Any, curve: Curve, steps: Any) -> Schedule:
    start, end = check.share(start, where, "start"), check.share(end, where, "end")
    return laid([Leg(0.0, 1.0, way(start, end, None, curve), 0.0)], steps_of(steps, where))
