"""Makes the presets' pictures, gui/fastdrop_gui/pictures/*.png, from the studies and docs/experiments/*.json.

    python tests/app/subnetworks.py [NAME ...]

Half a minute on one core. They are small, with a light background that suits light and dark themes.
"""

import io
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

import fastdrop.functional as F
from fastdrop import nn
from fastdrop.experiments import one_blas_thread
from fastdrop.experiments.histories import history_of, trained
from fastdrop.experiments.studies import STUDIES, normalization, subnetworks, training_curves, uncertainty
from fastdrop.experiments.studies.drawing import COLORS
from fastdrop.stream import Stream

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "gui" / "fastdrop_gui" / "pictures"
SIZE, DPI = (320, 200), 100
GROUND, INK, FRAME, DROPPED = "#fcfcfa", "#262626", "#b4b4b4", "#c9c9c9"
BLUE, VERMILION, GREEN, PURPLE, ORANGE = COLORS[:5]
SIGNS = LinearSegmentedColormap.from_list("signs", [VERMILION, "#ffffff", BLUE])
"""Of weights: below and above 0."""

_STYLE = {"font.size": 10, "text.color": INK, "axes.edgecolor": FRAME, "lines.linewidth": 2.0, "axes.linewidth": 1.0}


def figure(columns: int = 1, **how: Any) -> tuple[Figure, list[Axes]]:
    """An empty figure with axes without ticks and frames."""
    drawn = Figure(figsize=(SIZE[0] / DPI, SIZE[1] / DPI), dpi=DPI, facecolor=GROUND)
    places = {"left": 0.06, "right": 0.94, "bottom": 0.1, "top": 0.86, "wspace": 0.12, **how}
    axes = drawn.subplots(1, columns, squeeze=False, gridspec_kw=places)[0]
    for axis in axes:
        axis.set_facecolor(GROUND)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[["top", "right"]].set_visible(False)
    return drawn, list(axes)


def kept_numbers(name: str) -> dict[str, Any]:
    """What `fastdrop reproduce` found."""
    found: dict[str, Any] = json.loads((ROOT / "docs" / "experiments" / f"{name}.json").read_text(encoding="utf-8"))
    return {**found["exact"], **found["data"]}


def corner(axis: Axes, x: float, y: float, text: str, color: str = INK, **how: Any) -> None:
    """Text at a fraction of the panel's width and height."""
    axis.text(x, y, text, color=color, transform=axis.transAxes, **how)


def overfitting() -> Figure:
    run = history_of(trained(STUDIES["overfitting"].configs[""].replace(epochs=80)))
    drawn, (axis,) = figure(top=0.92)
    epochs = np.arange(len(run))
    axis.fill_between(epochs, run[:, 2], run[:, 3], color=BLUE, alpha=0.15, linewidth=0)
    axis.plot(epochs, run[:, 2], "--", color=VERMILION)
    axis.plot(epochs, run[:, 3], color=BLUE)
    corner(axis, 0.97, 0.8, "train: memorised", VERMILION, ha="right")
    corner(axis, 0.97, 0.08, "test", BLUE, ha="right")
    axis.set_ylim(0.4, 1.05)
    return drawn


def with_and_without() -> Figure:
    drawn, axes = figure(2)
    configs = STUDIES["with-and-without"].configs
    for axis, (name, title) in zip(axes, {"without": "without", "with": "with dropout"}.items(), strict=True):
        seeds = [history_of(trained(configs[name].replace(seed=seed, split_seed=seed))) for seed in range(4)]
        run = np.mean(seeds, axis=0)
        epochs = np.arange(len(run))
        axis.fill_between(epochs, run[:, 2], run[:, 3], color=GREEN, alpha=0.25, linewidth=0)
        axis.plot(epochs, run[:, 2], "--", color=VERMILION)
        axis.plot(epochs, run[:, 3], color=BLUE)
        axis.set_title(title, fontsize=10)
        axis.set_ylim(0.5, 1.03)
        corner(axis, 0.95, 0.08, f"gap {run[-1, 2] - run[-1, 3]:.2f}", ha="right")
    return drawn


