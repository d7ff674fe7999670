"""The parts that schedules are made of: a stretch of time under one word, or a table of values."""

from dataclasses import KW_ONLY, field
from fractions import Fraction
from typing import Any

import numpy as np

from lrlab.refusal import Refused
from lrlab.schedule.core import ATOM, Schedule, is_zero
from lrlab.schedule.curve import Curve, linear
from lrlab.schedule.time import Duration, whole
from lrlab.schedule.write import call, written


class Part(Schedule):
    """A stretch of time under one word; `over` is how long it lasts."""

    over: Duration = None

    def _length(self, k):
        if self.over is None or isinstance(self.over, str):
            raise self._unresolved()
        return self.over * k

    def _exact(self, horizon):
        return None if self.over is None else horizon.exact(self.over)

    def _fit(self, horizon, steps):
        return self.replace(over=steps)

    def _marks(self, begin, k):
        yield self._word, begin, begin + self._length(k)

    def _written(self):
        return call(self._word, self), ATOM

    def _ends_at_zero(self) -> bool:
        return False

    def _claims(self):
        return repr(self) if self.over is None else None

    @property
    def _word(self) -> str:
        return type(self).__name__.lower()

    def _unresolved(self) -> Refused:
        return Refused(f"{self} is not yet in steps; write schedule.resolve(Horizon(steps=...)) first")


def held(t: Any, phase: Any, over: Any, xp: Any) -> tuple[Any, Any]:
    """Step and phase, which stand still from the end of `over` on."""
    (gone, left), going = phase, t < over
    return xp.minimum(t, over), (xp.where(going, gone, 0), xp.where(going, left, 1))


def _between(a: Any, b: Any, curve: Curve, t: Any, phase: Any, over: Any, xp: Any) -> Any:
    """The level at step t of a way from a to b that takes `over` steps; b if it takes none."""
    t, (gone, left) = held(t, phase, over, xp)
    d = xp.maximum(over, 1)
    return curve(a, b, xp.where(over == 0, 1.0, (t + gone) / d), (over - 1 - t + left) / d, xp)


class Warmup(Part):
    """From `start` times the level up to the level."""

    over: Duration = field()  # no default: warmup(None) is written in full
    _: KW_ONLY
    start: Any = 0.0
    curve: Curve = linear

    def _at(self, t, phase, xp):
        return _between(self.start, 1.0, self.curve, t, phase, self._length(1), xp)


class Stable(Part):
    """The level, held."""

    def _at(self, t, phase, xp):
        return xp.where(t >= 0, 1.0, 1.0)


class Decay(Part):
    """From the level down to `to` times the level."""

    _: KW_ONLY
    to: Any = 0.0
    curve: Curve = linear

    def _at(self, t, phase, xp):
        return _between(1.0, self.to, self.curve, t, phase, self._length(1), xp)

    def _ends_at_zero(self):
        return self.curve.arrives and is_zero(self.to)


class Ramp(Part):
    """From `start` times the level to `to` times the level."""

    _: KW_ONLY
    start: Any
    to: Any
    curve: Curve = linear

    def _at(self, t, phase, xp):
        return _between(self.start, self.to, self.curve, t, phase, self._length(1), xp)

    def _ends_at_zero(self):
        return self.curve.arrives and is_zero(self.to)


class Rsqrt(Part):
    """sqrt(timescale / (timescale + t)): inverse square root, begun at its level."""

    over: Duration = None
    timescale: Any = None

    def _at(self, t, phase, xp):
        if isinstance(self.timescale, str):
            raise self._unresolved()
        t, (gone, _) = (t, phase) if self.over is None else held(t, phase, self._length(1), xp)
        return xp.sqrt(1 / (1 + (t + gone) / self.timescale))

    def _fit(self, horizon, steps):
        if not isinstance(self.timescale, str):
            return self.replace(over=steps)
        return self.replace(over=steps, timescale=max(whole(horizon.exact(self.timescale)), 1))

    def _written(self):
        rest = "" if self.over is None else f", {written(self.over)}"
        return f"rsqrt({written(self.timescale)}{rest})", ATOM


class InverseTime(Part):
    """(1 + rate t)**-power, begun at its level."""

    over: Duration = None
    rate: Any = None
    _: KW_ONLY
    power: Any = 1.0

    def _at(self, t, phase, xp):
        t, (gone, _) = (t, phase) if self.over is None else held(t, phase, self._length(1), xp)
        return xp.exp(-self.power * xp.log1p(self.rate * (t + gone)))

    def _written(self):
        rest = "" if self.over is None else f", {written(self.over)}"
        power = "" if written(self.power) == "1" else f", power={written(self.power)}"
        return f"inverse_time({written(self.rate)}{rest}{power})", ATOM

    @property
    def _word(self):
        return "inverse_time"


class Off(Part):
    """Zero."""

    def _at(self, t, phase, xp):
        return xp.where(t >= 0, 0.0, 0.0)

    def _ends_at_zero(self):
        return True


class Table(Schedule):
    """One value per step, [steps]; holds the last."""

    values: Any

    def _at(self, t, phase, xp):
        values = xp.asarray(self.values)
        return values[..., xp.minimum(t, values.shape[-1] - 1)]

    def _length(self, k):
        return np.shape(self.values)[-1] * k

    def _exact(self, horizon):
        return Fraction(self._length(1))

    def _fit(self, horizon, steps):
        return self

    def _marks(self, begin, k):
        yield "table", begin, begin + self._length(k)

    def _written(self):
        return call("table", self), ATOM

    def _ends_at_zero(self):
        return is_zero(self.values[..., -1])

    def _claims(self):
        return None
