"""Train and test curves, as training goes."""

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QWidget

from fastdrop.experiments import EpochRecord

TRAIN_COLOR, TEST_COLOR = "#d55e00", "#0072b2"  # told apart by colour-blind people, too; the lines differ as well


class CurvesView(QWidget):
    """Accuracy and loss against epochs; train dashed, test solid.

    Without a grid: its half-transparent lines took two thirds of a frame's time.
    """

    def __init__(self) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.curves: dict[str, pg.PlotDataItem] = {}
        self.plots: dict[str, pg.PlotWidget] = {}
        for quantity, unit in (("accuracy", ""), ("loss", " (nats)")):
            plot = pg.PlotWidget()
            plot.setLabel("bottom", "epoch")
            plot.setLabel("left", quantity + unit)
            for axis in ("bottom", "left"):
                plot.getAxis(axis).enableAutoSIPrefix(False)
            plot.setLimits(xMin=0, yMin=0, minXRange=1, minYRange=0.05)
            plot.addLegend(offset=(-10, -10) if quantity == "accuracy" else (-10, 10))
            for share, color, style in (
                ("train", TRAIN_COLOR, Qt.PenStyle.DashLine),
                ("test", TEST_COLOR, Qt.PenStyle.SolidLine),
            ):
                pen = pg.mkPen(color, width=1, style=style)
                self.curves[f"{share}_{quantity}"] = plot.plot(pen=pen, name=share)
            if quantity == "accuracy":
                plot.setYRange(0, 1, padding=0.02)
            self.plots[quantity] = plot
            layout.addWidget(plot)
        self._drawn = -1

    def show_history(self, history: list[EpochRecord]) -> None:
        """Draw all of the epochs, if there is a new one."""
        if len(history) == self._drawn:
            return
        self._drawn = len(history)
        epochs = np.array([record.epoch for record in history])
        for name, curve in self.curves.items():
            curve.setData(epochs, np.array([getattr(record, name) for record in history]))
