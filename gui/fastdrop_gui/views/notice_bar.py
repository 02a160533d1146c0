"""A bar above the pages with what should be known about the data."""

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout

from fastdrop_gui.model.table_choices import in_window
from fastdrop_gui.views.widgets.fields import caption
from fastdrop_gui.views.widgets.plots import ORANGE

_STRIP, _TINT = 5, 40
"""Pixels on the left, and the opacity of the rest from 0 to 255."""
_SHORT = 160
"""Characters that are seen without a click."""
_WEIGHTY = ("have changed", "also in the training part", "not tested", "says the same as the target")
"""Words of notes that come first: they put the results in question."""


class NoticeBar(QFrame):
    """Shows the first note, and on request all of them. Notes that were closed do not come back by a reset."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Notes about the data")
        self.text = caption()
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.details = QPushButton("&Details", flat=True)
        self.details.setCheckable(True)
        self.close_button = QToolButton(autoRaise=True)
        self.close_button.setText("✕")
        self.close_button.setToolTip("Close the notes")
        self.close_button.setAccessibleName("Close the notes")
        self.all = QLabel(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.all.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.all.setAccessibleName("All notes about the data")
        line = QHBoxLayout()
        line.addWidget(self.text, 1)
        line.addWidget(self.details)
        line.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 2, 4, 2)
        layout.setSpacing(2)
        layout.addLayout(line)
        layout.addWidget(self.all)
        self.notes: tuple[str, ...] = ()
        self._closed: tuple[str, ...] = ()
        self.all.hide()
        self.hide()
        self.details.toggled.connect(self.all.setVisible)
        self.close_button.clicked.connect(self._close)

    def paintEvent(self, event: QPaintEvent) -> None:
        """A tint, and a strip on the left. (A style sheet would keep the text colour of an earlier theme.)"""
        super().paintEvent(event)
        painter, tint = QPainter(self), QColor(ORANGE)
        painter.fillRect(0, 0, _STRIP, self.height(), tint)
        tint.setAlpha(_TINT)
        painter.fillRect(self.rect(), tint)

    def show_notes(self, notes: Sequence[str]) -> None:
        """Show these notes, those that put the results in question first; none hide the bar."""
        worded = [in_window(note) for note in notes]
        ordered = tuple(sorted(worded, key=lambda note: not any(words in note for words in _WEIGHTY)))
        if ordered == self.notes:
            return
        self.notes = ordered
        if not ordered or ordered != self._closed:
            self._closed = ()
        more = f" (and {len(ordered) - 1} more)" if len(ordered) > 1 else ""
        self.text.setText(f"About the data: {ordered[0]}{more}" if ordered else "")
        self.all.setText("\n".join(f"• {note}" for note in ordered))
        self.details.setChecked(False)
        self.details.setVisible(len(ordered) > 1 or len(self.text.text()) > _SHORT)
        self.setVisible(bool(ordered) and not self._closed)

    def _close(self) -> None:
        self._closed = self.notes
        self.hide()
