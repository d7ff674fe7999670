"""Tasks: which examples a batch holds, what a window is, what is learned from it, and what is refused."""

import dataclasses
import itertools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lrlab.refusal import Refused
from lrlab.task import fused
from lrlab.task.language import Language
from lrlab.task.quadratic import Quadratic
from lrlab.task.sample import bits, epoch_length, permute, visit
from lrlab.task.text import corpus
from lrlab.task.transformer import rotate
from lrlab.task.vision import Digits

KEY = jax.random.key(0)
LAST = 2**31 - 1
TINY = Language(sequence=8, width=8, layers=1, heads=2)


def device(tree):
    return jax.tree.map(jnp.asarray, tree)


def tokens_of(task, b=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (b, task.sequence + 1), np.uint8)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


# --- sampling


def epoch_of(seed, epoch, size, examples):
    batches = examples // size
    steps = epoch * batches + jnp.arange(batches)
    indices, epochs = jax.jit(jax.vmap(lambda step: visit(seed, step, jnp.arange(size), size, examples)))(steps)
    return np.asarray(indices).ravel(), np.asarray(epochs)


@pytest.mark.parametrize(("size", "examples"), [(1, 1), (1, 2), (3, 10), (16, 97), (32, 1437)])
def test_an_epoch_visits_every_example_at_most_once(size, examples):
    for epoch in (0, 5):
        indices, epochs = epoch_of(0, epoch, size, examples)
        assert (epochs == epoch).all()
        assert len(set(indices)) == examples // size * size
        assert 0 <= indices.min() <= indices.max() < examples


@pytest.mark.parametrize("n", [1, 2, 7, 100, 65537])
def test_permute_is_a_permutation(n):
    order = bits(0, 0, 10)
    assert (np.sort(permute(jnp.arange(n), order, n)) == np.arange(n)).all()


def test_permute_sends_every_item_everywhere():
    orders = jax.vmap(lambda epoch: bits(0, epoch, 10))(jnp.arange(4000))
    items = np.asarray(jax.vmap(lambda order: permute(jnp.arange(7), order, 7))(orders))
    counts = np.stack([np.bincount(column, minlength=7) for column in items.T])
    assert ((counts - 4000 / 7) ** 2 / (4000 / 7)).sum() < 90  # chi-square of 36 degrees of freedom, p about 1e-6


def test_order_differs_by_epoch_and_by_seed():
    first, _ = epoch_of(0, 0, 8, 100)
    assert (first != epoch_of(0, 1, 8, 100)[0]).mean() > 0.9
    assert (first != epoch_of(1, 0, 8, 100)[0]).mean() > 0.9
    assert (first == epoch_of(0, 0, 8, 100)[0]).all()


@pytest.mark.parametrize("examples", [100, LAST])
def test_the_last_step_that_int32_can_count(examples):
    indices, epoch = visit(0, jnp.int32(LAST), jnp.arange(7), 7, examples)
    assert int(epoch) == LAST // (examples // 7)
    assert len(set(indices.tolist())) == 7
    assert 0 <= int(indices.min()) <= int(indices.max()) < examples


def test_devices_together_read_what_one_would():
    whole, _ = visit(0, 11, jnp.arange(12), 12, 100)
    shares = [visit(0, 11, rows, 12, 100)[0] for rows in jnp.arange(12).reshape(3, 4)]
    assert (jnp.concatenate(shares) == whole).all()
    assert (visit(0, 11, jnp.arange(12)[::-1], 12, 100)[0] == whole[::-1]).all()


def test_a_batch_beyond_the_examples_is_refused():
    with pytest.raises(Refused, match="a batch of 11 cannot be drawn from 10 examples; write a batch of 1 to 10"):
        visit(0, 0, jnp.arange(11), 11, 10)
    with pytest.raises(Refused, match="a batch of 0 cannot"):
        epoch_length(0, 10)
    with pytest.raises(Refused, match="a batch of 2000 cannot be drawn from 1437"):
        Digits().horizon(10, 2000)


