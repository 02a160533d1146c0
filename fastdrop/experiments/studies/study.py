"""What a study is: a claim, an experiment that can contradict it, and what was found.

The rule for verdicts stands here, in `judged`: a part of a claim says that a mean over seeds lies beyond a border.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.spread import Spread
from fastdrop.experiments.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure


ACCURACY = 0.002
"""The smallest difference of accuracies (and of calibration errors) that counts as one."""


class Outcome(StrEnum):
    """What a run says of a part of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"


class Part(NamedTuple):
    """A part of a claim, judged."""

    outcome: Outcome
    measure: str
    """What was compared with what, in figures."""


def judged(spread: Spread, low: float = -math.inf, high: float = math.inf, among: int = 1) -> Part:
    """Whether the mean lies between two borders: the rule for every verdict.

    It holds where the whole interval, two standard errors on either side, lies between the borders; it does not where
    the whole interval lies outside; it is undecided where the interval touches or crosses one. So a verdict turns into
    its opposite only if the mean moves by four standard errors. `among` widens the interval: see `Spread.limits`.
    """
    begin, end = spread.limits(among)
    if low < begin and end < high:
        outcome = Outcome.HOLDS
    elif end < low or high < begin:
        outcome = Outcome.FAILS
    else:
        outcome = Outcome.UNDECIDED
    wanted = f"above {low:g}" if high == math.inf else f"below {high:g}" if low == -math.inf else f"{low:g} to {high:g}"
    near = min(abs(spread.mean - border) for border in (low, high))
    away = f", {near / spread.error:.1f} standard errors away" if spread.error else ""
    return Part(outcome, f"{spread.mean:.4f} ± {(end - begin) / 2:.4f} against {wanted}{away}")


def counted(holds: bool, measure: str) -> Part:
    """A part that is counted, not estimated: there is no interval."""
    return Part(Outcome.HOLDS if holds else Outcome.FAILS, measure)


def all_of(parts: Sequence[Part]) -> Part:
    """Holds where all hold; does not where one does not."""
    return _combined(parts, Outcome.FAILS, Outcome.HOLDS)


def any_of(parts: Sequence[Part]) -> Part:
    """Holds where one holds; does not where none does."""
    return _combined(parts, Outcome.HOLDS, Outcome.FAILS)


def _combined(parts: Sequence[Part], deciding: Outcome, otherwise: Outcome) -> Part:
    outcomes = [part.outcome for part in parts]
    outcome = next((one for one in (deciding, Outcome.UNDECIDED) if one in outcomes), otherwise)
    return Part(outcome, "; ".join(dict.fromkeys(part.measure for part in parts)))


@dataclass(frozen=True)
class Finding:
    """What a run of a study found.

    Attributes
    ----------
    parts : dict of Part
        The parts of the claim, and what this run says of each.
    sentence : str
        What was found, in figures.
    columns, rows
        The table: headings, and cells as text.
    figure : matplotlib.figure.Figure
    data : dict
        The networks' figures behind table and picture, as JSON takes them: in arrays whose first axis is the seeds.
        They depend on the kernels of BLAS.
    exact : dict
        Settings, and the figures of masks: these are the same on every machine, to the last digit.
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

    def config_file(self, name: str) -> str:
        """The name of the file of one of `configs`."""
        return f"{self.name}{f'-{name}' if name else ''}.toml"


def columns_of(histories: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Histories of one length as an array (seeds, epochs, 4): see `work.train` for the columns."""
    return np.stack(histories)


def numbers(values: Any) -> list[Any]:
    """As JSON takes them, to six digits."""
    return np.round(np.asarray(values, float), 6).tolist()
