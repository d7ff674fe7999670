"""A bound of convex optimisation knows schedules: it holds on every convex run, and it is least for a decay to zero.

Defazio et al. 2023 (arXiv:2310.07831, theorem 10) and Schaipp et al. 2025 (arXiv:2501.18965, theorem 1) bound the loss of the
last iterate of subgradient descent for any schedule. Here: the best rates and bounds of 44 schedules against those of the
authors' code, worked out in 80 bits (where LRLAB_DATA has them); 2000 random convex runs of 100 updates in 10 dimensions
(five problems, seven schedules, one of them random), every update against its bound; schedules refined by gradient norms
that rise or fall with a power of t; a cosine that is cut off, and a run that goes on for twice as long. Nothing is trained.

Cost: 1 second on two CPU cores of an AMD EPYC (Zen 5), once JAX has compiled.
Run: lrlab run last_iterate_theory
Found: exact but for the random runs (one seed); AMD EPYC, jax 0.10.2. All seven claims hold.
    best rates and bounds against the authors' code in 80 bits: 0.003 parts per million off at worst. (In float64, where it
        subtracts prefix sums, that code is 0.26 % off for a cosine of 22,000 steps.)
    bounds after 400 steps: linear 0.1006, 1-sqrt 0.1012, cosine 0.1034, WSD 0.1093, inverse square root 0.1223, constant 0.1375
    random convex runs: 200,000 updates, none above its bound, the tightest at 0.96 times
    refined against the best of four that do not know the norms, worst of 15: 1.00 times, where the norms do not change;
        for norms that fall as t^-0.5 it warms up over 0.575 of the run
    a cosine that is cut off: at least 1.18 times the bound of the next shorter
    a run that goes on for twice as long: a longer cooldown at the same rate saves 0.965 of what tuning anew would
"""

import json
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from lrlab import Horizon, cosine, decay, rsqrt, sqrt, stable
from lrlab.published import available, published
from lrlab.report.style import COLOURS, frames, styles
from lrlab.theory import best_cooldown, best_peak, bound, cooled, final_bound, refined
from lrlab.verdict import exact

BASE, ARMS, PRESETS = None, {}, {"cpu": {}}

REFERENCE, CODE = "theory_reference.json", "runs of the code of github.com/fabian-sp/lr-scheduling"
STEPS, LONGEST = 400, 44_000
SHAPES = {  # in the order of their bounds
    "linear": decay(),
    "1-sqrt": decay(curve=sqrt),
    "cosine": decay(curve=cosine),
    "WSD, fifth": stable() >> decay("20%"),
    "inverse square root": rsqrt(1),
    "constant": stable(),
}
PROBLEMS = {  # convex in the errors of 20 linear equations, 0 where all are met
    "absolute errors": lambda r: jnp.abs(r).mean(),
    "largest error": lambda r: jnp.abs(r).max(),
    "one error": lambda r: jnp.abs(r[0]),
    "log cosh": lambda r: (jnp.logaddexp(r, -r) - jnp.log(2.0)).mean(),
    "squared errors": lambda r: jnp.square(r).mean() / 2,
}
RUNS, UPDATES, EQUATIONS, DIMENSIONS = 2000, 100, 20, 10
POWERS = (-0.5, -0.25, 0.0, 0.25, 0.5)  # of t, in the norm of the gradient
CYCLES = (1, 1.5, 2, 4)  # lengths of a cosine to a tenth that is cut off


def values(shape, steps=STEPS):
    """The shape at every update, [steps]."""
    return np.asarray(shape.resolve(Horizon(steps))(np.arange(steps)), float)


def best(rates, norms=1.0, distance=1.0):
    """The best peak and its bound in float64; zeros to one length, which change nothing, so that one program serves all."""
    padded = lambda x: np.pad(x, (0, LONGEST - len(x)))
    with jax.enable_x64(True):
        return [float(x) for x in best_peak(padded(rates), padded(norms * np.ones(len(rates))), distance)]


def errors():
    """Of our best rates and bounds, against those of the authors' schedules that are among ours: relative, [cases]."""
    theirs = dict(zip(("linear", "1-sqrt", "cosine", "wsd", "sqrt", "constant"), SHAPES.values()))
    for case in json.loads(published(REFERENCE, CODE).read_text())["optimal_base"]:
        if case["schedule"] in theirs and case["args"] in ({}, {"cooldown_len": 0.2}):
            norms = case["G"] * np.arange(1.0, case["T"] + 1) ** case.get("grad_norm_power", 0)
            rate, lowest = best(values(theirs[case["schedule"]], case["T"]), norms, case["D"])
            yield max(abs(rate / case["exact_gamma_star"] - 1), abs(lowest / case["exact_omega_star"] - 1))


def known():
    """The claim about the authors' own numbers, where they are at hand."""
    if available(REFERENCE):
        off = [1e6 * error for error in errors()]
        yield exact("best rates and bounds are those of the authors' code, where that is worked out in 80 bits", max(off), high=1, unit=f"parts per million off, at worst of {len(off)} schedules")  # fmt: skip


@cache
def convex_runs():
    """The loss of random convex runs before every update, and the bound on it, [RUNS, UPDATES] each."""
    rng = np.random.default_rng(0)
    which, family = np.arange(RUNS) % len(PROBLEMS), rng.integers(len(SHAPES) + 1, size=RUNS)
    known = np.stack([values(shape, UPDATES) for shape in SHAPES.values()])
    shapes = np.where(family[:, None] < len(SHAPES), known[family % len(SHAPES)], rng.uniform(size=(RUNS, UPDATES)))
    A, x = rng.normal(size=(RUNS, EQUATIONS, DIMENSIONS)), rng.normal(size=(RUNS, DIMENSIONS))
    with jax.enable_x64(True):
        return jax.tree.map(
            np.asarray, jax.jit(jax.vmap(_descended))(which, A, x, 10 ** rng.uniform(-2, 0.3, (RUNS, 1)) * shapes)
        )


