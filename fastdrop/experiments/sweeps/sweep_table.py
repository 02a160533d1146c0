"""The table of a sweep: one Parquet file that is complete at every moment, and identifies its sweep.

A Parquet file cannot be appended to. So the whole file is rewritten, beside the old one and then over it, at most once
a second and in at most a tenth of the time. A kill at any moment leaves a readable table without the runs of the last
second, which are trained again. A folder of parts would save the rewriting, but would have thousands of small files to
clean up, and could not be sent as one file.

The process that opens the table holds its lock until it closes it or ends. So two sweeps cannot write to one table.
Changes by programs that ignore the lock are detected.

Readers that open a path twice, as pandas and pyarrow's read_table do, may get two different files: while a sweep runs,
give them an open file.
"""

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import missing_package
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.formats.locks import FileLock, LockHeld
from fastdrop.experiments.formats.paths import path_text, target_of
from fastdrop.experiments.formats.reading import cleaned, shown
from fastdrop.experiments.formats.writing import write_atomically
from fastdrop.experiments.histories import TEST_ACCURACY, TEST_LOSS, TRAIN_ACCURACY, TRAIN_LOSS
from fastdrop.experiments.sweeps import parquet
from fastdrop.experiments.sweeps.parquet import TableError
from fastdrop.experiments.sweeps.plan import QUANTITIES, Result, Run, Sweep
from fastdrop.experiments.tables import DataError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".parquet"
_SECONDS = 1.0
"""The shortest time between two writes."""
_WRITE_PAUSE = 10
"""The time until the next write, by the time of the last one."""
_PATIENCE = 0.5
"""Seconds to wait for another process to close the table."""
_HISTORIES = {
    "train_loss_history": TRAIN_LOSS,
    "test_loss_history": TEST_LOSS,
    "train_accuracy_history": TRAIN_ACCURACY,
    "test_accuracy_history": TEST_ACCURACY,
}


