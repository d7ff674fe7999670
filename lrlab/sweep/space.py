"""What a sweep varies: each axis a path into the experiment and the values, or the range, that it takes there."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from lrlab.optim import WORDS
from lrlab.override import assignment
from lrlab.refusal import Refused
from lrlab.schedule.notation import read


class Range(NamedTuple):
    """Numbers between two, drawn evenly or, with `log`, evenly in their logarithm."""

    low: float
    high: float
    log: bool

    def draw(self, generator: np.random.Generator) -> float:
        low, high = np.log([self.low, self.high]) if self.log else (self.low, self.high)
        value = generator.uniform(low, high)
        return float(np.exp(value) if self.log else value)

    def at_edge(self, value: float) -> bool:
        """Whether a value lies in the first or the last twentieth."""
        low, high, value = np.log([self.low, self.high, value]) if self.log else (self.low, self.high, value)
        return not low + 0.05 * (high - low) <= value <= high - 0.05 * (high - low)


class Axis(NamedTuple):
    """A path into the experiment and what it takes: values, or a range to search."""

    path: str
    takes: tuple[Any, ...] | Range


def axis(text: str) -> Axis:
    """An axis as it is typed: values, a spacing, or a range for a search.

    >>> axis("schedule.peak=geomspace(1e-4, 1e-2, 3)")
    Axis(path='schedule.peak', takes=(0.0001, 0.001, 0.01))
    >>> axis("warmup=0%, 5%, 100")
    Axis(path='warmup', takes=('0%', '5%', '100'))
    >>> axis("optimizer.b2=uniform(0.9, 0.999)").takes
    Range(low=0.9, high=0.999, log=False)

    Raises `Refused` for fewer than two values, or a range that is none.
    """
    path, given = assignment(text)
    takes = _takes(given, text)
    if isinstance(takes, Range):
        return Axis(path, takes)
    if len(takes) < 2:
        raise Refused(
            f"--vary {text}: {len(takes) or 'no'} value{'s' * (len(takes) != 1)}; a sweep needs two or more, such as "
            f"{path}=geomspace(1e-4, 1e-1, 16), and --set changes one"
        )
    if twice := [one for one in takes if takes.count(one) > 1]:
        raise Refused(f"--vary {text}: {twice[0]} stands there twice; a run would be trained twice")
    return Axis(path, tuple(takes))


def grid(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """Every combination of the axes' values. Raises `Refused` for a range, which has no end of them."""
    for one in axes:
        if isinstance(one.takes, Range):
            raise Refused(
                f"--vary {one.path}: a grid needs values, such as geomspace(1e-4, 1e-1, 16); to draw from a range write "
                "--search random --trials 32"
            )
    for values in product(*(one.takes for one in axes)):
        yield dict(zip((one.path for one in axes), values))


def draws(axes: Sequence[Axis], trials: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Random combinations, the same for a seed (Bergstra & Bengio 2012)."""
    generator = np.random.default_rng(seed)
    for _ in range(trials):
        yield {
            one.path: one.takes.draw(generator)
            if isinstance(one.takes, Range)
            else one.takes[int(generator.integers(len(one.takes)))]
            for one in axes
        }


def told(vary: Mapping[str, Any]) -> str:
    """A combination in words, short.

    >>> told({"schedule.peak": 0.00316227766, "warmup": "5%"})
    'schedule.peak=0.003162 warmup=5%'
    """
    return " ".join(
        f"{path}={value:.4g}" if isinstance(value, float) else f"{path}={value}" for path, value in vary.items()
    )


def _takes(given: str, text: str) -> Any:
    try:
        takes = read(given, {**WORDS, **_SPACES})
    except Refused:
        parts = [part.strip() for part in given.split(",")]
        if any(character in given for character in "()[]'\""):
            raise
        return [part for part in parts if part]  # words of the path's own type: 5%, bfloat16, none
    return takes if isinstance(takes, list | Range) else [takes]


def _spacing(name: str, space: Any) -> Any:
    def spaced(low: float, high: float, count: int) -> list[float]:
        _numbers(name, low, high, positive=name == "geomspace")
        if not isinstance(count, int) or count < 1:
            raise Refused(f"{name}({low}, {high}, {count}): the last number is how many values, at least 2")
        return [float(f"{value:.12g}") for value in space(low, high, count)]

    return spaced


def _range(name: str, log: bool) -> Any:
    def between(low: float, high: float) -> Range:
        _numbers(name, low, high, positive=log)
        if not low < high:
            raise Refused(f"{name}({low}, {high}): the first number is the lower one")
        return Range(float(low), float(high), log)

    return between


def _numbers(name: str, low: Any, high: Any, positive: bool) -> None:
    for value in (low, high):
        if not isinstance(value, int | float) or not np.isfinite(value) or positive and value <= 0:
            raise Refused(f"{name}({low}, {high}): both ends are {'positive ' * positive}numbers")


_SPACES = {
    "geomspace": _spacing("geomspace", np.geomspace),
    "linspace": _spacing("linspace", np.linspace),
    "uniform": _range("uniform", log=False),
    "loguniform": _range("loguniform", log=True),
}
