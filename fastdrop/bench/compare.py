"""Two runs, and what changed between them beyond noise."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from fastdrop.bench.measure import SUBJECT, Timing
from fastdrop.bench.plan import BEST_COPY, PRODUCT, Case
from fastdrop.bench.report import Report

SMALLEST_CHANGE = 0.05
"""A change of the median below this is noise, however narrow the quartiles."""

BASELINES = (BEST_COPY, "copy", "np.copyto", PRODUCT)
"""What fastdrop's speed is divided by: the first of these that both runs have."""

_IDENTITY = ("processor", "cores", "instruction set", "caches", "numpy", "blas", "python", "commit")


class Change(NamedTuple):
    """One case in both runs. A ratio above 1 says that the second run's fastdrop is faster."""

    case: Case
    candidate: str
    seconds: tuple[float, float]
    faster: float
    """First run's seconds divided by the second's."""
    share: float | None
    """The same for the speed divided by the baseline's; None where there is no baseline."""
    baseline: str
    verdict: str
    """Empty where nothing changed beyond noise."""


def compare(first: Report, second: Report) -> Iterator[Change]:
    """Every case and every build of fastdrop (the default one and the forced ones) that both runs have."""
    before = {result.case.key: result for result in first.results}
    for result in second.results:
        known = before.get(result.case.key)
        if known is None:
            continue
        for name in result.candidates:
            old, new = known.timing(name), result.timing(name)
            if not name.startswith(SUBJECT) or old is None or new is None:
                continue
            seconds = _step((old.median, old.low, old.high), (new.median, new.low, new.high))
            share, baseline = None, ""
            if name == SUBJECT:  # ratios are to the default build
                for baseline in BASELINES:
                    one, other = known.timing(baseline), result.timing(baseline)
                    if one and other:
                        share = _step(_share(one), _share(other))
                        break
            yield Change(
                result.case,
                name,
                (old.median, new.median),
                old.median / new.median,
                None if share is None else share[0],
                baseline if share else "",
                _verdict(seconds[1], None if share is None else share[1], baseline),
            )


def unmatched(first: Report, second: Report) -> tuple[int, int]:
    """How many cases only the first run has, and only the second."""
    one, other = ({result.case.key for result in report.results} for report in (first, second))
    return len(one - other), len(other - one)


def differences(first: Report, second: Report) -> dict[str, tuple[Any, Any]]:
    """In what the two machines differ that affects speed."""
    pairs = {name: (first.machine.get(name), second.machine.get(name)) for name in _IDENTITY}
    pairs["plan"] = (first.plan, second.plan)
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


Interval = tuple[float, float, float]


def _share(baseline: Timing) -> Interval:
    """fastdrop's time divided by the baseline's, so that less is faster."""
    return 1 / baseline.relative, 1 / baseline.relative_high, 1 / baseline.relative_low


def _step(old: Interval, new: Interval) -> tuple[float, int]:
    """The old median divided by the new one, and the direction of a change beyond noise: 1, -1 or 0."""
    ratio = old[0] / new[0]
    apart = new[1] > old[2] or new[2] < old[1]
    if not apart or abs(new[0] - old[0]) <= SMALLEST_CHANGE * old[0]:
        return ratio, 0
    return ratio, 1 if ratio > 1 else -1


def _verdict(seconds: int, share: int | None, baseline: str) -> str:
    word = {1: "faster", -1: "slower"}
    if share is None or seconds == share:
        return word.get(seconds, "")
    if not share:  # the baseline changed as much
        return f"{word[seconds]}, and so is {baseline}: the machine, not the kernel"
    if not seconds:
        return f"{word[share]} against {baseline} alone"
    return f"{word[seconds]}, but {word[share]} against {baseline}"
