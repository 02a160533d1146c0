"""The table of a sweep: one Parquet file that is whole at every moment, and says which sweep it is of.

A Parquet file cannot be appended to. So the file is written anew, beside the old one and then over it, at most once a
second and never more than a tenth of the time. A kill at any moment leaves a table that every reader opens; what it
costs is the runs of the last second, which are trained again. A folder of parts would save the rewriting, but would
have to be cleaned of thousands of small files, and is no single file to send to somebody.

The process that opens the table holds its lock until it closes it, or ends in whatever way. So two sweeps cannot write
to one table. Programs that know nothing of the lock are noticed when they have changed the file.

Readers that open a path twice, as pandas and pyarrow's read_table do, may meet the next file in between: while a sweep
runs, give them an open file.
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
from fastdrop.experiments.files import FileLock, LockHeld, path_text, target_of, write_atomically
from fastdrop.experiments.reading import cleaned, shown
from fastdrop.experiments.sweeps import parquet
from fastdrop.experiments.sweeps.parquet import TableError
from fastdrop.experiments.sweeps.plan import QUANTITIES, Result, Run, Sweep
from fastdrop.experiments.tables import DataError
from fastdrop.experiments.work import TEST_ACCURACY, TEST_LOSS, TRAIN_ACCURACY, TRAIN_LOSS

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIX = ".parquet"
_SECONDS = 1.0
"""Between two writes, at least."""
_SHARE = 10
"""Times as long as a write took, until the next."""
_PATIENCE = 0.5
"""Seconds that another may take to close the table."""
_HISTORIES = {
    "train_loss_history": TRAIN_LOSS,
    "test_loss_history": TEST_LOSS,
    "train_accuracy_history": TRAIN_ACCURACY,
    "test_accuracy_history": TEST_ACCURACY,
}


class SweepTable:
    """The results of a sweep in a Parquet file, which a sweep that was stopped continues.

    A row is a run: the parameter's value in a column of its name, ``seed``, the figures after the last epoch
    (``test_accuracy``, ``train_accuracy``, ``gap``, ``test_loss``, ``train_loss``; null where it did not come so far),
    ``outcome`` (finished, diverged, failed), ``error``, and the figures of all epochs as lists (``test_loss_history``
    and so on; the first is from before training). Rows are in order of values within seeds, whoever trained them.
    The schema's metadata hold the sweep's identity: see `Sweep.identity`.

    It is read and written in a thread; no method but `wait` and `close` waits for the disk.

    Parameters
    ----------
    path : path-like
        Ends in .parquet. A table that is there is continued: of the same sweep, perhaps with other values and seeds.
        Runs that failed are trained again, those that diverged are results.
    sweep : Sweep

    Raises
    ------
    TableError
        If `path` does not end in .parquet; from any other method, if the file cannot be read or written, is damaged, is
        of another sweep, is open in another `SweepTable`, whichever process has it, or was changed by another program.
    BackendUnavailable
        If pyarrow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from fastdrop.experiments import ExperimentConfig, Sweep
    >>> from fastdrop.experiments.sweeps.table import SweepTable
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
        self._path = self.path.absolute()  # whatever the current folder is later
        if self.path.suffix.lower() != SUFFIX:
            raise TableError(f"{path_text(path)}: a sweep's results go into a {SUFFIX} file")
        if find_spec("pyarrow") is None:  # which takes a quarter of a second to import: see _open
            raise missing_package("pyarrow", "parquet", "the table of a sweep")
        self._sweep = sweep
        self._kept: list[Result] = []
        self._new: list[Result] = []
        self._stamp: tuple[int, int, int] | None = None
        self._keys: set[tuple[Any, int]] = set()
        """Of the runs in the file."""
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
        """Whether the file is read; whoever asks learns what is wrong with it."""
        return self._opening.done() and self._opening.result() is None

    @property
    def kept(self) -> list[Result]:
        """The runs of this sweep that were in the file, in order, those that failed left out."""
        self.wait()
        return self._kept

    def add(self, results: Sequence[Result]) -> None:
        """Runs that are to be written; a run that is in the table already is not written again."""
        with self._lock:
            self._new += results

    def is_written(self, hurry: bool = False) -> bool:
        """Whether all is in the file; begins to write if it is time, or at once."""
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
        """Write what is left, wait for it, and let others have the table."""
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
            text = f"{error.holder} has this table open for a sweep; wait until that ends, or choose another name"
            raise self._error(text) from None
        except OSError as error:
            raise TableError(str(error)) from None
        try:
            self._target = target_of(self._path)
            self._stamp = self._on_disk()
            self._rows = self._schema().empty_table()
            if self._stamp is not None:
                self._read()
            self._write()  # a file that cannot be written is told before hours of training, not after
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
        """Take in what is there. The one door: whatever is wrong with the file, a TableError says it."""
        try:
            rows = parquet.decode(parquet.read(self._target), self._schema())
            self._kept, self._rows = self._continued(rows)
        except TableError as error:
            raise self._error(str(error)) from None
        except OSError as error:
            raise self._error(f"cannot be read: {_first_line(error)}") from None
        except MemoryError:
            raise self._error("cannot be read: there is not enough memory for it") from None
        except Exception as error:  # pyarrow's and Python's own, whatever they are: the rows are not what `_row` makes
            raise self._error(f"cannot be read as the table of a sweep: {_first_line(error)}") from None

    def _continued(self, rows: "pa.Table") -> "tuple[list[Result], pa.Table]":
        """The results of this sweep, and the rows that stay: all but this sweep's failures."""
        import pyarrow as pa

        runs = {(run.value, run.seed): run for run in self._sweep.runs()}
        found: dict[tuple[Any, int], Result | None] = {}
        stays = []
        for row in rows.to_pylist():
            key = (row[self._sweep.parameter], row["seed"])
            if None in key or key in found:
                raise ValueError(f"the run {shown(key)} cannot be, or is there twice")
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
        self._due = time.monotonic() + max(_SECONDS, _SHARE * (time.monotonic() - begin))

    def _on_disk(self) -> tuple[int, int, int] | None:
        """What changes with every write of anybody's; None where there is no file."""
        try:
            status = os.stat(self._target)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror or error}") from None
        return status.st_ino, status.st_mtime_ns, status.st_size


def _row(parameter: str, result: Result) -> dict[str, Any]:
    error = result.error.encode(errors="backslashreplace").decode()  # a path in it may be no text
    if len(error) > parquet.LONGEST_ERROR:
        error = f"{error[: parquet.LONGEST_ERROR - 1]}…"
    row = {parameter: result.value, "seed": result.seed, "outcome": result.outcome, "error": error}
    row |= {name: None if result.error else result.figure(name) for name in QUANTITIES}
    return row | {name: result.figures[:, column] for name, column in _HISTORIES.items()}


def _figures(row: dict[str, Any]) -> NDArray[np.float64]:
    """The figures of a row; raises where they, its outcome or its error cannot be."""
    outcome, lengths = row["outcome"], {len(row[name]) for name in _HISTORIES}
    told = isinstance(row["error"], str) and (outcome == "finished") == (row["error"] == "")
    if outcome not in ("finished", "diverged", "failed") or not told:
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
