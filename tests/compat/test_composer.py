"""Composer's schedulers against their formulas in float64, against the sequences that they produced, and refusals."""

import math

import pytest
from compat.published import assert_agrees, assert_follows, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

composer = lr.compat.composer
BASES, BATCHES, SHARES, SCALES = st.floats(1e-3, 1.0), st.integers(1, 60), st.floats(0.0, 1.0), st.sampled_from([1.0, 0.5, 1.3])  # fmt: skip
CURVES = {
    "Linear": lambda u: 1 - u,
    "CosineAnnealing": lambda u: (1 + math.cos(math.pi * u)) / 2,
    "Polynomial": lambda u: (1 - u) ** 1.5,
}


def powered(name):
    return {"power": 1.5} if name == "Polynomial" else {}


@given(BASES, BATCHES, SHARES, st.integers(1, 9), SCALES)
def test_without_a_warmup(base, over, low, batch, scale):
    run = {"base_lr": base, "batch_size": batch, "scale_schedule_ratio": scale}
    for name, fall in CURVES.items():
        end = int((over * batch + 1) * scale) / batch  # a sample more than whole batches, cut to whole samples
        rate = lambda t, fall=fall, end=end: base * (low + (1 - low) * fall(min(1.0, t / end)))
        ours = getattr(composer, f"{name}Scheduler")(**powered(name), alpha_f=low, t_max=f"{over * batch + 1}sp", **run)
        assert_follows(ours, rate)
    every = max(int(over * scale), 1)
    assert_follows(composer.StepScheduler(f"{every}ba", 0.5, base_lr=base), lambda t: base * 0.5 ** (t // every))
    assert_follows(composer.ExponentialScheduler(0.5, f"{every}ba", base_lr=base), lambda t: base * 0.5 ** (t / every))
    held = composer.ConstantScheduler(low, f"{every}ba", base_lr=base)
    assert_follows(held, lambda t: base * (low if t < every else 1))


@given(BASES, st.integers(0, 40), BATCHES, SHARES, SCALES, st.booleans())
def test_with_a_warmup(base, warm, more, low, scale, scaled):
    total = warm + more
    run = {"base_lr": base, "max_duration": f"{total}ba", "scale_schedule_ratio": scale, "scale_warmup": scaled}
    line, end = int(warm * (scale if scaled else 1)), int(total * scale)

    def rate(fall, start=1.0, low=low):
        def used(t):
            if t < warm:
                return base * start * min(1.0, t / line)
            u = min(1.0, (t - warm) / (end - warm)) if end > warm else 0.0
            return base * (low + (start - low) * fall(u))

        return used

    if end and (line or not warm):  # without time for the line Composer divides by zero
        for name, fall in CURVES.items():
            ours = getattr(composer, f"{name}WithWarmupScheduler")(f"{warm}ba", **powered(name), alpha_f=low, **run)
            assert_follows(ours, rate(fall))
        constant = composer.ConstantWithWarmupScheduler(f"{warm}ba", 0.5, **run)
        assert_follows(constant, rate(lambda u: 1.0, 0.5))


@given(BASES, st.integers(1, 30), st.sampled_from([1, 2, 1.5, 1.1, 0.5]), SHARES)
def test_restarts(base, first, mult, low):
    def rate(t):
        length = first
        while t >= length and length:
            t, length = t - length, int(mult * length)
        return base * (low + (1 - low) * (1 + math.cos(math.pi * t / length)) / 2) if length else base * low

    assert_follows(composer.CosineAnnealingWarmRestartsScheduler(f"{first}ba", mult, low, base_lr=base), rate)


def test_times_are_cut_to_whole_ones_in_composers_order():
    """0.29 of 100 batches are 28, of ten epochs of ten they are 29."""
    batches = composer.ConstantScheduler(0.5, "0.29dur", base_lr=1, max_duration="100ba")
    epochs = composer.ConstantScheduler(0.5, "0.29dur", base_lr=1, max_duration="10ep", dataloader_len=10)
    assert repr(batches) == "join(0.5 * stable(28), 1 * stable())"
    assert repr(epochs) == "join(0.5 * stable(29), 1 * stable())"


@pytest.mark.parametrize(
    ("group", "label", "schedule"),
    [
        ("warmup3_cosine_total10", 'Composer CosineAnnealingWithWarmupScheduler("3ba","1dur")', composer.CosineAnnealingWithWarmupScheduler("3ba", "1dur", base_lr=1, max_duration="10ba")),
        ("STEP / MULTISTEP: step 3 gamma .1 ; milestones [3,6]", 'Composer MultiStepScheduler(["3ba","6ba"])', composer.MultiStepScheduler(["3ba", "6ba"], base_lr=1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_sequences_that_composer_produced(group, label, schedule):
    assert_agrees(schedule, sequence(group, label))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: composer.LinearScheduler(base_lr=1), "LinearScheduler(t_max='1dur') is a share of max_duration; write max_duration='100ba'"),
        (lambda: composer.LinearScheduler(t_max="2ep", base_lr=1), "LinearScheduler(t_max=...) is in 'ep'; write dataloader_len=100 too, for example"),
        (lambda: composer.LinearScheduler(t_max=100, base_lr=1), "LinearScheduler(t_max=100): a time is a string such as '10ep', '500ba' or '0.1dur'"),
        (lambda: composer.LinearScheduler(t_max="1.5ba", base_lr=1), "times of a schedule are whole epochs, batches, samples or tokens"),
        (lambda: composer.LinearScheduler(t_max="9sec", base_lr=1), "times of a schedule are whole epochs, batches, samples or tokens"),
        (lambda: composer.LinearScheduler(t_max="0ba", base_lr=1), "LinearScheduler(t_max='0ba') is no time at all"),
        (lambda: composer.LinearScheduler(base_lr=1, max_duration="1dur"), "LinearScheduler(max_duration='1dur'): write how long the run is"),
        (lambda: composer.LinearScheduler(base_lr=1, batch=8), "there is no argument of LinearScheduler 'batch'"),
        (lambda: composer.StepScheduler("9sp", base_lr=1, batch_size=2), "StepScheduler(step_size='9sp'): it is 4.5 batches; write a time of whole batches"),
        (lambda: composer.CosineAnnealingWarmRestartsScheduler("9sp", base_lr=1, batch_size=2), "it is 4.5 batches; write a time of whole batches"),
        (lambda: composer.CosineAnnealingWithWarmupScheduler("3ba", "9ba", base_lr=1, max_duration="10ba"), "(t_max='9ba'): the run goes on after it; write t_max='1dur', or a longer time"),
        (lambda: composer.CosineAnnealingWithWarmupScheduler("4sp", base_lr=1, max_duration="10ba", batch_size=2), "one is counted in 'sp', the other in 'ba'; write both alike"),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_composer_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
