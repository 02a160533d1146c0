"""Small dialogs: shortcuts, errors, what to export and where to."""

import html
import platform
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import Qt, qVersion
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QMessageBox,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

import fastdrop
from fastdrop.errors import BackendUnavailable
from fastdrop_gui.views.widgets.view import View

ON_CARDS = (
    ("Move a layer's card", "Ctrl+Left, Ctrl+Right"),
    ("Add a layer behind a card", "Ctrl+Insert"),
    ("Remove a card's layer", "Ctrl+Delete"),
    ("From field to field", "Tab, Shift+Tab"),
    ("A field of the panel", "Alt and its underlined letter"),
)


class ShortcutsDialog(QDialog):
    """A table of all commands that have a key."""

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
        self.cells.setHorizontalHeaderLabels(["Command", "Keys"])
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
    """Asks which view to export, and in which format."""

    def __init__(self, views: Sequence[View], formats: Mapping[str, str], chosen: View | None, parent: QWidget) -> None:
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
        for suffix, text in formats.items():
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
    """Reports an error that is a defect, with details to copy; the app goes on."""

    def __init__(self, details: str, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setIcon(QMessageBox.Icon.Warning)
        self.setWindowTitle("Unexpected error")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText("Something unexpected went wrong in fastdrop. You can go on; saved files are safe.")
        self.setInformativeText(details.strip().rsplit("\n", 1)[-1])
        self.details = details
        self.setDetailedText(details)
        self.copy = QPushButton("&Copy details")
        self.addButton(self.copy, QMessageBox.ButtonRole.ActionRole)
        self.addButton(QMessageBox.StandardButton.Close)
        self.copy.clicked.disconnect()
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(details))


def describe(details: str) -> str:
    """A traceback, and the versions that it happened with."""
    versions = f"fastdrop {fastdrop.__version__}, Python {platform.python_version()}, Qt {qVersion()}, {sys.platform}"
    return f"{versions}\n{details}"


_told: list[UnexpectedError] = []


def tell_unexpected_error(details: str, parent: QWidget | None) -> None:
    """Open the dialog, unless one is open: a defect may cause many errors at once."""
    if any(isinstance(widget, UnexpectedError) and widget.isVisible() for widget in QApplication.topLevelWidgets()):
        return
    dialog = UnexpectedError(describe(details), parent)
    _told[:] = [dialog]  # keeps a dialog without a parent alive
    dialog.open()


def warn(parent: QWidget, title: str, text: str) -> None:
    """Show a warning and wait until it is closed. Text from a file may look like HTML, and is shown as it is."""
    QMessageBox.warning(parent, title, f"<p>{html.escape(text)}</p>" if "<" in text else text)


def try_to_write(parent: QWidget, write: Callable[[], object]) -> bool:
    """Call a function that writes a file; False, after a warning, where that fails."""
    try:
        write()
    except (BackendUnavailable, OSError, ValueError) as error:
        warn(parent, "Save", str(error))
        return False
    return True


def ask_where_to(parent: QWidget, title: str, name: str, kind: str) -> str:
    """Ask for a file to write; its name gets the ending of `kind`, such as "Arrays (*.npz)". "" where cancelled."""
    path, _ = QFileDialog.getSaveFileName(parent, title, name, kind)
    suffix = kind.partition("*")[2].rstrip(")")
    return path if not path or Path(path).suffix.lower() == suffix else path + suffix


def show_unexpected_errors(parent: Callable[[], QWidget | None]) -> None:
    """From now on, uncaught errors open a dialog; one at a time."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, trace)
        if not issubclass(kind, KeyboardInterrupt):
            tell_unexpected_error("".join(traceback.format_exception(kind, error, trace)), parent())

    sys.excepthook = hook
