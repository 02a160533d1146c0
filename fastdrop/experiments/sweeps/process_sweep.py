"""A sweep in local worker processes, polled without blocking."""

import multiprocessing
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

from fastdrop.experiments.parallel import begin_nice_worker, end_processes, interrupts_held
from fastdrop.experiments.sweeps.plan import NO_FIGURES, Result, Run, Sweep, train_run
from fastdrop.experiments.sweeps.sweep_run import SweepRun
from fastdrop.experiments.trainer import Trainer

_DIED = "A process of the sweep ended unexpectedly, perhaps because memory ran out."


class ProcessSweep(SweepRun):
    """A running sweep in processes with one thread each: their number changes only the time.

    Parameters
    ----------
    sweep : Sweep
    processes : int
    """

    def __init__(self, sweep: Sweep, processes: int) -> None:
        if processes < 1:
            raise ValueError(f"processes must be at least 1; got {processes}")
        super().__init__(sweep)
        context = multiprocessing.get_context("spawn")  # a fork would copy the locks of threads
        shared = context.RawArray("q", sweep.count + 1)
        self._done = np.frombuffer(shared, np.int64)
        self._executor = ProcessPoolExecutor(
            min(processes, sweep.count), mp_context=context, initializer=_begin, initargs=(shared,)
        )
        self._most_ahead = 2 * processes
        self._processes: list[Any] = []
        self._handed_out = 0
        self._futures: dict[Future[Result | None], tuple[int, Run]] = {}

    def _collect(self) -> list[Result]:
        found: list[Result] = []
        for future in [future for future in self._futures if future.done()]:
            _, run = self._futures.pop(future)
            try:
                result = future.result()
            except BrokenProcessPool:
                self.fail(_DIED)
            except Exception as error:  # a defect of one run: the others may succeed
                found.append(Result(*run, NO_FIGURES, f"{type(error).__name__}: {error}"))
            else:
                assert result is not None, "only a cancelled sweep has runs without a result"
                found.append(result)
        return found

    def _hand_out(self) -> None:
        """Submit a few runs more than are processed, for some milliseconds: the first ones start the processes."""
        deadline = time.monotonic() + 0.01
        try:
            while self.waiting and len(self._futures) < self._most_ahead and time.monotonic() < deadline:
                numbered = (self._handed_out, self.waiting.popleft())
                with interrupts_held():
                    self._futures[self._executor.submit(_work, *numbered)] = numbered
                self._handed_out += 1
        except BrokenProcessPool:
            self.fail(_DIED)
        self._processes = list((self._executor._processes or {}).values())

    def _epochs_under_way(self) -> float:
        return float(sum(self._done[number] for number, _ in self._futures.values()))

    def _release(self) -> None:
        self._done[-1] = 1
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._futures.clear()

    def close(self, patience: float = 0.5) -> None:
        """Stop, and terminate the processes that do not end within `patience` seconds."""
        self.cancel()
        end_processes(self._processes, patience)


class _Cancelled(Exception):
    pass


_shared: Any = None
"""In a worker process: the trained epochs of each run, and last whether the sweep was cancelled."""


def _begin(shared: Any) -> None:
    global _shared
    _shared = shared
    begin_nice_worker()


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
