"""Delimited text, as people have it: pandas reads what `layout` has found, and every line is checked."""

import csv
import io
import itertools
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.experiments.formats.reading import gigabytes, shown
from fastdrop.experiments.tables.contents import LARGEST_TEXT, Cells, TableProblem, check_columns, plural
from fastdrop.experiments.tables.layout import SPACE, Layout, as_utf8, layout_of
from fastdrop.experiments.tables.values import MISSING

_LONGEST_LINE = 1 << 25
_PART = 1 << 18
"""Bytes that are looked at at once: they stay in the caches."""
_LARGE = 1 << 22
"""Bytes from which on pandas is given a file instead of its content, since it reads a file by several threads."""


def read_text(content: bytes, path: Path | None = None) -> Cells:
    """The cells of a delimited text; `path` is the file that has this content, where there is one."""
    if len(content) > LARGEST_TEXT:
        raise TableProblem(f"too large: {gigabytes(len(content))}; the limit is {gigabytes(LARGEST_TEXT)}")
    given = content
    content, notes = as_utf8(content)
    if b"\r" in content and content.count(b"\r") != content.count(b"\r\n"):  # as Macs once ended lines
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    _check_line_lengths(content)
    layout = layout_of(content)
    check_columns(len(layout.names))
    frame, lines = _read_if_regular(content, layout, path if content is given and len(content) >= _LARGE else None)
    if frame is None:
        widest, lines = _checked_lines(content, layout)
        frame = _read(content, layout, widest).iloc[:, : len(layout.names)]
    if len(frame) == 0:
        raise TableProblem("no rows below the header" if layout.has_header else "no rows")
    if len(frame) != len(lines):
        raise TableProblem(f"pandas finds {len(frame):,} rows in {len(lines):,} lines; look at its quotes")
    if layout.comment:
        count = sum(line.startswith(layout.comment.encode()) for line in io.BytesIO(content))
        notes.append(f"{plural(count, 'line')} that begin with {layout.comment} left out as comments")
    columns = [frame[place] for place in frame.columns]
    return Cells(layout.names, columns, lines, tuple(notes), layout.has_header, layout.decimal, "line")


def _check_line_lengths(content: bytes) -> None:
    """Raise where a line is endless: pandas would take gigabytes for its cells."""
    begin = 0
    while begin + _LONGEST_LINE < len(content):
        end = content.rfind(b"\n", begin, begin + _LONGEST_LINE + 1)
        if end < 0:
            line = content.count(b"\n", 0, begin) + 1
            raise TableProblem(f"a line of more than {_LONGEST_LINE:,} bytes", f"line {line}")
        begin = end + 1


def _read_if_regular(content: bytes, layout: Layout, path: Path | None) -> tuple[Any, NDArray[np.intp]]:
    """The table and its lines, if each line is a row and none is too short, which pandas would fill without a word.

    None where that is not certain: then the lines are looked at one by one, which takes longer than to read them.
    """
    nothing = None, np.empty(0, np.intp)
    if layout.comment or layout.dialect.delimiter == SPACE:
        return nothing
    width = len(layout.names)
    try:
        frame = _read(content, layout, width, path)
    except TableProblem:
        return nothing
    count = _count(content, b"\n") + (not content.endswith(b"\n")) - layout.skipped
    if len(frame) != count:
        return nothing
    whole = bool(frame.iloc[:, -1].notna().all())  # a row that is too short has nothing there
    if not whole and layout.dialect.quote.encode() not in content:
        start = _start(content, layout.skipped)
        whole = _count(content, layout.dialect.delimiter.encode(), start) == count * (width - 1)
    return (frame, np.arange(1, count + 1) + layout.skipped) if whole else nothing


def _count(content: bytes, mark: bytes, start: int = 0) -> int:
    """How often a byte is there; `bytes.count` takes several times as long where it is there often."""
    found = np.frombuffer(content, np.uint8, offset=start)
    return sum(int(np.count_nonzero(found[at : at + _PART] == mark[0])) for at in range(0, len(found), _PART))


def _has_pair(content: bytes, pair: str) -> bool:
    """Whether two ASCII characters follow one another; `in` takes several times as long."""
    first, second = pair.encode()
    found = np.frombuffer(content, np.uint8)
    for at in range(0, len(found) - 1, _PART):
        part = found[at : at + _PART + 1]
        if ((part[:-1] == first) & (part[1:] == second)).any():
            return True
    return False


def _start(content: bytes, lines: int) -> int:
    """The offset behind this number of lines."""
    place = 0
    for _ in range(lines):
        place = content.find(b"\n", place) + 1
    return place