# --- text


def test_default_text_is_pythons_documentation():
    train, valid, largest, digest = corpus(None, 32, 0.1)
    assert b"Python" in train.tobytes()
    assert valid.size == (train.size + valid.size) // 10
    assert len(digest) == 64
    assert largest == max(train.max(), valid.max())


def test_folder_is_its_texts_in_order_of_path(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    parts = {"b.txt": b"b" * 50, "sub/a.md": b"s" * 50, "a.py": b"\xff" * 50, "c.png": b"no", ".git/x.txt": b"no"}
    for name, data in parts.items():
        (tmp_path / name).write_bytes(data)
    train, valid, *_ = corpus(str(tmp_path), 4, 0.1)
    assert np.concatenate([train, valid]).tobytes() == b"\xff" * 50 + b"b" * 50 + b"s" * 50
    assert valid.size == 15


def test_digest_follows_the_text(tmp_path):
    for name, data in (("a.txt", b"a" * 500), ("b.txt", b"b" * 500), ("c.txt", b"a" * 500)):
        (tmp_path / name).write_bytes(data)
    a, b, c = (Language(text=str(tmp_path / name), sequence=8).load().digest for name in ("a.txt", "b.txt", "c.txt"))
    assert a == c != b


def test_text_refusals(tmp_path):
    with pytest.raises(Refused, match=r"there is no text at nowhere\.txt; give a file, a folder, or None"):
        corpus("nowhere.txt", 8, 0.1)
    with pytest.raises(Refused, match=r"has no \.txt, \.md, \.rst, \.py file; give a folder that has"):
        corpus(str(tmp_path), 8, 0.1)
    small = tmp_path / "small.txt"
    small.write_bytes(bytes(100))
    with pytest.raises(Refused, match="leaves 10 bytes for validation, and sequence=8 needs 17; give a longer text"):
        Language(text=str(small), sequence=8).load()
    with pytest.raises(Refused, match="leaves 90 bytes for training, and sequence=64 needs 192"):
        corpus(str(small), 64, 0.1)
    assert Language(text=str(small), sequence=4).load().held_out == 2


def test_a_text_that_is_learned_from_is_not_held_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, name in (("corp", "a.txt"), ("corp", "held.txt"), ("other", "b.txt")):
        Path(folder).mkdir(exist_ok=True)
        Path(folder, name).write_bytes(bytes(500))
    Path("link").symlink_to("corp")
    for text, validation in (
        ("corp", "corp"),
        ("corp", "corp/held.txt"),
        ("corp/a.txt", str(tmp_path / "corp" / "a.txt")),
        ("link", "corp/../corp/a.txt"),
    ):
        with pytest.raises(Refused, match=r"corp/(a|held)\.txt is in .* and in validation=.*: held out is what is not"):
            corpus(text, 8, validation)
    assert corpus("corp", 8, "other").valid.size == 500
    assert corpus("corp/a.txt", 8, "corp/held.txt").valid.size == 500


# --- windows


@pytest.fixture
def counting(tmp_path):
    """A text whose byte number i is i mod 251, so that a window tells where it began."""
    path = tmp_path / "counting.txt"
    path.write_bytes((np.arange(250) % 251).astype(np.uint8).tobytes())
    return Language(text=str(path), sequence=8, validation=0.2)


def test_windows_are_slices_of_the_text(counting):
    data = counting.load()
    batches = data.examples // 4
    batch = jax.jit(lambda step: counting.batch(jnp.asarray(data.train), 0, step, jnp.arange(4), 4))
    offsets = set()
    for epoch in range(20):
        windows = np.concatenate([batch(epoch * batches + i) for i in range(batches)])
        starts = windows[:, 0].astype(int)
        assert (windows == starts[:, None] + np.arange(9)).all()  # one slice, never past the end, targets one later
        assert len(set(starts // 8)) == len(starts)
        assert len(set(starts % 8)) == 1
        offsets.add(starts[0] % 8)
    assert len(offsets) > 4


@pytest.mark.parametrize("n", [24, 25, 31, 32, 33])
def test_the_last_window_ends_inside_the_text(n):
    last = (Language(sequence=8)._windows(n) - 1) * 8 + 7 + 8
    assert n - 8 <= last < n


def test_validation_windows_follow_each_other(counting):
    data = counting.load()
    held = counting.held(jnp.asarray(data.valid), jnp.arange(data.held_out))
    assert held.dtype == jnp.uint8
    assert (np.asarray(held) == 200 + 8 * np.arange(data.held_out)[:, None] + np.arange(9)).all()


def test_horizons():
    assert vars(Digits().horizon(10, 100)) == {"steps": 10, "batch": 100, "sequence": None, "epoch": 1400}
    assert vars(Quadratic().horizon(10, 4)) == {"steps": 10, "batch": 4, "sequence": None, "epoch": None}
    horizon, examples = Language().horizon(10, 100), Language().load().examples
    assert (horizon.sequence, horizon.epoch) == (32, examples // 100 * 100)


# --- handwritten derivatives


def agree(f, g, *args, tolerance=1e-5):
    """Two functions and their gradients are equal, alone and over a population; 1e-5 is fp32 rounding of sums."""
    with_gradient = lambda f: jax.value_and_grad(lambda args: (jnp.sin(3 * f(*args)) + f(*args)).sum())
    for wrap in (lambda f: f, lambda f: jax.vmap(f)):
        stacked = args if wrap(f) is f else jax.tree.map(lambda x: jnp.stack([x, 2 * x, -x]), args)
        ours, plain = jax.jit(lambda args, wrap=wrap: [wrap(with_gradient(h))(args) for h in (f, g)])(stacked)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), ours, plain)


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 12), (12, 4)])
def test_matmul_is_a_matmul(inputs, outputs):
    agree(fused.matmul, lambda x, w: x @ w, 0.1 * normal(20, inputs), 0.1 * normal(inputs, outputs, seed=1))


