"""Monitoring against what is known: quadratics of known spectrum, gradients of gradients, hand-made losses."""

import alone
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.monitor import edge, loss_on, sharpness, spiked, spikes, update_ratio
from lrlab.optim import by_name, group, rest
from lrlab.optim.method import part
from lrlab.override import override
from lrlab.task.language import Language
from lrlab.task.quadratic import Quadratic
from lrlab.task.vision import Digits

KEY = jax.random.key(0)


def symmetric(values, seed=0):
    """A matrix with these eigenvalues and random eigenvectors."""
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    return jnp.asarray((q * values) @ q.T, jnp.float32)


# --- sharpness -------------------------------------------------------------------------------------------------------


@jax.jit
def top_of_six(matrix):
    return sharpness(lambda w: w["a"] @ matrix @ w["a"] / 2, {"a": jnp.ones(6)}, KEY, iterations=9)


@given(st.lists(st.floats(-10, 10, width=32), min_size=6, max_size=6), st.integers(0, 9))
@example([0.0] * 6, 0).via("no curvature")
@example([2.0] * 6, 0).via("the space ends at once")
@example([-1.0, -2.0, -3.0, -3.0, -9.0, -9.0], 0).via("all negative")
def test_a_full_lanczos_finds_the_top_of_any_spectrum(values, seed):
    found = top_of_six(symmetric(values, seed))
    # rounding of the matrix and of the products, in float32, grows with its norm
    np.testing.assert_allclose(found.value, max(values), atol=2e-5 * max(map(abs, values)) + 1e-30)


def test_twenty_products_find_the_top_of_a_thousand_dimensions():
    task = Quadratic(dimensions=1000, power=0.5)
    loss = loss_on(task, task.load().train, 0, 0, examples=4)
    found = jax.jit(lambda params: sharpness(loss, params, KEY))(jax.tree.map(jnp.asarray, task.init(0)))
    np.testing.assert_allclose(found.value, 1.0, rtol=0.02)
    assert float(found.value) <= 1 + 1e-5  # from below
    assert abs(1 - float(found.value)) <= float(found.within) + 1e-5


def test_the_bound_holds_an_eigenvalue_and_shrinks():
    values = np.linspace(0, 1, 200) ** 3
    loss = lambda w: w @ symmetric(values) @ w / 2
    bounds = []
    for iterations in (2, 5, 20):
        found = jax.jit(sharpness, static_argnums=(0, 3))(loss, jnp.ones(200), KEY, iterations)
        assert np.abs(values - float(found.value)).min() <= float(found.within) + 1e-5
        bounds.append(float(found.within))
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] < 1e-2


def test_a_preconditioner_is_that_of_the_edge():
    """Gradient descent on P^-1 g diverges just where the rate passes edge(sharpness)."""
    curvature, p = jnp.array([1.0, 4.0, 9.0]), jnp.array([1.0, 8.0, 3.0])
    loss = lambda w: jnp.sum(curvature * w**2) / 2
    top = sharpness(loss, jnp.ones(3), KEY, 5, preconditioner=p).value
    np.testing.assert_allclose(top, 3.0, rtol=1e-5)
    for factor, grows in ((0.99, False), (1.01, True)):
        rate, w = factor * 2 / top, jnp.ones(3)
        assert bool(edge(rate) < top) == grows
        for _ in range(400):
            w -= rate * curvature * w / p
        assert bool(jnp.linalg.norm(w) > 1) == grows


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_momentum_moves_the_edge(momentum):
    for factor, grows in ((0.99, False), (1.01, True)):
        w, moved, rate = 1.0, 0.0, 0.1
        for _ in range(2000):
            moved = momentum * moved - rate * factor * edge(rate, momentum) * w
            w += moved
        assert (abs(w) > 1) == grows


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_a_momentum_that_looks_ahead_has_an_edge_of_its_own(momentum):
    optimizer, limit = optax.sgd(0.1, momentum, nesterov=True), edge(0.1, momentum, nesterov=True)
    for factor, grows in ((0.99, False), (1.01, True)):
        w, state = jnp.float32(1), optimizer.init(jnp.float32(1))
        for _ in range(1000):
            moved, state = optimizer.update(factor * limit * w, state)
            w += moved
        assert (abs(float(w)) > 1) == grows


def test_an_edge_is_told_only_of_optimizers_that_have_one(tmp_path):
    """Of the others it was that of gradient descent at their rates, which says nothing."""
    told = {}
    for name in ("nesterov(momentum=0.5)", "lion()", "sgd()"):
        _, _, rows = alone.run(override(RUN, {"optimizer": name, "monitor": "sharpness"}), tmp_path / name)
        told[name] = next(row["held_out"].get("edge") for row in rows if "held_out" in row)
    assert told["lion()"] is None
    assert told["nesterov(momentum=0.5)"] == pytest.approx(told["sgd()"] * 2 / 1.5, rel=1e-4)


