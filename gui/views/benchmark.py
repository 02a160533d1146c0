"""The library's benchmark: bars of a case, the roofline as it fills in, all figures, and a saved run beside them."""

import math
from pathlib import Path
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import (
    QAbstractTableModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QSignalBlocker,
    QSortFilterProxyModel,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QBrush, QColor, QPalette, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
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

from fastdrop.bench.measure import SUBJECT
from fastdrop_gui import benchmark
from fastdrop_gui.benchmark import Bar, Benchmark, Choice, Line, Row, Status
from fastdrop_gui.views import plots
from fastdrop_gui.views.exporting import save_view
from fastdrop_gui.views.sweep import time_text

POLL_MS = 100
LEAST_LINES = 28
"""Of text, that the page is high; a lower window scrolls."""
_STEPS = 1000
_JSON = "Figures for fastdrop bench compare (*.json)"
_KINDS = {".json": _JSON, ".png": "Picture (*.png)", ".svg": "Vector picture (*.svg)", ".csv": "Numbers (*.csv)"}
_Index = QModelIndex | QPersistentModelIndex


class CasesModel(QAbstractTableModel):
    """Every case with fastdrop's figures; with a saved run, also what they were before and what changed."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._cells: list[list[tuple[str, Any]]] = []
        self._compared = False

    def show_rows(self, rows: list[Row], compared: bool) -> None:
        """Show these; where they only go on from those that are shown, what is chosen stays chosen."""
        shown = len(self.rows)
        same = [row.case.key for row in self.rows] == [row.case.key for row in rows[:shown]]
        cells = [benchmark.cells(row) for row in rows]
        if not same or compared != self._compared or not shown:
            self.beginResetModel()
            self.rows, self._cells, self._compared = rows, cells, compared
            self.endResetModel()
            return
        if len(rows) > shown:
            self.beginInsertRows(QModelIndex(), shown, len(rows) - 1)
        self.rows, self._cells = rows, cells
        if len(rows) > shown:
            self.endInsertRows()
        self.dataChanged.emit(self.index(0, 0), self.index(shown - 1, self.columnCount() - 1))

    @property
    def headings(self) -> tuple[str, ...]:
        return (*benchmark.HEADINGS, *(benchmark.COMPARED if self._compared else ()))

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.headings)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return self.headings[section]

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        text, key = self._cells[index.row()][index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return text
        if role == Qt.ItemDataRole.UserRole:  # what is sorted by
            return key
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.rows[index.row()].shown.error or None
        if role == Qt.ItemDataRole.TextAlignmentRole and self.headings[index.column()] not in _WORDS:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None


_WORDS = ("operation", "dtype", "change")


class BarsPlot:
    """A bar for everyone who took part in a case. fastdrop's is hatched and marked by a triangle."""

    def __init__(self) -> None:
        self.widget = plots.plot("GB/s", "", name="Bars of a case: everyone who took part")
        self.widget.setMenuEnabled(False)
        self.widget.setMouseEnabled(x=False, y=False)
        self.widget.getPlotItem().vb.invertY(True)
        self.widget.getPlotItem().vb.sigResized.connect(self._fit)
        self.bars = pg.BarGraphItem(x0=0, y=[0], width=[0], height=0.7)
        self.bars.hide()  # it cannot be empty
        self.widget.addItem(self.bars)
        self.labels: list[pg.TextItem] = []
        self.shown: list[Bar] = []
        self.lengths: list[float] = []

    def draw(self, shown: list[Bar], of_times: bool) -> None:
        """These bars, as long as their throughput is high, or their times are long."""
        self.shown = shown
        rates = not of_times and (not shown or any(not math.isnan(bar.rate) for bar in shown))
        longest = max((bar.seconds for bar in shown if not math.isnan(bar.seconds)), default=1.0)
        unit, size = next((pair for pair in (("s", 1.0), ("ms", 1e-3)) if longest >= pair[1]), ("µs", 1e-6))
        self.widget.setLabel("bottom", "GB/s" if rates else f"time of a call ({unit})")
        values = [bar.rate if rates else bar.seconds / size for bar in shown]
        self.lengths = [0.0 if math.isnan(value) else value for value in values]
        texts = [self._text(bar, rates) for bar in shown]
        while len(self.labels) < len(texts):
            label = pg.TextItem(anchor=(0, 0.5))
            self.widget.addItem(label, ignoreBounds=True)
            self.labels.append(label)
        for number, label in enumerate(self.labels):
            label.setVisible(number < len(texts))
            if number < len(texts):
                label.setText(texts[number])
                label.setPos(self.lengths[number], number)
        names = [f"▶ {bar.name}" if bar.name == SUBJECT else bar.name for bar in shown]
        self.widget.getAxis("left").setTicks([list(enumerate(names))])
        self.widget.setYRange(-0.6, max(len(shown), 1) - 0.4, padding=0)
        self.color()
        self._fit()

    @staticmethod
    def _text(bar: Bar, rates: bool) -> str:
        if bar.problem:
            return "failed"
        time = benchmark.time_text(bar.seconds)
        return f"{benchmark.rate_text(bar.rate)} GB/s" if rates and not math.isnan(bar.rate) else time

    def _fit(self) -> None:
        """As wide as leaves room for the text at the end of every bar."""
        width = max(1.0, self.widget.getPlotItem().vb.width())
        room = [
            (length, min(0.8, (label.boundingRect().width() + 6) / width))
            for length, label in zip(self.lengths, self.labels, strict=False)
        ]
        end = max((length / (1 - share) for length, share in room), default=1.0)
        self.widget.setXRange(0, end or 1.0, padding=0)

    def color(self) -> None:
        """In the theme's colours."""
        plots.color_plot(self.widget)
        text = QApplication.palette().color(QPalette.ColorRole.Text)
        brushes = []
        for bar in self.shown:
            own = bar.name == SUBJECT
            color = QColor(plots.lightened(plots.VERMILION if own else plots.BLUE))
            brushes.append(QBrush(color, Qt.BrushStyle.BDiagPattern if own else Qt.BrushStyle.SolidPattern))
        pens = [pg.mkPen(brush.color(), width=1) for brush in brushes]
        self.bars.setVisible(bool(brushes))
        if brushes:
            self.bars.setOpts(y=list(range(len(self.shown))), width=self.lengths, brushes=brushes, pens=pens)
        for label in self.labels:
            label.setColor(text)


COPY = ("t1", "▲", "")
"""Of a line: its symbol in the plot and in the key, and its colour; none is the text's."""
_MARKS = {0.5: ("o", "●", plots.BLUE), 0.3: ("s", "■", plots.VERMILION), 0.25: ("d", "◆", plots.GREEN)}
_OTHER_P = ("star", "★", plots.PURPLE)
_APART = {"bottom": 42, "left": 18}
"""Pixels from one label of an axis to the next."""


def mark(p: float | None) -> tuple[str, str, str]:
    """Symbol, its sign in text, and colour."""
    symbol, sign, color = COPY if p is None else _MARKS.get(p, _OTHER_P)
    text = QApplication.palette().color(QPalette.ColorRole.Text).name()
    return symbol, sign, plots.lightened(color) if color else text


class Roofline:
    """Throughput against elements, both logarithmic.

    The symbol says copy or p, and is hollow for one thread, filled for more and large for the GPU; dashes are the saved
    run's. `key` explains those that are there.
    """

    def __init__(self) -> None:
        self.widget = plots.plot("elements (float32)", "GB/s", name="Throughput against elements")
        self.widget.setMenuEnabled(False)
        self.widget.setMouseEnabled(x=False, y=False)
        self.widget.setLogMode(x=True, y=True)
        self.widget.getPlotItem().layout.setContentsMargins(0, 6, 16, 0)  # for half of the last labels
        for axis in _APART:
            self.widget.getAxis(axis).setStyle(hideOverlappingLabels=False)
        self.widget.getPlotItem().vb.sigResized.connect(self._frame)
        self.key = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText)
        self.key.setAccessibleName("What the lines are")
        self.curves: dict[tuple[str, bool], pg.PlotDataItem] = {}
        self._lines: list[tuple[Line, bool]] = []
        self._drawn: dict[tuple[str, bool], list[tuple[int, float]]] = {}

    def draw(self, now: list[Line], saved: list[Line]) -> None:
        """The newest run's lines, and the saved one's below them."""
        self._lines = [*((line, True) for line in saved), *((line, False) for line in now)]
        wanted = {(line.name, old): line.points for line, old in self._lines}
        for key in self.curves.keys() - wanted.keys():
            self.widget.removeItem(self.curves.pop(key))
        for line, old in self._lines:
            key = line.name, old
            if key not in self.curves:
                self.curves[key] = self.widget.plot()
                self.curves[key].setZValue(0 if old else 1)
            elif self._drawn.get(key) == line.points:
                continue
            self.curves[key].setData(*map(list, zip(*line.points, strict=True)), **self._look(line, old))
        self._drawn = wanted
        self._explain()
        self._frame()

    def color(self) -> None:
        """In the theme's colours."""
        plots.color_plot(self.widget)
        for line, old in self._lines:
            curve, look = self.curves[line.name, old], self._look(line, old)
            curve.setPen(look["pen"])
            curve.setSymbolPen(look["symbolPen"])
            curve.setSymbolBrush(look["symbolBrush"])
        self._explain()

    @staticmethod
    def _look(line: Line, old: bool) -> dict[str, Any]:
        symbol, _, color = mark(line.p)
        return {
            "pen": pg.mkPen(color, width=1, style=Qt.PenStyle.DashLine if old else Qt.PenStyle.SolidLine),
            "symbol": symbol,
            "symbolSize": 7 if line.threads else 12,
            "symbolPen": pg.mkPen(color, width=1),
            "symbolBrush": None if line.threads == 1 else pg.mkBrush(color),
        }

    def _explain(self) -> None:
        self.key.setText(self._key())
        self.key.setVisible(bool(self._lines))

    def _key(self) -> str:
        signs = []
        for p in sorted({line.p for line, _ in self._lines}, key=lambda p: -2.0 if p is None else -p):
            _, sign, color = mark(p)
            signs.append(f'<span style="color: {color}">{sign}</span>&nbsp;' + ("copy" if p is None else f"p = {p:g}"))
        fills = {0: "large", 1: "hollow"}
        for threads in sorted({line.threads for line, _ in self._lines}, key=lambda count: count or math.inf):
            signs.append(f"{fills.get(threads, 'filled')}: {benchmark.place(threads)}")
        return ", ".join([*signs, *(["dashed: saved run"] if any(old for _, old in self._lines) else [])])

    def _frame(self) -> None:
        """Ranges around the points, and round numbers on both axes."""
        points = [point for line, _ in self._lines for point in line.points]
        if not points:
            for axis in _APART:
                self.widget.getAxis(axis).setTicks([[]])
            return
        box, sizes = self.widget.getPlotItem().vb, sorted({size for size, _ in points})
        x, y = [math.log10(size) for size in sizes], [math.log10(rate) for _, rate in points]
        margin = max(0.06 * (x[-1] - x[0]), 0.1)
        self.widget.setXRange(x[0] - margin, x[-1] + margin, padding=0)
        names = [(at, _size_text(size)) for at, size in zip(x, sizes, strict=True)]
        self._set_ticks("bottom", names, box.width() / (x[-1] - x[0] + 2 * margin))
        low, high = min(y) - 0.1, max(y) + 0.1
        self.widget.setYRange(low, high, padding=0)
        steps = [math.log10(digit) + power for power in range(-6, 7) for digit in (1, 2, 5)]
        rates = [(step, f"{10**step:g}") for step in steps if low <= step <= high]
        self._set_ticks("left", rates, box.height() / (high - low))

    def _set_ticks(self, axis: str, ticks: list[tuple[float, str]], pixels: float) -> None:
        """As many as there is room for, the last one always."""
        kept: list[tuple[float, str]] = []
        for at, text in reversed(ticks):
            if not kept or (kept[-1][0] - at) * pixels >= _APART[axis]:
                kept.append((at, text))
        self.widget.getAxis(axis).setTicks([kept])


