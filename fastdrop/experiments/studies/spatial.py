"""Study 6: how well kept neighbours predict a dropped element, and accuracy with convolutions."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import fastdrop.functional as F
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.datasets import load_dataset
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.histories import TEST_ACCURACY
from fastdrop.experiments.studies.drawing import COLORS, band, dots, label, panels
from fastdrop.experiments.studies.runner import StudyRunner
from fastdrop.experiments.studies.study import ACCURACY, Finding, Study, all_of, judged, numbers
from fastdrop.stream import Stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_P = 0.2
_MEMORIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)
"""Correlation of neighbours in the sequences."""
_CONFIG = ExperimentConfig(
    dataset="digits", train_fraction=0.2, network="cnn", hidden=(16, 32, 64), rate=_P, epochs=80, dropout="none"
)
_KINDS = ("none", "standard", "spatial", "dropblock")
_VARIANTS = {kind: _CONFIG.replace(dropout=kind) for kind in _KINDS}


def _drop(kind: str, x: NDArray[Any], stream: Stream) -> NDArray[np.bool_]:
    """The kept elements of maps (batch, channels, ...)."""
    ones = np.ones(x.shape, np.float32)
    if kind == "spatial":
        return F.spatial_dropout(ones, _P, rng=stream)[0] != 0
    if kind == "dropblock":
        return F.dropblock(ones, _P, 3, rng=stream)[0] != 0
    return F.dropout(ones, _P, rng=stream)[0] != 0


def explained_variance(x: NDArray[np.float64], kept: NDArray[np.bool_], axes: tuple[int, ...]) -> float:
    """The fraction of dropped elements' variance that kept neighbours explain: r², with their mean as the prediction.

    Without a kept neighbour, the prediction is the mean of all elements.
    """
    sums, counts = np.zeros(x.shape), np.zeros(x.shape)
    for axis in axes:
        for shift in (-1, 1):
            neighbour = np.roll(x * kept, shift, axis)
            is_kept = np.roll(kept, shift, axis).astype(float)
            edge = [slice(None)] * x.ndim
            edge[axis] = slice(0, 1) if shift == 1 else slice(-1, None)
            neighbour[tuple(edge)], is_kept[tuple(edge)] = 0, 0
            sums, counts = sums + neighbour, counts + is_kept
    predicted = np.where(counts > 0, sums / np.maximum(counts, 1), x.mean())[~kept]
    truth = x[~kept]
    if predicted.std() < 1e-9 or truth.std() < 1e-9:
        return 0.0
    predicted, truth = predicted - predicted.mean(), truth - truth.mean()
    # With NumPy's sums; np.corrcoef calls BLAS, and this figure must be the same on every machine.
    return float((predicted * truth).mean() ** 2 / ((predicted**2).mean() * (truth**2).mean()))


def _sequences(memory: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Autoregressive sequences (batch, channels, steps) of variance 1."""
    noise = rng.standard_normal((64, 8, 128))
    x = np.empty_like(noise)
    x[..., 0] = noise[..., 0]
    for step in range(1, 128):
        x[..., step] = memory * x[..., step - 1] + np.sqrt(1 - memory**2) * noise[..., step]
    return x


def explained_variances(seed: int) -> NDArray[np.float64]:
    """For every kind (rows): in sequences of each memory, last in digits. The seed decides sequences and masks."""
    rng, stream = np.random.default_rng(seed), Stream(seed)
    sequences = [_sequences(memory, rng) for memory in _MEMORIES]
    images = load_dataset("digits", seed=seed).x_train.reshape(-1, 1, 8, 8).astype(float)
    return np.array(
        [
            [
                *(explained_variance(x, _drop(kind, x, stream), (2,)) for x in sequences),
                explained_variance(images, _drop(kind, images, stream), (2, 3)),
            ]
            for kind in _KINDS[1:]
        ]
    )


