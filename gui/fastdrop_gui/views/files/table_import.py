"""Imports a CSV or NPZ table as the data set."""

from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QWidget

from fastdrop.experiments import ConfigError
from fastdrop.experiments.tables import SUFFIXES
from fastdrop_gui.model import editing
from fastdrop_gui.views.session import Session
from fastdrop_gui.views.widgets import dialogs


class TableImport(QObject):
    """The command Import data of a session. `parent` is the parent of dialogs."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._parent = session, parent

    @staticmethod
    def reads(path: str) -> bool:
        """Whether a file's name is a table's."""
        return Path(path).suffix.lower() in SUFFIXES

    def choose(self) -> None:
        """Ask for a table."""
        path, _ = QFileDialog.getOpenFileName(self._parent, "Import data", "", "Tables (*.csv *.npz)")
        if path:
            self.open(path)

    def open(self, path: str) -> None:
        """Show a table's first rows, and ask for the target column."""
        from fastdrop_gui.views.files.import_dialog import ImportDialog

        dialog = ImportDialog(path, self._parent)
        dialog.accepted.connect(lambda: self.use(dialog.path, dialog.label))
        dialog.open()

    def use(self, path: str, label: str) -> None:
        """Train on a table; `label` is the target column as `read_table` takes it."""
        try:
            config = editing.with_file(self._session.config, str(path), label)
        except ConfigError as error:  # the path may have bytes that are not text
            dialogs.warn(self._parent, "Import data", str(error))
        else:
            self._session.begin(config, f"import {Path(path).name}")
