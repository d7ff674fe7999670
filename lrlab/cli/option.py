"""What the commands share: options, the study that they name, one JSON document on standard output."""

import argparse
import os
from pathlib import Path
from typing import Any

from lrlab import catalogue
from lrlab.cli import cache, cores
from lrlab.refusal import Refused, unknown

_STEPS = 1000
_OF_SCHEDULES = {"batch": "; write --set batch={}", "sequence": "; write --set task.sequence={}", "epoch": " data"}


def command(commands: Any, name: str, function: Any, help: str) -> argparse.ArgumentParser:
    """A command of its own parser; `function` gets the parsed options and returns the exit code."""
    parser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", allow_abbrev=False)
    parser.set_defaults(command=function)
    return parser


def json_document(parser: argparse.ArgumentParser) -> None:
    """The option --json."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document on standard output and nothing else there"
    )


def experiment(parser: argparse.ArgumentParser) -> None:
    """The options that choose and change an experiment."""
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


def seeds(parser: argparse.ArgumentParser, each: str = "") -> None:
    """Which seeds."""
    told = f"seeds 0 to N-1 {each}".strip()
    parser.add_argument(
        "--seeds",
        type=_seeds,
        metavar="N|FIRST:END",
        help=f"{told}, or from FIRST to before END (default: the preset's)",
    )


def _seeds(text: str) -> range:
    first, _, end = text.rpartition(":")
    try:
        return range(int(first or 0), int(end))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' are no seeds; write how many, or FIRST:END") from None


def devices(parser: argparse.ArgumentParser, usual: str) -> None:
    """The options that say how runs share the devices."""
    parser.add_argument(
        "--parallel",
        choices=("pmap", "mesh", "members"),
        help=f"what several devices share: each batch (pmap, mesh), or the runs (members), as the cores of a CPU do; "
        f"default on accelerators: {usual}",
    )
    parser.add_argument(
        "--mesh",
        metavar="AXES",
        help="share the batch, parameters and matrices over a mesh of devices: data=2,fsdp=2,tensor=2 (default: all data)",
    )
    parser.add_argument(
        "--block", type=int, metavar="N", help="runs vmapped together (default: by device, size and memory)"
    )


def processes(parser: argparse.ArgumentParser) -> None:
    """The options that make several processes one run."""
    group = parser.add_argument_group("several processes as one run, each started by this command")
    group.add_argument(
        "--distributed", action="store_true", help="Slurm, Kubernetes, Open MPI or a TPU's cloud says who they are"
    )
    group.add_argument("--coordinator", metavar="HOST:PORT", help="of the first process, with a free port there")
    group.add_argument("--processes", type=int, metavar="N", help="how many there are")
    group.add_argument("--process", type=int, metavar="I", help="which of them this is, from 0; the first writes")
    group.add_argument(
        "--heartbeat",
        type=int,
        metavar="SECONDS",
        help="without a sign of life, after which a process counts as dead and the run ends (default: 30)",
    )


def joined(options: argparse.Namespace) -> Any:
    """Meanwhile this process is one of the run that the options tell, or alone."""
    from lrlab.distributed import HEARTBEAT, Processes, joined

    told = (options.coordinator, options.processes, options.process)
    if not options.distributed and all(one is None for one in told):
        return joined(None)
    cores.many_threads()
    return joined(Processes(*told, HEARTBEAT if options.heartbeat is None else options.heartbeat))


def saves(parser: argparse.ArgumentParser) -> None:
    """When to save."""
    parser.add_argument(
        "--save-every", type=int, metavar="N", help="updates between checkpoints (default: a minute of training)"
    )
    parser.add_argument(
        "--save-at",
        type=int,
        action="append",
        default=[],
        metavar="STEP",
        help="keep a checkpoint after so many updates for good, to branch from (may be repeated)",
    )


def saved(options: argparse.Namespace) -> Any:
    """When to save, as the options say."""
    from lrlab.saving import Saves

    return Saves(options.save_every, at=tuple(options.save_at))


def dashboards(parser: argparse.ArgumentParser) -> None:
    """Where the records are shown as well."""
    parser.add_argument(
        "--dashboard",
        action="append",
        default=[],
        choices=("tensorboard", "wandb"),
        help="show the records on TensorBoard or Weights & Biases as they grow (may be repeated)",
    )


def shown(options: argparse.Namespace) -> list[str]:
    """The dashboards by name; refused before anything is trained where a package is missing."""
    from lrlab.dashboard import needs

    for name in options.dashboard:
        needs(name)
    return options.dashboard


def out(parser: argparse.ArgumentParser, usual: str) -> None:
    """The folder for records."""
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"folder for the records (default: {usual})")


def strategies(options: argparse.Namespace, usual: str, runs: int, processes: int = 1) -> Any:
    """The strategy of each experiment: the one asked for, else the usual one where there are several devices.

    On a CPU each core is one, and has some of the `runs`; of so many processes, each takes its share of the cores.
    """
    together = options.mesh is not None or (options.parallel or usual) != "members"  # devices share a batch
    if together and os.environ.get("JAX_NUM_CPU_DEVICES", "1") != "1":
        cores.many_threads()
    import jax

    from lrlab.parallel import Axes, strategy

    cache.keep()
    axes = None if options.mesh is None else Axes.parse(options.mesh)
    if axes is None and options.parallel in (None, "members") and cores.split(runs, processes):
        usual = "members"
    name = options.parallel or (usual if axes is None and len(jax.devices()) > 1 else None)
    return lambda experiment: strategy(name, experiment.batch, experiment.accumulate, axes=axes)


def schedules(parser: argparse.ArgumentParser) -> None:
    """The schedules or the experiment that a command looks at, and the run that they are for."""
    parser.add_argument(
        "what",
        nargs="+",
        metavar="SCHEDULE|EXPERIMENT",
        help="'3e-4 * warmup(100) >> decay()', or a name from `lrlab list`",
    )
    parser.add_argument("--steps", type=int, help=f"length of the run (default: that of the schedule, else {_STEPS})")
    parser.add_argument("--batch", type=int, help="examples per update, for durations in ex, ep and tok")
    parser.add_argument("--sequence", type=int, help="tokens per example, for durations in tok")
    parser.add_argument("--epoch", type=int, help="examples per epoch, for durations in ep")


def names_experiment(options: argparse.Namespace) -> bool:
    """Whether the arguments are an experiment, rather than schedules; options of the other kind are refused."""
    names, what = catalogue.names(), options.what
    if len(what) == 1 and (what[0] in names or what[0].endswith(".py")):
        for name, how in _OF_SCHEDULES.items():
            if (value := getattr(options, name)) is not None:
                raise Refused(f"--{name} is for schedules; {what[0]} has its own{how.format(value)}")
        return True
    for word in what:
        if word.isidentifier():
            raise unknown("schedule or experiment", word, names)
    if options.set or options.arm or options.preset != "cpu":
        raise Refused("--set, --arm and --preset are for experiments; change the schedule as it is written")
    return False


def own_length(schedule: Any) -> int:
    """The length of a schedule, or of a run to show it in."""
    try:
        return schedule.length
    except Refused:
        return _STEPS


def study(options: argparse.Namespace) -> Any:
    """The study that the options name, with their changes."""
    from lrlab.override import assignment
    from lrlab.study import prepare

    name = options.experiment if "experiment" in options else options.what[0]
    changes = dict(assignment(text) for text in options.set)
    if getattr(options, "steps", None) is not None:
        changes = {"steps": options.steps, **changes}
    module = catalogue.load(name)
    study = prepare(module, Path(name).stem, options.preset, options.arm, changes, getattr(options, "seeds", None))
    if "what" in options and not study.arms:
        raise Refused(f"{study.name} trains nothing, so it has no schedules of its own; write lrlab run {name}")
    return study


def drawable(schedule: Any, steps: int) -> Any:
    """The schedule of a run, refused if its numbers are arrays or its values leave float32."""
    import numpy as np

    sampled = np.array([*np.linspace(0, steps - 1, 1000).astype(int), *(mark.begin for mark in schedule.marks())])
    with np.errstate(over="ignore", invalid="ignore"):
        if np.shape(schedule(0)):
            raise Refused(
                f"{schedule} is several schedules in one; name each of them on its own, with one number a place"
            )
        values = schedule(sampled)
    if not np.isfinite(values).all():
        raise Refused(f"{schedule} leaves what a 32-bit number can hold; its levels multiply to more than 3e38")
    return schedule


def print_json(value: Any) -> int:
    """One JSON document on standard output; exit code 0."""
    from lrlab.record import as_text

    print(as_text(value))
    return 0
