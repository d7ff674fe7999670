"""`lrlab show`: schedules or an experiment, without running anything."""

import argparse
import sys
from pathlib import Path
from typing import Any

from lrlab import catalogue
from lrlab.cli import option
from lrlab.refusal import Refused, unknown

_STEPS = 1000


def add(commands: Any) -> None:
    """The command and its options."""
    show = option.command(commands, "show", _show, "print schedules or an experiment, without running anything")
    show.add_argument(
        "what",
        nargs="+",
        metavar="SCHEDULE|EXPERIMENT",
        help="'3e-4 * warmup(100) >> decay()', or a name from `lrlab list`",
    )
    show.add_argument("--steps", type=int, help=f"length of the run (default: that of the schedule, else {_STEPS})")
    show.add_argument("--batch", type=int, help="examples per update, for durations in ex, ep and tok")
    show.add_argument("--sequence", type=int, help="tokens per example, for durations in tok")
    show.add_argument("--epoch", type=int, help="examples per epoch, for durations in ep")
    show.add_argument("--plot", type=Path, metavar="FILE", help="draw into FILE (.png, .svg or .pdf)")
    option.experiment(show)
    option.json_document(show)


def _show(options: argparse.Namespace) -> int:
    names = {entry.name for entry in catalogue.entries()}
    if len(options.what) == 1 and (options.what[0] in names or options.what[0].endswith(".py")):
        return _show_experiment(options)
    for what in options.what:
        if what.isidentifier():
            raise unknown("schedule or experiment", what, names)
    return _show_schedules(options)


def _show_schedules(options: argparse.Namespace) -> int:
    from lrlab.schedule import Horizon, parse

    schedules = [parse(text) for text in options.what]
    steps = options.steps or max(map(_own_length, schedules))
    horizon = Horizon(steps, options.batch, options.sequence, options.epoch)
    resolved = {repr(schedule): schedule.resolve(horizon) for schedule in schedules}
    _plot(resolved, steps, options.plot)
    if options.json:
        shown = [_described(schedule, steps) for schedule in resolved.values()]
        return option.print_json(shown[0] if len(shown) == 1 else shown)
    for text, schedule in resolved.items():
        _print_schedule(text, schedule, steps)
    return 0


def _own_length(schedule: Any) -> int:
    try:
        return schedule.length
    except Refused:
        return _STEPS


def _show_experiment(options: argparse.Namespace) -> int:
    study = option.study(options)
    schedules = {arm: experiment.schedule for arm, experiment in study.arms.items()}
    steps = max(experiment.steps for experiment in study.arms.values())
    _plot(schedules, steps, options.plot)
    if options.json:
        return option.print_json([
            {"arm": arm, **_described(experiment.schedule, experiment.steps), "digest": experiment.digest, "experiment": experiment.values()}
            for arm, experiment in study.arms.items()
        ])  # fmt: skip
    print(
        f"{study.name} · preset {study.preset} · {_count(len(study.arms), 'arm')} · {_count(study.seeds, 'seed')} · digest {study.digest}"
    )
    for arm, experiment in study.arms.items():
        print(f"\n{arm}")
        for name, value in experiment.values().items():
            if name != "schedule":
                print(f"    {name:15} {_spoken(value)}")
        _print_schedule(repr(experiment.schedule), experiment.schedule, experiment.steps, indent="    ")
    return 0


def _plot(schedules: Any, steps: int, path: Path | None) -> None:
    if path is not None:
        from lrlab.report import plot_schedules

        plot_schedules(schedules, steps, path)
        print(f"drawn into {path}", file=sys.stderr)


def _described(schedule: Any, steps: int) -> dict[str, Any]:
    return {
        "schedule": repr(schedule),
        "steps": steps,
        "values": schedule(range(steps)).tolist(),
        "marks": schedule.marks(),
    }


def _print_schedule(text: str, schedule: Any, steps: int, indent: str = "") -> None:
    from lrlab.report import sparkline

    joints = [mark.begin for mark in schedule.marks()]
    sampled = sorted({round(i * (steps - 1) / 1000) for i in range(1001)} | {t for t in joints if t < steps})
    values = schedule(sampled)
    print(f"{indent}{text}\n{indent}{sparkline(values)}")
    peak = f"{values.max():.4g} at step {sampled[values.argmax()]}"
    print(f"{indent}{steps} steps, from {values[0]:.4g} over {peak} to {values[-1]:.4g}")
    for name, begin, end in schedule.marks():
        last = min(end, steps) - 1
        print(f"{indent}  {name:10} steps {begin:>8} to {last:>8}   {schedule(begin):.4g} to {schedule(last):.4g}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _spoken(value: Any) -> str:
    if isinstance(value, dict):
        kind, *fields = value.items()
        return f"{kind[1]}({', '.join(f'{name}={field!r}' for name, field in fields)})"
    return str(value)
