"""The network as a row of cards: one for the data, one for each layer, one for the classes."""

import html

from PySide6.QtCore import QMimeData, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QDrag, QDragEnterEvent, QDragMoveEvent, QDropEvent, QFocusEvent, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from fastdrop.experiments import ExperimentConfig
from fastdrop.experiments.choices import DROPOUT_KINDS
from fastdrop_gui.model import editing
from fastdrop_gui.model.messages import About
from fastdrop_gui.views.widgets.fields import Choice, bold, ignore_wheel_without_focus
from fastdrop_gui.views.widgets.sliders import RateSlider

_MIME = "application/x-fastdrop-layer"
_MOST_NAMED, _LONGEST_NAME = 30, 60
"""Names in a tool tip, and characters of each."""


class LayerCard(QFrame):
    """One layer: its size, its dropout, and buttons that move, add and remove it.

    Ctrl+Left and Ctrl+Right move it, Ctrl+Insert adds a copy behind it, Ctrl+Delete removes it; it can be dragged.
    """

    edited = Signal(int, str, object)
    moved = Signal(int, int)
    added = Signal(int)
    removed = Signal(int)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFixedWidth(196)
        self.name = bold(QLabel())
        self.size_box = QSpinBox(minimum=1, maximum=4096)
        self.size_box.setKeyboardTracking(False)
        self.kind = Choice({})
        self.rate = RateSlider()
        for widget in (self.size_box, self.kind, self.rate):
            ignore_wheel_without_focus(widget)
        self.left = _button("◂", "Move to the left (Ctrl+Left)")
        self.right = _button("▸", "Move to the right (Ctrl+Right)")
        self.add = _button("+", "Add a copy of this layer behind it (Ctrl+Insert)")
        self.remove = _button("−", "Remove this layer (Ctrl+Delete)")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(3)
        top = QHBoxLayout()
        top.setSpacing(1)
        top.addWidget(self.name, 1)
        for button in (self.left, self.right, self.add, self.remove):
            top.addWidget(button)
        layout.addLayout(top)
        middle = QHBoxLayout()
        middle.addWidget(self.size_box)
        middle.addWidget(self.kind, 1)
        layout.addLayout(middle)
        layout.addWidget(self.rate)
        self.size_box.valueChanged.connect(lambda value: self.edited.emit(self.number, "size", value))
        self.kind.currentIndexChanged.connect(lambda: self.edited.emit(self.number, "kind", self.kind.currentData()))
        self.rate.valueChanged.connect(lambda value: self.edited.emit(self.number, "rate", round(value, 2)))
        self.left.clicked.connect(lambda: self.moved.emit(self.number, self.number - 1))
        self.right.clicked.connect(lambda: self.moved.emit(self.number, self.number + 1))
        self.add.clicked.connect(lambda: self.added.emit(self.number))
        self.remove.clicked.connect(lambda: self.removed.emit(self.number))

    def show_layer(self, config: ExperimentConfig) -> None:
        """Show the layer, without signals."""
        number, count = self.number, len(config.hidden)
        name = editing.describe_layer(config, number)
        self.name.setText(name)
        self.setAccessibleName(name)
        blockers = [QSignalBlocker(widget) for widget in (self.size_box, self.kind, self.rate)]
        self.size_box.setSingleStep(editing.size_step(config, number))
        self.size_box.setValue(config.hidden[number])
        self.size_box.setToolTip(editing.unit_name(config, number))
        self.size_box.setAccessibleName(f"{name}: {editing.unit_name(config, number)}")
        self.kind.offer({kind: DROPOUT_KINDS[kind] for kind in config.places[number]})
        self.kind.setCurrentIndex(self.kind.findData(config.kinds[number]))
        self.kind.setAccessibleName(f"{name}: kind of dropout")
        self.kind.setEnabled(self.kind.count() > 1)
        if round(self.rate.value(), 2) != round(config.rates[number], 2):
            self.rate.setValue(config.rates[number])
        self.rate.setAccessibleName(f"{name}: Dropout rate p")
        self.rate.setEnabled(config.kinds[number] != "none")
        for blocker in blockers:
            blocker.unblock()
        self.left.setEnabled(number > 0)
        self.right.setEnabled(number < count - 1)
        self.remove.setEnabled(editing.can_remove(config))
        self.add.setEnabled(count < 16)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """A frame shows that keys go to this card."""
        super().focusInEvent(event)
        self.setFrameShape(QFrame.Shape.Box)
        self.setLineWidth(2)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setLineWidth(1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        buttons = {
            Qt.Key.Key_Left: self.left,
            Qt.Key.Key_Right: self.right,
            Qt.Key.Key_Insert: self.add,
            Qt.Key.Key_Delete: self.remove,
        }
        button = buttons.get(Qt.Key(event.key())) if event.modifiers() & Qt.KeyboardModifier.ControlModifier else None
        if button is None:
            super().keyPressEvent(event)
        else:
            button.click()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if not event.buttons() & Qt.MouseButton.LeftButton:
            return
        drag = QDrag(self)
        data = QMimeData()
        data.setData(_MIME, str(self.number).encode())
        drag.setMimeData(data)
        drag.setPixmap(self.grab())
        drag.exec(Qt.DropAction.MoveAction)


def _button(sign: str, text: str) -> QToolButton:
    button = QToolButton(autoRaise=True)
    button.setText(sign)
    button.setToolTip(text)
    button.setAccessibleName(text.partition(" (")[0])
    button.setFixedSize(22, 22)
    return button


class NetworkCards(QScrollArea):
    """Edits the layers. `edited` has the new configuration, a text for Undo, and a key that merges quick changes."""

    edited = Signal(object, str, str)
    refused = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName("Network: a card for each layer")
        self.setAcceptDrops(True)
        self.cards: list[LayerCard] = []
        self.data = _EndCard("Data")
        self.classes = _EndCard("Classes")
        self._row = QWidget()
        self._layout = QHBoxLayout(self._row)
        self._layout.setContentsMargins(4, 2, 4, 2)
        self._layout.addWidget(self.data)
        self._layout.addWidget(self.classes)
        self._layout.addStretch()
        self.setWidget(self._row)
        self._config = ExperimentConfig()

    def show_config(self, config: ExperimentConfig) -> None:
        """Show the layers; cards that exist are reused, and keep the focus."""
        self._config = config
        while len(self.cards) > len(config.hidden):
            card = self.cards.pop()
            focused = QApplication.focusWidget()
            if focused is not None and (focused is card or card.isAncestorOf(focused)):
                self.cards[-1].setFocus()
            card.hide()
            card.deleteLater()
        while len(self.cards) < len(config.hidden):
            card = LayerCard(len(self.cards))
            card.edited.connect(self._edit)
            card.moved.connect(self._move)
            card.added.connect(lambda number: self._do(editing.add_layer, number, text="add a layer"))
            card.removed.connect(lambda number: self._do(editing.remove_layer, number, text="remove a layer"))
            self._layout.insertWidget(1 + len(self.cards), card)
            self.cards.append(card)
        for card in self.cards:
            card.show_layer(config)
        self.setFixedHeight(self._row.sizeHint().height() + self.horizontalScrollBar().sizeHint().height() + 4)

    def show_about(self, about: About | None) -> None:
        """Show the numbers of features and classes."""
        self.data.text.setText("" if about is None else f"{about.features}\nfeatures")
        self.classes.text.setText("" if about is None else f"{about.classes}\nclasses")
        self._row.setToolTip("" if about is None else about.summary)
        self.data.setToolTip("" if about is None else _listed(about.feature_names, about.features))
        self.classes.setToolTip("" if about is None else _listed(about.class_names, about.classes))

    def _edit(self, number: int, what: str, value: object) -> None:
        change = {what: value}
        text = f"{what} of {editing.describe_layer(self._config, number).lower()}"
        self._do(editing.with_layer, number, text=text, key=f"layer {number} {what}", **change)

    def _move(self, number: int, to: int) -> None:
        if 0 <= to < len(self.cards) and to != number:
            self._do(editing.move_layer, number, to, text="move a layer")
            self.cards[to].setFocus()

    def _do(self, change: object, *arguments: object, text: str, key: str = "", **options: object) -> None:
        try:
            config = change(self._config, *arguments, **options)  # type: ignore[operator]
        except ValueError as error:
            self.refused.emit(error)
            self.show_config(self._config)
        else:
            self.edited.emit(config, text, key)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasFormat(_MIME):
            event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        if event.mimeData().hasFormat(_MIME):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        number = int(bytes(event.mimeData().data(_MIME).data()))
        place = self._row.mapFrom(self, event.position().toPoint()).x()
        middles = [card.x() + card.width() // 2 for card in self.cards]
        to = sum(middle < place for middle in middles)
        event.acceptProposedAction()
        self._move(number, min(to - (to > number), len(self.cards) - 1))


class _EndCard(QFrame):
    """The card before the first layer, or behind the last."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        title = bold(QLabel(name))
        self.text = QLabel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addWidget(title)
        layout.addWidget(self.text, 1)


def _listed(names: tuple[str, ...], count: int) -> str:
    """Names below one another, the first ones where there are many."""
    shown = [html.escape(name[:_LONGEST_NAME]) for name in names[:_MOST_NAMED]]
    more = [f"… ({count - len(shown):,} more)"] if count > len(shown) else []
    return "<br>".join([*shown, *more])
