"""The figures that this project holds itself to, and whether a run reached them."""

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

from fastdrop.bench import peers
from fastdrop.bench.measure import SUBJECT
from fastdrop.bench.plan import (
    BEST_COPY,
    BOTH,
    CONNECT,
    COPY_KINDS,
    DEVICE_IMAGES,
    DEVICE_LAYER,
    DROP_PATH,
    FIRST,
    FLOATS,
    HALVES,
    IMAGES,
    IMAGES_LAST,
    LAST,
    LAYER,
    LOCKED,
    NEW_RESULT,
    ON_DEVICE,
    OVERHEAD,
    ROWS,
    SEQUENCES,
    TOKENS,
    WITH_OUT,
    ZONEOUT,
    powers,
)
from fastdrop.bench.results import Result

ANY_P = (0.5, 0.25, 0.3, 0.1)
FEW_BITS = (0.5, 0.25)
"""One and two bit planes; every other p draws up to eight."""
OTHER_P = (0.3, 0.1)
PER_BATCH, PER_EXAMPLE = CONNECT
NUMPY = "NumPy at its best"
MANY = 2
"""Threads of a promise: two, or as many more as a machine has cores."""
ONE_AND_ALL = (1, MANY)


class Promise(NamedTuple):
    """A bound on a ratio of two candidates, over all the cases that it covers.

    `unit` is "x" for how many times faster the subject is than the yardstick (at least the bound), "time" for its time
    divided by the yardstick's (at most the bound), "us" for microseconds of a call (at most the bound). Both ratios
    are byte for byte where both candidates have bytes.
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

    @property
    def threads_text(self) -> str:
        names = {0: "GPU", 1: "1", MANY: "all"}
        return " and ".join(names[count] for count in self.threads)

    @property
    def needs(self) -> list[str]:
        """What a machine must have for it."""
        found = ["2 cores"] if min(self.threads) >= MANY else []
        found += ["AVX-512"] if self.isa == "avx2" else []
        return found + ([self.yardstick] if self.yardstick in peers.OPTIONAL else [])

    @property
    def isa(self) -> str:
        """The instruction set that is forced; empty for none."""
        return self.subject.removeprefix(SUBJECT).strip()

    def covers(self, result: Result) -> bool:
        """Whether the case is one of the promise's; those in which the yardstick takes no part are none."""
        case = result.case
        sides = (_names(self.subject), _names(self.yardstick or self.subject))
        takes_part = all(any(name in result.candidates for name in names) for names in sides)
        return (
            bool(takes_part or result.error)
            and case.operation in self.operations
            and case.shape in self.shapes
            and case.dtype in self.dtypes
            and case.p in self.ps
            and min(case.threads, MANY) in self.threads
        )

    def measured(self, result: Result) -> float:
        """The figure that the bound is about; nan where one of the two has no timing."""
        if self.unit == "us":
            timing = result.timing(self.subject)
            return timing.median * 1e6 if timing else math.nan
        speed = result.speed(self.yardstick, self.subject)
        return 1 / speed if self.unit == "time" else speed

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.unit == "x" else value <= self.bound


def _names(candidate: str) -> tuple[str, ...]:
    """Under which it stands in a case: the best copy is one of three."""
    return tuple(COPY_KINDS) if candidate == BEST_COPY else (candidate,)


SMALL, MIDDLE, LARGE = powers(16), powers(21), powers(24, 26)
ALL_THREADS = (MANY,)

