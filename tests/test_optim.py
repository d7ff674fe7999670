"""Any hyperparameter of any optimizer on a schedule: what reaches optax, what the state reports."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import tree_leaves_with_path

import lrlab as lr
from lrlab.optim import OPTIMIZERS
from lrlab.task import parameters
from lrlab.task.language import Language

RATE = (1e-2 * lr.warmup(4) >> lr.decay(16, to=0.1)).resolve(lr.Horizon(steps=20))
PARAMS = {"matrix": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), "vector": np.ones(3, np.float32)}


def trained(tx, params, updates=20):
    """Parameters and states after each of some updates on a fixed quadratic."""

    def step(carry, _):
        params, state = carry
        grads = jax.tree.map(lambda p: 0.5 * p + jnp.asarray(0.1, p.dtype), params)
        updates, state = tx.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), state

    state = tx.init(params)
    return jax.jit(lambda: jax.lax.scan(step, (params, state), length=updates))()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_equals_optax_with_the_same_schedule(name):
    """Against the optax factory called with the schedule itself, which optax evaluates at its own count."""
    same = {
        "sgd": lambda s: optax.sgd(s),
        "momentum": lambda s: optax.sgd(s, momentum=0.9),
        "nesterov": lambda s: optax.sgd(s, momentum=0.9, nesterov=True),
        "adam": lambda s: optax.adam(s),
        "adamw": lambda s: optax.adamw(s, weight_decay=1e-2),
        "rmsprop": lambda s: optax.rmsprop(s, decay=0.9, eps=1e-8),
        "adagrad": lambda s: optax.adagrad(s),
        "adadelta": lambda s: optax.adadelta(s),
        "lion": lambda s: optax.lion(s),
        "muon": lambda s: optax.partition(
            {"muon": optax.contrib.muon(s), "adam": optax.adam(s)}, {"matrix": "muon", "vector": "adam"}
        ),
    }
    (ours, _), _ = trained(OPTIMIZERS[name]().build(RATE), PARAMS)
    (theirs, _), _ = trained(same[name](RATE), PARAMS)
    # float32 rounding: hyperparameters are float32 values here and Python constants there, over 20 updates
    chex.assert_trees_all_close(ours, theirs, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_every_hyperparameter_takes_a_schedule_in_every_dtype(name, dtype):
    optimizer = OPTIMIZERS[name]()
    numbers = {key: max(value, 1e-9) for key, value in optimizer.hyperparameters.items()}
    scheduled = optimizer.replace(hyperparameters={key: value * lr.stable(20) for key, value in numbers.items()})
    params = jax.tree.map(lambda p: jnp.asarray(p, dtype), PARAMS)
    (constant, _), _ = trained(optimizer.replace(hyperparameters=numbers).build(RATE), params)
    (varied, _), states = trained(scheduled.build(RATE), params)
    chex.assert_tree_all_finite(varied)
    chex.assert_trees_all_equal(constant, varied)
    assert all(value.dtype == jnp.float32 for value in lr.values_used(states).values())


def test_muon_leaves_input_and_output_to_adam_as_jordan_does():
    params = parameters(Language(width=16))
    orthogonal = lr.optim.muon().build(RATE).init(params).inner.inner_states["muon"].inner_state[0].mu
    paths = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in tree_leaves_with_path(orthogonal)]
    assert {path.partition(".")[0] for path in paths} == {"layers"}
    assert all(path.endswith("kernel") for path in paths)


@pytest.mark.parametrize("name", ["embedding", "positions", "head", "bias"])
def test_muon_s_adam_is_adam(name):
    params = {name: {"kernel": PARAMS["matrix"] if name != "bias" else PARAMS["vector"]}}
    (ours, _), _ = trained(lr.optim.muon().build(RATE), params)
    (theirs, _), _ = trained(optax.adam(RATE), params)
    chex.assert_trees_all_close(ours, theirs, rtol=2e-5, atol=2e-6)  # as above


def test_the_state_reports_the_values_that_the_last_update_used():
    tx = lr.scheduled(optax.adamw, learning_rate=RATE, b1=0.9 * lr.ramp(20, start=1, to=0.5), weight_decay=0.1)
    _, states = trained(tx, PARAMS)
    used = lr.values_used(states)
    steps = np.arange(20)
    np.testing.assert_allclose(used["learning_rate"], RATE(steps), rtol=3e-7)  # host float64 against float32
    np.testing.assert_allclose(used["b1"], (0.9 * lr.ramp(20, start=1, to=0.5))(steps), rtol=3e-7)
    np.testing.assert_array_equal(used["weight_decay"], np.full(20, np.float32(0.1)))


def test_values_of_two_scheduled_parts_carry_their_places():
    tx = optax.chain(
        lr.scheduled(optax.clip_by_global_norm, max_norm=1.0 * lr.stable(5)),
        lr.scheduled(optax.sgd, learning_rate=RATE),
        lr.scheduled(optax.sgd, learning_rate=1.0),
    )
    assert set(lr.values_used(tx.init(PARAMS))) == {"max_norm", "1.learning_rate", "2.learning_rate"}


def test_the_clock_stops_at_the_end_of_int32_instead_of_overflowing():
    tx = lr.scheduled(optax.sgd, learning_rate=RATE)
    last = jnp.asarray(2**31 - 1, jnp.int32)
    state = tx.init(PARAMS)._replace(count=last)
    _, state = tx.update(PARAMS, state, PARAMS)
    assert state.count == last
    assert lr.values_used(state)["learning_rate"] == np.float32(1e-3)


def test_one_trace_serves_every_schedule_of_one_shape():
    @chex.assert_max_traces(1)
    def rate_after_one_update(schedule):
        tx = lr.scheduled(optax.adam, learning_rate=schedule)
        _, state = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
        return lr.values_used(state)["learning_rate"]

    compiled = jax.jit(rate_after_one_update)
    rates = [float(compiled(peak * lr.warmup(over, start=0.5))) for peak, over in ((1e-3, 10), (2e-3, 20), (1e-1, 5))]
    np.testing.assert_allclose(rates, [5e-4, 1e-3, 5e-2], rtol=1e-6)


def test_adam_on_bfloat16_parameters_moves_and_keeps_the_dtypes_of_its_state():
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.bfloat16), PARAMS)
    tx = lr.scheduled(optax.adam, learning_rate=1e-2, b2=0.999)
    (after, state), _ = trained(tx, params)
    chex.assert_tree_all_finite(after)
    chex.assert_trees_all_equal_dtypes(tx.init(params).inner, state.inner)
    assert not np.array_equal(after["vector"], params["vector"])


def test_an_optimizer_is_written_as_it_is_read():
    text = "adamw(b2=0.95, weight_decay=0.1 * warmup(10))"
    from lrlab.schedule.notation import read

    optimizer = read(text, OPTIMIZERS)
    assert repr(optimizer) == text
    assert optimizer == read(repr(optimizer), OPTIMIZERS)
    assert repr(optimizer.resolve(lr.Horizon(steps=10))) == text


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: lr.scheduled(optax.sgd, learning_rate=1e-3 * lr.decay("20%")), "not yet in steps"),
        (lambda: lr.values_used(optax.sgd(0.1).init(PARAMS)), "holds no schedule"),
        (lambda: lr.optim.adam(b1="0.9"), "b1 is a number or a schedule"),
        (lambda: lr.optim.adam(b1=1.0), r"adam\(b1=1\): b1 is a number from 0 on and below 1, such as 0.9"),
        (lambda: lr.optim.adam(b1=float("nan")), r"adam\(b1=nan\): b1 is a number from 0 on"),
        (lambda: lr.optim.adam(b2=1 - 1e-9), "b2 is a number from 0 on and below 1"),  # 1 in float32
        (lambda: lr.optim.adam(b2=-0.1), "b2 is a number from 0 on"),
        (lambda: lr.optim.adam(eps=-1e-8), "eps is a number, zero or more"),
        (lambda: lr.optim.momentum(1.5), "momentum is a number from 0 on and below 1"),
        (lambda: lr.optim.adadelta(rho=1), "rho is a number from 0 on and below 1"),
        (lambda: lr.optim.rmsprop(decay=1.0), "decay is a number from 0 on and below 1"),
        (lambda: lr.optim.muon(beta=1.0), "beta is a number from 0 on and below 1"),
        (lambda: lr.optim.muon(adam_b2=np.float32(1)), "adam_b2 is a number from 0 on and below 1"),
        (lambda: lr.optim.adamw(weight_decay=-1), r"adamw\(weight_decay=-1\): weight_decay is a number, zero or more"),
        (lambda: lr.optim.prodigy(b2=1.0), r"prodigy\(b2=1\): b2 is a number from 0 on and below 1"),
    ],
)
def test_refusals(call, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        call()
