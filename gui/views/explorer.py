"""Explore the kernel: one array, a slider for p, and what three kinds of dropout make of it, side by side."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from fastdrop_gui import kernels
from fastdrop_gui.kernels import KINDS, SOURCES, Look, Outcome
from fastdrop_gui.views import cells, plots
from fastdrop_gui.views.plots import Table, View
from fastdrop_gui.views.sliders import RateSlider

_RATES = np.linspace(0.0, 1.0, 101)
_KIND_COLORS = dict(zip(KINDS, (plots.BLUE, plots.VERMILION, plots.GREEN), strict=True))
_BAR = "#8a8a8a"


class Bars:
    """A layer's outputs as bars beside the rows of its weights; rings stand where they are without dropout."""

    def __init__(self, name: str) -> None:
        self.plot = cells.bare_plot(name)
        self.bars = pg.BarGraphItem(x0=0, y=[], height=0.7, width=[], pen=None, brush=_BAR)
        self.rings = pg.PlotDataItem(pen=None, symbol="o", symbolSize=7, symbolBrush=None)
        self.zero = pg.InfiniteLine(0, angle=90)
        for item in (self.bars, self.zero, self.rings):
            self.plot.addItem(item)

    def show(self, before: NDArray[Any], after: NDArray[Any]) -> None:
        """Twice as wide as without dropout, so that the bars of p = 1/2 fit."""
        rows = np.arange(len(before)) + 0.5
        self.bars.setOpts(y=rows, width=after)
        self.rings.setData(before, rows)
        top = 2 * max(float(np.abs(before).max()), 1e-12)
        low = -top if (before < 0).any() else 0.0
        self.plot.setRange(xRange=(low, top), yRange=(0, len(before)), padding=0.02)


