"""Which cores share a memory, as Linux tells under /sys; elsewhere all cores are one group."""

import os
import re
from pathlib import Path

SYSTEM = Path("/sys/devices/system")
MOST_CPUS = 1 << 16
"""Several times as many as Linux can number."""


def cpu_list(text: str) -> list[int]:
    """The numbers that a list of Linux names, such as 0-3,8; ValueError where it is none."""
    found: list[int] = []
    for part in text.strip().split(",") if text.strip() else ():
        first, dash, last = part.partition("-")
        begin, end = int(first), int(last if dash else first)
        if not 0 <= begin <= end < MOST_CPUS:
            raise ValueError(part)
        found += range(begin, end + 1)
    return found


def allowed_cpus() -> list[int]:
    """The cores that this process may use; numbers alone where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def groups(system: Path = SYSTEM, allowed: list[int] | None = None) -> dict[str, list[int]]:
    """The cores by NUMA node, and all of them together, each core's first hardware thread before its second.

    One group where there is one node, or none is told.
    """
    allowed = allowed_cpus() if allowed is None else allowed
    every = _cores_first(allowed, system)
    nodes = {}
    for folder in system.glob("node/node*"):
        try:
            members = set(cpu_list((folder / "cpulist").read_text()))
        except (OSError, ValueError):
            continue
        if here := [cpu for cpu in every if cpu in members]:
            nodes[int(re.sub(r"\D", "", folder.name) or 0)] = here
    if len(nodes) < 2:
        return {"all cores": every}
    return {f"node {number}": nodes[number] for number in sorted(nodes)} | {"all nodes": every}


def _cores_first(cpus: list[int], system: Path) -> list[int]:
    """Those whose core has not come before, then the second hardware threads, and so on."""
    turn: dict[int, int] = {}
    for cpu in cpus:
        try:
            siblings = cpu_list((system / f"cpu/cpu{cpu}/topology/thread_siblings_list").read_text())
        except (OSError, ValueError):
            siblings = [cpu]
        turn[cpu] = sum(other in turn for other in siblings)
    return sorted(cpus, key=lambda cpu: (turn[cpu], cpu))


def counts(cores: int) -> list[int]:
    """1, 2, 4 and so on, and all."""
    return [1 << bit for bit in range(cores.bit_length()) if 1 << bit < cores] + [cores]


def available_memory() -> int | None:
    """Bytes that may be taken without swapping, and the limit of this control group; None where nobody tells."""
    found = []
    try:
        line = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        found += [int(line[1]) << 10] if line else []
    except OSError:
        pass
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        found += [int(limit)] if limit.isdigit() else []
    except OSError:
        pass
    return min(found) if found else None
