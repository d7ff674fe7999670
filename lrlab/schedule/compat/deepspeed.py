"""DeepSpeed's schedulers (deepspeed 0.19.8, runtime.lr_schedules), which its engine steps once after every update.

Update 0 uses what a scheduler was made with, and the warm-ups count from 0 after it: their first value is used twice.
`last_batch_iteration` is no argument here: to resume, ask for a later update. Momentum is a schedule of its own.
"""

from itertools import pairwise
from math import ceil

from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.cycle import few
from lrlab.schedule.compat.piece import ratio
from lrlab.schedule.compat.rates import LEAST, chain, hold, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine, logarithmic
from lrlab.schedule.time import LAST_STEP


def LRRangeTest(
    lr_range_test_min_lr: float = 1e-3,
    lr_range_test_step_size: int = 2000,
    lr_range_test_step_rate: float = 1.0,
    lr_range_test_staircase: bool = False,
    *,
    base_lr: float | None = None,
) -> Schedule:
    """A line from the least rate, steeper by `step_rate` of it every `step_size`, for ever, or in stairs (Smith 2018).

    `base_lr` plays no part.

    >>> LRRangeTest(1e-4, 100)
    1e-4 * ramp(2147483600, start=1, to=2.1474837e7)
    >>> LRRangeTest(1e-4, 100, lr_range_test_staircase=True)
    1e-4 * stairs(ramp(21474836, start=1, to=2.1474837e7), 100)
    """
    where, names = "LRRangeTest", ("lr_range_test_min_lr", "lr_range_test_step_size", "lr_range_test_step_rate")
    low, size = check.rate(lr_range_test_min_lr, where, names[0]), lr_range_test_step_size
    size, rate = check.steps(size, where, names[1], least=1), check.share(lr_range_test_step_rate, where, names[2])
    count = LAST_STEP // size
    stairs = lr_range_test_staircase
    line = words.ramp(count if stairs else count * size, start=1.0, to=1 + rate * count)
    return low * (words.stairs(line, size) if stairs else line)


def OneCycle(
    cycle_min_lr: float,
    cycle_max_lr: float,
    decay_lr_rate: float = 0.0,
    cycle_first_step_size: int = 2000,
    cycle_second_step_size: int | None = None,
    cycle_first_stair_count: int = 0,
    cycle_second_stair_count: int | None = None,
    decay_step_size: int = 0,
    cycle_momentum: bool = True,
    cycle_min_mom: float = 0.8,
    cycle_max_mom: float = 0.9,
    decay_mom_rate: float = 0.0,
    *,
    base_lr: float | None = None,
) -> Schedule:
    """Up, down again, then the least rate over 1 + `decay_lr_rate` t/`decay_step_size` (Smith 2018); in stairs, if counted.

    `base_lr` plays no part.

    >>> OneCycle(1e-3, 0.1, cycle_first_step_size=100)
    0.1 * warmup(100, start=0.01) >> decay(100, to=0.01) >> stable()
    >>> OneCycle(0.01, 0.1, 0.5, cycle_first_step_size=100, cycle_second_step_size=50, decay_step_size=10)
    0.1 * warmup(100, start=0.1) >> decay(50, to=0.1) >> inverse_time(0.05)
    """
    where = "OneCycle"
    low, high = check.share(cycle_min_lr, where, "cycle_min_lr"), check.share(cycle_max_lr, where, "cycle_max_lr")
    up = check.steps(cycle_first_step_size, where, "cycle_first_step_size", least=1)
    down = (
        up if cycle_second_step_size is None else check.steps(cycle_second_step_size, where, "cycle_second_step_size")
    )
    stairs = check.steps(cycle_first_stair_count, where, "cycle_first_stair_count")
    second = cycle_second_stair_count
    falls = stairs if second is None else check.steps(second, where, "cycle_second_stair_count")
    rate, each = (
        check.share(decay_lr_rate, where, "decay_lr_rate"),
        check.steps(decay_step_size, where, "decay_step_size"),
    )
    few(max(stairs, falls), where, "stairs")
    slope = rate / each if each else 0.0
    law = words.inverse_time(slope) if slope > LEAST else words.stable()
    return chain(_rise(low, high, up, stairs), _fall(high, low, down, falls), ratio(low, 1) * law if low else hold(low))


def WarmupLR(
    warmup_min_lr: float = 0.0,
    warmup_max_lr: float | None = None,
    warmup_num_steps: int = 1000,
    warmup_type: str = "log",
    *,
    base_lr: float | None = None,
) -> Schedule:
    """A warm-up along a logarithm, or a line, then the highest rate: `base_lr` unless `warmup_max_lr` is given.

    >>> WarmupLR(warmup_num_steps=100, warmup_type="linear", base_lr=0.1)
    shift(0.1 * warmup(100) >> stable(), -1)
    >>> WarmupLR(warmup_num_steps=100, base_lr=0.1)
    shift(0.1 * warmup(99, curve=logarithmic(100)) >> stable(), -1)
    """
    where = "WarmupLR"
    high = check.rate(base_lr, where) if warmup_max_lr is None else check.share(warmup_max_lr, where, "warmup_max_lr")
    low = check.share(warmup_min_lr, where, "warmup_min_lr")
    return words.shift(chain(_warmup(where, low, high, warmup_num_steps, warmup_type), hold(high)), -1)


