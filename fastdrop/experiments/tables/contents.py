"""What a table is, before and after its columns have roles, and the limits that all files share."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.formats.reading import LONGEST_NAME, cleaned

LARGEST_TEXT = 1 << 30
"""Bytes of a text file, after decompression."""
MOST_CLASSES = 100
MOST_CATEGORIES = 50
"""Different texts of a column that is one-hot encoded without being asked to be."""
MOST_COLUMNS = 1_000_000
_MOST_NAMED = 50
"""Columns that a message names, and characters of each."""

LONG_CLASS = f"a class has a name of more than {LONGEST_NAME:,} characters; use a shorter one"

ROLES = {
    "target": "the class to predict",
    "number": "one feature",
    "category": "one feature for each category; a single 0/1 feature where there are two",
    "date": "one feature: days",
    "ignored": "not used",
}


class TableProblem(Exception):
    """Why a table cannot be used, and where in the file: line, column, array. The reader adds the file's name."""

    def __init__(self, reason: str, *place: str) -> None:
        super().__init__(reason, *place)
        self.reason = reason
        self.place = place


class Cells(NamedTuple):
    """The cells of a file, before their columns have roles.

    Attributes
    ----------
    names : tuple of str
        Empty where the file gives none.
    columns : list
        A pandas Series for each column, as pandas or pyarrow has read it.
    lines : numpy.ndarray of int, shape (rows,)
        Where each row is in the file.
    notes : tuple of str
        What should be said about how the file was read.
    has_header : bool
    decimal : str
        The decimal sign that the file uses: "." or ",".
    place : str
        What `lines` counts: "line" or "row".
    """

    names: tuple[str, ...]
    columns: list[Any]
    lines: NDArray[np.intp]
    notes: tuple[str, ...] = ()
    has_header: bool = True
    decimal: str = "."
    place: str = "row"

    @property
    def rows(self) -> int:
        return len(self.columns[0]) if self.columns else 0


class Arrays(NamedTuple):
    """Examples and labels that a file holds as arrays; the test arrays where the file splits them itself.

    Where there are no labels, `y` is None, and `problem` says where they are expected; examples alone can be predicted.
    """

    x: NDArray[Any]
    y: NDArray[Any] | None
    x_test: NDArray[Any] | None = None
    y_test: NDArray[Any] | None = None
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Column:
    """A column and what it is used for.

    Attributes
    ----------
    name : str
    role : str
        One of `ROLES`.
    reason : str
        Why it has this role, in words.
    categories : tuple of str
        The texts of a category column, in the order of their codes.
    unit : str
        What its numbers are followed or preceded by in the file: "%" or a currency sign.
    """

    name: str
    role: str
    reason: str
    categories: tuple[str, ...] = ()
    unit: str = ""

    def text(self, value: float) -> str:
        """A cell of this column as people write it."""
        if np.isnan(value):
            return "missing"
        if self.role == "category":
            return self.categories[int(value)]
        if self.role == "date":
            return str(np.datetime64(round(value * 86400), "s")).replace("T00:00:00", "").replace("T", " ")
        whole = value == np.floor(value) and abs(value) < 1e15
        return f"{number_text(value) if whole else f'{value:.6g}'}{' ' if self.unit else ''}{self.unit}"


def number_text(value: float) -> str:
    """A number as it would be written, without losing a digit."""
    return str(int(value)) if value == np.floor(value) and abs(value) < 1e15 else repr(float(value))


@dataclass(frozen=True)
class Table:
    """A table that can be trained on.

    Attributes
    ----------
    name : str
        The file's path, or what the table in memory is.
    columns : tuple of Column
        All columns of the file, in order.
    features : numpy.ndarray of float64, shape (rows, features)
        The columns that are used, in order: numbers, codes of categories, days since 1970; NaN where missing.
    labels : numpy.ndarray, shape (rows,)
        Indices into `class_names`; where these are empty, the numbers of a regression, as float64.
    class_names : tuple of str
        Empty for a regression.
    target : str
        The name of the target column.
    lines : numpy.ndarray of int, shape (rows,)
        Where each row is in its file.
    place : str
        What these numbers count: "line" or "row".
    notes : tuple of str
        What was left out, merged or assumed, in sentences.
    train_rows : int
        The first rows are the training set, the others a test set that was given apart; 0 where no test set was given.
    image_shape : tuple of int or None
        Height and width of a row that is an image; `channels` of them follow one another.
    """

    name: str
    columns: tuple[Column, ...]
    features: NDArray[np.float64]
    labels: NDArray[Any]
    class_names: tuple[str, ...]
    target: str = ""
    lines: NDArray[np.intp] | None = None
    place: str = "row"
    notes: tuple[str, ...] = ()
    train_rows: int = 0
    image_shape: tuple[int, int] | None = None
    channels: int = 1
    used: tuple[Column, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(map(in_one_line, self.notes)))
        object.__setattr__(self, "used", tuple(c for c in self.columns if c.role in ("number", "category", "date")))

    def place_of(self, row: int) -> str:
        """Where a row is in its file: "line 7"."""
        where = f"{self.place} {row + 1 if self.lines is None else self.lines[row]}"
        return f"test {where}" if self.train_rows and row >= self.train_rows else where

    @property
    def is_regression(self) -> bool:
        """Whether the target is a number to estimate, no class to predict."""
        return not self.class_names

    @property
    def class_counts(self) -> tuple[tuple[str, int], ...]:
        """The classes and their numbers of rows."""
        if self.is_regression:
            return ()
        counts = np.bincount(self.labels, minlength=len(self.class_names)).tolist()
        return tuple(zip(self.class_names, counts, strict=True))


def side_by_side(columns: list[NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
    """An array of shape (rows, columns) in which each column is contiguous: columns are what is read of it."""
    return np.stack(columns).T if columns else np.empty((rows, 0))


def in_one_line(text: str) -> str:
    """A message that has texts of a file or a library, without line ends and control characters."""
    return cleaned(" ".join(text.split()))


def column_name(names: tuple[str, ...], place: int) -> str:
    """A column's name; its number where the file gives none."""
    return names[place] or f"column {place + 1}"


def listed(names: tuple[str, ...] | list[str], most: int = _MOST_NAMED) -> str:
    """Names for a message, the first ones only where there are many."""
    text = ", ".join(in_one_line(name[:_MOST_NAMED]) for name in names[:most])
    return f"{text}, … ({len(names) - most} more)" if len(names) > most else text


def check_columns(count: int) -> None:
    """Raise where there are too many columns."""
    if count > MOST_COLUMNS:
        raise TableProblem(f"{count:,} columns; at most {MOST_COLUMNS:,} are possible")


def plural(count: int, noun: str) -> str:
    """A number and a noun: 1 row, 2,000 rows."""
    many = noun[:-1] + "ies" if noun.endswith("y") else noun + ("es" if noun.endswith("s") else "s")
    return f"{count:,} {noun if count == 1 else many}"
