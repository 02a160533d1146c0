"""Tables that are no text: spreadsheets, Parquet, Feather, ARFF. Each library is imported when a file needs it."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastdrop.errors import BackendUnavailable, missing_package
from fastdrop.experiments.formats.npz import LARGEST
from fastdrop.experiments.formats.reading import gigabytes, reason, shown
from fastdrop.experiments.tables.contents import Cells, TableProblem, listed
from fastdrop.experiments.tables.text import read_text
from fastdrop.experiments.tables.workbooks import MOST_CELLS, check_workbook


def read_spreadsheet(content: bytes, sheet: str) -> Cells:
    """One sheet of a workbook (.xlsx, .xls, .xlsb, .ods): that called `sheet`, or the first that has cells."""
    calamine = imported("python_calamine", "python-calamine", "opening a spreadsheet")
    if content.startswith(b"PK"):
        check_workbook(content)
    with _errors_of("a spreadsheet"):
        book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        names = list(book.sheet_names)
        if sheet and sheet not in names:
            raise TableProblem(f"no sheet {shown(sheet)}; the sheets are {listed(names)}")
        found: list[list[Any]] = []
        for name in [sheet] if sheet else names:
            opened = book.get_sheet_by_name(name)
            if opened.total_height * opened.total_width > MOST_CELLS:
                raise TableProblem(f"too large: sheet {shown(name)} has more than {MOST_CELLS:,} cells; save it as CSV")
            rows = opened.to_python(skip_empty_area=True)
            if any(any(cell != "" for cell in row) for row in rows):
                found = [list(row) for row in rows]
                break
    if not found:
        raise TableProblem(f"sheet {shown(sheet)} is empty" if sheet else "no sheet has cells")
    chosen = () if len(names) == 1 else (f"sheet {name} of {len(names)}: {listed(names)}; --sheet chooses another",)
    return _cells_of_sheet(found, chosen, (opened.start or (0, 0))[0] + 1)


def _cells_of_sheet(rows: list[list[Any]], notes: tuple[str, ...], first: int) -> Cells:
    """The rows of a sheet; its header is the first row, if that has texts alone."""
    import pandas as pd

    places = [place for place, row in enumerate(rows) if any(cell != "" for cell in row)]
    top = rows[places[0]]
    header = all(isinstance(cell, str) for cell in top) and len(places) > 1 and _names_columns(top, rows[places[1]])
    places = places[1:] if header else places
    names = tuple(" ".join(str(cell).split()) for cell in top) if header else ("",) * len(top)
    if len(names) < 2:
        raise TableProblem("one column only; a table must have features and a target")
    columns = []
    for place in range(len(names)):
        cells = [rows[row][place] for row in places]
        plain = pd.Series([None if cell == "" else cell for cell in cells], dtype=object).infer_objects()
        columns.append(plain)
    return Cells(names, columns, np.array(places) + first, notes, header)


def _names_columns(top: list[Any], below: list[Any]) -> bool:
    """Whether a row of texts can be the header: texts below are not the same ones."""
    return len({*filter(None, top)}) == len([*filter(None, top)]) and top != below


def read_parquet(content: bytes) -> Cells:
    """A Parquet file."""
    parquet = imported("pyarrow.parquet", "pyarrow", "opening a Parquet file")
    with _errors_of("a Parquet file"):
        file = parquet.ParquetFile(io.BytesIO(content))
        groups = (file.metadata.row_group(number) for number in range(file.metadata.num_row_groups))
        _check_size(sum(group.total_byte_size for group in groups))
        _check_size(8 * file.metadata.num_rows * file.metadata.num_columns)  # equal cells take no bytes in the file
        return cells_of_arrow(file.read())


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise TableProblem(f"too large: {gigabytes(size)}; the limit is {gigabytes(LARGEST)}")


def read_feather(content: bytes) -> Cells:
    """A Feather file, or an Arrow IPC file."""
    feather = imported("pyarrow.feather", "pyarrow", "opening a Feather file")
    with _errors_of("a Feather file"):
        return cells_of_arrow(_validated(feather.read_table(io.BytesIO(content))))


def _validated(table: Any) -> Any:
    """The table, if its offsets and indices are valid: Arrow maps the file as it is; a wrong one ends the process."""
    import pyarrow as pa

    as_bytes = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}  # which need not be UTF-8
    for column in table.columns:
        for chunk in column.chunks:
            (chunk.view(as_bytes[chunk.type]) if chunk.type in as_bytes else chunk).validate(full=True)
    return table


def cells_of_arrow(table: Any) -> Cells:
    """An Arrow table."""
    import pyarrow as pa

    _check_size(8 * table.num_rows * table.num_columns)
    for place, column in enumerate(table.columns):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid:  # bytes that are no UTF-8: pandas would raise when it meets them
                table = table.set_column(place, table.schema.names[place], column.cast(pa.large_binary()))
    try:
        return cells_of_frame(table.to_pandas())
    except pa.ArrowNotImplementedError as error:
        raise TableProblem(f"a column has a type that pandas cannot hold: {reason(error)}") from None


def cells_of_frame(frame: Any) -> Cells:
    """A pandas DataFrame. An index that is more than row numbers becomes the first column, without a name."""
    import pandas as pd

    names = tuple(_name(name) for name in frame.columns)
    if isinstance(frame.columns, pd.RangeIndex):
        names = ("",) * len(names)
    columns = [frame.iloc[:, place].reset_index(drop=True) for place in range(frame.shape[1])]
    if not isinstance(frame.index, (pd.RangeIndex, pd.MultiIndex)) and len(frame):
        names, columns = ("", *names), [pd.Series(frame.index.array), *columns]
    if not columns or not len(frame):
        raise TableProblem("no rows" if columns else "no columns")
    return Cells(names, columns, np.arange(1, len(frame) + 1))


def _name(name: Any) -> str:
    """The name of a DataFrame's column, of which there may be several levels, or none."""
    if isinstance(name, tuple):
        return " ".join(map(str, name))
    return "" if name is None or name != name else str(name)


