"""Running a plan, case by case, and what comes out of it."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from fastdrop import threads
from fastdrop.backends.cuda.device import require
from fastdrop.bench import device, operations, quiet
from fastdrop.bench.measure import HOST, SUBJECT, Timing, measure
from fastdrop.bench.plan import BEST_COPY, COPY_KINDS, DEVICE_OR_HOST, Case
from fastdrop.bench.quiet import Noise
from fastdrop.errors import missing_package
from fastdrop.experiments.reading import Damaged, cleaned, is_text, shown

try:
    from threadpoolctl import threadpool_limits
except ImportError:
    raise missing_package("threadpoolctl", "bench", "the benchmark") from None

MOST = 1 << 62
"""Elements, bytes, rounds and whatever else a file counts."""
_MOST_AXES = 64
_MOST_CANDIDATES = 100
_SHORTEST, _LONGEST = 1e-15, 1e15
"""Seconds, and how many times longer than fastdrop: what lies beyond was not measured."""


class Result(NamedTuple):
    """One measured case: a timing for each candidate, or the text of its error."""

    case: Case
    candidates: dict[str, Timing | str]
    noise: Noise | None = None
    """What happened meanwhile; None on a GPU and in older files."""

    @property
    def error(self) -> str:
        """Why fastdrop itself has no timing here; empty where it has one."""
        own = self.candidates.get(SUBJECT, "not measured")
        return own if isinstance(own, str) else ""

    @property
    def best_copy(self) -> str:
        """Which of the copies was the fastest, by the ratios of the rounds; empty where none was measured."""
        found = {name: self.candidates.get(name) for name in COPY_KINDS}
        times = {name: timing.relative for name, timing in found.items() if isinstance(timing, Timing)}
        return min(times, key=times.__getitem__, default="")

    def timing(self, name: str = SUBJECT) -> Timing | None:
        """A candidate's timing, or that of the best copy; None where it has none."""
        found = self.candidates.get(self.best_copy if name == BEST_COPY else name)
        return found if isinstance(found, Timing) else None

    def gigabytes_per_second(self, name: str = SUBJECT) -> float:
        """What the call reads and writes, per second; nan where nothing was measured, or it has no such arrays."""
        timing = self.timing(name)
        return timing.bytes / timing.median / 1e9 if timing and timing.bytes else math.nan

    def gigaelements_per_second(self) -> float:
        timing = self.timing()
        return self.case.elements / timing.median / 1e9 if timing else math.nan

    def speed(self, yardstick: str, subject: str = SUBJECT) -> float:
        """How many times faster the subject is: by bytes where both have bytes, else by calls; nan if not measured."""
        one, other = self.timing(subject), self.timing(yardstick)
        if one is None or other is None:
            return math.nan
        size = one.bytes / other.bytes if one.bytes and other.bytes else 1.0
        return other.relative / one.relative * size


def copy_of(found: Iterable[Result]) -> str:
    """Which copy these are shown beside: the best of three, or the only one that GPUs and older files have."""
    return BEST_COPY if any(result.best_copy for result in found) else "copy"


def noises(found: Iterable[Result]) -> list[Noise]:
    """Of the results that have one."""
    return [result.noise for result in found if result.noise is not None]


def run(cases: Sequence[Case], tell: Callable[[str], None] = lambda _: None) -> Iterator[Result]:
    """Measure the cases one after the other; threads and instruction set are afterwards what they were.

    `tell` hears of waiting for cores that others use, which takes at most half of what measuring takes.
    """
    buffers, watch = operations.Buffers(), quiet.Watch(sum(case.cost for case in cases) / 2, tell)
    count, isa = threads.get_num_threads(), threads.kernels.current_isa()
    try:
        for case in cases:
            watch.begin()
            threads.set_num_threads(case.threads)
            with threadpool_limits(limits=case.threads):  # BLAS's, and OpenMP's, which peers may share with us
                try:
                    candidates = measure(operations.makers(case, buffers), case.seconds)
                except Exception as error:  # an operation or a dtype that is not here must not end the run
                    candidates = {SUBJECT: f"{type(error).__name__}: {error}".splitlines()[0]}
            own = candidates[SUBJECT]
            yield Result(case, candidates, watch.end(own.spread if isinstance(own, Timing) else None))
    finally:
        threads.set_num_threads(count)
        threads.kernels.use_isa(isa)


def run_on_device(cases: Sequence[Case]) -> Iterator[Result]:
    """Measure cases on the GPU one after the other; BackendUnavailable where there is none."""
    require()
    buffers, timer = device.DeviceBuffers(), device.Timer()
    for case in cases:
        try:
            # Whether to go to the GPU at all is a question of the host's time.
            clock = HOST if case.operation == DEVICE_OR_HOST else timer
            candidates = measure(device.makers(case, buffers), case.seconds, clock)
        except Exception as error:  # too little memory, or an operation that is not here, must not end the run
            candidates = {SUBJECT: f"{type(error).__name__}: {error}".splitlines()[0]}
        yield Result(case, candidates)


