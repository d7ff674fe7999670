"""`lrlab forecast`: a loss law fitted to curves, and what it says of others."""

import argparse
import sys
from pathlib import Path
from typing import Any

from lrlab.cli import option
from lrlab.refusal import Refused

_SHOWN = 200  # points of a forecast under a schedule


def add(commands: Any) -> None:
    """The command and its options."""
    forecast = option.command(commands, "forecast", _forecast, "fit a loss law to curves and predict others")
    forecast.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="folders of `lrlab run` to fit to")
    forecast.add_argument(
        "--fit", nargs="+", type=Path, default=[], metavar="FILE", help="CSV files of step,lr,loss to fit to"
    )
    forecast.add_argument(
        "--law", default="mpl", metavar="LAW", help="mpl, tissue, power, chinchilla, bjorck or bound (default: mpl)"
    )
    forecast.add_argument(
        "--predict",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="CSV files of step,lr, or with loss to be scored against; or folders",
    )
    forecast.add_argument(
        "--schedule", action="append", default=[], metavar="S", help="predict under this schedule (may be repeated)"
    )
    forecast.add_argument(
        "--steps", type=int, metavar="N", help="length of the run under it (default: its own, else 1000)"
    )
    forecast.add_argument(
        "--warmup",
        type=int,
        metavar="N",
        help="steps of linear warm-up before the first row of each file (default: all steps before it)",
    )
    forecast.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw law and curves into FILE (.png, .svg or .pdf)"
    )
    forecast.add_argument(
        "--save", type=Path, metavar="FIT", help="write the document of --json into FIT, for `lrlab design --law FIT`"
    )
    option.json_document(forecast)


def _forecast(options: argparse.Namespace) -> int:
    if options.plot is not None:
        from lrlab.report import check_suffix

        check_suffix(options.plot)
    from lrlab.curves import diverged, read_all
    from lrlab.theory import fit, law

    law(options.law)
    if not options.runs and not options.fit:
        raise Refused("there is nothing to fit to; name folders of `lrlab run`, or CSV files: --fit A.csv B.csv")
    given = read_all([*options.runs, *options.fit], options.warmup)
    for folder in (folder for path in options.runs for folder in diverged(path)):
        print(f"lrlab: {folder} diverged and is left out", file=sys.stderr)
    fitted = fit(options.law, [curve.observed() for curve in given])
    forecasts = [_of(fitted, curve) for curve in [*read_all(options.predict, options.warmup), *_scheduled(options)]]
    if options.plot is not None:
        from lrlab.report import plot_forecast

        plot_forecast(fitted, [_of(fitted, curve) for curve in given], forecasts, options.plot)
        print(f"drawn into {options.plot}", file=sys.stderr)
    about = {"r2": fitted.score.r2, "mae": fitted.score.mae, "of": [curve.name for curve in given]}
    document = {
        "law": fitted.law,
        "parameters": fitted.parameters,
        "fit": about,
        "forecast": forecasts,
        "fitted": {**fitted._asdict(), "score": fitted.score._asdict()},
    }
    if options.save is not None:
        from lrlab.record import write_json

        write_json(options.save, document)
    if options.json:
        return option.print_json(document)
    _print(fitted, given, forecasts)
    return 0


def _scheduled(options: argparse.Namespace) -> list[Any]:
    import numpy as np

    from lrlab.curves import Curve
    from lrlab.schedule import Horizon, parse

    curves = []
    for text in options.schedule:
        schedule = parse(text)
        steps = option.own_length(schedule) if options.steps is None else options.steps
        run = option.drawable(schedule.resolve(Horizon(steps)), steps)
        at = np.unique(np.linspace(max(steps // 100, 1), steps, _SHOWN).round().astype(int))
        curves.append(Curve(text, run(np.arange(steps)).astype(np.float64), at, None))
    return curves


def _of(fitted: Any, curve: Any) -> dict[str, Any]:
    import numpy as np

    from lrlab.theory import score, warmed_up

    if not curve.rates.any():
        raise Refused(f"the rates of {curve.name} are all zero, and nothing is learnt at a rate of zero")
    begun = curve.at > np.argmax(curve.rates > 0)  # before that no law knows a loss
    curve = curve._replace(at=curve.at[begun], loss=None if curve.loss is None else curve.loss[begun])
    loss, (low, high) = fitted.loss(curve.rates, curve.at), fitted.interval(curve.rates, curve.at)
    lists = {"step": curve.at, "lr": curve.rates[curve.at - 1], "loss": loss, "low": low, "high": high}
    measured = {}
    if curve.loss is not None:
        after = curve.at >= min(warmed_up(curve.rates), curve.at[-1])
        measured = {"measured": curve.loss.tolist(), "score": score(curve.loss[after], loss[after])._asdict()}
    return {
        "of": curve.name,
        **{name: values.tolist() for name, values in lists.items()},
        **measured,
        "doubts": fitted.doubts(curve.rates),
    }


def _print(fitted: Any, given: Any, forecasts: Any) -> None:
    from lrlab.theory import law

    letters = ", ".join(f"{name} = {value:.4g}" for name, value in fitted.parameters.items())
    print(f"{fitted.law}: {law(fitted.law).reference}\n    {letters}")
    print(
        f"    fitted to {', '.join(curve.name for curve in given)}: R2 {fitted.score.r2:.5f}, mean error {fitted.score.mae:.4f}"
    )
    general = fitted.doubts()
    for doubt in general:
        print(f"    do not trust it: {doubt}")
    for forecast in forecasts:
        final = f"{forecast['loss'][-1]:.4f}, 95 % interval [{forecast['low'][-1]:.4f}, {forecast['high'][-1]:.4f}]"
        print(f"\n{forecast['of']}\n    final loss after {forecast['step'][-1]} updates: {final}")
        if "score" in forecast:
            score = forecast["score"]
            print(
                f"    measured {forecast['measured'][-1]:.4f}; R2 {score['r2']:.5f}, mean error {score['mae']:.4f}, final error {score['final_error']:+.4f}"
            )
        for doubt in forecast["doubts"]:
            if doubt not in general:
                print(f"    do not trust it: {doubt}")
