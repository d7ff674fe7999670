"""Schedules whose clock is not the run's: started again in cycles, shifted, or moved once every so many steps."""

import math
from dataclasses import KW_ONLY, replace
from fractions import Fraction
from typing import Any

import jax.numpy as jnp

from lrlab.node import structural
from lrlab.refusal import Refused
from lrlab.schedule.combine import then
from lrlab.schedule.core import ATOM, WHOLE, Schedule
from lrlab.schedule.part import Stable, held
from lrlab.schedule.time import LAST_STEP, Duration, Horizon, longest, whole
from lrlab.schedule.write import call

_MOST_STRETCHED = 32  # cycles that each last at least twice as long as the one before fill 2**31 steps
_MOST_MARKED = 1000  # marks of one repetition; more are one mark


class Repeat(Schedule):
    """Cycles of a schedule, `times` of them or for `over`; cycle i is stretch**i as long and shrink**i as high (SGDR,
    section 3)."""

    schedule: Schedule
    times: int | None = structural(None)
    _: KW_ONLY
    over: Duration = None
    stretch: int = structural(1)
    shrink: Any = 1.0

    def _at(self, t, phase, xp):
        if self.times is None and self.over is not None:
            t, phase = held(t, phase, self._length(1), xp)
        cycle, start, before, most = self._cycle(t, self.schedule._length(1), xp)
        t, again = t - start, xp.where(cycle > 0, self.stretch, 1)
        if most > LAST_STEP:  # in two steps, since int32 does not hold how far the last cycle is stretched
            t, phase = _slowed(*_slowed(t, phase, before, xp), again, xp)
        elif self.stretch > 1:
            t, phase = _slowed(t, phase, before * again, xp)
        # the logarithm of a known number is taken in float64: in float32, 0.9999 alone is rounded, and then to a power
        known = isinstance(self.shrink, float)
        height = xp.exp(cycle * math.log(self.shrink)) if known else self.shrink**cycle
        return height * self.schedule._at(t, phase, xp)

    def _cycle(self, t, steps, xp):
        """Which cycle step t lies in, where that began, how far time is stretched in the one before, and at most in any."""
        if self.stretch == 1:
            cycle = t // xp.maximum(steps, 1)
            cycle = cycle if self.times is None else xp.minimum(cycle, self.times - 1)
            return cycle, cycle * steps, 1, 1
        cycle, start, before, most = 0, 0, 1, 1
        for i in range(1, self.times or _MOST_STRETCHED):
            length = self.stretch ** (i - 1)
            if length > LAST_STEP or isinstance(steps, int) and steps * length > LAST_STEP:
                break
            begun = (t - start) // length >= steps  # not t - start >= steps * length, which may overflow
            later = begun if i == 1 else begun & (cycle == i - 1)
            cycle = xp.where(later, i, cycle)
            start = xp.where(later, start + steps * length, start)
            before, most = xp.where(later, length, before), length * self.stretch
        return cycle, start, before, most

    def _cycles(self, times: int) -> int:
        """The length of so many cycles in units of the first."""
        return times if self.stretch == 1 else (self.stretch**times - 1) // (self.stretch - 1)

    def _length(self, k):
        if self.times is not None:
            return self.schedule._length(k) * self._cycles(self.times)
        if self.over is None or isinstance(self.over, str):
            raise Refused(f"{self} has no end yet; write repeat(..., times) or schedule.resolve(Horizon(steps=...))")
        return self.over * k

    def _exact(self, horizon):
        if self.times is None:
            return None if self.over is None else horizon.exact(self.over)
        exact = self.schedule._exact(horizon)
        return None if exact is None else Fraction(whole(exact) * self._cycles(self.times))

    def _fit(self, horizon, steps):
        if self.times is None:
            each = max(whole(self.schedule._exact(horizon) or Fraction(1)), 1)  # a cycle lasts at least a step
            return self.replace(schedule=self.schedule._fit(horizon, each), over=steps)
        cycles = self._cycles(self.times)
        if steps < cycles and self._claims():
            raise Refused(
                f"{self} has no room: {steps} steps cannot hold its cycles; ask for fewer times or more steps"
            )
        each, rest = divmod(steps, cycles)
        fitted = self.replace(schedule=self.schedule._fit(horizon, each))
        return fitted if not rest or self._ends_at_zero() else then(fitted, Stable(rest))  # the end stays the end

    def _marks(self, begin, k):
        end, cycle = begin + self._length(k), 0
        each, marks = self.schedule._length(k), sum(1 for _ in self.schedule._marks(0, k)) or 1
        if each * _MOST_MARKED < (end - begin) * marks:
            yield "repeat", begin, end
            return
        while begin < end:
            stretched = k * self.stretch**cycle
            for name, start, stop in self.schedule._marks(begin, stretched):
                if start < end:
                    yield name, start, min(stop, end)
            begin, cycle = begin + self.schedule._length(stretched), cycle + 1

    def _written(self):
        return call("repeat", self), ATOM

    def _ends_at_zero(self):
        return self.times is not None and self.schedule._ends_at_zero()

    def _claims(self):
        return repr(self) if self.schedule._claims() or self.times is None and self.over is None else None


