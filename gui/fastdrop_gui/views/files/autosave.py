"""Saves the experiment every minute, for after a crash; and keeps what was closed or replaced."""

import os
import time
from pathlib import Path

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QMessageBox, QWidget

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import ConfigError, ExperimentConfig, Run, load_experiment, save_experiment
from fastdrop_gui.model.experiment_model import Status
from fastdrop_gui.model.messages import Saved
from fastdrop_gui.views.files import recovery
from fastdrop_gui.views.session import Session
from fastdrop_gui.views.widgets import dialogs

AUTOSAVE_SECONDS = 60.0
_CLOSING_SECONDS = 2.0
"""How long a window that closes waits for its last autosave."""


class Autosave(QObject):
    """Saves a session by a timer, offers what a crash left, and opens earlier sessions again."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._parent = session, parent
        self.file = recovery.AutosaveFile()
        self._saved: tuple[int, ExperimentConfig, tuple[Run, ...]] | None = None
        self._is_saving = False
        self._opened: set[Path] = set()
        """Earlier sessions that this window has opened."""
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.save)
        self._timer.start(round(1000 * AUTOSAVE_SECONDS))
        session.replacing.connect(self._keep_replaced)

    def save(self) -> None:
        """Save the experiment, if it has changed since the last time."""
        session, model, step = self._session, self._session.model, self._session.model.steps_done
        state = (step, session.config, session.runs)
        if state == self._saved or (step == 0 and not session.document.is_modified and not session.runs):
            return
        self._saved = state
        if model.can_save and (step > 0 or not session.needs_reset):
            self._is_saving = True
            config = model.config if session.needs_reset else session.config
            session.save(str(self.file.path), session.experiment(config), self._note_saved)
            return
        if os.path.exists(self.file.path) and step == 0 and model.status is Status.FAILED:
            return  # the network that was trained before is worth more than a configuration that fails
        try:
            save_experiment(self.file.path, session.experiment())
        except (BackendUnavailable, ConfigError, OSError) as error:
            self._fail(str(error))

    def _note_saved(self, saved: Saved) -> None:
        self._is_saving = False
        if saved.problem:
            self._fail(saved.problem)

    def _fail(self, problem: str) -> None:
        self._saved = None  # so that the next turn tries again, even if nothing has changed until then
        self._session.notify(f"not autosaved: {problem}")

    def _keep_replaced(self) -> None:
        """Keep a trained experiment that another one replaces, as the last session."""
        session = self._session
        if session.model.steps_done > 0 and session.model.can_save and session.is_unsaved:
            experiment = session.experiment(session.model.config)
            session.save(str(recovery.new_session()), experiment, self._note_replaced)
            session.announce("The experiment before can be opened again: File > Open the last session (Ctrl+Shift+O)")

    def _note_replaced(self, saved: Saved) -> None:
        if saved.problem:
            self._session.notify(f"the experiment before was not kept: {saved.problem}")

    def finish(self) -> None:
        """Save for the last time: what was closed can be opened again as the last session."""
        self._timer.stop()
        self.save()
        end = time.monotonic() + _CLOSING_SECONDS
        while self._is_saving and time.monotonic() < end:
            self._session.receive()
            time.sleep(0.01)
        self.file.end()

    # -- after a crash, and after a close

    def offer_recovery(self) -> None:
        """After a crash: ask whether to recover what was autosaved."""
        found = recovery.left_behind()
        if not found:
            return
        try:
            saved = found[0].stat().st_mtime
        except OSError:  # another window was faster
            self.offer_recovery()
            return
        box = QMessageBox(self._parent)
        box.setWindowTitle("Recover")
        when = time.strftime("%d %B, %H:%M", time.localtime(saved))
        box.setText(f"fastdrop ended unexpectedly. An experiment was autosaved on {when}.")
        recover = box.addButton("&Recover", QMessageBox.ButtonRole.AcceptRole)
        box.addButton("&Discard", QMessageBox.ButtonRole.DestructiveRole)
        later = box.addButton("Ask &later", QMessageBox.ButtonRole.RejectRole)
        box.finished.connect(
            lambda _result: self._recover(found[0], box.clickedButton() is recover, box.clickedButton() is later)
        )
        box.open()

    def _recover(self, path: Path, recover: bool, later: bool) -> None:
        if later:
            return
        with recovery.claimed(path) as is_ours:
            if is_ours and recover:
                if self._open_recovered(path):
                    return
            elif is_ours:
                path.unlink()
            else:
                self._session.notify("another window has recovered it, or discarded it")
        self.offer_recovery()  # there may be another one

    def _open_recovered(self, path: Path) -> bool:
        """Whether an autosaved experiment could be opened; a damaged one is kept under another name."""
        try:
            experiment = load_experiment(path)
        except ConfigError as error:
            dialogs.warn(self._parent, "Recover", str(error))
            path.replace(path.with_suffix(".damaged"))
            return False
        path.replace(self.file.path)  # this window's now; after another crash it is found again
        self._session.open_experiment(experiment, states=str(self.file.path))
        return True

    def open_last_session(self) -> None:
        """Open what the last window had when it was closed; the second time, what the one before had."""
        sessions = [path for path in recovery.sessions() if path not in self._opened]
        if not sessions:
            self._session.notify("there is no last session to open")
            return
        self._opened.add(sessions[0])
        try:
            self._session.open_experiment(load_experiment(sessions[0]), states=str(sessions[0]))
        except (ConfigError, OSError) as error:
            dialogs.warn(self._parent, "Open the last session", str(error))
