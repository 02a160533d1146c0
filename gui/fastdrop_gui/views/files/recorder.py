"""Records the training as an animated GIF."""

import io
from concurrent.futures import Future, ThreadPoolExecutor

from PySide6.QtCore import QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QWidget

from fastdrop.experiments.formats.writing import write_atomically
from fastdrop_gui.views.widgets import dialogs

FRAME_MS = 120
GIF_WIDTH = 720
MOST_FRAMES = 150
"""A longer recording keeps every second frame, so that it takes no more memory."""


class Recording:
    """Frames of a widget."""

    def __init__(self, widget: QWidget) -> None:
        self._widget = widget
        self.frames: list[QImage] = []
        self._stride, self._seen = 1, 0

    def add_frame(self) -> None:
        """Add what the widget shows now."""
        if self._seen % self._stride == 0:
            picture = self._widget.grab().toImage()
            width = min(GIF_WIDTH, picture.width())
            size = QSize(width, round(picture.height() * width / max(1, picture.width())))
            smooth = Qt.TransformationMode.SmoothTransformation
            frame = picture.scaled(size, Qt.AspectRatioMode.IgnoreAspectRatio, smooth)
            self.frames.append(frame.convertToFormat(QImage.Format.Format_RGB16))
        self._seen += 1
        if len(self.frames) > MOST_FRAMES:
            del self.frames[1::2]
            self._stride *= 2


def write_gif(frames: list[QImage], path: str) -> None:
    """Write frames as an animated GIF: the file is whole, or is not there."""
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
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=FRAME_MS, loop=0)
    write_atomically(path, buffer.getvalue())


class Recorder(QObject):
    """The command Record GIF: records a widget, and asks for a file's name in the end.

    The GIF is encoded in a thread, since colours have to be chosen for every frame.
    """

    announced = Signal(str)

    def __init__(self, widget: QWidget, parent: QWidget) -> None:
        super().__init__(parent)
        self._widget, self._parent = widget, parent
        self.recording: Recording | None = None
        self._path = ""
        self._pool = ThreadPoolExecutor(1)
        self._written: Future[None] | None = None
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)

    def record(self, recording: bool) -> None:
        """Start to record, or stop and ask where to save the recording."""
        if recording:
            self.recording = Recording(self._widget)
            self._timer.start(FRAME_MS)
            self.announced.emit("Recording … choose File > Record GIF again to stop")
            return
        finished, self.recording = self.recording, None
        if finished is None or not finished.frames:
            return
        path = dialogs.ask_where_to(self._parent, "Save the recording", "training.gif", "Animated GIF (*.gif)")
        if path:
            self._path = path
            self._written = self._pool.submit(write_gif, finished.frames, path)
            self.announced.emit("Writing the recording …")

    def _tick(self) -> None:
        if self.recording is not None:
            self.recording.add_frame()
        elif self._written is None:
            self._timer.stop()
        if self._written is not None and self._written.done():
            written, self._written = self._written, None
            try:
                written.result()
            except (OSError, ValueError, MemoryError) as error:
                dialogs.warn(self._parent, "Save the recording", str(error) or "there is not enough memory")
            else:
                self.announced.emit(f"Saved: {self._path}")
