"""A path names any value in an experiment, and text reads as the type that stands there: `schedule.peak=1e-2`."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from lrlab.experiment import Experiment
from lrlab.node import Node
from lrlab.optim import (
    WORDS,
    EarlyStopping,
    Feedback,
    Group,
    Independent,
    Mechanic,
    Opposed,
    Optimizer,
    Watcher,
)
from lrlab.refusal import Refused, unknown
from lrlab.schedule import Schedule
from lrlab.schedule.notation import read

_Duration = int | str | None


def override(experiment: Experiment, changes: Mapping[str, Any]) -> Experiment:
    """The experiment with some values changed, each named by its path.

    Args:
        changes: path to value: `{"steps": 500, "task.width": 64, "schedule.peak": 1e-2}`. Values are of the field's
            type, or text that reads as it: `{"schedule": "1e-3 * warmup(100) >> decay()", "optimizer": "sgd()"}`. A word that
            stands once in the schedule names how long it lasts: `{"warmup": "10%"}`.

    Raises `Refused` for a path that does not exist, with the nearest that does, and for values of the wrong type.
    """
    for path, value in changes.items():
        experiment = _changed(experiment, spelled(experiment, path).split("."), value, path)
    return experiment


def spelled(experiment: Experiment, path: str) -> str:
    """The path in full, where it is a word of the schedule.

    >>> from lrlab import decay, warmup
    >>> from lrlab.optim import sgd
    >>> from lrlab.task.quadratic import Quadratic
    >>> spelled(Experiment(Quadratic(), 0.1 * warmup(10) >> decay(), sgd(), steps=100, batch=1), "warmup")
    'schedule.shape.parts.0.over'
    """
    lasting = [place for place, node in _parts(experiment.schedule, "schedule") if type(node).__name__.lower() == path]
    if len(lasting) > 1:
        raise Refused(f"{path} stands {len(lasting)} times in {experiment.schedule}; write one of {', '.join(lasting)}")
    return f"{lasting[0]}.over" if lasting else path


def _parts(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Nodes of a schedule that last, with their paths."""
    for name, (value, _) in _fields(node).items():
        if name == "over":
            yield place, node
        yield from _parts(value, f"{place}.{name}")


def assignment(text: str) -> tuple[str, str]:
    """`path=value` as a pair.

    >>> assignment("task.width=64")
    ('task.width', '64')
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise Refused(f"'{text}' sets nothing; write path=value, such as steps=500")
    return path.strip(), value.strip()


def _changed(node: Any, names: list[str], value: Any, path: str) -> Any:
    name, rest = names[0], names[1:]
    fields = _fields(node)
    if node is None:
        of = path.removesuffix("." + ".".join(names))
        raise Refused(f"{path}={value}: {of} is none; set all of it first, such as {of}=...")
    if name not in fields:
        raise unknown("value", path, [*_paths(node, path.removesuffix(".".join(names)))])
    old, hint = fields[name]
    new = _changed(old, rest, value, path) if rest else _typed(value, hint, path)
    if isinstance(node, dict):
        return {**node, name: new}
    if isinstance(node, tuple):
        return (*node[: int(name)], new, *node[int(name) + 1 :])
    if isinstance(node, Optimizer) and name in node.hyperparameters:
        name, new = "hyperparameters", {**node.hyperparameters, name: new}
    changed = dataclasses.replace(node, **{name: new})
    if not isinstance(node, Schedule | Watcher | Optimizer | Group):
        return changed
    try:
        return read(repr(changed), WORDS)  # read again, so that it is checked
    except Refused as refused:
        raise Refused(f"{path}={value}: {refused}") from None


def _fields(node: Any) -> dict[str, tuple[Any, Any]]:
    """Name to value and type of what can be set in a node."""
    if isinstance(node, dict):
        return {name: (value, float | Schedule | Independent | Opposed) for name, value in node.items()}
    if isinstance(node, tuple):
        return {str(i): (value, type(value)) for i, value in enumerate(node)}
    if isinstance(node, Optimizer):
        return _fields(node.hyperparameters) | ({"base": (node.base, Optimizer)} if isinstance(node, Mechanic) else {})
    if not dataclasses.is_dataclass(node):
        return {}
    hints = {field.name: field.type for field in dataclasses.fields(node)}
    if not isinstance(node, Node):
        hints = typing.get_type_hints(type(node))
    return {
        name: (getattr(node, name), _hint(name, hints[name]) if isinstance(node, Node) else hints[name])
        for name in hints
    }


def _hint(name: str, hint: Any) -> Any:
    """The type of a node's field."""
    return (_Duration if name == "over" else float) if hint is Any else hint