@pytest.mark.parametrize("centred", [False, True])
def test_norm_has_mean_and_variance_of_its_kind(centred):
    def plain(x, scale):
        x = x - x.mean(-1, keepdims=True) if centred else x
        return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * scale[None]

    agree(lambda x, scale: fused.norm(x, scale, centred), plain, 3 + normal(6, 8), normal(8, seed=1))


def test_gelu_is_its_tanh_form():
    agree(fused.gelu, lambda x: jax.nn.gelu(x, approximate=True), 3 * normal(5, 7))


def plain_attention(q, k, v):
    scores = jnp.einsum("gqd,gkd->gqk", q, k) / math.sqrt(q.shape[-1])
    scores = jnp.where(jnp.tril(jnp.ones((q.shape[1],) * 2, bool))[None], scores, -jnp.inf)
    return jnp.einsum("gqk,gkd->gqd", jax.nn.softmax(scores), v)


@pytest.mark.parametrize("t", [6, 65])
def test_attention_is_softmax_attention(t):
    """In one block of queries and in two, of unequal size; rounding grows with the terms of the sums."""
    agree(fused.attention, plain_attention, *(normal(2, t, 4, seed=i) for i in range(3)), tolerance=1e-6 * max(t, 10))


def test_attention_survives_enormous_scores():
    q = 1e4 * normal(1, 6, 4)
    gradient = jax.grad(lambda q: fused.attention(q, q, q).sum())(q)
    assert jnp.isfinite(gradient).all()


def test_cross_entropy_is_cross_entropy():
    targets = jnp.arange(9) % 5
    ours, plain = fused.cross_entropy, optax.softmax_cross_entropy_with_integer_labels
    agree(lambda logits: ours(logits, targets), lambda logits: plain(logits, targets), normal(9, 5))
    far = ours(jnp.asarray([[1e4, 0.0], [-1e4, 0.0]]), jnp.asarray([1, 0]))
    np.testing.assert_allclose(far, [1e4, 1e4])


