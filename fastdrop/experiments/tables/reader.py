"""Reads a table of any kind; every error becomes a `DataError` that begins with the file's name."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import missing_package
from fastdrop.experiments.errors import DataError
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.reading import Damaged, Unreadable, shown
from fastdrop.experiments.tables import sources
from fastdrop.experiments.tables.contents import (
    Arrays,
    Cells,
    Column,
    Table,
    TableProblem,
    check_columns,
    in_one_line,
    plural,
    side_by_side,
)
from fastdrop.experiments.tables.further_rows import with_test_rows
from fastdrop.experiments.tables.labels import classes_of, described_regression, is_regression, series_of_labels
from fastdrop.experiments.tables.roles import Choices, Roles, assign_roles, place_of
from fastdrop.experiments.tables.values import Values, values_of


def load_table(
    data: Any,
    *,
    target: str = "",
    ignore: Sequence[str] = (),
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    sheet: str = "",
    test_data: Any = "",
) -> Table:
    """Read a table, and decide what each column is used for.

    Parameters
    ----------
    data : path-like, DataFrame, Arrow table, arrays or dict
        A file (.csv, .tsv, .txt, .data, also compressed; .xlsx, .xls, .ods; .parquet, .feather, .arff; .npz, .npy, IDX)
        or a folder with a folder of pictures for each class; a DataFrame of pandas or polars; an Arrow table; a pair
        (x, y) or four arrays (x_train, y_train, x_test, y_test), or a dict of them. Images have shape (rows, height,
        width) or (rows, height, width, channels).
    target : str
        The column with the class, by name or 1-based number; by default one with a target's name, else the last.
    ignore, categorical, numeric : sequence of str
        Columns to leave out, to read as categories, to read as numbers.
    sheet : str
        The sheet of a workbook; by default the first with cells.
    test_data : path-like or data
        A second table with the same columns, to test on; it is never trained on.

    Returns
    -------
    Table
        With the role of each column and its reason.

    Raises
    ------
    DataError
        If it cannot be read or trained on; the message names the file, the line and the way out.
    BackendUnavailable
        If a package that the format needs is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> from fastdrop.experiments import load_table
    >>> frame = pd.DataFrame({"sex": ["m", "f", "m", "f"], "age": [31.5, 40, None, 22], "class": list("xyyx")})
    >>> table = load_table(frame)
    >>> [(column.name, column.role) for column in table.columns]
    [('sex', 'category'), ('age', 'number'), ('class', 'target')]
    >>> table.class_counts
    (('x', 2), ('y', 2))
    """
    check_pandas()
    name = name_of(data)
    choices = Choices(target, tuple(ignore), tuple(categorical), tuple(numeric))
    with data_errors(name):
        found = opened(data, sheet)
        table = table_of_arrays(found, name, choices) if isinstance(found, Arrays) else _table_of(found, name, choices)
    if _is_given(test_data):
        if table.train_rows:
            raise DataError(f"{name}: it has its own test set; leave out the test data")
        with data_errors(name_of(test_data)):
            table = with_test_rows(table, opened(test_data, sheet))
    return table


def check_pandas() -> None:
    """Raise where pandas is missing, which every table needs."""
    try:
        import pandas  # noqa: F401
    except ImportError:
        raise missing_package("pandas", "tables", "reading a table") from None


def _is_given(data: Any) -> bool:
    return not (isinstance(data, str) and data == "") and data is not None


def name_of(data: Any) -> str:
    """A path as text, or what the data in memory are."""
    if isinstance(data, (str, os.PathLike)):
        return path_text(data)
    data = data.data if isinstance(data, sources.InMemory) else data
    return f"the {type(data).__name__}"


def opened(data: Any, sheet: str = "") -> Cells | Arrays:
    """The cells or arrays of a file, or of data in memory."""
    is_file = isinstance(data, (str, os.PathLike))
    found = sources.read_file(Path(data), sheet) if is_file else sources.read_data(data)
    if isinstance(found, Arrays):
        return found
    names = (name if name.isprintable() else in_one_line(name) for name in found.names)
    return found._replace(names=tuple(names))


def examples_of(x: NDArray[Any]) -> NDArray[np.float64]:
    """Arrays of examples as rows of features."""
    return _examples(x, "x")[0]


@contextmanager
def data_errors(name: str) -> Iterator[None]:
    """Put the file's name in front of whatever is wrong with it."""
    try:
        yield
    except (TableProblem, Unreadable, OSError, MemoryError) as error:
        place = error.place if isinstance(error, TableProblem) else ()
        raise DataError(f"{', '.join([name, *map(in_one_line, place)])}: {in_one_line(_reason(error))}") from None


def _reason(error: Exception) -> str:
    match error:
        case TableProblem():
            return error.reason
        case Damaged():
            return f"not an archive of plain arrays: {error}"
        case OSError():
            return f"cannot be read: {error.strerror or error}"
        case MemoryError():
            return "too large for this machine's memory"
        case _:
            return str(error)


# -- tables with columns


def _table_of(cells: Cells, name: str, choices: Choices) -> Table:
    check_columns(len(cells.names))
    return table_with_roles(cells, assign_roles(cells, choices), name, choices)


