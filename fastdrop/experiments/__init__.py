"""Configuration, data sets and the one trainer that the app, the command line and sweeps drive. Knows nothing of Qt."""

from fastdrop.experiments.blas import one_blas_thread
from fastdrop.experiments.config import ConfigError, ExperimentConfig
from fastdrop.experiments.datasets import DATASETS, Dataset, load_dataset
from fastdrop.experiments.tables import DataError
from fastdrop.experiments.trainer import EpochRecord, LayerView, Snapshot, Trainer, TrainingDiverged

__all__ = [
    "DATASETS",
    "ConfigError",
    "DataError",
    "Dataset",
    "EpochRecord",
    "ExperimentConfig",
    "LayerView",
    "Snapshot",
    "Trainer",
    "TrainingDiverged",
    "load_dataset",
    "one_blas_thread",
]
