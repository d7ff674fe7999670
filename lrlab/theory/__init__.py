"""What can be said of a schedule before training: bounds of convex optimisation, fitted loss laws, designs, rules of thumb."""

from lrlab.theory.designing import Design, design_by_bound, design_by_law, simplified
from lrlab.theory.fitting import Fitted, Observed, Score, fit, score, warmed_up
from lrlab.theory.last_iterate import BestPeak, best_peak, bound, final_bound
from lrlab.theory.laws import LAWS, Law, law
from lrlab.theory.quadratic import expected_loss
from lrlab.theory.refinement import refined
from lrlab.theory.rules import (
    AdamScaled,
    Rule,
    adam_warmup,
    decay_timescale,
    edge_of_stability,
    horizon_scaling,
    linear_scaling,
    root_scaling,
    rules,
    width_scaling,
)
from lrlab.theory.transfer import best_cooldown, continued, cooled, transferred

__all__ = [
    "BestPeak", "best_peak", "bound", "final_bound",
    "best_cooldown", "continued", "cooled", "transferred",
    "expected_loss", "refined",
    "LAWS", "Law", "law", "Fitted", "Observed", "Score", "fit", "score", "warmed_up",
    "Design", "design_by_bound", "design_by_law", "simplified",
    "AdamScaled", "Rule", "adam_warmup", "decay_timescale", "edge_of_stability", "horizon_scaling", "linear_scaling",
    "root_scaling", "rules", "width_scaling",
]  # fmt: skip
