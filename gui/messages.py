"""What the window and the trainer's process say to each other."""

from dataclasses import dataclass
from typing import Literal

from fastdrop.experiments import (
    Boundary,
    Distributions,
    EpochRecord,
    ExperimentConfig,
    Mistakes,
    Snapshot,
    UnitView,
)


@dataclass(frozen=True)
class Start:
    """An experiment to begin: from its configuration, or to go on from the states in a file."""

    config: ExperimentConfig
    twin: bool = False
    file: str = ""


@dataclass(frozen=True)
class Wanted:
    """What the window shows now beside curves."""

    layers: bool = True
    boundary: bool = False
    mistakes: bool = False
    distributions: bool = True
    unit: tuple[int, int] | None = None


@dataclass(frozen=True)
class About:
    """The data set in figures and names, and the network as a table."""

    text: str
    features: int
    classes: int
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    image_shape: tuple[int, int] | None
    summary: str


@dataclass(frozen=True)
class Update:
    """The newest snapshot of experiment number `run`, with the epochs that ended since the last one.

    The snapshot's own history is empty. What was not wanted, or is not new, is None.
    """

    run: int
    snapshot: Snapshot
    records: tuple[EpochRecord, ...]
    twin_records: tuple[EpochRecord, ...]
    twin_step: int | None
    total_steps: int
    steps_per_epoch: int
    finished: bool
    about: About | None = None
    boundary: Boundary | None = None
    mistakes: Mistakes | None = None
    distributions: Distributions | None = None
    unit: UnitView | None = None


@dataclass(frozen=True)
class Failure:
    """Why experiment number `run` cannot start or go on; without a number the process itself has died."""

    run: int | None
    message: str
    field: str = ""
    """The configuration's field that it is about, where it is one."""
    details: str = ""
    """The traceback of an error that nobody foresaw."""


@dataclass(frozen=True)
class Notice:
    """Something to know about experiment number `run`, which goes on."""

    run: int
    message: str


@dataclass(frozen=True)
class Saved:
    """A file that was written, or why not; `step` is what it holds."""

    run: int
    path: str
    step: int
    problem: str = ""


Message = Update | Failure | Notice | Saved
Kind = Literal[
    "start",
    "run",
    "pause",
    "step",
    "rates",
    "learning_rate",
    "epochs",
    "twin",
    "speed",
    "threads",
    "snapshot",
    "save",
    "stop",
]
