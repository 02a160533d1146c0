"""One unit closely: its weights, its activation now, and its history."""

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSpinBox

from fastdrop.experiments import LayerView, UnitView
from fastdrop_gui.views.widgets import plots
from fastdrop_gui.views.widgets.fields import NarrowChoice
from fastdrop_gui.views.widgets.layouts import row, stack
from fastdrop_gui.views.widgets.view import Table, View

_NAMED = 3
"""Inputs that the caption names."""


class UnitInspectorView(View):
    """A unit's weights as an image, and its mean activation over the training."""

    title = "Unit inspector"
    description = "One unit: its weights as an image, and its mean activation over the training"
    unit_requested = Signal()
    """Another unit was chosen; `place` says which."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = NarrowChoice("Layer")
        self.unit = QSpinBox(minimum=1, maximum=1)
        self.unit.setAccessibleName("Unit")
        self.caption = QLabel()
        self.caption.setWordWrap(True)
        self.weights = plots.plot("input", "", name="Weights of the unit")
        self.weights.setMouseEnabled(False, False)
        self.weights.invertY(True)
        self.weights.hideAxis("left")
        self.image = pg.ImageItem(axisOrder="row-major")
        self.image.setLookupTable(plots.lookup("CET-D1"))
        self.weights.addItem(self.image)
        self.history = plots.plot("epoch", "mean activation", name="History of the unit")
        self.history.getAxis("bottom").setStyle(maxTickLevel=0)
        self.curve = self.history.plot(pen=plots.pen(plots.BLUE))
        both = QHBoxLayout()
        both.addWidget(self.weights)
        both.addWidget(self.history)
        stack(self, row("Layer", self.layer, "Unit", self.unit, None), self.caption, both, grows=both)
        self._views: tuple[LayerView, ...] = ()
        self._weights: UnitView | None = None
        self._history: tuple[list[float], list[float]] = ([], [])
        self._framed = (0, 0)
        self.class_names: tuple[str, ...] = ()
        """Names of the output units."""
        self.feature_names: tuple[str, ...] = ()
        """Names of the inputs of the first layer."""
        self.layer.currentIndexChanged.connect(self._chosen)
        self.unit.valueChanged.connect(self._chosen)

    @property
    def chosen(self) -> tuple[str, int]:
        """The layer's name and the unit, from 0 on."""
        return self.layer.currentText(), self.unit.value() - 1

    @property
    def place(self) -> tuple[int, int]:
        """The numbers of the layer and the unit, from 0 on; the layer's is negative while there are none."""
        return self.layer.currentIndex(), self.unit.value() - 1

    def choose(self, layer: str, unit: int) -> None:
        """Show this unit; where the heat map showed weights, the unit that they belong to."""
        place = self.layer.findText(layer.removesuffix(" weights"))
        if place >= 0:
            self.layer.setCurrentIndex(place)
            self.unit.setValue(unit + 1)

    def show_layers(self, views: tuple[LayerView, ...]) -> None:
        """Take the newest snapshot's layers."""
        self._views = tuple(view for view in views if not view.is_weights)
        names = [view.name for view in self._views]
        if self.layer.offer(names):
            self._chosen()
        self._describe()

    def clear(self) -> None:
        """Show nothing."""
        self.show_unit(None, ([], []))
        self.show_layers(())

    def show_unit(self, weights: UnitView | None, history: tuple[list[float], list[float]]) -> None:
        """Draw the weights, if they are the chosen unit's, and its history."""
        if history != self._history:
            self._history = history
            self.curve.setData(*map(np.array, history))
        place, unit = self.layer.currentIndex(), self.unit.value() - 1
        self._weights = weights if weights is not None and (weights.block, weights.unit) == (place, unit) else None
        if self._weights is None:
            self.image.clear()
        else:
            values = np.nan_to_num(self._weights.weights)
            top = max(float(np.abs(values).max(initial=0.0)), 1e-12)
            self.image.setImage(values, autoLevels=False, levels=(-top, top))
            self._frame(*values.shape)
        self._describe()

    def _frame(self, height: int, width: int) -> None:
        """Axes around the weights, where their shape has changed."""
        if (height, width) == self._framed:
            return
        self._framed = height, width
        self.image.setRect(0.5, 0.5, width, height)
        self.weights.setAspectLocked(height > 1)
        self.weights.setRange(xRange=(0.5, width + 0.5), yRange=(0.5, height + 0.5), padding=0.02)

    def _chosen(self) -> None:
        place = self.layer.currentIndex()
        if 0 <= place < len(self._views):
            self.unit.setMaximum(len(self._views[place].values))
            self.unit_requested.emit()

    def _describe(self) -> None:
        place, unit = self.layer.currentIndex(), self.unit.value() - 1
        if not 0 <= place < len(self._views) or unit >= len(self._views[place].values):
            self.caption.clear()
            return
        view = self._views[place]
        values = view.values[unit]
        text = f"mean {values.mean():.3g}, active for {np.mean(values > 0):.0%} of the batch's first examples"
        if view.kept is not None:
            text += f", dropped for {1 - view.kept[unit].mean():.0%}"
        if self._weights is None:
            text += "; its weights are shared, and are not shown"
        else:
            top = float(np.abs(self._weights.weights).max(initial=0.0))
            text += f"; weights: blue −, red +, up to ±{top:.2g}{self._strongest(self._weights)}"
        if place == len(self._views) - 1 and unit < len(self.class_names):
            text = f"class {self.class_names[unit]}: {text}"
        self.caption.setText(text)

    def _strongest(self, weights: UnitView) -> str:
        """The inputs of the first layer that matter most to its unit, with their weights."""
        row = weights.weights.reshape(-1)
        if weights.block != 0 or len(weights.weights) > 1 or row.size != len(self.feature_names):
            return ""
        order = np.argsort(-np.abs(np.nan_to_num(row)), kind="stable")[:_NAMED]
        return "; strongest: " + ", ".join(f"{self.feature_names[place]} {row[place]:+.2g}" for place in order)

    def table(self) -> Table:
        return Table(["epoch", "mean activation"], list(zip(*self._history, strict=True)))