class SweepTable:
    """The results of a sweep in a Parquet file, which a stopped sweep continues.

    A row is a run: the parameter's value in a column of its name, ``seed``, the figures after the last epoch
    (``test_accuracy``, ``train_accuracy``, ``gap``, ``test_loss``, ``train_loss``; null where it did not finish),
    ``outcome`` (finished, diverged, failed), ``error``, and the figures of all epochs as lists (``test_loss_history``
    and so on; the first is from before training). Rows are sorted by seed, then by value.
    The schema's metadata hold the sweep's identity: see `Sweep.identity`.

    It is read and written in a thread; only `wait` and `close` wait for the disk.

    Parameters
    ----------
    path : path-like
        Ends in .parquet. An existing table is continued; it must belong to the same sweep, perhaps with other values
        and seeds. Failed runs are trained again; diverged runs are results.
    sweep : Sweep

    Raises
    ------
    TableError
        If `path` does not end in .parquet; from any other method, if the file cannot be read or written, is damaged,
        belongs to another sweep, is open in another `SweepTable` of any process, or was changed by another program.
    BackendUnavailable
        If pyarrow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from fastdrop.experiments import ExperimentConfig, Sweep
    >>> from fastdrop.experiments.sweeps.sweep_table import SweepTable
    >>> from fastdrop.experiments.sweeps.plan import train_run
    >>> sweep = Sweep(ExperimentConfig(dataset="moons", hidden=(4,), epochs=1), "rate", (0.0, 0.5), [0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = SweepTable(f"{folder}/rates.parquet", sweep)
    ...     table.wait()
    ...     table.add([train_run(run) for run in sweep.runs()])
    ...     table.close()
    ...     import pyarrow.parquet
    ...     pyarrow.parquet.read_table(f"{folder}/rates.parquet")["rate"].to_pylist()
    [0.0, 0.5]
    """

    def __init__(self, path: str | os.PathLike[str], sweep: Sweep) -> None:
        self.path = Path(path)
        self._path = self.path.absolute()  # the current folder may change
        if self.path.suffix.lower() != SUFFIX:
            raise TableError(f"{path_text(path)}: the name of a sweep's table must end in {SUFFIX}")
        if find_spec("pyarrow") is None:  # its import takes a quarter of a second: see _schema
            raise missing_package("pyarrow", "parquet", "the table of a sweep")
        self._sweep = sweep
        self._kept: list[Result] = []
        self._new: list[Result] = []
        self._stamp: tuple[int, int, int] | None = None
        self._keys: set[tuple[Any, int]] = set()
        """Value and seed of the runs in the file."""
        self._due = 0.0
        self._guard: FileLock | None = None
        self._lock = threading.Lock()  # of _new
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fastdrop-table")
        self._opening = self._thread.submit(self._open)
        self._writing: Future[None] | None = None

    # --- what the sweep's owner calls

    def wait(self) -> None:
        """Wait until the file is read."""
        self._opening.result()

    @property
    def is_open(self) -> bool:
        """Whether the file is read; raises what is wrong with it."""
        return self._opening.done() and self._opening.result() is None

    @property
    def kept(self) -> list[Result]:
        """The runs of this sweep that were in the file, in order, without failed ones."""
        self.wait()
        return self._kept

    def add(self, results: Sequence[Result]) -> None:
        """Add runs to write; a run that is in the table already is not written again."""
        with self._lock:
            self._new += results

    def is_written(self, hurry: bool = False) -> bool:
        """Whether everything is in the file; begins to write if it is time, with `hurry` at once."""
        if self._writing is not None:
            if not self._writing.done():
                return False
            writing, self._writing = self._writing, None
            writing.result()
        if not self._new:
            return True
        if hurry or time.monotonic() >= self._due:
            self._writing = self._thread.submit(self._write)
        return False

    def close(self) -> None:
        """Write the rest, wait for it, and release the table."""
        try:
            self.wait()
            while not self.is_written(hurry=True):
                if self._writing is not None:
                    self._writing.exception()
        finally:
            self._thread.shutdown()
            if self._guard is not None:
                self._guard.release()

    # --- in the thread

    def _open(self) -> None:
        try:
            self._identity = self._sweep.identity
        except DataError as error:
            raise TableError(str(error)) from None
        try:
            self._guard = FileLock(self._path, _PATIENCE)
        except LockHeld as error:
            text = f"{error.holder} has this table open for a sweep; wait until it ends, or choose another name"
            raise self._error(text) from None
        except OSError as error:
            raise TableError(str(error)) from None
        try:
            self._target = target_of(self._path)
            self._stamp = self._on_disk()
            self._rows = self._schema().empty_table()
            if self._stamp is not None:
                self._read()
            self._write()  # an error in writing comes before hours of training, not after
        except BaseException:
            self._guard.release()
            raise

    def _error(self, text: str) -> TableError:
        return TableError(f"{path_text(self.path)}: {text}")

    def _schema(self) -> "pa.Schema":
        import pyarrow as pa

        kind = ExperimentConfig.__dataclass_fields__[self._sweep.parameter].type
        types = {float: pa.float64(), int: pa.int64(), str: pa.string(), bool: pa.bool_()}
        columns = {self._sweep.parameter: types[kind], "seed": pa.int64()}  # type: ignore[index]
        columns |= dict.fromkeys(QUANTITIES, pa.float64()) | {"outcome": pa.string(), "error": pa.string()}
        columns |= dict.fromkeys(_HISTORIES, pa.list_(pa.float64()))
        return parquet.schema(columns, self._identity)

    def _read(self) -> None:
        """Read the existing file; whatever is wrong with it becomes a TableError."""
        try:
            rows = parquet.decode(parquet.read(self._target), self._schema())
            self._kept, self._rows = self._continued(rows)
        except TableError as error:
            raise self._error(str(error)) from None
        except OSError as error:
            raise self._error(f"cannot be read: {_first_line(error)}") from None
        except MemoryError:
            raise self._error("cannot be read: there is not enough memory for it") from None
        except Exception as error:  # undocumented errors of pyarrow, over rows that `_row` does not make
            raise self._error(f"cannot be read as the table of a sweep: {_first_line(error)}") from None

    def _continued(self, rows: "pa.Table") -> "tuple[list[Result], pa.Table]":
        """The results of this sweep, and the rows to keep: all but the failed runs of this sweep."""
        import pyarrow as pa

        runs = {(run.value, run.seed): run for run in self._sweep.runs()}
        found: dict[tuple[Any, int], Result | None] = {}
        stays = []
        for row in rows.to_pylist():
            key = (row[self._sweep.parameter], row["seed"])
            if None in key or key in found:
                raise ValueError(f"the run {shown(key)} is invalid, or is there twice")
            figures = _figures(row)
            failed = row["outcome"] == "failed"
            found[key] = None
            if key in runs and not failed:
                found[key] = _result(row, runs[key], figures)
            stays.append(key not in runs or not failed)
        self._keys = {key for key, each in zip(found, stays, strict=True) if each}
        kept = [result for key in runs if (result := found.get(key)) is not None]
        return kept, rows.filter(pa.array(stays, pa.bool_()))

    def _write(self) -> None:
        import pyarrow as pa

        begin = time.monotonic()
        if self._on_disk() != self._stamp:
            raise self._error("another program has changed this table; the sweep stops writing to it")
        with self._lock:
            new = list(self._new)
        results = {(result.value, result.seed): result for result in new}
        fresh_rows = [_row(self._sweep.parameter, results[key]) for key in results.keys() - self._keys]
        try:
            fresh = pa.Table.from_pylist(fresh_rows, self._schema())
            rows = pa.concat_tables([self._rows, fresh]).sort_by(
                [("seed", "ascending"), (self._sweep.parameter, "ascending")]
            )
            write_atomically(self._target, parquet.encode(rows))
        except OSError as error:
            raise TableError(str(error)) from None
        except (pa.ArrowException, MemoryError) as error:
            raise self._error(f"cannot be written: {_first_line(error)}") from None
        self._rows = rows
        self._keys |= results.keys()
        with self._lock:
            del self._new[: len(new)]
        self._stamp = self._on_disk()
        self._due = time.monotonic() + max(_SECONDS, _WRITE_PAUSE * (time.monotonic() - begin))

    def _on_disk(self) -> tuple[int, int, int] | None:
        """A stamp that changes with every write of any program; None where there is no file."""
        try:
            status = os.stat(self._target)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror or error}") from None
        return status.st_ino, status.st_mtime_ns, status.st_size


