"""How lrlab says no: a request that was wrong, or a run that failed, each in one sentence."""

from collections.abc import Iterable
from difflib import get_close_matches


class Refused(ValueError):
    """The request was wrong; the message says what was given, why, and what to write instead (exit code 2)."""


class Lacking(Refused):
    """The request needs data that are not there."""


class Failed(RuntimeError):
    """The request was right and the run failed: it diverged, or a disk or device gave up (exit code 3)."""

    code = 3


class Everywhere(Exception):
    """Raised by every process of a distributed run, after the same step."""


def unknown(kind: str, given: str, known: Iterable[str]) -> Refused:
    """A refusal of a name that does not exist, with the nearest name that does.

    >>> print(unknown("word", "warmpu", ["decay", "warmup"]))
    there is no word 'warmpu'; did you mean 'warmup'? There are: decay, warmup.
    """
    known = list(known)
    close = get_close_matches(given, known, n=1)
    guess = f"; did you mean '{close[0]}'?" if close else "."
    return Refused(f"there is no {kind} '{given}'{guess} There are: {', '.join(known)}.")
