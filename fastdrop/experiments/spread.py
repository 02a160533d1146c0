"""How figures differ from seed to seed."""

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Spread"]


class Spread(NamedTuple):
    """Mean and standard deviation over seeds, and the mean's standard error."""

    mean: float
    std: float
    error: float

    @classmethod
    def of(cls, values: Any) -> "Spread":
        array = np.asarray(values, float)
        std = float(array.std(ddof=1)) if array.size > 1 else 0.0
        return cls(float(array.mean()), std, std / math.sqrt(array.size))

    @property
    def positive(self) -> bool:
        """Above 0 by more than two standard errors."""
        return self.mean > 2 * self.error and self.mean > 0

    def limits(self, among: int = 1) -> tuple[float, float]:
        """The interval's ends: two standard errors from the mean.

        Where `among` intervals are looked at for one that stands out, each is wider, so that chance is no likelier to
        put one of them off the truth than it was for one (Bonferroni): 2.28 standard errors for two, 2.43 for three.
        """
        errors = -NormalDist().inv_cdf(NormalDist().cdf(-2.0) / among)
        return self.mean - errors * self.error, self.mean + errors * self.error

    @property
    def negative(self) -> bool:
        """Below 0 by more than two standard errors."""
        return Spread(-self.mean, self.std, self.error).positive

    def __format__(self, spec: str) -> str:
        return f"{self.mean:{spec or '.3f'}} ± {self.std:{spec or '.3f'}}"

    def interval(self, spec: str = "+.3f") -> str:
        """The mean and twice its standard error."""
        return f"{self.mean:{spec}} ± {2 * self.error:{spec.lstrip('+')}}"
