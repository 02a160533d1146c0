"""Train and test curves, as training goes, with the gap shaded; the twin's and kept runs' beside them."""

import math
from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QHBoxLayout

from fastdrop.experiments import EpochRecord, Run
from fastdrop_gui.views import plots
from fastdrop_gui.views.plots import COLORS, STYLES, Table, View

MOST_POINTS = 240
"""Of a curve; more than a plot has pixels would only cost time."""
TWIN_COLOR = plots.GREEN
_GAP_SHADE = 60
_STEPS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
QUANTITIES = ("accuracy", "loss")


def thinned(values: Sequence[EpochRecord]) -> Sequence[EpochRecord]:
    """At most about `MOST_POINTS` of them, the last one among them."""
    apart = -(-len(values) // MOST_POINTS)
    return values if apart <= 1 else [*values[:-1:apart], values[-1]]


def stepped(value: float) -> float:
    """The value, rounded up to one of ten in a decade: an axis that moves seldom is drawn seldom."""
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
        """Unseen, around the curves: the range that a plot chooses by itself grows in steps."""
        self.gaps: dict[str, pg.FillBetweenItem] = {}
        self.run_curves: dict[str, list[pg.PlotDataItem]] = {quantity: [] for quantity in QUANTITIES}
        self._corners: dict[str, tuple[list[float], list[float]]] = {}
        self._history: list[EpochRecord] = []
        self._twin: list[EpochRecord] = []
        self._runs: tuple[Run, ...] = ()
        self._drawn: tuple[int, ...] = ()
        self._twin_named = False
        for quantity in QUANTITIES:
            layout.addWidget(self._plot(quantity))
        self.recolor()

    def _plot(self, quantity: str) -> pg.PlotWidget:
        plot = plots.plot("epoch", quantity if quantity == "accuracy" else "loss (nats)", name=f"{quantity} curves")
        plot.setLimits(xMin=0, yMin=0, minXRange=1, minYRange=0.05)
        plot.addLegend(offset=(-10, -10) if quantity == "accuracy" else (-10, 10))
        for who in ("train", "test"):
            self.curves[f"{who}_{quantity}"] = plot.plot(name=who)
        for who in ("train", "test"):
            self.curves[f"twin {who}_{quantity}"] = plot.plot()
        self.frames[quantity] = pg.PlotCurveItem(pen=None)
        plot.addItem(self.frames[quantity])
        gap = pg.FillBetweenItem(self.curves[f"train_{quantity}"], self.curves[f"test_{quantity}"])
        plot.addItem(gap)
        self.gaps[quantity] = gap
        if quantity == "accuracy":
            plot.setYRange(0, 1, padding=0.02)
        self.plots[quantity] = plot
        plots.color_plot(plot)
        return plot

    def recolor(self) -> None:
        """Pens and shade for the theme at hand."""
        for name, curve in self.curves.items():
            color = plots.TRAIN_COLOR if "train" in name else plots.TEST_COLOR
            style = plots.TRAIN_STYLE if "train" in name else plots.TEST_STYLE
            curve.setPen(plots.pen(TWIN_COLOR if "twin" in name else color, style))
        shade = QColor(plots.lightened(plots.TEST_COLOR))
        shade.setAlpha(_GAP_SHADE)
        for gap in self.gaps.values():
            gap.setBrush(pg.mkBrush(shade))

    def show_history(
        self, history: list[EpochRecord], twin: list[EpochRecord] | None = None, runs: tuple[Run, ...] = ()
    ) -> None:
        """Draw all of the epochs, if there is a new one."""
        twin = twin or []
        state = (id(history), len(history), len(twin), *map(id, runs))
        if state == self._drawn:
            return
        self._drawn = state
        self._history, self._twin = history, twin
        for prefix, records in (("", history), ("twin ", twin)):
            shown = thinned(records)
            epochs = np.array([record.epoch for record in shown], float)
            for quantity in QUANTITIES:
                for who in ("train", "test"):
                    self._set(f"{prefix}{who}_{quantity}", epochs, shown)
            if not prefix:
                self._grow(shown)
        for gap in self.gaps.values():
            gap.setVisible(len(history) > 1)
        if bool(twin) != self._twin_named:
            self._name_twin(bool(twin))
        if runs != self._runs:
            self._show_runs(runs)

    def _grow(self, records: Sequence[EpochRecord]) -> None:
        """Give the axes room for these."""
        losses = [loss for record in records for loss in (record.train_loss, record.test_loss) if math.isfinite(loss)]
        highest = {"accuracy": 1.0, "loss": stepped(max(losses, default=1.0))}
        last = stepped(records[-1].epoch) if records else 1.0
        for quantity, frame in self.frames.items():
            corner = [0.0, last], [0.0, highest[quantity]]
            if corner != self._corners.get(quantity):
                self._corners[quantity] = corner
                frame.setData(*corner)

    def _set(self, name: str, epochs: NDArray[np.float64], records: Sequence[EpochRecord]) -> None:
        attribute = name.removeprefix("twin ")
        curve = self.curves[name]
        # The gap is drawn anew for each of its curves: once, when the test curve is there, is enough.
        blocked = curve.blockSignals(name.startswith("train"))
        curve.setData(epochs, np.array([getattr(record, attribute) for record in records], float))
        curve.blockSignals(blocked)

    def _name_twin(self, there: bool) -> None:
        """The twin stands in the legend while there is one."""
        self._twin_named = there
        for quantity in QUANTITIES:
            legend = self.plots[quantity].getPlotItem().legend
            for who in ("train", "test"):
                curve = self.curves[f"twin {who}_{quantity}"]
                named = legend.getLabel(curve) is not None
                if there and not named:
                    legend.addItem(curve, f"no dropout: {who}")
                elif named and not there:
                    legend.removeItem(curve)
            plots.color_legend(self.plots[quantity])

    def _show_runs(self, runs: tuple[Run, ...]) -> None:
        """The test curves of runs that are kept to compare with."""
        self._runs = runs
        for quantity in QUANTITIES:
            plot = self.plots[quantity]
            for curve in self.run_curves[quantity]:
                plot.removeItem(curve)
            self.run_curves[quantity] = []
            for number, run in enumerate(runs):
                shown = thinned(run.history)
                pen = plots.pen(COLORS[(number + 3) % len(COLORS)], STYLES[(number + 2) % len(STYLES)])
                curve = plot.plot(
                    [record.epoch for record in shown],
                    [getattr(record, f"test_{quantity}") for record in shown],
                    pen=pen,
                    name=f"kept {number + 1}: test" if quantity == "accuracy" else None,
                )
                self.run_curves[quantity].append(curve)
            plots.color_legend(plot)

    def table(self) -> Table:
        headings = ["run", "epoch", "train loss", "test loss", "train accuracy", "test accuracy"]
        groups = [
            ("this run", self._history),
            ("no dropout", self._twin),
            *((run.name, run.history) for run in self._runs),
        ]
        rows = [
            (name, row.epoch, row.train_loss, row.test_loss, row.train_accuracy, row.test_accuracy)
            for name, records in groups
            for row in records
        ]
        return Table(headings, rows)
