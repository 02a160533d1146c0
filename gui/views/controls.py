"""The panel on the left: data, network, dropout, training."""

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from fastdrop.experiments import DATASETS, ConfigError, ExperimentConfig
from fastdrop.experiments.config import DROPOUT_KINDS, FITTING, NETWORKS, OPTIMIZERS, TYPICAL_HIDDEN

_RATE_STEPS = 100


class ControlPanel(QWidget):
    """Edits a configuration. `edited` says that it changed; `rate_changed` that the rate alone did."""

    edited = Signal()
    rate_changed = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self._base = ExperimentConfig()
        self._shown: dict[str, float] = {}
        layout = QVBoxLayout(self)
        layout.addWidget(self._data_group())
        layout.addWidget(self._network_group())
        layout.addWidget(self._dropout_group())
        layout.addWidget(self._training_group())
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        layout.addWidget(self.hint)
        layout.addStretch()

    def _data_group(self) -> QGroupBox:
        self.dataset = QComboBox()
        for name, source in DATASETS.items():
            self.dataset.addItem(name, name)
            self.dataset.setItemData(self.dataset.count() - 1, source.description, Qt.ItemDataRole.ToolTipRole)
        self.open_data = QPushButton("Your own table …")
        self.open_data.setToolTip("A CSV file (the last column is the class) or an NPZ file with arrays x and y")
        self.about = QLabel()
        self.about.setWordWrap(True)
        self._data_file = ""
        group = QGroupBox("Data")
        form = QFormLayout(group)
        form.addRow("Data set", self.dataset)
        form.addRow("", self.open_data)
        form.addRow(self.about)
        self.dataset.currentIndexChanged.connect(self._edited)
        self.open_data.clicked.connect(self._choose_file)
        return group

    def _network_group(self) -> QGroupBox:
        self.network = QComboBox()
        for name, description in NETWORKS.items():
            self.network.addItem(name, name)
            self.network.setItemData(self.network.count() - 1, description, Qt.ItemDataRole.ToolTipRole)
        self.hidden = QLineEdit()
        self.hidden.setToolTip("Sizes of the hidden layers, separated by commas")
        self.batch_norm = QCheckBox("before every activation")
        group = QGroupBox("Network")
        form = QFormLayout(group)
        form.addRow("Network", self.network)
        form.addRow("Hidden layers", self.hidden)
        form.addRow("Batch norm", self.batch_norm)
        self.network.currentIndexChanged.connect(self._network_chosen)
        self.hidden.editingFinished.connect(self._edited)
        self.batch_norm.toggled.connect(self._edited)
        return group

    def _dropout_group(self) -> QGroupBox:
        self.dropout = QComboBox()
        self._offer_kinds("mlp")
        self.rate = QSlider(Qt.Orientation.Horizontal)
        self.rate.setRange(0, _RATE_STEPS)
        self.rate.setToolTip("Probability of dropping; can be moved while training runs")
        self.rate_label = QLabel()
        self.rate_label.setMinimumWidth(36)
        self.kind_label = QLabel()
        self.kind_label.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.rate)
        row.addWidget(self.rate_label)
        group = QGroupBox("Dropout")
        form = QFormLayout(group)
        form.addRow("Kind", self.dropout)
        form.addRow("Rate p", row)
        form.addRow(self.kind_label)
        self.dropout.currentIndexChanged.connect(self._edited)
        self.rate.valueChanged.connect(self._rate_moved)
        return group

    def _training_group(self) -> QGroupBox:
        self.optimizer = QComboBox()
        self.optimizer.addItems(list(OPTIMIZERS))
        self.learning_rate = QDoubleSpinBox(decimals=7, minimum=1e-7, maximum=100.0, singleStep=0.001)
        self.batch_size = QSpinBox(minimum=1, maximum=65536)
        self.epochs = QSpinBox(minimum=1, maximum=1_000_000)
        self.seed = QSpinBox(minimum=0, maximum=2**31 - 1)
        group = QGroupBox("Training")
        form = QFormLayout(group)
        for label, widget in (
            ("Optimiser", self.optimizer),
            ("Learning rate", self.learning_rate),
            ("Batch size", self.batch_size),
            ("Epochs", self.epochs),
            ("Seed", self.seed),
        ):
            form.addRow(label, widget)
        self.optimizer.currentIndexChanged.connect(self._edited)
        for spin in (self.learning_rate, self.batch_size, self.epochs, self.seed):
            spin.setKeyboardTracking(False)
            spin.valueChanged.connect(self._edited)
        return group

    def show_config(self, config: ExperimentConfig) -> None:
        """Fill the panel in, without signals."""
        blocker = QSignalBlocker(self)
        self._base = config
        self._data_file = config.data_file
        self._show_file_entry()
        self.dataset.setCurrentIndex(self.dataset.findData(config.dataset))
        self.network.setCurrentIndex(self.network.findData(config.network))
        self.hidden.setText(", ".join(map(str, config.hidden)))
        self.batch_norm.setChecked(config.batch_norm)
        self._offer_kinds(config.network)
        self.dropout.setCurrentIndex(self.dropout.findData(config.dropout))
        self.rate.setValue(round(config.rate * _RATE_STEPS))
        self.optimizer.setCurrentText(config.optimizer)
        self.learning_rate.setValue(config.learning_rate)
        self.batch_size.setValue(config.batch_size)
        self.epochs.setValue(config.epochs)
        self.seed.setValue(min(config.seed, self.seed.maximum()))
        self._shown = self._numbers()
        blocker.unblock()
        self._describe()

    def _numbers(self) -> dict[str, float]:
        return {
            "rate": self.rate.value() / _RATE_STEPS,
            "learning_rate": self.learning_rate.value(),
            "seed": self.seed.value(),
        }

    def config(self) -> ExperimentConfig:
        """What the panel says.

        Raises
        ------
        ConfigError
            If that is no configuration that can run.
        """
        sizes = [size for size in self.hidden.text().replace(",", " ").split() if size]
        try:
            hidden = tuple(int(size) for size in sizes)
        except ValueError:
            raise ConfigError(
                f"hidden layers are whole numbers separated by commas; got {self.hidden.text()!r}"
            ) from None
        dataset = self.dataset.currentData()
        data_file = self._data_file if dataset == "file" else ""
        # Slider and boxes round: a number that stands as it was put in is the one that was given.
        changed = {name: value for name, value in self._numbers().items() if value != self._shown[name]}
        return self._base.replace(
            dataset=dataset,
            data_file=data_file,
            label=self._base.label if data_file == self._base.data_file else "",
            network=self.network.currentData(),
            hidden=hidden,
            batch_norm=self.batch_norm.isChecked(),
            dropout=self.dropout.currentData(),
            optimizer=self.optimizer.currentText(),
            batch_size=self.batch_size.value(),
            epochs=self.epochs.value(),
            **changed,
        )

    def use_file(self, path: str) -> None:
        """Take the user's own table as the data set."""
        self._data_file = path
        self._show_file_entry()
        index = self.dataset.findData("file")
        if self.dataset.currentIndex() == index:
            self._edited()
        else:
            self.dataset.setCurrentIndex(index)

    def _show_file_entry(self) -> None:
        index = self.dataset.findData("file")
        if not self._data_file:
            if index >= 0:
                self.dataset.removeItem(index)
            return
        name = self._data_file.replace("\\", "/").rpartition("/")[2]
        if index < 0:
            self.dataset.addItem(name, "file")
            index = self.dataset.count() - 1
        self.dataset.setItemText(index, name)
        self.dataset.setItemData(index, self._data_file, Qt.ItemDataRole.ToolTipRole)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a table", "", "Tables (*.csv *.npz)")
        if path:
            self.use_file(path)

    def _offer_kinds(self, network: str) -> None:
        """The kinds of dropout that a network has a place for; the chosen one stays, if it has."""
        blocker = QSignalBlocker(self.dropout)
        chosen = self.dropout.currentData()
        self.dropout.clear()
        for kind in FITTING[network]:
            self.dropout.addItem(kind, kind)
            self.dropout.setItemData(self.dropout.count() - 1, DROPOUT_KINDS[kind], Qt.ItemDataRole.ToolTipRole)
        self.dropout.setCurrentIndex(
            max(0, self.dropout.findData(chosen if chosen in FITTING[network] else "standard"))
        )
        blocker.unblock()

    def _network_chosen(self) -> None:
        """A network brings sizes to begin with, and data that it can read."""
        network = self.network.currentData()
        if self.signalsBlocked():  # a configuration is being shown
            return
        blockers = [QSignalBlocker(widget) for widget in (self, self.dataset)]
        self._offer_kinds(network)
        self.hidden.setText(", ".join(map(str, TYPICAL_HIDDEN[network])))
        source = DATASETS.get(self.dataset.currentData())
        readable = {
            "text": source is not None and bool(source.words),
            "mlp": source is None or not source.words,
        }.get(network, source is not None and source.image_shape is not None)
        if not readable:
            self.dataset.setCurrentIndex(self.dataset.findData("reviews" if network == "text" else "digits"))
        for blocker in blockers:
            blocker.unblock()
        self._edited()

    def _rate_moved(self) -> None:
        self._describe()
        self.rate_changed.emit(self.rate.value() / _RATE_STEPS)

    def _edited(self) -> None:
        self._describe()
        self.edited.emit()

    def _describe(self) -> None:
        kind = self.dropout.currentData()
        self.rate_label.setText(f"{self.rate.value() / _RATE_STEPS:.2f}")
        self.rate.setEnabled(kind != "none")
        self.kind_label.setText(DROPOUT_KINDS[kind])
