"""The constants of `fastdrop.processor`, measured here: which prefetches are fastest, and from which size on
non-temporal stores are faster.

Every candidate is measured in turns with the constants in use, so a ratio is robust against a machine whose speed
changes. Results are the same with all of them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any, NamedTuple

import numpy as np

import fastdrop as fd
from fastdrop.bench import checks
from fastdrop.bench.internals import kernels
from fastdrop.bench.machine import machine
from fastdrop.bench.measure import SUBJECT, Candidate, Maker, measure
from fastdrop.bench.operations import Buffers
from fastdrop.experiments.formats.writing import write_json

FORMAT, VERSION = "fastdrop bench tune", 1
AHEAD = (1024, 2048, 4096, 8192)
"""Bytes that are tried."""
LARGE = 1 << 24
"""Elements that no cache holds."""
SIZES = tuple(1 << exponent for exponent in range(19, 25))
"""Elements, from what a cache holds to what none does."""
NEVER = 1 << 62
NOISE = 1.02
"""A candidate that gains less is not better."""

Setting = tuple[str, int]
"""A prefetch hint of the kernels, and how many bytes ahead."""


class HintFigures(NamedTuple):
    """How many times faster a setting is than the one in use: one figure for each p and number of threads."""

    setting: Setting
    gains: list[float]

    @property
    def gain(self) -> float:
        return geometric_mean(self.gains)


class SizeFigures(NamedTuple):
    """What non-temporal stores gain at a size where the result is read afterwards: by reader and number of threads."""

    elements: int
    gains: dict[str, float]

    @property
    def gain(self) -> float:
        return geometric_mean(self.gains.values())


def settings() -> list[Setting]:
    """All that are tried."""
    return [("none", 0), *((hint, ahead) for hint in kernels.HINTS[1:] for ahead in AHEAD)]


def name(setting: Setting) -> str:
    """A setting as text."""
    hint, ahead = setting
    return hint if hint == "none" else f"{hint}, {ahead}"


def hints(elements: int = LARGE, seconds: float = 1.0) -> list[HintFigures]:
    """Each setting against the one in use, with non-temporal stores; the fastest first."""
    in_use = kernels.large_arrays()[:2]
    x, out = _arrays(elements)[:2]
    found: dict[Setting, list[float]] = {setting: [] for setting in settings() if setting != in_use}
    for threads in _thread_counts():
        for p in (0.5, 0.3):
            stream = fd.Stream(0)
            call = lambda p=p, stream=stream: fd.dropout(x, p, rng=stream, out=out)  # noqa: E731
            makers = {name(setting): _maker(call, x, setting, 0) for setting in found}
            gains = _gains({SUBJECT: _maker(call, x, in_use, 0)} | makers, threads, seconds)
            for setting, figures in found.items():
                figures.append(gains[name(setting)])
    return sorted((HintFigures(*pair) for pair in found.items()), key=lambda figures: -figures.gain)


READERS: dict[str, Callable[[Any, Any], Any]] = {
    "multiply": lambda y, other: np.multiply(y, 2, out=other),
    "sum": lambda y, other: y.sum(),
    "dropout": lambda y, other: fd.dropout(y, 0.5, rng=0, out=other),
}


def sizes(elements: Sequence[int] = SIZES, seconds: float = 0.3) -> Iterator[SizeFigures]:
    """What non-temporal stores gain at each size; the reader's time counts as well."""
    in_use = kernels.large_arrays()[:2]
    for size in elements:
        gains: dict[str, float] = {}
        for reader, read in READERS.items():
            x, out, other = _arrays(size)
            call = _with_reader(x, out, other, read)
            makers = {SUBJECT: _maker(call, x, in_use, NEVER), "non-temporal": _maker(call, x, in_use, 0)}
            for threads in _thread_counts():
                gains[f"{reader}, {threads} threads"] = _gains(makers, threads, seconds)["non-temporal"]
        yield SizeFigures(size, gains)


_BUFFERS = Buffers()


def _arrays(elements: int) -> list[Any]:
    return [_BUFFERS.get(role, (elements,), "float32") for role in ("x", "out", "other")]


def _with_reader(x: Any, out: Any, other: Any, read: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    stream = fd.Stream(0)

    def call() -> Any:
        found = fd.dropout(x, 0.3, rng=stream, out=out)
        read(out, other)
        return found

    return call


def _thread_counts() -> list[int]:
    return sorted({1, fd.get_num_threads()})


def _maker(call: Callable[[], Any], x: Any, setting: Setting, above: int) -> Maker:
    def run() -> Any:
        kernels.set_large_arrays(*setting, above)
        return call()

    check = lambda result: checks.fastdrop_result("dropout", result, None, lambda _: x)  # noqa: E731
    return lambda: Candidate(run, check, 2 * x.nbytes)


def _gains(makers: dict[str, Maker], threads: int, seconds: float) -> dict[str, float]:
    """How many times faster each candidate is; threads and constants are afterwards what they were."""
    before, in_use = fd.get_num_threads(), kernels.large_arrays()
    fd.set_num_threads(threads)
    try:
        found = measure(makers, seconds)
    finally:
        fd.set_num_threads(before)
        kernels.set_large_arrays(*in_use)
    for timing in found.values():
        if isinstance(timing, str):
            raise RuntimeError(timing)
    return {name: 1 / timing.relative for name, timing in found.items() if not isinstance(timing, str)}


def limit(found: Sequence[SizeFigures]) -> int:
    """Bytes above which non-temporal stores gain, between two sizes; `NEVER` where they do not."""
    gaining = math.inf
    for figures in reversed(found):  # from the largest on: a gain between losses is none
        if figures.gain <= NOISE:
            break
        gaining = figures.elements
    return NEVER if math.isinf(gaining) else int(gaining) * 8 * 3 // 4


def advice(best: HintFigures, found: Sequence[SizeFigures]) -> list[str]:
    """What to change in the table, in sentences."""
    hint, ahead, above = kernels.large_arrays()
    said = []
    if best.gain > NOISE:
        said.append(f"prefetches: {name(best.setting)} is {best.gain:.2f} times as fast as {name((hint, ahead))}")
    measured = limit(found)
    if not above / 2 < measured <= above * 2:
        text = "at no size that was measured" if measured == NEVER else f"above {measured / 2**20:.0f} MB"
        said.append(f"non-temporal stores gain {text}; {above / 2**20:.0f} MB is in use")
    return said or ["the constants in use are the best that were tried"]


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
        "non-temporal stores": [
            {"elements": figures.elements, "gain": figures.gain, "gains": figures.gains} for figures in found
        ],
        "advice": advice(best[0], found),
    }
    write_json(path, document)
