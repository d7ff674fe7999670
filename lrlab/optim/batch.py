"""A batch that follows a schedule: each update takes so many microbatches, and the rate may follow."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from lrlab.node import Node, structural
from lrlab.refusal import Refused
from lrlab.schedule import Schedule, table
from lrlab.schedule.time import LAST_STEP

Scaling = Literal["none", "linear", "sqrt"]
_POWER = {"none": 0.0, "linear": 1.0, "sqrt": 0.5}
_LONGEST = 10_000_000  # updates; two tables of int32


class Batches(Node):
    """How many microbatches each update takes, and how many the updates before it took."""

    counts: Any  # [steps] int32
    before: Any  # [steps] int32
    largest: int = structural()  # microbatches of a full batch
    power: float = structural()  # of the batch, in the rate

    def at(self, step: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Of an update: its microbatches, those before it, and what its rate is multiplied by."""
        counts, before = jnp.asarray(self.counts), jnp.asarray(self.before)
        step = jnp.minimum(step, counts.shape[-1] - 1)
        return counts[step], before[step], (counts[step] / self.largest) ** self.power

    def scale(self) -> Schedule:
        """What the rate of each update is multiplied by."""
        return table((np.asarray(self.counts) / self.largest) ** self.power)


def batches(schedule: Schedule, steps: int, batch: int, accumulate: int, scaling: Scaling) -> Batches:
    """The microbatches of a run whose batch follows a schedule, in whole microbatches of batch / accumulate examples.

    Args:
        schedule: examples per update, in steps.
        steps: updates.
        batch: examples of the largest batch; the run's rates are meant for it.
        accumulate: microbatches of the largest batch.
        scaling: the rate of an update with b examples is multiplied by b / batch ("linear": Goyal et al. 2017, section
            2.1, for SGD), by its root ("sqrt": Malladi et al. 2022, for Adam), or by nothing.

    Raises `Refused` if the batch leaves the range of 1 to `accumulate` microbatches.

    >>> from lrlab import ramp
    >>> batches(ramp(4, start=8, to=32), 5, batch=32, accumulate=4, scaling="linear").counts.tolist()
    [1, 2, 3, 3, 4]
    """
    if steps > _LONGEST or steps * accumulate > LAST_STEP:
        raise Refused(f"a batch schedule over {steps} updates takes too much memory; at most {_LONGEST}")
    if accumulate == 1:
        raise Refused(
            f"batch_schedule={schedule} counts in microbatches, of which accumulate=1 leaves one; set accumulate to how many "
            f"the batch of {batch} has"
        )
    examples, micro = schedule(np.arange(steps)).astype(np.float64), batch / accumulate
    if examples.max() > batch * (1 + 1e-6):
        raise Refused(
            f"batch_schedule={schedule} rises to {examples.max():g} examples, above batch={batch}; set batch to the largest"
        )
    if examples.min() < micro / 2:
        raise Refused(
            f"batch_schedule={schedule} falls to {examples.min():g} examples, below a microbatch of {micro:g} (batch / "
            f"accumulate); set accumulate={int(np.ceil(batch / max(examples.min(), 1)))} or more"
        )
    counts = np.clip(np.floor(examples / micro + 0.5), 1, accumulate).astype(np.int32)
    before = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)
    return Batches(counts, before, accumulate, _POWER[scaling])
