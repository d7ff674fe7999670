"""Functions called with the fields of a configuration that they take."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lrlab.refusal import Refused, unknown


def call(function: Callable[..., Any], fields: Mapping[str, Any], where: str) -> Any:
    """The function of those of the fields that it takes by name; `Refused` where one that it needs is missing.

    >>> call(lambda *, a, b=2: (a, b), {"a": 1, "c": 3}, "f")
    (1, 2)
    """
    takes = keywords(function)
    for name, parameter in takes.items():
        if parameter.default is parameter.empty and name not in fields:
            raise Refused(f"{where} needs {name}; give it too")
    return function(**{name: fields[name] for name in takes if name in fields})


def known(
    fields: Mapping[str, Any], functions: Iterable[Callable[..., Any]], where: str, hidden: Iterable[str] = ()
) -> None:
    """Refuse a field that none of the functions takes; what is hidden is not the caller's to give."""
    names = [name for function in functions for name in keywords(function) if name not in hidden]
    for field in fields:
        if field not in names:
            raise unknown(f"field of {where}", field, dict.fromkeys(names))


def keywords(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters that a function takes by name only."""
    parameters = inspect.signature(function).parameters
    return {name: parameter for name, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY}
