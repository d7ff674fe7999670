"""A population: each member is what it would be alone, one program serves them all, and those that end cost nothing."""

import re

import alone
import chex
import jax
import numpy as np
import pytest

import lrlab as lr
from lrlab import loop, population
from lrlab.experiment import Experiment
from lrlab.loop import Halving
from lrlab.optim import adamw, early_stopping, sgd
from lrlab.override import override
from lrlab.parallel import compiled, looking, strategy
from lrlab.plan import Plan
from lrlab.task.language import Language
from lrlab.task.quadratic import Quadratic
from lrlab.train import Member, first_states

BASE = Experiment(
    task=Language(width=16, heads=2, layers=1, sequence=16),
    schedule=1e-2 * lr.warmup("20%") >> lr.decay(),
    optimizer=adamw(b2=0.95),
    steps=20,
    batch=8,
    clip=1.0,
    evaluate_every=10,
    log_every=1,
)
SHAPES = ("warmup(4) >> decay(curve=cosine)", "stable()", "warmup('50%') >> rsqrt(10)", "decay(to=0.1)")


class Kept(list):
    """A record in memory."""

    def write(self, rows):
        self.extend(rows)


def members(count, seed=0):
    """Random members: shapes, peaks, decays of the weights, bounds and seeds."""
    drawn = np.random.default_rng(seed)
    for i in range(count):
        changes = {
            "schedule": f"{drawn.uniform(1e-3, 3e-2)} * {SHAPES[i % len(SHAPES)]}",
            "optimizer.weight_decay": drawn.uniform(0, 0.3),
            "clip": drawn.uniform(0.3, 3),
        }
        yield override(BASE, changes).resolve().member(int(drawn.integers(5)))


def run(members, how=None, devices=1, block=1, task=BASE.task, plan=BASE.plan, **options):
    """How a population ended, with its records."""
    members = list(members)
    chosen = strategy(how, plan.batch, plan.accumulate, jax.devices()[:devices])
    data = task.load()
    data = data._replace(train=chosen.put(data.train), valid=chosen.put(data.valid))
    records = [Kept() for _ in members]
    return loop.run(task, members, plan, data, chosen, records, block=block, **options), records


@pytest.fixture(scope="module")
def solo():
    """Five random members, each run alone."""
    return [run([member]) for member in members(5)]


def test_a_mapped_member_is_the_member_alone_to_the_bit(solo):
    together, records = run(members(5))
    for i, (single, (record,)) in enumerate(solo):
        assert records[i] == record
        chex.assert_trees_all_equal(alone.first(together.states, i), alone.first(single.states))


@pytest.mark.parametrize(("how", "devices", "block"), [(None, 1, 2), (None, 1, 5), ("members", 4, 1), ("members", 2, 2), ("pmap", 2, 1), ("mesh", 2, 5)])  # fmt: skip
def test_a_member_is_the_member_alone_to_rounding_in_blocks_and_on_devices(solo, how, devices, block):
    ended, _ = run(members(5), how, devices, block)
    for (single, _), outcome in zip(solo, ended.outcomes):
        # float32 rounding, in another order of summation, grown over 20 updates of Adam
        assert outcome.final["loss"] == pytest.approx(single.outcomes[0].final["loss"], rel=2e-4)


@pytest.mark.parametrize("block", [1, 3])
def test_members_that_diverge_are_frozen_and_cost_the_others_nothing(block):
    first, second, third = members(3)
    alike, before = run([first, second, third], block=block)
    ended, records = run([first, second.replace(schedule=lr.table(1e30 * lr.stable(20))), third], block=block)
    assert [outcome.diverged for outcome in ended.outcomes] == [None, 2, None]
    assert (records[0], records[2]) == (before[0], before[2])
    assert records[1][-1]["end"] == "diverged"
    assert [row["step"] for row in records[1][:-1]] == [0, 1, 2]
    assert int(ended.states.step[1]) <= 20
    assert alike.outcomes[1].diverged is None


def test_halving_stops_the_worst_on_the_device_and_says_so():
    rates = (0.5, 0.1, 0.01, 0.001)
    task, plan = Quadratic(dimensions=4, sigma=0.0), Plan(40, 2, evaluate_every=10, chunk=5)
    runs = [Member(lr.table([rate] * 40), sgd(), 0) for rate in rates]
    ended, records = run(runs, task=task, plan=plan, pruner=Halving(rungs=(10, 20)))
    assert [outcome.stopped for outcome in ended.outcomes] == [None, 20, 10, 10]
    assert records[2][-1]["because"] == "others went on, whose loss was lower"
    assert ended.states.step.tolist() == [40, 20, 10, 10]
    alone_, _ = run(runs[:1], task=task, plan=plan)
    assert ended.outcomes[0] == alone_.outcomes[0]


