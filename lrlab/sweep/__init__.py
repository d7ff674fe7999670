"""Sweeps: one experiment at many values of its numbers and shapes, trained as populations, and what comes out."""

from lrlab.sweep.basin import Basin, Optimum, Tuned, basin, log_parabola, lowest, sensitivity, tuned
from lrlab.sweep.plan import Sweep, plan, run
from lrlab.sweep.space import Axis, Range, axis

__all__ = [
    "Axis",
    "Basin",
    "Optimum",
    "Range",
    "Sweep",
    "Tuned",
    "axis",
    "basin",
    "log_parabola",
    "lowest",
    "plan",
    "run",
    "sensitivity",
    "tuned",
]
