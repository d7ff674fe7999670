"""What an update of a run is: one that is skipped, one of a batch that grows, one at which moments begin anew."""

import dataclasses
from dataclasses import dataclass
from itertools import pairwise

import alone
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from digits import DIGITS
from trained import RATE, trained

import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.optim import (
    adam,
    adamw,
    group,
    sgd,
)
from lrlab.optim.restart import cycle_starts
from lrlab.override import override
from lrlab.parallel import strategy
from lrlab.task.quadratic import Quadratic

# --- restarts --------------------------------------------------------------------------------------------------------


def test_at_a_restart_the_moments_begin_anew_and_the_clock_goes_on():
    tx = adam().build(RATE, restarts=(7,))
    params, states = trained(tx)
    assert states.count.tolist() == list(range(1, 21))
    assert states.inner.count.tolist() == [*range(1, 8), *range(1, 14)]
    np.testing.assert_allclose(lr.values_used(states)["learning_rate"], RATE(np.arange(20)), rtol=3e-7)
    begun = jax.tree.map(lambda p: p[6], params)
    afresh = adam().build(lr.shift(RATE, 7))
    chex.assert_trees_all_close(jax.tree.map(lambda p: p[7:], params), trained(afresh, begun, 13)[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("repeat(decay(10), 3, stretch=2)", (10, 30)),
        ("warmup(5) >> repeat(warmup(1) >> decay(9), 2)", (5 + 10,)),
        ("join(0.1 * repeat(decay(4), 2), 0.1 * stable(3))", (4,)),
        ("repeat(decay(4), over=10)", (4, 8)),
        ("repeat(decay(1), 12, stretch=2)", tuple(2**i - 1 for i in range(1, 12))),
        ("shift(repeat(decay(10), 3), 1)", (9, 19)),
        ("shift(repeat(decay(10), 3), -5)", (15, 25)),
        ("stable(5) >> shift(repeat(decay(10, to=0.1), 3), 10)", (5 + 10,)),
        ("stairs(repeat(decay(10), 3), 2)", (20, 40)),
        ("repeat(stairs(repeat(decay(2), 2), 3), 2, stretch=2)", (6, 12, 24)),
        ("repeat(repeat(decay(10), 3), 2)", (10, 20, 30, 40, 50)),
        ("repeat(warmup(5) >> repeat(decay(10), 3), 2)", (15, 25, 35, 50, 60)),
    ],
)
def test_cycles_begin_where_the_rate_jumps_up(text, starts):
    assert cycle_starts(lr.parse(text)) == starts


def test_cycles_that_are_not_there_are_refused():
    experiment = dataclasses.replace(DIGITS, restart="cycles")
    assert experiment.resolve().restart == (3,)
    with pytest.raises(
        lr.Refused, match=r"warmup\(3\) >> decay\(9\) has no cycles to begin anew at; write a schedule with"
    ):
        dataclasses.replace(experiment, schedule=lr.warmup(3) >> lr.decay()).resolve()


# --- skipped updates --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spiked(Quadratic):
    """A quadratic without noise whose loss is not a number in some batches."""

    spikes: tuple[int, ...] = ()

    def batch(self, train, seed, step, rows, size):
        bad = jnp.isin(step, jnp.asarray(self.spikes, jnp.int32))
        return jnp.where(bad, jnp.nan, jnp.zeros(rows.shape, jnp.float32))

    def loss(self, params, batch, key, rows):
        return super().loss(params, rows, key, rows) * (1 + batch)


def ran(experiment, folder):
    """The outcome, the state and the rows of a run on one device."""
    return alone.run(experiment, folder)


def test_skipped_updates_leave_everything_as_it_was_and_stop_the_clock(tmp_path):
    base = Experiment(
        task=Spiked(dimensions=4, sigma=0.0),
        schedule=0.3 * lr.decay("100%"),
        optimizer=adam(b1=0.9 * lr.ramp(start=1, to=0.5)),
        steps=9,
        batch=2,
        log_every=1,
        clip=1.0 * lr.decay(to=0.1),
        restart=(4,),
    )
    *_, straight = ran(base, tmp_path / "clean")
    spiked = dataclasses.replace(base, task=Spiked(dimensions=4, sigma=0.0, spikes=(2, 3, 5)), skip_nonfinite=2)
    skipping, state, rows_ = ran(spiked, tmp_path / "skipping")
    assert skipping.diverged is None
    assert (state.step, state.opt_state.count) == (9, 6)
    told = [row for row in rows_ if "loss" in row]
    assert [row["skipped"] for row in told] == [0, 0, 1, 1, 0, 1, 0, 0, 0]
    done = [row for row in told if not row["skipped"]]
    for name in ("loss", "learning_rate", "b1", "clip", "grad_norm"):
        expected = [row[name] for row in straight if name in row][:6]
        # two programs, with and without the skipping, which XLA may fuse differently: a rounding of 6e-8 an update
        np.testing.assert_allclose([row[name] for row in done], expected, rtol=1e-6)
    assert rows_[-1]["skipped"] == 3


