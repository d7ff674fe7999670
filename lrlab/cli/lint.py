"""`lrlab lint`: what a reader of the literature would remark on, before anything runs."""

import argparse
from typing import Any

from lrlab.cli import option
from lrlab.refusal import Refused, unknown


def add(commands: Any) -> None:
    """The command and its options."""
    lint = option.command(commands, "lint", _lint, "remark on a schedule, or on those of an experiment's arms")
    option.schedules(lint)
    lint.add_argument(
        "--optimizer", metavar="NAME", help="judge the peak and the warm-up of schedules for adamw, sgd, ..."
    )
    option.experiment(lint)
    option.json_document(lint)


def _lint(options: argparse.Namespace) -> int:
    """Exit code 0 with findings too: they answer the request, and only a wrong request has another code."""
    linted = _of_arms(options) if option.names_experiment(options) else _of_schedules(options)
    if options.json:
        documents = [{**about, "findings": [finding._asdict() for finding in findings]} for about, findings in linted]
        return option.print_json(documents[0] if len(documents) == 1 and "arm" not in documents[0] else documents)
    for about, findings in linted:
        title = f"{about['arm']}: {about['schedule']}" if "arm" in about else about["schedule"]
        print(f"{title}, {about['steps']} steps" + ("" if findings else ": nothing to remark"))
        for finding in findings:
            print(f"    {finding.severity:8} {finding.message}\n{'':13}[{finding.reference}]")
    return 0


def _of_schedules(options: argparse.Namespace) -> list[tuple[dict[str, Any], Any]]:
    from lrlab.optim import OPTIMIZERS
    from lrlab.schedule import lint, parse

    optimizer = options.optimizer and options.optimizer.partition("(")[0].strip()
    if optimizer is not None and optimizer not in OPTIMIZERS:
        raise unknown("optimizer", optimizer, OPTIMIZERS)
    linted = []
    for schedule in map(parse, options.what):
        steps = option.own_length(schedule) if options.steps is None else options.steps
        units = {"batch": options.batch, "sequence": options.sequence, "epoch": options.epoch}
        about = {"schedule": repr(schedule), "steps": steps, "optimizer": optimizer, "batch": options.batch}
        linted.append((about, lint(schedule, steps, optimizer=optimizer, **units)))
    return linted


def _of_arms(options: argparse.Namespace) -> list[tuple[dict[str, Any], Any]]:
    if options.optimizer is not None:
        raise Refused(f"{options.what[0]} has an optimizer of its own; write --set 'optimizer={options.optimizer}()'")
    return [
        (
            {"arm": arm, "schedule": repr(e.schedule), "steps": e.length, "optimizer": e.optimizer.name, "batch": e.batch},
            e.lint(),
        )
        for arm, e in option.study(options).arms.items()
    ]  # fmt: skip
