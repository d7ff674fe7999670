"""The command line: `lrlab list`, `show`, `lint`, `find`, `run`, `sweep`, `branch`, `forecast`, `design` and `report`, each a module of its options."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from lrlab import __version__, catalogue, distributed
from lrlab.cli import branch, design, find, forecast, lint, option, run, show, sweep
from lrlab.refusal import Failed, Refused

# What needs JAX or matplotlib is imported where it is used: `lrlab --help` answers at once.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 2 the request was wrong, 3 the run failed. Errors are one sentence on standard error.

    A process that a signal stopped returns 128 and its number, as shells say it.
    """
    code = _answered(arguments)
    distributed.end(code)
    return code


def _answered(arguments: Sequence[str] | None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a stream of ASCII shows ? where · was meant, and no traceback
    try:
        words = sys.argv[1:] if arguments is None else [*arguments]
        options = _parser().parse_args(words)
        options.words = words
        return options.command(options)
    except Refused as refused:
        print(f"lrlab: {refused}", file=sys.stderr)
        return 2
    except Failed as failed:
        print(f"lrlab: {failed}", file=sys.stderr)
        return failed.code
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a name that is too long, a folder that may not be read
        named = f": {str(error.filename)[:80]}" if error.filename else ""
        print(f"lrlab: {error.strerror}{named}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("lrlab: interrupted; finished runs are kept, and the same command goes on after them", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lrlab", description="A laboratory for the learning rate.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"lrlab {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)

    listing = option.command(commands, "list", _list, "name the experiments, with their claims and costs")
    option.json_document(listing)
    show.add(commands)
    lint.add(commands)
    find.add(commands)
    run.add(commands)
    forecast.add(commands)
    design.add(commands)
    sweep.add(commands)
    branch.add(commands)
    return parser


def _list(options: argparse.Namespace) -> int:
    entries = catalogue.entries()
    if options.json:
        return option.print_json([{**entry._asdict(), "path": str(entry.path)} for entry in entries])
    for entry in entries:
        print(f"{entry.name}\n    {entry.claim}\n    cost: {entry.cost or 'not stated'}")
    return 0
