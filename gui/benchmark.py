"""The library's benchmark in a process of its own, and what the window shows of it.

A process of its own, because the window's thread shares Python's lock with everything beside it: figures that are
measured there would be the window's as well. It is made for one run and ends with it, so that neither arrays of a
gigabyte nor a peer's idle threads outlive the run; and it can be ended within whatever call it is in.
"""

import enum
import importlib.util
import math
import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from fastdrop.backends.cuda.device import require
from fastdrop.bench import compare, device, peers, plan, report, results
from fastdrop.bench.machine import machine
from fastdrop.bench.measure import SUBJECT
from fastdrop.bench.plan import Case
from fastdrop.bench.report import Report
from fastdrop.bench.results import Result
from fastdrop.errors import BackendUnavailable
from fastdrop.threads import get_num_threads

OPERATIONS = tuple(dict.fromkeys((*plan.OPERATIONS, *plan.DEVICE_OPERATIONS)))
MOST_P = 2
"""Lines of fastdrop for each number of threads."""


@dataclass(frozen=True)
class Choice:
    """What to measure; no operation stands for all of them."""

    quick: bool = True
    operation: str = ""
    cpu: bool = True
    gpu: bool = False

    def cases(self) -> tuple[list[Case], list[Case]]:
        """The cases on the CPU and those on the GPU, as the command line takes them."""
        only = [self.operation] if self.operation else []
        threads = sorted({1, get_num_threads()})
        rows, device_rows = (plan.QUICK, plan.DEVICE_QUICK) if self.quick else (plan.FULL, plan.DEVICE)
        return (
            plan.cases(rows, threads, only) if self.cpu else [],
            plan.cases(device_rows, plan.ON_DEVICE, only) if self.gpu else [],
        )

    @property
    def problem(self) -> str:
        """Why there is nothing to measure; empty where there is something."""
        if not (self.cpu or self.gpu):
            return "choose the CPU, or the GPU where there is one"
        if any(self.cases()):
            return ""
        where = " and ".join(["the CPU"] * self.cpu + ["the GPU"] * self.gpu)
        known = {*(plan.OPERATIONS if self.cpu else ()), *(plan.DEVICE_OPERATIONS if self.gpu else ())}
        if self.operation not in known:
            return f"{self.operation} is not measured on {where}"
        return f"{self.operation} is no part of a quick run on {where}; a full one has it"


# --- the process's end


@dataclass(frozen=True)
class Began:
    """What is measured on, and the peers that are not installed."""

    machine: dict[str, Any]
    missing: list[str]


@dataclass(frozen=True)
class Ended:
    """All is measured, or there is a reason why not."""

    problem: str = ""


@dataclass(frozen=True)
class Gpu:
    """The GPU's name, or why there is none."""

    name: str = ""
    problem: str = ""


def measured(choice: Choice, on_cpu: Sequence[Case], on_gpu: Sequence[Case]) -> Iterator[Began | Result | Ended]:
    """Measure the cases; on each side, a quick run begins no further one once its time is up."""
    try:
        about = {**machine(), **(device.description() if on_gpu else {})}
        yield Began(about, [name for name in peers.missing() if on_cpu or name in plan.DEVICE_PEERS])
        for cases, run in ((on_cpu, results.run), (on_gpu, results.run_on_device)):
            clock = results.Clock(cases)
            for result in run(cases) if cases else ():
                yield result
                if choice.quick and clock.seconds > plan.QUICK_LIMIT:
                    break
        yield Ended()
    except BackendUnavailable as error:
        yield Ended(str(error))


def find_gpu() -> Gpu:
    """The GPU that would be measured. Imports CuPy where it is installed, which takes a second or more."""
    try:
        require()
        return Gpu(str(device.description()["device"]))
    except BackendUnavailable as error:
        return Gpu(problem=str(error))


