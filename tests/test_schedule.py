"""The laws of the algebra, over random schedules, and its behaviour under every transformation of JAX."""

import copy
import pickle

import chex
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import strategies
from hypothesis import assume, given, settings
from strategies import concrete_schedules, descriptions, horizons, schedules

import lrlab as lr

FEWER = settings(max_examples=15)  # for laws that run primitive by primitive through jax

# The host computes in float64 and rounds once, half a unit in the last place: 2**-24 = 6e-8. Two roundings meet here.
HOST = {"rtol": 2e-7, "atol": 0}

EXAMPLES = {
    "WSD with 1-sqrt cooldown": 3e-4 * lr.warmup(20) >> lr.stable(60) >> lr.decay(20, curve=lr.sqrt),
    "cosine": 3e-4 * lr.warmup(2) >> lr.decay(98, to=0.1, curve=lr.cosine),
    "inverse square root, cooled": 1e-3 * lr.warmup(10) >> lr.rsqrt(10, 80) >> lr.decay(10),
    "SGDR": 0.05 * lr.repeat(lr.decay(14, curve=lr.cosine), 3, stretch=2, shrink=0.5),
    "one-cycle": lr.warmup(30, start=1 / 25) >> lr.decay(70, to=1e-4, curve=lr.cosine),
    "cycles of cycles": lr.repeat(
        lr.repeat(lr.warmup(3) >> lr.decay(4, to=0.5), 2, stretch=3, shrink=0.5), 2, stretch=2
    ),
    "pointwise": lr.minimum(1e-3 * lr.rsqrt(10, 50), lr.warmup(20) * lr.decay(90, to=0.1, curve=lr.geometric)) + 1e-5,
    "a table": lr.warmup(5, curve=lr.power(2.5)) >> lr.repeat(lr.table([1.0, 0.5, 0.25]), 4) >> lr.decay(30),
}
EVERY = pytest.mark.parametrize("s", EXAMPLES.values(), ids=EXAMPLES.keys())
STEPS = np.arange(-2, 126, 3)


def reads_back(s):
    text = repr(s)
    return lr.parse(text) == s and hash(lr.parse(text)) == hash(s) and repr(lr.parse(text)) == text


# ------------------------------------------------------------------------------------------ the algebra


@given(schedules(rest=False, last=False), schedules(rest=False, last=False), schedules())
def test_then_is_associative(a, b, c):
    assert (a >> b) >> c == a >> (b >> c)
    assert hash((a >> b) >> c) == hash(a >> (b >> c))


@given(strategies.PEAKS, schedules(rest=False, last=False), schedules())
def test_a_factor_commutes_with_then(k, a, b):
    assert k * (a >> b) == (k * a) >> b
    assert k * a == a * k


@given(concrete_schedules(last=False), concrete_schedules())
def test_lengths_add_up(a, b):
    assert (a >> b).length == a.length + b.length


@given(descriptions(concrete=True, last=False), descriptions(concrete=True))
def test_then_keeps_its_defining_equation_at_every_step(first, second):
    a, b = strategies.build(first), strategies.build(second)
    steps = np.maximum(strategies.telling_steps(("then", first, second)), 0)
    expected = np.where(steps < a.length, a(steps), a(a.length) * b(steps - a.length))
    # a(|a|) and b(t) are rounded apart and multiplied: three roundings of 6e-8. Products under 1e-37 may be subnormal.
    np.testing.assert_allclose((a >> b)(steps), expected, rtol=2e-7, atol=1e-37)


@given(concrete_schedules(), concrete_schedules(), concrete_schedules())
def test_joining_is_associative(a, b, c):
    assert lr.join(lr.join(a, b), c) == lr.join(a, lr.join(b, c)) == lr.join(a, b, c)


@given(*3 * [strategies.SIMPLE_CURVES.map(strategies.build_curve)])
def test_composing_curves_is_associative(f, g, h):
    assert repr(f @ (g @ h)) == repr((f @ g) @ h)


@given(concrete_schedules(), st.integers(0, 50), st.integers(0, 50))
def test_shifts_add_up(s, by, more):
    steps = np.arange(200)
    assert np.array_equal(lr.shift(lr.shift(s, by), more)(steps), s(steps + by + more))
    assert np.array_equal(lr.shift(s, -by)(steps), s(steps - by))


