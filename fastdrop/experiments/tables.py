"""The user's own data: CSV and NPZ files, checked cell by cell."""

import csv
import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_CLASSES = 100


class DataError(ValueError):
    """Data that cannot be trained on; the message names the file and, where there is one, row and column."""


class Table(NamedTuple):
    """Features (rows, columns) as float64, classes (rows,) as indices into `class_names`."""

    features: NDArray[np.float64]
    labels: NDArray[np.intp]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]


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
    readers = {".csv": _read_csv, ".npz": _read_npz}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: data comes as .csv or .npz")
    try:
        return reader(path, label)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


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
    header = all(_number(cell) is None for cell in first)  # the first cell may be empty: pandas leaves it so
    names = first if header else [f"column {number}" for number in range(1, len(first) + 1)]
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
        reason = (
            "holds objects" if "pickle" in str(error) and zipfile.is_zipfile(path) else "is damaged or another format"
        )
        raise DataError(f"{path}: not an NPZ archive of plain arrays: it {reason}") from None
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
