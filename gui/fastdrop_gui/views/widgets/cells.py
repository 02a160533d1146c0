"""Cells of an array: shades, and a cross that tells a dropped cell from a zero by its shape."""

from functools import cache
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QSizePolicy

from fastdrop_gui.views.widgets import plots

SHADES = 254
CROSS, DROPPED = 254, 255
"""Indices in a lookup table: the shades, then the cross and its background."""
_SIDE = 176
"""Pixels of a picture's side: whole cells of 8, 11 or 22 pixels, enough for a cross."""


def cross(side: int, margin: int = 2) -> NDArray[np.bool_]:
    """A cell's cross, one pixel wide; the margin keeps neighbours apart."""
    place = np.arange(side)
    diagonals = (place[:, None] == place) | (place[:, None] + place == side - 1)
    inside = (place >= margin) & (place < side - margin)
    return diagonals & inside[:, None] & inside


def shades(name: str) -> NDArray[np.uint8]:
    """A colour map as a lookup table, with the colours of crossed cells at its end."""
    return np.vstack([plots.lookup(name, SHADES), np.array([[255, 255, 255], [96, 96, 96]], np.uint8)])


def painted(
    values: NDArray[np.floating], dropped: NDArray[np.bool_] | None, side: int, top: float, *, signed: bool = False
) -> NDArray[np.uint8]:
    """Indices in a lookup table, `side` pixels a cell, from 0 or, if signed, -top to top; dropped cells are crossed."""
    scaled = np.nan_to_num(values) / max(top, 1e-12)
    scaled = np.clip((scaled + 1) / 2 if signed else scaled, 0, 1)
    places = (scaled * (SHADES - 1)).astype(np.uint8)
    if dropped is not None:
        places[dropped] = CROSS
    rows, columns = places.shape
    return np.ascontiguousarray(_stamps(side)[places].swapaxes(1, 2)).reshape(rows * side, columns * side)


@cache
def _stamps(side: int) -> NDArray[np.uint8]:
    """The pixels of a cell for each value: this takes a quarter of the time of shading pixel by pixel."""
    stamps = np.repeat(np.arange(256, dtype=np.uint8), side * side).reshape(256, side, side)
    stamps[CROSS] = np.where(cross(side, max(2, side // 5)), CROSS, DROPPED)
    return stamps


class Picture:
    """Cells of an array, in a plot without axes; lines between maps."""

    def __init__(self, name: str) -> None:
        self.plot = bare_plot(name)
        self.plot.setAspectLocked(True)
        self.image = pg.ImageItem(axisOrder="row-major")
        self.lines = pg.PlotCurveItem()
        self.plot.addItem(self.image)
        self.plot.addItem(self.lines)
        self.pixels = np.zeros((0, 0), np.uint8)
        self._framed: tuple[int, ...] = ()

    def show(
        self,
        values: NDArray[Any],
        dropped: NDArray[np.bool_] | None,
        lut: NDArray[np.uint8],
        top: float,
        *,
        signed: bool = False,
        maps: int = 1,
    ) -> None:
        """Shade the values, of `maps` maps along each side; dropped ones are crossed out."""
        side = max(8, _SIDE // len(values))
        self.pixels = painted(values, dropped, side, top, signed=signed)
        self.image.setImage(self.pixels, autoLevels=False, levels=(0, 255), lut=lut)
        self._frame(len(values), values.shape[1], maps)

    def recolor(self, color: QColor) -> None:
        """Draw the lines between maps in the theme's text colour."""
        self.lines.setPen(pg.mkPen(color, width=1))

    def _frame(self, height: int, width: int, maps: int) -> None:
        """Place the image, and lines between maps; where that changes."""
        if self._framed == (height, width, maps):
            return
        self._framed = height, width, maps
        self.image.setRect(0, 0, width, height)
        across = np.arange(1, maps)
        x = [[np.repeat(across * width / maps, 2)], [np.tile([0, width], maps - 1)]]
        y = [[np.tile([0, height], maps - 1)], [np.repeat(across * height / maps, 2)]]
        self.lines.setData(np.ravel(x), np.ravel(y), connect="pairs")
        self.plot.setRange(xRange=(0, width), yRange=(0, height), padding=0.02)


def bare_plot(name: str) -> pg.PlotWidget:
    """A plot without axes that the mouse does not move; rows run down."""
    plot = plots.plot("", "", name=name)
    plot.setMouseEnabled(x=False, y=False)
    plot.setMenuEnabled(False)
    plot.invertY(True)
    make_shrinkable(plot)
    plot.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)  # else crosses are lost where cells are a few pixels
    for axis in ("bottom", "left"):
        plot.hideAxis(axis)
    return plot


def make_shrinkable(plot: pg.PlotWidget) -> None:
    """Let a plot be small: pyqtgraph asks for 640 by 480 pixels."""
    plot.setMinimumSize(90, 100)
    plot.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
