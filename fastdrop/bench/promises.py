"""The figures that this project holds itself to, and whether a run reached them."""

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

from fastdrop.bench.measure import SUBJECT
from fastdrop.bench.plan import (
    BOTH,
    CONNECT,
    DEVICE_IMAGES,
    DEVICE_LAYER,
    FIRST,
    FLOATS,
    IMAGES,
    IMAGES_LAST,
    LAST,
    LAYER,
    ON_DEVICE,
    OVERHEAD,
    ROWS,
    powers,
)
from fastdrop.bench.results import Result

ANY_P = (0.5, 0.25, 0.3, 0.1)
FEW_BITS = (0.5, 0.25)
"""One and two bit planes; every other p draws up to eight."""
OTHER_P = (0.3, 0.1)
PER_BATCH, PER_EXAMPLE = CONNECT
NUMPY = "NumPy at its best"


class Promise(NamedTuple):
    """A bound on a ratio of two candidates, over all the cases that it covers.

    `unit` is "x" for how many times faster the subject is than the yardstick (at least the bound), "time" for its time
    divided by the yardstick's (at most the bound), "us" for microseconds of a call (at most the bound).
    """

    what: str
    unit: str
    bound: float
    yardstick: str
    operations: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    ps: tuple[float, ...]
    threads: tuple[int, ...]
    dtypes: tuple[str, ...] = ("float32",)
    subject: str = SUBJECT
    aim: float | None = None
    """What is hoped for beyond the bound."""

    @property
    def bound_text(self) -> str:
        relation = "at least" if self.unit == "x" else "at most"
        unit = {"x": " x", "time": " x the time of", "us": " microseconds"}[self.unit]
        aim = f" (aim: {self.aim:g})" if self.aim else ""
        return f"{relation} {self.bound:g}{unit} {self.yardstick}".rstrip() + aim

    def covers(self, result: Result) -> bool:
        """Whether the case is one of the promise's; those in which the yardstick takes no part are none."""
        case = result.case
        takes_part = {self.subject, self.yardstick or self.subject} <= result.candidates.keys()
        return (
            bool(takes_part or result.error)
            and case.operation in self.operations
            and case.shape in self.shapes
            and case.dtype in self.dtypes
            and case.p in self.ps
            and case.threads in self.threads
        )

    def measured(self, result: Result) -> float:
        """The figure that the bound is about; nan where one of the two has no timing."""
        if self.unit == "us":
            timing = result.timing(self.subject)
            return timing.median * 1e6 if timing else math.nan
        if self.unit == "time":
            one, other = result.timing(self.subject), result.timing(self.yardstick)
            return one.relative / other.relative if one and other else math.nan
        return result.speed(self.yardstick, self.subject)

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.unit == "x" else value <= self.bound


LARGE, MIDDLE = powers(26), powers(16, 21)
HALVES = ("float16", "bfloat16", "float64")

# fmt: off
PROMISES = (
    Promise("dropout, 2^26, any p, forward and backward",  "x", 1.8,  "np.copyto", BOTH, LARGE, ANY_P, (2,)),
    Promise("dropout, 2^26, any p, forward and backward",  "x", 1.05, "np.copyto", BOTH, LARGE, ANY_P, (1,)),
    Promise("dropout, 2^16 and 2^21, p = 0.5 or 0.25",     "x", 0.85, "copy", BOTH, MIDDLE, FEW_BITS, (1, 2)),
    Promise("dropout, 2^16 and 2^21, any other p",         "x", 0.6,  "copy", BOTH, MIDDLE, OTHER_P, (1, 2), aim=0.8),
    Promise("against torch, 2^16 to 2^26",                 "x", 60,   "torch", ("dropout",),
            powers(16, 18, 21, 24, 26), ANY_P, (2,)),
    Promise("float16, bfloat16, float64, 2^26 (GB/s)",     "x", 0.8,  "fastdrop float32", ("dropout",), LARGE, ANY_P,
            (2,), HALVES),
    Promise("AVX2 forced, against AVX-512",                "x", 0.6,  SUBJECT, ("dropout",), powers(21, 26), ANY_P,
            (2,), subject="fastdrop avx2"),
    Promise("portable code forced",                        "x", 4,    NUMPY, ("dropout",), powers(21, 26), ANY_P,
            (2,), subject="fastdrop portable"),
    Promise("spatial dropout, 32x64x56x56, p = 0.5",       "x", 1.2,  "np.copyto", (FIRST,), (IMAGES,), (0.5,), (2,)),
    Promise("the same, channels last",                     "x", 0.9,  "np.copyto", (LAST,), (IMAGES_LAST,), (0.5,),
            (2,)),
    Promise("bias + ReLU + dropout",                       "time", 1.15, "dropout alone", ("bias + ReLU + dropout",),
            (ROWS,), ANY_P, (2,)),
    Promise("DropConnect, one mask per batch",             "time", 1.2, "product", (PER_BATCH,), (LAYER,), ANY_P,
            (2,)),
    Promise("DropConnect, one mask per example, p = 0.5",  "time", 4, "product", (PER_EXAMPLE,), (LAYER,), (0.5,),
            (2,)),
    Promise("the same, any other p",                       "time", 8, "product", (PER_EXAMPLE,), (LAYER,),
            (0.25, *OTHER_P), (2,)),
    Promise("dropout of 64 float32, a call",               "us", 2, "", (OVERHEAD,), ((64,),), ANY_P, (1,)),
)

