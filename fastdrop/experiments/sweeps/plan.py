"""Sweeps: one parameter over a range, several seeds of each value; what is trained, and what came of it."""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments.arrays import LARGEST
from fastdrop.experiments.config import ConfigError, ExperimentConfig
from fastdrop.experiments.files import path_text
from fastdrop.experiments.observe import EpochRecord
from fastdrop.experiments.reading import Unreadable, read_bytes, shown
from fastdrop.experiments.spread import Spread
from fastdrop.experiments.sweeps.parameters import MOST_VALUES, PARAMETERS, parameter_named, too_many
from fastdrop.experiments.tables import DataError
from fastdrop.experiments.trainer import Trainer, TrainingDiverged
from fastdrop.experiments.work import (
    TEST_ACCURACY,
    TEST_LOSS,
    TRAIN_ACCURACY,
    TRAIN_LOSS,
    history,
    trainer,
)
from fastdrop.rule import RULE_VERSION

MOST_RUNS = 5000

QUANTITIES = {
    "test_accuracy": "test accuracy",
    "train_accuracy": "train accuracy",
    "gap": "gap: train less test accuracy",
    "test_loss": "test loss (nats)",
    "train_loss": "train loss (nats)",
}
"""What a run is judged by, after its last epoch: fields of `EpochRecord`, and their names in words."""
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
        What stays the same.
    parameter : str
        A key of `PARAMETERS`.
    values : sequence
        Of that field; see `values_from`.
    seeds : sequence of int
        Each decides initial weights, order of the batches and masks.
    new_data : bool
        Whether each also decides the data and their split, instead of `config.data_seed`.

    Raises
    ------
    ConfigError
        If one of the runs would have no valid configuration.

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
        known = parameter_named(self.parameter)
        for name in ("values", "seeds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.values or not self.seeds:
            raise ConfigError("a sweep has at least one value and one seed")
        if len(self.values) > MOST_VALUES:
            raise too_many(self.parameter)
        if self.count > MOST_RUNS:
            raise ConfigError(f"a sweep has at most {MOST_RUNS} runs; these are {self.count}")
        if self.parameter == "data_seed" and self.new_data:
            raise ConfigError("the seed of the data is swept: it cannot follow the other seeds", "data_seed")
        if self.config.layer_dropout and self.parameter in ("dropout", "dropout_layers"):
            raise ConfigError(f"each layer has a kind of its own here: {known.title} changes nothing", self.parameter)
        for value in self.values:
            self._config(value, self.seeds[0])
        for seed in self.seeds:
            if type(seed) is not int:
                raise ConfigError(f"seeds are whole numbers; got {shown(seed)}", "seed")
        for seed in (min(self.seeds), max(self.seeds)):
            self._config(self.values[0], seed)
        for name, given in (("value", self.values), ("seed", self.seeds)):
            if len(set(given)) < len(given):
                raise ConfigError(f"a {name} is given twice", self.parameter if name == "value" else "seed")

    @property
    def count(self) -> int:
        """Of runs."""
        return len(self.values) * len(self.seeds)

    @property
    def note(self) -> str:
        """Why the curve will be flat, where that is known beforehand."""
        if self.parameter == "rate" and not self.config.drops:
            return "No layer drops anything: the rate changes nothing."
        if self.parameter == "momentum" and self.config.optimizer != "sgd":
            return f"Momentum is SGD's: with {self.config.optimizer} it changes nothing."
        return ""

    def runs(self) -> Iterator[Run]:
        """All values with the first seed, then with the next: the whole curve is there early."""
        for seed in self.seeds:
            for value in self.values:
                yield Run(value, seed, self._config(value, seed))

    def _config(self, value: Any, seed: int) -> ExperimentConfig:
        seeds = {"seed": seed} | ({"data_seed": seed} if self.new_data else {})
        config = self.config.replace(**seeds)
        if self.parameter == "rate":
            return config.with_rate(value)
        if self.parameter == "dataset":
            return config.replace(dataset=value, data_file="", label="")
        return config.replace(**{self.parameter: value})

    @property
    def identity(self) -> dict[str, Any]:
        """What two sweeps have in common whose runs belong together: all but values, seeds and where the data lie.

        In types that JSON has. What a run replaces in the configuration counts for nothing.
        """
        replaced = {"rate": {"layer_rates"}, "dataset": {"data_file", "label"}}.get(self.parameter, set())
        replaced |= {"seed", self.parameter} | ({"data_seed"} if self.new_data else set())
        fields = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self.config).items()
            if name not in replaced
        }
        if fields.pop("data_file", ""):
            fields["data"] = hashlib.sha256(read_data(self.config.data_file)).hexdigest()
        return {"rule": RULE_VERSION, "parameter": self.parameter, "new_data": self.new_data, **fields}

    def name_of(self, value: Any) -> str:
        """How a value is written."""
        for name, choice in PARAMETERS[self.parameter].choices.items():
            if choice == value:
                return name
        return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes
    ----------
    value, seed, config
        As in `Run`.
    figures : numpy.ndarray, shape (epochs + 1, 4)
        Train loss, test loss, train accuracy, test accuracy; from before the first epoch on, as far as it came.
    error : str
        Why it did not come to its end, if it did not.
    diverged : bool
        Whether that was the training's own doing: it would happen again. Any other error is the machine's.
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
        """After the last epoch; None where the run did not come so far."""
        if self.error:
            return None
        return EpochRecord(len(self.figures) - 1, *map(float, self.figures[-1]))

    def figure(self, quantity: str) -> float:
        """One of `QUANTITIES` after the last epoch; NaN where the run did not come so far."""
        if self.error:
            return math.nan
        last = self.figures[-1]
        if quantity == "gap":
            return float(last[TRAIN_ACCURACY] - last[TEST_ACCURACY])
        return float(last[_COLUMNS[quantity]])


def curve(sweep: Sweep, results: Iterable[Result], quantity: str) -> list[tuple[Any, Spread]]:
    """The values in order, with mean and standard deviation over the runs that came to their end."""
    found: dict[Any, list[float]] = {value: [] for value in sweep.values}
    for result in results:
        figure = result.figure(quantity)
        if math.isfinite(figure):
            found[result.value].append(figure)
    values = [value for value in sweep.values if found[value]]
    if not PARAMETERS[sweep.parameter].choices:
        values.sort()
    return [(value, Spread.of(found[value])) for value in values]


def train_run(run: Run, look: Callable[[Trainer], None] = lambda trainer: None) -> Result:
    """Train one run to its end, or to what stops it; `look` is called after every batch."""
    done: Trainer | None = None
    error, diverged = "", False
    try:
        done = trainer(run.config)
        while not done.finished:
            done.step()
            look(done)
    except (BackendUnavailable, ConfigError, DataError, TrainingDiverged, OSError) as problem:
        error = str(problem) or type(problem).__name__
        diverged = isinstance(problem, TrainingDiverged)
    except MemoryError:
        error = "there is not enough memory for this network"
    return Result(*run, NO_FIGURES if done is None else history(done), error, diverged)


def read_data(path: str) -> bytes:
    """The user's own table as it stands in its file; DataError where it cannot be read."""
    try:
        return read_bytes(path, LARGEST)
    except Unreadable as problem:
        raise DataError(f"{path_text(path)}: {problem}") from None
