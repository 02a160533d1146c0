"""Trains configurations to the end: their trainers, and their curves as arrays."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.datasets import Dataset, load_dataset
from fastdrop.experiments.trainer import Trainer

TRAIN_LOSS, TEST_LOSS, TRAIN_ACCURACY, TEST_ACCURACY = range(4)
"""Columns of a history."""


@functools.lru_cache(maxsize=8)
def _loaded(fields: tuple[tuple[str, Any], ...]) -> Dataset:
    return load_dataset(**dict(fields))


def new_trainer(config: ExperimentConfig) -> Trainer:
    """A trainer of this configuration; its data set may be in the cache."""
    return Trainer(config, _loaded(tuple(config.data_fields.items())))


def trained(config: ExperimentConfig) -> Trainer:
    """A trainer after all epochs."""
    trainer = new_trainer(config)
    while not trainer.finished:
        trainer.step()
    return trainer


def history_of(trainer: Trainer) -> NDArray[np.float64]:
    """The curves, shape (epochs + 1, 4): rows are epochs from 0 on; columns TRAIN_LOSS, ..., TEST_ACCURACY."""
    return np.array(
        [
            (record.train_loss, record.test_loss, record.train_accuracy, record.test_accuracy)
            for record in trainer.history
        ]
    )


def train(config: ExperimentConfig) -> NDArray[np.float64]:
    """The history of one configuration."""
    return history_of(trained(config))
