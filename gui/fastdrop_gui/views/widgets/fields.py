"""Fields and labels that several pages share."""

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, Qt
from PySide6.QtGui import QValidator
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QLabel, QSizePolicy, QWidget
from superqt import QElidingLabel

from fastdrop_gui.model.wording import display_name


def caption(text: str = "") -> QElidingLabel:
    """A line of text that is elided where there is no room; its tool tip has all of it."""
    label = QElidingLabel(text)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    label.setMinimumWidth(60)
    return label


class NarrowChoice(QComboBox):
    """A choice that may be as narrow as its dock; its list is as wide as the names."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setAccessibleName(name)
        self.setMinimumContentsLength(9)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.view().setTextElideMode(Qt.TextElideMode.ElideNone)

    def offer(self, names: Sequence[str], *, keep_first: bool = True) -> bool:
        """Offer these, without signals; the chosen one stays chosen. Returns whether they differ from those before.

        Without `keep_first`, a choice that was the first becomes whatever is first now: the user has not chosen it.
        """
        if list(names) == [self.itemText(place) for place in range(self.count())]:
            return False
        blocker = QSignalBlocker(self)
        index, chosen = self.currentIndex(), self.currentText()
        self.clear()
        self.addItems(list(names))
        self.setCurrentIndex(max(0, self.findText(chosen)) if keep_first or index > 0 else 0)
        blocker.unblock()
        return True


def bold(label: QLabel) -> QLabel:
    """Make a label bold. (A style sheet would keep the colours of an earlier theme.)"""
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


class Choice(QComboBox):
    """One of several values of the configuration; a tool tip says what each means."""

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__()
        self.setMinimumContentsLength(8)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.offer(names)

    def offer(self, names: dict[str, str]) -> None:
        """Offer these values, with their tool tips; the chosen one stays chosen, if it can."""
        if [self.itemData(place) for place in range(self.count())] == list(names):
            return
        chosen = self.currentData()
        self.clear()
        for name, text in names.items():
            self.addItem(display_name(name), name)
            self.setItemData(self.count() - 1, text, Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(max(0, self.findData(chosen)))


class NumberBox(QDoubleSpinBox):
    """A number, which may be typed as 1e-5 or 0,5."""

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Accept what is a number, and let be typed what may become one."""
        if not set(text) <= set("0123456789.,eE+-"):
            return QValidator.State.Invalid, text, position
        value = _float(text)
        fits = value is not None and self.minimum() <= value <= self.maximum()
        return QValidator.State.Acceptable if fits else QValidator.State.Intermediate, text, position

    def valueFromText(self, text: str) -> float:
        value = _float(text)
        return self.value() if value is None else value

    def textFromValue(self, value: float) -> str:
        return f"{value:.10g}"


def _float(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


class _WheelFilter(QObject):
    """Drops wheel events of a field that does not have the keyboard: scrolling a panel changes no field."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


def ignore_wheel_without_focus(widget: QWidget) -> None:
    """Have a field, and what is inside it, react to the wheel only while it has the keyboard."""
    for part in (widget, *widget.findChildren(QWidget)):
        if part.focusPolicy() & Qt.FocusPolicy.WheelFocus == Qt.FocusPolicy.WheelFocus:
            part.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        part.installEventFilter(_WheelFilter(part))
