"""Candidates timed against each other in rounds, so that a noisy moment of the machine hits all of them."""

import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastdrop.threads import kernels

SHORTEST = 200e-6
"""Seconds that one timing by the host's clock takes at least."""
SHORTEST_AFTER_WAITING = 20e-3
"""The same where the processor has idled before: it takes a while to come back to its clock."""
SLOW = 50
"""A call that takes so many times fastdrop's, and more than SLOW_SECONDS, takes part in the first rounds only."""
SLOW_SECONDS = 5e-3
FIRST_ROUNDS = 3
RATHER_SLOW = 5
RATHER_MANY_ROUNDS = 15
"""For calls that take more than RATHER_SLOW times fastdrop's: the others get more rounds, and run side by side."""
FEWEST_ROUNDS = 5
MOST_ROUNDS = 400
LONGEST_WAIT, WAIT_STEP = 0.5, 0.01
"""Seconds to wait for idle threads."""
SUBJECT = "fastdrop"
"""The candidate that the others are compared with."""


class Candidate(NamedTuple):
    """One way to do a case's work."""

    run: Callable[[], Any]
    check: Callable[[Any], None]
    """Raises where what `run` returned is wrong."""
    bytes: int
    """What the call reads and writes of arrays of x's size (`plan.arrays_moved`); 0 where it says nothing."""
    isa: str = ""
    """The instruction set to force for this candidate alone."""
    spins: bool = False
    """Whether to wait after it for another library's idle threads: they spin on cores that the next candidate's own
    threads need. Candidates that have none lose by it: what a sleeping thread is woken for first takes longer."""


class Timing(NamedTuple):
    """Seconds of one call: median and quartiles over the rounds.

    `relative` is the same for the ratio to fastdrop's time in the same round. Such a ratio stays what it is while the
    machine becomes slower and faster, which a ratio of two medians need not.
    """

    median: float
    low: float
    high: float
    rounds: int
    relative: float
    relative_low: float
    relative_high: float
    bytes: int

    @property
    def spread(self) -> float:
        """The distance of the quartiles as a share of the median."""
        return (self.high - self.low) / self.median


class Timer(Protocol):
    """A clock for candidates, and the time that it needs to be exact."""

    shortest: float
    """Seconds that one timing takes at least: short calls are repeated."""

    def time(self, candidate: Candidate, loops: int) -> tuple[Any, float]:
        """The last result, and seconds per call."""
        ...


class HostTimer:
    """The host's clock, around calls that have done their work when they return."""

    shortest = SHORTEST

    def time(self, candidate: Candidate, loops: int) -> tuple[Any, float]:
        before = kernels.current_isa()
        if candidate.isa:
            kernels.use_isa(candidate.isa)
        run, result = candidate.run, None
        try:
            begin = time.perf_counter()
            for _ in range(loops):
                result = run()
            return result, (time.perf_counter() - begin) / loops
        finally:
            if candidate.isa:
                kernels.use_isa(before)


HOST = HostTimer()


def measure(makers: dict[str, Callable[[], Candidate]], seconds: float, timer: Timer = HOST) -> dict[str, Timing | str]:
    """Make, check and time the candidates; where one fails, the text of its error stands in place of its timing.

    `seconds` is what the rounds may take, not counting the candidates that are much slower than fastdrop.
    """
    found: dict[str, Timing | str] = {}
    ready: dict[str, Candidate] = {}
    estimates: dict[str, float] = {}
    for name, make in makers.items():
        try:
            candidate = make()
            result, first = timer.time(candidate, 1)
            candidate.check(result)
            del result
            # The first call may have compiled something or touched new memory.
            estimates[name] = first if first > 1 else timer.time(candidate, 1)[1]
        except Exception as error:  # whatever a peer raises must not end the run
            found[name] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            if name == SUBJECT:
                return found
            continue
        ready[name] = candidate
        if candidate.spins:
            _wait_for_idle_threads()
    times = _rounds(ready, estimates, seconds, timer)
    own = times[SUBJECT]
    for name, candidate in ready.items():
        ratios = [taken / of for taken, of in zip(times[name], own, strict=False)]
        found[name] = Timing(*_quartiles(times[name]), len(times[name]), *_quartiles(ratios), candidate.bytes)
    return {name: found[name] for name in makers}


def _rounds(
    ready: dict[str, Candidate], estimates: dict[str, float], seconds: float, timer: Timer
) -> dict[str, list[float]]:
    """Seconds per call and round. The order rotates: nobody always runs after the same neighbour."""
    times: dict[str, list[float]] = {name: [] for name in ready}
    loops = {}
    for name, candidate in ready.items():
        shortest = SHORTEST_AFTER_WAITING if candidate.spins else timer.shortest
        loops[name] = math.ceil(shortest / max(estimates[name], 1e-8))
    most = {name: _most_rounds(estimates[name], estimates[SUBJECT]) for name in ready}
    spent = 0.0
    for number in range(MOST_ROUNDS):
        if number >= FEWEST_ROUNDS and spent > seconds:
            break
        names = [name for name in ready if number < most[name]]
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            begin = time.perf_counter()
            if estimates[name] < SLOW_SECONDS or ready[name].spins:
                timer.time(
                    ready[name], loops[name]
                )  # as long untimed: caches and the processor's clock come back to it
            times[name].append(timer.time(ready[name], loops[name])[1])
            if ready[name].spins:
                _wait_for_idle_threads()
            if most[name] == MOST_ROUNDS:
                spent += time.perf_counter() - begin
    return times


def _wait_for_idle_threads() -> None:
    """Sleep until the process takes no processor time (OpenBLAS: 0.03 to 0.1 s after a product)."""
    deadline = time.perf_counter() + LONGEST_WAIT
    while time.perf_counter() < deadline:
        before = time.process_time()
        time.sleep(WAIT_STEP)
        if time.process_time() - before < WAIT_STEP / 5:
            return


def _most_rounds(estimate: float, own: float) -> int:
    if estimate > max(SLOW * own, SLOW_SECONDS):
        return FIRST_ROUNDS
    return RATHER_MANY_ROUNDS if estimate > RATHER_SLOW * own else MOST_ROUNDS


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, high = np.quantile(values, (0.25, 0.75))
    return median(values), float(low), float(high)
