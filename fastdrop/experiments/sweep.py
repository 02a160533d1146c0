"""Sweeps: one parameter over a range, several seeds of each value, in processes that are asked without waiting."""

import math
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments.config import ConfigError, ExperimentConfig
from fastdrop.experiments.observe import EpochRecord
from fastdrop.experiments.parameters import MOST_VALUES, PARAMETERS, parameter_named, too_many
from fastdrop.experiments.studies.study import Spread
from fastdrop.experiments.studies.work import (
    TEST_ACCURACY,
    TEST_LOSS,
    TRAIN_ACCURACY,
    TRAIN_LOSS,
    begin_worker,
    history,
    trainer,
)
from fastdrop.experiments.tables import DataError
from fastdrop.experiments.trainer import Trainer, TrainingDiverged

MOST_RUNS = 5000

QUANTITIES = {
    "test_accuracy": "test accuracy",
    "train_accuracy": "train accuracy",
    "gap": "gap: train less test accuracy",
    "test_loss": "test loss (nats)",
    "train_loss": "train loss (nats)",
}
"""What a run is judged by, after its last epoch: fields of `EpochRecord`, and their names in words."""
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
    >>> from fastdrop.experiments.sweep import Sweep
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
                raise ConfigError(f"seeds are whole numbers; got {seed!r}", "seed")
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
    """

    value: Any
    seed: int
    config: ExperimentConfig
    figures: NDArray[np.float64]
    error: str = ""

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
    error = ""
    try:
        done = trainer(run.config)
        while not done.finished:
            done.step()
            look(done)
    except (BackendUnavailable, ConfigError, DataError, TrainingDiverged, OSError) as problem:
        error = str(problem) or type(problem).__name__
    except MemoryError:
        error = "there is not enough memory for this network"
    return Result(*run, np.empty((0, 4)) if done is None else history(done), error)


class SweepRun:
    """A sweep under way, in processes of one thread each: their number changes the time and nothing else.

    No call waits. Call `poll` regularly, and `close` at the end.

    Parameters
    ----------
    sweep : Sweep
    processes : int

    Attributes
    ----------
    results : list of Result
        In the order in which they came.
    problem : str
        Why it stopped before its end, if nobody asked it to.
    cancelled : bool
    """

    def __init__(self, sweep: Sweep, processes: int) -> None:
        if processes < 1:
            raise ValueError(f"a sweep takes at least one process; got {processes}")
        self.sweep = sweep
        self.results: list[Result] = []
        self.problem = ""
        self.cancelled = False
        context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks
        shared = context.RawArray("q", sweep.count + 1)
        self._epochs = np.frombuffer(shared, np.int64)
        self._executor = ProcessPoolExecutor(
            min(processes, sweep.count), mp_context=context, initializer=_begin, initargs=(shared,)
        )
        self._most_ahead = 2 * processes
        self._processes: list[Any] = []
        self._ended = False
        self._waiting = enumerate(sweep.runs())
        self._futures: dict[Future[Result | None], tuple[int, Run]] = {}
        self._total_epochs = len(sweep.seeds) * sum(
            run.config.epochs for run, _ in zip(sweep.runs(), sweep.values, strict=False)
        )
        self._begun: tuple[float, float] | None = None

    @property
    def is_running(self) -> bool:
        return not self._ended

    @property
    def progress(self) -> float:
        """The share of all epochs that is done."""
        return float(self._epochs[:-1].sum()) / self._total_epochs

    @property
    def seconds_left(self) -> float | None:
        """As it has gone so far; None where that is not known yet."""
        if self._begun is None or self._ended:
            return None
        begun, before = self._begun
        seconds, done = time.monotonic() - begun, self.progress - before
        return seconds * (1 - self.progress) / done if seconds > 0.5 and done > 0 else None

    def poll(self) -> list[Result]:
        """What has finished since the last call; hands out more work."""
        if self._ended:
            return []
        found: list[Result] = []
        broken = False
        for future in [future for future in self._futures if future.done()]:
            number, run = self._futures.pop(future)
            self._epochs[number] = run.config.epochs
            try:
                result = future.result()
            except BrokenProcessPool:
                self._epochs[number], broken = 0, True
            except Exception as error:  # a defect: the others may still be well
                found.append(Result(*run, np.empty((0, 4)), f"{type(error).__name__}: {error}"))
            else:
                assert result is not None, "only a cancelled sweep has runs without a result"
                found.append(result)
        self.results += found
        if broken:
            self._fail()
        else:
            self._hand_out()
        if self._begun is None and self.progress > 0:
            self._begun = (time.monotonic(), self.progress)
        return found

    def _hand_out(self) -> None:
        """A few runs more than are processed; some milliseconds at most, as the first ones start the processes."""
        deadline = time.monotonic() + 0.01
        try:
            while len(self._futures) < self._most_ahead and time.monotonic() < deadline:
                following = next(self._waiting, None)
                if following is None:
                    break
                self._futures[self._executor.submit(_work, *following)] = following
        except BrokenProcessPool:
            self._fail()
            return
        self._processes = list((self._executor._processes or {}).values())
        if not self._futures and len(self.results) == self.sweep.count:
            self._end()

    def _fail(self) -> None:
        self.problem = (
            "A process of the sweep ended unexpectedly, perhaps for want of memory. "
            f"The {len(self.results)} of {self.sweep.count} runs that were finished stay."
        )
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._epochs[-1] = 1
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._futures.clear()

    def cancel(self) -> None:
        """Stop; runs that are not finished are given up. Processes end by themselves, after the batch at hand."""
        if not self._ended:
            self.cancelled = True
            self._end()

    def close(self, patience: float = 0.5) -> None:
        """Stop, and end processes that do not end by themselves within so many seconds."""
        self.cancel()
        deadline = time.monotonic() + patience
        # By their sentinels: the pool's thread also collects exit statuses, and only one of two gets each.
        alive = {process.sentinel: process for process in self._processes}
        while alive and (left := deadline - time.monotonic()) > 0:
            for ended in wait(list(alive), left):
                del alive[ended]
        for process in alive.values():
            process.terminate()


class _Cancelled(Exception):
    pass


_shared: Any = None
"""In a process of a sweep: how many epochs each run has trained, and last whether the sweep was cancelled."""


def _begin(shared: Any) -> None:
    global _shared
    _shared = shared
    begin_worker()
    if hasattr(os, "nice"):
        os.nice(5)  # whoever watches comes first
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's processes would wait for work for ever if their parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(number: int, run: Run) -> Result | None:
    """None if the sweep was cancelled in the meantime."""

    def look(trainer: Trainer) -> None:
        if _shared[-1]:
            raise _Cancelled
        _shared[number] = len(trainer.history) - 1

    try:
        return None if _shared[-1] else train_run(run, look)
    except _Cancelled:
        return None
