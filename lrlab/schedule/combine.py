"""Schedules made from schedules: a factor, one after another, and step by step."""

import operator
from collections.abc import Iterable
from fractions import Fraction
from functools import reduce
from itertools import accumulate, pairwise
from typing import Any

import jax
import numpy as np

from lrlab.refusal import Refused
from lrlab.schedule.core import ATOM, PRODUCT, SEQUENCE, SUM, Schedule, few
from lrlab.schedule.number import number
from lrlab.schedule.time import longest, whole
from lrlab.schedule.write import written


class Scale(Schedule):
    """`peak` times a schedule."""

    peak: Any
    shape: Schedule

    def _at(self, t, phase, xp):
        return self.peak * self.shape._at(t, phase, xp)

    def _length(self, k):
        return self.shape._length(k)

    def _exact(self, horizon):
        return self.shape._exact(horizon)

    def _fit(self, horizon, steps):
        return self.replace(shape=self.shape._fit(horizon, steps))

    def _fit_between(self, horizon, begin, end):
        return self.replace(shape=self.shape._fit_between(horizon, begin, end))

    def _marks(self, begin, k):
        return self.shape._marks(begin, k)

    def _written(self):
        if isinstance(self.shape, Then) and not self.shape.parts:
            return written(self.peak), ATOM  # a number among schedules: warmup(10) + 1e-5
        first, *rest = Then._flat(self.shape)  # 2 * a >> b reads back as 2 * (a >> b): they are equal
        text = " >> ".join([f"{written(self.peak)} * {first._enclosed(ATOM)}", *(part._enclosed(SUM) for part in rest)])
        return text, SEQUENCE if rest else PRODUCT

    def _ends_at_zero(self):
        return self.shape._ends_at_zero()

    def _claims(self):
        return self.shape._claims()


class Sequence(Schedule):
    """Schedules one after another."""

    parts: tuple[Schedule, ...]

    def _length(self, k):
        return sum(part._length(k) for part in self.parts)

    def _exact(self, horizon):
        lengths = [part._exact(horizon) for part in self.parts]
        return None if None in lengths else sum(filter(None, lengths), Fraction(0))

    def _fit(self, horizon, steps):
        return self._fit_between(horizon, Fraction(0), Fraction(steps))

    def _fit_between(self, horizon, begin, end):
        lengths = [part._exact(horizon) for part in self.parts]
        rest = end - begin - sum((length for length in lengths if length is not None), Fraction(0))
        if None in lengths and rest < 0:
            raise Refused(
                f"the parts of {self} before and after {self._claims()} last {whole(end - begin - rest)} steps, longer "
                f"than the run of {whole(end - begin)}; shorten one of them"
            )
        # edges are rounded, not lengths: nothing is lost on the way
        edges = pairwise(accumulate((rest if length is None else length for length in lengths), initial=begin))
        return self._of([part._fit_between(horizon, *edge) for part, edge in zip(self.parts, edges, strict=True)])

    def _marks(self, begin, k):
        for part in self.parts:
            yield from part._marks(begin, k)
            begin += part._length(k)

    def _claims(self):
        return next((claim for part in self.parts if (claim := part._claims())), None)

    @classmethod
    def _of(cls, parts: Iterable[Schedule]) -> "Schedule":
        """A sequence of parts, of which those that are such sequences themselves are taken apart."""
        return cls(tuple(flat for part in parts for flat in cls._flat(part)))

    @classmethod
    def _flat(cls, part: Schedule) -> tuple[Schedule, ...]:
        return part.parts if isinstance(part, cls) else (part,)


class Then(Sequence):
    """Each from the level where the one before ended."""

    parts: tuple[Schedule, ...]

    def _at(self, t, phase, xp):
        level = xp.where(t >= 0, 1.0, 1.0)
        for i, part in enumerate(self.parts):
            level = level * xp.where(t >= 0, part._at(xp.maximum(t, 0), phase, xp), 1.0)
            if i + 1 < len(self.parts):
                steps = part._length(1)
                t = xp.where(t >= steps, t - steps, -1)  # -1: the next part has not begun
        return level

    def _written(self):
        return " >> ".join(part._enclosed(SUM) for part in self.parts), SEQUENCE

    def _ends_at_zero(self):
        return bool(self.parts) and self.parts[-1]._ends_at_zero()

    @classmethod
    def _flat(cls, part):
        if isinstance(part, Scale) and isinstance(part.shape, cls):  # a >> k * (b >> c) == a >> k * b >> c
            first, *rest = part.shape.parts
            return (Scale(part.peak, first), *rest)
        return super()._flat(part)


