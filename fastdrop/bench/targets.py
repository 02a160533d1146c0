"""The speeds that this project aims at, and whether a run reached them."""

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

from fastdrop.bench import plan
from fastdrop.bench.measure import SUBJECT
from fastdrop.bench.plan import ANY_P, BEST_COPY, BOTH, CONNECT, COPY_KINDS, FLOATS, ON_DEVICE, TWO_P, powers
from fastdrop.bench.results import Result

FEW_BITS, MANY_BITS = (0.5, 0.25), (0.3, 0.1)
"""p with one and two bit planes, and others, which draw up to eight."""
ALL = (2,)
"""All threads of a machine: two or more."""
ONE_AND_ALL = (1, 2)
AT_LEAST, AT_MOST, MICROSECONDS = (
    "at least {:g} x the speed of {}",
    "at most {:g} x the time of {}",
    "at most {:g} microseconds",
)


class Target(NamedTuple):
    """A bound for a ratio of two candidates, over all cases that it covers; the worst case decides.

    `kind` is how many times faster the subject is than the baseline (AT_LEAST), its time divided by the baseline's
    (AT_MOST), or the time of a call (MICROSECONDS). Ratios count bytes where both candidates have bytes.
    """

    what: str
    kind: str
    bound: float
    baseline: str
    operations: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    ps: tuple[float, ...]
    threads: tuple[int, ...]
    dtypes: tuple[str, ...] = ("float32",)
    subject: str = SUBJECT

    @property
    def text(self) -> str:
        """The bound in words."""
        return self.kind.format(self.bound, self.baseline)

    @property
    def threads_text(self) -> str:
        """The numbers of threads in words."""
        return " and ".join({0: "GPU", 1: "1", 2: "all"}[count] for count in self.threads)

    def covers(self, result: Result) -> bool:
        """Whether the case is one of the target's, and both candidates take part in it."""
        case = result.case
        pairs = ((case.operation, self.operations), (case.shape, self.shapes), (case.p, self.ps),
                 (min(case.threads, 2), self.threads), (case.dtype, self.dtypes))  # fmt: skip
        names = [set(COPY_KINDS) if self.baseline == BEST_COPY else {self.baseline or self.subject}, {self.subject}]
        return all(value in values for value, values in pairs) and all(
            each & result.candidates.keys() for each in names
        )

    def measured(self, result: Result) -> float:
        """The figure that the bound is about; nan where one of the two has no timing."""
        if self.kind == MICROSECONDS:
            timing = result.timing(self.subject)
            return timing.median * 1e6 if timing else math.nan
        speed = result.speed(self.baseline, self.subject)
        return 1 / speed if self.kind == AT_MOST else speed

    def is_met(self, value: float) -> bool:
        """Whether a figure is within the bound."""
        return value >= self.bound if self.kind == AT_LEAST else value <= self.bound


_MIDDLE, _SMALL = powers(21), powers(16)
_BOTH_SIZES = powers(21, 26)

