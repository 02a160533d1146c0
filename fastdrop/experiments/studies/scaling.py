"""Studies 4 and 8: why outputs are scaled, and forgetting evaluation mode."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastdrop.functional as F
from fastdrop import nn
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.histories import trained
from fastdrop.experiments.studies.drawing import COLORS, dots, label, panels
from fastdrop.experiments.studies.runner import StudyRunner
from fastdrop.experiments.studies.study import ACCURACY, Finding, Study, all_of, counted, judged, numbers
from fastdrop.stream import Stream

_P = 0.5
_CONFIG = ExperimentConfig(dataset="digits", hidden=(256, 128), rate=_P, epochs=30)


class _Scaled(nn.Module):
    """Multiplies by a factor: classic scaling's forgotten factor, or its factor applied to inverted scaling."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        return x * x.dtype.type(self.factor)


class Mismatch(NamedTuple):
    """Test accuracy and loss with hidden activations as trained, too large by 1 / (1 - p), too small by 1 - p."""

    accuracy: tuple[float, ...]
    loss: tuple[float, ...]


_FACTORS = {"right": 1.0, "1 / (1 - p) forgotten at training": 1 / (1 - _P), "1 - p applied to inverted": 1 - _P}


def mismatch_of(config: ExperimentConfig) -> Mismatch:
    """Train with the right scale; then multiply the outputs of the hidden layers by each factor."""
    done = trained(config)
    data, layers = done.dataset, [block.layers for block in done.network.blocks]
    accuracies, losses = [], []
    for factor in _FACTORS.values():
        parts = [layer for block in layers for layer in (*block, _Scaled(factor))]
        logits = nn.Sequential(*parts, done.network.head).eval()(data.x_test)
        accuracies.append(nn.accuracy(logits, data.y_test))
        losses.append(nn.softmax_cross_entropy(logits, data.y_test)[0])
    return Mismatch(tuple(accuracies), tuple(losses))


def scaling(runner: StudyRunner) -> Finding:
    """Study 4."""
    draws = 1000
    x = np.random.default_rng(0).gamma(2.0, 1.0, 1000).astype(np.float32)  # positive, as behind a rectifier
    stream = Stream(0)
    means = {
        scaling: np.array([F.dropout(x, _P, rng=stream, scaling=scaling)[0].mean() for _ in range(draws)])
        for scaling in ("inverted", "classic")
    }
    truth = float(x.mean())
    classic_inference = float(F.dropout(x, _P, rng=stream, training=False, scaling="classic")[0].mean())
    inverted, classic = (Estimate.of(means[name]) for name in ("inverted", "classic"))
    seeds = runner.seeds(5)
    found = runner.map(mismatch_of, [runner.shorten(_CONFIG.replace(seed=seed)) for seed in seeds])
    accuracy, loss = np.array([one.accuracy for one in found]), np.array([one.loss for one in found])

    figure, axes = panels("Where the scale goes", 2)
    bins = np.linspace(0.4 * truth, 1.15 * truth, 76)
    for name, color in zip(means, COLORS, strict=False):
        axes[0, 0].hist(means[name], bins, color=color, alpha=0.7, label=f"{name} scaling, training")
    axes[0, 0].axvline(truth, color="black", linewidth=1, label="input's mean")
    axes[0, 0].axvline(classic_inference, color="black", linewidth=1, linestyle=":", label="classic, inference")
    label(axes[0, 0], "mean of the output", "draws", f"{draws} masks, p = {_P}")
    axes[0, 0].legend(fontsize=8)
    dots(axes[0, 1], list(loss.T), ["right", "twice as large", "half as large"])
    axes[0, 1].set_yscale("log")
    label(axes[0, 1], "", "cross-entropy loss (test)", "hidden activations at inference")
    rows = [
        ["mean, inverted in training", f"{inverted:.4f}", f"input {truth:.4f}"],
        ["mean, classic in training", f"{classic:.4f}", f"(1 - p) times input {truth * (1 - _P):.4f}"],
        ["mean, classic at inference", f"{classic_inference:.4f}", f"(1 - p) times input {truth * (1 - _P):.4f}"],
    ]
    rows += [
        [f"digits, {name}", f"test accuracy {Estimate.of(accuracy[:, place])}", f"loss {Estimate.of(loss[:, place])}"]
        for place, name in enumerate(_FACTORS)
    ]
    kept, moved = (Estimate.of(means[name] / truth) for name in ("inverted", "classic"))
    inference = classic_inference / truth
    worse = Estimate.of(loss[:, 1] - loss[:, 0])
    return Finding(
        parts={
            "inverted scaling keeps the mean": judged(kept, 0.99, 1.01),
            "classic scaling moves it to inference": all_of(
                [
                    judged(moved, 0.99 * (1 - _P), 1.01 * (1 - _P)),
                    counted(abs(inference - (1 - _P)) < 1e-5, f"{inference:.4f} at inference against {1 - _P}"),
                ]
            ),
        },
        sentence=f"Over {draws} masks the mean is {inverted.mean / truth:.4f} of the input's with inverted scaling, "
        f"{classic.mean / truth:.4f} with classic, whose inference scales to {classic_inference / truth:.4f}. A "
        "network "
        f"that meets activations twice as large as in training loses {worse.interval()} of cross-entropy loss.",
        columns=["", "found", "expected, or beside it"],
        rows=rows,
        figure=figure,
        data={"loss": numbers(loss), "accuracy": numbers(accuracy)},
        exact={"means": {name: numbers(values) for name, values in means.items()}},
    )


