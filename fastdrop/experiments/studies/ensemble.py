"""Study 13: weight scaling against the average of sampled sub-networks."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop import nn
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.studies.drawing import COLORS, band, label, panels
from fastdrop.experiments.studies.study import Finding, Spread, Study, numbers
from fastdrop.experiments.studies.work import Work, trained

_CONFIG = ExperimentConfig(dataset="digits", train_share=0.3, hidden=(256, 128), rate=0.5, epochs=60)
_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200)


class Scores(NamedTuple):
    """Test accuracy and loss: of weight scaling, and of averages over so many sub-networks."""

    scaled: tuple[float, float]
    averaged: NDArray[np.float64]


def scores_of(config: ExperimentConfig) -> Scores:
    """Train; then average the probabilities of more and more sub-networks."""
    done = trained(config)
    data, network = done.dataset, done.network
    total = np.zeros((len(data.x_test), data.classes))
    averaged, rows = [], np.arange(len(data.y_test))
    network.eval()
    for block in network.blocks:
        for dropper in block.droppers:
            dropper.training = True
    for count in range(1, max(_COUNTS) + 1):
        total += nn.softmax(network.forward(data.x_test).astype(np.float64))
        if count in _COUNTS:
            mean = total / count
            averaged.append(
                (float((mean.argmax(axis=1) == data.y_test).mean()), float(-np.log(mean[rows, data.y_test]).mean()))
            )
    return Scores((done.history[-1].test_accuracy, done.history[-1].test_loss), np.array(averaged))


def ensemble(work: Work) -> Finding:
    """Study 13."""
    seeds = work.seeds(10)
    found = work.map(scores_of, [work.shorten(_CONFIG.replace(seed=seed, data_seed=seed)) for seed in seeds])
    scaled, averaged = np.array([one.scaled for one in found]), np.stack([one.averaged for one in found])
    figure, axes = panels("Weight scaling, and averages of sub-networks", 2)
    for axis, column, quantity in ((axes[0, 0], 0, "test accuracy"), (axes[0, 1], 1, "test loss in nats")):
        band(axis, _COUNTS, averaged[:, :, column], "average of sub-networks", COLORS[0], mark="o")
        constant = np.repeat(scaled[:, column : column + 1], len(_COUNTS), axis=1)
        band(axis, _COUNTS, constant, "weight scaling, one pass", COLORS[1], "--")
        axis.set_xscale("log")
        axis.legend(fontsize=8)
        label(axis, "sub-networks", quantity)
    single = Spread.of(scaled[:, 0] - averaged[:, 0, 0])
    many = Spread.of(averaged[:, -1, 0] - scaled[:, 0])
    loss = Spread.of(averaged[:, -1, 1] - scaled[:, 1])
    reached = next(
        (c for c, v in zip(_COUNTS, averaged[:, :, 0].mean(axis=0), strict=True) if v >= scaled[:, 0].mean()), 0
    )
    where = (
        f"reaches weight scaling's accuracy from {reached} on"
        if reached
        else "does not reach weight scaling's accuracy"
    )
    return Finding(
        shown={
            "as accurate as the average": abs(many.mean) + 2 * many.error < 0.01,
            "more accurate than one": single.positive,
        },
        sentence=f"Weight scaling is {single.interval()} more accurate than one sub-network; the average of "
        f"{_COUNTS[-1]} differs from it by {many.interval('+.4f')} in accuracy and {loss.interval()} nats in loss, and "
        f"{where}.",
        columns=["", "test accuracy", "test loss"],
        rows=[["weight scaling", f"{Spread.of(scaled[:, 0])}", f"{Spread.of(scaled[:, 1])}"]]
        + [
            [f"{count} sub-networks", f"{Spread.of(averaged[:, place, 0])}", f"{Spread.of(averaged[:, place, 1])}"]
            for place, count in enumerate(_COUNTS)
        ],
        figure=figure,
        data={"sub-networks": list(_COUNTS), "averaged": numbers(averaged), "weight scaling": numbers(scaled)},
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
        12,
    )
]
