"""Exactness: integer time, resolved durations, and values against a 50-digit reference up to step 2**31 - 1."""

from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, pairwise
from math import floor

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import strategies
from hypothesis import given, settings

import lrlab as lr

LAST = 2**31 - 1
RUNS = [10**4, 10**6, 10**8, LAST]
LENGTHS = pytest.mark.parametrize("run", RUNS, ids=["1e4", "1e6", "1e8", "2^31-1"])


def compiled(s, steps):
    """Values from a compiled program in float32, with the schedule's numbers as its arguments."""
    return np.asarray(jax.jit(lambda s, t: s(t))(s, jnp.asarray(np.asarray(steps), jnp.int32)), np.float64)


def reference(description, steps):
    return np.array([strategies.value(description, int(t)) for t in steps])


def around(*centres, run=LAST):
    return sorted({t for centre in centres for t in range(centre - 2, centre + 3) if 0 <= t <= run})


# --------------------------------------------------------------------------------- values, everything random


@given(strategies.descriptions(concrete=True))
def test_the_host_is_right_to_one_rounding(description):
    steps = strategies.telling_steps(description)
    got = strategies.build(description)(np.array(steps))
    # float64 throughout and one rounding to float32 (6e-8); far below the peak float32 itself has no more digits
    np.testing.assert_allclose(
        got, reference(description, steps), rtol=7e-8, atol=1e-12 * strategies.bound(description)
    )


@given(strategies.descriptions(concrete=True))
def test_a_single_step_on_the_host_is_right_to_one_rounding(description):
    s = strategies.build(description)
    steps = strategies.telling_steps(description)[::7]
    np.testing.assert_allclose(
        [s(t) for t in steps], reference(description, steps), rtol=7e-8, atol=1e-12 * strategies.bound(description)
    )


@settings(max_examples=20)  # each runs primitive by primitive through jax
@given(strategies.descriptions(concrete=True))
def test_float32_is_right_to_a_millionth_of_the_peak(description):
    steps = strategies.telling_steps(description)
    got = strategies.build(description)(jnp.array(steps, jnp.int32))
    # the promise of DESIGN.md
    np.testing.assert_allclose(got, reference(description, steps), rtol=0, atol=1e-6 * strategies.bound(description))


# ------------------------------------------------------------------------------ values, runs of every length

TO_ZERO = ["linear", "cosine", "sqrt"]
CURVES = [*TO_ZERO, ("power", 3.0), ("power", 0.3), "geometric"]


