"""What disturbed a case: other programs on the cores, the host of a virtual machine, repetitions that differ.

Linux counts the first two in /proc/stat; elsewhere they are not known.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

STAT = Path("/proc/stat")
LIMIT = 0.05
"""Fraction of the cores' time above which others count as a disturbance."""
LARGEST_SPREAD = 0.25
"""The same for the spread of the repetitions."""
LEAST_SECONDS = 0.03
"""Of a core: Linux counts hundredths of a second, so less may be rounding."""


class Noise(NamedTuple):
    """Fractions of the cores' time that others used, and the spread of fastdrop's timings; None where unknown."""

    others: float | None = None
    stolen: float | None = None
    """By the host of this virtual machine."""
    spread: float | None = None

    @property
    def reasons(self) -> list[str]:
        """Why the case counts as disturbed; empty where it does not."""
        return _reasons([self], "")


class Reading(NamedTuple):
    """Seconds of the cores that this process may use, since the machine started, and of this process itself."""

    busy: float
    idle: float
    stolen: float
    own: float


def read() -> Reading | None:
    """Read the counters; None where the system does not have them."""
    try:
        cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        rows = [line.split() for line in STAT.read_text().splitlines()]
        fields = [[int(field) for field in row[1:9]] for row in rows if row and row[0] in cores]
        user, nice, system, idle, waiting, hard, soft, stolen = (sum(column) for column in zip(*fields, strict=True))
        second = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
    busy = user + nice + system + hard + soft
    return Reading(busy / second, (idle + waiting) / second, stolen / second, time.process_time())


def between(before: Reading | None, after: Reading | None, spread: float | None = None, own: float = 0.0) -> Noise:
    """What happened between two readings; `own` are seconds of other processes that measure for this one."""
    if before is None or after is None:
        return Noise(spread=spread)
    busy, idle, stolen, here = (late - early for early, late in zip(before, after, strict=True))
    total = busy + idle + stolen
    if total <= 0:  # too short a moment
        return Noise(spread=spread)
    others, stolen = (part / total if part >= LEAST_SECONDS else 0.0 for part in (busy - here - own, stolen))
    return Noise(min(1.0, others), min(1.0, stolen), spread)


def _reasons(noises: Sequence[Noise], most: str) -> list[str]:
    """What disturbed these cases, with the largest figures; `most` comes before each."""
    kinds = (
        ("others used {} of the cores' time", LIMIT, [noise.others for noise in noises]),
        ("the host of this virtual machine took {}", LIMIT, [noise.stolen for noise in noises]),
        ("repetitions differed by {}", LARGEST_SPREAD, [noise.spread for noise in noises]),
    )
    largest = [(text, limit, max((v for v in values if v is not None), default=0.0)) for text, limit, values in kinds]
    return [text.format(f"{most}{value:.0%}") for text, limit, value in largest if value > limit]


def remark(noises: Sequence[Noise]) -> str:
    """What a reader of a run's figures must know; empty where nothing disturbed it."""
    disturbed = [noise for noise in noises if noise.reasons]
    if not disturbed:
        return ""
    reasons = ", ".join(_reasons(noises, "up to "))
    return (
        f"{len(disturbed)} of {len(noises)} cases were disturbed (marked !): {reasons}. "
        "Their figures say little about the kernels: close other programs, and measure again."
    )
