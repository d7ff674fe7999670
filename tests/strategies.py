"""Random schedules for the laws: each is drawn as a plain description, built with the public words, and judged apart.

A description is nested tuples of plain values, for example
    ("then", ("warmup", 10, 0.0, "linear"), ("decay", "20%", 0.1, ("power", 2.0)))
`build` makes the schedule from it with the words and operators a user types. `value` and `length` are the reference:
the definition of the algebra, written again from DESIGN.md in 50-digit decimals, without a line of lrlab.
"""

from decimal import Decimal, localcontext
from functools import reduce
from itertools import accumulate, pairwise
from operator import mul

import hypothesis.strategies as st

import lrlab as lr

DIGITS = 50  # nothing that cancels in float64 cancels here
WORDS = ("warmup", "stable", "decay", "ramp", "rsqrt", "inverse_time", "off", "table")


# ---------------------------------------------------------------------------------------------- building


def build(description):
    """The schedule, typed as a user would type it. A plain number stays one (for `+`, `minimum`, `maximum`)."""
    match description:
        case float():
            return description
        case ("warmup", over, start, curve):
            return lr.warmup(over, start=start, curve=build_curve(curve))
        case ("stable", over):
            return lr.stable(over)
        case ("decay", over, to, curve):
            return lr.decay(over, to=to, curve=build_curve(curve))
        case ("ramp", over, start, to, curve):
            return lr.ramp(over, start=start, to=to, curve=build_curve(curve))
        case ("rsqrt", timescale, over):
            return lr.rsqrt(timescale, over)
        case ("inverse_time", over, rate, power):
            return lr.inverse_time(rate, over, power=power)
        case ("off", over):
            return lr.off(over)
        case ("table", values):
            return lr.table(list(values))
        case ("then", *parts):
            return reduce(lambda a, b: a >> b, map(build, parts))
        case ("join", *parts):
            return lr.join(*map(build, parts))
        case ("shift", inner, by):
            return lr.shift(build(inner), by)
        case ("stairs", inner, each):
            return lr.stairs(build(inner), each)
        case ("scale", factor, inner):
            return factor * build(inner)
        case ("*", left, right):
            return build(left) * build(right)
        case ("+", left, right):
            return build(left) + build(right)
        case ("minimum", left, right):
            return lr.minimum(build(left), build(right))
        case ("maximum", left, right):
            return lr.maximum(build(left), build(right))
        case ("repeat", inner, times, stretch, shrink):
            return lr.repeat(build(inner), times, stretch=stretch, shrink=shrink)
        case ("cycles", inner, over, stretch, shrink):
            return lr.repeat(build(inner), over=over, stretch=stretch, shrink=shrink)
    raise AssertionError(description)


def build_curve(curve):
    match curve:
        case ("@", outer, inner):
            return build_curve(outer) @ build_curve(inner)
        case (name, *numbers):
            return getattr(lr, name)(*numbers)
    return getattr(lr, curve)


# ---------------------------------------------------------------------------------------------- the reference


def length(description, k=1):
    """Steps that a description with whole durations lasts, every duration taken k times."""
    match description:
        case float():
            return 0
        case ("rsqrt", _, over):
            return over * k
        case ("table", values):
            return len(values) * k
        case (("then" | "join"), *parts):
            return sum(length(part, k) for part in parts)
        case ("shift", inner, by):
            return max(length(inner, k) - by * k, 0)
        case ("stairs", inner, each):
            return length(inner) * each * k
        case ("cycles", _, over, _, _):
            return over * k
        case ("scale", _, inner):
            return length(inner, k)
        case ("repeat", inner, times, stretch, _):
            return sum(length(inner, k * stretch**i) for i in range(times))
        case (("*" | "+" | "minimum" | "maximum"), left, right):
            return max(length(left, k), length(right, k))
    return description[1] * k


def value(description, t):
    """The value at step t as a float, right to the last digit that a float holds."""
    with localcontext() as context:
        context.prec = DIGITS
        return float(_value(description, max(t, 0), 1))


