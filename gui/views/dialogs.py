"""Small dialogs: shortcuts, unexpected errors, what to export."""

import html
import platform
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from PySide6.QtCore import Qt, qVersion
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QMessageBox,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

import fastdrop
from fastdrop_gui.views.exporting import FORMATS
from fastdrop_gui.views.plots import View

ON_CARDS = (
    ("Move a layer's card", "Ctrl+Left, Ctrl+Right"),
    ("Add a layer behind a card", "Ctrl+Insert"),
    ("Remove a card's layer", "Ctrl+Delete"),
    ("From field to field", "Tab, Shift+Tab"),
    ("A field of the panel", "Alt and its underlined letter"),
)


class ShortcutsDialog(QDialog):
    """All that has a key."""

    def __init__(self, actions: Iterable[QAction], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keyboard shortcuts")
        native = QKeySequence.SequenceFormat.NativeText
        rows = [
            (action.text().replace("&", "").rstrip(" …"), ", ".join(key.toString(native) for key in action.shortcuts()))
            for action in actions
            if action.shortcuts()
        ]
        rows += ON_CARDS
        self.cells = QTableWidget(len(rows), 2)
        self.cells.setHorizontalHeaderLabels(["what", "keys"])
        self.cells.verticalHeader().hide()
        self.cells.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.cells.setAccessibleName("Keyboard shortcuts")
        for row, cells in enumerate(rows):
            for column, text in enumerate(cells):
                self.cells.setItem(row, column, QTableWidgetItem(text))
        self.cells.resizeColumnsToContents()
        self.cells.horizontalHeader().setStretchLastSection(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.cells)
        layout.addWidget(buttons)
        self.resize(460, 520)


class ExportDialog(QDialog):
    """Which view, and as what."""

    def __init__(self, views: Sequence[View], chosen: View | None, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export a view")
        self.view = QComboBox()
        self.view.setAccessibleName("View")
        for view in views:
            self.view.addItem(view.title, view)
        if chosen is not None and chosen in views:
            self.view.setCurrentIndex(list(views).index(chosen))
        self.format = QComboBox()
        self.format.setAccessibleName("Format")
        for suffix, text in FORMATS.items():
            self.format.addItem(text, suffix)
        form = QFormLayout()
        form.addRow("&View", self.view)
        form.addRow("&Format", self.format)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(buttons)


class UnexpectedError(QMessageBox):
    """Something that fastdrop did not foresee: told, with details to copy, and the app goes on."""

    def __init__(self, details: str, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setIcon(QMessageBox.Icon.Warning)
        self.setWindowTitle("Unexpected error")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText("Something went wrong that fastdrop did not foresee. You can go on; what was saved is safe.")
        self.setInformativeText(details.strip().rsplit("\n", 1)[-1])
        self.details = details
        self.setDetailedText(details)
        self.copy = QPushButton("&Copy details")
        self.addButton(self.copy, QMessageBox.ButtonRole.ActionRole)
        self.addButton(QMessageBox.StandardButton.Close)
        self.copy.clicked.disconnect()
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(details))


def describe(details: str) -> str:
    """A traceback, and on what it happened."""
    versions = f"fastdrop {fastdrop.__version__}, Python {platform.python_version()}, Qt {qVersion()}, {sys.platform}"
    return f"{versions}\n{details}"


_told: list[UnexpectedError] = []


def tell_unexpected_error(details: str, parent: QWidget | None) -> None:
    """Open the dialog, unless one is open: many errors at once are one error to who reads them."""
    if any(isinstance(widget, UnexpectedError) and widget.isVisible() for widget in QApplication.topLevelWidgets()):
        return
    dialog = UnexpectedError(describe(details), parent)
    _told[:] = [dialog]  # one without a parent would go at once
    dialog.open()


def warn(parent: QWidget, title: str, text: str) -> None:
    """Say what is wrong and wait until it is read. What stands in a file may look like HTML: it is shown as it is."""
    QMessageBox.warning(parent, title, f"<p>{html.escape(text)}</p>" if "<" in text else text)


def show_unexpected_errors(parent: Callable[[], QWidget | None]) -> None:
    """From now on, errors that nobody catches open a dialog; one at a time."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, trace)
        if not issubclass(kind, KeyboardInterrupt):
            tell_unexpected_error("".join(traceback.format_exception(kind, error, trace)), parent())

    sys.excepthook = hook
