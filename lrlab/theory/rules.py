"""Rules of thumb for the learning rate, each with its reference and where it ends."""

from typing import Any, NamedTuple

from lrlab.refusal import Refused


class AdamScaled(NamedTuple):
    """What Adam is to be given at another batch; `eps` is a factor on the one that was used."""

    rate: float
    b1: float
    b2: float
    eps: float


class Rule(NamedTuple):
    """A rule where it applies: what it says of this run, its limit, its reference."""

    name: str
    message: str
    limit: str
    reference: str


def linear_scaling(rate: Any, batch: int, wanted: int) -> Any:
    """Gradient descent at another batch: the rate in proportion (Goyal et al. 2017, section 2.1).

    Holds up to a critical batch (8192 images for ResNet-50) and with a warm-up; beyond it no rate makes up for the batch.

    >>> linear_scaling(0.1, 256, 1024)
    0.4
    """
    return rate * _times(batch, wanted)


def root_scaling(rate: Any, batch: int, wanted: int, b1: float = 0.9, b2: float = 0.999) -> AdamScaled:
    """Adam at another batch: the rate by the root, and its averages over as many examples as before (Malladi et al. 2022).

    Holds while gradient noise, not the gradient, sets the size of a step. Refused where an average would be over less
    than one batch.

    >>> scaled = root_scaling(1e-3, 64, 256)
    >>> print(f"{scaled.rate:.3g} {scaled.b1:.3g} {scaled.b2:.3g} {scaled.eps:.3g}")
    0.002 0.6 0.996 0.5
    """
    k = _times(batch, wanted)
    if k * (1 - min(b1, b2)) >= 1:
        raise Refused(
            f"a batch {k:g} times as large is more than Adam's average with {min(b1, b2):g} is over; scale by less than {1 / (1 - min(b1, b2)):.4g}"
        )
    return AdamScaled(rate * k**0.5, 1 - k * (1 - b1), 1 - k * (1 - b2), k**-0.5)


def width_scaling(rate: Any, width: int, wanted: int) -> Any:
    """Adam's rate of the hidden matrices at another width: in inverse proportion (muP, Yang et al. 2022).

    Embeddings, biases and norms keep theirs, initial variances and the output multiplier fall by the same factor; for
    hidden matrices of standard parametrisation it is a guide only.

    >>> width_scaling(1e-2, 128, 512)
    0.0025
    """
    return rate / _times(width, wanted)


def horizon_scaling(rate: Any, steps: int, wanted: int, power: float = 0.32) -> Any:
    """The best peak of a longer or shorter run of the same shape: by T^-power (Bjorck et al. 2024: 0.32 at a fixed batch).

    Convex theory has 0.5 (Schaipp et al. 2025), an upper end; within a factor of two of horizons neither matters.

    >>> round(horizon_scaling(1e-3, 1000, 8000), 6)
    0.000514
    """
    return rate * _times(steps, wanted) ** -power


def adam_warmup(b2: float = 0.999) -> float:
    """Updates of linear warm-up after which Adam's second moment is known: 2 / (1 - b2) (Ma & Yarats 2021).

    It is as good as RAdam; large peaks and post-LN transformers want more.

    >>> round(adam_warmup(0.999))
    2000
    """
    if not 0 < b2 < 1:
        raise Refused(f"b2 = {b2:g} is no decay of Adam's second moment; it lies between 0 and 1")
    return 2 / (1 - b2)


def decay_timescale(rate: Any, weight_decay: Any) -> Any:
    """Updates over which AdamW forgets: 1 / (rate * decay) (Wang & Aitchison 2024), for decay that the rate multiplies.

    At its best it lies between an epoch and the whole run, whatever the model and the data.

    >>> decay_timescale(1e-3, 0.1)
    10000.0
    """
    return 1 / (rate * weight_decay)


