"""Fixtures of the tests of evidence: results that are made up, and data sets that are changed."""

import numpy as np
import pytest
from experimenttools import SMALL

from fastdrop.experiments import ExperimentConfig
from fastdrop.experiments.evidence import EvidencePlan, SplitResult
from fastdrop.experiments.evidence.training import Arm


@pytest.fixture
def plan():
    """Two splits with two candidate rates, on a table whose splits share rows; trained in a fraction of a second."""
    return EvidencePlan(SMALL.replace(dataset="wine"), splits=2, rates=(0.2, 0.5))


def certain(predicted, classes):
    """Probabilities of a network that predicts these classes."""
    return (
        np.full((len(predicted), classes), 0.1 / (classes - 1))
        + (0.9 - 0.1 / (classes - 1)) * np.eye(classes)[predicted]
    )


@pytest.fixture
def made_up():
    """A function that makes the result of a split from test labels and the predictions of both networks."""

    def made_up(labels, baseline, dropout, *, number=0, rate=0.2, train_rows=8, majority=0, names="abc", fixed=False):
        names = tuple(names)
        arms = [Arm(np.empty((0, len(names))), certain(each, len(names)), 0.1, 0.2) for each in (baseline, dropout)]
        labels = np.array(labels)
        return SplitResult(
            number=number,
            rate=rate,
            baseline=arms[0],
            dropout=arms[1],
            validation_losses={rate: 0.2},
            diverged=(),
            validation_labels=labels[:0],
            test_labels=labels,
            train_rows=train_rows,
            majority=majority,
            class_names=names,
            fixed_test=fixed,
        )

    return made_up


@pytest.fixture
def changed_data(monkeypatch):
    """A function that has every configuration load its data set through `change(dataset, config)`."""

    def change_all(change):
        load = ExperimentConfig.load_dataset
        monkeypatch.setattr(ExperimentConfig, "load_dataset", lambda config: change(load(config), config))

    return change_all
