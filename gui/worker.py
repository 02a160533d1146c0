"""What runs in the trainer's process: commands between batches, batches as fast as allowed, looks on an allowance."""

import gc
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import (
    ConfigError,
    DataError,
    Dataset,
    Experiment,
    ExperimentConfig,
    Snapshot,
    StateError,
    Trainer,
    TrainingDiverged,
    UnitView,
    load_experiment,
    observe,
    one_blas_thread,
    save_experiment,
)
from fastdrop.experiments.archive import write_arrays
from fastdrop.threads import get_num_threads, set_num_threads
from fastdrop_gui.allowance import Allowance, Result
from fastdrop_gui.messages import About, Failure, Kind, Message, Notice, Saved, Start, Update, Wanted

SNAPSHOT_SHARE = 0.04
LOOKING_SHARE = 0.01
"""Of the process's time, at most about: for snapshots, and for each of boundary, mistakes and distributions."""
NICENESS = 5
"""Where the window and the training want one core, the window goes first: it wants little, and soon."""
WITHOUT_SNAPSHOTS = 1 / 60
"""Seconds after a snapshot in which no other is made: the window draws 30 a second."""

UNHEARD = 0.003
"""Seconds for which a command may wait while batches are trained."""
_LONGEST_MESSAGE = 500


@dataclass
class _Sent:
    """What the window has got of this experiment."""

    step: int = -1
    twin_step: int = -1
    records: int = 0
    twin_records: int = 0
    about: bool = False
    looks: dict[str, Any] = field(default_factory=dict)


