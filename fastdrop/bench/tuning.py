"""The constants of `fastdrop.processor`, measured here: which prefetches stream fastest, and from which size on.

Every candidate is measured in turns with the constants that are in force, so a ratio stays what it is while the machine
becomes slower or faster. Results are the same with all of them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastdrop as fd
from fastdrop import threads
from fastdrop.bench import checks
from fastdrop.bench.machine import machine
from fastdrop.bench.measure import SUBJECT, Candidate, Timing, measure
from fastdrop.experiments.files import write_json

FORMAT, VERSION = "fastdrop bench tune", 1
AHEAD = (1024, 2048, 4096, 8192)
"""Bytes that are tried."""
LARGE = 1 << 24
"""Elements that no cache holds."""
SIZES = tuple(1 << exponent for exponent in range(19, 25))
"""Elements between what a cache holds and what none does."""
PS = (0.5, 0.3)
NEVER = 1 << 62
NOISE = 1.02
"""A candidate that gains less is not better."""

Setting = tuple[str, int]
"""A hint of `kernels.HINTS`, and how many bytes ahead."""
Array = NDArray[np.float32]


class HintFigures(NamedTuple):
    """How many times faster a setting streams than the one in force: one figure for each p and number of threads."""

    setting: Setting
    gains: list[float]

    @property
    def gain(self) -> float:
        return geometric_mean(self.gains)


class SizeFigures(NamedTuple):
    """What streaming gains at a size, with a reader of the result behind: by reader, and number of threads."""

    elements: int
    gains: dict[str, float]

    @property
    def gain(self) -> float:
        return geometric_mean(self.gains.values())


class Arrays:
    """x, a result, and what its reader writes; all pages are there."""

    def __init__(self, elements: int) -> None:
        self.x = np.random.default_rng(0).standard_normal(elements, np.float32)
        self.y = np.ones_like(self.x)
        self.other = np.ones_like(self.x)


def settings() -> list[Setting]:
    """All that are tried."""
    return [("none", 0), *((hint, ahead) for hint in threads.kernels.HINTS[1:] for ahead in AHEAD)]


def name(setting: Setting) -> str:
    hint, ahead = setting
    return hint if hint == "none" else f"{hint}, {ahead}"


def hints(elements: int = LARGE, seconds: float = 1.0) -> list[HintFigures]:
    """Each setting against the one in force, streaming; the fastest first."""
    in_force = threads.kernels.streaming()[:2]
    arrays = Arrays(elements)
    found: dict[Setting, list[float]] = {setting: [] for setting in settings() if setting != in_force}
    for count in _thread_counts():
        for p in PS:
            stream = fd.Stream(0)
            call = lambda p=p, stream=stream: fd.dropout(arrays.x, p, rng=stream, out=arrays.y)  # noqa: E731
            makers = {SUBJECT: _candidate(call, arrays, in_force, 0)}
            makers |= {name(setting): _candidate(call, arrays, setting, 0) for setting in found}
            timings = _measured(makers, count, seconds)
            for setting, gains in found.items():
                gains.append(1 / timings[name(setting)].relative)
    return sorted((HintFigures(*pair) for pair in found.items()), key=lambda figures: -figures.gain)


READERS: dict[str, Callable[[Arrays, Any], Any]] = {
    "multiply": lambda arrays, stream: np.multiply(arrays.y, 2, out=arrays.other),
    "sum": lambda arrays, stream: arrays.y.sum(),
    "dropout": lambda arrays, stream: fd.dropout(arrays.y, 0.5, rng=stream, out=arrays.other),
}


def sizes(elements: Sequence[int] = SIZES, seconds: float = 0.3) -> Iterator[SizeFigures]:
    """What streaming gains at each size, the reader's time counted as well."""
    in_force = threads.kernels.streaming()[:2]
    for size in elements:
        arrays, gains = Arrays(size), {}
        for reader, read in READERS.items():
            stream = fd.Stream(0)

            def call(read: Any = read, stream: Any = stream) -> Any:
                found = fd.dropout(arrays.x, 0.3, rng=stream, out=arrays.y)  # noqa: B023 - used within this turn
                read(arrays, stream)  # noqa: B023
                return found

            for count in _thread_counts():
                makers = {
                    SUBJECT: _candidate(call, arrays, in_force, NEVER),
                    "streaming": _candidate(call, arrays, in_force, 0),
                }
                timings = _measured(makers, count, seconds)
                gains[f"{reader}, {count} threads"] = 1 / timings["streaming"].relative
        yield SizeFigures(size, gains)


def _thread_counts() -> list[int]:
    return sorted({1, fd.get_num_threads()})


def _candidate(call: Callable[[], Any], arrays: Arrays, setting: Setting, above: int) -> Callable[[], Candidate]:
    def run() -> Any:
        threads.kernels.set_streaming(*setting, above)
        return call()

    check = lambda result: checks.dropout(result[0], arrays.x, result[1])  # noqa: E731
    return lambda: Candidate(run, check, 2 * arrays.x.nbytes)


def _measured(makers: dict[str, Callable[[], Candidate]], count: int, seconds: float) -> dict[str, Timing]:
    """Timings on `count` threads; the constants and the threads are afterwards what they were."""
    before, in_force = fd.get_num_threads(), threads.kernels.streaming()
    fd.set_num_threads(count)
    try:
        found = measure(makers, seconds)
    finally:
        fd.set_num_threads(before)
        threads.kernels.set_streaming(*in_force)
    failed = [timing for timing in found.values() if isinstance(timing, str)]
    if failed:
        raise RuntimeError(failed[0])
    return {name: timing for name, timing in found.items() if isinstance(timing, Timing)}


def limit(found: Sequence[SizeFigures]) -> int:
    """Bytes above which streaming gains: between the two sizes where it begins to; `NEVER` where it does not."""
    gaining = math.inf
    for figures in reversed(found):  # from the largest on: a gain among losses is none
        if figures.gain <= NOISE:
            break
        gaining = figures.elements
    return NEVER if math.isinf(gaining) else int(gaining) * 8 * 3 // 4


def advice(best: HintFigures, found: Sequence[SizeFigures]) -> list[str]:
    """What to change in the table, in sentences; that nothing has to be where the constants in force are right."""
    hint, ahead, above = threads.kernels.streaming()
    said = []
    if best.gain > NOISE:
        said.append(f"prefetches: {name(best.setting)} is {best.gain:.2f} times as fast as {name((hint, ahead))}")
    measured = limit(found)
    if not above / 2 < measured <= above * 2:
        text = "no size that was measured" if measured == NEVER else f"{measured / 2**20:.0f} MB"
        said.append(f"streaming gains above {text}; {above / 2**20:.0f} MB is in force")
    return said or ["the constants in force are the best that were tried"]


def save(best: Sequence[HintFigures], found: Sequence[SizeFigures], path: Path) -> None:
    """Write the figures as JSON."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "machine": machine(),
        "prefetches": [
            {"hint": figures.setting[0], "ahead": figures.setting[1], "gain": figures.gain, "gains": figures.gains}
            for figures in best
        ],
        "streaming": [
            {"elements": figures.elements, "gain": figures.gain, "gains": figures.gains} for figures in found
        ],
        "advice": advice(best[0], found),
    }
    write_json(path, document)
