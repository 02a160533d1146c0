"""What a dialog shows of a table before it is trained on: roles, classes, notes, and what the network gets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments.errors import DataError
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.reading import cleaned
from fastdrop.experiments.tables import reader
from fastdrop.experiments.tables.contents import Arrays, Cells, Table
from fastdrop.experiments.tables.labels import described_regression, is_regression
from fastdrop.experiments.tables.roles import NO_CHOICES, Choices, Roles, assign_roles, place_of
from fastdrop.experiments.tables.values import Values

PREPARED_ROWS, PREPARED_COLUMNS = 10, 50
FIRST_CELLS = 6
_LONGEST_CELL, _LONGEST_CELLS = 24, 90
_PICTURES = 10


class DescribedColumn(NamedTuple):
    """A column of the file.

    Attributes
    ----------
    name : str
    reference : str
        What means this column in `load_table`: its name, or its number where the name is not unique.
    role, reason : str
        As in `Column`.
    kind : str
        What its cells are: "number", "date" or "text".
    cells : str
        The first ones, as texts.
    missing : int
    """

    name: str
    reference: str
    role: str
    reason: str
    kind: str
    cells: str
    missing: int


@dataclass(frozen=True)
class Prepared:
    """The first rows as the network gets them: at most `PREPARED_ROWS` of at most `PREPARED_COLUMNS` features."""

    names: tuple[str, ...]
    rows: NDArray[np.float32]
    places: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class TableDescription:
    """A table as it would be trained on, with as much as is known where it cannot be.

    Attributes
    ----------
    columns : tuple of DescribedColumn
        All columns of the file; empty where they are pixels, or the file cannot be read.
    target : str
        The target's name.
    rows, features : int
        Rows with a target; features of the network.
    classes : tuple of (str, int)
        Classes and their numbers of rows.
    regression : str
        Why the target is a number to estimate and no class, if it is one.
    can_be_classes : bool
        Whether each number of a regression could be declared a class.
    train_rows, test_rows : int
    notes : tuple of str
        Of the table and of its split.
    sheets : tuple of str
        Of a spreadsheet.
    has_roles : bool
        Whether columns have roles that can be chosen; arrays have theirs already.
    image_shape : tuple of int or None
        Height, width and channels.
    pictures : numpy.ndarray of uint8, shape (pictures, height, width), or None
        The first of each class in turn, in grey.
    prepared : Prepared or None
    problem : str
        Why it cannot be trained on; empty where it can.
    """

    columns: tuple[DescribedColumn, ...] = ()
    target: str = ""
    rows: int = 0
    features: int = 0
    classes: tuple[tuple[str, int], ...] = ()
    regression: str = ""
    can_be_classes: bool = False
    train_rows: int = 0
    test_rows: int = 0
    notes: tuple[str, ...] = ()
    sheets: tuple[str, ...] = ()
    has_roles: bool = True
    image_shape: tuple[int, int, int] | None = None
    pictures: NDArray[np.uint8] | None = None
    prepared: Prepared | None = None
    problem: str = ""


def describe_table(path: str, choices: Choices = NO_CHOICES, sheet: str = "", test_data: str = "") -> TableDescription:
    """Read a file, and describe what would be trained on. A problem is part of the description.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from fastdrop.experiments.tables.description import describe_table
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "points.csv"
    >>> _ = path.write_text("a,class\\n1,x\\n2,y\\n3,x\\n5,y\\n")
    >>> found = describe_table(str(path))
    >>> [(column.name, column.role) for column in found.columns], found.classes
    ([('a', 'number'), ('class', 'target')], (('x', 2), ('y', 2)))
    """
    found = TableDescription()
    try:
        reader.check_pandas()
        with reader.data_errors(path_text(path)):
            found = replace(found, sheets=_sheets(path))
            opened = reader.opened(path, sheet)
            if isinstance(opened, Arrays):
                found = replace(found, has_roles=False)
                table = reader.table_of_arrays(opened, path, Choices())
            else:
                roles = assign_roles(opened, choices)
                found = _with_roles(found, opened, roles, choices)
                table = reader.table_with_roles(opened, roles, path, choices)
        found = _with_table(found, table)
        if test_data:
            if table.train_rows:
                raise DataError(f"{path_text(path)}: it has its own test set; leave out the test data")
            with reader.data_errors(path_text(test_data)):
                table = reader.with_test_rows(table, reader.opened(test_data, sheet))
            found = _with_table(found, table)
        return _with_dataset(found, table)
    except (DataError, BackendUnavailable) as error:
        return replace(found, problem=str(error))
    except MemoryError:
        return replace(found, problem=f"{path_text(path)}: too large for this machine's memory")


def send_description(connection: Any, path: str, choices: Choices, sheet: str, test_data: str) -> None:
    """Describe a table into a pipe: what a process does beside the window. It always sends a description."""
    try:
        found = describe_table(path, choices, sheet, test_data)
    except Exception as error:  # a defect: the dialog must say something
        text = f"{path_text(path)}: unexpected error: {type(error).__name__}: {error}"
        found = TableDescription(problem=text[:500])
    connection.send(found)


def references(names: Sequence[str]) -> list[str]:
    """For each column, what means it in `load_table`: its name, or its number where that means another column.

    Examples
    --------
    >>> from fastdrop.experiments.tables.description import references
    >>> references(["a", "b", "a", "", "3"])
    ['a', 'b', 'column 3', '4', '3']
    """
    first: dict[str, int] = {}
    for place, name in enumerate(names):
        first.setdefault(name, place)
    taken = {name.strip().casefold() for name in names}
    found = []
    for place, name in enumerate(names):
        number = str(place + 1)
        if name and name.isprintable() and first[name] == place:
            found.append(name)
        else:
            found.append(number if number not in taken else f"column {number}")
    return found


def _sheets(path: str) -> tuple[str, ...]:
    """The sheets of a spreadsheet; none for other files, and for what cannot be read."""
    if not Path(path).is_file():
        return ()
    with open(path, "rb") as file:
        begin = file.read(4)
    if not begin.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0")):
        return ()
    try:
        import python_calamine

        return tuple(python_calamine.CalamineWorkbook.from_path(path).sheet_names)
    except Exception:  # no workbook, or damaged: reading it says so
        return ()


def _with_roles(found: TableDescription, cells: Cells, roles: Roles, choices: Choices) -> TableDescription:
    names = tuple(column.name for column in roles.columns)
    means = references(cells.names)
    columns = tuple(
        DescribedColumn(name, reference, column.role, column.reason, values.kind, _first_cells(series), values.missing)
        for name, reference, column, values, series in zip(
            names, means, roles.columns, roles.values, cells.columns, strict=True
        )
    )
    target = roles.values[roles.target]
    declared = any(place_of(cells.names, each) == roles.target for each in choices.categorical)
    regression = described_regression(target) if is_regression(target, declared) else ""
    return replace(
        found,
        columns=columns,
        target=names[roles.target],
        rows=len(target.cells) - target.missing,
        notes=(*cells.notes, *roles.notes),
        regression=regression,
        can_be_classes=bool(regression) and not is_regression(target, True),
    )


def _first_cells(series: Any) -> str:
    """The first cells as one text."""
    texts = []
    for cell in series.iloc[:FIRST_CELLS].tolist():
        text = "" if cell is None or cell != cell else cleaned(_cell_text(cell)[:_LONGEST_CELL])
        texts.append(text or "–")
    return ", ".join(texts)[:_LONGEST_CELLS]


def _cell_text(cell: Any) -> str:
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace")
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def _with_table(found: TableDescription, table: Table) -> TableDescription:
    shape = None if table.image_shape is None else (*table.image_shape, table.channels)
    columns = found.columns
    if not columns and shape is None:  # arrays of features
        columns = tuple(_column_of_array(table, place) for place in range(len(table.columns)))
    return replace(
        found,
        columns=columns,
        target=table.target,
        rows=len(table.labels),
        classes=table.class_counts,
        notes=table.notes,
        image_shape=shape,
        pictures=None if shape is None else _pictures(table),
    )


def _column_of_array(table: Table, place: int) -> DescribedColumn:
    column = table.columns[place]
    is_target = column.role == "target"
    if is_target:
        names = [table.class_names[label] for label in table.labels[:FIRST_CELLS]] if table.class_names else []
        texts, missing = [cleaned(name[:_LONGEST_CELL]) for name in names], 0
    else:
        values = Values("number", table.features[:, place])
        texts, missing = [column.text(value) for value in values.cells[:FIRST_CELLS]], values.missing
    return DescribedColumn(
        column.name, "", column.role, column.reason, "number", ", ".join(texts)[:_LONGEST_CELLS], missing
    )


def _pictures(table: Table) -> NDArray[np.uint8]:
    """A few images, of each class in turn, from black to white."""
    assert table.image_shape is not None
    turn = np.zeros(len(table.labels))
    for label in np.unique(table.labels):
        here = table.labels == label
        turn[here] = np.arange(here.sum())
    chosen = np.argsort(turn, kind="stable")[:_PICTURES]
    images = table.features[chosen].reshape(len(chosen), table.channels, *table.image_shape).mean(axis=1)
    low, high = np.nanmin(images), np.nanmax(images)
    return (255 * np.nan_to_num((images - low) / max(high - low, 1e-12))).astype(np.uint8)


def _with_dataset(found: TableDescription, table: Table) -> TableDescription:
    from fastdrop.experiments.splitting import split_table  # which imports this package

    dataset = split_table(table, train_fraction=0.8, seed=0)
    prepared = None
    if table.image_shape is None and dataset.preparation is not None:
        rows = table.features[:PREPARED_ROWS]
        inputs = dataset.preparation.transform(rows)
        prepared = Prepared(
            dataset.feature_names[:PREPARED_COLUMNS],
            inputs[:, :PREPARED_COLUMNS],
            tuple(table.place_of(row) for row in range(len(rows))),
            tuple(table.class_names[label] for label in table.labels[: len(rows)]),
        )
    return replace(
        found,
        features=dataset.features,
        train_rows=len(dataset.x_train),
        test_rows=len(dataset.x_test),
        notes=dataset.notes,
        prepared=prepared,
    )