class _Worker:
    """The process's end: commands between batches, batches as fast as allowed."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.run = 0
        self.trainer: Trainer | None = None
        self.twin: Trainer | None = None
        self.running = False
        self.steps_left: int | None = None
        self.wanted: Wanted | None = None
        self._loaded: tuple[object, Dataset] | None = None
        self.sent = _Sent()
        self.learning_rates: list[tuple[int, float]] = []
        """By the step from which on each was used: changes while training ran, for a twin that comes late."""
        self.steps_per_second = 0.0
        self.due = self.listen_at = 0.0
        self.snapshots = Allowance(SNAPSHOT_SHARE, WITHOUT_SNAPSHOTS)
        self.looks = {name: Allowance(LOOKING_SHARE, 0.1) for name in ("boundary", "mistakes", "distributions")}

    def loop(self) -> None:
        """Until the window says so, or is gone."""
        with suppress(_WindowGone):
            while self._turn():
                pass

    def _turn(self) -> bool:
        """Commands, a batch, news; False in the end. An error that nobody foresaw is told, and stops the training."""
        try:
            if not self._listens():
                return False
            if self.running or self._twin_is_behind():
                self._train()
            self._report()
        except _WindowGone:
            raise
        except Exception as error:
            self._fail_unexpectedly(error)
        return True

    def _fail_unexpectedly(self, error: Exception) -> None:
        """Stop all that could fail again by itself; the network stays, so that it can be saved."""
        self.twin, self.wanted, self.steps_left = None, None, None
        details = "".join(traceback.format_exception(error))
        self._fail(f"unexpected error: {type(error).__name__}: {error}"[:_LONGEST_MESSAGE], details=details)

    def _send(self, message: Message) -> None:
        with _while_there():
            self.connection.send(message)

    def _listens(self) -> bool:
        """Obey what has come, or comes while there is nothing to do; False where it is to stop.

        At full speed not after every batch: to ask the system takes its time.
        """
        patience = self._patience()
        if patience == 0.0 and time.perf_counter() < self.listen_at:
            return True
        while True:
            with _while_there():
                if not self.connection.poll(patience):
                    break
                kind, value = self.connection.recv()
            if kind == "stop":
                return False
            self._obey(kind, value)
            patience = self._patience()
        self.listen_at = time.perf_counter() + UNHEARD
        return True

    def _twin_is_behind(self) -> bool:
        return self.twin is not None and self.trainer is not None and self.twin.step_count < self.trainer.step_count

    def _patience(self) -> float | None:
        """How long to wait for a command: not at all at full speed, for ever when there is nothing to do."""
        if self._twin_is_behind():
            return 0.0
        if not self.running:
            return self._news_due()
        return max(0.0, self.due - time.monotonic()) if self.steps_per_second else 0.0

    def _obey(self, kind: Kind, value: Any) -> None:
        if kind == "start":
            self.run, start = value
            self._start(start)
        elif kind == "speed":
            self.steps_per_second = value
            self.due = time.monotonic()
        elif kind == "threads":
            set_num_threads(value)
        elif kind == "snapshot":
            self.wanted = value
        elif kind == "pause":
            self.running, self.steps_left = False, None
        elif self.trainer is None:
            return
        elif kind in ("rates", "learning_rate", "epochs"):
            self._change(kind, value)
        elif kind == "twin":
            self._set_twin(value)
        elif kind == "save":
            self._save(*value)
        else:
            self._go(value if kind == "step" else None)

    def _go(self, steps: int | Literal["epoch"] | None) -> None:
        """Train so many batches, to the epoch's end, or until told otherwise."""
        assert self.trainer is not None
        if steps == "epoch":
            steps = self.trainer.steps_per_epoch - self.trainer.step_count % self.trainer.steps_per_epoch
        self.running = not self.trainer.finished
        self.steps_left = None if steps is None else (self.steps_left or 0) + steps
        self.due = time.monotonic()

    def _change(self, kind: Kind, value: Any) -> None:
        """Change what may change while training runs."""
        assert self.trainer is not None
        if kind == "rates":
            self.trainer.rates = value
        if kind == "learning_rate":
            self.learning_rates.append((self.trainer.step_count, value))
        for trainer in filter(None, (self.trainer, self.twin)):
            if kind == "learning_rate" and trainer.step_count == self.trainer.step_count:
                trainer.learning_rate = value
            elif kind == "epochs":
                trainer.extend(max(value, -(-trainer.step_count // trainer.steps_per_epoch)))
        if self.trainer.finished:
            self.running, self.steps_left = False, None
        self.sent.step = -1  # the picture changes, also while the training stands still
        self.sent.looks.clear()

    def _set_twin(self, wanted: bool) -> None:
        assert self.trainer is not None
        if wanted and self.twin is None:
            self.twin = _twin_of(self.trainer)
        elif not wanted:
            self.twin = None
        self.sent.twin_records, self.sent.twin_step, self.sent.step = 0, -1, -1

    def _start(self, start: Start) -> None:
        self.trainer, self.twin, self.running, self.steps_left = None, None, False, None
        self.sent, self.learning_rates = _Sent(), []
        for allowance in (self.snapshots, *self.looks.values()):
            allowance.now()
        try:
            states = load_experiment(start.file).states if start.file else {}
            trainer, twin = Trainer(start.config, self.dataset(start.config)), None
            if "main" in states:
                trainer.restore(states["main"])
            if start.twin or "twin" in states:
                twin = _twin_of(trainer)
                if "twin" in states:
                    twin.restore(states["twin"])
        except (BackendUnavailable, ConfigError, DataError, StateError, MemoryError, OSError) as error:
            self._fail(str(error) or "there is not enough memory for this network", _field_of(error, start.config))
        else:
            self.trainer, self.twin = trainer, twin

    def dataset(self, config: ExperimentConfig) -> Dataset:
        """The data set; a large file is not read again at each rewind, unless it has changed."""
        stat = None
        if config.dataset == "file":
            with suppress(OSError, ValueError):  # which reading it will tell
                stat = os.stat(config.data_file)
        key = (*config.data_fields, stat and (stat.st_mtime_ns, stat.st_size))
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # before the other is there: both may not fit into memory
            self._loaded = key, config.load_dataset()
        return self._loaded[1]

    def _fail(self, message: str, field: str = "", details: str = "") -> None:
        self.running = False
        self._send(Failure(self.run, message, field, details))

    def _step_twin(self) -> None:
        """One batch of the twin, with the learning rate that the other had at that step; its failure is its own."""
        assert self.twin is not None
        for step, learning_rate in self.learning_rates:
            if step == self.twin.step_count:
                self.twin.learning_rate = learning_rate
        try:
            self.twin.step()
        except (TrainingDiverged, MemoryError) as error:
            self.twin = None
            self.sent.twin_step = -2
            self._send(Notice(self.run, f"the twin without dropout stopped: {error or 'out of memory'}"))

    def _train(self) -> None:
        """One batch; a twin that is behind catches up first."""
        assert self.trainer is not None
        if self._twin_is_behind():
            self._step_twin()
            return
        try:
            self.trainer.step()
            if self.twin is not None:
                self._step_twin()
        except TrainingDiverged as error:
            self._fail(str(error), "learning_rate")
        except MemoryError:
            self._fail("there is not enough memory for this network")
        if self.steps_per_second:
            self.due = max(self.due + 1.0 / self.steps_per_second, time.monotonic() - 0.1)
        if self.steps_left is not None:
            self.steps_left -= 1
        if self.trainer.finished or self.steps_left == 0:
            self.running, self.steps_left = False, None

    def _news_due(self) -> float | None:
        """Seconds until there is something to report; None where there is not."""
        if self.wanted is None or self.trainer is None:
            return None
        stale = [allowance.due for name, allowance in self.looks.items() if self._is_stale(name)]
        moved = self.trainer.step_count != self.sent.step or self._twin_step() != self.sent.twin_step
        if moved or self._is_stale("unit") or self._is_stale("layers"):
            stale.append(self.snapshots.due)
        return min(stale) if stale else None

    def _twin_step(self) -> int:
        return -1 if self.twin is None else self.twin.step_count

    def _is_stale(self, name: str) -> bool:
        """Whether a look that is wanted was taken at another step, or at another unit."""
        assert self.trainer is not None
        wanted = getattr(self.wanted, name)
        return bool(wanted) and self.sent.looks.get(name) != (wanted, self.trainer.step_count)

    def _report(self) -> None:
        if self._news_due() != 0.0:
            return
        self._send(self._update())
        self.wanted = None

    def _update(self) -> Update:
        trainer, sent = self.trainer, self.sent
        assert trainer is not None
        assert self.wanted is not None
        self.snapshots.now()
        with_layers = self.wanted.layers or self.wanted.unit is not None
        snapshot = self.snapshots(lambda: trainer.snapshot(layers=with_layers))  # looks have allowances of their own
        assert snapshot is not None
        sent.looks["layers"] = (with_layers, snapshot.step)
        twin = self.twin.history if self.twin is not None else []
        update = Update(
            self.run,
            replace(snapshot, history=()),
            snapshot.history[sent.records :],
            tuple(twin[sent.twin_records :]),
            None if self.twin is None else self.twin.step_count,
            trainer.total_steps,
            trainer.steps_per_epoch,
            trainer.finished,
            None if sent.about else _about(trainer),
            self._look("boundary", lambda: observe.boundary(trainer)),
            self._look("mistakes", lambda: observe.mistakes(trainer)),
            self._look("distributions", lambda: observe.distributions(trainer)),
            self._unit(snapshot),
        )
        sent.about = True
        sent.step, sent.twin_step = snapshot.step, self._twin_step()
        sent.records, sent.twin_records = len(snapshot.history), len(twin)
        return update

    def _look(self, name: str, look: Callable[[], Result]) -> Result | None:
        if not self._is_stale(name):
            return None
        assert self.trainer is not None
        if self.looks[name].due:
            return None
        result = self.looks[name](look)
        self.sent.looks[name] = (getattr(self.wanted, name), self.trainer.step_count)
        return result

    def _unit(self, snapshot: Snapshot) -> UnitView | None:
        assert self.trainer is not None
        assert self.wanted is not None
        if self.wanted.unit is None:
            return None
        self.sent.looks["unit"] = (self.wanted.unit, self.trainer.step_count)
        return observe.unit(self.trainer, snapshot.layers, *self.wanted.unit)

    def _save(self, path: str, experiment: Experiment) -> None:
        """Write an experiment or its weights; which, the name's end says."""
        assert self.trainer is not None
        trainers = {"main": self.trainer} | ({"twin": self.twin} if self.twin is not None else {})
        problem = ""
        try:
            if Path(path).suffix.lower() == ".npz":
                write_arrays(path, dict(self.trainer.weights()))
            else:
                states = {name: trainer.state() for name, trainer in trainers.items()}
                save_experiment(path, replace(experiment, states=states))
        except (BackendUnavailable, OSError, ValueError, MemoryError) as error:
            problem = str(error) or type(error).__name__
        except Exception as error:
            problem = f"unexpected error: {type(error).__name__}: {error}"
            raise
        finally:
            self._send(Saved(self.run, path, self.trainer.step_count, problem))


def _twin_of(trainer: Trainer) -> Trainer:
    return Trainer(trainer.config.without_dropout(), trainer.dataset)


class _WindowGone(Exception):
    """Nobody listens any more."""


@contextmanager
def _while_there() -> Iterator[None]:
    """Tells a window that is gone from a file that ends too early: their errors have the same types."""
    try:
        yield
    except (EOFError, OSError):
        raise _WindowGone from None


def _field_of(error: Exception, config: ExperimentConfig) -> str:
    """The field that a failure to start is about."""
    if isinstance(error, BackendUnavailable):
        return "backend" if config.backend != "cpu" else "dataset"
    return "dataset" if isinstance(error, DataError) else getattr(error, "field", "")


def _about(trainer: Trainer) -> About:
    data = trainer.dataset
    examples = f"{len(data.x_train)} to train, {len(data.x_test)} to test"
    return About(
        f"{examples}, {data.features} features, {data.classes} classes",
        data.features,
        data.classes,
        data.class_names,
        data.feature_names,
        data.image_shape,
        trainer.network.summary((data.features,)),
    )


def work(connection: Connection) -> None:
    """Serve the window until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the window decides; Ctrl-C in its terminal reaches both
    set_num_threads(max(1, get_num_threads() - 1))  # a core for the window
    gc.freeze()  # what the imports have made stays: the collector need not look through it
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    with one_blas_thread():
        _Worker(connection).loop()
