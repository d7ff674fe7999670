"""init2winit.schedules (git fe9c748), at updates 0, 1, ... Its `cosine_echo` is in no version that we have read, and not here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lrlab.refusal import Refused, unknown
from lrlab.schedule import named, words
from lrlab.schedule.compat import check, fields
from lrlab.schedule.compat.piece import ascending, bend, first, later, piece, rsqrt
from lrlab.schedule.compat.product import product
from lrlab.schedule.compat.rates import chain, hold, legs, piecewise_constant, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine

_WHERE = "get_schedule_fn"
_WARMUP, _PLATEAU = "_warmup", "_decay_lr_on_plateau"


def get_schedule_fn(
    schedule: str,
    max_training_updates: int,
    stretch_factor: int | None = 1,
    *,
    after: check.After = "peer",
    **schedule_hparams: Any,
) -> Schedule:
    """The schedule of a name; its hyperparameters are the arguments.

    They are, with the hyperparameters that they take, all of them:

        constant                       base_lr
        cosine                         base_lr
        polynomial                     base_lr, end_factor, power, decay_steps or decay_steps_factor
        mlperf_polynomial              base_lr, warmup_steps, power, start_lr, end_lr, decay_end, warmup_power
        piecewise_constant             base_lr, decay_events, decay_factors: shares, each after the update of its event
        piecewise_linear               base_lr, decay_events, decay_factors
        rsqrt_normalized_decay         base_lr, squash_steps
        t2t_rsqrt_normalized_decay     base_lr, defer_steps
        transformer_schedule           base_lr, encoder_dim, warmup_steps
        compound                       factors, joined by `*`: constant (base_lr), linear_warmup and rsqrt_decay
                                       (warmup_steps), cosine

    `_warmup` after a name puts a warm-up before it, with warmup_steps and warmup_power=1. The cosines rise again after
    `max_training_updates` (that of compound after one update less); `after="hold"` stays at zero.

    >>> get_schedule_fn("cosine_warmup", 10_000, base_lr=1e-3, warmup_steps=1000, after="hold")
    1e-3 * warmup(1000) >> decay(9000, curve=cosine)
    >>> get_schedule_fn("compound", 10_000, factors="constant * linear_warmup * rsqrt_decay", base_lr=0.1, warmup_steps=10_000)
    1e-3 * warmup(10000) >> rsqrt(10000)
    """
    total = check.steps(max_training_updates, _WHERE, "max_training_updates", least=1)
    check.holds(after, _WHERE)
    if schedule.endswith(_PLATEAU):
        raise Refused(
            f"{_WHERE}('{schedule}') follows a metric and is no function of the update number; give the run the schedule "
            f"'{schedule.removesuffix(_PLATEAU)}', and feedback=plateau()"
        )
    name = "piecewise_constant_warmup" if schedule == "warmup_then_piecewise_constant" else schedule
    build = _warmed if name.endswith(_WARMUP) else _named
    result = build(name, total, after, schedule_hparams)
    if stretch_factor in (None, 1):
        return result
    times = check.steps(stretch_factor, _WHERE, "stretch_factor", least=1)
    return words.stairs(result, times)


def _named(name: str, total: int, after: check.After, hparams: Mapping[str, Any]) -> Schedule:
    """The schedule of a name, or of the factors of a compound."""
    if name not in (*_SCHEDULES, "compound"):
        raise unknown(f"schedule of {_WHERE}", name, [*_SCHEDULES, "compound"])
    where, functions = f"{_WHERE}('{name}')", [_SCHEDULES.get(name, _compound)]
    if name == "compound":
        factors = [factor.strip() for factor in str(hparams.get("factors")).split("*")]
        functions += [_FACTORS[check.choice(factor, where, "factor", _FACTORS)] for factor in factors]
    run = {"max_training_updates": total, "after": after}
    fields.known(hparams, functions, where, hidden=run)
    schedules = [fields.call(function, {**hparams, **run}, where) for function in functions]
    return product(*schedules)


def _warmed(name: str, total: int, after: check.After, hparams: Mapping[str, Any]) -> Schedule:
    """(t/warmup_steps)**warmup_power, and then the schedule over what is left."""
    rest = {key: value for key, value in hparams.items() if key not in ("warmup_steps", "warmup_power")}
    warm = check.steps(hparams.get("warmup_steps"), _WHERE, "warmup_steps")
    if warm >= total:
        raise Refused(
            f"{_WHERE}(max_training_updates={total}) counts the warm-up too, and must be more than its {warm} steps"
        )
    curve = _ascending(hparams.get("warmup_power", 1), "warmup_power")
    schedule = _named(name.removesuffix(_WARMUP), total - warm, after, rest)
    return chain(way(0, _rate(hparams.get("base_lr")), warm, curve), schedule)


def _constant(*, base_lr: float) -> Schedule:
    return hold(_rate(base_lr))


def _cosine(*, base_lr: float, max_training_updates: int, after: check.After) -> Schedule:
    return _rate(base_lr) * _wave(max_training_updates, after)


def _polynomial(
    *,
    base_lr: float,
    end_factor: float,
    power: float,
    max_training_updates: int,
    decay_steps: int | None = None,
    decay_steps_factor: float | None = None,
) -> Schedule:
    if (decay_steps is None) == (decay_steps_factor is None):
        raise Refused(
            f"{_WHERE}('polynomial') takes one of decay_steps and decay_steps_factor; write decay_steps_factor=1"
        )
    if decay_steps_factor is not None:
        decay_steps = int(max_training_updates * check.share(decay_steps_factor, _WHERE, "decay_steps_factor"))
    over, curve = check.steps(decay_steps, _WHERE, "decay_steps", least=1), bend(_share(power, "power", positive=True))
    return way(_rate(base_lr), base_lr * _share(end_factor, "end_factor"), over, curve)


def _mlperf_polynomial(
    *,
    base_lr: float,
    warmup_steps: int,
    power: float,
    start_lr: float,
    end_lr: float,
    decay_end: int,
    warmup_power: float,
    max_training_updates: int,
) -> Schedule:
    """A warm-up and a decay that ends one update after the run; from `decay_end`, where that is not 0, the rate is held."""
    warm = check.steps(warmup_steps, _WHERE, "warmup_steps", least=1)
    over = check.steps(max_training_updates - warm + 1, _WHERE, "max_training_updates - warmup_steps + 1", least=1)
    rise = way(_share(start_lr, "start_lr"), _rate(base_lr), warm, _ascending(warmup_power, "warmup_power"))
    fall = way(base_lr, _share(end_lr, "end_lr"), over, bend(_share(power, "power", positive=True)))
    end = check.steps(decay_end, _WHERE, "decay_end", least=-1)
    return first(chain(rise, fall), end) if 0 < end < warm + over else chain(rise, fall)


def _piecewise_constant(*, base_lr: float, decay_events: Sequence[int], decay_factors: Sequence[float]) -> Schedule:
    events, shares = check.events(decay_events, decay_factors, _WHERE)
    return piecewise_constant([_rate(base_lr) * share for share in shares], [event + 1 for event in events])


def _piecewise_linear(*, base_lr: float, decay_events: Sequence[int], decay_factors: Sequence[float]) -> Schedule:
    events, shares = check.events(decay_events, decay_factors, _WHERE)
    return legs([_rate(base_lr) * share for share in shares], events)


def _rsqrt_normalized_decay(*, base_lr: float, squash_steps: float) -> Schedule:
    return _rate(base_lr) * rsqrt(_share(squash_steps, "squash_steps", positive=True))


def _t2t_rsqrt_normalized_decay(*, base_lr: float, defer_steps: int) -> Schedule:
    defer = check.steps(defer_steps, _WHERE, "defer_steps", least=1)
    return _rate(base_lr) * later(defer, words.rsqrt(defer))


def _transformer_schedule(*, base_lr: float, encoder_dim: int, warmup_steps: int) -> Schedule:
    return _rate(base_lr) * named.noam(encoder_dim, check.steps(warmup_steps, _WHERE, "warmup_steps", least=1))


def _compound(*, factors: str) -> Schedule:
    return words.stable()


def _linear_warmup(*, warmup_steps: int) -> Schedule:
    return words.warmup(check.steps(warmup_steps, _WHERE, "warmup_steps", least=1))


def _rsqrt_decay(*, warmup_steps: int) -> Schedule:
    warm = check.steps(warmup_steps, _WHERE, "warmup_steps", least=1)
    return warm**-0.5 * later(warm, words.rsqrt(warm))


def _cosine_factor(*, max_training_updates: int, after: check.After, warmup_steps: int = 0) -> Schedule:
    return later(warmup_steps, _wave(max_training_updates - warmup_steps - 1, after))


_SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": _constant,
    "cosine": _cosine,
    "polynomial": _polynomial,
    "mlperf_polynomial": _mlperf_polynomial,
    "piecewise_constant": _piecewise_constant,
    "piecewise_linear": _piecewise_linear,
    "rsqrt_normalized_decay": _rsqrt_normalized_decay,
    "t2t_rsqrt_normalized_decay": _t2t_rsqrt_normalized_decay,
    "transformer_schedule": _transformer_schedule,
}
_FACTORS: dict[str, Callable[..., Schedule]] = {
    "constant": _constant,
    "linear_warmup": _linear_warmup,
    "rsqrt_decay": _rsqrt_decay,
    "cosine": _cosine_factor,
}


def _wave(over: int, after: check.After) -> Schedule:
    """A cosine from 1 to 0, and up again and so on, unless it is held."""
    over = check.steps(over, _WHERE, "the updates of the cosine", least=1)
    if check.holds(after, _WHERE):
        return words.decay(over, curve=cosine)
    return words.repeat(words.decay(2 * over, curve=piece(cosine, 0, 2)))


def _ascending(value: Any, name: str) -> Curve:
    return ascending(_share(value, name, positive=True))


def _rate(base_lr: Any) -> float:
    return check.rate(base_lr, _WHERE)


def _share(value: Any, name: str, *, positive: bool = False) -> float:
    return check.share(value, _WHERE, name, positive=positive)
