"""Train and test curves of the current run, with the gap shaded, of its baseline and of pinned runs."""

import math
from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QHBoxLayout

from fastdrop.experiments import EpochRecord, Run
from fastdrop_gui.views.widgets import plots
from fastdrop_gui.views.widgets.plots import COLORS, STYLES
from fastdrop_gui.views.widgets.view import Table, View

MOST_POINTS = 240
"""Of a curve; more than a plot has pixels would only cost time."""
BASELINE_COLOR = plots.GREEN
BASELINE_STYLES = {"train": Qt.PenStyle.DashDotLine, "test": Qt.PenStyle.DashDotDotLine}
_GAP_SHADE = 60
_STEPS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
METRICS = ("accuracy", "loss")


def downsampled(values: Sequence[EpochRecord]) -> Sequence[EpochRecord]:
    """At most about `MOST_POINTS` of the values, with the last one."""
    apart = -(-len(values) // MOST_POINTS)
    return values if apart <= 1 else [*values[:-1:apart], values[-1]]


def stepped(value: float) -> float:
    """The value, rounded up to one of ten steps in a decade: an axis that changes seldom is drawn seldom."""
    if not 0 < value < math.inf:
        return 1.0
    decade = 10.0 ** math.floor(math.log10(value))
    return next((step * decade for step in _STEPS if value <= step * decade), 10 * decade)


class CurvesView(View):
    """Accuracy and loss against epochs; train dashed, test solid, the gap between them shaded."""

    title = "Curves"
    description = "Accuracy and loss of the training and the test examples against epochs"

    def __init__(self) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.curves: dict[str, pg.PlotDataItem] = {}
        self.plots: dict[str, pg.PlotWidget] = {}
        self.frames: dict[str, pg.PlotCurveItem] = {}
        """Invisible, around the curves: the range that a plot chooses by itself then grows in steps."""
        self.gaps: dict[str, pg.FillBetweenItem] = {}
        self.run_curves: dict[str, list[pg.PlotDataItem]] = {metric: [] for metric in METRICS}
        self._corners: dict[str, tuple[list[float], list[float]]] = {}
        self._history: list[EpochRecord] = []
        self._baseline: list[EpochRecord] = []
        self._runs: tuple[Run, ...] = ()
        self._drawn: tuple[int, ...] = ()
        self._baseline_named = False
        for metric in METRICS:
            layout.addWidget(self._plot(metric))
        self.recolor()

    def _plot(self, metric: str) -> pg.PlotWidget:
        plot = plots.plot("epoch", metric if metric == "accuracy" else "cross-entropy loss", name=f"{metric} curves")
        plot.setLimits(xMin=0, yMin=0, minXRange=1, minYRange=0.05)
        plot.addLegend(offset=(-10, -10) if metric == "accuracy" else (-10, 10))
        for who in ("train", "test"):
            self.curves[f"{who}_{metric}"] = plot.plot(name=who)
        for who in ("train", "test"):
            self.curves[f"baseline {who}_{metric}"] = plot.plot()
        self.frames[metric] = pg.PlotCurveItem(pen=None)
        plot.addItem(self.frames[metric])
        gap = pg.FillBetweenItem(self.curves[f"train_{metric}"], self.curves[f"test_{metric}"])
        plot.addItem(gap)
        self.gaps[metric] = gap
        if metric == "accuracy":
            plot.setYRange(0, 1, padding=0.02)
        self.plots[metric] = plot
        plots.color_plot(plot)
        return plot

    def recolor(self) -> None:
        """Pens and shade in the theme's colours."""
        for name, curve in self.curves.items():
            color = plots.TRAIN_COLOR if "train" in name else plots.TEST_COLOR
            style = plots.TRAIN_STYLE if "train" in name else plots.TEST_STYLE
            if "baseline" in name:
                color, style = BASELINE_COLOR, BASELINE_STYLES["train" if "train" in name else "test"]
            curve.setPen(plots.pen(color, style))
        shade = QColor(plots.lightened(plots.TEST_COLOR))
        shade.setAlpha(_GAP_SHADE)
        for gap in self.gaps.values():
            gap.setBrush(pg.mkBrush(shade))

    def show_history(
        self, history: list[EpochRecord], baseline: list[EpochRecord] | None = None, runs: tuple[Run, ...] = ()
    ) -> None:
        """Draw all epochs, if there is a new one."""
        baseline = baseline or []
        state = (id(history), len(history), len(baseline), *map(id, runs))
        if state == self._drawn:
            return
        self._drawn = state
        self._history, self._baseline = history, baseline
        for prefix, records in (("", history), ("baseline ", baseline)):
            shown = downsampled(records)
            epochs = np.array([record.epoch for record in shown], float)
            for metric in METRICS:
                for who in ("train", "test"):
                    self._set(f"{prefix}{who}_{metric}", epochs, shown)
            if not prefix:
                self._grow(shown)
        for gap in self.gaps.values():
            gap.setVisible(len(history) > 1)
        if bool(baseline) != self._baseline_named:
            self._name_baseline(bool(baseline))
        if runs != self._runs:
            self._show_runs(runs)

    def _grow(self, records: Sequence[EpochRecord]) -> None:
        """Grow the axes to hold the records."""
        losses = [loss for record in records for loss in (record.train_loss, record.test_loss) if math.isfinite(loss)]
        highest = {"accuracy": 1.0, "loss": stepped(max(losses, default=1.0))}
        last = stepped(records[-1].epoch) if records else 1.0
        for metric, frame in self.frames.items():
            corner = [0.0, last], [0.0, highest[metric]]
            if corner != self._corners.get(metric):
                self._corners[metric] = corner
                frame.setData(*corner)

    def _set(self, name: str, epochs: NDArray[np.float64], records: Sequence[EpochRecord]) -> None:
        attribute = name.removeprefix("baseline ")
        curve = self.curves[name]
        # The gap would be drawn after each of its two curves; after the test curve is enough.
        blocked = curve.blockSignals(name.startswith("train"))
        curve.setData(epochs, np.array([getattr(record, attribute) for record in records], float))
        curve.blockSignals(blocked)

    def _name_baseline(self, there: bool) -> None:
        """Name the baseline in the legend while there is one."""
        self._baseline_named = there
        for metric in METRICS:
            legend = self.plots[metric].getPlotItem().legend
            for who in ("train", "test"):
                curve = self.curves[f"baseline {who}_{metric}"]
                named = legend.getLabel(curve) is not None
                if there and not named:
                    legend.addItem(curve, f"baseline: {who}")
                elif named and not there:
                    legend.removeItem(curve)
            plots.color_legend(self.plots[metric])

    def _show_runs(self, runs: tuple[Run, ...]) -> None:
        """The test curves of pinned runs."""
        self._runs = runs
        for metric in METRICS:
            plot = self.plots[metric]
            for curve in self.run_curves[metric]:
                plot.removeItem(curve)
            self.run_curves[metric] = []
            for number, run in enumerate(runs):
                shown = downsampled(run.history)
                pen = plots.pen(COLORS[(number + 3) % len(COLORS)], STYLES[(number + 2) % len(STYLES)])
                curve = plot.plot(
                    [record.epoch for record in shown],
                    [getattr(record, f"test_{metric}") for record in shown],
                    pen=pen,
                    name=f"pinned {number + 1}: test" if metric == "accuracy" else None,
                )
                self.run_curves[metric].append(curve)
            plots.color_legend(plot)

    def table(self) -> Table:
        headings = ["run", "epoch", "train loss", "test loss", "train accuracy", "test accuracy"]
        groups = [
            ("this run", self._history),
            ("baseline (no dropout)", self._baseline),
            *((run.name, run.history) for run in self._runs),
        ]
        rows = [
            (name, row.epoch, row.train_loss, row.test_loss, row.train_accuracy, row.test_accuracy)
            for name, records in groups
            for row in records
        ]
        return Table(headings, rows)
