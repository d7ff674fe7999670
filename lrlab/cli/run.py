"""`lrlab run` and `lrlab report`: an experiment to its verdict, and what a folder of it holds."""

import argparse
from pathlib import Path
from typing import Any

from lrlab.cli import option
from lrlab.refusal import Failed


def add(commands: Any) -> None:
    """The two commands and their options."""
    run = option.command(commands, "run", _run, "run an experiment to its verdict")
    run.add_argument("experiment", metavar="EXPERIMENT", help="a name from `lrlab list`, or a file")
    option.experiment(run)
    run.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1 per arm (default: the preset's)")
    option.devices(run, "pmap")
    option.out(run, "runs/EXPERIMENT-PRESET-DIGEST")
    option.saves(run)
    option.json_document(run)

    report = option.command(
        commands, "report", _report, "print and draw what a folder of `lrlab run` or `lrlab sweep` holds"
    )
    report.add_argument("folder", type=Path, metavar="DIR")
    option.json_document(report)


def _run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lrlab import report
    from lrlab.progress import Progress
    from lrlab.study import run

    study = option.study(options)
    out = options.out or Path("runs") / f"{study.name}-{study.preset}-{study.digest}"
    with Progress(study, Console(stderr=True)) as progress:
        result = run(study, out, option.strategies(options, "pmap"), progress, options.block, option.saved(options))
    figures = report.plot_study(out)
    if options.json:
        option.print_json(result)
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

    if (options.folder / "sweep.json").exists():
        return _report_sweep(options)
    study = report.read_study(options.folder)
    figures = report.plot_study(options.folder)
    if options.json:
        return option.print_json(study)
    report.print_study(study, Console())
    print(f"\nfigure:  {figures[0]}")
    return 0


def _report_sweep(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lrlab import report

    sweep = report.read_sweep(options.folder)
    report.plot_sweep(sweep, options.folder / "basin.png")
    if options.json:
        return option.print_json(sweep)
    report.print_sweep(sweep, Console())
    print(f"\nfigure:  {options.folder / 'basin.png'}")
    return 0
