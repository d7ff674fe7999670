"""A schedule is a gain over time with a length; `a >> b` plays a, then b from the level where a ended.

    (a >> b)(t) = a(t)                 for t < |a|
                  a(|a|) b(t - |a|)    after

Time is an integer. Segment starts, cycle numbers and remainders are integer arithmetic; only the fraction inside a
segment is a float. The same formulas run on three namespaces `xp`: Python numbers (a value in microseconds), numpy
(float64, for tables and plots) and jax.numpy (float32, inside compiled programs).
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cached_property
from itertools import islice
from types import SimpleNamespace
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from lrlab.node import Node
from lrlab.refusal import Refused
from lrlab.schedule.time import LAST_STEP, Horizon, whole
from lrlab.schedule.write import written

_scalar = SimpleNamespace(
    where=lambda condition, a, b: a if condition else b,
    minimum=min, maximum=max, round=round, sqrt=math.sqrt, exp=math.exp, log=math.log, log1p=math.log1p,
    expm1=math.expm1, asarray=np.asarray,
)  # fmt: skip
_BLOCK = 2**16  # steps evaluated at once on the host: what fits into the cache is three times as fast
_PARTS = 10_000  # parts that are named at most: nobody reads more, and cycles in cycles are billions
WHOLE = (0, 1)  # nothing of a step is gone and all is left; inside a stretched cycle, a step lasts several
SEQUENCE, SUM, PRODUCT, ATOM = range(4)  # how tightly Python binds >>, + and *


class Mark(NamedTuple):
    """A part of a schedule and the steps between which it runs: begin <= t < end."""

    name: str
    begin: int
    end: int


class Schedule(Node, ABC):
    """A learning-rate schedule (or that of any hyperparameter): data, and a pure function of the step.

    `s(t)` is the value used by update number t, counted from 0; before 0 it is `s(0)`, after the end it holds. It is
    an `optax.Schedule`. Two schedules are equal if they are written alike.
    """

    __array_ufunc__ = None  # numpy hands `array * schedule` over to us

    def __call__(self, step: Any) -> Any:
        """The value at `step`, float32.

        Args:
            step: an int, or an integer array of any shape; arrays among the schedule's numbers broadcast with it.
        """
        if isinstance(step, list | tuple | range):
            step = np.asarray(step)
        if isinstance(step, bool) or not (
            isinstance(step, int) or hasattr(step, "dtype") and jnp.issubdtype(step.dtype, jnp.integer)
        ):
            raise Refused(
                f"a schedule is evaluated at whole steps, not at {step!r}; write s(100) or s(np.arange(1000))"
            )
        if isinstance(step, jax.Array) or self._lives_in == "jax":
            return jnp.asarray(self._at(jnp.asarray(_count(step), jnp.int32), WHOLE, jnp)).astype(jnp.float32)
        if self._lives_in == "numpy":
            return np.asarray(self._at(np.asarray(_count(step)), WHOLE, np)).astype(np.float32)[()]
        if np.ndim(step) == 0:
            return np.float32(self._at(int(_count(step)), WHOLE, _scalar))
        return self._over_blocks(np.asarray(step))

    def resolve(self, horizon: Horizon) -> Self:
        """The same schedule with every duration in steps.

        Raises `Refused` if it is longer than the run, or if a unit needs something the horizon lacks.

        >>> import lrlab as lr
        >>> (3e-4 * lr.warmup("2%") >> lr.decay(curve=lr.cosine)).resolve(lr.Horizon(steps=1000))
        3e-4 * warmup(20) >> decay(980, curve=cosine)
        """
        exact = self._exact(horizon)
        steps = horizon.steps if exact is None else whole(exact)
        if steps > horizon.steps:
            raise Refused(
                f"{self} lasts {steps} steps, longer than the run of {horizon.steps}; shorten a part, "
                f"or cut it with table(schedule, steps={horizon.steps})"
            )
        return self._fit(horizon, steps)

    @property
    def length(self) -> Any:
        """How many steps the schedule lasts; afterwards it holds. Raises `Refused` where that is not yet in steps."""
        return self._length(1)

    def marks(self) -> list[Mark]:
        """The parts by name, with the steps where they begin and end.

        Raises `Refused` if there are more than 10 000 of them, or durations that are not yet in steps.

        >>> import lrlab as lr
        >>> (lr.warmup(10) >> lr.decay(90)).marks()
        [Mark(name='warmup', begin=0, end=10), Mark(name='decay', begin=10, end=100)]
        """
        return [Mark(name, int(begin), int(end)) for name, begin, end in few(self._marks(0, 1))]

    def to_json(self) -> str:
        """A JSON object that holds the notation; `from_json` reads it."""
        return json.dumps({"schedule": repr(self)})

    # Operators are sugar for the functions of `combine`, which builds on this module.

    def __rshift__(self, following: "Schedule") -> "Schedule":
        from lrlab.schedule.combine import then

        return then(self, following)

    def __rrshift__(self, other: Any) -> "Schedule":
        raise Refused(
            f"{written(other)} >> {self}: >> joins schedules; to hold a rate write {written(other)} * stable()"
        )

    def __mul__(self, other: Any) -> "Schedule":
        from lrlab.schedule.combine import multiply

        return multiply(self, other)

    def __rmul__(self, other: Any) -> "Schedule":
        from lrlab.schedule.combine import multiply

        return multiply(other, self)

    def __add__(self, other: Any) -> "Schedule":
        from lrlab.schedule.combine import pointwise

        return pointwise("+", self, other)

    def __radd__(self, other: Any) -> "Schedule":
        from lrlab.schedule.combine import pointwise

        return pointwise("+", other, self)

    def __repr__(self) -> str:
        return self._written()[0]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    # What a node defines.

    @abstractmethod
    def _at(self, t: Any, phase: Any, xp: Any) -> Any:
        """The value at step t >= 0, of which the shares `phase` = (gone, left) have passed and are to come; holds beyond
        the end."""

    @abstractmethod
    def _length(self, k: Any) -> Any:
        """Length in steps if every duration lasts k times as long."""

    @abstractmethod
    def _exact(self, horizon: Horizon) -> Fraction | None:
        """Length in steps before rounding; None where the schedule takes the rest of the run."""

    @abstractmethod
    def _fit(self, horizon: Horizon, steps: int) -> Any:
        """The schedule in whole steps: `steps` of them if a part takes the rest of the run, else its own, rounded."""

    def _fit_between(self, horizon: Horizon, begin: Fraction, end: Fraction) -> Any:
        """The schedule in whole steps, begun and ended where they fall before rounding."""
        return self._fit(horizon, whole(end) - whole(begin))

    @abstractmethod
    def _marks(self, begin: int, k: int) -> Iterator[tuple[str, int, int]]:
        """Name, begin and end of each part, begun at step `begin`, every duration k times as long."""

    @abstractmethod
    def _written(self) -> tuple[str, int]:
        """The notation, and how tightly its outermost operator binds."""

    @abstractmethod
    def _ends_at_zero(self) -> bool:
        """Whether it is known to end at zero."""

    @abstractmethod
    def _claims(self) -> str | None:
        """The part that takes the rest of the run, if there is one."""

    @cached_property
    def _lives_in(self) -> str:
        leaves = jax.tree.leaves(self)
        if any(isinstance(leaf, jax.Array) for leaf in leaves):
            return "jax"
        return "python" if all(isinstance(leaf, int | float) for leaf in leaves) else "numpy"

    def _over_blocks(self, steps: np.ndarray) -> np.ndarray:
        values = np.empty(steps.size, np.float32)
        for block in range(0, steps.size, _BLOCK):
            t = _count(steps.reshape(-1)[block : block + _BLOCK])
            values[block : block + _BLOCK] = self._at(t, WHOLE, np)
        return values.reshape(steps.shape)

    def _enclosed(self, level: int) -> str:
        text, own = self._written()
        return text if own >= level else f"({text})"


def few(marks: Iterable[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """The marks as a list, refused before there are too many to hold."""
    named = list(islice(marks, _PARTS + 1))
    if len(named) > _PARTS:
        raise Refused(f"the schedule has more than {_PARTS} parts and cycles, too many to name; repeat fewer times")
    return named


def _count(step: Any) -> Any:
    """Steps of any integer type between 0 and the last step: an int, int64 on the host or int32 of jax."""
    if isinstance(step, int):
        return min(max(step, 0), LAST_STEP)
    xp = jnp if isinstance(step, jax.Array) else np
    last = min(LAST_STEP, int(xp.iinfo(step.dtype).max))
    return xp.clip(step, 0, last).astype(xp.int64 if xp is np else xp.int32)


def is_zero(level: Any) -> bool:
    """Whether a level is known to be zero (a traced one is not known)."""
    return not isinstance(level, Tracer) and bool(np.all(np.asarray(level) == 0))
