"""The experiment that a path on the command line means: a configuration, an experiment file, or a table."""

from pathlib import Path

from fastdrop.experiments import ExperimentConfig, load_experiment

EXPERIMENT_SUFFIXES = (".toml", ".fastdrop")


def is_experiment(path: Path) -> bool:
    """Whether a path is a configuration or an experiment; anything else is a table."""
    return path.suffix.lower() in EXPERIMENT_SUFFIXES


def config_of(path: Path) -> ExperimentConfig:
    """The configuration in a file, or the default one with this table as its data."""
    if is_experiment(path):
        return load_experiment(path).config
    return ExperimentConfig(dataset="file", data_file=str(path.absolute()))
