"""The user's own data: CSV and NPZ files, checked cell by cell."""

import csv
import itertools
import math
import os
import zipfile
import zlib
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_CLASSES = 100
_LINE = 1 << 18
"""Characters of a line that a preview reads: a file without line ends must not be read as one."""
_HEAD = 1 << 18
"""Bytes of an array that a preview reads."""


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
        If the file cannot be read, a value is missing or no finite number, or there are fewer than two classes.
    """
    path = Path(path)
    try:
        return _read_csv(path, label) if _is_csv(path) else _read_npz(path, label)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def preview_table(path: str | os.PathLike[str], rows: int = 20) -> Preview:
    """The first rows of a file that `read_table` may be able to read; takes milliseconds, however large the file is.

    Raises
    ------
    DataError
        If the file cannot be read at all.
    """
    path = Path(path)
    try:
        return _preview_csv(path, rows) if _is_csv(path) else _preview_npz(path, rows)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def send_facts(connection: Connection, path: str, label: str) -> None:
    """Read a table and send its `Facts`, or in words why it cannot be used; the main function of a process."""
    try:
        table = read_table(path, label)
    except DataError as error:
        connection.send(str(error))
    except MemoryError:
        connection.send(f"{path}: too large for this machine's memory")
    else:
        counts = np.bincount(table.labels).tolist()
        rows, features = table.features.shape
        connection.send(Facts(rows, features, tuple(zip(table.class_names, counts, strict=True))))


def _is_csv(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".npz"):
        raise DataError(f"{path}: data comes as .csv or .npz")
    return suffix == ".csv"


def _cells(reader: Iterable[list[str]]) -> Iterable[list[str]]:
    """The rows that are not empty."""
    return ([cell.strip() for cell in row] for row in reader if any(map(str.strip, row)))


def _names(first: list[str]) -> tuple[list[str], bool]:
    """The columns' names, and whether the first row is a header."""
    header = all(_number(cell) is None for cell in first)  # the first cell may be empty: pandas leaves it so
    return first if header else [f"column {number}" for number in range(1, len(first) + 1)], header


def _preview_csv(path: Path, rows: int) -> Preview:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(iter(lambda: file.readline(_LINE), ""))
            lines = list(itertools.islice(_cells(reader), rows + 2))
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text") from None
    except csv.Error as error:
        raise DataError(f"{path}, row {reader.line_num}: {error}") from None
    if not lines:
        raise DataError(f"{path}: no rows")
    names, header = _names(lines[0])
    found = lines[header:]
    count = len(found) if len(lines) < rows + 2 else None
    return Preview(tuple(names), tuple(map(tuple, found[:rows])), count, {})


