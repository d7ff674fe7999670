"""Schedules as data: words, operators and one notation. This package needs JAX and nothing else of lrlab's task code."""

from lrlab.schedule.core import Mark, Schedule
from lrlab.schedule.curve import Curve, cosine, geometric, linear, power, sqrt
from lrlab.schedule.notation import from_json, parse
from lrlab.schedule.time import Duration, Horizon
from lrlab.schedule.words import decay, maximum, minimum, ramp, repeat, rsqrt, stable, table, warmup

__all__ = [
    "Curve", "Duration", "Horizon", "Mark", "Schedule",
    "cosine", "geometric", "linear", "power", "sqrt",
    "decay", "maximum", "minimum", "ramp", "repeat", "rsqrt", "stable", "table", "warmup",
    "from_json", "parse",
]  # fmt: skip
