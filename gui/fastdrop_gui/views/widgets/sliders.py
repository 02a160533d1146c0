"""A slider for probabilities, with its number; keys move it."""

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication
from superqt import QDoubleSlider, QLabeledDoubleSlider

_STEPS = {
    Qt.Key.Key_Right: 0.01,
    Qt.Key.Key_Up: 0.01,
    Qt.Key.Key_Left: -0.01,
    Qt.Key.Key_Down: -0.01,
    Qt.Key.Key_PageUp: 0.1,
    Qt.Key.Key_PageDown: -0.1,
    Qt.Key.Key_Home: -1.0,
    Qt.Key.Key_End: 1.0,
}


class KeyedSlider(QDoubleSlider):
    """superqt's slider ignores keys; this one moves by the keys that move Qt's sliders."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move, within the range and to whole hundredths."""
        step = _STEPS.get(Qt.Key(event.key()))
        if step is None or event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            event.ignore()
        else:
            self.setValue(min(1.0, max(0.0, round(self.value() + step, 2))))


class RateSlider(QLabeledDoubleSlider):
    """A probability. The slider takes the focus, not the box around the slider and its number."""

    _slider_class = KeyedSlider

    def __init__(self, name: str = "Dropout rate p") -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.setRange(0.0, 1.0)
        self.setDecimals(2)
        self.setSingleStep(0.01)  # type: ignore[arg-type]
        self.setPageStep(0.1)  # type: ignore[arg-type]
        self.setMinimumWidth(110)
        self.setFocusProxy(self._slider)
        self.setAccessibleName(name)

    def changeEvent(self, event: QEvent) -> None:
        """Recolour the number: its style sheet keeps the colours of an earlier theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._label.setPalette(QApplication.palette())

    def setAccessibleName(self, name: str) -> None:
        """Name the slider and its number as well, which is what a screen reader meets."""
        super().setAccessibleName(name)
        for widget in (self._slider, self._label):
            widget.setAccessibleName(name)
