"""Whether others use the cores: waiting for them before a case, and noting what happened during it.

Linux tells it in `/proc`; elsewhere it is not known, and only the spread of the repetitions is.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PROC = Path("/proc")
LIMIT = 0.05
"""Share of the cores' time that others may have before a case counts as disturbed."""
LEAST_SECONDS = 0.03
"""Of a core that they must have had: Linux counts hundredths of a second."""
LARGEST_SPREAD = 0.25
"""Of the repetitions: the distance of the quartiles as a share of the median."""
SAMPLE = 0.25
"""Seconds asleep that tell whether others are busy."""
CASE_PATIENCE, PATIENCE = 10.0, 60.0
"""Seconds to wait for free cores before a case, and in a run."""


class Reading(NamedTuple):
    """Seconds since the machine was started, over the cores that this process may use."""

    busy: float
    idle: float
    steal: float
    """Taken by the host of a virtual machine."""
    running: int
    """Tasks that run or want to, on the whole machine."""
    pressure: float | None
    """In which a task waited for a core; None where Linux does not count it."""
    own: float
    """Of this process, and of those that it measures in."""
    at: float
    """By the clock on the wall."""


class Noise(NamedTuple):
    """What happened during a case; shares of the cores' time are None where they are not known."""

    foreign: float | None
    steal: float | None
    pressure: float | None
    """Share of the time in which a task waited for a core."""
    spread: float | None
    """Of fastdrop's repetitions."""
    waited: float
    """Seconds, before the case, for free cores."""

    @property
    def reasons(self) -> list[str]:
        """Why the case counts as disturbed; empty where it does not."""
        return _reasons([self], "")


def parse_stat(text: str, cores: Iterable[int]) -> tuple[float, float, float, int]:
    """Busy, idle and stolen seconds of these cores, and the tasks that run, from `/proc/stat`."""
    ticks = os.sysconf("SC_CLK_TCK")
    wanted = {f"cpu{core}" for core in cores}
    busy = idle = steal = running = 0
    for line in text.splitlines():
        name, *fields = line.split()
        if name in wanted:
            user, nice, system, idling, waiting, interrupts, soft, stolen = map(int, (fields + ["0"] * 8)[:8])
            busy += user + nice + system + interrupts + soft
            idle += idling + waiting
            steal += stolen
        elif name == "procs_running":
            (running,) = map(int, fields)
    return busy / ticks, idle / ticks, steal / ticks, running


def parse_pressure(text: str) -> float:
    """Seconds in which some task waited for a core, from `/proc/pressure/cpu`."""
    (line,) = (line for line in text.splitlines() if line.startswith("some "))
    return int(line.rpartition("total=")[2]) / 1e6


def parse_process(text: str) -> float:
    """Seconds of a processor that a process took, from its `stat`; its name may hold anything."""
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def read(pids: Iterable[int] = (), proc: Path = PROC) -> Reading | None:
    """Take a reading; None where the machine does not tell. `pids` are processes that work for this one."""
    try:
        cores = os.sched_getaffinity(0)
        found = parse_stat((proc / "stat").read_text(), cores)
        own = time.process_time() + sum(parse_process((proc / str(pid) / "stat").read_text()) for pid in pids)
    except (OSError, ValueError, OverflowError, AttributeError):
        return None
    try:
        pressure = parse_pressure((proc / "pressure" / "cpu").read_text())
    except (OSError, ValueError, OverflowError):
        pressure = None
    return Reading(*found, pressure, own, time.perf_counter())


def between(before: Reading | None, after: Reading | None, spread: float | None = None, waited: float = 0.0) -> Noise:
    """What happened between two readings."""
    if before is None or after is None:
        return Noise(None, None, None, spread, waited)
    busy, steal = after.busy - before.busy, after.steal - before.steal
    total = busy + steal + after.idle - before.idle
    if total <= 0:  # a /proc that counts nothing, or a moment too short
        return Noise(None, None, None, spread, waited)
    others = busy - (after.own - before.own)
    pressure = None
    if before.pressure is not None and after.pressure is not None and after.at > before.at:
        pressure = _share(after.pressure - before.pressure, after.at - before.at)
    return Noise(_share(others, total), _share(steal, total), pressure, spread, waited)


