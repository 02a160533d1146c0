"""Studies 1, 2, 3 and 10: training curves and weights."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.histories import TEST_ACCURACY, TEST_LOSS, TRAIN_ACCURACY, TRAIN_LOSS, trained
from fastdrop.experiments.studies.drawing import COLORS, band, dots, label, panels
from fastdrop.experiments.studies.runner import StudyRunner
from fastdrop.experiments.studies.study import ACCURACY, Finding, Study, judged, numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OVERFIT = ExperimentConfig(dataset="noisy-labels", hidden=(128, 128), dropout="none", epochs=200)


def overfitting(runner: StudyRunner) -> Finding:
    """Study 1."""
    seeds = runner.seeds(10)
    runs = runner.train([_OVERFIT.replace(seed=seed, split_seed=seed) for seed in seeds])
    train, test = (Estimate.of(runs[:, -1, column]) for column in (TRAIN_ACCURACY, TEST_ACCURACY))
    best = Estimate.of(runs[:, :, TEST_LOSS].min(axis=1))
    last = Estimate.of(runs[:, -1, TEST_LOSS])
    figure, axes = panels("Memorising 100 points with wrong labels", 2)
    epochs = np.arange(runs.shape[1])
    for axis, quantity, columns in (
        (axes[0, 0], "accuracy", (TRAIN_ACCURACY, TEST_ACCURACY)),
        (axes[0, 1], "cross-entropy loss", (TRAIN_LOSS, TEST_LOSS)),
    ):
        for name, column, color in zip(("train", "test"), columns, COLORS, strict=False):
            band(axis, epochs, runs[:, :, column], name, color)
        label(axis, "epoch", quantity)
        axis.legend()
    axes[0, 0].axhline(0.8, color="grey", linestyle=":")
    axes[0, 0].text(len(epochs) - 1, 0.805, "correct labels", ha="right", fontsize=8, color="grey")
    gap = Estimate.of(runs[:, -1, TRAIN_ACCURACY] - runs[:, -1, TEST_ACCURACY])
    return Finding(
        parts={"train accuracy to 1": judged(train, 0.995), "test accuracy stays behind": judged(gap, 0.1)},
        sentence=f"Train accuracy ends at {train}, test accuracy at {test}; the test loss is lowest at {best:.2f} and "
        f"ends at {last:.2f}.",
        columns=["", "train", "test", "gap"],
        rows=[
            ["accuracy", f"{train}", f"{test}", f"{gap}"],
            [
                "loss",
                f"{Estimate.of(runs[:, -1, TRAIN_LOSS])}",
                f"{last}",
                f"{Estimate.of(runs[:, -1, TEST_LOSS] - runs[:, -1, TRAIN_LOSS])}",
            ],
        ],
        figure=figure,
        data={"train accuracy": numbers(runs[:, -1, 2]), "test accuracy": numbers(runs[:, -1, 3])},
        exact={"seeds": list(seeds)},
    )


_LINEAR = ExperimentConfig(dataset="noisy-linear", hidden=(100,), rate=0.5, epochs=200)
PUBLISHED = {"without dropout": (0.972, 0.840), "dropout 0.5": (0.948, 0.870)}
"""Train and test accuracy as published for this task, from one seed."""


def with_and_without(runner: StudyRunner) -> Finding:
    """Study 2."""
    seeds = runner.seeds(20)
    variants = {"without dropout": _LINEAR.replace(dropout="none"), "dropout 0.5": _LINEAR}
    runs = runner.train_variants(variants, seeds)
    gaps = runs[:, :, -1, TRAIN_ACCURACY] - runs[:, :, -1, TEST_ACCURACY]
    narrower = Estimate.of(gaps[0] - gaps[1])
    better = Estimate.of(runs[1, :, -1, TEST_ACCURACY] - runs[0, :, -1, TEST_ACCURACY])
    figure, axes = panels("A noisy linear task, with and without dropout", 3)
    epochs = np.arange(runs.shape[2])
    for place, (name, color) in enumerate(zip(variants, COLORS, strict=False)):
        band(axes[0, 0], epochs, runs[place, :, :, TRAIN_ACCURACY], f"{name}: train", color, "--")
        band(axes[0, 0], epochs, runs[place, :, :, TEST_ACCURACY], f"{name}: test", color)
        band(axes[0, 1], epochs, runs[place, :, :, TEST_LOSS], name, color)
    label(axes[0, 0], "epoch", "accuracy")
    label(axes[0, 1], "epoch", "cross-entropy loss (test)")
    axes[0, 0].legend(fontsize=8)
    axes[0, 1].legend(fontsize=8)
    dots(axes[0, 2], list(gaps), list(variants))
    label(axes[0, 2], "", "train minus test accuracy", "every seed")
    rows = []
    for place, name in enumerate(variants):
        cells = [Estimate.of(runs[place, :, -1, column]) for column in (TRAIN_ACCURACY, TEST_ACCURACY)]
        published = PUBLISHED[name]
        rows.append(
            [
                name,
                f"{cells[0]}",
                f"{cells[1]}",
                f"{Estimate.of(gaps[place])}",
                f"{published[0]} / {published[1]}",
            ]
        )
    helped = (
        "better" if better.is_positive else "worse" if better.is_negative else "no different within two standard errors"
    )
    return Finding(
        parts={"a narrower gap": judged(narrower, ACCURACY)},
        sentence=f"Over {len(seeds)} seeds dropout narrows the gap by {narrower.interval()}; test accuracy changes by "
        f"{better.interval()}: {helped}. The published 0.030 is one seed's; seeds differ by {better.std:.3f}.",
        columns=["", "train accuracy", "test accuracy", "gap", "published, one seed"],
        rows=rows,
        figure=figure,
        data={
            "train accuracy": dict(zip(variants, numbers(runs[:, :, -1, TRAIN_ACCURACY]), strict=True)),
            "test accuracy": dict(zip(variants, numbers(runs[:, :, -1, TEST_ACCURACY]), strict=True)),
        },
        exact={"seeds": list(seeds)},
    )


_RATES = tuple(round(0.1 * step, 1) for step in range(10))
_RATE = ExperimentConfig(dataset="noisy-linear", hidden=(128, 64), epochs=60)


def rates(runner: StudyRunner) -> Finding:
    """Study 3. Half of the seeds choose the best rate, the others judge it: else the best of ten would be biased."""
    seeds = runner.seeds(30)
    runs = runner.train_variants({rate: _RATE.replace(rate=rate) for rate in _RATES}, seeds)
    train, test = runs[:, :, -1, TRAIN_ACCURACY], runs[:, :, -1, TEST_ACCURACY]
    half = len(seeds) // 2
    best = int(test[:, :half].mean(axis=1).argmax())
    gain = Estimate.of(test[best, half:] - test[0, half:])
    end = Estimate.of(test[best, half:] - test[-1, half:])
    figure = _rates_picture(runs, best)
    rows = [
        [
            f"{rate}",
            f"{Estimate.of(train[place])}",
            f"{Estimate.of(test[place])}",
            f"{Estimate.of(train[place] - test[place])}",
        ]
        for place, rate in enumerate(_RATES)
    ]
    return Finding(
        parts={"higher than without": judged(gain, ACCURACY), "higher than at p = 0.9": judged(end, ACCURACY)},
        sentence=f"By half of {len(seeds)} seeds the best rate is p = {_RATES[best]}; by the others its test "
        "accuracy is "
        f"{gain.interval()} above that of p = 0 and {end.interval()} above that of p = 0.9.",
        columns=["p", "train accuracy", "test accuracy", "gap"],
        rows=rows,
        figure=figure,
        data={"train accuracy": numbers(train.T), "test accuracy": numbers(test.T)},
        exact={"p": list(_RATES)},
    )


def _rates_picture(runs: NDArray[np.float64], best: int) -> "Figure":
    """Training curves of five rates, and the results of all rates; `runs` is (rates, seeds, epochs + 1, 4)."""
    figure, axes = panels("The rate of dropout, from 0 to 0.9", 2, 2, (5.6, 3.4))
    epochs = np.arange(runs.shape[2])
    for axis, quantity, columns in (
        (axes[0, 0], "cross-entropy loss", (TRAIN_LOSS, TEST_LOSS)),
        (axes[0, 1], "accuracy", (TRAIN_ACCURACY, TEST_ACCURACY)),
    ):
        for rate, color in zip((0.0, 0.3, 0.5, 0.7, 0.9), COLORS, strict=False):
            train, test = (runs[_RATES.index(rate), :, :, column] for column in columns)
            axis.plot(epochs, train.mean(axis=0), "--", color=color, linewidth=1)
            band(axis, epochs, test, f"p = {rate}", color)
        label(axis, "epoch", quantity, "training (dashed) and test (solid)")
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, title="the curves above", fontsize=8, title_fontsize=8, ncols=5, loc="outside lower center")
    train, test = runs[:, :, -1, TRAIN_ACCURACY], runs[:, :, -1, TEST_ACCURACY]
    band(axes[1, 0], _RATES, train.T, "train", COLORS[0], "--", mark="o")
    band(axes[1, 0], _RATES, test.T, "test", COLORS[1], mark="o")
    axes[1, 0].axvline(_RATES[best], color="grey", linestyle=":")
    label(axes[1, 0], "p", "accuracy at the end", f"best by half of the seeds: p = {_RATES[best]}")
    axes[1, 0].legend(loc="lower left", fontsize=8)
    band(axes[1, 1], _RATES, (train - test).T, "gap", COLORS[2], mark="o")
    label(axes[1, 1], "p", "train minus test accuracy", "generalisation gap")
    return figure


_WEIGHTS = ExperimentConfig(dataset="digits", train_fraction=0.3, hidden=(128, 64), epochs=60)


_FEWEST = 10
"""The fewest weights of all seeds in a bin that is drawn; a logarithmic axis exaggerates fewer."""


class Weights(NamedTuple):
    """The first layer's weights after training, and the fraction of the first hidden layer's units that are active."""

    weights: NDArray[np.float32]
    lit: float


def weights_of(config: ExperimentConfig) -> Weights:
    """Train, then look at the weights."""
    done = trained(config)
    done.network.eval()
    hidden = done.dataset.x_test
    for layer in done.network.blocks[0].layers:
        hidden = layer(hidden)
    return Weights(done.weights()["0.weight"], float((hidden > 0).mean()))


def weights(runner: StudyRunner) -> Finding:
    """Study 10."""
    seeds = runner.seeds(8)
    variants = {"without dropout": _WEIGHTS.replace(dropout="none"), "dropout 0.5": _WEIGHTS}
    groups = runner.map_variants(weights_of, variants, seeds)
    without, with_dropout = groups.values()

    def measured(group: list[Weights]) -> dict[str, NDArray[np.float64]]:
        flat = np.array([one.weights.ravel() for one in group], float)
        centred = flat - flat.mean(axis=1, keepdims=True)
        return {
            "standard deviation": flat.std(axis=1),
            "excess kurtosis": (centred**4).mean(axis=1) / (centred**2).mean(axis=1) ** 2 - 3,
            "share below 0.01": (np.abs(flat) < 0.01).mean(axis=1),
            "units lit": np.array([one.lit for one in group]),
        }

    first, second = measured(without), measured(with_dropout)
    change = Estimate.of(second["standard deviation"] - first["standard deviation"])
    kurtosis = Estimate.of(second["excess kurtosis"] - first["excess kurtosis"])
    figure, axes = panels("Weights of the first layer", 2)
    bins = np.linspace(-0.8, 0.8, 65)
    middle = (bins[1:] + bins[:-1]) / 2
    for (name, group), color, style in zip(groups.items(), COLORS, ("--", "-"), strict=False):
        densities = np.array([np.histogram(one.weights, bins, density=True)[0] for one in group])
        together = np.histogram([one.weights for one in group], bins)[0]
        band(axes[0, 0], middle, densities, name, color, style)
        shown = np.where(together >= _FEWEST, densities.mean(axis=0), np.nan)
        axes[0, 1].plot(middle, shown, style, color=color)
    axes[0, 1].set_yscale("log")
    label(axes[0, 0], "weight", "density")
    label(axes[0, 1], "weight", "density", f"logarithmic: the tails, down to {_FEWEST} weights")
    axes[0, 0].set_xlim(-0.8, 1.1)  # room for the legend
    axes[0, 0].set_xticks([-0.5, 0.0, 0.5])
    axes[0, 0].legend(loc="upper right", fontsize=8)
    rows = [[name, f"{Estimate.of(first[name]):.4f}", f"{Estimate.of(second[name]):.4f}"] for name in first]
    return Finding(
        parts={"smaller weights": judged(change, high=0)},
        sentence=f"With dropout the weights' standard deviation changes by {change.interval('+.4f')}, their excess "
        f"kurtosis by {kurtosis.interval('+.2f')}.",
        columns=["first layer", *variants],
        rows=rows,
        figure=figure,
        data={
            name: {key: numbers(value) for key, value in each.items()}
            for name, each in zip(variants, (first, second), strict=True)
        },
    )


STUDIES = [
    Study(
        "overfitting",
        "Overfitting",
        "A network with enough units memorises 100 points, wrong labels included: train accuracy goes to 1, test "
        "accuracy stays behind.",
        "100 points, 10 features, one label in five wrong; two hidden layers of 128 units, no dropout; 10 seeds, which "
        "also decide the data.",
        {"": _OVERFIT},
        overfitting,
        5,
    ),
    Study(
        "with-and-without",
        "With and without dropout",
        "Dropout narrows the gap between train and test accuracy.",
        "A noisy linear task: 500 points to train, 100 to test, 20 features of which 5 matter; 100 hidden units, "
        "p = 0.5, 200 epochs; 20 seeds, which also decide the data.",
        {"with": _LINEAR, "without": _LINEAR.replace(dropout="none")},
        with_and_without,
        11,
    ),
    Study(
        "rates",
        "The rate, from 0 to 0.9",
        "The best rate is strictly between: test accuracy is higher there than without dropout and than at p = 0.9.",
        "The noisy linear task, which 128 + 64 hidden units can memorise; ten rates, 30 seeds, which also decide the "
        "data; half of the seeds choose the rate, the others judge it.",
        {"p-0.0": _RATE.replace(rate=0.0), "p-0.5": _RATE},
        rates,
        75,
    ),
    Study(
        "weights",
        "Weight distributions",
        "Dropout keeps weights smaller.",
        "Digits, 539 to train on; 128 + 64 hidden units, 60 epochs, 8 seeds.",
        {"with": _WEIGHTS, "without": _WEIGHTS.replace(dropout="none")},
        weights,
        3,
    ),
]
