"""Figures of the benchmark as the window shows them: lines, bars, cells. Knows nothing of Qt."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fastdrop.bench import compare, plan
from fastdrop.bench.measure import SUBJECT
from fastdrop.bench.plan import Case
from fastdrop.bench.results import Result, copy_of

MOST_P = 2
"""Lines of fastdrop for each number of threads."""


class Row(NamedTuple):
    """A case as the newest run and the saved one have it."""

    case: Case
    result: Result | None
    saved: Result | None
    change: compare.Change | None

    @property
    def shown(self) -> Result:
        """The newest figures that there are."""
        found = self.result or self.saved
        assert found is not None
        return found


class Line(NamedTuple):
    """Throughput (GB/s) against elements; a copy's where there is no p."""

    name: str
    p: float | None
    threads: int
    points: list[tuple[int, float]]


class Bar(NamedTuple):
    """A candidate's figures in one case; nan where it has none, and why."""

    name: str
    seconds: float
    rate: float
    problem: str


def has_rate(result: Result) -> bool:
    """Whether it has a place under the roofline."""
    case = result.case
    rated = case.dtype == "float32" and case.operation != plan.OVERHEAD
    return rated and not math.isnan(result.gigabytes_per_second())


def operations(found: Sequence[Result]) -> list[str]:
    """Those that a roofline can be drawn of; plain dropout, measured at most sizes, comes first."""
    names = list(dict.fromkeys(result.case.operation for result in found if has_rate(result)))
    return sorted(names, key=lambda name: name != plan.BOTH[0])


def lines(found: Sequence[Result], operation: str) -> list[Line]:
    """For each number of threads and for the GPU: the best copy, and fastdrop at the p with most sizes."""
    plain = [result for result in found if result.case.operation == operation and has_rate(result)]
    made = []
    for threads in sorted({result.case.threads for result in plain}):
        here = [result for result in plain if result.case.threads == threads]
        sizes = Counter(result.case.p for result in here)
        ps = sorted((p for p in sizes if sizes[p] == max(sizes.values())), reverse=True)[:MOST_P]
        copy = copy_of(here)
        made.append(Line(f"{copy}, {place(threads)}", None, threads, _points(here, copy, ps[0])))
        made += [Line(f"fastdrop p = {p:g}, {place(threads)}", p, threads, _points(here, SUBJECT, p)) for p in ps]
    return [line for line in made if line.points]


def _points(found: Sequence[Result], name: str, p: float) -> list[tuple[int, float]]:
    points = [(each.case.elements, each.gigabytes_per_second(name)) for each in found if each.case.p == p]
    return sorted(point for point in points if not math.isnan(point[1]))


def bars(result: Result) -> list[Bar]:
    """Everyone who took part in a case."""
    made = []
    for name, found in result.candidates.items():
        timing = result.timing(name)
        seconds = timing.median if timing else math.nan
        made.append(Bar(name, seconds, result.gigabytes_per_second(name), found if isinstance(found, str) else ""))
    return made


def place(threads: int) -> str:
    """What a case ran on."""
    return {0: "GPU", 1: "1 thread"}.get(threads, f"{threads} threads")


def time_text(seconds: float) -> str:
    """Three figures and a unit."""
    unit, size = next((pair for pair in (("s", 1.0), ("ms", 1e-3)) if seconds >= pair[1]), ("µs", 1e-6))
    return f"{seconds / size:.3g} {unit}"


def rate_text(rate: float) -> str:
    """GB/s, to three figures or to the last one before the point."""
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"


HEADINGS = ("operation", "size", "dtype", "p", "threads", "time", "GB/s", "speed")
COMPARED = ("before", "change")


def cells(row: Row) -> list[tuple[str, Any]]:
    """A row of the table: what stands in each cell, and what it is sorted by."""
    case, result, saved = row.case, row.result, row.saved
    own, old = result.timing() if result else None, saved.timing() if saved else None
    rate = result.gigabytes_per_second() if result else math.nan
    yardstick = next((name for name in compare.YARDSTICKS if own and result and result.timing(name)), "")
    speed = result.speed(yardstick) if result and yardstick else math.nan
    change = row.change
    mark = "! " if result and result.noise and result.noise.reasons else ""
    return [
        (case.operation, case.operation),
        (case.size, case.elements),
        (case.dtype, case.dtype),
        (f"{case.p:g}", case.p),
        (place(case.threads), case.threads),
        _cell(
            own.median if own else math.nan,
            lambda value: mark + time_text(value),
            "failed" if result and result.error else "–",
        ),
        _cell(rate, rate_text),
        _cell(speed, lambda value: f"{value:.0%} of {yardstick}"),
        _cell(old.median if old else math.nan, time_text),
        _cell(change.faster if change else math.nan, lambda value: _change(value, change.verdict if change else "")),
    ]


def _cell(value: float, text: Callable[[float], str], otherwise: str = "–") -> tuple[str, float]:
    return (otherwise, math.inf) if math.isnan(value) else (text(value), value)


def _change(faster: float, verdict: str) -> str:
    return f"{verdict} (× {faster:.2f})" if verdict else f"none beyond noise (× {faster:.2f})"


FIGURES = ("operation", "shape", "elements", "dtype", "p", "threads", "candidate", "seconds", "low quartile",
           "high quartile", "GB/s", "seconds before", "change", "error")  # fmt: skip


def figures(rows: Sequence[Row]) -> list[list[Any]]:
    """Every candidate of every case, as CSV takes it; what was not measured is empty."""
    made = []
    for row in rows:
        case = row.case
        both = (row.result, row.saved)
        for name in dict.fromkeys(name for found in both if found for name in found.candidates):
            new, old = (found.timing(name) if found else None for found in both)
            problem = row.shown.candidates.get(name, "")
            rate = row.result.gigabytes_per_second(name) if row.result else math.nan
            made.append([
                case.operation, "x".join(map(str, case.shape)), case.elements, case.dtype, case.p, place(case.threads),
                name, *((new.median, new.low, new.high) if new else ("", "", "")), "" if math.isnan(rate) else rate,
                old.median if old else "", row.change.verdict if row.change and name == SUBJECT else "",
                problem if isinstance(problem, str) else "",
            ])  # fmt: skip
    return made
