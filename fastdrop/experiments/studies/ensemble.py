"""Study 13: weight scaling against the average of sampled sub-networks."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.histories import trained
from fastdrop.experiments.studies.drawing import COLORS, band, label, panels
from fastdrop.experiments.studies.runner import StudyRunner
from fastdrop.experiments.studies.study import ACCURACY, Finding, Study, judged, numbers

_CONFIG = ExperimentConfig(dataset="digits", train_fraction=0.3, hidden=(256, 128), rate=0.5, epochs=60)
_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)
_ALIKE = 0.01
"""Accuracies that differ by less count as equal."""


class Scores(NamedTuple):
    """Test accuracy and loss: of weight scaling, and of averages over growing numbers of sub-networks."""

    scaled: tuple[float, float]
    averaged: NDArray[np.float64]


def running_means(predict: Callable[[], NDArray[Any]], counts: Sequence[int]) -> Iterator[NDArray[Any]]:
    """The means of the first predictions, for each of the ascending `counts`."""
    total: Any = 0.0
    for number in range(1, counts[-1] + 1):
        total = total + predict()
        if number in counts:
            yield total / number


def scores_of(config: ExperimentConfig) -> Scores:
    """Train; then average the probabilities of more and more sub-networks."""
    done = trained(config)
    data, network = done.dataset, done.network
    network.eval()
    for dropper in network.droppers:
        dropper.training = True
    averaged, rows = [], np.arange(len(data.y_test))
    for mean in running_means(lambda: nn.softmax(network.forward(data.x_test).astype(np.float64)), _COUNTS):
        right = float((mean.argmax(axis=1) == data.y_test).mean())
        averaged.append((right, float(-np.log(mean[rows, data.y_test]).mean())))
    return Scores((done.history[-1].test_accuracy, done.history[-1].test_loss), np.array(averaged))


def where_reached(means: Sequence[float], scaled: float) -> str:
    """The numbers of sub-networks for which the average is at least as accurate as weight scaling, in words."""
    reached = [count for count, mean in zip(_COUNTS, means, strict=True) if mean >= scaled]
    if not reached:
        return f"is below weight scaling's at every number up to {_COUNTS[-1]}"
    if reached == list(_COUNTS[-len(reached) :]):
        return f"reaches weight scaling's from {reached[0]} on"
    return f"reaches weight scaling's at {', '.join(map(str, reached))}, and is below it at the other numbers"


def ensemble(runner: StudyRunner) -> Finding:
    """Study 13."""
    seeds = runner.seeds(10)
    found = runner.map(scores_of, [runner.shorten(_CONFIG.replace(seed=seed, split_seed=seed)) for seed in seeds])
    scaled, averaged = np.array([one.scaled for one in found]), np.stack([one.averaged for one in found])
    figure, axes = panels("Weight scaling, and averages of sub-networks", 2)
    for axis, column, quantity in ((axes[0, 0], 0, "test accuracy"), (axes[0, 1], 1, "cross-entropy loss (test)")):
        band(axis, _COUNTS, averaged[:, :, column], "average of sub-networks", COLORS[0], mark="o")
        constant = np.repeat(scaled[:, column : column + 1], len(_COUNTS), axis=1)
        band(axis, _COUNTS, constant, "weight scaling, one pass", COLORS[1], "--")
        axis.set_xscale("log")
        axis.legend(fontsize=8)
        label(axis, "sub-networks", quantity)
    single = Estimate.of(scaled[:, 0] - averaged[:, 0, 0])
    many = Estimate.of(averaged[:, -1, 0] - scaled[:, 0])
    loss = Estimate.of(averaged[:, -1, 1] - scaled[:, 1])
    where = where_reached(averaged[:, :, 0].mean(axis=0).tolist(), float(scaled[:, 0].mean()))
    return Finding(
        parts={
            "as accurate as the average": judged(many, -_ALIKE, _ALIKE),
            "more accurate than one": judged(single, ACCURACY),
        },
        sentence=f"Weight scaling is {single.interval()} more accurate than one sub-network; the average of "
        f"{_COUNTS[-1]} differs from it by {many.interval('+.4f')} in accuracy and {loss.interval()} in loss. The "
        f"average's mean accuracy {where}.",
        columns=["", "test accuracy", "test loss"],
        rows=[["weight scaling", f"{Estimate.of(scaled[:, 0])}", f"{Estimate.of(scaled[:, 1])}"]]
        + [
            [
                f"{count} sub-network{'s' if count > 1 else ''}",
                f"{Estimate.of(averaged[:, place, 0])}",
                f"{Estimate.of(averaged[:, place, 1])}",
            ]
            for place, count in enumerate(_COUNTS)
        ],
        figure=figure,
        data={"averaged": numbers(averaged), "weight scaling": numbers(scaled)},
        exact={"sub-networks": list(_COUNTS)},
    )


STUDIES = [
    Study(
        "ensemble",
        "Dropout as an ensemble",
        "One pass with all units is as accurate as the average of many sub-networks, and more so than one of them.",
        "Digits, 539 to train on; 256 + 128 hidden units, p = 0.5, 10 seeds; probabilities of up to 200 sub-networks "
        "averaged.",
        {"": _CONFIG},
        ensemble,
        6,
    )
]
