"""Loss laws: the loss of a run as a function of its learning rates and a few letters, each from its paper.

A law sees a schedule through its drives, which hold no letter and are worked out once: the area S under the rates, the
falls of the rate and where they happen. A fall counts together with those beside it, in at most 64 bins between the
steps that are asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrlab.refusal import Refused, unknown
from lrlab.theory.last_iterate import bound

_BINS = 64
_LEAST = 1e-9  # of the peak: a rate of zero has no power

Letters = dict[str, Any]
Drives = tuple[Any, ...]


@dataclass(frozen=True)
class Law:
    """A law: what it is called, where it is from, its letters and their ranges, and its two functions.

    Letters are positive and fitted as logarithms, those `of_one` as that of 1 - letter; one whose range begins at zero may
    vanish, and is fitted as it is. A law with a `first` is fitted in two stages: the letters in `held` keep the values
    that the first law found. `pulled` letters are drawn weakly to the values given, where the curves do not determine
    them.
    """

    name: str
    reference: str
    ranges: dict[str, tuple[float, float]]
    drives: Callable[[Any, np.ndarray], Drives]
    loss: Callable[[Letters, Drives], jax.Array]
    starts: tuple[Letters, ...]
    of_one: frozenset[str] = frozenset()
    first: "Law | None" = None
    held: frozenset[str] = frozenset()
    pulled: tuple[tuple[str, float], ...] = ()
    needs: str = ""  # falls, or peaks: what must differ among the fitted curves

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters, in the paper's order."""
        return tuple(self.ranges)

    def __call__(self, parameters: Letters, rates: Any, at: Any = None) -> jax.Array:
        """The loss after each of `at` updates, [n], for the rates of all updates, [T] (by default after every one).

        >>> parameters = {"L0": 2.0, "A": 0.5, "alpha": 0.5}
        >>> [round(float(loss), 3) for loss in LAWS["power"](parameters, [0.01] * 100, at=[25, 100])]
        [3.0, 2.5]
        """
        rates = rates if isinstance(rates, jax.Array) else np.asarray(rates)
        at = np.arange(1, len(rates) + 1) if at is None else np.asarray(at)
        if at.size and not (at.min() >= 1 and at.max() <= len(rates)):
            raise Refused(
                f"a loss after update {at.max()} (or {at.min()}) is asked of {len(rates)} rates; ask for 1 to {len(rates)}"
            )
        return self.loss(parameters, self.drives(rates, at))


def law(name: str) -> Law:
    """The law called so; refused if there is none."""
    if name not in LAWS:
        raise unknown("law", name, LAWS)
    return LAWS[name]


# ---- what a schedule does, [n] at the steps asked for, [m] in bins of falls


def _of_area(rates: Any, at: np.ndarray) -> Drives:
    """S1, the sum of the rates of the first `at` updates."""
    return (rates.cumsum()[at - 1],)


def _of_time(rates: Any, at: np.ndarray) -> Drives:
    return (_space(rates).asarray(at, rates.dtype),)


def _falls(rates: Any, at: np.ndarray, *others: Any) -> tuple[Any, ...]:
    """How far the rate falls in each bin, [m]; the mean in it of other values of the changes, [T - 1]; and which bins lie
    before which step, [n, m]."""
    xp, T = _space(rates), len(rates)
    edges = np.unique(np.concatenate([at, np.linspace(1, T, _BINS).astype(int), [T]]))
    bins, change = np.searchsorted(edges, np.arange(1, T), side="right"), rates[:-1] - rates[1:]
    summed = lambda x: jax.ops.segment_sum(x, bins, len(edges)) if xp is jnp else np.bincount(bins, x, len(edges))
    total = summed(abs(change))
    share = abs(change) / xp.where(total > 0, total, 1)[bins]
    return summed(change), *(summed(share * other) for other in others), at[:, None] >= edges[None]


def _of_falls(rates: Any, at: np.ndarray) -> Drives:
    """S1; of each bin its fall, the rate after it and S1 before it; which bins lie before which step."""
    S = rates.cumsum()
    fall, after, before, past = _falls(rates, at, rates[1:], S[:-1])
    return S[at - 1], fall, _space(rates).maximum(after, _LEAST * rates.max()), before, past


def _of_momentum(rates: Any, at: np.ndarray) -> Drives:
    """S1; of each bin its fall and its step; the steps. A warm-up is taken at its peak (Tissue et al. 2024, section 3.4)."""
    xp, peak = _space(rates), rates.argmax()
    rates = xp.where(np.arange(len(rates)) < peak, rates[peak], rates)
    fall, when, past = _falls(rates, at, np.arange(1.0, len(rates)))
    return rates.cumsum()[at - 1], fall, when, xp.asarray(at, rates.dtype), past


def _of_drop(rates: Any, at: np.ndarray) -> Drives:
    return rates.cumsum()[at - 1], rates.max() - rates[at - 1]


def _of_peak(rates: Any, at: np.ndarray) -> Drives:
    t = _space(rates).asarray(at, rates.dtype)
    return t, rates.max() + 0 * t


