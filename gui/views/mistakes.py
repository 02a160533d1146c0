"""Images that the network gets wrong, each with what its sub-networks say of it."""

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from fastdrop.experiments import Mistakes
from fastdrop.experiments.observe import SAMPLES
from fastdrop_gui.views import plots
from fastdrop_gui.views.plots import Table, View

NOTHING = "Only for images, such as the digits."
_WIDTH, _HEIGHT = 190, 104


class MistakeTile(QWidget):
    """One image, its class and the guess, and a bar for every class: the mean of the sub-networks, ± one deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(_WIDTH, _HEIGHT)
        self.image: NDArray[np.float32] = np.zeros((1, 1), np.float32)
        self.mean: NDArray[np.float32] = np.zeros(1, np.float32)
        self.std: NDArray[np.float32] = np.zeros(1, np.float32)
        self.label, self.guess = 0, 0
        self.names: tuple[str, ...] = ("",)

    def sizeHint(self) -> QSize:
        return QSize(_WIDTH, _HEIGHT)

    def show_mistake(self, found: Mistakes, place: int) -> None:
        """Take the mistake at a place."""
        self.image, self.mean, self.std = found.images[place], found.mean[place], found.std[place]
        self.label, self.guess, self.names = int(found.labels[place]), int(found.guesses[place]), found.class_names
        self.setAccessibleName(self.text)
        self.setToolTip(
            f"{self.text}\nsub-networks: " + ", ".join(f"{n}: {m:.0%} ± {s:.0%}" for n, m, s in self._likely())
        )
        self.update()

    def _likely(self) -> list[tuple[str, float, float]]:
        order = np.argsort(-self.mean)[:3]
        return [(self.names[place], float(self.mean[place]), float(self.std[place])) for place in order]

    @property
    def text(self) -> str:
        """What it is and what it is taken for."""
        return f"{self.names[self.label]}, taken for {self.names[self.guess]}"

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        palette = self.palette()
        painter.fillRect(self.rect(), palette.base())
        low, high = float(self.image.min()), float(self.image.max())
        pixels = ((self.image - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
        pixels = np.ascontiguousarray(pixels)
        image = QImage(pixels.data, pixels.shape[1], pixels.shape[0], pixels.shape[1], QImage.Format.Format_Grayscale8)
        painter.drawImage(QRectF(4, 4, 60, 60), image)
        painter.setPen(palette.text().color())
        metrics = painter.fontMetrics()
        text = metrics.elidedText(self.text, Qt.TextElideMode.ElideRight, self.width() - 8)
        painter.drawText(4, self.height() - 6, text)
        self._paint_bars(painter, QRectF(72, 6, self.width() - 78, self.height() - 42))

    def _paint_bars(self, painter: QPainter, area: QRectF) -> None:
        """A bar a class; the right one is marked below, the guess is filled, whiskers are one standard deviation."""
        count = len(self.mean)
        step = area.width() / count
        text = self.palette().text().color()
        for place in range(count):
            x = area.left() + place * step
            height = area.height() * float(self.mean[place])
            bar = QRectF(x + step * 0.15, area.bottom() - height, step * 0.7, height)
            painter.setPen(text)
            painter.setBrush(Qt.BrushStyle.NoBrush if place != self.guess else self.palette().highlight())
            painter.drawRect(bar)
            spread = area.height() * float(self.std[place])
            middle, top = x + step / 2, area.bottom() - height
            low, high = min(area.bottom(), top + spread), max(area.top(), top - spread)
            painter.setPen(plots.lightened(plots.VERMILION))
            painter.drawLine(int(middle), int(low), int(middle), int(high))
        painter.setPen(text)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if count <= 12:
            for place in range(count):
                name = self.names[place][:2]
                font = painter.font()
                font.setBold(place == self.label)
                font.setPixelSize(9)
                painter.setFont(font)
                mark = f"▲{name}" if place == self.label else name
                x = area.left() + place * step
                painter.drawText(QRectF(x - 4, area.bottom() + 1, step + 8, 13), Qt.AlignmentFlag.AlignCenter, mark)


class MistakesView(View):
    """Test images that are taken for something else."""

    title = "Mistakes"
    description = "Test images that the network gets wrong, with the spread of Monte Carlo dropout"

    def __init__(self) -> None:
        super().__init__()
        self.caption = QLabel(NOTHING)
        self.caption.setWordWrap(True)
        self.tiles: list[MistakeTile] = []
        self._area = QScrollArea(widgetResizable=True)
        self._area.setAccessibleName("Images taken for something else")
        inside = QWidget()
        self._grid = QGridLayout(inside)
        self._grid.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._area.setWidget(inside)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.caption)
        layout.addWidget(self._area, 1)
        self._found: Mistakes | None = None

    def show_mistakes(self, found: Mistakes | None) -> None:
        """Draw them; None shows nothing."""
        if found is self._found:
            return
        self._found = found
        shown = 0 if found is None else len(found.images)
        while len(self.tiles) < shown:
            self.tiles.append(MistakeTile())
        for place, tile in enumerate(self.tiles):
            tile.setVisible(place < shown)
            if found is not None and place < shown:
                tile.show_mistake(found, place)
        self._arrange()
        if found is None:
            self.caption.setText(NOTHING)
            return
        first = f", the first {shown} shown" if shown < found.count else ""
        self.caption.setText(
            f"{found.count} of {found.tested} test images are wrong{first}. Bars: mean probability of {SAMPLES} "
            "sub-networks, whiskers ± one standard deviation; filled: the guess, ▲: the right class."
        )

    def _arrange(self) -> None:
        columns = max(1, self._area.viewport().width() // (_WIDTH + 8))
        for place, tile in enumerate(self.tiles):
            self._grid.addWidget(tile, place // columns, place % columns)

    def resizeEvent(self, event: object) -> None:
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._arrange()

    def table(self) -> Table:
        found = self._found
        if found is None:
            return Table(["class"], [])
        names = found.class_names
        headings = ["class", "guess", *(f"mean {name}" for name in names), *(f"deviation {name}" for name in names)]
        rows = [
            [
                names[found.labels[place]],
                names[found.guesses[place]],
                *map(float, found.mean[place]),
                *map(float, found.std[place]),
            ]
            for place in range(len(found.images))
        ]
        return Table(headings, rows)
