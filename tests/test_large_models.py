"""What large models need: the head in blocks, layers in a scan, attention kernels, 16 bits. The numbers stay the same."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrlab.refusal import Refused
from lrlab.task import attention, fused
from lrlab.task.language import Language

TINY = Language(sequence=8, width=16, layers=2, heads=2)
KEY = jax.random.key(0)


def normal(*shape, seed=0, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32), dtype)


def value_and_gradient(task):
    tokens = np.random.default_rng(0).integers(0, task.symbols, (3, task.sequence + 1))
    return jax.jit(jax.value_and_grad(lambda p: task.loss(p, tokens, KEY, jnp.arange(3)).mean()))(task.init(0))


def same(one, other, close):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=close, atol=close), one, other)


# --- the head

HEADS = [lambda x, w, y: fused.cross_entropy(fused.matmul(x, w), y), fused.head_cross_entropy]


@pytest.mark.parametrize("block", [1, 4, 5, 13, 64])
def test_the_head_in_blocks_is_the_head(block):
    """Blocks that divide the 13 tokens, do not, and exceed them. 1e-5: sums of a few terms in float32."""
    x, w, targets, weight = 0.5 * normal(13, 6), normal(6, 9, seed=1), jnp.arange(13) % 9, normal(13, seed=2)
    whole = lambda x, w: (weight * HEADS[0](x, w, targets)).sum()
    blocks = lambda x, w: (weight * HEADS[1](x, w, targets, block)).sum()
    same(*(jax.jit(jax.value_and_grad(f, (0, 1)))(x, w) for f in (whole, blocks)), close=1e-5)


def test_the_head_in_blocks_rounds_bfloat16_as_the_whole_does():
    """The logits and their gradient are the same bfloat16; dw is summed in another order, in float32."""
    x, w, targets = normal(12, 6, dtype=jnp.bfloat16), normal(6, 9, seed=1), jnp.arange(12) % 9
    whole = lambda x, w: HEADS[0](x, w, targets).mean()
    blocks = lambda x, w: HEADS[1](x, w, targets, 4).mean()
    (loss, (dx, dw)), (loss_, (dx_, dw_)) = (jax.jit(jax.value_and_grad(f, (0, 1)))(x, w) for f in (whole, blocks))
    assert dx.dtype == dx_.dtype == jnp.bfloat16
    assert dw.dtype == dw_.dtype == jnp.float32
    same((loss, dx.astype(jnp.float32), dw), (loss_, dx_.astype(jnp.float32), dw_), close=1e-2)  # 8 bits: 0.4 %


@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_the_head_in_blocks_never_holds_the_logits(compute):
    n, d, v, block = 4096, 64, 50304, 512

    def temporary(f):
        arguments = [jax.ShapeDtypeStruct(*a) for a in (((n, d), jnp.dtype(compute)), ((d, v), "float32"))]
        step = jax.jit(jax.grad(lambda x, w: f(x, w, jnp.zeros(n, jnp.int32)).mean(), (0, 1)))
        return step.lower(*arguments).compile().memory_analysis().temp_size_in_bytes

    whole, blocks = temporary(HEADS[0]), temporary(lambda x, w, y: HEADS[1](x, w, y, block))
    logits, matrix = 4 * n * v, 4 * d * v
    assert whole >= logits  # 824 MB: the logits in float32
    assert blocks < 3 * logits * block / n + 2 * matrix  # a block's logits and what is made of them


def test_the_head_is_in_blocks_where_the_logits_are_many():
    loss = lambda task: str(
        jax.make_jaxpr(lambda p, y: task.loss(p, y, KEY, None))(task.init(0), np.zeros((8, 9), int))
    )
    assert "scan" not in loss(TINY)
    assert "scan" in loss(dataclasses.replace(TINY, head="blocks"))
    large = dataclasses.replace(TINY, vocabulary=2**21, width=2)
    assert "scan" in loss(large)
    assert "scan" not in loss(dataclasses.replace(large, head="whole"))
    assert large._block == 32
    assert dataclasses.replace(TINY, vocabulary=2**27)._block == 1


def test_tokens_that_are_met_often_sum_their_gradients_in_float32():
    """The embedding's gradient of one token met 4096 times: a sum in bfloat16 would stand still at 256 of them."""
    task = Language(sequence=4096, width=2, layers=1, heads=1, compute="bfloat16", norm_position="post")
    gathered = jax.grad(lambda p: jnp.asarray(p["embedding"][np.zeros(4096, int)], jnp.bfloat16).sum())(task.init(0))
    assert gathered["embedding"][0].tolist() == [4096, 4096]
    jaxpr = str(
        jax.make_jaxpr(jax.grad(lambda p: task.loss(p, np.zeros((1, 4097), int), KEY, None).sum()))(task.init(0))
    )
    assert "bf16[256,2] = scatter-add" not in jaxpr
    assert "f32[256,2] = scatter-add" in jaxpr


