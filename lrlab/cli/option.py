"""What the commands share: options, the study that they name, one JSON document on standard output."""

import argparse
import json
from pathlib import Path
from typing import Any

from lrlab import catalogue
from lrlab.refusal import Refused


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


def study(options: argparse.Namespace) -> Any:
    """The study that the options name, with their changes."""
    from lrlab.experiment import assignment
    from lrlab.study import prepare

    name = options.experiment if "experiment" in options else options.what[0]
    changes = dict(assignment(text) for text in options.set)
    if getattr(options, "steps", None) is not None:
        changes = {"steps": options.steps, **changes}
    module = catalogue.load(name)
    return prepare(module, Path(name).stem, options.preset, options.arm, changes, getattr(options, "seeds", None))


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
    from lrlab.record import finite

    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        text = json.dumps(finite(value))
    print(text)
    return 0
