"""Methods that find their rate or need no decay: against the references, optax, and what they say of themselves."""

import json

import alone
import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib
from published import published

import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.optim import RATE_FREE, evaluation_params, mechanic, prodigy, sgd
from lrlab.override import override
from lrlab.parallel import strategy
from lrlab.schedule.notation import read
from lrlab.task.quadratic import Quadratic

PARAMS = {"matrix": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), "vector": np.ones(2, np.float32)}


def optimizer(name):
    return mechanic(sgd()) if name == "mechanic" else RATE_FREE[name]()


def reference(file):
    return json.loads(published(f"optimizers/{file}").read_text())


def trained(tx, recorded):
    """Parameters, their averages and rates, [updates, ...], on the noisy quadratic of a recorded trajectory."""
    h, noise, start = (jnp.asarray(recorded[key], jnp.float32) for key in ("h", "noise", "w0"))

    def step(carry, noise):
        params, state = carry
        updates, state = tx.update(h * params + noise, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), (params, evaluation_params(state, params), lr.values_used(state)["learning_rate"])

    return jax.jit(lambda: jax.lax.scan(step, (start, tx.init(start)), noise))()[1]


def moved(tx, updates=6, gradient=lambda params: jax.tree.map(lambda p: 0.5 * p - 0.25, params)):
    """(state before, state after, parameters, gradient, updates) of each update; not compiled."""
    params = jax.tree.map(jnp.asarray, PARAMS)
    state, seen = tx.init(params), []
    for _ in range(updates):
        grads = gradient(params)
        updates, after = tx.update(grads, state, params, value=jnp.float32(3.0))
        seen.append((state, after, params, grads, updates))
        params, state = optax.apply_updates(params, updates), after
    return seen


# --- against the references ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", range(8))
def test_schedule_free_is_the_reference_with_and_without_warm_up(case):
    """facebookresearch/schedule_free in float64; optax 0.2.8 is off by up to 0.04 where there is a warm-up."""
    recorded = reference("schedule_free_golden.json")
    case = recorded["cases"][case]
    given = {"betas": (case["kw"].get("momentum", 0.9), 0.999), "warmup_steps": 1, **case["kw"]}
    n = given["warmup_steps"]
    schedule = given["lr"] * (lr.warmup(n - 1, start=1 / n) >> lr.stable(60))
    shared = {"b1": given["betas"][0], "weight_decay": given.get("weight_decay", 0.0)}
    if case["cls"].startswith("SGD"):
        method = RATE_FREE["schedule_free_sgd"](**shared)
    else:
        power = given.get("weight_lr_power", 2.0)
        method = RATE_FREE["schedule_free_adamw"](b2=given["betas"][1], weight_power=power, **shared)
    y, x, rates = trained(method.build(schedule), recorded)
    for ours, theirs in ((x, case["x_at"]), (y, case["y_at"])):
        for step, value in theirs.items():
            np.testing.assert_allclose(ours[int(step) - 1], value, atol=2e-6)  # float32, over 60 updates
    np.testing.assert_allclose(rates, schedule(np.arange(60)), rtol=3e-7)


@pytest.mark.parametrize(
    ("case", "method", "tolerance"),
    [
        # the estimate rests on how far the parameters have moved, at first by 1e-6; near 1 a float32 resolves 1.2e-7
        (0, prodigy(), 0.05),
        (3, prodigy(d_coef=2.0), 0.05),
        (4, RATE_FREE["dadapt_adamw"](), 2e-5),  # rests on sums of gradients only
    ],
)
def test_the_rate_reported_is_the_distance_that_the_reference_estimates(case, method, tolerance):
    """konstmish/prodigy and facebookresearch/dadaptation in float64, with the bias correction that optax always makes."""
    recorded = reference("parameter_free_golden.json")
    case = recorded["cases"][case]
    assert case["kw"]["use_bias_correction"]
    _, _, rates = trained(method.build(1.0 * lr.stable()), recorded)
    np.testing.assert_allclose(rates, [1e-6, *case["d"][:-1]], rtol=tolerance)  # d is recorded after an update