# --- layers


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("switches", [{}, {"norm_position": "post", "positions": "rope", "qk_norm": True}])
def test_a_scan_over_layers_changes_nothing_but_the_program(switches, remat):
    plain = dataclasses.replace(TINY, **switches)
    scanned = dataclasses.replace(plain, scan=True, remat=remat)
    same(value_and_gradient(plain), value_and_gradient(scanned), close=1e-5)


def test_a_scan_over_layers_compiles_one_of_them():
    size = lambda task: len(str(jax.make_jaxpr(lambda p: task.loss(p, np.zeros((1, 9), int), KEY, None))(task.init(0))))
    deep = lambda layers, scan: dataclasses.replace(TINY, layers=layers, scan=scan)
    assert size(deep(8, False)) - size(deep(4, False)) > 4 * (size(deep(8, True)) - size(deep(4, True)))


# --- attention


def gpu(capability="9.0", version="cuda 12090"):
    device = types.SimpleNamespace(platform="gpu", device_kind="NVIDIA H100 80GB HBM3", compute_capability=capability)
    return types.SimpleNamespace(**vars(device), client=types.SimpleNamespace(platform_version=version))


@pytest.mark.parametrize(
    ("device", "compute", "size", "chosen"),
    [
        (gpu(), "bfloat16", 64, "cudnn"),
        (gpu(), "bfloat16", 256, "cudnn"),
        (gpu("8.0"), "bfloat16", 256, "xla"),
        (gpu("7.5"), "bfloat16", 64, "xla"),
        (gpu("gfx90a", "rocm 60300"), "bfloat16", 64, "xla"),
        (gpu(), "bfloat16", 20, "xla"),
        (gpu(), "float32", 64, "xla"),
        (jax.devices("cpu")[0], "bfloat16", 64, "xla"),
    ],
)
def test_auto_is_cudnn_where_the_device_has_it(monkeypatch, device, compute, size, chosen):
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert attention.kernel("auto", compute, size) == chosen
    assert attention.kernel("xla", compute, size) == "xla"


@pytest.mark.parametrize(
    ("device", "size", "sentence"),
    [
        (jax.devices("cpu")[0], 64, "attention='cudnn' needs an NVIDIA GPU of compute capability 8.0 or more, and this run is on cpu"),
        (gpu("7.5"), 64, "needs an NVIDIA GPU of compute capability 8.0"),
        (gpu("gfx90a", "rocm 60300"), 64, "needs an NVIDIA GPU"),
        (gpu("8.0"), 256, "takes head sizes that are a multiple of 8 up to 128, and not 256; write attention='auto'"),
        (gpu(), 20, "multiple of 8 up to 256, and not 20"),
    ],
)  # fmt: skip
def test_cudnn_is_refused_where_there_is_none(monkeypatch, device, size, sentence):
    monkeypatch.setattr(jax, "devices", lambda: [device])
    with pytest.raises(Refused, match=sentence):
        attention.kernel("cudnn", "bfloat16", size)


def test_a_run_refuses_the_kernel_that_its_device_lacks():
    task = dataclasses.replace(TINY, attention="cudnn", compute="bfloat16")
    with pytest.raises(Refused, match="attention='cudnn' needs an NVIDIA GPU"):
        jax.jit(task.loss)(task.init(0), np.zeros((1, 9), int), KEY, jnp.arange(1))
    with pytest.raises(Refused, match="cuDNN attends in 16 bits; write compute='bfloat16' with it"):
        Language(attention="cudnn")


def test_our_attention_is_jaxs():
    """On shapes [b, t, h, d], as cuDNN is given them; 1e-5 is rounding."""
    q, k, v = (normal(2, 70, 3, 4, seed=i) for i in range(3))
    ours, theirs = (
        jax.jit(jax.value_and_grad(lambda a, f=f: jnp.sin(f(*a)).sum()))((q, k, v))
        for f in (
            lambda *a: attention.attend("xla", *a),
            lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation="xla"),
        )
    )
    same(ours, theirs, close=1e-5)


def test_on_an_nvidia_gpu_the_step_calls_cudnn(monkeypatch):
    """The whole gradient lowered for a GPU that is not there: flash attention forward and backward, in every layer."""
    from jax._src.cudnn import fused_attention_stablehlo as cudnn

    monkeypatch.setattr(cudnn, "check_cudnn_version", lambda: 91000)
    monkeypatch.setattr(attention, "_lack", lambda *_: "")
    task = dataclasses.replace(TINY, compute="bfloat16")
    gradient = jax.jit(jax.grad(lambda p: task.loss(p, np.zeros((2, 9), np.int32), KEY, None).mean()))
    text = gradient.trace(task.init(0)).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("custom_call @__cudnn$fmhaSoftmax(") == 2
    assert text.count("custom_call @__cudnn$fmhaSoftmaxBackward(") == 2
