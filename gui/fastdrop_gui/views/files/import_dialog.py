"""The dialog that imports a table: its first rows, the target column, and whether it can be trained on."""

import itertools
import multiprocessing
import time
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, QTimer
from PySide6.QtGui import QFont, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from fastdrop.experiments import DataError
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.tables import Facts, Preview, preview_table, send_facts
from fastdrop_gui.views.widgets.plots import VERMILION

POLL_MS = 50
_MOST_CLASSES = 6
_MOST_ARRAYS = 12
_LONGEST_NAME = 24
_MOST_FITTED_COLUMNS = 200
"""With more columns, widths are not fitted to the contents: measuring them takes too long."""
_NOTHING = Preview((), (), None, {})


class PreviewModel(QAbstractTableModel):
    """The first rows of a table; the header marks the target column."""

    def __init__(self, preview: Preview) -> None:
        super().__init__()
        self._preview = preview
        self.label = len(preview.columns) - 1
        if preview.arrays and "y" not in preview.arrays:
            self.label = -1  # all columns are features

    def mark(self, column: int) -> None:
        """Make a column the target."""
        self.label = column
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, max(0, self.columnCount() - 1))
        if self.rowCount():
            self.dataChanged.emit(self.index(0, 0), self.index(self.rowCount() - 1, self.columnCount() - 1))

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008 (Qt's own)
        """The number of rows shown."""
        return 0 if parent.isValid() else len(self._preview.rows)

    def columnCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008
        """The number of columns of the first row."""
        return 0 if parent.isValid() else len(self._preview.columns)

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell's text in the file."""
        row = self._preview.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row[index.column()] if index.column() < len(row) else ""
        if role == Qt.ItemDataRole.FontRole and index.column() == self.label:
            return _bold()
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A column's name, with a mark for the target."""
        if orientation == Qt.Orientation.Vertical:
            return section + 1 if role == Qt.ItemDataRole.DisplayRole else None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._preview.columns[section] + (" (target)" if section == self.label else "")
        if role == Qt.ItemDataRole.FontRole and section == self.label:
            return _bold()
        return None


def _bold() -> QFont:
    font = QFont()
    font.setBold(True)
    return font


class ImportDialog(QDialog):
    """Asks for the target column of a table. `path` and `label` are arguments of `read_table`.

    The first rows are read at once. A process checks the whole file, and OK waits for it.
    """

    def __init__(self, path: str | Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Import data")
        self.path = str(path)
        self._process: Any = None
        self._connection: Any = None
        self._since = 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        preview, problem = _NOTHING, ""
        try:
            preview = preview_table(self.path)
        except DataError as error:
            problem = str(error)
        self._preview = preview
        self._model = PreviewModel(preview)
        self._build()
        self.resize(640, 420)
        if problem:
            self._tell(problem)
        else:
            self._check()

    # -- layout

    def _build(self) -> None:
        self.file = QLineEdit(path_text(self.path), readOnly=True)
        self.table = QTableView()
        self.table.setTabKeyNavigation(False)
        self.table.setModel(self._model)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = self.table.horizontalHeader()
        if len(self._preview.columns) <= _MOST_FITTED_COLUMNS:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setResizeContentsPrecision(0)
        header.setMaximumSectionSize(240)
        self.table.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        self.table.setMinimumHeight(90)
        self.column = QComboBox()
        for number, name in enumerate(self._preview.columns, 1):
            self.column.addItem(name or f"column {number} (no name)")
        if self._preview.arrays:  # the target of an NPZ file is its array y
            self.column.clear()
            self.column.addItem("y")
        self.column.setCurrentIndex(self.column.count() - 1)
        self.column.setEnabled(self.column.count() > 1)
        self.column.setMinimumContentsLength(12)
        self.column.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.shown = QLabel(self._shown_text(), wordWrap=True)
        self.facts = QLabel(wordWrap=True)
        self.problem = QLabel(wordWrap=True)
        self.problem.setStyleSheet(f"color: {VERMILION}; font-weight: bold")
        self.problem.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        for label in (self.shown, self.facts, self.problem):
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.busy = QProgressBar(maximum=0)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        self.ok = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        form = QFormLayout()
        form.addRow("&File", self.file)
        form.addRow("&Target column", self.column)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.shown)
        layout.addWidget(self.table, 1)
        for widget in (self.facts, self.problem, self.busy, self.buttons):
            layout.addWidget(widget)
        for named, name in (
            (self.file, "File"),
            (self.column, "Target column: the class to predict"),
            (self.table, "First rows of the file"),
            (self.facts, "What will be trained on"),
            (self.problem, "Problem with the file"),
            (self.busy, "Reading the file"),
        ):
            named.setAccessibleName(name)
        self.column.currentIndexChanged.connect(self._choose)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.column.setFocus()

    def _shown_text(self) -> str:
        preview = self._preview
        arrays = itertools.islice(preview.arrays.items(), _MOST_ARRAYS)
        texts = [f"{_short(name)}: {' × '.join(map(str, shape)) or 'one number'}" for name, shape in arrays]
        if len(preview.arrays) > _MOST_ARRAYS:
            texts.append(f"{len(preview.arrays) - _MOST_ARRAYS} more")
        if preview.rows:
            count = "" if preview.row_count is None else f" of {preview.row_count:,}"
            texts.append(f"the first {len(preview.rows)}{count} rows")
        return "; ".join(texts)

    # -- the choice

    @property
    def label(self) -> str:
        """The target column for `read_table`: a name, or a number where names are not unique; "" is the last."""
        names, place = self._preview.columns, self.column.currentIndex()
        if self._preview.arrays or place < 0 or place == len(names) - 1:
            return ""
        return names[place] if names[place] and names.index(names[place]) == place else str(place + 1)

    def _choose(self) -> None:
        self._model.mark(self.column.currentIndex())
        self._show_label()
        self._check()

    def _show_label(self) -> None:
        """Scroll to the target column."""
        self.table.scrollTo(self._model.index(0, self._model.label))

    def showEvent(self, event: QShowEvent) -> None:
        """Scroll to the target column once columns have their widths."""
        super().showEvent(event)
        QTimer.singleShot(0, self, self._show_label)

    # -- the check

    def _check(self) -> None:
        """Start to read the whole file; an earlier check is cancelled."""
        self._stop()
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=send_facts, args=(theirs, self.path, self.label), daemon=True)
        self._process.start()
        theirs.close()
        self._since = time.monotonic()
        self.ok.setEnabled(False)
        self.problem.hide()
        self.busy.show()
        self._poll()
        self._timer.start()

    @property
    def is_checking(self) -> bool:
        """Whether the file is being read."""
        return self._process is not None

    def _poll(self) -> None:
        if self._process is None:
            return
        try:
            result = self._connection.recv() if self._connection.poll() else None
        except (EOFError, OSError):  # the process was killed, probably for its memory
            result = f"{self.path}: reading it ended unexpectedly; it may be too large for this machine's memory"
        if result is None:
            seconds = time.monotonic() - self._since
            self.facts.setText("reading the whole file …" + (f" {seconds:.0f} s" if seconds >= 2 else ""))
            return
        self._stop()
        self._tell(result)

    def _stop(self) -> None:
        self._timer.stop()
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._connection.close()
            self._process = None

    def _tell(self, result: Facts | str) -> None:
        """Show what will be trained on, or the problem."""
        usable = isinstance(result, Facts)
        self.busy.hide()
        self.ok.setEnabled(usable)
        self.problem.setVisible(not usable)
        self.facts.setVisible(usable)
        if isinstance(result, Facts):
            self.facts.setText(facts_text(result))
        else:
            text = result.replace(self.path, path_text(Path(self.path).name))
            self.problem.setText(f"⚠ {text}")

    def done(self, result: int) -> None:
        """Close, and end the process."""
        self._stop()
        super().done(result)


def _short(name: str) -> str:
    """Shorten a long name, which would stretch the window."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def facts_text(facts: Facts) -> str:
    """What will be trained on, in a sentence."""
    named = [f"{_short(name)} ({count:,})" for name, count in facts.classes[:_MOST_CLASSES]]
    more = len(facts.classes) - len(named)
    classes = ", ".join(named) + (f" and {more} more" if more else "")
    features = "1 feature" if facts.features == 1 else f"{facts.features:,} features"
    return f"Data: {facts.rows:,} rows, {features}, {len(facts.classes)} classes: {classes}"
