"""Writes views as PNG, SVG and CSV files: a file is whole, or is not there."""

import csv
import io
from pathlib import Path

from PySide6.QtCore import QBuffer, QIODevice, QPoint
from PySide6.QtGui import QPainter, QPixmap
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QWidget

from fastdrop.experiments.formats.writing import write_atomically
from fastdrop_gui.views.widgets.view import View

FORMATS = {".png": "Picture (*.png)", ".svg": "Vector picture (*.svg)", ".csv": "Numbers (*.csv)"}
PNG_SCALE = 2
"""Pixels of a picture for each on the screen: enough for a slide."""


def save_view(view: View, path: str) -> None:
    """Write a view as what the name's end says.

    Raises
    ------
    ValueError
        If the name ends in something else.
    OSError
        If the file cannot be written.
    """
    writers = {".png": png, ".svg": svg, ".csv": numbers}
    suffix = Path(path).suffix.lower()
    if suffix not in writers:
        raise ValueError(f"{path}: the name ends in one of {', '.join(writers)}")
    write_atomically(path, writers[suffix](view))


def png(view: QWidget) -> bytes:
    """What the widget shows, at twice the screen's pixels."""
    pixmap = QPixmap(view.size() * PNG_SCALE)
    pixmap.setDevicePixelRatio(PNG_SCALE)
    pixmap.fill(view.palette().window().color())
    view.render(pixmap)
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    if not pixmap.save(buffer, "PNG"):
        raise OSError("this view is too large for a picture; make the window smaller")
    return bytes(buffer.data().data())


def svg(view: QWidget) -> bytes:
    """What the widget shows, as lines and text. (pyqtgraph's own SVG export fails with Qt 6.11 and newer.)"""
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(view.size())
    generator.setViewBox(view.rect())
    generator.setTitle(getattr(view, "title", "fastdrop"))
    painter = QPainter(generator)
    painter.fillRect(view.rect(), view.palette().window())
    view.render(painter, QPoint())
    painter.end()
    return bytes(buffer.data().data())


def numbers(view: View) -> bytes:
    """The numbers behind a view."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    headings, rows = view.table()
    writer.writerow(headings)
    writer.writerows(rows)
    return text.getvalue().encode()