def spatial(runner: StudyRunner) -> Finding:
    """Study 6."""
    kinds = _KINDS[1:]
    seeds = runner.seeds(12)
    explained = np.array(runner.map(explained_variances, seeds))
    curves = {kind: explained[:, place, :-1] for place, kind in enumerate(kinds)}
    pixels = {kind: explained[:, place, -1] for place, kind in enumerate(kinds)}
    accuracy = runner.train_variants(_VARIANTS, seeds)[:, :, -1, TEST_ACCURACY]
    gains = {kind: Estimate.of(accuracy[place] - accuracy[0]) for place, kind in enumerate(_KINDS)}
    over_standard = {
        kind: Estimate.of(accuracy[_KINDS.index(kind)] - accuracy[_KINDS.index("standard")])
        for kind in ("spatial", "dropblock")
    }

    strongest = {kind: Estimate.of(values[:, -1]) for kind, values in curves.items()}
    images = {kind: Estimate.of(values) for kind, values in pixels.items()}
    return Finding(
        parts={
            "neighbours predict what standard dropout drops": all_of(
                [judged(strongest["standard"], 0.8), judged(images["standard"], 0.2)]
            ),
            "neighbours predict nothing of a dropped map": all_of(
                [judged(group["spatial"], high=0.02) for group in (strongest, images)]
            ),
            "standard helps convolutions less": all_of([judged(gain, ACCURACY) for gain in over_standard.values()]),
        },
        sentence=f"Kept neighbours explain {strongest['standard']:.1%} of a dropped element's variance in sequences "
        f"with a correlation of 0.98 and {images['standard']:.1%} in digits under standard dropout, "
        f"{strongest['spatial']:.1%} and {images['spatial']:.1%} under spatial dropout. Test accuracy vs. none: "
        + "; ".join(f"{kind} {gains[kind].interval('+.4f')}" for kind in kinds)
        + "; vs. standard: "
        + "; ".join(f"{kind} {gain.interval('+.4f')}" for kind, gain in over_standard.items())
        + ".",
        columns=["", "explained variance, sequences 0.9", "digits", "test accuracy", "vs. none"],
        rows=[
            [
                kind,
                "" if kind == "none" else f"{Estimate.of(curves[kind][:, _MEMORIES.index(0.9)])}",
                "" if kind == "none" else f"{images[kind]}",
                f"{Estimate.of(accuracy[place])}",
                "" if kind == "none" else gains[kind].interval("+.4f"),
            ]
            for place, kind in enumerate(_KINDS)
        ],
        figure=_picture(curves, pixels, accuracy),
        data={"test accuracy": {kind: numbers(accuracy[place]) for place, kind in enumerate(_KINDS)}},
        exact={
            "correlation": list(_MEMORIES),
            "explained variance in sequences": {kind: numbers(values) for kind, values in curves.items()},
            "explained variance in digits": {kind: numbers(values) for kind, values in pixels.items()},
        },
    )


def _picture(
    curves: dict[str, NDArray[np.float64]], pixels: dict[str, NDArray[np.float64]], accuracy: NDArray[np.float64]
) -> "Figure":
    """Explained variance in sequences and in digits, and the accuracies."""
    kinds = list(curves)
    figure, axes = panels("Standard dropout, spatial dropout and DropBlock", 3)
    for kind, color in zip(kinds, COLORS, strict=False):
        band(axes[0, 0], _MEMORIES, curves[kind], kind, color, mark="o")
    label(
        axes[0, 0],
        "correlation of neighbours",
        "explained variance",
        f"sequences, p = {_P}: predicted by kept neighbours",
    )
    axes[0, 0].legend(fontsize=8)
    dots(axes[0, 1], list(pixels.values()), kinds)
    label(axes[0, 1], "", "explained variance", "predicted by neighbours: digits, every seed")
    dots(axes[0, 2], list(accuracy), _KINDS, ("grey", *COLORS))  # each kind as in the other panels
    label(axes[0, 2], "", "test accuracy", "convolutional network, every seed")
    return figure


STUDIES = [
    Study(
        "spatial",
        "Standard, spatial, DropBlock",
        "In a feature map, kept neighbours predict what standard dropout drops; of a dropped map they predict nothing. "
        "On convolutions standard dropout helps less than blocks or whole maps.",
        f"Autoregressive sequences and digits, p = {_P}: how much of a dropped element's variance the mean of its kept "
        "neighbours explains, 12 seeds for sequences, split and masks. Then a network of two convolutions on digits, "
        "359 to train on, dropout after each, 80 epochs, 12 seeds.",
        _VARIANTS,
        spatial,
        100,
    )
]
