"""The panel on the left: data, dropout of all layers, training. What is wrong stands beside the field."""

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QValidator
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
from fastdrop.experiments.config import (
    ACTIVATIONS,
    DROPOUT_KINDS,
    FITTING,
    LEARNING_RATE_SCHEDULES,
    NETWORKS,
    OPTIMIZERS,
    RATE_SCHEDULES,
)
from fastdrop_gui.views.plots import VERMILION
from fastdrop_gui.views.sliders import RateSlider

_SEEDS = 2**31 - 1


class Choice(QComboBox):
    """One of several names; the tool tip of each says what it is."""

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__()
        self.setMinimumContentsLength(8)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.offer(names)

    def offer(self, names: dict[str, str]) -> None:
        """Replace what can be chosen; the chosen one stays, if it can."""
        if [self.itemData(place) for place in range(self.count())] == list(names):
            return
        chosen = self.currentData()
        self.clear()
        for name, text in names.items():
            self.addItem(name, name)
            self.setItemData(self.count() - 1, text, Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(max(0, self.findData(chosen)))


class NumberBox(QDoubleSpinBox):
    """A number, also as 1e-5 or 0,5."""

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Whatever may become a number may be typed."""
        if not set(text) <= set("0123456789.,eE+-"):
            return QValidator.State.Invalid, text, position
        value = _float(text)
        fits = value is not None and self.minimum() <= value <= self.maximum()
        return QValidator.State.Acceptable if fits else QValidator.State.Intermediate, text, position

    def valueFromText(self, text: str) -> float:
        value = _float(text)
        return self.value() if value is None else value

    def textFromValue(self, value: float) -> str:
        return f"{value:.10g}"


def _float(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


class CalmWheel(QObject):
    """Fields follow the mouse's wheel only when they have the keyboard: scrolling the panel changes nothing."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


def calm(widget: QWidget) -> None:
    """Let the wheel pass over a field, and over what is inside it."""
    for part in (widget, *widget.findChildren(QWidget)):
        if part.focusPolicy() & Qt.FocusPolicy.WheelFocus == Qt.FocusPolicy.WheelFocus:
            part.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        part.installEventFilter(CalmWheel(part))


class SettingsPanel(QWidget):
    """Shows a configuration's fields. `edited` says which one got which value; the document decides what follows."""

    edited = Signal(str, object)
    data_wanted = Signal()
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
        self.open_data = QPushButton("&Your own table …")
        self.open_data.setToolTip("A CSV file or an NPZ file with arrays x and y; or drop one on the window")
        self.open_data.clicked.connect(self.data_wanted)
        form.addRow("", self.open_data)
        self.about = _wrapped()
        form.addRow(self.about)
        self._add(form, "noise", "&Noise", _number(0.0, 10.0, 0.05, 3))
        self._add(form, "train_share", "Train sh&are", _number(0.05, 0.95, 0.05, 2))
        self._add(form, "data_seed", "Data seed", QSpinBox(maximum=_SEEDS))
        return group

    def _network(self) -> QGroupBox:
        group, form = _group("Network")
        self.network = Choice(NETWORKS)
        self._add(form, "network", "Net&work", self.network)
        self._add(form, "activation", "Activa&tion", Choice(dict.fromkeys(ACTIVATIONS, "")))
        self._add(form, "batch_norm", "Batch norm", QCheckBox("before every activation"))
        return group

    def _dropout(self) -> QGroupBox:
        group, form = _group("Dropout of all layers")
        self.dropout = Choice({name: DROPOUT_KINDS[name] for name in FITTING["mlp"]})
        self._add(form, "dropout", "&Kind", self.dropout)
        self.rate = RateSlider()
        self.rate.setToolTip("Probability of dropping; can be moved while training runs")
        self._add(form, "rate", "Rate &p", self.rate)
        self.kind_text = _wrapped()
        form.addRow(self.kind_text)
        self._add(form, "rate_schedule", "Rate grows", Choice(dict.fromkeys(RATE_SCHEDULES, "")))
        return group

    def _training(self) -> QGroupBox:
        group, form = _group("Training")
        self._add(form, "optimizer", "&Optimiser", Choice(dict.fromkeys(OPTIMIZERS, "")))
        self._add(form, "learning_rate", "&Learning rate", _number(1e-9, 100.0, 0.001, 12))
        self._add(form, "learning_rate_schedule", "It falls", Choice(dict.fromkeys(LEARNING_RATE_SCHEDULES, "")))
        self._add(form, "momentum", "Momentum", _number(0.0, 0.9999, 0.05, 4))
        self._add(form, "weight_decay", "Weight decay", _number(0.0, 10.0, 0.001, 5))
        self._add(form, "batch_size", "&Batch size", QSpinBox(minimum=1, maximum=65536))
        self._add(form, "epochs", "&Epochs", QSpinBox(minimum=1, maximum=1_000_000))
        self._add(form, "seed", "&Seed", QSpinBox(maximum=_SEEDS))
        texts = {"cpu": "NumPy arrays, the CPU's kernels", "cuda": "CuPy arrays on a GPU; the masks are the same"}
        self.backend = Choice({name: texts[name] for name in BACKENDS})
        self._add(form, "backend", "Tra&in on", self.backend)
        most = fd.get_num_threads()
        self.threads = QSpinBox(minimum=1, maximum=max(1, most))
        self.threads.setValue(max(1, most - 1))
        self.threads.setAccessibleName("Threads of the CPU's kernels")
        self.threads.setToolTip("Threads of the CPU's kernels; one core less than there are leaves one to the window")
        self.threads.valueChanged.connect(self.threads_chosen)
        form.addRow("Threads", self.threads)
        return group

    def _add(self, form: QFormLayout, name: str, text: str, widget: QWidget) -> None:
        """A field with its label, and room for what is wrong with it."""
        problem = _wrapped()
        problem.setStyleSheet(f"color: {VERMILION}; font-weight: bold")
        problem.hide()
        label = QLabel(text)
        label.setBuddy(widget)
        policy = widget.sizePolicy()
        policy.setHorizontalPolicy(QSizePolicy.Policy.Expanding)
        widget.setSizePolicy(policy)
        widget.setAccessibleName(text.replace("&", ""))
        form.addRow(label, widget)
        form.addRow(problem)
        self.fields[name], self._problems[name] = widget, problem
        calm(widget)
        signal, value = _reading(widget)
        signal.connect(lambda *_: self.edited.emit(name, value()))

    def show_config(self, config: ExperimentConfig) -> None:
        """Fill the panel in, without signals; what a box cannot show exactly is left as it is until it is changed."""
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
        self.kind_text.setText("layers differ: see their cards" if mixed else DROPOUT_KINDS[config.kinds[0]])
        momentum = self.fields["momentum"]
        momentum.setEnabled(config.optimizer == "sgd")
        self.clear_problems()

    def _show_choices(self, config: ExperimentConfig) -> None:
        names = {name: source.description for name, source in DATASETS.items()}
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
        """Say beside a field what is wrong; False where there is no such field."""
        if name not in self._problems:
            return False
        self._problems[name].setText(f"⚠ {text}")
        self._problems[name].show()
        self._shown.pop(name, None)  # what stands there is not the configuration's
        return True

    def problem(self, name: str) -> str:
        """What is said to be wrong with a field."""
        label = self._problems[name]
        return label.text() if not label.isHidden() else ""

    def clear_problems(self) -> None:
        """Nothing is wrong any more."""
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
    """The signal that says that someone has changed a field, and its value."""
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