def _paths(node: Any, prefix: str) -> list[str]:
    paths = []
    for name, (value, _) in _fields(node).items():
        paths += [prefix + name, *_paths(value, f"{prefix}{name}.")]
    return paths


def _typed(value: Any, hint: Any, path: str) -> Any:
    """`value` as the type that a field asks for, read from text where it is text."""
    options = _options(hint)
    if isinstance(value, str) and value.lower() == "none" and type(None) in options:
        return None
    why = f"{path} is {_spoken(hint)}"
    for option in options:
        try:
            return _as(option, value)
        except Refused as refused:
            why = str(refused)
        except (ValueError, TypeError, KeyError):
            pass
    raise Refused(f"{path}={value}: {why}")


def _as(kind: Any, value: Any) -> Any:
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise unknown("choice", str(value), map(str, choices))
        return value
    if typing.get_origin(kind) is tuple:
        names = typing.get_origin(typing.get_args(kind)[0]) is Literal
        if isinstance(value, str):
            value = [name.strip() for name in value.split(",") if name.strip()] if names else read(value, WORDS)
        return tuple(
            _typed(item, typing.get_args(kind)[0], "each")
            for item in (value if isinstance(value, list | tuple) else [value])
        )
    if isinstance(kind, type) and issubclass(kind, Schedule | Optimizer | Watcher | Group | Independent | Opposed):
        value = read(value, WORDS) if isinstance(value, str) else value
        if not isinstance(value, kind):
            raise TypeError
        return value
    if kind is bool:
        return {"true": True, "false": False}[value.lower()] if isinstance(value, str) else _exactly(bool, value)
    if kind is int:
        return int(value) if isinstance(value, str) else _exactly(int, value)
    if kind is float:
        return float(value)
    return _exactly(kind, value)


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def _exactly(kind: Any, value: Any) -> Any:
    if not isinstance(kind, type) or not isinstance(value, kind) or kind is int and isinstance(value, bool):
        raise TypeError
    return value


def _spoken(hint: Any) -> str:
    if hint == int | str:
        return "a duration, such as 500 or '10ep'"
    if hint == _Duration:
        return "a duration, such as 100 or '5%'"
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}
    names |= {
        Schedule: "a schedule, such as 1e-3 * warmup(100) >> decay()",
        Optimizer: "an optimizer, such as adamw(b2=0.95)",
        Feedback: "plateau or greedy, such as plateau(patience=3)",
        EarlyStopping: "a rule, such as early_stopping(patience=5)",
        Independent: "independent(1e-4)",
        Opposed: "opposed(low=0.85, high=0.95)",
        Group: "a group, such as group('head', rate=0.1) or rest()",
        tuple[Group, ...]: "groups, such as [group('head', rate=0.1), rest()]",
        tuple[int | str, ...]: "times, such as [100, '50%']",
    }
    return " or ".join(names.get(option, "set field by field, with a longer path") for option in _options(hint))


def from_values(values: Mapping[str, Any]) -> Experiment:
    """The experiment that `Experiment.values` stored, read as data: words, numbers, and the tasks of lrlab by name.

    Raises `Refused` for a task that is not one of lrlab's, and for what is no value of its field.

    >>> from lrlab import decay
    >>> from lrlab.optim import sgd
    >>> from lrlab.task.quadratic import Quadratic
    >>> experiment = Experiment(Quadratic(dimensions=3), 0.1 * decay(), sgd(), steps=100, batch=2).resolve()
    >>> from_values(experiment.values()) == experiment
    True
    """
    hints = typing.get_type_hints(Experiment)
    fields = {name: value for name, value in values.items() if name in hints}
    try:
        task = fields.pop("task")
        made: dict[str, Any] = {
            name: None if value is None else _typed(value, hints[name], name) for name, value in fields.items()
        }
        return Experiment(_task(task), **made)
    except (KeyError, TypeError, AttributeError):
        raise Refused(
            "this is no stored experiment; it holds a task, a schedule, an optimizer, steps and batch"
        ) from None


def _task(stored: Mapping[str, Any]) -> Any:
    from lrlab.task.language import Language
    from lrlab.task.quadratic import Quadratic
    from lrlab.task.vision import Digits

    kinds: dict[str, Any] = {kind.__name__: kind for kind in (Language, Digits, Quadratic)}
    if stored["kind"] not in kinds:
        raise unknown("task of lrlab called", str(stored["kind"]), kinds)
    fields = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items() if name != "kind"
    }
    return kinds[stored["kind"]](**fields)
