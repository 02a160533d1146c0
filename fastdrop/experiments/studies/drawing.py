"""Parts of the studies' pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import missing_package

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""The palette of Okabe and Ito, which colour-blind people can distinguish."""


def panels(title: str, columns: int, rows: int = 1, size: tuple[float, float] = (4.2, 3.4)) -> tuple["Figure", Any]:
    """A figure, and its panels in an array (rows, columns)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_package("matplotlib", "experiments", "drawing a study's picture") from None
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    figure.suptitle(title, fontsize=12, fontweight="bold")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.ravel():
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def label(axis: "Axes", x: str, y: str, title: str = "") -> None:
    """Label the axes, and give the panel a title."""
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    if title:
        axis.set_title(title, fontsize=10)


def band(
    axis: "Axes", x: Any, runs: NDArray[np.float64], name: str, color: str, style: str = "-", mark: str = ""
) -> None:
    """Draw the mean over seeds (the first axis), and one standard deviation around it."""
    mean, std = runs.mean(axis=0), runs.std(axis=0)
    axis.plot(x, mean, style, color=color, label=name, marker=mark, markersize=4, linewidth=1.5)
    axis.fill_between(x, mean - std, mean + std, color=color, alpha=0.18, linewidth=0)


def dots(
    axis: "Axes", groups: Sequence[NDArray[np.float64]], names: Sequence[str], colors: Sequence[str] = COLORS
) -> None:
    """Draw one dot for each seed, and a bar at the mean, for each group."""
    for place, (values, color) in enumerate(zip(groups, colors, strict=False)):
        offsets = np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else np.zeros(1)
        axis.plot(place + offsets, values, "o", color=color, markersize=4, alpha=0.7, markeredgewidth=0)
        axis.hlines(np.mean(values), place - 0.3, place + 0.3, color=color, linewidth=2)
    axis.set_xticks(range(len(names)), names, fontsize=8)
    axis.set_xlim(-0.6, len(names) - 0.4)
