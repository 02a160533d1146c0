"""Checks a workbook before calamine reads it, which makes an array of each sheet from its first to its last cell.

A number in the last cell of an empty sheet would take 512 GiB, and a failed allocation ends the process.
"""

import io
import re
import zipfile
from collections.abc import Iterable
from typing import NamedTuple

from fastdrop.experiments.formats.reading import gigabytes
from fastdrop.experiments.tables.contents import LARGEST_TEXT, TableProblem

MOST_CELLS = 50_000_000
"""Cells of a spreadsheet: each is a Python object while it is read."""
_PLACES = re.compile(rb"""<(?:\w+:)?(row|c)\b[^>]*?\br=["']([A-Za-z]*)(\d{1,9})["']""")
_ODS = re.compile(rb"<table:(table-row|table-cell|covered-table-cell|table)\b([^>]*)>")
_SHEETS = re.compile(r"worksheets/[^/]+\.bin$")
_LAST_CELL = 11
"""The kind of an .xlsb file's records: 0 begins a row, 1 to 11 are cells."""
_REPEATED = re.compile(rb'repeated="(\d{1,9})"')


class _Box(NamedTuple):
    """The cells from the first to the last row and column."""

    rows: int = 0
    columns: int = 0

    @classmethod
    def around(cls, rows: Iterable[int], columns: Iterable[int]) -> "_Box":
        """From the first to the last of these numbers."""
        sizes = []
        for numbers in (set(rows), set(columns) - {0}):
            sizes.append(max(numbers) - min(numbers) + 1 if numbers else 0)
        return cls(*sizes)

    def check(self) -> None:
        if self.rows * self.columns > MOST_CELLS:
            raise TableProblem(
                f"too large: a sheet has {self.rows:,} rows and {self.columns:,} columns, perhaps because of one cell "
                "far from the others; delete it, or save the sheet as CSV"
            )


def check_workbook(content: bytes) -> None:
    """Raise where the sheets of an .xlsx, .xlsb or .ods file are too large."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        members = archive.infolist()
        size = sum(member.file_size for member in members)
        if size > LARGEST_TEXT:
            raise TableProblem(f"too large; the limit is {gigabytes(LARGEST_TEXT)} after decompression")
        parts = [
            archive.read(each) for each in members if each.filename.endswith(".xml") or _SHEETS.search(each.filename)
        ]
    except TableProblem:
        raise
    except Exception as error:  # zipfile raises many kinds over damaged files
        raise TableProblem(f"damaged, or not a spreadsheet: {error}") from None
    for part in parts:
        if b"<table:table" in part:
            _box_of_ods(part).check()
        elif part[:100].lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
            _box_of_xml(part).check()
        else:
            _box_of_records(part).check()


def _box_of_xml(part: bytes) -> _Box:
    """Of a sheet of an .xlsx file."""
    rows, columns = set(), set()
    for found in _PLACES.finditer(part):
        rows.add(found[3])
        columns.add(found[2])
    return _Box.around(map(int, rows), map(_column_number, columns))


def _column_number(letters: bytes) -> int:
    """1 for A, 27 for AA; 0 for the place of a row, which has no column."""
    number = 0
    for letter in letters[:4].upper():
        number = number * 26 + letter - 64
    return number


def _box_of_records(part: bytes) -> _Box:
    """Of a sheet of an .xlsb file: records of a kind, a size and this number of bytes."""
    rows: list[int] = []
    columns: list[int] = []
    place = 0
    while place < len(part):
        kind, place = _variable(part, place, 2)
        size, place = _variable(part, place, 4)
        if kind <= _LAST_CELL:  # the first 4 bytes are the row, or the column of a cell
            (columns if kind else rows).append(int.from_bytes(part[place : place + 4], "little"))
        place += size
    return _Box.around(rows, columns)


def _variable(part: bytes, place: int, most: int) -> tuple[int, int]:
    """A number of at most this many bytes, seven bits in each, and the place behind it."""
    number = 0
    for shift in range(most):
        byte = part[place + shift] if place + shift < len(part) else 0
        number |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            break
    return number, place + shift + 1


def _box_of_ods(part: bytes) -> _Box:
    """Of the largest sheet of an .ods file, where a cell or row can stand for many; without empty ones at its end."""
    largest = _Box()
    row = rows = column = columns = repeated = 0
    for found in _ODS.finditer(part):
        kind, attributes = found[1], found[2]
        count = max([1, *map(int, _REPEATED.findall(attributes))])
        if kind == b"table":
            row = rows = columns = repeated = 0
        elif kind == b"table-row":
            row, column, repeated = row + repeated, 0, count
        else:
            column += count
            if not attributes.endswith(b"/") or b"office:" in attributes:
                rows, columns = row + repeated, max(columns, column)
        largest = max(largest, _Box(rows, columns), key=lambda box: box.rows * box.columns)
    return largest
