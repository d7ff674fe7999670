"""What the constructor of a task refuses: names that do not exist and numbers out of range."""

from typing import Any, Literal, get_args, get_origin, get_type_hints

from lrlab.refusal import Refused, unknown


def choices(task: Any) -> None:
    """Refuse a value that its field's `Literal` does not list."""
    for name, hint in get_type_hints(type(task)).items():
        given = getattr(task, name)
        if get_origin(hint) is Literal and given not in get_args(hint):
            raise unknown(name, str(given), get_args(hint))


def positive(task: Any, *names: str) -> None:
    """Refuse fields that are not positive whole numbers."""
    for name in names:
        given = getattr(task, name)
        if not isinstance(given, int) or isinstance(given, bool) or given < 1:
            raise Refused(f"{type(task).__name__}({name}={given!r}): write a positive whole number")


def between(task: Any, name: str, low: float, high: float) -> None:
    """Refuse a field outside low <= value < high."""
    given = getattr(task, name)
    if not isinstance(given, int | float) or not low <= given < high:
        raise Refused(f"{type(task).__name__}({name}={given!r}): write a number from {low} to below {high}")
