"""The page on which a network trains: its cards above, settings on the left, views that can be moved about."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QDockWidget, QMainWindow, QScrollArea, QWidget

from fastdrop.experiments import Run
from fastdrop_gui import editing
from fastdrop_gui.model import ExperimentModel
from fastdrop_gui.views.boundary import BoundaryView
from fastdrop_gui.views.cards import NetworkCards
from fastdrop_gui.views.curves import CurvesView
from fastdrop_gui.views.distributions import DistributionsView
from fastdrop_gui.views.heatmap import HeatMapView
from fastdrop_gui.views.inspector import InspectorView
from fastdrop_gui.views.maps import MapsView
from fastdrop_gui.views.mistakes import MistakesView
from fastdrop_gui.views.network import NetworkView
from fastdrop_gui.views.plots import View
from fastdrop_gui.views.runs import RunsView
from fastdrop_gui.views.settings import SettingsPanel


class TrainingPage(QMainWindow):
    """Docks of views, each drawn only while it can be seen."""

    def __init__(self, model: ExperimentModel) -> None:
        super().__init__()
        self.setWindowFlags(Qt.WindowType.Widget)
        self.setDockNestingEnabled(True)
        self.model = model
        self.runs: tuple[Run, ...] = ()
        self.settings = SettingsPanel()
        self.cards = NetworkCards()
        self.curves, self.boundary = CurvesView(), BoundaryView()
        self.distributions, self.run_table = DistributionsView(), RunsView()
        self.heatmap, self.network, self.maps = HeatMapView(), NetworkView(), MapsView()
        self.inspector, self.mistakes = InspectorView(), MistakesView()
        self.docks: dict[View | QWidget, QDockWidget] = {}
        self._drawing: dict[View, Callable[[], None]] = {
            self.curves: lambda: self.curves.show_history(model.history, model.twin_history, self.runs),
            self.boundary: lambda: self.boundary.show_boundary(model.boundary),
            self.distributions: lambda: self.distributions.show_distributions(model.distributions),
            self.run_table: lambda: self.run_table.show_runs(
                editing.title(model.config), model.history, model.twin_history, self.runs
            ),
            self.heatmap: lambda: self._show_layers(self.heatmap),
            self.network: lambda: self._show_layers(self.network),
            self.maps: lambda: self._show_layers(self.maps),
            self.inspector: self._draw_inspector,
            self.mistakes: lambda: self.mistakes.show_mistakes(model.mistakes),
        }
        self.setCentralWidget(self.cards)
        self._redraw_timer = QTimer(self, singleShot=True)
        self._redraw_timer.timeout.connect(self.refresh)
        self.is_arranged = False
        self._scroll = QScrollArea(widgetResizable=True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(self.settings)
        self._dock("Settings", self._scroll)
        for view in self._drawing:
            self._dock(view.title, view)
        self.inspector.wanted.connect(lambda unit: self._update_wanted())
        for view in (self.heatmap, self.network):
            view.unit_chosen.connect(self._inspect)

    @property
    def views(self) -> Sequence[View]:
        """All that can be looked at here."""
        return list(self._drawing)

    def arrange(self) -> None:
        """The layout to begin with: settings on the left, two stacks of views below the cards."""
        self.is_arranged = True
        area = Qt.DockWidgetArea
        self.setCorner(Qt.Corner.BottomLeftCorner, area.LeftDockWidgetArea)
        bar = self._scroll.verticalScrollBar().sizeHint().width()
        self._scroll.setMinimumWidth(self.settings.minimumSizeHint().width() + bar + 4)
        self.addDockWidget(area.LeftDockWidgetArea, self.docks[self._scroll])
        stacks = (
            (self.curves, self.boundary, self.distributions, self.run_table),
            (self.heatmap, self.network, self.maps, self.inspector, self.mistakes),
        )
        firsts = [self.docks[stack[0]] for stack in stacks]
        self.addDockWidget(area.BottomDockWidgetArea, firsts[0])
        self.splitDockWidget(
            firsts[0], firsts[1], Qt.Orientation.Horizontal
        )  # before there are tabs, which would take it in
        for first, stack in zip(firsts, stacks, strict=True):
            for view in stack[1:]:
                self.tabifyDockWidget(first, self.docks[view])
            first.raise_()

    def reset_layout(self) -> None:
        """All views back in their places, also those that were closed or float."""
        for dock in self.docks.values():
            dock.setFloating(False)
            self.removeDockWidget(dock)
        self.arrange()
        for dock in self.docks.values():
            dock.show()
        for view in (self.curves, self.heatmap):
            self.docks[view].raise_()
        self.balance_soon()

    def balance_soon(self) -> None:
        """Give both stacks their share of the width, when sizes are known."""
        docks = [self.docks[self.curves], self.docks[self.heatmap]]
        QTimer.singleShot(0, self, lambda: self.resizeDocks(docks, [450, 600], Qt.Orientation.Horizontal))

    def _dock(self, title: str, widget: QWidget) -> QDockWidget:
        dock = QDockWidget(title)
        dock.setObjectName(f"dock {title}")
        dock.setWidget(widget)
        dock.setAccessibleName(title)
        dock.visibilityChanged.connect(widget.setEnabled)  # or Tab would go to docks that are behind others
        dock.visibilityChanged.connect(lambda _visible: self._redraw_timer.start())
        self.docks[widget] = dock
        return dock

    def raise_view(self, view: View) -> None:
        """Bring a view to the front, also where it was closed."""
        self.docks[view].show()
        self.docks[view].raise_()
        view.setFocus()

    def is_seen(self, view: View) -> bool:
        """Whether a view can be seen."""
        return view.isVisible() and not view.visibleRegion().isEmpty()

    def refresh(self) -> None:
        """Draw what can be seen, and ask for what it needs."""
        self._update_wanted()
        self.cards.show_about(self.model.about)
        self.settings.about.setText(self.model.about.text if self.model.about else "")
        for view, draw in self._drawing.items():
            if self.is_seen(view):
                draw()

    def clear(self) -> None:
        """Show nothing of the experiment before."""
        for view in (self.heatmap, self.network, self.maps, self.inspector):
            view.clear()

    def recolor(self) -> None:
        """Follow the desktop's theme."""
        self.curves.recolor()
        self.refresh()

    def _show_layers(self, view: HeatMapView | NetworkView | MapsView | InspectorView) -> None:
        if self.model.snapshot is not None:
            view.show_layers(self.model.snapshot.layers)

    def _draw_inspector(self) -> None:
        self._show_layers(self.inspector)
        self.inspector.show_unit(self.model.unit, self.model.history_of_unit(*self.inspector.chosen))

    def _inspect(self, layer: str, unit: int) -> None:
        """A unit was clicked: look at it."""
        if self.model.snapshot is not None:
            self.inspector.show_layers(self.model.snapshot.layers)
        self.inspector.choose(layer, unit)
        self.raise_view(self.inspector)

    def _update_wanted(self) -> None:
        place = self.inspector.layer.currentIndex()
        unit = (place, self.inspector.unit.value() - 1) if self.is_seen(self.inspector) and place >= 0 else None
        self.model.want(
            layers=any(self.is_seen(view) for view in (self.heatmap, self.network, self.maps)),
            boundary=self.is_seen(self.boundary),
            mistakes=self.is_seen(self.mistakes),
            unit=unit,
        )
