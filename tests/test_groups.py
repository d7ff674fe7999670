"""Groups of parameters: their rates, decays and times, against optax's own partition, closed forms and the papers."""

import json

import alone
import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from digits import DIGITS
from hypothesis import given, settings
from hypothesis import strategies as st
from trained import PARAMS, RATE, trained

import lrlab as lr
from lrlab.optim import (
    WORDS,
    adadelta,
    adam,
    adamw,
    assigned,
    discriminative,
    effective,
    frozen,
    gradual_unfreezing,
    group,
    independent,
    layerwise,
    lion,
    mechanic,
    muon,
    mup,
    opposed,
    prodigy,
    rest,
    sgd,
    values_held,
)
from lrlab.optim.grouped import together
from lrlab.optim.restart import cycle_starts
from lrlab.override import override
from lrlab.schedule.notation import read

OWN = 3e-3 * lr.decay(20, to=0.5, curve=lr.cosine)
GROUPS = (
    group("embedding", rate=0.5, weight_decay=0),
    group("head", schedule=OWN, weight_decay=0.3),
    rest(decay=2),
)


# --- what a group does -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "theirs"),
    [
        (adamw(weight_decay=0.1), lambda rate, decay: optax.adamw(rate, weight_decay=decay)),
        (lion(weight_decay=0.1), lambda rate, decay: optax.lion(rate, weight_decay=decay)),
        (adadelta(weight_decay=0.1), lambda rate, decay: optax.adadelta(rate, weight_decay=decay)),
    ],
)
def test_groups_equal_an_optax_optimizer_for_each(optimizer, theirs):
    apart = optax.partition(
        {
            "embedding": theirs(lambda t: 0.5 * RATE(t), 0.0),
            "head": theirs(OWN, 0.3),
            "rest": theirs(RATE, 0.2),
        },
        {"embedding": "embedding", "layers": "rest", "head": "head"},
    )
    ours, _ = trained(optimizer.build(RATE, GROUPS))
    expected, _ = trained(apart)
    chex.assert_trees_all_close(ours, expected, rtol=2e-5, atol=2e-6)  # products in another order, over 20 updates


def test_muon_decays_matrices_unless_a_group_says_otherwise():
    alone, _ = trained(muon(weight_decay=0.1).build(RATE), updates=3)
    grouped, _ = trained(muon(weight_decay=0.1).build(RATE, (group("bias", weight_decay=0.5), rest())), updates=3)
    chex.assert_trees_all_close(alone["head"], grouped["head"], rtol=1e-6)
    chex.assert_trees_all_close(alone["layers"]["0"]["kernel"], grouped["layers"]["0"]["kernel"], rtol=1e-6)
    assert np.all(alone["layers"]["0"]["bias"][-1] > grouped["layers"]["0"]["bias"][-1])


def test_any_optimizer_takes_a_group_s_decay_and_sgd_with_it_is_sgdw():
    ours, _ = trained(sgd().build(0.1, (group("head", weight_decay=0.5), rest())), updates=1)
    np.testing.assert_allclose(
        ours["head"][0], PARAMS["head"] - 0.1 * (0.5 * PARAMS["head"] + 0.1 + 0.5 * PARAMS["head"]), rtol=1e-6
    )
    np.testing.assert_allclose(
        ours["embedding"][0], PARAMS["embedding"] - 0.1 * (0.5 * PARAMS["embedding"] + 0.1), rtol=1e-6
    )


def test_a_group_is_frozen_outside_its_time_and_its_moments_are_not():
    groups = (group("head", begin=5, end=8), frozen("embedding"), rest())
    params, states = trained(adamw(weight_decay=0.1).build(RATE, groups))
    moved = np.abs(np.diff(params["head"], axis=0, prepend=PARAMS["head"][None])).max((1, 2)) > 0
    assert [t for t in range(20) if moved[t]] == [5, 6, 7]
    assert np.all(params["embedding"] == PARAMS["embedding"])
    used = lr.values_used(states)
    np.testing.assert_array_equal(used["learning_rate[head]"] > 0, moved)
    assert np.all(states.inner.mu["head"][3] != 0)
    # an update of Adam is at most about the rate from the first one on: no burst of (1 - b1) / sqrt(1 - b2)
    assert np.abs(params["head"][5] - PARAMS["head"]).max() < 1.3 * RATE(5)


