"""Settings of a sweep: what is swept, where it is trained, and the table of its results."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QWidget,
)

from fastdrop.experiments import ConfigError, ExperimentConfig
from fastdrop.experiments.parallel import available_cores
from fastdrop.experiments.sweeps import PARAMETERS, QUANTITIES, Sweep, SweepRun, start_sweep, values_from
from fastdrop.experiments.sweeps.sweep_table import SUFFIX
from fastdrop_gui.model.wording import counted
from fastdrop_gui.views.sweep.sweep_runs import short
from fastdrop_gui.views.widgets.layouts import labelled

HERE, CLUSTER = "here", "cluster"
_TABLE = f"Table of a sweep (*{SUFFIX})"


class SweepSettings(QWidget):
    """The fields above a sweep. `sweep` is the sweep that they describe, None where they are invalid."""

    changed = Signal()
    submitted = Signal()

    def __init__(self, config: ExperimentConfig) -> None:
        super().__init__()
        self._config = config
        self.sweep: Sweep | None = None
        self._texts = {name: parameter.example for name, parameter in PARAMETERS.items()}
        self._make_fields()
        self._lay_out()
        self.parameter.currentIndexChanged.connect(self._parameter_chosen)
        self.where.currentIndexChanged.connect(self._place_chosen)
        self.values.textChanged.connect(self._check)
        self.address.textChanged.connect(self._check)
        self.seeds.valueChanged.connect(self._check)
        self.new_data.toggled.connect(self._check)
        self.browse.clicked.connect(self._browse)
        for line in (self.values, self.address):
            line.returnPressed.connect(self.submitted)
        self._parameter_chosen()
        self._place_chosen()

    def _make_fields(self) -> None:
        self.parameter = QComboBox()
        for name, parameter in PARAMETERS.items():
            self.parameter.addItem(parameter.title, name)
        self.metric_box = QComboBox()
        for name, text in QUANTITIES.items():
            self.metric_box.addItem(short(name), name)
            self.metric_box.setItemData(self.metric_box.count() - 1, text, Qt.ItemDataRole.ToolTipRole)
        self.values = QLineEdit()
        self.values.setToolTip("0:0.9:0.1 is a range in steps of 0.1, 8:256:x2 doubles; or a list: 0, 0.5, 0.9")
        self.seeds = QSpinBox(minimum=1, maximum=1000, value=5)
        self.seeds.setToolTip("How many seeds, from the configuration's seed on")
        self.new_data = QCheckBox("&New data for each seed")
        self.new_data.setToolTip("The seed also decides generated data, and the split into train and test")
        self.new_data.setAccessibleName("New data for each seed")
        self.where = QComboBox()
        self.where.addItem("This computer", HERE)
        self.where.addItem("A Dask cluster", CLUSTER)
        self.where.setToolTip("Where the runs are trained. It does not change the results")
        cores = available_cores()
        self.cores = QSpinBox(minimum=1, maximum=cores, value=max(1, cores - 1), suffix=f" of {cores}")
        self.cores.setToolTip("One core each. Their number does not change the results")
        self.address = QLineEdit(placeholderText="tcp://10.0.0.5:8786")
        self.address.setToolTip("Of the scheduler of a dask.distributed cluster, whose workers have this fastdrop")
        self.file = QLineEdit(placeholderText="optional")
        self.file.setToolTip("A table of all results. A file that exists is continued: its runs are not repeated")
        self.browse = QToolButton()
        self.browse.setText("…")
        self.browse.setAccessibleName("Choose the table")
        self.plan = QLabel(wordWrap=True)
        for combo in (self.parameter, self.metric_box, self.where):
            combo.setMinimumContentsLength(3)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        fields: list[tuple[str, QWidget, int, int, int]] = [
            ("Para&meter", self.parameter, 0, 0, 1),
            ("Metri&c", self.metric_box, 0, 2, 1),
            ("V&alues", self.values, 1, 0, 3),
            ("Seeds per &point", self.seeds, 3, 0, 1),
            ("Trained &on", self.where, 3, 2, 1),
            ("Wor&ker processes", self.cores, 4, 2, 1),
            ("A&ddress", self.address, 4, 2, 1),
            ("Sa&ve as Parquet", self.file, 5, 0, 3),
        ]
        self._labels: dict[QWidget, QLabel] = {}
        for text, widget, row, column, span in fields:
            label = self._labels[widget] = labelled(text, widget)
            grid.addWidget(label, row, column)
            if widget is not self.file:
                grid.addWidget(widget, row, column + 1, 1, span)
        pair = QHBoxLayout()
        pair.addWidget(self.file, 1)
        pair.addWidget(self.browse)
        grid.addLayout(pair, 5, 1, 1, 3)
        grid.addWidget(self.plan, 2, 1, 1, 3)
        grid.addWidget(self.new_data, 4, 0, 1, 2)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)

    def set_config(self, config: ExperimentConfig) -> None:
        """The configuration of the next sweep."""
        self._config = config
        self._check()

    def start(self) -> SweepRun:
        """Start the sweep; raises where it cannot start."""
        assert self.sweep is not None
        save = self.file.text().strip() or None
        if self._on_cluster:
            return start_sweep(self.sweep, client=self.address.text().strip(), save=save)
        return start_sweep(self.sweep, processes=self.cores.value(), save=save)

    @property
    def _on_cluster(self) -> bool:
        return bool(self.where.currentData() == CLUSTER)

    def _parameter_chosen(self) -> None:
        self.values.setText(self._texts[self.parameter.currentData()])
        self._check()

    def _place_chosen(self) -> None:
        for widget, is_shown in ((self.cores, not self._on_cluster), (self.address, self._on_cluster)):
            widget.setVisible(is_shown)
            self._labels[widget].setVisible(is_shown)
        self._check()

    def _browse(self) -> None:
        """Choose a table. One that exists is continued, so there is no question whether to replace it."""
        option = QFileDialog.Option.DontConfirmOverwrite
        proposed = self.file.text() or f"{self.parameter.currentData()}{SUFFIX}"
        path, _ = QFileDialog.getSaveFileName(self, "Save the results to", proposed, _TABLE, options=option)
        if path:
            self.file.setText(path if path.lower().endswith(SUFFIX) else path + SUFFIX)

    def _check(self) -> None:
        """Show how many runs the settings make, or their problem."""
        name = self.parameter.currentData()
        self._texts[name] = self.values.text()
        first = self._config.seed
        try:
            values = values_from(self.values.text(), name)
            seeds = range(first, first + self.seeds.value())
            sweep = Sweep(self._config, name, values, seeds, self.new_data.isChecked())
            if self._on_cluster and not self.address.text().strip():
                raise ConfigError(f"give the cluster's address, such as {self.address.placeholderText()}")
        except ConfigError as error:
            self.sweep = None
            self.plan.setText(f"⚠ {error}")
        else:
            self.sweep = sweep
            runs = f"{counted(len(values), 'value')} × {counted(len(seeds), 'seed')} = {counted(sweep.count, 'run')}"
            self.plan.setText(f"{runs}. {sweep.note}".rstrip())
        self.changed.emit()
