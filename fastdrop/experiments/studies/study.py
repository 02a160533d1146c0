"""A study: a claim, an experiment that can contradict it, and its finding.

The rule for verdicts is `judged`: a part of a claim says that a mean over seeds lies beyond a border.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.studies.runner import StudyRunner

if TYPE_CHECKING:
    from matplotlib.figure import Figure


ACCURACY = 0.002
"""The smallest difference of accuracies (and of calibration errors) that counts as a difference."""


class Outcome(StrEnum):
    """The verdict of a run on a part of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"


class Part(NamedTuple):
    """A part of a claim, judged."""

    outcome: Outcome
    measure: str
    """The compared figures, as text."""


def judged(estimate: Estimate, low: float = -math.inf, high: float = math.inf, comparisons: int = 1) -> Part:
    """Whether the mean lies between two borders: the rule for every verdict.

    It holds where the whole interval, two standard errors on either side, lies between the borders; it does not where
    the whole interval lies outside; it is undecided where the interval touches or crosses one. So a verdict turns into
    its opposite only if the mean moves by four standard errors. `comparisons` widens the interval: see
    `Estimate.bounds`.
    """
    begin, end = estimate.bounds(comparisons)
    if low < begin and end < high:
        outcome = Outcome.HOLDS
    elif end < low or high < begin:
        outcome = Outcome.FAILS
    else:
        outcome = Outcome.UNDECIDED
    wanted = f"above {low:g}" if high == math.inf else f"below {high:g}" if low == -math.inf else f"{low:g} to {high:g}"
    near = min(abs(estimate.mean - border) for border in (low, high))
    away = f", {near / estimate.error:.1f} standard errors away" if estimate.error else ""
    return Part(outcome, f"{estimate.mean:.4f} ± {(end - begin) / 2:.4f} against {wanted}{away}")


def counted(holds: bool, measure: str) -> Part:
    """A part that is counted, not estimated: it has no interval."""
    return Part(Outcome.HOLDS if holds else Outcome.FAILS, measure)


def all_of(parts: Sequence[Part]) -> Part:
    """Holds if all hold; fails if one fails."""
    return _combined(parts, Outcome.FAILS, Outcome.HOLDS)


def any_of(parts: Sequence[Part]) -> Part:
    """Holds if one holds; fails if all fail."""
    return _combined(parts, Outcome.HOLDS, Outcome.FAILS)


def _combined(parts: Sequence[Part], deciding: Outcome, otherwise: Outcome) -> Part:
    outcomes = [part.outcome for part in parts]
    outcome = next((one for one in (deciding, Outcome.UNDECIDED) if one in outcomes), otherwise)
    return Part(outcome, "; ".join(dict.fromkeys(part.measure for part in parts)))


@dataclass(frozen=True)
class Finding:
    """The result of a run of a study.

    Attributes
    ----------
    parts : dict of Part
        The parts of the claim, with the verdict of this run.
    sentence : str
        The finding, in figures.
    columns, rows
        The table: headings, and cells as text.
    figure : matplotlib.figure.Figure
    data : dict
        The networks' figures behind table and picture, for JSON: arrays whose first axis is the seeds. They depend
        on the kernels of BLAS.
    exact : dict
        Settings, and the figures of masks: the same on every machine, to the last digit.
    """

    parts: dict[str, Part]
    sentence: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    figure: "Figure"
    data: dict[str, Any] = field(default_factory=dict)
    exact: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """What this run says of the claim, in words."""
        names = {outcome: [name for name, part in self.parts.items() if part.outcome == outcome] for outcome in Outcome}
        found = {outcome: group for outcome, group in names.items() if group}
        if len(found) == 1:
            return str(next(iter(found)))
        return "; ".join(f"{outcome}: {', '.join(group)}" for outcome, group in found.items())


@dataclass(frozen=True)
class Study:
    """An experiment behind a claim.

    Attributes
    ----------
    name, title : str
    claim : str
        One sentence that a run can contradict.
    setup : str
        What is trained or measured, on which data.
    configs : dict of ExperimentConfig
        The trained networks by name, with the first seed: files that the app opens.
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
    measure: Callable[[StudyRunner], Finding]
    expected: float

    def config_file(self, name: str) -> str:
        """The name of the file of one of `configs`."""
        return f"{self.name}{f'-{name}' if name else ''}.toml"


def columns_of(histories: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Histories of one length as an array (seeds, epochs, 4): see `runner.train` for the columns."""
    return np.stack(histories)


def numbers(values: Any) -> list[Any]:
    """Values for JSON, rounded to six digits."""
    return np.round(np.asarray(values, float), 6).tolist()
