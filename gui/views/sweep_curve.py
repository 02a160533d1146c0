"""What a sweep found: the curve over the parameter, and the list of its runs."""

import math
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QPointF, Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from fastdrop.experiments.sweeps import PARAMETERS, QUANTITIES, Result, Sweep, curve
from fastdrop_gui.views import plots

_NEAR = 14
"""Pixels from the pointer within which a point is meant."""
_COLORS = {"gap": plots.PURPLE, "train_accuracy": plots.TRAIN_COLOR, "train_loss": plots.TRAIN_COLOR}
_MOST_LINES = 4
"""Of names along the bottom axis."""

_Index = QModelIndex | QPersistentModelIndex


class RunsModel(QAbstractTableModel):
    """The finished runs as a list: value, seed, figure."""

    def __init__(self) -> None:
        super().__init__()
        self.sweep: Sweep | None = None
        self.results: list[Result] = []
        self.quantity = next(iter(QUANTITIES))
        self._places: dict[Any, int] = {}
        self._seeds: dict[int, int] = {}

    def begin(self, sweep: Sweep) -> None:
        """Empty, for this sweep."""
        self.beginResetModel()
        self.sweep, self.results = sweep, []
        values = sweep.values if PARAMETERS[sweep.parameter].choices else sorted(sweep.values)
        self._places = {value: place for place, value in enumerate(values)}
        self._seeds = {seed: place for place, seed in enumerate(sorted(sweep.seeds))}
        self.endResetModel()

    def add(self, results: list[Result]) -> None:
        """Runs that have finished."""
        first = len(self.results)
        self.beginInsertRows(QModelIndex(), first, first + len(results) - 1)
        self.results = self.results + results
        self.endInsertRows()

    def show_quantity(self, quantity: str) -> None:
        """Another last column."""
        self.quantity = quantity
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 2, 2)
        if self.results:
            self.dataChanged.emit(self.index(0, 2), self.index(len(self.results) - 1, 2))

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008 - Qt's signature
        return 0 if parent.isValid() else len(self.results)

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else 3

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return ("value", "seed", short(self.quantity).replace(" ", "\n"))[section]

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        result, column = self.results[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self.texts(result)[column]
        if role == Qt.ItemDataRole.UserRole:  # what is sorted by; runs of a value by their seeds
            place, seed = self._places[result.value], self._seeds[result.seed]
            figure = result.figure(self.quantity)
            by = (place * len(self._seeds) + seed, seed * len(self._places) + place, figure)[column]
            return by if math.isfinite(by) else math.inf
        if role == Qt.ItemDataRole.ToolTipRole:
            return result.error or None
        if role == Qt.ItemDataRole.TextAlignmentRole and column > 0:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def texts(self, result: Result) -> tuple[str, str, str]:
        """A run's value, seed and figure in words."""
        assert self.sweep is not None
        figure = "failed" if result.error else f"{result.figure(self.quantity):.4g}"
        return self.sweep.name_of(result.value), str(result.seed), figure


def short(quantity: str) -> str:
    """A quantity's name without its unit."""
    return QUANTITIES[quantity].partition(":")[0].partition(" (")[0]


class SweepCurve:
    """The curve: single runs as rings, their mean, and a band or bars of one standard deviation on either side."""

    def __init__(self) -> None:
        self.widget = plots.plot("value", "", name="The swept quantity against the parameter")
        self.widget.setMenuEnabled(False)
        self.widget.setMouseEnabled(x=False, y=False)
        self.widget.setLimits(minYRange=1e-3)
        self.widget.setXRange(0, 1)
        self.widget.getAxis("bottom").setStyle(hideOverlappingLabels=False)
        self.widget.getPlotItem().layout.setContentsMargins(0, 4, 20, 4)  # for half of the last value's name
        self.points = pg.ScatterPlotItem(size=7, symbol="o", brush=None)
        self.mean = pg.PlotDataItem(symbol="d", symbolSize=9)
        self.low, self.high = pg.PlotDataItem(), pg.PlotDataItem()
        self.band = pg.FillBetweenItem(self.low, self.high)
        self.bars = pg.ErrorBarItem(beam=0.15)
        self.chosen = pg.ScatterPlotItem(size=17, symbol="s", brush=None)
        for item in (self.band, self.low, self.high, self.bars, self.mean, self.points, self.chosen):
            self.widget.addItem(item)
        self.widget.getPlotItem().vb.sigResized.connect(self._label)
        self.sweep: Sweep | None = None
        self.x: dict[Any, float] = {}
        self.shown: list[Result] = []
        self.quantity = ""

    def begin(self, sweep: Sweep) -> None:
        """Empty, with the axis of this sweep."""
        self.sweep = sweep
        self.widget.setLabel("bottom", PARAMETERS[sweep.parameter].title)
        self.x = self._places(sweep)
        self._label()
        places = list(self.x.values())
        margin = max(0.08 * (max(places) - min(places)), 0.5 if self.has_choices else 1e-9 + 0.02 * abs(places[0]))
        self.widget.setXRange(min(places) - margin, max(places) + margin, padding=0)
        self.choose(None)

    @property
    def has_choices(self) -> bool:
        return self.sweep is not None and bool(PARAMETERS[self.sweep.parameter].choices)

    @property
    def is_logarithmic(self) -> bool:
        """Where the parameter wants it and every value has a logarithm."""
        assert self.sweep is not None
        return PARAMETERS[self.sweep.parameter].logarithmic and min(self.sweep.values) > 0

    def _places(self, sweep: Sweep) -> dict[Any, float]:
        """Where each value stands."""
        if self.has_choices:
            return {value: float(number) for number, value in enumerate(sweep.values)}
        return {value: math.log10(value) if self.is_logarithmic else float(value) for value in sweep.values}

    def _label(self) -> None:
        """Values as ticks where equal steps would not be round numbers: all choices, on several lines where there is
        no room for one; and as many numbers as there is room for."""
        axis = self.widget.getAxis("bottom")
        axis.setHeight(None)
        if self.sweep is None or not (self.has_choices or self.is_logarithmic):
            axis.setTicks(None)
            return
        ticks = sorted((self.x[value], self.sweep.name_of(value)) for value in self.sweep.values)
        metrics = self.widget.fontMetrics()
        needed = len(ticks) * max(metrics.horizontalAdvance(f"{name}    ") for _, name in ticks)
        times = math.ceil(needed / max(1.0, self.widget.getPlotItem().vb.width()))
        if self.has_choices:
            lines = min(times, _MOST_LINES)
            axis.setTicks([[(x, "\n" * (number % lines) + name) for number, (x, name) in enumerate(ticks)]])
            axis.setHeight((lines + 1) * metrics.lineSpacing() + 20)
        else:
            axis.setTicks([ticks[::times], [(x, "") for x, _ in ticks]])

    def draw(self, results: list[Result], quantity: str) -> None:
        """All of the results; those that failed have no place."""
        assert self.sweep is not None
        self.quantity = quantity
        self.widget.setLabel("left", QUANTITIES[quantity].partition(":")[0])
        figures = [result.figure(quantity) for result in results]
        self.shown = [result for result, figure in zip(results, figures, strict=True) if math.isfinite(figure)]
        y = np.array([figure for figure in figures if math.isfinite(figure)])
        self.points.setData(np.array([self.x[result.value] for result in self.shown]), y)
        spreads = curve(self.sweep, results, quantity)
        x = np.array([self.x[value] for value, _ in spreads])
        mean = np.array([spread.mean for _, spread in spreads])
        deviation = np.array([spread.std for _, spread in spreads])
        self.mean.setData(x, mean)
        if self.has_choices:
            self.bars.setData(x=x, y=mean, height=2 * deviation)
        else:
            self.bars.setData(x=None, y=None)  # hides them; empty ones would stretch the axis to 0
        self.low.setData(x, mean - deviation)
        self.high.setData(x, mean + deviation)
        for item in (self.low, self.high, self.band):
            item.setVisible(not self.has_choices)

    def color(self, quantity: str) -> None:
        """In the theme's colours; what belongs to training as in the other views."""
        color = _COLORS.get(quantity, plots.TEST_COLOR)
        pen = plots.pen(color)
        fill = QColor(plots.lightened(color))
        self.points.setPen(pen)
        self.mean.setSymbolPen(pen)
        self.mean.setSymbolBrush(pg.mkBrush(fill))
        self.mean.setPen(None if self.has_choices else pen)
        self.bars.setData(pen=pen)
        for edge in (self.low, self.high):
            edge.setPen(plots.pen(color, Qt.PenStyle.DotLine))
        fill.setAlpha(60)
        self.band.setBrush(fill)
        text = QApplication.palette().color(QPalette.ColorRole.Text)
        self.chosen.setPen(pg.mkPen(text, width=1))

    def choose(self, result: Result | None) -> None:
        """Frame a run's point."""
        if result is None or not math.isfinite(result.figure(self.quantity)):
            self.chosen.setData([], [])
        else:
            self.chosen.setData([self.x[result.value]], [result.figure(self.quantity)])

    def position(self, result: Result) -> QPointF:
        """Where a run's point is in the scene."""
        point = QPointF(self.x[result.value], result.figure(self.quantity))
        return self.widget.getPlotItem().vb.mapViewToScene(point)

    def near(self, position: QPointF) -> Result | None:
        """The run whose point is nearest to a place in the scene, if one is near."""
        if not self.shown:
            return None
        box = self.widget.getPlotItem().vb
        origin, unit = box.mapViewToScene(QPointF(0, 0)), box.mapViewToScene(QPointF(1, 1))
        x, y = self.points.getData()
        across = origin.x() + x * (unit.x() - origin.x()) - position.x()
        down = origin.y() + y * (unit.y() - origin.y()) - position.y()
        distance = np.hypot(across, down)
        nearest = int(np.argmin(distance))
        return self.shown[nearest] if distance[nearest] <= _NEAR else None
