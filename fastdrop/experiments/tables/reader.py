"""Reads a table of either format; every error becomes a `DataError` that begins with the file's name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from fastdrop.experiments.errors import DataError
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.reading import Damaged, Unreadable
from fastdrop.experiments.tables import csv_table, npz_table
from fastdrop.experiments.tables.contents import Facts, Preview, Table, TableProblem

SUFFIXES = (".csv", ".npz")
"""The suffixes of tables."""


def read_table(path: str | os.PathLike[str], label: str = "") -> Table:
    """Read a CSV file, or an NPZ file with arrays x (rows, columns) and y (rows,).

    Parameters
    ----------
    path : path-like
        Ends in .csv or .npz.
    label : str
        The CSV column with the class, by name or 1-based number; empty takes the last.

    Raises
    ------
    DataError
        If the file cannot be read, a value is missing or no finite number, there are fewer than two classes, or it is
        larger than `csv_table.LARGEST_CSV`, than `formats.npz.LARGEST`, or than `contents.MOST_COLUMNS` columns.
    """
    path = Path(path)
    with _data_errors(path):
        return csv_table.read(path, label) if _is_csv(path) else npz_table.read(path)


def preview_table(path: str | os.PathLike[str], rows: int = 20) -> Preview:
    """The first rows of a file that `read_table` may be able to read; takes milliseconds, however large the file is.

    Raises
    ------
    DataError
        If the file cannot be read at all.
    """
    path = Path(path)
    with _data_errors(path):
        return csv_table.preview(path, rows) if _is_csv(path) else npz_table.preview(path, rows)


def send_facts(connection: Connection, path: str, label: str) -> None:
    """Read a table and send its `Facts`, or the message of an error; the main function of a process."""
    try:
        table = read_table(path, label)
    except DataError as error:
        connection.send(str(error))
    except Exception as error:  # a defect: the caller should hear of it
        connection.send(f"{path_text(path)}: unexpected error: {type(error).__name__}: {error}")
    else:
        counts = np.bincount(table.labels).tolist()
        rows, features = table.features.shape
        connection.send(Facts(rows, features, tuple(zip(table.class_names, counts, strict=True))))


@contextmanager
def _data_errors(path: Path) -> Iterator[None]:
    """Put the file's name in front of whatever is wrong with it."""
    try:
        yield
    except (TableProblem, Unreadable, UnicodeDecodeError, OSError, MemoryError) as error:
        place = error.place if isinstance(error, TableProblem) else ()
        raise DataError(f"{', '.join([path_text(path), *place])}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    match error:
        case TableProblem():
            return error.reason
        case Damaged():
            return f"not an NPZ archive of plain arrays: {error}"
        case UnicodeDecodeError():
            return "not UTF-8 text"
        case OSError():
            return f"cannot be read: {error.strerror or error}"
        case MemoryError():
            return "too large for this machine's memory"
        case _:
            return str(error)


def _is_csv(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise TableProblem("the name of a table must end in .csv or .npz")
    return suffix == ".csv"
