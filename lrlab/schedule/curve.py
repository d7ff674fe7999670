"""A curve leads from level `a` to level `b` while the elapsed fraction `u` goes from 0 to 1.

Every curve also receives the fraction that remains, `r = 1 - u`, formed from integers: near the end `1 - u` in
float32 has lost its digits, `r` has not. A curve bends the two into shares of `b` and of `a`, which sum to one; so
curves compose: `(f @ g)(u) = f(g(u))`. `xp` is the namespace of the host or of the compiled program.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from lrlab.node import Node
from lrlab.refusal import Refused
from lrlab.schedule.number import number
from lrlab.schedule.write import written

_SMALL = (1.0, 2.0, 3.0, 4.0)  # exponents that are multiplied out


class Curve(Node, ABC):
    """Base of the curves."""

    def __call__(self, a: Any, b: Any, u: Any, r: Any, xp: Any) -> Any:
        """The level at elapsed fraction `u`."""
        rise, fall = self.shares(u, r, xp)
        if isinstance(b, float) and b == 0:  # compiled, the other share is then never computed
            return a * fall
        return b * rise if isinstance(a, float) and a == 0 else a * fall + b * rise

    @abstractmethod
    def shares(self, u: Any, r: Any, xp: Any) -> tuple[Any, Any]:
        """How much of `b` and of `a` the level is made of."""

    @property
    def of_positive_levels(self) -> bool:
        """Whether both levels must be positive."""
        return False

    @property
    def arrives(self) -> bool:
        """Whether it ends at level `b`."""
        return True

    def __matmul__(self, inner: Any) -> "Curve":
        """`f @ g`: the curve f(g(u)); `cosine @ power(3)` is the k-decay of Zhang & Li 2020."""
        if not isinstance(inner, Curve) or inner.of_positive_levels:
            raise Refused(f"{self} @ {inner}: curves compose as in cosine @ power(2); geometric stands on the left")
        if isinstance(inner, Composed):  # f @ (g @ h) == (f @ g) @ h
            return self @ inner.outer @ inner.inner
        return Composed(self, inner)

    def __repr__(self) -> str:
        return type(self).__name__.lower()


class Composed(Curve):
    """f(g(u))."""

    outer: Curve
    inner: Curve

    def __call__(self, a, b, u, r, xp):
        return self.outer(a, b, *self.inner.shares(u, r, xp), xp)

    def shares(self, u, r, xp):
        return self.outer.shares(*self.inner.shares(u, r, xp), xp)

    @property
    def of_positive_levels(self):
        return self.outer.of_positive_levels

    @property
    def arrives(self):
        return self.inner.arrives

    def __repr__(self) -> str:
        return f"{self.outer} @ {self.inner}"


class Linear(Curve):
    """a + (b - a) u."""

    def shares(self, u, r, xp):
        return u, r


class Cosine(Curve):
    """a + (b - a)(1 - cos(pi u))/2, as squared sines, which do not cancel (Loshchilov & Hutter 2016, eq. 5)."""

    def shares(self, u, r, xp):
        u, r = abs(u - 2 * xp.round(u / 2)), abs(r - 2 * xp.round(r / 2))  # beyond 1 it turns back
        # the smaller share is sin(pi/2 m)**2 for an m up to 1/2: a Taylor polynomial, right to 7e-9, costs a fifth of a sine
        x = (np.pi / 2 * xp.minimum(u, r)) ** 2
        smaller = x * (1 - x * (1 / 3 - x * (2 / 45 - x * (1 / 315 - x * (2 / 14175 - x * 2 / 467775)))))
        return xp.where(u < r, smaller, 1 - smaller), xp.where(u < r, 1 - smaller, smaller)


class Sqrt(Curve):
    """a + (b - a) sqrt(u); as a decay the "1-sqrt" cooldown (Haegele et al. 2024)."""

    def shares(self, u, r, xp):
        root = xp.where(u > 0, xp.sqrt(xp.where(u > 0, u, 1.0)), 0.0)  # the slope at 0 is infinite
        return root, r / (1 + root)


class Geometric(Curve):
    """a**(1 - u) * b**u, a straight line on a log axis; both levels must be positive."""

    def __call__(self, a, b, u, r, xp):
        return xp.exp(r * xp.log(a) + u * xp.log(b))

    def shares(self, u, r, xp):
        return u, r

    @property
    def of_positive_levels(self):
        return True


class Power(Curve):
    """a + (b - a) u**p."""

    p: Any

    def shares(self, u, r, xp):
        u, r = xp.maximum(u, 0.0), xp.minimum(r, 1.0)  # a power of what is below 0 is 0
        if isinstance(self.p, float) and self.p in _SMALL:  # 1 - u**n = (1 - u)(1 + u + ... + u**(n - 1))
            powers = [u**i for i in range(int(self.p))]
            return u * powers[-1], r * sum(powers)
        log_u = xp.where(u < 0.5, xp.log(xp.maximum(u, 1e-30)), xp.log1p(-xp.minimum(r, 0.5)))
        return xp.where(u > 0, xp.exp(self.p * log_u), 0.0), xp.where(u > 0, -xp.expm1(self.p * log_u), 1.0)

    def __repr__(self) -> str:
        return f"power({written(self.p)})"


class Polynomial(Curve):
    """b + (a - b)(1 - u)**p."""

    p: Any

    def shares(self, u, r, xp):
        fall, rise = Power(self.p).shares(r, u, xp)
        return rise, fall

    def __repr__(self) -> str:
        return f"polynomial({written(self.p)})"


class Exponential(Curve):
    """b + (a - b)(ratio**u - ratio)/(1 - ratio)."""

    ratio: Any

    def shares(self, u, r, xp):
        rate = xp.log(self.ratio)
        return xp.expm1(rate * u) / xp.expm1(rate), xp.exp(rate * u) * xp.expm1(rate * r) / xp.expm1(rate)

    def __repr__(self) -> str:
        return f"exponential({written(self.ratio)})"


class Rex(Curve):
    """b + (a - b)(1 - u)/(beta + (1 - beta)(1 - u))."""

    beta: Any

    def shares(self, u, r, xp):
        u, r = xp.minimum(u, 1.0), xp.maximum(r, 0.0)
        bent = self.beta * u + r  # beta + (1 - beta) r, which cancels for a large beta
        return self.beta * u / bent, r / bent

    def __repr__(self) -> str:
        return f"rex({written(self.beta)})"


class Tanh(Curve):
    """a + (b - a)(1 + tanh(lower + (upper - lower) u))/2."""

    lower: Any
    upper: Any

    def shares(self, u, r, xp):
        x = 2 * (self.lower * r + self.upper * u)
        return 1 / (1 + xp.exp(-x)), 1 / (1 + xp.exp(x))

    def __repr__(self) -> str:
        return f"tanh({written(self.lower)}, {written(self.upper)})"


class Logarithmic(Curve):
    """a + (b - a) log(1 + (base - 1) u)/log(base)."""

    base: Any

    def shares(self, u, r, xp):
        unit = xp.log(self.base)
        rise = xp.log1p((self.base - 1) * u) / unit
        # the same from the other end; both logarithms stay away from that of zero
        return rise, xp.where(u < 0.5, 1 - rise, -xp.log1p(-(1 - 1 / self.base) * xp.minimum(r, 0.5)) / unit)

    def __repr__(self) -> str:
        return f"logarithmic({written(self.base)})"


class Span(Curve):
    """begin + (end - begin) u: a piece of a curve."""

    begin: Any
    end: Any

    def shares(self, u, r, xp):
        return self.begin * r + self.end * u, (1 - self.begin) * r + (1 - self.end) * u

    @property
    def arrives(self):
        return isinstance(self.end, float) and self.end == 1

    def __repr__(self) -> str:
        return f"span({written(self.begin)}, {written(self.end)})"


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


def polynomial(p: float) -> Curve:
    """The curve b + (a - b)(1 - u)**p, polynomial decay: flat at its end where p > 1 (`power` is flat at its beginning).

    >>> import lrlab as lr
    >>> lr.decay(4, curve=polynomial(2))(range(5)).tolist()
    [1.0, 0.5625, 0.25, 0.0625, 0.0]
    """
    sentence = f"polynomial({written(p)}) is not a curve from 0 to 1; write a positive exponent, polynomial(2)"
    return Polynomial(number(p, sentence, positive=True))


def exponential(ratio: float) -> Curve:
    """The curve b + (a - b)(ratio**u - ratio)/(1 - ratio): an exponential decay to `ratio`, pulled down to reach its end.

    >>> import lrlab as lr
    >>> print(lr.decay(2, curve=exponential(0.25))(range(3)))
    [1.         0.33333334 0.        ]
    """
    sentence = (
        f"exponential({written(ratio)}): how much is left at the end of the exponential, between 0 and 1, such as 0.1"
    )
    return Exponential(number(ratio, sentence, positive=True, most=1 - 2**-20))


def rex(beta: float = 0.5) -> Curve:
    """The curve of REX, b + (a - b)(1 - u)/(beta + (1 - beta)(1 - u)) (Chen et al. 2022, arXiv 2107.04197).

    >>> import lrlab as lr
    >>> print(lr.decay(2, curve=rex())(range(3)))
    [1.        0.6666667 0.       ]
    """
    return Rex(number(beta, f"rex({written(beta)}): beta is a positive number, 0.5 in the paper", positive=True))


def tanh(lower: float = -6.0, upper: float = 3.0) -> Curve:
    """The curve a + (b - a)(1 + tanh(lower + (upper - lower) u))/2 (HTD, Hsueh et al. 2019, arXiv 1806.01593).

    It begins and ends a little beside its levels, as in the paper: at (1 -+ tanh)/2 of `lower` and `upper`.

    >>> tanh(-7, 3)
    tanh(-7, 3)
    """
    sentence = f"tanh({written(lower)}, {written(upper)}) does not rise; write lower < upper, both between -40 and 40"
    lower, upper = (number(end, sentence, least=-40.0, most=40.0) for end in (lower, upper))
    number(upper - lower, sentence, positive=True)
    return Tanh(lower, upper)


def logarithmic(base: float) -> Curve:
    """The curve a + (b - a) log(1 + (base - 1) u)/log(base): over n - 1 steps with base n it is log(t + 1)/log(n).

    >>> import lrlab as lr
    >>> print(lr.warmup(3, curve=logarithmic(4))(range(4)))
    [0.         0.5        0.79248124 1.        ]
    """
    sentence = f"logarithmic({written(base)}): the base is a number above 1, such as the steps of the warm-up"
    return Logarithmic(number(base, sentence, least=1 + 2**-20))


def span(begin: float, end: float) -> Curve:
    """The piece of a curve between two of its fractions, to the right of @: `cosine @ span(0.5, 1)` is its second half.

    Beyond 1 a cosine turns back and a line goes on, below zero in a decay to zero.

    >>> import lrlab as lr
    >>> lr.decay(4, curve=lr.cosine @ span(0, 2))(range(5)).round(3).tolist()
    [1.0, 0.5, 0.0, 0.5, 1.0]
    """
    sentence = f"span({written(begin)}, {written(end)}): both are numbers from 0 on, and begin is less than end"
    begin, end = number(begin, sentence), number(end, sentence)
    number(end - begin, sentence, positive=True)
    return Span(begin, end)
