"""The gallery: a card for every experiment of the library, a search line, and a choice between its networks."""

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QRect, QSignalBlocker, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QKeyEvent, QPainter, QPalette, QPen, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from fastdrop.experiments import ExperimentConfig
from fastdrop_gui.gallery import Preset, about, presets
from fastdrop_gui.views.plots import Table, View

PICTURE = QSize(256, 160)
"""As a card shows it."""

_PRESET = Qt.ItemDataRole.UserRole
_PIXMAP = Qt.ItemDataRole.UserRole + 1
_MARGIN, _PADDING = 4, 8
"""Around a card, and inside it."""
_WRAPPED = Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop


def _count(preset: Preset) -> str:
    return f"{len(preset.choices)} networks to choose from" if len(preset.choices) > 1 else ""


class _Card(QStyledItemDelegate):
    """Draws a picture, and under it the title, the sentence and the number of networks."""

    size = PICTURE

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return self.size

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        state, palette = option.state, option.palette
        preset: Preset = index.data(_PRESET)
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
        """That of a card whose texts are not cut off."""
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


class _Cards(QListWidget):
    """As many columns of cards as there is room for."""

    entered_key = Signal()
    """Enter was pressed. Not `activated`: a desktop may say that a single click does that, too."""

    def __init__(self, shown: tuple[Preset, ...]) -> None:
        super().__init__()
        self._shown = shown
        self._card = _Card(self)
        self.setItemDelegate(self._card)
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setMovement(QListView.Movement.Static)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        # Always there: whether it is shown would decide the columns, and these whether it is shown.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        for preset in shown:
            item = QListWidgetItem(preset.title, self)
            item.setData(_PRESET, preset)
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


class GalleryView(View):
    """Every experiment of the library; opening one emits its configuration."""

    title = "Gallery"
    description = "The experiments of the library, with a picture and a sentence each, to open one"
    chosen = Signal(object, str)
    """The configuration that was opened, and its name."""

    def __init__(self) -> None:
        super().__init__()
        self.presets = presets()
        self.search = QLineEdit()
        self.search.setPlaceholderText("a word: moons, zoneout, batch …")
        self.search.setClearButtonEnabled(True)
        self.search.setAccessibleName("Search in the experiments")
        self.found = QLabel()
        self.cards = _Cards(self.presets)
        self.cards.setAccessibleName("Experiments")
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.network = QComboBox()
        self.network.setAccessibleName("Network of the experiment")
        self.network.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.open_button = QPushButton("&Open")
        self.open_button.setAccessibleName("Open the experiment")
        self._lay_out()
        self.search.textChanged.connect(self._filter)
        self.search.returnPressed.connect(self._open)
        self.cards.currentItemChanged.connect(lambda: self._show_preset())
        self.cards.doubleClicked.connect(lambda: self._open())
        self.cards.entered_key.connect(self._open)
        self.network.currentIndexChanged.connect(self._show_config)
        self.open_button.clicked.connect(self._open)
        self.cards.setCurrentRow(0)
        self._filter("")

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(_label("&Search", self.search))
        top.addWidget(self.search, 1)
        top.addWidget(self.found)
        self._network_label = _label("&Network", self.network)
        bottom = QHBoxLayout()
        bottom.addWidget(self._network_label)
        bottom.addWidget(self.network)
        bottom.addStretch(1)
        bottom.addWidget(self.open_button)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addWidget(self.cards, 1)
        layout.addWidget(self.about)
        layout.addLayout(bottom)
        # Tab goes as the eye does.
        for one, two in ((self.search, self.cards), (self.cards, self.network), (self.network, self.open_button)):
            QWidget.setTabOrder(one, two)

    @property
    def preset(self) -> Preset | None:
        """The card that is chosen, if it is shown."""
        item = self.cards.currentItem()
        return None if item is None or item.isHidden() else item.data(_PRESET)

    @property
    def config(self) -> ExperimentConfig | None:
        """What "Open" would open."""
        return None if self.preset is None else list(self.preset.choices.values())[self.network.currentIndex()]

    def table(self) -> Table:
        rows = [
            (preset.title, preset.sentence, name, about(config), config.to_line())
            for preset in self._visible()
            for name, config in preset.choices.items()
        ]
        return Table(["experiment", "sentence", "network", "what it is", "configuration"], rows)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Down goes from the search line, which has no use for it, to the cards."""
        if event.key() == Qt.Key.Key_Down and self.search.hasFocus():
            self.cards.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            super().keyPressEvent(event)

    def _visible(self) -> list[Preset]:
        items = (self.cards.item(row) for row in range(self.cards.count()))
        return [item.data(_PRESET) for item in items if not item.isHidden()]

    def _filter(self, words: str) -> None:
        """Show the cards that the words are in; the chosen one stays chosen if it is among them."""
        first = None
        for row, preset in enumerate(self.presets):
            hidden = not preset.matches(words)
            self.cards.item(row).setHidden(hidden)
            first = row if first is None and not hidden else first
        if self.preset is None and first is not None:
            self.cards.setCurrentRow(first)
        count, every = len(self._visible()), len(self.presets)
        self.found.setText(f"{count} of {every}" if count < every else f"{every} experiments")
        self._show_preset()
        self.cards.scrollToItem(self.cards.currentItem())

    def _show_preset(self) -> None:
        """The networks of the chosen card."""
        preset = self.preset
        with QSignalBlocker(self.network):
            self.network.clear()
            self.network.addItems(list(preset.choices) if preset else [])
        several = preset is not None and len(preset.choices) > 1
        self.network.setVisible(several)
        self._network_label.setVisible(several)
        self.open_button.setEnabled(preset is not None)
        self._show_config()

    def _show_config(self) -> None:
        preset, config = self.preset, self.config
        if preset is None or config is None:
            self.about.setText("No experiment has all of these words.")
        else:
            self.about.setText(f"<b>{preset.title}</b> · {about(config)}")

    def _open(self) -> None:
        preset, config = self.preset, self.config
        if preset is not None and config is not None:
            choice = self.network.currentText()
            self.chosen.emit(config, f"{preset.title}: {choice}" if choice else preset.title)


def _label(text: str, buddy: QWidget) -> QLabel:
    label = QLabel(text)
    label.setBuddy(buddy)
    return label
