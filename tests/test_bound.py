"""The last-iterate bound: against its double sum, against the authors' numbers, and against gradient descent itself."""

import json
from functools import cache

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from published import published

import lrlab as lr
from lrlab.refusal import Refused
from lrlab.theory import best_cooldown, best_peak, bound, continued, cooled, final_bound, refined, transferred

PRECISION = 1e-6  # relative: float32 rounds rates to 6e-8, and the bound is linear in them and in their squares


def double_sum(rates, G, D):
    """Omega_T as Schaipp et al. 2025 write it (Theorem 1), in 80 bits, with suffix sums."""
    eta, q = rates.astype(np.longdouble), rates.astype(np.longdouble) ** 2 * G**2
    area, energy = np.cumsum(eta[::-1])[::-1], np.cumsum(q[::-1])[::-1]
    terms = eta[:-1] / area[1:] * energy[:-1] / area[:-1]
    return float((D**2 + energy[0]) / (2 * area[0]) + terms.sum() / 2)


@st.composite
def runs(draw):
    """Positive rates over up to ten orders of magnitude, gradient norms, a distance; one length, which compiles once."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    steps, spread = 150, draw(st.sampled_from([0.1, 1.0, 3.0]))
    rates = rng.lognormal(0, spread, steps) * draw(st.sampled_from([1e-6, 1e-3, 1.0]))
    if draw(st.booleans()):
        rates = np.sort(rates)[::-1].copy()
    return rates.astype(np.float32), rng.uniform(0.5, 2, steps).astype(np.float32), draw(st.floats(0.1, 10))


@given(runs())
@settings(max_examples=30)
def test_it_is_the_double_sum_of_the_theorem(run):
    rates, G, D = run
    whole = np.asarray(bound(rates, G, D))
    for t in (0, 1, 63, 64, 127, 128, 149):  # 64 is a block
        assert whole[t] == pytest.approx(double_sum(rates[: t + 1], G[: t + 1], D), rel=PRECISION)
    assert float(final_bound(rates, G, D)) == pytest.approx(whole[-1], rel=PRECISION)


@given(runs())
@settings(max_examples=30)
def test_the_best_peak_is_the_least_of_all_base_rates(run):
    rates, G, D = run
    best, lowest = best_peak(rates, G, D)
    assert float(final_bound(rates * best, G, D)) == pytest.approx(float(lowest), rel=PRECISION)
    for other in (0.5, 0.9, 1.1, 2):
        assert final_bound(rates * best * other, G, D) > lowest


@given(runs(), st.floats(0.01, 100))
@settings(max_examples=30)
def test_units_drop_out(run, unit):
    """Parameters measured in another unit: distances times `unit`, gradients through it, rates times its square."""
    rates, G, D = run
    converted = bound(rates * unit**2, G / unit, D * unit)
    np.testing.assert_allclose(converted, bound(rates, G, D), rtol=PRECISION)


def test_gradient_descent_stays_below_it():
    """Subgradient descent on |x| and on a tilted max, from distance D, with random rates (Theorem 10 of Defazio et al.)."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        rates = rng.lognormal(-2, 1, 150) * (1 - np.arange(150) / 150) ** rng.uniform(0, 2)
        slope, x = rng.uniform(0.2, 1), 1.0
        values, norms = [], []
        for rate in rates:
            gradient = 1.0 if x > 0 else -slope
            values.append(max(x, -slope * x))
            norms.append(abs(gradient))
            x -= rate * gradient
        assert (np.array(values) <= np.asarray(bound(rates, np.array(norms), 1.0)) * (1 + PRECISION)).all()


def test_rates_of_zero_change_nothing():
    rates = np.array([0.0, 0.0, 0.3, 0.0, 0.2, 0.0, 0.0])
    omega = np.asarray(bound(rates))
    moved = np.asarray(bound(rates[rates > 0]))
    assert np.isinf(omega[:2]).all()
    np.testing.assert_allclose(omega[2:], moved[[0, 0, 1, 1, 1]], rtol=PRECISION)
    assert final_bound(rates) == pytest.approx(moved[-1], rel=PRECISION)


def test_it_is_a_function_of_jax():
    rates = jnp.linspace(1, 0.1, 150)
    stacked = jnp.stack([rates, 2 * rates])
    np.testing.assert_allclose(jax.vmap(bound)(stacked)[1], bound(2 * rates), rtol=PRECISION)
    direction, h = jnp.sin(jnp.arange(150.0)), 1e-3
    for of in (final_bound, lambda r: bound(r)[-1]):
        slope = float(jnp.vdot(jax.grad(of)(rates), direction))
        finite = float(of(rates + h * direction) - of(rates - h * direction)) / (2 * h)
        assert slope == pytest.approx(finite, rel=1e-3)  # float32 rounds the difference to 2e-4 of it


