"""Running cases, what comes out of one, and how long the others will take."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fastdrop.bench import candidates, device, noise
from fastdrop.bench.internals import cupy, get_num_threads, kernels, require, set_num_threads
from fastdrop.bench.measure import SUBJECT, Timing, first_line, measure, on_cpu
from fastdrop.bench.noise import Noise
from fastdrop.bench.operations import Buffers
from fastdrop.bench.plan import BEST_COPY, COPY_KINDS, DEVICE_OR_HOST, Case
from fastdrop.errors import missing_package

try:
    from threadpoolctl import threadpool_limits
except ImportError:
    raise missing_package("threadpoolctl", "bench", "the benchmark") from None


class Result(NamedTuple):
    """One measured case: a timing for each candidate, or the text of its error."""

    case: Case
    candidates: dict[str, Timing | str]
    noise: Noise | None = None
    """What disturbed it; None on a GPU and in older files."""

    @property
    def error(self) -> str:
        """Why fastdrop itself has no timing here; empty where it has one."""
        own = self.candidates.get(SUBJECT, "not measured")
        return own if isinstance(own, str) else ""

    @property
    def mark(self) -> str:
        """A prefix for the time of a disturbed case; otherwise empty."""
        return "! " if self.noise and self.noise.reasons else ""

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
        """What a call reads and writes, per second; nan where that was not measured or says nothing."""
        timing = self.timing(name)
        return timing.bytes / timing.median / 1e9 if timing and timing.bytes else math.nan

    def speed(self, baseline: str, subject: str = SUBJECT) -> float:
        """How many times faster the subject is: by bytes where both have bytes, else by calls; nan if not measured."""
        own, other = self.timing(subject), self.timing(baseline)
        if own is None or other is None:
            return math.nan
        size = own.bytes / other.bytes if own.bytes and other.bytes else 1.0
        return other.relative / own.relative * size


def copy_of(found: Iterable[Result]) -> str:
    """Which copy results are shown beside: the best of three, or the only one that GPUs and older files have."""
    return BEST_COPY if any(result.best_copy for result in found) else "copy"


def noises(found: Iterable[Result]) -> list[Noise]:
    """What disturbed the results, where that was recorded."""
    return [result.noise for result in found if result.noise is not None]


def run(cases: Sequence[Case], limit: float = math.inf) -> Iterator[Result]:
    """Measure the cases one after the other; BackendUnavailable where one needs a GPU and there is none.

    No case is begun after `limit` seconds. Threads and the instruction set are afterwards what they were before.
    """
    if any(case.threads == 0 for case in cases):
        require()
    host = Buffers()
    on_device = Buffers(cupy()) if any(case.threads == 0 for case in cases) else host
    count, isa, begin = get_num_threads(), kernels.current_isa(), time.perf_counter()
    try:
        for number, case in enumerate(cases):
            if number and time.perf_counter() - begin > limit:
                break
            yield _run_on_device(case, on_device) if case.threads == 0 else _run(case, host)
    finally:
        set_num_threads(count)
        kernels.use_isa(isa)


def _run(case: Case, buffers: Buffers) -> Result:
    set_num_threads(case.threads)
    before = noise.read()
    with threadpool_limits(limits=case.threads):  # BLAS's, and OpenMP's, which baselines may share with fastdrop
        try:
            found = measure(candidates.makers(case, buffers), case.seconds)
        except Exception as error:  # an operation or a dtype that is missing must not end the run
            found = {SUBJECT: first_line(error)}
    own = found[SUBJECT]
    spread = own.spread if isinstance(own, Timing) else None
    return Result(case, found, noise.between(before, noise.read(), spread))


def _run_on_device(case: Case, buffers: Buffers) -> Result:
    # Whether to use the GPU at all is a question of the CPU's time.
    timer = on_cpu if case.operation == DEVICE_OR_HOST else device.timer
    try:
        return Result(case, measure(device.makers(case, buffers), case.seconds, timer, device.SHORTEST))
    except Exception as error:  # too little memory, or an operation that is missing, must not end the run
        return Result(case, {SUBJECT: first_line(error)})


class Clock:
    """The time left, from the cases' expected costs and how they came out so far."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.expected = sum(case.cost for case in cases)
        self.done = 0.0
        self._begin = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._begin

    def finish(self, result: Result) -> None:
        """Count a case as done."""
        self.done += result.case.cost

    @property
    def left(self) -> float:
        """Seconds that the remaining cases will take."""
        return max(0.0, self.expected - self.done) * (self.seconds / self.done if self.done else 1.0)
