"""The page that answers whether dropout helps on the data: paired splits in processes, and what they show."""

import numpy as np
from PySide6.QtCore import QEvent, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QComboBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import ConfigError, ExperimentConfig
from fastdrop.experiments.evidence import Evidence, EvidencePlan
from fastdrop.experiments.evidence.plan import DEFAULT_RATES, DEFAULT_SPLITS, MOST_SPLITS
from fastdrop_gui.model import evidence_text as words
from fastdrop_gui.model.evidence_work import EvidenceWork
from fastdrop_gui.model.wording import time_text
from fastdrop_gui.views.evidence.evidence_plots import DifferencesPlot, ReliabilityPlot
from fastdrop_gui.views.evidence.text_table_view import TextTableView
from fastdrop_gui.views.widgets import plots
from fastdrop_gui.views.widgets.fields import bold
from fastdrop_gui.views.widgets.layouts import labelled, row
from fastdrop_gui.views.widgets.view import Table, View

POLL_MS = 100
_STEPS = 1000
_QUESTION = (
    "Does dropout help on these data? The network is trained without dropout and with each candidate rate, on several "
    "random splits. Validation rows choose the rate, test rows compare it with the baseline (no dropout)."
)


class EvidenceView(View):
    """Runs a comparison of the configuration with its baseline, and shows what the finished splits say."""

    title = "Does dropout help?"
    description = "Paired splits with and without dropout, the verdict with its confidence interval, and metrics"

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        self._built = False
        self._config = config
        self._plan: EvidencePlan | None = None
        self._work: EvidenceWork | None = None
        self._evidence: Evidence | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        layout = QVBoxLayout(self)
        for part in (self._settings(), self._progress(), self._verdict()):
            layout.addLayout(part)
        layout.addWidget(self._results(), 1000)
        layout.addStretch(1)  # while there are no results
        self._connect()
        self._built = True
        self._recolor()
        self._check()

    # -- layout

    def _settings(self) -> QVBoxLayout:
        self.splits = QSpinBox(minimum=1, maximum=MOST_SPLITS, value=DEFAULT_SPLITS)
        self.splits.setToolTip("More splits make the confidence interval narrower. One split cannot tell.")
        self.rates = QLineEdit(", ".join(f"{rate:g}" for rate in DEFAULT_RATES))
        self.rates.setToolTip("Dropout rates to choose from, with commas between them")
        self.start_button, self.stop_button = QPushButton("&Start"), QPushButton("Sto&p")
        self.stop_button.setToolTip("Stop; the finished splits are kept")
        self.copy_button = QPushButton("Cop&y text")
        self.copy_button.setToolTip("Copy the verdict and the tables as text")
        self.question = QLabel(_QUESTION, wordWrap=True)
        layout = QVBoxLayout()
        layout.addWidget(self.question)
        self.rates.setMaximumWidth(self.fontMetrics().horizontalAdvance("0" * 24))
        buttons = (self.start_button, self.stop_button, self.copy_button)
        labels = labelled("Spl&its", self.splits), labelled("&Candidate rates p", self.rates)
        layout.addLayout(row(labels[0], self.splits, labels[1], self.rates, *buttons, None))
        return layout

    def _progress(self) -> QVBoxLayout:
        self.progress = QProgressBar(maximum=_STEPS)
        self.progress.setAccessibleName("Progress of the comparison")
        self.status = QLabel(wordWrap=True)
        self.status.setAccessibleName("State of the comparison")
        layout = QVBoxLayout()
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        return layout

    def _verdict(self) -> QVBoxLayout:
        self.sentence, self.warning, self.notes = (QLabel(wordWrap=True) for _ in range(3))
        bold(self.sentence)
        font = self.sentence.font()
        font.setPointSizeF(font.pointSizeF() * 1.25)
        self.sentence.setFont(font)
        self.warning.setStyleSheet(f"color: {plots.VERMILION}; font-weight: bold")
        layout = QVBoxLayout()
        for label, name in ((self.sentence, "Verdict"), (self.warning, "Warning"), (self.notes, "Notes")):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setAccessibleName(name)
            label.hide()
            layout.addWidget(label)
        return layout

    def _results(self) -> QScrollArea:
        self.metrics = TextTableView("Metrics of both networks")
        self.recall = TextTableView("Recall of each class")
        self.confusion = TextTableView("Confusion matrix")
        self.differences, self.reliability = DifferencesPlot(), ReliabilityPlot()
        self.network = QComboBox()
        self.network.addItem("With dropout", True)
        self.network.addItem("Baseline (no dropout)", False)
        self.network.setAccessibleName("Network of the confusion matrix")
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setContentsMargins(0, 4, 4, 0)
        grid.setHorizontalSpacing(16)
        heading = row("Confusion matrix (test rows of all splits; darker: a larger fraction of the true class)",
                      self.network, None)  # fmt: skip
        left, right = QVBoxLayout(), QVBoxLayout()
        for widget in (self.metrics, self.recall):
            left.addWidget(widget)
        left.addLayout(heading)
        left.addWidget(self.confusion)
        left.addStretch()
        for title, plot in (
            (
                "Test accuracy, with dropout minus baseline; band: 95 % confidence interval",
                self.differences,
            ),
            ("Reliability (larger marks: more test rows)", self.reliability),
        ):
            right.addWidget(QLabel(title, wordWrap=True))
            right.addWidget(plot.widget)
        right.addStretch()
        grid.addLayout(left, 0, 0)
        grid.addLayout(right, 0, 1)
        grid.setColumnStretch(0, 5)
        grid.setColumnStretch(1, 4)
        self.area = QScrollArea(widgetResizable=True)
        self.area.setFrameShape(QScrollArea.Shape.NoFrame)
        self.area.setWidget(inside)
        self.area.setAccessibleName("Tables and pictures of the comparison")
        self.area.hide()
        return self.area

    def _connect(self) -> None:
        self.splits.valueChanged.connect(self._check)
        self.rates.textChanged.connect(self._check)
        self.rates.returnPressed.connect(self.start)
        self.start_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self.stop)
        self.copy_button.clicked.connect(self.copy)
        self.network.currentIndexChanged.connect(self._show_confusion)

    # -- the next comparison

    def set_config(self, config: ExperimentConfig) -> None:
        """The configuration of the next comparison; a running one keeps its own."""
        self._config = config
        self._check()

    def _check(self) -> None:
        """Whether the settings make a plan."""
        self._plan, problem = None, ""
        try:
            self._plan = words.plan_of(self._config, self.splits.value(), self.rates.text())
        except ConfigError as error:
            problem = str(error)
        self.start_button.setEnabled(self._plan is not None and not self.is_running)
        self.stop_button.setEnabled(self.is_running)
        self.copy_button.setEnabled(self._evidence is not None)
        if self.is_running:
            return
        if problem:
            self.status.setText(f"⚠ {problem}")
        elif self._work is None:
            assert self._plan is not None
            self.status.setText(f"{words.described(self._config)}: {self._plan.training_count} networks to train.")
        else:
            self._show_progress()

    # -- the running comparison

    @property
    def is_running(self) -> bool:
        """Whether networks are trained."""
        return self._work is not None and self._work.is_running

    @property
    def evidence(self) -> Evidence | None:
        """What is shown."""
        return self._evidence

    def start(self) -> None:
        """Train; what the comparison before has shown is cleared."""
        if self._plan is None or self.is_running:
            return
        self.shutdown()
        try:
            self._work = EvidenceWork(self._plan)
        except (BackendUnavailable, OSError) as error:
            self._work = None
            self.status.setText(f"⚠ {error}")
            return
        self._evidence = None
        for widget in (self.sentence, self.warning, self.notes, self.area):
            widget.hide()
        self._timer.start()
        self._check()
        self._show_progress()

    def stop(self) -> None:
        """Stop; finished splits are kept."""
        if self._work is not None:
            self._work.cancel()
            self._check()

    def shutdown(self) -> None:
        """End the processes; half a second at most."""
        self._timer.stop()
        if self._work is not None:
            self._work.close()

    def _poll(self) -> None:
        work = self._work
        if work is None:
            return
        was_running = work.is_running
        if work.poll() and work.evidence is not None:
            self._show(work.evidence)
        if work.is_complete:
            self._timer.stop()
        self._show_progress()
        if was_running and not work.is_running:
            self._check()

    def _show_progress(self) -> None:
        work = self._work
        assert work is not None
        run = work.run
        self.progress.setValue(int(_STEPS * run.progress))
        parts = [f"{len(run.results) + len(run.failed)} of {run.plan.splits} splits"]
        if run.is_running:
            left = run.seconds_left
            parts.append(f"about {time_text(left)} left" if left else "training" if run.progress else "starting")
        else:
            parts.append("stopped" if run.cancelled or run.problem else "finished")
        problem = run.problem or work.error
        text = f"{', '.join(parts)} ({words.described(run.plan.config)})" + (f"\n⚠ {problem}" if problem else "")
        if not run.is_running and run.plan.config != self._config:
            text += "\nThe settings have changed since: Start compares the network with the new ones."
        self.status.setText(text)

    # -- results

    def _show(self, evidence: Evidence) -> None:
        self._evidence = evidence
        notes = [*evidence.notes, *filter(None, [words.rates_text(evidence)])]
        for label, text in (
            (self.sentence, evidence.sentence),
            (self.warning, f"⚠ {evidence.warning}" if evidence.warning else ""),
            (self.notes, "\n".join(notes)),
        ):
            label.setText(text)
            label.setVisible(bool(text))
        self.metrics.show_table(words.metrics_table(evidence))
        self.recall.show_table(words.recall_table(evidence))
        self._show_confusion()
        self.differences.draw(evidence)
        self.reliability.draw(evidence)
        self.copy_button.setEnabled(True)
        self.area.show()

    def _show_confusion(self) -> None:
        evidence = self._evidence
        if evidence is None:
            return
        with_dropout = bool(self.network.currentData())
        counts = (evidence.dropout if with_dropout else evidence.baseline).confusion
        fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        self.confusion.show_table(words.confusion_table(evidence, with_dropout), fractions)

    def copy(self) -> None:
        """Copy the verdict and the tables."""
        if self._evidence is not None:
            QGuiApplication.clipboard().setText(words.evidence_text(self._evidence))

    def _recolor(self) -> None:
        self.differences.color()
        self.reliability.color()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self.__dict__.get("_built"):
            self._recolor()

    def table(self) -> Table:
        """Every split: the chosen rate and both accuracies."""
        headings = ["split", "rate", "baseline accuracy", "dropout accuracy", "test rows"]
        rows = []
        for result in self._evidence.results if self._evidence is not None else ():
            right = [float((arm.test.argmax(axis=1) == result.test_labels).mean())
                     for arm in (result.baseline, result.dropout)]  # fmt: skip
            rows.append([result.number + 1, result.rate, *right, len(result.test_labels)])
        return Table(headings, rows)
