"""Opens and saves experiments."""

import os
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QMessageBox, QWidget

from fastdrop.experiments import ConfigError, Experiment, ExperimentConfig, load_experiment, save_experiment
from fastdrop.experiments.formats.experiment_file import SUFFIX
from fastdrop_gui.model.experiment_model import Status
from fastdrop_gui.model.messages import Saved
from fastdrop_gui.views.files.recent_files import remember_file
from fastdrop_gui.views.session import Session
from fastdrop_gui.views.widgets import dialogs

_EXPERIMENTS = f"Experiments (*{SUFFIX} *.toml)"


class ExperimentFiles(QObject):
    """The commands New, Open, Save and Save as of a session. `parent` is the parent of dialogs."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._parent = session, parent
        self._save_when_loaded = ""
        """A file to save to as soon as the weights are there."""
        session.changed.connect(self._save_loaded)
        session.replacing.connect(self._forget_loading)

    # -- opening

    def new(self) -> None:
        """Begin anew with the defaults."""
        self._session.open_experiment(Experiment(ExperimentConfig()))

    def choose(self) -> None:
        """Ask for an experiment to open."""
        path, _ = QFileDialog.getOpenFileName(self._parent, "Open an experiment", "", _EXPERIMENTS)
        if path:
            self.open(path)

    def open(self, path: str) -> bool:
        """Take a file's configuration, curves and weights; after an error the current experiment goes on."""
        try:
            experiment = load_experiment(path)
        except ConfigError as error:
            dialogs.warn(self._parent, "Open an experiment", str(error))
            return False
        self._session.open_experiment(experiment, path, path)
        remember_file(path)
        return True

    # -- saving

    def save(self) -> None:
        """Write to the file that was opened or saved before."""
        if self._session.document.path:
            self.save_to(self._session.document.path)
        else:
            self.save_as()

    def save_as(self) -> None:
        """Ask for a name and write."""
        name = self._session.document.path or f"experiment{SUFFIX}"
        path, _ = QFileDialog.getSaveFileName(self._parent, "Save the experiment", name, _EXPERIMENTS)
        if path:
            self.save_to(path if Path(path).suffix.lower() in (SUFFIX, ".toml") else path + SUFFIX)

    def save_to(self, path: str) -> None:
        """Write configuration, weights and curves; a name that ends in .toml takes the configuration alone."""
        session, model = self._session, self._session.model
        if path.lower().endswith(".toml"):
            self._write(path, lambda: session.config.save(path))
        elif model.status is Status.LOADING:
            self._save_when_loaded = path
        elif model.can_save and not session.needs_reset:
            self._save_network(path, session.config)
        elif model.can_save and model.steps_done > 0:
            self._ask_what_to_save(path)
        elif self._may_replace(path):  # there are no weights
            self._save_settings(path)

    def _save_loaded(self) -> None:
        if self._save_when_loaded and self._session.model.status is not Status.LOADING:
            path, self._save_when_loaded = self._save_when_loaded, ""
            self.save_to(path)

    def _forget_loading(self) -> None:
        self._save_when_loaded = ""

    def _save_network(self, path: str, config: ExperimentConfig) -> None:
        """Let the training process write the network; the file will hold the document as it is now."""
        session = self._session
        mark = session.document.mark if config == session.config else None

        def done(saved: Saved) -> None:
            if saved.problem:
                dialogs.warn(self._parent, "Save", saved.problem)
            else:
                self._note_saved(saved.path, mark, saved.step)

        session.save(path, session.experiment(config), done)

    def _save_settings(self, path: str) -> None:
        self._write(path, lambda: save_experiment(path, self._session.experiment()))

    def _ask_what_to_save(self, path: str) -> None:
        """Settings were changed since training began: the trained network is not the one that they describe."""
        box = QMessageBox(self._parent)
        box.setWindowTitle("Save")
        box.setText("Settings were changed after training began. The trained network does not use them until Reset.")
        network = box.addButton("Save the &trained network", QMessageBox.ButtonRole.AcceptRole)
        settings = box.addButton("Save the new &settings alone", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        if box.clickedButton() is network:
            self._save_network(path, self._session.model.config)
        elif box.clickedButton() is settings:
            self._save_settings(path)

    def _may_replace(self, path: str) -> bool:
        """Whether a file may lose the trained network that it holds."""
        try:
            held = os.path.exists(path) and load_experiment(path).states
        except (ConfigError, OSError):  # writing reports it
            held = {}
        if not held:
            return True
        text = f"{path} holds a trained network, and there is none now. Replace it by the configuration alone?"
        return QMessageBox.question(self._parent, "Save", text) is QMessageBox.StandardButton.Yes

    def _write(self, path: str, write: Callable[[], object]) -> None:
        if dialogs.try_to_write(self._parent, write):
            self._note_saved(path, self._session.document.mark, self._session.saved_step)

    def _note_saved(self, path: str, mark: object, step: int) -> None:
        """The file is the document's, unless another document was opened since `mark` was taken."""
        remember_file(path)
        session = self._session
        if session.document.saved_as(path, mark):
            session.saved_step = step
            session.document.file_changed.emit()  # the title shows steps that are not saved, too
        session.announce(f"Saved: {path}")