def read_arff(content: bytes) -> Cells:
    """An ARFF file, as Weka and OpenML have them."""
    import pandas as pd

    arff = imported("scipy.io.arff", "scipy", "opening an ARFF file")
    text = content.decode("utf-8", "replace")
    with _errors_of("an ARFF file"):
        try:
            data, _ = arff.loadarff(io.StringIO(text))
        except (NotImplementedError, ValueError) as error:  # text attributes, or white space around a category
            return _arff_as_text(text, error)
    frame = pd.DataFrame({name: _decoded(data[name]) for name in data.dtype.names or ()})
    return cells_of_frame(frame)


def _arff_as_text(text: str, error: Exception) -> Cells:
    """The rows of an ARFF file as delimited text, with the names of its attributes instead of the line @data."""
    head, *rest = re.split(r"(?im)^[ \t]*@data\b.*$", text, maxsplit=1)
    rows = re.sub(r"(?m)^%.*$", "", rest[0]) if rest else ""
    found = re.findall(r"""(?im)^[ \t]*@attribute\s+(?:'([^']*)'|"([^"]*)"|(\S+))""", head)
    if not rows or not found or re.search(r"(?m)^[ \t]*\{", rows):  # the sparse form
        raise TableProblem(f"scipy cannot read it: {reason(error)}; save it as CSV")
    names = io.StringIO()
    csv.writer(names, lineterminator="").writerow("".join(each) for each in found)
    return read_text(("\n" * head.count("\n") + names.getvalue() + rows).encode())


def _decoded(column: Any) -> Any:
    return [cell.decode("utf-8", "replace") for cell in column] if column.dtype.kind == "S" else column


def imported(module: str, package: str, use: str) -> Any:
    """A module of an optional package; the error names its extra where it is missing."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise missing_package(package, "tables", use) from None


@contextmanager
def _errors_of(kind: str) -> Iterator[None]:
    """One clear error instead of whatever a library raises over a damaged file."""
    try:
        yield
    except (TableProblem, MemoryError, BackendUnavailable):
        raise
    except Exception as error:
        raise TableProblem(f"damaged, or not {kind}: {reason(error)}") from None
    except BaseException as error:  # a panic of calamine, which is written in Rust
        if type(error).__name__ != "PanicException":
            raise
        raise TableProblem(f"damaged, or not {kind}") from None
