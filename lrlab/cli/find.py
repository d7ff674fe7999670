"""`lrlab find`: the learning rate that a range test suggests for an experiment, and short runs choose."""

import argparse
import sys
from pathlib import Path
from typing import Any

from lrlab import catalogue
from lrlab.cli import option
from lrlab.refusal import Refused


def add(commands: Any) -> None:
    """The command and its options."""
    find = option.command(commands, "find", _find, "find a learning rate for an experiment, with a range test")
    find.add_argument(
        "experiment", metavar="EXPERIMENT", help="a name from `lrlab list`, or a file; its base is tested"
    )
    option.experiment(find)
    option.seeds(find)
    find.add_argument("--low", type=float, default=1e-7, metavar="RATE", help="the first rate (default: 1e-7)")
    find.add_argument("--high", type=float, default=10.0, metavar="RATE", help="the last rate (default: 10)")
    # not dest="steps", which would be the length of the experiment
    find.add_argument("--steps", dest="rates", type=int, default=100, metavar="N", help="how many rates (default: 100)")
    find.add_argument("--group", metavar="PATTERN", help="the rate of these parameters, while the others hold theirs")
    find.add_argument("--no-validate", action="store_true", help="only the range test, without short runs")
    find.add_argument("--plot", type=Path, metavar="FILE", help="draw into FILE (.png, .svg or .pdf)")
    option.json_document(find)


def _find(options: argparse.Namespace) -> int:
    if len(options.arm) > 1:
        raise Refused(f"{len(options.arm)} arms are given; a range test is of one, --arm '{options.arm[0]}'")
    from rich.console import Console

    from lrlab import finder, report
    from lrlab.cli import cache
    from lrlab.override import assignment
    from lrlab.study import bases, usual_seeds

    if options.plot is not None:
        report.check_suffix(options.plot)
    cache.keep()
    name, module = Path(options.experiment).stem, catalogue.load(options.experiment)
    ((arm, experiment),) = bases(module, options.preset, options.arm, dict(map(assignment, options.set))).items()
    about = {"experiment": name, "preset": options.preset, "arm": arm or None, "group": options.group}
    with Console(stderr=True).status(f"range test of {name}"):
        test = finder.find(
            experiment,
            usual_seeds(module, options.preset, options.seeds),
            options.low,
            options.high,
            options.rates,
            group=options.group,
            validate=not options.no_validate,
        )
    if options.plot is not None:
        report.plot_range_test(test, options.plot)
        print(f"drawn into {options.plot}", file=sys.stderr)
    if options.json:
        return option.print_json({**about, "optimizer": experiment.optimizer.spelled(), **test.as_json()})
    named = [arm] * bool(arm) + [f"group {options.group}"] * bool(options.group)
    print(" · ".join([name, f"preset {options.preset}", *named, experiment.optimizer.spelled()]))
    report.print_range_test(test, Console())
    return 0
