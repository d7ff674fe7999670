"""fairseq2.optim.lr_schedulers (fairseq2 0.8.1): PyTorch schedulers, stepped once after every update.

Rates that differ between groups of parameters are given to groups of ours, not as a list.
"""

from collections.abc import Sequence
from math import isclose, log

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.cycle import restarts
from lrlab.schedule.compat.piece import bend, ratio
from lrlab.schedule.compat.rates import chain, hold, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine, geometric
from lrlab.schedule.write import written


def PassthroughLR(*, base_lr: float) -> Schedule:
    """The base rate.

    >>> PassthroughLR(base_lr=0.1)
    0.1 * stable()
    """
    return hold(check.rate(base_lr, "PassthroughLR"))


def CosineAnnealingLR(
    cycle_len: int,
    num_warmup_steps: int,
    *,
    base_lr: float,
    cycle_mul: float = 1.0,
    lr_mul: float = 1.0,
    start_lr: float = 0.0,
    final_lr: float = 0.0,
    after: check.After = "peer",
) -> Schedule:
    """A warm-up, then cosines to `final_lr`, each `cycle_mul` as long as the one before; both ends are multiplied by `lr_mul`
    a cycle.

    It begins again after `cycle_len`, and `after="hold"` stays at the end of the first. fairseq2 finds the cycle by a logarithm, whose rounding misses some restarts by an
    update, and cuts begins and lengths of cycles to whole steps: so it is here.

    >>> CosineAnnealingLR(9000, 1000, base_lr=1e-3, lr_mul=0.5, final_lr=1e-4)
    1e-3 * warmup(1000) >> repeat(decay(9000, to=0.1, curve=cosine), shrink=0.5)
    """
    where, peak = "CosineAnnealingLR", check.rate(base_lr, "CosineAnnealingLR")
    length = check.steps(cycle_len, where, "cycle_len", least=1)
    mul = check.share(cycle_mul, where, "cycle_mul", positive=True)
    shrink = check.share(lr_mul, where, "lr_mul", positive=True, most=1.0)
    number = lambda t: int(log(1 - t / length * (1 - mul), mul))

    def span(i: int) -> tuple[int, int]:
        begin = int((1 - mul**i) / (1 - mul) * length)
        return begin, begin + int(mul**i * length)

    rise, low = _rise(start_lr, peak, num_warmup_steps, where), check.share(final_lr, where, "final_lr")
    if check.holds(after, where):
        return chain(rise, way(peak, low, length, cosine))
    return chain(rise, peak * restarts(length, mul, shrink, ratio(low, peak), where, "cycle_mul", number, span))


def MyleLR(num_warmup_steps: int, *, base_lr: float, start_lr: float = 0.0) -> Schedule:
    """A warm-up, then base_lr sqrt(num_warmup_steps/t).

    >>> MyleLR(4000, base_lr=5e-4)
    5e-4 * warmup(4000) >> rsqrt(4000)
    """
    where, peak = "MyleLR", check.rate(base_lr, "MyleLR")
    warm = check.steps(num_warmup_steps, where, "num_warmup_steps", least=1)
    return chain(_rise(start_lr, peak, warm, where), peak * words.rsqrt(warm))


def NoamLR(num_warmup_steps: int, *, base_lr: float) -> Schedule:
    """base_lr min(t^-0.5, t num_warmup_steps^-1.5) (Vaswani et al. 2017, section 5.3); without a warm-up updates 0 and 1
    are alike.

    >>> NoamLR(10_000, base_lr=0.05)
    5e-4 * warmup(10000) >> rsqrt(10000)
    """
    base = check.rate(base_lr, "NoamLR")
    warm = check.steps(num_warmup_steps, "NoamLR", "num_warmup_steps")
    scale = max(warm, 1)
    peak = base * scale**-0.5
    return chain(way(0, peak, warm) if warm else hold(peak, 1), ratio(peak, 1) * words.rsqrt(scale))


def PolynomialDecayLR(
    num_steps: int,
    num_warmup_steps: int,
    *,
    base_lr: float,
    power: float = 1.0,
    start_lr: float = 0.0,
    final_lr: float = 0.0,
) -> Schedule:
    """A warm-up, then (1 - u)**power to `final_lr` at `num_steps`, which is held.

    >>> PolynomialDecayLR(10_000, 1000, base_lr=1e-3, power=2)
    1e-3 * warmup(1000) >> decay(9000, curve=polynomial(2))
    """
    where, peak = "PolynomialDecayLR", check.rate(base_lr, "PolynomialDecayLR")
    total = check.steps(num_steps, where, "num_steps", least=1)
    warm = check.steps(num_warmup_steps, where, "num_warmup_steps")
    if warm >= total:
        raise Refused(f"{where}(num_steps={total}) counts the warm-up too, and must be more than its {warm} steps")
    curve = bend(check.share(power, where, "power", positive=True))
    down = way(peak, check.share(final_lr, where, "final_lr"), total - warm, curve)
    return chain(_rise(start_lr, peak, warm, where), down)


def TriStageLR(
    num_steps: int,
    stage_ratio: Sequence[float],
    *,
    base_lr: float,
    start_lr_scale: float = 0.01,
    final_lr_scale: float = 0.01,
) -> Schedule:
    """A warm-up, the base rate, and an exponential decay to `final_lr_scale` of it, which is held; each takes its share of
    `num_steps`, cut to whole steps.

    >>> TriStageLR(80_000, (0.1, 0.4, 0.5), base_lr=5e-5)
    5e-5 * warmup(8000, start=0.01) >> stable(32000) >> decay(40000, to=0.01, curve=geometric)
    """
    where, peak = "TriStageLR", check.rate(base_lr, "TriStageLR")
    if len(stage_ratio) != 3 or not isclose(sum(stage_ratio), 1.0):
        raise Refused(
            f"{where}(stage_ratio={written(list(stage_ratio))}): warm-up, hold and decay are three shares of num_steps that "
            f"add up to 1, such as [0.1, 0.4, 0.5]"
        )
    total = check.steps(num_steps, where, "num_steps", least=1)
    warm, flat, down = (int(check.share(share, where, "stage_ratio") * total) for share in stage_ratio)
    start = check.share(start_lr_scale, where, "start_lr_scale")
    end = check.share(final_lr_scale, where, "final_lr_scale", positive=True)
    tail = way(peak, end * peak, down, geometric) if down else hold(end * peak)
    return chain(way(start * peak, peak, warm), hold(peak, flat), tail)


def _rise(start_lr: float, peak: float, num_warmup_steps: int, where: str) -> Schedule:
    warm = check.steps(num_warmup_steps, where, "num_warmup_steps")
    return way(check.share(start_lr, where, "start_lr"), peak, warm)
