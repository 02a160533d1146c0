"""`fastdrop bench dask`: a Dask array that no memory holds, against a copy of its chunks."""

import argparse

from rich.console import Console
from rich.markup import escape

from fastdrop.bench.measure import SUBJECT
from fastdrop.errors import missing_package
from fastdrop.experiments.files import check_target, path_text

try:
    from fastdrop.bench import dask_arrays
except ImportError:
    raise missing_package("dask", "dask", "measuring Dask arrays") from None


def bench_dask(options: argparse.Namespace) -> int:
    """Measure, print, save; Ctrl-C keeps what was measured."""
    if options.save:
        check_target(options.save, ".json")
    console = Console(highlight=False)
    plan = dask_arrays.plan(options.gigabytes)
    console.print(
        f"{plan.gigabytes:g} GB in {plan.chunks} chunks of {plan.chunk_bytes / 1e6:g} MB, each the same block in "
        f"memory, dropped with p = {dask_arrays.P:g} and added up; in turns with a copy by NumPy of the same chunks",
        soft_wrap=True,
    )
    parts: list[dask_arrays.Part] = []
    status = 0
    try:
        for part in dask_arrays.run(plan):
            parts.append(part)
            size = part.chunks * plan.chunk_bytes / 1e9
            rates = ", ".join(f"{name} {size / seconds:.2f} GB/s" for name, seconds in sorted(part.seconds.items()))
            console.print(f"  {size:.1f} GB: {rates}; {part.speed:.2f} of the copy's speed")
    except KeyboardInterrupt:
        status = 130
        console.print("stopped; this is what was measured:")
    if not parts:
        return status
    found = dask_arrays.summary(plan, parts)
    share, rates, low = found["share of the copy"], found["gigabytes per second"], found["share of the copy by part"]
    verdict = "reached" if share >= dask_arrays.GOAL else "missed"
    console.print(
        f"{found['gigabytes']:g} GB by {found['workers']} workers: {SUBJECT} {rates[SUBJECT]:.2f} GB/s, "
        f"{dask_arrays.COPY} {rates[dask_arrays.COPY]:.2f} GB/s: {share:.2f} of its speed "
        f"(by part {low['lowest']:.2f} to {low['highest']:.2f}); at least {dask_arrays.GOAL:g} is the goal: {verdict}. "
        f"At most {found['peak memory gigabytes']:g} GB of memory.",
        soft_wrap=True,
    )
    if options.save:
        dask_arrays.save(plan, parts, options.save)
        console.print(f"figures: {escape(path_text(options.save))}", soft_wrap=True)
    return status