# fmt: off
TARGETS = (
    Target("dropout, 2^24 and 2^26, any p, forward and backward", AT_LEAST, 0.95, BEST_COPY, BOTH, powers(24, 26),
        ANY_P, ONE_AND_ALL),
    Target("dropout, 2^21, p = 0.5 or 0.25", AT_LEAST, 0.85, BEST_COPY, BOTH, _MIDDLE, FEW_BITS, ONE_AND_ALL),
    Target("dropout, 2^21, any other p", AT_LEAST, 0.6, BEST_COPY, BOTH, _MIDDLE, MANY_BITS, ONE_AND_ALL),
    Target("dropout, 2^16, p = 0.5 or 0.25", AT_LEAST, 0.95, BEST_COPY, BOTH, _SMALL, FEW_BITS, (1,)),
    Target("dropout, 2^16, any other p", AT_LEAST, 0.75, BEST_COPY, BOTH, _SMALL, MANY_BITS, (1,)),
    Target("a new result against out=, 2^23 to 2^26", AT_LEAST, 0.9, plan.WITH_OUT, (plan.NEW_RESULT,), powers(23, 24,
        25, 26), ANY_P, ONE_AND_ALL),
    Target("against torch, 2^16 to 2^26", AT_LEAST, 60, "torch", BOTH[:1], powers(16, 18, 21, 24, 26), ANY_P, ALL),
    Target("float16, bfloat16, float64, 2^21 and 2^26", AT_LEAST, 0.8, plan.FLOAT32, BOTH[:1], _BOTH_SIZES, ANY_P,
        ONE_AND_ALL, plan.OTHER_DTYPES),
    Target("AVX2 forced, against AVX-512", AT_LEAST, 0.6, SUBJECT, BOTH[:1], _BOTH_SIZES, ANY_P, ALL,
        subject="fastdrop avx2"),
    Target("AVX2 forced, in the cache, 2^16, p = 0.3", AT_LEAST, 0.6, SUBJECT, BOTH[:1], _SMALL, (0.3,), ONE_AND_ALL,
        subject="fastdrop avx2"),
    Target("portable code forced", AT_LEAST, 4, "best NumPy", BOTH[:1], _BOTH_SIZES, ANY_P, ALL,
        subject="fastdrop portable"),
    Target("spatial dropout, 32x64x56x56, p = 0.5", AT_LEAST, 1.2, "np.copyto", (plan.FIRST,), (plan.IMAGES,), (0.5,),
        ALL),
    Target("spatial dropout, channels last, p = 0.5", AT_LEAST, 0.9, "np.copyto", (plan.LAST,), (plan.IMAGES_LAST,),
        (0.5,), ALL),
    Target("bias + ReLU + dropout", AT_MOST, 1.05, plan.ALONE, (plan.BIAS_RELU,), (plan.ROWS,), ANY_P, ONE_AND_ALL),
    Target("dropout + add, by bytes (3 arrays)", AT_MOST, 1.05, BEST_COPY, (plan.ADD,), (plan.ROWS,), ANY_P,
        ONE_AND_ALL),
    Target("zoneout, by bytes (3 arrays)", AT_MOST, 1.05, BEST_COPY, (plan.ZONEOUT,), _BOTH_SIZES, ANY_P, ONE_AND_ALL),
    Target("drop path, 64x197x768", AT_MOST, 1.05, BEST_COPY, (plan.DROP_PATH,), (plan.TOKENS,), ANY_P, ONE_AND_ALL),
    Target("locked dropout, 64x128x512", AT_MOST, 1.05, BEST_COPY, (plan.LOCKED,), (plan.SEQUENCES,), ANY_P,
        ONE_AND_ALL),
    Target("DropConnect, one mask per batch", AT_MOST, 1.2, plan.PRODUCT, CONNECT[:1], (plan.LAYER,), ANY_P, ALL),
    Target("DropConnect, one mask per example, p = 0.5", AT_MOST, 4, plan.PRODUCT, CONNECT[1:], (plan.LAYER,), (0.5,),
        ALL),
    Target("DropConnect, one mask per example, any other p", AT_MOST, 8, plan.PRODUCT, CONNECT[1:], (plan.LAYER,),
        (0.25, 0.3, 0.1), ALL),
    Target("a call on 64 elements, float32", MICROSECONDS, 0.9, "", (plan.OVERHEAD,), ((64,),), ANY_P, (1,)),
    Target("Dask array of 8 GB", AT_LEAST, 0.9, "copy", (plan.DASK,), powers(31), (0.5,), ALL),
    Target("training step of a transformer layer", AT_MOST, 1.08, "no dropout", (plan.TRANSFORMER_STEP,), ((16, 128,
        512),), (0.1,), ALL),
    Target("training step of an MLP", AT_MOST, 1.1, "no dropout", (plan.MLP_STEP,), ((256, 784),), (0.5,), ALL),
    Target("50 passes of MC dropout of an MLP", AT_MOST, 1.15, "no dropout", (plan.MLP_PASSES,), ((256, 784),),
        (0.5,), ALL),
)

DEVICE_TARGETS = (
    Target("dropout forward and backward, 2^28, any p", AT_LEAST, 0.92, "copy", BOTH, powers(28), ANY_P, ON_DEVICE,
        FLOATS),
    Target("dropout against torch, 2^28, float32", AT_LEAST, 1.0, "torch", BOTH, powers(28), TWO_P, ON_DEVICE),
    Target("dropout against torch, 2^28, float16, bfloat16", AT_LEAST, 1.3, "torch", BOTH, powers(28), TWO_P,
        ON_DEVICE, FLOATS[1:]),
    Target("spatial dropout, channels first, p = 0.5", AT_LEAST, 1.2, "copy", (plan.FIRST,), (plan.DEVICE_IMAGES,),
        (0.5,), ON_DEVICE),
    Target("DropConnect per example, 128x4096x4096", AT_LEAST, 20, plan.STORED_MASKS, CONNECT[1:],
        (plan.DEVICE_LAYER,), (0.5,), ON_DEVICE),
)
"""On an NVIDIA H200."""
# fmt: on


class Outcome(NamedTuple):
    """A target beside what was measured; nan where nothing was."""

    target: Target
    cases: int
    worst: float
    median: float
    verdict: str

    def record(self) -> dict[str, Any]:
        """The outcome as plain values."""
        worst, middle = (None if math.isnan(value) else value for value in (self.worst, self.median))
        return {"what": self.target.what, "threads": self.target.threads_text, "target": self.target.text,
                "cases": self.cases, "worst": worst, "median": middle, "verdict": self.verdict}  # fmt: skip


def evaluate(results: Iterable[Result], on_device: bool = False) -> list[Outcome]:
    """Every target against the results that it covers."""
    results = list(results)
    return [_evaluate(target, results) for target in (DEVICE_TARGETS if on_device else TARGETS)]


def _evaluate(target: Target, results: Sequence[Result]) -> Outcome:
    covered = [result for result in results if target.covers(result)]
    values = {value: result for result in covered if not math.isnan(value := target.measured(result))}
    if not values:
        return Outcome(target, 0, math.nan, math.nan, "not measured")
    worst = min(values) if target.kind == AT_LEAST else max(values)
    verdict = "met"
    if not target.is_met(worst):
        verdict = f"missed by {abs(worst - target.bound) / target.bound:.1%}"
        verdict += " in a disturbed case" if values[worst].mark else ""
    figures = [target.measured(result) for result in covered]
    figures = [value for value in figures if not math.isnan(value)]
    if len(figures) < len(covered):
        verdict += f"; {len(covered) - len(figures)} of {len(covered)} cases have no figure"
    return Outcome(target, len(figures), worst, median(figures), verdict)