# --- against optax ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RATE_FREE)
def test_at_a_constant_rate_it_is_that_of_optax(name):
    theirs = {
        "schedule_free_sgd": lambda rate: contrib.schedule_free_sgd(rate),
        "schedule_free_adamw": lambda rate: contrib.schedule_free_adamw(rate),
        "momo_adam": lambda rate: contrib.momo_adam(rate),
        "mechanic": lambda rate: contrib.mechanize(optax.sgd(rate)),
    }.get(name, getattr(contrib, name, None))
    for ours, other in zip(moved(optimizer(name).build(0.1)), moved(optax.with_extra_args_support(theirs(0.1)))):
        # float32 values here, Python constants there: float32 rounding of the largest update
        largest = max(np.abs(u).max() for u in jax.tree.leaves(other[4]))
        chex.assert_trees_all_close(ours[4], other[4], rtol=2e-4, atol=2e-5 * largest)


# --- what they say of themselves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["dog(r0=0.01)", "dowg()", "momo(beta=0)", "mechanic(sgd(), s0=0.1)"])
def test_the_rate_reported_is_the_one_used(method):
    """Without momentum an update is minus the rate times the gradient; Mechanic scales the sum of them from the start."""
    total = jax.tree.map(jnp.zeros_like, PARAMS)
    for _, state, params, gradient, updates in moved(read(method, lr.optim.WORDS).build(0.5)):
        if method.startswith("mechanic"):
            total = gradient = jax.tree.map(jnp.add, total, gradient)
            updates = jax.tree.map(lambda u, p, start: u + p - start, updates, params, PARAMS)
        rate = lr.values_used(state)["learning_rate"]
        assert 0 < rate <= 1
        expected = optax.tree.scale(-rate, gradient)
        # 1e-6: a few ulp of parameters near 1, from which Mechanic recomputes its sum
        jax.tree.map(lambda u, e: np.testing.assert_allclose(u, e, rtol=1e-3, atol=1e-6), updates, expected)


def test_the_schedule_multiplies_what_the_method_finds():
    schedule = lr.warmup(4) >> lr.decay(4)
    rates = [
        lr.values_used(after)["learning_rate"] / before.inner.estim_lr
        for before, after, *_ in moved(prodigy().build(schedule), 8)
    ]
    np.testing.assert_allclose(rates, schedule(np.arange(8)), rtol=1e-6)


@pytest.mark.parametrize("name", ["prodigy", "dadapt_adamw"])
def test_a_warm_up_from_zero_moves_nothing_and_breaks_nothing(name):
    first, *_, last = moved(optimizer(name).build(lr.warmup(3) >> lr.stable(5)))
    assert not any(np.any(u) for u in jax.tree.leaves(first[4]))
    assert lr.values_used(first[1])["learning_rate"] == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(last[1]))
    assert any(np.any(u) for u in jax.tree.leaves(last[4]))


def test_before_the_first_update_there_is_no_rate_yet():
    assert np.isnan(lr.values_used(prodigy().build(1.0).init(PARAMS))["learning_rate"])


# --- states ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RATE_FREE)
def test_the_state_is_float32_arrays_whatever_the_parameters(name):
    tx = optimizer(name).build(0.5 * lr.stable())
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.bfloat16), PARAMS)
    state = jax.eval_shape(tx.init, params)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state)} <= {"float32", "int32", "bool"}
    _, after = jax.eval_shape(lambda g, s, p: tx.update(g, s, p, value=1.0), params, state, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(after, state)


@pytest.mark.parametrize("name", RATE_FREE)
def test_no_two_arrays_share_a_buffer(name):
    """So that parameters and state can be donated; optax's own states hold the parameters, and zeros several times."""
    params = jax.tree.map(jnp.asarray, PARAMS)
    leaves = jax.tree.leaves((params, optimizer(name).build(0.5).init(params)))
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


# --- in a run --------------------------------------------------------------------------------------------------------

BASE = Experiment(
    task=Quadratic(dimensions=4),
    schedule=0.5 * lr.stable(),
    optimizer=RATE_FREE["schedule_free_sgd"](),
    steps=12,
    batch=8,
    evaluate_every=6,
    log_every=1,
)


def run(tmp_path, devices=1, **changes):
    experiment = override(BASE, changes).resolve()
    return alone.run(experiment, tmp_path / str(devices), devices)


def test_a_run_is_evaluated_at_the_average_on_any_number_of_devices(tmp_path):
    outcome, state, rows = run(tmp_path)
    shared, _, others = run(tmp_path, devices=4)
    task = BASE.task
    loss = lambda params: float(task.metrics(params, task.held(task.load().valid, jnp.arange(1)))["loss"][0])
    assert outcome.final["loss"] == pytest.approx(loss(evaluation_params(state.opt_state, state.params)), rel=1e-6)
    assert outcome.final["loss"] != pytest.approx(loss(state.params), rel=1e-3)
    assert shared.final["loss"] == pytest.approx(outcome.final["loss"], rel=1e-5)  # sums in another order
    assert {row["learning_rate"] for row in rows + others if "learning_rate" in row} == {0.5}


@pytest.mark.parametrize("method", ["schedule_free_adamw()", "mechanic(momentum())", "momo()"])
def test_a_run_continued_from_a_saved_state_is_the_same_to_the_bit(method):
    experiment = override(BASE, {"optimizer": method, "feedback": "plateau(0.5, 1, metric='train_loss')"}).resolve()
    task, member, chosen = experiment.task, experiment.member(0), strategy(None, 8, 1, jax.devices()[:1])
    advance = lambda state: alone.compiled(chosen, task, 8, 1, 6)(state, member, chosen.put(task.load().train))
    once = advance(alone.begin(task, member))[0]
    saved = jax.tree.map(np.asarray, jax.device_get(once))
    expected = jax.device_get(advance(once))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(advance(saved)), expected)


