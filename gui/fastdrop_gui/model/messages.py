"""The messages between the window and the training process."""

from dataclasses import dataclass
from typing import Literal

from fastdrop.experiments import (
    Boundary,
    Distributions,
    EpochRecord,
    ExperimentConfig,
    Misclassified,
    Snapshot,
    UnitView,
)


@dataclass(frozen=True)
class Start:
    """An experiment to begin: from its configuration, or from the states in a file.

    `was_saved`: the configuration is a file's, which knows the hash of its data. A reset has no curves of older data.
    """

    config: ExperimentConfig
    baseline: bool = False
    file: str = ""
    was_saved: bool = False


@dataclass(frozen=True)
class RequestedViews:
    """What the window shows now beside the curves."""

    layers: bool = True
    boundary: bool = False
    misclassified: bool = False
    distributions: bool = True
    unit: tuple[int, int] | None = None


@dataclass(frozen=True)
class About:
    """The data set in figures and names, and the network as a table.

    `notes` should be known about the data. Of many features, the first ones have their names here.
    """

    text: str
    features: int
    classes: int
    summary: str
    notes: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Update:
    """The newest snapshot of experiment number `run`, with the epochs that ended since the last update.

    The snapshot's own history is empty. What was not requested, or is not new, is None.
    """

    run: int
    snapshot: Snapshot
    records: tuple[EpochRecord, ...]
    baseline_records: tuple[EpochRecord, ...]
    baseline_step: int | None
    total_steps: int
    steps_per_epoch: int
    finished: bool
    about: About | None = None
    boundary: Boundary | None = None
    misclassified: Misclassified | None = None
    distributions: Distributions | None = None
    unit: UnitView | None = None


@dataclass(frozen=True)
class Failure:
    """Why experiment number `run` cannot start or go on. `run` is None where the process itself has died.

    `field` is the field of the configuration that is wrong, if any; `details` the traceback of an unexpected error.
    """

    run: int | None
    message: str
    field: str = ""
    details: str = ""


@dataclass(frozen=True)
class Notice:
    """Something to know about experiment number `run`, which goes on."""

    run: int
    message: str


@dataclass(frozen=True)
class Saved:
    """A file that was written with the state after `step` batches, or the problem that prevented it."""

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
    "baseline",
    "speed",
    "threads",
    "snapshot",
    "save",
    "stop",
]
