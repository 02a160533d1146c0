"""A sweep on a cluster of dask.distributed: a run is a pure task for any worker, repeated if the worker is lost.

The scheduler itself hands the runs of a lost worker to others. In addition: a run counts once, even if two results
arrive (`SweepRun`); a few runs are submitted at a time, since 5000 would flood the scheduler; tasks that another client
cancelled, or that a connection lost, are submitted again under another key; workers with another version of fastdrop
are refused; and the user's own table is sent along, since workers do not have the file.
"""

import hashlib
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastdrop._version import __version__
from fastdrop.errors import missing_package
from fastdrop.experiments.blas import one_blas_thread
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.formats.writing import write_atomically
from fastdrop.experiments.sweeps.plan import NO_FIGURES, Result, Run, Sweep, read_data, train_run
from fastdrop.experiments.sweeps.sweep_run import SweepRun
from fastdrop.experiments.tables import DataError
from fastdrop.experiments.trainer import Trainer
from fastdrop.rule import RULE_VERSION
from fastdrop.threads import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

CONNECT_SECONDS = 5.0
"""Time limit for the answer of a cluster."""
_WORKERS_SECONDS = 1.0
"""Time between two queries of the number of workers."""
_LEAST_AHEAD = 4
"""Runs that are submitted before there is a worker, so that an adaptive cluster starts some."""
_RETRIES = 2
"""Retries of a task after an unexpected exception."""
_GATHER_SECONDS = 20.0
"""Time limit for fetching a finished result; if its worker is lost, the run is trained again."""

Outcome = tuple[str, NDArray[np.float64], str, bool]
"""The return value of a task: the worker's version, then figures, error and diverged of a result."""


class ClusterSweep(SweepRun):
    """A running sweep on a cluster. A thread does everything that waits for the network.

    Parameters
    ----------
    sweep : Sweep
    client : distributed.Client or str
        Or the scheduler's address, such as tcp://10.0.0.5:8786.

    Raises
    ------
    BackendUnavailable
        If distributed is not installed.
    """

    def __init__(self, sweep: Sweep, client: "Client | str") -> None:
        try:
            import distributed  # noqa: F401
        except ImportError:
            raise missing_package("distributed", "dask", "a sweep on a cluster") from None
        if not isinstance(client, str) and client.asynchronous:
            raise ValueError("client must be synchronous, or the scheduler's address; this one is asynchronous")
        super().__init__(sweep)
        self.address = client if isinstance(client, str) else str(getattr(client.scheduler, "address", "the client's"))
        self._client = client
        self._found: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drive, name="fastdrop-cluster", daemon=True)

    def _collect(self) -> list[Result]:
        return [self._found.get() for _ in range(self._found.qsize())]

    def _hand_out(self) -> None:
        """Start the thread, which submits the runs."""
        if self._thread.ident is None:
            self.note = f"connecting to {self.address}"
            self._thread.start()

    def _epochs_under_way(self) -> float:
        return 0.0

    def _release(self) -> None:
        self._stop.set()

    def close(self, patience: float = 0.5) -> None:
        """Stop, and wait at most `patience` seconds until the tasks are cancelled."""
        super().close()
        if self._thread.ident is not None:
            self._thread.join(patience)

    # --- in the thread

    def _drive(self) -> None:
        try:
            with self._connected() as client:
                _Tasks(client, self).work()
        except _Trouble as trouble:
            self.fail(str(trouble))
        except DataError as error:
            self.fail(f"{error}.")
        except Exception as error:
            self.fail(f"The cluster at {self.address} failed: {type(error).__name__}: {error}.")

    @contextmanager
    def _connected(self) -> Iterator["Client"]:
        if not isinstance(self._client, str):
            yield self._client
            return
        from distributed import Client

        try:
            _check_address(self.address)
            client = Client(self.address, timeout=CONNECT_SECONDS, set_as_default=False, name="fastdrop-sweep")
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise _Trouble(f"No cluster answers at {self.address}: {reason}.") from None
        try:
            yield client
        finally:
            client.close(timeout=CONNECT_SECONDS)

    @property
    def is_stopped(self) -> bool:
        return self._stop.is_set()

    def pause(self) -> None:
        """Wait a moment."""
        self._stop.wait(0.02)

    def found(self, result: Result) -> None:
        """Take a result."""
        self._found.put(result)


def _check_address(address: str) -> None:
    """Raise a ValueError for an invalid address, over which a client would fail half made."""
    from distributed.comm import parse_address
    from distributed.comm.addressing import parse_host_port
    from distributed.comm.registry import get_backend

    scheme, place = parse_address(address)
    get_backend(scheme)
    if scheme in ("tcp", "tls"):
        parse_host_port(place)


class _Trouble(Exception):
    """The reason why a sweep cannot continue."""


