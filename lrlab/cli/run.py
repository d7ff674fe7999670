"""`lrlab run` and `lrlab report`: an experiment to its verdict, and what a folder of it holds."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrlab import catalogue
from lrlab.cli import option
from lrlab.distributed import first
from lrlab.published import FOLDER
from lrlab.refusal import Failed, Refused


def add(commands: Any) -> None:
    """The two commands and their options."""
    run = option.command(commands, "run", _run, "run an experiment to its verdict")
    run.add_argument("experiment", metavar="EXPERIMENT", help="a name from `lrlab list`, or a file")
    option.experiment(run)
    option.seeds(run, "per arm")
    option.devices(run, "pmap")
    option.processes(run)
    option.out(run, "runs/EXPERIMENT-PRESET-DIGEST")
    option.saves(run)
    option.dashboards(run)
    run.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of published data, for experiments that read some"
    )
    run.add_argument(
        "--rollback",
        type=float,
        metavar="FACTOR",
        help="a run that diverges goes back to its last good checkpoint and goes on with FACTOR times the rate, at most 3 times",
    )
    option.json_document(run)
    going_on = run.add_argument_group("going on from the folder --out under another schedule, as runs of their own")
    going_on.add_argument(
        "--extend", metavar="steps=N", help="make the run longer or shorter; its schedule is resolved again"
    )
    going_on.add_argument("--schedule", metavar="S", help="with --from now: what follows, from the rate where it is")
    going_on.add_argument("--from", choices=("now",), dest="since", help="where --schedule begins")
    going_on.add_argument("--branch", metavar="S", help="a cooldown, such as \"decay('20%%', curve=sqrt)\"")

    report = option.command(
        commands, "report", _report, "print and draw what a folder of `lrlab run`, `sweep` or `branch` holds"
    )
    report.add_argument("folder", type=Path, metavar="DIR")
    option.json_document(report)


def _run(options: argparse.Namespace) -> int:
    rollback = _rollback(options)
    if options.data is not None:
        os.environ[FOLDER] = str(options.data)
    with option.joined(options):
        study, out = _asked(options)
        result = _trained(study, out, rollback, options)
    return _shown(study, out, result, options) if first() else 0


def _trained(study: Any, out: Path, rollback: Any, options: argparse.Namespace) -> dict[str, Any]:
    """What came out; of several processes, for the first."""
    from rich.console import Console

    from lrlab.progress import Progress
    from lrlab.study import run

    shown = option.shown(options) if first() else ()
    with Progress(study, Console(stderr=True, quiet=not first()), dashboards=shown) as progress:
        alone = rollback or options.distributed or options.coordinator  # one run at a time, on all that there is
        strategies = option.strategies(options, "pmap", 1 if alone else study.total)
        saves = option.saved(options)
        return run(study, out, strategies, progress, options.block, saves, rollback)


def _shown(study: Any, out: Path, result: dict[str, Any], options: argparse.Namespace) -> int:
    """The verdict printed and drawn."""
    from rich.console import Console

    from lrlab import report

    figures = report.plot_study(out, _picture(study.module, result))
    if options.json:
        option.print_json(result)
    else:
        report.print_study(result, Console())
        print(f"\nrecords: {out}\nfigure:  {figures[0]}")
    lost = [arm for arm, runs in result["arms"].items() if all(step is not None for step in runs["diverged"])]
    if lost:
        raise Failed(f"every run of {' and of '.join(lost)} diverged; lower schedule.peak, or look at {out} for when")
    return 0


def _rollback(options: argparse.Namespace) -> Any:
    """What is done about runs that diverge."""
    from lrlab.rollback import Rollback

    if options.rollback is None:
        return None
    if options.parallel == "members" or (options.block or 1) > 1:
        raise Refused("--rollback trains each run alone, not in a population; leave out --block and --parallel members")
    return Rollback(options.rollback)


def _asked(options: argparse.Namespace) -> tuple[Any, Path]:
    """The study that is asked for, and its folder: a new one where it goes on from another under another schedule."""
    from lrlab import branch

    how = {
        name: getattr(options, name) for name in ("extend", "schedule", "branch") if getattr(options, name) is not None
    }
    if len(how) > 1 or (options.schedule is None) != (options.since is None):
        raise Refused(
            "write one of --extend steps=N, --schedule S --from now, and --branch S; for a run from the start --set schedule=S"
        )
    if how and options.seeds is not None:
        raise Refused(f"--{next(iter(how))} goes on with the seeds of the folder; leave out --seeds")
    if options.branch is not None and options.set:
        raise Refused("--branch cools down what the folder holds; leave out --set")
    if options.extend is not None:
        options.set.append(options.extend)
    study = option.study(options)
    own = lambda study: Path("runs") / f"{study.name}-{study.preset}-{study.digest}"
    out = options.out or own(study)
    if not how:
        if told := branch.differs(study, out):
            raise Refused(told)
        return study, out
    if options.out is None or not branch.is_study(out):
        raise Refused(f"--{next(iter(how))} goes on from a folder of `lrlab run`; name it with --out")
    change = {
        "extend": lambda old, new, step: new,
        "schedule": lambda old, new, step: branch.followed(old, new, step, options.schedule),
        "branch": lambda old, new, step: branch.cooled(old, step, options.branch),
    }
    ((name, text),) = how.items()
    told = f"--{name} {text}" + " --from now" * (name == "schedule")
    study = branch.continued(branch.held(out), study, out, told, change[name])
    return study, own(study)


def _picture(module: Any, result: Mapping[str, Any]) -> Any:
    """The picture that a module has of its own, once there is a verdict."""
    from lrlab.study import told

    own = getattr(module, "picture", None)
    return (lambda: own(told(result["arms"]))) if own and result["claims"] else None


def _module_of(folder: Path, kept: Mapping[str, Any]) -> Any:
    """The module of a study if it is one that `lrlab list` names: a file that a folder of records names is not executed."""
    from lrlab.record import read_json

    entry = next((entry for entry in catalogue.entries() if entry.name == kept["experiment"]), None)
    file = Path(read_json(folder / "experiment.json").get("file") or "")
    if entry is None or (file.is_file() and not file.samefile(entry.path)):
        return None
    return catalogue.load(entry.name)


def _report(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lrlab import report

    if (options.folder / "sweep.json").exists():
        kept, show, draw = report.read_sweep(options.folder), report.print_sweep, report.plot_sweep
        figure = options.folder / "basin.png"
    elif (options.folder / "branch.json").exists():
        kept, show, draw = report.read_branches(options.folder), report.print_branches, report.plot_branches
        figure = options.folder / "branches.png"
    else:
        kept, show = report.read_study(options.folder), report.print_study
        figure = options.folder / "figure.png"
        module = _module_of(options.folder, kept)
        finished = module is None and kept["claims"] and figure.exists()  # it was drawn when its module was known
        draw = lambda kept, path: None if finished else report.plot_study(options.folder, _picture(module, kept))
    draw(kept, figure)
    if options.json:
        return option.print_json(kept)
    show(kept, Console())
    print(f"\nfigure:  {figure}")
    return 0
