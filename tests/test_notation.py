"""Text is read as data: what is not a schedule is refused at once, in a sentence, and nothing in it is ever run."""

import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import hypothesis.strategies as st
import numpy as np
import pytest
import strategies
from hypothesis import example, given

import lrlab as lr

SECONDS = 5  # "at once" with room for a busy machine: each of these takes under a second, or would take hours


class TooSlow(BaseException):
    """Not an Exception, so that no `except` of the code under test can swallow it."""


@contextmanager
def at_once(seconds=SECONDS):
    def stop(*_):
        raise TooSlow(f"still busy after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ------------------------------------------------------------------------------------------ what can be read


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (
            "3e-4*warmup(2000)>>stable()>>decay('20%',curve=sqrt)",
            "3e-4 * warmup(2000) >> stable() >> decay('20%', curve=sqrt)",
        ),
        ('  decay("20%")\n', "decay('20%')"),
        ("warmup(\n  10,  # a comment\n) >> decay(5)", "warmup(10) >> decay(5)"),
        ("warmup(10_000)", "warmup(10000)"),
        ("lr.warmup(3) >> lrlab.decay(4)", "warmup(3) >> decay(4)"),
        ("decay(9, curve=lr.cosine)", "decay(9, curve=cosine)"),
        ("1/25 * stable(2)", "0.04 * stable(2)"),
        ("(1 - 0.5) * 2 * stable(2)", "1 * stable(2)"),
        ("warmup(over=10, start=0)", "warmup(10)"),
        ("decay(10, to=1e-3)", "decay(10, to=1e-3)"),
        ("2 * 3 * stable(1)", "6 * stable(1)"),
        ("stable(1) * 2", "2 * stable(1)"),
        ("2 * (3 * stable(1) >> decay(2))", "6 * stable(1) >> decay(2)"),
        ("stable(1) >> (2 * stable(1) >> decay(2))", "stable(1) >> 2 * stable(1) >> decay(2)"),
        ("(warmup(1) + stable(2)) * decay(3)", "(warmup(1) + stable(2)) * decay(3)"),
        ("warmup(1) + stable(2) * decay(3)", "warmup(1) + stable(2) * decay(3)"),
        ("maximum(warmup(5), 0.1)", "maximum(warmup(5), 0.1)"),
        ("table((1, 0.5))", "table([1, 0.5])"),
        ("[1e-3, 1e-2] * stable(5)", "[1e-3, 0.01] * stable(5)"),
        ("repeat(decay(2), times=3, shrink=0.5)", "repeat(decay(2), 3, shrink=0.5)"),
        ("rsqrt('1e3ex')", "rsqrt('1e3ex')"),
        ("decay(None)", "decay()"),
        ("warmup(None)", "warmup(None)"),
    ],
)
def test_what_is_typed_is_printed_in_one_way(text, printed):
    assert repr(lr.parse(text)) == printed
    assert repr(lr.parse(printed)) == printed


def test_json_is_one_object_with_the_notation():
    s = 3e-4 * lr.warmup("2%") >> lr.decay()
    assert json.loads(s.to_json()) == {"schedule": "3e-4 * warmup('2%') >> decay()"}


# -------------------------------------------------------------------------------- what cannot: text -> sentence

NO_PLACE = "has no place in a schedule; it is made of numbers"

