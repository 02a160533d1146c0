"""Study 9: dropout before and after batch normalisation."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.histories import TEST_ACCURACY, history_of, trained
from fastdrop.experiments.studies.drawing import COLORS, band, dots, label, panels
from fastdrop.experiments.studies.runner import StudyRunner
from fastdrop.experiments.studies.study import ACCURACY, Finding, Study, judged, numbers

_CONFIG = ExperimentConfig(
    dataset="digits", train_fraction=0.3, hidden=(128, 128, 128), batch_norm=True, rate=0.5, epochs=60
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
"""One dropout after the first or the last of equal layers. The plain two have no batch normalisation."""


class Shift(NamedTuple):
    """The history, and for each batch normalisation its running variance by that in evaluation (mean over units)."""

    history: NDArray[np.float64]
    ratios: tuple[float, ...]


def shift_of(config: ExperimentConfig) -> Shift:
    """Train; then compare the running variance of batch normalisation with the variance in evaluation mode."""
    done = trained(config)
    x, ratios = done.dataset.x_train, []
    done.network.eval()
    for layer in done.network.layers:
        if isinstance(layer, nn.BatchNorm):
            met = x.var(axis=0)
            lit = met > 1e-6
            ratios.append(float((layer.running_var[lit] / met[lit]).mean()))
        x = layer(x)
    return Shift(history_of(done), tuple(ratios))


class Gains(NamedTuple):
    """Gain in test accuracy, seed by seed, when the dropout moves from the first layer to the last."""

    normalised: Estimate
    plain: Estimate
    difference: Estimate
    """The first minus the second: the effect of batch normalisation."""

    @classmethod
    def of(cls, accuracy: Mapping[str, NDArray[np.float64]]) -> "Gains":
        normalised = accuracy["one after"] - accuracy["one before"]
        plain = accuracy["last, plain"] - accuracy["first, plain"]
        return cls(Estimate.of(normalised), Estimate.of(plain), Estimate.of(normalised - plain))


def batch_norm(runner: StudyRunner) -> Finding:
    """Study 9."""
    seeds = runner.seeds(16)
    groups = runner.map_variants(shift_of, _VARIANTS, seeds)
    runs = {name: np.stack([one.history for one in group]) for name, group in groups.items()}
    ratios = {name: np.array([one.ratios for one in group]) for name, group in groups.items() if group[0].ratios}
    accuracy = {name: run[:, -1, TEST_ACCURACY] for name, run in runs.items()}
    gains = Gains.of(accuracy)
    shifts, calms = (ratios[name][:, 1:].mean(axis=1) for name in ("one before", "one after"))
    shift, calm = Estimate.of(shifts), Estimate.of(calms)
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
            "a shifted variance": judged(Estimate.of(shifts - calms), 0.01),
            "accuracy lost": judged(gains.normalised, ACCURACY),
        },
        sentence=f"After one dropout, batch normalisation learns {shift.mean:.2f} times the variance that it has "
        f"in evaluation ({calm.mean:.2f} where the dropout comes after it). Moving this dropout from the first layer "
        f"to the last changes test accuracy by {gains.normalised.interval('+.4f')}; without batch normalisation by "
        f"{gains.plain.interval('+.4f')}; the difference is {gains.difference.interval('+.4f')}.",
        columns=["", "variance ratio, 2nd", "variance ratio, 3rd", "test accuracy"],
        rows=[
            [
                name,
                *(f"{Estimate.of(ratios[name][:, place])}" if name in ratios else "" for place in (1, 2)),
                f"{Estimate.of(values)}",
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
        "three; and the same two places without batch normalisation, since the position alone has an effect.",
        {name.replace(",", "").replace(" ", "-"): config for name, config in _VARIANTS.items()},
        batch_norm,
        42,
    )
]
