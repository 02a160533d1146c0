"""Further rows for a table that was read before: a test set, or rows to predict."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.formats.reading import shown
from fastdrop.experiments.tables.contents import (
    Arrays,
    Cells,
    Column,
    Table,
    TableProblem,
    column_name,
    listed,
    plural,
    side_by_side,
)
from fastdrop.experiments.tables.roles import as_texts
from fastdrop.experiments.tables.values import Values, canonical, values_of


def encode(columns: Sequence[Column], cells: Cells) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The features of further rows, with the columns, categories and kinds of a table that was read before.

    Columns are found by their names; where the file has none, by their places. A text that is no known category counts
    as missing, and so does a text in a column of numbers.

    Returns
    -------
    features : numpy.ndarray of float64, shape (rows, features)
    notes : tuple of str
    """
    places = _places(columns, cells)
    features, notes = [], []
    for column, place in zip(columns, places, strict=True):
        if column.role not in ("number", "category", "date"):
            continue
        if place is None:
            raise TableProblem(f"column {shown(column.name)} is missing; the table that was trained on has it")
        values = values_of(cells.columns[place], cells.decimal, numeric=column.role == "number")
        if column.role == "category":
            found, unknown = _codes(values, column.categories)
            if unknown:
                notes.append(f"{column.name}: unknown categories count as missing: {listed(unknown, 5)}")
        elif values.kind == column.role:
            found = values.cells
        else:
            found = np.full(cells.rows, np.nan)
            if values.kind != "text" or values.texts:
                notes.append(f"{column.name}: no {column.role}s, so that all cells count as missing")
        features.append(found)
    return side_by_side(features, cells.rows), tuple(notes)


def _places(columns: Sequence[Column], cells: Cells) -> list[int | None]:
    """Where the columns are among the cells of another file."""
    if not cells.has_header or not any(cells.names):
        without_target = [column for column in columns if column.role != "target"]
        if len(cells.names) == len(columns):
            return list(range(len(columns)))
        if len(cells.names) == len(without_target):
            order = iter(range(len(cells.names)))
            return [None if column.role == "target" else next(order) for column in columns]
        raise TableProblem(
            f"{plural(len(cells.names), 'column')} without names; the table that was trained on has {len(columns)}"
        )
    exact = _counted(cells.names)
    loose = _counted([_loose(name) for name in cells.names])
    numbered = {column_name(cells.names, place).casefold(): place for place in range(len(cells.names))}
    wanted = [column.name for column in columns]
    keys = zip(_counted(wanted), _counted([_loose(name) for name in wanted]), strict=True)
    return [exact.get(key, loose.get(other, numbered.get(key[0].casefold()))) for key, other in keys]


def _loose(name: str) -> str:
    return name.strip().casefold()


def _counted(names: Sequence[str]) -> dict[tuple[str, int], int]:
    """The place of each name; it is counted, since several columns may have the same one."""
    seen: Counter[str] = Counter()
    found = {}
    for place, name in enumerate(names):
        found[name, seen[name]] = place
        seen[name] += 1
    return found


def with_test_rows(table: Table, found: Cells | Arrays) -> Table:
    """The table with the rows of another one behind its own, as its test set."""
    if isinstance(found, Arrays):
        raise TableProblem("arrays as test data belong into one file: x_train, y_train, x_test, y_test")
    features, notes = encode(table.columns, found)
    target = next(place for place, column in enumerate(table.columns) if column.role == "target")
    place = _places(table.columns, found)[target]
    if place is None:
        raise TableProblem(f"the target {shown(table.target)} is missing")
    values = values_of(found.columns[place], found.decimal, numeric=table.is_regression)
    labels = values.cells if table.is_regression else _codes(values, table.class_names)[0]
    kept = np.flatnonzero(~np.isnan(labels))
    if not len(kept):
        expected = (
            f"one of the classes {listed(table.class_names, 8)}" if table.class_names else "a number as its target"
        )
        raise TableProblem(f"no row has {expected}")
    more = [f"test data: {note}" for note in notes]
    if len(kept) < len(labels):
        more.append(f"test data: {plural(len(labels) - len(kept), 'row')} without a known class left out")
    return Table(
        table.name, table.columns, np.concatenate([table.features, features[kept]]),
        np.concatenate([table.labels, labels[kept].astype(table.labels.dtype)]), table.class_names, table.target,
        np.concatenate([table.lines, found.lines[kept]]), table.place, (*table.notes, *more), len(table.labels),
    )  # fmt: skip


def _codes(values: Values, known: Sequence[str]) -> tuple[NDArray[np.float64], list[str]]:
    """Indices into known texts, NaN for what is none of them; and the texts that are none."""
    texts = values if values.kind == "text" else as_texts(values)
    places = {canonical(text): place for place, text in enumerate(known)}
    codes = np.array([*(places.get(canonical(text), np.nan) for text in texts.texts), np.nan])
    missing = np.isnan(texts.cells)
    found = codes[np.where(missing, len(texts.texts), np.nan_to_num(texts.cells)).astype(np.intp)]
    return found, [text for text, code in zip(texts.texts, codes, strict=False) if np.isnan(code)]
