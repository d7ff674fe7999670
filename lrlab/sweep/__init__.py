"""Sweeps: one experiment at many values of its numbers and shapes, trained as populations, and what comes out."""

from lrlab.sweep.basin import Basin, Optimum, basin, log_parabola, sensitivity
from lrlab.sweep.plan import Sweep, plan, run
from lrlab.sweep.space import Axis, Range, axis

__all__ = [
    "Axis",
    "Basin",
    "Optimum",
    "Range",
    "Sweep",
    "axis",
    "basin",
    "log_parabola",
    "plan",
    "run",
    "sensitivity",
]