def _row(parameter: str, result: Result) -> dict[str, Any]:
    error = result.error.encode(errors="backslashreplace").decode()  # a path in it may not be Unicode
    if len(error) > parquet.LONGEST_ERROR:
        error = f"{error[: parquet.LONGEST_ERROR - 1]}…"
    row = {parameter: result.value, "seed": result.seed, "outcome": result.outcome, "error": error}
    row |= {name: None if result.error else result.figure(name) for name in QUANTITIES}
    return row | {name: result.figures[:, column] for name, column in _HISTORIES.items()}


def _figures(row: dict[str, Any]) -> NDArray[np.float64]:
    """The figures of a row; raises where they, its outcome or its error are invalid."""
    outcome, lengths = row["outcome"], {len(row[name]) for name in _HISTORIES}
    agrees = isinstance(row["error"], str) and (outcome == "finished") == (row["error"] == "")
    if outcome not in ("finished", "diverged", "failed") or not agrees:
        raise ValueError(f"a run cannot have the outcome {shown(outcome)} and the error {shown(row['error'])}")
    if len(lengths) > 1 or (outcome == "finished" and lengths == {0}):
        raise ValueError("the figures of a run are not of one length")
    figures = np.empty((*lengths, len(_HISTORIES)))
    for name, column in _HISTORIES.items():
        if None in row[name]:
            raise ValueError("a figure of a run is missing")
        figures[:, column] = row[name]
    return figures


def _result(row: dict[str, Any], run: Run, figures: NDArray[np.float64]) -> Result:
    if row["outcome"] == "finished" and len(figures) != run.config.epochs + 1:
        raise ValueError(f"a run of {run.config.epochs} epochs cannot have {len(figures) - 1}")
    return Result(*run, figures, row["error"], row["outcome"] == "diverged")


def _first_line(error: BaseException) -> str:
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    return cleaned(next(filter(str.strip, text.splitlines()), type(error).__name__))
