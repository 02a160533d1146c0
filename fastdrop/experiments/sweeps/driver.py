"""What every sweep under way has in common, wherever its runs are trained."""

import time
from abc import ABC, abstractmethod
from collections import deque

from fastdrop.experiments.sweeps.plan import Result, Run, Sweep
from fastdrop.experiments.sweeps.table import SweepTable, TableError


class SweepRun(ABC):
    """A sweep under way. No call waits: call `poll` regularly, and `close` at the end.

    Parameters
    ----------
    sweep : Sweep

    Attributes
    ----------
    table : SweepTable or None
        Set before the first `poll`, it takes the results as they come; what it holds already is not trained again.
    results : list of Result
        In the order in which they came, those of the table first; one for each run.
    problem : str
        Why it stopped before its end, if nobody asked it to.
    note : str
        What it waits for at the moment, if it waits.
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
        """Runs that were in the table before."""
        return len(self.table.kept) if self.table is not None and self._opened else 0

    @property
    def progress(self) -> float:
        """The share of all epochs that is done."""
        if not self._ended:
            self._last_progress = (self._epochs + self._epochs_under_way()) / self._total_epochs
        return self._last_progress

    @property
    def seconds_left(self) -> float | None:
        """As it has gone so far; None where that is not known yet."""
        if self._begun is None or self._ended:
            return None
        begun, before = self._begun
        seconds, done = time.monotonic() - begun, self.progress - before
        return seconds * (1 - self.progress) / done if seconds > 0.5 and done > 0 else None

    def poll(self) -> list[Result]:
        """What has come since the last call; hands out more work."""
        if self._ended:
            return []
        reason = self._reason  # before what comes is collected: it comes from a thread, the reason last
        try:
            found = [] if self._opened else self._open()
            if self._opened:
                found += self._take(self._collect())
            if self._opened and len(self.results) < self.sweep.count and not self._reason:
                self._hand_out()
            if reason:
                kept = f" The {len(self.results)} of {self.sweep.count} runs that were finished stay."
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
        """What the table held, once it is read."""
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
        """Those that are new: a run counts once, however often its result comes."""
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
        """Whether all is there and in the table; writes what is due."""
        written = self.table is None or self.table.is_written(hurry)
        return hurry and written

    def fail(self, reason: str) -> None:
        """Say why nothing more can come."""
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
        """Stop; runs that are not finished are given up. Whoever trains them ends by itself, a little later."""
        if not self._ended:
            self.cancelled = True
            self._end()

    def close(self, patience: float = 0.5) -> None:
        """Stop, and wait so many seconds at most for what works in the background."""
        self.cancel()

    @abstractmethod
    def _collect(self) -> list[Result]:
        """What has come; calls `fail` if nothing more can come."""

    @abstractmethod
    def _hand_out(self) -> None:
        """Give some of `waiting` to whoever trains them."""

    @abstractmethod
    def _epochs_under_way(self) -> float:
        """Epochs of unfinished runs, as far as they are known."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of whoever trains."""
