"""`lrlab design`: the schedule whose predicted final loss is least, beside cosine and WSD."""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from lrlab.cli import option
from lrlab.refusal import Refused


def add(commands: Any) -> None:
    """The command and its options."""
    design = option.command(commands, "design", _design, "find the schedule with the least predicted final loss")
    by = design.add_mutually_exclusive_group(required=True)
    by.add_argument(
        "--law", type=Path, metavar="FIT", help="a fitted law: a file that `lrlab forecast --save FIT` wrote"
    )
    by.add_argument("--bound", action="store_true", help="the last-iterate bound, which needs no runs")
    design.add_argument("--steps", type=int, required=True, metavar="N", help="length of the run")
    design.add_argument("--warmup", type=int, default=0, metavar="N", help="steps of linear warm-up (default: none)")
    design.add_argument(
        "--peak",
        type=float,
        metavar="RATE",
        help="(default: the highest that was fitted; with --bound each schedule's best)",
    )
    design.add_argument("--plot", type=Path, metavar="FILE", help="draw the schedules into FILE (.png, .svg or .pdf)")
    option.json_document(design)


def _design(options: argparse.Namespace) -> int:
    import numpy as np

    from lrlab.theory import design_by_bound, design_by_law

    if options.plot is not None:
        from lrlab.report import check_suffix

        check_suffix(options.plot)
    fitted = None if options.bound else _fitted(options.law)
    found = (
        design_by_bound(options.steps, options.peak, options.warmup)
        if fitted is None
        else design_by_law(fitted, options.steps, options.peak, options.warmup)
    )
    t = np.arange(options.steps)
    rates = {
        "designed": found.table,
        **{name: _values(getattr(found, name), options.steps)(t) for name in ("simple", "cosine", "wsd")},
    }
    document = {"schedule": repr(found.simple), "steps": options.steps, **_predicted(fitted, rates)}
    if options.plot is not None:
        from lrlab.report import plot_design

        plot_design(document, rates, options.plot)
        print(f"drawn into {options.plot}", file=sys.stderr)
    if options.json:
        return option.print_json({**document, "table": found.table.tolist()})
    _print(document, found)
    return 0


def _fitted(path: Path) -> Any:
    from lrlab.record import read_json
    from lrlab.theory import Fitted, Score, law

    document = read_json(path)
    try:
        fitted = Fitted(**{**document["fitted"], "score": Score(**document["fitted"]["score"])})
        if set(fitted.parameters) != set(law(fitted.law).letters):
            raise KeyError(fitted.law)
        return fitted
    except (KeyError, TypeError):
        raise Refused(f"{path} holds no fitted law; write `lrlab forecast --fit ... --save {path}` first") from None


def _values(schedule: Any, steps: int) -> Any:
    from lrlab.schedule import Horizon

    return schedule.resolve(Horizon(steps))


def _predicted(fitted: Any, rates: Any) -> dict[str, Any]:
    """What is predicted of each schedule, the interval of the design, and its gain over cosine and WSD."""
    from lrlab.theory import final_bound

    if fitted is None:
        losses = {name: float(final_bound(values)) for name, values in rates.items()}
        gain = {name: _gain(losses[name] - losses["designed"], 0.0) for name in ("cosine", "wsd")}
        return {
            "by": "bound",
            "predicted": losses,
            "low": losses["designed"],
            "high": losses["designed"],
            "gain": gain,
            "doubts": [],
        }
    at = [len(rates["designed"])]
    losses = {name: float(fitted.loss(values, at)[0]) for name, values in rates.items()}
    resampled = {name: fitted.resampled(values, at)[:, 0] for name, values in rates.items()}
    low, high = (float(end[0]) for end in fitted.interval(rates["designed"], at))
    gain = {
        name: _gain(
            losses[name] - losses["designed"],
            1.96 * math.hypot((resampled[name] - resampled["designed"]).std(), 2**0.5 * fitted.spread * losses[name]),
        )
        for name in ("cosine", "wsd")
    }
    return {
        "by": fitted.law,
        "predicted": losses,
        "low": low,
        "high": high,
        "gain": gain,
        "doubts": fitted.doubts(rates["designed"]),
    }


def _gain(mean: float, width: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - width, "high": mean + width}


def _print(document: Any, found: Any) -> None:
    losses = document["predicted"]
    what = "bound" if document["by"] == "bound" else "final loss"
    print(
        f"{document['schedule']}\n    {what} {losses['simple']:.4f} by {document['by']}; the table it is near to {losses['designed']:.4f}",
        end="",
    )
    print(f", 95 % interval [{document['low']:.4f}, {document['high']:.4f}]" if document["by"] != "bound" else "")
    for name in ("cosine", "wsd"):
        gain = document["gain"][name]
        interval = f" [{gain['low']:.4f}, {gain['high']:.4f}]" if gain["high"] > gain["low"] else ""
        print(f"    {gain['mean']:.4f}{interval} under {name}'s {losses[name]:.4f}: {getattr(found, name)}")
    for doubt in document["doubts"]:
        print(f"    do not trust it: {doubt}")
    print(
        f"    to train with it: lrlab run EXPERIMENT --arm ARM --set steps={document['steps']} --set 'schedule={document['schedule']}'"
    )
