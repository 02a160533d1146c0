"""A sweep: one parameter over a range and several seeds, as a curve whose points open the runs behind them."""

from typing import Any

from PySide6.QtCore import QEvent, QPointF, QSortFilterProxyModel, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QSplitter,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import ExperimentConfig, TableError
from fastdrop.experiments.sweeps import PARAMETERS, QUANTITIES, Result, SweepRun, curve
from fastdrop_gui.model.wording import counted, display_name, time_text
from fastdrop_gui.views.sweep.sweep_curve import SweepCurve
from fastdrop_gui.views.sweep.sweep_runs import SweepRunsModel, short
from fastdrop_gui.views.sweep.sweep_settings import SweepSettings
from fastdrop_gui.views.widgets import plots
from fastdrop_gui.views.widgets.view import Table, View

POLL_MS = 100
_STEPS = 1000


class SweepView(View):
    """Sets up a sweep, shows its curve as runs finish, and emits `run_chosen` for a click on a point."""

    title = "Sweep"
    description = "One parameter over a range, several seeds of each value: mean and standard deviation"
    run_chosen = Signal(object)
    _built = False

    def __init__(self, config: ExperimentConfig | None = None) -> None:
        super().__init__()
        self.settings = SweepSettings(config or ExperimentConfig())
        self._run: SweepRun | None = None
        self._hovered: Result | None = None
        self._picture = SweepCurve()
        self.plot = self._picture.widget
        self._runs = SweepRunsModel()
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        layout = QVBoxLayout(self)
        layout.addWidget(self.settings)
        layout.addLayout(self._buttons())
        layout.addWidget(self._results(), 1)
        self._connect()
        self._built = True
        self._recolor()
        self._enable()

    # --- layout

    def _buttons(self) -> QGridLayout:
        self.start_button = QPushButton("S&tart the sweep")
        self.cancel_button = QPushButton("Cance&l")
        self.progress = QProgressBar(maximum=_STEPS)
        self.progress.setMinimumWidth(60)
        self.status = QLabel("Every value is trained with every seed. The curve grows as runs finish.", wordWrap=True)
        names: tuple[tuple[QWidget, str], ...] = (
            (self.start_button, "Start the sweep"),
            (self.cancel_button, "Cancel the sweep"),
            (self.progress, "Progress of the sweep"),
            (self.status, "State of the sweep"),
        )
        for named, name in names:
            named.setAccessibleName(name)
        grid = QGridLayout()
        for column, widget in enumerate((self.start_button, self.cancel_button, self.progress)):
            grid.addWidget(widget, 0, column)
        grid.addWidget(self.status, 1, 0, 1, 3)
        grid.setColumnStretch(2, 1)
        return grid

    def _results(self) -> QSplitter:
        self.readout = QLabel(wordWrap=True)
        self.readout.setAccessibleName("The run under the pointer")
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot, 1)
        column.addWidget(self.readout)
        self.list = QTableView(sortingEnabled=True, showGrid=False)
        self.list.setTabKeyNavigation(False)
        self._sorted = QSortFilterProxyModel(self, sortRole=Qt.ItemDataRole.UserRole)
        self._sorted.setSourceModel(self._runs)
        self.list.setModel(self._sorted)
        self.list.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.list.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header = self.list.horizontalHeader()
        header.setResizeContentsPrecision(0)  # by the rows that are seen, of thousands
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.list.verticalHeader().hide()
        self.list.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 4)
        self.list.setMinimumWidth(self.fontMetrics().horizontalAdvance("0" * 32))
        self.list.setAccessibleName("Runs of the sweep; Enter opens one")
        self.open_button = QPushButton("Open &run")
        self.open_button.setEnabled(False)
        self.open_button.setToolTip("Train its configuration; so do Enter in the list and a click on a point")
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.list, 1)
        column.addWidget(self.open_button)
        splitter = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False)
        splitter.addWidget(left)
        splitter.addWidget(right)
        splitter.setStretchFactor(0, 1)
        splitter.setSizes([10_000, 1])  # the list as narrow as it can be
        return splitter

    def _connect(self) -> None:
        self.settings.changed.connect(self._enable)
        self.settings.submitted.connect(self.start)
        self.settings.metric_box.currentIndexChanged.connect(self._metric_chosen)
        self.start_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.cancel)
        self.open_button.clicked.connect(self._open)
        self.list.activated.connect(self._open)
        self.list.selectionModel().currentChanged.connect(self._row_chosen)
        self.plot.scene().sigMouseMoved.connect(self._point_at)
        self.plot.scene().sigMouseClicked.connect(self._clicked)

    # --- the next sweep

    def set_config(self, config: ExperimentConfig) -> None:
        """The configuration of the next sweep; a running sweep keeps the one that it was started with."""
        self.settings.set_config(config)

    def _enable(self) -> None:
        self.start_button.setEnabled(self.settings.sweep is not None and not self.is_running)
        self.cancel_button.setEnabled(self.is_running)

    # --- the running sweep

    @property
    def is_running(self) -> bool:
        """Whether a sweep is running."""
        return self._run is not None and self._run.is_running

    @property
    def results(self) -> list[Result]:
        """The finished runs, in the order in which they came."""
        return self._runs.results

    def start(self) -> None:
        """Start the sweep; the results of the last one are cleared."""
        if self.settings.sweep is None or self.is_running:
            return
        try:
            self._run = self.settings.start()
        except (BackendUnavailable, TableError) as error:
            self.status.setText(f"⚠ {error}")
            return
        self._hovered = None
        self._runs.begin(self._run.sweep)
        self._picture.begin(self._run.sweep)
        self._recolor()
        self._redraw()
        self._timer.start()
        self._show_progress()

    def cancel(self) -> None:
        """Stop the sweep; finished runs stay."""
        if self._run is not None:
            self._run.cancel()
            self._show_progress()

    def shutdown(self) -> None:
        """End the sweep's processes; half a second at most."""
        self._timer.stop()
        if self._run is not None:
            self._run.close()

    def _poll(self) -> None:
        if self._run is None:
            return
        found = self._run.poll()
        if found:
            self._runs.add(found)
            self._redraw()
        self._show_progress()

    def _show_progress(self) -> None:
        """Show how far the sweep is, or how it ended."""
        run = self._run
        assert run is not None
        self.progress.setValue(int(_STEPS * run.progress))
        config = run.sweep.config
        parts = [f"{len(run.results)} of {counted(run.sweep.count, 'run')}"]
        failed = sum(bool(result.error) for result in run.results)
        if failed:
            parts.append(f"{failed} failed")
        if run.kept:
            parts.append(f"{run.kept} from the table")
        if run.is_running:
            left = run.seconds_left
            known = f"about {time_text(left)} left" if left else "running" if run.progress else "starting"
            parts.append(run.note or known)
        else:
            self._timer.stop()
            parts.append("cancelled" if run.cancelled else "stopped" if run.problem else "finished")
        network = f"{display_name(config.network)} {', '.join(map(str, config.hidden))} on {config.dataset}"
        self.status.setText(f"{', '.join(parts)} ({network})" + (f"\n⚠ {run.problem}" if run.problem else ""))
        self._enable()

    # --- results

    @property
    def _metric(self) -> str:
        return str(self.settings.metric_box.currentData())

    def _metric_chosen(self) -> None:
        self._runs.show_metric(self._metric)
        self._recolor()
        if self._run is not None:
            self._redraw()

    def _redraw(self) -> None:
        self._picture.draw(self.results, self._metric)
        self._picture.choose(self.chosen)
        self._read_out()

    def _recolor(self) -> None:
        plots.color_plot(self.plot)
        self._picture.color(self._metric)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if self._built and event.type() == QEvent.Type.PaletteChange:
            self._recolor()

    @property
    def chosen(self) -> Result | None:
        """The current run of the list."""
        index = self._sorted.mapToSource(self.list.currentIndex())
        return self.results[index.row()] if index.isValid() else None

    def _row_chosen(self) -> None:
        self._hovered = None
        self._picture.choose(self.chosen)
        self.open_button.setEnabled(self.chosen is not None)
        self._read_out()

    def _point_at(self, position: QPointF) -> None:
        self._hovered = self._picture.near(position)
        self._read_out()

    def _clicked(self, event: Any) -> None:
        result = self._picture.near(event.scenePos())
        if result is None or event.button() != Qt.MouseButton.LeftButton:
            return
        row = next(number for number, other in enumerate(self.results) if other is result)
        self.list.setCurrentIndex(self._sorted.mapFromSource(self._runs.index(row, 0)))
        self._open()

    def _open(self) -> None:
        if self.chosen is not None:
            self.run_chosen.emit(self.chosen)

    def _read_out(self) -> None:
        """Describe the run under the pointer, or else the list's."""
        result = self._hovered or self.chosen
        if result is None:
            self.readout.setText("Click on a point to open its run." if self.results else "")
            return
        sweep = self._runs.sweep
        assert sweep is not None
        value, seed, figure = self._runs.texts(result)
        text = f"{PARAMETERS[sweep.parameter].title} {value}, seed {seed}: "
        text += result.error or f"{short(self._runs.metric)} {figure}"
        others = dict(curve(sweep, [each for each in self.results if each.value == result.value], self._runs.metric))
        if result.value in others:
            text += f"; mean of its seeds {others[result.value]:.3g}"
        self.readout.setText(text)

    def table(self) -> Table:
        """Every run: value, seed, and its figures after the last epoch."""
        sweep = self._runs.sweep
        name = sweep.parameter if sweep else self.settings.parameter.currentData()
        rows = []
        for result in self.results:
            assert sweep is not None
            figures = [result.figure(metric) for metric in QUANTITIES]
            place = sweep.values.index(result.value)
            rows.append((place, [sweep.name_of(result.value), result.seed, *figures, result.error]))
        rows.sort(key=lambda row: (row[0], row[1][1]))
        return Table([name, "seed", *QUANTITIES, "error"], [row for _, row in rows])
