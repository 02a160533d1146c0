"""The page on which a network trains: its layers above, settings on the left, and panels that can be moved."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import QByteArray, QSettings, Qt, QTimer
from PySide6.QtWidgets import QDockWidget, QMainWindow, QScrollArea, QWidget

from fastdrop.experiments import ExperimentConfig
from fastdrop_gui.model import editing
from fastdrop_gui.views.session import Session
from fastdrop_gui.views.training.curves import CurvesView
from fastdrop_gui.views.training.decision_boundary import DecisionBoundaryView
from fastdrop_gui.views.training.distributions import DistributionsView
from fastdrop_gui.views.training.feature_maps import FeatureMapsView
from fastdrop_gui.views.training.heat_map import HeatMapView
from fastdrop_gui.views.training.misclassified import MisclassifiedView
from fastdrop_gui.views.training.network import NetworkView
from fastdrop_gui.views.training.network_cards import NetworkCards
from fastdrop_gui.views.training.run_table import RunTableView
from fastdrop_gui.views.training.settings_panel import SettingsPanel
from fastdrop_gui.views.training.unit_inspector import UnitInspectorView
from fastdrop_gui.views.widgets.view import View

_LAYOUT_KEY, _LAYOUT_VERSION = "layout", 1


class TrainingPage(QMainWindow):
    """Docks of views of a session, each drawn only while it can be seen."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setWindowFlags(Qt.WindowType.Widget)
        self.setDockNestingEnabled(True)
        self._session, self._model = session, session.model
        self.settings, self.cards = SettingsPanel(), NetworkCards()
        self.curves, self.boundary = CurvesView(), DecisionBoundaryView()
        self.distributions, self.run_table = DistributionsView(), RunTableView()
        self.heat_map, self.network, self.feature_maps = HeatMapView(), NetworkView(), FeatureMapsView()
        self.inspector, self.misclassified = UnitInspectorView(), MisclassifiedView()
        self._draw: dict[View, Callable[[], None]] = {
            self.curves: self._draw_curves,
            self.boundary: lambda: self.boundary.show_boundary(self._model.boundary),
            self.distributions: lambda: self.distributions.show_distributions(self._model.distributions),
            self.run_table: self._draw_run_table,
            self.heat_map: lambda: self._show_layers(self.heat_map),
            self.network: lambda: self._show_layers(self.network),
            self.feature_maps: lambda: self._show_layers(self.feature_maps),
            self.inspector: self._draw_inspector,
            self.misclassified: lambda: self.misclassified.show_all(self._model.misclassified),
        }
        self.setCentralWidget(self.cards)
        self._redraw_timer = QTimer(self, singleShot=True)
        self._redraw_timer.timeout.connect(self.refresh)
        self._is_arranged = False
        self._scroll = QScrollArea(widgetResizable=True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(self.settings)
        self.docks: dict[QWidget, QDockWidget] = {}
        self._make_docks()
        self.inspector.unit_requested.connect(self._request_views)
        for view in (self.heat_map, self.network):
            view.unit_chosen.connect(self._inspect)

    @property
    def views(self) -> Sequence[View]:
        """The views, in their order in the menu."""
        return list(self._draw)

    # -- layout

    def _make_docks(self) -> None:
        # Saved layouts know docks by these names: titles may change, names may not.
        names: dict[QWidget, str] = {
            self._scroll: "Settings",
            self.curves: "Curves",
            self.boundary: "Boundary",
            self.distributions: "Distributions",
            self.run_table: "Runs",
            self.heat_map: "Heat map",
            self.network: "Network",
            self.feature_maps: "Feature maps",
            self.inspector: "Unit",
            self.misclassified: "Misclassified",
        }
        for widget, name in names.items():
            title = widget.title if isinstance(widget, View) else name
            dock = QDockWidget(title)
            dock.setObjectName(f"dock {name}")
            dock.setWidget(widget)
            dock.setAccessibleName(title)
            dock.visibilityChanged.connect(widget.setEnabled)  # else Tab goes to docks that are behind others
            dock.visibilityChanged.connect(lambda _visible: self._redraw_timer.start())
            self.docks[widget] = dock

    def _arrange(self) -> None:
        """The first layout: settings on the left, two stacks of views below the cards."""
        self._is_arranged = True
        area = Qt.DockWidgetArea
        self.setCorner(Qt.Corner.BottomLeftCorner, area.LeftDockWidgetArea)
        bar = self._scroll.verticalScrollBar().sizeHint().width()
        self._scroll.setMinimumWidth(self.settings.minimumSizeHint().width() + bar + 4)
        self.addDockWidget(area.LeftDockWidgetArea, self.docks[self._scroll])
        stacks = (
            (self.curves, self.boundary, self.distributions, self.run_table),
            (self.heat_map, self.network, self.feature_maps, self.inspector, self.misclassified),
        )
        left, right = (self.docks[stack[0]] for stack in stacks)
        self.addDockWidget(area.BottomDockWidgetArea, left)
        self.splitDockWidget(left, right, Qt.Orientation.Horizontal)  # before there are tabs, which would take it in
        for first, stack in zip((left, right), stacks, strict=True):
            for view in stack[1:]:
                self.tabifyDockWidget(first, self.docks[view])
            first.raise_()

    def restore_layout(self) -> None:
        """Put docks in their places, once, after the window is shown: before, Qt leaves a stray tab bar behind."""
        if self._is_arranged:
            return
        self._arrange()
        layout = QSettings().value(_LAYOUT_KEY)
        if not isinstance(layout, QByteArray):
            self._balance_soon()
            return
        self.restoreState(layout, _LAYOUT_VERSION)
        for dock in self.docks.values():
            if dock.isHidden():
                QTimer.singleShot(0, dock.hide)  # again: Qt shows docks that were just added a moment later

    def save_layout(self) -> None:
        """Remember where the docks are."""
        QSettings().setValue(_LAYOUT_KEY, self.saveState(_LAYOUT_VERSION))

    def reset_layout(self) -> None:
        """Put all views back in their first places, also those that were closed or float."""
        for dock in self.docks.values():
            dock.setFloating(False)
            self.removeDockWidget(dock)
        self._arrange()
        for dock in self.docks.values():
            dock.show()
        for view in (self.curves, self.heat_map):
            self.docks[view].raise_()
        self._balance_soon()

    def _balance_soon(self) -> None:
        """Divide the width between both stacks, when sizes are known."""
        docks = [self.docks[self.curves], self.docks[self.heat_map]]
        QTimer.singleShot(0, self, lambda: self.resizeDocks(docks, [450, 600], Qt.Orientation.Horizontal))

    def raise_view(self, view: View) -> None:
        """Bring a view to the front, also one that was closed."""
        self.docks[view].show()
        self.docks[view].raise_()
        view.setFocus()

    # -- what is shown

    def show_config(self, config: ExperimentConfig) -> None:
        """Show the configuration that is edited."""
        self.settings.show_config(config)
        self.cards.show_config(config)

    def refresh(self) -> None:
        """Draw the views that can be seen, and request what they need."""
        self._request_views()
        self.cards.show_about(self._model.about)
        self.settings.about.setText(self._model.about.text if self._model.about else "")
        self._name_units()
        for view, draw in self._draw.items():
            if view.is_seen:
                draw()

    def _name_units(self) -> None:
        """Classes for output units, features for inputs."""
        about = self._model.about
        if about is not None:
            self.network.class_names = self.heat_map.class_names = self.inspector.class_names = about.class_names
            self.inspector.feature_names = about.feature_names

    def clear(self) -> None:
        """Show nothing of the experiment before."""
        self.settings.clear_problems()
        for view in (self.heat_map, self.network, self.feature_maps, self.inspector):
            view.clear()

    def recolor(self) -> None:
        """Follow the theme."""
        self.curves.recolor()

    def _request_views(self) -> None:
        layer, unit = self.inspector.place
        self._model.request(
            layers=any(view.is_seen for view in (self.heat_map, self.network, self.feature_maps)),
            boundary=self.boundary.is_seen,
            misclassified=self.misclassified.is_seen,
            unit=(layer, unit) if self.inspector.is_seen and layer >= 0 else None,
        )

    def _draw_curves(self) -> None:
        self.curves.show_history(self._model.history, self._model.baseline_history, self._session.runs)

    def _draw_run_table(self) -> None:
        model = self._model
        self.run_table.show_runs(editing.title(model.config), model.history, model.baseline_history, self._session.runs)

    def _show_layers(self, view: HeatMapView | NetworkView | FeatureMapsView | UnitInspectorView) -> None:
        if self._model.snapshot is not None:
            view.show_layers(self._model.snapshot.layers)

    def _draw_inspector(self) -> None:
        self._show_layers(self.inspector)
        self.inspector.show_unit(self._model.unit, self._model.history_of_unit(*self.inspector.chosen))

    def _inspect(self, layer: str, unit: int) -> None:
        """A unit was clicked: look at it."""
        self._show_layers(self.inspector)
        self.inspector.choose(layer, unit)
        self.raise_view(self.inspector)
