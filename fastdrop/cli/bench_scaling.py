"""`fastdrop bench --scaling`: one thread, two, four and so on to all cores, and what stops it."""

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastdrop.bench import scaling, scaling_report, topology
from fastdrop.bench.scaling import Point
from fastdrop.experiments.files import path_text


def bench_scaling(options: argparse.Namespace, console: Console) -> int:
    """Measure, print, save; Ctrl-C keeps what was measured."""
    if options.quick or options.threads or options.only or options.device != "cpu":
        raise ValueError("--scaling has its own plan: --quick, --threads, --only and --device have no meaning with it")
    groups = topology.groups()
    work = scaling.jobs(groups, scaling.sizes())
    found: list[list[Point]] = []
    total, status = scaling.SWEEPS * len(work), 0
    console.print("; ".join(f"{name}: {len(cpus)}" for name, cpus in groups.items()))
    try:
        for points in scaling.run(work):
            found.append(points)
            console.print(f"{len(found)}/{total}  {points[0].group}, threads: {points[0].threads}")
    except KeyboardInterrupt:
        status = 130
        console.print("stopped; this is what was measured:")
    points = scaling.combined(found)
    _print(points, console)
    if options.save:
        scaling_report.save(points, groups, len(found) == total, options.save)
        console.print(f"figures: {escape(path_text(options.save))}", soft_wrap=True)
    if options.plot and scaling_report.series(points):
        scaling_report.draw(points, options.plot)
        console.print(f"picture: {escape(path_text(options.plot))}", soft_wrap=True)
    return status


def _print(points: Sequence[Point], console: Console) -> None:
    """A table for each group of cores, and what stops each case."""
    for group in dict.fromkeys(point.group for point in points):
        here = scaling_report.series([point for point in points if point.group == group])
        table = Table(title=group, title_justify="left")
        for heading in ("operation", "elements"):
            table.add_column(heading)
        for heading in ("p", "threads", "ms", "GB/s", "speed-up", "efficiency", "of the copy"):
            table.add_column(heading, justify="right")
        for each in here:
            for point in each:
                table.add_row(
                    point.operation,
                    f"{point.elements:,}",
                    f"{point.p:g}",
                    str(point.threads),
                    f"{point.seconds * 1e3:.3f}",
                    f"{point.gigabytes_per_second:.1f}",
                    f"{point.speedup(each[0]):.2f}",
                    f"{point.efficiency(each[0]):.2f}",
                    f"{point.share:.2f}",
                )
        console.print(table)
        for each in here:
            one = each[0]
            text = scaling_report.verdict(each).text
            console.print(f"{one.operation}, {one.elements:,}, p = {one.p:g}: {text}", soft_wrap=True)
        for point in {point.threads: point for each in here for point in each}.values():
            if point.threads > 1:
                console.print(
                    f"{point.threads} threads: a team costs a call {point.team * 1e6:.1f} us, one that sleeps "
                    f"{point.asleep * 1e6:.0f} us; the slowest core takes {point.imbalance:.2f} times the mean"
                )
