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

    def positive_among(self, count: int) -> bool:
        """Above 0 by so much that not even one of so many, all 0 in truth, is likely to be (Bonferroni).

        For one this is `positive`: two standard errors, which chance exceeds once in 44; for three 2.43.
        """
        errors = -NormalDist().inv_cdf(NormalDist().cdf(-2.0) / count)
        return self.mean > errors * self.error and self.mean > 0

    @property
    def negative(self) -> bool:
        """Below 0 by more than two standard errors."""
        return Spread(-self.mean, self.std, self.error).positive

    def __format__(self, spec: str) -> str:
        return f"{self.mean:{spec or '.3f'}} ± {self.std:{spec or '.3f'}}"

    def interval(self, spec: str = "+.3f") -> str:
        """The mean and twice its standard error."""
        return f"{self.mean:{spec}} ± {2 * self.error:{spec.lstrip('+')}}"
