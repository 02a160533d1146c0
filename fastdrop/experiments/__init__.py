"""Configuration, data sets and the one trainer that the app, the command line and sweeps drive. Knows nothing of Qt."""

from fastdrop.experiments.blas import one_blas_thread
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.datasets import DATASETS, Dataset, load_dataset
from fastdrop.experiments.diagnostics import (
    Boundary,
    Distributions,
    EpochRecord,
    LayerView,
    Misclassified,
    Snapshot,
    UnitView,
)
from fastdrop.experiments.errors import CheckpointError, ConfigError
from fastdrop.experiments.formats.experiment_file import Experiment, Run, load_experiment, save_experiment
from fastdrop.experiments.sweeps import Sweep, SweepStopped, TableError, sweep, sweep_results
from fastdrop.experiments.tables import DataError
from fastdrop.experiments.trainer import Trainer, TrainingDiverged

__all__ = [
    "DATASETS",
    "Boundary",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Dataset",
    "Distributions",
    "EpochRecord",
    "Experiment",
    "ExperimentConfig",
    "LayerView",
    "Misclassified",
    "Run",
    "Snapshot",
    "Sweep",
    "SweepStopped",
    "TableError",
    "Trainer",
    "TrainingDiverged",
    "UnitView",
    "load_dataset",
    "load_experiment",
    "one_blas_thread",
    "save_experiment",
    "sweep",
    "sweep_results",
]
