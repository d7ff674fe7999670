"""What every contender of step.py is given: one model, one start, one batch for each step, one learning rate."""

import math
from pydoc_data.topics import topics
from typing import NamedTuple

import numpy as np

WARMUP, STEPS, PEAK = 100, 10_000, 1e-3
B1, B2, EPS, WEIGHT_DECAY, CLIP = 0.9, 0.95, 1e-8, 0.1, 1.0
CORPUS = 2**22  # tokens, where the vocabulary is not that of bytes


class Setting(NamedTuple):
    layers: int
    width: int
    heads: int
    sequence: int
    batch: int
    dtype: str = "float32"
    threads: int = 2  # of torch; one where that is faster
    accumulate: int = 1  # microbatches, of lrlab
    vocabulary: int = 256
    tied: bool = False  # whether the head is the embedding
    device: str = "cpu"  # of torch; JAX takes the best that it finds
    options: dict | None = None  # of a contender: see its file

    @property
    def tokens(self) -> int:
        """Tokens in one step."""
        return self.batch * self.sequence

    @property
    def flops(self) -> int:
        """Multiplications and additions of one step's matmuls, forward and backward (6N + 12LdT a token)."""
        weights = 12 * self.layers * self.width**2 + self.vocabulary * self.width
        return self.tokens * (6 * weights + 12 * self.layers * self.width * self.sequence)


SETTINGS = {
    "small": Setting(layers=4, width=128, heads=4, sequence=128, batch=16),
    "nano": Setting(layers=2, width=32, heads=2, sequence=32, batch=8, threads=1),
    "pico": Setting(layers=1, width=32, heads=2, sequence=32, batch=8, threads=1),
    "gpt2": Setting(12, 768, 12, 1024, 32, "bfloat16", vocabulary=50304, tied=True, device="cuda"),
    "gpt2 rehearsed": Setting(2, 64, 2, 128, 4, "bfloat16", vocabulary=50304, tied=True),  # the same, for two CPU cores
}


def text(setting: Setting) -> np.ndarray:
    """Python's own documentation, [n] uint8; or random tokens, [CORPUS] uint16."""
    if setting.vocabulary > 256:
        return np.random.default_rng(1).integers(0, setting.vocabulary, CORPUS, np.uint16)
    return np.frombuffer("".join(topics[name] for name in sorted(topics)).encode(), np.uint8)


def starts(step: int, batch: int, size: int, sequence: int) -> np.ndarray:
    """Where each window of batch number `step` begins, [b]; Knuth's multiplicative hash, in 32 bits on every side."""
    rows = np.arange(step * batch, (step + 1) * batch, dtype=np.uint64)
    return (rows * 2654435761 % 2**32 % (size - sequence)).astype(np.int64)


def rate(step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < WARMUP:
        return PEAK * (step + 1) / WARMUP
    return PEAK * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - WARMUP) / (STEPS - WARMUP))))


def initial(setting: Setting) -> dict:
    """GPT-2's initial values. Matrices are [in, out]; `qkv` holds queries, keys and values side by side, [d, 3 H D]."""
    draw, d = np.random.default_rng(0), setting.width

    def normal(*shape, scale=0.02):
        return (draw.standard_normal(shape) * scale).astype(np.float32)

    def layer():
        out = 0.02 / math.sqrt(2 * setting.layers)
        return {
            "norm1": np.ones(d, np.float32),
            "qkv": normal(d, 3 * d),
            "out": normal(d, d, scale=out),
            "norm2": np.ones(d, np.float32),
            "up": normal(d, 4 * d),
            "down": normal(4 * d, d, scale=out),
        }

    return {
        "tokens": normal(setting.vocabulary, d),
        "positions": normal(setting.sequence, d),
        "layers": [layer() for _ in range(setting.layers)],
        "norm": np.ones(d, np.float32),
        **({} if setting.tied else {"head": normal(d, setting.vocabulary)}),
    }
