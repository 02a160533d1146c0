"""The curve of a sweep: a metric against the parameter."""

import math
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from fastdrop.experiments.sweeps import PARAMETERS, QUANTITIES, Result, Sweep, curve
from fastdrop_gui.model.wording import display_name
from fastdrop_gui.views.widgets import plots

_NEAR = 14
"""Pixels: how far the pointer may be from a point to select it."""
_COLORS = {"gap": plots.PURPLE, "train_accuracy": plots.TRAIN_COLOR, "train_loss": plots.TRAIN_COLOR}
_MOST_LINES = 4
"""Of names along the bottom axis."""


class SweepCurve:
    """The curve: single runs as rings, their mean, and a band or bars of one standard deviation on either side."""

    def __init__(self) -> None:
        self.widget = plots.plot("value", "", name="The metric against the parameter")
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
        self.metric = ""

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
        """Whether the axis is logarithmic: the parameter suggests it, and all values are positive."""
        assert self.sweep is not None
        return PARAMETERS[self.sweep.parameter].logarithmic and min(self.sweep.values) > 0

    def _places(self, sweep: Sweep) -> dict[Any, float]:
        """The x coordinate of each value."""
        if self.has_choices:
            return {value: float(number) for number, value in enumerate(sweep.values)}
        return {value: math.log10(value) if self.is_logarithmic else float(value) for value in sweep.values}

    def _label(self) -> None:
        """Label choices and logarithmic values by their names: choices on several lines where they do not fit on one,
        numbers as many as fit."""
        axis = self.widget.getAxis("bottom")
        axis.setHeight(None)
        if self.sweep is None or not (self.has_choices or self.is_logarithmic):
            axis.setTicks(None)
            return
        ticks = sorted((self.x[value], display_name(self.sweep.name_of(value))) for value in self.sweep.values)
        metrics = self.widget.fontMetrics()
        needed = len(ticks) * max(metrics.horizontalAdvance(f"{name}    ") for _, name in ticks)
        times = math.ceil(needed / max(1.0, self.widget.getPlotItem().vb.width()))
        if self.has_choices:
            lines = min(times, _MOST_LINES)
            axis.setTicks([[(x, "\n" * (number % lines) + name) for number, (x, name) in enumerate(ticks)]])
            axis.setHeight((lines + 1) * metrics.lineSpacing() + 20)
        else:
            axis.setTicks([ticks[::times], [(x, "") for x, _ in ticks]])

    def draw(self, results: list[Result], metric: str) -> None:
        """Draw all results; failed ones have no point."""
        assert self.sweep is not None
        self.metric = metric
        self.widget.setLabel("left", QUANTITIES[metric].partition(":")[0])
        figures = [result.figure(metric) for result in results]
        self.shown = [result for result, figure in zip(results, figures, strict=True) if math.isfinite(figure)]
        y = np.array([figure for figure in figures if math.isfinite(figure)])
        self.points.setData(np.array([self.x[result.value] for result in self.shown]), y)
        spreads = curve(self.sweep, results, metric)
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

    def color(self, metric: str) -> None:
        """Take the theme's colours; training metrics have the colour that they have in the curves."""
        color = _COLORS.get(metric, plots.TEST_COLOR)
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
        """Frame a run's point, or none."""
        if result is None or not math.isfinite(result.figure(self.metric)):
            self.chosen.setData([], [])
        else:
            self.chosen.setData([self.x[result.value]], [result.figure(self.metric)])

    def position(self, result: Result) -> QPointF:
        """Where a run's point is in the scene."""
        point = QPointF(self.x[result.value], result.figure(self.metric))
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
