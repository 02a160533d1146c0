"""The outputs of a layer as bars."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtGui import QColor

from fastdrop_gui.views.widgets import cells

_BAR_COLOR = "#8a8a8a"


class OutputBars:
    """A layer's outputs as bars beside the rows of its weights; rings mark the outputs without dropout."""

    def __init__(self, name: str) -> None:
        self.plot = cells.bare_plot(name)
        self.bars = pg.BarGraphItem(x0=0, y=[], height=0.7, width=[], pen=None, brush=_BAR_COLOR)
        self.rings = pg.PlotDataItem(pen=None, symbol="o", symbolSize=7, symbolBrush=None)
        self.zero = pg.InfiniteLine(0, angle=90)
        for item in (self.bars, self.zero, self.rings):
            self.plot.addItem(item)

    def show(self, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Show the outputs without and with dropout. The axis has room for twice the first, as p = 1/2 needs."""
        rows = np.arange(len(before)) + 0.5
        self.bars.setOpts(y=rows, width=after)
        self.rings.setData(before, rows)
        top = 2 * max(float(np.abs(before).max()), 1e-12)
        low = -top if (before < 0).any() else 0.0
        self.plot.setRange(xRange=(low, top), yRange=(0, len(before)), padding=0.02)

    def recolor(self, color: QColor) -> None:
        """Draw rings and the zero line in the theme's text colour."""
        self.rings.setSymbolPen(pg.mkPen(color, width=1))
        self.zero.setPen(pg.mkPen(color, width=1))
