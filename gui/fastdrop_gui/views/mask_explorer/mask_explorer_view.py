"""The mask explorer: one array, a slider for p, and what three kinds of dropout make of it, side by side."""

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from fastdrop_gui.model import mask_exploration
from fastdrop_gui.model.mask_exploration import KINDS, SOURCES, ExplorerSettings, Outcome
from fastdrop_gui.views.mask_explorer.explorer_controls import ExplorerControls
from fastdrop_gui.views.mask_explorer.output_bars import OutputBars
from fastdrop_gui.views.widgets import cells, plots
from fastdrop_gui.views.widgets.view import Table, View

_RATES = np.linspace(0.0, 1.0, 101)
_KIND_COLORS = dict(zip(KINDS, (plots.BLUE, plots.VERMILION, plots.GREEN), strict=True))
_UNITS = {"standard": "elements", "spatial": "maps", "DropConnect": "weights"}


class MaskExplorerView(View):
    """Standard dropout, spatial dropout and DropConnect of one array: masks, outputs, and the Python code."""

    title = "Mask explorer"
    description = "One array, and what standard dropout, spatial dropout and DropConnect make of it"
    _built = False

    def __init__(self) -> None:
        super().__init__()
        self._settings = ExplorerSettings()
        self._x = SOURCES[self._settings.source].make()
        self._outcomes: tuple[Outcome, ...] = ()
        self._drawn_array = ""
        self._drawn_curve: tuple[object, ...] = ()
        masks = cells.shades("viridis")
        masks[cells.SHADES - 1] = 225  # kept
        self._lookups = {"mask": masks, "plain": cells.shades("viridis"), "signed": cells.shades("CET-D1")}
        self.masks: dict[str, cells.Picture] = {}
        self.outputs: dict[str, cells.Picture | OutputBars] = {}
        self.mask_texts: dict[str, QLabel] = {}
        self.output_texts: dict[str, QLabel] = {}
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        self.controls = ExplorerControls(self._settings)
        column.addWidget(self.controls)
        column.addLayout(self._pictures(), 1)
        column.addLayout(self._code_row())
        area = QScrollArea(widgetResizable=True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidget(content)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(area)
        self.controls.changed.connect(self._explore)
        self.copy.clicked.connect(self._copy_program)
        self._built = True
        self.recolor()
        self._explore()

    # -- layout

    def _pictures(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setVerticalSpacing(1)
        self.array = cells.Picture("The array")
        self.array_text = self._caption("Figures of the array")
        self.curve = plots.plot("", "", name="Fraction kept against p")
        self.curve.setMouseEnabled(x=False, y=False)
        self.curve.setMenuEnabled(False)
        self.curve.setRange(xRange=(0, 1), yRange=(0, 1), padding=0.08)
        cells.make_shrinkable(self.curve)
        self.curves = {kind: self.curve.plot() for kind in KINDS}
        self.here = pg.InfiniteLine(0.5, angle=90)
        self.curve.addItem(self.here)
        curve_text = self._caption("Curves of the fraction kept")
        self._column(grid, 0, "Array: x, or weights", self.array.plot, self.array_text, self.curve, curve_text)
        styles = ("solid", "dashed", "dotted")
        named = ", ".join(f"{style} {kind}" for style, kind in zip(styles, KINDS, strict=True))
        curve_text.setText(f"Fraction kept against p: {named}")
        for column, (kind, call) in enumerate(KINDS.items(), 1):
            self.masks[kind] = cells.Picture(f"Mask of {kind}")
            self.outputs[kind] = (OutputBars if kind == "DropConnect" else cells.Picture)(f"Output of {kind}")
            self.mask_texts[kind] = self._caption(f"Figures of the mask of {kind}")
            self.output_texts[kind] = self._caption(f"Figures of the output of {kind}")
            what = call.partition(": ")[2]
            self._column(
                grid,
                column,
                f"{kind[0].upper()}{kind[1:]}: {what}",
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
        """A label with room for three lines, so that pictures keep their size while numbers change."""
        label = QLabel(alignment=Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        label.setWordWrap(True)
        label.setMinimumHeight(3 * self.fontMetrics().lineSpacing() + 2)
        label.setAccessibleName(name)
        return label

    def _code_row(self) -> QHBoxLayout:
        self.code = QPlainTextEdit(readOnly=True, tabChangesFocus=True)
        self.code.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.code.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.code.setAccessibleName("Python code that makes what is shown")
        self.code.setFixedHeight(len(KINDS) * self.code.fontMetrics().lineSpacing() + 22)
        self.copy = QPushButton("&Copy")
        self.copy.setAccessibleName("Copy as Python")
        self.copy.setToolTip("A whole program: the array, the stream, and these lines")
        row = QHBoxLayout()
        row.addWidget(self.code, 1)
        row.addWidget(self.copy, 0, Qt.AlignmentFlag.AlignTop)
        return row

    # -- what is shown

    @property
    def settings(self) -> ExplorerSettings:
        """What is shown now."""
        return self._settings

    def _explore(self) -> None:
        """Draw what the controls ask for."""
        before, old = self._settings, self._outcomes
        self._settings = settings = self.controls.settings
        if before.source != settings.source:
            self._x = SOURCES[settings.source].make()
        self._outcomes = mask_exploration.outcomes(self._x, settings)
        if old and before.p != settings.p and settings.training:
            dropped, back = mask_exploration.changes(old, self._outcomes)
            text = f"p {before.p:.2f} → {settings.p:.2f}: {dropped} more dropped, {back} came back"
            self.controls.nested.setText(text)
        self._draw()

    def _copy_program(self) -> None:
        QGuiApplication.clipboard().setText(mask_exploration.program(self._settings))

    def _draw(self) -> None:
        settings, values = self._settings, mask_exploration.tiled(self._x[0])
        maps = int(np.sqrt(self._x.shape[1]))
        signed = bool((values < 0).any())
        top = 2 * float(np.abs(values).max())  # so that the outputs of p = 1/2 can be told apart
        lut = self._lookups["signed" if signed else "plain"]
        if self._drawn_array != settings.source:
            self._drawn_array = settings.source
            self.array.show(values, None, lut, top, signed=signed, maps=maps)
            self._describe_array(top, signed)
        for outcome in self._outcomes:
            dropped = None if outcome.kept is None else ~outcome.kept
            output = self.outputs[outcome.kind]
            parts = 1 if isinstance(output, OutputBars) else maps  # weights are one matrix
            self.masks[outcome.kind].show(np.ones(values.shape), dropped, self._lookups["mask"], 1.0, maps=parts)
            if isinstance(output, OutputBars):
                output.show(outcome.before, outcome.after)
            else:
                crossed = dropped if settings.masks == 1 else None
                output.show(outcome.after, crossed, lut, top, signed=signed, maps=maps)
            self._describe(outcome)
        self._draw_curve()
        self.here.setValue(settings.p)
        self.code.setPlainText("\n".join(mask_exploration.call_lines(settings).values()))

    def _draw_curve(self) -> None:
        """Draw the step functions, where they may have changed."""
        settings = self._settings
        state = (settings.source, settings.seed, settings.draw)
        if state != self._drawn_curve:
            self._drawn_curve = state
            for kind, fractions in mask_exploration.kept_fractions(self._x, settings, _RATES).items():
                self.curves[kind].setData(_RATES, fractions)

    def _describe(self, outcome: Outcome) -> None:
        settings = self._settings
        if outcome.kept is None:
            self.mask_texts[outcome.kind].setText("No mask in evaluation mode: all are kept")
        else:
            kept = f"{round(outcome.fraction_kept * outcome.count):,} of {outcome.count:,} {_UNITS[outcome.kind]}"
            self.mask_texts[outcome.kind].setText(f"Mask: kept {kept} ({outcome.fraction_kept:.1%})")
        text = "Output" if settings.masks == 1 else f"Mean of {settings.masks}"
        text += f": scale {outcome.scale:.3g}, mean {outcome.before.mean():.3g} → {outcome.after.mean():.3g}"
        if settings.masks > 1:
            goal = "(1 − p)" if settings.scaling == "classic" else ""
            goal += "○" if outcome.kind == "DropConnect" else "x"
            text += f", at most {outcome.largest_error(settings):.2g} from {goal}"
        elif outcome.kind == "DropConnect":
            text += "; ○ without dropout"
        self.output_texts[outcome.kind].setText(text)

    def _describe_array(self, top: float, signed: bool) -> None:
        _, maps, height, width = self._x.shape
        scale = f"blue −{top:.3g}, red +{top:.3g}" if signed else f"dark 0, bright {top:.3g}"
        shape = f"{maps} maps of {height} × {width}" if maps > 1 else f"one map, {height} × {width}"
        self.array_text.setText(f"{shape}, mean {self._x.mean():.3g}; {scale}; ☒ dropped")

    def recolor(self) -> None:
        """Take the theme's colours."""
        plots.color_plots(self)
        text = self.palette().color(QPalette.ColorRole.Text)
        for (kind, curve), style in zip(self.curves.items(), plots.STYLES, strict=False):
            curve.setPen(plots.pen(_KIND_COLORS[kind], style))
        for picture in (self.array, *self.masks.values(), *self.outputs.values()):
            picture.recolor(text)
        self.here.setPen(pg.mkPen(text, width=1))

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if self._built and event.type() == QEvent.Type.PaletteChange:
            self.recolor()

    def table(self) -> Table:
        """Every cell: its value, whether it is kept, and the output."""
        values = mask_exploration.tiled(self._x[0])
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