DEVICE_LARGE, TWO_PS = powers(28), (0.5, 0.3)
DEVICE_PROMISES = (
    Promise("dropout forward and backward, 2^28, any p",   "x", 0.92, "copy", BOTH, DEVICE_LARGE, ANY_P,
            ON_DEVICE, FLOATS),
    Promise("the same against torch, float32",             "x", 1.0,  "torch", BOTH, DEVICE_LARGE, TWO_PS, ON_DEVICE),
    Promise("the same against torch, float16, bfloat16",   "x", 1.3,  "torch", BOTH, DEVICE_LARGE, TWO_PS,
            ON_DEVICE, FLOATS[1:]),
    Promise("spatial dropout, channels first, p = 0.5",    "x", 1.2,  "copy", (FIRST,), (DEVICE_IMAGES,), (0.5,),
            ON_DEVICE),
    Promise("DropConnect per example, 128x4096x4096",      "x", 20,   "materialised mask", (PER_EXAMPLE,),
            (DEVICE_LAYER,), (0.5,), ON_DEVICE),
)
"""On an NVIDIA H200."""
# fmt: on


class Outcome(NamedTuple):
    """A promise beside what was measured; nan where nothing was."""

    promise: Promise
    cases: int
    worst: float
    median: float
    verdict: str


def evaluate(
    results: Iterable[Result], machine: dict[str, Any], *, missing: Sequence[str] = (), quick: bool = False
) -> list[Outcome]:
    """Every promise against the results that it covers; its worst case decides."""
    results = list(results)
    made = DEVICE_PROMISES if "device" in machine else PROMISES
    return [_evaluate(promise, results, _impossible(promise, machine, missing), quick) for promise in made]


def _evaluate(promise: Promise, results: Sequence[Result], reason: str, quick: bool) -> Outcome:
    covered = [result for result in results if promise.covers(result)]
    values = [value for result in covered if not math.isnan(value := promise.measured(result))]
    if reason or not values:
        return Outcome(promise, 0, math.nan, math.nan, f"not measured: {reason or _why(promise, covered, quick)}")
    worst = min(values) if promise.unit == "x" else max(values)
    verdict = "reached"
    if not promise.holds(worst):
        verdict = f"short by {abs(worst - promise.bound) / promise.bound:.1%}"
    elif promise.aim and worst < promise.aim:
        verdict = "reached, the aim not"
    missing = sum(1 for result in covered if math.isnan(promise.measured(result)))
    if missing:
        verdict += f"; {missing} of {len(covered)} cases have no figure"
    return Outcome(promise, len(values), worst, median(values), verdict)


def _impossible(promise: Promise, machine: dict[str, Any], missing: Sequence[str]) -> str:
    """Why this machine has nothing to measure for it."""
    if promise.yardstick in missing:
        return f"{promise.yardstick} is not installed"
    if max(promise.threads) > machine.get("cores", 1):
        return f"needs {max(promise.threads)} cores"
    here = machine.get("available", [])
    if promise.subject != SUBJECT:
        isa = promise.subject.removeprefix(f"{SUBJECT} ")
        if isa not in here:
            return f"no {isa} here"
        if isa == "avx2" and machine.get("instruction set") != "avx512":
            return "needs avx512 to compare with"
    return ""


def _why(promise: Promise, covered: Sequence[Result], quick: bool) -> str:
    for result in covered:
        for name in (SUBJECT, promise.subject, promise.yardstick):
            found = result.candidates.get(name)
            if isinstance(found, str):
                return f"{name}: {found}"
    if quick:
        return "quick run"
    return f"no case of it was run {_where(promise)}"


def _where(promise: Promise) -> str:
    return "here" if 0 in promise.threads else f"with {' or '.join(map(str, promise.threads))} threads"


def record(outcome: Outcome) -> dict[str, Any]:
    """The outcome as plain values, for JSON."""
    promise = outcome.promise
    known = outcome.cases > 0
    return {
        "what": promise.what,
        "threads": list(promise.threads),
        "promised": promise.bound_text,
        "bound": promise.bound,
        "cases": outcome.cases,
        "worst": outcome.worst if known else None,
        "median": outcome.median if known else None,
        "verdict": outcome.verdict,
    }