class _Tasks:
    """The tasks of a sweep that are submitted to the scheduler."""

    def __init__(self, client: "Client", sweep: ClusterSweep) -> None:
        self._client = client
        self._sweep = sweep
        self._prefix = f"fastdrop-{uuid.uuid4().hex}"  # cancelling another sweep's tasks must not match
        self._count = 0
        self._runs: dict[Future, Run] = {}
        self._data: Future | None = None
        self._data_file = sweep.sweep.config.data_file
        self._content = read_data(self._data_file) if self._data_file else b""
        self._threads = 0
        self._looked = -_WORKERS_SECONDS

    def work(self) -> None:
        """Submit and gather until everything is done, or the sweep stops."""
        waiting = self._sweep.waiting
        try:
            while (waiting or self._runs) and not self._sweep.is_stopped:
                if self._client.status in ("closing", "closed"):
                    raise _Trouble(f"The cluster at {self._sweep.address} does not answer any more.")
                if self._client.status == "running":
                    self._look()
                    while waiting and len(self._runs) < max(_LEAST_AHEAD, 2 * self._threads):
                        self._submit(waiting.popleft())
                ended = [future for future in self._runs if future.done()]
                for future in ended:
                    self._gather(future)
                if not ended:
                    self._sweep.pause()
        finally:
            if self._client.status == "running" and self._runs:
                with suppress(OSError):  # the connection may be closing
                    self._client.cancel(list(self._runs), force=True)

    def _look(self) -> None:
        """Update the number of the workers' threads."""
        if time.monotonic() - self._looked >= _WORKERS_SECONDS:
            self._looked = time.monotonic()
            with suppress(OSError):
                self._threads = sum(self._client.ncores().values())
            self._sweep.note = "" if self._threads else f"waiting for workers at {self._sweep.address}"

    def _submit(self, run: Run) -> None:
        own = bool(run.config.data_file)
        if own and (self._data is None or self._data.cancelled()):
            self._data = self._client.submit(bytes, self._content, key=self._key("data"))
        self._runs[
            self._client.submit(
                train_on_worker,
                _version(),
                run.config.to_share_code(),
                self._data if own else None,
                key=self._key("run"),
                retries=_RETRIES,
            )
        ] = run

    def _key(self, kind: str) -> str:
        self._count += 1
        return f"{self._prefix}-{kind}-{self._count}"

    def _gather(self, future: "Future") -> None:
        """Take the result of a task."""
        from distributed import KilledWorker

        run = self._runs[future]
        try:
            version, *outcome = future.result(timeout=_GATHER_SECONDS)
        except TimeoutError:
            if future.status != "error":
                return  # its worker was lost meanwhile
            self._sweep.found(Result(*run, NO_FIGURES, "TimeoutError"))
        except KilledWorker as error:
            deaths = error.allowed_failures + 1
            self._sweep.found(Result(*run, NO_FIGURES, f"{deaths} workers died while they trained this run"))
        except Exception as error:
            if isinstance(error, CancelledError) or future.status != "error":
                self._sweep.waiting.appendleft(run)  # cancelled by another client, or lost with the connection
            elif isinstance(error, (ImportError, AttributeError)):
                raise _Trouble(_wrong_workers(f"{type(error).__name__}: {error}")) from None
            else:
                self._sweep.found(Result(*run, NO_FIGURES, f"{type(error).__name__}: {error}"))
        else:
            if not version:  # the task saw itself cancelled, but the run is needed
                self._sweep.waiting.appendleft(run)
            elif version != _version():
                raise _Trouble(_wrong_workers(f"one has {version}"))
            else:
                self._sweep.found(Result(*run, *outcome))
        del self._runs[future]


def _version() -> str:
    return f"fastdrop {__version__} with mask rule {RULE_VERSION}"


def _wrong_workers(reason: str) -> str:
    return f"The workers must have {_version()} with its extra experiments, the same as here; {reason}."


def train_on_worker(version: str, line: str, content: bytes | None) -> Outcome:
    """Train one run in a worker, on one thread; `content` is the user's own table.

    Configurations are sent as share codes, and results as types that every version has: a worker of another version
    returns its version and trains nothing.
    """
    from distributed import get_worker

    if version != _version():
        return _version(), NO_FIGURES, "", False
    config, local = ExperimentConfig.from_share_code(line), ""
    worker = get_worker()
    if content is not None:
        local = _local_copy(Path(worker.local_directory), Path(config.data_file).suffix, content)
    there = config.replace(data_file=local) if local else config
    try:
        with one_thread:
            result = train_run(Run(None, config.seed, there), _unless_cancelled(worker))
    except _Interrupted:  # not an error in the worker's log
        return "", NO_FIGURES, "", False
    return version, result.figures, result.error.replace(local or "\0", config.data_file), result.diverged


def _local_copy(folder: Path, suffix: str, content: bytes) -> str:
    """The table in the worker's own folder, which ends with the worker."""
    path = folder / f"{hashlib.sha256(content).hexdigest()}{suffix}"
    if not path.exists():
        write_atomically(path, content)
    return str(path)


def _unless_cancelled(worker: "Worker") -> Callable[[Trainer], None]:
    """A function that ends the training of a cancelled run: a running task cannot be taken from a worker."""
    key = worker.get_current_task()

    def look(trainer: Trainer) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise _Interrupted

    return look


class _Interrupted(Exception):
    pass


class _OneThread:
    """Within it kernels and matrix products take one thread, as in a sweep's own processes: the results are the same.

    This holds for the whole process. Several threads of a worker may be inside: the last one to leave restores the
    state before the first one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limits: AbstractContextManager[object] = nullcontext()
        self._before = 1

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = get_num_threads()
                self._limits = one_blas_thread()
                self._limits.__enter__()
                set_num_threads(1)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limits.__exit__(None, None, None)
                set_num_threads(self._before)


one_thread = _OneThread()
