"""Dropout with one thread, two, four and so on to all cores, and by NUMA node: how far it scales, and what stops it.

Every number of threads is measured in a process of its own, which is pinned to as many cores before it loads anything,
and touches its memory there first. Beside the call stand what may stop it: a copy on the same threads, for the memory;
what a call costs for having a team; and how unequal the cores are when all of them work.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import mean, median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import threads
from fastdrop.bench import checks, topology
from fastdrop.bench.measure import SUBJECT, Candidate, Timing, measure
from fastdrop.rule import TILE

Array = NDArray[Any]

OPERATIONS = ("dropout", "dropout backward")
PS = (0.5, 0.3)
SMALL, LARGE = 1 << 21, 1 << 26
SECONDS = 0.15
SWEEPS = 3
"""Over all numbers of threads, up and down: medians of these, since a machine's speed drifts."""
_PAGE = 4096
_WAKE_CALLS, _ASLEEP_CALLS, _ASLEEP_AFTER = 200, 20, 2e-3
_IMBALANCE_ROUNDS = 5
_LONGEST = 600
"""Seconds that one process may take."""


class Job(NamedTuple):
    """What one process measures."""

    group: str
    cpus: list[int]
    sizes: list[int]
    seconds: float
    """For the rounds of one case."""


class Point(NamedTuple):
    """One case on one number of threads. Times are seconds of one call."""

    group: str
    operation: str
    elements: int
    p: float
    threads: int
    used: int
    """Threads that a call of this size gets."""
    seconds: float
    copy: float
    share: float
    """fastdrop's speed as a share of the copy's: the median of the rounds' ratios."""
    team: float
    """What a call costs for having a team that is awake, as it is in quick succession."""
    asleep: float
    """The same for one that sleeps."""
    imbalance: float
    """The slowest thread's time over the mean, each at work on its piece at the same time."""

    @property
    def case(self) -> tuple[str, str, int, float]:
        return self[:4]

    @property
    def gigabytes_per_second(self) -> float:
        """What a copy of the same array reads and writes, per second."""
        return 8 * self.elements / self.seconds / 1e9

    def speedup(self, one: "Point") -> float:
        """Over `one`, the same case on one thread."""
        return one.seconds / self.seconds

    def efficiency(self, one: "Point") -> float:
        """The share of these threads that is put to use."""
        return self.speedup(one) / self.threads


def sizes() -> list[int]:
    """2^21 elements, and 2^26 or what fits into a quarter of the memory."""
    room = topology.available_memory()
    fitting = LARGE if room is None else room // 4 // 8  # two arrays of 4 bytes
    largest = min(LARGE, 1 << max(10, fitting.bit_length() - 1))
    return sorted({min(SMALL, largest), largest})


def jobs(groups: dict[str, list[int]], elements: list[int]) -> list[Job]:
    """A process for every number of threads of every group of cores."""
    counts = {name: topology.counts(min(len(cpus), threads.MOST_THREADS)) for name, cpus in groups.items()}
    return [Job(name, groups[name][:count], elements, SECONDS) for name in groups for count in counts[name]]


def run(work: list[Job]) -> Iterator[list[Point]]:
    """The points of one process after the other, up and down through the numbers of threads."""
    for sweep in range(SWEEPS):
        for job in work[::-1] if sweep % 2 else work:
            yield _in_a_process(job)


def combined(found: list[list[Point]]) -> list[Point]:
    """The medians over the sweeps, in the order of first appearance."""
    same: dict[tuple[Any, ...], list[Point]] = {}
    for point in (point for points in found for point in points):
        same.setdefault(point[:6], []).append(point)
    return [
        Point(*key, *(median(values) for values in list(zip(*each, strict=True))[6:])) for key, each in same.items()
    ]


def _in_a_process(job: Job) -> list[Point]:
    program = "from fastdrop.bench.scaling import main; main()"
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", f"import os; {_pin(job.cpus)}; {program}"],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
            timeout=_LONGEST,
        )
    except subprocess.TimeoutExpired:
        raise ChildProcessError(f"measuring with {len(job.cpus)} threads took more than {_LONGEST} seconds") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ChildProcessError(f"measuring with {len(job.cpus)} threads ended with status {done.returncode}: {last}")
    return [Point(*point) for point in json.loads(done.stdout)]


def _pin(cpus: list[int]) -> str:
    """Before anything is imported that asks how many cores there are."""
    return f"hasattr(os, 'sched_setaffinity') and os.sched_setaffinity(0, {cpus})"


