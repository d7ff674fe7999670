"""`lrlab run` and `lrlab report`: an experiment to its verdict, and what a folder of it holds."""

import argparse
import os
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
    run.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the records (default: runs/EXPERIMENT-PRESET-DIGEST)"
    )
    run.add_argument("--parallel", choices=("pmap", "mesh"), help="how several devices share the batch (default: pmap)")
    option.json_document(run)

    report = option.command(commands, "report", _report, "print and draw what a folder of `lrlab run` holds")
    report.add_argument("folder", type=Path, metavar="DIR")
    option.json_document(report)


def _run(options: argparse.Namespace) -> int:
    if os.environ.get("JAX_NUM_CPU_DEVICES", "1") != "1":
        os.environ.setdefault("NPROC", "64")  # jaxlib <= 0.11 deadlocks with fewer threads than steps in flight
    from rich.console import Console

    from lrlab import report
    from lrlab.parallel import strategy
    from lrlab.progress import Progress
    from lrlab.study import run

    study = option.study(options)
    out = options.out or Path("runs") / f"{study.name}-{study.preset}-{study.digest}"
    with Progress(study, Console(stderr=True)) as progress:
        result = run(study, out, lambda e: strategy(options.parallel, e.batch, e.accumulate), progress)
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

    study = report.read_study(options.folder)
    figures = report.plot_study(options.folder)
    if options.json:
        return option.print_json(study)
    report.print_study(study, Console())
    print(f"\nfigure:  {figures[0]}")
    return 0