class Join(Sequence):
    """Each at its own level, whatever the one before ended with."""

    parts: tuple[Schedule, ...]

    def _at(self, t, phase, xp):
        first, *others = self.parts
        value = first._at(t, phase, xp)
        for before, part in zip(self.parts, others):
            steps = before._length(1)
            t = xp.where(t >= steps, t - steps, -1)  # -1: this part has not begun
            value = xp.where(t >= 0, part._at(xp.maximum(t, 0), phase, xp), value)
        return value

    def _written(self):
        return f"join({', '.join(map(repr, self.parts))})", ATOM

    def _ends_at_zero(self):
        return self.parts[-1]._ends_at_zero()


_RATE = "a rate is positive and finite in float32, from 1.18e-38 to 3.4e38; write, for example, 3e-4"
_POINTWISE = {"*": PRODUCT, "+": SUM, "minimum": ATOM, "maximum": ATOM}


class Pointwise(Schedule):
    """Schedules combined step by step; it lasts as long as the longest."""

    operator: str
    parts: tuple[Schedule, ...]

    def _at(self, t, phase, xp):
        operation = {"*": operator.mul, "+": operator.add}.get(self.operator) or getattr(xp, self.operator)
        return reduce(operation, (part._at(t, phase, xp) for part in self.parts))

    def _length(self, k):
        return longest(*(part._length(k) for part in self.parts))

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
        marks = set(few(mark for part in self.parts for mark in part._marks(begin, k)))
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


def then(first: Schedule, second: Schedule) -> Schedule:
    """`first >> second`, flattened, with a factor in front of it all."""
    if not isinstance(second, Schedule):
        raise Refused(f"{first} >> {second!r}: what follows must be a schedule; to hold a level write >> stable()")
    if isinstance(first, Scale):  # k * a >> b == k * (a >> b)
        return Scale(first.peak, then(first.shape, second))
    if first._ends_at_zero():
        raise Refused(
            f"{first} ends at zero, so {second} after it would stay at zero; let it end higher, decay(to=0.1), begin "
            f"again with repeat(...), or give each its own level with join(..., ...)"
        )
    one_rest(first, second)
    return Then._of((first, second))


def one_rest(*schedules: Schedule) -> None:
    """Refuse schedules of which two take the rest of the run."""
    claims = [claim for schedule in schedules if (claim := schedule._claims())]
    if len(claims) > 1:
        raise Refused(
            f"{claims[0]} and {claims[1]} both claim the rest of the run; give one of them a duration, such as '20%'"
        )


def multiply(left: Any, right: Any) -> Schedule:
    """`left * right`: a schedule by a positive number or array, or two schedules step by step."""
    if isinstance(left, Schedule) and isinstance(right, Schedule):
        return pointwise("*", left, right)
    schedule, factor = (left, right) if isinstance(left, Schedule) else (right, left)
    factor = _positive(factor, schedule)
    if isinstance(schedule, Scale):
        return Scale(_positive(factor * schedule.peak, schedule.shape), schedule.shape)
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
    if operator == "*" and isinstance(part, Scale) and isinstance(part.shape, Pointwise) and part.shape.operator == "*":
        first, *others = part.shape.parts  # k * (a * b) * c == k * a * b * c: a long product nests no deeper
        return (multiply(part.peak, first), *others)
    return part.parts if isinstance(part, Pointwise) and part.operator == operator else (part,)


def _positive(factor: Any, schedule: Schedule) -> Any:
    """A factor checked where it is known, and a Python float where it is a single number."""
    why = "a schedule is combined with numbers and other schedules"
    if isinstance(factor, int | float | list | tuple | np.ndarray | np.generic | jax.Array) and not isinstance(
        factor, bool
    ):
        try:
            return number(factor, _RATE, positive=True)
        except Refused as refused:
            why = str(refused)
    raise Refused(f"{written(factor)} next to {schedule._written()[0] or 'a schedule'}: {why}")