def _descended(which, A, x, rates):
    loss = jax.value_and_grad(lambda x: jnp.stack([problem(A @ x) for problem in PROBLEMS.values()])[which])

    def update(x, rate):
        value, gradient = loss(x)
        return x - rate * gradient, (value, jnp.linalg.norm(gradient))

    _, (losses, norms) = jax.lax.scan(update, x, rates)
    return losses, bound(rates, norms, jnp.linalg.norm(x))


def against_refined(power, steps=STEPS):
    """The bound of the refined schedule, over the least of those of linear, cosine, WSD and constant."""
    norms = np.arange(1.0, steps + 2) ** power
    others = (
        best(values(SHAPES[name], steps), norms[:-1])[1] for name in ("linear", "cosine", "WSD, fifth", "constant")
    )
    return best(refined(norms)[:-1], norms[:-1])[1] / min(others)


def cut_off(cycle):
    """The bound of a cosine to a tenth that is cut off before its end, at the best rate of the whole one."""
    rates = lambda cycle: np.asarray(decay(round(cycle * STEPS), to=0.1, curve=cosine)(np.arange(STEPS)), float)
    return float(final_bound(best(rates(1))[0] * rates(cycle)))


def went_on(steps=4000):
    """Of a run that goes on for twice as long at its rate: how much of the bound's excess a longer cooldown saves."""
    rate = best(cooled(steps, 0.2))[0]
    naive, longer, tuned = (
        final_bound(rate * cooled(2 * steps, 0.2)),
        best_cooldown(2 * steps, rate)[1],
        best(cooled(2 * steps, 1.0))[1],
    )
    return float((naive - longer) / (naive - tuned))


def verdict(runs):
    lowest = [best(values(shape))[1] for shape in SHAPES.values()]
    losses, bounds = convex_runs()
    peak = refined(np.arange(1.0, STEPS + 2) ** -0.5).argmax() / STEPS
    cycles = list(map(cut_off, CYCLES))
    return [
        *known(),
        exact("each at its best rate, bounds rank linear, 1-sqrt, cosine, WSD, inverse square root, constant", int(np.sum(np.diff(lowest) > 0)), 5, unit="of 5 neighbours in order", paper="0.1006, 0.1012, 0.1034, 0.1093, 0.1223, 0.1375 after 400 steps"),
        exact("no update of 2000 random convex runs is above its bound", np.max(losses / bounds), high=1, unit="times the bound, at worst of 200,000"),
        exact("a schedule refined by gradient norms t^p has a bound below linear, cosine, WSD and constant", max(against_refined(power, steps) for power in POWERS for steps in (100, STEPS, 1000)), high=1 + 1e-9, unit="times the best of them, at worst of 15 cases", note="p = -0.5 to 0.5; equal at p = 0, where the refined schedule is the linear one"),
        exact("where gradient norms fall as t^-0.5 the refined schedule has a warm-up", peak, 0.4, 0.6, unit="of the run"),
        exact("the bound grows with the cycle of a cosine that is cut off (1, 1.5, 2, 4 times the run)", min(np.divide(cycles[1:], cycles[:-1])), 1, unit="times that of the next shorter, at least"),
        exact("a run that goes on for twice as long at its rate is saved by a longer cooldown", went_on(), 0.9, unit="of what it would have lost to a tuned linear decay", paper="0.95: 0.02563 with the same cooldown, 0.02252 with a longer, 0.02237 tuned"),
    ]  # fmt: skip


def picture(runs):
    figure, axes = frames(1, 3, 14.0, 5.0)
    paths, tightness, shapes = axes[0]
    for (name, shape), style in zip(SHAPES.items(), styles(len(SHAPES))):
        rates = values(shape)
        paths.plot(np.arange(1, STEPS + 1), bound(best(rates)[0] * rates), label=name, **style)
    paths.set(
        title="each schedule at its best rate",
        xlabel="step (optimizer updates)",
        ylabel="bound on the last iterate",
        ylim=(0.08, 0.3),
    )
    losses, bounds = convex_runs()
    for i, (name, colour) in enumerate(zip(PROBLEMS, COLOURS)):
        tightness.loglog(
            bounds[i :: len(PROBLEMS), -1], losses[i :: len(PROBLEMS), -1], ".", color=colour, label=name, markersize=3
        )
    ends = np.array([0.05, 30])
    tightness.plot(ends, ends, color="black", linewidth=0.8)
    tightness.set(
        title="2000 random convex runs",
        xlabel="bound on the last iterate",
        ylabel="its loss",
        xlim=ends,
        ylim=(1e-6, 30),
    )
    for power, style in zip(POWERS, styles(len(POWERS))):
        shapes.plot(refined(np.arange(1.0, STEPS + 2) ** power), label=f"t^{power:g}", **style)
    shapes.set(
        title="schedules refined by gradient norms",
        xlabel="step (optimizer updates)",
        ylabel="share of the peak",
        ylim=(0, 1.3),
    )
    paths.legend(fontsize=8, frameon=False)
    tightness.legend(fontsize=8, frameon=False)
    shapes.legend(title="gradient norms as", fontsize=8, title_fontsize=8, frameon=False, ncols=3, loc="upper center")
    return figure
