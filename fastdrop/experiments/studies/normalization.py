"""Study 9: dropout before and after batch normalisation."""

from typing import NamedTuple

import numpy as np

from fastdrop import nn
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.studies.drawing import COLORS, band, dots, label, panels
from fastdrop.experiments.studies.study import Finding, Spread, Study, numbers
from fastdrop.experiments.studies.work import TEST_ACCURACY, Work, history, trained

_CONFIG = ExperimentConfig(
    dataset="digits", train_share=0.3, hidden=(256, 128, 64), batch_norm=True, rate=0.5, epochs=60
)
_VARIANTS = {
    "no dropout": _CONFIG.replace(dropout="none"),
    "dropout before": _CONFIG,
    "dropout after": _CONFIG.replace(dropout_layers="last"),
}


class Shift(NamedTuple):
    """The history, and for each batch normalisation its gathered variance over evaluation's (the mean over units)."""

    history: np.ndarray
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


def batch_norm(work: Work) -> Finding:
    """Study 9."""
    seeds = work.seeds(16)
    configs = [config.replace(seed=seed, data_seed=seed) for config in _VARIANTS.values() for seed in seeds]
    found = work.map(shift_of, [work.shorten(config) for config in configs])
    groups = {name: found[place * len(seeds) : (place + 1) * len(seeds)] for place, name in enumerate(_VARIANTS)}
    runs = {name: np.stack([one.history for one in group]) for name, group in groups.items()}
    ratios = {name: np.array([one.ratios for one in group]) for name, group in groups.items()}
    accuracy = {name: run[:, -1, TEST_ACCURACY] for name, run in runs.items()}
    gained = Spread.of(accuracy["dropout after"] - accuracy["dropout before"])
    shift = Spread.of(ratios["dropout before"][:, 1:].mean(axis=1))
    calm = Spread.of(ratios["dropout after"][:, 1:].mean(axis=1))
    figure, axes = panels("Dropout before and after batch normalisation", 3)
    for (name, ratio), color in zip(ratios.items(), COLORS, strict=False):
        band(axes[0, 0], np.arange(1, ratio.shape[1] + 1), ratio, name, color, mark="o")
        band(axes[0, 1], np.arange(runs[name].shape[1]), runs[name][:, :, TEST_ACCURACY], name, color)
    axes[0, 0].set_xticks([1, 2, 3])
    axes[0, 1].set_ylim(0.85, 1.0)
    axes[0, 0].axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    label(axes[0, 0], "batch normalisation", "variance gathered / met in evaluation", "the variance shift")
    label(axes[0, 1], "epoch", "test accuracy")
    dots(axes[0, 2], list(accuracy.values()), list(accuracy))
    label(axes[0, 2], "", "test accuracy", "every seed")
    axes[0, 0].legend(fontsize=8)
    axes[0, 1].legend(fontsize=8)
    return Finding(
        shown={
            "a shifted variance": shift.mean - 2 * shift.error > calm.mean + 2 * calm.error,
            "accuracy lost": gained.positive,
        },
        sentence=f"Behind dropout, batch normalisation gathers {shift.mean:.2f} times the variance that it meets in "
        f"evaluation ({calm.mean:.2f} where dropout comes after it); putting dropout after it changes test accuracy by "
        f"{gained.interval()}.",
        columns=["", "variance ratio, 2nd", "variance ratio, 3rd", "test accuracy"],
        rows=[
            [name, f"{Spread.of(ratio[:, 1])}", f"{Spread.of(ratio[:, 2])}", f"{Spread.of(accuracy[name])}"]
            for name, ratio in ratios.items()
        ],
        figure=figure,
        data={
            name: {"variance ratios": numbers(ratio), "test accuracy": numbers(accuracy[name])}
            for name, ratio in ratios.items()
        },
    )


STUDIES = [
    Study(
        "batch-norm",
        "Dropout and batch normalisation",
        "Dropout before batch normalisation shifts the variance between training and evaluation, and costs accuracy "
        "that "
        "dropout after it does not.",
        "Digits, 539 to train on; 256 + 128 + 64 hidden units with batch normalisation, p = 0.5 everywhere or behind "
        "the "
        "last one only, 16 seeds.",
        {name.replace(" ", "-"): config for name, config in _VARIANTS.items()},
        batch_norm,
        40,
    )
]
