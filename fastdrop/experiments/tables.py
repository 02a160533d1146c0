"""The user's own data: CSV and NPZ files, checked cell by cell."""

import csv
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.arrays import LARGEST, Archive
from fastdrop.experiments.files import path_text
from fastdrop.experiments.reading import LONGEST_NAME, Damaged, Unreadable, cleaned, gigabytes, shown, size_of

SUFFIXES = (".csv", ".npz")
"""What a table's name ends in."""
MOST_CLASSES = 100
MOST_COLUMNS = 1_000_000
LARGEST_CSV = 1 << 30
"""Bytes; as Python's objects its cells take many times as much."""
_LINE = 1 << 18
"""Characters of a line that a preview reads: a file without line ends must not be read as one."""
_LONGEST_LINE = 1 << 25
"""Characters of a line at all."""
_HEAD = 1 << 21
"""Bytes of an array, or characters of a CSV file, that a preview reads."""
_NAMED = 50
"""Columns that a message names, and characters of each."""
_LONG_CLASS = f"a class has a name of more than {LONGEST_NAME:,} characters; use a shorter one"


class DataError(ValueError):
    """Data that cannot be trained on; the message names the file and, where there is one, row and column."""


class Table(NamedTuple):
    """Features (rows, columns) as float64, classes (rows,) as indices into `class_names`."""

    features: NDArray[np.float64]
    labels: NDArray[np.intp]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]


class Preview(NamedTuple):
    """The head of a file, unchecked: what stands in it, not whether it can be trained on.

    Attributes
    ----------
    columns : tuple of str
        Names of the columns; of an NPZ file, those of x and then y.
    rows : tuple of tuple of str
        The first rows as text, as long as they stand in the file.
    row_count : int or None
        Rows of the whole file; None where its head does not tell.
    arrays : dict of str to tuple of int
        Of an NPZ file, the arrays' names and shapes.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    row_count: int | None
    arrays: dict[str, tuple[int, ...]]


class Facts(NamedTuple):
    """What would be trained on; `classes` are names and numbers of rows."""

    rows: int
    features: int
    classes: tuple[tuple[str, int], ...]


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
        larger than `LARGEST_CSV`, than `arrays.LARGEST`, or than `MOST_COLUMNS` columns.
    """
    path = Path(path)
    with _as_data_error(path):
        return _read_csv(path, label) if _is_csv(path) else _read_npz(path, label)


def preview_table(path: str | os.PathLike[str], rows: int = 20) -> Preview:
    """The first rows of a file that `read_table` may be able to read; takes milliseconds, however large the file is.

    Raises
    ------
    DataError
        If the file cannot be read at all.
    """
    path = Path(path)
    with _as_data_error(path):
        return _preview_csv(path, rows) if _is_csv(path) else _preview_npz(path, rows)