@LENGTHS
@pytest.mark.parametrize("curve", TO_ZERO)
def test_a_decay_to_zero_keeps_its_digits_to_the_last_step(curve, run):
    """Where 1 - t/T in float32 has none left: at run - 1 the usual formula is off by 39 % (linear) or 100 % (cosine)."""
    description = ("scale", 3e-4, ("decay", run, 0.0, curve))
    steps = sorted({*around(0, run // 2, run, run=run), *around(2**24, run=run), *range(run - 10, run + 1)})
    expected = reference(description, steps)
    s = strategies.build(description)
    # remaining and total steps to float32, their quotient, the curve, the peak: at most seven roundings of 6e-8
    np.testing.assert_allclose(compiled(s, steps), expected, rtol=5e-7, atol=0)
    np.testing.assert_allclose(s(np.array(steps)), expected, rtol=7e-8, atol=0)  # the host: one rounding
    assert compiled(s, [run])[0] == 0


@LENGTHS
@pytest.mark.parametrize("curve", CURVES, ids=str)
def test_every_joint_of_a_long_run_is_right(curve, run):
    warm, rest = run // 50, run - run // 50 - run // 10
    low = 1e-3 if curve == "geometric" else 0.0
    description = (
        "then",
        ("warmup", warm, low, curve),
        ("ramp", rest, 1.0, 0.5, curve),
        ("decay", run // 10, low, curve),
    )
    steps = around(0, warm, warm + rest, run, 2**24, warm + 2**24, run // 3, run=run)
    steps = sorted({*steps, *range(run - 10, run + 1)})
    expected = reference(description, steps)
    s = strategies.build(description)
    np.testing.assert_allclose(compiled(s, steps), expected, rtol=0, atol=1e-6)  # of a peak of 1: DESIGN.md
    np.testing.assert_allclose(s(np.array(steps)), expected, rtol=7e-8, atol=1e-15)


@LENGTHS
@pytest.mark.parametrize("curve", TO_ZERO)
def test_the_first_steps_of_a_warmup_keep_their_digits(curve, run):
    description = ("warmup", run, 0.0, curve)
    steps = [1, 2, 3, 4, 5, 100]
    np.testing.assert_allclose(
        compiled(strategies.build(description), steps), reference(description, steps), rtol=5e-7
    )  # as above


@LENGTHS
def test_an_inverse_square_root_is_right_however_long(run):
    description = ("then", ("warmup", run // 100, 0.0, "linear"), ("rsqrt", run // 100, run - run // 100))
    steps = around(run // 100, 2**24, run // 2, run, run=run)
    np.testing.assert_allclose(compiled(strategies.build(description), steps), reference(description, steps), rtol=5e-7)


@pytest.mark.parametrize("curve", CURVES, ids=str)
@pytest.mark.parametrize("start", [0, 2**24 - 40, 2**31 - 2**10], ids=["begin", "2^24", "end"])
def test_a_curve_to_its_end_never_turns_back(curve, start):
    """With 2**31 - 1 steps, neighbours share a float32; none may be on the wrong side of the one before."""
    low = 2.0**-10 if curve == "geometric" else 0.0
    steps = np.minimum(np.arange(start, start + 1024, dtype=np.int64), LAST)
    # With one end at 0, linear, cosine and power are a single rounded product, which keeps the order. sin, exp and the
    # quotient of the sqrt curve may err by a rounding, 6e-8 each, on either of two neighbours.
    slack = 0 if curve == "linear" else 2.5e-7
    for down in (True, False):
        s = strategies.build(("decay", LAST, low, curve) if down else ("warmup", LAST, low, curve))
        for values in (compiled(s, steps), s(steps).astype(np.float64)):
            rises = np.diff(values) if not down else -np.diff(values)
            assert (rises >= -slack * np.abs(values[1:])).all()


def test_neighbouring_steps_differ_at_the_end_of_the_longest_run():
    values = compiled(lr.decay(LAST), [LAST - i for i in range(10)])
    np.testing.assert_allclose(values * LAST, np.arange(10), rtol=5e-7)


def test_many_cycles_shrink_exactly():
    """shrink**cycle: in float32 the rounding of 0.9999 alone is raised to the power of the cycle."""
    description = ("repeat", ("stable", 10), 20_000, 1, 0.9999)
    s = strategies.build(description)
    steps = [0, 10, 1_000, 50_000, 100_000, 150_000, 199_999]
    expected = [0.9999 ** (t // 10) for t in steps]
    np.testing.assert_allclose(s(np.array(steps)), expected, rtol=7e-8)
    np.testing.assert_allclose(s(jnp.array(steps)), expected, rtol=0, atol=1e-6)  # of the peak: DESIGN.md


# ------------------------------------------------------------------------------------------------- cycles


@pytest.mark.parametrize("stretch", [1, 2, 3])
@pytest.mark.parametrize("over", [1, 7, 1001])
def test_a_cycle_begins_at_exactly_its_step(stretch, over):
    times = 5
    s = lr.repeat(lr.decay(over), times, stretch=stretch)
    lengths = [over * stretch**i for i in range(times)]
    begins = [0, *accumulate(lengths)]
    assert s.length == begins[-1]
    assert [(mark.begin, mark.end) for mark in s.marks()] == list(pairwise(begins))
    for steps in (np.array(begins[:-1]), jnp.array(begins[:-1])):
        np.testing.assert_array_equal(s(steps), 1.0)
    lasts = np.array(begins[1:]) - 1
    for steps in (lasts, jnp.array(lasts)):
        np.testing.assert_allclose(s(steps), 1 / np.array(lengths), rtol=3e-7)  # the last of n steps is at 1/n


def test_a_cycle_that_begins_beyond_two_to_the_24_begins_at_its_step():
    over = 2**24 + 1  # not a float32
    s = lr.repeat(lr.decay(over), 100)
    begins = np.arange(100, dtype=np.int64) * over
    for steps in (begins, jnp.asarray(begins, jnp.int32)):
        np.testing.assert_array_equal(s(steps), 1.0)
        np.testing.assert_allclose(s(steps[1:] - 1), 1 / over, rtol=3e-7)


def test_stretched_cycles_reach_the_last_step_without_overflow():
    over = 2**26
    s = lr.repeat(lr.decay(over), 5, stretch=2)  # 31 * 2**26 steps; a sixth cycle would not fit into int32
    begins = np.array([over * (2**i - 1) for i in range(5)])
    for steps in (begins, jnp.asarray(begins, jnp.int32)):
        np.testing.assert_array_equal(s(steps), 1.0)
    np.testing.assert_allclose(compiled(s, [31 * over - 1, LAST]), [1 / (16 * over), 0], rtol=3e-7)


@pytest.mark.parametrize(
    "description",
    [
        ("cycles", ("decay", 1000, 0.0, "linear"), LAST, 10, 1.0),
        ("cycles", ("decay", 1, 0.0, "linear"), LAST, 2, 1.0),
        ("cycles", ("decay", 1, 0.0, ("polynomial", 0.3)), LAST, 46341, 1.0),  # its third cycle is 2**31 steps and more
        ("cycles", ("then", ("warmup", 70_000, 0.0, "linear"), ("decay", 7000, 0.0, "cosine")), LAST, 7, 1.0),
        (
            "cycles",
            ("join", ("rsqrt", 3, 70), ("table", (1.0, 0.5, 2.0)), ("inverse_time", 50, 0.1, 2.0)),
            LAST,
            9,
            0.5,
        ),
        ("cycles", ("cycles", ("decay", 3, 0.0, ("power", 0.3)), 2**30, 3, 0.5), LAST, 7, 1.0),
        ("cycles", ("shift", ("stairs", ("decay", 9, 0.0, "linear"), 4), -5), LAST, 11, 1.0),
    ],
    ids=str,
)
def test_a_cycle_stretched_beyond_the_last_step_is_right(description):
    """Where a cycle lasts more steps than int32 counts, and only its beginning is reached."""
    joints = [joint for joint in strategies.joints(description) if joint <= LAST]
    steps = sorted({*around(*joints, 2 * 10**9, LAST), *np.geomspace(1, LAST, 50).astype(int).tolist()})
    expected, bound = reference(description, steps), strategies.bound(description)
    s = strategies.build(description)
    np.testing.assert_allclose(s(np.array(steps)), expected, rtol=7e-8, atol=1e-12)
    np.testing.assert_allclose([s(t) for t in steps], expected, rtol=7e-8, atol=1e-12)
    np.testing.assert_allclose(compiled(s, steps), expected, rtol=0, atol=1e-6 * bound)  # of the peak: DESIGN.md
    np.testing.assert_allclose(s(jnp.array(steps)), expected, rtol=0, atol=1e-6 * bound)


@pytest.mark.parametrize("by", [10**6, -(10**6)])
def test_a_shifted_clock_is_right_at_the_last_step(by):
    s = lr.shift(lr.decay(LAST), by)
    expected = max(-by, 0) / LAST
    for value in (s(LAST), s(np.array(LAST)), compiled(s, LAST)):
        np.testing.assert_allclose(value, expected, rtol=5e-7)


@settings(max_examples=30)
@given(st.integers(1, 50), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_a_cycle_of_cycles_begins_anew_at_each(over, outer, inner, outer_stretch, inner_stretch):
    """The reference counts step by step."""
    s = lr.repeat(lr.repeat(lr.ramp(over, start=1, to=2), inner, stretch=inner_stretch), outer, stretch=outer_stretch)
    expected = []
    for i in range(outer):
        for j in range(inner):
            steps = over * inner_stretch**j * outer_stretch**i
            expected += [1 + t / steps for t in range(steps)]
    assert s.length == len(expected)
    np.testing.assert_allclose(s(np.arange(len(expected))), expected, rtol=7e-8)


# ----------------------------------------------------------------------------------------------- durations

HORIZON = lr.Horizon(steps=1001, batch=32, sequence=128, epoch=1000)


@pytest.mark.parametrize(
    ("over", "steps"),
    [
        (17, 17), (0, 0), ("20%", 200), ("50%", 501), ("100%", 1001), ("0%", 0), (".1%", 1), ("0.04%", 0),
        ("5ep", 156), ("1ep", 31), ("0.5ep", 16), ("32ex", 1), ("48ex", 2), ("47ex", 1), ("1e4ex", 313),
        ("4096tok", 1), ("1e6tok", 244), (" 2e2 ex ", 6), ("1.6E+2ex", 5), ("320000e-3ex", 10),
    ],
)  # fmt: skip
def test_a_duration_becomes_the_nearest_whole_step(over, steps):
    """Halves upwards: 48 examples in batches of 32 are 1.5 updates, and become 2."""
    assert lr.stable(over).resolve(HORIZON).length == steps


def test_tokens_beyond_two_to_the_31_resolve_exactly():
    horizon = lr.Horizon(steps=LAST, batch=1000, sequence=1024)
    s = (lr.warmup("1e10tok") >> lr.decay("1e13tok")).resolve(horizon)
    joint, end = (floor(Fraction(10**10 + n, 1024 * 1000) + Fraction(1, 2)) for n in (0, 10**13))
    assert s.marks() == [("warmup", 0, joint), ("decay", joint, end)]
    assert horizon.exact("1e13tok") == Fraction(10**13, 1024 * 1000)
    assert horizon.exact("9007199254740993tok") == Fraction(9007199254740993, 1024 * 1000)  # 2**53 + 1: not a float64


@pytest.mark.parametrize("integer", [np.int32, np.int64], ids=["int32", "int64"])
def test_a_horizon_of_numpy_integers_does_not_overflow(integer):
    """What a config file or an array's shape product hands over: 2**20 * 2**12 tokens per update are 2**32."""
    horizon = lr.Horizon(integer(1000), batch=integer(2**20), sequence=integer(2**12), epoch=integer(2**30))
    assert horizon.exact("1e13tok") == Fraction(10**13, 2**32)
    assert horizon.exact("1e12ep") == 10**12 * 2**10
    assert horizon.exact("1e18%") == 10**19


percent = st.integers(0, 1000).map(lambda n: (f"{n / 10}%", Fraction(n, 1000)))


@given(
    st.lists(percent | st.integers(0, 500).map(lambda n: (n, n)), min_size=1, max_size=8),
    st.integers(1, 10**6),
)
def test_joints_are_rounded_where_they_fall(parts, run):
    """Each joint is its exact place to the nearest step, so that no step is lost or invented on the way."""
    exact = [share * run if isinstance(over, str) else Fraction(share) for over, share in parts]
    joints = [floor(joint + Fraction(1, 2)) for joint in accumulate(exact)]
    s = strategies.build(("then", *(("stable", over) for over, _ in parts)))
    if joints[-1] > run:
        with pytest.raises(lr.Refused, match=f"lasts {joints[-1]} steps, longer than the run of {run}"):
            s.resolve(lr.Horizon(steps=run))
    else:
        assert [mark.end for mark in s.resolve(lr.Horizon(steps=run)).marks()] == joints


@given(st.lists(percent, min_size=4, max_size=4), st.integers(0, 20), st.booleans(), st.integers(1, 10**4))
def test_a_sequence_in_a_sequence_has_the_joints_of_one_that_is_flat(parts, steps, rest, run):
    (a, _), (b, _), (c, _), (d, _) = parts
    inner = [lr.stable(steps), lr.stable() if rest else lr.stable(b), 2 * lr.stable(c)]
    flat = lr.join(lr.stable(a), *inner, lr.stable(d))
    nested = lr.join(lr.stable(a), inner[0] >> inner[1] >> inner[2], lr.stable(d))
    try:
        expected = flat.resolve(lr.Horizon(run))
    except lr.Refused:
        return
    resolved = nested.resolve(lr.Horizon(run))
    assert resolved.marks() == expected.marks()
    assert resolved.resolve(lr.Horizon(run)) == resolved


def test_a_sequence_in_a_sequence_loses_and_gains_no_step():
    s = lr.join(lr.stable("33.35%"), lr.stable(3) >> lr.decay("33.35%", to=0.5), 0.5 * lr.decay())
    for run in (100, 1000):
        resolved = s.resolve(lr.Horizon(run))
        assert resolved.length == run
        assert resolved.resolve(lr.Horizon(run)) == resolved


@given(st.lists(st.integers(1, 100), min_size=1, max_size=12), st.integers(1, LAST))
def test_shares_of_100_percent_fill_any_run(weights, run):
    total = sum(weights)
    shares = [round(1000 * w / total) for w in weights]
    shares[-1] += 1000 - sum(shares)
    if shares[-1] < 0:
        shares = [1000]
    s = strategies.build(("then", *(("stable", f"{n / 10}%") for n in shares)))
    assert s.resolve(lr.Horizon(steps=run)).length == run


@pytest.mark.parametrize("run", [1, 3, 7, 101, LAST])
def test_two_halves_fill_an_odd_run(run):
    s = (lr.warmup("50%") >> lr.decay("50%")).resolve(lr.Horizon(steps=run))
    assert s.length == run
    assert s.marks()[0].end == (run + 1) // 2


@given(strategies.descriptions().filter(strategies.claims_rest), strategies.horizons())
def test_a_part_that_takes_the_rest_fills_the_run(description, horizon):
    resolved = strategies.build(description).resolve(horizon)
    cycles = cycles_of_rest(description)
    # cycles share the rest in whole steps, so that fewer than one step a cycle may be left over; see `repeat`
    assert horizon.steps - cycles < resolved.length <= horizon.steps


def cycles_of_rest(description):
    """How many equal shares the rest is cut into: 1 where no cycle and no stair takes it."""
    if not isinstance(description, tuple) or not strategies.claims_rest(description):
        return 1
    inner = max([1, *(cycles_of_rest(part) for part in description[1:])])
    if description[0] == "repeat":
        _, _, times, stretch, _ = description
        return inner * sum(stretch**i for i in range(times))
    return inner * description[2] if description[0] == "stairs" else inner


@given(st.integers(1, 7), st.integers(50, 5000), st.sampled_from(["10%", "20%", 7]))
def test_what_follows_cycles_that_take_the_rest_still_ends_with_the_run(times, run, over):
    """Steps that the cycles cannot share are held after the last cycle, so that the cooldown ends where the run does."""
    s = (lr.repeat(lr.stable(), times) >> lr.decay(over)).resolve(lr.Horizon(steps=run))
    assert s.length == run
    assert s.marks()[-1].end == run


def test_a_run_of_a_single_step_can_be_resolved():
    s = 3e-4 * lr.warmup("2%") >> lr.stable() >> lr.decay("20%", curve=lr.sqrt)
    resolved = s.resolve(lr.Horizon(steps=1))
    assert resolved.length == 1
    assert resolved(0) == np.float32(3e-4)


@pytest.mark.parametrize(
    "s",
    [
        lr.minimum(lr.stable(), lr.decay(200)),
        lr.warmup(200) + lr.decay(),
        (lr.stable() * lr.decay(50, to=0.1)) >> lr.decay("60%"),
    ],
    ids=repr,
)
def test_a_part_longer_than_the_run_is_refused_beside_one_that_takes_the_rest(s):
    with pytest.raises(lr.Refused, match="longer than"):
        s.resolve(lr.Horizon(steps=100))


def test_parts_of_no_steps_pass_their_end_on():
    s = (
        lr.warmup(0)
        >> lr.decay(0, to=0.5)
        >> lr.stable(0)
        >> lr.ramp(0, start=3, to=2)
        >> lr.repeat(lr.stable(0), 3)
        >> lr.decay(2)
    )
    assert s.length == 2
    for steps in (np.arange(4), jnp.arange(4)):
        np.testing.assert_array_equal(s(steps), [1.0, 0.5, 0.0, 0.0])


def test_cycles_of_no_steps_resolve_to_themselves():
    s = lr.repeat(lr.stable(0), 3) >> lr.decay(2)
    assert s.resolve(lr.Horizon(steps=10)) == s


def test_the_reference_knows_the_textbook_values():
    """The reference is judged by hand, not by the code it judges."""
    assert strategies.value(("decay", 4, 0.0, "cosine"), 2) == 0.5
    assert strategies.value(("decay", 3, 0.0, "cosine"), 1) == pytest.approx(0.75, rel=1e-15)
    assert strategies.value(("decay", 4, 0.0, "sqrt"), 1) == 0.5
    assert strategies.value(("warmup", 4, 0.0, ("power", 2.0)), 2) == 0.25
    assert strategies.value(("decay", 2, 0.01, "geometric"), 1) == pytest.approx(0.1, rel=1e-15)
    assert strategies.value(("rsqrt", 100, 1000), 300) == 0.5
    assert strategies.value(("then", ("decay", 2, 0.5, "linear"), ("decay", 2, 0.5, "linear")), 3) == 0.375
    assert strategies.value(("repeat", ("decay", 2, 0.0, "linear"), 2, 2, 0.5), 4) == 0.25
    assert strategies.value(("minimum", 0.5, ("warmup", 4, 0.0, "linear")), 1) == 0.25
    assert abs(strategies._cos(strategies._PI / 3) - Decimal("0.5")) < Decimal(
        "1e-27"
    )  # the default context: 28 digits
