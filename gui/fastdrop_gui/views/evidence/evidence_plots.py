"""Pictures of a comparison: the paired differences with their interval, and the reliability curves."""

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor

from fastdrop.experiments.evidence import Evidence
from fastdrop_gui.views.widgets import plots

WITH, WITHOUT = plots.BLUE, plots.ORANGE
_HEIGHT = 250


def _plot(bottom: str, left: str, name: str) -> pg.PlotWidget:
    widget = plots.plot(bottom, left, name=name)
    widget.setMouseEnabled(x=False, y=False)
    widget.setMenuEnabled(False)
    widget.setFixedHeight(_HEIGHT)
    return widget


class DifferencesPlot:
    """A point for each split: test accuracy with dropout minus without. A band is the interval of their mean."""

    def __init__(self) -> None:
        self.widget = _plot("split", "percentage points", "Paired differences of the splits")
        self.zero = pg.InfiniteLine(0, angle=0)
        self.mean = pg.InfiniteLine(0, angle=0)
        self.band = pg.LinearRegionItem((0, 0), orientation="horizontal", movable=False)
        self.points = pg.ScatterPlotItem(size=9)
        for item in (self.band, self.zero, self.mean, self.points):
            self.widget.addItem(item)
        for line in self.band.lines:
            line.setPen(None)

    def draw(self, evidence: Evidence) -> None:
        """Show these splits."""
        numbers = np.array([result.number + 1 for result in evidence.results])
        differences, interval = 100 * evidence.differences, evidence.interval
        self.points.setData(numbers, differences)
        self.mean.setValue(100 * interval.mean)
        ends = [0.0, 100 * interval.mean]
        self.band.setVisible(interval.low is not None)
        if interval.low is not None and interval.high is not None:
            ends += [100 * interval.low, 100 * interval.high]
            self.band.setRegion((100 * interval.low, 100 * interval.high))
        low, high = min(*ends, differences.min()), max(*ends, differences.max())
        margin = max(0.1 * (high - low), 0.05)
        self.widget.setYRange(low - margin, high + margin, padding=0)
        self.widget.setXRange(0.5, evidence.plan.splits + 0.5, padding=0)
        if evidence.plan.splits <= 20:
            ticks = [(number, str(number)) for number in range(1, evidence.plan.splits + 1)]
            self.widget.getAxis("bottom").setTicks([ticks])
        else:
            self.widget.getAxis("bottom").setTicks(None)

    def color(self) -> None:
        """Follow the theme."""
        plots.color_plot(self.widget)
        color = QColor(plots.lightened(WITH))
        self.points.setBrush(color)
        self.points.setPen(pg.mkPen(plots.text_color(), width=0.5))
        self.mean.setPen(pg.mkPen(color, width=1))
        self.zero.setPen(pg.mkPen(plots.text_color(), width=1, style=Qt.PenStyle.DashLine))
        color.setAlpha(45)
        self.band.setBrush(color)


class ReliabilityPlot:
    """Accuracy against confidence, in bins: on the diagonal, a network is as sure as it is right."""

    def __init__(self) -> None:
        self.widget = _plot("confidence (largest probability)", "accuracy", "Reliability of both networks")
        self.diagonal = pg.PlotCurveItem([0, 1], [0, 1])
        self.widget.addItem(self.diagonal)
        self.widget.addLegend(offset=(8, 4), labelTextSize="8pt")
        self.curves = {
            "Baseline": self.widget.plot(name="Baseline (no dropout)", symbol="s"),
            "Dropout": self.widget.plot(name="With dropout", symbol="o"),
        }

    def draw(self, evidence: Evidence) -> None:
        """Show both networks; larger marks have more test rows."""
        arms = (evidence.baseline, evidence.dropout)
        for curve, metrics in zip(self.curves.values(), arms, strict=True):
            points = metrics.reliability
            rows = np.array([point.rows for point in points], float)
            sizes = 5 + 9 * np.sqrt(rows / rows.max())
            curve.setData(
                [point.confidence for point in points], [point.accuracy for point in points], symbolSize=sizes
            )
        least = max(0.0, 1 / len(evidence.class_names) - 0.05)  # the largest probability cannot be smaller
        self.widget.setRange(xRange=(least, 1.03), yRange=(-0.03, 1.05), padding=0)

    def color(self) -> None:
        """Follow the theme."""
        plots.color_plot(self.widget)
        self.diagonal.setPen(pg.mkPen(plots.text_color(), width=1, style=Qt.PenStyle.DotLine))
        for color, style, curve in zip(
            (WITHOUT, WITH), (Qt.PenStyle.DashLine, Qt.PenStyle.SolidLine), self.curves.values(), strict=True
        ):
            line = QColor(color if color == WITHOUT else plots.lightened(color))
            curve.setPen(pg.mkPen(line, width=1, style=style))
            curve.setSymbolBrush(line)
            curve.setSymbolPen(pg.mkPen(plots.text_color(), width=0.5))
        self.widget.getPlotItem().legend.setBrush(pg.mkBrush(*plots.rgb(plots.background_color()), 190))
