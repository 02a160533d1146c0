"""The panel on the left: data, network, dropout, training. Problems are shown below their field."""

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

import fastdrop as fd
from fastdrop.backends import BACKENDS
from fastdrop.experiments import DATASETS, ExperimentConfig
from fastdrop.experiments.choices import (
    ACTIVATIONS,
    DROPOUT_KINDS,
    DROPOUT_SCHEDULES,
    FITTING,
    LEARNING_RATE_SCHEDULES,
    NETWORKS,
    OPTIMIZERS,
)
from fastdrop_gui.views.widgets.fields import Choice, NumberBox, ignore_wheel_without_focus
from fastdrop_gui.views.widgets.layouts import labelled
from fastdrop_gui.views.widgets.plots import VERMILION
from fastdrop_gui.views.widgets.sliders import RateSlider

_SEEDS = 2**31 - 1


class SettingsPanel(QWidget):
    """Shows a configuration's fields. `edited` has the field's name and its new value."""

    edited = Signal(str, object)
    import_requested = Signal()
    roles_requested = Signal()
    evidence_requested = Signal()
    threads_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, QWidget] = {}
        self._shown: dict[str, Any] = {}
        self._problems: dict[str, QLabel] = {}
        layout = QVBoxLayout(self)
        for group in (self._data(), self._network(), self._dropout(), self._training()):
            layout.addWidget(group)
        layout.addStretch()

    def _data(self) -> QGroupBox:
        group, form = _group("Data")
        self.dataset = Choice({name: source.description for name, source in DATASETS.items()})
        self._add(form, "dataset", "&Data set", self.dataset)
        self.import_data = QPushButton("&Import data …")
        tip = "A table, a spreadsheet or images; or drop a file or a folder of pictures on the window"
        self.import_data.setToolTip(tip)
        self.import_data.clicked.connect(self.import_requested)
        form.addRow("", self.import_data)
        self.roles = QPushButton("Columns and roles …")
        self.roles.setToolTip("What each column of the file is used for")
        self.roles.clicked.connect(self.roles_requested)
        self.roles.hide()
        form.addRow("", self.roles)
        self.about = _wrapped()
        form.addRow(self.about)
        self._add(form, "noise", "&Noise", _number(0.0, 10.0, 0.05, 3))
        self._add(form, "train_fraction", "Tr&aining fraction", _number(0.05, 0.95, 0.05, 2))
        self._add(form, "split_seed", "Split seed", QSpinBox(maximum=_SEEDS))
        return group

    def _network(self) -> QGroupBox:
        group, form = _group("Network")
        self.network = Choice(NETWORKS)
        self._add(form, "network", "Net&work", self.network)
        self._add(form, "activation", "Activa&tion", Choice(dict.fromkeys(ACTIVATIONS, "")))
        self._add(form, "batch_norm", "Batch norm", QCheckBox("before every activation"))
        return group

    def _dropout(self) -> QGroupBox:
        group, form = _group("Dropout (all layers)")
        self.dropout = Choice({name: DROPOUT_KINDS[name] for name in FITTING["mlp"]})
        self._add(form, "dropout", "&Kind", self.dropout)
        self.kind_text = _wrapped()
        form.addRow("", self.kind_text)
        self.rate = RateSlider()
        self.rate.setToolTip("Probability that a unit is dropped; can be changed while training runs")
        self._add(form, "rate", "Dropout rate &p", self.rate)
        self._add(form, "dropout_schedule", "Dropout schedule", Choice(dict.fromkeys(DROPOUT_SCHEDULES, "")))
        self.evidence = QPushButton("Does dropout help here?")
        self.evidence.setToolTip("Compare with the baseline (no dropout) on several splits of the data")
        self.evidence.clicked.connect(self.evidence_requested)
        form.addRow(self.evidence)
        return group

    def _training(self) -> QGroupBox:
        group, form = _group("Training")
        self._add(form, "optimizer", "&Optimiser", Choice(dict.fromkeys(OPTIMIZERS, "")))
        self._add(form, "learning_rate", "&Learning rate", _number(1e-9, 100.0, 0.001, 12))
        schedules = Choice(dict.fromkeys(LEARNING_RATE_SCHEDULES, ""))
        self._add(form, "learning_rate_schedule", "Learning-rate schedule", schedules)
        self._add(form, "momentum", "Momentum", _number(0.0, 0.9999, 0.05, 4))
        self._add(form, "weight_decay", "Weight decay", _number(0.0, 10.0, 0.001, 5))
        self._add(form, "batch_size", "&Batch size", QSpinBox(minimum=1, maximum=65536))
        self._add(form, "epochs", "&Epochs", QSpinBox(minimum=1, maximum=1_000_000))
        self._add(form, "seed", "&Seed", QSpinBox(maximum=_SEEDS))
        texts = {"cpu": "NumPy arrays on the CPU", "cuda": "CuPy arrays on an NVIDIA GPU; the masks are the same"}
        self.backend = Choice({name: texts[name] for name in BACKENDS})
        self._add(form, "backend", "Devi&ce", self.backend)
        most = fd.get_num_threads()
        self.threads = QSpinBox(minimum=1, maximum=max(1, most))
        self.threads.setValue(max(1, most - 1))
        self.threads.setAccessibleName("CPU threads")
        self.threads.setToolTip("CPU threads that train; one less than there are cores leaves a core for the window")
        self.threads.valueChanged.connect(self.threads_chosen)
        form.addRow("CPU threads", self.threads)
        return group

    def _add(self, form: QFormLayout, name: str, text: str, widget: QWidget) -> None:
        """Add a field with its label, and below it a place for its problem."""
        problem = _wrapped()
        problem.setStyleSheet(f"color: {VERMILION}; font-weight: bold")
        problem.hide()
        policy = widget.sizePolicy()
        policy.setHorizontalPolicy(QSizePolicy.Policy.Expanding)
        widget.setSizePolicy(policy)
        form.addRow(labelled(text, widget), widget)
        form.addRow(problem)
        self.fields[name], self._problems[name] = widget, problem
        ignore_wheel_without_focus(widget)
        signal, value = _reading(widget)
        signal.connect(lambda *_: self.edited.emit(name, value()))

    def show_config(self, config: ExperimentConfig) -> None:
        """Show the configuration, without signals. A number that a box would round stays exact until it is edited."""
        self._show_choices(config)
        values = {name: getattr(config, name) for name in self.fields}
        values["rate"] = max(config.rates)
        for name, widget in self.fields.items():
            if self._shown.get(name) != values[name]:
                blocker = QSignalBlocker(widget)
                _write(widget, values[name])
                blocker.unblock()
        self._shown = values
        mixed = len(set(config.kinds)) > 1 or len(set(config.rates)) > 1
        self.rate.setEnabled(config.drops)
        self.kind_text.setText("Mixed (set per layer)" if mixed else DROPOUT_KINDS[config.kinds[0]])
        momentum = self.fields["momentum"]
        momentum.setEnabled(config.optimizer == "sgd")
        self.clear_problems()

    def _show_choices(self, config: ExperimentConfig) -> None:
        names = {name: source.description for name, source in DATASETS.items()}
        self.roles.setVisible(bool(config.data_file))
        if config.data_file:
            names["file"] = config.data_file
        blockers = [QSignalBlocker(self.dataset), QSignalBlocker(self.dropout)]
        self.dataset.offer(names)
        if config.data_file:
            place = self.dataset.findData("file")
            self.dataset.setItemText(place, config.data_file.replace("\\", "/").rpartition("/")[2])
        self.dropout.offer({name: DROPOUT_KINDS[name] for name in FITTING[config.network]})
        self._shown.pop("dropout", None)
        self._shown.pop("dataset", None)
        for blocker in blockers:
            blocker.unblock()

    def show_problem(self, name: str, text: str) -> bool:
        """Show a problem below its field; False where there is no such field."""
        if name not in self._problems:
            return False
        self._problems[name].setText(f"⚠ {text}")
        self._problems[name].show()
        self._shown.pop(name, None)  # the field does not show the configuration's value
        return True

    def problem(self, name: str) -> str:
        """The problem that is shown below a field."""
        label = self._problems[name]
        return label.text() if not label.isHidden() else ""

    def clear_problems(self) -> None:
        """Hide all problems."""
        for label in self._problems.values():
            label.hide()