@contextmanager
def _as_data_error(path: Path) -> Iterator[None]:
    """Why a file cannot be read, with its name."""
    try:
        yield
    except Damaged as error:
        raise DataError(f"{path_text(path)}: not an NPZ archive of plain arrays: {error}") from None
    except Unreadable as error:
        raise DataError(f"{path_text(path)}: {error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path_text(path)}: not UTF-8 text") from None
    except OSError as error:
        raise DataError(f"{path_text(path)}: cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise DataError(f"{path_text(path)}: too large for this machine's memory") from None


def send_facts(connection: Connection, path: str, label: str) -> None:
    """Read a table and send its `Facts`, or in words why it cannot be used; the main function of a process."""
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


def _is_csv(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path_text(path)}: data comes as .csv or .npz")
    return suffix == ".csv"


def _cells(reader: Iterable[list[str]]) -> Iterable[list[str]]:
    """The rows that are not empty."""
    return ([cell.strip() for cell in row] for row in reader if any(map(str.strip, row)))


def _names(first: list[str]) -> tuple[list[str], bool]:
    """The columns' names, and whether the first row is a header."""
    header = all(_number(cell) is None for cell in first)  # the first cell may be empty: pandas leaves it so
    return first if header else [f"column {number}" for number in range(1, len(first) + 1)], header


def _preview_csv(path: Path, rows: int) -> Preview:
    size_of(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(_head_of(file))
        try:
            numbered = list(itertools.islice(((reader.line_num, row) for row in _cells(reader)), rows + 2))
        except csv.Error as error:
            raise DataError(f"{path_text(path)}, row {reader.line_num}: {error}") from None
        whole = len(numbered) < rows + 2 and not file.read(1)
    if not whole and 1 < len(numbered) < rows + 2 and numbered[-1][0] == reader.line_num:
        numbered.pop()  # it may have been cut
    lines = [row for _, row in numbered]
    if not lines:
        raise DataError(f"{path_text(path)}: no rows" + ("" if whole else f" in its first {_HEAD:,} characters"))
    names, header = _names(lines[0])
    _check_columns(path, len(names))
    found = lines[header:]
    count = len(found) if whole else None
    return Preview(tuple(names), tuple(map(tuple, found[:rows])), count, {})


def _preview_npz(path: Path, rows: int) -> Preview:
    with Archive(path) as archive:
        shapes = {name: header.shape for name, header in archive.headers.items()}
        x, y = (archive.head(name, rows, _HEAD) if name in shapes else np.empty((0, 0)) for name in ("x", "y"))
    x, y = x.reshape(len(x), math.prod(x.shape[1:])), y.reshape(len(y), math.prod(y.shape[1:]))
    _check_columns(path, x.shape[1])
    columns = [*(f"column {number}" for number in range(1, x.shape[1] + 1)), *["y"][: "y" in shapes]]
    texts = [[f"{value:.6g}" if x.dtype.kind == "f" else str(value) for value in row] for row in x]
    labels = [[str(value) for value in row[:1]] for row in y]
    nothing: list[str] = []
    shown_rows = tuple(tuple(left + right) for left, right in itertools.zip_longest(texts, labels, fillvalue=nothing))
    of_x = shapes.get("x", ())
    return Preview(tuple(columns), shown_rows, of_x[0] if of_x else None, shapes)


def _check_columns(path: Path, count: int) -> None:
    if count > MOST_COLUMNS:
        raise DataError(f"{path_text(path)}: {count:,} columns; at most {MOST_COLUMNS:,} are possible")


def _head_of(file: IO[str]) -> Iterator[str]:
    """The first lines, and pieces of long ones."""
    left = _HEAD
    while line := file.readline(min(_LINE, left)):
        left -= len(line)
        yield line


def _lines_of(path: Path, file: IO[str]) -> Iterator[str]:
    """The lines, if they have an end."""
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise DataError(f"{path_text(path)}, row {number}: a line of more than {_LONGEST_LINE - 1:,} characters")
        yield line


def _read_csv(path: Path, label: str) -> Table:
    size = size_of(path)
    if size > LARGEST_CSV:
        raise DataError(
            f"{path_text(path)}: too large: {gigabytes(size)}, and at most {gigabytes(LARGEST_CSV)} are read"
        )
    with path.open(newline="", encoding="utf-8-sig") as file:
        # line_num counts lines, so a message names the line that an editor shows.
        reader = csv.reader(_lines_of(path, file))
        try:
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
        except csv.Error as error:
            raise DataError(f"{path_text(path)}, row {reader.line_num}: {error}") from None
    if not lines:
        raise DataError(f"{path_text(path)}: no rows")
    first = lines[0][1]
    names, header = _names(first)
    rows = lines[1:] if header else lines
    if not rows:
        raise DataError(f"{path_text(path)}: no rows below the header")
    if len(names) < 2:
        other = next((f", not by {mark!r}" for mark in ";\t|" if mark in first[0]), "")
        raise DataError(
            f"{path_text(path)}: one column only; needed are features and a label column, separated by commas{other}"
        )
    _check_columns(path, len(names))
    target = _label_column(path, names, label)
    features = np.empty((len(rows), len(names) - 1))
    classes: list[str] = []
    named = path_text(path)
    for place, (line, cells) in enumerate(rows):
        if len(cells) != len(names):
            raise DataError(f"{named}, row {line}: {len(cells)} columns where the first row has {len(names)}")
        column = 0
        for number, (name, cell) in enumerate(zip(names, cells, strict=True)):
            where = f"{named}, row {line}, column {shown(name)}"
            if not cell:
                raise DataError(f"{where}: missing value")
            if number == target:
                if len(cell) > LONGEST_NAME:
                    raise DataError(f"{where}: {_LONG_CLASS}")
                classes.append(cell)
                continue
            value = _number(cell)
            if value is None:
                hint = "" if header or place else " (a header has no number among its names)"
                raise DataError(f"{where}: {cell[:40]!r} is text; features are numbers{hint}")
            if not math.isfinite(value):
                raise DataError(f"{where}: {shown(cell)} is not a finite number")
            features[place, column] = value
            column += 1
    feature_names = tuple(name for number, name in enumerate(names) if number != target)
    found = sorted(set(classes))  # and no array of text, in which each cell is as wide as the widest
    index = {name: number for number, name in enumerate(found)}
    labels = np.fromiter((index[name] for name in classes), np.intp, len(classes))
    return _with_classes(f"{path_text(path)}, column {shown(names[target])}", features, found, labels, feature_names)


def _number(cell: str) -> float | None:
    if "_" in cell:  # Python's own notation, nobody's data
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _label_column(path: Path, names: list[str], label: str) -> int:
    if not label:
        return len(names) - 1
    if label in names:
        return names.index(label)
    if label.isdecimal() and len(label) < 10 and 1 <= int(label) <= len(names):
        return int(label) - 1
    columns = ", ".join(cleaned(name[:_NAMED]) for name in names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    raise DataError(f"{path_text(path)}: no column {shown(label)}; columns are {columns}")


def _read_npz(path: Path, label: str) -> Table:
    with Archive(path) as archive:
        _check_headers(path, archive)
        x, y = archive.read("x"), archive.read("y")
    with np.errstate(over="ignore", invalid="ignore"):
        features = x.reshape(len(x), -1).astype(np.float64)
    bad = np.argwhere(~np.isfinite(features))
    if len(bad):
        row, column = bad[0] + 1
        raise DataError(
            f"{path_text(path)}, row {row}, column {column} of x: "
            f"{features[row - 1, column - 1]} is not a finite number"
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.argmin(np.isfinite(y)))
        raise DataError(f"{path_text(path)}, row {row + 1} of y: {y[row]} is no class")
    feature_names = tuple(f"column {number}" for number in range(1, features.shape[1] + 1))
    found, labels = np.unique(y, return_inverse=True)
    return _with_classes(f"{path_text(path)}, array 'y'", features, found, labels, feature_names)


def _check_headers(path: Path, archive: Archive) -> None:
    """Whether x and y are there, and what they should be: before they are read."""
    found = archive.headers
    if not {"x", "y"} <= found.keys():
        names = ", ".join(cleaned(name[:_NAMED]) for name in list(found)[:_NAMED]) or "nothing"
        raise DataError(f"{path_text(path)}: holds {names}; needed are x (rows, columns) and y (rows,)")
    x, y = found["x"], found["y"]
    if x.shape and math.prod(x.shape) == 0:
        raise DataError(f"{path_text(path)}: no rows")
    if len(x.shape) < 2 or y.shape != x.shape[:1]:
        raise DataError(
            f"{path_text(path)}: x has shape {x.shape} and y {y.shape}; needed are (rows, columns) and (rows,)"
        )
    if x.dtype.kind not in "iuf" or y.dtype.kind not in "iufUSb":
        raise DataError(
            f"{path_text(path)}: x has dtype {x.dtype} and y {y.dtype}; needed are numbers, and numbers or text"
        )
    _check_columns(path, math.prod(x.shape[1:]))
    if y.dtype.kind in "SU" and y.dtype.itemsize > LONGEST_NAME * (4 if y.dtype.kind == "U" else 1):
        raise DataError(f"{path_text(path)}, array 'y': {_LONG_CLASS} (its dtype is {y.dtype})")
    made = math.prod(x.shape) * np.dtype(np.float64).itemsize + math.prod(y.shape) * y.dtype.itemsize
    if made > LARGEST:
        raise DataError(
            f"{path_text(path)}: too large: in double precision it takes {gigabytes(made)}, "
            f"and at most {gigabytes(LARGEST)} are possible"
        )


def _with_classes(
    where: str,
    features: NDArray[np.float64],
    found: Sequence[Any] | NDArray[Any],
    labels: NDArray[np.intp],
    names: tuple[str, ...],
) -> Table:
    """The table, if its classes can be told apart; `found` are all of them, in order."""
    counts = np.bincount(labels)
    if len(found) == 1:
        name = cleaned(str(found[0]))[:_NAMED]
        raise DataError(f"{where}: one class only ({name}); there must be at least two to tell apart")
    if len(found) > MOST_CLASSES:
        raise DataError(f"{where}: {len(found)} different values; as classes at most {MOST_CLASSES} are possible")
    if counts.min() < 2:
        name = cleaned(str(found[int(counts.argmin())]))[:_NAMED]
        raise DataError(f"{where}: class {name} has one row only; one is needed to train, one to test")
    class_names = tuple(str(name) for name in found)
    if max(map(len, class_names)) > LONGEST_NAME:
        raise DataError(f"{where}: {_LONG_CLASS}")
    return Table(features, labels.astype(np.intp), names, class_names)