def table_with_roles(cells: Cells, roles: Roles, name: str, choices: Choices) -> Table:
    """The table of cells whose columns have roles.

    Raises
    ------
    TableProblem
        If no feature is left, or the target cannot be one.
    """
    if roles.problem:
        raise TableProblem(roles.problem)
    column, values = roles.columns[roles.target], roles.values[roles.target]
    declared = any(place_of(cells.names, each) == roles.target for each in choices.categorical)
    labels, class_names, note = _target_of(values, f"column {shown(column.name)}", declared)
    kept = np.flatnonzero(~np.isnan(values.cells))
    notes = [*cells.notes, *([f"{column.name}: {note}"] if note else []), *roles.notes]
    lost = len(labels) - len(kept)
    if lost:
        notes.append(f"{plural(lost, 'row')} without a target left out")
    features, lines = _features(roles), cells.lines
    if lost:
        features, labels, lines = features.T.take(kept, axis=1).T, labels[kept], lines[kept]
    return Table(
        name, roles.columns, features, labels, class_names, column.name, lines, cells.place, tuple(notes)
    )  # fmt: skip


def _target_of(values: Values, place: str, are_classes: bool) -> tuple[NDArray[Any], tuple[str, ...], str]:
    """Labels and class names; the numbers of a regression, no names, and what should be said about it."""
    if is_regression(values, are_classes):
        return values.cells, (), described_regression(values)
    return *classes_of(values, place), ""


def _features(roles: Roles) -> NDArray[np.float64]:
    used = [
        values.cells
        for column, values in zip(roles.columns, roles.values, strict=True)
        if column.role in ("number", "category", "date")
    ]
    return side_by_side(used, len(roles.values[0].cells))


# -- arrays


def table_of_arrays(found: Arrays, name: str, choices: Choices) -> Table:
    """The table of a file's arrays, whose roles are those of the arrays."""
    if any(choices):
        raise TableProblem(
            "its arrays have their roles already; --target, --ignore, --categorical and --numeric are for columns"
        )
    if found.y is None:
        raise TableProblem(found.problem)
    x, shape, channels = _examples(found.x, "x")
    series = series_of_labels(found.y, len(x), "y", found.class_names)
    train_rows = 0
    if found.x_test is not None and found.y_test is not None:
        import pandas as pd

        x_test, test_shape, _ = _examples(found.x_test, "x_test")
        if test_shape != shape or x_test.shape[1] != x.shape[1]:
            raise TableProblem(f"x_test has shape {found.x_test.shape}, and the training examples {found.x.shape}")
        series_test = series_of_labels(found.y_test, len(x_test), "y_test", found.class_names)
        series, x = pd.concat([series, series_test], ignore_index=True), np.concatenate([x, x_test])
    values = values_of(series)
    integers = found.y.dtype.kind in "iub" or (found.y.ndim == 2 and found.y.shape[1] > 1)
    labels, class_names, note = _target_of(values, "array y", integers)
    kept = np.flatnonzero(~np.isnan(values.cells))
    notes = [*found.notes, *([f"y: {note}"] if note else [])]
    if found.x_test is not None:
        train_rows = int((kept < len(found.x)).sum())
        if not 0 < train_rows < len(kept):
            raise TableProblem("no examples to train on, or none to test on")
    if len(kept) < len(labels):
        notes.append(f"{plural(len(labels) - len(kept), 'row')} without a label left out")
        x, labels = x[kept], labels[kept]
    infinite = np.isinf(x)
    if infinite.any():
        x = np.where(infinite, np.nan, x)
        notes.append(f"{int(infinite.sum()):,} infinite values count as missing")
    columns = _columns_of_arrays(x, found, shape, channels)
    return Table(name, columns, x, labels, class_names, "y", kept + 1, "row", tuple(notes), train_rows, shape, channels)


def _examples(x: NDArray[Any], name: str) -> tuple[NDArray[np.float64], tuple[int, int] | None, int]:
    """Rows of features; for images their height and width, and channels, which follow one another in a row."""
    if x.dtype.kind not in "biuf":
        raise TableProblem(f"{name} has dtype {x.dtype}; it must hold numbers")
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim > 4 or x.ndim < 2:
        raise TableProblem(
            f"{name} has shape {x.shape}; it must be (rows, columns), or (rows, height, width[, channels])"
        )
    if not x.size:
        raise TableProblem(f"{name} has shape {x.shape}: no values")
    shape, channels = None, 1
    if x.ndim == 4:
        if x.shape[3] in (1, 3, 4):
            x = x[..., :3] if x.shape[3] == 4 else x  # without transparency
            x = x.transpose(0, 3, 1, 2)
        elif x.shape[1] not in (1, 3):
            raise TableProblem(f"{name} has shape {x.shape}; images must have 1, 3 or 4 channels")
        channels = x.shape[1]
    if x.ndim >= 3:
        shape = (x.shape[-2], x.shape[-1])
    check_columns(int(np.prod(x.shape[1:])))
    with np.errstate(over="ignore", invalid="ignore"):
        order: Literal["C", "F"] = "F" if shape is None else "C"  # of tables columns are read, of images rows
        return x.reshape(len(x), -1).astype(np.float64, order), shape, channels


def _columns_of_arrays(
    x: NDArray[np.float64], found: Arrays, shape: tuple[int, int] | None, channels: int
) -> tuple[Column, ...]:
    count = x.shape[1]
    names = found.feature_names
    if len(names) != count:
        what = "pixel" if shape else "column"
        names = tuple(f"{what} {number}" for number in range(1, count + 1))
    return (*(Column(name, "number", "array x") for name in names), Column("y", "target", "array y"))
