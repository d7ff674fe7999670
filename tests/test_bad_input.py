"""Bad input: whatever text or command line is given, the answer is a result or one sentence, and within a second."""

import json
import signal
from contextlib import contextmanager

import hypothesis.strategies as st
import numpy as np
import pytest
import strategies
from hypothesis import HealthCheck, Phase, given, settings

import lrlab as lr
from lrlab.cli import main

SECONDS = 2.0  # of processor time: twice what is promised, for machines half as fast as ours
PHASES = (Phase.generate, Phase.shrink)  # not to explain: the tracing takes the time that is measured


class TooSlow(BaseException):
    """Not an Exception, so that no `except` of the code under test can swallow it."""


@contextmanager
def within_a_second():
    """Of processor time, so that a machine that is busy with other tests does not fail this one."""

    def stop(*_):
        raise TooSlow(f"still busy after {SECONDS} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


# ------------------------------------------------------------------------------------------------- any text

NUMBERS = st.sampled_from(
    ["0", "1", "-1", "3e-4", "1e38", "1e-38", "1e-45", "1e999", "2147483647", "2147483648", "9" * 400, "0.5", "1/3", "nan", "٣"]
)  # fmt: skip
DURATIONS = st.sampled_from(
    ["0", "1", "7", "1000", "100000000", "2147483647", "99999999999", "'20%'", "'100%'", "'1e99%'", "'5ep'", "'1e9tok'", "None", "1.0", "'٣%'"]
)  # fmt: skip
COUNTS = st.sampled_from(["1", "2", "3", "31", "1000", "100000", "2147483647", "0", "None"])
SIMPLE_CURVES = ["linear", "cosine", "sqrt", "power(3)", "power(1e38)", "geometric"]


def _formed(inner):
    """Larger texts from smaller ones, well formed but for their numbers."""
    cycles = st.builds("repeat({}, {}, stretch={}, shrink={})".format, inner, COUNTS, COUNTS, NUMBERS)
    return st.one_of(
        st.builds("({}) >> ({})".format, inner, inner),
        st.builds("{} * ({})".format, NUMBERS, inner),
        st.builds("({}) {} ({})".format, inner, st.sampled_from("*+"), inner),
        st.builds("{}({}, {})".format, st.sampled_from(["minimum", "maximum", "join"]), inner, inner | NUMBERS),
        st.builds("repeat({}, {})".format, inner, COUNTS),
        st.builds("{}({}, {})".format, st.sampled_from(["shift", "stairs"]), inner, DURATIONS),
        st.builds("table({}, {})".format, inner | st.just("[1, 0.5, 0]"), DURATIONS),
        cycles,
    )


WORDS = st.one_of(
    st.builds(
        "{}({}, curve={})".format, st.sampled_from(["warmup", "decay"]), DURATIONS, st.sampled_from(SIMPLE_CURVES)
    ),
    st.builds("ramp({}, start={}, to={})".format, DURATIONS, NUMBERS, NUMBERS),
    st.builds("rsqrt({}, {})".format, DURATIONS, DURATIONS),
    st.builds("stable({})".format, DURATIONS),
)
FORMED = st.recursive(WORDS, _formed, max_leaves=12)


@st.composite
def mutated(draw):
    """A valid text with a few characters taken out, doubled, swapped or put in."""
    text = list(draw(strategies.schedules().map(repr)))
    for _ in range(draw(st.integers(1, 3))):
        i = draw(st.integers(0, len(text)))
        text[i : i + draw(st.integers(0, 2))] = draw(st.sampled_from("()[],>*+-/'\"=.%eE019 \n\0é٣😀_") | st.just(""))
    return "".join(text)


CHAINS = st.builds(
    lambda piece, operator, count: operator.join([piece] * count),
    st.sampled_from(["stable(1)", "decay(3, to=0.5)", "2", "repeat(stable(1), 1000)", "table([1])", "0.5 * stable(1)"]),
    st.sampled_from([" >> ", " * ", " + ", " - "]),
    st.integers(2, 1000),
)
BRACKETS = [
    ("2 * (stable(1) + ", ")"), ("stable(1) >> 2 * (", ")"), ("repeat(", ", 2)"), ("repeat(", ", 1000)"), ("(", ")"), ("-", ""),
    ("join(stable(1), ", ")"), ("repeat(", ", 3, stretch=3)"), ("minimum(0.5, ", ")"), ("shift(", ", -1)"), ("stairs(", ", 2)"), ("table(", ", 99999)"),
    ("minimum(stable(1), repeat(", ", 1000))"),
]  # fmt: skip
NESTS = st.builds(
    lambda pair, count: pair[0] * count + "stable(1)" + pair[1] * count, st.sampled_from(BRACKETS), st.integers(2, 60)
)


def used(text):
    """Read a text and do with it what commands do."""
    try:
        s = lr.parse(text)
        repr(s), hash(s)
        s = s.resolve(lr.Horizon(100_000, batch=256, sequence=2048, epoch=50_000))
        s.marks()
        with np.errstate(over="ignore", invalid="ignore"):  # levels may multiply to more than float32 holds
            s(range(0, 100_000, 1000))
    except lr.Refused:
        pass


@settings(max_examples=250, phases=PHASES)
@given(FORMED | mutated() | CHAINS | NESTS)
def test_any_text_is_used_or_refused_within_a_second(text):
    with within_a_second():
        used(text)


MONSTROUS = {
    "factors in factors": "2 * (stable(1) + " * 40 + "stable(1)" + ")" * 40,
    "cycles in cycles": "repeat(repeat(repeat(decay(1), 1000), 1000), 1000)",
    "cycles under a minimum": "minimum(stable(1), repeat(repeat(stable(1), 1000), 1000))",
    "a long table": "table(stable(100000000))",
    "tables of tables": "table(" * 60 + "stable(100000)" + ")" * 60,
    "a table of many words": "table(" + " + ".join(["warmup(9, curve=power(3))"] * 900) + ", 100000)",
    "a table next to many factors": "table(stable(100000))" + " * 2" * 50,
    "a long product": " * ".join(["0.5 * stable(1)"] * 1000),
    "a long chain": " >> ".join(["stable(1)"] * 2000),
}


@pytest.mark.parametrize("text", MONSTROUS.values(), ids=MONSTROUS.keys())
def test_a_text_that_multiplies_is_used_or_refused_within_a_second(text):
    with within_a_second():
        used(text)


def test_what_is_too_much_is_refused_in_a_sentence():
    with pytest.raises(
        lr.Refused,
        match=r"a table of 100000000 steps is too long to be filled while a text is read, where 100000 values",
    ):
        lr.parse("table(stable(100000000))")  # fmt: skip
    with pytest.raises(lr.Refused, match="more than 10000 parts and cycles, too many to name; repeat fewer times"):
        lr.join(*[lr.repeat(lr.decay(1), 1000)] * 11).marks()
    assert len(lr.repeat(lr.repeat(lr.decay(1), 1000), 1000).marks()) == 1  # cycles in cycles are named together
    assert lr.table(lr.stable(1_000_000)).length == 1_000_000  # in Python it is wanted


# ----------------------------------------------------------------------------------------- any command line

ODD = st.text(max_size=20) | st.sampled_from(["", "-", "--", "-1", "1e9", "x" * 5000, "\0", "٣", "9" * 5000, "/", ".", "a/b", "nan"])  # fmt: skip
OPTIONS = st.sampled_from(
    ["--steps", "--batch", "--sequence", "--epoch", "--preset", "--arm", "--set", "--seeds", "--out", "--parallel", "--json", "--optimizer", "--help-me"]
)  # fmt: skip
PATHS = st.sampled_from(
    ["steps", "batch", "schedule", "schedule.peak", "schedule.shape", "optimizer", "optimizer.b1", "clip", "task", "task.dimensions", "chunk", "x", ""]
)  # fmt: skip
SETTINGS = st.builds("{}={}".format, PATHS, NUMBERS | DURATIONS | FORMED | ODD)
SMALL = st.sampled_from(["1", "3", "10", "100", "1000000", "2147483647", "2147483648", "0", "-3", "1.5"])
ARGUMENTS = st.lists(st.tuples(OPTIONS, ODD | SMALL | SETTINGS) | ODD.map(lambda odd: (odd,)), max_size=4)
WHAT = FORMED | mutated() | ODD | st.sampled_from(["claim", "clami", "missing.py", "folder.py", "decay()", "3e-4 * warmup(10) >> decay()"])  # fmt: skip
EXPERIMENT = '''"""A claim."""
import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.task.quadratic import Quadratic

BASE = Experiment(task=Quadratic(dimensions=4), schedule=0.5 * lr.decay(), optimizer=lr.optim.adamw(), steps=20, batch=8)
ARMS = {"a": {}}
PRESETS = {"cpu": {}}
verdict = lambda runs: []
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "claim.py").write_text(EXPERIMENT)
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "verdict.json").write_text("{")
    main(["show", "claim"])  # what it imports is not the time of a request
    return tmp_path


def answered(words, capsys):
    """Exit code of a command line, which must be a result or one sentence."""
    capsys.readouterr()
    with within_a_second():
        code = main(words)
    printed = capsys.readouterr()
    assert code in (0, 2, 3)
    assert "Traceback" not in printed.err
    if code:
        assert not printed.out
        assert printed.err.startswith("lrlab: ")
    elif "--json" in words:
        json.loads(printed.out)


@settings(
    max_examples=200, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.sampled_from(["list", "show", "lint"]), st.lists(WHAT, max_size=2), ARGUMENTS)
def test_any_request_to_look_is_answered_within_a_second(folder, capsys, command, what, arguments):
    """`--steps 1000000 --json` prints a million values and may take longer; it is not what is asked here."""
    words = [command, *what, *(word for pair in arguments for word in pair)]
    if "--json" in words:
        words = [word if word != "1000000" else "1000" for word in words]
    answered(words, capsys)


@settings(
    max_examples=100, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.sampled_from([["run", "--seeds", "0"], ["find", "--seeds", "0"], ["report"]]), WHAT, ARGUMENTS)
def test_any_wrong_request_to_run_is_answered_within_a_second(folder, capsys, command, what, arguments):
    """No run begins: there are no seeds to run."""
    words = [word for pair in arguments for word in pair if word != "--seeds"]
    answered([command[0], what, *words, *command[1:]], capsys)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["show", "[1e-3, 1e-2] * stable(5)"], 2, "is several schedules in one; name each of them on its own"),
        (["show", "1e38 * stable(2) * (1e38 * stable(2))"], 2, "leaves what a 32-bit number can hold"),
        (["show", f"join({', '.join(['repeat(decay(1), 1000)'] * 11)})"], 2, "more than 10000 parts and cycles"),
        (["show", "named.noam([10000000], 99999999999)"], 2, "noam(d_model=[10000000]): write a positive whole number"),
        (["run", "claim", "--set", "schedule=[1, 2] * stable()"], 2, "is several schedules in one; give each an arm"),
        (["show", "x" * 5000 + ".py"], 3, "File name too long"),
        (["report", "x" * 5000], 3, "File name too long"),
    ],
)
def test_a_request_that_went_wrong_once_is_one_sentence(folder, words, code, sentence, capsys):
    capsys.readouterr()
    assert main(words) == code
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.count("\n") == 1
    assert sentence in printed.err


def test_a_curve_with_a_monstrous_number_has_values():
    assert [float(lr.decay(2, curve=lr.rex(1e38))(t)) for t in range(3)] == pytest.approx([1, 0, 0], abs=1e-30)
