"""The library's benchmark: bars of a case, the roofline as it fills in, all figures, and a saved run beside them."""

from pathlib import Path

import pyqtgraph as pg
from PySide6.QtCore import (
    QEvent,
    QModelIndex,
    QSignalBlocker,
    QSortFilterProxyModel,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSplitter,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from fastdrop_gui import benchmark, benchmark_figures
from fastdrop_gui.benchmark import Benchmark, Choice, Status
from fastdrop_gui.benchmark_figures import Row
from fastdrop_gui.views import plots
from fastdrop_gui.views.benchmark_plots import BarsPlot, CasesModel, Roofline
from fastdrop_gui.views.exporting import save_view
from fastdrop_gui.views.sweep import time_text

POLL_MS = 100
LEAST_LINES = 28
"""Of text, that the page is high; a lower window scrolls."""
_STEPS = 1000
_JSON = "Figures for fastdrop bench compare (*.json)"
_KINDS = {".json": _JSON, ".png": "Picture (*.png)", ".svg": "Vector picture (*.svg)", ".csv": "Numbers (*.csv)"}


class BenchmarkView(plots.View):
    """Chooses what to measure, runs it, shows it as it comes in, keeps it, and compares it with a saved run.

    `started` says that a run begins: what else keeps the processor busy should rest. `is_running` is for the window's
    question before it closes, `shutdown` ends every process.
    """

    title = "Benchmark"
    description = "fastdrop against the best copy of the same array and against its peers, on the CPU and the GPU"
    started = Signal()
    _built = False

    def __init__(self) -> None:
        super().__init__()
        self.model = Benchmark()
        self._problem, self._asked, self._offered = "", "", False
        self.cases = CasesModel()
        self.bars, self.roofline = BarsPlot(), Roofline()
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        page = QWidget()
        page.setMinimumHeight(self.fontMetrics().height() * LEAST_LINES)
        area = QScrollArea(widgetResizable=True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(page)
        around = QVBoxLayout(self)
        around.setContentsMargins(0, 0, 0, 0)
        around.addWidget(area)
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._settings())
        layout.addLayout(self._buttons())
        self.status = QLabel(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.status.setAccessibleName("State of the benchmark")
        self.notes = QLabel(wordWrap=True)
        self.notes.setAccessibleName("What is not measured, and what disturbs")
        layout.addWidget(self.status)
        layout.addWidget(self.notes)
        layout.addWidget(self._results(), 1)
        self._connect()
        self._built = True
        self._refresh()

    # --- what stands where

    def _settings(self) -> QHBoxLayout:
        self.extent = QComboBox()
        self.extent.addItem("Quick", True)
        self.extent.addItem("Full", False)
        self.extent.setToolTip("Quick ends within a minute; full has all sizes, types and peers, and takes many")
        self.operation = QComboBox()
        self.operation.addItem("all operations", "")
        for name in benchmark.OPERATIONS:
            self.operation.addItem(name, name)
        self.on_cpu, self.on_gpu = QCheckBox("&CPU"), QCheckBox("&GPU")
        self.on_cpu.setChecked(True)
        self.on_gpu.setEnabled(False)
        self.on_cpu.setAccessibleName("Measure on the CPU")
        self.on_gpu.setAccessibleName("Measure on the GPU")
        row = QHBoxLayout()
        for text, widget in (("&Quick or full", self.extent), ("Operat&ion", self.operation)):
            _label(row, text, widget)
        row.setStretch(3, 1)
        row.addWidget(self.on_cpu)
        row.addWidget(self.on_gpu)
        return row

    def _buttons(self) -> QHBoxLayout:
        self.run_button = QPushButton("&Run")
        self.stop_button = QPushButton("&Stop")
        self.stop_button.setToolTip("What was measured stays")
        self.progress = QProgressBar(maximum=_STEPS)
        self.progress.setMinimumWidth(60)
        self.compare_button = QPushButton("C&ompare with …")
        self.compare_button.setToolTip("Open a run that was exported here or saved by fastdrop bench --save")
        self.alone_button = QPushButton("&Don't compare")
        self.export_button = QPushButton("E&xport …")
        self.export_button.setToolTip("Figures (JSON), which fastdrop bench compare reads; picture; numbers (CSV)")
        row = QHBoxLayout()
        for widget, name in (
            (self.run_button, "Run the benchmark"),
            (self.stop_button, "Stop the benchmark"),
            (self.progress, "Progress of the benchmark"),
            (self.compare_button, "Compare with a saved run"),
            (self.alone_button, "Compare no more"),
            (self.export_button, "Export the benchmark"),
        ):
            widget.setAccessibleName(name)
            row.addWidget(widget, 1 if widget is self.progress else 0)
        return row

    def _results(self) -> QSplitter:
        self.case = plots.caption()
        self.case.setAccessibleName("The case whose bars are shown")
        self.follow = QCheckBox("&Newest")
        self.follow.setChecked(True)
        self.follow.setToolTip("Show every case as it is measured; else the table's")
        self.follow.setAccessibleName("Show the newest case's bars")
        self.quantity = QComboBox()
        self.quantity.addItems(["throughput", "time of a call"])
        self.quantity.setToolTip("GB/s: what the call reads and writes, divided by the time")
        self.shown_operation = QComboBox()
        left, right = QWidget(), QWidget()
        for combo in (self.operation, self.quantity, self.shown_operation):
            combo.setMinimumContentsLength(8)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        top = QHBoxLayout()
        _label(top, "&Measure", self.quantity)
        top.addWidget(self.follow)
        top.addStretch()
        _column(left, top, self.case, self.bars.widget)
        top = QHBoxLayout()
        _label(top, "Roof&line of", self.shown_operation)
        top.setStretch(1, 1)
        _column(right, top, self.roofline.widget, self.roofline.key)
        across = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False)
        across.addWidget(left)
        across.addWidget(right)
        down = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False)
        down.addWidget(across)
        down.addWidget(self._list())
        down.setSizes([300, 150])
        # How high plots would like to be is more than a small window has; the page's least height sees to them.
        down.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        return down

    def _list(self) -> QTableView:
        self.list = QTableView(sortingEnabled=True, showGrid=False, wordWrap=False)
        self.list.setTabKeyNavigation(False)
        self._sorted = QSortFilterProxyModel(self, sortRole=Qt.ItemDataRole.UserRole)
        self._sorted.setSourceModel(self.cases)
        self.list.setModel(self._sorted)
        self.list.sortByColumn(-1, Qt.SortOrder.AscendingOrder)  # as they were measured
        self.list.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = self.list.horizontalHeader()
        header.setResizeContentsPrecision(0)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.list.verticalHeader().hide()
        self.list.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 4)
        self.list.setMinimumHeight(self.fontMetrics().height() * 5)
        self.list.setAccessibleName("Figures of all cases; the bars show the chosen one")
        return self.list

    def _connect(self) -> None:
        for combo in (self.extent, self.operation):
            combo.currentIndexChanged.connect(self._tell)
        for box in (self.on_cpu, self.on_gpu):
            box.toggled.connect(self._tell)
        self.run_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self.stop)
        self.compare_button.clicked.connect(self._choose_saved)
        self.alone_button.clicked.connect(self.close_saved)
        self.export_button.clicked.connect(self._choose_target)
        self.follow.toggled.connect(self._draw_bars)
        self.quantity.currentIndexChanged.connect(self._draw_bars)
        self.shown_operation.currentIndexChanged.connect(self._operation_chosen)
        self.list.selectionModel().currentChanged.connect(self._row_chosen)

    def showEvent(self, event: QShowEvent) -> None:
        """Whether there is a GPU is asked when somebody looks."""
        super().showEvent(event)
        self.model.look_for_gpu()
        self._watch()
        self._tell()

    # --- the run under way

    @property
    def choice(self) -> Choice:
        """What Run would measure."""
        gpu = self.on_gpu.isEnabled() and self.on_gpu.isChecked()
        return Choice(self.extent.currentData(), self.operation.currentData(), self.on_cpu.isChecked(), gpu)

    @property
    def is_running(self) -> bool:
        """Whether a run is under way."""
        return self.model.is_running

    def start(self) -> None:
        """Measure what is chosen; what the last run found makes room."""
        if self.is_running or self.choice.problem:
            return
        self.started.emit()
        self._problem = ""
        self.model.start(self.choice)
        self.follow.setChecked(True)
        self._watch()
        self._refresh()

    def stop(self) -> None:
        """End the run; what was measured stays."""
        self.model.stop()
        self._refresh()

    def shutdown(self) -> None:
        """End every process, at once."""
        self._timer.stop()
        self.model.close()

    def _watch(self) -> None:
        """Look for news while there may be any."""
        if self.model.is_busy:
            self._timer.start()
        else:
            self._timer.stop()

    def _poll(self) -> None:
        if self.model.tick():
            self._refresh()
        elif self.is_running:
            self._tell()
        self._watch()

    def _tell(self) -> None:
        """What would be measured, how far a run is, and how it ended."""
        model = self.model
        running, there = model.is_running, model.gpu is not None and not model.gpu.problem
        if there and not self._offered:
            self._offered = True
            self.on_gpu.setChecked(True)
        for widget in (self.extent, self.operation, self.on_cpu):
            widget.setEnabled(not running)
        self.on_gpu.setEnabled(there and not running)
        self.progress.setValue(int(_STEPS * model.progress))
        remark = f"⚠ {model.remark}" if model.remark else ""
        self.status.setText(
            "\n".join(line for line in (self._state(), remark, model.comparison, self._problem) if line)
        )
        self.notes.setText(self._notes())
        self.run_button.setEnabled(not running and not self.choice.problem)
        self.stop_button.setEnabled(running)
        self.export_button.setEnabled(bool(model.results))
        self.alone_button.setVisible(model.saved is not None)

    def _state(self) -> str:
        model, choice = self.model, self.choice
        if not model.is_running and choice.problem:
            return f"⚠ {choice.problem}"
        if model.status is Status.IDLE:
            return self._plan()
        parts = [f"{len(model.results)} of {len(model.cases)} cases", model.status.value]
        if model.is_running and model.seconds_left is not None:
            parts.append(f"about {time_text(model.seconds_left)} left")
        if model.is_running and model.waiting:
            parts.append(model.waiting)
        left_out = len(model.cases) - len(model.results)
        if model.status is Status.FINISHED and left_out:
            parts.append(f"{left_out} left out, so that a quick run ends within a minute")
        failed = sum(bool(result.error) for result in model.results)
        if failed:
            parts.append(f"{failed} failed (the table's tool tips say why)")
        if not model.is_running and choice != model.choice:
            parts[-1] += f"; now chosen: {self._plan()}"
        return ", ".join(parts) + (f"\n⚠ {model.message}" if model.message else "")

    def _plan(self) -> str:
        cases = [case for found in self.choice.cases() for case in found]
        return f"{len(cases)} case{'s' * (len(cases) != 1)}, about {time_text(sum(case.cost for case in cases))}"

    def _notes(self) -> str:
        model = self.model
        if model.gpu is None:
            gpu = "Looking for a GPU …"
        else:
            gpu = f"No GPU: {model.gpu.problem}." if model.gpu.problem else f"GPU: {model.gpu.name}."
        missing = f" Not installed, so not compared with: {', '.join(model.missing)}." if model.missing else ""
        return f"{gpu}{missing} Training beside a run disturbs its figures: it pauses when a run starts."

    # --- what it found

    def _refresh(self) -> None:
        self.cases.show_rows(self.model.rows(), self.model.saved is not None)
        self._offer_operations()
        self._draw_bars()
        self._draw_roofline()
        self._tell()

    def _offer_operations(self) -> None:
        """Those that a roofline can be drawn of; one that somebody chose stays, and the first is nobody's choice."""
        found = [*self.model.results, *(self.model.saved.results if self.model.saved else ())]
        names = benchmark_figures.operations(found)
        if names != [self.shown_operation.itemText(number) for number in range(self.shown_operation.count())]:
            blocker = QSignalBlocker(self.shown_operation)
            self.shown_operation.clear()
            self.shown_operation.addItems(names)
            self.shown_operation.setCurrentIndex(max(0, self.shown_operation.findText(self._asked)))
            blocker.unblock()

    def _operation_chosen(self) -> None:
        self._asked = self.shown_operation.currentText()
        self._draw_roofline()

    def _draw_roofline(self) -> None:
        operation, saved = self.shown_operation.currentText(), self.model.saved
        now = benchmark_figures.lines(self.model.results, operation)
        self.roofline.draw(now, benchmark_figures.lines(saved.results, operation) if saved else [])

    @property
    def chosen(self) -> Row | None:
        """The row whose bars are shown: the newest case's, or the table's current one."""
        if self.follow.isChecked() and self.model.results:
            newest = self.model.results[-1].case.key
            return next((row for row in self.cases.rows if row.case.key == newest), None)
        index = self._sorted.mapToSource(self.list.currentIndex())
        return self.cases.rows[index.row()] if index.isValid() else None

    def _row_chosen(self, index: QModelIndex) -> None:
        if index.isValid():
            self.follow.setChecked(False)
            self._draw_bars()

    def _draw_bars(self) -> None:
        row = self.chosen
        self.bars.draw(benchmark_figures.bars(row.shown) if row else [], self.quantity.currentIndex() == 1)
        text = str(row.case) if row else "Choose a case in the table." if self.cases.rows else ""
        if row is not None and row.result is None:
            text += f" ({self.model.saved_name})"
        failed = [f"{bar.name}: {bar.problem}" for bar in self.bars.shown if bar.problem]
        self.case.setText("; ".join([text, *failed]))
        self.case.setToolTip("\n".join([text, *failed]))

    def changeEvent(self, event: QEvent) -> None:
        """Follow the desktop's theme."""
        super().changeEvent(event)
        if self._built and event.type() == QEvent.Type.PaletteChange:
            self.bars.color()
            self.roofline.color()

    # --- files

    def _choose_saved(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Compare with a saved run", "", "Saved runs (*.json)")
        if path:
            self.open_saved(path)

    def open_saved(self, path: str) -> None:
        """Compare with the run in a file; one that cannot be read leaves everything as it is."""
        self._problem = ""
        try:
            self.model.open_saved(Path(path))
        except ValueError as error:
            self._problem = f"⚠ {error}"
        self._refresh()

    def close_saved(self) -> None:
        """Compare no more."""
        self.model.close_saved()
        self._problem = ""
        self._refresh()

    def _choose_target(self) -> None:
        path, kind = QFileDialog.getSaveFileName(self, "Export the benchmark", "bench.json", ";;".join(_KINDS.values()))
        suffix = next((suffix for suffix, text in _KINDS.items() if text == kind), ".json")
        if path:
            self.export(path if Path(path).suffix else path + suffix)

    def export(self, path: str) -> None:
        """Write what the name's end says: the figures, a picture of this view, or its numbers."""
        self._problem = ""
        try:
            if Path(path).suffix.lower() == ".json":
                self.model.save(Path(path))
            else:
                save_view(self, path)
        except (OSError, ValueError) as error:
            self._problem = f"⚠ {error}"
        self._tell()

    def table(self) -> plots.Table:
        """Every candidate of every case."""
        return plots.Table(benchmark_figures.FIGURES, benchmark_figures.figures(self.cases.rows))


def _label(row: QHBoxLayout, text: str, widget: QWidget) -> None:
    label = QLabel(text)
    label.setBuddy(widget)
    widget.setAccessibleName(text.replace("&", ""))
    row.addWidget(label)
    row.addWidget(widget)


def _column(widget: QWidget, top: QHBoxLayout, *below: QWidget) -> None:
    column = QVBoxLayout(widget)
    column.setContentsMargins(0, 0, 0, 0)
    column.addLayout(top)
    for each in below:
        column.addWidget(each, 1 if isinstance(each, pg.PlotWidget) else 0)