def WarmupDecayLR(
    total_num_steps: int,
    warmup_min_lr: float = 0.0,
    warmup_max_lr: float = 0.001,
    warmup_num_steps: int = 1000,
    warmup_type: str = "log",
    *,
    base_lr: float | None = None,
) -> Schedule:
    """`WarmupLR`, then a line back to the least rate. `base_lr` plays no part.

    >>> WarmupDecayLR(1000, warmup_max_lr=0.1, warmup_num_steps=100, warmup_type="linear")
    shift(0.1 * warmup(100) >> decay(900), -1)
    """
    where = "WarmupDecayLR"
    low, high = check.share(warmup_min_lr, where, "warmup_min_lr"), check.share(warmup_max_lr, where, "warmup_max_lr")
    total = check.steps(total_num_steps, where, "total_num_steps")
    warm = _warmup(where, low, high, warmup_num_steps, warmup_type)
    top = hold(high, 1) if warmup_type == "log" else hold(high, 0)  # the logarithm arrives a step before the line
    return words.shift(chain(warm, top, way(high, low, max(total - _steps(where, warmup_num_steps), 0))), -1)


def WarmupCosineLR(
    total_num_steps: int,
    warmup_min_ratio: float = 0.0,
    warmup_num_steps: int = 1000,
    cos_min_ratio: float = 0.0001,
    warmup_type: str = "log",
    *,
    base_lr: float,
) -> Schedule:
    """An update at zero, a warm-up from `warmup_min_ratio` of the base rate, and a cosine to `cos_min_ratio` of it.

    After a linear warm-up the cosine has begun a step before, so that the base rate is never used.

    >>> WarmupCosineLR(1000, warmup_num_steps=100, base_lr=0.1)
    shift(0.1 * warmup(99, curve=logarithmic(100)) >> decay(900, to=1e-4, curve=cosine), -1)
    >>> WarmupCosineLR(1000, warmup_num_steps=100, warmup_type="linear", base_lr=0.1)
    shift(join(0.1 * warmup(100), shift(0.1 * decay(900, to=1e-4, curve=cosine), 1)), -1)
    """
    where, base = "WarmupCosineLR", check.rate(base_lr, "WarmupCosineLR")
    start = check.share(warmup_min_ratio, where, "warmup_min_ratio")
    end = check.share(cos_min_ratio, where, "cos_min_ratio")
    rest = max(check.steps(total_num_steps, where, "total_num_steps") - _steps(where, warmup_num_steps), 1)
    warm, down = _warmup(where, base * start, base, warmup_num_steps, warmup_type), way(base, base * end, rest, cosine)
    schedule = chain(warm, down if warmup_type == "log" else words.shift(down, 1))
    return words.join(words.off(1), schedule) if start else words.shift(schedule, -1)


def _steps(where: str, warmup_num_steps: int) -> int:
    return max(check.steps(warmup_num_steps, where, "warmup_num_steps", least=1), 2)


def _warmup(where: str, low: float, high: float, warmup_num_steps: int, warmup_type: str) -> Schedule:
    """log(t + 1)/log(steps), which arrives a step early, or t/steps."""
    steps = _steps(where, warmup_num_steps)
    if check.choice(warmup_type, where, "warmup_type", ("log", "linear")) == "log":
        return way(low, high, steps - 1, logarithmic(steps))
    return way(low, high, steps)


def _rise(start: float, end: float, steps: int, count: int) -> Schedule:
    """A line, or so many stairs below it."""
    if not count or steps % count == 0:
        return words.stairs(way(start, end, count), steps // count) if count else way(start, end, steps)
    return _levels(start, end, [ceil(i * steps / count) for i in range(1, count + 1)], steps)


def _fall(start: float, end: float, steps: int, count: int) -> Schedule:
    """A line, or so many stairs below it: the first of them a single step."""
    if not count or not steps:
        return way(start, end, steps)
    return _levels(start, end, [(i - 1) * steps // count + 1 for i in range(1, count + 1)], steps)


def _levels(start: float, end: float, edges: list[int], steps: int) -> Schedule:
    levels = [ratio(start + (end - start) * i / len(edges), 1) for i in range(len(edges) + 1)]
    lengths = [after - begin for begin, after in pairwise([0, *edges, steps])]
    return words.join(*(hold(level, n) for level, n in zip(levels, lengths) if n))
