"""Imports the user's own data as the data set."""

from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QWidget

from fastdrop.experiments import ConfigError
from fastdrop.experiments.formats.experiment_file import SUFFIX
from fastdrop.experiments.tables.roles import NO_CHOICES, Choices
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
        """Whether a path is data: anything but an experiment, since the content decides how a file is read."""
        return Path(path).suffix.lower() not in (".toml", SUFFIX)

    def choose(self) -> None:
        """Ask for a file."""
        from fastdrop_gui.views.files.import_dialog import FILES

        path, _ = QFileDialog.getOpenFileName(self._parent, "Import data", "", FILES)
        if path:
            self.open(path)

    def choose_folder(self) -> None:
        """Ask for a folder with a folder of pictures for each class."""
        path = QFileDialog.getExistingDirectory(self._parent, "Import a folder of pictures, one folder for each class")
        if path:
            self.open(path)

    def open(self, path: str) -> None:
        """Show the file's columns, and ask for their roles. Of the data at hand, the roles are as they were chosen."""
        from fastdrop_gui.views.files.import_dialog import ImportDialog, Imported

        config, before = self._session.config, None
        if config.data_file == str(path):
            choices = Choices(config.target, config.ignore, config.categorical, config.numeric)
            before = Imported(config.data_file, choices, config.sheet, config.test_data, False)
        dialog = ImportDialog(path, self._parent, before)
        dialog.accepted.connect(lambda: self.use(*dialog.imported))
        dialog.open()

    def reopen(self) -> None:
        """Show the columns of the data at hand."""
        if self._session.config.data_file:
            self.open(self._session.config.data_file)

    def use(
        self, path: str, choices: Choices = NO_CHOICES, sheet: str = "", test_data: str = "", are_images: bool = False
    ) -> None:
        """Train on a file; the other arguments are those of `load_table`, as far as they differ from what it finds."""
        try:
            config = editing.with_file(self._session.config, str(path), choices, sheet, test_data, are_images)
        except ConfigError as error:  # the path may have bytes that are not text
            dialogs.warn(self._parent, "Import data", str(error))
        else:
            self._session.begin(config, f"import {Path(path).name}")
