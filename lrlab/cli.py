"""The command line: `lrlab list`, `show`, `run` and `report`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from lrlab import __version__, catalogue
from lrlab.refusal import Failed, Refused, unknown

# What needs JAX or matplotlib is imported where it is used: `lrlab --help` answers at once.

_STEPS = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 2 the request was wrong, 3 the run failed. Errors are one sentence on standard error."""
    try:
        options = _parser().parse_args(arguments)
        return options.command(options)
    except Refused as refused:
        print(f"lrlab: {refused}", file=sys.stderr)
        return 2
    except Failed as failed:
        print(f"lrlab: {failed}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("lrlab: interrupted; finished runs are kept, and the same command goes on after them", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lrlab", description="A laboratory for the learning rate.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"lrlab {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)

    listing = _command(commands, "list", _list, "name the experiments, with their claims and costs")
    _json_option(listing)

    show = _command(commands, "show", _show, "print schedules or an experiment, without running anything")
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
    _experiment_options(show)
    _json_option(show)

    run = _command(commands, "run", _run, "run an experiment to its verdict")
    run.add_argument("experiment", metavar="EXPERIMENT", help="a name from `lrlab list`, or a file")
    _experiment_options(run)
    run.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1 per arm (default: the preset's)")
    run.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the records (default: runs/EXPERIMENT-PRESET-DIGEST)"
    )
    run.add_argument("--parallel", choices=("pmap", "mesh"), help="how several devices share the batch (default: pmap)")
    _json_option(run)

    report = _command(commands, "report", _report, "print and draw what a folder of `lrlab run` holds")
    report.add_argument("folder", type=Path, metavar="DIR")
    _json_option(report)
    return parser


def _command(commands: Any, name: str, function: Any, help: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", allow_abbrev=False)
    parser.set_defaults(command=function)
    return parser


def _json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document on standard output and nothing else there"
    )


def _experiment_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preset", default="cpu", metavar="P", help="size of the experiment: cpu, gpu, paper (default: cpu)"
    )
    parser.add_argument("--arm", action="append", default=[], metavar="A", help="only this arm (may be repeated)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="change a value, such as steps=500 or task.width=64 (may be repeated)",
    )


def _list(options: argparse.Namespace) -> int:
    entries = catalogue.entries()
    if options.json:
        return _print_json([{**entry._asdict(), "path": str(entry.path)} for entry in entries])
    for entry in entries:
        print(f"{entry.name}\n    {entry.claim}\n    cost: {entry.cost or 'not stated'}")
    return 0


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
        return _print_json(shown[0] if len(shown) == 1 else shown)
    for text, schedule in resolved.items():
        _print_schedule(text, schedule, steps)
    return 0


def _own_length(schedule: Any) -> int:
    try:
        return schedule.length
    except Refused:
        return _STEPS


def _show_experiment(options: argparse.Namespace) -> int:
    study = _study(options)
    schedules = {arm: experiment.schedule for arm, experiment in study.arms.items()}
    steps = max(experiment.steps for experiment in study.arms.values())
    _plot(schedules, steps, options.plot)
    if options.json:
        return _print_json([
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


def _run(options: argparse.Namespace) -> int:
    if os.environ.get("JAX_NUM_CPU_DEVICES", "1") != "1":
        os.environ.setdefault("NPROC", "64")  # jaxlib <= 0.11 deadlocks with fewer threads than steps in flight
    from rich.console import Console

    from lrlab import report
    from lrlab.parallel import strategy
    from lrlab.progress import Progress
    from lrlab.study import run

    study = _study(options)
    out = options.out or Path("runs") / f"{study.name}-{study.preset}-{study.digest}"
    with Progress(study, Console(stderr=True)) as progress:
        result = run(study, out, lambda e: strategy(options.parallel, e.batch, e.accumulate), progress)
    figures = report.plot_study(out)
    if options.json:
        _print_json(result)
    else:
        report.print_study(result, Console())
        print(f"\nrecords: {out}\nfigure:  {figures[0]}")
    lost = [arm for arm, runs in result["arms"].items() if all(step is not None for step in runs["diverged"])]
    if lost:
        raise Failed(f"every run of {' and of '.join(lost)} diverged; lower schedule.peak, or look at {out} for when")
    return 0


def _report(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lrlab import report

    study = report.read_study(options.folder)
    figures = report.plot_study(options.folder)
    if options.json:
        return _print_json(study)
    report.print_study(study, Console())
    print(f"\nfigure:  {figures[0]}")
    return 0


def _study(options: argparse.Namespace) -> Any:
    from lrlab.experiment import assignment
    from lrlab.study import prepare

    name = options.experiment if "experiment" in options else options.what[0]
    changes = dict(assignment(text) for text in options.set)
    if getattr(options, "steps", None):
        changes = {"steps": options.steps, **changes}
    module = catalogue.load(name)
    return prepare(module, Path(name).stem, options.preset, options.arm, changes, getattr(options, "seeds", None))


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


def _print_json(value: Any) -> int:
    from lrlab.record import finite

    print(json.dumps(finite(value)))
    return 0
