"""Groups of parameters: a rule by path gives some of them their own rate, schedule, weight decay and time of training.

A parameter's path is its keys joined by dots, such as `layers.0.attention.qkv.kernel`. Every parameter belongs to
exactly one group.
"""

import re
from collections.abc import Sequence
from dataclasses import KW_ONLY
from decimal import Decimal
from typing import Any, Self

import jax

from lrlab.node import Node
from lrlab.optim.coupled import Independent, peak
from lrlab.refusal import Refused
from lrlab.schedule import Duration, Horizon, Schedule
from lrlab.schedule.number import number
from lrlab.schedule.time import duration, whole
from lrlab.schedule.write import call, written


class Group(Node):
    """A rule for the parameters whose path `pattern` finds; None is for all that no other group finds."""

    pattern: str | None = None
    _: KW_ONLY
    rate: Any = 1.0
    schedule: Schedule | None = None
    decay: Any = 1.0
    weight_decay: float | Schedule | Independent | None = None
    begin: Duration = 0
    end: Duration = None
    peak: Any = None  # of the schedule that an independent decay follows, where it is bound

    @property
    def name(self) -> str:
        """The pattern as one would say it: `layers.0` for `layers\\.0\\.`."""
        return "rest" if self.pattern is None else self.pattern.replace("\\", "").strip(".^$") or self.pattern

    def finds(self, path: str) -> bool:
        """Whether the pattern is found anywhere in the path."""
        return self.pattern is not None and re.search(self.pattern, path) is not None

    def span(self, steps: int) -> tuple[Any, Any]:
        """The updates begin <= t < end that move the group, in a run of `steps`."""
        if isinstance(self.begin, str) or isinstance(self.end, str):
            raise Refused(f"{self} is not yet in steps; write group(...).resolve(Horizon(steps=...)) first")
        return self.begin, steps if self.end is None else self.end

    def resolve(self, horizon: Horizon) -> Self:
        """The same group with every duration in steps. Raises `Refused` for a time outside the run."""
        begin = whole(horizon.exact(self.begin))  # type: ignore[arg-type]
        end = None if self.end is None else whole(horizon.exact(self.end))
        if max(begin, end or 0) > horizon.steps or end is not None and begin > end:
            raise Refused(
                f"{self} trains from step {begin} to {horizon.steps if end is None else end}, in a run of "
                f"{horizon.steps}; begin and end lie in the run, the end after the beginning"
            )
        fitted = {
            name: value.resolve(horizon)
            for name in ("schedule", "weight_decay")
            if isinstance(value := getattr(self, name), Schedule | Independent)
        }
        return self.replace(begin=begin, end=end, **fitted)

    def bound(self, schedule: Schedule, weight_decay: Any) -> Self:
        """The same group with an independent decay, its own or the optimizer's, beside its schedule or the run's."""
        decay = weight_decay if self.weight_decay is None else self.weight_decay
        rate = schedule if self.schedule is None else self.schedule
        return self.replace(peak=peak(rate)) if isinstance(decay, Independent) else self

    def __repr__(self) -> str:
        return call("rest" if self.pattern is None else "group", self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


def group(
    pattern: str,
    *,
    rate: float = 1.0,
    schedule: Schedule | None = None,
    decay: float = 1.0,
    weight_decay: Any = None,
    begin: Duration = 0,
    end: Duration = None,
) -> Group:
    """A rule for the parameters in whose path a regular expression is found (`re.search`; anchor it with ^ and $).

    Args:
        pattern: the expression: "head", "embedding|positions", r"layers\\.0\\.".
        rate: times the schedule. 0 leaves the parameters as they are.
        schedule: the group's own, in place of the run's.
        decay: times the weight decay.
        weight_decay: the group's own, in place of the optimizer's: a number, a schedule, or `independent(...)`.
        begin: frozen before: steps, "20%", "5ep", ... . The optimizer's moments follow the gradients all the same, so
            that the first update is of the usual size.
        end: frozen from then on; None is never.

    >>> group("embedding|positions", rate=0.5, weight_decay=0)
    group('embedding|positions', rate=0.5, weight_decay=0)
    """
    if not isinstance(pattern, str) or not pattern:
        raise Refused(f"group({pattern!r}): write a regular expression found in paths, such as 'head'; or rest(...)")
    try:
        re.compile(pattern)
    except re.error as error:
        raise Refused(f"group({pattern!r}): the regular expression cannot be read: {error}") from None
    return _group(pattern, rate, schedule, decay, weight_decay, begin, end)


def rest(
    *,
    rate: float = 1.0,
    schedule: Schedule | None = None,
    decay: float = 1.0,
    weight_decay: Any = None,
    begin: Duration = 0,
    end: Duration = None,
) -> Group:
    """The group of all parameters that no other group finds; its arguments are those of `group`.

    >>> rest(rate=0.5)
    rest(rate=0.5)
    """
    return _group(None, rate, schedule, decay, weight_decay, begin, end)


def frozen(pattern: str) -> Group:
    """The parameters found are never changed.

    >>> frozen("embedding")
    group('embedding', end=0)
    """
    return group(pattern, end=0)


def layerwise(
    decay: float, *, layers: int, layer: str = r"layers\.{}\.", first: str = "embedding|positions"
) -> tuple[Group, ...]:
    """Layer-wise decay of the rate: layer l of L has decay^(L - l) of it, l from 0, what comes before the layers
    decay^(L + 1), and what comes after all of it (Clark et al. 2020, ELECTRA; Bao et al. 2022, BEiT).

    Args:
        decay: the share of the rate from one layer to the one below, 0.65 to 0.95.
        layers: L.
        layer: the pattern of a layer, with {} for its number.
        first: the pattern of what comes before the layers.

    >>> for group in layerwise(0.5, layers=2): print(group)
    group('embedding|positions', rate=0.125)
    group('layers\\\\.0\\\\.', rate=0.25)
    group('layers\\\\.1\\\\.', rate=0.5)
    rest()
    """
    decay = _share(decay, f"layerwise({written(decay)})")
    if not isinstance(layers, int) or isinstance(layers, bool) or layers < 1:
        raise Refused(f"layerwise(layers={layers!r}): layers is how many there are, a positive whole number")
    if "{}" not in layer:
        raise Refused(
            f"layerwise(layer={layer!r}): write {{}} where the number of the layer stands, r'layers\\.{{}}\\.'"
        )
    middle = (group(layer.replace("{}", str(l)), rate=decay ** (layers - l)) for l in range(layers))
    return (group(first, rate=decay ** (layers + 1)), *middle, rest())


def discriminative(*stages: str, low: float | None = None) -> tuple[Group, ...]:
    """Discriminative rates: from input to output the rates rise geometrically, from `low` of the rate to all of it
    (Howard & Ruder 2018, ULMFiT, section 3.2).

    Args:
        *stages: patterns, the input's first.
        low: of the first stage; by default 2.6 times less at each stage, as in ULMFiT.

    >>> discriminative("embedding", "layers", "norm|head", low=0.01)
    (group('embedding', rate=0.01), group('layers', rate=0.1), group('norm|head'))
    """
    if len(stages) < 2:
        raise Refused("discriminative(...) takes the patterns of two stages or more, the input's first")
    last = len(stages) - 1
    ratio = 2.6 if low is None else _share(low, f"discriminative(low={written(low)})") ** (-1 / last)
    return tuple(group(stage, rate=round(ratio ** (i - last), 15)) for i, stage in enumerate(stages))


def gradual_unfreezing(*stages: str | Group, every: int | str) -> tuple[Group, ...]:
    """The last stage trains from the beginning, and after each `every` the stage before it too (Howard & Ruder 2018,
    ULMFiT, section 3.3).

    Args:
        *stages: patterns, or groups such as those of `discriminative`, the input's first.
        every: steps, or a string with a unit.

    >>> gradual_unfreezing("embedding", "layers", rest(), every="10%")
    (group('embedding', begin='20%'), group('layers', begin='10%'), rest())
    """
    every = duration(every, "gradual_unfreezing(every)")
    if every is None:
        raise Refused("gradual_unfreezing(every=None): write how long each stage waits for the next, such as '10%'")
    groups = [stage if isinstance(stage, Group) else group(stage) for stage in stages]
    last = len(groups) - 1
    return tuple(one.replace(begin=_times(every, last - i)) for i, one in enumerate(groups))


def mup(width: int, base: int, *, matrices: str = "kernel") -> tuple[Group, ...]:
    """Width multipliers for Adam, AdamW and Lion: a peak found at width `base` stays the best at `width`.

    The rate of matrices from width to width is base/width of the others', and their weight decay, where it is
    multiplied by the rate, width/base times theirs, so that the product keeps (Yang et al. 2022, table 8; MuAdamW of
    their package). This is the optimizer's part. The model's is to draw these matrices with variance 1/fan-in, to scale
    attention by 1/head size, and to multiply its output by base/width; where it does not, the readout belongs to
    `matrices` too, drawn with variance 1/fan-in^2 (their table 3).

    Args:
        width: of this model.
        base: of the model at which the rate was tuned.
        matrices: the pattern of what maps width to width: neither embeddings, norms and biases nor, where the model
            multiplies its output, the readout.

    >>> mup(512, 128, matrices="kernel")
    (group('kernel', rate=0.25, decay=4), rest())
    """
    for name, value in (("width", width), ("base", base)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise Refused(f"mup({name}={value!r}): {name} is a positive whole number")
    return (group(matrices, rate=base / width, decay=width / base), rest())


def assigned(groups: Sequence[Group], params: Any) -> list[int]:
    """The group of each parameter, by its number, in the order of `jax.tree.leaves(params)`.

    Raises `Refused` for a parameter that no group finds, or two, and for a group that finds none; it names them.
    """
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    others = [i for i, one in enumerate(groups) if one.pattern is None]
    found = [[i for i, one in enumerate(groups) if one.finds(path)] or others for path in paths]
    for path, by in zip(paths, found):
        if not by:
            raise Refused(
                f"the parameter '{path}' is in no group: {_listed(groups)}; widen one, or add rest() for the others"
            )
        if len(by) > 1:
            raise Refused(
                f"the parameter '{path}' is in {len(by)} groups, {' and '.join(str(groups[i]) for i in by)}; "
                f"narrow a pattern, so that one finds it"
            )
    for i, one in enumerate(groups):
        if one.pattern is not None and not any(i in by for by in found):
            raise Refused(f"{one} finds no parameter; there are {_listed(paths)}")
    return [by[0] for by in found]


def checked(groups: Any) -> tuple[Group, ...]:
    """The groups as a tuple. Raises `Refused` for what is no group, and for names that are taken twice."""
    groups = (groups,) if isinstance(groups, Group) else tuple(groups)
    for one in groups:
        if not isinstance(one, Group):
            raise Refused(f"groups holds {one!r}; a group is written group('head', rate=0.1) or rest()")
    names = [one.name for one in groups]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise Refused(f"two groups are called '{twice}'; join them, or let their patterns differ")
    return groups


def _group(pattern, rate, schedule, decay, weight_decay, begin, end):
    word = "rest(...)" if pattern is None else f"group({pattern!r})"
    if schedule is not None and not isinstance(schedule, Schedule):
        raise Refused(
            f"{word}: schedule={schedule!r} is not a schedule; to hold a rate write {written(schedule)} * stable()"
        )
    if begin is None:
        raise Refused(f"{word}: begin=None says nothing; to freeze for ever write frozen({pattern!r})")
    if weight_decay is not None and not isinstance(weight_decay, Schedule | Independent):
        weight_decay = number(weight_decay, f"{word}: weight_decay={written(weight_decay)} is not a number from 0 on")
    return Group(
        pattern,
        rate=number(rate, f"{word}: rate={written(rate)} is not a number from 0 on; it multiplies the schedule"),
        schedule=schedule,
        decay=number(
            decay, f"{word}: decay={written(decay)} is not a number from 0 on; it multiplies the weight decay"
        ),
        weight_decay=weight_decay,
        begin=duration(begin, f"{word} frozen until begin"),
        end=duration(end, f"{word} trained until end"),
    )


def _share(value: Any, where: str) -> Any:
    return number(value, f"{where}: a share of the rate is above 0 and at most 1", positive=True, most=1.0)


def _times(every: int | str, count: int) -> int | str:
    """A duration several times over, in its unit."""
    if not isinstance(every, str) or count == 0:
        return every * count if count else 0  # type: ignore[return-value]
    amount, unit = re.fullmatch(r"(.+?)(%|ep|ex|tok)", every).groups()  # type: ignore[union-attr]
    return f"{(Decimal(amount) * count).normalize():f}{unit}"


def _listed(things: Sequence[Any], most: int = 12) -> str:
    """Some things in a sentence, not all of them if they are many."""
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return ", ".join(map(str, things[:most])) + more
