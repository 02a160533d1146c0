"""What the app's plots share: colours, axes, the desktop's theme, and being a view."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QComboBox, QLabel, QSizePolicy, QWidget
from superqt import QElidingLabel

# Okabe and Ito's colours, told apart by colour-blind people on light and dark grounds; no view tells things apart by
# colour alone.
ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7"
COLORS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
SYMBOLS = ("o", "s", "t", "d", "+", "x")
TRAIN_COLOR, TEST_COLOR = VERMILION, BLUE
TRAIN_STYLE, TEST_STYLE = Qt.PenStyle.DashLine, Qt.PenStyle.SolidLine


class Table(NamedTuple):
    """What a view shows, as CSV takes it."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]


class View(QWidget):
    """A part of the window that shows something: it can be exported.

    `title` stands on its tab, `description` is what a screen reader says. `table()` gives the numbers behind it.
    """

    title = ""
    description = ""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName(self.title)
        self.setAccessibleDescription(self.description)

    def table(self) -> Table:
        """The numbers that are shown."""
        raise NotImplementedError


def caption(text: str = "") -> QElidingLabel:
    """A line of text that gives way where there is no room, and says all of it in its tool tip."""
    label = QElidingLabel(text)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    label.setMinimumWidth(60)
    return label


class NarrowChoice(QComboBox):
    """A choice that may be as narrow as its dock; its list is as wide as the names."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setMinimumContentsLength(9)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.view().setTextElideMode(Qt.TextElideMode.ElideNone)

    def offer(self, names: Sequence[str], *, keep_first: bool = True) -> bool:
        """Offer these, without signals; the chosen one stays chosen. Returns whether they are others than before.

        With `keep_first` the first stays so by its name as well; without, whatever is first then is chosen: it was
        nobody's choice.
        """
        if list(names) == [self.itemText(place) for place in range(self.count())]:
            return False
        blocker = QSignalBlocker(self)
        index, chosen = self.currentIndex(), self.currentText()
        self.clear()
        self.addItems(list(names))
        self.setCurrentIndex(max(0, self.findText(chosen)) if keep_first or index > 0 else 0)
        blocker.unblock()
        return True


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
    """The colour as the theme needs it: blue lines are too dark on a dark ground."""
    if not is_dark():
        return color
    return {BLUE: SKY, VERMILION: ORANGE}.get(color, color)


def is_dark() -> bool:
    """Whether the desktop's theme is a dark one."""
    return ground_color().lightness() < 128


def color_plot(widget: pg.PlotWidget) -> None:
    """Give a plot the theme's ground and text."""
    widget.setBackground(ground_color())
    text = text_color()
    for axis in ("bottom", "left", "top", "right"):
        item = widget.getAxis(axis)
        item.setPen(pg.mkPen(text, width=1))
        item.setTextPen(text)
    color_legend(widget)


def color_legend(widget: pg.PlotWidget) -> None:
    """Give a legend's labels, also those that came later, the theme's text."""
    legend = widget.getPlotItem().legend
    for _, label in legend.items if legend is not None else ():
        label.setText(label.text, color=text_color())


def text_color() -> QColor:
    """Of the theme at hand; a widget's own palette may follow it later."""
    return QApplication.palette().color(QPalette.ColorRole.Text)


def ground_color() -> QColor:
    """Of what plots stand on."""
    return QApplication.palette().color(QPalette.ColorRole.Base)


def rgb(color: QColor) -> tuple[int, int, int]:
    """Red, green and blue."""
    return color.red(), color.green(), color.blue()


def bold(label: QLabel) -> QLabel:
    """The label in bold. (A style sheet would keep the colours of the theme before.)"""
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


def color_plots(parent: QWidget) -> None:
    """Give all plots inside `parent` the theme's colours; after the theme has changed."""
    for widget in parent.findChildren(pg.PlotWidget):
        color_plot(widget)


def lookup(name: str, shades: int = 256) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A colour map as a table of RGB."""
    table: np.ndarray[Any, np.dtype[np.uint8]] = pg.colormap.get(name).getLookupTable(nPts=shades)
    return table.astype(np.uint8)[:, :3]