def _group(title: str) -> tuple[QGroupBox, QFormLayout]:
    group = QGroupBox(title)
    form = QFormLayout(group)
    form.setVerticalSpacing(4)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
    return group, form


def _wrapped() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label


def _number(low: float, high: float, step: float, decimals: int) -> QDoubleSpinBox:
    return NumberBox(minimum=low, maximum=high, singleStep=step, decimals=decimals)


def _reading(widget: QWidget) -> tuple[Any, Callable[[], Any]]:
    """The signal of an edit, and a function that returns the value."""
    if isinstance(widget, QComboBox):
        return widget.currentIndexChanged, widget.currentData
    if isinstance(widget, QCheckBox):
        return widget.toggled, widget.isChecked
    if isinstance(widget, (QSpinBox, QDoubleSpinBox)):
        widget.setKeyboardTracking(False)
        return widget.valueChanged, widget.value
    assert isinstance(widget, RateSlider)
    return widget.valueChanged, lambda: round(widget.value(), 2)


def _write(widget: QWidget, value: Any) -> None:
    if isinstance(widget, QComboBox):
        widget.setCurrentIndex(widget.findData(value))
    elif isinstance(widget, QCheckBox):
        widget.setChecked(value)
    elif isinstance(widget, QSpinBox):
        widget.setValue(min(value, widget.maximum()))
    else:
        assert isinstance(widget, (QDoubleSpinBox, RateSlider))
        widget.setValue(value)
