"""lrlab's own loop: the language task, a schedule in one line, chunks of sixteen steps.

`setting.options` are further fields of the task.
"""

import tempfile

import jax
import numpy as np
import setting as peers
from setting import Setting

import lrlab as lr
from lrlab.optim import adamw
from lrlab.parallel import compiled, strategy
from lrlab.population import stack
from lrlab.task import tokens
from lrlab.task.language import Language
from lrlab.train import Member

CHUNK = 16
FOLDER = tempfile.TemporaryDirectory()


def shard(setting: Setting) -> str:
    """A token file of the corpus, for as long as the process lives."""
    path = f"{FOLDER.name}/tokens.bin"
    tokens.write(path, peers.text(setting))
    return path


def make(setting: Setting):
    task = Language(
        text=shard(setting) if setting.vocabulary > 256 else None,
        sequence=setting.sequence,
        width=setting.width,
        layers=setting.layers,
        heads=setting.heads,
        norm="layer",
        compute=setting.dtype,
        initializer="gpt2",
        tied=setting.tied,
        vocabulary=setting.vocabulary,
        attention="cudnn" if setting.device == "cuda" else "auto",
        **(setting.options or {}),
    )
    schedule = peers.PEAK * lr.warmup(peers.WARMUP) >> lr.decay(curve=lr.cosine)
    optimizer = adamw(b1=peers.B1, b2=peers.B2, eps=peers.EPS, weight_decay=peers.WEIGHT_DECAY)
    member = Member(schedule.resolve(lr.Horizon(steps=peers.STEPS)), optimizer, 0, peers.CLIP)
    here = strategy(None, setting.batch, setting.accumulate, jax.devices()[:1])
    chunk = compiled(here, task, setting.batch, setting.accumulate, CHUNK, 1)
    members = here.deal(stack([member]))
    state, alive, train = here.begin(task, members), np.ones(1, bool), here.put(task.load().train)

    def run(steps: int) -> float:
        nonlocal state
        for _ in range(steps // CHUNK):
            state, metrics = chunk(state, members, alive, train, np.int32(CHUNK))
        return float(metrics["loss"][0, -1])

    return run
