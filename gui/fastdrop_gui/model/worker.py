"""The training process: trains, serves commands between batches, and sends updates.

Updates and diagnostics are rate-limited (`reporter`), so that training keeps nearly all of the time.
"""

import gc
import os
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import (
    CheckpointError,
    ConfigError,
    DataError,
    Experiment,
    ExperimentConfig,
    TrainingDiverged,
    one_blas_thread,
    save_experiment,
)
from fastdrop.experiments.formats.experiment_file import write_arrays
from fastdrop.threads import get_num_threads, set_num_threads
from fastdrop_gui.model.messages import Failure, Kind, Message, Notice, Saved, Start
from fastdrop_gui.model.reporter import Reporter
from fastdrop_gui.model.trainer_pair import DatasetCache, TrainerPair

NICENESS = 5
"""Where the window and the training compete for one core, the window goes first: it needs little, and soon."""
COMMAND_WAIT = 0.003
"""Seconds that a command may wait while batches are trained."""
_LONGEST_MESSAGE = 500
_NO_MEMORY = "there is not enough memory for this network"


class Worker:
    """Serves one window through a pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._run = 0
        self._pair: TrainerPair | None = None
        self._datasets = DatasetCache()
        self._reporter = Reporter()
        self.running = False
        self._steps_left: int | None = None
        self._steps_per_second = 0.0
        self._step_at = self._poll_at = 0.0

    def loop(self) -> None:
        """Serve until the window sends "stop", or is gone."""
        with suppress(_WindowGone):
            while self._turn():
                pass

    def _turn(self) -> bool:
        """Take commands, train a batch, send an update; False in the end. An unexpected error stops the training."""
        try:
            if not self._take_commands():
                return False
            if self._pair is not None:
                if self.running or self._pair.baseline_is_behind:
                    self._train(self._pair)
                if self._reporter.wait(self._pair) == 0.0:
                    self._send(self._reporter.update(self._run, self._pair))
        except _WindowGone:
            raise
        except Exception as error:
            self._fail_unexpectedly(error)
        return True

    # -- messages

    def _send(self, message: Message) -> None:
        with _window_errors():
            self._connection.send(message)

    def _fail(self, message: str, field: str = "", details: str = "") -> None:
        self.running = False
        self._send(Failure(self._run, message, field, details))

    def _fail_unexpectedly(self, error: Exception) -> None:
        """Stop everything that could fail again by itself; the network stays, so that it can be saved."""
        if self._pair is not None:
            self._pair.set_baseline(False)
        self._reporter.request(None)
        self._steps_left = None
        details = "".join(traceback.format_exception(error))
        self._fail(f"unexpected error: {type(error).__name__}: {error}"[:_LONGEST_MESSAGE], details=details)

    # -- commands

    def _take_commands(self) -> bool:
        """Obey the commands that have come, or that come while there is nothing to do; False for "stop".

        At full speed the pipe is not polled after every batch, because each poll is a system call.
        """
        patience = self._patience()
        if patience == 0.0 and time.perf_counter() < self._poll_at:
            return True
        while True:
            with _window_errors():
                if not self._connection.poll(patience):
                    break
                kind, value = self._connection.recv()
            if kind == "stop":
                return False
            self._obey(kind, value)
            patience = self._patience()
        self._poll_at = time.perf_counter() + COMMAND_WAIT
        return True

    def _patience(self) -> float | None:
        """Seconds to wait for a command: 0 at full speed, None (for ever) when there is nothing to do."""
        if self._pair is not None and self._pair.baseline_is_behind:
            return 0.0
        if not self.running:
            return None if self._pair is None else self._reporter.wait(self._pair)
        return max(0.0, self._step_at - time.monotonic()) if self._steps_per_second else 0.0

    def _obey(self, kind: Kind, value: Any) -> None:
        if kind == "start":
            self._run, start = value
            self._start(start)
        elif kind == "speed":
            self._steps_per_second = value
            self._step_at = time.monotonic()
        elif kind == "threads":
            set_num_threads(value)
        elif kind == "snapshot":
            self._reporter.request(value)
        elif kind == "pause":
            self._stop()
        elif self._pair is not None:
            self._obey_about(self._pair, kind, value)

    def _obey_about(self, pair: TrainerPair, kind: Kind, value: Any) -> None:
        """Commands that need an experiment."""
        if kind in ("rates", "learning_rate", "epochs"):
            self._change(pair, kind, value)
        elif kind == "baseline":
            pair.set_baseline(value)
            self._reporter.invalidate_baseline()
        elif kind == "save":
            self._save(pair, *value)
        else:
            self._go(pair, value if kind == "step" else None)

    def _start(self, start: Start) -> None:
        self._pair = None
        self._stop()
        self._reporter.begin()
        config = start.config if start.was_saved else start.config.replace(data_hash="")
        try:
            self._pair = TrainerPair.from_start(start, self._datasets.load(config))
        except (BackendUnavailable, ConfigError, DataError, CheckpointError, MemoryError, OSError) as error:
            self._fail(str(error) or _NO_MEMORY, _field_of(error, start.config))

    def _go(self, pair: TrainerPair, steps: int | Literal["epoch"] | None) -> None:
        """Train this many batches, to the end of the epoch, or (None) until a command stops it."""
        trainer = pair.trainer
        if steps == "epoch":
            steps = trainer.steps_per_epoch - trainer.step_count % trainer.steps_per_epoch
        self.running = not trainer.finished
        self._steps_left = None if steps is None else (self._steps_left or 0) + steps
        self._step_at = time.monotonic()

    def _stop(self) -> None:
        self.running, self._steps_left = False, None
        self._reporter.hurry()

    def _change(self, pair: TrainerPair, kind: Kind, value: Any) -> None:
        """Change what may change while training runs."""
        if kind == "rates":
            pair.trainer.rates = value
        elif kind == "learning_rate":
            pair.set_learning_rate(value)
        else:
            pair.set_epochs(value)
        if pair.trainer.finished:
            self._stop()
        self._reporter.invalidate()

    def _save(self, pair: TrainerPair, path: str, experiment: Experiment) -> None:
        """Write the experiment, or where the name ends in .npz its weights alone."""
        problem = ""
        try:
            if Path(path).suffix.lower() == ".npz":
                write_arrays(path, dict(pair.trainer.weights()))
            else:
                config = experiment.config.replace(data_hash=pair.data_hash)
                save_experiment(path, replace(experiment, config=config, states=pair.states()))
        except (BackendUnavailable, OSError, ValueError, MemoryError) as error:
            problem = str(error) or type(error).__name__
        except Exception as error:
            problem = f"unexpected error: {type(error).__name__}: {error}"
            raise
        finally:
            self._send(Saved(self._run, path, pair.trainer.step_count, problem))

    # -- training

    def _train(self, pair: TrainerPair) -> None:
        """One batch; a baseline that is behind catches up first."""
        if pair.baseline_is_behind:
            self._step_baseline(pair)
            return
        try:
            pair.trainer.step()
            if pair.baseline is not None:
                self._step_baseline(pair)
        except TrainingDiverged as error:
            self._fail(str(error), "learning_rate")
        except MemoryError:
            self._fail(_NO_MEMORY)
        if self._steps_per_second:
            self._step_at = max(self._step_at + 1.0 / self._steps_per_second, time.monotonic() - 0.1)
        if self._steps_left is not None:
            self._steps_left -= 1
        if pair.trainer.finished or self._steps_left == 0:
            self._stop()

    def _step_baseline(self, pair: TrainerPair) -> None:
        problem = pair.step_baseline()
        if problem:
            self._send(Notice(self._run, problem))


class _WindowGone(Exception):
    """The other end of the pipe is closed."""


@contextmanager
def _window_errors() -> Iterator[None]:
    """Tell a closed pipe from a file that ends too early: their errors have the same types."""
    try:
        yield
    except (EOFError, OSError):
        raise _WindowGone from None


def _field_of(error: Exception, config: ExperimentConfig) -> str:
    """The field of the configuration that a failure to start is about."""
    if isinstance(error, BackendUnavailable):
        return "backend" if config.backend != "cpu" else "dataset"
    return "dataset" if isinstance(error, DataError) else getattr(error, "field", "")


def serve(connection: Connection) -> None:
    """Run the training process until its window is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches both processes; the window decides
    set_num_threads(max(1, get_num_threads() - 1))  # a core for the window
    gc.freeze()  # the garbage collector skips what the imports have made
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    with one_blas_thread():
        Worker(connection).loop()