def test_curvature_passes_through_the_handwritten_derivatives():
    params, tokens = TINY.init(0), tokens_of(TINY)
    gradient = jax.grad(lambda params: TINY.loss(params, tokens, KEY, jnp.arange(3)).mean())
    along = jax.tree.map(lambda x: np.asarray(normal(*x.shape)), params)
    product = jax.jit(lambda: jax.jvp(gradient, (params,), (along,))[1])()
    moved = jax.jit(lambda h: gradient(jax.tree.map(lambda p, v: p + h * v, params, along)))
    differences = jax.tree.map(lambda a, b: (a - b) / 2e-3, moved(1e-3), moved(-1e-3))
    # central differences of fp32 gradients: error about 1e-6 (third derivative) + 1e-7 / 1e-3 (rounding)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3, rtol=1e-2), product, differences)


def test_rotate_turns_pairs_by_position():
    x = np.asarray(normal(2, 5, 3, 6))
    z = (x[..., :3] + 1j * x[..., 3:]) * np.exp(1j * np.arange(5)[:, None, None] / 10000.0 ** (2 * np.arange(3) / 6))
    np.testing.assert_allclose(rotate(jnp.asarray(x)), np.concatenate([z.real, z.imag], -1), atol=1e-6)


def test_rotated_scores_depend_on_distance_only():
    q, k = (jnp.broadcast_to(normal(1, 1, 1, 8, seed=seed), (1, 6, 1, 8)) for seed in (0, 1))
    scores = (rotate(q)[0, :, 0] @ rotate(k)[0, :, 0].T).tolist()
    assert scores[5][3] == pytest.approx(scores[3][1], abs=1e-5)


# --- the language model

SWITCHES = {
    "norm_position": ("pre", "post"),
    "norm": ("rms", "layer"),
    "positions": ("learned", "rope"),
    "tied": (False, True),
    "qk_norm": (False, True),
    "compute": ("float32", "bfloat16"),
}


@pytest.mark.parametrize("norm_position", SWITCHES["norm_position"])
@pytest.mark.parametrize("compute", SWITCHES["compute"])
def test_every_combination_of_switches_trains(norm_position, compute):
    tokens, names = tokens_of(TINY), ("norm", "positions", "tied", "qk_norm")
    for values in itertools.product(*(SWITCHES[name] for name in names)):
        switches = dict(zip(names, values), norm_position=norm_position, compute=compute)
        task = dataclasses.replace(TINY, **switches)
        mean_loss = lambda params, task=task: task.loss(params, tokens, KEY, jnp.arange(3)).mean()
        loss, gradient = jax.value_and_grad(mean_loss)(task.init(0))
        assert 4 < float(loss) < 9, switches
        for leaf in map(np.asarray, jax.tree.leaves(gradient)):
            assert leaf.dtype == np.float32, switches
            assert np.isfinite(leaf).all(), switches
            assert (leaf != 0).any(), switches


@pytest.mark.parametrize("switches", [{}, {"norm_position": "post", "positions": "rope", "compute": "bfloat16"}])
def test_remat_changes_nothing_but_memory(switches):
    plain, tokens = dataclasses.replace(TINY, layers=2, **switches), tokens_of(TINY)
    results = [
        jax.jit(jax.value_and_grad(lambda p, task=task: task.loss(p, tokens, KEY, jnp.arange(3)).mean()))(plain.init(0))
        for task in (plain, dataclasses.replace(plain, remat=True))
    ]
    close = 1e-2 if plain.compute == "bfloat16" else 1e-5  # the programs fuse differently, so bfloat16 rounds elsewhere
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=close, atol=close), *results)


@pytest.mark.parametrize("initializer", ["fan_in", "gpt2"])
def test_loss_begins_near_log_256(initializer):
    task = Language(initializer=initializer)
    loss = jax.jit(task.loss)(task.init(0), tokens_of(task, 16), KEY, jnp.arange(16))
    assert loss.shape == (16,)
    assert loss.dtype == jnp.float32
    assert float(loss.mean()) == pytest.approx(math.log(256), abs=0.7)  # logits of unit variance cost half a nat


