"""A rule reads a learning rate off one curve of loss against rate, or finds nothing to read."""

from typing import NamedTuple

import numpy as np

_SURE = 5.0  # standard deviations by which a mean must fall to count; a hundred losses of pure noise hardly ever do
_SHARE = 0.01  # of the whole fall, which counts where there is no noise
_FAR = 15  # updates between the two slopes of fastai's slide
_ALIKE = 0.005  # the difference of these slopes at which it stops


class Curve(NamedTuple):
    """One range test until it ended, [n]: rates, the losses before their updates, and the exponential means of these."""

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    planned: int  # updates of the test, had it not ended

    @property
    def width(self) -> int:
        """How many losses a mean is of."""
        return 2 * max(1, self.planned // 25) + 1

    @property
    def means(self) -> np.ndarray:
        """Centred means of the losses, [n], which do not lag behind the rate as exponential ones do."""
        return _centred(self.losses, self.width // 2)

    @property
    def start(self) -> float:
        """The loss at the lowest rates."""
        return float(self.losses[: self.width].mean())

    @property
    def slack(self) -> float:
        """By how much a mean must fall before that counts: beyond the noise, and a share of the whole fall."""
        if len(self.losses) < 2:
            return _SHARE * (self.start - float(self.means.min()))
        # 0.954 where it is normal; no divergence moves a median
        noise = float(np.median(np.abs(np.diff(self.losses)))) / 0.954
        return max(_SURE * noise / self.width**0.5, _SHARE * (self.start - float(self.means.min())))

    @property
    def fastai(self) -> tuple[np.ndarray, np.ndarray]:
        """The rates and smoothed losses that fastai's rules see: it stops at 4 times the best loss, and leaves out the
        first tenth and the last five.
        """
        over = self.smoothed > 4 * np.minimum.accumulate(self.smoothed)
        end = int(np.argmax(over)) + 1 if over.any() else len(over)
        seen = slice(self.planned // 10, max(end - 5, 0))
        return self.rates[seen], self.smoothed[seen]


def valley(curve: Curve) -> float | None:
    """Halfway down the longest decreasing subsequence (fastai's `valley`, its default)."""
    rates, losses = curve.fastai
    if not len(losses):
        return None
    length = np.ones(len(losses), int)  # of the longest that ends here
    for i in range(1, len(losses)):
        length[i] += max(length[:i][losses[:i] > losses[i]], default=0)
    end = int(np.argmax(length))
    start = end - length[end] if end else 0
    third = (end - start) / 3
    return float(rates[start + int(third) + int(third / 2)])


def steep(curve: Curve) -> float | None:
    """Where the smoothed loss falls fastest per log-rate (fastai's `steep`)."""
    rates, losses = curve.fastai
    return float(rates[np.argmin(np.diff(losses) / np.diff(np.log(rates)))]) if len(losses) > 1 else None


def minimum(curve: Curve) -> float | None:
    """A tenth of the rate with the lowest smoothed loss (fastai's `minimum`)."""
    rates, losses = curve.fastai
    return float(rates[np.argmin(losses)] / 10) if len(losses) else None


def slide(curve: Curve) -> float | None:
    """From the end down to where the slope of the smoothed loss is the same for fifteen updates (fastai's `slide`)."""
    rates, losses = curve.fastai
    if len(losses) <= _FAR:
        return None
    slope = np.gradient(losses)
    left = len(losses) - 1 - _FAR
    while left >= 0 and abs(slope[left + _FAR] - slope[left]) > _ALIKE:
        left -= 1
    return float(rates[min(left + 1, len(losses) - 1 - _FAR)])


def begins(curve: Curve) -> float | None:
    """Where the loss begins to fall: the lower bound of a cycle (Smith 2017, section 3.3)."""
    fallen = curve.means < curve.start - curve.slack
    return float(curve.rates[np.argmax(fallen)]) if fallen.any() else None


def ragged(curve: Curve) -> float | None:
    """Where, after that, the loss becomes ragged or rises: the upper bound of a cycle (Smith 2017, section 3.3)."""
    above = curve.losses > np.minimum.accumulate(curve.means) + curve.slack * curve.width**0.5
    above &= curve.rates > (begins(curve) or np.inf)
    return float(curve.rates[np.argmax(above)]) if above.any() else None


def four_fifths(curve: Curve) -> float | None:
    """Where the loss has come down four fifths of its whole fall. Ours: of shares and slopes it came nearest to the best
    peaks of runs as short as the test and ten times as long, on three tasks with four optimizers.
    """
    if begins(curve) is None:
        return None
    level = curve.start - 0.8 * (curve.start - curve.means.min())
    return float(curve.rates[np.argmax(curve.means <= level)])


def _centred(values: np.ndarray, reach: int) -> np.ndarray:
    """Means over `reach` values on either side, fewer at the ends."""
    i, total = np.arange(len(values)), np.concatenate([[0.0], np.cumsum(values)])
    first, last = np.maximum(i - reach, 0), np.minimum(i + reach + 1, len(values))
    return (total[last] - total[first]) / (last - first)


OURS = "four_fifths"
RULES = {rule.__name__: rule for rule in (valley, steep, minimum, slide, begins, ragged, four_fifths)}