_FORGET = ExperimentConfig(dataset="digits", train_fraction=0.5, hidden=(256, 128), rate=0.5, epochs=30)
_CALLS = 100
_FORGOTTEN_RATES = (0.2, 0.5, 0.8)


class Forgotten(NamedTuple):
    """Accuracy in evaluation mode, accuracies of calls with dropout on, and how often a prediction is the usual one."""

    evaluated: float
    calls: NDArray[np.float64]
    agreement: float


def forgotten_of(config: ExperimentConfig) -> Forgotten:
    """Train, then predict the test set again and again with dropout on."""
    done = trained(config)
    data, network = done.dataset, done.network
    evaluated = nn.accuracy(network.eval()(data.x_test), data.y_test)
    network.train()
    predictions = np.array([network.forward(data.x_test).argmax(axis=1) for _ in range(_CALLS)])
    usual = np.array([np.bincount(column).argmax() for column in predictions.T])
    return Forgotten(evaluated, (predictions == data.y_test).mean(axis=1), float((predictions == usual).mean()))


def forgetting(runner: StudyRunner) -> Finding:
    """Study 8."""
    seeds = runner.seeds(5)
    variants = {rate: _FORGET.replace(rate=rate) for rate in _FORGOTTEN_RATES}
    groups = list(runner.map_variants(forgotten_of, variants, seeds, new_data=False).values())
    lost = [Estimate.of([one.evaluated - one.calls.mean() for one in group]) for group in groups]
    figure, axes = panels("Evaluation mode forgotten", 2)
    for rate, group, color in zip(_FORGOTTEN_RATES, groups, COLORS, strict=False):
        first = group[0]
        name = f"p = {rate}, evaluated: {first.evaluated:.3f}"
        axes[0, 0].plot(first.calls - first.evaluated, ".", color=color, markersize=4, label=name)
        axes[0, 1].hist(np.concatenate([one.calls for one in group]), 40, color=color, alpha=0.7, label=f"p = {rate}")
    axes[0, 0].axhline(0.0, color="black", linewidth=1, linestyle=":")
    label(axes[0, 0], "call, dropout on", "accuracy less that in evaluation mode", "the same examples, call after call")
    label(axes[0, 1], "test accuracy of a call", "calls", f"{len(seeds)} seeds, {_CALLS} calls each")
    for axis in axes[0]:
        axis.legend(fontsize=8)
    rows = [
        [
            f"{rate}",
            f"{Estimate.of([one.evaluated for one in group])}",
            f"{Estimate.of([one.calls.mean() for one in group])}",
            f"{loss.interval()}",
            f"{Estimate.of([one.calls.std() for one in group]):.4f}",
            f"{Estimate.of([one.agreement for one in group])}",
        ]
        for rate, group, loss in zip(_FORGOTTEN_RATES, groups, lost, strict=True)
    ]
    middle = _FORGOTTEN_RATES.index(0.5)
    return Finding(
        parts={
            "predictions change": all_of(
                [judged(Estimate.of([one.agreement for one in group]), high=1) for group in groups]
            ),
            "accuracy is lost": all_of([judged(loss, ACCURACY) for loss in lost]),
        },
        sentence=f"With dropout left on at p = 0.5, test accuracy falls by {lost[middle].interval()}, and only "
        f"{Estimate.of([one.agreement for one in groups[middle]]).mean:.1%} of the predictions are the ones that the "
        "example gets most often.",
        columns=["p", "evaluation mode", "dropout on", "lost", "deviation of calls", "usual prediction"],
        rows=rows,
        figure=figure,
        data={
            str(rate): {
                "evaluated": numbers([one.evaluated for one in group]),
                "calls": numbers([one.calls for one in group]),
                "agreement": numbers([one.agreement for one in group]),
            }
            for rate, group in zip(_FORGOTTEN_RATES, groups, strict=True)
        },
    )


STUDIES = [
    Study(
        "scaling",
        "Inverted and classic scaling",
        "Inverted scaling keeps the mean in training; classic scaling lets it fall to 1 - p, and moves the factor to "
        "inference.",
        "1,000 masks over 1,000 positive numbers, p = 0.5; then digits, 256 + 128 hidden units, 5 seeds, with the "
        "hidden activations scaled wrongly at inference.",
        {"": _CONFIG},
        scaling,
        3,
    ),
    Study(
        "forgetting-eval",
        "Forgetting evaluation mode",
        "With dropout left on, predictions change from call to call, and accuracy is lost.",
        "Digits, half of them to train on; 256 + 128 hidden units, 5 seeds; the test set predicted 100 times.",
        {"": _FORGET},
        forgetting,
        4,
    ),
]
