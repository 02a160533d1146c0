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
from fastdrop.experiments.evidence import Evidence, does_dropout_help
from fastdrop.experiments.formats.experiment_file import Experiment, Run, load_experiment, save_experiment
from fastdrop.experiments.model import Model, Prediction
from fastdrop.experiments.sweeps import Sweep, SweepStopped, TableError, sweep, sweep_results
from fastdrop.experiments.tables import DataError, Table, load_table
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
    "Evidence",
    "Experiment",
    "ExperimentConfig",
    "LayerView",
    "Misclassified",
    "Model",
    "Prediction",
    "Run",
    "Snapshot",
    "Sweep",
    "SweepStopped",
    "Table",
    "TableError",
    "Trainer",
    "TrainingDiverged",
    "UnitView",
    "does_dropout_help",
    "load_dataset",
    "load_experiment",
    "load_table",
    "one_blas_thread",
    "save_experiment",
    "sweep",
    "sweep_results",
]
