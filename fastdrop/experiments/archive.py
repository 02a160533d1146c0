"""Experiment files: configuration, weights, curves and all that is needed to go on, in one file.

A file is an NPZ archive, which `numpy.load` reads without fastdrop: "experiment" is a JSON text with the format's
version and the configuration as TOML, and "main/history", "main/weight 0.weight" and so on are arrays of the networks.
"""

import json
import os
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.config import ConfigError, ExperimentConfig
from fastdrop.experiments.files import write_atomically
from fastdrop.experiments.observe import EpochRecord, records

FORMAT = 1
SUFFIX = ".fastdrop"

State = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Run:
    """What is kept of a run to compare others with: its name, configuration and curves."""

    name: str
    config: ExperimentConfig
    history: tuple[EpochRecord, ...]


@dataclass(frozen=True)
class Experiment:
    """What an experiment file holds.

    Attributes
    ----------
    config : ExperimentConfig
    runs : tuple of Run
        Earlier runs that were kept beside it.
    states : dict
        By name, "main" and perhaps "twin": what `Trainer.state` returned. Empty where nothing was trained.
    """

    config: ExperimentConfig
    states: dict[str, State] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()

    @property
    def history(self) -> tuple[EpochRecord, ...]:
        """The main network's curves."""
        return records(self.states["main"]["history"]) if "main" in self.states else ()


def save_experiment(path: str | os.PathLike[str], experiment: Experiment) -> None:
    """Write the file; a kill in the middle leaves the old one.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastdrop.experiments import Experiment, ExperimentConfig, Trainer, load_experiment, save_experiment
    >>> config = ExperimentConfig(dataset="xor", hidden=(8,), epochs=2)
    >>> trainer = Trainer(config)
    >>> trainer.step()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "xor.fastdrop")
    ...     save_experiment(path, Experiment(config, {"main": trainer.state()}))
    ...     again = Trainer(config)
    ...     again.restore(load_experiment(path).states["main"])
    >>> again.step_count
    1
    """
    runs = [
        {
            "name": run.name,
            "config": run.config.to_text(),
            "history": [list(asdict(record).values()) for record in run.history],
        }
        for run in experiment.runs
    ]
    header = json.dumps({"format": FORMAT, "config": experiment.config.to_text(), "runs": runs})
    arrays = {f"{name}/{key}": array for name, state in experiment.states.items() for key, array in state.items()}
    write_arrays(path, {"experiment": np.array(header), **arrays})


def write_arrays(path: str | os.PathLike[str], arrays: State) -> None:
    """Write arrays as an NPZ archive; a kill in the middle leaves the old file."""
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def load_experiment(path: str | os.PathLike[str]) -> Experiment:
    """Read an experiment file, or a configuration's TOML; a `data_file` that is relative is beside it.

    Raises
    ------
    ConfigError
        If it is neither, is damaged, or of another version; the message names the file.
    """
    path = Path(path)
    if path.suffix.lower() == ".toml":
        return Experiment(ExperimentConfig.load(path))
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            header = json.loads(str(archive["experiment"]))
            if header["format"] != FORMAT:
                raise ConfigError(
                    f"{path}: format {header['format']!r} is not known here; this fastdrop reads format {FORMAT}"
                )
            states: dict[str, State] = {}
            for entry in archive.files:
                name, slash, key = entry.partition("/")
                if slash:
                    states.setdefault(name, {})[key] = archive[entry]
            runs = tuple(
                Run(run["name"], ExperimentConfig.from_text(run["config"]), records(run["history"]))
                for run in header["runs"]
            )
            return Experiment(ExperimentConfig.from_text(header["config"]).beside(path), states, runs)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ConfigError as error:
        raise ConfigError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except (ValueError, LookupError, TypeError, EOFError, AttributeError, RuntimeError, zipfile.BadZipFile, zlib.error):
        raise ConfigError(f"{path}: not an experiment of fastdrop, or damaged") from None
