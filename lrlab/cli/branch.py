"""`lrlab branch`: many cooldowns from the checkpoints of one trunk."""

import argparse
from pathlib import Path
from typing import Any

from lrlab.cli import option


def add(commands: Any) -> None:
    """The command and its options."""
    branch = option.command(commands, "branch", _branch, "cool a run down from its checkpoints, in many ways at once")
    branch.add_argument(
        "trunk", type=Path, metavar="RUN", help="a folder of `lrlab run`, with checkpoints (--save-at STEP)"
    )
    branch.add_argument(
        "--at", type=int, nargs="+", default=[], metavar="STEP", help="checkpoints to branch from (default: the newest)"
    )
    branch.add_argument(
        "--cooldown",
        nargs="+",
        required=True,
        metavar="SCHEDULE",
        help="what follows, such as \"decay('20%%', curve=sqrt)\"; a share is of the branch's whole run",
    )
    option.devices(branch, "members")
    option.out(branch, "runs/EXPERIMENT-branch-DIGEST")
    option.saves(branch)
    option.json_document(branch)


def _branch(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lrlab import report
    from lrlab.branch import branches, run
    from lrlab.progress import Progress

    planned = branches(options.trunk, options.at, options.cooldown)
    out = options.out or Path("runs") / f"{planned.name}-branch-{planned.digest}"
    with Progress(planned, Console(stderr=True)) as progress:
        strategies = option.strategies(options, "members", planned.total)
        result = run(planned, options.trunk, out, strategies, progress, options.block, option.saved(options))
    report.plot_branches(report.read_branches(out), out / "branches.png")
    if options.json:
        return option.print_json(result)
    report.print_branches(report.read_branches(out), Console())
    print(f"\nrecords: {out}\nfigure:  {out / 'branches.png'}")
    return 0