def test_the_batch_that_comes_next_is_the_one_whose_sharpness_is_measured():
    """With a size of its own it was another partition of the epoch."""
    task = Digits(hidden=(8,))
    train, params = jax.tree.map(jnp.asarray, (task.load().train, task.init(0)))
    rows = jnp.arange(64, dtype=jnp.int32)
    key = jax.random.fold_in(jax.random.key(0), 3)
    expected = task.loss(params, task.batch(train, 0, 3, rows, 256), key, rows).mean()
    np.testing.assert_allclose(loss_on(task, train, 0, 3, 64, batch=256)(params), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "task",
    [Language(width=16, heads=2, layers=1, sequence=16), Digits(hidden=(8,))],
    ids=lambda task: type(task).__name__,
)
def test_products_go_through_every_operation_of_a_task(task):
    """The Hessian of the fused, hand-written operations, against the differences of their gradients."""
    train, params = jax.tree.map(jnp.asarray, (task.load().train, task.init(0)))
    loss = loss_on(task, train, 0, 3, examples=8)
    flat, unflatten = jax.flatten_util.ravel_pytree(params)
    v = jax.random.normal(KEY, flat.shape)
    v /= jnp.linalg.norm(v)
    slope = jax.jit(jax.grad(lambda flat: loss(unflatten(flat))))
    product = jax.jit(jax.grad(lambda at: slope(at) @ v))(flat)
    step = 3e-3  # error of the difference: step^2 and 1e-7 / step, a thousandth of the product
    difference = (slope(flat + step * v) - slope(flat - step * v)) / (2 * step)
    np.testing.assert_allclose(product, difference, atol=2e-2 * float(jnp.abs(product).max()))


def test_a_loss_in_blocks_is_the_loss():
    task = Digits(hidden=(8,))
    train, params = jax.tree.map(jnp.asarray, (task.load().train, task.init(0)))
    whole, blocks = (loss_on(task, train, 0, 3, 8, blocks) for blocks in (1, 4))
    np.testing.assert_allclose(whole(params), blocks(params), rtol=1e-5)
    one, other = (jax.jit(lambda p, loss=loss: sharpness(loss, p, KEY, 8))(params) for loss in (whole, blocks))
    np.testing.assert_allclose(one, other, rtol=1e-3)


def test_members_of_a_population_are_measured_together():
    curvatures = jnp.array([1.0, 2.0, 3.0])
    measure = lambda c: sharpness(lambda w: c * jnp.sum(w**2) / 2, jnp.ones(4), KEY, 3).value
    np.testing.assert_allclose(jax.vmap(measure)(curvatures), curvatures, rtol=1e-5)


# --- updates and spikes ----------------------------------------------------------------------------------------------


def test_the_ratio_of_an_update_by_group():
    before = {"head": jnp.full(4, 2.0), "body": {"w": jnp.full(9, 1.0)}, "bias": jnp.zeros(2)}
    after = {"head": jnp.full(4, 2.5), "body": {"w": jnp.full(9, 1.5)}, "bias": jnp.array([0.0, 1.0])}
    groups = (group("head"), group("body"), group("bias"))
    ratios = by_name({"update_ratio": jax.jit(lambda b, a: update_ratio(b, a, groups))(before, after)})
    expected = {"update_ratio": (4.25 / 25) ** 0.5, "update_ratio[head]": 0.25, "update_ratio[body]": 0.5}
    assert ratios == pytest.approx({**expected, "update_ratio[bias]": np.inf})
    assert float(update_ratio(before, after)) == ratios["update_ratio"]
    still = by_name({"r": update_ratio(before, before, (group("head"), rest()))})
    assert still == {"r": 0, "r[head]": 0, "r[rest]": 0}


jit_spiked = jax.jit(spiked)


def told(losses, **options):
    state, found = spikes(8), []
    for step, loss in enumerate(losses):
        state, spike = jit_spiked(state, loss, **options)
        found += [step] if spike else []
    assert int(state.count) == len(found)
    return found


def test_a_spike_is_a_loss_far_above_the_last():
    noise = 3 - np.arange(40) / 100 + np.random.default_rng(0).normal(size=40) * 0.02
    assert told(noise) == []
    noise[[20, 30]] += 1.0
    assert told(noise) == [20, 30]
    assert told(noise, deviations=1e3) == []
    assert told(-noise) == []  # falling is no spike


def test_a_loss_that_is_not_finite_is_always_a_spike_and_spoils_no_window():
    losses = [2.0, 2.1, np.nan, 1.9, 2.0, 2.1, 1.9, 2.0, np.inf, 2.1, 2.0, 9.0]
    assert told(losses) == [2, 8, 11]