@given(concrete_schedules(), st.integers(1, 9), st.integers(1, 9))
def test_stairs_of_stairs_are_stairs(s, each, more):
    steps = np.arange(200)
    assert np.array_equal(lr.stairs(s, each)(steps), s(steps // each))
    assert np.array_equal(lr.stairs(lr.stairs(s, each), more)(steps), lr.stairs(s, each * more)(steps))
    assert lr.stairs(s, each).length == each * s.length


def test_stairs_of_an_epoch_count_in_epochs():
    run = lr.Horizon(steps=1000, batch=10, epoch=500)
    assert repr(lr.stairs(lr.decay(), "1ep").resolve(run)) == "stairs(decay(20), 50)"
    assert repr(lr.stairs(lr.warmup("2ep") >> lr.decay("10%"), "1ep").resolve(run)) == (
        "stairs(warmup(2) >> decay(2), 50)"
    )
    assert repr(lr.stairs(lr.decay(to=0.5), 300).resolve(run)) == "stairs(decay(3, to=0.5), 300) >> stable(100)"


@given(concrete_schedules(last=False, shortest=1), st.integers(1, 5), st.integers(1, 3))
def test_cycles_without_a_number_are_those_with_one(s, times, stretch):
    steps = np.arange(lr.repeat(s, times, stretch=stretch).length)
    assert np.array_equal(lr.repeat(s, stretch=stretch)(steps), lr.repeat(s, times, stretch=stretch)(steps))


@given(schedules())
def test_parse_reads_what_repr_prints(s):
    assert reads_back(s)


@given(schedules())
def test_json_keeps_a_schedule(s):
    stored = s.to_json()
    assert lr.from_json(stored) == s
    assert lr.from_json(stored).to_json() == stored


@given(schedules(), schedules())
def test_schedules_that_are_written_apart_differ(a, b):
    assume(repr(a) != repr(b))
    assert a != b


@given(concrete_schedules())
def test_a_parsed_schedule_has_the_same_values(s):
    steps = np.arange(-1, 200)
    np.testing.assert_array_equal(lr.parse(repr(s))(steps), s(steps))


@given(schedules(), horizons())
def test_resolving_twice_is_resolving_once(s, horizon):
    once = s.resolve(horizon)
    assert once.resolve(horizon) == once
    assert reads_back(once)


@given(schedules(), horizons())
def test_a_resolved_schedule_fits_its_run(s, horizon):
    assert 0 <= s.resolve(horizon).length <= horizon.steps


@given(descriptions(concrete=True))
def test_a_schedule_in_steps_resolves_to_itself(description):
    s = strategies.build(description)
    assume(s.length <= 10_000_000)
    assert s.resolve(lr.Horizon(steps=10_000_000)) == s


@given(descriptions(concrete=True))
def test_the_first_and_last_value_hold(description):
    s = strategies.build(description)
    end = s.length
    assert s(-1) == s(-(2**31)) == s(0)
    assert s(end) == s(end + 1) == s(end + 12_345) == s(2**31 - 1)


def test_an_interrupted_decay_goes_on_from_where_it_was():
    s = lr.decay(10, to=0.5) >> lr.decay(10, to=0.5)
    assert [float(s(t)) for t in (0, 10, 20)] == [1.0, 0.5, 0.25]


# ------------------------------------------------------------------------------ finite values and gradients


def float_gradients(s, steps):
    """The gradient of the sum over steps by every float leaf: not finite if it is not finite at any of the steps."""
    gradient = jax.grad(lambda s: s(steps).sum(), allow_int=True)(s)
    return [leaf for leaf in jax.tree.leaves(gradient) if leaf.dtype != jax.dtypes.float0]


@FEWER
@given(descriptions(concrete=True))
def test_values_and_gradients_are_finite_everywhere(description):
    s = strategies.build(description)
    steps = jnp.array(strategies.telling_steps(description), jnp.int32)
    assert jnp.isfinite(s(steps)).all()
    assert all(jnp.isfinite(g).all() for g in float_gradients(s, steps))


@pytest.mark.parametrize("curve", [lr.linear, lr.cosine, lr.sqrt, lr.power(0.3), lr.power(3.0), lr.geometric], ids=repr)
@pytest.mark.parametrize("step", [-5, 0, 1, 9, 10, 11, 19, 20, 21, 2**31 - 1])
def test_no_curve_has_an_infinite_gradient_at_a_joint(curve, step):
    low = 0.01 if curve is lr.geometric else 0.0
    s = 2.0 * lr.warmup(10, start=low, curve=curve) >> lr.decay(10, to=low, curve=curve)
    gradients = float_gradients(s, jnp.array([step]))
    assert gradients
    assert all(jnp.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize(
    "inner",
    [lr.polynomial, lambda p: lr.exponential(p / 10), lr.rex, lr.logarithmic, lambda p: lr.span(0, p)],
    ids=["polynomial", "exponential", "rex", "logarithmic", "span"],
)
@pytest.mark.parametrize("outer", [lr.sqrt, lr.power(0.3)], ids=repr)
def test_a_root_of_a_curve_has_a_finite_gradient_where_it_begins(outer, inner):
    for step in (0, 1, 10):
        gradient = jax.grad(lambda p, t=step: lr.decay(10, curve=outer @ inner(p))(jnp.int32(t)))(2.5)
        assert jnp.isfinite(gradient)


@pytest.mark.parametrize("curve", [lr.power, lr.polynomial])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 2.5])
def test_a_power_beyond_its_end_is_the_same_however_it_is_held(curve, p):
    s = lr.decay(10, curve=curve(p) @ lr.span(0, 2))
    steps, leaves = jnp.arange(11), jax.tree.map(jnp.asarray, s)
    host = s(np.arange(11))
    np.testing.assert_allclose(jax.jit(lambda s: s(steps))(leaves), host, rtol=0, atol=1e-6 * np.abs(host).max())
    if curve is lr.polynomial:
        np.testing.assert_array_equal(host[5:], 0.0)


@EVERY
def test_the_gradient_is_the_slope(s):
    """Against central differences of the float64 host, for the sum of all values."""

    def total(leaves):
        return float(np.sum(jax.tree.unflatten(tree, leaves)(STEPS), dtype=np.float64))

    leaves, tree = jax.tree.flatten(s)
    gradients = jax.tree.leaves(jax.grad(lambda s: s(jnp.asarray(STEPS)).sum(), allow_int=True)(s))
    checked = 0
    for i, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        if not isinstance(leaf, float) or leaf == 0:
            continue
        h = 1e-2 * leaf
        up, down = ([*leaves[:i], leaf + d, *leaves[i + 1 :]] for d in (h, -h))
        # A kink of minimum may lie between the two; elsewhere 1 % steps leave a curvature error below 1e-3, and values
        # rounded to float32 leave 43 * 6e-8 / 1e-2 = 3e-4 of the largest.
        np.testing.assert_allclose(
            gradient, (total(up) - total(down)) / (2 * h), rtol=5e-3, atol=5e-3 * total(leaves) / leaf
        )
        checked += 1
    assert checked


def test_every_number_that_is_not_a_duration_is_a_float_leaf():
    """However it is typed: an int leaf has no gradient, and a program traced for one is traced again for the other."""
    s = (
        [1, 2] * lr.warmup(3, start=1, curve=lr.power(2))
        >> lr.ramp(3, start=1, to=2)
        >> lr.repeat(lr.table([2, 1]), 2, shrink=1)
    )
    integers = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(s)
        if np.result_type(leaf).kind == "i"
    ]
    assert all(path.endswith(".over") for path in integers), integers