REFUSED = {
    "": "'' cannot be read",
    "warmup(10": "'warmup(10' cannot be read at character 7",
    "warmup(10) >>": "cannot be read",
    "warmup(10);decay(5)": "cannot be read at character 11",
    "s = warmup(10)": "cannot be read at character",
    "import os": "cannot be read at character",
    "warmup(10)\0": "cannot be read",
    "\ud800": "cannot be read",
    "warmup(5ep)": "cannot be read",
    "warmup(10, start=0.1, start=0.2)": "'warmup(10, start=0.1, start=0.2)'",
    "3e-4": "'3e-4' is not a schedule; to hold a rate write 3e-4 * stable()",
    "'20%'": "is not a schedule",
    "[1, 2]": "is not a schedule",
    "cosine": "'cosine' is not a schedule",
    "power(2)": "'power(2)' is not a schedule",
    "None": "'None' is not a schedule",
    "warmpu(10)": "there is no word 'warmpu'; did you mean 'warmup'?",
    "warmup(10) >> dcay()": "there is no word 'dcay'; did you mean 'decay'?",
    "decay(10, curve=cosin)": "there is no word 'cosin'; did you mean 'cosine'?",
    "x": "there is no word 'x'. There are: warmup",
    "warmup": "'warmup' is a word with arguments; write warmup(...)",
    "decay(10, curve=power)": "'power' is a word with arguments; write power(...)",
    "cosine(10)": "'cosine' is a curve and takes no arguments",
    "True * stable()": "True has no place in a schedule; write a number",
    "warmup(True)": "True has no place in a schedule",
    "warmup()": "'warmup()': missing a required argument: 'over'",
    "warmup(10, 0.5)": "'warmup(10, 0.5)': too many positional arguments",
    "decay(10, ot=0.1)": "got an unexpected keyword argument 'ot'",
    "ramp(10)": "missing a required",
    "repeat()": "missing a required argument: 'schedule'",
    "warmup(10) - decay(5)": "schedules are joined with >>, and combined with * and +",
    "warmup(10) / 2": "schedules are joined with >>, and combined with * and +",
    "warmup(10) ** 2": "schedules are joined with >>",
    "warmup(10) << decay(5)": "schedules are joined with >>",
    "warmup(10) @ decay(5)": "schedules are joined with >>",
    "3e-4 >> decay()": ">> joins schedules; to hold a rate write it times stable()",
    "linear >> decay()": ">> joins schedules",
    "[1] >> decay()": ">> joins schedules",
    "warmup(10) >> 3e-4": "what follows must be a schedule; to hold a level write >> stable()",
    "warmup(10) >> cosine": "what follows must be a schedule",
    "1 >> 2": "numbers are combined with *, /, + and -",
    "2 ** 3 * stable()": "'2 ** 3': numbers are combined with *, /, + and -",
    "7 // 2 * stable()": "numbers are combined with",
    "7 % 2 * stable()": "numbers are combined with",
    "1 / 0 * stable()": "'1 / 0' is not a finite number",
    "1e308 * 1e308 * stable()": "a rate is positive and finite",
    "'5ep' * 2": "is not a number",
    "linear + linear": "'linear' is not a number",
    "-warmup(10)": "'warmup(10)' is not a number",
    "-'5ep'": "is not a number",
    "-1 * stable()": "-1 next to stable(): a rate is positive and finite",
    "0 * stable()": "0 next to stable(): a rate is positive and finite",
    "1e999 * stable()": "a rate is positive and finite",
    "stable() + -1": "a rate is positive and finite",
    "'x' * stable()": "'x' next to stable(): a schedule is combined with numbers and other schedules",
    "None + stable()": "a schedule is combined with numbers and other schedules",
    "minimum(1, 2)": "minimum(1, 2) holds no schedule",
    "minimum(None, 'a')": "holds no schedule",
    "+stable()": NO_PLACE,
    "~1 * stable()": NO_PLACE,
    "1j * stable()": NO_PLACE,
    "b'1' * stable()": NO_PLACE,
    "...": NO_PLACE,
    "{}": NO_PLACE,
    "{1: 2}": NO_PLACE,
    "stable() if 1 else decay()": NO_PLACE,
    "stable() and decay()": NO_PLACE,
    "not stable()": NO_PLACE,
    "stable(1) < decay(1)": NO_PLACE,
    "stable(*[1])": NO_PLACE,
    "[1, 2][0] * stable()": NO_PLACE,
    "stable(**1)": "unexpected keyword argument '**'",
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.items(), ids=[ascii(text) for text in REFUSED])
def test_what_cannot_be_read_is_refused_in_a_sentence(text, sentence):
    with at_once(), pytest.raises(lr.Refused) as refusal:
        lr.parse(text)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("value", [None, 3, b"warmup(10)", ["warmup(10)"], lr.warmup(10)], ids=repr)
