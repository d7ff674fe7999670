"""A curve leads from level `a` to level `b` while the elapsed fraction `u` goes from 0 to 1.

Every curve also receives the fraction that remains, `r = 1 - u`, formed from integers: near the end `1 - u` in
float32 has lost its digits, `r` has not. `xp` is the namespace of the host or of the compiled program.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from lrlab.node import Node
from lrlab.schedule.number import number
from lrlab.schedule.write import written


class Curve(Node, ABC):
    """Base of the curves."""

    @abstractmethod
    def __call__(self, a: Any, b: Any, u: Any, r: Any, xp: Any) -> Any:
        """The level at elapsed fraction `u`; exactly `a` at u = 0 and `b` at u = 1."""

    def __repr__(self) -> str:
        return type(self).__name__.lower()


class Linear(Curve):
    """a + (b - a) u."""

    def __call__(self, a, b, u, r, xp):
        return a * r + b * u


class Cosine(Curve):
    """a + (b - a)(1 - cos(pi u))/2, as squared sines, which do not cancel (Loshchilov & Hutter 2016, eq. 5)."""

    def __call__(self, a, b, u, r, xp):
        return a * xp.sin(np.pi / 2 * r) ** 2 + b * xp.sin(np.pi / 2 * u) ** 2


class Sqrt(Curve):
    """a + (b - a) sqrt(u); as a decay the "1-sqrt" cooldown (Haegele et al. 2024)."""

    def __call__(self, a, b, u, r, xp):
        return a * r / (1 + xp.sqrt(u)) + b * xp.sqrt(u)


class Power(Curve):
    """a + (b - a) u**p."""

    p: Any

    def __call__(self, a, b, u, r, xp):
        log_u = xp.where(u < 0.5, xp.log(xp.maximum(u, 1e-30)), xp.log1p(-xp.minimum(r, 0.5)))
        rise = xp.where(u > 0, xp.exp(self.p * log_u), 0.0)
        fall = xp.where(u > 0, -xp.expm1(self.p * log_u), 1.0)
        return a * fall + b * rise

    def __repr__(self) -> str:
        return f"power({written(self.p)})"


class Geometric(Curve):
    """a**(1 - u) * b**u, a straight line on a log axis; both levels must be positive."""

    def __call__(self, a, b, u, r, xp):
        return xp.exp(r * xp.log(a) + u * xp.log(b))


linear, cosine, sqrt, geometric = Linear(), Cosine(), Sqrt(), Geometric()


def power(p: float) -> Curve:
    """The curve a + (b - a) u**p; `power(0.5)` is `sqrt`, `power(1)` is `linear`.

    Raises `Refused` unless p is positive.

    >>> power(2)
    power(2)
    """
    return Power(
        number(p, f"power({written(p)}) is not a curve from 0 to 1; write a positive exponent, power(2)", positive=True)
    )
