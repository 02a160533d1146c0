"""A run of the benchmark in its own process, and what the app shows of it.

In the app's process the figures would be wrong, since the window's thread holds Python's lock from time to time. The
process is made for one run and ends with it, so neither arrays of a gigabyte nor a baseline's idle threads outlive the
run; and it can be stopped within any call.
"""

import enum
import importlib.util
import math
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fastdrop.bench import baselines, compare, device, noise, plan, report, results
from fastdrop.bench.internals import get_num_threads, require
from fastdrop.bench.machine import machine
from fastdrop.bench.measure import SUBJECT
from fastdrop.bench.plan import Case
from fastdrop.bench.report import Report
from fastdrop.bench.results import Result
from fastdrop.errors import BackendUnavailable
from fastdrop_gui.model.benchmark_figures import Row

OPERATIONS = plan.operations((*plan.FULL, *plan.DEVICE))


@dataclass(frozen=True)
class Choice:
    """What to measure; an empty operation means all of them."""

    quick: bool = True
    operation: str = ""
    cpu: bool = True
    gpu: bool = False

    def cases(self) -> tuple[list[Case], list[Case]]:
        """The cases on the CPU and those on the GPU, as the command line takes them."""
        only = [self.operation] if self.operation else []
        threads = sorted({1, get_num_threads()})
        return (
            plan.cpu_cases(self.quick, threads, only) if self.cpu else [],
            plan.device_cases(self.quick, only) if self.gpu else [],
        )

    @property
    def problem(self) -> str:
        """Why there is nothing to measure; empty where there is something."""
        if not (self.cpu or self.gpu):
            return "choose the CPU, or the GPU where there is one"
        if any(self.cases()):
            return ""
        where = " and ".join(["the CPU"] * self.cpu + ["the GPU"] * self.gpu)
        rows = (*(plan.FULL if self.cpu else ()), *(plan.DEVICE if self.gpu else ()))
        if self.operation not in plan.operations(rows):
            return f"{self.operation} is not measured on {where}"
        return f"{self.operation} is not part of a quick run on {where}; choose a full one"


# --- in the process


@dataclass(frozen=True)
class Began:
    """The machine, and the baselines that are not installed."""

    machine: dict[str, Any]
    missing: list[str]


@dataclass(frozen=True)
class Ended:
    """Everything is measured, or there is a reason why not."""

    problem: str = ""


@dataclass(frozen=True)
class Gpu:
    """The GPU's name, or why there is none."""

    name: str = ""
    problem: str = ""


def measured(choice: Choice, on_cpu: Sequence[Case], on_gpu: Sequence[Case]) -> Iterator[Began | Result | Ended]:
    """Measure the cases; on each device, a quick run begins no further one once its time is up."""
    try:
        about = {**machine(), **(device.description() if on_gpu else {})}
        yield Began(about, [name for name in baselines.missing() if on_cpu or name in plan.ON_GPU])
        for cases in filter(None, (on_cpu, on_gpu)):
            yield from results.run(cases, plan.QUICK_LIMIT if choice.quick else math.inf)
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal reaches both; the app decides
    try:
        for message in measured(choice, on_cpu, on_gpu):
            connection.send(message)
    except (BrokenPipeError, ConnectionResetError):
        return  # the app has ended


def _look(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection.send(find_gpu())


class _Process:
    """A process, and what it has sent."""

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
        """Of a process that has closed its connection."""
        self._process.join(timeout=1.0)
        return self._process.exitcode

    def kill(self, patience: float) -> None:
        """End it at once: it holds nothing that needs tidying. Wait `patience` seconds for its memory to be freed."""
        self.is_over = True
        self._process.kill()
        self._process.join(timeout=patience)
        self._connection.close()


# --- in the app


class Status(enum.Enum):
    """Of the newest run."""

    IDLE = "not started"
    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


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
        self.missing = baselines.missing()
        self.saved: Report | None = None
        self.saved_name = ""
        self._changes: list[compare.Change] = []
        self._process: _Process | None = None
        self._looking: _Process | None = None
        self._clock: results.Clock | None = None

    def look_for_gpu(self) -> None:
        """Find out once whether there is a GPU; in another process where that takes long."""
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
            self._clock.finish(message)
        elif isinstance(message, Ended):
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
        """None before the first case is done."""
        return self._clock.left if self._clock and self._clock.done and self.is_running else None

    def report(self) -> Report:
        """The newest run, as `fastdrop bench` would keep it."""
        complete = len(self.results) == len(self.cases)
        return Report(self.machine, self.results, self.missing, "quick" if self.choice.quick else "full", complete)

    @property
    def remark(self) -> str:
        """What disturbed the newest run; empty where nothing did."""
        return noise.remark(results.noises(self.results))

    def save(self, path: Path) -> None:
        """Write the newest run's JSON; a ValueError or an OSError where it cannot be written."""
        if not self.results:
            raise ValueError("there are no figures to save: run the benchmark first")
        report.save(self.report(), path)

    def open_saved(self, path: Path) -> None:
        """Compare with the run in a file; a ValueError of one line where it is no such file."""
        self.saved = report.load(path)
        self.saved_name = path.name
        self._compare()

    def close_saved(self) -> None:
        """Stop comparing."""
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