def main() -> None:
    """In the process: a job comes as JSON, and so do the points go."""
    print(json.dumps(measure_here(Job(*json.load(sys.stdin)))))


def measure_here(job: Job) -> list[Point]:
    """All cases of a job on this process's cores."""
    count = len(job.cpus)
    threads.set_num_threads(count)
    x, out = _touched(max(job.sizes), count)
    costs = (_team(count, _WAKE_CALLS, 0.0), _team(count, _ASLEEP_CALLS, _ASLEEP_AFTER), _imbalance(x, out, job.cpus))
    found = []
    for elements in job.sizes:
        for operation in OPERATIONS:
            for p in PS:
                times = _timings(operation, x[:elements], out[:elements], p, job.seconds)
                used = threads.threads_for(elements)
                own, copy = times[SUBJECT], times["copy"]
                figures = (own.median, copy.median, copy.relative, *costs)
                found.append(Point(job.group, operation, elements, p, count, used, *figures))
    return found


def _copy(source: Array, target: Array, count: int) -> Callable[[], None]:
    """The yardstick on `count` threads: streaming where it does not fit the caches, memcpy where it does."""
    kind = "stream" if 2 * source.nbytes > threads.kernels.streaming()[2] else "memcpy"
    return lambda: threads.kernels.copy(source, target, kind, count)


def _touched(elements: int, count: int) -> tuple[Array, Array]:
    """Normal numbers and an array for results, whose pages the threads touch first that will use them."""
    x, out = np.empty(elements, np.float32), np.empty(elements, np.float32)
    _copy(out, x, count)()
    block = np.random.default_rng(0).standard_normal(min(elements, 1 << 20), np.float32)
    for start in range(0, elements, len(block)):
        x[start : start + len(block)] = block[: elements - start]
    _copy(x, out, count)()
    return x, out


def _timings(operation: str, x: Array, out: Array, p: float, seconds: float) -> dict[str, Timing]:
    stream = fd.Stream(0)
    mask = fd.dropout(x, p, rng=stream, out=out)[1]
    assert mask is not None

    def own() -> Candidate:
        if operation == "dropout":
            forward = partial(fd.dropout, x, p, rng=stream, out=out)
            return Candidate(forward, lambda result: checks.dropout(result[0], x, result[1]), 2 * x.nbytes)
        backward = partial(fd.dropout_backward, x, mask, out=out)
        return Candidate(backward, lambda dx: checks.dropout(dx, x, mask), 2 * x.nbytes)

    copy = _copy(x, out, threads.threads_for(x.size))

    def copied(_: Any) -> None:
        for piece in checks.pieces(x.size):
            checks.same_bits(out[piece], x[piece])

    found = measure({SUBJECT: own, "copy": lambda: Candidate(copy, copied, 2 * x.nbytes)}, seconds)
    for timing in found.values():
        if isinstance(timing, str):
            raise RuntimeError(timing)
    return {name: timing for name, timing in found.items() if isinstance(timing, Timing)}


def _team(count: int, calls: int, pause: float) -> float:
    """What a call after a pause costs more on all threads than on one, where there is next to nothing to do."""
    if count == 1:
        return 0.0
    tiny, other = (np.zeros(count * _PAGE, np.uint8) for _ in range(2))

    def seconds(team: int) -> float:
        call, found = _copy(tiny, other, team), []
        for _ in range(calls):
            if pause:
                time.sleep(pause)
            begin = time.perf_counter()
            call()
            found.append(time.perf_counter() - begin)
        return median(found)

    return max(0.0, seconds(count) - seconds(1))


def _imbalance(x: Array, out: Array, cpus: list[int]) -> float:
    """The slowest core's time over the mean, each pinned and at work on its own piece while the others are."""
    count, recipe = len(cpus), threads.kernels.Recipe(0, 0, 1 << 39, 2.0)
    edges = [x.size * part // count // TILE * TILE for part in range(count)] + [x.size]
    taken, together = [[0.0] * count for _ in range(_IMBALANCE_ROUNDS)], threading.Barrier(count)

    def work(part: int) -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, [cpus[part]])  # of this thread alone
        piece = slice(edges[part], edges[part + 1])
        for times in taken:
            together.wait()
            begin = time.perf_counter()
            threads.kernels.apply(out[piece], x[piece], (), recipe, 1)
            times[part] = time.perf_counter() - begin

    team = [threading.Thread(target=work, args=(part,)) for part in range(count)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    return median(max(times) / mean(times) for times in taken[1:])
