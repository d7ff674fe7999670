"""The literature's schedules under their own names: one line in our words and one reference each.

Peaks are learning rates; durations are steps, strings with a unit, or None for the rest of the run, as everywhere.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from lrlab.refusal import Refused
from lrlab.schedule import curve as curves
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine, geometric, linear
from lrlab.schedule.number import number
from lrlab.schedule.time import Duration
from lrlab.schedule.words import decay, join, minimum, ramp, repeat, rsqrt, shift, stable, warmup
from lrlab.schedule.words import inverse_time as inverse
from lrlab.schedule.write import written

# Constant pieces


def step(peak: float, every: Duration, factor: float = 0.1) -> Schedule:
    """Step decay: `factor` times the rate every so often (Krizhevsky et al. 2012, section 5).

    >>> step(0.1, "30ep")
    0.1 * repeat(stable('30ep'), shrink=0.1)
    """
    return peak * repeat(stable(every), shrink=factor)


def multi_step(peak: float, milestones: Sequence[int], factor: float = 0.1) -> Schedule:
    """Multi-step decay: `factor` times the rate from each milestone (a step) on (He et al. 2016, section 4.2).

    >>> multi_step(0.1, [32_000, 48_000])
    0.1 * stable(32000) >> 0.1 * stable(16000) >> 0.1 * stable()
    """
    sentence = f"multi_step(milestones={written(list(milestones))}): write whole steps in ascending order, [30, 60]"
    first, *others = _between(milestones, sentence)
    schedule = peak * stable(first)
    for over in [*others, None]:
        schedule = schedule >> factor * stable(over)
    return schedule


def goyal(batch: int = 8192, rate: float = 0.1) -> Schedule:
    """Gradual warm-up to `rate` batch/256 over 5 of 90 epochs, then steps at 30, 60 and 80 (Goyal et al. 2017, 2.2, 5.1).

    >>> goyal(8192)
    3.2 * warmup('5ep', start=0.03125) >> stable('25ep') >> 0.1 * stable('30ep') >> 0.1 * stable('20ep') >> 0.1 * stable('10ep')
    """
    k = number(batch, f"goyal(batch={written(batch)}): the global batch is at least 256", least=256) / 256
    steps = [0.1 * stable(over) for over in ("30ep", "20ep", "10ep")]
    return rate * k * warmup("5ep", start=1 / k) >> stable("25ep") >> steps[0] >> steps[1] >> steps[2]


def deepseek(peak: float = 4.2e-4, warmup_steps: Duration = 2000) -> Schedule:
    """Multi-step for continual training: to 31.6 % at 80 % and 10 % at 90 % of the tokens (DeepSeek LLM 2024, arXiv 2401.02954).

    >>> deepseek()
    4.2e-4 * warmup(2000) >> stable() >> 0.316 * stable('10%') >> 0.31645569620253167 * stable('10%')
    """
    return peak * warmup(warmup_steps) >> stable() >> 0.316 * stable("10%") >> 0.1 / 0.316 * stable("10%")


# Powers of time


def noam(d_model: int = 512, warmup_steps: int = 4000) -> Schedule:
    """The transformer's: d_model^-0.5 min(s^-0.5, s warmup^-1.5) at update s = t + 1 (Vaswani et al. 2017, eq. 3).

    >>> noam(512, 4000)
    6.987712429686843e-4 * warmup(3999, start=2.5e-4) >> rsqrt(4000)
    """
    for name, value in (("d_model", d_model), ("warmup_steps", warmup_steps)):
        sentence = f"noam({name}={written(value)}): write a positive whole number"
        if np.ndim(number(value, sentence, least=1)):  # a list times a number is a longer list
            raise Refused(sentence)
    return (d_model * warmup_steps) ** -0.5 * warmup(warmup_steps - 1, start=1 / warmup_steps) >> rsqrt(warmup_steps)


def t5(peak: float = 1e-2, timescale: Duration = 10_000) -> Schedule:
    """T5's inverse square root: constant for `timescale` updates, then 1/sqrt(n) (Raffel et al. 2020, section 3.1.2).

    >>> t5()
    0.01 * stable(10000) >> rsqrt(10000)
    """
    return peak * stable(timescale) >> rsqrt(timescale)


def vit(peak: float = 8e-4, warmup_steps: Duration = 10_000, cooldown: Duration = 50_000) -> Schedule:
    """Inverse square root between a warm-up and a linear cooldown, of any length (Zhai et al. 2022, section 3.5).

    >>> vit()
    8e-4 * warmup(10000) >> rsqrt(10000) >> decay(50000)
    """
    return peak * warmup(warmup_steps) >> rsqrt(warmup_steps) >> decay(cooldown)


def inverse_time(peak: float, rate: float, power: float = 1.0) -> Schedule:
    """peak (1 + rate t)^-power, for stochastic gradient descent (Bottou 2012, section 5.2).

    >>> inverse_time(0.1, 1e-3)
    0.1 * inverse_time(1e-3)
    """
    return peak * inverse(rate, power=power)


def one_over_t(mu: float) -> Schedule:
    """1/(mu t) at update t = 1, 2, ..., for mu-strongly convex losses (Pegasos, Shalev-Shwartz et al. 2007, fig. 1).

    >>> one_over_t(1e-2)
    100 * inverse_time(1)
    """
    return 1 / number(mu, f"one_over_t({written(mu)}): mu is positive", positive=True) * inverse(1.0)


def power_scheduler(
    peak: float,
    batch: int,
    sequence: int,
    a: float = 4.6,
    b: float = -0.51,
    warmup_steps: Duration = 0,
    cooldown: Duration = "10%",
) -> Schedule:
    """min(peak, batch a n^b) of the tokens n seen, then an exponential cooldown (Shen et al. 2024, arXiv 2408.13359).

    >>> power_scheduler(0.02, batch=128, sequence=4096, a=4.0)
    minimum(0.02, 0.6198538499694932 * shift(inverse_time(1, power=0.51), -1)) >> decay('10%', to=0.01, curve=geometric)
    """
    sentence = "power_scheduler: peak, batch, sequence and a are positive, and b is negative"
    peak, batch, sequence, a = (number(value, sentence, positive=True) for value in (peak, batch, sequence, a))
    power = number(-b, sentence, positive=True)
    law = batch * a * (batch * sequence) ** b * shift(inverse(1.0, power=power), -1)  # t updates have seen t batches
    most = peak if warmup_steps == 0 else peak * warmup(warmup_steps)
    return minimum(most, law) >> decay(cooldown, to=0.01, curve=geometric)


# Decay over the run


def bert(peak: float = 1e-4, warmup_steps: Duration = 10_000) -> Schedule:
    """Linear warm-up and linear decay to zero (Devlin et al. 2019, appendix A.2).

    >>> bert()
    1e-4 * warmup(10000) >> decay()
    """
    return peak * warmup(warmup_steps) >> decay()


def linear_to_zero(peak: float, warmup_steps: Duration = "10%") -> Schedule:
    """Straight to zero after a tenth of warm-up (Bergsma et al. 2025, arXiv 2502.15938).

    >>> linear_to_zero(1e-2)
    0.01 * warmup('10%') >> decay()
    """
    return peak * warmup(warmup_steps) >> decay()


def gpt3(peak: float = 6e-4) -> Schedule:
    """Warm-up over 375 million tokens, cosine to 10 % at 260 billion, then flat (Brown et al. 2020, appendix B).

    >>> gpt3()
    6e-4 * warmup('3.75e8tok') >> decay('2.59625e11tok', to=0.1, curve=cosine) >> stable()
    """
    return peak * warmup("3.75e8tok") >> decay("2.59625e11tok", to=0.1, curve=cosine) >> stable()


def chinchilla(peak: float = 2e-4, warmup_steps: Duration = 1500) -> Schedule:
    """Cosine to a tenth, as long as the run (Hoffmann et al. 2022, appendix B; warm-up as Rae et al. 2021).

    >>> chinchilla()
    2e-4 * warmup(1500) >> decay(to=0.1, curve=cosine)
    """
    return peak * warmup(warmup_steps) >> decay(to=0.1, curve=cosine)


def polynomial(peak: float, power: float = 0.9, to: float = 0.0) -> Schedule:
    """The "poly" policy, (1 - t/T)^power (Chen et al. 2017, DeepLab, arXiv 1606.00915).

    >>> polynomial(0.01)
    0.01 * decay(curve=polynomial(0.9))
    """
    return peak * decay(to=to, curve=curves.polynomial(power))


def exponential(peak: float, factor: float, every: Duration) -> Schedule:
    """Exponential decay by `factor` every so often, evenly (Senior et al. 2013).

    >>> exponential(0.045, 0.94, "2ep")
    0.045 * repeat(decay('2ep', to=0.94, curve=geometric), shrink=0.94)
    """
    return peak * repeat(decay(every, to=factor, curve=geometric), shrink=factor)


def rex(peak: float, beta: float = 0.5) -> Schedule:
    """REX, budgeted: (1 - u)/(beta + (1 - beta)(1 - u)) (Chen et al. 2022, arXiv 2107.04197).

    >>> rex(0.1)
    0.1 * decay(curve=rex(0.5))
    """
    return peak * decay(curve=curves.rex(beta))


def tanh(peak: float, lower: float = -6.0, upper: float = 3.0) -> Schedule:
    """HTD, (1 - tanh(lower + (upper - lower) u))/2 (Hsueh et al. 2019, arXiv 1806.01593).

    >>> tanh(0.1)
    0.1 * decay(curve=tanh(-6, 3))
    """
    return peak * decay(curve=curves.tanh(lower, upper))


def k_decay(peak: float, k: float = 3.0, to: float = 0.0, curve: Curve = cosine) -> Schedule:
    """A decay slowed at first, of u^k in place of u (Zhang & Li 2020, arXiv 2004.05909).

    >>> k_decay(0.1)
    0.1 * decay(curve=cosine @ power(3))
    """
    return peak * decay(to=to, curve=curve @ curves.power(k))


# Flat, then down


def wsd(
    peak: float,
    warmup_steps: Duration = "1%",
    cooldown: Duration = "20%",
    *,
    to: float = 0.0,
    curve: Curve = linear,
) -> Schedule:
    """Warm-up, stable, decay (Hu et al. 2024, MiniCPM, arXiv 2404.06395; cooldowns of Haegele et al. 2024, arXiv 2405.18392).

    Curves: linear, cosine, sqrt ("1-sqrt"), exponential(ratio), power(p), polynomial(p); geometric with `to` above zero.

    >>> wsd(1e-3, 300, curve=curves.sqrt)
    1e-3 * warmup(300) >> stable() >> decay('20%', curve=sqrt)
    """
    return peak * warmup(warmup_steps) >> stable() >> decay(cooldown, to=to, curve=curve)


def wsd_s(
    peak: float,
    ends: Sequence[int],
    warmup_steps: int = 0,
    *,
    share: float = 0.1,
    to: float = 0.1,
    curve: Curve = linear,
) -> Schedule:
    """WSD-S: a cooldown before each of several ends (steps), each begun again at the peak (Wen et al. 2024, arXiv 2410.05192).

    Args:
        peak: the rate between cooldowns.
        ends: the steps at which a model is wanted, in ascending order.
        warmup_steps: of the first phase.
        share: of each phase, how much is cooldown.
        to: share of the peak at the end of a cooldown.
        curve: of the cooldowns.

    >>> wsd_s(1e-3, [1000, 2000], 50)
    1e-3 * join(warmup(50), stable(850), decay(100, to=0.1), stable(900), decay(100, to=0.1))
    """
    sentence = (
        f"wsd_s(ends={written(list(ends))}, warmup_steps={written(warmup_steps)}): write whole steps, the ends in ascending "
        f"order and the first after the warm-up and its cooldown, such as [1000, 2000]"
    )
    lasting = _between(ends, sentence)
    share = number(
        share, f"wsd_s(share={written(share)}): a share of each phase, above 0 and up to 1", positive=True, most=1.0
    )
    cooldowns = [math.ceil(share * over) for over in lasting]
    if not isinstance(warmup_steps, int | np.integer) or lasting[0] < warmup_steps + cooldowns[0]:
        raise Refused(sentence)
    phases = [(over - down, down) for over, down in zip(lasting, cooldowns)]
    parts = [part for flat, down in phases for part in (stable(flat), decay(down, to=to, curve=curve))]
    if warmup_steps:
        parts = [warmup(warmup_steps), stable(phases[0][0] - warmup_steps), *parts[1:]]
    return peak * join(*parts)


def trapezoid(peak: float, warmup_steps: Duration = 256, cooldown: Duration = "40%", to: float = 0.0) -> Schedule:
    """Up, flat and straight down, as the speed-run of GPT-2 trains (modded-nanogpt 2024; Xing et al. 2018 named its shape).

    >>> trapezoid(3.6e-3)
    3.6e-3 * warmup(256) >> stable() >> decay('40%')
    """
    return peak * warmup(warmup_steps) >> stable() >> decay(cooldown, to=to)


def flat_cosine(peak: float, cooldown: Duration = "25%") -> Schedule:
    """Flat for three quarters, then a cosine, as used with Ranger (Wright & Demeure 2021, arXiv 2106.13731).

    >>> flat_cosine(1e-3)
    1e-3 * stable() >> decay('25%', curve=cosine)
    """
    return peak * stable() >> decay(cooldown, curve=cosine)


def tri_stage(
    peak: float,
    warmup_steps: Duration = "10%",
    hold: Duration = "40%",
    *,
    start: float = 0.01,
    to: float = 0.01,
) -> Schedule:
    """Linear up, hold, exponentially down, for speech (SpecAugment, Park et al. 2019, arXiv 1904.08779).

    >>> tri_stage(1e-3)
    1e-3 * warmup('10%', start=0.01) >> stable('40%') >> decay(to=0.01, curve=geometric)
    """
    return peak * warmup(warmup_steps, start=start) >> stable(hold) >> decay(to=to, curve=geometric)


# Cycles


def triangular(base: float, peak: float, half_cycle: Duration) -> Schedule:
    """CLR's triangles between two rates, for ever (Smith 2015, section 3.1).

    >>> triangular(1e-3, 6e-3, 2000)
    6e-3 * repeat(warmup(2000, start=0.16666666666666666) >> decay(2000, to=0.16666666666666666))
    """
    low = _low(base, peak)
    return peak * repeat(warmup(half_cycle, start=low) >> decay(half_cycle, to=low))


def triangular2(base: float, peak: float, half_cycle: Duration) -> Schedule:
    """CLR's triangles, each half as high above the base as the one before (Smith 2015, section 3.2).

    >>> triangular2(1e-3, 6e-3, 2000)
    1e-3 + 5e-3 * repeat(warmup(2000) >> decay(2000), shrink=0.5)
    """
    return base + _height(base, peak) * repeat(warmup(half_cycle) >> decay(half_cycle), shrink=0.5)


def exp_range(base: float, peak: float, half_cycle: Duration, gamma: float = 0.99994) -> Schedule:
    """CLR's triangles, their height above the base times gamma^t (Smith 2015, section 3.2).

    >>> exp_range(1e-3, 6e-3, 2000)
    1e-3 + 5e-3 * repeat(warmup(2000) >> decay(2000)) * repeat(stable(1), shrink=0.99994)
    """
    triangles = repeat(warmup(half_cycle) >> decay(half_cycle))
    return base + _height(base, peak) * triangles * repeat(stable(1), shrink=gamma)


def one_cycle(peak: float, *, low: float = 0.1, cycle: Duration = "45%", to: float = 1e-3) -> Schedule:
    """1cycle: up from `low` times the peak, back down, and on to `to` times it (Smith & Topin 2018, arXiv 1708.07120).

    >>> one_cycle(1.0)
    1 * warmup('45%', start=0.1) >> decay('45%', to=0.1) >> decay(to=0.01)
    """
    low = number(
        low, f"one_cycle(low={written(low)}): it begins at a share of the peak above 0, such as 0.1", positive=True
    )
    end = number(to / low, f"one_cycle(to={written(to)}): it ends below low={written(low)} times the peak", most=1.0)
    return peak * warmup(cycle, start=low) >> decay(cycle, to=low) >> decay(to=end)


def sgdr(
    peak: float, cycle: Duration, times: int, *, stretch: int = 2, shrink: float = 1.0, to: float = 0.0
) -> Schedule:
    """Cosine with warm restarts: T_mult is `stretch`, a shrinking peak is optional (Loshchilov & Hutter 2016, eq. 5).

    >>> sgdr(0.05, "10ep", 4)
    0.05 * repeat(decay('10ep', curve=cosine), 4, stretch=2)
    """
    return peak * repeat(decay(cycle, to=to, curve=cosine), times, stretch=stretch, shrink=shrink)


def cosine_restarts(peak: float, times: int = 4, warmup_steps: Duration = "5%") -> Schedule:
    """Cosine with hard restarts that share the run, after a warm-up (SGDR with T_mult 1, Loshchilov & Hutter 2016).

    >>> cosine_restarts(1e-3)
    1e-3 * warmup('5%') >> repeat(decay(curve=cosine), 4)
    """
    return peak * warmup(warmup_steps) >> repeat(decay(curve=cosine), times)


def range_test(low: float = 1e-7, high: float = 10.0) -> Schedule:
    """The rate of an LR range test: geometric from `low` to `high` over the run (Smith 2015, section 3.3).

    >>> range_test(1e-5, 1.0)
    ramp(start=1e-5, to=1, curve=geometric)
    """
    return ramp(start=low, to=high, curve=geometric)


def _between(steps: Sequence[int], sentence: str) -> list[int]:
    """How many steps lie between each and the one before, from 0 on."""
    if not all(isinstance(step, int | np.integer) for step in steps):
        raise Refused(sentence)
    lasting = [int(end) - int(begin) for begin, end in pairwise([0, *steps])]
    if min(lasting, default=0) <= 0:
        raise Refused(sentence)
    return lasting


def _height(base: Any, peak: Any) -> Any:
    sentence = f"a cycle from {written(base)} to {written(peak)} does not rise; write base < peak"
    number(base, sentence, positive=True)
    return number(peak - base, sentence, positive=True)


def _low(base: Any, peak: Any) -> Any:
    sentence = f"a cycle from {written(base)} to {written(peak)} does not rise; write base < peak"
    return number(base / number(peak, sentence, positive=True), sentence, most=1.0)
