"""Lint reads a schedule as a referee would: what is wasted, what jumps, what nobody else does, each with a reference."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from lrlab.schedule.core import Schedule
from lrlab.schedule.literature import DESCENT, MISSED, USUAL
from lrlab.schedule.survey import REACHED, Survey
from lrlab.schedule.time import Horizon
from lrlab.schedule.write import written

GAP = 0.05  # of the peak between the last rate used and the end: that of a decay over 20 updates
WARMUP = 0.10  # of the run: the longest that large language models use
ONE_CYCLE = 0.50  # of the run, on purpose, with gradient descent
OFF = 0.10  # of the run by which a decay ends before or after it; below a quarter no loss shows it (Chinchilla, A1)
JUMP = 0.10  # of the peak in one update, beside which the rate hardly moves
STEEP = 4  # times the change before or after: what is less is a short ramp
RISE = 0.10  # of the peak, from the lowest rate of the second half
AREA = (0.3, 1.95)  # of a cosine's: inverse square root over 60 warm-ups, and a cooldown over a twentieth
FAR = 4.0  # times outside the range in use

Severity = Literal["error", "warning", "note"]


class Finding(NamedTuple):
    """Something to know about a schedule: `part` is where, `reference` a paper or a thread that met it."""

    rule: str
    severity: Severity
    part: str
    message: str
    reference: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.message} [{self.reference}]"


def lint(
    schedule: Schedule,
    steps: int | None = None,
    *,
    optimizer: str | None = None,
    batch: int | None = None,
    sequence: int | None = None,
    epoch: int | None = None,
) -> list[Finding]:
    """What a reader of the literature would remark on, the gravest first; nothing for most published schedules.

    Args:
        schedule: in any units.
        steps: updates in the run; by default the length of the schedule.
        optimizer: its name, for what depends on it; one whose usual rates are not known is not judged.
        batch, sequence, epoch: as in `Horizon`; the batch also says where peaks lie.

    Raises `Refused` where the schedule has arrays among its numbers, or units that the horizon lacks.

    >>> import lrlab as lr
    >>> for finding in lr.lint(1e-2 * lr.decay(800), steps=1000, optimizer="adamw"):
    ...     print(finding.rule, finding.part)
    decay-ends-early decay
    no-warmup decay
    """
    horizon = Horizon(schedule.length if steps is None else steps, batch, sequence, epoch)
    with np.errstate(over="ignore", invalid="ignore"):  # a rate that is no number is a finding
        seen = Survey(schedule, horizon)
        findings = list(_not_a_rate(seen)) or [finding for rule in _RULES for finding in rule(seen)]
        if not findings or findings[0].severity != "error":
            findings += _of_optimizer(seen, optimizer, batch)
    return sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.severity))


# ---- rules: each yields what it finds; `_short` is a number to three digits


def _not_a_rate(seen: Survey) -> Iterator[Finding]:
    for bad, what, reference in (
        (~np.isfinite(seen.values), "no finite number", "google-deepmind/optax#1403: a schedule that became NaN"),
        (seen.values < 0, "negative, and climbs the loss", "huggingface/transformers#132: negative past the last step"),
    ):
        if bad.any():
            step = int(seen.t[bad.argmax()])
            value = seen.at(step)
            rate = _short(value) if np.isfinite(value) else str(value)
            yield _finding("not-a-rate", "error", seen.part(step), f"is {rate} at update {step}: {what}", reference)
            return


def _first_update(seen: Survey) -> Iterator[Finding]:
    if seen.run[0] == 0:
        used = int(seen.t_run[np.argmax(seen.run > 0)]) if seen.peak else seen.steps
        wasted = "update 0 is" if used == 1 else f"the first {used} updates are"
        advice = f"; write shift(..., {used}) to begin above it" if seen.peak else ", and there are no others"
        yield _finding(
            "first-update-at-zero", "note", seen.part(0), f"{wasted} wasted at a rate of 0{advice}",
            "EleutherAI/gpt-neox#1373: in every Pythia run the model after one step is that before it",
        )  # fmt: skip


def _peak_never_reached(seen: Survey) -> Iterator[Finding]:
    whole_peak = float(seen.values.max())
    if seen.peak < REACHED * whole_peak:
        step = int(seen.t[seen.values.argmax()])
        yield _finding(
            "peak-never-reached", "warning", seen.part(step - 1),
            f"would reach {_short(whole_peak)} at update {step}, but the run of {seen.steps} gets no higher than {_short(seen.peak)}",
            "facebookresearch/d2go#19: a warm-up as long as the run",
        )  # fmt: skip


def _end_never_used(seen: Survey) -> Iterator[Finding]:
    end, last = seen.at(seen.length), seen.at(seen.length - 1) if seen.length else 0.0
    flat = seen.length < 2 or seen.at(max(seen.length - 2, 0)) == last  # it steps down, and says so
    if 0 < seen.length == seen.steps and last - end > GAP * seen.peak and not flat and end < seen.run.min():
        yield _finding(
            "end-never-used", "note", seen.part(seen.length - 1),
            f"the last update uses {_short(last)}, and the end value {_short(end)} is never used",
            "huggingface/pytorch-image-models#1242: a cosine that never reaches lr_min",
        )  # fmt: skip


def _decay_ends(seen: Survey) -> Iterator[Finding]:
    end = seen.at(seen.length)
    if not seen.length or not seen.room or seen.at(seen.length - 1) <= end:  # it does not end in a decay
        return
    if seen.steps - seen.length > OFF * seen.steps:
        yield _finding(
            "decay-ends-early", "warning", seen.part(seen.length - 1),
            f"ends at update {seen.length}, and the other {seen.steps - seen.length} of {seen.steps} are spent at {_short(end)}",
            "Hoffmann et al. 2022 (Chinchilla), appendix B: the decay should last as long as the run",
        )  # fmt: skip
    elif seen.length - seen.steps > OFF * seen.steps and seen.run[-1] > end:
        yield _finding(
            "decay-ends-late", "warning", seen.part(seen.length - 1),
            f"ends at update {seen.length}, {_short(seen.length / seen.steps)} times the run of {seen.steps}, which stops at {_short(seen.run[-1])}",
            "Hoffmann et al. 2022 (Chinchilla), figure A1: a cosine longer than the run by a quarter costs loss",
        )  # fmt: skip


def _discontinuity(seen: Survey) -> Iterator[Finding]:
    largest, found = 0.0, None
    for t in seen.joints[(seen.joints > 0) & (seen.joints < seen.steps)].tolist():
        jump = seen.at(t) - seen.at(t - 1)
        before = seen.at(t - 1) - seen.at(max(t - 2, 0))
        after = seen.at(min(t + 1, seen.last)) - seen.at(t)
        if abs(jump) <= max(JUMP * seen.peak, largest) or _is_meant(seen, t, jump, before, after):
            continue
        largest, found = abs(jump), t
    if found is not None:
        a, b = seen.at(found - 1), seen.at(found)
        yield _finding(
            "discontinuity", "warning", seen.part(found),
            f"jumps from {_short(a)} to {_short(b)} at update {found}, {largest / seen.peak:.0%} of the peak at once",
            "mlfoundations/open_clip#413: a rate that jumps where a run was extended",
        )  # fmt: skip


def _is_meant(seen: Survey, t: int, jump: float, before: float, after: float) -> bool:
    """A ramp, a step decay (flat, down, flat: He et al. 2015), or a restart (Loshchilov & Hutter 2016)."""
    if any(change * jump > 0 and abs(change) * STEEP > abs(jump) for change in (before, after)):
        return True
    if jump < 0:
        return before == after == 0
    begun = {mark.name for mark in seen.marks if mark.begin == t and mark.end - mark.begin > 1}
    return any(mark.begin < t and mark.name in begun for mark in seen.marks)


def _rises_at_the_end(seen: Survey) -> Iterator[Finding]:
    second = seen.run[seen.t_run >= seen.steps // 2]
    last, low = float(seen.run[-1]), float(second.min())
    if last - low > RISE * seen.peak and not list(_peak_never_reached(seen)):
        step = int(seen.t_run[seen.t_run >= seen.steps // 2][second.argmin()])
        yield _finding(
            "rises-at-the-end", "warning", seen.part(seen.steps - 1),
            f"the run ends at {_short(last)}, having been down to {_short(low)} at update {step}",
            "Nerogar/OneTrainer#433: restarts that end on a peak",
        )  # fmt: skip


def _area(seen: Survey) -> Iterator[Finding]:
    cosine = seen.peak * seen.steps / 2  # half of the peak, on the way up and on the way down
    if not cosine:
        return
    ratio = seen.area / cosine
    if not AREA[0] <= ratio <= AREA[1]:
        yield _finding(
            "area", "note", seen.part(seen.top),
            f"the sum of the rates is {_short(seen.area)}, {_short(ratio)} times that of a cosine with the same peak and warm-up",
            "Haegele et al. 2024: a constant rate wants about half the peak of a cosine" if ratio > 1
            else "Schaipp et al. 2025, theorem 1: the bound on the loss falls with the sum of the rates",
        )  # fmt: skip


_RULES = (_first_update, _peak_never_reached, _end_never_used, _decay_ends, _discontinuity, _rises_at_the_end, _area)


def _of_optimizer(seen: Survey, optimizer: str | None, batch: int | None) -> Iterator[Finding]:
    share = seen.warmup / seen.steps
    longest = ONE_CYCLE if optimizer in DESCENT else WARMUP
    again = seen.run[seen.t_run > seen.warmup]
    cycles = np.count_nonzero(np.diff((again > seen.peak / 2).astype(int)) == 1)  # climbs after the first
    if share > longest and not cycles and seen.warmup < seen.steps:
        yield _finding(
            "long-warmup", "note", seen.part(0),
            f"the warm-up takes {seen.warmup} of {seen.steps} updates, {share:.0%}; {longest:.0%} is long",
            "Smith & Topin 2017: one-cycle rises for up to half of the run" if longest > WARMUP
            else "Bergsma et al. 2025: 10 % for large language models; GPT-3 took 0.1 %",
        )  # fmt: skip
    if optimizer in MISSED and seen.peak >= MISSED[optimizer] and not seen.warmup:
        yield _finding(
            "no-warmup", "warning", seen.part(0),
            f"{optimizer} begins at {_short(seen.run[0])} without a warm-up; from {written(MISSED[optimizer])} on it is missed",
            "Xiong et al. 2020, section 3: a post-LN transformer under Adam at 1e-3 fails without warm-up",
        )  # fmt: skip
    if optimizer in USUAL:
        low, high = USUAL[optimizer].at(batch)
        if not low / FAR <= seen.peak <= high * FAR:
            at = "" if batch is None else f" at a batch of {batch}"
            yield _finding(
                "unusual-peak", "note", seen.part(seen.top),
                f"the peak of {_short(seen.peak)} is far from what is used with {optimizer}{at}, {_short(low)} to {_short(high)}",
                USUAL[optimizer].reference,
            )  # fmt: skip


def _finding(rule: str, severity: Severity, part: str, message: str, reference: str) -> Finding:
    return Finding(rule, severity, part, f"{part}: {message}", reference)


def _short(number: float) -> str:
    """A number to three digits, in the notation."""
    return written(float(f"{number:.3g}"))
