"""The live heat map: one layer's activations, units by samples, dropped units crossed out; units can be sorted."""

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtWidgets import QScrollBar

from fastdrop.experiments import LayerView
from fastdrop_gui.views.widgets import cells, plots
from fastdrop_gui.views.widgets.fields import NarrowChoice, caption
from fastdrop_gui.views.widgets.layouts import row, stack
from fastdrop_gui.views.widgets.view import Table, View

UNITS_SHOWN = 64
COLUMNS_SHOWN = 32
CELL = 11
"""Pixels of a cell's side in the image: enough for a cross."""

ORDERS = {
    "Original order": None,
    "Most active first": lambda view: -view.values.mean(axis=1),
    "Highest variance first": lambda view: -view.values.var(axis=1),
    "Most dropped first": lambda view: view.kept.mean(axis=1) if view.kept is not None else np.zeros(len(view.values)),
}
"""Of the units, with the sort key."""


class HeatMapView(View):
    """Chooses a layer and an order of its units; reads out the cell under the mouse."""

    title = "Heat map"
    description = "Activations of a layer, units by examples of the newest batch; dropped ones are crossed out"
    unit_chosen = Signal(str, int)
    """The layer's name, and the unit that was clicked."""

    def __init__(self) -> None:
        super().__init__()
        self.class_names: tuple[str, ...] = ()
        """Names of the output units."""
        self._views: tuple[LayerView, ...] = ()
        self._lookups = {"sequential": cells.shades("viridis"), "diverging": cells.shades("CET-D1")}
        self.layer = NarrowChoice("Layer")
        self.order = NarrowChoice("Order of the units")
        self.order.addItems(list(ORDERS))
        self.order.setToolTip("Order of the units. It is computed when it is chosen, so that units keep their places")
        self.caption = caption()
        self.readout = caption()
        self.readout.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.plot = plots.plot("unit", "sample", name=self.title)
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.setMenuEnabled(False)
        self.plot.invertY(True)
        self.image = pg.ImageItem(axisOrder="row-major")
        self.plot.addItem(self.image)
        self.scroll_bar = QScrollBar(Qt.Orientation.Horizontal)
        self.scroll_bar.setPageStep(UNITS_SHOWN)
        top = row("Layer", self.layer, "Units", self.order, self.readout)
        stack(self, top, self.caption, self.plot, self.scroll_bar, grows=self.plot)
        self._places: NDArray[np.intp] | None = None
        self.layer.currentIndexChanged.connect(self._reorder)
        self.order.currentIndexChanged.connect(self._reorder)
        self.scroll_bar.valueChanged.connect(self._draw)
        self.plot.scene().sigMouseMoved.connect(self._point_at)
        self.plot.scene().sigMouseClicked.connect(lambda event: self._click(event.scenePos()))
        self.pixels = np.zeros((0, 0), np.uint8)
        self._pointer: QPointF | None = None
        self._framed: tuple[int, int, int, int, int, str] | None = None

    def show_layers(self, views: tuple[LayerView, ...]) -> None:
        """Draw the layers of the newest snapshot; the chosen one stays chosen."""
        names = [view.name for view in views]
        self._views = views
        self.layer.offer(names, keep_first=False)  # with DropConnect the first shows the weights' mask
        self._draw()

    def clear(self) -> None:
        """Show nothing, as before the first snapshot; the chosen layer stays chosen."""
        self._views = ()
        self.image.clear()
        self.caption.setText("")
        self.readout.setText("")

    @property
    def view(self) -> LayerView | None:
        """The layer that is shown."""
        index = self.layer.currentIndex()
        return self._views[index] if 0 <= index < len(self._views) else None

    def _reorder(self) -> None:
        """Compute the chosen order from the current activations."""
        view, key = self.view, ORDERS[self.order.currentText()]
        self._places = None if view is None or key is None else np.argsort(key(view), kind="stable")
        self._draw()

    def _unit_at(self, place: int) -> int:
        """The unit at a place."""
        return place if self._places is None else int(self._places[place])

    def _draw(self) -> None:
        view = self.view
        if view is None:
            return
        units, columns = view.values.shape
        if self._places is not None and len(self._places) != units:
            self._places = None
        self.scroll_bar.setRange(0, max(0, units - UNITS_SHOWN))
        self.scroll_bar.setVisible(units > UNITS_SHOWN)
        first = self.scroll_bar.value()
        # Samples are rows, units are columns: the view is wider than high.
        units_shown = (
            np.s_[first : first + UNITS_SHOWN] if self._places is None else self._places[first : first + UNITS_SHOWN]
        )
        values = view.values[units_shown, :COLUMNS_SHOWN].T
        dropped = None if view.kept is None else ~view.kept[units_shown, :COLUMNS_SHOWN].T
        lookup, self.pixels = self._paint(values, dropped)
        self.image.setImage(self.pixels, autoLevels=False, levels=(0, 255), lut=lookup)
        height, width = values.shape
        self._frame((first, width, units, height, columns, view.columns + self.order.currentText()))
        self._describe(view, dropped)
        self._read_out()

    def _frame(self, frame: tuple[int, int, int, int, int, str]) -> None:
        """Axes with tick n at the middle of unit n; redrawn only where they change."""
        if frame == self._framed:
            return
        self._framed = frame
        first, width, units, height, columns, _ = frame
        name = self.view.columns if self.view else ""
        self.image.setRect(first + 0.5, 0.5, width, height)
        self.plot.setRange(xRange=(first + 0.5, first + width + 0.5), yRange=(0.5, height + 0.5), padding=0)
        order = "" if self._places is None else f", {self.order.currentText()}"
        self.plot.setLabel("bottom", f"unit ({first + 1} to {first + width} of {units}{order})")
        self.plot.setLabel("left", name + (f" (first {height} of {columns})" if columns > height else ""))

    def _paint(
        self, values: NDArray[np.float32], dropped: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Shade every cell and cross out the dropped ones, so that they differ by shape and not only by colour."""
        finite = np.nan_to_num(values)
        signed = bool((finite < 0).any())
        top = float(np.abs(finite).max(initial=0.0))
        pixels = cells.painted(values, dropped, CELL, top, signed=signed)
        return self._lookups["diverging" if signed else "sequential"], pixels

    def _describe(self, view: LayerView, dropped: NDArray[np.bool_] | None) -> None:
        scale = f"dark 0 … bright {float(view.values.max(initial=0.0)):.2g}"
        if (view.values < 0).any():
            scale = f"blue −, red +, up to ±{float(np.abs(view.values).max(initial=0.0)):.2g}"
        if dropped is None:
            note = "masks of this kind cannot be shown here" if view.unseen else "nothing is dropped here"
        else:
            assert view.kept is not None
            note = f"☒ dropped ({1 - view.kept.mean():.0%})"
            zeros = (view.values == 0) & view.kept
            if not (view.values < 0).any():
                note += f", ■ kept but zero ({zeros.mean():.0%})"
        self.caption.setText(f"{note}     {scale}")

    def _point_at(self, position: QPointF) -> None:
        self._pointer = position
        self._read_out()

    def _read_out(self) -> None:
        view = self.view
        if view is None or self._pointer is None:
            return
        place = self._place_at(self._pointer)
        if place is None:
            self.readout.setText("")
            return
        unit, column = self._unit_at(place[0]), place[1]
        dropped = view.kept is not None and not view.kept[unit, column]
        value = "dropped" if dropped else f"{view.values[unit, column]:.3g}"
        name = f" ({self.class_names[unit]})" if view is self._views[-1] and unit < len(self.class_names) else ""
        self.readout.setText(f"unit {unit + 1}{name}, {view.columns} {column + 1}: {value}")

    def _place_at(self, position: QPointF) -> tuple[int, int] | None:
        """Place of the unit, and column, of a point of the scene."""
        view = self.view
        if view is None:
            return None
        point = self.plot.getPlotItem().vb.mapSceneToView(position)
        place, column = round(point.x()) - 1, round(point.y()) - 1
        units, columns = view.values.shape
        return (place, column) if 0 <= place < units and 0 <= column < min(columns, COLUMNS_SHOWN) else None

    def _click(self, position: QPointF) -> None:
        place, view = self._place_at(position), self.view
        if place is not None and view is not None:
            self.unit_chosen.emit(view.name, self._unit_at(place[0]))

    def table(self) -> Table:
        view = self.view
        if view is None:
            return Table(["unit"], [])
        headings = ["unit", *(f"{view.columns.partition(' ')[0]} {place + 1}" for place in range(view.values.shape[1]))]
        rows = []
        for unit, values in enumerate(view.values):
            kept = None if view.kept is None else view.kept[unit]
            cells = [float(v) if kept is None or kept[place] else "dropped" for place, v in enumerate(values)]
            rows.append([unit + 1, *cells])
        return Table(headings, rows)