def _share(part: float, total: float) -> float:
    """0 for what may be a rounding of the counters."""
    return min(1.0, part / total) if part >= LEAST_SECONDS else 0.0


class Watch:
    """Waits before cases, and notes what happened during them.

    `tell` gets a sentence about once a second while it waits, and an empty one at the end; `patience` are the seconds
    that it waits in all.
    """

    def __init__(
        self, patience: float = PATIENCE, tell: Callable[[str], None] = lambda _: None, pids: Sequence[int] = ()
    ) -> None:
        self._left, self._tell, self._pids = min(patience, PATIENCE), tell, pids
        self._suspicious = True
        self._begin: Reading | None = None
        self._waited = 0.0

    def begin(self) -> None:
        """Before a case: wait for free cores where others may be busy, for a while at most."""
        self._waited = self._wait() if self._suspicious or self._others_run() else 0.0
        self._begin = read(self._pids)

    def end(self, spread: float | None) -> Noise:
        """After it: what happened since."""
        noise = between(self._begin, read(self._pids), spread, self._waited)
        self._suspicious = bool(noise.reasons)
        return noise

    def _others_run(self) -> bool:
        now = read()
        return now is not None and now.running > 1

    def _wait(self) -> float:
        """Sleep until others use next to nothing; the seconds that it took beyond the first look."""
        begin, told = time.perf_counter(), 0.0
        limit = min(CASE_PATIENCE, self._left)
        while limit > 0:
            before = read(self._pids)
            time.sleep(min(SAMPLE, limit))
            after = read(self._pids)
            noise, passed = between(before, after), time.perf_counter() - begin
            if after is None or noise.foreign is None or noise.foreign <= LIMIT or passed >= limit:
                break
            if passed - told >= 1.0 or not told:
                told = passed
                cores = len(os.sched_getaffinity(0))
                self._tell(f"waiting for free cores: others use {noise.foreign * cores:.1f} of {cores}")
        if not told:
            return 0.0
        self._tell("")
        waited = time.perf_counter() - begin
        self._left -= waited
        return waited


def _reasons(noises: Sequence[Noise], most: str) -> list[str]:
    """What disturbed these cases, with the largest figures; `most` stands before each."""
    kinds = (
        ("others used {} of the cores' time", LIMIT, [noise.foreign for noise in noises]),
        ("the host of this virtual machine took {}", LIMIT, [noise.steal for noise in noises]),
        ("repetitions differed by {}", LARGEST_SPREAD, [noise.spread for noise in noises]),
    )
    found = []
    for text, limit, values in kinds:
        largest = max((value for value in values if value is not None), default=0.0)
        if largest > limit:
            found.append(text.format(f"{most}{largest:.0%}"))
    return found


def remark(noises: Sequence[Noise]) -> str:
    """What must be said about a run's figures; empty where there is nothing."""
    texts = []
    disturbed = [noise for noise in noises if noise.reasons]
    if disturbed:
        reasons = ", ".join(_reasons(noises, "up to "))
        texts.append(
            f"{len(disturbed)} of {len(noises)} cases were disturbed (marked !): {reasons}. "
            "Their figures say little about the kernels: close what else runs, and measure again."
        )
    if noises and all(noise.foreign is None for noise in noises):
        texts.append("Whether others used the cores is not known here, since only Linux tells it.")
    return " ".join(texts)


def summary(noises: Sequence[Noise]) -> dict[str, Any]:
    """The same as values, for JSON."""
    shares = {
        "largest foreign share": [noise.foreign for noise in noises],
        "largest steal share": [noise.steal for noise in noises],
        "largest spread": [noise.spread for noise in noises],
    }
    return {
        "cases": len(noises),
        "disturbed": sum(bool(noise.reasons) for noise in noises),
        **{name: max((each for each in values if each is not None), default=None) for name, values in shares.items()},
        "waited seconds": sum(noise.waited for noise in noises),
    }


def record(noise: Noise) -> dict[str, Any]:
    """A case's noise as plain values, for JSON."""
    return {
        "foreign_share": noise.foreign,
        "steal_share": noise.steal,
        "pressure_share": noise.pressure,
        "spread": noise.spread,
        "waited_seconds": noise.waited,
        "disturbed": noise.reasons,
    }
