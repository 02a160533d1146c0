"""Values that change while a network trains: learning rates, and dropout rates.

A schedule is called with the progress t of training, from 0 to 1. `Linear` here is a straight line and no layer, so
these names are used with the module's: `nn.schedules.Linear`.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A value for every progress t from 0 to 1."""

    def __call__(self, t: float) -> float:
        if not 0.0 <= t <= 1.0:  # also True for NaN
            raise ValueError(f"t is the progress of training, from 0 to 1; got {t!r:.200}")
        return self.at(t)

    def at(self, t: float) -> float:
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Schedule):
    """A constant value.

    Examples
    --------
    >>> from fastdrop.nn import schedules
    >>> schedules.Constant(0.5)(0.3)
    0.5
    """

    value: float

    def at(self, t: float) -> float:
        return self.value


@dataclass(frozen=True)
class Linear(Schedule):
    """From start to end in a straight line.

    Examples
    --------
    >>> from fastdrop.nn import schedules
    >>> schedules.Linear(0.0, 0.5)(0.5)
    0.25
    """

    start: float
    end: float

    def at(self, t: float) -> float:
        return (1 - t) * self.start + t * self.end


@dataclass(frozen=True)
class Cosine(Schedule):
    """From start to end along half a cosine: slow, fast, slow.

    References
    ----------
    Loshchilov, Hutter: "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5, no restarts.

    Examples
    --------
    >>> from fastdrop.nn import schedules
    >>> rate = schedules.Cosine(1.0, 0.0)
    >>> rate(0.5), round(rate(0.25), 4)
    (0.5, 0.8536)
    """

    start: float
    end: float

    def at(self, t: float) -> float:
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * t)) / 2


@dataclass(frozen=True)
class Curriculum(Schedule):
    """end * (1 - exp(-gamma t)): a dropout rate that begins at 0 and soon approaches its end.

    References
    ----------
    Morerio, Cavazza, Volpi, Vidal, Murino: "Curriculum dropout", ICCV 2017, equation 2, written for the probability of
    dropping instead of that of keeping; 10 is their choice of gamma.

    Examples
    --------
    >>> from fastdrop.nn import schedules
    >>> rate = schedules.Curriculum(0.5)
    >>> rate(0.0), round(rate(0.1), 4), round(rate(1.0), 4)
    (0.0, 0.3161, 0.5)
    """

    end: float
    gamma: float = 10.0

    def at(self, t: float) -> float:
        return -self.end * math.expm1(-self.gamma * t) + 0.0  # + 0.0: no negative zero at the start
