"""Schedules as data: words, operators and one notation. This package needs JAX and nothing else of lrlab's task code."""

from lrlab.schedule import compat, named
from lrlab.schedule.core import Mark, Schedule
from lrlab.schedule.curve import (
    Curve,
    cosine,
    exponential,
    geometric,
    linear,
    logarithmic,
    polynomial,
    power,
    rex,
    span,
    sqrt,
    tanh,
)
from lrlab.schedule.lint import Finding, lint
from lrlab.schedule.notation import from_json, parse
from lrlab.schedule.time import Duration, Horizon
from lrlab.schedule.words import (
    decay,
    inverse_time,
    join,
    maximum,
    minimum,
    off,
    ramp,
    repeat,
    rsqrt,
    shift,
    stable,
    stairs,
    table,
    warmup,
)

__all__ = [
    "Curve", "Duration", "Finding", "Horizon", "Mark", "Schedule",
    "cosine", "exponential", "geometric", "linear", "logarithmic", "polynomial", "power", "rex", "span", "sqrt", "tanh",
    "decay", "inverse_time", "join", "maximum", "minimum", "off", "ramp", "repeat", "rsqrt", "shift", "stable", "stairs",
    "table", "warmup",
    "compat", "from_json", "lint", "named", "parse",
]  # fmt: skip
