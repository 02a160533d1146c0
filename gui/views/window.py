"""The main window: controls on the left, curves and heat map on the right."""

from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QAction, QCloseEvent, QKeySequence
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QLabel,
    QMainWindow,
    QMessageBox,
    QProgressBar,
    QScrollArea,
    QSplitter,
    QStyle,
    QToolBar,
)

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import ConfigError, ExperimentConfig
from fastdrop_gui.model import ExperimentModel, Status
from fastdrop_gui.views.controls import ControlPanel
from fastdrop_gui.views.curves import CurvesView
from fastdrop_gui.views.heatmap import HeatMapView

FRAME_MS = 33
"""Between two looks at the training: 30 Hz."""

_SPEEDS = {"full speed": 0.0, "300 batches/s": 300.0, "50 batches/s": 50.0, "10 batches/s": 10.0, "2 batches/s": 2.0}
_PROGRESS_STEPS = 1000
_WATCHABLE = "300 batches/s"
_CHANGED = "Changed settings wait for Reset."


class MainWindow(QMainWindow):
    """Draws the model thirty times a second and hands on what the user does."""

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        self.setWindowTitle("fastdrop")
        self.resize(1280, 860)
        self.model = ExperimentModel(config)
        self._notice = ""
        self.controls = ControlPanel()
        self.curves = CurvesView()
        self.heatmap = HeatMapView()
        self._build_layout()
        self._build_actions()
        self.controls.show_config(config)
        self.controls.edited.connect(self._edited)
        self.controls.rate_changed.connect(self.model.set_rate)
        self._timer = QTimer(self, interval=FRAME_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        self._refresh()

    def _build_layout(self) -> None:
        panel = QScrollArea(widgetResizable=True)
        panel.setWidget(self.controls)
        panel.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        panel.setMinimumWidth(300)
        right = QSplitter(Qt.Orientation.Vertical)
        right.addWidget(self.curves)
        right.addWidget(self.heatmap)
        right.setSizes([360, 460])
        whole = QSplitter(Qt.Orientation.Horizontal)
        whole.addWidget(panel)
        whole.addWidget(right)
        whole.setSizes([310, 970])
        whole.setStretchFactor(1, 1)
        self.setCentralWidget(whole)
        self.figures = QLabel()
        self.problem = QLabel()
        self.problem.setStyleSheet("color: #d55e00; font-weight: bold")
        self.problem.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.progress = QProgressBar()
        self.progress.setMaximumWidth(200)
        self.statusBar().addWidget(self.figures)
        self.statusBar().addWidget(self.problem, 1)
        self.statusBar().addPermanentWidget(self.progress)

    def _build_actions(self) -> None:
        bar = QToolBar("Training", movable=False)
        bar.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.addToolBar(bar)
        icon = QStyle.StandardPixmap
        self.run_action = self._action("Run", icon.SP_MediaPlay, "F5", self._run)
        self.pause_action = self._action("Pause", icon.SP_MediaPause, "F6", self._pause)
        self.step_action = self._action("Step", icon.SP_MediaSkipForward, "F10", self._step)
        self.reset_action = self._action("Reset", icon.SP_BrowserReload, "Ctrl+R", self.reset)
        bar.addActions([self.run_action, self.pause_action, self.step_action, self.reset_action])
        self.step_action.setToolTip("Train on one batch (F10)")
        self.reset_action.setToolTip("Back to the initial weights, with the settings on the left (Ctrl+R)")
        bar.addSeparator()
        self.speed = QComboBox()
        for name, steps in _SPEEDS.items():
            self.speed.addItem(name, steps)
        self.speed.setToolTip("How fast to train: fast enough to get there, or slow enough to watch")
        self.speed.currentIndexChanged.connect(lambda: self.model.set_speed(self.speed.currentData()))
        bar.addWidget(QLabel(" Speed "))
        bar.addWidget(self.speed)
        self.speed.setCurrentText(_WATCHABLE)
        menu = self.menuBar().addMenu("&File")
        for text, shortcut, call in (
            ("&Open configuration …", QKeySequence.StandardKey.Open, self._open),
            ("&Save configuration …", QKeySequence.StandardKey.Save, self._save),
            ("&Quit", QKeySequence.StandardKey.Quit, self.close),
        ):
            action = QAction(text, self)
            action.setShortcut(shortcut)
            action.triggered.connect(lambda _checked=False, call=call: call())
            menu.addAction(action)

    def _action(self, text: str, icon: QStyle.StandardPixmap, shortcut: str, call: object) -> QAction:
        action = QAction(self.style().standardIcon(icon), text, self)
        action.setShortcut(shortcut)
        action.setToolTip(f"{text} ({shortcut})")
        action.triggered.connect(call)
        return action

    def _run(self) -> None:
        self.model.run()
        self._refresh()

    def _pause(self) -> None:
        self.model.pause()
        self._refresh()

    def _step(self) -> None:
        self.model.step()
        self._refresh()

    def reset(self) -> None:
        """Start the experiment that the panel describes."""
        try:
            config = self.controls.config()
        except ConfigError as error:
            self.show_problem(str(error))
            return
        self.controls.hint.clear()
        self._notice = ""
        self.model.reset(config)
        self.heatmap.clear()
        self._refresh()

    def _edited(self) -> None:
        """Before the first batch a change takes effect at once; later it waits for Reset."""
        snapshot = self.model.snapshot
        try:
            config = self.controls.config()
        except ConfigError as error:
            self.show_problem(str(error))
            return
        if config.replace(rate=self.model.config.rate) == self.model.config:
            self.controls.hint.clear()
        elif self.model.status is Status.FAILED or snapshot is None or snapshot.step == 0:
            self.reset()
        else:
            self.controls.hint.setText(_CHANGED)

    def _tick(self) -> None:
        if self.model.tick():
            self._refresh()

    def _refresh(self) -> None:
        model = self.model
        waiting = model.status in (Status.READY, Status.PAUSED)
        self.run_action.setEnabled(waiting)
        self.step_action.setEnabled(waiting)
        self.pause_action.setEnabled(model.status is Status.RUNNING)
        self.controls.about.setText(model.data)
        self.curves.show_history(model.history)
        self.problem.setText(model.message or self._notice)
        self.problem.setToolTip(self.problem.text())
        if model.snapshot is None:
            self.figures.setText(model.status.value)
            self.progress.setRange(0, 0 if model.status is Status.LOADING else 1)
            return
        self.heatmap.show_layers(model.snapshot.layers)
        self.progress.setRange(0, _PROGRESS_STEPS)
        self.progress.setValue(_PROGRESS_STEPS * model.snapshot.step // model.total_steps)
        latest = model.history[-1]
        text = (
            f"{model.status.value}   epoch {model.snapshot.epoch:.1f}   "
            f"train {latest.train_accuracy:.1%}   test {latest.test_accuracy:.1%}   "
            f"gap {latest.train_accuracy - latest.test_accuracy:.1%}"
        )
        if model.status is Status.RUNNING and model.steps_per_second:
            left = (model.total_steps - model.snapshot.step) / model.steps_per_second
            text += f"   {model.steps_per_second:.0f} batches/s, {left:.0f} s left"
        self.figures.setText(text)

    def show_problem(self, text: str) -> None:
        """Say what is wrong, in the status bar, without stopping anything; it stands until the next reset."""
        self._notice = text
        self._refresh()

    def _open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a configuration", "", "Configurations (*.toml)")
        if path:
            self.open_config(path)

    def open_config(self, path: str) -> None:
        """Start the experiment of a configuration file; on an error the one at hand goes on."""
        try:
            config = ExperimentConfig.load(path)
        except ConfigError as error:
            QMessageBox.warning(self, "Open a configuration", str(error))
            return
        self.controls.show_config(config)
        self.reset()

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the configuration", "experiment.toml", "*.toml")
        if path:
            self.save_config(path)

    def save_config(self, path: str) -> None:
        """Write what the panel says; the file is the old one or the new one, whatever happens."""
        try:
            self.controls.config().save(Path(path))
        except (BackendUnavailable, ConfigError, OSError) as error:
            QMessageBox.warning(self, "Save the configuration", str(error))

    def closeEvent(self, event: QCloseEvent) -> None:
        self._timer.stop()
        self.model.close()
        event.accept()