# --- notation and refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "prodigy()",
        "dog(r0=1e-4)",
        "mechanic(adamw(b2=0.95), s0=1e-5)",
        "momo(lower_bound=-2)",
        "cocob(weight_decay=0.1)",
    ],
)
def test_a_method_is_written_as_it_is_read(text):
    method = read(text, lr.optim.WORDS)
    assert repr(method) == text
    assert read(method.spelled(), lr.optim.WORDS) == method


def test_parts_of_a_method_are_set_by_path():
    base = override(BASE, {"optimizer": "mechanic(adamw(weight_decay=0.1 * decay()))"})
    changed = override(base, {"optimizer.base.b2": "0.95", "optimizer.s0": 1e-5}).resolve()
    assert repr(changed.optimizer) == "mechanic(adamw(b2=0.95, weight_decay=0.1 * decay(12)), s0=1e-5)"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: prodigy(b1=0.9 * lr.stable()), r"prodigy\(b1=0.9 \* stable\(\)\): b1 is a number; only weight_decay may"),
        (lambda: prodigy(d0=-1.0), r"prodigy\(d0=-1\): d0 is a number, zero or more"),
        (lambda: RATE_FREE["schedule_free_sgd"](b1=1.0), "Schedule-Free's b1 is a number between 0 and 1"),
        (lambda: RATE_FREE["schedule_free_sgd"](b1=0.9 * lr.stable()), r"b1=0.9 \* stable\(\): Schedule-Free's b1"),
        (lambda: RATE_FREE["momo"](lower_bound=float("nan")), "the bound on the loss is a finite number"),
        (lambda: mechanic(prodigy()), r"mechanic\(prodigy\(\)\): it scales an optimizer that takes a rate"),
        (lambda: mechanic(optax.sgd(0.1)), "write mechanic"),
        (lambda: override(BASE, {"optimizer": "momo()", "clip": 1.0}), "clipping would lengthen it; write clip=None"),
        (lambda: override(BASE, {"optimizer": "cocob()", "feedback": "plateau()"}), r"cocob\(\) has no rate for plateau\(\)"),
        (lambda: override(BASE, {"optimizer.b1": "2"}), "optimizer.b1=2: b1=2: Schedule-Free's b1"),
        (lambda: override(BASE, {"groups": "rest()"}), r"schedule_free_sgd\(\) has one state for all parameters"),
        (lambda: prodigy().build(1.0, groups=["head"]), "one state for all parameters and the whole run"),
        (lambda: mechanic(sgd()).build(1.0, restarts=[3]), r"mechanic\(sgd\(\)\) has one state"),
        (lambda: prodigy().build(1.0).update(PARAMS, None), "prodigy needs the parameters"),
        (lambda: RATE_FREE["momo"]().build(1.0).update(PARAMS, None, PARAMS), "momo needs the loss; write tx.update"),
    ],
)  # fmt: skip
def test_refusals(call, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        call()
