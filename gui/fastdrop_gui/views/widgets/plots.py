"""What the app's plots share: colours, axes and the theme."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QWidget

# Okabe and Ito's colours, which colour-blind people can tell apart on light and dark backgrounds. No view tells things
# apart by colour alone.
ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7"
COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
SYMBOLS = ("o", "s", "t", "d", "+", "x")
TRAIN_COLOR, TEST_COLOR = VERMILION, BLUE
TRAIN_STYLE, TEST_STYLE = Qt.PenStyle.DashLine, Qt.PenStyle.SolidLine


def plot(bottom: str, left: str, *, name: str = "") -> pg.PlotWidget:
    """An empty plot without a grid, whose half-transparent lines would take two thirds of a frame's time."""
    widget = pg.PlotWidget()
    widget.setLabel("bottom", bottom)
    widget.setLabel("left", left)
    for axis in ("bottom", "left"):
        widget.getAxis(axis).enableAutoSIPrefix(False)
    widget.hideButtons()
    widget.setMinimumSize(120, 80)
    widget.setAccessibleName(name or f"{left} against {bottom}")
    color_plot(widget)
    return widget


def pen(color: str, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> Any:
    """Of width 1: wider ones are drawn many times slower."""
    return pg.mkPen(lightened(color), width=1, style=style)


def lightened(color: str) -> str:
    """The colour as the theme needs it: blue lines are too dark on a dark background."""
    if not is_dark():
        return color
    return {BLUE: SKY, VERMILION: ORANGE}.get(color, color)


def is_dark() -> bool:
    """Whether the theme is dark."""
    return background_color().lightness() < 128


def color_plot(widget: pg.PlotWidget) -> None:
    """Give a plot the theme's background and text colour."""
    widget.setBackground(background_color())
    text = text_color()
    for axis in ("bottom", "left", "top", "right"):
        item = widget.getAxis(axis)
        item.setPen(pg.mkPen(text, width=1))
        item.setTextPen(text)
    color_legend(widget)


def color_legend(widget: pg.PlotWidget) -> None:
    """Give a legend's labels the theme's text colour; after labels were added."""
    legend = widget.getPlotItem().legend
    for _, label in legend.items if legend is not None else ():
        label.setText(label.text, color=text_color())


def text_color() -> QColor:
    """The theme's text colour. A widget's palette may follow the theme later."""
    return QApplication.palette().color(QPalette.ColorRole.Text)


def background_color() -> QColor:
    """The background of plots."""
    return QApplication.palette().color(QPalette.ColorRole.Base)


def rgb(color: QColor) -> tuple[int, int, int]:
    """Red, green and blue."""
    return color.red(), color.green(), color.blue()


def color_plots(parent: QWidget) -> None:
    """Give all plots inside `parent` the theme's colours; after the theme has changed."""
    for widget in parent.findChildren(pg.PlotWidget):
        color_plot(widget)


def lookup(name: str, shades: int = 256) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A colour map as a table of RGB."""
    table: np.ndarray[Any, np.dtype[np.uint8]] = pg.colormap.get(name).getLookupTable(nPts=shades)
    return table.astype(np.uint8)[:, :3]
