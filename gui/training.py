"""The trainer in a process of its own, so that the window stays fluid however hard it works.

A thread would share Python's lock with the window: each of the window's many short calls would wait for the trainer to
give it up. The process also keeps QObjects and the trainer's garbage apart, and a crash in training leaves the window.

The window asks for a snapshot when it has drawn the last one, and gets the newest: nothing queues up.
"""

import multiprocessing
import signal
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any, Literal

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import (
    ConfigError,
    DataError,
    EpochRecord,
    ExperimentConfig,
    Snapshot,
    Trainer,
    TrainingDiverged,
    one_blas_thread,
)
from fastdrop.threads import get_num_threads, set_num_threads


@dataclass(frozen=True)
class Update:
    """The newest snapshot of experiment number `run`, with the epochs that ended since the last one.

    The snapshot's own history is empty.
    """

    run: int
    snapshot: Snapshot
    records: tuple[EpochRecord, ...]
    total_steps: int
    steps_per_epoch: int
    data: str
    finished: bool


@dataclass(frozen=True)
class Failure:
    """Why experiment number `run` cannot start or go on; without a number the process itself has died."""

    run: int | None
    message: str


Message = Update | Failure
Kind = Literal["start", "run", "pause", "step", "rate", "speed", "snapshot", "stop"]


class TrainingProcess:
    """The window's end. No call waits for the trainer, as long as commands come no faster than it reads them."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True, name="fastdrop training")
        self._process.start()
        theirs.close()
        self._lost = False

    def send(self, kind: Kind, value: Any = None) -> None:
        """Give a command; it is lost if the process is."""
        if not self._lost:
            try:
                self._connection.send((kind, value))
            except (BrokenPipeError, OSError):
                self._lost = True

    def receive(self) -> list[Message]:
        """What has come in since the last call."""
        messages: list[Message] = []
        try:
            while not self._connection.closed and self._connection.poll():
                messages.append(self._connection.recv())
        except (EOFError, OSError):
            self._process.join(timeout=1.0)
            self._connection.close()
            self._lost = True
            text = f"the training process ended unexpectedly (exit status {self._process.exitcode})"
            messages.append(Failure(None, f"{text}; Reset starts another"))
        return messages

    def close(self, patience: float = 0.5) -> None:
        """Ask the process to stop, and end it if it does not within so many seconds."""
        self.send("stop")
        self._process.join(timeout=patience)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._connection.close()


class _Worker:
    """The process's end: commands between batches, batches as fast as allowed."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.run = 0
        self.trainer: Trainer | None = None
        self.running = False
        self.steps_left: int | None = None
        self.wanted = False
        self.sent_step = -1
        self.sent_records = 0
        self.steps_per_second = 0.0
        self.due = 0.0

    def loop(self) -> None:
        while True:
            while self.connection.poll(self._patience()):
                kind, value = self.connection.recv()
                if kind == "stop":
                    return
                self._obey(kind, value)
            if self.running:
                self._train()
            self._report()

    def _patience(self) -> float | None:
        """How long to wait for a command: not at all at full speed, for ever when there is nothing to do."""
        if not self.running:
            return None if not self._has_news() else 0.0
        return max(0.0, self.due - time.monotonic()) if self.steps_per_second else 0.0

    def _obey(self, kind: Kind, value: Any) -> None:
        if kind == "start":
            self.run, config = value
            self._start(config)
        elif kind == "speed":
            self.steps_per_second = value
            self.due = time.monotonic()
        elif kind == "snapshot":
            self.wanted = True
        elif kind == "pause":
            self.running, self.steps_left = False, None
        elif self.trainer is None:
            return
        elif kind == "rate":
            self.trainer.rate = value
            self.sent_step = -1  # the picture changes, also while the training stands still
        else:
            self.running = not self.trainer.finished
            self.steps_left = (self.steps_left or 0) + 1 if kind == "step" else None
            self.due = time.monotonic()

    def _start(self, config: ExperimentConfig) -> None:
        self.trainer, self.running, self.steps_left = None, False, None
        self.sent_step, self.sent_records = -1, 0
        try:
            self.trainer = Trainer(config)
        except (BackendUnavailable, ConfigError, DataError, MemoryError, OSError) as error:
            self.connection.send(Failure(self.run, str(error) or type(error).__name__))

    def _train(self) -> None:
        assert self.trainer is not None
        try:
            self.trainer.step()
        except TrainingDiverged as error:
            self.running = False
            self.connection.send(Failure(self.run, str(error)))
        except MemoryError:
            self.running = False
            self.connection.send(Failure(self.run, "there is not enough memory for this network"))
        if self.steps_per_second:
            self.due = max(self.due + 1.0 / self.steps_per_second, time.monotonic() - 0.1)
        if self.steps_left is not None:
            self.steps_left -= 1
        if self.trainer.finished or self.steps_left == 0:
            self.running, self.steps_left = False, None

    def _has_news(self) -> bool:
        return self.wanted and self.trainer is not None and self.trainer.step_count != self.sent_step

    def _report(self) -> None:
        if not self._has_news() or self.trainer is None:
            return
        snapshot = self.trainer.snapshot()
        records = snapshot.history[self.sent_records :]
        data = self.trainer.dataset
        examples = f"{len(data.x_train)} to train, {len(data.x_test)} to test"
        self.connection.send(
            Update(
                self.run,
                replace(snapshot, history=()),
                records,
                self.trainer.total_steps,
                self.trainer.steps_per_epoch,
                f"{examples}, {data.features} features, {data.classes} classes",
                self.trainer.finished,
            )
        )
        self.wanted = False
        self.sent_step = snapshot.step
        self.sent_records += len(records)


def _work(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the window decides; Ctrl-C in its terminal reaches both
    set_num_threads(max(1, get_num_threads() - 1))  # a core for the window
    try:
        with one_blas_thread():
            _Worker(connection).loop()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the window is gone