def _size_text(size: int) -> str:
    return f"2^{size.bit_length() - 1}" if size & (size - 1) == 0 else f"{size / 1e6:.3g}M"


class BenchmarkView(plots.View):
    """Chooses what to measure, runs it, shows it as it comes in, keeps it, and compares it with a saved run.

    `started` says that a run begins: what else keeps the processor busy should rest. `is_running` is for the window's
    question before it closes, `shutdown` ends every process.
    """

    title = "Benchmark"
    description = "fastdrop against a copy of the same array and against its peers, on the CPU and the GPU"
    started = Signal()
    _built = False

    def __init__(self) -> None:
        super().__init__()
        self.model = Benchmark()
        self._problem, self._asked, self._offered = "", "", False
        self.cases = CasesModel()
        self.bars, self.roofline = BarsPlot(), Roofline()
        self._timer = QTimer(self, interval=POLL_MS)
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
        self.status = QLabel(wordWrap=True)
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
        self.quantity.setToolTip("GB/s: what a copy of the same array reads and writes, divided by the time")
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
        self.status.setText("\n".join(line for line in (self._state(), model.comparison, self._problem) if line))
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
        names = benchmark.operations(found)
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
        now = benchmark.lines(self.model.results, operation)
        self.roofline.draw(now, benchmark.lines(saved.results, operation) if saved else [])

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
        self.bars.draw(benchmark.bars(row.shown) if row else [], self.quantity.currentIndex() == 1)
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
        return plots.Table(benchmark.FIGURES, benchmark.figures(self.cases.rows))


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
