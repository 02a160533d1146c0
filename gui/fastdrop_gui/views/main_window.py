"""The main window: makes the parts, connects them, and draws the model thirty times a second."""

from PySide6.QtCore import QByteArray, QEvent, QSettings, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QShowEvent
from PySide6.QtWidgets import QMainWindow, QMessageBox, QVBoxLayout, QWidget

import fastdrop
from fastdrop.experiments import ConfigError, ExperimentConfig, Run
from fastdrop.experiments.sweeps import Result
from fastdrop_gui.model import editing
from fastdrop_gui.model.experiment_model import Status
from fastdrop_gui.model.wording import display_name
from fastdrop_gui.views.commands import Commands, connect
from fastdrop_gui.views.files.autosave import Autosave
from fastdrop_gui.views.files.experiment_files import ExperimentFiles
from fastdrop_gui.views.files.exporter import Exporter
from fastdrop_gui.views.files.recorder import Recorder
from fastdrop_gui.views.files.table_import import TableImport
from fastdrop_gui.views.menus import Menus, TrainingToolBar
from fastdrop_gui.views.notice_bar import NoticeBar
from fastdrop_gui.views.pages import Page, Pages
from fastdrop_gui.views.session import Session
from fastdrop_gui.views.status_bar import StatusBar
from fastdrop_gui.views.training.training_page import TrainingPage
from fastdrop_gui.views.widgets import dialogs, plots
from fastdrop_gui.views.widgets.view import View

FRAME_MS = 33
"""Between two looks at the training: 30 Hz."""
TRAINING, PRESETS, SWEEP, EVIDENCE = "training", "presets", "sweep", "evidence"
MASK_EXPLORER, BENCHMARK = "mask explorer", "benchmark"

_ABOUT = "Fused dropout kernels for NumPy and CuPy, and a window in which you see what dropout does."