# ---------------------------------------------------------------------------- the same numbers, however called


@EVERY
def test_all_kinds_of_steps_give_the_same_numbers(s):
    expected = np.array([s(int(t)) for t in STEPS])
    np.testing.assert_allclose(s(STEPS), expected, **HOST)
    np.testing.assert_allclose(s(list(STEPS)), expected, **HOST)
    np.testing.assert_allclose([s(np.int32(t)) for t in STEPS], expected, **HOST)
    np.testing.assert_allclose(s(STEPS.reshape(1, -1))[0], expected, **HOST)
    # Compiled programs work in float32: a handful of roundings of 6e-8, "of the peak" as DESIGN.md promises.
    close = {"rtol": 0, "atol": 1e-6 * expected.max()}
    steps = jnp.asarray(STEPS)
    np.testing.assert_allclose(s(steps), expected, **close)
    np.testing.assert_allclose([s(t) for t in steps[:5]], expected[:5], **close)
    np.testing.assert_allclose(jax.jit(s)(steps), expected, **close)
    np.testing.assert_allclose(jax.jit(lambda s, t: s(t))(s, steps), expected, **close)
    np.testing.assert_allclose(jax.jit(jax.vmap(s))(steps), expected, **close)
    np.testing.assert_allclose(
        jax.lax.scan(lambda t, _: (t + 3, s(t)), jnp.int32(-2), length=len(STEPS))[1], expected, **close
    )


