"""Views as PNG, SVG and CSV files, and the training as an animated GIF. Files are written whole or not at all."""

import csv
import io
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from PySide6.QtCore import QBuffer, QIODevice, QPoint, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPixmap
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QWidget

from fastdrop.experiments.files import write_atomically
from fastdrop_gui.views.plots import View

FORMATS = {".png": "Picture (*.png)", ".svg": "Vector picture (*.svg)", ".csv": "Numbers (*.csv)"}
PNG_SCALE = 2
"""Pixels of a picture for each on the screen: enough for a slide."""
GIF_WIDTH = 720
MOST_FRAMES = 150
"""Of a film; a longer one drops every other frame, so that it takes no more memory."""


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


class Film:
    """Frames of a widget; encoded in a thread, since colours have to be chosen for every frame."""

    def __init__(self, widget: QWidget) -> None:
        self._widget = widget
        self.frames: list[QImage] = []
        self._apart, self._seen = 1, 0
        self._pool: ThreadPoolExecutor | None = None
        self._written: Future[None] | None = None

    def take(self) -> None:
        """Add what the widget shows now."""
        if self._seen % self._apart == 0:
            picture = self._widget.grab().toImage()
            width = min(GIF_WIDTH, picture.width())
            size = QSize(width, round(picture.height() * width / max(1, picture.width())))
            mode = Qt.TransformationMode.SmoothTransformation
            self.frames.append(
                picture.scaled(size, Qt.AspectRatioMode.IgnoreAspectRatio, mode).convertToFormat(
                    QImage.Format.Format_RGB16
                )
            )
        self._seen += 1
        if len(self.frames) > MOST_FRAMES:
            del self.frames[1::2]
            self._apart *= 2

    def save(self, path: str, milliseconds: int = 120) -> None:
        """Begin to write the GIF; `done` tells when it is there."""
        self._pool = ThreadPoolExecutor(1)
        frames, self.frames = self.frames, []
        self._written = self._pool.submit(_write_gif, frames, path, milliseconds)

    @property
    def done(self) -> bool:
        """Whether the file is written; raises what went wrong."""
        if self._written is None or not self._written.done():
            return False
        assert self._pool is not None
        self._pool.shutdown(wait=False)
        self._written.result()
        return True


def _write_gif(frames: list[QImage], path: str, milliseconds: int) -> None:
    from PIL import Image

    size = frames[0].size()
    images = []
    for frame in frames:
        if frame.size() != size:  # the window was resized meanwhile
            frame = frame.scaled(size)
        rgb = frame.convertToFormat(QImage.Format.Format_RGB888)
        pixels = bytes(rgb.constBits())
        image = Image.frombuffer("RGB", (rgb.width(), rgb.height()), pixels, "raw", "RGB", rgb.bytesPerLine(), 1)
        images.append(image.quantize(128))
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    write_atomically(path, buffer.getvalue())
