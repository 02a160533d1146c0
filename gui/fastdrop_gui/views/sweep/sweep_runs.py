"""The runs of a sweep as a table."""

import math
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from fastdrop.experiments.sweeps import PARAMETERS, QUANTITIES, Result, Sweep
from fastdrop_gui.model.wording import display_name

_Index = QModelIndex | QPersistentModelIndex


def short(metric: str) -> str:
    """A metric's name without its unit."""
    return QUANTITIES[metric].partition(":")[0].partition(" (")[0]


class SweepRunsModel(QAbstractTableModel):
    """The finished runs: value, seed, metric."""

    def __init__(self) -> None:
        super().__init__()
        self.sweep: Sweep | None = None
        self.results: list[Result] = []
        self.metric = next(iter(QUANTITIES))
        self._places: dict[Any, int] = {}
        self._seeds: dict[int, int] = {}

    def begin(self, sweep: Sweep) -> None:
        """Clear the table for a sweep."""
        self.beginResetModel()
        self.sweep, self.results = sweep, []
        values = sweep.values if PARAMETERS[sweep.parameter].choices else sorted(sweep.values)
        self._places = {value: place for place, value in enumerate(values)}
        self._seeds = {seed: place for place, seed in enumerate(sorted(sweep.seeds))}
        self.endResetModel()

    def add(self, results: list[Result]) -> None:
        """Add runs that have finished."""
        first = len(self.results)
        self.beginInsertRows(QModelIndex(), first, first + len(results) - 1)
        self.results = self.results + results
        self.endInsertRows()

    def show_metric(self, metric: str) -> None:
        """Show another metric in the last column."""
        self.metric = metric
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 2, 2)
        if self.results:
            self.dataChanged.emit(self.index(0, 2), self.index(len(self.results) - 1, 2))

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 (Qt's signature)
        return 0 if parent.isValid() else len(self.results)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else 3

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return ("value", "seed", short(self.metric).replace(" ", "\n"))[section]

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        result, column = self.results[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self.texts(result)[column]
        if role == Qt.ItemDataRole.UserRole:  # the sort key: by value, then by seed
            place, seed = self._places[result.value], self._seeds[result.seed]
            figure = result.figure(self.metric)
            by = (place * len(self._seeds) + seed, seed * len(self._places) + place, figure)[column]
            return by if math.isfinite(by) else math.inf
        if role == Qt.ItemDataRole.ToolTipRole:
            return result.error or None
        if role == Qt.ItemDataRole.TextAlignmentRole and column > 0:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def texts(self, result: Result) -> tuple[str, str, str]:
        """The texts of a run's cells."""
        assert self.sweep is not None
        figure = "failed" if result.error else f"{result.figure(self.metric):.4g}"
        return display_name(self.sweep.name_of(result.value)), str(result.seed), figure