class ExplorerView(View):
    """Standard, spatial and DropConnect on one array: masks, outputs, shares and means, and the Python for it."""

    title = "Kernel"
    description = "One array, and what standard dropout, spatial dropout and DropConnect make of it"
    _built = False

    def __init__(self) -> None:
        super().__init__()
        self._look = Look()
        self._x = SOURCES[self._look.source].make()
        self._outcomes: tuple[Outcome, ...] = ()
        self._drawn_array = ""
        self._drawn_curve: tuple[object, ...] = ()
        masks = cells.shades("viridis")
        masks[cells.SHADES - 1] = 225  # kept
        self._lookups = {"mask": masks, "plain": cells.shades("viridis"), "signed": cells.shades("CET-D1")}
        self.masks: dict[str, cells.Picture] = {}
        self.outputs: dict[str, cells.Picture | Bars] = {}
        self.mask_texts: dict[str, QLabel] = {}
        self.output_texts: dict[str, QLabel] = {}
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self._controls())
        column.addLayout(self._slider_row())
        column.addLayout(self._pictures(), 1)
        column.addLayout(self._code_row())
        area = QScrollArea(widgetResizable=True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(content)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(area)
        self._connect()
        self._built = True
        self.recolor()
        self._take()

    # -- what stands where

    def _controls(self) -> QGridLayout:
        self.source = QComboBox()
        for name, source in SOURCES.items():
            self.source.addItem(name)
            self.source.setItemData(self.source.count() - 1, source.text, Qt.ItemDataRole.ToolTipRole)
        self.seed = QSpinBox(maximum=2**31 - 1)
        self.next = QPushButton("&Next mask")
        self.next.setToolTip("The next call numbers of the same stream: other masks")
        self.first = QPushButton("Back t&o the first")
        self.first.setToolTip("Call numbers from 0 on: the masks of a new stream with this seed")
        self.scaling = QComboBox()
        self.scaling.addItem("inverted", "inverted")
        self.scaling.addItem("classic", "classic")
        self.scaling.setToolTip("inverted: kept × 1/(1 − p) in training; classic: all × (1 − p) in evaluation")
        self.evaluation = QCheckBox("Evaluation &mode")
        self.evaluation.setToolTip("training=False: nothing is dropped")
        self.average = QSpinBox(minimum=1, maximum=kernels.MOST_MASKS, suffix=" mask")
        self.average.setStepType(QSpinBox.StepType.AdaptiveDecimalStepType)
        self.average.setToolTip("The mean of so many outputs, each with a mask of its own")
        self.calls = QLabel()
        grid = QGridLayout()
        pairs: tuple[tuple[str, QWidget], ...] = (
            ("&Array", self.source),
            ("&Seed", self.seed),
            ("Sca&ling", self.scaling),
            ("Avera&ge over", self.average),
        )
        for place, (text, widget) in enumerate(pairs):
            label = QLabel(text)
            label.setBuddy(widget)
            widget.setAccessibleName(text.replace("&", ""))
            row, column = divmod(place, 2)
            grid.addWidget(label, row, 2 * column)
            grid.addWidget(widget, row, 2 * column + 1)
        self.evaluation.setAccessibleName("Evaluation mode")
        grid.addWidget(self.next, 0, 4)
        grid.addWidget(self.first, 0, 5)
        grid.addWidget(self.evaluation, 1, 4)
        grid.addWidget(self.calls, 1, 5)
        grid.setColumnStretch(6, 1)
        return grid

    def _slider_row(self) -> QHBoxLayout:
        self.rate = RateSlider("Rate p")
        self.rate.setToolTip("Arrow keys: one hundredth; Page Up and Page Down: a tenth")
        label = QLabel("&Rate p")
        label.setBuddy(self.rate)
        self.nested = QLabel("Raising p only drops more: no dropped cell comes back.")
        self.nested.setAccessibleName("What the last change of p did")
        self.nested.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(label)
        row.addWidget(self.rate, 1)
        row.addWidget(self.nested, 1)
        return row

    def _pictures(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setVerticalSpacing(1)
        self.array = cells.Picture("The array")
        self.array_text = self._caption("The array, in figures")
        self.curve = plots.plot("", "", name="Share kept against p")
        self.curve.setMouseEnabled(x=False, y=False)
        self.curve.setMenuEnabled(False)
        self.curve.setRange(xRange=(0, 1), yRange=(0, 1), padding=0.08)
        cells.make_shrinkable(self.curve)
        self.curves = {kind: self.curve.plot() for kind in KINDS}
        self.here = pg.InfiniteLine(0.5, angle=90)
        self.curve.addItem(self.here)
        curve_text = self._caption("Curves of the share kept")
        self._column(grid, 0, "array: x, or weights", self.array.plot, self.array_text, self.curve, curve_text)
        styles = ("solid", "dashed", "dotted")
        named = ", ".join(f"{style} {kind}" for style, kind in zip(styles, KINDS, strict=True))
        curve_text.setText(f"share kept against p: {named}")
        for column, (kind, call) in enumerate(KINDS.items(), 1):
            self.masks[kind] = cells.Picture(f"Mask of {kind}")
            self.outputs[kind] = (Bars if kind == "DropConnect" else cells.Picture)(f"Output of {kind}")
            self.mask_texts[kind] = self._caption(f"Mask of {kind}, in figures")
            self.output_texts[kind] = self._caption(f"Output of {kind}, in figures")
            what = call.partition(": ")[2]
            self._column(
                grid,
                column,
                f"{kind}: {what}",
                self.masks[kind].plot,
                self.mask_texts[kind],
                self.outputs[kind].plot,
                self.output_texts[kind],
            )
        return grid

    def _column(self, grid: QGridLayout, column: int, heading: str, *widgets: QWidget) -> None:
        title = QLabel(f"<b>{heading}</b>")
        for row, widget in enumerate((title, *widgets)):
            grid.addWidget(widget, row, column)
        for row in (1, 3):
            grid.setRowStretch(row, 1)
        grid.setColumnStretch(column, 1)

    def _caption(self, name: str) -> QLabel:
        """Room for three lines, so that pictures keep their size while numbers change."""
        label = QLabel(alignment=Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        label.setWordWrap(True)
        label.setMinimumHeight(3 * self.fontMetrics().lineSpacing() + 2)
        label.setAccessibleName(name)
        return label

    def _code_row(self) -> QHBoxLayout:
        self.code = QPlainTextEdit(readOnly=True, tabChangesFocus=True)
        self.code.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.code.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.code.setAccessibleName("The Python that makes what is shown")
        self.code.setFixedHeight(len(KINDS) * self.code.fontMetrics().lineSpacing() + 22)
        self.copy = QPushButton("&Copy")
        self.copy.setAccessibleName("Copy as Python")
        self.copy.setToolTip("A whole program: these lines, and before them the array and the stream")
        row = QHBoxLayout()
        row.addWidget(self.code, 1)
        row.addWidget(self.copy, 0, Qt.AlignmentFlag.AlignTop)
        return row

    def _connect(self) -> None:
        self.rate.setValue(self._look.p)
        self.source.currentIndexChanged.connect(self._take)
        self.scaling.currentIndexChanged.connect(self._take)
        self.seed.valueChanged.connect(self._take)
        self.average.valueChanged.connect(self._take)
        self.rate.valueChanged.connect(self._take)
        self.evaluation.toggled.connect(self._take)
        self.next.clicked.connect(lambda: self._take(draw=self._look.draw + 1))
        self.first.clicked.connect(lambda: self._take(draw=0))
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(kernels.program(self._look)))

    # -- what is shown

    @property
    def look(self) -> Look:
        """What is looked at now."""
        return self._look

    def _take(self, *_: object, draw: int | None = None) -> None:
        """Read the controls and draw what they ask for."""
        before, old = self._look, self._outcomes
        self._look = Look(
            self.source.currentText(),
            round(self.rate.value(), 2),
            self.seed.value(),
            before.draw if draw is None else draw,
            self.average.value(),
            not self.evaluation.isChecked(),
            self.scaling.currentData(),
        )
        if before.source != self._look.source:
            self._x = SOURCES[self._look.source].make()
        self._outcomes = kernels.outcomes(self._x, self._look)
        if old and before.p != self._look.p and self._look.training:
            dropped, back = kernels.changes(old, self._outcomes)
            self.nested.setText(f"p {before.p:.2f} → {self._look.p:.2f}: {dropped} more dropped, {back} came back")
        self._draw()

    def _draw(self) -> None:
        look, values = self._look, kernels.tiled(self._x[0])
        maps = int(np.sqrt(self._x.shape[1]))
        signed = bool((values < 0).any())
        top = 2 * float(np.abs(values).max())  # so that the outputs of p = 1/2 can be told apart
        lut = self._lookups["signed" if signed else "plain"]
        if self._drawn_array != look.source:
            self._drawn_array = look.source
            self.array.show(values, None, lut, top, signed=signed, maps=maps)
            self._describe_array(top, signed)
        for outcome in self._outcomes:
            dropped = None if outcome.kept is None else ~outcome.kept
            output = self.outputs[outcome.kind]
            parts = 1 if isinstance(output, Bars) else maps  # weights are one matrix
            self.masks[outcome.kind].show(np.ones(values.shape), dropped, self._lookups["mask"], 1.0, maps=parts)
            if isinstance(output, Bars):
                output.show(outcome.before, outcome.after)
            else:
                crossed = dropped if look.masks == 1 else None
                output.show(outcome.after, crossed, lut, top, signed=signed, maps=maps)
            self._describe(outcome)
        self._draw_curve()
        self.here.setValue(look.p)
        self.calls.setText(f"calls {look.first_call} to {look.first_call + kernels.CALLS - 1}")
        self.first.setEnabled(look.draw > 0)
        self.average.setSuffix(" mask" if look.masks == 1 else " masks")
        self.code.setPlainText("\n".join(kernels.calls(look).values()))

    def _draw_curve(self) -> None:
        """The staircases, where they can have changed."""
        look = self._look
        state = (look.source, look.seed, look.draw)
        if state != self._drawn_curve:
            self._drawn_curve = state
            for kind, shares in kernels.kept_shares(self._x, look, _RATES).items():
                self.curves[kind].setData(_RATES, shares)

    def _describe(self, outcome: Outcome) -> None:
        look = self._look
        if outcome.kept is None:
            self.mask_texts[outcome.kind].setText("no mask in evaluation mode: all kept")
        else:
            unit = {"standard": "elements", "spatial": "maps", "DropConnect": "weights"}[outcome.kind]
            kept = f"{round(outcome.share * outcome.of):,} of {outcome.of:,} {unit}"
            self.mask_texts[outcome.kind].setText(f"mask: kept {kept} ({outcome.share:.1%})")
        text = "output" if look.masks == 1 else f"mean of {look.masks}"
        text += f": scale {outcome.scale:.3g}, mean {outcome.before.mean():.3g} → {outcome.after.mean():.3g}"
        if look.masks > 1:
            goal = "(1 − p)" if look.scaling == "classic" else ""
            goal += "○" if outcome.kind == "DropConnect" else "x"
            text += f", at most {outcome.farthest(look):.2g} from {goal}"
        elif outcome.kind == "DropConnect":
            text += "; ○ without dropout"
        self.output_texts[outcome.kind].setText(text)

    def _describe_array(self, top: float, signed: bool) -> None:
        _, maps, height, width = self._x.shape
        scale = f"blue −{top:.3g}, red +{top:.3g}" if signed else f"dark 0, bright {top:.3g}"
        shape = f"{maps} maps of {height} × {width}" if maps > 1 else f"one map, {height} × {width}"
        self.array_text.setText(f"{shape}, mean {self._x.mean():.3g}; {scale}; ☒ dropped")

    def recolor(self) -> None:
        """Colours for the theme at hand."""
        plots.color_plots(self)
        text = self.palette().color(QPalette.ColorRole.Text)
        for (kind, curve), style in zip(self.curves.items(), plots.STYLES, strict=False):
            curve.setPen(plots.pen(_KIND_COLORS[kind], style))
        for picture in (self.array, *self.masks.values(), *self.outputs.values()):
            if isinstance(picture, Bars):
                picture.rings.setSymbolPen(pg.mkPen(text, width=1))
                picture.zero.setPen(pg.mkPen(text, width=1))
            else:
                picture.lines.setPen(pg.mkPen(text, width=1))
        self.here.setPen(pg.mkPen(text, width=1))

    def changeEvent(self, event: QEvent) -> None:
        """Follow the desktop's theme."""
        super().changeEvent(event)
        if self._built and event.type() == QEvent.Type.PaletteChange:
            self.recolor()

    def table(self) -> Table:
        """Every cell: its value, whether it is kept, and the output."""
        values = kernels.tiled(self._x[0])
        rows: list[tuple[Any, ...]] = []
        for outcome in self._outcomes:
            maps = outcome.kind != "DropConnect"
            for row, column in np.ndindex(values.shape):
                kept = "" if outcome.kept is None else bool(outcome.kept[row, column])
                output = float(outcome.after[row, column]) if maps else ""
                rows.append((outcome.kind, row + 1, column + 1, float(values[row, column]), kept, output))
            if not maps:
                pairs = zip(outcome.before, outcome.after, strict=True)
                rows += [(outcome.kind, row, "sum", float(b), "", float(a)) for row, (b, a) in enumerate(pairs, 1)]
        return Table(["kind", "row", "column", "value", "kept", "output"], rows)
