"""Runs side by side: the one at hand, its twin, and those that were kept; a table of their final figures."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from fastdrop.experiments import EpochRecord, Run
from fastdrop_gui.views import plots
from fastdrop_gui.views.plots import Table, View

HEADINGS = ("run", "epochs", "train acc.", "test acc.", "gap", "train loss", "test loss", "best test acc.")


class RunsView(View):
    """Keep a run to compare others with; bring back its configuration; forget it."""

    title = "Runs"
    description = "Final figures of the runs that are compared"
    keep_wanted = Signal()
    opened = Signal(object)
    removed = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.keep = QPushButton("&Keep (Ctrl+K)")
        self.keep.setToolTip("Its curves stay beside those of later runs")
        self.open = QPushButton("&Open again")
        self.open.setToolTip("Take the chosen run's configuration")
        self.forget = QPushButton("&Forget")
        self.cells = QTableWidget(0, len(HEADINGS))
        self.cells.setHorizontalHeaderLabels(HEADINGS)
        self.cells.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.cells.setWordWrap(False)
        self.cells.verticalHeader().hide()
        self.cells.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.cells.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.cells.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.cells.setAccessibleName("Final figures of the runs")
        top = QHBoxLayout()
        for widget in (self.keep, self.open, self.forget):
            top.addWidget(widget)
        top.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        layout.addWidget(plots.caption("Figures of the newest epoch; kept runs stand in the curves as well."))
        layout.addWidget(self.cells, 1)
        self._runs: tuple[Run, ...] = ()
        self._live: list[tuple[str, list[EpochRecord]]] = []
        self.keep.clicked.connect(self.keep_wanted)
        self.open.clicked.connect(self._open)
        self.forget.clicked.connect(lambda: self.removed.emit(self._chosen()))
        self.cells.itemSelectionChanged.connect(self._enable)
        self.cells.itemActivated.connect(lambda _item: self._open())
        self._enable()

    def show_runs(self, name: str, history: list[EpochRecord], twin: list[EpochRecord], runs: tuple[Run, ...]) -> None:
        """Fill the table; a row is written again only where it has changed."""
        self._runs = runs
        self._live = [(f"now: {name}", history)] + ([("its twin without dropout", twin)] if twin else [])
        rows = [_row(label, records) for label, records in self._live] + [
            _row(f"kept {number}: {run.name}", run.history) for number, run in enumerate(runs, start=1)
        ]
        self.cells.setRowCount(len(rows))
        for place, row in enumerate(rows):
            for column, text in enumerate(row):
                item = self.cells.item(place, column)
                if item is None:
                    self.cells.setItem(place, column, QTableWidgetItem(text))
                elif item.text() != text:
                    item.setText(text)
        self.keep.setEnabled(len(history) > 1)
        self._enable()

    def _chosen(self) -> int:
        """Which of the kept runs is chosen; negative for none of them."""
        rows = {item.row() for item in self.cells.selectedItems()}
        return min(rows, default=-1) - len(self._live) if rows else -1

    def _enable(self) -> None:
        chosen = 0 <= self._chosen() < len(self._runs)
        self.open.setEnabled(chosen)
        self.forget.setEnabled(chosen)

    def _open(self) -> None:
        place = self._chosen()
        if 0 <= place < len(self._runs):
            self.opened.emit(self._runs[place])

    def table(self) -> Table:
        rows = [
            [item.text() if (item := self.cells.item(row, column)) else "" for column in range(len(HEADINGS))]
            for row in range(self.cells.rowCount())
        ]
        return Table(HEADINGS, rows)


def _row(name: str, history: list[EpochRecord] | tuple[EpochRecord, ...]) -> list[str]:
    if not history:
        return [name, *[""] * (len(HEADINGS) - 1)]
    last = history[-1]
    best = max(record.test_accuracy for record in history)
    figures = (last.train_accuracy, last.test_accuracy, last.gap)
    losses = (last.train_loss, last.test_loss)
    return [name, str(last.epoch), *(f"{v:.1%}" for v in figures), *(f"{v:.4f}" for v in losses), f"{best:.1%}"]
