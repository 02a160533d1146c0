"""Figures of the benchmark as the app shows them: table rows and bars. Knows nothing of Qt."""

import math
from typing import Any, NamedTuple

from fastdrop.bench import compare, figures
from fastdrop.bench.measure import SUBJECT
from fastdrop.bench.plan import Case
from fastdrop.bench.results import Result


class Row(NamedTuple):
    """A case as the newest run and the saved one have it."""

    case: Case
    result: Result | None
    saved: Result | None
    change: compare.Change | None

    @property
    def shown(self) -> Result:
        """The newest figures."""
        found = self.result or self.saved
        assert found is not None
        return found


HEADINGS = ("operation", "dtype", *figures.HEADINGS, "speed")
COMPARED = ("before", "change")


def cells(row: Row) -> list[tuple[str, Any]]:
    """A row of the table: the text of each cell, and what it is sorted by."""
    case, result, change = row.case, row.result, row.change
    baseline = next((name for name in compare.BASELINES if result and result.timing() and result.timing(name)), "")
    speed = result.speed(baseline) if result and baseline else math.nan
    changed = f"{change.verdict or 'none beyond noise'} (× {change.faster:.2f})" if change else "–"
    return [
        (case.operation, case.operation),
        (case.dtype, case.dtype),
        *figures.case_cells(row.shown),
        *figures.cells(result),
        (f"{speed:.0%} of {baseline}", speed) if baseline else ("–", math.inf),
        figures.cells(row.saved)[0],
        (changed, change.faster if change else math.inf),
    ]


class Bar(NamedTuple):
    """A candidate's figures in one case; nan where it has none, and why."""

    name: str
    seconds: float
    rate: float
    problem: str

    def text(self, rates: bool) -> str:
        """The figure beside the bar: the rate, or the time of a call."""
        if self.problem:
            return "failed"
        if rates and not math.isnan(self.rate):
            return f"{figures.number_text(self.rate)} GB/s"
        return figures.time_text(self.seconds)


def bars(result: Result) -> list[Bar]:
    """All candidates of a case, fastdrop first."""
    made = []
    for name, found in result.candidates.items():
        timing = result.timing(name)
        seconds = timing.median if timing else math.nan
        made.append(Bar(name, seconds, result.gigabytes_per_second(name), found if isinstance(found, str) else ""))
    return sorted(made, key=lambda bar: bar.name != SUBJECT)
