"""Study 12: attention, recurrence and text."""

from collections.abc import Mapping

import numpy as np

from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.histories import TEST_ACCURACY, TEST_LOSS, TRAIN_ACCURACY
from fastdrop.experiments.studies.drawing import COLORS, band, dots, label, panels
from fastdrop.experiments.studies.runner import StudyRunner
from fastdrop.experiments.studies.study import ACCURACY, Finding, Part, Study, any_of, judged, numbers

_ATTENTION = ExperimentConfig(
    dataset="digits", train_fraction=0.3, network="attention", hidden=(32, 64, 64), rate=0.1, epochs=30
)
_LSTM = ExperimentConfig(dataset="digits", train_fraction=0.3, network="lstm", hidden=(48,), rate=0.3, epochs=40)
_TEXT = ExperimentConfig(
    dataset="reviews", noise=0.1, network="text", hidden=(32, 128, 64), rate=0.5, learning_rate=0.003, epochs=60
)
_TASKS = {
    "attention": {
        "none": _ATTENTION.replace(dropout="none"),
        "dropout 0.1": _ATTENTION,
        "DropPath 0.1": _ATTENTION.replace(dropout="path"),
    },
    "LSTM": {
        "none": _LSTM.replace(dropout="none"),
        "dropout 0.3": _LSTM,
        "locked 0.3": _LSTM.replace(dropout="locked"),
        "zoneout 0.1": _LSTM.replace(dropout="zoneout", rate=0.1),
    },
    "text": {"none": _TEXT.replace(dropout="none"), "dropout 0.5": _TEXT},
}


def parts_of(gains: Mapping[str, Estimate]) -> dict[str, Part]:
    """By task: whether one of its kinds of dropout gains more than chance would give the best of them."""
    groups = {task: [gains[f"{task}, {name}"] for name in list(variants)[1:]] for task, variants in _TASKS.items()}
    return {
        task: any_of([judged(gain, ACCURACY, comparisons=len(group)) for gain in group])
        for task, group in groups.items()
    }


_SEEDS = {"attention": 16, "LSTM": 16, "text": 48}
"""The text network's accuracy varies more from seed to seed, and its training is shorter."""


def sequences(runner: StudyRunner) -> Finding:
    """Study 12."""
    figure, axes = panels("Attention, recurrence, text", 3, 2)
    rows, data = [], {}
    gains: dict[str, Estimate] = {}
    losses: dict[str, Estimate] = {}
    for place, (task, variants) in enumerate(_TASKS.items()):
        seeds = runner.seeds(_SEEDS[task])
        runs = runner.train_variants(variants, seeds)
        epochs = np.arange(runs.shape[2])
        accuracy, loss = runs[:, :, -1, TEST_ACCURACY], runs[:, :, -1, TEST_LOSS]
        for number, (run, name, color) in enumerate(zip(runs, variants, COLORS, strict=False)):
            band(axes[0, place], epochs, run[:, :, TEST_LOSS], name, color)
            cells = [Estimate.of(run[:, -1, column]) for column in (TRAIN_ACCURACY, TEST_ACCURACY, TEST_LOSS)]
            changes = ["", ""]
            if number:
                gains[f"{task}, {name}"] = Estimate.of(accuracy[number] - accuracy[0])
                losses[f"{task}, {name}"] = Estimate.of(loss[number] - loss[0])
                changes = [change[f"{task}, {name}"].interval() for change in (gains, losses)]
            rows.append([f"{task}, {name}", *(f"{cell}" for cell in cells), *changes])
        axes[0, place].legend(fontsize=8)
        label(axes[0, place], "epoch", "cross-entropy loss (test)", task)
        dots(axes[1, place], list(accuracy), list(variants))
        label(axes[1, place], "", "test accuracy", "every seed")
        data[task] = dict(zip(variants, numbers(accuracy), strict=True))
    return Finding(
        parts=parts_of(gains),
        sentence="Test accuracy vs. none: "
        + "; ".join(f"{name} {gain.interval()}" for name, gain in gains.items())
        + ". Test loss: "
        + "; ".join(f"{name} {change.interval()}" for name, change in losses.items())
        + ".",
        columns=["", "train accuracy", "test accuracy", "test loss", "accuracy vs. none", "loss vs. none"],
        rows=rows,
        figure=figure,
        data=data,
    )


STUDIES = [
    Study(
        "sequences",
        "Attention, recurrence, text",
        "Some form of dropout raises test accuracy in each: a transformer, an LSTM, and a network that reads text.",
        "Digits read row by row, 539 to train on: two transformer blocks of width 32, an LSTM of 48 units (zoneout of "
        "its hidden state, not of its cell). Generated reviews, 800 to train on, one label in ten wrong: an embedding "
        "and two hidden layers. 16 seeds, and 48 for text. Where several kinds of dropout are compared, intervals are "
        "wider: 2.28 standard errors for two, 2.43 for three (Bonferroni).",
        {
            f"{task.lower()}-{name.split()[0].lower()}": config
            for task, variants in _TASKS.items()
            for name, config in variants.items()
        },
        sequences,
        180,
    )
]
