"""What a reader makes of a table, and the limits and rules that CSV and NPZ files share."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.formats.reading import LONGEST_NAME, cleaned

MOST_CLASSES = 100
MOST_COLUMNS = 1_000_000
HEAD = 1 << 21
"""Bytes of an array, or characters of a CSV file, that a preview reads."""
MOST_NAMED = 50
"""Columns that a message names, and characters of each."""
LONG_CLASS = f"a class has a name of more than {LONGEST_NAME:,} characters; use a shorter one"


class Table(NamedTuple):
    """Features (rows, columns) as float64, classes (rows,) as indices into `class_names`."""

    features: NDArray[np.float64]
    labels: NDArray[np.intp]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]


class Preview(NamedTuple):
    """The head of a file, unchecked: its text, not whether it can be trained on.

    Attributes
    ----------
    columns : tuple of str
        Names of the columns; of an NPZ file, those of x and then y.
    rows : tuple of tuple of str
        The first rows as text, each as long as it is in the file.
    row_count : int or None
        Rows of the whole file; None where its head does not tell.
    arrays : dict of str to tuple of int
        Names and shapes of the arrays of an NPZ file.
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


class TableProblem(Exception):
    """Why a table cannot be used, and where in the file: row, column, array. The reader adds the file's name."""

    def __init__(self, reason: str, *place: str) -> None:
        super().__init__(reason, *place)
        self.reason = reason
        self.place = place


def check_columns(count: int) -> None:
    """Raise where there are too many columns."""
    if count > MOST_COLUMNS:
        raise TableProblem(f"{count:,} columns; at most {MOST_COLUMNS:,} are possible")


def table_of(
    features: NDArray[np.float64],
    feature_names: tuple[str, ...],
    labels: NDArray[np.intp],
    classes: Sequence[Any] | NDArray[Any],
    place: str,
) -> Table:
    """The table, if its classes can be learned.

    Parameters
    ----------
    features : numpy.ndarray, shape (rows, columns)
    feature_names : tuple of str
    labels : numpy.ndarray of int, shape (rows,)
        Indices into `classes`.
    classes : sequence
        All different classes, in order.
    place : str
        The column or array that holds them.
    """
    counts = np.bincount(labels)
    if len(classes) == 1:
        raise TableProblem(f"one class only ({_named(classes[0])}); there must be at least two", place)
    if len(classes) > MOST_CLASSES:
        raise TableProblem(f"{len(classes)} different values; at most {MOST_CLASSES} classes are possible", place)
    if counts.min() < 2:
        name = _named(classes[int(counts.argmin())])
        raise TableProblem(f"class {name} has one row only; it must have one for training and one for testing", place)
    class_names = tuple(str(name) for name in classes)
    if max(map(len, class_names)) > LONGEST_NAME:
        raise TableProblem(LONG_CLASS, place)
    return Table(features, labels.astype(np.intp), feature_names, class_names)


def _named(value: Any) -> str:
    return cleaned(str(value))[:MOST_NAMED]