@EVERY
def test_every_value_is_float32(s):
    steps = [3, np.int64(3), STEPS, jnp.int32(3), jnp.asarray(STEPS)]
    assert all(s(step).dtype == np.float32 for step in steps)
    assert jax.eval_shape(s, jax.ShapeDtypeStruct((7, 2), jnp.int32)) == jax.ShapeDtypeStruct((7, 2), jnp.float32)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint8", "uint16", "uint32", "int32"])
@pytest.mark.parametrize("where", ["numpy", "jax"])
@pytest.mark.parametrize("peak", [1.0, np.ones(1)], ids=["one peak", "array of peaks"])
def test_a_narrow_or_unsigned_count_neither_wraps_nor_fails(dtype, where, peak):
    # 1000 wraps to -24 in int8 and 40_000 to -25_536 in int16; the -1 of a part that has not begun wraps in unsigned ones
    s = peak * lr.warmup(1000) >> lr.stable(40_000) >> lr.decay(100)
    step = np.array(5, dtype) if where == "numpy" else jnp.array(5, dtype)
    np.testing.assert_allclose(np.ravel(s(step)), [5 / 1000], rtol=3e-7)


@pytest.mark.parametrize("peaks", [2.0, np.array([1.0, 2.0]), jnp.array([1.0, 2.0])], ids=["python", "numpy", "jax"])
@pytest.mark.parametrize("step", [2**40, 2**70, np.int64(2**32), np.uint64(2**63 + 1), np.array(2**40)], ids=repr)
def test_a_count_beyond_int32_holds_the_last_value(peaks, step):
    s = peaks * lr.warmup(10)
    np.testing.assert_array_equal(s(step), peaks)
    np.testing.assert_array_equal(s(-(2**70)), np.zeros_like(peaks))


def test_a_tracer_is_a_step():
    s = EXAMPLES["cosine"]
    assert jax.jit(lambda t: s(t + 1))(1) == pytest.approx(float(s(2)), rel=1e-6)


def test_a_schedule_is_an_optax_schedule():
    s = 0.1 * lr.warmup(3) >> lr.decay(5, to=0.1)
    parameters, gradient = jnp.float32(1.0), jnp.float32(2.0)
    tx = optax.sgd(s)
    state, update = tx.init(parameters), jax.jit(tx.update)
    for t in range(10):
        delta, state = update(gradient, state)
        assert float(delta) == pytest.approx(-2.0 * float(s(t)), rel=1e-6)


def test_adamw_takes_a_schedule_as_it_is():
    s = 0.1 * lr.warmup(3, start=0.5) >> lr.decay(5, to=0.1)

    def run(learning_rate, steps=8):
        tx = optax.adamw(learning_rate, weight_decay=0.01)

        def step(carry, _):
            w, state = carry
            delta, state = tx.update(2 * w, state, w)
            return (optax.apply_updates(w, delta), state), delta

        w = jnp.array([1.0, -2.0])
        return jax.lax.scan(step, (w, tx.init(w)), length=steps)[1]

    np.testing.assert_allclose(run(s), run(lambda t: jnp.asarray([float(s(i)) for i in range(8)])[t]), rtol=2e-6)


# ----------------------------------------------------------------------------------------------- a pytree


@given(schedules())
def test_flatten_and_unflatten_return_the_same_schedule(s):
    leaves, tree = jax.tree.flatten(s)
    back = jax.tree.unflatten(tree, leaves)
    assert back == s
    assert jax.tree.structure(back) == tree
    assert jax.tree.structure(jax.tree.map(lambda _: object(), s)) == tree


@given(schedules())
def test_a_mask_of_a_schedule_keeps_its_structure(s):
    """What optax.masked, filters and partitions build: a tree of flags."""
    assert jax.tree.structure(jax.tree.map(lambda _: True, s)) == jax.tree.structure(s)


@given(schedules())
def test_schedules_can_be_pickled_and_copied(s):
    assert pickle.loads(pickle.dumps(s)) == s
    assert copy.deepcopy(s) == s


