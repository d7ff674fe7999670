"""Composer's times: strings with a unit, which a run turns into batches."""

import re
from fractions import Fraction
from typing import Any, NamedTuple

from lrlab.refusal import Refused, unknown
from lrlab.schedule.compat import check
from lrlab.schedule.time import LAST_STEP
from lrlab.schedule.write import written

_TIME = re.compile(r"(.+?)(iter|ep|ba|sp|tok|dur|sec)", re.IGNORECASE)
_PER_BATCH = {"ep": "dataloader_len", "sp": "batch_size", "tok": "tokens_per_batch"}


class Run(NamedTuple):
    """What turns a time into batches."""

    where: str
    duration: tuple[float, str] | None  # the Trainer's, scaled
    per_batch: dict[str, Fraction]  # how many of a unit a batch is
    ssr: float

    def batches(self, time: Any, name: str, *, scaled: bool = False, least: bool = True) -> Fraction:
        """A time in batches, rounded down to whole ones of its unit as Composer does."""
        value, unit = _time(self.where, name, time)
        ssr = self.ssr if scaled else 1.0
        if unit == "dur":
            if self.duration is None:
                raise Refused(
                    f"{self.where}({name}={written(time)}) is a share of max_duration; write max_duration='100ba'"
                )
            whole, unit = self.duration
            value, ssr = (value * self.epoch(name) if unit == "ep" else value) * whole, 1.0
        elif unit == "ep":
            value *= self.epoch(name)
        count, unit = int(value * ssr), "ba" if unit == "ep" else unit
        if not count and least:
            raise Refused(
                f"{self.where}({name}={written(time)}) is no time at all, rounded down to whole ones; write more"
            )
        return count / self.each(unit, name)

    def unit(self, time: Any, name: str) -> str:
        """In what a time is counted: a share of the run as the run is, and epochs in batches."""
        unit = _time(self.where, name, time)[1]
        unit = self.duration[1] if unit == "dur" and self.duration else unit
        return "ba" if unit == "ep" else unit

    def epoch(self, name: str) -> int:
        return int(1 / self.each("ep", name))

    def each(self, unit: str, name: str) -> Fraction:
        if unit not in self.per_batch:
            raise Refused(f"{self.where}({name}=...) is in '{unit}'; write {_PER_BATCH[unit]}=100 too, for example")
        return self.per_batch[unit]


def _time(where: str, name: str, time: Any) -> tuple[float, str]:
    match = _TIME.fullmatch(time) if isinstance(time, str) else None
    try:
        value, unit = float(match[1]), match[2].lower()  # type: ignore[index]
    except (TypeError, ValueError):
        raise Refused(
            f"{where}({name}={written(time)}): a time is a string such as '10ep', '500ba' or '0.1dur'"
        ) from None
    if unit in ("sec", "iter") or not 0 <= value <= LAST_STEP or unit != "dur" and value != int(value):
        raise Refused(
            f"{where}({name}={written(time)}): times of a schedule are whole epochs, batches, samples or tokens, or a share of "
            f"the run: '10ep', '500ba', '1000sp', '3e4tok', '0.1dur'"
        )
    return value, unit


def run_of(where: str, max_duration: Any, run: dict[str, Any]) -> Run:
    """The run that the arguments describe; `max_duration` is as the Trainer gets it, before it is scaled."""
    names = (*_PER_BATCH.values(), "scale_schedule_ratio")
    for name in run:
        if name not in names:
            raise unknown(f"argument of {where}", name, names)
    ssr = check.share(run.get("scale_schedule_ratio", 1.0), where, "scale_schedule_ratio", positive=True)
    per_batch = {"ba": Fraction(1)}
    for unit, name in _PER_BATCH.items():
        if run.get(name) is not None:
            count = Fraction(check.steps(run[name], where, name, least=1))
            per_batch[unit] = 1 / count if unit == "ep" else count
    if max_duration is None:
        return Run(where, None, per_batch, ssr)
    value, unit = _time(where, "max_duration", f"{max_duration}ep" if isinstance(max_duration, int) else max_duration)
    if unit == "dur" or not int(value * ssr):
        raise Refused(f"{where}(max_duration={written(max_duration)}): write how long the run is, '10ep' or '1000ba'")
    return Run(where, (int(value * ssr), unit), per_batch, ssr)
