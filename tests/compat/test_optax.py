"""optax.schedules as lrlab writes them against Optax itself, at every update."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compat.published import assert_agrees, sequence
from hypothesis import given, settings
from hypothesis import strategies as st

import lrlab as lr

ours = lr.compat.optax
UPDATES = 300  # one shape, so that what Optax computes is compiled once

RATES = st.sampled_from([0.0, 1e-5, 0.01, 3e-4, 0.3, 1.0])
STEPS = st.integers(1, 120)
POWERS = st.sampled_from([0.5, 1, 2, 3.5])
BEGINS = st.sampled_from([-3, 0, 0, 1, 40])
FACTORS = st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0])
SCALES = st.just({}) | st.dictionaries(st.integers(0, 250), FACTORS, min_size=3, max_size=3)
WARMUPS = st.fixed_dictionaries({"init_value": RATES, "peak_value": RATES, "warmup_steps": st.integers(0, 60)})


def rates(schedule):
    """What an Optax schedule uses at updates 0, 1, 2, ..."""
    return np.asarray(jax.vmap(lambda count: jnp.float32(schedule(count)))(jnp.arange(UPDATES)), np.float64)


def assert_same(name, *args, **kwargs):
    """Within a millionth of the peak, which is some roundings of float32; and the notation reads back."""
    schedule = getattr(ours, name)(*args, **kwargs)
    expected = rates(getattr(optax.schedules, name)(*args, **kwargs))
    assert_agrees(schedule, expected, peak=expected.max() or 1e-30)
    assert lr.parse(repr(schedule)) == schedule


@given(RATES, RATES, POWERS, st.integers(-2, 120), BEGINS)
def test_polynomial_and_linear(init, end, power, steps, begin):
    assert_same("polynomial_schedule", init, end, power, steps, begin)
    assert_same("linear_schedule", init, end, steps, begin)


@settings(max_examples=30)
@given(RATES, SCALES, st.sampled_from(["linear", "cosine"]))
def test_piecewise(init, scales, kind):
    assert_same("constant_schedule", init)
    assert_same("piecewise_constant_schedule", init, scales)
    assert_same("piecewise_interpolate_schedule", kind, init, scales)


SHARES = st.floats(0, 1)


@settings(max_examples=30)
@given(STEPS, RATES, SHARES, SHARES, st.sampled_from([1.0, 25.0, 7.0]), st.sampled_from([1.0, 1e4]))
def test_one_cycle(steps, peak, start, final, div, final_div):
    assert_same("linear_onecycle_schedule", steps, peak, start, final, div, final_div)
    assert_same("cosine_onecycle_schedule", steps, peak, start, div, final_div)


@given(RATES, STEPS, st.sampled_from([0.0, 0.1, 0.9, 1.0, 1.01]), BEGINS, RATES | st.none(), WARMUPS)
def test_exponential(init, steps, ratio, begin, end, warmup):
    assert_same("exponential_decay", init, steps, ratio, begin, False, end)
    assert_same("warmup_exponential_decay_schedule", **warmup, transition_steps=steps, decay_rate=ratio, end_value=end)


@given(RATES, STEPS, st.sampled_from([0.1, 0.9, 1.01]), st.sampled_from([0, 1, 40]))
def test_a_staircase_switches_at_whole_multiples(init, steps, ratio, begin):
    flights = np.maximum(np.arange(UPDATES) - begin, 0) // steps
    assert_agrees(
        ours.exponential_decay(init, steps, ratio, begin, staircase=True), init * ratio**flights, peak=init or 1e-30
    )


def test_a_staircase_of_optax_is_late_where_ours_is_not():
    theirs = jax.jit(optax.schedules.exponential_decay(1.0, 107, 0.1, staircase=True))
    assert [float(theirs(t)) for t in (106, 107, 108)] == pytest.approx([1, 1, 0.1])  # at 107 float32 says 0.99999994
    assert ours.exponential_decay(1.0, 107, 0.1, staircase=True)([106, 107, 108]).tolist() == pytest.approx(
        [1, 0.1, 0.1]
    )


def test_a_rate_that_grows_without_bound_stops_where_float32_does():
    grown = ours.exponential_decay(1.0, 10, 10.0)
    assert grown == lr.parse("1 * repeat(ramp(10, start=1, to=10, curve=geometric), 38, shrink=10)")
    assert np.isfinite(grown(2**31 - 1))


# A power below 1 makes much of the last digits of Optax's cosine, so these are compared from 1 on.
COSINE_POWERS = st.sampled_from([1, 1, 2, 3.5])


@given(RATES, STEPS, st.sampled_from([0.0, 0.1, 1.0, 1.5]), COSINE_POWERS)
def test_cosine(init, steps, alpha, exponent):
    assert_same("cosine_decay_schedule", init, steps, alpha, exponent)


@given(WARMUPS, STEPS, RATES, COSINE_POWERS)
def test_warmups(warmup, steps, end, exponent):
    assert_same("warmup_constant_schedule", **warmup)
    total = warmup["warmup_steps"] + steps
    assert_same("warmup_cosine_decay_schedule", **warmup, decay_steps=total, end_value=end, exponent=exponent)


@given(st.lists(st.tuples(WARMUPS, STEPS), min_size=1, max_size=3))
def test_sgdr(cycles):
    assert_same(
        "sgdr_schedule", [{**warmup, "decay_steps": warmup["warmup_steps"] + steps} for warmup, steps in cycles]
    )


CHILDREN = st.one_of(
    st.tuples(st.just("constant_schedule"), RATES),
    st.tuples(st.just("linear_schedule"), RATES, RATES, STEPS, BEGINS),
    st.tuples(st.just("cosine_decay_schedule"), RATES, STEPS, st.just(0.1)),
    st.tuples(st.just("exponential_decay"), RATES, STEPS, st.just(0.5), BEGINS, st.just(False), RATES),
    st.tuples(st.just("piecewise_constant_schedule"), RATES, SCALES),
)


@given(st.lists(CHILDREN, min_size=1, max_size=4), st.data())
def test_joined_schedules_are_cut_or_held(children, data):
    boundaries = sorted(
        data.draw(st.lists(st.integers(0, 250), min_size=len(children) - 1, max_size=len(children) - 1))
    )
    build = lambda home: home.join_schedules([getattr(home, name)(*args) for name, *args in children], boundaries)
    schedule, expected = build(ours), rates(build(optax.schedules))
    assert_agrees(schedule, expected, peak=max(*expected, 1e-30))
    assert lr.parse(repr(schedule)) == schedule


def test_joined_schedules_of_joined_schedules():
    build = lambda home: home.join_schedules(
        [home.warmup_cosine_decay_schedule(0, 1, 10, 60), home.linear_schedule(0.5, 0, 20)], [40]
    )
    assert build(ours) == lr.parse("join(1 * warmup(10) >> decay(30, curve=cosine @ span(0, 0.6)), 0.5 * decay(20))")
    assert_agrees(build(ours), rates(build(optax.schedules)))


def test_a_function_of_the_step_becomes_a_table():
    schedule = lr.compat.from_optax(optax.schedules.cosine_decay_schedule(0.1, 4), 6)
    assert_agrees(schedule, [0.1, 0.0853553, 0.05, 0.0146447, 0, 0, 0])
    assert repr(lr.compat.from_optax(lambda count: 0.1 if count < 2 else 0.01, 4)) == "table([0.1, 0.1, 0.01, 0.01])"
    assert lr.compat.from_optax(lambda count: 0.1, 2) == lr.table([0.1, 0.1])
    assert lr.compat.from_optax(lr.warmup(4), 3) == lr.table([0, 0.25, 0.5])


ONE_CYCLE = "ONE-CYCLE total 10, pct_start .3, div 25, final_div 1e4 (fastai 1e5 on max)"
STEP = "STEP / MULTISTEP: step 3 gamma .1 ; milestones [3,6]"
CYCLES = [{"init_value": 0, "peak_value": peak, "warmup_steps": 1, "decay_steps": 5} for peak in (1, 0.5)]
PUBLISHED = {
    (ONE_CYCLE, "optax.cosine_onecycle_schedule(10,1.)"): ours.cosine_onecycle_schedule(10, 1.0),
    (ONE_CYCLE, "optax.linear_onecycle_schedule(10,1.)"): ours.linear_onecycle_schedule(10, 1.0),
    (ONE_CYCLE, "optax.cosine_onecycle_schedule(3,1.,pct_start=.2) (issue 1403 NaN)"): ours.cosine_onecycle_schedule(3, 1.0, 0.2),
    (STEP, "optax piecewise_constant({3:.1,6:.1})"): ours.piecewise_constant_schedule(1.0, {3: 0.1, 6: 0.1}),
    (STEP, "optax exponential_decay(1,3,.1,staircase)"): ours.exponential_decay(1.0, 3, 0.1, staircase=True),
    ("CYCLIC / RESTARTS", "optax.sgdr_schedule 2 cycles of 5 (warm 1)"): ours.sgdr_schedule(CYCLES),
    ("LINEAR warm-up 3, total 10, end 0", "optax join(linear,linear)"): ours.join_schedules(
        [ours.linear_schedule(0, 1, 3), ours.linear_schedule(1, 0, 7)], [3]
    ),
}  # fmt: skip


@pytest.mark.parametrize(("label", "schedule"), PUBLISHED.items(), ids=lambda value: str(value)[:60])
def test_what_optax_printed(label, schedule):
    assert_agrees(schedule, sequence(*label))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ours.constant_schedule(-1), "constant_schedule(value=-1): value is a number from 0"),
        (lambda: ours.polynomial_schedule(1, 0, 0, 9), "polynomial_schedule(power=0): power is a number above 0"),
        (lambda: ours.linear_schedule(1, 0, 9.5), "linear_schedule(transition_steps=9.5): transition_steps is a whole number"),
        (lambda: ours.piecewise_constant_schedule(1, {3: -1}), "the scale at 3=-1): the scale at 3 is a number from 0"),
        (lambda: ours.piecewise_interpolate_schedule("cubic", 1), "there is no interpolate_type of piecewise_interpolate_schedule 'cubic'"),
        (lambda: ours.linear_onecycle_schedule(0, 1), "linear_onecycle_schedule(transition_steps=0): transition_steps is a whole number of steps from 1 on"),
        (lambda: ours.cosine_onecycle_schedule(9, 1, pct_start=2), "cosine_onecycle_schedule(pct_start=2): pct_start is a number from 0 to 1"),
        (lambda: ours.exponential_decay(1, 9, -0.5), "exponential_decay(decay_rate=-0.5): decay_rate is a number from 0"),
        (lambda: ours.cosine_decay_schedule(1, 0), "cosine_decay_schedule(decay_steps=0): decay_steps is a whole number of steps from 1 on"),
        (lambda: ours.warmup_cosine_decay_schedule(0, 1, 9, 9), "warmup_cosine_decay_schedule(warmup_steps=9, decay_steps=9): decay_steps counts the warm-up too"),
        (lambda: ours.sgdr_schedule([]), "sgdr_schedule([]) has no cycle; write one dict of arguments for each"),
        (lambda: ours.sgdr_schedule([{"peak": 1}]), "sgdr_schedule({'peak': 1}): warmup_cosine_decay_schedule() got an unexpected keyword argument 'peak'"),
        (lambda: ours.join_schedules([lr.warmup(3)], [3]), "join_schedules(1 schedules, boundaries=[3]): there is one boundary between each two schedules"),
        (lambda: ours.join_schedules([lr.warmup(3)] * 3, [5, 3]), "boundaries=[5, 3]): there is one boundary between each two schedules, in ascending order"),
        (lambda: ours.join_schedules([max, lr.stable()], [5]), "from a function of the step make a schedule with from_optax"),
        (lambda: lr.compat.from_optax(0.1, 5), "from_optax(0.1, ...): an Optax schedule is a function of the step"),
        (lambda: lr.compat.from_optax(lambda count: -count, 5), "table(...) holds values that are negative or not finite"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_schedule_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
