"""Study 7: DropConnect, dropout and no dropout."""

from typing import Any

import numpy as np

from fastdrop import nn
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.histories import trained
from fastdrop.experiments.studies.drawing import dots, label, panels
from fastdrop.experiments.studies.runner import StudyRunner
from fastdrop.experiments.studies.study import ACCURACY, Finding, Study, judged, numbers

_CONFIG = ExperimentConfig(dataset="digits", train_fraction=0.05, hidden=(512,), rate=0.5, epochs=100)
_VARIANTS = {
    "none": _CONFIG.replace(dropout="none"),
    "dropout": _CONFIG,
    "DropConnect": _CONFIG.replace(dropout="dropconnect"),
}
_TITLES = {"none": "no dropout"}
_SAMPLES = 1000


def scores_of(config: ExperimentConfig) -> dict[str, tuple[float, float]]:
    """Test accuracy and loss by the kind of inference."""
    done = trained(config)
    data, network = done.dataset, done.network
    scores = {"mean": (done.history[-1].test_accuracy, done.history[-1].test_loss)}
    layer = network.blocks[0].layers[0]
    if isinstance(layer, nn.DropConnectLinear):
        hidden = layer.sampled(data.x_test, _SAMPLES, activation=_relu, rng=config.seed)
        logits = network.head(hidden)
        scores["sampled"] = (nn.accuracy(logits, data.y_test), nn.softmax_cross_entropy(logits, data.y_test)[0])
    return scores


def _relu(u: Any) -> Any:
    return np.maximum(u, 0)


def dropconnect(runner: StudyRunner) -> Finding:
    """Study 7."""
    seeds = runner.seeds(40)
    groups: dict[str, Any] = {}
    for name, scores in runner.map_variants(scores_of, _VARIANTS, seeds).items():
        for inference in scores[0]:
            title = _TITLES.get(name, name) if name != "DropConnect" else f"DropConnect,\n{inference} inference"
            groups[title] = np.array([one[inference] for one in scores])
    names = list(groups)
    accuracy = {name: values[:, 0] for name, values in groups.items()}
    over_none = Estimate.of(accuracy[names[2]] - accuracy[names[0]])
    over_dropout = Estimate.of(accuracy[names[2]] - accuracy[names[1]])
    dropout_gain = Estimate.of(accuracy[names[1]] - accuracy[names[0]])
    sampled = Estimate.of(accuracy[names[3]] - accuracy[names[2]])
    figure, axes = panels("DropConnect, dropout and no dropout", 2, size=(5.4, 3.6))
    dots(axes[0, 0], list(accuracy.values()), names)
    dots(axes[0, 1], [values[:, 1] for values in groups.values()], names)
    label(axes[0, 0], "", "test accuracy", "every seed")
    label(axes[0, 1], "", "cross-entropy loss (test)", "every seed")
    return Finding(
        parts={
            "DropConnect above no dropout": judged(over_none, ACCURACY),
            "DropConnect above dropout": judged(over_dropout, ACCURACY),
            "dropout above no dropout": judged(dropout_gain, ACCURACY),
        },
        sentence=f"The test accuracy with DropConnect is {over_none.interval()} above that without dropout, and "
        f"{over_dropout.interval()} above that with dropout, which is {dropout_gain.interval()} above that without; "
        f"sampled inference changes it by {sampled.interval('+.4f')}.",
        columns=["", "test accuracy", "test loss"],
        rows=[
            [name.replace("\n", " "), f"{Estimate.of(values[:, 0])}", f"{Estimate.of(values[:, 1])}"]
            for name, values in groups.items()
        ],
        figure=figure,
        data={name.replace("\n", " "): numbers(values) for name, values in groups.items()},
    )


STUDIES = [
    Study(
        "dropconnect",
        "DropConnect, dropout and no dropout",
        "DropConnect generalises better than dropout, which generalises better than no dropout.",
        "Digits, 89 to train on; 512 hidden units, p = 0.5, 40 seeds. DropConnect as published: a mask of the weights "
        f"and biases for every example; inference by the mean weights, and by moment matching with {_SAMPLES} draws.",
        {name.lower(): config for name, config in _VARIANTS.items()},
        dropconnect,
        90,
    )
]
