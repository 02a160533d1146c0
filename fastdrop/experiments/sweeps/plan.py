"""The plan of a sweep, one parameter over a range with several seeds for each value, and its results."""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments.config import WITHOUT_TABLE, ExperimentConfig
from fastdrop.experiments.diagnostics import EpochRecord
from fastdrop.experiments.errors import ConfigError
from fastdrop.experiments.estimate import Estimate
from fastdrop.experiments.formats.npz import LARGEST
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.reading import Unreadable, read_bytes, shown
from fastdrop.experiments.histories import (
    TEST_ACCURACY,
    TEST_LOSS,
    TRAIN_ACCURACY,
    TRAIN_LOSS,
    history_of,
    new_trainer,
)
from fastdrop.experiments.sweeps.parameters import MOST_VALUES, PARAMETERS, parameter_named, too_many
from fastdrop.experiments.tables import DataError
from fastdrop.experiments.tables.reader import name_of
from fastdrop.experiments.trainer import Trainer, TrainingDiverged
from fastdrop.rule import RULE_VERSION

MOST_RUNS = 5000

QUANTITIES = {
    "test_accuracy": "test accuracy",
    "train_accuracy": "train accuracy",
    "gap": "gap: train minus test accuracy",
    "test_loss": "cross-entropy loss (test)",
    "train_loss": "cross-entropy loss (train)",
}
"""The metrics of a run after its last epoch: fields of `EpochRecord`, and their names in words."""
NO_FIGURES = np.empty((0, 4))
_COLUMNS = {
    "test_accuracy": TEST_ACCURACY,
    "train_accuracy": TRAIN_ACCURACY,
    "test_loss": TEST_LOSS,
    "train_loss": TRAIN_LOSS,
}


class Run(NamedTuple):
    """One training of a sweep."""

    value: Any
    seed: int
    config: ExperimentConfig


