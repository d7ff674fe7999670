"""Meshes: every way to share a run among devices gives the same losses, and each device holds its share."""

import alone
import chex
import jax
import numpy as np
import pytest

import lrlab as lr
from lrlab import population
from lrlab.optim import adamw, prodigy, sgd
from lrlab.parallel import Axes, compiled, looking, strategy
from lrlab.population import stack
from lrlab.task.language import Language
from lrlab.task.vision import Digits
from lrlab.train import Member, living_chunk, make_step, over_members

TINY = Language(width=16, heads=2, layers=1, sequence=16)
RATE = (lr.warmup(2) >> lr.decay(6)).resolve(lr.Horizon(steps=8))
SGD = Member(0.3 * RATE, sgd())  # a gradient scaled by the number of devices could hide behind Adam
ADAM = Member(3e-3 * RATE, adamw(b2=0.95), clip=1.0)
MIXED = Axes(data=2, fsdp=2, tensor=2)


def on(axes):
    """A mesh, or one device where `axes` is None, for batches of 8."""
    return strategy(None, 8, 1, jax.devices()[: 1 if axes is None else axes.size], axes)


def run(axes, task=TINY, member=SGD, accumulate=1, steps=4):
    """Losses of some steps, and the state after them, where it lies."""
    here, members = on(axes), stack([member])
    chunk = compiled(here, task, 8, accumulate, steps, 1)
    state, metrics = chunk(
        here.begin(task, members),
        here.deal(members),
        here.deal(np.ones(1, bool)),
        here.put(task.load().train),
        np.int32(steps),
    )
    return np.asarray(metrics["loss"][0]), state


def held(tree):
    """What the first device holds of every array, by path, without the axis of members."""
    leaves, _ = jax.tree.flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): x.addressable_data(0).shape[1:] for path, x in leaves
    }


def agree(one, other):
    """Losses and parameters of two runs are the same but for the order of sums: float32 rounding, grown over four updates."""
    np.testing.assert_allclose(other[0], one[0], rtol=5e-6)
    chex.assert_trees_all_close(
        alone.first(jax.device_get(other[1].params)), alone.first(jax.device_get(one[1].params)), atol=5e-6
    )


@pytest.fixture(scope="module")
def one():
    return run(None)


@pytest.mark.parametrize("axes", [Axes(fsdp=2), Axes(fsdp=8), Axes(tensor=2), Axes(data=2, tensor=4), MIXED], ids=str)
def test_a_mesh_does_not_change_the_losses(one, axes):
    agree(one, run(axes))


def test_microbatches_on_a_mesh_do_not_change_the_losses(one):
    agree(one, run(Axes(data=2, fsdp=2), accumulate=2))


@pytest.mark.parametrize("name", ["pmap", "mesh"])
def test_devices_share_the_held_out_examples(name):
    """Each evaluated them all; what the program says it computes is of one device."""

    def looked(here):
        task, members = Language(width=16, heads=2, layers=1, sequence=16), stack([SGD])
        data, states = task.load(), here.begin(task, members)
        look = looking(here, task, 500, 8, 1)  # no multiple of the devices
        told = states, here.deal(members), here.deal(np.ones(1, bool)), here.put(data.valid), here.put(data.train)
        flops = look.run.lower(*told).compile().cost_analysis()["flops"]
        return flops, float(look(*told)[1]["loss"][0])

    (alone, loss), (shared, same) = looked(on(None)), looked(strategy(name, 8, 1, jax.devices()[:8]))
    assert shared < alone / 6
    assert same == pytest.approx(loss, rel=1e-6)


def test_an_optimizer_that_keeps_its_first_parameters_runs_on_a_mesh():
    """One buffer would be donated twice."""
    member = Member(1.0 * RATE, prodigy())
    agree(run(None, member=member), run(Axes(fsdp=2), member=member))


def test_tensor_changes_nothing_for_a_task_that_names_no_cuts():
    task, axes = Digits(hidden=(16,), dropout=0.3), Axes(data=2, tensor=2)
    losses, state = run(axes, task)
    agree(run(None, task), (losses, state))
    assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(state))


