"""On the noisy quadratic, where nothing is left to chance, schedules rank as the literature ranks them on networks.

Zhang et al. 2019 (arXiv:1907.04164) let this model stand for the training of a network; the claims are those of Defazio et
al. 2023 (linear decay), Hägele et al. 2024 (cooldowns), Bergsma et al. 2025 (decay to zero), Hoffmann et al. 2022
(appendix B: a cosine as long as the run) and Loshchilov & Hutter 2016 (warm restarts). Here: 200 eigenvalues 1/i, 2000 and
500 updates, gradient noise of scale 1, 0.3 and 0.1, the exact expectation of the loss (`lrlab.theory.expected_loss`), every
shape at the optimum of 64 peaks. Nothing is trained.

Cost: 1 second on two CPU cores of an AMD EPYC (Zen 5), once JAX has compiled.
Run: lrlab run noisy_quadratic
Found: exact numbers, no spread; AMD EPYC, jax 0.10.2. Best losses at noise of scale 1 after 2000 updates:
    linear 0.0773, cosine 0.0792, cosine to 10 % 0.0799, WSD half 0.0846, linear to 10 % 0.0847, WSD fifth with 1-sqrt 0.0971,
    WSD fifth 0.1009, WSD tenth 0.1137, inverse square root 0.1145, constant 0.1597
    linear against constant, worst of six cases of noise and length: 0.62 times the loss
    linear against cosine: 0.98 times with noise of scale 1, 1.06 times with 0.1, where nearly no noise is left to average out
    to zero against to a tenth, worst of six cases: 0.96 times; 1-sqrt against linear cooldown: 0.98 times
    best peak of WSD with a fifth against that of a cosine: 0.44
    warm restarts against one cosine of as many updates: up to 1.26 times, asked 1.10: not held here
Restarts end in minima, but each cycle spends only its own length on what a single cosine has the whole run for.
"""

from functools import cache

import jax
import numpy as np

from lrlab import Horizon, cosine, decay, repeat, rsqrt, sqrt, stable
from lrlab.report.style import frames, styles
from lrlab.sweep import tuned
from lrlab.theory import expected_loss
from lrlab.verdict import exact

BASE, ARMS, PRESETS = None, {}, {"cpu": {}}

STEPS, SIGMAS = 2000, (1.0, 0.3, 0.1)
T = np.arange(STEPS)
EIGENVALUES = 1 / np.arange(1.0, 201)
PEAKS = np.geomspace(0.01, 8, 64).tolist()
SHAPES = {  # in the order of their losses at noise of scale 1
    "linear": decay(),
    "cosine": decay(curve=cosine),
    "cosine to 10 %": decay(to=0.1, curve=cosine),
    "WSD, half": stable() >> decay("50%"),
    "linear to 10 %": decay(to=0.1),
    "WSD, fifth, 1-sqrt": stable() >> decay("20%", curve=sqrt),
    "WSD, fifth": stable() >> decay("20%"),
    "WSD, tenth": stable() >> decay("10%"),
    "inverse square root": rsqrt(20),
    "constant": stable(),
}
CYCLES = (1, 1.25, 1.5, 2, 4)  # lengths of a cosine that is cut off after 2000 updates
RESTARTS = repeat(decay(285, curve=cosine), 3, stretch=2)
ENDS = (285, 855, 1995)  # of its cycles


def values(shape, steps=STEPS):
    """The shape at every update, [T]; after `steps` a rate of zero, which leaves the loss what it is."""
    return np.asarray(shape.resolve(Horizon(steps))(T), float) * (steps > T)


def paths(shape, sigma, peaks=PEAKS):
    """The expected loss after every update at every peak, [peaks, T], in float64."""
    with jax.enable_x64(True):
        return np.asarray(jax.vmap(lambda peak: expected_loss(peak * shape, EIGENVALUES, sigma))(np.array(peaks)))


@cache
def best(shape, steps=STEPS, sigma=1.0):
    """A shape at its best peak."""
    return tuned(PEAKS, paths(values(shape, steps), sigma)[:, -1:])


def loss(name, steps=STEPS, sigma=1.0):
    return best(SHAPES[name], steps, sigma).losses[0]


def ratios(first, second):
    """Of the losses of two shapes, in all six cases of length and noise."""
    return [
        loss(first, *case) / loss(second, *case)
        for case in ((steps, sigma) for steps in (STEPS, 500) for sigma in SIGMAS)
    ]


def too_long(cycle):
    """A cosine that is cut off before its end, at the best peak of the whole one, against the whole one."""
    cut = np.asarray(decay(round(cycle * STEPS), curve=cosine)(T), float)
    whole = best(SHAPES["cosine"])
    return paths(cut, 1.0, [whole.value])[0, -1] / whole.losses[0]