# fmt: off
PROMISES = (
    Promise("dropout, 2^24 and 2^26, any p, forward and backward", "x", 0.95, BEST_COPY, BOTH, LARGE, ANY_P,
            ONE_AND_ALL),
    Promise("dropout, 2^21, p = 0.5 or 0.25",              "x", 0.85, BEST_COPY, BOTH, MIDDLE, FEW_BITS, ONE_AND_ALL),
    Promise("dropout, 2^21, any other p",                  "x", 0.6,  BEST_COPY, BOTH, MIDDLE, OTHER_P, ONE_AND_ALL,
            aim=0.8),
    Promise("dropout, 2^16, p = 0.5 or 0.25",              "x", 0.95, BEST_COPY, BOTH, SMALL, FEW_BITS, (1,)),
    Promise("dropout, 2^16, any other p",                  "x", 0.75, BEST_COPY, BOTH, SMALL, OTHER_P, (1,)),
    Promise("a new result against out=, 2^23 to 2^26",     "x", 0.9,  WITH_OUT, (NEW_RESULT,), powers(23, 24, 25, 26),
            ANY_P, ONE_AND_ALL),
    Promise("against torch, 2^16 to 2^26",                 "x", 60,   "torch", ("dropout",),
            powers(16, 18, 21, 24, 26), ANY_P, ALL_THREADS),
    Promise("float16, bfloat16, float64, 2^21 and 2^26",   "x", 0.8,  "fastdrop float32", ("dropout",),
            powers(21, 26), ANY_P, ONE_AND_ALL, HALVES),
    Promise("AVX2 forced, against AVX-512",                "x", 0.6,  SUBJECT, ("dropout",), powers(21, 26), ANY_P,
            ALL_THREADS, subject="fastdrop avx2"),
    Promise("the same in cache, 2^16, p = 0.3",            "x", 0.6,  SUBJECT, ("dropout",), SMALL, (0.3,),
            ONE_AND_ALL, subject="fastdrop avx2"),
    Promise("portable code forced",                        "x", 4,    NUMPY, ("dropout",), powers(21, 26), ANY_P,
            ALL_THREADS, subject="fastdrop portable"),
    Promise("spatial dropout, 32x64x56x56, p = 0.5",       "x", 1.2,  "np.copyto", (FIRST,), (IMAGES,), (0.5,),
            ALL_THREADS),
    Promise("the same, channels last",                     "x", 0.9,  "np.copyto", (LAST,), (IMAGES_LAST,), (0.5,),
            ALL_THREADS),
    Promise("bias + ReLU + dropout",                       "time", 1.05, "dropout alone", ("bias + ReLU + dropout",),
            (ROWS,), ANY_P, ONE_AND_ALL),
    Promise("dropout + add, byte for byte (3 arrays)",     "time", 1.05, BEST_COPY, ("dropout + add",), (ROWS,), ANY_P,
            ONE_AND_ALL),
    Promise("zoneout, byte for byte (3 arrays)",           "time", 1.05, BEST_COPY, (ZONEOUT,), powers(21, 26), ANY_P,
            ONE_AND_ALL),
    Promise("DropPath, 64x197x768",                        "time", 1.05, BEST_COPY, (DROP_PATH,), (TOKENS,), ANY_P,
            ONE_AND_ALL),
    Promise("locked dropout, 64x128x512",                  "time", 1.05, BEST_COPY, (LOCKED,), (SEQUENCES,), ANY_P,
            ONE_AND_ALL),
    Promise("DropConnect, one mask per batch",             "time", 1.2, "product", (PER_BATCH,), (LAYER,), ANY_P,
            ALL_THREADS),
    Promise("DropConnect, one mask per example, p = 0.5",  "time", 4, "product", (PER_EXAMPLE,), (LAYER,), (0.5,),
            ALL_THREADS),
    Promise("the same, any other p",                       "time", 8, "product", (PER_EXAMPLE,), (LAYER,),
            (0.25, *OTHER_P), ALL_THREADS),
    Promise("dropout of 64 float32, a call",               "us", 0.9, "", (OVERHEAD,), ((64,),), ANY_P, (1,)),
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
        noise = next(result.noise for result in covered if promise.measured(result) == worst)
        verdict += " in a disturbed case" if noise and noise.reasons else ""
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
    cores, available = machine.get("cores"), machine.get("available")  # a file may say anything of them
    if min(promise.threads) > (cores if type(cores) is int else 1):
        return f"needs {min(promise.threads)} cores"
    if promise.isa and not (isinstance(available, list) and promise.isa in available):
        return f"no {promise.isa} here"
    if promise.isa == "avx2" and machine.get("instruction set") != "avx512":
        return "needs avx512 to compare with"
    return ""


def _why(promise: Promise, covered: Sequence[Result], quick: bool) -> str:
    for result in covered:
        for name in (SUBJECT, promise.subject, *_names(promise.yardstick)):
            found = result.candidates.get(name)
            if isinstance(found, str):
                return f"{name}: {found}"
    if quick:
        return "quick run"
    return f"no case of it was run {_where(promise)}"


def _where(promise: Promise) -> str:
    if promise.threads == ALL_THREADS:
        return f"with {MANY} threads or more"
    return "with 1 thread" if promise.threads == (1,) else "here"


def record(outcome: Outcome) -> dict[str, Any]:
    """The outcome as plain values, for JSON."""
    promise = outcome.promise
    known = outcome.cases > 0
    return {
        "what": promise.what,
        "threads": promise.threads_text,
        "needs": promise.needs,
        "promised": promise.bound_text,
        "bound": promise.bound,
        "cases": outcome.cases,
        "worst": outcome.worst if known else None,
        "median": outcome.median if known else None,
        "verdict": outcome.verdict,
    }
