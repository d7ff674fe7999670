"""Schedules made from schedules: a factor, one after another, step by step, and in cycles."""

import math
import operator
from dataclasses import KW_ONLY
from fractions import Fraction
from functools import reduce
from itertools import accumulate, pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrlab.node import structural
from lrlab.refusal import Refused
from lrlab.schedule.core import ATOM, PRODUCT, SEQUENCE, SUM, Schedule
from lrlab.schedule.number import number
from lrlab.schedule.part import Stable
from lrlab.schedule.time import whole
from lrlab.schedule.write import call, written


class Scale(Schedule):
    """`peak` times a schedule."""

    peak: Any
    shape: Schedule

    def _at(self, t, k, xp):
        return self.peak * self.shape._at(t, k, xp)

    def _length(self, k):
        return self.shape._length(k)

    def _exact(self, horizon):
        return self.shape._exact(horizon)

    def _fit(self, horizon, steps):
        return self.replace(shape=self.shape._fit(horizon, steps))

    def _marks(self, begin, k):
        return self.shape._marks(begin, k)

    def _written(self):
        if self.shape == Then(()):
            return written(self.peak), ATOM  # a number among schedules: warmup(10) + 1e-5
        first, *rest = _flat(self.shape)  # 2 * a >> b reads back as 2 * (a >> b): they are equal
        text = " >> ".join([f"{written(self.peak)} * {first._enclosed(ATOM)}", *(part._enclosed(SUM) for part in rest)])
        return text, SEQUENCE if rest else PRODUCT

    def _ends_at_zero(self):
        return self.shape._ends_at_zero()

    def _claims(self):
        return self.shape._claims()


class Then(Schedule):
    """Schedules one after another, each from the level where the one before ended."""

    parts: tuple[Schedule, ...]

    def _at(self, t, k, xp):
        level = xp.where(t >= 0, 1.0, 1.0)
        for i, part in enumerate(self.parts):
            level = level * xp.where(t >= 0, part._at(xp.maximum(t, 0), k, xp), 1.0)
            if i + 1 < len(self.parts):
                steps = part._length(k)
                t = xp.where(t >= steps, t - steps, -1)  # -1: the next part has not begun
        return level

    def _length(self, k):
        return sum(part._length(k) for part in self.parts)

    def _exact(self, horizon):
        lengths = [part._exact(horizon) for part in self.parts]
        return None if None in lengths else sum(filter(None, lengths), Fraction(0))

    def _fit(self, horizon, steps):
        lengths = [part._exact(horizon) for part in self.parts]
        rest = steps - sum((length for length in lengths if length is not None), Fraction(0))
        if None in lengths and rest < 0:
            raise Refused(
                f"the parts of {self} before and after {self._claims()} last {whole(steps - rest)} steps, longer than "
                f"the run of {steps}; shorten one of them"
            )
        ends = accumulate(rest if length is None else length for length in lengths)
        edges = pairwise([0, *map(whole, ends)])  # rounding edges, not lengths: nothing is lost on the way
        fitted = [part._fit(horizon, end - begin) for part, (begin, end) in zip(self.parts, edges, strict=True)]
        return Then(tuple(flat for part in fitted for flat in _flat(part)))

    def _marks(self, begin, k):
        for part in self.parts:
            yield from part._marks(begin, k)
            begin += part._length(k)

    def _written(self):
        return " >> ".join(part._enclosed(SUM) for part in self.parts), SEQUENCE

    def _ends_at_zero(self):
        return bool(self.parts) and self.parts[-1]._ends_at_zero()

    def _claims(self):
        return next((claim for part in self.parts if (claim := part._claims())), None)


_POINTWISE = {"*": PRODUCT, "+": SUM, "minimum": ATOM, "maximum": ATOM}


class Pointwise(Schedule):
    """Schedules combined step by step; it lasts as long as the longest."""

    operator: str
    parts: tuple[Schedule, ...]

    def _at(self, t, k, xp):
        operation = {"*": operator.mul, "+": operator.add}.get(self.operator) or getattr(xp, self.operator)
        return reduce(operation, (part._at(t, k, xp) for part in self.parts))

    def _length(self, k):
        lengths = [part._length(k) for part in self.parts]
        return reduce(jnp.maximum, lengths) if any(isinstance(n, jax.Array) for n in lengths) else max(lengths)

    def _exact(self, horizon):
        lengths = [part._exact(horizon) for part in self.parts]
        return None if None in lengths else Fraction(max(whole(length) for length in lengths if length is not None))

    def _fit(self, horizon, steps):
        def fit(part):
            exact = part._exact(horizon)
            if exact is not None and whole(exact) > steps:
                raise Refused(f"{part} lasts {whole(exact)} steps, longer than the {steps} there are for {self}")
            return part._fit(horizon, steps if exact is None else whole(exact))

        return self.replace(parts=tuple(map(fit, self.parts)))

    def _marks(self, begin, k):
        marks = {mark for part in self.parts for mark in part._marks(begin, k)}
        return iter(sorted((mark for mark in marks if mark[1] < mark[2]), key=lambda mark: mark[1:]))

    def _written(self):
        level = _POINTWISE[self.operator]
        if level == ATOM:
            return f"{self.operator}({', '.join(map(repr, self.parts))})", ATOM
        first, *rest = self.parts
        texts = [first._enclosed(level), *(part._enclosed(level + 1) for part in rest)]
        return f" {self.operator} ".join(texts), level

    def _ends_at_zero(self):
        zeros = [part._ends_at_zero() for part in self.parts]
        return any(zeros) if self.operator in ("*", "minimum") else all(zeros)

    def _claims(self):
        return next((claim for part in self.parts if (claim := part._claims())), None)