def test_init_is_a_function_of_the_seed():
    a, again, b = (jax.tree.leaves(TINY.init(seed)) for seed in (0, 0, 1))
    assert all((x == y).all() and x.dtype == np.float32 for x, y in zip(a, again))
    assert not all((x == y).all() for x, y in zip(a, b))


def test_init_has_the_variance_it_says():
    params = Language(width=128, layers=2).init(0)
    layer = params["layers"]["1"]
    assert layer["mlp"]["down"]["kernel"].std() == pytest.approx(512**-0.5, rel=0.02)
    assert layer["attention"]["qkv"]["kernel"].std() == pytest.approx(128**-0.5, rel=0.02)
    small = Language(width=128, layers=2, initializer="gpt2").init(0)["layers"]["0"]
    assert small["mlp"]["up"]["kernel"].std() == pytest.approx(0.02, rel=0.02)
    assert small["mlp"]["down"]["kernel"].std() == pytest.approx(0.01, rel=0.02)


def test_mup_is_table_8_of_its_paper():
    """Yang et al. 2022: embeddings and readout are drawn as at the base, the output is times base / width, attention is
    divided by the head size and not by its root; matrices from width to width are drawn with variance 1 / fan-in either way.
    """
    wide = Language(width=128, heads=2, layers=1)
    mup, at_base = (dataclasses.replace(wide, mup_base=base) for base in (32, 128))
    params, tokens = wide.init(0), tokens_of(wide)
    stds = lambda task: {name: np.std(leaf) for name, leaf in jax.tree_util.tree_leaves_with_path(task.init(0))}
    for name, std in stds(mup).items():
        from_width_to_width = "layers" in str(name) or "norm" in str(name)
        assert std == pytest.approx(stds(wide)[name] * (1 if from_width_to_width else 2), rel=1e-5)
    logits = lambda task, params=params: np.asarray(task.logits(params, tokens[:, :-1]))
    np.testing.assert_array_equal(logits(at_base), logits(wide))
    scaled = jax.tree.map(np.copy, params)
    scaled["head"]["kernel"] *= 32 / 128
    queries = scaled["layers"]["0"]["attention"]["qkv"]["kernel"].reshape(128, 2, 3, 64)[:, :, 0]
    queries *= 16**0.5 / 64 / 64**-0.5  # heads of 64, and of 16 at the base, where the scale is 16^-0.5
    np.testing.assert_allclose(logits(mup), logits(wide, scaled), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("positions", ["learned", "rope"])
@pytest.mark.parametrize("norm_position", ["pre", "post"])
def test_a_later_byte_does_not_change_earlier_losses(positions, norm_position):
    task = Language(sequence=8, width=8, layers=2, heads=2, positions=positions, norm_position=norm_position)
    params, tokens = task.init(0), tokens_of(task)
    logits = lambda tokens: np.asarray(task.logits(params, tokens))
    changed = tokens.copy()
    changed[:, 5] ^= 1
    before, after = logits(tokens[:, :-1]), logits(changed[:, :-1])
    assert (before[:, :5] == after[:, :5]).all()
    assert (before[:, 5:] != after[:, 5:]).any(-1).all()


def test_bfloat16_stays_near_float32():
    tokens, rows = tokens_of(TINY), jnp.arange(3)
    losses = [
        Language(sequence=8, width=8, layers=1, compute=compute).loss(TINY.init(0), tokens, KEY, rows)
        for compute in ("float32", "bfloat16")
    ]
    np.testing.assert_allclose(*losses, rtol=0.02)  # bfloat16 has 8 bits of precision, 0.4 %
    assert losses[1].dtype == jnp.float32


def test_parameters_and_flops_of_a_known_model():
    task = Language(sequence=128, width=128, layers=4, heads=4, tied=True)
    norms, positions = 9 * 128, 128 * 128
    assert task.parameters == 4 * 12 * 128**2 + 256 * 128 + norms + positions
    assert task.flops_per_token == 6 * (4 * 12 * 128**2 + 256 * 128) + 12 * 4 * 128 * 128


def test_a_task_is_a_hashable_value():
    assert hash(Language(width=64)) == hash(Language(width=64))
    assert Language(width=64) != Language()
    assert Digits(hidden=[8, 8]) == Digits(hidden=(8, 8))
    assert len({Quadratic(), Quadratic(), Quadratic(sigma=2)}) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Language(norm="rsm"), "there is no norm 'rsm'; did you mean 'rms'\\? There are: rms, layer"),
        (lambda: Language(norm_position="per"), "there is no norm_position 'per'; did you mean 'pre'"),
        (lambda: Language(compute="float16"), "there is no compute 'float16'; did you mean"),
        (lambda: Language(width=30, heads=4), "4 heads cannot share a width of 30; write a multiple of 4"),
        (lambda: Language(width=6, heads=2, positions="rope"), "the head size 3 is odd; write a width of 12"),
        (lambda: Language(layers=0), r"Language\(layers=0\): write a positive whole number"),
        (lambda: Language(mup_base=0), r"Language\(mup_base=0\): write a positive whole number"),
        (lambda: Language(mup_base=8, initializer="gpt2"), "the same at every width; write initializer='fan_in'"),
        (lambda: Language(sequence=True), r"Language\(sequence=True\): write a positive whole number"),
        (lambda: Language(validation=1.0), r"validation=1.0\): write a number from 0.0 to below 1.0"),
        (lambda: Digits(network="cn"), "there is no network 'cn'; did you mean 'cnn'"),
        (lambda: Digits(dropout=1.0), r"dropout=1.0\): write a number from 0.0 to below 1.0"),
        (lambda: Digits(l2=-1.0), r"l2=-1.0\): write a number from 0.0"),
        (lambda: Digits(hidden=(0,)), r"hidden=\(0,\)\): write positive whole numbers"),
        (lambda: Digits(hidden=3), r"Digits\(hidden=3\): write positive whole numbers"),
        (lambda: Digits(network="cnn", hidden=(4,) * 4), "pooling halves 8 pixels; write 1 to 3 widths"),
        (lambda: Quadratic(optimum="a"), r"Quadratic\(optimum='a'\): write a number, such as 0.0"),
        (lambda: Quadratic(optimum=float("nan")), r"Quadratic\(optimum=nan\): write a number"),
        (lambda: Quadratic(dimensions=0), "write a positive whole number"),
        (lambda: Quadratic(sigma=float("nan")), r"Quadratic\(sigma=nan\): write a number"),
    ],
)
def test_constructors_refuse(make, message):
    with pytest.raises(Refused, match=message):
        make()


