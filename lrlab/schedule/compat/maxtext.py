"""MaxText's `create_learning_rate_schedule` (git e591f30cb), whose Optax optimizer counts updates from 0."""

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.piece import first
from lrlab.schedule.compat.rates import chain, hold, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine, linear


def create_learning_rate_schedule(
    *,
    learning_rate: float,
    steps: int,
    learning_rate_schedule_steps: int = -1,
    warmup_steps_fraction: float = 0.1,
    lr_schedule_type: str = "cosine",
    learning_rate_final_fraction: float = 0.1,
    wsd_decay_steps_fraction: float = 0.1,
    wsd_decay_style: str = "linear",
    after: check.After = "peer",
) -> Schedule:
    """The fields of the configuration are the arguments: a warm-up, then a cosine, or a stable stretch and its decay, then
    zero from `learning_rate_schedule_steps` to `steps`.

    A decay over n updates takes n - 1 steps, so the last of them uses the final rate; a linear decay over one update
    does not fall. A cosine that no zeros follow rises again after its end; `after="hold"` stays there.

    >>> create_learning_rate_schedule(learning_rate=3e-4, steps=1000, lr_schedule_type="wsd")
    3e-4 * warmup(100) >> stable(800) >> decay(99, to=0.1)
    >>> create_learning_rate_schedule(learning_rate=3e-4, steps=1000, learning_rate_schedule_steps=900)
    join(3e-4 * warmup(90) >> decay(809, to=0.1, curve=cosine) >> stable(1), off())
    """
    where = "create_learning_rate_schedule"
    peak, steps = check.rate(learning_rate, where, "learning_rate"), check.steps(steps, where, "steps", least=1)
    total = steps if learning_rate_schedule_steps == -1 else learning_rate_schedule_steps
    total = check.steps(total, where, "learning_rate_schedule_steps", least=1)
    final = peak * check.share(learning_rate_final_fraction, where, "learning_rate_final_fraction")
    warm = int(total * check.share(warmup_steps_fraction, where, "warmup_steps_fraction", most=1.0))
    down, curve = total - warm, cosine
    if check.choice(lr_schedule_type, where, "lr_schedule_type", ("cosine", "wsd")) == "wsd":
        down = int(total * check.share(wsd_decay_steps_fraction, where, "wsd_decay_steps_fraction", most=1.0))
        curves = {"linear": linear, "cosine": cosine}
        curve = curves[check.choice(wsd_decay_style, where, "wsd_decay_style", curves)]
    if warm + down > total:
        raise Refused(
            f"{where}: a warm-up of {warm} and a decay of {down} steps are longer than the schedule of {total}; lower "
            f"warmup_steps_fraction or wsd_decay_steps_fraction"
        )
    rises = curve is cosine and not check.holds(after, where) and steps <= total
    parts = [way(0, peak, warm), hold(peak, total - warm - down)]
    if down > 1:
        fall = way(peak, final, down - 1, curve)
        parts.append(words.repeat(words.join(fall, way(final, peak, down - 1, curve))) if rises else fall)
    elif down:
        parts.append(hold(final if curve is cosine else peak, 1))
    return words.join(first(chain(*parts), total), words.off()) if steps > total else chain(*parts)
