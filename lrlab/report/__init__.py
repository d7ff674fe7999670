"""Pictures and tables of schedules, studies and sweeps, made from what was recorded."""

from lrlab.report.branch import plot_branches, print_branches, read_branches
from lrlab.report.finder import plot_range_test, print_range_test
from lrlab.report.gallery import plot_gallery, plot_words
from lrlab.report.page import Reproduced, write_page
from lrlab.report.picture import plot_schedules
from lrlab.report.sample import Sampled, sample, short
from lrlab.report.study import draw_losses, held_out_losses, plot_study, print_study, read_study
from lrlab.report.style import check_suffix
from lrlab.report.sweep import plot_sweep, print_sweep, read_sweep
from lrlab.report.terminal import letter, print_schedules, sparkline
from lrlab.report.theory import plot_bound, plot_design, plot_forecast

__all__ = [
    "check_suffix",
    "draw_losses",
    "held_out_losses",
    "letter",
    "plot_bound",
    "plot_branches",
    "plot_design",
    "plot_forecast",
    "plot_gallery",
    "plot_range_test",
    "plot_schedules",
    "plot_study",
    "plot_sweep",
    "plot_words",
    "print_range_test",
    "print_branches",
    "print_schedules",
    "print_study",
    "print_sweep",
    "read_branches",
    "read_study",
    "read_sweep",
    "sample",
    "short",
    "Reproduced",
    "Sampled",
    "sparkline",
    "write_page",
]
