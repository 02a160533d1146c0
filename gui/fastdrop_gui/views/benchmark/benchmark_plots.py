"""Parts of the benchmark's page: the table's model, the bars, throughput against size."""

import math
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSortFilterProxyModel, Qt
from PySide6.QtGui import QBrush, QColor
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QHeaderView, QLabel, QTableView, QVBoxLayout, QWidget

from fastdrop.bench.figures import Line
from fastdrop.bench.measure import SUBJECT
from fastdrop_gui.model import benchmark_figures
from fastdrop_gui.model.benchmark_figures import Bar, Row
from fastdrop_gui.views.widgets import plots

_Index = QModelIndex | QPersistentModelIndex


class CasesModel(QAbstractTableModel):
    """Every case with fastdrop's figures; with a saved run, also what they were before and what changed."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._cells: list[list[tuple[str, Any]]] = []
        self._compared = False

    def show_rows(self, rows: list[Row], compared: bool) -> None:
        """Show these rows; the selection stays where they only add to those that are shown."""
        shown = len(self.rows)
        same = [row.case.key for row in self.rows] == [row.case.key for row in rows[:shown]]
        cells = [benchmark_figures.cells(row) for row in rows]
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
        return (*benchmark_figures.HEADINGS, *(benchmark_figures.COMPARED if self._compared else ()))

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
            shown = self.rows[index.row()].shown
            return shown.error or "\n".join(shown.noise.reasons if shown.noise else ()) or None
        if role == Qt.ItemDataRole.TextAlignmentRole and self.headings[index.column()] not in _WORDS:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None


_WORDS = ("operation", "dtype", "change")


class CasesTable(QTableView):
    """The cases, sorted by a click on a heading."""

    def __init__(self, cases: CasesModel) -> None:
        super().__init__(sortingEnabled=True, showGrid=False, wordWrap=False)
        self.setTabKeyNavigation(False)
        self.sorted = QSortFilterProxyModel(self, sortRole=Qt.ItemDataRole.UserRole)
        self.sorted.setSourceModel(cases)
        self.setModel(self.sorted)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)  # in the order of measurement
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = self.horizontalHeader()
        header.setResizeContentsPrecision(0)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 4)
        self.setMinimumHeight(self.fontMetrics().height() * 5)
        self.setAccessibleName("Figures of all cases; the bars show the selected one")


class BarsPlot:
    """A bar for each candidate of a case. fastdrop's is hatched and marked by a triangle."""

    def __init__(self) -> None:
        self.widget = plots.plot("GB/s", "", name="Bars of a case: fastdrop and its baselines")
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
        """Draw these bars: their throughput, or the time of a call."""
        self.shown = shown
        rates = not of_times and (not shown or any(not math.isnan(bar.rate) for bar in shown))
        longest = max((bar.seconds for bar in shown if not math.isnan(bar.seconds)), default=1.0)
        unit, size = next((pair for pair in (("s", 1.0), ("ms", 1e-3)) if longest >= pair[1]), ("µs", 1e-6))
        self.widget.setLabel("bottom", "GB/s" if rates else f"time of a call ({unit})")
        values = [bar.rate if rates else bar.seconds / size for bar in shown]
        self.lengths = [0.0 if math.isnan(value) else value for value in values]
        texts = [bar.text(rates) for bar in shown]
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

    def _fit(self) -> None:
        """Leave room for the text at the end of every bar."""
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
        text = plots.text_color()
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
"""A line's symbol in the plot and in the legend, and its colour; an empty one is the text's."""
_MARKS = {0.5: ("o", "●", plots.BLUE), 0.3: ("s", "■", plots.VERMILION), 0.25: ("d", "◆", plots.GREEN)}
_OTHER_P = ("star", "★", plots.PURPLE)
_APART = {"bottom": 42, "left": 18}
"""Pixels from one label of an axis to the next."""


def mark(p: float | None) -> tuple[str, str, str]:
    """Symbol, its sign in text, and colour."""
    symbol, sign, color = COPY if p is None else _MARKS.get(p, _OTHER_P)
    return symbol, sign, plots.lightened(color) if color else plots.text_color().name()


class ThroughputPlot:
    """Throughput against elements, both logarithmic.

    The symbol says copy or p, and is hollow for one thread, filled for more and large for the GPU; dashed lines are the
    saved run's. `legend` explains those that are shown.
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
        self.legend = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText)
        self.legend.setAccessibleName("Legend")
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
        self.legend.setText(self._legend())
        self.legend.setVisible(bool(self._lines))

    def _legend(self) -> str:
        signs, copies = [], {line.name.partition(",")[0]: None for line, _ in self._lines if line.p is None}
        for p in sorted({line.p for line, _ in self._lines}, key=lambda p: -2.0 if p is None else -p):
            _, sign, color = mark(p)
            signs.append(
                f'<span style="color: {color}">{sign}</span>&nbsp;'
                + (" and ".join(copies) if p is None else f"p = {p:g}")
            )
        fills = {0: "large", 1: "hollow"}
        for threads in sorted({line.threads for line, _ in self._lines}, key=lambda count: count or math.inf):
            signs.append(f"{fills.get(threads, 'filled')}: {_place(threads)}")
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
        """Show as many as there is room for, and always the last one."""
        kept: list[tuple[float, str]] = []
        for at, text in reversed(ticks):
            if not kept or (kept[-1][0] - at) * pixels >= _APART[axis]:
                kept.append((at, text))
        self.widget.getAxis(axis).setTicks([kept])


def _place(threads: int) -> str:
    return {0: "GPU", 1: "1 thread"}.get(threads, f"{threads} threads")


def _size_text(size: int) -> str:
    return f"2^{size.bit_length() - 1}" if size & (size - 1) == 0 else f"{size / 1e6:.3g}M"


def add_labelled(row: QHBoxLayout, text: str, widget: QWidget) -> None:
    """Add a widget and its label to a row."""
    label = QLabel(text)
    label.setBuddy(widget)
    widget.setAccessibleName(text.replace("&", ""))
    row.addWidget(label)
    row.addWidget(widget)


def fill_column(widget: QWidget, top: QHBoxLayout, *below: QWidget) -> None:
    """Lay out a row and widgets below it; plots take the height that is left."""
    column = QVBoxLayout(widget)
    column.setContentsMargins(0, 0, 0, 0)
    column.addLayout(top)
    for each in below:
        column.addWidget(each, 1 if isinstance(each, pg.PlotWidget) else 0)