def test_the_state_reports_the_rate_of_every_group():
    _, states = trained(adamw(weight_decay=0.1).build(RATE, GROUPS))
    used, steps = lr.values_used(states), np.arange(20)
    assert states.count.tolist() == list(range(1, 21))
    for name, rate in {"": RATE, "[head]": OWN, "[rest]": RATE}.items():
        np.testing.assert_allclose(used["learning_rate" + name], rate(steps), rtol=3e-7)  # float64 against float32
    np.testing.assert_allclose(used["learning_rate[embedding]"], 0.5 * RATE(steps), rtol=3e-7)
    decays = [float(used[f"weight_decay[{name}]"][0]) for name in ("embedding", "head", "rest")]
    np.testing.assert_allclose(decays, [0, 0.3, 0.2], rtol=1e-6)
    assert values_held(states)["learning_rate"].each.shape == (20, 3)


@settings(max_examples=12)  # each compiles primitives of other shapes
@given(
    st.lists(st.sampled_from(["warm", "cosine", "wsd", "number", "table"]), min_size=1, max_size=8), st.integers(0, 40)
)
def test_schedules_evaluated_together_are_those_evaluated_alone(kinds, t):
    made = {
        "warm": lambda i: (i + 1) * 1e-3 * lr.warmup(5 + i),
        "cosine": lambda i: (i + 1) * 1e-3 * lr.decay(30 + i, curve=lr.cosine),
        "wsd": lambda i: (i + 1) * 1e-3 * lr.warmup(3) >> lr.stable(10 + i) >> lr.decay(10, to=0.1),
        "number": lambda i: 0.1 * i,
        "table": lambda i: lr.table([1.0, 2.0, 3.0 + i]),
    }
    values = [made[kind](i) for i, kind in enumerate(kinds)]
    alone = [value if isinstance(value, float) else value(t) for value in values]
    with jax.disable_jit():
        np.testing.assert_allclose(together(values, jnp.int32(t)), alone, rtol=2e-6)  # float32 against float64


def test_one_trace_serves_all_numbers_of_groups_of_one_form():
    @chex.assert_max_traces(1)
    def moved(schedule, groups):
        tx = adamw().build(schedule, groups)
        return tx.update(PARAMS, tx.init(PARAMS), PARAMS)[0]["head"]

    compiled = jax.jit(moved)
    for rate, over, thaw in ((1.0, 10, 0), (0.5, 20, 0), (0.5, 20, 3)):
        groups = (group("head", rate=rate, schedule=0.1 * lr.warmup(over, start=0.5), begin=thaw), rest())
        head = compiled(RATE, groups)
    assert np.all(head == 0)  # begin=3: frozen at the first update


# --- which parameters ------------------------------------------------------------------------------------------------