def _preview_npz(path: Path, rows: int) -> Preview:
    heads: dict[str, NDArray[Any]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                with archive.open(member) as file:
                    name = member.removesuffix(".npy")
                    shapes[name], head = _array_head(file, rows)
                    if name in ("x", "y"):
                        heads[name] = head
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: {_npz_problem(path, error)}") from None
    x, y = (heads.get(name, np.empty((0, 0))) for name in ("x", "y"))
    x, y = x.reshape(len(x), math.prod(x.shape[1:])), y.reshape(len(y), math.prod(y.shape[1:]))
    columns = [*(f"column {number}" for number in range(1, x.shape[1] + 1)), *["y"][: "y" in shapes]]
    texts = [[f"{value:.6g}" if x.dtype.kind == "f" else str(value) for value in row] for row in x]
    labels = [[str(value) for value in row[:1]] for row in y]
    nothing: list[str] = []
    shown = tuple(tuple(left + right) for left, right in itertools.zip_longest(texts, labels, fillvalue=nothing))
    of_x = shapes.get("x", ())
    return Preview(tuple(columns), shown, of_x[0] if of_x else None, shapes)


def _array_head(file: IO[bytes], rows: int) -> tuple[tuple[int, ...], NDArray[Any]]:
    """An array's shape and its first rows, without reading the others."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("pickle")
    if not shape or fortran_order:  # in Fortran's order the first rows are spread over all of the file
        return shape, np.empty((0, 0))
    size = dtype.itemsize * math.prod(shape[1:])
    count = min(rows, shape[0], _HEAD // max(size, 1))
    return shape, np.frombuffer(file.read(count * size), dtype, count * math.prod(shape[1:])).reshape(count, *shape[1:])


def _npz_problem(path: Path, error: Exception) -> str:
    reason = "holds objects" if "pickle" in str(error) and zipfile.is_zipfile(path) else "is damaged or another format"
    return f"not an NPZ archive of plain arrays: it {reason}"


def _read_csv(path: Path, label: str) -> Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            # line_num counts lines, so a message names the line that an editor shows.
            reader = csv.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text") from None
    except csv.Error as error:
        raise DataError(f"{path}, row {reader.line_num}: {error}") from None
    if not lines:
        raise DataError(f"{path}: no rows")
    first = lines[0][1]
    names, header = _names(first)
    rows = lines[1:] if header else lines
    if not rows:
        raise DataError(f"{path}: no rows below the header")
    if len(names) < 2:
        other = next((f", not by {mark!r}" for mark in ";\t|" if mark in first[0]), "")
        raise DataError(f"{path}: one column only; needed are features and a label column, separated by commas{other}")
    target = _label_column(path, names, label)
    features = np.empty((len(rows), len(names) - 1))
    classes: list[str] = []
    for place, (line, cells) in enumerate(rows):
        if len(cells) != len(names):
            raise DataError(f"{path}, row {line}: {len(cells)} columns where the first row has {len(names)}")
        column = 0
        for number, (name, cell) in enumerate(zip(names, cells, strict=True)):
            where = f"{path}, row {line}, column {name!r}"
            if not cell:
                raise DataError(f"{where}: missing value")
            if number == target:
                classes.append(cell)
                continue
            value = _number(cell)
            if value is None:
                hint = "" if header or place else " (a header has no number among its names)"
                raise DataError(f"{where}: {cell[:40]!r} is text; features are numbers{hint}")
            if not math.isfinite(value):
                raise DataError(f"{where}: {cell!r} is not a finite number")
            features[place, column] = value
            column += 1
    feature_names = tuple(name for number, name in enumerate(names) if number != target)
    return _with_classes(f"{path}, column {names[target]!r}", features, np.array(classes), feature_names)


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
    if label.isdigit() and 1 <= int(label) <= len(names):
        return int(label) - 1
    raise DataError(f"{path}: no column {label!r}; columns are {', '.join(names)}")


def _read_npz(path: Path, label: str) -> Table:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            with archive:
                arrays = {name: archive[name] for name in ("x", "y") if name in archive}
                names = archive.files
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        raise DataError(f"{path}: {_npz_problem(path, error)}") from None
    if len(arrays) < 2:
        raise DataError(f"{path}: holds {', '.join(names) or 'nothing'}; needed are x (rows, columns) and y (rows,)")
    x, y = arrays["x"], arrays["y"]
    if x.ndim and x.size == 0:
        raise DataError(f"{path}: no rows")
    if x.ndim < 2 or y.shape != x.shape[:1]:
        raise DataError(f"{path}: x has shape {x.shape} and y {y.shape}; needed are (rows, columns) and (rows,)")
    if x.dtype.kind not in "iuf" or y.dtype.kind not in "iufUSb":
        raise DataError(f"{path}: x has dtype {x.dtype} and y {y.dtype}; needed are numbers, and numbers or text")
    features = x.reshape(len(x), -1).astype(np.float64)
    bad = np.argwhere(~np.isfinite(features))
    if len(bad):
        row, column = bad[0] + 1
        raise DataError(
            f"{path}, row {row}, column {column} of x: {features[row - 1, column - 1]} is not a finite number"
        )
    feature_names = tuple(f"column {number}" for number in range(1, features.shape[1] + 1))
    return _with_classes(f"{path}, array 'y'", features, y, feature_names)


def _with_classes(where: str, features: NDArray[np.float64], classes: NDArray[Any], names: tuple[str, ...]) -> Table:
    found, labels, counts = np.unique(classes, return_inverse=True, return_counts=True)
    if len(found) == 1:
        raise DataError(f"{where}: one class only ({found[0]}); there must be at least two to tell apart")
    if len(found) > MOST_CLASSES:
        raise DataError(f"{where}: {len(found)} different values; as classes at most {MOST_CLASSES} are possible")
    if counts.min() < 2:
        raise DataError(
            f"{where}: class {found[counts.argmin()]} has one row only; one is needed to train, one to test"
        )
    return Table(features, labels.astype(np.intp), names, tuple(str(name) for name in found))
