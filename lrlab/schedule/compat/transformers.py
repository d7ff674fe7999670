"""transformers (Hugging Face, 5.24): multipliers of LambdaLR, stepped once after every optimizer update as Trainer does.

Warm-up is i/W at update i, except where a function says otherwise.
"""

import inspect
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Any

from lrlab.refusal import Refused, unknown
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.cycle import cycles, few, joined, switches
from lrlab.schedule.compat.piece import bend, piece, ratio, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine, linear, polynomial, sqrt
from lrlab.schedule.write import written

_UP = {"linear": linear, "cosine": cosine, "1-sqrt": polynomial(0.5)}
_DOWN = {"linear": linear, "cosine": cosine, "1-sqrt": sqrt}


def get_scheduler(
    name: str,
    *,
    base_lr: Any,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    scheduler_specific_kwargs: dict[str, Any] | None = None,
    after: check.After | None = None,
) -> Schedule:
    """The schedule of a `SchedulerType` by its name; `after` goes to the function behind it where that takes one.

    >>> get_scheduler("cosine", base_lr=3e-4, num_warmup_steps=20, num_training_steps=100, after="hold")
    3e-4 * warmup(20) >> decay(80, curve=cosine)
    """
    function = _BY_NAME[check.choice(name, "get_scheduler", "name", _BY_NAME)]
    if name in ("reduce_lr_on_plateau", "greedy"):
        return function(base_lr=base_lr)
    takes = inspect.signature(function).parameters
    counts = {"num_warmup_steps": num_warmup_steps, "num_training_steps": num_training_steps}
    arguments: dict[str, Any] = {count: steps for count, steps in counts.items() if count in takes}
    for count, steps in arguments.items():
        if steps is None and takes[count].default is inspect.Parameter.empty:
            raise Refused(f"get_scheduler('{name}') needs {count}; write {count}=1000, for example")
    if name not in ("constant", "constant_with_warmup"):  # where transformers drops them in silence
        for extra in scheduler_specific_kwargs or {}:
            known = [parameter for parameter in takes if parameter not in (*counts, "base_lr", "after")]
            if extra not in known:
                raise unknown(f"scheduler_specific_kwargs of '{name}'", extra, known)
        arguments |= scheduler_specific_kwargs or {}
    if after is not None and "after" in takes:
        arguments["after"] = after
    return function(base_lr=base_lr, **arguments)


def get_constant_schedule(*, base_lr: Any) -> Schedule:
    """The base rate.

    >>> get_constant_schedule(base_lr=0.1)
    0.1 * stable()
    """
    return check.rate(base_lr, "get_constant_schedule") * words.stable()


def get_constant_schedule_with_warmup(num_warmup_steps: int, *, base_lr: Any) -> Schedule:
    """A warm-up, then the base rate.

    >>> get_constant_schedule_with_warmup(10, base_lr=0.1)
    0.1 * warmup(10) >> stable()
    """
    where = "get_constant_schedule_with_warmup"
    return _warmed(base_lr, check.steps(num_warmup_steps, where, "num_warmup_steps"), words.stable(), where)


def get_linear_schedule_with_warmup(num_warmup_steps: int, num_training_steps: int, *, base_lr: Any) -> Schedule:
    """A warm-up, then a line to zero at `num_training_steps`.

    >>> get_linear_schedule_with_warmup(10, 100, base_lr=0.1)
    0.1 * warmup(10) >> decay(90)
    """
    where = "get_linear_schedule_with_warmup"
    warm, total = _counts(num_warmup_steps, num_training_steps, where)
    return _warmed(base_lr, warm, words.decay(max(total - warm, 0)), where)


def get_cosine_schedule_with_warmup(
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    *,
    base_lr: Any,
    after: check.After = "peer",
) -> Schedule:
    """A warm-up, then `num_cycles` waves of a cosine between the base rate and zero.

    After `num_training_steps` the waves go on (with half a wave it rises again); `after="hold"` holds the last value.

    >>> get_cosine_schedule_with_warmup(10, 100, base_lr=0.1)
    0.1 * warmup(10) >> repeat(decay(180, curve=cosine @ span(0, 2)))
    >>> get_cosine_schedule_with_warmup(10, 100, base_lr=0.1, after="hold")
    0.1 * warmup(10) >> decay(90, curve=cosine)
    """
    where = "get_cosine_schedule_with_warmup"
    warm, total = _counts(num_warmup_steps, num_training_steps, where)
    return _warmed(base_lr, warm, _waves(total - warm, num_cycles, 0.0, where, after), where)


