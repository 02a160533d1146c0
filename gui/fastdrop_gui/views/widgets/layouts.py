"""Layouts that most views have."""

from PySide6.QtWidgets import QHBoxLayout, QLabel, QLayout, QVBoxLayout, QWidget


def labelled(text: str, field: QWidget) -> QLabel:
    """A field's label: its underlined letter goes to the field, and a screen reader names the field by it."""
    label = QLabel(text)
    label.setBuddy(field)
    field.setAccessibleName(text.replace("&", ""))
    return label


def row(*parts: QWidget | str | None) -> QHBoxLayout:
    """Widgets and texts side by side. The last one gets the room that is left; None leaves it empty."""
    layout = QHBoxLayout()
    for part in parts:
        if part is None:
            layout.addStretch()
        else:
            layout.addWidget(QLabel(part) if isinstance(part, str) else part, int(part is parts[-1]))
    return layout


def stack(view: QWidget, *parts: QWidget | QLayout, grows: QWidget | QLayout | None = None) -> QVBoxLayout:
    """Fill a view with parts one below the other, without a margin; `grows` gets the room that is left."""
    layout = QVBoxLayout(view)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part, int(part is grows))
        else:
            layout.addLayout(part, int(part is grows))
    return layout
