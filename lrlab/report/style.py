"""The look of every picture: colours, dashes, frames, and how a figure is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrlab.refusal import Failed, Refused
from lrlab.report.sample import Sampled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart by colour-blind readers; dashes tell the arms apart without colour
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))


def styles(count: int) -> list[dict[str, Any]]:
    """A colour and a dash for each of `count` lines; no two of the first 49 are alike."""
    dashes = [DASHES[(i + i // len(COLOURS)) % len(DASHES)] for i in range(count)]
    return [{"color": COLOURS[i % len(COLOURS)], "linestyle": dash} for i, dash in enumerate(dashes)]


def log_floor(curves: Sequence[Sampled]) -> float:
    """Where a log axis of rates begins: at the lowest positive rate, but at most four decades under the lowest peak."""
    lowest = min((curve.rate[curve.rate > 0].min() for curve in curves if curve.peak), default=0.1)
    return max(float(lowest), 1e-4 * min((curve.peak for curve in curves if curve.peak), default=1.0))


def bare_figure(width: float, height: float, **kwargs: Any) -> "Figure":
    """A figure of `width` by `height` inches, without a display or global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), **kwargs)
    FigureCanvasAgg(figure)
    return figure


def frames(n_rows: int, n_columns: int, width: float, height: float, heights: Sequence[float] = (1,), **kwargs: Any):
    """A figure of `width` by `height` inches and its axes, [n_rows, n_columns]."""
    figure = bare_figure(width, height, layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False, gridspec_kw={"height_ratios": heights}, **kwargs)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.5)
    return figure, axes


def log_values(axis: "Axes") -> None:
    """A logarithmic axis of what is drawn already: 1, 2 and 5 of each decade are named, of more than two decades 1 alone."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    axis.xaxis.set_major_formatter(lambda value, place: f"{value:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())


def check_suffix(path: Path) -> None:
    """Refuse a file whose name does not end in .png, .svg or .pdf."""
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise Refused(f"cannot draw into '{path}'; end its name in .png, .svg or .pdf")


def save(figure: "Figure", path: Path) -> None:
    """Write a figure in the format of its suffix (png, svg, pdf)."""
    check_suffix(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise Failed(f"cannot write {path}: {error.strerror}; name a file in a folder that you may write to") from None