@cache
def restarted(end):
    """Of warm restarts at the best peak for the end of one cycle: the loss after every update, [T]."""
    shape = values(RESTARTS)
    peak = tuned(PEAKS, paths(shape, 1.0)[:, end - 1 : end]).value
    return paths(shape, 1.0, [peak])[0]


def verdict(runs):
    ordered = list(map(loss, SHAPES))
    cycles = list(map(too_long, CYCLES))
    minima = [
        restarted(end)[end - 1] < np.r_[restarted(end)[end - 29 : end - 1], restarted(end)[end : end + 28]].min()
        for end in ENDS[:-1]
    ]
    anytime = [restarted(end)[end - 1] / best(SHAPES["cosine"], end).losses[0] for end in ENDS]
    times = "times the loss"
    return [
        exact("at noise of scale 1 ten shapes rank linear, cosine, WSD by the length of its cooldown, inverse square root, constant", int(np.sum(np.diff(ordered) > 0)), 9, unit="of 9 neighbours in order"),
        exact("a linear decay to zero beats a constant rate, at any noise and length", max(ratios("linear", "constant")), high=1, unit=times),
        exact("with much noise (scale 1) a linear decay beats a cosine", loss("linear") / loss("cosine"), high=1, unit=times, paper="linear decay matches or beats cosine on ten problems"),
        exact("with little noise (scale 0.1) the cosine wins", loss("linear", sigma=0.1) / loss("cosine", sigma=0.1), 1, unit=times),
        exact("decay to zero beats decay to a tenth, at any noise and length", max(ratios("linear", "linear to 10 %")), high=1, unit=times, paper="-0.77 % loss at 610M parameters and 20 tokens a parameter"),
        exact("a 1-sqrt cooldown over the last fifth beats a linear one, at any noise and length", max(ratios("WSD, fifth, 1-sqrt", "WSD, fifth")), high=1, unit=times),
        exact("the best peak of WSD is about half of that of a decay over the whole run", best(SHAPES["WSD, fifth"]).value / best(SHAPES["cosine"]).value, 0.4, 0.6, paper="a constant rate is best at about half the cosine's"),
        exact("a cosine is the worse the longer its cycle is than the run (1.25, 1.5, 2, 4 times)", min(np.divide(cycles[1:], cycles[:-1])), 1, unit="times the loss of the next shorter", paper="a cycle over 1.25 times too long hurts visibly"),
        exact("a cycle of warm restarts ends at a minimum of the loss", sum(minima), 2, unit="of 2 cycles that another follows"),
        exact("a cycle of warm restarts ends within 10 % of a single cosine of as many updates", max(anytime), high=1.1, unit=times),
    ]  # fmt: skip


def picture(runs):
    figure, axes = frames(1, 3, 14.0, 5.0)
    basin, ranks, restarts = axes[0]
    seen = ("linear", "cosine", "WSD, half", "WSD, fifth", "inverse square root", "constant")
    for name, style in zip(seen, styles(len(seen))):
        basin.loglog(PEAKS, paths(values(SHAPES[name]), 1.0)[:, -1], label=name, **style)
        basin.plot(best(SHAPES[name]).value, loss(name), "o", color=style["color"], markersize=5)
    basin.set(
        title="2000 updates, noise of scale 1",
        xlabel="peak learning rate",
        ylabel="expected final loss",
        xlim=(0.01, 4),
        ylim=(0.03, 1),
    )
    basin.legend(fontsize=8, frameon=False, loc="lower right")
    for i, (sigma, style) in enumerate(zip(SIGMAS, styles(len(SIGMAS)))):
        lost = [loss(name, sigma=sigma) / loss("linear", sigma=sigma) for name in SHAPES]
        ranks.plot(
            lost,
            -np.arange(len(lost)) - 0.2 * (i - 1),
            "os^"[i],
            color=style["color"],
            label=f"noise of scale {sigma:g}",
        )
    ranks.set_yticks(-np.arange(len(SHAPES)), list(SHAPES), fontsize=8)
    ranks.axvline(1, color="grey", linewidth=0.8)
    ranks.set(title="2000 updates, each shape at its best peak", xlabel="times the loss of a linear decay")
    ranks.legend(fontsize=8, frameon=False, loc="upper right")
    style = styles(2)
    restarts.semilogy(T + 1, restarted(ENDS[-1]), label="warm restarts, 285, 570 and 1140 updates", **style[0])
    for i, end in enumerate(ENDS):
        whole = best(SHAPES["cosine"], end)
        path = paths(values(SHAPES["cosine"], end), 1.0, [whole.value])[0, :end]
        restarts.plot(
            T[:end] + 1, path, label="" if i else "one cosine of as many updates, at its best peak", **style[1]
        )
    restarts.set(
        title="warm restarts, noise of scale 1",
        xlabel="step (optimizer updates)",
        ylabel="expected loss",
        ylim=(0.06, 3),
    )
    restarts.legend(fontsize=8, frameon=False)
    return figure