def get_cosine_with_hard_restarts_schedule_with_warmup(
    num_warmup_steps: int, num_training_steps: int, num_cycles: float = 1, *, base_lr: Any
) -> Schedule:
    """A warm-up, then `num_cycles` cosines to zero, one after another, and zero from `num_training_steps` on.

    Where the cycles do not divide the steps, each is cut where transformers' float64 arithmetic cuts it.

    >>> get_cosine_with_hard_restarts_schedule_with_warmup(10, 100, 3, base_lr=0.1)
    0.1 * warmup(10) >> repeat(decay(30, curve=cosine), 3)
    """
    where = "get_cosine_with_hard_restarts_schedule_with_warmup"
    warm, total = _counts(num_warmup_steps, num_training_steps, where)
    c = check.share(num_cycles, where, "num_cycles", positive=True)
    few(c, where, "num_cycles")
    over = max(total - warm, 1)
    begins = [i * over / c for i in range(ceil(c) + 1)]
    at = [0, *switches(begins[1:-1], lambda t: c * (t / over) // 1.0), over]
    rest = joined(cycles(list(pairwise(begins)), at, [1.0] * ceil(c), 0.0, cosine))
    if c != ceil(c) or at[-2] == over:  # the last one to serve an update is cut before its end
        rest = words.join(rest, words.off())
    return _warmed(base_lr, warm, rest, where)


def get_polynomial_decay_schedule_with_warmup(
    num_warmup_steps: int, num_training_steps: int, lr_end: float = 1e-7, power: float = 1.0, *, base_lr: Any
) -> Schedule:
    """A warm-up, then (1 - u)**power from the base rate to `lr_end`, which is held.

    Without a step between the two counts transformers divides by zero; here the decay is over at once.

    >>> get_polynomial_decay_schedule_with_warmup(10, 100, lr_end=1e-3, power=2, base_lr=0.1)
    0.1 * warmup(10) >> decay(90, to=0.01, curve=polynomial(2))
    """
    where = "get_polynomial_decay_schedule_with_warmup"
    base_lr, (warm, total) = check.rate(base_lr, where), _counts(num_warmup_steps, num_training_steps, where)
    lr_end = check.share(lr_end, where, "lr_end")
    if lr_end >= base_lr:
        raise Refused(f"{where}(lr_end={written(lr_end)}): it must be below base_lr={written(base_lr)}")
    power = check.share(power, where, "power", positive=True)
    down = words.decay(max(total - warm, 0), to=ratio(lr_end, base_lr), curve=bend(power))
    return _warmed(base_lr, warm, down, where)


def get_inverse_sqrt_schedule(num_warmup_steps: int, timescale: int | None = None, *, base_lr: Any) -> Schedule:
    """A warm-up, then sqrt(timescale / (timescale + steps since)); by default the timescale is the warm-up, or 10 000.

    >>> get_inverse_sqrt_schedule(10, base_lr=0.1)
    0.1 * warmup(10) >> rsqrt(10)
    """
    where = "get_inverse_sqrt_schedule"
    warm = check.steps(num_warmup_steps, where, "num_warmup_steps")
    scale = (warm or 10_000) if timescale is None else check.steps(timescale, where, "timescale", least=1)
    return _warmed(base_lr, warm, words.rsqrt(scale), where)


def get_cosine_with_min_lr_schedule_with_warmup(
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    *,
    base_lr: Any,
    after: check.After = "peer",
) -> Schedule:
    """`get_cosine_schedule_with_warmup` with waves down to `min_lr`, or to `min_lr_rate` times the base rate.

    >>> get_cosine_with_min_lr_schedule_with_warmup(10, 100, min_lr=0.01, base_lr=0.1, after="hold")
    0.1 * warmup(10) >> decay(90, to=0.1, curve=cosine)
    """
    where = "get_cosine_with_min_lr_schedule_with_warmup"
    base_lr, (warm, total) = check.rate(base_lr, where), _counts(num_warmup_steps, num_training_steps, where)
    to = _least(min_lr, min_lr_rate, base_lr, where)
    return _warmed(base_lr, warm, _waves(total - warm, num_cycles, to, where, after), where)


def get_cosine_with_min_lr_schedule_with_warmup_lr_rate(
    num_warmup_steps: int,
    num_training_steps: int,
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
    *,
    base_lr: Any,
    after: check.After = "peer",
) -> Schedule:
    """The one before with its clock a step ahead: warm-up (i + 1)/W, or from `warmup_lr_rate` in W - 1 steps.

    >>> get_cosine_with_min_lr_schedule_with_warmup_lr_rate(10, 100, min_lr_rate=0.1, base_lr=0.1, after="hold")
    0.1 * warmup(9, start=0.1) >> decay(90, to=0.1, curve=cosine)
    """
    where = "get_cosine_with_min_lr_schedule_with_warmup_lr_rate"
    base_lr, (warm, total) = check.rate(base_lr, where), _counts(num_warmup_steps, num_training_steps, where)
    waves = _waves(total - warm, num_cycles, _least(min_lr, min_lr_rate, base_lr, where), where, after)
    start = ratio(1, max(warm, 1)) if warmup_lr_rate is None else check.share(warmup_lr_rate, where, "warmup_lr_rate")
    if warm > 1:
        return base_lr * way(warm - 1, start, 1.0) >> waves
    ahead = base_lr * words.shift(waves, 1)
    if not warm or start == 1:
        return base_lr * waves if warm else ahead
    return words.join(start * base_lr * words.stable(1) if start else words.off(1), ahead)


def get_wsd_schedule(
    num_warmup_steps: int,
    num_decay_steps: int,
    num_training_steps: int | None = None,
    num_stable_steps: int | None = None,
    warmup_type: str = "linear",
    decay_type: str = "cosine",
    min_lr_ratio: float = 0,
    num_cycles: float = 0.5,
    *,
    base_lr: Any,
) -> Schedule:
    """Warm-up from `min_lr_ratio`, stable, decay to `min_lr_ratio`, which is held; types linear, cosine and 1-sqrt.

    `num_stable_steps` goes before `num_training_steps`; where these leave fewer than none, the decay begins part way.

    >>> get_wsd_schedule(10, 20, 100, decay_type="1-sqrt", base_lr=0.1)
    0.1 * warmup(10) >> stable(70) >> decay(20, curve=sqrt)
    """
    where = "get_wsd_schedule"
    warm = check.steps(num_warmup_steps, where, "num_warmup_steps")
    down = check.steps(num_decay_steps, where, "num_decay_steps")
    to = check.share(min_lr_ratio, where, "min_lr_ratio", most=1.0)
    waves = check.share(num_cycles, where, "num_cycles")
    if num_training_steps is None and num_stable_steps is None:
        raise Refused(f"{where} needs num_training_steps or num_stable_steps; write num_training_steps=1000")
    if num_stable_steps is None:
        stable = check.steps(num_training_steps, where, "num_training_steps") - warm - down
    else:
        stable = check.steps(num_stable_steps, where, "num_stable_steps")
    up_curve = _UP[check.choice(warmup_type, where, "warmup_type", _UP)]
    curve = _DOWN[check.choice(decay_type, where, "decay_type", _DOWN)]
    ends = 2 * waves if decay_type == "cosine" else 1.0  # the fraction of the curve at which the decay ends
    left = max(down + min(stable, 0), 0)
    parts = [] if not warm else [way(warm, to, 1.0, up_curve)]
    parts += [words.stable(stable)] if stable > 0 else []
    if not left or not ends:
        parts += [words.stable(left)] if left else []
        shape = words.join(*parts, _level(to))
    else:
        begins = ends * (1 - left / down)
        parts.append(words.decay(left, to=to, curve=piece(curve, begins, ends)))
        shape = parts[0]
        for part in parts[1:]:
            shape = shape >> part
        shape = shape if ends == 1 else words.join(shape, _level(to))
    return check.rate(base_lr, where) * shape


def get_reduce_on_plateau_schedule(*, base_lr: Any, **kwargs: Any) -> Schedule:
    """Refused: it follows a metric."""
    raise Refused(
        "get_reduce_on_plateau_schedule follows a metric and is no function of the update number; give the run a "
        f"schedule, {written(base_lr)} * stable(), and feedback=plateau(factor=0.1, patience=10)"
    )


def get_greedy_schedule(*, base_lr: Any, **kwargs: Any) -> Schedule:
    """Refused: it follows a metric."""
    raise Refused(
        "get_greedy_schedule follows a metric and is no function of the update number; give the run a schedule, "
        f"{written(base_lr)} * stable(), and feedback=greedy(factor=0.95, patience=10)"
    )


def get_adafactor_schedule(initial_lr: float = 0.0, **kwargs: Any) -> Schedule:
    """Refused: it reports the rate that Adafactor chose by the size of its parameters."""
    raise Refused(
        "get_adafactor_schedule reports the rate that Adafactor chose by the size of its parameters, which is no function "
        "of the update number; with scale_parameter=False it is 0.01 * stable(9999) >> rsqrt(10000)"
    )


def AdafactorSchedule(initial_lr: float = 0.0, **kwargs: Any) -> Schedule:
    """Refused, as `get_adafactor_schedule` is."""
    return get_adafactor_schedule(initial_lr, **kwargs)


_BY_NAME = {
    "linear": get_linear_schedule_with_warmup,
    "cosine": get_cosine_schedule_with_warmup,
    "cosine_with_restarts": get_cosine_with_hard_restarts_schedule_with_warmup,
    "polynomial": get_polynomial_decay_schedule_with_warmup,
    "constant": get_constant_schedule,
    "constant_with_warmup": get_constant_schedule_with_warmup,
    "inverse_sqrt": get_inverse_sqrt_schedule,
    "reduce_lr_on_plateau": get_reduce_on_plateau_schedule,
    "cosine_with_min_lr": get_cosine_with_min_lr_schedule_with_warmup,
    "cosine_warmup_with_min_lr": get_cosine_with_min_lr_schedule_with_warmup_lr_rate,
    "warmup_stable_decay": get_wsd_schedule,
    "greedy": get_greedy_schedule,
}


def _counts(num_warmup_steps: Any, num_training_steps: Any, where: str) -> tuple[int, int]:
    warm = check.steps(num_warmup_steps, where, "num_warmup_steps")
    return warm, check.steps(num_training_steps, where, "num_training_steps")


def _warmed(base_lr: Any, warm: int, rest: Schedule, where: str) -> Schedule:
    base_lr = check.rate(base_lr, where)
    return base_lr * words.warmup(warm) >> rest if warm else base_lr * rest


def _level(to: float) -> Schedule:
    return to * words.stable() if to else words.off()


def _least(min_lr: Any, min_lr_rate: Any, base_lr: Any, where: str) -> float:
    if (min_lr is None) == (min_lr_rate is None):
        raise Refused(f"{where} needs one of min_lr and min_lr_rate; write min_lr_rate=0.1, for example")
    if min_lr is None:
        return check.share(min_lr_rate, where, "min_lr_rate")
    return ratio(check.share(min_lr, where, "min_lr"), base_lr)


def _waves(over: int, num_cycles: Any, to: float, where: str, after: Any) -> Schedule:
    """Waves of a cosine, `num_cycles` of them in max(over, 1) steps, and so on for ever."""
    c, over = check.share(num_cycles, where, "num_cycles"), max(over, 1)
    if c == 0:
        return words.stable()
    if check.holds(after, where):
        return way(over, 1.0, to, piece(cosine, 0, 2 * c))
    few_steps = Fraction(c).limit_denominator(1000)
    if abs(few_steps - Fraction(c)) > 1e-12 * c:  # the waves never meet the steps again; 1000 runs are enough
        return words.repeat(way(1000 * over, 1.0, to, piece(cosine, 0, 2000 * c)))
    period = over / few_steps
    return words.repeat(way(period.numerator, 1.0, to, piece(cosine, 0, 2 * period.denominator)))