@EVERY
def test_one_trace_serves_all_values_of_the_leaves(s):
    chex.clear_trace_counter()  # it counts by source line, and this one serves all the examples

    @jax.jit
    @chex.assert_max_traces(n=1)
    def values(s, steps):
        return s(steps)

    bigger = jax.tree.map(lambda leaf: leaf + 1 if isinstance(leaf, int) else leaf * 0.5, s)
    assert not np.allclose(s(STEPS), bigger(STEPS))
    for member in (s, bigger):
        expected = member(STEPS)
        # float32 against the float64 host: 1e-6 of the peak, the promise of DESIGN.md
        np.testing.assert_allclose(values(member, STEPS), expected, rtol=0, atol=1e-6 * expected.max())


@EVERY
def test_stacked_schedules_are_each_what_they_were_alone(s):
    """Different durations and peaks, one program."""
    longer = 2.0 * jax.tree.map(lambda leaf: leaf + 3 if isinstance(leaf, int) else leaf * 0.5, s)
    members = [1.0 * s, longer]
    stack = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *members)
    population = jax.vmap(lambda s, t: s(t), in_axes=(0, None))
    for got, member in zip(jax.jit(population)(stack, jnp.asarray(STEPS)), members, strict=True):
        expected = member(STEPS)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * expected.max())  # float32, as above


@FEWER
@given(descriptions(concrete=True), strategies.PEAKS)
def test_any_two_schedules_of_one_shape_can_be_stacked(description, peak):
    s = strategies.build(description)
    members = [1.0 * s, peak * jax.tree.map(lambda leaf: leaf + 5 if isinstance(leaf, int) else leaf, s)]
    stack = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *members)
    steps = jnp.array(strategies.telling_steps(description), jnp.int32)
    together = jax.vmap(lambda s: s(steps))(stack)
    for got, member in zip(together, members, strict=True):
        # float32, 1e-6 of the peak
        np.testing.assert_allclose(
            got, member(np.asarray(steps)), rtol=0, atol=1e-6 * max(peak, 1) * strategies.bound(description)
        )


def test_an_array_of_peaks_is_a_population():
    peaks = jnp.geomspace(1e-4, 1e-1, 16)
    s = peaks * (lr.warmup("2%") >> lr.decay(curve=lr.cosine))
    resolved = s.resolve(lr.Horizon(steps=1000))
    one = (lr.warmup(20) >> lr.decay(980, curve=lr.cosine))(500)
    np.testing.assert_allclose(resolved(500), peaks * one, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(resolved)(500), peaks * one, rtol=1e-6)
    assert reads_back(s)


def test_timescales_can_be_swept():
    s = lr.rsqrt(jnp.array([100, 300])).resolve(lr.Horizon(1000))
    assert s.length == 1000
    np.testing.assert_allclose(s(300), [0.5, 0.5**0.5], rtol=3e-7)


def test_durations_can_be_swept_inside_a_program():
    values = jax.vmap(lambda over: (lr.warmup(over) >> lr.decay(100 - over))(30))(jnp.array([10, 30, 60]))
    np.testing.assert_allclose(values, [70 / 90, 1.0, 0.5], rtol=3e-7)


def test_levels_can_be_learned_inside_a_program():
    """Levels given as tracers to the words themselves, not only as leaves of a finished schedule."""

    def value(peak, to, p, shrink):
        return (peak * lr.repeat(lr.decay(10, to=to, curve=lr.power(p)), 2, shrink=shrink))(15)

    gradient = jax.jit(jax.grad(value, argnums=(0, 1, 2, 3)))(2.0, 0.5, 3.0, 0.5)
    # peak shrink (1 + (to - 1) u**p) at u = 1/2
    expected = [0.5 * (1 - 0.0625), 2 * 0.5 * 0.125, 2 * 0.5 * 0.5 * 0.125 * np.log(2), 2 * (1 - 0.0625)]
    np.testing.assert_allclose(gradient, expected, rtol=2e-6)


# ------------------------------------------------------------------------------------------------- marks


@given(st.lists(strategies.descriptions(concrete=True, depth=0, last=False), min_size=1, max_size=6), strategies.PEAKS)
def test_the_marks_of_a_sequence_are_its_parts_end_to_end(parts, peak):
    s = peak * strategies.build(("then", *parts))
    marks = s.marks()
    assert [mark.name for mark in marks] == [part[0] for part in parts]
    assert [mark.end - mark.begin for mark in marks] == [strategies.length(part) for part in parts]
    assert [mark.begin for mark in marks] == [0, *(mark.end for mark in marks[:-1])]
    assert marks[-1].end == s.length


