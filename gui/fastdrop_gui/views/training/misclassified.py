"""Misclassified test examples: images or rows, each with the predictions of its sub-networks."""

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QScrollArea, QWidget

from fastdrop.experiments import Misclassified
from fastdrop.experiments.diagnostics import SAMPLES
from fastdrop_gui.views.training.misclassified_rows import MisclassifiedRowsView
from fastdrop_gui.views.widgets import plots
from fastdrop_gui.views.widgets.layouts import stack
from fastdrop_gui.views.widgets.view import Table, View

NOTHING = "The misclassified test examples come as soon as the network is loaded."
_WIDTH, _HEIGHT = 190, 104


class MisclassifiedTile(QWidget):
    """One image, its class and the predicted one, and a bar for every class: mean of the sub-networks ± deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(_WIDTH, _HEIGHT)
        self.image: NDArray[np.float32] = np.zeros((1, 1), np.float32)
        self.mean: NDArray[np.float32] = np.zeros(1, np.float32)
        self.std: NDArray[np.float32] = np.zeros(1, np.float32)
        self.label, self.predicted = 0, 0
        self.names: tuple[str, ...] = ("",)

    def sizeHint(self) -> QSize:
        return QSize(_WIDTH, _HEIGHT)

    def show_one(self, found: Misclassified, place: int) -> None:
        """Take the misclassified example at a place."""
        self.image, self.mean, self.std = found.images[place], found.mean[place], found.std[place]
        self.label, self.predicted, self.names = int(found.labels[place]), int(found.guesses[place]), found.class_names
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
        """The true class and the predicted one."""
        return f"{self.names[self.label]}, predicted {self.names[self.predicted]}"

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
        """A bar for every class: the predicted one is filled, the true one marked; whiskers are ± one deviation."""
        count = len(self.mean)
        step = area.width() / count
        text = self.palette().text().color()
        for place in range(count):
            x = area.left() + place * step
            height = area.height() * float(self.mean[place])
            bar = QRectF(x + step * 0.15, area.bottom() - height, step * 0.7, height)
            painter.setPen(text)
            painter.setBrush(Qt.BrushStyle.NoBrush if place != self.predicted else self.palette().highlight())
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


class MisclassifiedView(View):
    """Test images or rows that the network classifies wrongly."""

    title = "Misclassified"
    description = "Misclassified test examples, with the deviation of Monte Carlo dropout"

    def __init__(self) -> None:
        super().__init__()
        self.caption = QLabel(NOTHING)
        self.caption.setWordWrap(True)
        self.tiles: list[MisclassifiedTile] = []
        self._area = QScrollArea(widgetResizable=True)
        self._area.setAccessibleName("Misclassified images")
        inside = QWidget()
        self._grid = QGridLayout(inside)
        self._grid.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._area.setWidget(inside)
        self.rows = MisclassifiedRowsView()
        self.rows.hide()
        stack(self, self.caption, self._area, grows=self._area).addWidget(self.rows, 1)
        self._found: Misclassified | None = None

    def show_all(self, found: Misclassified | None) -> None:
        """Draw them; None shows nothing."""
        if found is self._found:
            return
        self._found = found
        has_rows = found is not None and found.rows is not None
        self._area.setVisible(not has_rows)
        self.rows.setVisible(has_rows)
        self.rows.show_rows(found)
        shown = 0 if found is None or has_rows else len(found.images)
        while len(self.tiles) < shown:
            self.tiles.append(MisclassifiedTile())
        for place, tile in enumerate(self.tiles):
            tile.setVisible(place < shown)
            if found is not None and place < shown:
                tile.show_one(found, place)
        self._arrange()
        if found is None:
            self.caption.setText(NOTHING)
            return
        if found.rows is not None:
            self.caption.setText(_rows_text(found, len(found.rows.places)))
            return
        first = f", the first {shown} shown" if shown < found.count else ""
        self.caption.setText(
            f"{found.count} of {found.tested} test images are misclassified{first}. Bars: mean probability of "
            f"{SAMPLES} sub-networks, whiskers ± one standard deviation; filled: predicted, ▲: the true class."
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
        if found.rows is not None:
            model = self.rows.rows
            headings = [str(model.headerData(place, Qt.Orientation.Horizontal)) for place in range(model.columnCount())]
            places = range(model.columnCount())
            return Table(
                headings, [[model.exported(row, place) for place in places] for row in range(model.rowCount())]
            )
        names = found.class_names
        headings = ["class", "predicted", *(f"mean {name}" for name in names), *(f"deviation {name}" for name in names)]
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


def _rows_text(found: Misclassified, shown: int) -> str:
    first = f", the first {shown} of the file listed" if shown < found.count else ""
    share = f" ({found.count / found.tested:.1%})" if found.tested else ""
    return (
        f"{found.count:,} of {found.tested:,} test rows{share} are misclassified{first}. Probability of the predicted "
        f"class: mean and standard deviation over {SAMPLES} sub-networks. A click on a heading sorts."
    )
