"""Candidates timed against each other in rounds, so that a noisy moment of the machine affects all of them."""

import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from fastdrop.bench.internals import kernels

SUBJECT = "fastdrop"
"""The candidate that the others are compared with."""
SHORTEST, SHORTEST_AFTER_WAITING = 200e-6, 20e-3
"""Seconds that one timing takes at least. After a wait, the processor needs longer to reach its clock rate."""
WARM_UP_BELOW = 5e-3
"""Seconds of a call, below which as many calls are made untimed before each timing: they warm the caches."""
SLOW, SLOW_ROUNDS = 50, 3
RATHER_SLOW, RATHER_SLOW_ROUNDS = 5, 15
"""A call that takes this many times fastdrop's gets so few rounds."""
FEWEST_ROUNDS, MOST_ROUNDS = 5, 400
LONGEST_WAIT, WAIT_STEP = 0.5, 0.01
"""Seconds to wait for idle threads."""


class Candidate(NamedTuple):
    """One way to do a case's work."""

    run: Callable[[], Any]
    check: Callable[[Any], None]
    """Raises where what `run` returned is wrong."""
    bytes: int = 0
    """What a call reads and writes; 0 where GB/s say nothing."""
    isa: str = ""
    """The instruction set to force for this candidate."""
    spins: bool = False
    """Whether it leaves threads of another library spinning: the next candidate waits until they sleep."""


Maker = Callable[[], Candidate]
Timer = Callable[[Candidate, int], tuple[Any, float]]
"""Runs a candidate a number of times; returns the last result and the seconds of a call."""


class Timing(NamedTuple):
    """Seconds of one call: median and quartiles over the rounds.

    `relative` is the time divided by fastdrop's in the same round. It is robust against a machine whose speed changes,
    which the ratio of two medians is not.
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
        """The distance between the quartiles as a fraction of the median."""
        return (self.high - self.low) / self.median


def on_cpu(candidate: Candidate, loops: int) -> tuple[Any, float]:
    """Time calls that have done their work when they return."""
    before, run, result = kernels.current_isa(), candidate.run, None
    if candidate.isa:
        kernels.use_isa(candidate.isa)
    try:
        begin = time.perf_counter()
        for _ in range(loops):
            result = run()
        return result, (time.perf_counter() - begin) / loops
    finally:
        kernels.use_isa(before)


def first_line(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def measure(
    makers: dict[str, Maker], seconds: float, timer: Timer = on_cpu, shortest: float = SHORTEST
) -> dict[str, Timing | str]:
    """Make, check and time the candidates; the text of its error replaces the timing of one that fails.

    `seconds` is what the rounds may take, without the candidates that are much slower than fastdrop.
    """
    found: dict[str, Timing | str] = {}
    ready: dict[str, Candidate] = {}
    estimates: dict[str, float] = {}
    for name, make in makers.items():
        try:
            candidate = make()
            result, first = timer(candidate, 1)
            candidate.check(result)
            del result
            # The first call may have compiled something or touched new memory.
            estimates[name] = first if first > 1 else timer(candidate, 1)[1]
        except Exception as error:  # whatever a baseline raises must not end the run
            found[name] = first_line(error)
            if name == SUBJECT:
                return found
            continue
        ready[name] = candidate
        if candidate.spins:
            _wait_for_idle_threads()
    times = _rounds(ready, estimates, seconds, timer, shortest)
    for name, candidate in ready.items():
        ratios = [taken / own for taken, own in zip(times[name], times[SUBJECT], strict=False)]
        found[name] = Timing(*_quartiles(times[name]), len(times[name]), *_quartiles(ratios), candidate.bytes)
    return {name: found[name] for name in makers}


def _rounds(
    ready: dict[str, Candidate], estimates: dict[str, float], seconds: float, timer: Timer, shortest: float
) -> dict[str, list[float]]:
    """Seconds per call and round. The order rotates, so that no candidate always runs after the same neighbour."""
    times: dict[str, list[float]] = {name: [] for name in ready}
    most = {name: _most_rounds(estimates[name], estimates[SUBJECT]) for name in ready}
    spent = 0.0
    for number in range(MOST_ROUNDS):
        if number >= FEWEST_ROUNDS and spent > seconds:
            break
        names = [name for name in ready if number < most[name]]
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            candidate, begin = ready[name], time.perf_counter()
            loops = math.ceil((SHORTEST_AFTER_WAITING if candidate.spins else shortest) / max(estimates[name], 1e-8))
            if estimates[name] < WARM_UP_BELOW or candidate.spins:
                timer(candidate, loops)
            times[name].append(timer(candidate, loops)[1])
            if candidate.spins:
                _wait_for_idle_threads()
            if most[name] == MOST_ROUNDS:
                spent += time.perf_counter() - begin
    return times


def _most_rounds(estimate: float, own: float) -> int:
    if estimate > max(SLOW * own, WARM_UP_BELOW):
        return SLOW_ROUNDS
    return RATHER_SLOW_ROUNDS if estimate > RATHER_SLOW * own else MOST_ROUNDS


def _wait_for_idle_threads() -> None:
    """Sleep until the process uses no processor time (OpenBLAS: 0.03 to 0.1 s after a product)."""
    deadline = time.perf_counter() + LONGEST_WAIT
    while time.perf_counter() < deadline:
        before = time.process_time()
        time.sleep(WAIT_STEP)
        if time.process_time() - before < WAIT_STEP / 5:
            return


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, high = np.quantile(values, (0.25, 0.75))
    return median(values), float(low), float(high)
