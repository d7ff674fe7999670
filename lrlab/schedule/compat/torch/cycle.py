"""The schedulers of PyTorch that cycle the rate: CyclicLR and OneCycleLR."""

import math
from collections.abc import Callable
from functools import reduce
from operator import rshift
from typing import Literal

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.piece import piece, ratio, tabulated, way
from lrlab.schedule.compat.rates import raised
from lrlab.schedule.compat.torch.annealing import CURVES
from lrlab.schedule.compat.torch.factor import staircase
from lrlab.schedule.compat.torch.stepped import stepped
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve
from lrlab.schedule.write import written

_MODES = ("triangular", "triangular2", "exp_range")


def CyclicLR(
    base_lr: float,
    max_lr: float,
    step_size_up: int = 2000,
    step_size_down: int | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    gamma: float = 1.0,
    scale_fn: Callable[[int], float] | None = None,
    scale_mode: Literal["cycle", "iterations"] = "cycle",
    cycle_momentum: bool = True,
    base_momentum: float = 0.8,
    max_momentum: float = 0.9,
    *,
    steps: int | None = None,
) -> Schedule:
    """Cycles between `base_lr` and `max_lr` (Smith 2015): alike, each half as high, or lower by `gamma` at every update.

    `scale_fn`, which replaces the mode, becomes a table of `steps` updates. The momentum is not part of it.

    >>> CyclicLR(0.01, 0.1)
    0.1 * repeat(warmup(2000, start=0.1) >> decay(2000, to=0.1))
    >>> CyclicLR(0.01, 0.1, mode="triangular2")
    0.09 * repeat(warmup(2000) >> decay(2000), shrink=0.5) + 0.01
    """
    where = "CyclicLR"
    low, high = check.share(base_lr, where, "base_lr"), check.rate(max_lr, where, "max_lr")
    if high < low:
        raise Refused(
            f"CyclicLR(base_lr={written(low)}, max_lr={written(high)}): the cycle goes up from base_lr; swap the two"
        )
    up = check.steps(step_size_up, where, "step_size_up", least=1)
    down = up if step_size_down is None else check.steps(step_size_down, where, "step_size_down", least=1)
    if scale_fn is None:
        check.choice(mode, where, "mode", _MODES)
    if high == low:
        return high * words.stable()
    if scale_fn is None and mode == "triangular":
        to = ratio(low, high)
        return high * words.repeat(way(up, to, 1.0) >> way(down, 1.0, to))
    triangle = words.warmup(up) >> words.decay(down)
    height = ratio(high - low, 1.0)
    if scale_fn is not None:
        check.choice(scale_mode, where, "scale_mode", ("cycle", "iterations"))
        clock = (lambda t: 1 + t // (up + down)) if scale_mode == "cycle" else (lambda t: t)
        scale = words.table(tabulated(lambda t: scale_fn(clock(t)), steps, where, "scale_fn"))
        return raised(height * words.repeat(triangle) * scale, low)
    if mode == "triangular2":
        return raised(height * words.repeat(triangle, shrink=0.5), low)
    gamma = check.share(gamma, where, "gamma", positive=True)
    cycles = height * words.repeat(triangle)
    return raised(cycles if gamma == 1 else cycles * staircase(1, gamma, height), low)


def OneCycleLR(
    max_lr: float,
    total_steps: int | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    pct_start: float = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    cycle_momentum: bool = True,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
    *,
    base_lr: float | None = None,
    after: check.After = "peer",
) -> Schedule:
    """Up to `max_lr` over `pct_start` of the run and down to far below where it began (Smith & Topin 2017).

    The last update, total_steps - 1, uses the final rate. Update total_steps goes a step on along the same curve, below
    zero where it is linear, and there PyTorch ends with an error, where this holds; `after="hold"` stays at the final
    rate. `base_lr` plays no part: PyTorch replaces the optimizer's rate. The momentum is not part of it.

    >>> OneCycleLR(0.1, total_steps=100, after="hold")
    0.1 * warmup(29, start=0.04, curve=cosine) >> decay(70, to=4e-6, curve=cosine)
    """
    where = "OneCycleLR"
    high = check.rate(max_lr, where, "max_lr")
    total = _total(total_steps, epochs, steps_per_epoch)
    if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
        raise Refused(f"OneCycleLR(pct_start={written(pct_start)}): pct_start is a float between 0 and 1, such as 0.3")
    curve = CURVES[check.choice(anneal_strategy, where, "anneal_strategy", CURVES)]
    low = ratio(1.0, check.share(div_factor, where, "div_factor", positive=True))
    end = ratio(low, check.share(final_div_factor, where, "final_div_factor", positive=True))
    peak = pct_start * total - 1
    ends = [peak, 2 * pct_start * total - 2, total - 1] if three_phase else [peak, total - 1]
    levels = [low, 1.0, low, end] if three_phase else [low, 1.0, end]
    return stepped(where, high, one_cycle(levels, ends, curve, holds=check.holds(after, where)))


def one_cycle(levels: list[float], ends: list[float], curve: Curve, *, holds: bool) -> Schedule:
    """From level to level, each reached at one of `ends`, which may lie between two steps; the last is a whole step.

    Raises `Refused` where the first phase would end at step 0, which takes no time.
    """
    if ends[0] == 0:
        raise Refused(
            "OneCycleLR: pct_start * total_steps is 1, a warm-up of no steps, by which PyTorch divides; change one of the two"
        )
    stop = int(ends[-1]) + (not holds)
    if all(
        a < b and b == int(b) for a, b in zip([0, *ends], ends)
    ):  # joints at whole steps: each part from the level before
        lengths = [int(b - a) for a, b in zip([0, *ends], ends)]
        shapes = [way(lengths[0], levels[0], levels[1], curve)]
        shapes += [way(over, 1.0, ratio(b, a), curve) for over, a, b in zip(lengths[1:], levels[1:], levels[2:])]
        if not holds:
            a, b = levels[-2:]
            shapes[-1] = way(lengths[-1] + 1, 1.0, ratio(b, a), piece(curve, 0, (lengths[-1] + 1) / lengths[-1]))
        return reduce(rshift, shapes)
    shapes, begin, step = [], 0.0, 0
    for i, (a, b, end) in enumerate(zip(levels, levels[1:], ends), start=1):
        until = stop if i == len(ends) else min(math.ceil(end), stop)  # a joint at a whole step belongs to both
        if until > step and end > begin:
            fractions = ((step - begin) / (end - begin), (until - begin) / (end - begin))
            shapes.append(way(until - step, a, b, piece(curve, *fractions)))
            step = until
        begin = end
    return words.join(*shapes) if shapes else way(0, levels[-2], levels[-1])


def _total(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is not None:
        return check.steps(total_steps, "OneCycleLR", "total_steps", least=1)
    if epochs is None or steps_per_epoch is None:
        raise Refused(
            "OneCycleLR does not say how long it is; write total_steps=..., or epochs=... and steps_per_epoch=..."
        )
    epochs = check.steps(epochs, "OneCycleLR", "epochs", least=1)
    return epochs * check.steps(steps_per_epoch, "OneCycleLR", "steps_per_epoch", least=1)