# --- digits and the quadratic


def test_digits_split_is_fixed_and_stratified():
    data = Digits().load()
    assert (data.examples, data.held_out) == (1437, 360)
    assert (np.bincount(data.valid.label) == 36).all()
    assert data.train.image.mean() == pytest.approx(0, abs=1e-5)
    assert data.train.image.std() == pytest.approx(1, abs=1e-5)
    seen = {image.tobytes() for image in data.train.image}
    assert sum(image.tobytes() in seen for image in data.valid.image) == 0


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_dropout_belongs_to_the_row(network):
    task = Digits(network=network, hidden=(8,), dropout=0.5)
    params, rows = task.init(0), jnp.arange(6)
    batch = task.held(device(task.load().train), rows)
    loss = jax.jit(task.loss)
    whole, part = loss(params, batch, KEY, rows), loss(params, jax.tree.map(lambda x: x[4:], batch), KEY, rows[4:])
    np.testing.assert_allclose(whole[4:], part, rtol=1e-5)
    assert (whole != loss(params, batch, jax.random.key(1), rows)).any()
    dry = dataclasses.replace(task, dropout=0.0)
    assert (task.metrics(params, batch)["loss"] == dry.metrics(params, batch)["loss"]).all()


def test_l2_counts_kernels_and_only_in_training():
    plain, decayed = Digits(), Digits(l2=0.1)
    params, rows = plain.init(0), jnp.arange(4)
    batch = plain.held(device(plain.load().train), rows)
    squares = sum((w**2).sum() for w in jax.tree.leaves(params) if w.ndim > 1)
    extra = decayed.loss(params, batch, KEY, rows) - plain.loss(params, batch, KEY, rows)
    np.testing.assert_allclose(extra, 0.05 * squares, rtol=1e-5)
    assert (decayed.metrics(params, batch)["loss"] == plain.metrics(params, batch)["loss"]).all()


