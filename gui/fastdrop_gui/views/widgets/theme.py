"""Light and dark: the desktop's, or the one that was asked for."""

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QGuiApplication, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtWidgets import QApplication, QStyle

_DARK = {
    QPalette.ColorRole.Window: "#2b2b2b",
    QPalette.ColorRole.WindowText: "#e6e6e6",
    QPalette.ColorRole.Base: "#1e1e1e",
    QPalette.ColorRole.AlternateBase: "#262626",
    QPalette.ColorRole.Text: "#e6e6e6",
    QPalette.ColorRole.PlaceholderText: "#9a9a9a",
    QPalette.ColorRole.Button: "#3a3a3a",
    QPalette.ColorRole.ButtonText: "#e6e6e6",
    QPalette.ColorRole.BrightText: "#ffffff",
    QPalette.ColorRole.ToolTipBase: "#3a3a3a",
    QPalette.ColorRole.ToolTipText: "#e6e6e6",
    QPalette.ColorRole.Light: "#505050",
    QPalette.ColorRole.Midlight: "#454545",
    QPalette.ColorRole.Mid: "#1c1c1c",
    QPalette.ColorRole.Dark: "#141414",
    QPalette.ColorRole.Shadow: "#000000",
    QPalette.ColorRole.Highlight: "#2f7fc1",
    QPalette.ColorRole.HighlightedText: "#ffffff",
    QPalette.ColorRole.Link: "#56b4e9",
}
_FAINT = (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText)


def set_scheme(scheme: Qt.ColorScheme) -> None:
    """Light, dark, or as the desktop has it. Where the platform cannot do it, a palette does."""
    hints = QGuiApplication.styleHints()
    hints.setColorScheme(scheme)
    if scheme is Qt.ColorScheme.Dark and hints.colorScheme() is not scheme:
        QApplication.setPalette(dark_palette())
    else:
        QApplication.setPalette(QApplication.style().standardPalette())


def themed_icon(icon: QStyle.StandardPixmap) -> QIcon:
    """A standard icon's shape in the text's colour; dimmed where its action is off."""
    shape = QApplication.style().standardIcon(icon).pixmap(QSize(64, 64))
    found = QIcon()
    for mode, group in (
        (QIcon.Mode.Normal, QPalette.ColorGroup.Active),
        (QIcon.Mode.Disabled, QPalette.ColorGroup.Disabled),
    ):
        pixmap = QPixmap(shape)
        painter = QPainter(pixmap)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceIn)
        painter.fillRect(pixmap.rect(), QApplication.palette().color(group, QPalette.ColorRole.ButtonText))
        painter.end()
        found.addPixmap(pixmap, mode)
    return found


def dark_palette() -> QPalette:
    """Light text on dark ground, in all of a widget's states."""
    palette = QPalette()
    for role, color in _DARK.items():
        palette.setColor(role, QColor(color))
    for role in _FAINT:
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor("#808080"))
    return palette
