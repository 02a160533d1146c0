"""The page of the benchmark: bars of a case, throughput against size, all figures, and a saved run to compare with."""

from pathlib import Path

from PySide6.QtCore import QEvent, QModelIndex, QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from fastdrop.bench import figures
from fastdrop_gui.model import benchmark_figures, benchmark_run
from fastdrop_gui.model.benchmark_run import Benchmark, Choice, Status
from fastdrop_gui.model.wording import time_text
from fastdrop_gui.views.benchmark.benchmark_plots import (
    BarsPlot,
    CasesModel,
    CasesTable,
    ThroughputPlot,
    add_labelled,
    fill_column,
)
from fastdrop_gui.views.files.view_files import save_view
from fastdrop_gui.views.widgets.fields import caption
from fastdrop_gui.views.widgets.view import Table, View

POLL_MS = 100
LEAST_LINES = 28
"""Lines of text that fit into the page's height; a lower window scrolls."""
_STEPS = 1000
_JSON = "Figures for fastdrop bench compare (*.json)"
_KINDS = {".json": _JSON, ".png": "Picture (*.png)", ".svg": "Vector picture (*.svg)", ".csv": "Numbers (*.csv)"}


class BenchmarkView(View):
    """Chooses what to measure, runs it, shows the figures as they come in, saves them, and compares with a saved run.

    `started` is emitted when a run begins, so that training pauses. The window asks for `is_running` before it closes;
    `shutdown` ends every process.
    """

    title = "Benchmark"
    description = "fastdrop against the best copy of the same array and other baselines, on the CPU and the GPU"
    started = Signal()
    _built = False

    def __init__(self) -> None:
        super().__init__()
        self.model = Benchmark()
        self._problem, self._asked, self._offered = "", "", False
        self.cases = CasesModel()
        self.bars, self.throughput = BarsPlot(), ThroughputPlot()
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
        self.notes.setAccessibleName("Notes on the benchmark")
        layout.addWidget(self.status)
        layout.addWidget(self.notes)
        layout.addWidget(self._results(), 1)
        self._connect()
        self._built = True
        self._refresh()

    # --- layout

    def _settings(self) -> QHBoxLayout:
        self.extent = QComboBox()
        self.extent.addItem("Quick", True)
        self.extent.addItem("Full", False)
        self.extent.setToolTip(
            "Quick ends within a minute; full has all sizes, dtypes and baselines, and takes many minutes"
        )
        self.operation = QComboBox()
        self.operation.addItem("all operations", "")
        for name in benchmark_run.OPERATIONS:
            self.operation.addItem(name, name)
        self.on_cpu, self.on_gpu = QCheckBox("&CPU"), QCheckBox("&GPU")
        self.on_cpu.setChecked(True)
        self.on_gpu.setEnabled(False)
        self.on_cpu.setAccessibleName("Measure on the CPU")
        self.on_gpu.setAccessibleName("Measure on the GPU")
        row = QHBoxLayout()
        for text, widget in (("&Quick or full", self.extent), ("Operat&ion", self.operation)):
            add_labelled(row, text, widget)
        row.setStretch(3, 1)
        row.addWidget(self.on_cpu)
        row.addWidget(self.on_gpu)
        return row

    def _buttons(self) -> QHBoxLayout:
        self.run_button = QPushButton("&Run")
        self.stop_button = QPushButton("&Stop")
        self.stop_button.setToolTip("Keeps what was measured")
        self.progress = QProgressBar(maximum=_STEPS)
        self.progress.setMinimumWidth(60)
        self.compare_button = QPushButton("C&ompare with …")
        self.compare_button.setToolTip("Open a run that was exported here or saved by fastdrop bench --save")
        self.alone_button = QPushButton("Stop comp&aring")
        self.export_button = QPushButton("E&xport …")
        self.export_button.setToolTip("Figures (JSON), which fastdrop bench compare reads; picture; numbers (CSV)")
        row = QHBoxLayout()
        for widget, name in (
            (self.run_button, "Run the benchmark"),
            (self.stop_button, "Stop the benchmark"),
            (self.progress, "Progress of the benchmark"),
            (self.compare_button, "Compare with a saved run"),
            (self.alone_button, "Stop comparing"),
            (self.export_button, "Export the benchmark"),
        ):
            widget.setAccessibleName(name)
            row.addWidget(widget, 1 if widget is self.progress else 0)
        return row

    def _results(self) -> QSplitter:
        self.case = caption()
        self.case.setAccessibleName("The case whose bars are shown")
        self.follow = QCheckBox("&Newest")
        self.follow.setChecked(True)
        self.follow.setToolTip("Show each case as it is measured; off: the case chosen in the table")
        self.follow.setAccessibleName("Show the newest case's bars")
        self.shown_metric = QComboBox()
        self.shown_metric.addItems(["throughput", "time of a call"])
        self.shown_metric.setToolTip("Throughput: bytes that a call reads and writes, divided by its time")
        self.shown_operation = QComboBox()
        left, right = QWidget(), QWidget()
        for combo in (self.operation, self.shown_metric, self.shown_operation):
            combo.setMinimumContentsLength(8)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        top = QHBoxLayout()
        add_labelled(top, "&Metric", self.shown_metric)
        top.addWidget(self.follow)
        top.addStretch()
        fill_column(left, top, self.case, self.bars.widget)
        top = QHBoxLayout()
        add_labelled(top, "Operation p&lotted", self.shown_operation)
        top.setStretch(1, 1)
        fill_column(right, top, self.throughput.widget, self.throughput.legend)
        across = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False)
        across.addWidget(left)
        across.addWidget(right)
        down = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False)
        down.addWidget(across)
        self.list = CasesTable(self.cases)
        down.addWidget(self.list)
        down.setSizes([300, 150])
        # Plots ask for more height than a small window has; the page's least height is enough for them.
        down.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        return down

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
        self.shown_metric.currentIndexChanged.connect(self._draw_bars)
        self.shown_operation.currentIndexChanged.connect(self._operation_chosen)
        self.list.selectionModel().currentChanged.connect(self._row_chosen)

    def showEvent(self, event: QShowEvent) -> None:
        """Look for a GPU when the page is shown first."""
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
        """Measure what is chosen; it replaces the last run."""
        if self.is_running or self.choice.problem:
            return
        self.started.emit()
        self._problem = ""
        self.model.start(self.choice)
        self.follow.setChecked(True)
        self._watch()
        self._refresh()

    def stop(self) -> None:
        """End the run and keep what was measured."""
        self.model.stop()
        self._refresh()

    def shutdown(self) -> None:
        """End every process, at once."""
        self._timer.stop()
        self.model.close()

    def _watch(self) -> None:
        """Poll while something runs."""
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
        """Update the status: what would be measured, how far a run is, how it ended."""
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
        self.status.setText("\n".join(filter(None, (self._state(), remark, model.comparison, self._problem))))
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
        left_out = len(model.cases) - len(model.results)
        if model.status is Status.FINISHED and left_out:
            parts.append(f"{left_out} left out, so that a quick run ends within a minute")
        failed = sum(bool(result.error) for result in model.results)
        if failed:
            parts.append(f"{failed} failed (see the table's tool tips)")
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
        missing = f" Baselines that are not installed: {', '.join(model.missing)}." if model.missing else ""
        return f"{gpu}{missing} Training pauses when a run starts, since it would disturb the figures."

    # --- figures

    def _refresh(self) -> None:
        self.cases.show_rows(self.model.rows(), self.model.saved is not None)
        self._offer_operations()
        self._draw_bars()
        self._draw_throughput()
        self._tell()

    def _offer_operations(self) -> None:
        """Offer those that can be drawn; the user's choice stays."""
        found = [*self.model.results, *(self.model.saved.results if self.model.saved else ())]
        names = figures.operations(found)
        if names != [self.shown_operation.itemText(number) for number in range(self.shown_operation.count())]:
            with QSignalBlocker(self.shown_operation):
                self.shown_operation.clear()
                self.shown_operation.addItems(names)
                self.shown_operation.setCurrentIndex(max(0, self.shown_operation.findText(self._asked)))

    def _operation_chosen(self) -> None:
        self._asked = self.shown_operation.currentText()
        self._draw_throughput()

    def _draw_throughput(self) -> None:
        operation, saved = self.shown_operation.currentText(), self.model.saved
        now = figures.lines(self.model.results, operation)
        self.throughput.draw(now, figures.lines(saved.results, operation) if saved else [])

    @property
    def chosen(self) -> benchmark_figures.Row | None:
        """The row whose bars are shown: the newest case, or the table's current row."""
        if self.follow.isChecked() and self.model.results:
            newest = self.model.results[-1].case.key
            return next((row for row in self.cases.rows if row.case.key == newest), None)
        index = self.list.sorted.mapToSource(self.list.currentIndex())
        return self.cases.rows[index.row()] if index.isValid() else None

    def _row_chosen(self, index: QModelIndex) -> None:
        if index.isValid():
            self.follow.setChecked(False)
            self._draw_bars()

    def _draw_bars(self) -> None:
        row = self.chosen
        self.bars.draw(benchmark_figures.bars(row.shown) if row else [], self.shown_metric.currentIndex() == 1)
        text = str(row.case) if row else "Choose a case in the table." if self.cases.rows else ""
        if row is not None and row.result is None:
            text += f" ({self.model.saved_name})"
        failed = [f"{bar.name}: {bar.problem}" for bar in self.bars.shown if bar.problem]
        self.case.setText("; ".join([text, *failed]))
        self.case.setToolTip("\n".join([text, *failed]))

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if self._built and event.type() == QEvent.Type.PaletteChange:
            self.bars.color()
            self.throughput.color()

    # --- files

    def _choose_saved(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Compare with a saved run", "", "Saved runs (*.json)")
        if path:
            self.open_saved(path)

    def open_saved(self, path: str) -> None:
        """Compare with the run in a file; a file that cannot be read changes nothing."""
        self._problem = ""
        try:
            self.model.open_saved(Path(path))
        except ValueError as error:
            self._problem = f"⚠ {error}"
        self._refresh()

    def close_saved(self) -> None:
        """Stop comparing."""
        self.model.close_saved()
        self._problem = ""
        self._refresh()

    def _choose_target(self) -> None:
        path, kind = QFileDialog.getSaveFileName(self, "Export the benchmark", "bench.json", ";;".join(_KINDS.values()))
        suffix = next((suffix for suffix, text in _KINDS.items() if text == kind), ".json")
        if path:
            self.export(path if Path(path).suffix else path + suffix)

    def export(self, path: str) -> None:
        """Write the figures (.json), a picture of this page (.png, .svg) or its numbers (.csv)."""
        self._problem = ""
        try:
            if Path(path).suffix.lower() == ".json":
                self.model.save(Path(path))
            else:
                save_view(self, path)
        except (OSError, ValueError) as error:
            self._problem = f"⚠ {error}"
        self._tell()

    def table(self) -> Table:
        """Every candidate of every case."""
        return Table(*figures.table([(row.result, row.saved) for row in self.cases.rows]))
