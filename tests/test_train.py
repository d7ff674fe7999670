"""The step, the chunk and the strategies: the same numbers however a run is executed."""

import alone
import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lrlab as lr
from lrlab.optim import adamw, momentum, sgd
from lrlab.parallel import strategy
from lrlab.task.language import Language
from lrlab.task.quadratic import Quadratic
from lrlab.task.vision import Digits
from lrlab.train import Member, make_chunk, make_evaluate, make_step

TINY = Language(width=16, heads=2, layers=1, sequence=16)
RATE = (3e-3 * lr.warmup(4) >> lr.decay(16)).resolve(lr.Horizon(steps=20))
MEMBER = Member(RATE, adamw(b2=0.95), seed=0, clip=1.0)


def losses(task, member, how=None, devices=1, batch=8, accumulate=1, chunks=(4, 4, 4)):
    """Training losses of a run, and its final state."""
    chosen = strategy(how, batch, accumulate, jax.devices()[:devices])
    data = task.load()
    train = chosen.put(data.train)
    state = alone.begin(task, member)
    collected = []
    for length in chunks:
        state, metrics = alone.compiled(chosen, task, batch, accumulate, length)(state, member, train)
        collected.append(metrics["loss"])
    return np.concatenate(collected), jax.device_get(state)


@pytest.mark.parametrize("how", ["pmap", "mesh"])
@pytest.mark.parametrize("devices", [2, 4, 8])
def test_devices_do_not_change_the_losses(how, devices):
    """sgd, so that a gradient scaled by the number of devices cannot hide behind Adam."""
    member = MEMBER.replace(optimizer=sgd(), schedule=0.3 * RATE.shape, clip=None)
    alone, before = losses(TINY, member)
    shared, after = losses(TINY, member, how, devices)
    # sums over the batch are taken in another order: float32 rounding, grown over 12 updates
    np.testing.assert_allclose(shared, alone, rtol=5e-6)
    chex.assert_trees_all_close(after.params, before.params, atol=5e-6)


def test_dropout_does_not_depend_on_the_devices():
    task, member = Digits(hidden=(16,), dropout=0.3), MEMBER.replace(optimizer=momentum())
    np.testing.assert_allclose(losses(task, member, "pmap", 4)[0], losses(task, member)[0], rtol=5e-6)


def test_microbatches_do_not_change_the_losses_and_the_clock_counts_updates():
    whole, state = losses(TINY, MEMBER)
    parts, accumulated = losses(TINY, MEMBER, accumulate=4)
    np.testing.assert_allclose(parts, whole, rtol=5e-6)  # another order of summation
    assert accumulated.step == state.step == 12
    assert accumulated.opt_state.count == 12


def test_the_length_of_chunks_does_not_change_a_bit():
    once, state = losses(TINY, MEMBER, chunks=(12,))
    often, other = losses(TINY, MEMBER, chunks=(1, 3, 8))
    np.testing.assert_array_equal(once, often)
    chex.assert_trees_all_equal(state, other)


def test_a_run_is_a_function_of_its_seed():
    first, again = losses(TINY, MEMBER)[0], losses(TINY, MEMBER)[0]
    other = losses(TINY, MEMBER.replace(seed=1))[0]
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)


def test_one_program_serves_every_peak_length_seed_and_bound():
    task, data = TINY, TINY.load()
    chunk = jax.jit(chex.assert_max_traces(make_chunk(make_step(task, 8), 2), n=1))
    for peak, over, seed, clip in ((1e-3, 3, 0, 1.0), (1e-2, 7, 5, 0.5)):
        member = jax.tree.map(jnp.asarray, Member(peak * lr.warmup(over), sgd(), seed, clip))
        _, metrics = chunk(alone.begin(task, member), member, data.train, jnp.arange(8), 2)
    np.testing.assert_allclose(metrics["learning_rate"], [0, 1e-2 / 7], rtol=1e-6)


def test_the_gradient_is_clipped_to_the_bound_of_its_schedule():
    task = Quadratic(dimensions=4, sigma=0.0)
    member = Member(1.0 * lr.stable(2), sgd(), 0, 0.5 * lr.ramp(1, start=1, to=0.5))
    state, train = alone.begin(task, member), task.load().train
    step = jax.jit(make_step(task, 2))
    moved, positions = [], [state.params["w"]]
    for _ in range(2):
        state, metrics = step(state, member, train, jnp.arange(2))
        positions.append(state.params["w"])
        moved.append(float(jnp.linalg.norm(positions[-1] - positions[-2])))
        assert metrics["grad_norm"] > 0.5  # reported before clipping
        np.testing.assert_allclose(metrics["clip"], moved[-1], rtol=1e-5)
    np.testing.assert_allclose(moved, [0.5, 0.25], rtol=1e-5)


def test_the_metrics_are_those_of_the_global_batch_before_the_update():
    data = TINY.load()
    state, key = alone.begin(TINY, MEMBER), None
    batch = TINY.batch(data.train, jnp.int32(0), jnp.int32(0), jnp.arange(8), 8)
    expected, gradient = jax.value_and_grad(lambda p: TINY.loss(p, batch, key, jnp.arange(8)).mean())(state.params)
    _, metrics = make_step(TINY, 8)(state, MEMBER, data.train, jnp.arange(8))
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-6)
    np.testing.assert_allclose(metrics["grad_norm"], optax.tree.norm(gradient), rtol=1e-5)
    assert metrics["learning_rate"] == RATE(0)


@pytest.mark.parametrize("block", [7, 64, 360])
def test_evaluation_is_the_mean_over_every_held_out_example_once(block):
    task = Digits(hidden=(8,))
    data, params = task.load(), task.init(0)
    expected = jax.tree.map(jnp.mean, task.metrics(params, task.held(data.valid, jnp.arange(360))))
    chex.assert_trees_all_close(make_evaluate(task, 360, block)(params, data.valid), expected, rtol=1e-5)


def test_optimizers_that_alias_their_parameters_can_be_donated():
    task, chosen = Quadratic(dimensions=8), strategy(None, 2, 1, jax.devices()[:1])
    for name in ("adadelta", "muon", "adagrad"):
        member = Member(RATE, lr.optim.OPTIMIZERS[name]())
        state = alone.begin(task, member)
        state, _ = alone.compiled(chosen, task, 2, 1, 3)(state, member, chosen.put(task.load().train))
        assert state.step == 3


@pytest.mark.parametrize(
    ("batch", "accumulate", "devices", "sentence"),
    [
        (10, 1, 4, "a batch of 10 cannot be shared by 4 devices; set batch=8 or 12"),
        (8, 3, 2, "times 3 microbatches; set batch=6 or 12"),
        (2, 1, 8, "set batch=8"),
    ],
)
def test_devices_that_do_not_divide_the_batch_are_refused(batch, accumulate, devices, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        strategy(None, batch, accumulate, jax.devices()[:devices])
