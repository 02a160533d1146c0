"""The network drawn: units lit by activation, dropped ones crossed out, and the sub-network of one example."""

from typing import Any, NamedTuple

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QSpinBox

from fastdrop.experiments import LayerView
from fastdrop.experiments.diagnostics import DRAWN
from fastdrop_gui.views.widgets import plots
from fastdrop_gui.views.widgets.fields import caption
from fastdrop_gui.views.widgets.layouts import row, stack
from fastdrop_gui.views.widgets.view import Table, View

_SIZE = 17
_LONGEST_NAME = 16
_SHADES = 64
"""Of an activation; pyqtgraph draws a symbol for each."""
_STRONGEST = 0.25
"""Fraction of a layer's connections that are drawn: the strongest. All of them would be a grey block."""


class _Column(NamedTuple):
    """A layer as it is drawn: its units' activations and which are kept, and the weights that lead to them."""

    name: str
    values: NDArray[np.float32]
    kept: NDArray[np.bool_]
    weights: NDArray[np.float32] | None
    connections: NDArray[np.bool_] | None
    units: int


class NetworkView(View):
    """The first units of every layer, for one example of the newest batch."""

    title = "Network"
    description = "The network, its units lit by activation, dropped units crossed out"
    unit_chosen = Signal(str, int)

    def __init__(self) -> None:
        super().__init__()
        self.example = QSpinBox(minimum=1, maximum=1)
        self.example.setAccessibleName("Example of the newest batch")
        self.example.valueChanged.connect(lambda: self._draw())
        self.caption = caption()
        self.plot = plots.plot("", "", name=self.title)
        self.plot.hideAxis("left")
        self.plot.getAxis("bottom").setStyle(tickLength=0)
        self.plot.getAxis("bottom").setHeight(42)
        self.plot.setMouseEnabled(False, False)
        self.plot.setMenuEnabled(False)
        self.plot.invertY(True)
        self.positive = pg.PlotCurveItem(connect="pairs")
        self.negative = pg.PlotCurveItem(connect="pairs")
        self.units = pg.ScatterPlotItem(size=_SIZE, pxMode=True)
        self.crosses = pg.ScatterPlotItem(size=_SIZE - 4, symbol="x", pxMode=True)
        for item in (self.positive, self.negative, self.units, self.crosses):
            self.plot.addItem(item)
        self.units.sigClicked.connect(self._click)
        self._shades = [pg.mkBrush(tuple(color)) for color in plots.lookup("viridis", _SHADES)]
        self._shades.append(pg.mkBrush(120, 120, 120, 90))  # of a dropped unit
        self._colored: tuple[object, ...] = ()
        self._views: tuple[LayerView, ...] = ()
        self._columns: list[_Column] = []
        self._framed: tuple[object, ...] = ()
        self.class_names: tuple[str, ...] = ()
        """Names of the output units; set before `show_layers`."""
        self.labels: list[pg.TextItem] = []
        stack(self, row("Example", self.example, self.caption), self.plot, grows=self.plot)

    def show_layers(self, views: tuple[LayerView, ...]) -> None:
        """Draw the newest snapshot's layers."""
        self._views = views
        if views:
            self.example.setMaximum(max(1, min(view.values.shape[1] for view in views if not view.is_weights)))
        self._draw()

    def clear(self) -> None:
        """Show nothing."""
        self.show_layers(())

    def _draw(self) -> None:
        self._columns = self._arranged()
        self._color()
        self._draw_units()
        self._draw_connections()
        self._frame()
        dropped = sum(int((~column.kept).sum()) for column in self._columns)
        drawn = sum(len(column.kept) for column in self._columns)
        lines = "lines: solid +, dashed −"
        self.caption.setText(f"✕ dropped: {dropped} of {drawn} units; {lines}" if drawn else "")

    def _arranged(self) -> list[_Column]:
        example = self.example.value() - 1
        columns, connections = [], None
        for view in self._views:
            if view.is_weights:
                connections = None if view.kept is None else view.kept[:DRAWN, :DRAWN]
                continue
            values, kept = view.values, view.kept
            if len(view.shape) > 1:  # feature maps: a unit is a map, lit by its mean
                maps = view.shape[0] if len(view.shape) == 3 else view.shape[-1]
                values = _maps(values, view.shape, maps).mean(axis=1)
                whole = None if kept is None else _maps(kept, view.shape, maps)
                kept = None if whole is None else np.asarray(whole.any(axis=1))
            column = values[:DRAWN, example]
            alive = np.ones(len(column), bool) if kept is None else kept[:DRAWN, example]
            columns.append(_Column(view.name, column, alive, view.weights, connections, len(values)))
            connections = None
        return columns

    def _places(self, column: int) -> NDArray[np.float64]:
        count = len(self._columns[column].values)
        places = (np.arange(count, dtype=np.float64) - (count - 1) / 2) * min(1.0, DRAWN / max(count, 1) * 0.9)
        return np.asarray(places, np.float64)

    def _draw_units(self) -> None:
        columns = self._columns
        if not columns:
            self.units.clear()
            self.crosses.clear()
            return
        xs = np.repeat(np.arange(len(columns), dtype=np.float64), [len(column.values) for column in columns])
        ys = np.concatenate([self._places(number) for number in range(len(columns))])
        kept = np.concatenate([column.kept for column in columns])
        shades = np.where(kept, np.concatenate([_shades(column.values) for column in columns]), _SHADES)
        data = [(number, unit) for number, column in enumerate(columns) for unit in range(len(column.values))]
        self.units.setData(xs, ys, brush=[self._shades[shade] for shade in shades], data=data)
        self.crosses.setData(xs[~kept], ys[~kept])

    def _color(self) -> None:
        """Pens in the theme's colours. They are made once: pyqtgraph draws each symbol anew for a pen that is new."""
        theme = (plots.text_color().name(), plots.is_dark())
        if theme == self._colored:
            return
        self._colored = theme
        self.units.setPen(pg.mkPen(plots.text_color(), width=1))
        self.crosses.setPen(pg.mkPen(plots.lightened(plots.VERMILION), width=2))
        self.crosses.setBrush(None)
        self.positive.setPen(plots.pen(plots.BLUE))
        self.negative.setPen(plots.pen(plots.ORANGE, Qt.PenStyle.DashLine))

    def _draw_connections(self) -> None:
        lines: dict[bool, list[NDArray[np.float64]]] = {True: [], False: []}
        for number in range(1, len(self._columns)):
            before, column = self._columns[number - 1], self._columns[number]
            if column.weights is None:
                continue
            weights = column.weights[: len(column.values), : len(before.values)]
            alive = column.kept[: len(weights), None] & before.kept[None, : weights.shape[1]]
            if column.connections is not None:
                alive &= column.connections[: weights.shape[0], : weights.shape[1]]
            alive &= np.abs(weights) >= np.quantile(np.abs(weights), 1 - _STRONGEST)
            here, there = self._places(number), self._places(number - 1)
            for sign in lines:
                units, sources = np.nonzero(alive & ((weights >= 0) == sign))
                ends = [np.full(len(units), number - 1.0), there[sources], np.full(len(units), number), here[units]]
                lines[sign].append(np.stack(ends, axis=1).reshape(-1, 2))
        for sign, item in ((True, self.positive), (False, self.negative)):
            points = np.concatenate(lines[sign]) if lines[sign] else np.empty((0, 2))
            item.setData(points[:, 0], points[:, 1])

    def _frame(self) -> None:
        """Axes, redrawn only where layers have changed."""
        frame = tuple((column.name, len(column.values), column.units) for column in self._columns)
        looks = (frame, self.class_names, self._colored)
        if looks == self._framed or not frame:
            return
        self._framed = looks
        room = self._name_classes()
        names = []
        for number, (name, drawn, units) in enumerate(frame):
            short = name.replace("output probabilities", "output").replace("convolution", "conv")
            names.append((number, f"{short}\n{drawn} of {units}" if drawn < units else f"{short}\n{units}"))
        self.plot.getAxis("bottom").setTicks([names])
        highest = max(len(column.values) for column in self._columns) / 2
        self.plot.setRange(xRange=(-0.4, len(frame) - 0.6 + room), yRange=(-highest - 0.2, highest + 0.2), padding=0)

    def _name_classes(self) -> float:
        """Write the classes beside the output units; returns the width that they take, in columns."""
        for label in self.labels:
            self.plot.removeItem(label)
        last = self._columns[-1]
        names = self.class_names if len(self.class_names) == last.units else ()
        self.labels = []
        for name, place in zip(names, self._places(len(self._columns) - 1), strict=False):
            text = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
            label = pg.TextItem(text, color=plots.text_color(), anchor=(0, 0.5))
            label.setPos(len(self._columns) - 1 + 0.08, place)
            self.plot.addItem(label)
            self.labels.append(label)
        return 0.03 * len(self._columns) / 3 * max((min(len(name), _LONGEST_NAME) for name in names), default=0)

    def _click(self, _item: object, points: list[pg.SpotItem], *_rest: object) -> None:
        if len(points):
            number, unit = points[0].data()
            self.unit_chosen.emit(self._columns[number].name, unit)

    def table(self) -> Table:
        rows = [
            (column.name, unit + 1, float(value), "kept" if kept else "dropped")
            for column in self._columns
            for unit, (value, kept) in enumerate(zip(column.values, column.kept, strict=True))
        ]
        return Table(["layer", "unit", "activation", "mask"], rows)


def _shades(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Places in the table of brushes: the strongest of the layer is bright."""
    strength = np.abs(np.nan_to_num(values))
    return np.asarray(strength / max(float(strength.max(initial=0.0)), 1e-12) * (_SHADES - 1), np.intp)


def _maps(values: NDArray[Any], shape: tuple[int, ...], maps: int) -> NDArray[Any]:
    """(units, samples) as (maps, positions, samples): channels are first in images, last in sequences."""
    whole = values.reshape(*shape, -1)
    whole = whole if len(shape) == 3 else np.moveaxis(whole, -2, 0)
    return whole.reshape(maps, -1, values.shape[1])
