"""What a study is: a claim, an experiment that can contradict it, and what was found."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.studies.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Finding:
    """What a run of a study found.

    Attributes
    ----------
    shown : dict of bool
        The parts of the claim, and whether this run shows each.
    sentence : str
        What was found, in figures.
    columns, rows
        The table: headings, and cells as text.
    figure : matplotlib.figure.Figure
    data : dict
        The numbers behind table and picture, as JSON takes them.
    """

    shown: dict[str, bool]
    sentence: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    figure: "Figure"
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Whether this run shows the claim, in words."""
        missing = [part for part, shown in self.shown.items() if not shown]
        if not missing:
            return "shown by this run"
        if len(missing) == len(self.shown):
            return "NOT shown by this run"
        found = [part for part, shown in self.shown.items() if shown]
        return f"shown in part: {', '.join(found)}; NOT {', '.join(missing)}"


@dataclass(frozen=True)
class Study:
    """An experiment behind a claim.

    Attributes
    ----------
    name, title : str
    claim : str
        One sentence that a run can contradict.
    setup : str
        What is trained or measured, and on what.
    configs : dict of ExperimentConfig
        The networks that it trains, by name, with the first seed: files that the app opens.
    measure : callable
        Runs it.
    expected : float
        Seconds on two cores.
    """

    name: str
    title: str
    claim: str
    setup: str
    configs: dict[str, ExperimentConfig]
    measure: Callable[[Work], Finding]
    expected: float


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


def columns_of(histories: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Histories of one length as an array (seeds, epochs, 4): see `work.train` for the columns."""
    return np.stack(histories)


def numbers(values: Any) -> list[Any]:
    """As JSON takes them, to six digits."""
    return np.round(np.asarray(values, float), 6).tolist()
