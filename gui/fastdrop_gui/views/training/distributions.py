"""Histograms of weights and activations over the training: time runs right, values up, bright is frequent."""

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtWidgets import QComboBox, QHBoxLayout

from fastdrop.experiments.diagnostics import QUANTILES
from fastdrop_gui.model.downsampled import DownsampledSeries
from fastdrop_gui.views.widgets import plots
from fastdrop_gui.views.widgets.fields import NarrowChoice, caption
from fastdrop_gui.views.widgets.layouts import row, stack
from fastdrop_gui.views.widgets.view import Table, View

BINS = 60
TIMES = 200
"""Columns of the picture."""


def densities(quantiles: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fraction of the values in each bin, from their quantiles; shape (bins,)."""
    spread = quantiles.astype(np.float64) + np.arange(len(quantiles)) * 1e-12  # equal quantiles are steps
    shares: NDArray[np.float64] = np.diff(np.interp(edges, spread, QUANTILES, left=0.0, right=1.0))
    return shares


class DistributionsView(View):
    """Chosen by what and by layer: the histogram over time, and the newest one beside it."""

    title = "Distributions"
    description = "Histograms of weights and activations over the training"

    def __init__(self) -> None:
        super().__init__()
        self.kind = QComboBox()
        self.kind.addItem("Weights", "weights")
        self.kind.addItem("Activations", "activations")
        self.kind.setAccessibleName("Weights or activations")
        self.layer = NarrowChoice("Layer")
        self.caption = caption()
        self.over_time = plots.plot("epoch", "value", name="Histogram over time")
        self.image = pg.ImageItem(axisOrder="row-major")
        self.over_time.addItem(self.image)
        self.now = plots.plot("fraction", "", name="Newest histogram")
        self.now.setYLink(self.over_time)
        self.now.getAxis("bottom").setStyle(maxTickLevel=0)
        self.bars = pg.BarGraphItem(x0=[0.0], y=[0.0], width=[0.0], height=[0.0])
        self.now.addItem(self.bars)
        self._series: dict[tuple[str, str], DownsampledSeries] = {}
        self._drawn: tuple[object, ...] = ()
        both = QHBoxLayout()
        both.addWidget(self.over_time, 2)
        both.addWidget(self.now, 1)
        stack(self, row(self.kind, self.layer, self.caption), both, grows=both)
        self.picture = np.zeros((0, 0))
        self.kind.currentIndexChanged.connect(self._offer)
        self.layer.currentIndexChanged.connect(self._draw)

    def show_distributions(self, series: dict[tuple[str, str], DownsampledSeries]) -> None:
        """Draw what was gathered so far, if there is more of it."""
        self._series = series
        if self._state() != self._drawn:
            self._offer()

    def _state(self) -> tuple[object, ...]:
        """What is drawn, and up to where."""
        shown = self.shown
        newest = shown[-1][0] if shown else None
        return id(shown), newest, len(self._series), plots.is_dark()

    def _offer(self) -> None:
        """The layers that there are; the chosen one stays chosen."""
        names = [layer for kind, layer in self._series if kind == self.kind.currentData()]
        self.layer.offer(names)
        self._draw()

    @property
    def shown(self) -> DownsampledSeries | None:
        """What is drawn."""
        return self._series.get((self.kind.currentData(), self.layer.currentText()))

    def _draw(self) -> None:
        series = self.shown
        self._drawn = self._state()
        if not series:
            self.image.clear()
            self.bars.setOpts(x0=[0.0], y=[0.0], width=[0.0], height=[0.0])
            self.caption.setText("Appears as the network trains.")
            return
        epochs = np.array([epoch for epoch, _ in series])
        quantiles = np.stack([values for _, values in series])
        low, high = float(quantiles[:, 0].min()), float(quantiles[:, -1].max())
        edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
        shares = np.stack([densities(row, edges) for row in quantiles])
        times = np.linspace(epochs[0], epochs[-1], min(TIMES, 4 * len(epochs)))
        places = np.searchsorted(epochs, times, side="right") - 1
        self.picture = np.sqrt(shares[places]).T  # a root, or the bin of a ReLU's zeros would leave the others dark
        self.image.setImage(self.picture, autoLevels=False, levels=(0.0, max(float(self.picture.max()), 1e-12)))
        self.image.setLookupTable(plots.lookup("viridis"))
        self.image.setRect(epochs[0], edges[0], max(epochs[-1] - epochs[0], 1e-3), edges[-1] - edges[0])
        self.over_time.setRange(
            xRange=(epochs[0], max(epochs[-1], epochs[0] + 1e-3)), yRange=(edges[0], edges[-1]), padding=0
        )
        step = edges[1] - edges[0]
        brush = plots.lightened(plots.BLUE)
        self.bars.setOpts(
            x0=np.zeros(BINS),
            y=edges[:-1] + step / 2,
            width=shares[-1],
            height=np.full(BINS, step),
            brush=brush,
            pen=brush,
        )
        middle = quantiles[-1][len(QUANTILES) // 2]
        self.caption.setText(
            f"{quantiles[-1, 0]:.3g} to {quantiles[-1, -1]:.3g}, median {middle:.3g} (epoch {epochs[-1]:.1f})"
        )

    def table(self) -> Table:
        headings = ["epoch", *(f"quantile {share:.3f}" for share in QUANTILES)]
        return Table(headings, [[epoch, *map(float, values)] for epoch, values in self.shown or []])