def _value(description, t, k):
    match description:
        case float():
            return Decimal(description)
        case ("warmup", over, start, curve):
            return _between(start, 1.0, curve, t, over * k)
        case ("stable", _):
            return Decimal(1)
        case ("decay", over, to, curve):
            return _between(1.0, to, curve, t, over * k)
        case ("ramp", over, start, to, curve):
            return _between(start, to, curve, t, over * k)
        case ("rsqrt", timescale, over):
            return (Decimal(timescale * k) / (timescale * k + min(t, over * k))).sqrt()
        case ("inverse_time", over, rate, power):
            return (1 + Decimal(rate) * min(t, over * k) / k) ** -Decimal(power)
        case ("off", _):
            return Decimal(0)
        case ("table", values):
            return Decimal(values[min(t // k, len(values) - 1)])
        case ("join", first, *rest):
            steps = length(first, k)
            return _value(first, t, k) if not rest or t < steps else _value(("join", *rest), t - steps, k)
        case ("shift", inner, by):
            return _value(inner, max(t + by * k, 0), k)
        case ("stairs", inner, each):
            return _value(inner, t // (each * k), 1)
        case ("cycles", inner, over, stretch, shrink):
            t, cycle = min(t, over * k), 0
            while t >= (steps := length(inner, k * stretch**cycle)):
                t, cycle = t - steps, cycle + 1
            return Decimal(shrink) ** cycle * _value(inner, t, k * stretch**cycle)
        case ("then", first, *rest):
            steps = length(first, k)
            if not rest or t < steps:
                return _value(first, t, k)
            return _value(first, steps, k) * _value(("then", *rest), t - steps, k)
        case ("scale", factor, inner):
            return Decimal(factor) * _value(inner, t, k)
        case ("*", left, right):
            return _value(left, t, k) * _value(right, t, k)
        case ("+", left, right):
            return _value(left, t, k) + _value(right, t, k)
        case ("minimum", left, right):
            return min(_value(left, t, k), _value(right, t, k))
        case ("maximum", left, right):
            return max(_value(left, t, k), _value(right, t, k))
        case ("repeat", inner, times, stretch, shrink):
            for cycle in range(times):
                steps = length(inner, k * stretch**cycle)
                if t < steps or cycle == times - 1:
                    return Decimal(shrink) ** cycle * _value(inner, t, k * stretch**cycle)
                t -= steps
    raise AssertionError(description)


def _between(a, b, curve, t, over):
    a, b = Decimal(a), Decimal(b)
    u = Decimal(min(t, over)) / over if over else Decimal(1)
    if curve == "geometric" or curve[:2] == ("@", "geometric"):
        u = u if curve == "geometric" else _share(curve[2], u)
        return a ** (1 - u) * b**u
    return a + (b - a) * _share(curve, u)


def _share(curve, u):
    """How much of the way from a to b is done."""
    match curve:
        case "linear":
            return u
        case "cosine":
            return (1 - _cos(_PI * u)) / 2
        case "sqrt":
            return u.sqrt()
        case ("power", p):
            return u ** Decimal(p) if u else Decimal(0)
        case ("polynomial", p):
            return 1 - ((1 - u) ** Decimal(p) if u < 1 else Decimal(0))
        case ("exponential", ratio):
            return (1 - Decimal(ratio) ** u) / (1 - Decimal(ratio))
        case ("rex", beta):
            return Decimal(beta) * u / (Decimal(beta) + (1 - Decimal(beta)) * (1 - u))
        case ("tanh", lower, upper):
            return 1 / (1 + (-2 * (Decimal(lower) + (Decimal(upper) - Decimal(lower)) * u)).exp())
        case ("logarithmic", base):
            return (1 + (Decimal(base) - 1) * u).ln() / Decimal(base).ln()
        case ("span", begin, end):
            return Decimal(begin) + (Decimal(end) - Decimal(begin)) * u
        case ("@", outer, inner):
            return _share(outer, _share(inner, u))
    raise AssertionError(curve)


_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def _cos(x):
    """The Taylor series, as in the recipes of the decimal module."""
    total, term, n = Decimal(1), Decimal(1), 0
    while abs(term) > Decimal(10) ** -DIGITS:
        n += 2
        term *= -x * x / (n * (n - 1))
        total += term
    return total


# ---------------------------------------------------------------------------------------------- drawing

SIMPLE_CURVES = st.one_of(
    st.sampled_from(["linear", "cosine", "sqrt"]),
    st.tuples(st.sampled_from(["power", "polynomial"]), st.floats(0.25, 4.0, width=32)),
    st.tuples(st.just("exponential"), st.sampled_from([0.01, 0.1, 0.5])),
    st.tuples(st.just("rex"), st.sampled_from([0.25, 0.5, 2.0])),
    st.tuples(st.just("tanh"), st.sampled_from([-7.0, -3.0]), st.sampled_from([2.0, 3.0])),
    st.tuples(st.just("logarithmic"), st.sampled_from([2.0, 10.0, 1000.0])),
)
PIECES = st.tuples(st.just("span"), st.sampled_from([0.0, 0.125, 0.25]), st.sampled_from([0.5, 0.75, 1.0]))
CURVES = st.one_of(
    SIMPLE_CURVES,
    st.just("geometric"),
    st.tuples(st.just("@"), SIMPLE_CURVES | st.just("geometric"), SIMPLE_CURVES | PIECES),
)
# Levels are float32 numbers, so that host and compiled programs start from the same ones.
LEVELS = st.floats(2**-10, 1.0, width=32)
GAINS = st.floats(2**-7, 8.0, width=32)
PEAKS = st.one_of(st.sampled_from([1.0, 3e-4, 0.05, 1e-3]), st.floats(2**-17, 8.0, width=32))
STEPS = st.one_of(st.integers(0, 3), st.integers(1, 400))
# In a horizon of `HORIZONS` each of these lasts at least one step, and a random schedule fits in.
OPERATORS = ("then", "then", "join", "scale", "*", "+", "minimum", "maximum", "repeat", "cycles", "shift", "stairs")
UNITS = st.sampled_from(
    ["0.1%", "1%", "1.5%", ".7%", "0.33%", "1ep", ".25ep", "3e4ex", "12345ex", "2e7tok", "1.1e7tok"]
)


def horizons():
    """Runs with every unit known."""
    return st.builds(
        lr.Horizon,
        steps=st.integers(100_000, 10_000_000),
        batch=st.integers(64, 128),
        sequence=st.integers(128, 256),
        epoch=st.integers(10_000, 60_000),
    )


@st.composite
def descriptions(draw, *, concrete=False, rest=True, last=True, depth=2, shortest=0):
    """A random description.

    Args:
        concrete: durations in whole steps only, so that it can be evaluated as it is.
        rest: it may take the rest of the run (never where `concrete`).
        last: nothing follows it, so it may end at zero.
        depth: how many operators may lie within each other.
        shortest: the fewest steps of a part (a part of a cycle must last at least one).
    """
    rest = rest and not concrete
    kinds = [*(word for word in WORDS if last or word != "off"), *(OPERATORS if depth else [])]
    kind = draw(st.sampled_from(kinds))
    deeper = {"concrete": concrete, "depth": depth - 1, "shortest": shortest}
    if kind in WORDS:
        return draw(_words(kind, concrete, rest, last, shortest))
    if kind in ("then", "join"):
        count = draw(st.integers(2, 4))
        takes_rest = draw(st.integers(0, count - 1)) if rest else None  # at most one part may
        zero = [last and i == count - 1 or kind == "join" and i < count - 1 for i in range(count)]
        return (kind, *[draw(descriptions(rest=i == takes_rest, last=zero[i], **deeper)) for i in range(count)])
    if kind == "shift":
        return ("shift", draw(descriptions(rest=rest, last=last, **deeper)), draw(st.integers(-20, 20)))
    if kind == "stairs":
        return ("stairs", draw(descriptions(rest=rest, last=last, **deeper)), draw(st.integers(1, 5)))
    if kind == "cycles":
        cycle = draw(descriptions(rest=False, last=False, **{**deeper, "shortest": max(shortest, 1)}))
        over = None if rest and draw(st.booleans()) else draw(st.integers(1, 400) if concrete else UNITS)
        return ("cycles", cycle, over, draw(st.integers(1, 3)), draw(st.sampled_from([1.0, 0.5, 0.875])))
    if kind == "scale":
        return ("scale", draw(PEAKS), draw(descriptions(rest=rest, last=last, **deeper)))
    if kind == "repeat":
        stretch = draw(st.integers(1, 3))
        times = draw(st.integers(1, 5 if stretch == 1 else 3))
        cycle = draw(descriptions(rest=rest, last=last, **{**deeper, "shortest": max(shortest, 1)}))
        return ("repeat", cycle, times, stretch, draw(st.sampled_from([1.0, 0.5, 0.75, 1.25])))
    left = draw(descriptions(rest=rest, last=last, **deeper))
    number = kind != "*" and draw(st.integers(0, 2)) == 0
    right = draw(PEAKS) if number else draw(descriptions(rest=rest, last=last, **deeper))
    pair = (left, right) if draw(st.booleans()) else (right, left)
    return (kind, *pair)


@st.composite
def _words(draw, word, concrete, rest, last, shortest):
    over = draw(
        st.integers(shortest, 400) | STEPS.map(lambda n: max(n, shortest)) | (st.nothing() if concrete else UNITS)
    )
    if rest and draw(st.booleans()):
        over = None
    curve = draw(CURVES)
    zero = st.nothing() if "geometric" in (curve, curve[1]) else st.just(0.0)
    end = LEVELS | zero if last else LEVELS
    match word:
        case "warmup":
            return ("warmup", over, draw(LEVELS | zero), curve)
        case "stable":
            return ("stable", over)
        case "decay":
            return ("decay", over, draw(end), curve)
        case "ramp":
            return ("ramp", over, draw(GAINS | zero), draw(GAINS if not last else GAINS | zero), curve)
        case "rsqrt":
            timescale = draw(st.integers(1, 1000) | (st.nothing() if concrete else UNITS))
            return ("rsqrt", timescale, over)
        case "inverse_time":
            return (
                "inverse_time",
                over,
                draw(st.floats(2**-10, 1.0, width=32)),
                draw(st.sampled_from([0.5, 1.0, 2.0])),
            )
        case "off":
            return ("off", over)
        case "table":
            values = draw(st.lists(GAINS | st.just(0.0), min_size=1, max_size=6))
            return ("table", (*values[:-1], draw(GAINS)) if not last else tuple(values))
    raise AssertionError(word)


def claims_rest(description):
    """Whether some part takes the rest of the run."""
    if isinstance(description, tuple):
        if description[0] == "rsqrt":
            return description[2] is None
        return any(claims_rest(part) for part in description)
    return description is None


def schedules(**limits):
    """Random schedules in any units."""
    return descriptions(**limits).map(build)


def concrete_schedules(**limits):
    """Random schedules in whole steps, which can be evaluated as they are."""
    return descriptions(concrete=True, **limits).map(build)


def joints(description, begin=0, k=1):
    """The steps where some part of a concrete description begins or ends, in ascending order."""
    return sorted(set(_joints(description, begin, k)))


def _joints(description, begin, k):
    yield begin
    yield begin + length(description, k)
    match description:
        case (("then" | "join"), *parts):
            for part in parts:
                yield from _joints(part, begin, k)
                begin += length(part, k)
        case ("scale", _, inner):
            yield from _joints(inner, begin, k)
        case (("*" | "+" | "minimum" | "maximum"), left, right):
            yield from _joints(left, begin, k)
            yield from _joints(right, begin, k)
        case ("shift", inner, by):
            yield from (max(joint, begin) for joint in _joints(inner, begin - by * k, k))
        case ("stairs", inner, each):
            yield from (begin + joint * each * k for joint in _joints(inner, 0, 1))
        case ("repeat", inner, times, stretch, _):
            for i in range(times):
                yield from _joints(inner, begin, k * stretch**i)
                begin += length(inner, k * stretch**i)
        case ("cycles", inner, _, stretch, _):
            for i in range(8):  # enough of them
                yield from _joints(inner, begin, k * stretch**i)
                begin += length(inner, k * stretch**i)


def telling_steps(description, count=64):
    """`count` steps (always as many, so that jax compiles once) at which a concrete description could go wrong:
    before 0, around each joint, inside each part, after the end and at the last step that int32 counts."""
    ends = joints(description)
    around = {step for end in ends for step in (end - 1, end, end + 1)}
    inside = {(a + b) // 2 for a, b in pairwise(ends)}
    chosen = sorted(around | inside)
    chosen = [chosen[round(i * (len(chosen) - 1) / (count - 6))] for i in range(count - 5)]
    return [-1000, -1, *chosen, ends[-1] + 2, ends[-1] + 1000, 2**31 - 1]


def bound(description):
    """A level that the schedule never exceeds: what "of the peak" is measured against."""
    match description:
        case float():
            return description
        case ("ramp", _, start, to, _):
            return max(start, to)
        case ("table", values):
            return max(values)
        case ("then", *parts):
            return max(accumulate(map(bound, parts), mul))  # a later part may only lower the level
        case ("join", *parts):
            return max(map(bound, parts))
        case ("shift", inner, _) | ("stairs", inner, _) | ("cycles", inner, _, _, _):
            return bound(inner)
        case ("scale", factor, inner):
            return factor * bound(inner)
        case ("*", left, right):
            return bound(left) * bound(right)
        case ("+", left, right):
            return bound(left) + bound(right)
        case (("minimum" | "maximum"), left, right):
            return max(bound(left), bound(right))
        case ("repeat", inner, times, _, shrink):
            return max(1.0, shrink ** (times - 1)) * bound(inner)
    return 1.0
