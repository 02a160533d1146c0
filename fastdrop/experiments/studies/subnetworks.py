"""Study 5: activations at several rates, and the sub-networks behind them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import fastdrop.functional as F
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.histories import trained
from fastdrop.experiments.studies.drawing import COLORS, band, label
from fastdrop.experiments.studies.runner import StudyRunner
from fastdrop.experiments.studies.study import Finding, Study, all_of, counted, judged, numbers
from fastdrop.experiments.trainer import LayerView
from fastdrop.stream import Stream

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RATES = (0.0, 0.3, 0.5, 0.7)
_CONFIG = ExperimentConfig(dataset="digits", hidden=(48, 24), epochs=20)
_UNITS = (6, 5, 4)
"""Units of the small network that is drawn: inputs, first and second hidden layer."""


def activations_of(config: ExperimentConfig) -> LayerView:
    """The newest batch in the first hidden layer after training, with its masks."""
    return trained(config).snapshot().layers[0]


def subnetworks(runner: StudyRunner) -> Finding:
    """Study 5."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    seeds = runner.seeds(8)
    variants = {rate: _CONFIG.replace(rate=rate) for rate in _RATES}
    groups = list(runner.map_variants(activations_of, variants, seeds).values())
    views = [group[0] for group in groups]
    figure = Figure(figsize=(13, 9.5), layout="constrained")
    figure.suptitle("What dropout does to activations, and the sub-networks that it trains", fontweight="bold")
    grid = figure.add_gridspec(3, 4, height_ratios=(1.2, 1, 1))
    order = np.argsort(-views[0].values.mean(axis=1))
    highest = max(float(np.quantile(view.values, 0.99)) for view in views)
    maps = [figure.add_subplot(grid[0, place]) for place in range(len(_RATES))]
    for axis, rate, view in zip(maps, _RATES, views, strict=True):
        _heat_map(axis, view, order, highest)
        label(axis, "example", "unit" if rate == 0 else "", f"p = {rate}")
    lit = ScalarMappable(Normalize(0, highest), "viridis")
    figure.colorbar(lit, ax=maps, label="activation; light grey: dropped", extend="max", aspect=30)
    _growth(figure.add_subplot(grid[1, :2]))
    rows, counts = _count(figure.add_subplot(grid[1, 2:]), seeds)
    weights = np.random.default_rng(3)
    edges = [weights.normal(size=(after, before)) for before, after in zip(_UNITS, (*_UNITS[1:], 2), strict=True)]
    for place in range(4):
        axis = figure.add_subplot(grid[2, place])
        kept = None if place == 0 else _masks(Stream(100 + place))
        _network(axis, edges, kept)
        axis.set_title("all units" if place == 0 else f"batch {place}, p = 0.5", fontsize=10)
    silent = [[(view.values == 0).mean() for view in group] for group in groups]
    fractions = [[dropped_fraction(view) for view in group] for group in groups]
    dropped = [Estimate.of(group) for group in fractions]
    distinct = counts["1000 masks of 24 units"]
    return Finding(
        parts={
            "another sub-network nearly every time": counted(
                min(distinct) > 990, f"{min(distinct)} of 1000 at least, against above 990"
            ),
            "as many dropped as p says": all_of(
                [judged(fraction, p - 0.02, p + 0.02) for fraction, p in zip(dropped, _RATES, strict=True)]
            ),
        },
        sentence=f"1,000 masks of a layer of 24 units at p = 0.5 are {Estimate.of(distinct):.1f} different "
        "sub-networks, of 16,777,216 possible ones; of the activations shown, "
        f"{', '.join(f'{fraction.mean:.1%}' for fraction in dropped)} are dropped.",
        columns=["p", "dropped", "zero, dropped or not"],
        rows=[[f"{p}", f"{d}", f"{Estimate.of(s)}"] for p, d, s in zip(_RATES, dropped, silent, strict=True)] + rows,
        figure=figure,
        data={"zero": numbers(np.transpose(silent))},
        exact={**counts, "dropped": numbers(np.transpose(fractions))},
    )


def dropped_fraction(view: LayerView) -> float:
    """The fraction of dropped activations in a view."""
    return 0.0 if view.kept is None else float((~view.kept).mean())