def test_a_device_holds_its_share_of_parameters_and_moments_before_and_after_updates():
    _, after = run(MIXED, member=ADAM)
    begun = on(MIXED).begin(TINY, stack([ADAM]))
    for state in (begun, after):
        shapes = held(state.params)
        assert shapes["layers.0.attention.qkv.kernel"] == (16 // 2, 48 // 2)  # inputs by fsdp, heads by tensor
        assert shapes["layers.0.attention.out.kernel"] == (16 // 2, 16 // 2)
        assert shapes["layers.0.mlp.up.kernel"] == (16 // 2, 64 // 2)
        assert shapes["layers.0.mlp.down.kernel"] == (64 // 2, 16 // 2)
        assert shapes["embedding"] == (256 // 2, 16 // 2)  # symbols by tensor
        assert shapes["head.kernel"] == (16 // 2, 256 // 2)
        assert shapes["norm.scale"] == (16,)
        moments = {path: shape for path, shape in held(state.opt_state).items() if ".mu." in path or ".nu." in path}
        assert len(moments) == 2 * len(shapes)
        assert all(shape == shapes[path.split("u.", 1)[1]] for path, shape in moments.items())


@pytest.mark.parametrize(("axes", "share"), [(Axes(fsdp=8), 8), (Axes(tensor=2), 2), (Axes(data=8), 1)], ids=str)
def test_the_memory_of_a_state_falls_with_the_devices_that_share_it(axes, share):
    state = on(axes).begin(TINY, stack([ADAM]))
    whole = sum(x.nbytes for x in jax.tree.leaves(state))
    own = sum(x.addressable_data(0).nbytes for x in jax.tree.leaves(state))
    small = sum(x.nbytes for x in jax.tree.leaves(state) if x.ndim < 3 or x.shape[1:] == (16, 16) and axes.tensor > 1)
    assert whole / share <= own <= whole / share + small  # vectors are whole everywhere, and positions under tensor
    assert own == sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(on(axes).own(TINY, alone.begin(TINY, ADAM))))


def test_fsdp_shares_the_examples_and_not_the_width_of_activations():
    """What XLA chose before it was told to gather took two and a half times the memory of a mesh of `data` alone."""
    task = Language(width=64, heads=2, layers=1, sequence=64)

    def temporary(axes):
        here, members = on(axes), stack([SGD])
        step = make_step(task, 8, gather=here.gathering(task))
        run = here.spread(over_members(living_chunk(step, 2, 1), 1), task, 3)
        arguments = (here.deal(members), here.deal(np.ones(1, bool)), here.put(task.load().train))
        compiled = run.lower(here.begin(task, members), *arguments, here.rows(np.arange(8)), 2).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(Axes(fsdp=4)) < 1.7 * temporary(Axes(data=4))  # which hold their parameters outside of it


@pytest.mark.parametrize("axes", [Axes(data=2, fsdp=4), Axes(data=2, tensor=4), MIXED], ids=str)
def test_each_row_of_a_batch_is_on_the_devices_along_tensor_and_no_others(axes):
    shards = on(axes).rows(np.arange(8)).addressable_shards
    rows = np.sort(np.concatenate([shard.data for shard in shards]))
    np.testing.assert_array_equal(rows, np.repeat(np.arange(8), axes.tensor))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("fsdp=4", "--mesh fsdp=4 is for 4 devices, and there are 8; write axes that multiply to that, such as fsdp=8"),
        ("fspd=8", "there is no axis of a mesh 'fspd'; did you mean 'fsdp'?"),
        ("data=8,data=1", "write each axis once, with its number of devices: data=2,fsdp=2,tensor=2"),
        ("data=-8", "--mesh data=-8: write each axis once"),
        ("data=0", "--mesh data=0: write each axis once"),
        ("data", "--mesh data: write each axis once"),
        ("", "there is no axis of a mesh ''"),
    ],
)
def test_axes_that_make_no_mesh_are_refused(text, sentence):
    with pytest.raises(lr.Refused, match=sentence.replace("?", r"\?")):
        strategy("mesh", 8, axes=Axes.parse(text))


def test_axes_are_a_mesh_and_no_other_strategy():
    with pytest.raises(lr.Refused, match="--parallel pmap has no axes; write --parallel mesh --mesh data=8"):
        strategy("pmap", 8, axes=Axes(data=8))
    assert strategy(None, 8, axes=Axes(tensor=8)).name == "mesh"


def test_only_the_axes_that_share_examples_divide_the_batch():
    strategy("mesh", 2, axes=Axes(data=2, tensor=4))
    with pytest.raises(lr.Refused, match="a batch of 2 cannot be shared by 4 devices; set batch=4"):
        strategy("mesh", 2, axes=Axes(data=2, fsdp=2, tensor=2))


def test_a_run_too_large_for_a_device_fits_a_mesh_that_shares_it(monkeypatch):
    monkeypatch.setattr(population, "_memory", lambda device: 200e3)
    ask = lambda axes: population.size(TINY, ADAM, 1, 8, 1, on(axes))
    with pytest.raises(lr.Refused, match="or share it over more devices with --mesh fsdp=N"):
        ask(None)
    assert ask(Axes(fsdp=8)).members == 1
