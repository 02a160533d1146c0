"""Studies 1, 2, 3 and 10: what the training curves, and the weights, do."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.spread import Spread
from fastdrop.experiments.studies.drawing import COLORS, band, dots, label, panels
from fastdrop.experiments.studies.study import ACCURACY, Finding, Study, judged, numbers
from fastdrop.experiments.work import TEST_ACCURACY, TEST_LOSS, TRAIN_ACCURACY, TRAIN_LOSS, Work, trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OVERFIT = ExperimentConfig(dataset="noisy-labels", hidden=(128, 128), dropout="none", epochs=200)


def overfitting(work: Work) -> Finding:
    """Study 1."""
    seeds = work.seeds(10)
    runs = work.train([_OVERFIT.replace(seed=seed, data_seed=seed) for seed in seeds])
    train, test = (Spread.of(runs[:, -1, column]) for column in (TRAIN_ACCURACY, TEST_ACCURACY))
    best = Spread.of(runs[:, :, TEST_LOSS].min(axis=1))
    last = Spread.of(runs[:, -1, TEST_LOSS])
    figure, axes = panels("100 points with wrong labels, learned by heart", 2)
    epochs = np.arange(runs.shape[1])
    for axis, quantity, columns in (
        (axes[0, 0], "accuracy", (TRAIN_ACCURACY, TEST_ACCURACY)),
        (axes[0, 1], "loss in nats", (TRAIN_LOSS, TEST_LOSS)),
    ):
        for name, column, color in zip(("train", "test"), columns, COLORS, strict=False):
            band(axis, epochs, runs[:, :, column], name, color)
        label(axis, "epoch", quantity)
        axis.legend()
    axes[0, 0].axhline(0.8, color="grey", linestyle=":")
    axes[0, 0].text(len(epochs) - 1, 0.805, "labels that are right", ha="right", fontsize=8, color="grey")
    gap = Spread.of(runs[:, -1, TRAIN_ACCURACY] - runs[:, -1, TEST_ACCURACY])
    return Finding(
        parts={"train accuracy to 1": judged(train, 0.995), "test accuracy stays behind": judged(gap, 0.1)},
        sentence=f"Train accuracy ends at {train}, test accuracy at {test}; the test loss is lowest at {best:.2f} and "
        f"ends at {last:.2f}.",
        columns=["", "train", "test", "gap"],
        rows=[
            ["accuracy", f"{train}", f"{test}", f"{gap}"],
            [
                "loss",
                f"{Spread.of(runs[:, -1, TRAIN_LOSS])}",
                f"{last}",
                f"{Spread.of(runs[:, -1, TEST_LOSS] - runs[:, -1, TRAIN_LOSS])}",
            ],
        ],
        figure=figure,
        data={"train accuracy": numbers(runs[:, -1, 2]), "test accuracy": numbers(runs[:, -1, 3])},
        exact={"seeds": list(seeds)},
    )


_LINEAR = ExperimentConfig(dataset="noisy-linear", hidden=(100,), rate=0.5, epochs=200)
PUBLISHED = {"without dropout": (0.972, 0.840), "dropout 0.5": (0.948, 0.870)}
"""Train and test accuracy as published for this task, from one seed."""


def with_and_without(work: Work) -> Finding:
    """Study 2."""
    seeds = work.seeds(20)
    variants = {"without dropout": _LINEAR.replace(dropout="none"), "dropout 0.5": _LINEAR}
    runs = work.train([config.replace(seed=seed, data_seed=seed) for config in variants.values() for seed in seeds])
    runs = runs.reshape(2, len(seeds), *runs.shape[1:])
    gaps = runs[:, :, -1, TRAIN_ACCURACY] - runs[:, :, -1, TEST_ACCURACY]
    narrower = Spread.of(gaps[0] - gaps[1])
    better = Spread.of(runs[1, :, -1, TEST_ACCURACY] - runs[0, :, -1, TEST_ACCURACY])
    figure, axes = panels("A noisy linear task, with and without dropout", 3)
    epochs = np.arange(runs.shape[2])
    for place, (name, color) in enumerate(zip(variants, COLORS, strict=False)):
        band(axes[0, 0], epochs, runs[place, :, :, TRAIN_ACCURACY], f"{name}: train", color, "--")
        band(axes[0, 0], epochs, runs[place, :, :, TEST_ACCURACY], f"{name}: test", color)
        band(axes[0, 1], epochs, runs[place, :, :, TEST_LOSS], name, color)
    label(axes[0, 0], "epoch", "accuracy")
    label(axes[0, 1], "epoch", "test loss in nats")
    axes[0, 0].legend(fontsize=8)
    axes[0, 1].legend(fontsize=8)
    dots(axes[0, 2], list(gaps), list(variants))
    label(axes[0, 2], "", "train less test accuracy", "every seed")
    rows = []
    for place, name in enumerate(variants):
        cells = [Spread.of(runs[place, :, -1, column]) for column in (TRAIN_ACCURACY, TEST_ACCURACY)]
        published = PUBLISHED[name]
        rows.append(
            [
                name,
                f"{cells[0]}",
                f"{cells[1]}",
                f"{Spread.of(gaps[place])}",
                f"{published[0]} / {published[1]}",
            ]
        )
    helped = "better" if better.positive else "worse" if better.negative else "no different within two standard errors"
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


def rates(work: Work) -> Finding:
    """Study 3. Half of the seeds choose the best rate, the others judge it: the best of ten flatters itself."""
    seeds = work.seeds(30)
    configs = [_RATE.replace(rate=rate, seed=seed, data_seed=seed) for rate in _RATES for seed in seeds]
    runs = work.train(configs)
    runs = runs.reshape(len(_RATES), len(seeds), *runs.shape[1:])
    train, test = runs[:, :, -1, TRAIN_ACCURACY], runs[:, :, -1, TEST_ACCURACY]
    half = len(seeds) // 2
    best = int(test[:, :half].mean(axis=1).argmax())
    gain = Spread.of(test[best, half:] - test[0, half:])
    end = Spread.of(test[best, half:] - test[-1, half:])
    figure = _rates_picture(runs, best)
    rows = [
        [
            f"{rate}",
            f"{Spread.of(train[place])}",
            f"{Spread.of(test[place])}",
            f"{Spread.of(train[place] - test[place])}",
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
    """Training curves of five rates, and what all rates end at; `runs` is (rates, seeds, epochs + 1, 4)."""
    figure, axes = panels("The rate of dropout, from 0 to 0.9", 2, 2, (5.6, 3.4))
    epochs = np.arange(runs.shape[2])
    for axis, quantity, columns in (
        (axes[0, 0], "loss in nats", (TRAIN_LOSS, TEST_LOSS)),
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
    label(axes[1, 1], "p", "train less test accuracy", "generalisation gap")
    return figure


_WEIGHTS = ExperimentConfig(dataset="digits", train_share=0.3, hidden=(128, 64), epochs=60)


_FEWEST = 10
"""Weights of all seeds in a bin; fewer are not drawn, since the logarithm makes much of them."""


class Weights(NamedTuple):
    """The first layer's weights after training, and how many of the first hidden layer's units are lit."""

    weights: NDArray[np.float32]
    lit: float


def weights_of(config: ExperimentConfig) -> Weights:
    """Train, then look."""
    done = trained(config)
    done.network.eval()
    hidden = done.dataset.x_test
    for layer in done.network.blocks[0].layers:
        hidden = layer(hidden)
    return Weights(done.weights()["0.weight"], float((hidden > 0).mean()))


def weights(work: Work) -> Finding:
    """Study 10."""
    seeds = work.seeds(8)
    variants = {"without dropout": _WEIGHTS.replace(dropout="none"), "dropout 0.5": _WEIGHTS}
    found = work.map(
        weights_of,
        [work.shorten(config.replace(seed=seed, data_seed=seed)) for config in variants.values() for seed in seeds],
    )
    groups = {name: found[place * len(seeds) : (place + 1) * len(seeds)] for place, name in enumerate(variants)}
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
    change = Spread.of(second["standard deviation"] - first["standard deviation"])
    kurtosis = Spread.of(second["excess kurtosis"] - first["excess kurtosis"])
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
    rows = [[name, f"{Spread.of(first[name]):.4f}", f"{Spread.of(second[name]):.4f}"] for name in first]
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
        "A network with enough units learns 100 points by heart, wrong labels included: train accuracy goes to 1, test "
        "accuracy stays behind.",
        "100 points, 10 features, one label in five wrong; two hidden layers of 128 units, no dropout; 10 seeds, each "
        "with data of its own.",
        {"": _OVERFIT},
        overfitting,
        5,
    ),
    Study(
        "with-and-without",
        "With and without dropout",
        "Dropout narrows the gap between train and test accuracy.",
        "A noisy linear task: 500 points to train, 100 to test, 20 features of which 5 matter; 100 hidden units, "
        "p = 0.5, 200 epochs; 20 seeds, each with data of its own.",
        {"with": _LINEAR, "without": _LINEAR.replace(dropout="none")},
        with_and_without,
        11,
    ),
    Study(
        "rates",
        "The rate, from 0 to 0.9",
        "The best rate lies strictly between: test accuracy is higher there than without dropout and than at p = 0.9.",
        "The noisy linear task, which 128 + 64 hidden units can learn by heart; ten rates, 30 seeds, each with data of "
        "its own; half of them choose the rate, the others judge it.",
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
