"""The literature's schedules against the formulas of their papers, written again in float64."""

import math
import re

import numpy as np
import pytest

import lrlab as lr
from lrlab.schedule import named
from lrlab.schedule.notation import public

T = 1000
RUN = lr.Horizon(steps=T, batch=256, sequence=1024, epoch=2560)  # an epoch is 10 updates, and a run 100 of them


def cos(x):
    return (1 + math.cos(math.pi * min(max(x, 0.0), 1.0))) / 2


def after(warmup, peak, f):
    """A warm-up from zero, then peak times f of the share that is done of what follows."""
    return lambda t: peak * (t / warmup if t < warmup else f((t - warmup) / (T - warmup)))


def triangle(t, half):
    """x of Smith 2015: 0 at the base, 1 at the peak, and the number of the cycle from 1."""
    cycle = math.floor(1 + t / (2 * half))
    return max(0.0, 1 - abs(t / half - 2 * cycle + 1)), cycle


def restarts(t, first, mult, times):
    over = first
    for _ in range(times):
        if t < over:
            return t / over
        t, over = t - over, over * mult
    return 1.0


PAPERS = {
    "noam": (named.noam(256, 40), lambda t: 256**-0.5 * min((t + 1) ** -0.5, (t + 1) * 40**-1.5)),
    "t5": (named.t5(0.01, 100), lambda t: 0.1 / math.sqrt(max(t, 100))),
    "vit": (named.vit(8e-4, 50, 100), lambda t: 8e-4 * min(t / 50, math.sqrt(50 / max(t, 50))) if t < 900 else 8e-4 * math.sqrt(50 / 900) * (T - t) / 100),
    "inverse_time": (named.inverse_time(0.1, 0.01), lambda t: 0.1 / (1 + 0.01 * t)),
    "one_over_t": (named.one_over_t(0.01), lambda t: 1 / (0.01 * (t + 1))),
    "power_scheduler": (named.power_scheduler(0.02, 256, 1024), lambda t: (min(0.02, 256 * 4.6 * (min(max(t, 1), 900) * 256 * 1024) ** -0.51)) * (1 if t < 900 else 0.01 ** ((t - 900) / 100))),
    "step": (named.step(0.1, 300), lambda t: 0.1 * 0.1 ** (t // 300)),
    "multi_step": (named.multi_step(0.1, [400, 700]), lambda t: 0.1 * 0.1 ** ((t >= 400) + (t >= 700))),
    "goyal": (named.goyal(1024), lambda t: 0.1 + 0.3 * t / 50 if t < 50 else 0.4 * 0.1 ** ((t >= 300) + (t >= 600) + (t >= 800))),
    "deepseek": (named.deepseek(4.2e-4, 20), lambda t: 4.2e-4 * (min(t / 20, 1.0) if t < 800 else 0.316 if t < 900 else 0.1)),
    "bert": (named.bert(1e-4, 100), after(100, 1e-4, lambda u: 1 - u)),
    "linear_to_zero": (named.linear_to_zero(0.01), after(100, 0.01, lambda u: 1 - u)),
    "chinchilla": (named.chinchilla(2e-4, 15), after(15, 2e-4, lambda u: 0.1 + 0.9 * cos(u))),
    "polynomial": (named.polynomial(0.01), lambda t: 0.01 * (1 - t / T) ** 0.9),
    "exponential": (named.exponential(0.045, 0.94, 20), lambda t: 0.045 * 0.94 ** (t / 20)),
    "rex": (named.rex(0.1), lambda t: 0.1 * (1 - t / T) / (0.5 + 0.5 * (1 - t / T))),
    "tanh": (named.tanh(0.1), lambda t: 0.05 * (1 - math.tanh(-6 + 9 * t / T))),
    "k_decay": (named.k_decay(0.1, 2), lambda t: 0.1 * cos((t / T) ** 2)),
    "wsd": (named.wsd(0.01, 10, "20%", curve=lr.sqrt), lambda t: 0.01 * (min(t / 10, 1) if t < 800 else 1 - math.sqrt((t - 800) / 200))),
    "wsd_s": (named.wsd_s(0.01, [400, 1000], 10), lambda t: 0.01 * (t / 10 if t < 10 else 1 - 0.9 * (t - 360) / 40 if 360 <= t < 400 else 1 - 0.9 * (t - 940) / 60 if t >= 940 else 1.0)),
    "trapezoid": (named.trapezoid(0.01, 25), lambda t: 0.01 * min(t / 25, 1.0, (T - t) / 400)),
    "flat_cosine": (named.flat_cosine(0.01), lambda t: 0.01 * cos((t - 750) / 250)),
    "tri_stage": (named.tri_stage(0.01), lambda t: 0.01 * (0.01 + 0.99 * t / 100 if t < 100 else 1.0 if t < 500 else math.exp(math.log(0.01) * (t - 500) / 500))),
    "triangular": (named.triangular(1e-3, 6e-3, 60), lambda t: 1e-3 + 5e-3 * triangle(t, 60)[0]),
    "triangular2": (named.triangular2(1e-3, 6e-3, 60), lambda t: 1e-3 + 5e-3 * triangle(t, 60)[0] * 2.0 ** (1 - triangle(t, 60)[1])),
    "exp_range": (named.exp_range(1e-3, 6e-3, 60, 0.999), lambda t: 1e-3 + 5e-3 * triangle(t, 60)[0] * 0.999**t),
    "one_cycle": (named.one_cycle(1.0), lambda t: np.interp(t, [0, 450, 900, 1000], [0.1, 1.0, 0.1, 0.001])),
    "sgdr": (named.sgdr(0.05, 100, 3, to=0.1), lambda t: 0.05 * (0.1 + 0.9 * cos(restarts(t, 100, 2, 3)))),
    "cosine_restarts": (named.cosine_restarts(0.01, 4, 200), lambda t: 0.01 * (t / 200 if t < 200 else cos((t - 200) % 200 / 200))),
    "range_test": (named.range_test(1e-5, 1.0), lambda t: 1e-5 * 1e5 ** (t / T)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAPERS)
def test_a_named_schedule_is_its_papers_formula(name):
    schedule, formula = PAPERS[name]
    expected = np.array([formula(t) for t in range(T)])
    # float32 rounds a value to 6e-8 of itself
    np.testing.assert_allclose(schedule.resolve(RUN)(np.arange(T)), expected, rtol=2e-7, atol=2e-7 * expected.max())


def test_gpt3_counts_tokens():
    run = lr.Horizon(steps=600_000, batch=512, sequence=1024)
    warm, end, per_step = 375_000_000, 260_000_000_000, 512 * 1024
    schedule = named.gpt3(6e-4).resolve(run)
    for t in (0, 1, 700, 716, 1000, 100_000, 495_000, 500_000):
        tokens = t * per_step
        expected = tokens / warm if tokens < warm else 0.1 + 0.9 * cos((tokens - warm) / (end - warm))
        assert schedule(t) == pytest.approx(6e-4 * expected, abs=6e-4 / 700)  # joints are rounded to whole updates


def test_every_named_schedule_is_held_against_its_paper():
    assert {*public(named)} == {*PAPERS, "gpt3"}


def test_every_named_schedule_names_its_reference_in_its_first_line():
    for name, function in public(named).items():
        assert re.search(r"\(.*(19|20)\d\d.*\)\.$", function.__doc__.splitlines()[0]), name


@pytest.mark.parametrize("name", PAPERS)
def test_a_named_schedule_reads_back(name):
    assert lr.parse(repr(PAPERS[name][0])) == PAPERS[name][0]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: named.multi_step(0.1, [60, 30]), "multi_step(milestones=[60, 30]): write whole steps in ascending order, [30, 60]"),
        (lambda: named.multi_step(0.1, [10.5, 20.9]), "multi_step(milestones=[10.5, 20.9]): write whole steps in ascending order"),
        (lambda: named.multi_step(0.1, []), "multi_step(milestones=[]): write whole steps in ascending order"),
        (lambda: named.goyal(64), "goyal(batch=64): the global batch is at least 256"),
        (lambda: named.noam(0), "noam(d_model=0): write a positive whole number"),
        (lambda: named.one_over_t(0), "one_over_t(0): mu is positive"),
        (lambda: named.power_scheduler(0.01, 8, 8, b=0.5), "power_scheduler: peak, batch, sequence and a are positive, and b is negative"),
        (lambda: named.wsd_s(1e-3, [100, 50]), "wsd_s(ends=[100, 50], warmup_steps=0): write whole steps, the ends in ascending order"),
        (lambda: named.wsd_s(1e-3, [1000.7, 2000.2], 50), "wsd_s(ends=[1000.7, 2000.2], warmup_steps=50): write whole steps"),
        (lambda: named.wsd_s(1e-3, [1000, 2000], "5%"), "wsd_s(ends=[1000, 2000], warmup_steps='5%'): write whole steps"),
        (lambda: named.wsd_s(1e-3, [100], share=2), "wsd_s(share=2): a share of each phase, above 0 and up to 1"),
        (lambda: named.triangular(0.1, 0.01, 50), "a cycle from 0.1 to 0.01 does not rise; write base < peak"),
        (lambda: named.exp_range(0.2, 0.01, 50), "a cycle from 0.2 to 0.01 does not rise; write base < peak"),
        (lambda: named.one_cycle(1.0, to=0.5), "one_cycle(to=0.5): it ends below low=0.1 times the peak"),
        (lambda: named.one_cycle(1.0, low=0), "one_cycle(low=0): it begins at a share of the peak above 0, such as 0.1"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
