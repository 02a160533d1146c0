"""Study 6: what a neighbour still tells, and accuracy with convolutions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastdrop.functional as F
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.datasets import load_dataset
from fastdrop.experiments.studies.drawing import COLORS, dots, label, panels
from fastdrop.experiments.studies.study import Finding, Spread, Study, numbers
from fastdrop.experiments.studies.work import TEST_ACCURACY, Work
from fastdrop.stream import Stream

_P = 0.2
_MEMORIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)
"""Correlation of neighbours in the sequences."""
_CONFIG = ExperimentConfig(
    dataset="digits", train_share=0.2, network="cnn", hidden=(16, 32, 64), rate=_P, epochs=80, dropout="none"
)
_KINDS = ("none", "standard", "spatial", "dropblock")


def _drop(kind: str, x: NDArray[Any], stream: Stream) -> NDArray[np.bool_]:
    """What is kept of maps (batch, channels, ...) of ones."""
    ones = np.ones(x.shape, np.float32)
    if kind == "spatial":
        return F.spatial_dropout(ones, _P, rng=stream)[0] != 0
    if kind == "dropblock":
        return F.dropblock(ones, _P, 3, rng=stream)[0] != 0
    return F.dropout(ones, _P, rng=stream)[0] != 0


def told(x: NDArray[np.float64], kept: NDArray[np.bool_], axes: tuple[int, ...]) -> float:
    """How much of dropped elements their kept neighbours tell: the squared correlation with these neighbours' mean.

    0 where nothing is told, 1 where everything is; where no neighbour is kept, the guess is the mean of all.
    """
    sums, counts = np.zeros(x.shape), np.zeros(x.shape)
    for axis in axes:
        for shift in (-1, 1):
            near = np.roll(x * kept, shift, axis)
            there = np.roll(kept, shift, axis).astype(float)
            edge = [slice(None)] * x.ndim
            edge[axis] = slice(0, 1) if shift == 1 else slice(-1, None)
            near[tuple(edge)], there[tuple(edge)] = 0, 0
            sums, counts = sums + near, counts + there
    guess = np.where(counts > 0, sums / np.maximum(counts, 1), x.mean())[~kept]
    truth = x[~kept]
    if guess.std() < 1e-9 or truth.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(guess, truth)[0, 1] ** 2)


def _sequences(memory: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Autoregressive sequences (batch, channels, steps) of variance 1."""
    noise = rng.standard_normal((64, 8, 128))
    x = np.empty_like(noise)
    x[..., 0] = noise[..., 0]
    for step in range(1, 128):
        x[..., step] = memory * x[..., step - 1] + np.sqrt(1 - memory**2) * noise[..., step]
    return x


def spatial(work: Work) -> Finding:
    """Study 6."""
    rng, stream = np.random.default_rng(0), Stream(0)
    kinds = _KINDS[1:]
    sequences = [_sequences(memory, rng) for memory in _MEMORIES]
    curves = {kind: [told(x, _drop(kind, x, stream), (2,)) for x in sequences] for kind in kinds}
    images = load_dataset("digits").x_train.reshape(-1, 1, 8, 8).astype(float)
    pixels = {kind: told(images, _drop(kind, images, stream), (2, 3)) for kind in kinds}
    seeds = work.seeds(16)
    configs = [_CONFIG.replace(dropout=kind, seed=seed, data_seed=seed) for kind in _KINDS for seed in seeds]
    runs = work.train(configs)
    accuracy = runs[:, -1, TEST_ACCURACY].reshape(len(_KINDS), len(seeds))
    gains = {kind: Spread.of(accuracy[place] - accuracy[0]) for place, kind in enumerate(_KINDS)}
    over_standard = {
        kind: Spread.of(accuracy[_KINDS.index(kind)] - accuracy[_KINDS.index("standard")])
        for kind in ("spatial", "dropblock")
    }

    figure, axes = panels("Standard dropout, spatial dropout and DropBlock", 3)
    for kind, color in zip(kinds, COLORS, strict=False):
        axes[0, 0].plot(_MEMORIES, curves[kind], "o-", color=color, label=kind)
    label(axes[0, 0], "correlation of neighbours", "told by kept neighbours", f"sequences, p = {_P}: share of variance")
    axes[0, 0].legend(fontsize=8)
    axes[0, 1].bar(range(3), [pixels[kind] for kind in kinds], color=COLORS[:3])
    axes[0, 1].set_xticks(range(3), kinds)
    label(axes[0, 1], "", "told by kept neighbours", "pixels of digits")
    dots(axes[0, 2], list(accuracy), _KINDS)
    label(axes[0, 2], "", "test accuracy", "convolutional network, every seed")
    hidden = all(curves["spatial"][place] < 0.02 for place in range(len(_MEMORIES))) and pixels["spatial"] < 0.02
    tells = curves["standard"][-1] > 0.8 and pixels["standard"] > 0.2
    return Finding(
        shown={
            "neighbours tell what standard dropout hides": tells,
            "and not a whole map": hidden,
            "standard helps convolutions less": all(gain.positive for gain in over_standard.values()),
        },
        sentence=f"Of a dropped element, kept neighbours tell {curves['standard'][-1]:.0%} of the variance in "
        "sequences "
        f"with a correlation of 0.98 and {pixels['standard']:.0%} in digits under standard dropout, "
        f"{pixels['spatial']:.0%} under spatial dropout. Test accuracy against none: "
        + "; ".join(f"{kind} {gains[kind].interval('+.4f')}" for kind in kinds)
        + "; against standard: "
        + "; ".join(f"{kind} {gain.interval('+.4f')}" for kind, gain in over_standard.items())
        + ".",
        columns=["", "told, sequences 0.9", "told, digits", "test accuracy", "against none"],
        rows=[
            [
                kind,
                "" if kind == "none" else f"{curves[kind][_MEMORIES.index(0.9)]:.3f}",
                "" if kind == "none" else f"{pixels[kind]:.3f}",
                f"{Spread.of(accuracy[place])}",
                "" if kind == "none" else gains[kind].interval("+.4f"),
            ]
            for place, kind in enumerate(_KINDS)
        ],
        figure=figure,
        data={
            "correlation": list(_MEMORIES),
            "told in sequences": {kind: numbers(values) for kind, values in curves.items()},
            "told in digits": pixels,
            "test accuracy": {kind: numbers(accuracy[place]) for place, kind in enumerate(_KINDS)},
        },
    )


STUDIES = [
    Study(
        "spatial",
        "Standard, spatial, DropBlock",
        "What standard dropout hides in a feature map, its neighbours still tell; dropping the whole map hides it. On "
        "convolutions standard dropout helps less than blocks or whole maps.",
        f"Autoregressive sequences and digits, p = {_P}: how much of a dropped element's variance its kept neighbours' "
        "mean tells. Then a network of two convolutions on digits, 359 to train on, dropout behind each, 80 epochs, "
        "16 seeds.",
        {kind: _CONFIG.replace(dropout=kind) for kind in _KINDS},
        spatial,
        85,
    )
]
