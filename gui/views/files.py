"""What has to do with files: opening, saving, autosave and recovery, sharing as text, exports."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QSettings
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QMessageBox

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import ConfigError, Experiment, ExperimentConfig, Run, load_experiment, save_experiment
from fastdrop.experiments.archive import SUFFIX
from fastdrop.experiments.files import write_atomically
from fastdrop.experiments.tables import SUFFIXES
from fastdrop_gui import editing
from fastdrop_gui.model import Status
from fastdrop_gui.views import dialogs, exporting, recovery
from fastdrop_gui.views.dialogs import ExportDialog

if TYPE_CHECKING:
    from fastdrop_gui.views.window import MainWindow

AUTOSAVE_SECONDS = 60.0
_CLOSING_SECONDS = 2.0
_RECENT = 8
_FRAME_SECONDS = 0.12
"""Between two frames of a film."""
_EXPERIMENTS = f"Experiments (*{SUFFIX} *.toml)"


class Files(QObject):
    """The window's files."""

    def __init__(self, window: "MainWindow") -> None:
        super().__init__(window)
        self._window = window
        self.autosave = recovery.Autosave()
        self._autosaved: tuple[int, ExperimentConfig, tuple[Run, ...]] | None = None
        self._next_autosave = time.monotonic() + AUTOSAVE_SECONDS
        self._autosaving = False
        self._opened: set[Path] = set()
        """Earlier sessions that this window has opened."""
        self._sent: dict[str, object] = {}
        """Files under way, and what the document was when they were sent."""
        self._waiting = ""
        self._saved_step = 0
        self._film: exporting.Film | None = None
        self._writing: tuple[exporting.Film, str] | None = None
        self._next_frame = 0.0

    # -- opening

    def new(self) -> None:
        """Begin anew with the defaults."""
        self._begin(Experiment(ExperimentConfig()), "", "")

    def choose(self) -> None:
        """Ask for an experiment to open."""
        path, _ = QFileDialog.getOpenFileName(self._window, "Open an experiment", "", _EXPERIMENTS)
        if path:
            self.open(path)

    def open_any(self, path: str) -> None:
        """Open what a file is: an experiment, or a table."""
        if Path(path).suffix.lower() in SUFFIXES:
            self.open_table(path)
        else:
            self.open(path)

    def open_dropped(self, paths: Sequence[str]) -> None:
        """Open what was dropped; of several files the first, and say so: a window holds one experiment."""
        self.open_any(paths[0])
        if len(paths) > 1:
            text = f"{len(paths)} files were dropped: a window holds one, {Path(paths[0]).name}"
            self._window.statusBar().showMessage(text, 8000)

    def open(self, path: str) -> bool:
        """Take an experiment file's configuration, curves and weights; on an error the one at hand goes on."""
        try:
            experiment = load_experiment(path)
        except ConfigError as error:
            dialogs.warn(self._window, "Open an experiment", str(error))
            return False
        self._begin(experiment, path, path)
        self._remember(path)
        return True

    def _begin(self, experiment: Experiment, path: str, states: str) -> None:
        window = self._window
        self.keep_last()
        self._saved_step, self._waiting = experiment.steps, ""
        window.document.open(experiment.config, path)
        window.settings.show_config(experiment.config)
        window.cards.show_config(experiment.config)
        window.pages.tell(experiment.config)
        window.set_runs(experiment.runs)
        if experiment.states:
            window.restart_from(states)
        else:
            window.set_twin(False)
            window.rewind()

    def keep_last(self) -> None:
        """Before another experiment takes its place, keep one that was trained, as the last session."""
        window = self._window
        if self._step() > 0 and window.model.can_save and self.is_unsaved:
            experiment = Experiment(window.model.config, runs=window.training.runs)
            window.model.save(str(recovery.new_session()), experiment)
            window.statusBar().showMessage("the experiment before can be opened again (Ctrl+Shift+O)", 6000)

    def choose_table(self) -> None:
        """Ask for the user's own table."""
        path, _ = QFileDialog.getOpenFileName(self._window, "Open a table", "", "Tables (*.csv *.npz)")
        if path:
            self.open_table(path)

    def open_table(self, path: str) -> None:
        """Show a table's first rows, and ask which column is the class."""
        from fastdrop_gui.views.table_dialog import TableDialog

        dialog = TableDialog(path, self._window)
        dialog.accepted.connect(lambda: self._use_table(dialog.path, dialog.label))
        dialog.open()

    def _use_table(self, path: str, label: str) -> None:
        window = self._window
        try:
            config = editing.with_file(window.document.config, str(path), label)
        except ConfigError as error:  # a name that is no text, for one
            dialogs.warn(window, "Open a table", str(error))
        else:
            window.begin(config, f"table {Path(path).name}")

    def recent(self) -> list[str]:
        """Files that were opened or saved, the newest first."""
        found: Any = QSettings().value("recent", [])
        paths = found if isinstance(found, list) else [found]  # QSettings gives one as text
        return [path for path in paths if isinstance(path, str) and os.path.exists(path)]

    def _remember(self, path: str) -> None:
        path = str(Path(path).absolute())
        QSettings().setValue("recent", [path, *(other for other in self.recent() if other != path)][:_RECENT])

    # -- saving

    def save(self) -> None:
        """Write to the file that was opened or saved before."""
        if self._window.document.path:
            self.save_to(self._window.document.path)
        else:
            self.save_as()

    def save_as(self) -> None:
        """Ask for a name and write."""
        name = self._window.document.path or f"experiment{SUFFIX}"
        path, _ = QFileDialog.getSaveFileName(self._window, "Save the experiment", name, _EXPERIMENTS)
        if path:
            self.save_to(path if Path(path).suffix.lower() in (SUFFIX, ".toml") else path + SUFFIX)

    def save_to(self, path: str) -> None:
        """Write configuration, weights and curves; a name that ends in .toml takes the configuration alone."""
        window, model = self._window, self._window.model
        if path.lower().endswith(".toml"):
            self._write(path, lambda: window.document.config.save(path))
        elif model.status is Status.LOADING:
            self._waiting = path  # its weights are on their way
        elif self._state_fits():
            self._send(path, window.document.config)
        elif model.can_save and model.snapshot is not None and model.snapshot.step > 0:
            self._ask_what_to_save(path)
        elif self._may_replace(path):  # there are no weights
            self._write(path, lambda: save_experiment(path, self._experiment()))

    def _send(self, path: str, config: ExperimentConfig) -> None:
        """Let the training's process write; what the document was then is what the file will hold."""
        self._sent[path] = self._window.document.mark if config == self._window.document.config else None
        self._window.model.save(path, Experiment(config, runs=self._window.training.runs))

    def _ask_what_to_save(self, path: str) -> None:
        """Settings were changed and wait for Rewind: the trained network is another one than they describe."""
        box = QMessageBox(self._window)
        box.setWindowTitle("Save")
        box.setText("Settings were changed and wait for Rewind. The trained network does not have them yet.")
        network = box.addButton("Save the &trained network", QMessageBox.ButtonRole.AcceptRole)
        settings = box.addButton("Save the new &settings alone", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        if box.clickedButton() is network:
            self._send(path, self._window.model.config)
        elif box.clickedButton() is settings:
            self._write(path, lambda: save_experiment(path, self._experiment()))

    def _may_replace(self, path: str) -> bool:
        """Whether a file may lose the trained network that it holds."""
        try:
            held = os.path.exists(path) and load_experiment(path).states
        except (ConfigError, OSError):  # writing will say what is wrong with it
            held = {}
        if not held:
            return True
        text = f"{path} holds a trained network, and there is none now. Replace it by the configuration alone?"
        return QMessageBox.question(self._window, "Save", text) is QMessageBox.StandardButton.Yes

    def _state_fits(self) -> bool:
        """Whether the network at hand is the configuration's."""
        window = self._window
        return window.model.can_save and editing.only_live(window.model.config, window.document.config)

    def _experiment(self) -> Experiment:
        return Experiment(self._window.document.config, runs=self._window.training.runs)

    def _write(self, path: str, write: Callable[[], object]) -> None:
        try:
            write()
        except (BackendUnavailable, ConfigError, OSError, ValueError) as error:
            dialogs.warn(self._window, "Save", str(error))
        else:
            self._saved(path, self._window.document.mark, self._saved_step)

    def _saved(self, path: str, mark: object = None, step: int = 0) -> None:
        """A file is there, with so many steps: the document's, if that is still the one that was sent."""
        if path.lower().endswith((SUFFIX, ".toml")):
            self._remember(path)
            if self._window.document.saved_as(path, mark):
                self._saved_step = step
                self._window.document.file_changed.emit()  # the title knows of steps, too
        self._window.statusBar().showMessage(f"written: {path}", 4000)

    def tick(self) -> None:
        """Hear of files that the training's process has written; autosave; film."""
        self._hear()
        if time.monotonic() >= self._next_autosave:
            self.autosave_now()
        self._film_on()

    def _hear(self) -> None:
        """Take in which files the training's process has written."""
        saved_files = self._window.model.saved
        while saved_files:
            saved = saved_files.pop(0)
            mark = self._sent.pop(saved.path, None)
            if saved.path == str(self.autosave.path):
                self._autosaving = False
                if saved.problem:
                    self._autosaved = None
                    self._window.show_problem(f"not autosaved: {saved.problem}")
            elif recovery.is_session(saved.path):
                if saved.problem:
                    self._window.show_problem(f"the experiment before was not kept: {saved.problem}")
            elif saved.problem:
                dialogs.warn(self._window, "Save", saved.problem)
            else:
                self._saved(saved.path, mark, saved.step)
        if self._waiting and self._window.model.status is not Status.LOADING:
            path, self._waiting = self._waiting, ""
            self.save_to(path)
        if self._sent and self._window.model.is_lost:
            paths, self._sent = ", ".join(self._sent), {}
            self._window.show_problem(f"not written, since the training process ended: {paths}")

    def _step(self) -> int:
        return self._window.model.snapshot.step if self._window.model.snapshot else 0

    @property
    def is_unsaved(self) -> bool:
        """Whether the configuration is another than the file's, or the network was trained since."""
        document = self._window.document
        return document.is_modified or self._step() != self._saved_step

    def autosave_now(self) -> None:
        """Keep what there is for after a crash, if it has changed."""
        self._next_autosave = time.monotonic() + AUTOSAVE_SECONDS
        window, step = self._window, self._step()
        state = (step, window.document.config, window.training.runs)
        if state == self._autosaved or (step == 0 and not window.document.is_modified and not window.training.runs):
            return
        self._autosaved = state
        if window.model.can_save and (step > 0 or self._state_fits()):
            self._autosaving = True
            config = window.document.config if self._state_fits() else window.model.config
            window.model.save(str(self.autosave.path), Experiment(config, runs=window.training.runs))
            return
        if os.path.exists(self.autosave.path) and step == 0 and window.model.status is Status.FAILED:
            return  # what was trained before is worth more than a configuration that fails
        try:
            save_experiment(self.autosave.path, self._experiment())
        except (BackendUnavailable, ConfigError, OSError) as error:
            self._autosaved = None  # try again, even if nothing changes until then
            window.show_problem(f"not autosaved: {error}")

    def offer_recovery(self) -> None:
        """After a crash: ask whether to go on from what was autosaved."""
        found = recovery.left_behind()
        if not found:
            return
        try:
            saved = found[0].stat().st_mtime
        except OSError:  # another window was faster
            self.offer_recovery()
            return
        box = QMessageBox(self._window)
        box.setWindowTitle("Recover")
        when = time.strftime("%d %B, %H:%M", time.localtime(saved))
        box.setText(f"fastdrop ended unexpectedly. An experiment was autosaved on {when}.")
        recover = box.addButton("&Recover it", QMessageBox.ButtonRole.AcceptRole)
        box.addButton("&Discard it", QMessageBox.ButtonRole.DestructiveRole)
        later = box.addButton("Ask &later", QMessageBox.ButtonRole.RejectRole)
        box.finished.connect(
            lambda _result: self._recover(found, box.clickedButton() is recover, box.clickedButton() is later)
        )
        box.open()

    def _recover(self, found: list[Path], wanted: bool, later: bool) -> None:
        if later:
            return
        with recovery.taken(found[0]) as is_ours:
            if is_ours and wanted:
                if self._go_on_from(found[0]):
                    return
            elif is_ours:
                found[0].unlink()
            else:
                self._window.show_problem("another window has recovered it, or discarded it")
        self.offer_recovery()  # of another window, if one was left as well

    def _go_on_from(self, path: Path) -> bool:
        """Whether an autosaved experiment could be opened; one that is damaged is kept under another name."""
        try:
            experiment = load_experiment(path)
        except ConfigError as error:
            dialogs.warn(self._window, "Recover", str(error))
            path.replace(path.with_suffix(".damaged"))
            return False
        path.replace(self.autosave.path)  # ours now; if this window dies as well, it is found again
        self._begin(experiment, "", str(self.autosave.path))
        self._saved_step = -1  # no file of the user's holds it
        return True

    def shutdown(self) -> None:
        """An orderly end: what there is can be opened again as the last session."""
        self.autosave_now()
        end = time.monotonic() + _CLOSING_SECONDS
        while self._autosaving and time.monotonic() < end:
            self._window.model.tick()
            self._hear()
            time.sleep(0.01)
        self.autosave.end()

    def open_last(self) -> None:
        """Go on where the last window was when it was closed; once more, where the one before was."""
        sessions = [path for path in recovery.sessions() if path not in self._opened]
        if not sessions:
            self._window.show_problem("there is no last session to open")
            return
        self._opened.add(sessions[0])
        try:
            self._begin(load_experiment(sessions[0]), "", str(sessions[0]))
            self._saved_step = -1  # no file of the user's holds it
        except (ConfigError, OSError) as error:
            dialogs.warn(self._window, "Open the last session", str(error))

    # -- sharing

    def copy_line(self) -> None:
        """Put the configuration's text on the clipboard."""
        QGuiApplication.clipboard().setText(self._window.document.config.to_line())
        self._window.statusBar().showMessage("copied: a line that recreates this configuration", 4000)

    def paste_line(self) -> None:
        """Take the configuration that the clipboard's text describes."""
        try:
            config = ExperimentConfig.from_line(QGuiApplication.clipboard().text())
        except ConfigError as error:
            self._window.show_problem(str(error))
        else:
            self._window.open_config(config, "a pasted configuration")

    # -- exports

    def _ask(self, title: str, name: str, kinds: str) -> str:
        """A path that the user chose, with the kinds' ending."""
        path, _ = QFileDialog.getSaveFileName(self._window, title, name, kinds)
        suffix = kinds.partition("*")[2].rstrip(")")
        return path if not path or Path(path).suffix.lower() == suffix else path + suffix

    def export_view(self) -> None:
        """Ask which view, as what, and where to."""
        window = self._window
        views = [view for view in window.training.views if window.training.is_seen(view)]
        views += [view for view in window.pages.views if view.isVisible()]
        if not views:
            window.show_problem("there is no view to export: all are closed")
            return
        dialog = ExportDialog(views, window.focused_view(), window)
        if not dialog.exec():
            return
        view, suffix = dialog.view.currentData(), dialog.format.currentData()
        path = self._ask("Export a view", f"{view.title.lower().replace(' ', '-')}{suffix}", exporting.FORMATS[suffix])
        if path:
            self._write(path, lambda: exporting.save_view(view, path))

    def export_weights(self) -> None:
        """Ask where to, and write the weights as NPZ."""
        path = self._ask("Export the weights", "weights.npz", "Arrays (*.npz)")
        if path and self._window.model.can_save:
            self._window.model.save(path, self._experiment())

    def export_code(self) -> None:
        """Ask where to, and write the network as Python code that trains it."""
        from fastdrop.experiments.code import to_python

        path = self._ask("Export as Python code", "network.py", "Python (*.py)")
        if path:
            config = self._window.document.config
            self._write(path, lambda: write_atomically(path, to_python(config).encode()))

    def film(self, wanted: bool) -> None:
        """Begin to film the training page, or end and ask where to put the film."""
        if wanted:
            self._film = exporting.Film(self._window.training)
            self._window.statusBar().showMessage("filming; the same command ends it", 4000)
            return
        film, self._film = self._film, None
        if film is None or not film.frames:
            return
        path = self._ask("Save the film", "training.gif", "Animated GIF (*.gif)")
        if path:
            film.save(path, round(1000 * _FRAME_SECONDS))
            self._writing = film, path
            self._window.statusBar().showMessage("writing the film …")

    def _film_on(self) -> None:
        if self._film is not None and time.monotonic() >= self._next_frame:
            self._next_frame = time.monotonic() + _FRAME_SECONDS
            self._film.take()
        if self._writing is None:
            return
        film, path = self._writing
        try:
            done = film.done
        except (OSError, ValueError, MemoryError) as error:
            self._writing = None
            dialogs.warn(self._window, "Save the film", str(error) or "there is not enough memory")
            return
        if done:
            self._writing = None
            self._saved(path)