def test_spikes_are_told_inside_a_scan():
    losses = jnp.full(100, 2.0).at[60].set(3.0) + jax.random.normal(KEY, (100,)) * 0.01
    _, found = jax.lax.scan(spiked, spikes(16), losses)
    assert np.flatnonzero(found).tolist() == [60]


def test_a_window_of_one_is_refused():
    with pytest.raises(lr.Refused, match="window=1: a spread takes two losses at least"):
        spikes(1)


# --- in a run --------------------------------------------------------------------------------------------------------

RUN = Experiment(
    Quadratic(dimensions=5, power=2.0),
    0.5 * lr.decay(to=0.2),
    lr.optim.sgd(),
    steps=20,
    batch=2,
    evaluate_every=10,
    log_every=1,
)


def test_a_run_tells_its_sharpness_and_the_way_to_the_edge(tmp_path):
    _, _, rows = alone.run(override(RUN, {"monitor": "sharpness"}), tmp_path)
    looks = [row["held_out"] for row in rows if "held_out" in row]
    rates = [row["learning_rate"] for row in rows if row.get("step") in (9, 19) and "learning_rate" in row]
    assert [look["sharpness"] for look in looks] == pytest.approx([1.0, 1.0], rel=1e-4)  # the largest of i^-2
    assert [look["edge"] for look in looks] == pytest.approx([rate / 2 for rate in rates], rel=1e-4)


def test_adam_meets_the_edge_of_its_preconditioned_sharpness(tmp_path):
    base = override(
        RUN, {"optimizer": "adam(b1=0.9)", "monitor": "sharpness", "steps": 40, "schedule": "1e-2 * stable()"}
    )
    _, state, rows = alone.run(base, tmp_path)
    look = [row["held_out"] for row in rows if "held_out" in row][-1]
    second = np.asarray(part(state.opt_state, optax.ScaleByAdamState).nu["w"]) / (1 - 0.999**40)
    top = max(Quadratic(dimensions=5, power=2.0).eigenvalues / (np.sqrt(second) + 1e-8))
    assert look["sharpness"] == pytest.approx(top, rel=1e-3)
    assert look["edge"] == pytest.approx(top * 1e-2 * 0.1 / (2 * 1.9), rel=1e-3)


def test_a_run_tells_the_size_of_its_updates_by_group_and_its_spikes(tmp_path):
    base = Experiment(
        Digits(hidden=(8,)), 1e-2 * lr.stable(), lr.optim.adamw(), steps=6, batch=8, log_every=1, evaluate_every=6,
        groups=(group("kernel", rate=0.0), rest()), monitor=("updates", "spikes"),
    )  # fmt: skip
    _, _, rows = alone.run(base, tmp_path)
    steps = [row for row in rows if "loss" in row]
    assert [row["spike"] for row in steps] == [0.0] * 6
    assert all(row["update_ratio"] > 0 for row in steps)
    frozen = next(name for name in steps[0] if name.startswith("update_ratio[kernel"))
    assert {row[frozen] for row in steps} == {0.0}


def test_every_spike_is_recorded_however_seldom_steps_are(tmp_path):
    """They were told where the step was, and the count never."""
    gain = lr.join(lr.stable(233), 2000.0 * lr.stable(1), lr.stable())
    base = Experiment(
        Quadratic(dimensions=3, sigma=1.0), 0.01 * gain, lr.optim.sgd(), 400, 8, evaluate_every=400, monitor=("spikes",)
    )
    _, _, rows = alone.run(base, tmp_path)
    spikes = [row["step"] for row in rows if row.get("spike")]
    assert 234 in spikes
    assert rows[-1]["spikes"] == len(spikes)


def test_an_update_that_is_left_out_is_a_spike_all_the_same():
    from lrlab.train import Member, first_state, make_step

    task = Digits(hidden=(8,))
    member = Member(1e-2 * lr.stable(), lr.optim.sgd(), skip=3, monitor=("spikes",))
    state = first_state(member, task.init(0))
    state = state._replace(params=jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), state.params))
    state, metrics = make_step(task, 8)(state, member, task.load().train, jnp.arange(8, dtype=jnp.int32))
    assert (float(metrics["skipped"]), float(metrics["spike"]), int(state.watched[2].count)) == (1, 1, 1)


def test_what_is_monitored_changes_nothing(tmp_path):
    plain, *_ = alone.run(RUN, tmp_path / "plain")
    watched, *_ = alone.run(override(RUN, {"monitor": "updates, spikes, sharpness"}), tmp_path / "watched")
    assert watched.final.items() >= plain.final.items()


def test_an_unknown_monitor_is_refused():
    with pytest.raises(lr.Refused, match="there is no choice 'spike'; did you mean 'spikes'"):
        override(RUN, {"monitor": "spike"})