def test_quadratic_noise_has_the_covariance_of_the_hessian():
    task = Quadratic(dimensions=3, sigma=0.5, optimum=2.0)
    params, rows = {"w": jnp.asarray([1.0, 2.0, 4.0])}, jnp.arange(20000)
    gradient = jax.grad(lambda params, row: task.loss(params, row[None], KEY, row[None])[0])
    gradients = jax.vmap(gradient, (None, 0))(params, rows)["w"]
    np.testing.assert_allclose(gradients.mean(0), task.eigenvalues * np.asarray([-1, 0, 2]), atol=0.02)  # 5 sd = 0.018
    np.testing.assert_allclose(jnp.cov(gradients.T), 0.25 * np.diag(task.eigenvalues), atol=0.015)


def test_quadratic_metric_is_exact():
    task = Quadratic(dimensions=4, power=2.0, optimum=3.0, start=2.0)
    rows = jnp.arange(5)
    assert task.metrics({"w": jnp.full(4, 3.0)}, rows)["loss"].tolist() == [0] * 5
    expected = 2 * (1 + 1 / 4 + 1 / 9 + 1 / 16)
    np.testing.assert_allclose(task.metrics(task.init(0), rows)["loss"], expected, rtol=1e-6)


def test_digest_follows_the_definition():
    assert Quadratic().load().digest != Quadratic(sigma=2.0).load().digest


@pytest.mark.parametrize(
    ("task", "rate", "goal"),
    [
        (TINY, 0.03, 0.75),
        (Language(sequence=8, width=8, layers=1, norm_position="post", positions="rope", tied=True), 0.03, 0.75),
        (Digits(), 0.01, 0.3),
        (Digits(network="cnn", hidden=(8, 16), dropout=0.1, l2=1e-4), 0.03, 0.6),
        (Quadratic(sigma=0.1), 0.1, 0.5),
    ],
    ids=["language", "post", "mlp", "cnn", "quadratic"],
)
def test_sixty_steps_of_adam_learn(task, rate, goal):
    data, rows, optimizer = task.load(), jnp.arange(16), optax.adam(rate)
    train, held = device(data.train), task.held(device(data.valid), jnp.arange(min(64, data.held_out)))

    def step(state, t):
        params, moments = state
        key = jax.random.fold_in(KEY, t)
        loss = lambda params: task.loss(params, task.batch(train, 0, t, rows, 16), key, rows).mean()
        updates, moments = optimizer.update(jax.grad(loss)(params), moments)
        return (optax.apply_updates(params, updates), moments), None

    @jax.jit
    def run(params):
        after, _ = jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(60))[0]
        return [task.metrics(p, held)["loss"].mean() for p in (params, after)]

    before, after = run(device(task.init(0)))
    assert after < goal * before


def test_the_unigram_loss_is_the_entropy_of_how_often_each_byte_is(tmp_path):
    (tmp_path / "text").write_bytes(b"ab" * 60_000 + b"aaab" * 30_000)
    task = Language(text=str(tmp_path / "text"), sequence=4, validation=0.5)
    assert task.unigram_loss == pytest.approx(np.log(2), abs=3e-3)  # half of what is learned from are a
