"""Presets as cards, in as many columns as fit."""

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QKeyEvent, QPainter, QPalette, QPen, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QListView,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
)

from fastdrop_gui.model.presets import Preset

PICTURE = QSize(256, 160)
"""The size of a card's picture."""

PRESET = Qt.ItemDataRole.UserRole
_PIXMAP = Qt.ItemDataRole.UserRole + 1
_MARGIN, _PADDING = 4, 8
"""Around a card, and inside it."""
_WRAPPED = Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop


def _count(preset: Preset) -> str:
    return f"{len(preset.choices)} networks to choose from" if len(preset.choices) > 1 else ""


class _CardDelegate(QStyledItemDelegate):
    """Draws a picture, and below it the title, the sentence and the number of networks."""

    size = PICTURE

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return self.size

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        state, palette = option.state, option.palette
        preset: Preset = index.data(PRESET)
        card: QRect = option.rect.adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
        selected = bool(state & QStyle.StateFlag.State_Selected)
        ground, ink = QPalette.ColorRole.Base, QPalette.ColorRole.Text
        if selected:
            ground, ink = QPalette.ColorRole.Highlight, QPalette.ColorRole.HighlightedText
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(card, palette.color(ground))
        frame = QPalette.ColorRole.Text if selected else QPalette.ColorRole.Mid
        painter.setPen(QPen(palette.color(frame), 2 if selected else 1))
        painter.drawRect(card)
        picture = QRect(0, 0, PICTURE.width(), PICTURE.height())
        picture.moveTopLeft(card.topLeft())
        picture.translate((card.width() - picture.width()) // 2, _PADDING)
        painter.drawPixmap(picture, index.data(_PIXMAP))
        painter.setPen(palette.color(ink))
        place = QRect(card.left() + _PADDING, picture.bottom() + _PADDING, card.width() - 2 * _PADDING, 10_000)
        for text, font in self._texts(preset, option.font):
            painter.setFont(font)
            place.setTop(painter.drawText(place, _WRAPPED, text).bottom() + 3)
        painter.restore()

    def height(self, width: int, font: QFont, shown: tuple[Preset, ...]) -> int:
        """The height of cards that cut off no text."""
        place = QRect(0, 0, width - 2 * (_MARGIN + _PADDING), 10_000)
        heights = [
            sum(QFontMetrics(face).boundingRect(place, _WRAPPED, text).height() + 3 for text, face in texts)
            for texts in (self._texts(preset, font) for preset in shown)
        ]
        return 2 * _MARGIN + 3 * _PADDING + PICTURE.height() + max(heights)

    def _texts(self, preset: Preset, font: QFont) -> list[tuple[str, QFont]]:
        bold, slanted = QFont(font), QFont(font)
        bold.setBold(True)
        slanted.setItalic(True)
        texts = [(preset.title, bold), (preset.sentence, font), (_count(preset), slanted)]
        return [(text, face) for text, face in texts if text]


class PresetCards(QListWidget):
    """A list of cards; the item data `PRESET` has the `Preset`."""

    entered_key = Signal()
    """Enter was pressed. (`activated` is also emitted for a single click on some desktops.)"""

    def __init__(self, shown: tuple[Preset, ...]) -> None:
        super().__init__()
        self._shown = shown
        self._card = _CardDelegate(self)
        self.setItemDelegate(self._card)
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setMovement(QListView.Movement.Static)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        # Always on: else the columns depend on the scroll bar, and the scroll bar on the columns.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        for preset in shown:
            item = QListWidgetItem(preset.title, self)
            item.setData(PRESET, preset)
            item.setData(_PIXMAP, QPixmap(str(preset.picture)))
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{preset.title}: {preset.sentence} {_count(preset)}")
        self.verticalScrollBar().setSingleStep(24)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._arrange()
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._arrange()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.entered_key.emit()
        else:
            super().keyPressEvent(event)

    def _arrange(self) -> None:
        room = self.viewport().width() - 2
        columns = max(1, room // (PICTURE.width() + 2 * (_MARGIN + _PADDING)))
        width = room // columns
        size = QSize(width, self._card.height(width, self.font(), self._shown))
        if size != self._card.size:
            self._card.size = size
            self.setGridSize(size)
