"""A plot of schedules in characters: braille where it can be printed, ASCII where not, told apart without colour.

plotext was tried instead: its curves are told apart by colour alone, and rates of zero stop its logarithmic axis.
"""

import math
import string
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.text import Text

from lrlab.report.sample import Sampled, Stretch, short
from lrlab.report.style import COLOURS, log_floor

_BARS, _ASCII_BARS = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
_LETTERS = string.ascii_lowercase + string.ascii_uppercase
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # of a braille cell, by row and column
_ASCII = str.maketrans({"┤": "+", "│": "|", "└": "+", "┬": "+", "─": "-", "├": "+", "┼": "+", "·": "."})
_MARGIN = 9  # characters left of the plot


class _Axis(NamedTuple):
    """The rates of a plot: labels by row, the number of rows, and the row of dots (four to a row) of a rate."""

    labels: dict[int, str]
    rows: int
    dots: Callable[[np.ndarray], np.ndarray]


def sparkline(values: np.ndarray, encoding: str = "utf-8", width: int = 60) -> str:
    """A schedule as one line of text.

    >>> sparkline(np.array([0.0, 0.5, 1.0, 0.0]))
    ' ▄█ '
    >>> sparkline(np.array([0.0, 0.5, 1.0, 0.0]), "ascii")
    ' =@ '
    """
    bars = _BARS if _can_print(encoding, _BARS) else _ASCII_BARS
    sampled = np.asarray(values)[np.linspace(0, len(values) - 1, min(width, len(values))).round().astype(int)]
    top = sampled.max() or 1.0
    return "".join(bars[round(float(value / top) * (len(bars) - 1))] for value in sampled)


def letter(i: int, count: int) -> str:
    """What schedule `i` of `count` is called in the plot; a single one needs no name."""
    return _LETTERS[i % len(_LETTERS)] if count > 1 else ""


def print_schedules(curves: Sequence[Sampled], console: Console, *, log: bool = False) -> None:
    """Print a plot of schedules over the longest run; several are lettered, the parts of a single one stand below it.

    On a log axis, rates under its lowest decade (zero among them) lie on the line of that decade, whose label says <.
    """
    steps = max(curve.steps for curve in curves)
    axis = _log_axis(curves) if log else _linear_axis(max(curve.peak for curve in curves))
    columns = max(min(console.width, 100) - _MARGIN, 20)
    braille = _can_print(console.encoding, "⣿┤")
    lines = [Text(f"{'rate':>{_MARGIN - 3}}")]
    for row, cells in enumerate(_canvas(curves, steps, columns, axis, braille)):
        label = axis.labels.get(row, "")
        lines.append(Text(f"{label:>{_MARGIN - 3}} {'┤' if label else '│'} ") + cells)
    lines += [Text(line) for line in _step_axis(steps, columns)]
    if len(curves) == 1:
        lines.append(Text(" " * _MARGIN + _rail(curves[0].stretches, steps, columns)))
    for line in lines:
        line.rstrip()
        if not braille:
            line.plain = line.plain.translate(_ASCII)
        console.print(line, no_wrap=True, overflow="crop")


