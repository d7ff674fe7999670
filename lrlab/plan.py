"""How long a run is, and when the host looks at it."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How long a run is and when the host looks at it.

    Args:
        steps: updates.
        batch: examples per update, over all devices and microbatches.
        accumulate: microbatches per update.
        evaluate_every: updates between evaluations on held-out data; there is always one at the end.
        log_every: updates between rows of the record.
        chunk: updates per dispatch, at most. From eight on, XLA:CPU keeps its temporary memory between updates.
        skip: updates in a row that may be skipped before the run counts as diverged.
    """

    steps: int
    batch: int
    accumulate: int = 1
    evaluate_every: int = 100
    log_every: int = 10
    chunk: int = 20
    skip: int = 0

    @property
    def tail(self) -> int:
        """How many of the last training losses make up the final one: a twentieth."""
        return max(1, self.steps // 20)

    def chunks(self, step: int = 0, stops: Iterable[int] = ()) -> list[int]:
        """The lengths of the chunks from `step` on: as long as may be, up to the next evaluation, stop or the end."""
        lengths, stops = [], sorted({self.steps, *stops})
        while step < self.steps:
            boundary = step - step % self.evaluate_every + self.evaluate_every
            lengths += [min(self.chunk, boundary - step, stops[bisect_right(stops, step)] - step)]
            step += lengths[-1]
        return lengths
