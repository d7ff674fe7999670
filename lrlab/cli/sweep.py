"""`lrlab sweep`: an experiment at many values at once, in one program."""

import argparse
from pathlib import Path
from typing import Any

from lrlab.cli import cores, option
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
    option.seeds(sweep, "per trial")
    sweep.add_argument(
        "--search",
        choices=("grid", "random", "tpe"),
        default="grid",
        help="every combination, random ones, or those that promise most after what was seen (default: grid)",
    )
    sweep.add_argument(
        "--trials", type=int, default=32, metavar="N", help="how many combinations, except of a grid (default: 32)"
    )
    sweep.add_argument(
        "--halve",
        type=int,
        default=0,
        metavar="RUNGS",
        help="stop the worse half at so many evaluations, evenly spread over the run (default: 0, never)",
    )
    sweep.add_argument(
        "--prune",
        nargs="?",
        const="median",
        default="",
        choices=("median", "hyperband"),
        help="stop trials without promise at evaluations, by Optuna's pruner (default: none; alone: median)",
    )
    sweep.add_argument("--metric", default="loss", metavar="M", help="the held-out metric to lower (default: loss)")
    _shared(sweep)
    option.devices(sweep, "members")
    option.out(sweep, "runs/EXPERIMENT-sweep-DIGEST")
    option.saves(sweep)
    option.dashboards(sweep)
    sweep.add_argument("--rollback", help=argparse.SUPPRESS)
    option.json_document(sweep)


def _shared(sweep: argparse.ArgumentParser) -> None:
    """The options of a search that several processes share."""
    sweep.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that share the trials on this machine (default: 1)",
    )
    sweep.add_argument(
        "--storage",
        default="",
        metavar="URL",
        help="database that workers share, sqlite:///FILE or postgresql://USER@HOST/NAME; the same command with the same "
        "URL joins from anywhere (default: a file in the folder of the records)",
    )
    sweep.add_argument(
        "--together",
        type=int,
        metavar="N",
        help="trials that a worker asks for at a time and trains in one program (default: up to 8, in 4 rounds or more)",
    )
    sweep.add_argument(
        "--slurm",
        default="",
        metavar="OPTIONS",
        help="submit the workers to Slurm instead, with options of sbatch: partition=gpu,time=60,gpus_per_node=1",
    )


def _sweep(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lrlab import catalogue
    from lrlab.override import assignment
    from lrlab.progress import Progress
    from lrlab.study import bases, usual_seeds
    from lrlab.sweep import axis, plan, run

    if options.rollback is not None:
        raise Refused(
            "--rollback: a sweep trains populations, in which a rate that diverges is a result; it is for lrlab run"
        )
    if options.trials < 2:
        raise Refused(f"--trials {options.trials}: a search tries two or more")
    for name in ("workers", "together"):
        if (count := getattr(options, name)) is not None and count < 1:
            raise Refused(f"--{name} {count}: write at least 1")
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
        options.prune,
    )
    out = options.out or Path("runs") / f"{name}-sweep-{sweep.study.digest}"
    if options.search == "tpe" or options.workers > 1 or options.storage or options.prune or options.slurm:
        return _search(options, sweep, out)
    with Progress(sweep.study, Console(stderr=True), dashboards=option.shown(options)) as progress:
        result = run(
            sweep,
            out,
            option.strategies(options, "members", sweep.study.total),
            progress,
            options.block,
            options.metric,
            option.saved(options),
        )
    return _show(options, result, out)


def _search(options: argparse.Namespace, sweep: Any, out: Path) -> int:
    """Work at the trials with others, or have Slurm do it."""
    from rich.console import Console

    from lrlab.progress import Progress
    from lrlab.sweep import search, workers

    if options.workers > sweep.total:
        raise Refused(f"--workers {options.workers}: there are {sweep.total} trials to share; write at most as many")
    url = options.storage or f"sqlite:///{out.resolve() / 'search.db'}"
    together = options.together or min(8, -(-sweep.total // (4 * options.workers)))
    begun = search.begin(sweep, out, url, options.prune)
    words = [*options.words, "--workers=1", "--slurm=", f"--storage={url}", f"--out={out}", f"--together={together}"]
    if options.slurm:
        jobs = workers.submit(words, options.workers, out / "workers", _slurm(options.slurm))
        return _submitted(options, [job.job_id for job in jobs], out, url)
    with (
        Progress(
            sweep.study, Console(stderr=True), sweep.total * len(sweep.study.seeds), option.shown(options)
        ) as progress,
        workers.beside(words, options.workers - 1, out / "workers", cores.environment(options.workers)) as failed,
    ):
        result = search.run(
            begun,
            out,
            option.strategies(options, "members", together * len(sweep.study.seeds), options.workers),
            progress,
            options.block,
            options.metric,
            option.saved(options),
            together,
        )
        for log in failed():
            progress.remark(f"a worker failed, and the others did its work; see {log}")
    return _show(options, result, out)


def _slurm(text: str) -> dict[str, Any]:
    """Options of sbatch, as they are typed."""
    from lrlab.override import assignment

    pairs = dict(map(assignment, text.split(",")))
    return {name: int(value) if value.isdigit() else value for name, value in pairs.items()}


def _submitted(options: argparse.Namespace, jobs: list[str], out: Path, url: str) -> int:
    if options.json:
        return option.print_json({"jobs": jobs, "out": str(out), "storage": url})
    print(f"jobs:    {' '.join(jobs)}\nlogs:    {out / 'workers'}\nresults: lrlab report {out}, once they are done")
    return 0


def _show(options: argparse.Namespace, result: dict[str, Any], out: Path) -> int:
    from rich.console import Console

    from lrlab import report

    report.plot_sweep(report.read_sweep(out), out / "basin.png")
    if options.json:
        option.print_json(result)
    else:
        report.print_sweep(report.read_sweep(out), Console())
        print(f"\nrecords: {out}\nfigure:  {out / 'basin.png'}")
    if result["best"] is None:
        raise Failed(f"every trial diverged in some seed; sweep lower rates, or look at {out} for when")
    return 0