def test_a_million_steps():
    """The tail of a cosine is 10^-12 of its peak, where sums that are subtracted have lost every digit."""
    T = 2**18
    rates = (0.5 + 0.5 * np.cos(np.pi * np.arange(T) / T)).astype(np.float32)
    whole = np.asarray(bound(rates))
    for t in (1000, T // 2, T - 10, T - 1):
        assert whole[t] == pytest.approx(double_sum(rates[: t + 1], 1.0, 1.0), rel=PRECISION)


def test_linear_decay_to_zero_has_the_lowest_bound():
    """Of shapes at their own best rate (Defazio et al. 2023; Schaipp et al. 2025)."""
    T = np.arange(400)
    shapes = {
        "linear": lr.decay(400),
        "cosine": lr.decay(400, curve=lr.cosine),
        "wsd": lr.stable(320) >> lr.decay(80),
        "constant": lr.stable(400),
    }
    lowest = {name: float(best_peak(shape(T)).bound) for name, shape in shapes.items()}
    assert list(lowest) == sorted(lowest, key=lowest.get)


# ---- what the authors' own code gives (Schaipp et al. 2025)


@cache
def reference():
    return json.loads(published("theory_reference.json").read_text())


def shape(schedule, T, args):
    """The authors' schedules in our words: T + 1 values, of which the bound uses the first T."""
    begin = (
        lr.warmup(args["warmup_kwargs"]["steps"], start=args["warmup_kwargs"]["warmup_lr"])
        if "warmup_kwargs" in args
        else None
    )
    W = 0 if begin is None else begin.length
    over = int(args.get("cooldown_len", 1.0) * (T + 1)) if schedule == "wsd" else T
    over = over - 1 if over == T + 1 - W else over
    curve = lr.sqrt if schedule == "1-sqrt" or args.get("decay_type") == "sqrt" else lr.linear
    end = args.get("final_lr", 0.0)
    main = {
        "wsd": lambda: lr.stable(T - W - over) >> lr.decay(over, to=end, curve=curve),
        "linear": lambda: lr.decay(T),
        "1-sqrt": lambda: lr.decay(T, curve=lr.sqrt),
        "constant": lambda: lr.stable(T),
        "cosine": lambda: lr.decay(T - W, to=end, curve=lr.cosine),
        "sqrt": lambda: lr.rsqrt(1, T),
        "poly-backward": lambda: lr.decay(T, curve=lr.polynomial(args["alpha"])),
    }[schedule]()
    return (main if begin is None else begin >> main)(np.arange(T))


def test_the_published_optima():
    for case in reference()["optimal_base"]:
        T, G = case["T"], case["G"] * np.arange(1, case["T"] + 1) ** case.get("grad_norm_power", 0.0)
        best = best_peak(shape(case["schedule"], T, case["args"]), G, case["D"])
        assert best.rate == pytest.approx(case["exact_gamma_star"], rel=PRECISION), case["schedule"]
        assert best.bound == pytest.approx(case["exact_omega_star"], rel=PRECISION), case["schedule"]


def test_the_published_paths():
    for case in reference()["bound_path"]:
        omega = np.asarray(bound(case["base_lr"] * shape(case["schedule"], case["T"], case["args"])))
        np.testing.assert_allclose(omega[np.array(case["t"]) - 1], case["exact_omega_t"], rtol=PRECISION)


def test_the_published_cooldowns():
    """Theirs is the best of ten fractions, a ninth apart; ours lies within half of that and is as good."""
    for curve in ("linear", "sqrt"):
        case = reference()["cooldown_fraction"][curve]
        rates = list(case["best_fraction_at_fixed_base_lr"])
        ours = jax.vmap(lambda rate, curve=curve: best_cooldown(400, rate, curve=getattr(lr, curve)))
        for rate, fraction, lowest in zip(rates, *ours(jnp.array([float(rate) for rate in rates]))):
            assert abs(fraction - case["best_fraction_at_fixed_base_lr"][rate]) < 0.06
            assert lowest <= min(case["omega_at_fixed_base_lr"][rate]) * (1 + PRECISION)


def test_a_longer_run_at_the_same_rate():
    """Schaipp et al. 2025: 4000 steps, cooled down over a fifth, extended to 8000 and 16000."""
    rate = best_peak(cooled(4000, 0.2)).rate
    for T, naive, tuned, factor in ((8000, 0.02563, 0.02237, 0.43), (16000, 0.02133, 0.01582, 0.375)):
        _, longer = best_cooldown(T, rate)
        assert final_bound(rate * cooled(T, 0.2)) == pytest.approx(naive, abs=5e-6)  # the digits that were published
        assert best_peak(cooled(T, 1.0)).bound == pytest.approx(tuned, abs=5e-6)
        assert longer < 1.01 * tuned
        onward, lowest = continued(jnp.full(4000, rate), cooled(T, 0.2)[4000:])
        assert onward / rate == pytest.approx(factor, abs=0.01)
        assert longer < lowest < naive


def test_whole_numbers_are_rates():
    np.testing.assert_allclose(continued(np.ones(10, int), np.ones(5, int)), continued(np.ones(10), np.ones(5)))


def test_the_rate_falls_with_the_square_root_of_the_horizon():
    for T, power in ((1000, 0.492), (4000, 0.492)):
        one, four = (lr.decay(n, curve=lr.cosine)(np.arange(n)) for n in (T, 4 * T))
        assert transferred(1.0, one, four) == pytest.approx(4**-power, rel=0.02)


# ---- schedules refined by gradient norms (Defazio et al. 2023)


@given(runs())
@settings(max_examples=30)
def test_a_refined_schedule_is_that_of_the_theorem(run):
    _, G, unit = run
    w = [1 / g**2 for g in G.astype(float)]
    rates = np.array([w[t] * sum(w[t + 1 :]) for t in range(len(w))])
    np.testing.assert_allclose(refined(G), rates / rates.max(), rtol=1e-12)
    np.testing.assert_allclose(refined(unit * G.astype(float)), refined(G), rtol=1e-12)  # whatever the norms' unit


def test_norms_that_do_not_change_give_the_linear_decay():
    np.testing.assert_allclose(refined(np.ones(401))[:-1], lr.decay(400)(np.arange(400)), rtol=PRECISION)


@pytest.mark.parametrize("power", [-0.5, -0.25, 0.25, 0.5])
def test_a_refined_schedule_has_a_lower_bound_than_any_that_does_not_know_the_norms(power):
    T, G = np.arange(400), np.arange(1.0, 402) ** power
    lowest = best_peak(refined(G)[:-1], G[:-1]).bound
    for shape in (lr.decay(400), lr.decay(400, curve=lr.cosine), lr.stable(320) >> lr.decay(80), lr.stable(400)):
        assert lowest < 0.97 * best_peak(shape(T), G[:-1]).bound


def test_a_running_median_passes_over_a_spike():
    G = np.ones(100)
    G[40] = 50.0
    assert refined(G)[40] < 1e-3
    np.testing.assert_array_equal(refined(G, smooth=0.1), refined(np.ones(100)))


def test_the_end_of_a_running_median_is_reflected():
    """The last norm alone, repeated, was the median of the last window."""
    G, half = np.exp(0.3 * np.random.default_rng(0).standard_normal(200)), 10  # of a window of 21
    around = np.concatenate([np.full(half, G[0]), G, G[-2 : -2 - half : -1]])
    medians = [np.median(around[t : t + 2 * half + 1]) for t in range(len(G))]
    np.testing.assert_allclose(refined(G, smooth=0.1), refined(medians), rtol=1e-12)


def test_adam_takes_the_first_power():
    np.testing.assert_allclose(refined([2.0, 1.0, 1.0], power=1), [0.5 * 2, 1, 0])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: bound(np.ones((2, 3))), "the rates of one run, an array [T], not of shape (2, 3)"),
        (lambda: bound([]), "not of shape (0,)"),
        (lambda: bound([1.0, -1.0]), "finite and not negative"),
        (lambda: best_peak([1.0, np.nan]), "rates are finite"),
        (lambda: bound(np.ones(3), gradient_norms=np.ones(2)), "gradient norms of shape (2,) do not fit 3 rates"),
        (
            lambda: refined([1.0, 0.0]),
            "refined by the gradient norms of one run, at least two, all positive and finite",
        ),
        (lambda: continued([], [1.0]), "updates behind it and before it"),
        (lambda: best_peak(np.zeros(5)), "a shape that is zero throughout has no best peak"),
    ],
)
def test_what_is_refused(call, sentence):
    with pytest.raises(Refused) as refused:
        call()
    assert sentence in str(refused.value)
