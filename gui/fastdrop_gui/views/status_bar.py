"""The status bar: what the experiment is doing, its figures, and problems."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QProgressBar, QStatusBar

from fastdrop_gui.model.experiment_model import ExperimentModel, Status
from fastdrop_gui.model.wording import status_text
from fastdrop_gui.views.widgets.fields import caption
from fastdrop_gui.views.widgets.plots import VERMILION

_PROGRESS_STEPS = 1000
_NEEDS_RESET = "Reset to apply the changes (Ctrl+R)"
_ANNOUNCED_MS = 6000


class StatusBar(QStatusBar):
    """Shows the model, and announces for some seconds what was done."""

    def __init__(self) -> None:
        super().__init__()
        self.figures = caption()
        self.hint = QLabel()
        self.problem = caption()
        self.problem.setTextFormat(Qt.TextFormat.PlainText)
        self.problem.setStyleSheet(f"color: {VERMILION}; font-weight: bold")
        self.progress = QProgressBar()
        self.progress.setMaximumWidth(200)
        self.progress.setAccessibleName("Progress of the training")
        self.addWidget(self.figures, 3)
        self.addWidget(self.hint)
        self.addWidget(self.problem, 2)
        self.addPermanentWidget(self.progress)

    def show_state(self, model: ExperimentModel, notice: str, needs_reset: bool) -> None:
        """Show the model; `notice` is a problem, where the model has none."""
        self.show_figures(model)
        self.hint.setText(_NEEDS_RESET if needs_reset else "")
        problem = model.message or notice
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self.problem.setToolTip(problem)
        if model.snapshot is None:
            self.progress.setRange(0, 0 if model.status is Status.LOADING else 1)
        else:
            done = _PROGRESS_STEPS * model.steps_done // max(1, model.total_steps)
            self.progress.setRange(0, _PROGRESS_STEPS)
            self.progress.setValue(min(_PROGRESS_STEPS, done))

    def show_figures(self, model: ExperimentModel) -> None:
        """The line of figures alone, which also counts seconds while nothing changes."""
        self.figures.setText(status_text(model))

    def announce(self, text: str) -> None:
        """Show a text for some seconds."""
        self.showMessage(text, _ANNOUNCED_MS)