def test_only_text_is_parsed(value):
    with pytest.raises(lr.Refused, match=f"the notation is text, not {type(value).__name__}"):
        lr.parse(value)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '"warmup(10)"',
        "{}",
        '{"shedule": "warmup(10)"}',
        None,
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_what_is_not_a_stored_schedule_is_refused(stored):
    with at_once(), pytest.raises(lr.Refused, match="is not a stored schedule; it looks like"):
        lr.from_json(stored)


@pytest.mark.parametrize("content", ["3", "null", "{}", '["warmup(10)"]'])
def test_a_stored_schedule_that_is_not_text_is_refused(content):
    with pytest.raises(lr.Refused, match="the notation is text"):
        lr.from_json(f'{{"schedule": {content}}}')


# ----------------------------------------------------------------------------------------- nothing is ever run

BREACH = "__import__('pathlib').Path({path!r}).write_text('breach')"

ATTEMPTS = [
    "{breach}",
    "({breach}) * stable()",
    "warmup({breach})",
    "warmup(over={breach})",
    "warmup(10, **{breach})",
    "warmup(*{breach})",
    "table([{breach}])",
    "[{breach}] * stable()",
    "(lambda: {breach})()",
    "(lambda: {breach})() * stable()",
    "[{breach} for _ in (1,)]",
    "warmup(next({breach} for _ in (1,)))",
    "{{{breach}: 1}}",
    "f'{{{breach}}}'",
    'warmup(f"{{{breach}}}")',
    "(x := {breach})",
    "warmup(10) if {breach} else 1",
    "{breach} and warmup(10)",
    "stable(1)[{breach}]",
    "stable(1) < {breach}",
    "1 / 0 * {breach}",
    "lr.{breach}",
    "lr.parse.__globals__['__builtins__']['eval']({breach!r})",
    "lr.warmup.__globals__",
    "lr.__class__(3)",
    "().__class__.__base__.__subclasses__()",
    "stable(1).__class__.__mro__",
    "stable(1).resolve(1)",
    "eval({breach!r})",
    "exec({breach!r})",
    "open({path!r}, 'w')",
    "__import__('os')",
    "__builtins__",
    "__name__",
    "lr.optim",
    "np.load({path!r})",
    "warmup.__call__(10)",
    "await {breach}",
    "yield {breach}",
    "(yield {breach})",
]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nothing_in_a_text_is_run(attempt, tmp_path):
    path = str(tmp_path / "breach")
    breach = BREACH.format(path=path)
    if attempt.count("{") == attempt.count("{{"):
        text = attempt
    else:
        text = attempt.format(breach=breach, path=path)
    with at_once(), pytest.raises(lr.Refused):
        lr.parse(text)
    with at_once(), pytest.raises(lr.Refused):
        lr.from_json(json.dumps({"schedule": text}))
    assert not list(tmp_path.iterdir())


def test_the_breach_would_be_seen(tmp_path):
    """The attempts above are worth nothing unless running them leaves a trace."""
    eval(BREACH.format(path=str(tmp_path / "breach")))
    assert list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------- large and deep

HEAVY = {
    "a power": "9**9**9**9 * stable()",
    "a long power": "**".join(["9"] * 10_000),
    "a power of powers": "warmup(10**10**10)",
    "a shift": "(1 << 10000000000) * stable()",
    "a repeated string": "'a' * 10000000000 * stable()",
    "a repeated list": "[1] * 10000000000 * stable()",
    "parentheses": "(" * 10_000 + "stable(1)" + ")" * 10_000,
    "brackets": "table(" + "[" * 150 + "]" * 150 + ")",
    "calls in calls": "minimum(1, " * 190 + "stable(1)" + ")" * 190,
    "calls of calls": "stable(1)" + "()" * 1_000_000,
    "attributes": "lr" + ".a" * 1_000_000,
    "minus signs": "-" * 1_000_000 + "1",
    "a few minus signs": "-" * 500 + "1 * stable()",
    "lambdas": "lambda: " * 10_000 + "1",
    "nots": "not " * 3_000 + "1",
    "conditions": "1 if 1 else " * 3_000 + "1",
    "comparisons": "<".join(["1"] * 10_000),
    "a chain of a million numbers": "+".join(["1"] * 1_000_000) + " + stable()",
    "a chain of a million differences": "-".join(["1"] * 1_000_000) + " - stable()",
    "a chain of a million schedules": ">>".join(["stable(1)"] * 1_000_000),
    "a chain that leans to the right": "stable(1) >> (" * 150 + "stable(1)" + ")" * 150,
    "a long integer": "9" * 5_000 + " * stable()",
    "an integer beyond floats": "1" + "0" * 400 + " * stable()",
    "a level beyond floats": "decay(3, to=1" + "0" * 400 + ")",
    "a duration beyond printing": "warmup(" + "9" * 4000 + " * " + "9" * 4000 + ")",
    "a factor beyond printing": "9" * 4000 + " * " + "9" * 4000 + " * stable()",
    "times beyond counting": "repeat(decay(10), 100000000000000)",
    "cycles beyond counting": "repeat(decay(10), 100000000000000, stretch=2)",
    "too many characters": " " * 10_000_001,
}


