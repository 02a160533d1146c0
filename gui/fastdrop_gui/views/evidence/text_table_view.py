"""Small tables of text: metrics, recall, and the confusion matrix with cells as dark as their fraction."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from fastdrop_gui.model.evidence_text import TextTable
from fastdrop_gui.views.widgets import plots

_Index = QModelIndex | QPersistentModelIndex
_NOWHERE = QModelIndex()
_MOST_ROWS = 12
"""Rows that are seen without scrolling."""


class TextTableModel(QAbstractTableModel):
    """A table of text, with a fraction from 0 to 1 for each cell but the first of its row, or without."""

    def __init__(self) -> None:
        super().__init__()
        self.table = TextTable((), ())
        self._fractions: NDArray[np.float64] | None = None

    def show_table(self, table: TextTable, fractions: NDArray[np.float64] | None = None) -> None:
        """Another table."""
        self.beginResetModel()
        self.table, self._fractions = table, fractions
        self.endResetModel()

    def rowCount(self, parent: _Index = _NOWHERE) -> int:
        """The rows."""
        return 0 if parent.isValid() else len(self.table.rows)

    def columnCount(self, parent: _Index = _NOWHERE) -> int:
        """The columns, that of the rows' names among them."""
        return 0 if parent.isValid() else len(self.table.headings)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The headings."""
        if orientation == Qt.Orientation.Horizontal and role in (
            Qt.ItemDataRole.DisplayRole,
            Qt.ItemDataRole.ToolTipRole,
        ):
            return self.table.headings[section]
        if section == 0 and role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell's text and shade."""
        row, column = index.row(), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self.table.rows[row][column]
        if role == Qt.ItemDataRole.TextAlignmentRole and column:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if self._fractions is None or column == 0:
            return None
        fraction = float(self._fractions[row, column - 1])
        if role == Qt.ItemDataRole.BackgroundRole:
            color = QColor(plots.BLUE)
            color.setAlphaF(0.9 * fraction)
            return color
        if role == Qt.ItemDataRole.ForegroundRole and fraction > 0.5:
            return QColor("white")
        if role == Qt.ItemDataRole.ToolTipRole:
            true, predicted = self.table.rows[row][0], self.table.headings[column]
            return f"{self.table.rows[row][column]} rows of class {true} were predicted {predicted} ({fraction:.1%})"
        return None


class TextTableView(QTableView):
    """As high as its rows, up to twelve."""

    def __init__(self, name: str) -> None:
        super().__init__(showGrid=False)
        self.text = TextTableModel()
        self.setModel(self.text)
        self.setAccessibleName(name)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ContiguousSelection)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        header.setMaximumSectionSize(self.fontMetrics().horizontalAdvance("0" * 36))

    def show_table(self, table: TextTable, fractions: NDArray[np.float64] | None = None) -> None:
        """Another table."""
        self.text.show_table(table, fractions)
        rows = min(max(1, len(table.rows)), _MOST_ROWS)
        bar = self.horizontalScrollBar().sizeHint().height() if len(table.headings) > 8 else 0
        height = self.horizontalHeader().sizeHint().height() + rows * self.verticalHeader().defaultSectionSize()
        self.setFixedHeight(height + bar + 2 * self.frameWidth() + 1)
        self.resizeColumnsToContents()
        if fractions is None:
            self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
