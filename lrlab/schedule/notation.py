"""One notation: what `repr` of a schedule prints, what JSON stores and what the command line takes is read here.

The text is read as data: a fixed grammar of numbers, operators and the words below. Nothing is evaluated.
"""

import ast
import inspect
import json
import operator
from collections.abc import Callable, Mapping
from typing import Any

from lrlab.refusal import Refused, unknown
from lrlab.schedule import curve, words
from lrlab.schedule.core import Schedule

CURVES = {name: getattr(curve, name) for name in ("linear", "cosine", "sqrt", "geometric")}
_WORDS = "warmup stable decay ramp rsqrt inverse_time off table join repeat shift stairs minimum maximum"
_CURVES = "power polynomial exponential rex tanh logarithmic span"
WORDS = {name: getattr(words, name) for name in _WORDS.split()} | {
    name: getattr(curve, name) for name in _CURVES.split()
}
_OPERATORS = {ast.Mult: operator.mul, ast.Add: operator.add, ast.RShift: operator.rshift}
_ARITHMETIC = {ast.Mult: operator.mul, ast.Add: operator.add, ast.Div: operator.truediv, ast.Sub: operator.sub}
_LONGEST = 10_000_000  # characters; a table of a million values fits
_DEEPEST = 100
_LARGEST = 2**63  # integers that are counted exactly
_FILLED = 100_000  # values that the tables of one text are filled with, each from ten words: within a second


def parse(text: str) -> Schedule:
    """The schedule that a text describes; `parse(repr(s)) == s`.

    Beside the words it knows the schedules of `named` and `compat`: `named.noam(512)`, `compat.torch.StepLR(...)`.

    Raises `Refused` with the place of the mistake, and the nearest word to a misspelt one.

    >>> parse("3e-4 * warmup(2000) >> stable() >> decay('20%', curve=sqrt)")
    3e-4 * warmup(2000) >> stable() >> decay('20%', curve=sqrt)
    """
    schedule = read(text)
    if not isinstance(schedule, Schedule):
        raise Refused(f"'{_short(text)}' is not a schedule; to hold a rate write {_short(text)} * stable()")
    return schedule


def from_json(text: str) -> Schedule:
    """The schedule that `Schedule.to_json` stored."""
    try:
        stored = json.loads(text)["schedule"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Refused(
            f'\'{_short(str(text))}\' is not a stored schedule; it looks like {{"schedule": "warmup(10)"}}'
        ) from None
    return parse(stored)


def read(text: str, more_words: Mapping[str, Callable[..., Any]] | None = None) -> Any:
    """The value that a text describes: a schedule, a number, or what one of `more_words` builds."""
    if not isinstance(text, str):
        raise Refused(f"the notation is text, not {type(text).__name__}")
    if len(text) > _LONGEST:
        raise Refused(f"a schedule of {len(text)} characters is too long to read; at most {_LONGEST}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        place = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise Refused(
            f"'{_short(text)}' cannot be read{place}; write, for example, 3e-4 * warmup(100) >> decay()"
        ) from None
    return _Reader({**WORDS, **(more_words or {})}).read(tree, depth=0)


class _Reader:
    """Walks a syntax tree with a fixed vocabulary; whatever else it meets it refuses."""

    def __init__(self, words: Mapping[str, Callable[..., Any]]) -> None:
        self.words = words
        self.calls = self.filled = 0

    def read(self, tree: ast.AST, depth: int) -> Any:
        if depth > _DEEPEST:
            raise Refused(f"the schedule is nested deeper than {_DEEPEST} levels")
        match tree:
            case ast.Constant(value=bool()):
                raise Refused(f"{tree.value} has no place in a schedule; write a number, a duration or a word")
            case ast.Constant(value=int() | float() | str() | None):
                return tree.value
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return [self.read(element, depth + 1) for element in elements]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -_number(self.read(operand, depth + 1), operand)
            case ast.BinOp():
                return self.operation(tree, depth)
            case (
                ast.Name(id=name) | ast.Attribute(value=ast.Name(id="lr" | "lrlab"), attr=name)
            ):  # pasted from a script
                return self.curve(name)
            case ast.Call():
                return self.call(tree, depth)
        raise Refused(f"'{_source(tree)}' has no place in a schedule; it is made of numbers, *, +, >> and words")

    def operation(self, tree: ast.BinOp, depth: int) -> Any:
        chain = [tree]  # a long a >> b >> c ... leans to the left; walk it without recursion
        while isinstance(chain[-1].left, ast.BinOp):
            chain.append(chain[-1].left)
        value = self.read(chain[-1].left, depth + 1)
        for node in reversed(chain):
            value = _combined(value, self.read(node.right, depth + 1), node)
        return value

    def curve(self, name: str) -> Any:
        if name in CURVES:
            return CURVES[name]
        if name in self.words:
            raise Refused(f"'{name}' is a word with arguments; write {name}(...)")
        raise unknown("word", name, [*self.words, *CURVES])

    def call(self, tree: ast.Call, depth: int) -> Any:
        name = _dotted(tree.func).removeprefix("lr.").removeprefix("lrlab.")  # pasted from a script
        if name in CURVES:
            raise Refused(f"'{name}' is a curve and takes no arguments")
        if "." in name:
            function, read = _elsewhere(name), self.argument
        elif name in self.words:
            function, read = self.words[name], self.read
        elif name:
            raise unknown("word", name, self.words)
        else:
            raise Refused(
                f"'{_source(tree.func)}' is not a word of the notation; there are: {', '.join(self.words)}, and named.<paper>, compat.<peer>.<name>"
            )
        arguments = [read(argument, depth + 1) for argument in tree.args]
        keywords = {keyword.arg or "**": read(keyword.value, depth + 1) for keyword in tree.keywords}
        if len(keywords) < len(tree.keywords):
            raise Refused(f"'{_source(tree)}' gives an argument twice")
        try:
            given = inspect.signature(function).bind(*arguments, **keywords).arguments
        except TypeError as error:
            raise Refused(f"'{_source(tree)}': {error}") from None
        self.calls += 1
        if name == "table":
            self.fill(given["values"], given.get("steps"))
        try:
            return function(*arguments, **keywords)
        except Refused:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise Refused(f"'{_source(tree)}' is given what it cannot use ({error}); see its help") from None

    def fill(self, values: Any, steps: Any) -> None:
        """Count what a table will be filled with: a few letters can ask for hours of work."""
        if isinstance(values, Schedule) and steps is None:
            steps = values.length
        self.filled += steps * max(self.calls / 10, 1) if isinstance(steps, int) else 0
        if self.filled > _FILLED:
            raise Refused(
                f"a table of {steps} steps is too long to be filled while a text is read, where {_FILLED} values are "
                f"allowed; write the schedule itself, or call table(...) in Python"
            )

    def argument(self, tree: ast.AST, depth: int) -> Any:
        """An argument of a peer's function, which may also be a flag or a dictionary."""
        match tree:
            case ast.Constant(value=bool()):
                return tree.value
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values)
                return {self.read(key, depth + 1): self.argument(value, depth + 1) for key, value in pairs if key}
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return [self.argument(element, depth + 1) for element in elements]
        return self.read(tree, depth)