def _checked_lines(content: bytes, layout: Layout) -> tuple[int, NDArray[np.intp]]:
    """Check that every record has as many cells as there are names, or more that are empty.

    Returns the cells of the longest record, and the lines at which the records begin.
    """
    dialect, width = layout.dialect, len(layout.names)
    delimiter, quote = dialect.delimiter.encode(), dialect.quote.encode()
    unnamed = len(layout.names) - len(_stripped(layout.names)) if layout.has_header else 0
    text = io.BytesIO(content)
    comment = layout.comment.encode() or None
    begins: list[int] = []
    widest = width
    for number, line in enumerate(text, 1):
        if number <= layout.skipped:
            continue
        bare = line.strip()
        is_blank = not bare and (dialect.delimiter != "\t" or delimiter not in line)
        if is_blank or (comment and line.startswith(comment)):
            continue
        if quote in line:
            more, longest = _checked_quoted(content, layout, number - 1, unnamed)
            begins += more
            widest = max(widest, longest)
            break
        begins.append(number)
        found = len(bare.split()) if dialect.delimiter == SPACE else line.count(delimiter) + 1
        if not width - unnamed <= found <= width:
            widest = max(widest, _width_with_empty_cells(line, delimiter, found, width, unnamed, number))
    return widest, np.array(begins, np.intp)


def _stripped(names: tuple[str, ...]) -> tuple[str, ...]:
    """Without the names at the end that are empty."""
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)


def _width_with_empty_cells(line: bytes, delimiter: bytes, found: int, width: int, unnamed: int, number: int) -> int:
    """The number of cells of a line that has another than there are names, if the spare ones are empty."""
    filled = line.rstrip(b"\r\n " + delimiter).count(delimiter) + 1
    if found < width - unnamed or filled > width or delimiter == b" ":
        raise _ragged(found if found < width else filled, width, number)
    return found


def _ragged(found: int, width: int, number: int) -> TableProblem:
    return TableProblem(
        f"{found} {'cell' if found == 1 else 'cells'} where the other lines have {width}; correct or delete the line",
        f"line {number}",
    )


def _checked_quoted(content: bytes, layout: Layout, after: int, unnamed: int) -> tuple[list[int], int]:
    """The same behind line `after` for a text with quotes, in which a cell may have delimiters and line ends.

    Returns the lines at which records begin, and the number of cells of the longest one.
    """
    width, begins, begin, widest = len(layout.names), [], after + 1, 0
    lines = itertools.islice(io.TextIOWrapper(io.BytesIO(content), "utf-8"), after, None)
    taken = after

    def counted() -> Iterator[str]:
        nonlocal taken
        for line in lines:
            taken += 1
            yield "\n" if layout.comment and line.startswith(layout.comment) else line

    try:
        for record in layout.dialect.records(counted()):
            if any(record) or len(record) > 1:  # a row of empty cells is one for pandas too
                filled = len(record) if len(record) <= width else width + len(_stripped(tuple(record[width:])))
                if not width - unnamed <= filled <= width:
                    raise _ragged(filled, width, begin)
                begins.append(begin)
                widest = max(widest, len(record))
            begin = taken + 1
    except csv.Error as error:
        raise TableProblem(str(error), f"line {begin}") from None
    return begins, widest


def _read(content: bytes, layout: Layout, widest: int, path: Path | None = None) -> Any:
    """The rows as a pandas DataFrame, read from the file that has this content if there is one."""
    import pandas as pd

    delimiter = layout.dialect.delimiter
    has_spaces = b" " in content and _has_pair(content, delimiter + " ")
    options: dict[str, Any] = {
        "header": None, "names": range(widest), "index_col": False, "keep_default_na": False,
        "na_values": list(MISSING), "quotechar": layout.dialect.quote,
        "sep": r"\s+" if delimiter == SPACE else delimiter, "skipinitialspace": has_spaces,
        "decimal": layout.decimal, "thousands": layout.thousands,
    }  # fmt: skip
    text = _without_comments(content, layout)
    start = _start(text, layout.skipped)

    def source() -> io.BytesIO | str:
        return _at(text, start) if path is None else os.path.abspath(path)

    if path is not None:  # a suffix may be wrong
        options |= {"skiprows": layout.skipped, "compression": None}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # the first row is longer than there are names
            warnings.simplefilter("error", pd.errors.DtypeWarning)
            try:
                return pd.read_csv(source(), **options)
            except pd.errors.DtypeWarning:  # numbers in one part of a column, text in another
                return pd.read_csv(source(), low_memory=False, **options)
    except (
        pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, ValueError, OverflowError
    ) as error:  # fmt: skip
        raise TableProblem(f"pandas cannot read it: {shown(str(error))}") from None


def _at(content: bytes, start: int) -> io.BytesIO:
    source = io.BytesIO(content)
    source.seek(start)
    return source


def _without_comments(content: bytes, layout: Layout) -> bytes:
    """The text with empty lines instead of comments; pandas would also cut cells at the mark."""
    if not layout.comment:
        return content
    mark = layout.comment.encode()
    return b"".join(b"\n" if line.startswith(mark) else line for line in io.BytesIO(content))
