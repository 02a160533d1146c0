"""Feature maps of convolutions for one example: whole maps go dark under spatial dropout, blocks under DropBlock."""

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtWidgets import QSpinBox

from fastdrop.experiments import LayerView
from fastdrop_gui.views.widgets import cells, plots
from fastdrop_gui.views.widgets.fields import NarrowChoice, caption
from fastdrop_gui.views.widgets.layouts import row, stack
from fastdrop_gui.views.widgets.view import Table, View

NOTHING = "Only for networks with convolutions."
_SCALE = 7
"""Pixels of a position's side: enough for a cross."""


class FeatureMapsView(View):
    """A mosaic of one layer's maps; dropped positions are crossed out and counted."""

    title = "Feature maps"
    description = "Feature maps of a convolution for one example, dropped positions crossed out"

    def __init__(self) -> None:
        super().__init__()
        self.layer = NarrowChoice("Layer")
        self.example = QSpinBox(minimum=1, maximum=1)
        self.example.setAccessibleName("Example of the newest batch")
        self.caption = caption(NOTHING)
        self.plot = plots.plot("", "", name=self.title)
        self.plot.setAspectLocked(True)
        self.plot.setMouseEnabled(False, False)
        self.plot.invertY(True)
        for axis in ("bottom", "left"):
            self.plot.hideAxis(axis)
        self.image = pg.ImageItem(axisOrder="row-major")
        self.plot.addItem(self.image)
        self.pixels = np.zeros((0, 0, 3), np.uint8)
        self._views: tuple[LayerView, ...] = ()
        self._lookup = plots.lookup("viridis")
        top = row("Layer", self.layer, "Example", self.example, self.caption)
        stack(self, top, self.plot, grows=self.plot)
        self.layer.currentIndexChanged.connect(self._draw)
        self.example.valueChanged.connect(self._draw)

    def show_layers(self, views: tuple[LayerView, ...]) -> None:
        """Draw the newest snapshot's maps."""
        self._views = tuple(view for view in views if len(view.shape) == 3)
        names = [view.name for view in self._views]
        self.layer.offer(names)
        if self._views:
            self.example.setMaximum(self._views[0].values.shape[1])
        self._draw()

    def clear(self) -> None:
        """Show nothing."""
        self.show_layers(())

    def _draw(self) -> None:
        place = self.layer.currentIndex()
        if not 0 <= place < len(self._views):
            self.image.clear()
            self.caption.setText(NOTHING)
            return
        view, example = self._views[place], self.example.value() - 1
        maps = np.nan_to_num(view.values[:, example].reshape(view.shape))
        kept = np.ones(view.shape, bool) if view.kept is None else view.kept[:, example].reshape(view.shape)
        self.pixels = self._mosaic(maps, kept)
        self.image.setImage(self.pixels, autoLevels=False, levels=(0, 255))
        height, width = self.pixels.shape[:2]
        self.plot.setRange(xRange=(0, width), yRange=(0, height), padding=0.01)
        whole = int((~kept).all(axis=(1, 2)).sum())
        self.caption.setText(
            f"{len(maps)} maps, {view.shape[1]} × {view.shape[2]}; ✕ dropped: {1 - kept.mean():.0%}, whole: {whole}"
        )

    def _mosaic(self, maps: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Maps side by side, each shaded for itself."""
        count, height, width = maps.shape
        columns = int(np.ceil(np.sqrt(count * 1.8)))
        rows = -(-count // columns)
        gap = 4
        tile = (height * _SCALE + gap, width * _SCALE + gap)
        ground = np.array(plots.rgb(plots.background_color()), np.uint8)
        mosaic = np.broadcast_to(ground, (rows * tile[0], columns * tile[1], 3)).copy()
        tops = np.maximum(np.abs(maps).max(axis=(1, 2), keepdims=True), 1e-12)
        shades = (np.abs(maps) / tops * 255).astype(np.uint8)
        cross = cells.cross(_SCALE, margin=1)
        for number in range(count):
            y, x = number // columns * tile[0], number % columns * tile[1]
            big = self._lookup[shades[number].repeat(_SCALE, axis=0).repeat(_SCALE, axis=1)]
            dropped = ~kept[number].repeat(_SCALE, axis=0).repeat(_SCALE, axis=1)
            crosses = np.tile(cross, (height, width))
            big[dropped] = (96, 96, 96)
            big[dropped & crosses] = (255, 255, 255)
            mosaic[y : y + height * _SCALE, x : x + width * _SCALE] = big
        return mosaic

    def table(self) -> Table:
        place = self.layer.currentIndex()
        if not 0 <= place < len(self._views):
            return Table(["map"], [])
        view, example = self._views[place], self.example.value() - 1
        maps = view.values[:, example].reshape(view.shape)
        kept = np.ones(view.shape, bool) if view.kept is None else view.kept[:, example].reshape(view.shape)
        rows = [(m + 1, y + 1, x + 1, float(maps[m, y, x]), bool(kept[m, y, x])) for m, y, x in np.ndindex(maps.shape)]
        return Table(["map", "row", "column", "activation", "kept"], rows)
