"""A running comparison in local worker processes, polled without blocking."""

import multiprocessing
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.evidence.plan import DEFAULT_RATES, DEFAULT_SPLITS, EvidencePlan
from fastdrop.experiments.evidence.summary import Evidence
from fastdrop.experiments.evidence.training import FailedSplit, SplitResult, train_split
from fastdrop.experiments.parallel import available_cores, begin_nice_worker, end_processes, interrupts_held

_DIED = "A worker process ended unexpectedly, perhaps because memory ran out."
_POLL_SECONDS = 0.05


class EvidenceRun:
    """A running comparison. No call blocks: call `poll` regularly, and `close` at the end.

    Each split is trained in a worker process with one thread: their number changes only the time.

    Parameters
    ----------
    plan : EvidencePlan
    processes : int, optional
        All cores by default, and no more than there are splits.

    Attributes
    ----------
    results : list of SplitResult
        Finished splits, in the order of their arrival.
    failed : list of FailedSplit
        Splits without a result.
    problem : str
        Why it stopped early, if it was not cancelled, or why no split has a result.
    cancelled : bool
    """

    def __init__(self, plan: EvidencePlan, processes: int | None = None) -> None:
        count = available_cores() if processes is None else processes
        if count < 1:
            raise ValueError(f"processes must be at least 1; got {processes}")
        self.plan = plan
        self.results: list[SplitResult] = []
        self.failed: list[FailedSplit] = []
        self.problem = ""
        self.cancelled = False
        context = multiprocessing.get_context("spawn")  # a fork would copy the locks of threads
        shared = context.RawArray("q", plan.splits + 1)
        self._done = np.frombuffer(shared, np.int64)
        count = min(count, plan.splits)
        self._executor = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(shared,))
        self._most_ahead = 2 * count
        self._waiting = deque(range(plan.splits))
        self._futures: dict[Future[SplitResult | FailedSplit | None], int] = {}
        self._processes: list[Any] = []
        self._ended = False
        self._died = False
        self._begun: tuple[float, float] | None = None
        self._last_progress = 0.0
        self._evidence: Evidence | None = None
        self._summed_up = 0

    @property
    def is_running(self) -> bool:
        """Whether more results can come."""
        return not self._ended

    @property
    def progress(self) -> float:
        """The finished fraction of all epochs."""
        if not self._ended:
            finished = (len(self.results) + len(self.failed)) * self.plan.epochs_per_split
            under_way = sum(int(self._done[number]) for number in self._futures.values())
            self._last_progress = (finished + under_way) / (self.plan.splits * self.plan.epochs_per_split)
        return self._last_progress

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the speed so far; None where it is not known yet."""
        if self._begun is None or self._ended:
            return None
        begun, before = self._begun
        seconds, done = time.monotonic() - begun, self.progress - before
        return seconds * (1 - self.progress) / done if seconds > 0.5 and done > 0 else None

    @property
    def evidence(self) -> Evidence | None:
        """What the splits show that are finished; None before the first one. Computed once for each new split."""
        count = len(self.results) + len(self.failed)
        if self.results and self._summed_up != count:
            self._evidence, self._summed_up = Evidence.of(self.plan, self.results, self.failed), count
        return self._evidence

    def poll(self) -> list[SplitResult]:
        """The splits that were finished since the last call; hands out more of them."""
        if self._ended:
            return []
        found = self._collect()
        if self._waiting and not self._died:
            self._hand_out()
        if self._begun is None and self.progress > 0:  # the start of the processes says nothing about the speed
            self._begun = (time.monotonic(), self.progress)
        if self._died:
            kept = f" The {len(self.results)} finished splits of {self.plan.splits} are kept."
            self.problem = _DIED + (kept if self.results else "")
            self._end()
        elif len(self.results) + len(self.failed) == self.plan.splits:
            if not self.results:
                self.problem = f"No split has a result: {self.failed[0].error}"
            self._end()
        return found

    def cancel(self) -> None:
        """Stop and discard unfinished splits; their processes end a little later."""
        if not self._ended:
            self.cancelled = True
            self._end()

    def close(self, patience: float = 0.5) -> None:
        """Stop, and terminate the processes that do not end within `patience` seconds."""
        self.cancel()
        end_processes(self._processes, patience)

    def _collect(self) -> list[SplitResult]:
        found: list[SplitResult] = []
        for future in [future for future in self._futures if future.done()]:
            number = self._futures.pop(future)
            try:
                result = future.result()
            except BrokenProcessPool:
                self._died = True
                continue
            except Exception as error:  # a defect in one split: the others may succeed
                result = FailedSplit(number, f"{type(error).__name__}: {error}")
            assert result is not None, "only a cancelled run has splits without a result"
            if isinstance(result, SplitResult):
                found.append(result)
            else:
                self.failed.append(result)
        self.results += found
        return found

    def _hand_out(self) -> None:
        """Submit a few splits more than are trained, for some milliseconds: the first ones start the processes."""
        deadline = time.monotonic() + 0.01
        try:
            while self._waiting and len(self._futures) < self._most_ahead and time.monotonic() < deadline:
                number = self._waiting.popleft()
                with interrupts_held():
                    self._futures[self._executor.submit(_work, self.plan, number)] = number
        except BrokenProcessPool:
            self._died = True
        self._processes = list((self._executor._processes or {}).values())

    def _end(self) -> None:
        self._last_progress = self.progress
        self._ended = True
        self._done[-1] = 1
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._futures.clear()


def does_dropout_help(
    config: ExperimentConfig,
    splits: int = DEFAULT_SPLITS,
    rates: Sequence[float] = DEFAULT_RATES,
    processes: int | None = None,
) -> Evidence:
    """Does dropout help on this data? Trains with and without it on several splits, and compares on test rows.

    In every split, a validation part is held out of the training part (20 % of each class), and the baseline and a
    network with each candidate rate are trained on the rest, from the same initial weights and with the same batches.
    The rate with the lowest log loss on the validation part is compared with the baseline on the test part. So one part
    chooses the rate, and another judges it. The confidence interval of the mean difference in accuracy is that of
    `fastdrop.experiments.evidence.statistics.resampled_interval`: corrected where splits share rows, and an ordinary
    paired t interval where every split has newly generated data. Where all splits share a test set, it is that of
    `fixed_test_interval`.

    Parameters
    ----------
    config : ExperimentConfig
        With dropout. Split i has its seed + i and its split_seed + i.
    splits : int
        From 1 to 1000. One split gives no confidence interval.
    rates : sequence of float
        The candidate rates, above 0 and at most 1.
    processes : int, optional
        Worker processes with one thread each; all cores by default. Their number does not change the result. They
        import the main program: a script calls this below ``if __name__ == "__main__":``.

    Returns
    -------
    Evidence

    Raises
    ------
    ConfigError
        If the configuration has no dropout, or a number is out of range.
    RuntimeError
        If no split has a result, or a process ended unexpectedly.

    Examples
    --------
    >>> from fastdrop.experiments import ExperimentConfig
    >>> from fastdrop.experiments.evidence import does_dropout_help
    >>> config = ExperimentConfig(dataset="moons", hidden=(16,), epochs=3, learning_rate=0.01)
    >>> evidence = does_dropout_help(config, splits=2, rates=(0.2, 0.5), processes=1)
    >>> len(evidence.results), evidence.interval.low <= evidence.interval.mean <= evidence.interval.high
    (2, True)
    """
    run = EvidenceRun(EvidencePlan(config, splits, rates), processes)
    try:
        while run.is_running:
            run.poll()
            time.sleep(_POLL_SECONDS)
    finally:
        run.close()
    evidence = run.evidence
    if run.problem or evidence is None:
        raise RuntimeError(run.problem)
    return evidence


class _Cancelled(Exception):
    pass


_shared: Any = None
"""In a worker process: the finished epochs of each split, and last whether the run was cancelled."""


def _begin(shared: Any) -> None:
    global _shared
    _shared = shared
    begin_nice_worker()


def _work(plan: EvidencePlan, number: int) -> SplitResult | FailedSplit | None:
    """None if the run was cancelled in the meantime."""

    def look(epochs: int) -> None:
        if _shared[-1]:
            raise _Cancelled
        _shared[number] = epochs

    try:
        return None if _shared[-1] else train_split(plan, number, look)
    except _Cancelled:
        return None
