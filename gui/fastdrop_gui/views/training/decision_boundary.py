"""Data with two features: the predicted class over the plane, and the uncertainty of Monte Carlo dropout."""

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QHBoxLayout, QLabel

from fastdrop.experiments import Boundary
from fastdrop_gui.views.widgets import plots
from fastdrop_gui.views.widgets.layouts import stack
from fastdrop_gui.views.widgets.plots import COLORS, SYMBOLS
from fastdrop_gui.views.widgets.view import Table, View

NOTHING = "Only for data with two features: moons, circles, spirals, xor, or an imported table with two numbers."
_MOST_NAMED = 10
"""Classes in the legend."""
_LONGEST_NAME = 28


class DecisionBoundaryView(View):
    """Left the predicted class, paler where less sure; right the mutual information of Monte Carlo dropout."""

    title = "Decision boundary"
    description = "Decision boundary over the plane, and the uncertainty of Monte Carlo dropout"

    def __init__(self) -> None:
        super().__init__()
        self.caption = QLabel(NOTHING)
        self.caption.setWordWrap(True)
        self.decision = plots.plot("x", "y", name="Decision boundary")
        self.uncertainty = plots.plot("x", "", name="Uncertainty of Monte Carlo dropout")
        self.images: dict[str, pg.ImageItem] = {}
        self.points: dict[tuple[str, int], pg.ScatterPlotItem] = {}
        self.lines: dict[str, pg.IsocurveItem] = {}
        for name, plot in (("decision", self.decision), ("uncertainty", self.uncertainty)):
            plot.setMouseEnabled(False, False)
            self.images[name] = pg.ImageItem(axisOrder="row-major")
            plot.addItem(self.images[name])
            self.lines[name] = pg.IsocurveItem(level=0.5, pen=pg.mkPen("k", width=1), axisOrder="row-major")
            self.lines[name].setParentItem(self.images[name])
        self.decision.setTitle("predicted class", size="9pt")
        self.uncertainty.setTitle("mutual information", size="9pt")
        self.uncertainty.setXLink(self.decision)
        self.uncertainty.setYLink(self.decision)
        self.images["uncertainty"].setLookupTable(plots.lookup("magma"))
        self.decision.addLegend(offset=(4, 4), labelTextSize="8pt")
        self._boundary: Boundary | None = None
        for plot in (self.decision, self.uncertainty):
            plot.hide()
        both = QHBoxLayout()
        both.addWidget(self.decision)
        both.addWidget(self.uncertainty)
        stack(self, self.caption, both, grows=both).addStretch()

    def show_boundary(self, found: Boundary | None) -> None:
        """Draw the plane; None shows nothing."""
        if found is self._boundary:
            return
        fresh = self._boundary is None or found is None or _frame(found) != _frame(self._boundary)
        self._boundary = found
        for plot in (self.decision, self.uncertainty):
            plot.setVisible(found is not None)
        if found is None:
            self._clear()
            return
        side = len(found.probabilities)
        winners, confidence = found.probabilities.argmax(axis=2), found.probabilities.max(axis=2)
        classes = found.probabilities.shape[2]
        colors = np.array([plots.rgb(QColor(COLORS[place % len(COLORS)])) for place in range(classes)])
        least = 1 / classes
        strength = ((confidence - least) / (1 - least))[:, :, None] * 0.75
        pixels = (255 * (1 - strength) + colors[winners] * strength).astype(np.uint8)
        self.images["decision"].setImage(pixels, autoLevels=False, levels=(0, 255))
        self.images["uncertainty"].setImage(
            found.uncertainty, autoLevels=False, levels=(0.0, max(float(found.uncertainty.max()), 1e-6))
        )
        first = found.probabilities[:, :, 0]
        for line in self.lines.values():
            line.setData(first if classes == 2 else np.zeros((side, side), np.float32))
        for image in self.images.values():
            image.setRect(*found.extent)
        if fresh:
            self._place_points(found)
        self.caption.setText(
            f"Mutual information: at most {float(found.uncertainty.max()):.3f} nats, mean "
            f"{float(found.uncertainty.mean()):.3f}. Uncertain regions are pale on the left and bright on the right. "
            "Large marks are test examples, small ones training examples."
        )

    def _place_points(self, found: Boundary) -> None:
        for (name, _), item in self.points.items():
            (self.decision if name == "decision" else self.uncertainty).removeItem(item)
        self.points.clear()
        for name, plot in (("decision", self.decision), ("uncertainty", self.uncertainty)):
            for label in np.unique(found.labels):
                here = found.labels == label
                color = COLORS[int(label) % len(COLORS)]
                sizes = np.where(found.tested[here], 7, 4)
                item = pg.ScatterPlotItem(
                    found.points[here, 0],
                    found.points[here, 1],
                    symbol=SYMBOLS[int(label) % len(SYMBOLS)],
                    size=sizes,
                    brush=pg.mkBrush(color),
                    pen=pg.mkPen("w" if name == "uncertainty" else "k", width=0.5),
                )
                plot.addItem(item)
                self.points[name, int(label)] = item
        self._name_axes(found)
        x, y, width, height = found.extent
        self.decision.setRange(xRange=(x, x + width), yRange=(y, y + height), padding=0)

    def _name_axes(self, found: Boundary) -> None:
        """Features on the axes, and classes in the legend."""
        bottom, left = (_short(name) for name in found.feature_names)
        self.decision.setLabel("bottom", bottom)
        self.decision.setLabel("left", left)
        self.uncertainty.setLabel("bottom", bottom)
        legend = self.decision.getPlotItem().legend
        legend.clear()
        legend.setVisible(bool(found.class_names) and len(found.class_names) <= _MOST_NAMED)
        for (name, label), item in self.points.items():
            if name == "decision" and label < len(found.class_names):
                legend.addItem(item, _short(found.class_names[label]))
        plots.color_legend(self.decision)
        legend.setBrush(pg.mkBrush(*plots.rgb(plots.background_color()), 190))

    def _clear(self) -> None:
        for (name, _), item in self.points.items():
            (self.decision if name == "decision" else self.uncertainty).removeItem(item)
        self.points.clear()
        for image in self.images.values():
            image.clear()
        for line in self.lines.values():
            line.setData(None)
        self.caption.setText(NOTHING)

    def table(self) -> Table:
        found = self._boundary
        if found is None:
            return Table(["x", "y"], [])
        names = found.class_names or [str(place) for place in range(found.probabilities.shape[2])]
        side, classes = len(found.probabilities), found.probabilities.shape[2]
        x0, y0, width, height = found.extent
        rows = [
            [
                x0 + width * column / (side - 1),
                y0 + height * row / (side - 1),
                *map(float, found.probabilities[row, column]),
                float(found.uncertainty[row, column]),
            ]
            for row in range(side)
            for column in range(side)
        ]
        probabilities = [f"probability {name}" for name in names[:classes]]
        return Table([*found.feature_names, *probabilities, "mutual information"], rows)


def _frame(found: Boundary) -> tuple[object, ...]:
    return found.extent, found.feature_names, found.class_names, found.points.shape


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
