"""Study 9: dropout before and after batch normalisation."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.spread import Spread
from fastdrop.experiments.studies.drawing import COLORS, band, dots, label, panels
from fastdrop.experiments.studies.study import ACCURACY, Finding, Study, judged, numbers
from fastdrop.experiments.work import TEST_ACCURACY, Work, history, trained

_CONFIG = ExperimentConfig(
    dataset="digits", train_share=0.3, hidden=(128, 128, 128), batch_norm=True, rate=0.5, epochs=60
)
_PLAIN = _CONFIG.replace(batch_norm=False)
_VARIANTS = {
    "no dropout": _CONFIG.replace(dropout="none"),
    "one before": _CONFIG.replace(dropout_layers="first"),
    "one after": _CONFIG.replace(dropout_layers="last"),
    "all three": _CONFIG,
    "first, plain": _PLAIN.replace(dropout_layers="first"),
    "last, plain": _PLAIN.replace(dropout_layers="last"),
}
"""One dropout at either end of equal layers: only the position differs. The plain two have no batch normalisation."""


class Shift(NamedTuple):
    """The history, and for each batch normalisation its gathered variance over evaluation's (the mean over units)."""

    history: NDArray[np.float64]
    ratios: tuple[float, ...]


def shift_of(config: ExperimentConfig) -> Shift:
    """Train; then compare what batch normalisation gathered with what it meets in evaluation mode."""
    done = trained(config)
    x, ratios = done.dataset.x_train, []
    done.network.eval()
    for layer in done.network.layers:
        if isinstance(layer, nn.BatchNorm):
            met = x.var(axis=0)
            lit = met > 1e-6
            ratios.append(float((layer.running_var[lit] / met[lit]).mean()))
        x = layer(x)
    return Shift(history(done), tuple(ratios))


class Gains(NamedTuple):
    """Test accuracy gained, seed by seed, where the one dropout moves from the first layer to the last."""

    normalised: Spread
    plain: Spread
    difference: Spread
    """The first less the second: what batch normalisation has to do with it."""

    @classmethod
    def of(cls, accuracy: Mapping[str, NDArray[np.float64]]) -> "Gains":
        normalised = accuracy["one after"] - accuracy["one before"]
        plain = accuracy["last, plain"] - accuracy["first, plain"]
        return cls(Spread.of(normalised), Spread.of(plain), Spread.of(normalised - plain))


def batch_norm(work: Work) -> Finding:
    """Study 9."""
    seeds = work.seeds(16)
    configs = [config.replace(seed=seed, data_seed=seed) for config in _VARIANTS.values() for seed in seeds]
    found = work.map(shift_of, [work.shorten(config) for config in configs])
    groups = {name: found[place * len(seeds) : (place + 1) * len(seeds)] for place, name in enumerate(_VARIANTS)}
    runs = {name: np.stack([one.history for one in group]) for name, group in groups.items()}
    ratios = {name: np.array([one.ratios for one in group]) for name, group in groups.items() if group[0].ratios}
    accuracy = {name: run[:, -1, TEST_ACCURACY] for name, run in runs.items()}
    gains = Gains.of(accuracy)
    shifts, calms = (ratios[name][:, 1:].mean(axis=1) for name in ("one before", "one after"))
    shift, calm = Spread.of(shifts), Spread.of(calms)
    figure, axes = panels("Dropout before and after batch normalisation", 3)
    for (name, ratio), color in zip(ratios.items(), COLORS, strict=False):
        band(axes[0, 0], np.arange(1, ratio.shape[1] + 1), ratio, name, color, mark="o")
        band(axes[0, 1], np.arange(runs[name].shape[1]), runs[name][:, :, TEST_ACCURACY], name, color)
    axes[0, 0].set_xticks([1, 2, 3])
    axes[0, 1].set_ylim(0.85, 1.0)
    axes[0, 0].axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    label(axes[0, 0], "batch normalisation", "variance gathered / met in evaluation", "the variance shift")
    label(axes[0, 1], "epoch", "test accuracy")
    names = [name.replace(" ", "\n", 1) for name in accuracy]
    dots(axes[0, 2], list(accuracy.values()), names)
    label(axes[0, 2], "", "test accuracy", "every seed")
    axes[0, 0].legend(fontsize=8)
    axes[0, 1].legend(fontsize=8)
    return Finding(
        parts={
            "a shifted variance": judged(Spread.of(shifts - calms), 0.01),
            "accuracy lost": judged(gains.normalised, ACCURACY),
        },
        sentence=f"Behind one dropout, batch normalisation gathers {shift.mean:.2f} times the variance that it meets "
        f"in evaluation ({calm.mean:.2f} where the dropout comes after it). Moving this dropout from the first layer "
        f"to the last changes test accuracy by {gains.normalised.interval('+.4f')}; without batch normalisation by "
        f"{gains.plain.interval('+.4f')}; the difference is {gains.difference.interval('+.4f')}.",
        columns=["", "variance ratio, 2nd", "variance ratio, 3rd", "test accuracy"],
        rows=[
            [
                name,
                *(f"{Spread.of(ratios[name][:, place])}" if name in ratios else "" for place in (1, 2)),
                f"{Spread.of(values)}",
            ]
            for name, values in accuracy.items()
        ],
        figure=figure,
        data={
            "variance ratios": {name: numbers(ratio) for name, ratio in ratios.items()},
            "test accuracy": {name: numbers(values) for name, values in accuracy.items()},
        },
    )


STUDIES = [
    Study(
        "batch-norm",
        "Dropout and batch normalisation",
        "Dropout before batch normalisation shifts the variance between training and evaluation, and costs accuracy "
        "that as much dropout after it does not.",
        "Digits, 539 to train on; 128 + 128 + 128 hidden units with batch normalisation, 16 seeds: one dropout of "
        "p = 0.5, behind the first layer (before two batch normalisations) or behind the last (after all of them); all "
        "three; and the same two places without batch normalisation, since a place has an effect of its own.",
        {name.replace(",", "").replace(" ", "-"): config for name, config in _VARIANTS.items()},
        batch_norm,
        42,
    )
]