def test_the_marks_of_cycles_stretch_with_them():
    s = lr.warmup(5) >> lr.repeat(lr.stable(1) >> lr.decay(2), 3, stretch=2)
    assert s.marks() == [
        ("warmup", 0, 5), ("stable", 5, 6), ("decay", 6, 8), ("stable", 8, 10), ("decay", 10, 14),
        ("stable", 14, 18), ("decay", 18, 26),
    ]  # fmt: skip


def test_the_marks_of_schedules_played_at_once_are_all_of_theirs():
    s = lr.minimum(lr.warmup(4) >> lr.stable(6), lr.decay(8)) + 1e-5
    assert s.marks() == [("warmup", 0, 4), ("decay", 0, 8), ("stable", 4, 10)]


@given(descriptions(concrete=True))
def test_marks_lie_within_the_schedule(description):
    s = strategies.build(description)
    assert all(0 <= mark.begin <= mark.end <= s.length for mark in s.marks())


# ------------------------------------------------------------------------------ the notation, where it is narrow


@pytest.mark.parametrize(
    "s",
    [
        lr.warmup(5, start=-0.0),
        lr.ramp(5, start=1, to=-0.0),
        lr.table([-0.0, 1.0]),
        lr.rsqrt("1%"),
        lr.rsqrt(10, 20),
        lr.decay(0, to=1 / 3),
        1e-30 * lr.stable(1),
        123456789.0 * lr.stable(1),
        1e-5 + lr.stable(1) + 1e-5,
        lr.stable(1) + (1e-5 + lr.stable(1)),
        2 * (lr.stable(1) * (3 * lr.decay(2))),
        lr.stable(1) * (2 * lr.stable(1) >> lr.decay(1)) * lr.stable(2),
        np.array([[1e-3, 2e-3], [3e-3, 4e-3]]) * lr.decay(1),
        np.float32([0.1, 0.2]) * lr.decay(1),
        lr.warmup(1) >> [0.5, 1.5] * lr.decay(1),
        lr.minimum(jnp.array([0.1, 0.2]), lr.decay(3)),
        lr.decay(" 5. % ", curve=lr.power(np.float32(0.1))),
        lr.table(lr.warmup(3)),
    ],
    ids=repr,
)
def test_a_rare_schedule_reads_back(s):
    assert reads_back(s)


def test_precedence_needs_no_parentheses():
    assert lr.parse("3e-4 * warmup(10) >> decay(90)") == 3e-4 * (lr.warmup(10) >> lr.decay(90))
    assert lr.parse("3e-4 * warmup(10) >> decay(90) + 1e-5") == 3e-4 * (lr.warmup(10) >> (lr.decay(90) + 1e-5))


# ------------------------------------------------------------------------- extremes that floats can just hold


@pytest.mark.parametrize(
    "text",
    [
        "decay(10, to=1e-50, curve=geometric)",
        "decay(10, to=1e-40, curve=geometric)",
        "warmup(10, start=1e-50, curve=geometric)",
        "decay(10, curve=power(1e30))",
        "decay(10, curve=power(1e-30))",
        "ramp(10, start=1e38, to=1e-37)",
        "repeat(rsqrt(2147483647, 10), 2, stretch=2)",
        "repeat(rsqrt(1073741824, 10), 3, stretch=2)",
        "repeat(rsqrt(1073741824, 10), 2, stretch=4)",
        "repeat(stable(10), 400, shrink=10.0)",
    ],
)
def test_extreme_numbers_are_refused_or_stay_finite_and_alike(text):
    try:
        s = lr.parse(text)
    except lr.Refused:
        return  # float32 cannot hold it, and a sentence says so
    steps = jnp.array([-1, 0, 1, 2, 3, 5, 9, 10, 11, 13, 20, 29, 30, 31, 2**31 - 1], jnp.int32)
    host = s(np.asarray(steps))
    assert np.isfinite(host).all()
    np.testing.assert_allclose(s(steps), host, rtol=0, atol=1e-6 * host.max())  # of the peak: DESIGN.md
    assert np.isfinite([s(int(t)) for t in steps]).all()
    assert all(jnp.isfinite(g).all() for g in float_gradients(s, steps))


def test_a_piece_of_a_decay_to_zero_can_be_followed():
    half = lr.decay(50, curve=lr.cosine @ lr.span(0, 0.5))
    assert (half >> lr.decay(50))(75) == pytest.approx(0.25)
    with pytest.raises(lr.Refused, match="ends at zero"):
        lr.decay(50, curve=lr.cosine @ lr.span(0.5, 1)) >> lr.stable()