def test_early_stopping_ends_one_member_and_not_the_others():
    task, plan = Quadratic(dimensions=4, sigma=0.0), Plan(40, 2, evaluate_every=5, chunk=5)
    runs = [Member(lr.table([rate] * 40), sgd(), 0, stop=early_stopping(patience=2)) for rate in (0.0, 0.1)]
    ended, _ = run(runs, task=task, plan=plan)
    assert [outcome.stopped for outcome in ended.outcomes] == [15, None]
    assert ended.states.step.tolist() == [15, 40]


def test_one_program_serves_all_members_shapes_and_lengths_of_chunks():
    task = Quadratic(dimensions=3, sigma=0.5)
    program = compiled(strategy(None, 2, 1, jax.devices()[:1]), task, 2, 1, 7, 1)
    before = program.compilations
    shapes = [0.1 * lr.warmup(3) >> lr.decay(20), 0.2 * lr.stable(23), 0.1 * lr.rsqrt(5, 23)]
    runs = [Member(lr.table(shape, 23), sgd(), seed) for shape in shapes for seed in range(3)]
    run(runs, task=task, plan=Plan(23, 2, evaluate_every=10, chunk=7))
    assert program.compilations == before + 1


def test_what_differs_in_more_than_numbers_is_of_another_kind():
    one, *_ = members(1)
    assert population.kind(one) == population.kind(one.replace(seed=3, clip=0.1))
    assert population.kind(one) != population.kind(one.replace(clip=None))
    assert population.kind(one) != population.kind(one.replace(optimizer=sgd()))
    assert population.kind(one) != population.kind(one.replace(schedule=lr.table([0.1] * 21)))


def test_on_a_cpu_small_members_are_vmapped_and_others_follow_one_another():
    here, one = strategy(None, 8, 1, jax.devices()[:1]), next(members(1))
    tiny = Member(lr.table([0.1]), sgd(), 0)
    assert population.size(Quadratic(dimensions=4), tiny, 64, 2, 1, here) == (64, 8)
    assert population.size(Quadratic(dimensions=4), tiny, 10, 2, 1, here) == (10, 5)
    assert population.size(Language(), one, 64, 8, 1, here) == (64, 1)
    assert population.size(Language(), one, 64, 8, 1, here, block=16) == (64, 16)
    shared = strategy("members", 8, 1, jax.devices()[:4])
    assert population.size(Language(), one, 10, 8, 1, shared, block=16) == (10, 3)


@pytest.mark.parametrize(("how", "devices"), [(None, 1), ("members", 2), ("pmap", 2), ("mesh", 2)])
def test_what_is_compiled_ahead_is_not_compiled_again_when_it_is_called(how, devices, caplog):
    plan = override(BASE, {"steps": 22}).resolve().plan  # chunks of several lengths
    jax.config.update("jax_log_compiles", True)
    try:
        run(members(4), how, devices, plan=plan, task=Language(width=8, heads=1, layers=1, sequence=24))
    finally:
        jax.config.update("jax_log_compiles", False)
    made = [line for line in caplog.messages if re.match(r"Finished XLA compilation of \w+\((population|run)\)", line)]
    assert len(made) == 2  # the chunk and the look


def test_programs_of_members_hold_nothing_that_devices_meet_in():
    """So they need no threads to spare: see `cores.many_threads`."""
    chosen, task, plan = strategy("members", 8, 1, jax.devices()[:4]), BASE.task, BASE.resolve().plan
    stacked, alive = population.stack(list(members(8))), chosen.deal(np.ones(8, bool))
    states, data = chosen.begin_shapes(task, stacked), task.load()
    chunk = compiled(chosen, task, 8, 1, plan.chunk, 1)
    look = looking(chosen, task, data.held_out, 8, 1)
    first = jax.jit(first_states, out_shardings=jax.tree.map(lambda x: x.sharding, states))
    programs = [
        chunk.run.lower(states, chosen.deal(stacked), alive, chosen.put(data.train), *chunk.rows, np.int32(1)),
        look.run.lower(states, chosen.deal(stacked), alive, chosen.put(data.valid), chosen.put(data.train)),
        first.lower(chosen.put(stacked), states.params),
    ]
    for program in programs:
        assert not re.findall(r"all-reduce|all-gather|all-to-all|collective", program.compile().as_text())


def test_a_population_that_cannot_fit_even_one_member_is_refused(monkeypatch):
    here, one = strategy(None, 8, 1, jax.devices()[:1]), next(members(1))
    monkeypatch.setattr(population, "_memory", lambda device: 2e5)
    with pytest.raises(lr.Refused, match=r"one run needs 0\.0 GiB.*make the model smaller"):
        population.size(BASE.task, one, 4, 8, 1, here)
    monkeypatch.setattr(population, "_memory", lambda device: 5e5)
    assert population.size(BASE.task, one, 64, 8, 1, here).members < 64


def test_a_block_has_members():
    here = strategy(None, 8, 1, jax.devices()[:1])
    with pytest.raises(lr.Refused, match="--block 0: a block has at least one member"):
        population.size(BASE.task, next(members(1)), 4, 8, 1, here, block=0)