def test_too_many_skipped_updates_in_a_row_are_a_divergence(tmp_path):
    spiked = Experiment(
        task=Spiked(dimensions=2, sigma=0.0, spikes=(1, 3, 4)),
        schedule=0.3 * lr.stable(),
        optimizer=sgd(),
        steps=9,
        batch=2,
    )
    assert ran(spiked, tmp_path / "a")[0].diverged == 1
    assert ran(dataclasses.replace(spiked, skip_nonfinite=1), tmp_path / "b")[0].diverged == 4
    assert ran(dataclasses.replace(spiked, skip_nonfinite=2), tmp_path / "c")[0].diverged is None


# --- growing batches -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Indexed(Quadratic):
    """The gradient of an update is the mean of the numbers of its examples, in the order in which they are read."""

    def batch(self, train, seed, step, rows, size):
        return (step * size + rows).astype(jnp.float32)

    def loss(self, params, batch, key, rows):
        return batch * params["w"].sum()


@pytest.mark.parametrize(
    ("how", "devices", "scaling", "power"),
    [(None, 1, "none", 0.0), (None, 1, "sqrt", 0.5), ("pmap", 2, "linear", 1.0), ("mesh", 2, "linear", 1.0)],
)
def test_a_growing_batch_reads_each_example_once_and_scales_the_rate(how, devices, scaling, power):
    experiment = Experiment(
        task=Indexed(dimensions=1),
        schedule=1e-2 * lr.decay(to=0.5),
        optimizer=sgd(),
        steps=6,
        batch=16,
        accumulate=4,
        batch_schedule=16 * lr.ramp("50%", start=1 / 4, to=1),
        batch_scaling=scaling,
    ).resolve()
    counts = [1, 2, 3, 4, 4, 4]
    assert experiment.batches.counts.tolist() == counts
    assert experiment.mean_batch == 4 * 18 / 6
    chosen, member = strategy(how, 16, 4, jax.devices()[:devices]), experiment.member(0)
    state, metrics = alone.compiled(chosen, experiment.task, 16, 4, 6)(
        alone.begin(experiment.task, member), member, chosen.put(np.zeros(0, np.float32))
    )
    edges = 4 * np.cumsum([0, *counts])
    means = np.array([(low + high - 1) / 2 for low, high in pairwise(edges)])
    rates = experiment.schedule(np.arange(6)) * (np.array(counts) / 4) ** power
    np.testing.assert_allclose(metrics["grad_norm"], means, rtol=1e-6)
    np.testing.assert_allclose(metrics["learning_rate"], rates, rtol=1e-6)
    np.testing.assert_array_equal(metrics["batch"], 4.0 * np.array(counts))
    np.testing.assert_allclose(state.params["w"][0], 1 - rates @ means, rtol=1e-5)
    (row,) = experiment.effective()
    np.testing.assert_allclose([row.first, row.peak, row.last], [rates[0], max(rates), rates[-1]], rtol=1e-6)


def test_a_batch_schedule_that_is_always_full_changes_nothing():
    """In the first epoch, whose order is that of the examples and not of the batches."""
    member, task, data = DIGITS.resolve().member(0), DIGITS.task, DIGITS.task.load()
    full = dataclasses.replace(DIGITS, batch_schedule=8 * lr.stable()).resolve().member(0)
    chosen = strategy(None, 8, 4, jax.devices()[:1])
    chunk = alone.compiled(chosen, task, 8, 4, 12)
    _, expected = chunk(alone.begin(task, member), member, data.train)
    _, metrics = chunk(alone.begin(task, full), full, data.train)
    np.testing.assert_allclose(metrics["loss"], expected["loss"], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch_schedule": "16 * stable()"}, "rises to 16 examples, above batch=8"),
        ({"batch_schedule": "8 * decay()"}, r"falls to .* below a microbatch of 2"),
        ({"batch_schedule": "8 * stable()", "accumulate": 1}, "set accumulate to how many"),
        ({"batch_schedule": "8 * stable()", "schedule": "warmup('1ep') >> stable()"}, "'1ep' is no number of updates"),
        ({"batch_scaling": "cubic"}, "batch_scaling"),
    ],
)
def test_a_batch_schedule_that_does_not_fit_is_refused(changes, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        override(DIGITS, changes).resolve()


# --- tables ----------------------------------------------------------------------------------------------------------


def test_in_a_run_every_schedule_is_a_table_as_the_rate_is():
    """In float32, 0.99999 to the power of 100 000 is wrong in its third digit."""
    fading = lambda level: level * lr.repeat(lr.stable(1), shrink=0.99999)
    groups = (group("w", weight_decay=fading(0.3)),)
    member = Experiment(
        Quadratic(2), 0.1 * lr.stable(), adamw(b1=fading(0.9), weight_decay=fading(0.1)), 100_001, 1, fading(1.0), groups=groups
    ).resolve().member(0)  # fmt: skip
    params = {"w": np.ones(2, np.float32)}

    @jax.jit
    def used(member):
        tx = member.transformation((None, None))
        state = tx.init(params)._replace(count=jnp.int32(100_000))
        return lr.values_used(tx.update(params, state, params)[1]) | {"clip": member.clip(jnp.int32(100_000))}

    used = used(member)
    for name, level in {"b1": 0.9, "weight_decay": 0.1, "weight_decay[w]": 0.3, "clip": 1.0}.items():
        np.testing.assert_allclose(used[name], level * 0.99999**100_000, rtol=1e-6)
