"""Experiment files: configuration, weights, curves and the state to continue from, in one file.

A file is an NPZ archive, which `numpy.load` reads without fastdrop: "experiment" is a JSON text with the format's
version and the configuration as TOML, and "main/history", "main/weight 0.weight" and so on are arrays of the networks.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fastdrop.experiments.checkpoint import State, history_of, numbers_of, records
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.diagnostics import EpochRecord
from fastdrop.experiments.errors import CheckpointError, ConfigError
from fastdrop.experiments.formats.npz import Archive
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.reading import LONGEST_NAME, Damaged, Unreadable, is_text, parse_json, shown
from fastdrop.experiments.formats.writing import write_atomically

FORMAT = 1
SUFFIX = ".fastdrop"
_MOST_RUNS = 1000
_LARGEST_TEXT = 128 << 20
"""Characters of the text "experiment": a pinned run with the largest number of epochs has 104 million."""
_STATES = ("main", "baseline")
_FORMER_STATES = {"twin": "baseline"}
"""Names in files of earlier versions."""


@dataclass(frozen=True)
class Run:
    """A pinned run, to compare others with: its name, configuration and curves."""

    name: str
    config: ExperimentConfig
    history: tuple[EpochRecord, ...]


@dataclass(frozen=True)
class Experiment:
    """The content of an experiment file.

    Attributes
    ----------
    config : ExperimentConfig
    runs : tuple of Run
        Earlier runs that were pinned.
    states : dict
        What `Trainer.state` returned, by name: "main" and perhaps "baseline". Empty where nothing was trained.
    """

    config: ExperimentConfig
    states: dict[str, State] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()

    @property
    def history(self) -> tuple[EpochRecord, ...]:
        """The main network's curves."""
        return history_of(self.states["main"]) if "main" in self.states else ()

    @property
    def steps(self) -> int:
        """Batches that the main network was trained on."""
        return numbers_of(self.states["main"]).step_count if "main" in self.states else 0


def save_experiment(path: str | os.PathLike[str], experiment: Experiment) -> None:
    """Write the file; the old one survives a crash.

    Raises
    ------
    ConfigError
        If `load_experiment` would refuse it: more than 1000 pinned runs, for example.
    OSError
        If the file cannot be written.

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
    try:
        header = _text_of(experiment, path)
    except (ConfigError, CheckpointError) as error:
        raise ConfigError(f"{path_text(path)}: cannot be saved: {error}") from None
    arrays = {f"{name}/{key}": array for name, state in experiment.states.items() for key, array in state.items()}
    write_arrays(path, {"experiment": np.array(header), **arrays})


def _text_of(experiment: Experiment, path: str | os.PathLike[str]) -> str:
    """The text "experiment" of the file `path`; an error where `load_experiment` would refuse it."""
    if len(experiment.runs) > _MOST_RUNS:
        count = len(experiment.runs)
        raise ConfigError(f"a file has at most {_MOST_RUNS:,} pinned runs; got {count:,}; remove some")
    for name in experiment.states:
        if name not in _STATES:
            raise ConfigError(f"the states of an experiment must be {' or '.join(_STATES)}; got {shown(name)}")
    runs = []
    for run in experiment.runs:
        if not is_text(run.name):
            rule = f"Unicode text without control characters, of at most {LONGEST_NAME:,} characters"
            raise ConfigError(f"the name of a pinned run must be {rule}; got {shown(run.name)}; rename or remove it")
        rows = [list(asdict(record).values()) for record in run.history]
        records(rows)
        runs.append({"name": run.name, "config": run.config.relative_to(path).to_toml(), "history": rows})
    config = experiment.config.relative_to(path).to_toml()
    text = json.dumps({"format": FORMAT, "config": config, "runs": runs}, separators=(",", ":"))
    if len(text) > _LARGEST_TEXT:
        raise ConfigError(
            f"the curves of the pinned runs are too long: at most {_LARGEST_TEXT:,} characters; remove some runs"
        )
    return text


def write_arrays(path: str | os.PathLike[str], arrays: State) -> None:
    """Write arrays as an NPZ archive; the old file survives a crash."""
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def load_experiment(path: str | os.PathLike[str]) -> Experiment:
    """Read an experiment file, or a configuration's TOML. A relative `data_file` is in the folder of the file.

    Raises
    ------
    ConfigError
        If it is neither, is damaged, or of another version; the message names the file. `Trainer.restore` checks
        whether the states belong to the configuration's network.
    """
    path = Path(path)
    if path.suffix.lower() == ".toml":
        return Experiment(ExperimentConfig.load(path))
    try:
        return _read(path)
    except (Damaged, CheckpointError) as error:
        raise ConfigError(f"{path_text(path)}: not an experiment of fastdrop, or damaged: {error}") from None
    except (ConfigError, Unreadable) as error:
        raise ConfigError(f"{path_text(path)}: {error}") from None


def _read(path: Path) -> Experiment:
    with Archive(path) as archive:
        header = _header(archive)
        config = ExperimentConfig.from_toml(header["config"]).beside(path)
        runs = tuple(_run(run, path) for run in header["runs"])
        states: dict[str, State] = {}
        for entry in archive.headers:
            name, _, key = entry.partition("/")
            name = _FORMER_STATES.get(name, name)
            if entry == "experiment":
                continue
            if name not in _STATES or not key:
                raise Damaged(f"it holds {shown(entry)}, which no experiment has")
            if key in states.get(name, {}):
                raise Damaged(f"it holds {shown(entry)} under two names")
            states.setdefault(name, {})[key] = archive.read(entry)
    for state in states.values():
        numbers_of(state)
        history_of(state)
    return Experiment(config, states, runs)


def _header(archive: Archive) -> dict[str, Any]:
    """The text "experiment", with the types of its fields checked."""
    header = parse_json(archive.text("experiment", _LARGEST_TEXT))
    if not isinstance(header, dict) or "format" not in header:
        raise Damaged("it does not say its format")
    if type(header["format"]) is not int or header["format"] != FORMAT:
        version = shown(header["format"])
        raise ConfigError(f"format {version} cannot be read; this version of fastdrop reads format {FORMAT}")
    runs = header.get("runs")
    if not isinstance(header.get("config"), str) or not isinstance(runs, list) or len(runs) > _MOST_RUNS:
        raise Damaged(f"it has no configuration, or no list of at most {_MOST_RUNS} pinned runs")
    return header


def _run(found: Any, path: Path) -> Run:
    """One of the pinned runs."""
    if not isinstance(found, dict) or not is_text(found.get("name")) or not isinstance(found.get("config"), str):
        raise Damaged("a pinned run has no name or no configuration")
    if not isinstance(found.get("history"), list):
        raise Damaged("a pinned run has no history")
    return Run(found["name"], ExperimentConfig.from_toml(found["config"]).beside(path), records(found["history"]))
