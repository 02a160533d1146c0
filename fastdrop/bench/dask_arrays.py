"""A Dask array that no memory holds, dropped and added up, against a copy of its chunks.

Each chunk of the array is one and the same block of normal numbers, so the source costs no more than being read. Its
parts are computed in turns, dropped and copied by NumPy, so that a noisy moment of the machine hits both.
"""

import itertools
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask.system import CPU_COUNT

import fastdrop as fd
from fastdrop import reference
from fastdrop.bench import checks
from fastdrop.bench.machine import machine
from fastdrop.bench.measure import SUBJECT
from fastdrop.experiments.files import write_json

FORMAT, VERSION = "fastdrop bench dask", 1
COPY = "copy"
P = 0.5
CHUNK_BYTES = 256_000_000
PARTS = 8
"""That the array is computed in: each gives a ratio."""
GOAL = 0.9
"""Of the copy's speed, at least."""


class Plan(NamedTuple):
    """The array: `chunks` pieces of `chunk_bytes` bytes."""

    chunks: int
    chunk_bytes: int = CHUNK_BYTES

    @property
    def gigabytes(self) -> float:
        return self.chunks * self.chunk_bytes / 1e9


class Part(NamedTuple):
    """Seconds of each candidate for these chunks of the array, read, worked on and added up."""

    chunks: int
    seconds: dict[str, float]

    @property
    def speed(self) -> float:
        """fastdrop's speed as a share of the copy's."""
        return self.seconds[COPY] / self.seconds[SUBJECT]


def plan(gigabytes: float) -> Plan:
    """An array of about this size; ValueError where it is less than a chunk or beyond what a mask numbers."""
    if not CHUNK_BYTES <= gigabytes * 1e9 < 1e17:
        raise ValueError(f"the Dask array has from {CHUNK_BYTES / 1e9:g} to 100000000 gigabytes; got {gigabytes:g}")
    return Plan(round(gigabytes * 1e9 / CHUNK_BYTES))


def run(what: Plan) -> Iterator[Part]:
    """Check one chunk, then time part after part of the array."""
    block = np.random.default_rng(0).standard_normal(what.chunk_bytes // 4, np.float32)
    sizes = ((block.size,) * what.chunks,)
    x: Any = da.map_blocks(lambda: block, chunks=sizes, dtype=block.dtype, meta=block[:0])
    dropped: Any
    dropped, mask = fd.dropout(x, P, rng=fd.Stream(0))
    candidates: dict[str, Any] = {SUBJECT: dropped, COPY: x.map_blocks(np.copy, meta=block[:0])}
    _check(np.asarray(dropped.blocks[what.chunks - 1].compute(scheduler="threads")), block, mask, what)
    parts = min(PARTS, what.chunks)
    edges = [what.chunks * part // parts for part in range(parts + 1)]
    for each in candidates.values():  # untimed: the pool's threads, and memory from the system
        each.blocks[: min(2 * CPU_COUNT, what.chunks)].sum().compute(scheduler="threads")
    for number, (begin, end) in enumerate(itertools.pairwise(edges)):
        seconds = {}
        for name in sorted(candidates, reverse=bool(number % 2)):
            lazy = candidates[name].blocks[begin:end].sum()
            start = time.perf_counter()
            lazy.compute(scheduler="threads")
            seconds[name] = time.perf_counter() - start
        yield Part(end - begin, seconds)


def _check(y: Any, block: Any, mask: Any, what: Plan) -> None:
    """The last chunk against the rule."""
    first = (what.chunks - 1) * block.size
    for piece in checks.pieces(block.size):
        kept = checks.decisions(mask, first + np.arange(piece.start, piece.stop))
        checks.same_bits(y[piece], reference.apply(block[piece], kept, mask.scale))


def summary(what: Plan, parts: Sequence[Part]) -> dict[str, Any]:
    """The figures of these parts, for JSON and for people."""
    done = sum(part.chunks for part in parts) * what.chunk_bytes / 1e9
    seconds = {name: sum(part.seconds[name] for part in parts) for name in (SUBJECT, COPY)}
    speeds = [part.speed for part in parts]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "gigabytes": round(done, 3),
        "chunk megabytes": what.chunk_bytes / 1e6,
        "workers": CPU_COUNT,
        "p": P,
        "source": "each chunk is the same block of normal float32 numbers in memory",
        "seconds": {name: round(time, 3) for name, time in seconds.items()},
        "gigabytes per second": {name: round(done / time, 3) for name, time in seconds.items()},
        "share of the copy": round(seconds[COPY] / seconds[SUBJECT], 3),
        "share of the copy by part": {
            "median": round(median(speeds), 3),
            "lowest": round(min(speeds), 3),
            "highest": round(max(speeds), 3),
        },
        "goal": GOAL,
        "peak memory gigabytes": round(peak / 1e9, 2),
    }


def save(what: Plan, parts: Sequence[Part], path: Path) -> None:
    """Write the figures as JSON."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "machine": machine(),
        **summary(what, parts),
        "parts": [{"chunks": part.chunks, "seconds": part.seconds} for part in parts],
    }
    write_json(path, document)