def _measure(connection: Connection, choice: Choice, on_cpu: Sequence[Case], on_gpu: Sequence[Case]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the window decides; Ctrl-C in its terminal reaches both
    try:
        for message in measured(choice, on_cpu, on_gpu):
            connection.send(message)
    except (BrokenPipeError, ConnectionResetError):
        return  # the window is gone


def _look(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection.send(find_gpu())


class _Process:
    """Work elsewhere, and what it has sent."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=work, args=(theirs, *arguments), daemon=True, name="fastdrop benchmark")
        self._process.start()
        theirs.close()
        self.is_over = False

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def receive(self) -> list[Any]:
        """What has come in since the last call."""
        messages = []
        try:
            while not self.is_over and self._connection.poll():
                messages.append(self._connection.recv())
        except (EOFError, OSError):
            self.is_over = True
        return messages

    def exit_status(self) -> int | None:
        """Of a process that has closed its end."""
        self._process.join(timeout=1.0)
        return self._process.exitcode

    def kill(self, patience: float) -> None:
        """End it at once: it holds nothing that needs tidying. Its gigabytes take a while to be given back: so many
        seconds are waited for that, and the rest goes on by itself."""
        self.is_over = True
        self._process.kill()
        self._process.join(timeout=patience)
        self._connection.close()


# --- the window's end


class Status(enum.Enum):
    """Of the newest run."""

    IDLE = "not started"
    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


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


class Benchmark:
    """The newest run, the saved one beside it, and whether there is a GPU. Call `tick` while `is_busy`."""

    def __init__(self) -> None:
        self.status = Status.IDLE
        self.message = ""
        self.gpu: Gpu | None = None
        self.choice = Choice()
        self.cases: list[Case] = []
        self.results: list[Result] = []
        self.machine: dict[str, Any] = {}
        self.missing = peers.missing()
        self.saved: Report | None = None
        self.saved_name = ""
        self._changes: list[compare.Change] = []
        self._process: _Process | None = None
        self._looking: _Process | None = None
        self._clock: results.Clock | None = None

    # what runs

    def look_for_gpu(self) -> None:
        """Find out, once, whether there is a GPU; in another process where that takes long."""
        if self.gpu is None and self._looking is None:
            if importlib.util.find_spec("cupy") is None:
                self.gpu = find_gpu()  # says what to install
            else:
                self._looking = _Process(_look)

    def start(self, choice: Choice) -> None:
        """Begin a run; a ValueError where there is nothing to measure."""
        if choice.problem:
            raise ValueError(choice.problem)
        self._end()
        on_cpu, on_gpu = choice.cases()
        self.choice, self.cases, self.results, self.machine = choice, [*on_cpu, *on_gpu], [], {}
        self.message, self._clock, self._changes = "", None, []
        self.status = Status.STARTING
        self._process = _Process(_measure, choice, on_cpu, on_gpu)

    def stop(self) -> None:
        """End the run at once; what was measured stays."""
        if self.is_running:
            self.tick()
            self.status = Status.STOPPED
            self._end()

    def close(self) -> None:
        """End every process; half a second at most for each."""
        if self.is_running:
            self.status = Status.STOPPED
        self._end(0.5)
        if self._looking is not None:
            self._looking.kill(0.5)
            self._looking = None

    def _end(self, patience: float = 0.0) -> None:
        if self._process is not None:
            self._process.kill(patience)
            self._process = None

    @property
    def is_running(self) -> bool:
        """Whether a run is under way."""
        return self.status in (Status.STARTING, Status.RUNNING)

    @property
    def is_busy(self) -> bool:
        """Whether there may be news."""
        return self.is_running or self._looking is not None

    @property
    def pid(self) -> int | None:
        """The process that measures."""
        return self._process.pid if self._process else None

    def tick(self) -> bool:
        """Take what has come in; True if there was something."""
        news = self._take_gpu()
        if self._process is None or not self.is_running:
            return news
        messages = self._process.receive()
        for message in messages:
            self._take(message)
        if messages:
            self._compare()
        if self.is_running and self._process.is_over:
            self.status = Status.FAILED
            self.message = (
                f"the benchmark's process ended unexpectedly (exit status {self._process.exit_status()}); "
                "what was measured before stays"
            )
            self._end()
            return True
        return news or bool(messages)

    def _take(self, message: Began | Result | Ended) -> None:
        if isinstance(message, Began):
            self.status = Status.RUNNING
            self.machine, self.missing = message.machine, message.missing
            self._clock = results.Clock(self.cases)
        elif isinstance(message, Result):
            self.results.append(message)
            assert self._clock is not None
            self._clock.finish(message.case)
        else:
            self.status = Status.FAILED if message.problem else Status.FINISHED
            self.message = message.problem

    def _take_gpu(self) -> bool:
        if self._looking is None:
            return False
        for message in self._looking.receive():
            self.gpu = message
        if self.gpu is None and self._looking.is_over:
            status = self._looking.exit_status()
            self.gpu = Gpu(problem=f"looking for a GPU ended unexpectedly (exit status {status})")
        if self.gpu is None:
            return False
        self._looking.kill(0.0)
        self._looking = None
        return True

    @property
    def progress(self) -> float:
        """Of the newest run, from 0 to 1."""
        if self.status is Status.FINISHED:
            return 1.0
        return self._clock.done / self._clock.expected if self._clock else 0.0

    @property
    def seconds_left(self) -> float | None:
        """None where there is nothing to tell it from."""
        return max(0.0, self._clock.left) if self._clock and self._clock.done and self.is_running else None

    # what came out

    def report(self) -> Report:
        """The newest run, as `fastdrop bench` would keep it."""
        complete = len(self.results) == len(self.cases)
        return Report(self.machine, self.results, self.missing, "quick" if self.choice.quick else "full", complete)

    def save(self, path: Path) -> None:
        """Write the newest run's JSON; a ValueError or an OSError where it cannot be written."""
        if not self.results:
            raise ValueError("nothing is measured yet: there are no figures to save")
        report.check_target(path, ".json")
        report.save(self.report(), path)

    def open_saved(self, path: Path) -> None:
        """Compare with the run in a file; a ValueError of one line where it is no such file."""
        self.saved = report.load(path)
        self.saved_name = path.name
        self._compare()

    def close_saved(self) -> None:
        """Compare no more."""
        self.saved, self.saved_name, self._changes = None, "", []

    def rows(self) -> list[Row]:
        """The saved run's cases and the newest one's, each once: a case keeps its place when it is measured."""
        before = {result.case.key: result for result in self.saved.results} if self.saved else {}
        now = {result.case.key: result for result in self.results}
        changes = {change.case.key: change for change in self._changes if change.candidate == SUBJECT}
        return [
            Row((now.get(key) or before[key]).case, now.get(key), before.get(key), changes.get(key))
            for key in dict.fromkeys((*before, *now))
        ]

    def _compare(self) -> None:
        self._changes = list(compare.compare(self.saved, self.report())) if self.saved else []

    @property
    def comparison(self) -> str:
        """What changed since the saved run; empty where there is none."""
        if self.saved is None:
            return ""
        text = f"Compared with {self.saved_name}"
        if not self.results:
            return f"{text}: {len(self.saved.results)} cases; run the benchmark to see what changed"
        changed = sum(bool(change.verdict) for change in self._changes)
        text += f": {changed} of {len(self._changes)} figures changed beyond noise"
        differing = compare.differences(self.saved, self.report()) if self.machine else {}
        return text + (f"; the two differ in {', '.join(differing)}" if differing else "")


# --- figures for tables and plots


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
    """For each number of threads and for the GPU: the copy, and fastdrop at the p with most sizes."""
    plain = [result for result in found if result.case.operation == operation and has_rate(result)]
    made = []
    for threads in sorted({result.case.threads for result in plain}):
        here = [result for result in plain if result.case.threads == threads]
        sizes = Counter(result.case.p for result in here)
        ps = sorted((p for p in sizes if sizes[p] == max(sizes.values())), reverse=True)[:MOST_P]
        made.append(Line(f"copy, {place(threads)}", None, threads, _points(here, "copy", ps[0])))
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
    return [
        (case.operation, case.operation),
        (case.size, case.elements),
        (case.dtype, case.dtype),
        (f"{case.p:g}", case.p),
        (place(case.threads), case.threads),
        _cell(own.median if own else math.nan, time_text, "failed" if result and result.error else "–"),
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