class Repeat(Schedule):
    """`times` cycles of a schedule; cycle i lasts stretch**i as long and is shrink**i as high (SGDR, section 3)."""

    schedule: Schedule
    times: int = structural()
    _: KW_ONLY
    stretch: int = structural(1)
    shrink: Any = 1.0

    def _at(self, t, k, xp):
        cycle, start, stretch = self._cycle(t, self.schedule._length(k), xp)
        # the logarithm of a known number is taken in float64: in float32, 0.9999 alone is rounded, and then to a power
        known = isinstance(self.shrink, float)
        height = xp.exp(cycle * math.log(self.shrink)) if known else self.shrink**cycle
        return height * self.schedule._at(t - start, k * stretch, xp)

    def _cycle(self, t, steps, xp):
        """Which cycle step t lies in, where that began, and how far time is stretched there."""
        if self.stretch == 1:
            cycle = xp.minimum(t // xp.maximum(steps, 1), self.times - 1)
            return cycle, cycle * steps, 1
        cycle, start, stretch = 0, 0, 1
        for i in range(1, self.times):
            length = self.stretch ** (i - 1)
            begun = t - start >= steps * length
            later = begun if i == 1 else begun & (cycle == i - 1)
            cycle = xp.where(later, i, cycle)
            start = xp.where(later, start + steps * length, start)
            stretch = xp.where(later, length * self.stretch, stretch)
        return cycle, start, stretch

    @property
    def _cycles(self) -> int:
        """The length of all cycles in units of the first."""
        return self.times if self.stretch == 1 else (self.stretch**self.times - 1) // (self.stretch - 1)

    def _length(self, k):
        return self.schedule._length(k) * self._cycles

    def _exact(self, horizon):
        exact = self.schedule._exact(horizon)
        return None if exact is None else Fraction(whole(exact) * self._cycles)

    def _fit(self, horizon, steps):
        if steps < self._cycles and self._claims():
            raise Refused(
                f"{self} has no room: {steps} steps cannot hold its cycles; ask for fewer times or more steps"
            )
        each, rest = divmod(steps, self._cycles)
        cycles = self.replace(schedule=self.schedule._fit(horizon, each))
        return cycles if not rest or self._ends_at_zero() else then(cycles, Stable(rest))  # the end stays the end

    def _marks(self, begin, k):
        for i in range(self.times):
            yield from self.schedule._marks(begin, k * self.stretch**i)
            begin += self.schedule._length(k * self.stretch**i)

    def _written(self):
        return call("repeat", self), ATOM

    def _ends_at_zero(self):
        return self.schedule._ends_at_zero()

    def _claims(self):
        return repr(self) if self.schedule._claims() else None


def then(first: Schedule, second: Schedule) -> Schedule:
    """`first >> second`, flattened, with a factor in front of it all."""
    if not isinstance(second, Schedule):
        raise Refused(f"{first} >> {second!r}: what follows must be a schedule; to hold a level write >> stable()")
    if isinstance(first, Scale):  # k * a >> b == k * (a >> b)
        return Scale(first.peak, then(first.shape, second))
    if first._ends_at_zero():
        raise Refused(
            f"{first} ends at zero, so {second} after it would stay at zero; let it end higher, decay(to=0.1), or "
            f"begin again with repeat(...)"
        )
    if first._claims() and second._claims():
        raise Refused(
            f"{first._claims()} and {second._claims()} both claim the rest of the run; "
            f"give one of them a duration, such as '20%'"
        )
    return Then((*_flat(first), *_flat(second)))


def _flat(schedule: Schedule) -> tuple[Schedule, ...]:
    if isinstance(schedule, Then):
        return schedule.parts
    if isinstance(schedule, Scale) and isinstance(schedule.shape, Then):
        first, *rest = schedule.shape.parts
        return (Scale(schedule.peak, first), *rest)
    return (schedule,)


def multiply(left: Any, right: Any) -> Schedule:
    """`left * right`: a schedule by a positive number or array, or two schedules step by step."""
    if isinstance(left, Schedule) and isinstance(right, Schedule):
        return pointwise("*", left, right)
    schedule, factor = (left, right) if isinstance(left, Schedule) else (right, left)
    factor = _positive(factor, schedule)
    if isinstance(schedule, Scale):
        return Scale(factor * schedule.peak, schedule.shape)
    return Scale(factor, schedule)


def pointwise(operator: str, left: Any, right: Any) -> Schedule:
    """Two schedules, or a schedule and a number, combined step by step."""

    def lifted(value):
        return value if isinstance(value, Schedule) else multiply(value, Then(()))

    if not isinstance(left, Schedule) and not isinstance(right, Schedule):
        raise Refused(f"{operator}({left!r}, {right!r}) holds no schedule; write {operator}(schedule, {right!r})")
    parts = (lifted(left), lifted(right))
    if operator in "*+":
        parts = (*_operands(parts[0], operator), *_operands(parts[1], operator))
    return Pointwise(operator, parts)


def _operands(part: Schedule, operator: str) -> tuple[Schedule, ...]:
    return part.parts if isinstance(part, Pointwise) and part.operator == operator else (part,)


def _positive(factor: Any, schedule: Schedule) -> Any:
    """A factor checked where it is known, and a Python float where it is a single number."""
    beside = f"{written(factor)} next to {schedule if schedule._written()[0] else 'a schedule'}"
    if not isinstance(factor, int | float | list | tuple | np.ndarray | np.generic | jax.Array) or isinstance(
        factor, bool
    ):
        raise Refused(f"{beside}: a schedule is combined with numbers and other schedules")
    return number(factor, f"{beside}: a rate is positive and finite; write, for example, 3e-4", positive=True)