def rates() -> Figure:
    found = kept_numbers("rates")
    test = np.mean(found["test accuracy"], axis=0)
    drawn, (axis,) = figure(bottom=0.2, top=0.9)
    axis.plot(found["p"], test, "o-", color=BLUE)
    best = int(np.argmax(test))
    axis.plot(found["p"][best], test[best], "o", markersize=13, markerfacecolor="none", color=VERMILION)
    axis.set_xticks([0, 0.3, 0.5, 0.7, 0.9], ["p = 0", "0.3", "0.5", "0.7", "0.9"])
    axis.tick_params(length=0)
    corner(axis, 0.04, 0.08, "test accuracy", BLUE)
    axis.annotate(
        "best", (found["p"][best], test[best]), (0, -26), textcoords="offset points", ha="center", color=VERMILION
    )
    axis.margins(0.06, 0.14)
    return drawn


def scaling() -> Figure:
    means = kept_numbers("scaling")["means"]
    drawn, (axis,) = figure(bottom=0.2, top=0.97)
    bins = np.linspace(0.8, 2.4, 65)
    for name, color in (("classic", VERMILION), ("inverted", BLUE)):
        axis.hist(means[name], bins, color=color, alpha=0.8)
    axis.text(1.1, 150, "standard", color=VERMILION)
    axis.text(1.98, 112, "inverted", color=BLUE, ha="right")
    truth = float(np.mean(means["inverted"]))
    axis.axvline(truth, color=INK, linewidth=1, linestyle=":")
    axis.set_xticks([truth / 2, truth], ["half the mean", "input's mean"])
    axis.tick_params(length=0)
    axis.set_ylim(0, 225)
    return drawn


def sub_networks() -> Figure:
    drawn, axes = figure(2, left=0.03, right=0.97, bottom=0.04, top=0.87, wspace=0.08)
    rng = np.random.default_rng(3)
    sizes = (*subnetworks._UNITS, 2)
    edges = [rng.normal(size=(after, before)) for before, after in itertools.pairwise(sizes)]
    for axis, number in zip(axes, (1, 2), strict=True):
        subnetworks._network(axis, edges, subnetworks._masks(Stream(100 + number)))
        axis.set_title(f"batch {number}", fontsize=10)
    return drawn