class MainWindow(QMainWindow):
    """The parts are attributes. None of them knows the window: `_connect` is where their signals meet."""

    def __init__(self, config: ExperimentConfig, file: str = "") -> None:
        super().__init__()
        room = self.screen().availableGeometry()
        self.resize(min(1320, room.width()), min(880, room.height()))
        self.setAcceptDrops(True)
        self.session = Session(config, self)
        self.training = TrainingPage(self.session)
        self.pages = Pages(
            {
                TRAINING: Page("&Train", lambda: self.training, has_margin=False),
                PRESETS: Page("&Presets", self._make_presets),
                SWEEP: Page("S&weep", self._make_sweep, work="a sweep"),
                EVIDENCE: Page("Does dropo&ut help?", self._make_evidence, work="the comparison with the baseline"),
                MASK_EXPLORER: Page("Mask e&xplorer", _make_mask_explorer),
                BENCHMARK: Page("&Benchmark", self._make_benchmark, work="a benchmark"),
            }
        )
        self.files = ExperimentFiles(self.session, self)
        self.autosave = Autosave(self.session, self)
        self.table_import = TableImport(self.session, self)
        self.exporter = Exporter(self.session, self._seen_views, self)
        self.recorder = Recorder(self.training, self)
        self.commands = Commands(self.session.document.stack, self)
        self.tool_bar = TrainingToolBar(self.commands)
        self.menus = Menus(self.menuBar(), self.commands, self.pages, self.training, self.open_path)
        self.status = StatusBar()
        self.addToolBar(self.tool_bar)
        self.notices = NoticeBar()
        self._place_pages()
        self.setStatusBar(self.status)
        self._connect()
        self._connect_commands()
        self.tool_bar.choose_first_speed()
        self.training.show_config(config)
        self._show_title()
        geometry = QSettings().value("geometry")
        if isinstance(geometry, QByteArray):  # the settings file may have been edited
            self.restoreGeometry(geometry)
        self._timer = QTimer(self, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(FRAME_MS)
        if file:
            self.files.open(file)
        self.refresh()

    def _place_pages(self) -> None:
        place = QWidget()
        layout = QVBoxLayout(place)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.notices)
        layout.addWidget(self.pages, 1)
        self.setCentralWidget(place)

    # -- wiring

    def _connect(self) -> None:
        session, training, document = self.session, self.training, self.session.document
        session.changed.connect(self.refresh)
        session.config_changed.connect(training.show_config)
        session.restarted.connect(training.clear)
        session.failed.connect(self._show_failure)
        session.opened.connect(lambda: self.pages.show_page(TRAINING))
        session.announced.connect(self.status.announce)
        document.file_changed.connect(self._show_title)
        training.settings.edited.connect(self._edit_field)
        training.settings.import_requested.connect(self.table_import.choose)
        training.settings.roles_requested.connect(self.table_import.reopen)
        training.settings.evidence_requested.connect(self.show_evidence)
        training.settings.threads_chosen.connect(session.model.set_threads)
        training.cards.edited.connect(document.change)
        training.cards.refused.connect(self._show_refusal)
        training.run_table.pin_requested.connect(session.pin_run)
        training.run_table.restored.connect(session.restore_run)
        training.run_table.removed.connect(session.remove_run)
        self.pages.currentChanged.connect(training.refresh)
        self.recorder.announced.connect(session.announce)
        self.tool_bar.speed_chosen.connect(session.model.set_speed)

    def _connect_commands(self) -> None:
        commands, session = self.commands, self.session
        for action, call in (
            (commands.run, session.run),
            (commands.pause, session.pause),
            (commands.step, session.step),
            (commands.step_epoch, session.step_epoch),
            (commands.reset, session.reset),
            (commands.new_seed, session.new_seed),
            (commands.pin_run, session.pin_run),
            (commands.show_evidence, self.show_evidence),
            (commands.new, self.files.new),
            (commands.open, self.files.choose),
            (commands.open_last_session, self.autosave.open_last_session),
            (commands.import_data, self.table_import.choose),
            (commands.import_folder, self.table_import.choose_folder),
            (commands.save, self.files.save),
            (commands.save_as, self.files.save_as),
            (commands.export_view, self.exporter.export_view),
            (commands.export_weights, self.exporter.export_weights),
            (commands.export_code, self.exporter.export_code),
            (commands.copy_share_code, self.exporter.copy_share_code),
            (commands.paste_share_code, self.exporter.paste_share_code),
            (commands.reset_layout, self.training.reset_layout),
            (commands.show_shortcuts, self._show_shortcuts),
            (commands.about, self._show_about),
            (commands.quit, self.close),
        ):
            connect(action, call)
        commands.baseline.toggled.connect(session.set_baseline)
        commands.record.toggled.connect(commands.show_recording)
        commands.record.toggled.connect(self.recorder.record)

    # -- pages that are made when they are first shown, with what they import

    def _make_presets(self) -> View:
        from fastdrop_gui.views.gallery.gallery_view import GalleryView

        view = GalleryView()
        view.chosen.connect(self.session.open_config)
        return view

    def _make_sweep(self) -> View:
        from fastdrop_gui.views.sweep.sweep_view import SweepView

        view = SweepView(self.session.config)
        view.run_chosen.connect(self._open_result)
        self.session.config_changed.connect(view.set_config)
        return view

    def _make_evidence(self) -> View:
        from fastdrop_gui.views.evidence.evidence_view import EvidenceView

        view = EvidenceView(self.session.config)
        self.session.config_changed.connect(view.set_config)
        return view

    def show_evidence(self) -> None:
        """Ask whether dropout helps on the data."""
        self.pages.show_page(EVIDENCE)

    def _make_benchmark(self) -> View:
        from fastdrop_gui.views.benchmark.benchmark_view import BenchmarkView

        view = BenchmarkView()
        view.started.connect(self.session.pause)
        return view

    def _open_result(self, result: Result) -> None:
        """A point of a sweep was chosen: take its configuration, and pin its curves."""
        run = Run(editing.title(result.config), result.config, tuple(result.history))
        self.session.set_runs((*self.session.runs, run))
        self.session.restore_run(run)

    # -- what the user changes

    def _edit_field(self, name: str, value: object) -> None:
        document, settings = self.session.document, self.training.settings
        try:
            config = editing.with_field(document.config, name, value)
        except ConfigError as error:
            if not settings.show_problem(name, str(error)):
                self.session.notify(str(error))
            return
        label = settings.fields[name].accessibleName()
        document.change(config, f"{label}: {display_name(str(value))}", f"field {name}")
        settings.show_config(document.config)  # also where nothing has changed: a problem may be solved

    def _show_refusal(self, error: ValueError) -> None:
        """Say why a change was not made: beside the field if the panel has it, else in the status bar."""
        if not (isinstance(error, ConfigError) and self.training.settings.show_problem(error.field, str(error))):
            self.session.notify(str(error))

    def open_path(self, path: str) -> None:
        """Open a path: an experiment, or data."""
        if self.table_import.reads(path):
            self.table_import.open(path)
        else:
            self.files.open(path)

    def open_dropped(self, paths: list[str]) -> None:
        """Open the first of the files that were dropped: a window holds one experiment."""
        self.open_path(paths[0])
        if len(paths) > 1:
            name = paths[0].replace("\\", "/").rpartition("/")[2]
            self.session.announce(f"{len(paths)} files were dropped; only the first was opened: {name}")

    # -- what is shown

    def _tick(self) -> None:
        model = self.session.model
        if not self.session.tick() and (model.silence or model.status is Status.LOADING):
            self.status.show_figures(model)

    def refresh(self) -> None:
        """Draw the session."""
        session = self.session
        self.commands.show_state(session.model)
        self.setWindowModified(session.is_unsaved)
        self.status.show_state(session.model, session.notice, session.needs_reset)
        if session.model.about is not None:  # until then, those of the data before stay
            self.notices.show_notes(session.model.about.notes)
        self.training.refresh()

    def _show_failure(self) -> None:
        model = self.session.model
        self.training.settings.show_problem(model.field, model.message)
        if model.details:
            dialogs.tell_unexpected_error(model.details, self)

    def _show_title(self) -> None:
        name = self.session.document.path.replace("\\", "/").rpartition("/")[2] or "new experiment"
        self.setWindowTitle(f"{name}[*] – fastdrop")
        self.setWindowModified(self.session.is_unsaved)

    def _seen_views(self) -> list[View]:
        return [view for view in (*self.training.views, *self.pages.views) if view.is_seen]

    def _show_shortcuts(self) -> None:
        dialogs.ShortcutsDialog(self.commands.with_keys(), self).open()

    def _show_about(self) -> None:
        QMessageBox.about(self, "fastdrop", f"fastdrop {fastdrop.__version__}\n\n{_ABOUT}")

    # -- events

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_timer"):
            plots.color_plots(self)
            self.training.recolor()
            self.commands.recolor()
            self.refresh()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            QTimer.singleShot(0, lambda: self.open_dropped(paths))  # the other program waits for the drop to end

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.training.restore_layout()

    def closeEvent(self, event: QCloseEvent) -> None:
        running = ["training"] if self.session.model.status is Status.RUNNING else []
        running += self.pages.running_work()
        if running and not self._may_quit(running):
            event.ignore()
            return
        self._timer.stop()
        QSettings().setValue("geometry", self.saveGeometry())
        self.training.save_layout()
        self.pages.shutdown()
        self.autosave.finish()
        self.session.model.close()
        event.accept()

    def _may_quit(self, running: list[str]) -> bool:
        """Ask once."""
        box = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Quit fastdrop")
        text = " and ".join(running)
        box.setText(f"{text[0].upper()}{text[1:]} {'is' if len(running) == 1 else 'are'} running. Quit?")
        box.setInformativeText("Unsaved work will be lost.")
        quit_button = box.addButton("&Quit", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        return box.clickedButton() is quit_button


def _make_mask_explorer() -> View:
    from fastdrop_gui.views.mask_explorer.mask_explorer_view import MaskExplorerView

    return MaskExplorerView()
