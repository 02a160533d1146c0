"""Experiment files: configuration, weights, curves and all that is needed to go on, in one file.

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

from fastdrop.experiments.arrays import Archive
from fastdrop.experiments.config import ConfigError, ExperimentConfig
from fastdrop.experiments.files import path_text, write_atomically
from fastdrop.experiments.observe import EpochRecord
from fastdrop.experiments.reading import LONGEST_NAME, Damaged, Unreadable, is_text, parse_json, shown
from fastdrop.experiments.states import State, StateError, history_of, numbers_of, records

FORMAT = 1
SUFFIX = ".fastdrop"
_MOST_RUNS = 1000
_LARGEST_TEXT = 128 << 20
"""Characters of the text "experiment": a kept run of as many epochs as there can be has 104 million."""
_STATES = ("main", "twin")


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
        return history_of(self.states["main"]) if "main" in self.states else ()

    @property
    def steps(self) -> int:
        """How many batches the main network was trained on."""
        return numbers_of(self.states["main"]).step_count if "main" in self.states else 0


def save_experiment(path: str | os.PathLike[str], experiment: Experiment) -> None:
    """Write the file; a kill in the middle leaves the old one.

    Raises
    ------
    ConfigError
        If `load_experiment` would not take it: more than 1000 kept runs, for example.
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
        header = _text_of(experiment)
    except (ConfigError, StateError) as error:
        raise ConfigError(f"{path_text(path)}: this cannot be saved: {error}") from None
    arrays = {f"{name}/{key}": array for name, state in experiment.states.items() for key, array in state.items()}
    write_arrays(path, {"experiment": np.array(header), **arrays})


def _text_of(experiment: Experiment) -> str:
    """The text "experiment"; a ConfigError or StateError where `load_experiment` would not take it."""
    if len(experiment.runs) > _MOST_RUNS:
        count = len(experiment.runs)
        raise ConfigError(f"a file has at most {_MOST_RUNS:,} kept runs; these are {count:,}: remove some")
    for name in experiment.states:
        if name not in _STATES:
            raise ConfigError(f"an experiment's states are {', '.join(_STATES)}; got {shown(name)}")
    runs = []
    for run in experiment.runs:
        if not is_text(run.name):
            what = f"control characters, no Unicode text, or more than {LONGEST_NAME:,} characters"
            raise ConfigError(f"a kept run's name has {what}: {shown(run.name)}; rename or remove it")
        rows = [list(asdict(record).values()) for record in run.history]
        records(rows)
        runs.append({"name": run.name, "config": run.config.to_text(), "history": rows})
    text = json.dumps({"format": FORMAT, "config": experiment.config.to_text(), "runs": runs}, separators=(",", ":"))
    if len(text) > _LARGEST_TEXT:
        raise ConfigError(
            f"the curves of the kept runs are too long: at most {_LARGEST_TEXT:,} characters; remove some"
        )
    return text


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
        If it is neither, is damaged, or of another version; the message names the file. Whether states are those of
        the configuration's network, `Trainer.restore` says.
    """
    path = Path(path)
    if path.suffix.lower() == ".toml":
        return Experiment(ExperimentConfig.load(path))
    try:
        return _read(path)
    except (Damaged, StateError) as error:
        raise ConfigError(f"{path_text(path)}: not an experiment of fastdrop, or damaged: {error}") from None
    except (ConfigError, Unreadable) as error:
        raise ConfigError(f"{path_text(path)}: {error}") from None


def _read(path: Path) -> Experiment:
    with Archive(path) as archive:
        header = _header(archive)
        config = ExperimentConfig.from_text(header["config"]).beside(path)
        runs = tuple(_run(run) for run in header["runs"])
        states: dict[str, State] = {}
        for entry in archive.headers:
            name, _, key = entry.partition("/")
            if entry == "experiment":
                continue
            if name not in _STATES or not key:
                raise Damaged(f"it holds {shown(entry)}, which no experiment has")
            states.setdefault(name, {})[key] = archive.read(entry)
    for state in states.values():
        numbers_of(state)
        history_of(state)
    return Experiment(config, states, runs)


def _header(archive: Archive) -> dict[str, Any]:
    """The text "experiment", its fields' types checked."""
    declared = archive.headers.get("experiment")
    if declared is None or declared.shape != () or declared.dtype.kind != "U":
        raise Damaged('it has no text "experiment"')
    if declared.dtype.itemsize > 4 * _LARGEST_TEXT:
        raise Damaged('its text "experiment" is too long')
    header = parse_json(str(archive.read("experiment")))
    if not isinstance(header, dict) or "format" not in header:
        raise Damaged("it does not say its format")
    if type(header["format"]) is not int or header["format"] != FORMAT:
        raise ConfigError(f"format {shown(header['format'])} is not known here; this fastdrop reads format {FORMAT}")
    runs = header.get("runs")
    if not isinstance(header.get("config"), str) or not isinstance(runs, list) or len(runs) > _MOST_RUNS:
        raise Damaged(f"it has no configuration, or no list of at most {_MOST_RUNS} kept runs")
    return header


def _run(found: Any) -> Run:
    """One of the kept runs."""
    if not isinstance(found, dict) or not is_text(found.get("name")) or not isinstance(found.get("config"), str):
        raise Damaged("a kept run has no name or no configuration")
    if not isinstance(found.get("history"), list):
        raise Damaged("a kept run has no history")
    return Run(found["name"], ExperimentConfig.from_text(found["config"]), records(found["history"]))
