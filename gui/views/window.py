"""The main window: pages, what runs, and how changes reach it."""

from PySide6.QtCore import QByteArray, QEvent, QSettings, Qt, QTimer
from PySide6.QtGui import QAction, QCloseEvent, QDragEnterEvent, QDropEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QLabel,
    QMainWindow,
    QMessageBox,
    QProgressBar,
    QTabWidget,
    QWidget,
)

from fastdrop.experiments import ConfigError, ExperimentConfig, Run
from fastdrop_gui import editing
from fastdrop_gui.model import ExperimentModel, Status
from fastdrop_gui.views import dialogs, plots
from fastdrop_gui.views.actions import Actions
from fastdrop_gui.views.document import Document
from fastdrop_gui.views.files import Files
from fastdrop_gui.views.pages import Pages
from fastdrop_gui.views.training import TrainingPage

FRAME_MS = 33
"""Between two looks at the training: 30 Hz."""

_PROGRESS_STEPS = 1000
_CHANGED = "Changed settings wait for Rewind (Ctrl+R)."
_LAYOUT_VERSION = 1


class MainWindow(QMainWindow):
    """Draws the model thirty times a second and hands on what the user does."""

    def __init__(self, config: ExperimentConfig, file: str = "") -> None:
        super().__init__()
        room = self.screen().availableGeometry()
        self.resize(min(1320, room.width()), min(880, room.height()))
        self.setAcceptDrops(True)
        self.document = Document(config, self)
        self.model = ExperimentModel(config)
        self.training = TrainingPage(self.model)
        self.settings, self.cards = self.training.settings, self.training.cards
        self.notice = ""
        self._build_status()
        self.files = Files(self)
        self.tabs = QTabWidget(documentMode=True)
        self.setCentralWidget(self.tabs)
        self.pages = Pages(self)
        self.actions_ = Actions(self)
        self.settings.edited.connect(self._field_edited)
        self.settings.data_wanted.connect(self.files.choose_table)
        self.settings.threads_chosen.connect(self.model.set_threads)
        self.cards.edited.connect(self.document.change)
        self.cards.refused.connect(self.show_refusal)
        self.training.run_table.keep_wanted.connect(self.keep_run)
        self.training.run_table.opened.connect(lambda run: self.open_run(run, keep=False))
        self.training.run_table.removed.connect(self._forget_run)
        self.document.changed.connect(self._config_changed)
        self.document.file_changed.connect(self._show_title)
        self._show_config()
        self._show_title()
        self._restore_layout()
        self._timer = QTimer(self, timerType=Qt.TimerType.PreciseTimer)
        self._timer.setInterval(FRAME_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        if file:
            self.files.open(file)
        self.refresh()

    def _build_status(self) -> None:
        self.figures = plots.caption()
        self.hint = QLabel()
        self.problem = plots.caption()
        self.problem.setTextFormat(Qt.TextFormat.PlainText)
        self.problem.setStyleSheet(f"color: {plots.VERMILION}; font-weight: bold")
        self.progress = QProgressBar()
        self.progress.setMaximumWidth(200)
        self.progress.setAccessibleName("Progress of the training")
        self.statusBar().addWidget(self.figures, 3)
        self.statusBar().addWidget(self.hint)
        self.statusBar().addWidget(self.problem, 2)
        self.statusBar().addPermanentWidget(self.progress)

    # -- what the user changes

    def _field_edited(self, name: str, value: object) -> None:
        try:
            config = editing.with_field(self.document.config, name, value)
        except ConfigError as error:
            if not self.settings.show_problem(name, str(error)):
                self.show_problem(str(error))
            return
        self.document.change(config, f"{name.replace('_', ' ')} {value}", f"field {name}")
        self.settings.show_config(self.document.config)  # also where nothing has changed: a problem may be gone

    def show_refusal(self, error: ConfigError) -> None:
        """Say why a change was not made: beside the field where it is one of the panel's, else below."""
        if not (isinstance(error, ConfigError) and self.settings.show_problem(error.field, str(error))):
            self.show_problem(str(error))

    def _config_changed(self, before: ExperimentConfig, after: ExperimentConfig) -> None:
        """Rates, learning rate and epochs take effect at once, all else before the first batch; later it waits."""
        self._show_config()
        running, snapshot = self.model.config, self.model.snapshot
        self.notice = ""
        if editing.only_live(running, after):
            self.model.change(after)
            self.hint.clear()
        elif self.model.status is Status.FAILED or snapshot is None or snapshot.step == 0:
            self.rewind()
        else:
            self.model.change(editing.with_live(running, after))
            self.hint.setText(_CHANGED)
        self.refresh()

    def _show_config(self) -> None:
        self.settings.show_config(self.document.config)
        self.cards.show_config(self.document.config)

    # -- what runs

    def run(self) -> None:
        """Train."""
        self.model.run()
        self.refresh()

    def pause(self) -> None:
        """Stop after the batch at hand."""
        self.model.pause()
        self.refresh()

    def step(self, epoch: bool = False) -> None:
        """Train on a batch, or to the epoch's end."""
        self.model.step(epoch)
        self.refresh()

    def rewind(self) -> None:
        """Back to the initial weights, with the settings as they are now."""
        self._restart()

    def _restart(self, file: str = "", twin: bool | None = None) -> None:
        self.hint.clear()
        self.settings.clear_problems()
        self.notice = ""
        self.model.reset(self.document.config, twin=self.model.twin_wanted if twin is None else twin, file=file)
        self.training.clear()
        self.refresh()

    def restart_from(self, file: str) -> None:
        """Go on from the state in a file."""
        self._restart(file=file, twin=False)

    def new_seed(self) -> None:
        """Other initial weights, order of batches and masks."""
        config = self.document.config
        self.begin(config.replace(seed=(config.seed + 1) % 2**31), "new seed")

    def begin(self, config: ExperimentConfig, text: str) -> None:
        """Take a configuration and start with it, whatever runs now."""
        self.document.change(config, text)
        if self.model.status is not Status.LOADING or self.model.config != config:  # else it has just begun
            self.rewind()

    def set_twin(self, wanted: bool) -> None:
        """Train the twin without dropout beside it, or no more."""
        if wanted != self.model.twin_wanted:
            self.model.set_twin(wanted)

    def keep_run(self) -> None:
        """Keep the curves at hand, to compare later ones with."""
        if len(self.model.history) > 1:
            run = Run(editing.title(self.model.config), self.model.config, tuple(self.model.history))
            self.set_runs((*self.training.runs, run))

    def set_runs(self, runs: tuple[Run, ...]) -> None:
        """Compare with these."""
        self.training.runs = runs
        self.refresh()

    def _forget_run(self, number: int) -> None:
        runs = self.training.runs
        self.set_runs((*runs[:number], *runs[number + 1 :]))

    def open_run(self, run: Run, keep: bool = True) -> None:
        """Take a run's configuration; its curves stay to compare with."""
        if keep:
            self.set_runs((*self.training.runs, run))
        self.document.change(run.config, f"open {run.name}")
        self.tabs.setCurrentWidget(self.training)

    def open_config(self, config: ExperimentConfig, name: str = "") -> None:
        """Take a preset's or a pasted configuration, and begin with it."""
        self.files.keep_last()
        self.begin(config, f"open {name or 'a configuration'}")
        self.tabs.setCurrentWidget(self.training)

    # -- what is shown

    def _tick(self) -> None:
        failed = self.model.status is Status.FAILED
        if self.model.tick():
            if self.model.status is Status.FAILED and not failed:
                self.settings.show_problem(self.model.field, self.model.message)
                if self.model.details:
                    dialogs.tell_unexpected_error(self.model.details, self)
            self.refresh()
        elif self.model.silence or self.model.status is Status.LOADING:
            self.figures.setText(self._figures())
        self.files.tick()

    def refresh(self) -> None:
        """Draw the model."""
        model = self.model
        self.actions_.enable()
        self.setWindowModified(self.files.is_unsaved)
        self.training.refresh()
        text = model.message or self.notice
        self.problem.setText(text)
        self.problem.setVisible(bool(text))
        self.problem.setToolTip(text)
        if model.snapshot is None:
            self.figures.setText(self._figures())
            self.progress.setRange(0, 0 if model.status is Status.LOADING else 1)
            return
        self.progress.setRange(0, _PROGRESS_STEPS)
        self.progress.setValue(min(_PROGRESS_STEPS, _PROGRESS_STEPS * model.snapshot.step // max(1, model.total_steps)))
        self.figures.setText(self._figures())

    def _figures(self) -> str:
        model = self.model
        if model.snapshot is None:
            seconds = model.loading_seconds
            return model.status.value + (f" for {seconds:.0f} s (a large network or table)" if seconds >= 2 else "")
        latest = model.history[-1]
        text = (
            f"{model.status.value}   epoch {model.snapshot.epoch:.1f}   train {latest.train_accuracy:.1%}   "
            f"test {latest.test_accuracy:.1%}   gap {latest.gap:.1%}"
        )
        if model.twin_history:
            twin = model.twin_history[-1]
            behind = ", catching up" if (model.twin_step or 0) < model.snapshot.step - model.steps_per_epoch else ""
            text += f"   without dropout: test {twin.test_accuracy:.1%}, gap {twin.gap:.1%}{behind}"
        if model.silence:
            text += f"   no news for {model.silence:.0f} s (Rewind ends it)"
        elif model.status is Status.RUNNING and model.steps_per_second:
            left = model.seconds_left
            time = f"{left:.0f} s" if left < 120 else f"{left / 60:.0f} min"
            text += f"   {model.steps_per_second:.0f} batches/s, {time} left"
        return text

    def show_problem(self, text: str) -> None:
        """Say what is wrong, in the status bar, without stopping anything; it stands until the next change."""
        self.notice = text
        self.refresh()

    def _show_title(self) -> None:
        name = self.document.path.replace("\\", "/").rpartition("/")[2] or "new experiment"
        self.setWindowTitle(f"{name}[*] – fastdrop")
        self.setWindowModified(self.files.is_unsaved)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "actions_"):
            plots.color_plots(self)
            self.training.recolor()
            self.actions_.recolor()

    # -- files that are dropped, and the end

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            QTimer.singleShot(0, lambda: self.files.open_dropped(paths))  # the other program waits for the drop's end

    def _restore_layout(self) -> None:
        geometry = QSettings().value("geometry")
        if isinstance(geometry, QByteArray):  # not what somebody has written into the file
            self.restoreGeometry(geometry)

    def showEvent(self, event: QShowEvent) -> None:
        """Docks are put in their places when the window is there: before, Qt leaves a tab bar of an earlier place."""
        super().showEvent(event)
        if not self.training.is_arranged:
            self.training.arrange()
            layout = QSettings().value("layout")
            if not isinstance(layout, QByteArray):
                self.training.balance_soon()
            else:
                self.training.restoreState(layout, _LAYOUT_VERSION)
                for dock in self.training.docks.values():
                    if dock.isHidden():
                        QTimer.singleShot(0, dock.hide)  # again: Qt shows docks that were just added a moment later

    def commit(self) -> None:
        """Take in what is typed into a box and not yet entered."""
        widget = QApplication.focusWidget()
        if isinstance(widget, QAbstractSpinBox):
            widget.interpretText()

    def save_layout(self) -> None:
        """Remember where everything stands."""
        settings = QSettings()
        settings.setValue("geometry", self.saveGeometry())
        settings.setValue("layout", self.training.saveState(_LAYOUT_VERSION))

    def what_runs(self) -> list[str]:
        """What closing would end, in words."""
        running = ["the training"] if self.model.status is Status.RUNNING else []
        return running + self.pages.what_runs()

    def closeEvent(self, event: QCloseEvent) -> None:
        running = self.what_runs()
        if running and not self._may_end(running):
            event.ignore()
            return
        self._timer.stop()
        self.save_layout()
        self.pages.shutdown()
        self.files.shutdown()
        self.model.close()
        event.accept()

    def _may_end(self, running: list[str]) -> bool:
        """Ask once."""
        box = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Close fastdrop")
        box.setText(f"Still running: {', '.join(running)}. Close all the same?")
        box.setInformativeText("What was not saved is lost.")
        close = box.addButton("&Close", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton("&Go on", QMessageBox.ButtonRole.RejectRole)
        box.exec()
        return box.clickedButton() is close

    def focused_view(self) -> plots.View | None:
        """The view that has the keyboard, or the page."""
        widget: QWidget | None = QApplication.focusWidget()
        while widget is not None and not isinstance(widget, plots.View):
            widget = widget.parentWidget()
        return widget

    def actions_with_keys(self) -> list[QAction]:
        """For the list of shortcuts."""
        return [action for action in self.findChildren(QAction) if action.shortcuts() and action.text()]
