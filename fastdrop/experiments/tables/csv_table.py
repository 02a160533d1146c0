"""CSV files: a head to look at, and the whole table, checked cell by cell."""

import csv
import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.formats.reading import LONGEST_NAME, cleaned, gigabytes, shown, size_of
from fastdrop.experiments.tables.contents import (
    HEAD,
    LONG_CLASS,
    MOST_NAMED,
    Preview,
    Table,
    TableProblem,
    check_columns,
    table_of,
)

LARGEST_CSV = 1 << 30
"""Bytes; the cells take many times as much as Python objects."""
_LINE = 1 << 18
"""Characters of a line that a preview reads: a file without line ends must not be read as one line."""
_LONGEST_LINE = 1 << 25
"""Characters of a line of a table."""


class _Lines(NamedTuple):
    """The cells of a file: its columns' names, whether they are in the file, and the rows with their line numbers."""

    names: list[str]
    has_header: bool
    rows: list[tuple[int, list[str]]]


def preview(path: Path, rows: int) -> Preview:
    """The first rows."""
    size_of(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(_head_of(file))
        try:
            numbered = list(itertools.islice(((reader.line_num, row) for row in _cells(reader)), rows + 2))
        except csv.Error as error:
            raise TableProblem(str(error), f"row {reader.line_num}") from None
        whole = len(numbered) < rows + 2 and not file.read(1)
    if not whole and 1 < len(numbered) < rows + 2 and numbered[-1][0] == reader.line_num:
        numbered.pop()  # it may have been cut
    lines = [row for _, row in numbered]
    if not lines:
        raise TableProblem("no rows" + ("" if whole else f" in its first {HEAD:,} characters"))
    names, header = _names(lines[0])
    check_columns(len(names))
    found = lines[header:]
    count = len(found) if whole else None
    return Preview(tuple(names), tuple(map(tuple, found[:rows])), count, {})


def read(path: Path, label: str) -> Table:
    """The whole table; `label` names the target column, as in `read_table`."""
    lines = _lines_of_table(path)
    target = _label_column(lines.names, label)
    features, cells = _features_and_classes(lines, target)
    feature_names = tuple(name for number, name in enumerate(lines.names) if number != target)
    classes = sorted(set(cells))  # not an array of text, in which each cell is as wide as the widest
    index = {name: number for number, name in enumerate(classes)}
    labels = np.fromiter((index[cell] for cell in cells), np.intp, len(cells))
    return table_of(features, feature_names, labels, classes, f"column {shown(lines.names[target])}")


def _lines_of_table(path: Path) -> _Lines:
    size = size_of(path)
    if size > LARGEST_CSV:
        raise TableProblem(f"too large: {gigabytes(size)}; the limit is {gigabytes(LARGEST_CSV)}")
    with path.open(newline="", encoding="utf-8-sig") as file:
        # line_num counts lines, so a message names the line that an editor shows.
        reader = csv.reader(_bounded_lines(file))
        try:
            lines = [(reader.line_num, row) for row in _cells(reader)]
        except csv.Error as error:
            raise TableProblem(str(error), f"row {reader.line_num}") from None
    if not lines:
        raise TableProblem("no rows")
    first = lines[0][1]
    names, header = _names(first)
    rows = lines[header:]
    if not rows:
        raise TableProblem("no rows below the header")
    if len(names) < 2:
        other = next((f", not by {mark!r}" for mark in ";\t|" if mark in first[0]), "")
        raise TableProblem(f"one column only; features and a target column must be separated by commas{other}")
    check_columns(len(names))
    return _Lines(names, header, rows)


def _features_and_classes(lines: _Lines, target: int) -> tuple[NDArray[np.float64], list[str]]:
    """The features as numbers, and the cells of the target column."""
    names = lines.names
    features = np.empty((len(lines.rows), len(names) - 1))
    classes: list[str] = []
    for number, (line, cells) in enumerate(lines.rows):
        row = f"row {line}"
        if len(cells) != len(names):
            raise TableProblem(f"{len(cells)} columns where the first row has {len(names)}", row)
        for name, cell in zip(names, cells, strict=True):
            if not cell:
                raise TableProblem("missing value", row, f"column {shown(name)}")
        if len(cells[target]) > LONGEST_NAME:
            raise TableProblem(LONG_CLASS, row, f"column {shown(names[target])}")
        classes.append(cells[target])
        may_be_header = number == 0 and not lines.has_header
        features[number] = [
            _feature(cell, may_be_header, row, name)
            for place, (name, cell) in enumerate(zip(names, cells, strict=True))
            if place != target
        ]
    return features, classes


def _feature(cell: str, may_be_header: bool, row: str, name: str) -> float:
    """A cell as a finite number."""
    value = _number(cell)
    if value is None:
        hint = " (a header has no number among its names)" if may_be_header else ""
        reason = f"{cell[:40]!r} is text; features must be numbers{hint}"
    elif math.isfinite(value):
        return value
    else:
        reason = f"{shown(cell)} is not a finite number"
    raise TableProblem(reason, row, f"column {shown(name)}")


def _cells(reader: Iterable[list[str]]) -> Iterator[list[str]]:
    """The rows that are not empty, their cells without white space around them."""
    return ([cell.strip() for cell in row] for row in reader if any(map(str.strip, row)))


def _names(first: list[str]) -> tuple[list[str], bool]:
    """The columns' names, and whether the first row is a header."""
    header = all(_number(cell) is None for cell in first)  # the first cell may be empty: pandas leaves it so
    return first if header else [f"column {number}" for number in range(1, len(first) + 1)], header


def _head_of(file: IO[str]) -> Iterator[str]:
    """The first lines, and pieces of long ones."""
    left = HEAD
    while line := file.readline(min(_LINE, left)):
        left -= len(line)
        yield line


def _bounded_lines(file: IO[str]) -> Iterator[str]:
    """The lines, as long as none is too long."""
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise TableProblem(f"a line of more than {_LONGEST_LINE - 1:,} characters", f"row {number}")
        yield line


def _number(cell: str) -> float | None:
    if "_" in cell:  # only Python writes 1_000
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _label_column(names: list[str], label: str) -> int:
    if not label:
        return len(names) - 1
    if label in names:
        return names.index(label)
    if label.isdecimal() and len(label) < 10 and 1 <= int(label) <= len(names):
        return int(label) - 1
    columns = ", ".join(cleaned(name[:MOST_NAMED]) for name in names[:MOST_NAMED])
    raise TableProblem(f"no column {shown(label)}; columns are {columns}{', …' if len(names) > MOST_NAMED else ''}")
