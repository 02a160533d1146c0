"""What a study is: a claim, an experiment that can contradict it, and what was found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.work import Work

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

    def config_file(self, name: str) -> str:
        """The name of the file of one of `configs`."""
        return f"{self.name}{f'-{name}' if name else ''}.toml"


def columns_of(histories: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Histories of one length as an array (seeds, epochs, 4): see `work.train` for the columns."""
    return np.stack(histories)


def numbers(values: Any) -> list[Any]:
    """As JSON takes them, to six digits."""
    return np.round(np.asarray(values, float), 6).tolist()