class Shift(Schedule):
    """A schedule whose clock is `by` steps ahead (behind, where it is negative)."""

    schedule: Schedule
    by: int = structural()

    def _at(self, t, phase, xp):
        (gone, left), t = phase, xp.minimum(t, LAST_STEP - max(self.by, 0)) + self.by
        return self.schedule._at(xp.maximum(t, 0), (xp.where(t < 0, 0, gone), xp.where(t < 0, 1, left)), xp)

    def _length(self, k):
        return longest(self.schedule._length(k) - self.by * k, 0)

    def _exact(self, horizon):
        exact = self.schedule._exact(horizon)
        return None if exact is None else Fraction(max(whole(exact) - self.by, 0))

    def _fit(self, horizon, steps):
        exact = self.schedule._exact(horizon)
        within = steps + self.by if exact is None else whole(exact)
        if within < 0:
            raise Refused(f"{self} begins after {-self.by} steps, and there are only {steps}; shift it less")
        return self.replace(schedule=self.schedule._fit(horizon, within))

    def _marks(self, begin, k):
        for name, start, end in self.schedule._marks(begin - self.by * k, k):
            if end > begin:
                yield name, max(start, begin), end

    def _written(self):
        return call("shift", self), ATOM

    def _ends_at_zero(self):
        return self.schedule._ends_at_zero()

    def _claims(self):
        return self.schedule._claims()


class Stairs(Schedule):
    """A schedule whose clock moves once every `each` steps."""

    schedule: Schedule
    each: Duration

    def _at(self, t, phase, xp):
        return self.schedule._at(t // self._steps(), WHOLE, xp)

    def _length(self, k):
        return self.schedule._length(1) * self._steps() * k

    def _exact(self, horizon):
        exact = self.schedule._exact(self._ticks(horizon))
        return None if exact is None else Fraction(whole(exact) * self._whole(horizon))

    def _fit(self, horizon, steps):
        each, ticks = self._whole(horizon), self._ticks(horizon)
        exact = self.schedule._exact(ticks)
        count, rest = divmod(steps, each) if exact is None else (whole(exact), 0)
        fitted = self.replace(schedule=self.schedule._fit(ticks, count), each=each)
        return fitted if not rest or self._ends_at_zero() else then(fitted, Stable(rest))  # the end stays the end

    def _marks(self, begin, k):
        each = self._steps() * k
        for name, start, end in self.schedule._marks(0, 1):
            yield name, begin + start * each, begin + end * each

    def _written(self):
        return call("stairs", self), ATOM

    def _ends_at_zero(self):
        return self.schedule._ends_at_zero()

    def _claims(self):
        return self.schedule._claims()

    def _steps(self) -> Any:
        if isinstance(self.each, str):
            raise Refused(f"{self} is not yet in steps; write schedule.resolve(Horizon(steps=...)) first")
        return self.each

    def _whole(self, horizon: Horizon) -> int:
        return max(whole(horizon.exact(self.each)), 1)  # type: ignore[arg-type]

    def _ticks(self, horizon: Horizon) -> Horizon:
        """The run as the clock of the schedule counts it."""
        each = self._whole(horizon)
        batch = None if horizon.batch is None else horizon.batch * each
        return replace(horizon, steps=max(horizon.steps // each, 1), batch=batch)


def _slowed(t: Any, phase: Any, k: Any, xp: Any) -> tuple[Any, Any]:
    """Step and phase by a clock of which one step lasts k."""
    (gone, left), whole = phase, _divided(t, k, xp)
    rest = t - whole * k
    return whole, ((rest + gone) / k, (k - 1 - rest + left) / k)


def _divided(t: Any, k: Any, xp: Any) -> Any:
    """t // k of whole numbers from 0 on; for arrays of jax by floats, since integers divide ten times as slowly there."""
    if xp is not jnp:
        return t // k
    guess = (t / k).astype(t.dtype)  # off by as much as float32 rounds, of which the rest of it tells
    rest = t - guess * k
    more = xp.floor(rest / k).astype(t.dtype)
    rest = rest - more * k
    return guess + more + xp.where(rest < 0, -1, xp.where(rest >= k, 1, 0))
