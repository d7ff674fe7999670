"""keras.optimizers.schedules (Keras 3.15), which an optimizer calls with its `iterations`, from 0; nothing here ends otherwise.

Keras counts in float32; here cycles begin where they should. `name` is taken, so that `**schedule.get_config()` can be given.
"""

from collections.abc import Sequence
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check, optax
from lrlab.schedule.compat.cycle import annealed
from lrlab.schedule.compat.piece import bend, ratio
from lrlab.schedule.compat.rates import chain, hold, piecewise_constant, raised, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine
from lrlab.schedule.write import written


def ExponentialDecay(
    initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False, name: str = ""
) -> Schedule:
    """The initial rate, times `decay_rate` every `decay_steps`, for ever; one that rises stops where float32 ends.

    >>> ExponentialDecay(0.1, 1000, 0.5, staircase=True)
    0.1 * repeat(stable(1000), shrink=0.5)
    """
    where = "ExponentialDecay"
    initial, steps = _initial(initial_learning_rate, where), check.steps(decay_steps, where, "decay_steps", least=1)
    rate = check.share(decay_rate, where, "decay_rate", positive=True)
    return optax.exponential_decay(initial, steps, rate, staircase=staircase)


def PiecewiseConstantDecay(boundaries: Sequence[int], values: Sequence[float], name: str = "") -> Schedule:
    """A value up to each boundary, that update included (one later than elsewhere), and the last after them all.

    >>> PiecewiseConstantDecay([30, 60], [0.1, 0.05, 0.01])
    join(0.1 * stable(31), 0.05 * stable(30), 0.01 * stable())
    """
    where = "PiecewiseConstantDecay"
    edges = [check.steps(boundary, where, "boundaries") for boundary in boundaries]
    if not edges or len(edges) != len(values) - 1 or edges != sorted(edges):
        raise Refused(
            f"{where}(boundaries={written(list(boundaries))}, values={written(list(values))}): boundaries ascend, and there "
            f"is one value more than there are boundaries"
        )
    rates = [check.share(value, where, "values") for value in values]
    return piecewise_constant(rates, [edge + 1 for edge in edges])


def PolynomialDecay(
    initial_learning_rate: float,
    decay_steps: int,
    end_learning_rate: float = 0.0001,
    power: float = 1.0,
    cycle: bool = False,
    name: str = "",
) -> Schedule:
    """From the initial rate to `end_learning_rate`, as (1 - u)**power, then held.

    With `cycle` it goes on for ever: cycle k falls from 1/k**power of the height, and the step on which one ends is not yet
    the next one's. An end above the initial rate is refused there: no word says it.

    >>> PolynomialDecay(0.1, 1000, 0.01, power=2)
    0.1 * decay(1000, to=0.1, curve=polynomial(2))
    >>> PolynomialDecay(0.1, 1000, 0, cycle=True)
    0.1 * join(decay(1000), repeat(join(off(1), shift(decay(1000), 1)))) * stairs(inverse_time(1), 1000)
    """
    where = "PolynomialDecay"
    initial, steps = _initial(initial_learning_rate, where), check.steps(decay_steps, where, "decay_steps", least=1)
    end = check.share(end_learning_rate, where, "end_learning_rate")
    power = check.share(power, where, "power", positive=True)
    if not cycle or initial == end:
        return way(initial, end, steps, bend(power))
    if initial < end:
        raise Refused(
            f"{where}(cycle=True, end_learning_rate={written(end)}): cycles that rise from {written(initial)}, which no word "
            f"says; give the formula as a function of the step to lr.compat.from_optax(function, steps=1000)"
        )
    fall = words.decay(steps, curve=bend(power))
    waves = words.join(fall, words.repeat(words.join(words.off(1), words.shift(fall, 1))))
    return raised(ratio(initial - end, 1) * waves * words.stairs(words.inverse_time(1, power=power), steps), end)


def InverseTimeDecay(
    initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False, name: str = ""
) -> Schedule:
    """The initial rate over 1 + decay_rate t/decay_steps; with `staircase` t/decay_steps is rounded down.

    >>> InverseTimeDecay(0.1, 1000, 0.5)
    0.1 * inverse_time(5e-4)
    >>> InverseTimeDecay(0.1, 1000, 0.5, staircase=True)
    0.1 * stairs(inverse_time(0.5), 1000)
    """
    where = "InverseTimeDecay"
    initial, steps = _initial(initial_learning_rate, where), check.steps(decay_steps, where, "decay_steps", least=1)
    rate = check.share(decay_rate, where, "decay_rate")
    if not initial or not rate:
        return hold(initial)
    if staircase:
        return initial * words.stairs(words.inverse_time(rate), steps)
    return initial * words.inverse_time(rate / steps)


def CosineDecay(
    initial_learning_rate: float,
    decay_steps: int,
    alpha: float = 0.0,
    name: str = "",
    warmup_target: float | None = None,
    warmup_steps: int = 0,
) -> Schedule:
    """A cosine to `alpha` times where it began, then held; before it a line to `warmup_target`, where that is given.

    `decay_steps` does not count the warm-up. Without a `warmup_target` Keras ignores `warmup_steps`.

    >>> CosineDecay(0, 9000, alpha=0.1, warmup_target=3e-4, warmup_steps=1000)
    3e-4 * warmup(1000) >> decay(9000, to=0.1, curve=cosine)
    """
    where = "CosineDecay"
    initial, steps = _initial(initial_learning_rate, where), check.steps(decay_steps, where, "decay_steps", least=1)
    alpha, warm = check.share(alpha, where, "alpha"), check.steps(warmup_steps, where, "warmup_steps")
    if warmup_target is None:
        return way(initial, alpha * initial, steps, cosine)
    peak = check.share(warmup_target, where, "warmup_target")
    down = way(peak, alpha * peak, steps, cosine)
    return chain(way(initial, peak, warm), down)


def CosineDecayRestarts(
    initial_learning_rate: float,
    first_decay_steps: int,
    t_mul: float = 2.0,
    m_mul: float = 1.0,
    alpha: float = 0.0,
    name: str = "",
) -> Schedule:
    """Cosines to `alpha` times the initial rate, each `t_mul` as long and `m_mul` as high above that as the one before.

    >>> CosineDecayRestarts(0.1, 1000, m_mul=0.5)
    0.1 * repeat(decay(1000, curve=cosine), stretch=2, shrink=0.5)
    """
    where = "CosineDecayRestarts"
    initial = check.rate(initial_learning_rate, where, "initial_learning_rate")
    steps = check.steps(first_decay_steps, where, "first_decay_steps", least=1)
    t_mul = check.share(t_mul, where, "t_mul", positive=True)
    m_mul = check.share(m_mul, where, "m_mul", positive=True, most=1.0)
    alpha = check.share(alpha, where, "alpha", most=1.0)
    return initial * annealed(steps, t_mul, m_mul, alpha, where, "t_mul")


def _initial(value: Any, where: str) -> float:
    return check.share(value, where, "initial_learning_rate")