def edge_of_stability(sharpness: Any, momentum: float = 0.0, averaged: bool = False, nesterov: bool = False) -> Any:
    """The highest rate that is stable at a measured sharpness, the largest eigenvalue of the Hessian: (2 + 2 m) / sharpness.

    Args:
        sharpness: of the preconditioned Hessian for Adam (Cohen et al. 2022), at an `averaged` momentum b1.
        momentum: the heavy ball's m (Cohen et al. 2021).
        averaged: whether the gradient enters the momentum times 1 - m, which raises the limit: 38 / sharpness at 0.9.
        nesterov: whether the momentum looks ahead, which lowers it by 1 + 2 m.

    Full-batch training drifts to this edge and stays; noise keeps small batches below. It is a limit, not a target.

    >>> edge_of_stability(100.0)
    0.02
    >>> round(edge_of_stability(1.0, momentum=0.9, averaged=True))
    38
    """
    limit = (2 + 2 * momentum) / ((1 - momentum) * sharpness if averaged else sharpness)
    return limit / (1 + 2 * momentum) if nesterov else limit


def rules(
    *, peak: float, steps: int, batch: int, adam: bool, warm: int = 0, b1: float | None = None, b2: float | None = None,
    weight_decay: float | None = None, width: int | None = None, nesterov: bool = False,
) -> list[Rule]:  # fmt: skip
    """The rules that apply to a run, with their numbers.

    Args:
        peak: highest rate.
        steps, batch: of the run; `warm` of the steps are a warm-up.
        adam: whether the optimizer divides by the root of a second moment; else it is gradient descent.
        b1, b2: Adam's, or in b1 the momentum of gradient descent.
        weight_decay: multiplied by the rate.
        width: of the model.
        nesterov: whether the momentum looks ahead.
    """
    found = [
        Rule("horizon", f"for {2 * steps} steps a peak of {horizon_scaling(peak, steps, 2 * steps):.3g} (by theory {horizon_scaling(peak, steps, 2 * steps, 0.5):.3g})", "of one shape, at this batch", "Bjorck et al. 2024; Schaipp et al. 2025"),
    ]  # fmt: skip
    if adam and b2 is not None:
        found.append(
            Rule(
                "warm-up",
                f"Adam wants {adam_warmup(b2):.0f} updates, and has {warm}",
                "more for high peaks and post-LN",
                "Ma & Yarats 2021",
            )
        )
    if adam and b1 is not None and b2 is not None and 2 * (1 - min(b1, b2)) < 1:
        scaled = root_scaling(peak, batch, 2 * batch, b1, b2)
        found.append(
            Rule(
                "batch",
                f"at {2 * batch} examples a peak of {scaled.rate:.3g}, b1 = {scaled.b1:.4g}, b2 = {scaled.b2:.4g}",
                "while noise sets the size of a step",
                "Malladi et al. 2022",
            )
        )
    if not adam:
        found.append(
            Rule(
                "batch",
                f"at {2 * batch} examples a peak of {linear_scaling(peak, batch, 2 * batch):.3g}",
                "up to the critical batch",
                "Goyal et al. 2017, section 2.1",
            )
        )
    if weight_decay:
        over = decay_timescale(peak, weight_decay)
        found.append(
            Rule(
                "weight decay",
                f"forgets over {over:.3g} updates at the peak, {over / steps:.2g} of the run",
                "best between an epoch and the whole run",
                "Wang & Aitchison 2024",
            )
        )
    if width is not None and adam:
        found.append(
            Rule(
                "width",
                f"at {2 * width} wide {width_scaling(peak, width, 2 * width):.3g} for the hidden matrices",
                "with muP's initialisation",
                "Yang et al. 2022",
            )
        )
    limit = edge_of_stability(peak, b1 or 0.0, averaged=adam, nesterov=nesterov)
    what = "preconditioned sharpness" if adam else "sharpness"
    found.append(
        Rule(
            "edge of stability",
            f"the peak is stable up to a {what} of {limit:.3g}",
            "a limit of full batches; noise keeps below it",
            "Cohen et al. 2021, 2022",
        )
    )
    return found


def _times(one: int, other: int) -> float:
    if one <= 0 or other <= 0:
        raise Refused(f"from {one} to {other} nothing scales; both are positive numbers")
    return other / one