def test_every_parameter_is_in_exactly_one_group():
    groups = (group("embedding|head"), group(r"layers\.\d+\.kernel"), rest())
    assert assigned(groups, PARAMS) == [0, 0, 2, 1]
    assert assigned((group("0"), group("1")), [PARAMS["head"], PARAMS["head"]]) == [0, 1]


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ([group("head"), group("embedding")], "'layers.0.bias' is in no group: .*add rest"),
        (
            [group("head"), group("kernel|head"), rest()],
            r"'head' is in 2 groups, group\('head'\) and group\('kernel\|head'\)",
        ),
        ([group("haed"), rest()], r"group\('haed'\) finds no parameter; there are embedding, head, layers.0.bias"),
        ([group("head", rate=0.1), group("head$"), rest()], "two groups are called 'head'"),
        ([rest(), rest(rate=2)], "two groups are called 'rest'"),
        (["head"], "groups holds 'head'"),
        ([group("head", begin="20%"), rest()], "not yet in steps"),
    ],
)
def test_parameters_in_no_group_or_two_are_refused(groups, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        adam().build(RATE, groups).init(PARAMS)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: group(""), "write a regular expression"),
        (lambda: group("("), "cannot be read"),
        (lambda: group("head", rate=-1), "rate=-1 is not a number from 0 on"),
        (lambda: group("head", decay="x"), "decay='x' is not a number"),
        (lambda: group("head", weight_decay=-1), "weight_decay=-1 is not a number"),
        (lambda: group("head", schedule=0.1), r"write 0.1 \* stable\(\)"),
        (lambda: group("head", begin=None), "write frozen"),
        (lambda: group("head", begin=0.2), "bare float"),
        (lambda: group("head", begin=8, end=5).resolve(lr.Horizon(10)), "from step 8 to 5"),
        (lambda: group("head", begin=11).resolve(lr.Horizon(10)), "in a run of 10"),
        (lambda: layerwise(1.5, layers=2), "at most 1"),
        (lambda: layerwise(0.5, layers=0), "positive whole number"),
        (lambda: layerwise(0.5, layers=2, layer="block"), "where the number of the layer stands"),
        (lambda: discriminative("head"), "two stages or more"),
        (lambda: discriminative("embedding", "head", low=0), "above 0"),
        (lambda: gradual_unfreezing("head", every=None), "how long each stage waits"),
        (lambda: mup(0, 128), "width=0"),
        (lambda: independent(-1), "number from 0 on"),
        (lambda: adadelta(weight_decay=independent(0.1)).build(RATE), "cannot be independent"),
        (lambda: adam(b1=independent(0.1)), "b1 is a number or a schedule"),
        (lambda: opposed(low=0), "above 0 and below 1"),
        (lambda: opposed(low=0.95, high=0.9), "low is the lower one"),
        (lambda: opposed(lr.rsqrt(10)), "cannot be opposed to rsqrt"),
        (lambda: adamw().build(RATE).update(PARAMS, adamw().build(RATE).init(PARAMS)), "needs the parameters"),
        (lambda: cycle_starts(lr.repeat(lr.stable(1), 5000)), "more than 1000 times"),
    ],
)  # fmt: skip
def test_refusals(call, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        call()


@pytest.mark.parametrize(
    "text",
    [
        "group('head', rate=0.5, schedule=1e-3 * warmup(100) >> decay(), begin='20%')",
        r"group('layers\\.0\\.', decay=0, end=10)",
        "group('head', weight_decay=independent(1e-4))",
        "rest(weight_decay=0.1 * decay())",
        "adamw(b1=opposed(low=0.85, high=0.95), weight_decay=independent(1e-4))",
    ],
)
def test_a_group_is_written_as_it_is_read(text):
    assert repr(read(text, WORDS)) == text
    assert read(text, WORDS) == read(repr(read(text, WORDS)), WORDS)


# --- the papers' groups ----------------------------------------------------------------------------------------------


@given(st.integers(1, 24), st.floats(0.5, 1.0))
def test_layerwise_rates_are_beits(layers, decay):
    """BEiT numbers the embedding 0, layer l l + 1, the rest L + 1, and multiplies by decay^(L + 1 - number)."""
    groups = layerwise(decay, layers=layers)
    rates = {one.name: one.rate for one in groups}
    np.testing.assert_allclose(rates["embedding|positions"], decay ** (layers + 1))
    np.testing.assert_allclose(
        [rates[f"layers.{l}"] for l in range(layers)], [decay ** (layers + 1 - (l + 1)) for l in range(layers)]
    )
    assert rates["rest"] == 1
    params = {"embedding": 0, "head": 0, "layers": {str(l): {"kernel": 0} for l in range(layers)}}
    names = [groups[i].name for i in assigned(groups, params)]  # layer 1 is not taken for layer 10
    paths = ["embedding|positions", "rest", *(f"layers.{l}" for l in sorted(range(layers), key=str))]
    assert names == paths


def test_discriminative_rates_are_ulmfits_and_fastais():
    np.testing.assert_allclose([one.rate for one in discriminative("a", "b", "c")], [1 / 2.6**2, 1 / 2.6, 1])
    # fastai's even_mults(1e-5, 1e-3, 3): evenly spaced logarithms
    np.testing.assert_allclose([1e-3 * one.rate for one in discriminative("a", "b", "c", low=0.01)], [1e-5, 1e-4, 1e-3])


def test_stages_thaw_from_the_output_on():
    groups = gradual_unfreezing(*discriminative("embedding", "layers", "head"), every="1.5ep")
    assert [one.begin for one in groups] == ["3ep", "1.5ep", 0]
    begins = [one.resolve(lr.Horizon(100, batch=4, epoch=40)).begin for one in groups]
    assert begins == [30, 15, 0]
    assert [one.begin for one in gradual_unfreezing("a", "b", rest(), every=7)] == [14, 7, 0]


def test_mup_scales_the_rate_and_keeps_rate_times_decay():
    """MuAdamW: lr / width_mult and weight decay * width_mult for matrices; the product is that of the base width."""
    params = {"kernel": np.ones((4, 4), np.float32), "norm": np.ones(4, np.float32)}
    _, wide = trained(adamw(weight_decay=0.1).build(RATE, mup(512, 128)), params)
    _, base = trained(adamw(weight_decay=0.1).build(RATE, mup(128, 128)), params)
    wide, base = lr.values_used(wide), lr.values_used(base)
    np.testing.assert_allclose(wide["learning_rate[kernel]"], base["learning_rate[kernel]"] / 4, rtol=1e-6)
    np.testing.assert_allclose(
        wide["learning_rate[kernel]"] * wide["weight_decay[kernel]"],
        base["learning_rate[kernel]"] * base["weight_decay[kernel]"],
        rtol=1e-6,
    )
    np.testing.assert_array_equal(wide["learning_rate[rest]"], base["learning_rate[rest]"])


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_holds_what_updates_use():
    groups = (group("embedding", rate=0.5, begin=10), group("head", schedule=OWN, weight_decay=0.3), rest(decay=2))
    rows = effective(adamw(weight_decay=0.1), RATE, groups, PARAMS, 20)
    assert [(row.name, row.arrays, row.numbers, row.begin, row.end) for row in rows] == [
        ("embedding", 1, 12, 10, 20),
        ("head", 1, 6, 0, 20),
        ("rest", 2, 10, 0, 20),
    ]
    used = lr.values_used(trained(adamw(weight_decay=0.1).build(RATE, groups))[1])
    for row in rows:
        rates = used[f"learning_rate[{row.name}]"][row.begin : row.end]
        np.testing.assert_allclose([row.first, row.peak, row.last], [rates[0], rates.max(), rates[-1]], rtol=1e-6)
    assert [row.weight_decay for row in rows] == ["0.1", "0.3", "0.2"]
    assert [row.name for row in effective(sgd(), RATE, (), PARAMS, 20)] == ["all"]


def test_a_decay_that_is_not_applied_is_not_reported():
    told = lambda optimizer, groups: [row.weight_decay for row in effective(optimizer, RATE, groups, PARAMS, 20)]
    groups = (group("kernel|head|embedding"), rest())
    assert told(muon(weight_decay=0.1), groups) == ["0.1", None]
    assert told(muon(weight_decay=0.1), (group("kernel"), rest(weight_decay=0.2))) == ["0.1", "0.2"]
    assert told(muon(weight_decay=0.1), ()) == ["0.1"]
    assert told(mechanic(adamw(weight_decay=0.3)), ()) == ["0.3"]
    assert told(mechanic(sgd()), ()) == [None]
    assert told(prodigy(weight_decay=0.2), ()) == ["0.2"]
    used = lr.values_used(muon(weight_decay=0.1).build(RATE, groups).init(PARAMS))
    assert used["weight_decay[kernel|head|embedding]"] == np.float32(0.1)
    assert used["weight_decay[rest]"] == 0


# --- in a run --------------------------------------------------------------------------------------------------------

CYCLES = override(DIGITS, {"groups": (group("hidden", rate=0.5, begin="50%"), rest()), "restart": "cycles"})


def ran(experiment, folder):
    """The outcome, the state and the rows of a run on one device."""
    return alone.run(experiment, folder)


def test_a_run_with_groups_counts_updates_and_records_their_rates(tmp_path):
    _, state, written = ran(CYCLES, tmp_path)
    rate = CYCLES.resolve().schedule
    steps = [row for row in written if "loss" in row]
    # microbatches do not move the clock, nor does the restart of the moments at update 3
    assert state.opt_state.count == 12
    assert state.opt_state.inner.count == 9
    np.testing.assert_allclose([row["learning_rate"] for row in steps], rate(np.arange(12)), rtol=1e-6)
    thawed = [0.5 * rate(t) if t >= 6 else 0 for t in range(12)]
    np.testing.assert_allclose([row["learning_rate[hidden]"] for row in steps], thawed, rtol=1e-6)


@pytest.mark.parametrize(
    ("path", "value", "read"),
    [
        ("groups", "layerwise(0.5, layers=1, layer='hidden.{}', first='head')", lambda e: [g.rate for g in e.groups] == [0.25, 0.5, 1]),
        ("groups", "[group('head', weight_decay=0), rest()]", lambda e: e.groups == (group("head", weight_decay=0), rest())),
        ("groups", "rest(rate=2)", lambda e: e.groups == (rest(rate=2),)),
        ("groups.0.rate", "0.25", lambda e: e.groups[0].rate == 0.25),
        ("groups.1.schedule", "1e-3 * decay()", lambda e: repr(e.resolve().groups[1]) == "rest(schedule=1e-3 * decay(12))"),
        ("groups.0.begin", "25%", lambda e: e.resolve().groups[0].begin == 3),
        ("restart", "[3, '50%']", lambda e: e.resolve().restart == (3, 6)),
        ("restart", "cycles", lambda e: e.resolve().restart == (3,)),
        ("optimizer.weight_decay", "independent(1e-3)", lambda e: repr(e.resolve().optimizer) == "adamw(weight_decay=independent(1e-3))"),
        ("optimizer.b1", "opposed(low=0.8, high=0.9)", lambda e: "repeat(ramp(3, start=0.8, to=0.9), 2)" in repr(e.resolve().optimizer)),
        ("skip_nonfinite", "5", lambda e: e.plan.skip == 5),
    ],
)  # fmt: skip
def test_groups_are_set_by_path(path, value, read):
    changed = override(CYCLES, {path: value})
    assert read(changed)
    assert changed.digest == changed.resolve().digest
    assert json.loads(json.dumps(changed.values()))


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("groups", "[group('head')]", r"'hidden.0.bias' is in no group"),
        ("groups", "head", "there is no word 'head'"),
        ("groups", "[0.5]", "groups=.*a group, such as"),
        ("groups.0.rate", "-1", "rate=-1 is not a number from 0 on"),
        ("groups.2.rate", "1", "there is no value 'groups.2.rate'; did you mean 'groups.1.rate'"),
        ("groups.0.begin", "sometime", "'sometime'"),
        ("restart", "[0.5]", "restart"),
        ("restart", "never", "restart"),
        ("skip_nonfinite", "-1", "how many updates in a row"),
        ("optimizer.b1", "independent(0.1)", "b1"),
    ],
)
def test_groups_that_do_not_fit_are_refused(path, value, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        override(CYCLES, {path: value}).resolve()
