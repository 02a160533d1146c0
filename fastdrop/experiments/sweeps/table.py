"""The table of a sweep: one Parquet file that is whole at every moment, and says which sweep it is of.

A Parquet file cannot be appended to. So the file is written anew, beside the old one and then over it, at most once a
second and never more than a tenth of the time. A kill at any moment leaves a table that every reader opens; what it
costs is the runs of the last second, which are trained again. A folder of parts would save the rewriting, but would
have to be cleaned of thousands of small files, and is no single file to send to somebody.

Readers that open a path twice, as pandas and pyarrow's read_table do, may meet the next file in between: while a sweep
runs, give them an open file.
"""

import json
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastdrop._version import __version__
from fastdrop.errors import missing_package
from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.files import write_atomically
from fastdrop.experiments.sweeps.plan import QUANTITIES, Result, Run, Sweep
from fastdrop.experiments.tables import DataError
from fastdrop.experiments.work import TEST_ACCURACY, TEST_LOSS, TRAIN_ACCURACY, TRAIN_LOSS

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
"""Version of the columns and of what stands in the file's metadata."""
SUFFIX = ".parquet"
_METADATA = b"fastdrop"
_SECONDS = 1.0
"""Between two writes, at least."""
_SHARE = 10
"""Times as long as a write took, until the next."""
_HISTORIES = {
    "train_loss_history": TRAIN_LOSS,
    "test_loss_history": TEST_LOSS,
    "train_accuracy_history": TRAIN_ACCURACY,
    "test_accuracy_history": TEST_ACCURACY,
}


class TableError(ValueError):
    """A table that cannot be read, written or continued; the message names the file."""


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
        If `path` does not end in .parquet; from any other method, if the file cannot be read or written, is of another
        sweep, or was changed by another program.
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
        if self.path.suffix.lower() != SUFFIX:
            raise TableError(f"{path}: a sweep's results go into a {SUFFIX} file")
        if find_spec("pyarrow") is None:  # which takes a quarter of a second to import: see _open
            raise missing_package("pyarrow", "parquet", "the table of a sweep")
        self._sweep = sweep
        self._kept: list[Result] = []
        self._new: list[Result] = []
        self._stamp: tuple[int, int, int] | None = None
        self._due = 0.0
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
        """Runs that are to be written, each once."""
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
        """Write what is left, and wait for it."""
        try:
            self.wait()
            while not self.is_written(hurry=True):
                if self._writing is not None:
                    self._writing.exception()
        finally:
            self._thread.shutdown()

    # --- in the thread

    def _open(self) -> None:
        try:
            self._identity = self._sweep.identity
        except DataError as error:
            raise TableError(str(error)) from None
        self._stamp = self._on_disk()
        self._rows = self._schema().empty_table()
        if self._stamp is not None:
            self._read()
        self._write()  # a file that cannot be written is told before hours of training, not after

    def _schema(self) -> "pa.Schema":
        import pyarrow as pa

        kind = ExperimentConfig.__dataclass_fields__[self._sweep.parameter].type
        types = {float: pa.float64(), int: pa.int64(), str: pa.string(), bool: pa.bool_()}
        columns = {self._sweep.parameter: types[kind], "seed": pa.int64()}  # type: ignore[index]
        columns |= dict.fromkeys(QUANTITIES, pa.float64()) | {"outcome": pa.string(), "error": pa.string()}
        columns |= dict.fromkeys(_HISTORIES, pa.list_(pa.float64()))
        about = {"format": FORMAT, "fastdrop": __version__, "sweep": self._identity}
        return pa.schema(columns.items(), {_METADATA: json.dumps(about).encode()})

    def _read(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            # Not by its name: pyarrow would read partitions out of folders called a=b.
            with pq.ParquetFile(self.path) as file:
                rows = file.read()
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"{self.path}: cannot be read as Parquet: {_first_line(error)}") from None
        schema = self._schema()
        self._check(rows.schema.metadata or {})
        if rows.schema.names != schema.names:
            raise TableError(f"{self.path}: the columns are not those of a sweep's table")
        runs = {(run.value, run.seed): run for run in self._sweep.runs()}
        columns = [rows[name].to_pylist() for name in (self._sweep.parameter, "seed", "outcome")]
        keys = [(value, seed) for value, seed, _ in zip(*columns, strict=True)]
        again = [key in runs and outcome == "failed" for key, outcome in zip(keys, columns[2], strict=True)]
        found = {}
        for key, row, is_again in zip(keys, rows.to_pylist(), again, strict=True):
            if key in runs and not is_again:
                found[key] = _result(row, runs[key])
        self._kept = [found[key] for key in runs if key in found]
        self._rows = rows.filter(pa.array([not each for each in again], pa.bool_())).cast(schema)

    def _check(self, metadata: dict[bytes, bytes]) -> None:
        """Whether it is a table of this sweep; says what differs."""
        if _METADATA not in metadata:
            raise TableError(f"{self.path}: this is no table of a sweep; choose another name")
        about = json.loads(metadata[_METADATA])
        if about["format"] != FORMAT:
            raise TableError(f"{self.path}: its format is {about['format']}; this fastdrop reads format {FORMAT}")
        theirs, ours = about["sweep"], self._identity
        names = ["parameter"] if theirs["parameter"] != ours["parameter"] else {**ours, **theirs}
        differing = [
            f"{name} is {theirs.get(name, 'not set')} there and {ours.get(name, 'not set')} here"
            for name in names
            if theirs.get(name) != ours.get(name)
        ]
        if differing:
            raise TableError(f"{self.path}: this is the table of another sweep: {'; '.join(differing)}")

    def _write(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        begin = time.monotonic()
        if self._on_disk() != self._stamp:
            raise TableError(f"{self.path}: another program has changed this table; the sweep stops writing to it")
        with self._lock:
            new, self._new = self._new, []
        schema = self._schema()
        fresh = pa.Table.from_pylist([_row(self._sweep.parameter, result) for result in new], schema)
        self._rows = pa.concat_tables([self._rows, fresh]).sort_by(
            [("seed", "ascending"), (self._sweep.parameter, "ascending")]
        )
        content = pa.BufferOutputStream()
        # Dictionaries of numbers that hardly repeat would take ten times as long: 0.2 s for 5000 runs of 60 epochs.
        pq.write_table(self._rows, content, use_dictionary=["outcome", "error"])
        try:
            write_atomically(self.path, content.getvalue())
        except OSError as error:
            raise TableError(f"{self.path}: cannot be written: {error.strerror or error}") from None
        self._stamp = self._on_disk()
        self._due = time.monotonic() + max(_SECONDS, _SHARE * (time.monotonic() - begin))

    def _on_disk(self) -> tuple[int, int, int] | None:
        """What changes with every write of anybody's; None where there is no file."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TableError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        return status.st_ino, status.st_mtime_ns, status.st_size


def _row(parameter: str, result: Result) -> dict[str, Any]:
    row = {parameter: result.value, "seed": result.seed, "outcome": result.outcome, "error": result.error}
    row |= {name: None if result.error else result.figure(name) for name in QUANTITIES}
    return row | {name: result.figures[:, column] for name, column in _HISTORIES.items()}


def _result(row: dict[str, Any], run: Run) -> Result:
    figures = np.empty((len(row["test_loss_history"]), len(_HISTORIES)))
    for name, column in _HISTORIES.items():
        figures[:, column] = row[name]
    return Result(*run, figures, row["error"], row["outcome"] == "diverged")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
