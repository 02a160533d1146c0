"""Estimates of means over seeds, with their errors."""

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Estimate"]


class Estimate(NamedTuple):
    """A mean over seeds, the standard deviation over seeds, and the standard error of the mean."""

    mean: float
    std: float
    error: float

    @classmethod
    def of(cls, values: Any) -> "Estimate":
        """The estimate from one value for each seed."""
        array = np.asarray(values, float)
        std = float(array.std(ddof=1)) if array.size > 1 else 0.0
        return cls(float(array.mean()), std, std / math.sqrt(array.size))

    @property
    def is_positive(self) -> bool:
        """Above 0 by more than two standard errors."""
        return self.mean > 2 * self.error and self.mean > 0

    @property
    def is_negative(self) -> bool:
        """Below 0 by more than two standard errors."""
        return Estimate(-self.mean, self.std, self.error).is_positive

    def bounds(self, comparisons: int = 1) -> tuple[float, float]:
        """The ends of the confidence interval: the mean ± two standard errors.

        With several `comparisons`, each interval is wider, so that the probability that one of them misses the true
        mean is no larger than with one (Bonferroni): 2.28 standard errors for two, 2.43 for three.
        """
        errors = -NormalDist().inv_cdf(NormalDist().cdf(-2.0) / comparisons)
        return self.mean - errors * self.error, self.mean + errors * self.error

    def __format__(self, spec: str) -> str:
        """The mean ± the standard deviation."""
        return f"{self.mean:{spec or '.3f'}} ± {self.std:{spec or '.3f'}}"

    def interval(self, spec: str = "+.3f") -> str:
        """The mean ± two standard errors, as text."""
        return f"{self.mean:{spec}} ± {2 * self.error:{spec.lstrip('+')}}"
