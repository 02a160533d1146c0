"""Configuration, data sets and the one trainer that the app, the command line and sweeps drive. Knows nothing of Qt."""

from fastdrop.experiments.archive import Experiment, Run, load_experiment, save_experiment
from fastdrop.experiments.blas import one_blas_thread
from fastdrop.experiments.config import ConfigError, ExperimentConfig
from fastdrop.experiments.datasets import DATASETS, Dataset, load_dataset
from fastdrop.experiments.observe import Boundary, Distributions, EpochRecord, LayerView, Mistakes, Snapshot, UnitView
from fastdrop.experiments.sweeps import Sweep, SweepStopped, TableError, sweep, sweep_results
from fastdrop.experiments.tables import DataError
from fastdrop.experiments.trainer import StateError, Trainer, TrainingDiverged

__all__ = [
    "DATASETS",
    "Boundary",
    "ConfigError",
    "DataError",
    "Dataset",
    "Distributions",
    "EpochRecord",
    "Experiment",
    "ExperimentConfig",
    "LayerView",
    "Mistakes",
    "Run",
    "Snapshot",
    "StateError",
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