def _dotted(tree: ast.AST) -> str:
    """`a.b.c` as text, or nothing where the tree is anything else."""
    names = []
    while isinstance(tree, ast.Attribute) and len(names) < 4:
        names.append(tree.attr)
        tree = tree.value
    return ".".join([tree.id, *reversed(names)]) if isinstance(tree, ast.Name) else ""


def _elsewhere(name: str) -> Callable[..., Any]:
    """The function of `named` or `compat` that a dotted name means."""
    from lrlab.schedule import compat, named  # they are made of the words read here

    house, *rest = name.split(".")
    if house == "compat" and len(rest) == 2:
        if rest[0] not in compat.PEERS:
            raise unknown("peer", rest[0], compat.PEERS)
        module = getattr(compat, rest[0])
    elif house == "named" and len(rest) == 1:
        module = named
    else:
        raise Refused(f"'{_short(name)}' is no word; write named.<paper>(...) or compat.<peer>.<the peer's name>(...)")
    functions = public(module)
    if rest[-1] not in functions:
        raise unknown(f"schedule in {house}.{rest[0]}" if house == "compat" else "named schedule", rest[-1], functions)
    return functions[rest[-1]]


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def public(module: Any) -> dict[str, Callable[..., Any]]:
    """The functions that a module defines for others, by name."""
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function) and not name.startswith("_") and _within(function.__module__, module.__name__)
    }


def _combined(left: Any, right: Any, node: ast.BinOp) -> Any:
    """Schedules joined and combined and curves composed as in Python; numbers by arithmetic."""
    if isinstance(left, curve.Curve) and isinstance(node.op, ast.MatMult):
        return left @ right
    if isinstance(left, Schedule) or isinstance(right, Schedule):
        if type(node.op) not in _OPERATORS:
            raise Refused(f"'{_source(node)}': schedules are joined with >>, and combined with * and +")
        if isinstance(node.op, ast.RShift) and not isinstance(left, Schedule):
            raise Refused(f"'{_source(node)}': >> joins schedules; to hold a rate write it times stable()")
        return _OPERATORS[type(node.op)](left, right)
    if type(node.op) not in _ARITHMETIC:
        raise Refused(f"'{_source(node)}': numbers are combined with *, /, + and -")
    try:
        result = _ARITHMETIC[type(node.op)](_number(left, node.left), _number(right, node.right))
        return result if abs(result) < _LARGEST else float(result)
    except (ZeroDivisionError, OverflowError):
        raise Refused(f"'{_source(node)}' is not a finite number") from None


def _number(value: Any, tree: ast.AST) -> Any:
    if not isinstance(value, int | float):
        raise Refused(f"'{_source(tree)}' is not a number")
    return value


def _source(tree: ast.AST) -> str:
    try:
        return _short(ast.unparse(tree))
    except RecursionError:
        return "this"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
