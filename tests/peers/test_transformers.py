"""transformers' schedulers, run on an optimizer, against ours."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

import lrlab as lr

optimization = pytest.importorskip("transformers.optimization")
from peers.driver import assert_same, optimizer, rates_used  # noqa: E402

rates, counts = st.floats(1e-5, 1.0), st.integers(0, 50)
shares = st.sampled_from([0.0, 0.1]) | st.floats(1e-6, 1.0)
waves = st.sampled_from([0.5, 1, 1.5]) | st.floats(0.01, 9.0)
ways = st.sampled_from(["linear", "cosine", "1-sqrt"])
KWARGS = {
    "constant": {},
    "constant_with_warmup": {},
    "linear": {},
    "cosine": {"num_cycles": waves},
    "cosine_with_restarts": {"num_cycles": st.integers(1, 9) | st.floats(0.1, 9.0)},
    "polynomial": {"lr_end": st.floats(0, 9e-6), "power": st.floats(0.1, 4.0)},
    "inverse_sqrt": {"timescale": st.none() | st.integers(1, 99)},
    "cosine_with_min_lr": {"num_cycles": waves, "min_lr_rate": shares},
    "cosine_warmup_with_min_lr": {"num_cycles": waves, "min_lr": shares, "warmup_lr_rate": st.none() | shares},
    "warmup_stable_decay": {
        "num_decay_steps": counts,
        "warmup_type": ways,
        "decay_type": ways,
        "min_lr_ratio": shares,
        "num_cycles": waves,
    },
}


@pytest.mark.parametrize("name", KWARGS)
@given(st.data())
def test_every_scheduler_type(name, data):
    base_lr, warm, more = data.draw(rates), data.draw(counts), data.draw(st.integers(1, 60))
    total = warm + more if name == "polynomial" else data.draw(st.integers(0, 99))  # polynomial divides by the rest
    counted = {
        "num_warmup_steps": warm,
        "num_training_steps": total,
        "scheduler_specific_kwargs": {key: data.draw(values, key) for key, values in KWARGS[name].items()},
    }
    sgd = optimizer(base_lr)
    theirs = optimization.get_scheduler(name, sgd, **counted)
    ours = lr.compat.transformers.get_scheduler(name, base_lr=base_lr, **counted)
    assert_same(ours, rates_used(sgd, lambda t: theirs.step(), 3 * total + 50), base_lr)


def test_no_scheduler_type_is_missing():
    ours = lr.compat.transformers._BY_NAME
    assert {kind.value for kind in optimization.SchedulerType} == set(ours)
    for kind, function in optimization.TYPE_TO_SCHEDULER_FUNCTION.items():
        assert ours[kind.value].__name__ == function.__name__


def test_what_we_say_of_adafactor():
    parameter = optimizer(1.0).param_groups[0]["params"][0]
    adafactor = optimization.Adafactor([parameter], scale_parameter=False, relative_step=True, warmup_init=False)
    rates = []
    for _ in range(50):
        adafactor.step()
        rates += optimization.AdafactorSchedule(adafactor).get_lr()
    assert_same(lr.parse("0.01 * stable(9999) >> rsqrt(10000)"), rates, 0.01)
