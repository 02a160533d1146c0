"""Misclassified rows of a table: what is true, what is predicted, and the original values of the columns."""

import math
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSortFilterProxyModel, Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from fastdrop.experiments import Misclassified
from fastdrop.experiments.misclassified import MisclassifiedRows

_Index = QModelIndex | QPersistentModelIndex
_NOWHERE = QModelIndex()
HEADINGS = ("Place", "True class", "Predicted", "Probability", "Deviation")
_TIPS = (
    "Where the row is in the file",
    "The class that the file gives",
    "The class that the network predicts",
    "Of the predicted class: mean over the sub-networks of Monte Carlo dropout",
    "Standard deviation of this probability over the sub-networks",
)


class MisclassifiedRowsModel(QAbstractTableModel):
    """The rows in the order of the file; `Qt.ItemDataRole.UserRole` is what they are sorted by."""

    def __init__(self) -> None:
        super().__init__()
        self._found: Misclassified | None = None
        self._rows = MisclassifiedRows((), (), (), None)  # type: ignore[arg-type]

    def show_rows(self, found: Misclassified | None) -> None:
        """Other rows."""
        before = self.columnCount()
        rows = found.rows if found is not None else None
        headings = (*HEADINGS, *(rows.columns if rows is not None else ()))
        self.beginResetModel()
        self._found = found if rows is not None else None
        if rows is not None:
            self._rows = rows
        self.endResetModel()
        if self._found is not None and len(headings) != before:
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(headings) - 1)

    def rowCount(self, parent: _Index = _NOWHERE) -> int:
        """The rows that are listed."""
        return 0 if parent.isValid() or self._found is None else len(self._rows.places)

    def columnCount(self, parent: _Index = _NOWHERE) -> int:
        """What the network says of a row, then its original values."""
        return 0 if parent.isValid() or self._found is None else len(HEADINGS) + len(self._rows.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The headings."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        own = section < len(HEADINGS)
        if role == Qt.ItemDataRole.DisplayRole:
            return HEADINGS[section] if own else self._rows.columns[section - len(HEADINGS)]
        if role == Qt.ItemDataRole.ToolTipRole:
            return _TIPS[section] if own else "Original value in the file"
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell's text, or what it is sorted by."""
        if role == Qt.ItemDataRole.DisplayRole:
            return self.text(index.row(), index.column())
        if role == Qt.ItemDataRole.UserRole:
            return self._key(index.row(), index.column())
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in (3, 4):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def text(self, row: int, column: int) -> str:
        """A cell's text."""
        assert self._found is not None
        if column == 0:
            return self._rows.places[row]
        if column >= len(HEADINGS):
            return self._rows.cells[row][column - len(HEADINGS)]
        key = self._key(row, column)
        return f"{key:.1%}" if isinstance(key, float) else str(key)

    def exported(self, row: int, column: int) -> str | float:
        """A cell for a CSV file: probabilities are numbers."""
        return float(self._key(row, column)) if column in (3, 4) else self.text(row, column)

    def _key(self, row: int, column: int) -> str | int | float:
        found = self._found
        assert found is not None
        guess = int(found.guesses[row])
        if column == 0:
            return row
        if column >= len(HEADINGS):
            value = float(self._rows.values[row, column - len(HEADINGS)])
            return math.inf if math.isnan(value) else value  # missing cells last
        names = found.class_names
        return (
            names[int(found.labels[row])], names[guess], float(found.mean[row, guess]), float(found.std[row, guess])
        )[column - 1]  # fmt: skip


class MisclassifiedRowsView(QTableView):
    """The rows, sorted by a click on a heading."""

    def __init__(self) -> None:
        super().__init__(sortingEnabled=True, showGrid=False)
        self.setAlternatingRowColors(True)
        self.rows = MisclassifiedRowsModel()
        self._sorted = QSortFilterProxyModel(self, sortRole=Qt.ItemDataRole.UserRole)
        self._sorted.setSourceModel(self.rows)
        self.setModel(self._sorted)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setAccessibleName("Misclassified rows")
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        header = self.horizontalHeader()
        header.setResizeContentsPrecision(20)
        header.setMaximumSectionSize(self.fontMetrics().horizontalAdvance("0" * 30))
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self._columns: tuple[str, ...] | None = None

    def show_rows(self, found: Misclassified | None) -> None:
        """Take other rows; sorting and scrolling stay."""
        bars = self.verticalScrollBar(), self.horizontalScrollBar()
        places = [bar.value() for bar in bars]
        self.rows.show_rows(found)
        columns = found.rows.columns if found is not None and found.rows is not None else None
        if columns != self._columns:
            self._columns = columns
            self.resizeColumnsToContents()
        else:
            for bar, place in zip(bars, places, strict=True):
                bar.setValue(place)
