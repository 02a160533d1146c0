"""A table of final figures: the current run, its baseline, and the pinned runs."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
)

from fastdrop.experiments import EpochRecord, Run
from fastdrop_gui.model.wording import gap_text
from fastdrop_gui.views.widgets.fields import caption
from fastdrop_gui.views.widgets.layouts import row, stack
from fastdrop_gui.views.widgets.view import Table, View

HEADINGS = ("run", "epochs", "train acc.", "test acc.", "gap", "train loss", "test loss", "best test acc.")


class RunTableView(View):
    """Pins a run to compare others with, restores its configuration, removes it."""

    title = "Runs"
    description = "Final figures of the runs that are compared"
    pin_requested = Signal()
    restored = Signal(object)
    removed = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.pin = QPushButton("&Pin run (Ctrl+K)")
        self.pin.setToolTip("Keep its curves beside those of later runs")
        self.restore = QPushButton("&Restore")
        self.restore.setToolTip("Take the configuration of the selected run")
        self.remove = QPushButton("Re&move")
        self.cells = QTableWidget(0, len(HEADINGS))
        self.cells.setHorizontalHeaderLabels(HEADINGS)
        self.cells.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.cells.setWordWrap(False)
        self.cells.verticalHeader().hide()
        self.cells.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.cells.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.cells.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.cells.setAccessibleName("Final figures of the runs")
        note = caption("Figures of the newest epoch; pinned runs are in Curves, too.")
        stack(self, row(self.pin, self.restore, self.remove, None), note, self.cells, grows=self.cells)
        self._runs: tuple[Run, ...] = ()
        self._live: list[tuple[str, list[EpochRecord]]] = []
        self.pin.clicked.connect(self.pin_requested)
        self.restore.clicked.connect(self._restore)
        self.remove.clicked.connect(lambda: self.removed.emit(self._chosen()))
        self.cells.itemSelectionChanged.connect(self._enable)
        self.cells.itemActivated.connect(lambda _item: self._restore())
        self._enable()

    def show_runs(
        self, name: str, history: list[EpochRecord], baseline: list[EpochRecord], runs: tuple[Run, ...]
    ) -> None:
        """Fill the table; a cell is written only where it has changed."""
        self._runs = runs
        self._live = [(f"now: {name}", history)]
        if baseline:
            self._live.append(("baseline (no dropout)", baseline))
        rows = [_row(label, records) for label, records in self._live] + [
            _row(f"pinned {number}: {run.name}", run.history) for number, run in enumerate(runs, start=1)
        ]
        self.cells.setRowCount(len(rows))
        for place, texts in enumerate(rows):
            for column, text in enumerate(texts):
                item = self.cells.item(place, column)
                if item is None:
                    self.cells.setItem(place, column, QTableWidgetItem(text))
                elif item.text() != text:
                    item.setText(text)
        self.pin.setEnabled(len(history) > 1)
        self._enable()

    def _chosen(self) -> int:
        """The number of the selected pinned run; negative for none."""
        rows = {item.row() for item in self.cells.selectedItems()}
        return min(rows, default=-1) - len(self._live) if rows else -1

    def _enable(self) -> None:
        chosen = 0 <= self._chosen() < len(self._runs)
        self.restore.setEnabled(chosen)
        self.remove.setEnabled(chosen)

    def _restore(self) -> None:
        place = self._chosen()
        if 0 <= place < len(self._runs):
            self.restored.emit(self._runs[place])

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
    accuracies = (last.train_accuracy, last.test_accuracy)
    losses = (last.train_loss, last.test_loss)
    figures = [*(f"{v:.1%}" for v in accuracies), gap_text(last.gap), *(f"{v:.4f}" for v in losses)]
    return [name, str(last.epoch), *figures, f"{best:.1%}"]
