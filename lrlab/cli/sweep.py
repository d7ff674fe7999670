"""`lrlab sweep`: an experiment at many values at once, in one program."""

import argparse
from pathlib import Path
from typing import Any

from lrlab.cli import option
from lrlab.refusal import Failed, Refused


def add(commands: Any) -> None:
    """The command and its options."""
    sweep = option.command(commands, "sweep", _sweep, "train an experiment at many values at once, in one program")
    sweep.add_argument(
        "experiment", metavar="EXPERIMENT", help="a name from `lrlab list`, or a file; its base is swept"
    )
    option.experiment(sweep)
    sweep.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="PATH=VALUES",
        help="'schedule.peak=geomspace(1e-4,1e-1,16)', 'warmup=0%%,5%%,10%%', and for a random search "
        "'schedule.peak=loguniform(1e-4,1e-1)' (may be repeated)",
    )
    sweep.add_argument(
        "--shapes",
        nargs="+",
        default=[],
        metavar="SCHEDULE",
        help="schedules without their peak, such as 'warmup(\"5%%\") >> decay()'",
    )
    sweep.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N-1 per trial (default: the preset's)")
    sweep.add_argument(
        "--search", choices=("grid", "random"), default="grid", help="every combination, or random ones (default: grid)"
    )
    sweep.add_argument("--trials", type=int, default=32, metavar="N", help="how many random combinations (default: 32)")
    sweep.add_argument(
        "--halve",
        type=int,
        default=0,
        metavar="RUNGS",
        help="stop the worse half at so many evaluations, evenly spread over the run (default: 0, never)",
    )
    sweep.add_argument("--metric", default="loss", metavar="M", help="the held-out metric to lower (default: loss)")
    option.devices(sweep, "members")
    option.out(sweep, "runs/EXPERIMENT-sweep-DIGEST")
    option.saves(sweep)
    option.json_document(sweep)


def _sweep(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lrlab import catalogue, report
    from lrlab.override import assignment
    from lrlab.progress import Progress
    from lrlab.study import bases, usual_seeds
    from lrlab.sweep import axis, plan, run

    if options.trials < 2:
        raise Refused(f"--trials {options.trials}: a search tries two or more")
    name = Path(options.experiment).stem
    module, changes = catalogue.load(options.experiment), dict(map(assignment, options.set))
    sweep = plan(
        bases(module, options.preset, options.arm, changes),
        dict(map(axis, options.vary)),
        options.shapes,
        usual_seeds(module, options.preset, options.seeds),
        options.search,
        options.trials,
        options.halve,
        options.metric,
        name,
        options.preset,
    )
    out = options.out or Path("runs") / f"{name}-sweep-{sweep.study.digest}"
    with Progress(sweep.study, Console(stderr=True)) as progress:
        result = run(
            sweep,
            out,
            option.strategies(options, "members"),
            progress,
            options.block,
            options.metric,
            option.saved(options),
        )
    report.plot_sweep(report.read_sweep(out), out / "basin.png")
    if options.json:
        option.print_json(result)
    else:
        report.print_sweep(report.read_sweep(out), Console())
        print(f"\nrecords: {out}\nfigure:  {out / 'basin.png'}")
    if result["best"] is None:
        raise Failed(f"every trial diverged in some seed; sweep lower rates, or look at {out} for when")
    return 0
