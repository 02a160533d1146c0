"""A running sweep, on local processes or on a cluster."""

import time
from abc import ABC, abstractmethod
from collections import deque

from fastdrop.experiments.sweeps.plan import Result, Run, Sweep
from fastdrop.experiments.sweeps.sweep_table import SweepTable, TableError


class SweepRun(ABC):
    """A running sweep. No call blocks: call `poll` regularly, and `close` at the end.

    Parameters
    ----------
    sweep : Sweep

    Attributes
    ----------
    table : SweepTable or None
        If set before the first `poll`, results are written to it; runs that are in it already are not trained again.
    results : list of Result
        In the order of their arrival, those of the table first; one for each run.
    problem : str
        Why it stopped early, if it was not cancelled.
    note : str
        What it is waiting for, if anything.
    cancelled : bool
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.table: SweepTable | None = None
        self.results: list[Result] = []
        self.problem = ""
        self.note = ""
        self.cancelled = False
        self._reason = ""
        self.waiting: deque[Run] = deque(sweep.runs())
        self._opened = self._ended = False
        self._keys: set[tuple[object, int]] = set()
        self._total_epochs = sum(run.config.epochs for run in self.waiting)
        self._epochs = 0
        self._kept_epochs = 0
        self._begun: tuple[float, float] | None = None
        self._last_progress = 0.0

    @property
    def is_running(self) -> bool:
        return not self._ended

    @property
    def kept(self) -> int:
        """Runs that were in the table before the sweep."""
        return len(self.table.kept) if self.table is not None and self._opened else 0

    @property
    def progress(self) -> float:
        """The finished fraction of all epochs."""
        if not self._ended:
            self._last_progress = (self._epochs + self._epochs_under_way()) / self._total_epochs
        return self._last_progress

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the speed so far; None where it is not known yet."""
        if self._begun is None or self._ended:
            return None
        begun, before = self._begun
        seconds, done = time.monotonic() - begun, self.progress - before
        return seconds * (1 - self.progress) / done if seconds > 0.5 and done > 0 else None

    def poll(self) -> list[Result]:
        """The results since the last call; hands out more runs."""
        if self._ended:
            return []
        reason = self._reason  # read before the results are collected: a thread sets the reason after its last result
        try:
            found = [] if self._opened else self._open()
            if self._opened:
                found += self._take(self._collect())
            if self._opened and len(self.results) < self.sweep.count and not self._reason:
                self._hand_out()
            if reason:
                kept = f" The {len(self.results)} finished runs of {self.sweep.count} are kept."
                self.problem = reason + (kept if self.results else "")
                self._end()
            elif self._opened and self._is_written(hurry=len(self.results) == self.sweep.count):
                self._end()
        except TableError as error:
            found = []
            self.problem = str(error)
            self._end()
        if self._begun is None and self.progress > self._kept_epochs / self._total_epochs:
            self._begun = (time.monotonic(), self.progress)
        return found

    def _open(self) -> list[Result]:
        """The results of the table, once it is read."""
        if self.table is None:
            self._opened = True
            return []
        if not self.table.is_open:
            return []
        self._opened = True
        found = self._take(self.table.kept, write=False)
        self._kept_epochs = self._epochs
        self.waiting = deque(run for run in self.waiting if (run.value, run.seed) not in self._keys)
        return found

    def _take(self, results: list[Result], write: bool = True) -> list[Result]:
        """The new results: a run counts once, even if its result arrives twice."""
        new = []
        for result in results:
            key = (result.value, result.seed)
            if key not in self._keys:
                self._keys.add(key)
                self._epochs += result.config.epochs
                new.append(result)
        self.results += new
        if self.table is not None and write:
            self.table.add(new)
        return new

    def _is_written(self, hurry: bool) -> bool:
        """Whether everything is finished and in the table; writes what is due."""
        written = self.table is None or self.table.is_written(hurry)
        return hurry and written

    def fail(self, reason: str) -> None:
        """Stop for this reason at the next `poll`: no more results can come."""
        self._reason = self._reason or reason

    def _end(self) -> None:
        self._last_progress = self.progress
        self._ended = True
        self.note = ""
        self._release()
        if self.table is not None:
            try:
                self.table.close()
            except TableError as error:
                self.problem = self.problem or str(error)

    def cancel(self) -> None:
        """Stop and discard unfinished runs; their processes or workers end a little later."""
        if not self._ended:
            self.cancelled = True
            self._end()

    def close(self, patience: float = 0.5) -> None:
        """Stop, and wait at most `patience` seconds for the background work."""
        self.cancel()

    @abstractmethod
    def _collect(self) -> list[Result]:
        """The results that have arrived; calls `fail` if no more can come."""

    @abstractmethod
    def _hand_out(self) -> None:
        """Hand out some of `waiting` for training."""

    @abstractmethod
    def _epochs_under_way(self) -> float:
        """Epochs of unfinished runs, as far as they are known."""

    @abstractmethod
    def _release(self) -> None:
        """Release the processes or workers."""