def _of_bound(rates: Any, at: np.ndarray) -> Drives:
    return bound(rates, 0.0, 1.0)[at - 1], bound(rates, 1.0, 0.0)[at - 1]


def _space(rates: Any) -> Any:
    """jax.numpy for what may be differentiated, numpy for what is only read."""
    return jnp if isinstance(rates, jax.Array) else np


# ---- the laws


def _multi_power(x: Letters, drives: Drives) -> jax.Array:
    S, fall, eta, before, past = drives
    area = jnp.maximum(S[:, None] - before[None], 0)
    G = 1 - (1 + x["C"] * eta[None] ** -x["gamma"] * area) ** -x["beta"]
    return x["L0"] + x["A"] * S ** -x["alpha"] - x["B"] * jnp.where(past, G, 0) @ fall


def _annealing(x: Letters, drives: Drives) -> jax.Array:
    S1, fall, when, t, past = drives
    remembered = jnp.exp(jnp.log(x["lambda"]) * jnp.maximum(t[:, None] - when[None], 0))
    S2 = jnp.where(past, (1 - remembered) / (1 - x["lambda"]), 0) @ fall
    return x["L0"] + x["A"] * S1 ** -x["alpha"] - x["C"] * S2


def _power(x: Letters, drives: Drives) -> jax.Array:
    return x["L0"] + x["A"] * drives[0] ** -x["alpha"]


def _at_once(x: Letters, drives: Drives) -> jax.Array:
    return _power(x, drives) - x["B"] * drives[1]


def _basin(x: Letters, drives: Drives) -> jax.Array:
    t, peak = drives
    return _power(x, drives) + x["K"] * jnp.log(peak / (x["b"] * t ** -x["beta"])) ** 2


def _last_iterate(x: Letters, drives: Drives) -> jax.Array:
    return x["L0"] + x["D"] ** 2 * drives[0] + x["G"] ** 2 * drives[1]


_LINE = {"L0": (0.0, 1e4), "A": (1e-9, 1e9), "alpha": (0.01, 5.0)}
_ANY = (1e-12, 1e12)
_POWERS = tuple(
    {"L0": L0, "alpha": alpha} for L0 in (0.6, 0.9) for alpha in (0.3, 0.7)
)  # L0 as a share of the least loss

_SATURATED = Law(
    "saturated", "Luo et al. 2025, where every fall has its whole effect at once",
    _LINE | {"B": _ANY}, _of_drop, _at_once, tuple({**start, "B": 300.0} for start in _POWERS), needs="falls",
)  # fmt: skip
LAWS = {
    law.name: law
    for law in (
        Law(
            "mpl", "Luo et al. 2025 (arXiv 2503.12811), the multi-power law: L0 + A S1^-alpha - B sum_k (eta_{k-1} - eta_k) [1 - (1 + C eta_k^-gamma S_k)^-beta]",
            _LINE | {"B": _ANY, "C": (1e-9, 1e9), "beta": (0.01, 10.0), "gamma": (0.01, 3.0)}, _of_falls, _multi_power,
            ({"C": 1.0, "beta": 0.5, "gamma": 0.5}, {"C": 0.1, "beta": 1.5, "gamma": 0.5}),
            first=_SATURATED, held=frozenset({"B"}), pulled=(("C", 1.0), ("beta", 0.5), ("gamma", 0.5)), needs="falls",
        ),
        Law(
            "tissue", "Tissue et al. 2024 (arXiv 2408.11029), annealing: L0 + A S1^-alpha - C S2, the falls remembered by lambda",
            _LINE | {"C": _ANY, "lambda": (0.5, 0.99999)}, _of_momentum, _annealing,
            tuple({**start, "C": 0.5, "lambda": lam} for start in _POWERS[::2] for lam in (0.95, 0.99, 0.999)),
            of_one=frozenset({"lambda"}), needs="falls",
        ),
        Law("power", "Luo et al. 2025, the first two terms: L0 + A S1^-alpha, which sees only the area", _LINE, _of_area, _power, _POWERS),
        Law("chinchilla", "Hoffmann et al. 2022, for one model: L0 + A t^-alpha, which sees only the time", _LINE, _of_time, _power, _POWERS),
        Law(
            "bjorck", "Bjorck et al. 2024 (arXiv 2409.19913): L0 + A t^-alpha + K ln(peak / (b t^-beta))^2, a basin round a best peak that falls with the horizon",
            _LINE | {"K": _ANY, "b": _ANY, "beta": (0.01, 3.0)}, _of_peak, _basin,
            tuple({**start, "K": 0.05, "b": b, "beta": 0.3} for start in _POWERS[::2] for b in (0.01, 0.1)), needs="peaks",
        ),
        Law(
            "bound", "Schaipp et al. 2025 (arXiv 2501.18965): L0 and the last-iterate bound for a distance D and gradient norms G",
            {"L0": (0.0, 1e4), "D": _ANY, "G": _ANY}, _of_bound, _last_iterate,
            tuple({"L0": share, "D": D, "G": G} for share in (0.6, 0.9) for D in (0.01, 1.0) for G in (1.0, 10.0)),
        ),
    )
}  # fmt: skip
