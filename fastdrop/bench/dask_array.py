"""Dropout of a Dask array larger than memory, and a copy of its chunks by NumPy; both are added up."""

from typing import Any

import dask.array as da
import numpy as np

import fastdrop as fd
from fastdrop import reference
from fastdrop.bench import checks
from fastdrop.bench.internals import reference_keep
from fastdrop.bench.measure import SUBJECT, Candidate, Maker
from fastdrop.bench.plan import Case

CHUNK = 1 << 24
"""Elements."""


def makers(case: Case) -> dict[str, Maker]:
    """The candidates by name. Each chunk is the same block in memory, so that the source costs only reading."""
    block = np.random.default_rng(0).standard_normal(min(CHUNK, case.elements), np.float32)
    chunks = case.elements // len(block)
    x: Any = da.map_blocks(lambda: block, chunks=((len(block),) * chunks,), dtype=block.dtype, meta=block[:0])
    dropped: Any
    dropped, mask = fd.dropout(x, case.p, rng=fd.Stream(0))
    copies = x.map_blocks(np.copy, meta=block[:0])

    def check(_: Any) -> None:
        """The start of the last chunk."""
        part = slice(0, min(checks.HEAD, len(block)))
        first = (chunks - 1) * len(block)
        keep = reference_keep(mask, slice(first, first + part.stop))
        found = np.asarray(dropped.blocks[chunks - 1].compute(scheduler="threads"))
        checks.equal(found[part], reference.apply(block[part], keep, mask.scale))

    def added(array: Any) -> Any:
        total = array.sum()
        return lambda: total.compute(scheduler="threads")

    moved = 2 * case.elements * block.itemsize
    return {
        SUBJECT: lambda: Candidate(added(dropped), check, moved),
        "copy": lambda: Candidate(added(copies), lambda _: None, moved),
    }