def _heat_map(axis: "Axes", view: LayerView, order: NDArray[np.intp], highest: float) -> None:
    """Active units bright, inactive ones dark, dropped ones light grey."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    colors = colormaps["viridis"](np.clip(view.values[order] / highest, 0, 1))[..., :3]
    if view.kept is not None:
        colors[~view.kept[order]] = to_rgb("#f0f0f0")
    axis.imshow(colors, aspect="auto", interpolation="nearest")


def _growth(axis: "Axes") -> None:
    """How the number of sub-networks grows with units."""
    units = np.arange(1, 385)
    axis.plot(units, units * np.log10(2), color=COLORS[0])
    for marked, what in ((24, "this layer of 24"), (266, "atoms in the universe, about 10^80"), (384, "256 + 128")):
        at = (marked, marked * np.log10(2))
        axis.plot(*at, "o", color=COLORS[1])
        side = (8, -10, "left") if marked < 100 else (-8, 4, "right")
        axis.annotate(what, at, side[:2], textcoords="offset points", ha=side[2], fontsize=8)
    axis.set_ylim(-10, 140)
    label(axis, "hidden units", "log10 of the number of sub-networks", "2^units sub-networks")
    axis.grid(alpha=0.25)


def different(units: int, draws: NDArray[np.intp], seed: int) -> list[int]:
    """The number of different sub-networks of a layer with `units` units among the first masks, for each of `draws`."""
    stream = Stream(1000 * seed + units)
    masks = np.array([F.dropout(np.ones(units), 0.5, rng=stream)[0] != 0 for _ in range(draws[-1])])
    codes = masks @ (1 << np.arange(units))
    return [len(np.unique(codes[:count])) for count in draws]


def _count(axis: "Axes", seeds: range) -> tuple[list[list[str]], dict[str, Any]]:
    """Draw the fraction of new sub-networks against the number of masks, for layers of several sizes."""
    draws = np.unique(np.logspace(0, 3, 25).astype(int))
    rows, data = [], {}
    for units, color, style in zip((4, 8, 16, 24), COLORS, ("-", "-", "-", "--"), strict=False):
        counts = np.array([different(units, draws, seed) for seed in seeds])
        band(axis, draws, counts / draws, f"{units} units: 2^{units} = {2**units:,}", color, style)
        rows.append(
            [f"{units} units", f"{Estimate.of(counts[:, -1]):.1f} different of 1,000", f"2^{units} = {2**units:,}"]
        )
        data[f"1000 masks of {units} units"] = counts[:, -1].tolist()
    axis.set_xscale("log")
    axis.set_ylim(0, 1.05)
    axis.legend(fontsize=8, loc="lower left")
    axis.grid(alpha=0.25)
    label(axis, "masks drawn, p = 0.5", "fraction of new sub-networks", "every batch trains another one")
    return rows, data


def _masks(stream: Stream) -> list[NDArray[np.bool_]]:
    """Masks of the drawn network: inputs and outputs are kept, hidden units are drawn."""
    hidden = [F.dropout(np.ones(units), 0.5, rng=stream)[0] != 0 for units in _UNITS[1:]]
    return [np.ones(_UNITS[0], bool), *hidden, np.ones(2, bool)]


def _network(axis: "Axes", edges: list[NDArray[np.float64]], kept: list[NDArray[np.bool_]] | None) -> None:
    """Draw the units, and the connections between kept units."""
    sizes = (*_UNITS, 2)
    kept = [np.ones(size, bool) for size in sizes] if kept is None else kept
    places = [np.linspace(-1, 1, size) * size / max(sizes) for size in sizes]
    for layer, weight in enumerate(edges):
        for after, before in np.ndindex(weight.shape):
            if kept[layer][before] and kept[layer + 1][after]:
                color = COLORS[0] if weight[after, before] > 0 else COLORS[1]
                ends = [places[layer][before], places[layer + 1][after]]
                axis.plot([layer, layer + 1], ends, color=color, linewidth=abs(weight[after, before]), alpha=0.6)
    for layer, size in enumerate(sizes):
        for unit in range(size):
            lit = bool(kept[layer][unit])
            axis.plot(
                layer,
                places[layer][unit],
                "o" if lit else "x",
                color="black" if lit else "grey",
                markersize=8 if lit else 7,
            )
    axis.axis("off")


STUDIES = [
    Study(
        "sub-networks",
        "Activations and sub-networks",
        "A layer of n units has 2^n sub-networks, and nearly every batch trains another one.",
        "Digits, 48 + 24 hidden units, trained at p = 0, 0.3, 0.5 and 0.7: the first layer as the newest batch had it; "
        "1,000 masks of layers of 4 to 24 units. 8 seeds; the picture shows the first one's activations.",
        {"": _CONFIG},
        subnetworks,
        5,
    )
]