# a collection of garbage at the bottom of the parser's recursion leaves no frame for jax's callback, which Python ignores
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("text", HEAVY.values(), ids=HEAVY.keys())
def test_a_text_that_would_take_forever_is_refused_at_once(text):
    with at_once(), pytest.raises(lr.Refused):
        lr.parse(text)


@pytest.mark.parametrize("over", ["1e99999999%", "1e-99999999%", "1e99999999tok"])
def test_a_duration_with_a_monstrous_exponent_is_refused_at_once(over):
    """Fraction('1e99999999') is an integer of a hundred million digits."""
    with at_once(), pytest.raises(lr.Refused):
        lr.warmup(over).resolve(lr.Horizon(steps=10, batch=1, sequence=1))


def test_a_table_of_two_billion_steps_is_refused():
    """In a process that may hold 16 GB of addresses: were it not refused, 2**31 floats would need more."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))\n"
        "import lrlab as lr\n"
        "for text in ('table([1.0, 0.5], steps=2147483647)', 'table(stable(2147483647))', 'table(warmup(1), steps=2147483647)'):\n"
        "    try: print(lr.parse(text))\n"
        "    except lr.Refused: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "refused\n" * 3, done.stderr[-500:]


@pytest.mark.parametrize("count", [100, 1000, 2500])
@pytest.mark.parametrize("operator", [">>", "+", "*"])
def test_what_is_read_can_be_printed_and_evaluated(operator, count):
    """A long chain is either refused or usable; it must not be accepted and then fail in repr, hash or a call."""
    with at_once(20):
        try:
            s = lr.parse(operator.join(["stable(1)"] * count))
        except lr.Refused:
            assert count > 1000  # a schedule of a thousand parts is long, but it is one
            return
        assert lr.parse(repr(s)) == s
        assert s(3) == (count if operator == "+" else 1)


def test_a_schedule_nested_to_the_right_reads_back():
    s = lr.decay(3)
    for _ in range(60):
        s = lr.stable(2) + s
    assert lr.parse(repr(s)) == s
    assert s(0) == 61


def test_a_hundred_thousand_values_read_back():
    s = lr.table([i / 7 for i in range(100_000)])
    with at_once(30):
        assert lr.parse(repr(s)) == s


# ----------------------------------------------------------------------------------------------------- any text

PIECES = [
    "warmup", "stable", "decay", "ramp", "rsqrt", "repeat", "table", "minimum", "maximum", "power", "linear", "cosine",
    "geometric", "(", ")", "[", "]", ",", ">>", "*", "+", "-", "/", "1", "0", "-1", "0.5", "10", "1e-3", "1e400", "'20%'",
    "'5ep'", "'x'", "None", "True", "over=", "to=", "start=", "curve=", "times=", "stretch=", "shrink=", "steps=", " ",
    "[1, 2]", "[]", "[[1], [1, 2]]", "[None]", "['a']", "stable(1)", "warmup(3)", "decay(2)", "power(2)",
]  # fmt: skip


@given(st.text(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@example("linear")
def test_any_text_is_a_schedule_or_refused(text):
    with at_once():
        try:
            s = lr.parse(text)
        except lr.Refused:
            return
        assert lr.parse(repr(s)) == s


ARGUMENTS = [
    "1", "0", "-1", "0.5", "1e400", "1" + "0" * 400, "'20%'", "'x'", "''", "None", "[1, 2]", "[]", "[[1], [1, 2]]", "[None]",
    "['a']", "['1']", "[[1, 2], [3, 4]]", "stable(1)", "[stable(1)]", "linear", "[linear]", "power(2)", "power([1, 2])", "-0.0",
]  # fmt: skip
SHAPES = [
    "warmup({})", "warmup(2, start={})", "warmup(2, curve={})", "stable({})", "decay(2, to={})", "ramp(2, start={}, to=1)",
    "ramp(2, start=1, to={})", "rsqrt({})", "rsqrt(2, {})", "repeat({}, 2)", "repeat(stable(1), {})",
    "repeat(stable(1), 2, stretch={})", "repeat(stable(1), 2, shrink={})", "table({})", "table([1, 2], {})",
    "table(stable(2), {})", "minimum(stable(1), {})", "minimum({}, stable(1))", "{} * stable(1)", "stable(1) * {}",
    "{} + stable(1)", "stable(1) >> {}", "{} >> stable(1)", "decay(2, curve=power({}))", "2 * {}", "-{} * stable(1)",
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_every_argument_in_every_place_is_taken_or_refused(shape):
    """Taken means that it reads back and has values; no error but `Refused` reaches whoever typed it."""
    wrong = {}
    for text in map(shape.format, ARGUMENTS):
        try:
            with at_once(1):
                taken_or_refused(text)
        except (Exception, TooSlow) as error:
            wrong[text[:60]] = f"{type(error).__name__}: {error}"[:120]
    assert not wrong, "\n".join(f"{text}  ->  {error}" for text, error in wrong.items())


def taken_or_refused(text):
    try:
        s = lr.parse(text)
    except lr.Refused:
        return
    assert lr.parse(repr(s)) == s, f"reads back as {lr.parse(repr(s))}"
    try:
        s = s.resolve(lr.Horizon(steps=100))
    except lr.Refused as refusal:
        if not re.search("longer than|has no room", str(refusal)):
            raise
    else:
        assert np.isfinite(s(0)).all()


@given(strategies.schedules())
def test_spaces_and_lines_do_not_matter(s):
    text = repr(s).replace(" >> ", "\n  >>  ").replace(", ", ",\n")
    assert lr.parse(f"(\n{text}\n)") == s


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("named.noam(512, 4000)", lr.named.noam(512, 4000)),
        ("lr.named.wsd(1e-3, 300, curve=sqrt)", lr.named.wsd(1e-3, 300, curve=lr.sqrt)),
        ("compat.torch.StepLR(base_lr=0.1, step_size=30)", lr.compat.torch.StepLR(base_lr=0.1, step_size=30)),
        ("2 * lrlab.named.bert()", 2 * lr.named.bert()),
    ],
)
def test_the_museum_is_read_too(text, schedule):
    assert lr.parse(text) == schedule


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("named.naom()", "there is no named schedule 'naom'; did you mean 'noam'?"),
        ("compat.troch.StepLR()", "there is no peer 'troch'; did you mean 'torch'?"),
        ("compat.torch.StpLR()", "there is no schedule in compat.torch 'StpLR'; did you mean 'StepLR'?"),
        ("compat.torch.check()", "there is no schedule in compat.torch 'check'"),
        ("compat.torch()", "'compat.torch' is no word; write named.<paper>(...) or compat.<peer>.<the peer's name>(...)"),
        ("os.system('true')", "'os.system' is no word; write named.<paper>(...)"),
        ("named.step(True, 5)", "True next to"),
        ("named.one_cycle(1, to='abc')", "is given what it cannot use"),
    ],
)  # fmt: skip
def test_what_the_museum_does_not_hold_is_refused(text, sentence):
    with pytest.raises(lr.Refused) as refusal:
        lr.parse(text)
    assert sentence in str(refusal.value)