@dataclass(frozen=True)
class Sweep:
    """What to train: every value with every seed.

    Attributes
    ----------
    config : ExperimentConfig
        The configuration of all runs, apart from the parameter and the seed.
    parameter : str
        A key of `PARAMETERS`.
    values : sequence
        Values of that field; see `values_from`.
    seeds : sequence of int
        Each decides initial weights, order of the batches and masks.
    new_data : bool
        Whether each also decides the data and their split, instead of `config.split_seed`.

    Raises
    ------
    ConfigError
        If one of the runs would have an invalid configuration.

    Examples
    --------
    >>> from fastdrop.experiments import ExperimentConfig
    >>> from fastdrop.experiments.sweeps.plan import Sweep
    >>> sweep = Sweep(ExperimentConfig(dataset="moons"), "rate", (0.0, 0.5), range(2))
    >>> [(run.value, run.seed, run.config.rate) for run in sweep.runs()]
    [(0.0, 0, 0.0), (0.5, 0, 0.5), (0.0, 1, 0.0), (0.5, 1, 0.5)]
    """

    config: ExperimentConfig
    parameter: str
    values: Sequence[Any]
    seeds: Sequence[int]
    new_data: bool = False

    def __post_init__(self) -> None:
        parameter_named(self.parameter)
        for name in ("values", "seeds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.values or not self.seeds:
            raise ConfigError("a sweep must have at least one value and one seed")
        if len(self.values) > MOST_VALUES:
            raise too_many(self.parameter)
        if self.count > MOST_RUNS:
            raise ConfigError(f"a sweep has at most {MOST_RUNS} runs; got {self.count}")
        if self.parameter == "split_seed" and self.new_data:
            raise ConfigError("split_seed is swept: it cannot follow the other seeds as well", "split_seed")
        if self.config.layer_dropout and self.parameter in ("dropout", "dropout_layers"):
            raise ConfigError(
                f"layer_dropout is set, so {self.parameter} would change nothing; remove layer_dropout", self.parameter
            )
        for value in self.values:
            self._config(value, self.seeds[0])
        for seed in self.seeds:
            if type(seed) is not int:
                raise ConfigError(f"a seed must be a whole number; got {shown(seed)}", "seed")
        for seed in (min(self.seeds), max(self.seeds)):
            self._config(self.values[0], seed)
        for name, given in (("value", self.values), ("seed", self.seeds)):
            if len(set(given)) < len(given):
                raise ConfigError(
                    f"a {name} is given twice; remove one of the two", self.parameter if name == "value" else "seed"
                )

    @property
    def count(self) -> int:
        """Number of runs."""
        return len(self.values) * len(self.seeds)

    @property
    def note(self) -> str:
        """The reason why the curve will be flat, where it is known beforehand; else empty."""
        if self.parameter == "rate" and not self.config.drops:
            return "No layer has dropout: the rate changes nothing."
        if self.parameter == "momentum" and self.config.optimizer != "sgd":
            return f"Only SGD has momentum: with {self.config.optimizer} it changes nothing."
        return ""

    def runs(self) -> Iterator[Run]:
        """All values with the first seed, then with the next, so that the whole curve is there early."""
        for seed in self.seeds:
            for value in self.values:
                yield Run(value, seed, self._config(value, seed))

    def _config(self, value: Any, seed: int) -> ExperimentConfig:
        seeds = {"seed": seed} | ({"split_seed": seed} if self.new_data else {})
        config = self.config.replace(**seeds)
        if self.parameter == "rate":
            return config.with_rate(value)
        if self.parameter == "dataset":
            return config.replace(**WITHOUT_TABLE, dataset=value)
        return config.replace(**{self.parameter: value})

    @property
    def identity(self) -> dict[str, Any]:
        """What two sweeps must share to continue one table: everything except values, seeds and the path of the data.

        In types that JSON has. Fields that a run replaces are left out.
        """
        replaced = {"rate": {"layer_rates"}, "dataset": set(WITHOUT_TABLE)}.get(self.parameter, set())
        replaced |= {"seed", self.parameter} | ({"split_seed"} if self.new_data else set())
        fields = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self.config).items()
            if name not in replaced
        }
        for name in WITHOUT_TABLE:  # the target is in tables of earlier versions, the others only where they are set
            if name != "target" and not fields.get(name, True):
                del fields[name]
        fields.pop("data_hash", None)
        fields.pop("test_data", None)
        if fields.pop("data_file", ""):
            found = self.config.hash_of_data()
            fields["data"] = found or hashlib.sha256(read_data(self.config.data_file)).hexdigest()
        return {"rule": RULE_VERSION, "parameter": self.parameter, "new_data": self.new_data, **fields}

    def name_of(self, value: Any) -> str:
        """A value as text."""
        for name, choice in PARAMETERS[self.parameter].choices.items():
            if choice == value:
                return name
        return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes
    ----------
    value, seed, config
        As in `Run`.
    figures : numpy.ndarray, shape (epochs + 1, 4)
        Train loss, test loss, train accuracy, test accuracy; from before the first epoch to the last one trained.
    error : str
        Why it did not finish; empty if it did.
    diverged : bool
        Whether the training diverged, which would happen again. Other errors come from the machine.
    """

    value: Any
    seed: int
    config: ExperimentConfig
    figures: NDArray[np.float64]
    error: str = ""
    diverged: bool = False

    @property
    def outcome(self) -> str:
        """One word: finished, diverged or failed."""
        return "diverged" if self.diverged else "failed" if self.error else "finished"

    @property
    def history(self) -> tuple[EpochRecord, ...]:
        """The curves; epoch 0 is before training."""
        return tuple(EpochRecord(epoch, *map(float, row)) for epoch, row in enumerate(self.figures))

    @property
    def final(self) -> EpochRecord | None:
        """After the last epoch; None where the run did not finish."""
        if self.error:
            return None
        return EpochRecord(len(self.figures) - 1, *map(float, self.figures[-1]))

    def figure(self, quantity: str) -> float:
        """One of `QUANTITIES` after the last epoch; NaN where the run did not finish."""
        if self.error:
            return math.nan
        last = self.figures[-1]
        if quantity == "gap":
            return float(last[TRAIN_ACCURACY] - last[TEST_ACCURACY])
        return float(last[_COLUMNS[quantity]])


def curve(sweep: Sweep, results: Iterable[Result], quantity: str) -> list[tuple[Any, Estimate]]:
    """The values in order, with the estimate over the finished runs."""
    found: dict[Any, list[float]] = {value: [] for value in sweep.values}
    for result in results:
        figure = result.figure(quantity)
        if math.isfinite(figure):
            found[result.value].append(figure)
    values = [value for value in sweep.values if found[value]]
    if not PARAMETERS[sweep.parameter].choices:
        values.sort()
    return [(value, Estimate.of(found[value])) for value in values]


def train_run(run: Run, look: Callable[[Trainer], None] = lambda trainer: None) -> Result:
    """Train one run to its end or its error; `look` is called after every batch."""
    done: Trainer | None = None
    error, diverged = "", False
    try:
        done = new_trainer(run.config)
        while not done.finished:
            done.step()
            look(done)
    except (BackendUnavailable, ConfigError, DataError, TrainingDiverged, OSError) as problem:
        error = str(problem) or type(problem).__name__
        diverged = isinstance(problem, TrainingDiverged)
    except MemoryError:
        error = "there is not enough memory for this network"
    return Result(*run, NO_FIGURES if done is None else history_of(done), error, diverged)


def read_data(path: str) -> bytes:
    """The bytes of the user's own table; DataError where it cannot be read, or is more than one file."""
    if not isinstance(path, str):
        raise DataError(f"{name_of(path)}: a sweep needs a table in a file; save it, as Parquet for example")
    try:
        return read_bytes(path, LARGEST)
    except Unreadable as problem:
        raise DataError(f"{path_text(path)}: {problem}") from None