def _can_print(encoding: str, characters: str) -> bool:
    try:
        characters.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _linear_axis(peak: float) -> _Axis:
    step = _round_step(peak or 1.0, 5)
    intervals = math.ceil((peak or 1.0) / step - 1e-6)
    each = max(12 // intervals, 3)  # rows between two labels
    labels = {each * i: short(step * (intervals - i)) for i in range(intervals + 1)}
    return _Axis(labels, each * intervals + 1, lambda rate: (intervals - rate / step) * each * 4 + 1)


def _log_axis(curves: Sequence[Sampled]) -> _Axis:
    high = math.ceil(math.log10(max(curve.peak for curve in curves) or 1.0) - 1e-6)
    low = min(math.floor(math.log10(log_floor(curves)) + 1e-6), high - 1)
    each = max(12 // (high - low), 1)
    labels = {each * i: short(10.0 ** (high - i)) for i in range(high - low + 1)}
    if any((curve.rate < 10.0**low * (1 - 1e-6)).any() for curve in curves):
        labels[each * (high - low)] = "<" + labels[each * (high - low)]

    def dots(rate: np.ndarray) -> np.ndarray:
        return (high - np.log10(np.maximum(rate, 10.0**low))) * each * 4 + 1

    return _Axis(labels, each * (high - low) + 1, dots)


def _canvas(curves: Sequence[Sampled], steps: int, columns: int, axis: _Axis, braille: bool) -> list[Text]:
    """The curves in `axis.rows` lines of `columns` characters."""
    drawn = np.stack([_drawn(curve, steps, columns, axis) for curve in curves])  # [curves, rows, columns] of dots
    lines = []
    for row in range(axis.rows):
        line = Text()
        for column in range(columns):
            here = np.flatnonzero(drawn[:, row, column])
            if not len(here):
                line.append(" ")
                continue
            named = [i for i in here if _is_lettered(drawn[i], row, column, int(i), len(curves))]
            i = int(named[0] if named else here[column % len(here)])
            if braille and not named:
                line.append(chr(0x2800 + int(np.bitwise_or.reduce(drawn[here, row, column]))), style=_colour(i))
            else:
                line.append(letter(i, len(curves)) or "*", style=_colour(i))
        lines.append(line)
    return lines


def _drawn(curve: Sampled, steps: int, columns: int, axis: _Axis) -> np.ndarray:
    """The dots of a curve, as bits of braille cells, [rows, columns]; the last rate is held for its update."""
    seen = curve.thinned(2 * columns)
    x = np.append(seen.t, curve.steps) / steps * (2 * columns - 1)
    y = axis.dots(np.append(seen.rate, seen.rate[-1]))
    cells = np.zeros((axis.rows, columns), int)
    for i in range(len(x) - 1):
        points = math.ceil(max(abs(x[i + 1] - x[i]), abs(y[i + 1] - y[i]), 1)) + 1
        across = np.linspace(x[i], x[i + 1], points).round().astype(int)
        down = np.linspace(y[i], y[i + 1], points).round().astype(int)
        np.bitwise_or.at(cells, (down // 4, across // 2), _DOTS[down % 4, across % 2])
    return cells


def _is_lettered(cells: np.ndarray, row: int, column: int, i: int, count: int) -> bool:
    """Whether a cell shows its curve's letter: each curve does so in columns of its own, once where it is steep."""
    period = max(24 // count, 4) * count
    if count == 1 or column % period != (2 * i + 1) * period // (2 * count):
        return False
    rows = np.flatnonzero(cells[:, column])
    return row == rows[len(rows) // 2]


def _step_axis(steps: int, columns: int) -> tuple[str, str]:
    """The axis of steps and its labels."""
    line, labels = ["─"] * columns, " " * columns
    each = max(_round_step(steps, max(columns // 12, 2)), 1)
    for i in range(int(steps / each + 1e-6) + 1):
        column = round(each * i / steps * (2 * columns - 1)) // 2
        line[column] = "┬"
        text = _count(round(each * i))
        begin = min(max(column - len(text) // 2, 0), columns - len(text))
        labels = labels[:begin] + text + labels[begin + len(text) :]
    return " " * (_MARGIN - 2) + "└─" + "".join(line), f"{'step':>{_MARGIN - 3}}   " + labels


def _rail(stretches: Sequence[Stretch], steps: int, columns: int) -> str:
    """The parts of a schedule by name, each as long as it lasts; a part too short for its name is a line."""
    rail = ""
    for name, begin, end, _ in stretches:
        begin, end = (t * columns // steps for t in (begin, end))
        name = f" {name} " if end - begin > len(name) + 2 else name if end - begin > len(name) else ""
        rail += f"┼{name:─^{end - begin - 1}}" if end > begin else ""
    return f"├{rail[1:-1]}┤" if rail else ""


def _round_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5, 10, ... that divides a span into at most so many steps."""
    unit = 10.0 ** math.floor(math.log10(span / most))
    return next(unit * factor for factor in (1, 2, 5, 10, 20) if span / (unit * factor) <= most + 1e-6)


def _count(steps: int) -> str:
    """Steps in thousands (from ten of them), millions or billions.

    >>> [_count(500), _count(2500), _count(20_000), _count(1_500_000), _count(2_000_000_000)]
    ['500', '2500', '20k', '1.5M', '2G']
    """
    for least, unit, name in ((10**9, 10**9, "G"), (10**6, 10**6, "M"), (10**4, 10**3, "k")):
        if steps >= least:
            return f"{steps / unit:g}{name}"
    return str(steps)


def _colour(i: int) -> str:
    return COLOURS[i % (len(COLOURS) - 1)]  # not the last, black: the ground may be black