def spatial() -> Figure:
    drawn, axes = figure(3, bottom=0.05, top=0.84)
    config = STUDIES["spatial"].configs["none"].replace(epochs=20)
    done = trained(config)
    done.network.eval()
    maps = done.data.x_test[3:4]
    for layer in done.network.blocks[0].layers:
        maps = layer(maps)
    lit = np.argsort(-maps[0].mean(axis=(1, 2)))[:6]
    kinds = {
        "standard": lambda x: F.dropout(x, 0.3, rng=2),
        "spatial": lambda x: F.spatial_dropout(x, 0.4, rng=10),
        "DropBlock": lambda x: F.dropblock(x, 0.3, 3, rng=5),
    }
    for axis, (name, drop) in zip(axes, kinds.items(), strict=True):
        kept = drop(np.ones((1, 6, 8, 8), np.float32))[0][0] != 0
        shown = np.full((26, 17, 3), matplotlib.colors.to_rgb(GROUND))
        for place, number in enumerate(lit):
            row, column = 9 * (place // 2), 9 * (place % 2)
            values = maps[0, number] / maps[0, number].max()
            colors = matplotlib.colormaps["viridis"](values)[..., :3]
            colors[~kept[place]] = matplotlib.colors.to_rgb(DROPPED)
            shown[row : row + 8, column : column + 8] = colors
        axis.imshow(shown, interpolation="nearest")
        axis.axis("off")
        axis.set_title(name, fontsize=10)
    return drawn


def dropconnect() -> Figure:
    drawn, axes = figure(3, bottom=0.05, top=0.84)
    done = trained(STUDIES["dropconnect"].configs["none"].replace(epochs=20))
    weights = done.weights()["0.weight"][:18, 20:32]
    units = F.dropout(np.ones(18, np.float32), 0.5, rng=4)[0] != 0
    masks = {
        "none": np.ones((18, 12), bool),
        "dropout": np.broadcast_to(units[:, None], (18, 12)),
        "DropConnect": F.dropout(np.ones((18, 12), np.float32), 0.5, rng=0)[0] != 0,
    }
    for axis, (name, kept) in zip(axes, masks.items(), strict=True):
        colors = SIGNS(0.5 + weights / (2 * np.abs(weights).max()))[..., :3]
        colors[~kept] = matplotlib.colors.to_rgb(DROPPED)
        axis.imshow(colors, interpolation="nearest")
        axis.set_title(name, fontsize=10)
        axis.axis("off")
    return drawn


def forgetting_eval() -> Figure:
    found = kept_numbers("forgetting-eval")["0.5"]
    calls = np.array(found["calls"][0])
    drawn, (axis,) = figure(top=0.95)
    axis.plot(calls, "o", color=VERMILION, markersize=3.5, markeredgewidth=0)
    axis.axhline(found["evaluated"][0], color=BLUE)
    top = found["evaluated"][0]
    axis.text(0, top + 0.003, "model.eval()", color=BLUE)
    axis.text(0, calls.min() - 0.008, "dropout left on, call after call", color=VERMILION)
    axis.set_ylim(calls.min() - 0.012, top + 0.012)
    return drawn


def batch_norm() -> Figure:
    drawn, (axis,) = figure(bottom=0.2)
    axis.set_title("variance in training / in evaluation", fontsize=9)
    configs = STUDIES["batch-norm"].configs
    for place, (name, color) in enumerate((("one-before", VERMILION), ("one-after", BLUE))):
        seeds = [configs[name].replace(seed=seed, split_seed=seed, epochs=30) for seed in range(4)]
        ratio = np.mean([normalization.shift_of(config).ratios for config in seeds], axis=0)
        axis.bar(np.arange(3) + 0.36 * place, ratio, 0.34, color=color, hatch="//" if place else "", edgecolor=GROUND)
        axis.text(-0.2, 1.98 - 0.18 * place, f"dropout {name[4:]}", color=color)
    axis.axhline(1, color=INK, linestyle=":", linewidth=1)
    axis.set_ylim(0.7, 2.15)
    axis.set_xticks(np.arange(3) + 0.18, ["batch norm 1", "2", "3"])
    axis.tick_params(length=0)
    return drawn


def weights() -> Figure:
    drawn, (axis, beside) = figure(2, bottom=0.2, width_ratios=(3, 2))
    spreads = kept_numbers("weights")
    bins = np.linspace(-0.9, 0.9, 46)
    middles = (bins[1:] + bins[:-1]) / 2
    for place, (name, color, style) in enumerate((("without", VERMILION, "--"), ("with", BLUE, "-"))):
        config = STUDIES["weights"].configs[name]
        found = [
            training_curves.weights_of(config.replace(seed=seed, split_seed=seed)).weights.ravel() for seed in range(8)
        ]
        axis.plot(middles, np.histogram(np.concatenate(found), bins)[0], style, color=color)
        spread = spreads["dropout 0.5" if place else "without dropout"]["standard deviation"]
        offsets = np.linspace(-0.2, 0.2, len(spread))
        beside.plot(place + offsets, spread, "os"[place], color=color, markersize=4, markeredgewidth=0)
    axis.set_title("the weights", fontsize=10)
    axis.set_xticks([-0.5, 0, 0.5], ["−0.5", "0", "0.5"])
    beside.set_title("their spread", fontsize=10)
    beside.set_xticks([0, 1], ["without", "with"])
    beside.margins(0.25, 0.12)
    for panel in (axis, beside):
        panel.tick_params(length=0)
    return drawn


def monte_carlo() -> Figure:
    drawn, (axis,) = figure(left=0, right=1, bottom=0, top=1)
    plane = uncertainty.plane_of(STUDIES["monte-carlo"].configs["moons"])
    axis.imshow(
        plane.information,
        extent=(-6, 6, -6, 6),
        origin="lower",
        cmap="viridis",
        interpolation="bilinear",
        aspect="auto",
    )
    for kind, (color, mark) in enumerate((("#56b4e9", "."), ("#e69f00", "x"))):
        axis.plot(*plane.points[plane.labels == kind][::2].T, mark, color=color, markersize=3, markeredgewidth=0.8)
    axis.set_xlim(-6, 6)
    axis.set_ylim(-3.75, 3.75)
    axis.axis("off")
    corner(axis, 0.04, 0.88, "bright: uncertain", "white")
    return drawn


def sequences() -> Figure:
    drawn, axes = figure(3, bottom=0.05, top=0.84, left=0.04, right=0.97, wspace=0.1)
    configs = STUDIES["sequences"].configs
    done = trained(configs["attention-dropout"].replace(epochs=15))
    done.network.eval()(done.data.x_test[:1])
    attention = next(part for part in done.network.modules() if isinstance(part, nn.MultiHeadAttention))
    axes[0].imshow(attention._weights[0, 0], cmap="viridis", interpolation="nearest", aspect="auto")
    axes[0].set_title("attention", fontsize=10)
    done = trained(configs["lstm-dropout"].replace(epochs=8))
    done.network.eval()
    states = done.data.x_test[:1]
    for layer in done.network.blocks[0].layers[:2]:
        states = layer(states)
    axes[1].imshow(states[0].T[:16], cmap=SIGNS, vmin=-1, vmax=1, interpolation="nearest", aspect="auto")
    axes[1].set_title("LSTM", fontsize=10)
    dataset = configs["text-dropout"].load_dataset()
    words = [dataset.words[int(number)] for number in dataset.x_train[0]]
    kept = F.dropout(np.ones(len(words), np.float32), 0.3, rng=2)[0] != 0
    for place, (word, there) in enumerate(zip(words[:7], kept, strict=False)):
        axes[2].text(0.08, 0.9 - place * 0.14, word, color=INK if there else "#8a8a8a", fontsize=9, va="center")
        if not there:
            width = 0.115 * len(word)
            axes[2].plot([0.06, 0.08 + width], [0.9 - place * 0.14] * 2, color=VERMILION, linewidth=1.5)
    axes[2].set_xlim(0, 1)
    axes[2].set_ylim(0, 1)
    axes[2].set_title("text", fontsize=10)
    for axis in axes:
        axis.axis("off")
    return drawn


def ensemble() -> Figure:
    found = kept_numbers("ensemble")
    drawn, (axis,) = figure(bottom=0.2, top=0.92)
    averaged = np.mean(found["averaged"], axis=0)[:, 0]
    axis.plot(found["sub-networks"], averaged, "o-", color=BLUE, markersize=5)
    scaled = float(np.mean(found["weight scaling"], axis=0)[0])
    axis.axhline(scaled, color=VERMILION, linestyle="--")
    axis.set_xscale("log")
    axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.set_xticks([1, 10, 100], ["1", "10", "100"])
    axis.tick_params(length=0)
    axis.text(1, scaled + 0.002, "one pass, all units", color=VERMILION)
    corner(axis, 0.36, 0.4, "average of sub-networks", BLUE)
    axis.margins(0.06, 0.16)
    return drawn


DRAWN: dict[str, Callable[[], Figure]] = {
    "overfitting": overfitting,
    "with-and-without": with_and_without,
    "rates": rates,
    "scaling": scaling,
    "sub-networks": sub_networks,
    "spatial": spatial,
    "dropconnect": dropconnect,
    "forgetting-eval": forgetting_eval,
    "batch-norm": batch_norm,
    "weights": weights,
    "monte-carlo": monte_carlo,
    "sequences": sequences,
    "ensemble": ensemble,
}


def save(name: str) -> int:
    """Draw a picture and write it with few colours; returns its size in bytes."""
    buffer = io.BytesIO()
    DRAWN[name]().savefig(buffer, format="png", dpi=DPI, facecolor=GROUND)
    image = Image.open(buffer).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    path = FOLDER / f"{name}.png"
    image.save(path, optimize=True)
    return path.stat().st_size


def main() -> None:
    assert DRAWN.keys() == STUDIES.keys(), "every study has a picture"
    FOLDER.mkdir(exist_ok=True)
    matplotlib.rcParams.update(_STYLE)
    for name in sys.argv[1:] or DRAWN:
        with one_blas_thread():
            print(f"{name}: {save(name):,} bytes")


if __name__ == "__main__":
    main()
