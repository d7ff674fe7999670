"""`lrlab show`: schedules or an experiment, without running anything."""

import argparse
import sys
from pathlib import Path
from typing import Any

from lrlab.cli import option

_MOST_VALUES = 2**20  # steps whose every value --json holds; longer runs are thinned
_THINNED = 5000
_MOST_LISTED = 40  # parts; --json has them all


def add(commands: Any) -> None:
    """The command and its options."""
    show = option.command(commands, "show", _show, "print schedules or an experiment, without running anything")
    option.schedules(show)
    show.add_argument("--plot", type=Path, metavar="FILE", help="draw into FILE (.png, .svg or .pdf)")
    show.add_argument("--log", action="store_true", help="a log axis of rates, for the plot in the terminal")
    option.experiment(show)
    option.json_document(show)


def _show(options: argparse.Namespace) -> int:
    if options.plot is not None:
        from lrlab.report import check_suffix

        check_suffix(options.plot)
    return _show_experiment(options) if option.names_experiment(options) else _show_schedules(options)


def _show_schedules(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lrlab.report import letter, print_schedules, sample
    from lrlab.schedule import Horizon, parse

    given = [parse(text) for text in options.what]
    steps = max(map(option.own_length, given)) if options.steps is None else options.steps
    horizon = Horizon(steps, options.batch, options.sequence, options.epoch)
    schedules = [option.drawable(schedule.resolve(horizon), steps) for schedule in given]
    curves = [sample(schedule, steps) for schedule in schedules]
    _plot({repr(schedule): curve for schedule, curve in zip(given, curves)}, options.plot)
    if options.json:
        shown = [_described(schedule, curve) for schedule, curve in zip(schedules, curves)]
        return option.print_json(shown[0] if len(shown) == 1 else shown)
    if options.plot is None:
        print_schedules(curves, Console(), log=options.log)
    for i, (text, schedule, curve) in enumerate(zip(given, schedules, curves)):
        print("\n" + f"{letter(i, len(given))}  {text}".strip())
        _print_schedule(schedule, curve)
    return 0


def _show_experiment(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lrlab.report import sample, sparkline

    encoding = Console().encoding
    study = option.study(options)
    curves = {arm: sample(option.drawable(e.schedule, e.length), e.length) for arm, e in study.arms.items()}
    _plot(curves, options.plot)
    if options.json:
        return option.print_json([
            {"arm": arm, **_described(experiment.schedule, curves[arm]), "digest": experiment.digest, "experiment": experiment.values(), "flops_per_step": experiment.flops_per_step, "groups": [row._asdict() for row in experiment.effective()], "rules": [rule._asdict() for rule in _rules(experiment, curves[arm])]}
            for arm, experiment in study.arms.items()
        ])  # fmt: skip
    print(
        f"{study.name} · preset {study.preset} · {_count(len(study.arms), 'arm')} · {_count(len(study.seeds), 'seed')} · digest {study.digest}"
    )
    for arm, experiment in study.arms.items():
        print(f"\n{arm}")
        for name, value in experiment.values().items():
            if name != "schedule":
                print(f"    {name:15} {_spoken(value)}")
        print(f"    {experiment.schedule}\n    {sparkline(curves[arm].rate, encoding)}")
        _print_schedule(experiment.schedule, curves[arm], indent="    ")
        _print_groups(experiment.effective(), experiment.length)
        if (flops := experiment.flops_per_step) is not None:
            print(f"    model FLOPs: {flops:.3g} a step, {flops * experiment.length:.3g} a run")
        for rule in _rules(experiment, curves[arm]):
            print(f"    {rule.name}: {rule.message}; {rule.limit} [{rule.reference}]")
    return 0


def _rules(experiment: Any, curve: Any) -> Any:
    """The rules of thumb that apply to an arm, from those of its numbers that are numbers."""
    from lrlab.theory import rules

    name, given = experiment.optimizer.name, experiment.optimizer.hyperparameters
    number = lambda key: value if isinstance(value := given.get(key), int | float) else None
    adam = name in ("adam", "adamw")
    if not (adam or name in ("sgd", "momentum", "nesterov")) or not curve.peak:
        return []
    warm = next((end for part, begin, end in curve.marks if part == "warmup" and begin == 0), 0)
    return rules(
        peak=curve.peak,
        steps=experiment.length,
        batch=experiment.batch,
        adam=adam,
        warm=warm,
        b1=number("b1" if adam else "momentum"),
        b2=number("b2"),
        weight_decay=number("weight_decay"),
        width=getattr(experiment.task, "width", None),
        nesterov=name == "nesterov",
    )


def _print_groups(rows: Any, steps: int) -> None:
    """The rates that the updates of each group use: of the first and the last that move it, and the highest."""
    from lrlab.report import short

    width = max(len("group"), *(len(row.name) for row in rows))
    print(f"    {'group':{width}}  {'parameters':>12}  {'first':>9} {'peak':>9} {'last':>9}  {'decay':>9}  updates")
    for row in rows:
        rates = " ".join(f"{short(rate):>9}" for rate in (row.first, row.peak, row.last))
        updates = (
            "none"
            if row.begin >= row.end
            else "all"
            if row.end - row.begin == steps
            else f"{row.begin} to {row.end - 1}"
        )
        print(f"    {row.name:{width}}  {row.numbers:>12}  {rates}  {row.weight_decay or '-':>9}  {updates}")


def _plot(curves: Any, path: Path | None) -> None:
    if path is not None:
        from lrlab.report import plot_schedules

        plot_schedules(curves, path)
        print(f"drawn into {path}", file=sys.stderr)


def _described(schedule: Any, curve: Any) -> dict[str, Any]:
    at = range(curve.steps) if curve.steps <= _MOST_VALUES else curve.thinned(_THINNED).t
    return {
        "schedule": repr(schedule),
        "steps": curve.steps,
        "values": schedule(at).tolist(),
        "marks": curve.marks,
        "peak": curve.peak,
        "area": curve.area,
        **({} if isinstance(at, range) else {"at": at.tolist()}),
    }


def _print_schedule(schedule: Any, curve: Any, indent: str = "") -> None:
    from lrlab.report import short

    first, peak, last = map(short, (curve.rate[0], curve.peak, curve.rate[-1]))
    print(f"{indent}{curve.steps} steps, from {first} over {peak} at step {curve.t[curve.rate.argmax()]} to {last}")
    print(f"{indent}LR area {short(curve.area)}, {100 * curve.share:.1f} % of the peak held")
    played = [mark for mark in curve.marks if mark[1] < min(mark[2], curve.steps)]
    for name, begin, end in played[:_MOST_LISTED]:
        last = min(end, curve.steps) - 1
        levels = f"{short(schedule(begin))} to {short(schedule(last))}"
        print(f"{indent}  {name:10} steps {begin:>8} to {last:>8}   {levels}")
    if len(played) > _MOST_LISTED:
        print(f"{indent}  and {_count(len(played) - _MOST_LISTED, 'more part')}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _spoken(value: Any) -> str:
    if isinstance(value, dict):
        kind, *fields = value.items()
        return f"{kind[1]}({', '.join(f'{name}={field!r}' for name, field in fields)})"
    return str(value)
