"""Every refusal of words, operators, durations and curves: one row a call, with the sentence that answers it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrlab as lr

RUN = lr.Horizon(steps=100)
nan, inf = float("nan"), float("inf")

REFUSED = [
    # durations: time.py
    (lambda: lr.warmup(1.0), "warmup cannot last 1.0: a bare float could be steps or a share of the run; write whole steps"),
    (lambda: lr.decay(0.2), "decay cannot last 0.2: a bare float"),
    (lambda: lr.decay(np.float32(0.2)), "decay cannot last "),
    (lambda: lr.stable(-1), "stable cannot last -1 steps; a duration is between 0 and 2**31 - 1 steps"),
    (lambda: lr.stable(2**31), "stable cannot last 2147483648 steps"),
    (lambda: lr.warmup(np.int64(2**40)), "warmup cannot last 1099511627776 steps"),
    (lambda: lr.warmup(True), "warmup cannot last True; write whole steps as an int, or a unit: '20%', '5ep' (epochs)"),
    (lambda: lr.warmup("20"), "warmup cannot last '20'; write whole steps as an int, or a unit"),
    (lambda: lr.warmup("20 %%"), "warmup cannot last '20 %%'"),
    (lambda: lr.warmup(""), "warmup cannot last ''"),
    (lambda: lr.warmup("-5%"), "warmup cannot last '-5%'"),
    (lambda: lr.warmup("5epochs"), "warmup cannot last '5epochs'"),
    (lambda: lr.warmup("nanep"), "warmup cannot last 'nanep'"),
    (lambda: lr.warmup("inf%"), "warmup cannot last 'inf%'"),
    (lambda: lr.warmup("1_000ex"), "warmup cannot last '1_000ex'"),
    (lambda: lr.warmup([10]), "warmup cannot last [10]"),
    (lambda: lr.warmup(lr.stable(10)), "warmup cannot last stable(10)"),
    (lambda: lr.warmup(jnp.float32(10)), "warmup cannot last"),
    (lambda: lr.ramp(1.5, start=0, to=1), "ramp cannot last 1.5"),
    (lambda: lr.rsqrt(1.5), "rsqrt cannot last 1.5"),
    (lambda: lr.warmup(np.array([10, 20])), "warmup cannot last array([10, 20])"),
    (lambda: lr.rsqrt(10, over="x"), "rsqrt cannot last 'x'"),
    # horizons: time.py
    (lambda: lr.Horizon(steps=0), "Horizon(steps=0): steps is a positive whole number"),
    (lambda: lr.Horizon(steps=-5), "Horizon(steps=-5)"),
    (lambda: lr.Horizon(steps=1e3), "Horizon(steps=1000.0): steps is a positive whole number"),
    (lambda: lr.Horizon(steps=True), "Horizon(steps=True)"),
    (lambda: lr.Horizon(steps=None), "Horizon(steps=None)"),
    (lambda: lr.Horizon(steps="100"), "Horizon(steps='100')"),
    (lambda: lr.Horizon(steps=2**31), "Horizon(steps=2147483648) is longer than 2**31 - 1 steps, which int32 can count"),
    (lambda: lr.Horizon(100, batch=0), "Horizon(batch=0): batch is a positive whole number"),
    (lambda: lr.Horizon(100, sequence=1.5), "Horizon(sequence=1.5): sequence is a positive whole number"),
    (lambda: lr.Horizon(100, epoch=-1), "Horizon(epoch=-1): epoch is a positive whole number"),
    (lambda: lr.decay("5ep").resolve(RUN), "'5ep' cannot become steps without "),
    (lambda: lr.decay("5ep").resolve(lr.Horizon(100, batch=2)), "'5ep' cannot become steps without epoch; write Horizon(steps=100, epoch=...)"),
    (lambda: lr.decay("5ep").resolve(lr.Horizon(100, epoch=2)), "'5ep' cannot become steps without batch; write Horizon(steps=100, batch=...)"),
    (lambda: lr.decay("5ex").resolve(RUN), "'5ex' cannot become steps without batch"),
    (lambda: lr.decay("5tok").resolve(lr.Horizon(100, batch=2)), "'5tok' cannot become steps without sequence"),
    (lambda: lr.rsqrt("5tok", 10).resolve(RUN), "'5tok' cannot become steps without batch"),
    # levels: words.py
    (lambda: lr.warmup(10, start=-0.1), "warmup(start=-0.1): start is a share of the level, a number from 0 on"),
    (lambda: lr.warmup(10, start=1.5), "warmup(start=1.5): start is a share of the level, between 0 and 1; to rise above it write ramp(start=..., to=...)"),
    (lambda: lr.warmup(10, start=nan), "warmup(start=nan): start is a share of the level"),
    (lambda: lr.warmup(10, start="0.5"), "warmup(start='0.5'): start is a share of the level"),
    (lambda: lr.warmup(10, start=True), "warmup(start=True): start is a share of the level"),
    (lambda: lr.warmup(10, start=None), "warmup(start=None): start is a share of the level"),
    (lambda: lr.warmup(10, start=lr.stable(1)), "warmup(start=stable(1)): start is a share of the level"),
    (lambda: lr.warmup(10, start=np.array([0.5, 2.0])), "warmup(start=[0.5, 2]): start is a share of the level, between 0 and 1"),
    (lambda: lr.decay(10, to=-1), "decay(to=-1): to is a share of the level, a number from 0 on"),
    (lambda: lr.decay(10, to=2), "decay(to=2): to is a share of the level, between 0 and 1"),
    (lambda: lr.decay(10, to=inf), "decay(to=inf): to is a share of the level"),
    (lambda: lr.decay(10, to=10**400), "decay(to=1"),
    (lambda: lr.ramp(10, start=-1, to=1), "ramp(start=-1): start is a share of the level, a number from 0 on"),
    (lambda: lr.ramp(10, start=1, to=nan), "ramp(to=nan): to is a share of the level"),
    (lambda: lr.ramp(10, start=1, to=1j), "ramp(to=1j): to is a share of the level"),
    # curves: words.py, curve.py
    (lambda: lr.decay(10, curve="cosine"), "decay(curve='cosine'): a curve is linear, cosine, sqrt, power(p) or geometric, without quotes"),
    (lambda: lr.warmup(10, curve=None), "warmup(curve=None): a curve is"),
    (lambda: lr.warmup(10, curve=lr.power), "a curve is linear, cosine, sqrt, power(p)"),
    (lambda: lr.ramp(10, start=0, to=1, curve=2), "ramp(curve=2): a curve is"),
    (lambda: lr.decay(10, curve=lr.geometric), "decay with curve=geometric cannot reach zero; give both ends a positive level, such as 1e-3"),
    (lambda: lr.warmup(10, curve=lr.geometric), "warmup with curve=geometric cannot reach zero"),
    (lambda: lr.ramp(10, start=1, to=0, curve=lr.geometric), "ramp with curve=geometric cannot reach zero"),
    (lambda: lr.ramp(10, start=0, to=1, curve=lr.geometric), "ramp with curve=geometric cannot reach zero"),
    (lambda: lr.power(0), "power(0) is not a curve from 0 to 1; write a positive exponent, power(2)"),
    (lambda: lr.power(-1.5), "power(-1.5) is not a curve"),
    (lambda: lr.power(nan), "power(nan) is not a curve"),
    (lambda: lr.power(inf), "power(inf) is not a curve"),
    (lambda: lr.power("2"), "is not a curve from 0 to 1"),
    (lambda: lr.power(None), "power(None) is not a curve from 0 to 1"),
    (lambda: lr.power(True), "power(True) is not a curve from 0 to 1"),
    # rsqrt
    (lambda: lr.rsqrt(0), "rsqrt(0) has no timescale; write the steps after which it has fallen by sqrt(2): rsqrt(10_000)"),
    (lambda: lr.rsqrt(None), "rsqrt(None) has no timescale"),
    # repeat
    (lambda: lr.repeat(3, 2), "repeat(3, ...): what is repeated must be a schedule, such as decay('10ep')"),
    (lambda: lr.repeat("decay(10)", 2), "repeat('decay(10)', ...): what is repeated must be a schedule"),
    (lambda: lr.repeat(lr.decay(2), 0), "repeat(times=0): times is a whole number from 1 on"),
    (lambda: lr.repeat(lr.decay(2), 2.0), "repeat(times=2.0): times is a whole number from 1 on"),
    (lambda: lr.repeat(lr.decay(2), True), "repeat(times=True): times is a whole number"),
    (lambda: lr.repeat(lr.decay(2), "3"), "repeat(times='3'): times is a whole number"),
    (lambda: lr.repeat(lr.decay(2), 3, over=9), "repeat(3, over=9) says twice how long it goes on; leave one of them out"),
    (lambda: lr.repeat(lr.decay()), "decay() in repeat(...) takes the rest of the run, and there is no number of cycles to share it; write repeat(..., times)"),
    (lambda: lr.repeat(lr.decay(2), shrink=1.5), "repeat(shrink=1.5) without times grows beyond every number; write repeat(..., times)"),
    (lambda: lr.repeat(lr.decay(2)).length, "repeat(decay(2)) has no end yet; write repeat(..., times) or schedule.resolve(Horizon(steps=...))"),
    (lambda: lr.repeat(lr.decay(2)) >> lr.stable(), "repeat(decay(2)) and stable() both claim the rest of the run"),
    (lambda: lr.join(), "join() joins nothing; write join(first, second)"),
    (lambda: lr.join(lr.stable(2), 0.1), "join(..., 0.1): what is joined must be schedules; to hold a rate write 0.1 * stable(100)"),
    (lambda: lr.join(lr.stable(), lr.decay()), "stable() and decay() both claim the rest of the run"),
    (lambda: lr.join(lr.stable(2), lr.decay(2)) >> lr.stable(3), "join(stable(2), decay(2)) ends at zero"),
    (lambda: lr.off(2) >> lr.stable(3), "off(2) ends at zero"),
    (lambda: lr.shift(3, 1), "shift(3, ...): what is shifted must be a schedule"),
    (lambda: lr.shift(lr.decay(3), 1.5), "shift(..., 1.5): the clock is shifted by whole steps, such as 1 or -100"),
    (lambda: lr.shift(lr.decay(3), 2**31), "shift(..., 2147483648): the clock is shifted by whole steps"),
    (lambda: lr.stairs(3, 1), "stairs(3, ...): what moves in stairs must be a schedule, such as decay(90)"),
    (lambda: lr.stairs(lr.decay(3), 0), "stairs(..., 0): each stair lasts a step or more; write stairs(schedule, 100)"),
    (lambda: lr.stairs(lr.decay(3), 1.5), "stairs cannot last 1.5: a bare float could be steps or a share of the run"),
    (lambda: lr.stairs(lr.decay(3), "1ep")(0), "stairs(decay(3), '1ep') is not yet in steps"),
    (lambda: lr.inverse_time(0), "inverse_time(0): the rate is a positive number per step, such as 1e-3"),
    (lambda: lr.inverse_time(1e-3, power=-1), "inverse_time(power=-1): the exponent is positive, such as 0.5"),
    (lambda: lr.polynomial(0), "polynomial(0) is not a curve from 0 to 1; write a positive exponent, polynomial(2)"),
    (lambda: lr.exponential(1), "exponential(1): how much is left at the end of the exponential, between 0 and 1, such as 0.1"),
    (lambda: lr.rex(0), "rex(0): beta is a positive number, 0.5 in the paper"),
    (lambda: lr.tanh(3, -6), "tanh(3, -6) does not rise; write lower < upper, both between -40 and 40"),
    (lambda: lr.tanh(-99, 3), "tanh(-99, 3) does not rise; write lower < upper, both between -40 and 40"),
    (lambda: lr.logarithmic(1), "logarithmic(1): the base is a number above 1, such as the steps of the warm-up"),
    (lambda: lr.span(0.5, 0.5), "span(0.5, 0.5): both are numbers from 0 on, and begin is less than end"),
    (lambda: lr.span(-0.5, 0.5), "span(-0.5, 0.5): both are numbers from 0 on, and begin is less than end"),
    (lambda: lr.cosine @ lr.geometric, "cosine @ geometric: curves compose as in cosine @ power(2); geometric stands on the left"),
    (lambda: lr.cosine @ 2, "cosine @ 2: curves compose as in cosine @ power(2)"),
    (lambda: lr.decay(5, curve=lr.geometric @ lr.power(2)), "decay with curve=geometric cannot reach zero"),
    (lambda: lr.repeat(lr.decay(2), 2, stretch=1.5), "repeat(stretch=1.5): stretch is a whole number from 1 on"),
    (lambda: lr.repeat(lr.decay(2), 2, stretch=0), "repeat(stretch=0): stretch is a whole number from 1 on"),
    (lambda: lr.repeat(lr.decay(2), 31, stretch=2), "repeat(times=31, stretch=2) lasts longer than 2**31 - 1 steps; ask for fewer times"),
    (lambda: lr.repeat(lr.decay(2), 2**31), "ask for fewer times"),
    (lambda: lr.repeat(lr.decay(2), 2, shrink=0), "repeat(shrink=0): each cycle is a positive share of the one before, such as 0.5"),
    (lambda: lr.repeat(lr.decay(2), 2, shrink=-1), "repeat(shrink=-1): each cycle is a positive share"),
    (lambda: lr.repeat(lr.decay(2), 2, shrink=nan), "repeat(shrink=nan): each cycle is a positive share"),
    (lambda: lr.repeat(lr.decay(2), 2, shrink="0.5"), "shrink='0.5'): each cycle is a positive share"),
    (lambda: lr.repeat(lr.decay(2), 2, shrink=None), "repeat(shrink=None): each cycle is a positive share"),
    (lambda: lr.repeat(lr.decay(2), 2, shrink=[0.5, 0.0]), "each cycle is a positive share"),
    # table
    (lambda: lr.table([]), "table([]) is not a list of numbers; write one rate per step, table([1.0, 0.5, 0.1])"),
    (lambda: lr.table(3), "table(3) is not a list of numbers"),
    (lambda: lr.table([[1.0, 2.0]]), "is not a list of numbers"),
    (lambda: lr.table([[1.0], [1.0, 2.0]]), "is not a list of numbers"),
    (lambda: lr.table(["a"]), "table(['a']) is not a list of numbers"),
    (lambda: lr.table([None]), "table([None]) is not a list of numbers"),
    (lambda: lr.table([True, False]), "is not a list of numbers"),
    (lambda: lr.table([1j]), "is not a list of numbers"),
    (lambda: lr.table([1.0, -0.5]), "table(...) holds values that are negative or not finite; a rate is a number from 0 on"),
    (lambda: lr.table([nan]), "negative or not finite"),
    (lambda: lr.table([1.0, inf]), "negative or not finite"),
    (lambda: lr.table([1.0], steps=0), "table(steps=0): steps is a positive whole number"),
    (lambda: lr.table([1.0], steps=2.5), "table(steps=2.5): steps is a positive whole number"),
    (lambda: lr.table([1.0], steps="10"), "table(steps='10'): steps is a positive whole number"),
    (lambda: lr.table([1.0], steps=True), "table(steps=True): steps is a positive whole number"),
    (lambda: lr.table(lr.decay(10), steps=-1), "table(steps=-1): steps is a positive whole number"),
    (lambda: lr.table(lr.decay("5%")), "decay('5%') is not yet in steps; write schedule.resolve(Horizon(steps=...)) first"),
    (lambda: lr.table(lr.stable(0)), "table("),
    # factors and numbers among schedules: combine.py
    (lambda: -1 * lr.stable(), "-1 next to stable(): a rate is positive and finite in float32, from 1.18e-38 to 3.4e38; write, for example, 3e-4"),
    (lambda: lr.stable() * 0, "0 next to stable(): a rate is positive and finite"),
    (lambda: nan * lr.stable(), "nan next to stable(): a rate is positive and finite"),
    (lambda: inf * lr.stable(), "inf next to stable(): a rate is positive and finite"),
    (lambda: 10**400 * lr.stable(), "next to stable(): "),
    (lambda: 1e39 * lr.stable(), "1e39 next to stable(): "),  # infinite as the float32 that every schedule returns
    (lambda: 1e-38 * lr.stable(), "1e-38 next to stable(): a rate is positive and finite in float32, from 1.18e-38"),
    (lambda: 1e-30 * (1e-30 * lr.stable()), "e-60 next to stable(): a rate is positive and finite"),  # the product of both
    (lambda: 1e30 * (1e30 * lr.stable()), "e60 next to stable(): a rate is positive and finite"),
    (lambda: jnp.array([1e30, 1]) * (1e30 * lr.stable()), "[inf, 1e30] next to stable(): a rate is positive and finite"),
    (lambda: lr.ramp(10, start=1, to=1e39), "ramp(to=1e39)"),
    (lambda: lr.table([1e39]), "table("),
    (lambda: np.array([1e-3, 0.0]) * lr.stable(), "[1e-3, 0] next to stable(): a rate is positive and finite"),
    (lambda: jnp.array([1e-3, -1.0]) * lr.stable(), "[1e-3, -1] next to stable(): a rate is positive and finite"),
    (lambda: [] * lr.stable(), "next to stable(): "),
    (lambda: [None] * lr.stable(), "next to stable(): "),
    (lambda: [[1.0], [1.0, 2.0]] * lr.stable(), "next to stable(): "),
    (lambda: True * lr.stable(), "True next to stable(): a schedule is combined with numbers and other schedules"),
    (lambda: "3e-4" * lr.stable(), "'3e-4' next to stable(): a schedule is combined with numbers and other schedules"),
    (lambda: None * lr.stable(), "None next to stable(): a schedule is combined with numbers"),
    (lambda: lr.cosine * lr.stable(), "cosine next to stable(): a schedule is combined with numbers"),
    (lambda: lr.stable() + -1, "-1 next to a schedule: a rate is positive and finite"),
    (lambda: "x" + lr.stable(), "'x' next to a schedule: a schedule is combined with numbers"),
    (lambda: lr.minimum(lr.stable(), 0), "0 next to a schedule: a rate is positive and finite"),
    (lambda: lr.maximum("x", lr.stable()), "'x' next to a schedule: a schedule is combined with numbers"),
    (lambda: lr.minimum(1.0, 2.0), "minimum(1.0, 2.0) holds no schedule; write minimum(schedule, 2.0)"),
    (lambda: lr.maximum(1.0, "x"), "maximum(1.0, 'x') holds no schedule"),
    # one after another: combine.py
    (lambda: lr.warmup(5) >> 3e-4, "warmup(5) >> 0.0003: what follows must be a schedule; to hold a level write >> stable()"),
    (lambda: lr.warmup(5) >> lr.decay, "what follows must be a schedule"),
    (lambda: 3e-4 >> lr.decay(5), ">> "),
    (lambda: lr.decay(5) >> lr.stable(), "decay(5) ends at zero, so stable() after it would stay at zero; let it end higher, decay(to=0.1), begin again with repeat(...), or give each its own level with join(..., ...)"),
    (lambda: 2 * lr.decay(5) >> lr.stable(), "ends at zero"),
    (lambda: lr.warmup(1) >> lr.decay(5) >> lr.stable(), "ends at zero"),
    (lambda: lr.ramp(5, start=1, to=0) >> lr.stable(), "ends at zero"),
    (lambda: lr.table([1.0, 0.0]) >> lr.stable(), "ends at zero"),
    (lambda: lr.repeat(lr.decay(5), 2) >> lr.stable(), "ends at zero"),
    (lambda: lr.stable(9) * lr.decay(5) >> lr.stable(), "ends at zero"),
    (lambda: lr.minimum(lr.stable(9), lr.decay(5)) >> lr.stable(), "ends at zero"),
    (lambda: lr.maximum(lr.decay(9), lr.decay(5)) >> lr.stable(), "ends at zero"),
    (lambda: (lr.decay(9) + lr.decay(5)) >> lr.stable(), "ends at zero"),
    (lambda: lr.stable() >> lr.decay(to=0.5), "stable() and decay(to=0.5) both claim the rest of the run; give one of them a duration, such as '20%'"),
    (lambda: lr.warmup(1) >> lr.stable() >> lr.warmup(2) >> lr.decay(), "stable() and decay() both claim the rest"),
    (lambda: lr.stable() >> (lr.warmup(2) >> 2 * lr.decay()), "stable() and decay() both claim the rest"),
    (lambda: lr.repeat(lr.stable(), 2) >> lr.decay(), "repeat(stable(), 2) and decay() both claim the rest"),
    (lambda: lr.minimum(lr.stable(), 0.1) >> lr.rsqrt(10), "stable() and rsqrt(10) both claim the rest"),
    # into a run: core.py, combine.py
    (lambda: lr.decay(101).resolve(RUN), "decay(101) lasts 101 steps, longer than the run of 100; shorten a part, or cut it with table(schedule, steps=100)"),
    (lambda: (lr.warmup("60%") >> lr.decay("50%")).resolve(RUN), "lasts 110 steps, longer than the run of 100"),
    (lambda: lr.table(np.ones(101)).resolve(RUN), "lasts 101 steps, longer than the run of 100"),
    (lambda: (lr.warmup(60) >> lr.stable() >> lr.decay("50%")).resolve(RUN), "before and after stable() last 110 steps, longer than the run of 100; shorten one of them"),
    (lambda: lr.repeat(lr.decay(), 101).resolve(RUN), "repeat(decay(), 101) has no room: 100 steps cannot hold its cycles; ask for fewer times or more steps"),
    (lambda: jax.tree.map(jnp.asarray, lr.decay(5)).resolve(RUN), "a schedule with arrays as durations cannot be resolved; resolve first, then stack the schedules"),
    (lambda: lr.stairs(lr.decay(5), jnp.asarray(10)).resolve(RUN), "a schedule with arrays as durations cannot be resolved"),
    (lambda: lr.repeat(lr.decay(5), over=jnp.asarray(10)).resolve(RUN), "a schedule with arrays as durations cannot be resolved"),
    (lambda: lr.join(lr.stable(99), lr.shift(lr.decay(), -3)).resolve(RUN), "shift(decay(), -3) begins after 3 steps, and there are only 1; shift it less"),
    # not yet in steps, and not a step: core.py, part.py
    (lambda: lr.decay()(3), "decay() is not yet in steps; write schedule.resolve(Horizon(steps=...)) first"),
    (lambda: lr.warmup("2%")(3), "warmup('2%') is not yet in steps"),
    (lambda: lr.rsqrt("2%")(3), "rsqrt('2%') is not yet in steps"),
    (lambda: (lr.warmup(2) >> lr.decay()).length, "decay() is not yet in steps"),
    (lambda: (lr.warmup(2) >> lr.decay("5%")).marks(), "decay('5%') is not yet in steps"),
    (lambda: (lr.stable() >> lr.decay(5))(3), "stable() is not yet in steps"),
    (lambda: lr.stable(5)(0.5), "a schedule is evaluated at whole steps, not at 0.5; write s(100) or s(np.arange(1000))"),
    (lambda: lr.stable(5)(True), "a schedule is evaluated at whole steps, not at True"),
    (lambda: lr.stable(5)("3"), "a schedule is evaluated at whole steps, not at '3'"),
    (lambda: lr.stable(5)(None), "a schedule is evaluated at whole steps, not at None"),
    (lambda: lr.stable(5)(np.arange(3.0)), "a schedule is evaluated at whole steps"),
    (lambda: lr.stable(5)([0.5, 1.0]), "a schedule is evaluated at whole steps"),
    (lambda: lr.stable(5)(jnp.float32(1)), "a schedule is evaluated at whole steps"),
    (lambda: lr.stable(5)(np.array([True])), "a schedule is evaluated at whole steps"),
]  # fmt: skip


def _named(rows):
    """A name for each row that says where it is: the sentence, and a number where two share it."""
    return [f"{i}: {sentence[:60]}" for i, (_, sentence) in enumerate(rows)]


@pytest.mark.parametrize(("call", "sentence"), REFUSED, ids=_named(REFUSED))
def test_a_wrong_request_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
    assert " next to :" not in str(refusal.value)


@pytest.mark.parametrize(
    "s",
    [
        lr.stable(5) >> lr.decay(),
        lr.maximum(lr.decay(5), 0.1) >> lr.decay(),
        (lr.decay(5) + lr.stable(2)) >> lr.decay(),
    ],
    ids=repr,
)
def test_what_does_not_end_at_zero_can_be_followed(s):
    assert s.resolve(RUN).length == 100


def test_a_refusal_is_a_value_error():
    with pytest.raises(ValueError, match="bare float"):
        lr.warmup(0.1)
