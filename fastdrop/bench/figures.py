"""Figures as text, table cells and lines of a plot: for the terminal, the pictures and the app alike."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastdrop.bench.measure import SUBJECT
from fastdrop.bench.plan import BOTH, OVERHEAD
from fastdrop.bench.results import Result, copy_of

MOST_P = 2
"""Lines of fastdrop for each number of threads."""
HEADINGS = ("size", "p", "threads", "time", "spread", "GB/s")


def time_text(seconds: float) -> str:
    """A time with three digits and a unit."""
    unit, size = next((pair for pair in (("s", 1.0), ("ms", 1e-3)) if seconds >= pair[1]), ("µs", 1e-6))
    return f"{seconds / size:.3g} {unit}"


def number_text(value: float) -> str:
    """A rate or a ratio with three digits; a dash where it is nan."""
    if math.isnan(value):
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def cells(result: Result | None) -> list[tuple[str, float | str]]:
    """Text and sort key for time, spread and GB/s; dashes where there is no result."""
    own = result.timing() if result else None
    if result is None or own is None:
        return [("failed" if result else "–", math.inf), ("–", math.inf), ("–", math.inf)]
    rate = result.gigabytes_per_second()
    return [
        (result.mark + time_text(own.median), own.median),
        (f"{own.spread:.0%}", own.spread),
        (number_text(rate), math.inf if math.isnan(rate) else rate),
    ]


def case_cells(result: Result) -> list[tuple[str, float | str]]:
    """Text and sort key for what was measured: size, p and threads."""
    case = result.case
    threads = str(case.threads) if case.threads else "GPU"
    return [(case.size, case.elements), (f"{case.p:g}", case.p), (threads, case.threads)]


class Line(NamedTuple):
    """Throughput (GB/s) against elements: fastdrop's at one p, or another candidate's (p is None)."""

    name: str
    p: float | None
    threads: int
    points: list[tuple[int, float]]


def has_rate(result: Result) -> bool:
    """Whether it has a place in a plot of throughput against size."""
    case = result.case
    return case.dtype == "float32" and case.operation != OVERHEAD and not math.isnan(result.gigabytes_per_second())


def operations(found: Sequence[Result]) -> list[str]:
    """Those that lines can be drawn of; plain dropout, measured at most sizes, comes first."""
    names = list(dict.fromkeys(result.case.operation for result in found if has_rate(result)))
    return sorted(names, key=lambda name: name != BOTH[0])


def lines(found: Sequence[Result], operation: str, others: Sequence[str] = ()) -> list[Line]:
    """For each number of threads and the GPU: the best copy, fastdrop at the p with most sizes, and `others`."""
    plain = [result for result in found if result.case.operation == operation and has_rate(result)]
    made = []
    for threads in sorted({result.case.threads for result in plain}):
        here = [result for result in plain if result.case.threads == threads]
        sizes = Counter(result.case.p for result in here)
        ps = sorted((p for p in sizes if sizes[p] == max(sizes.values())), reverse=True)[:MOST_P]
        place = here[0].case.place
        made += [
            Line(f"{name}, {place}", None, threads, _points(here, name, ps[0])) for name in (copy_of(here), *others)
        ]
        made += [Line(f"{SUBJECT} p = {p:g}, {place}", p, threads, _points(here, SUBJECT, p)) for p in ps]
    return [line for line in made if line.points]


def _points(found: Sequence[Result], name: str, p: float) -> list[tuple[int, float]]:
    points = [(each.case.elements, each.gigabytes_per_second(name)) for each in found if each.case.p == p]
    return sorted(point for point in points if not math.isnan(point[1]))


class Scaled(NamedTuple):
    """One case on several threads against the same on one."""

    result: Result
    speed_up: float
    efficiency: float
    copy_efficiency: float
    """Of the best copy; where this falls as well, the memory limits both."""


def scaling(found: Sequence[Result]) -> list[Scaled]:
    """How far each case scales from one thread on."""
    one = {result.case.key[:4]: result for result in found if result.case.threads == 1 and result.timing()}
    made = []
    for result in found:
        base, threads = one.get(result.case.key[:4]), result.case.threads
        if base is None or threads < 1 or not result.timing():
            continue
        ups = [
            result.gigabytes_per_second(name) / base.gigabytes_per_second(name) for name in (SUBJECT, copy_of([result]))
        ]
        made.append(Scaled(result, ups[0], ups[0] / threads, ups[1] / threads))
    return made


def table(found: Sequence[tuple[Result | None, Result | None]]) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Every candidate of every case, as CSV takes it: headings and rows. Pairs are a case now and in an earlier run."""
    headings = ("operation", "shape", "elements", "dtype", "p", "threads", "candidate", "seconds", "low quartile",
                "high quartile", "GB/s", "seconds before", "error")  # fmt: skip
    made = []
    for now, before in found:
        case = (now or before).case  # type: ignore[union-attr]
        names = dict.fromkeys(name for each in (now, before) if each for name in each.candidates)
        for name in names:
            new, old = (each.timing(name) if each else None for each in (now, before))
            rate = now.gigabytes_per_second(name) if now else math.nan
            error = (now or before).candidates.get(name)  # type: ignore[union-attr]
            made.append([
                case.operation, "x".join(map(str, case.shape)), case.elements, case.dtype, case.p, case.place, name,
                *((new.median, new.low, new.high) if new else ("", "", "")), "" if math.isnan(rate) else rate,
                old.median if old else "", error if isinstance(error, str) else "",
            ])  # fmt: skip
    return headings, made