class Clock:
    """The time left, from the cases' expected costs and how they came out so far."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.expected = sum(case.cost for case in cases)
        self.done = 0.0
        self._begin = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the start, without what was waited for free cores."""
        return time.perf_counter() - self._begin

    def finish(self, result: Result) -> None:
        self.done += result.case.cost
        self._begin += result.noise.waited if result.noise else 0.0

    @property
    def left(self) -> float:
        return (self.expected - self.done) * (self.seconds / self.done if self.done else 1.0)


def record(result: Result) -> dict[str, Any]:
    """The result as plain values, for JSON."""
    case = result.case
    found: dict[str, Any] = {
        "operation": case.operation,
        "shape": list(case.shape),
        "elements": case.elements,
        "dtype": case.dtype,
        "p": case.p,
        "threads": case.threads,
        "best_copy": result.best_copy or None,
        "candidates": {},
    }
    if result.noise:
        found["quiet"] = quiet.record(result.noise)
    copy = copy_of([result])
    for name, timing in result.candidates.items():
        if isinstance(timing, str):
            found["candidates"][name] = {"error": timing}
            continue
        entry: dict[str, Any] = {
            "median_seconds": timing.median,
            "quartiles_seconds": [timing.low, timing.high],
            "rounds": timing.rounds,
            "time_relative_to_fastdrop": timing.relative,
            "quartiles_relative_to_fastdrop": [timing.relative_low, timing.relative_high],
            "bytes": timing.bytes,
        }
        if timing.bytes:
            entry["gigabytes_per_second"] = timing.bytes / timing.median / 1e9
        entry["gigaelements_per_second"] = case.elements / timing.median / 1e9
        if result.timing(copy):
            entry[f"ratio_to_{copy.replace(' ', '_')}"] = _finite(result.speed(copy, name))
        found["candidates"][name] = entry
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def from_record(found: Any) -> Result:
    """The result that `record` wrote; `Damaged` where it is something else."""
    found = _fields(found, "operation", "shape", "dtype", "p", "threads", "candidates")
    operation, dtype, p = _name(found["operation"]), _name(found["dtype"]), found["p"]
    if not isinstance(found["shape"], list) or not 1 <= len(found["shape"]) <= _MOST_AXES:
        raise Damaged(f"damaged: no shape: {shown(found['shape'])}")
    shape = tuple(_count(side, least=1) for side in found["shape"])
    if math.prod(shape) > MOST:
        raise Damaged(f"damaged: no shape: {shown(found['shape'])}")
    if type(p) not in (int, float) or not 0.0 <= p <= 1.0:
        raise Damaged(f"damaged: p is from 0 to 1; got {shown(p)}")
    case = Case(operation, shape, dtype, float(p), _count(found["threads"]))
    if not isinstance(found["candidates"], dict) or len(found["candidates"]) > _MOST_CANDIDATES:
        raise Damaged(f"damaged: {case} has no candidates, or more than {_MOST_CANDIDATES}")
    candidates = {_name(name): _candidate(case, entry) for name, entry in found["candidates"].items()}
    return Result(case, candidates, _noise(found["quiet"]) if "quiet" in found else None)


def _noise(found: Any) -> Noise:
    found = _fields(found, "foreign_share", "steal_share", "pressure_share", "spread", "waited_seconds")
    foreign, steal, pressure, spread = (
        None if found[name] is None else _amount(found[name])
        for name in ("foreign_share", "steal_share", "pressure_share", "spread")
    )
    return Noise(foreign, steal, pressure, spread, _amount(found["waited_seconds"]))


def _amount(value: Any) -> float:
    if type(value) not in (int, float) or not 0.0 <= value <= _LONGEST:
        raise Damaged(f"damaged: no share or time of what disturbed a case: {shown(value)}")
    return float(value)


def _candidate(case: Case, entry: Any) -> Timing | str:
    """A candidate's timing, or the text of its error."""
    if isinstance(entry, dict) and "error" in entry:
        return cleaned(entry["error"])
    pairs = ("quartiles_seconds", "quartiles_relative_to_fastdrop")
    entry = _fields(entry, "median_seconds", "time_relative_to_fastdrop", "rounds", "bytes", *pairs)
    if not all(isinstance(entry[name], list) and len(entry[name]) == 2 for name in pairs):
        raise Damaged(f"damaged: {case}: quartiles are two numbers")
    (low, high), (relative_low, relative_high) = (entry[name] for name in pairs)
    times = (entry["median_seconds"], low, high, entry["time_relative_to_fastdrop"], relative_low, relative_high)
    if not all(type(time) in (int, float) and _SHORTEST <= time <= _LONGEST for time in times):
        raise Damaged(f"damaged: {case}: a time is no positive number, or none that can be")
    median, low, high, relative, relative_low, relative_high = map(float, times)
    rounds, size = _count(entry["rounds"], least=1), _count(entry["bytes"])
    return Timing(median, low, high, rounds, relative, relative_low, relative_high, size)


def _fields(found: Any, *names: str) -> dict[str, Any]:
    if not isinstance(found, dict) or not found.keys() >= set(names):
        raise Damaged(f"damaged: there should be {', '.join(names)}; got {shown(found)}")
    return found


def _name(text: Any) -> str:
    if not is_text(text):
        raise Damaged(f"damaged: no name: {shown(text)}")
    return str(text)


def _count(value: Any, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= MOST:
        raise Damaged(f"damaged: no count from {least} on: {shown(value)}")
    return value
