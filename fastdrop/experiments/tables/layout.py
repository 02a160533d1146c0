"""How a delimited text is laid out: its encoding, delimiter, header, comments and decimal sign, found from its head."""

import codecs
import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fastdrop.experiments.tables.contents import TableProblem
from fastdrop.experiments.tables.names import is_telling_name
from fastdrop.experiments.tables.values import MISSING, parse_number

_HEAD = 1 << 18
"""Characters from which delimiter, header and decimal sign are found."""
_HEAD_RECORDS = 150
_LEAST_LINES, _LONGEST_HEAD = 4, 1 << 27
"""Lines that the head has at least, if they have no more than this number of characters."""
_LONGEST_CELL = 1 << 20
csv.field_size_limit(_LONGEST_CELL)
_MOST_COMMENTED = 0.2
"""Of all lines, if more begin with # and have as many cells as the others, they are no comments."""
SPACE = " "
"""Stands for any white space."""
_DELIMITERS = (",", ";", "\t", "|", SPACE)
_MARKS_IN_TEXT = frozenset(_DELIMITERS[:-1])
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", SPACE: "spaces"}
_WORD = re.compile(r""""([^"]*)"(?=\s|$)|'([^']*)'(?=\s|$)|\S+""")
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)  # fmt: skip
_OTHER_SCRIPTS = (
    "cp1251",
    "koi8_r",
    "cp1253",
    "cp1255",
    "cp1256",
    "cp932",
    "euc_jp",
    "gb18030",
    "big5",
    "cp949",
    "cp1250",
)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,(?:\d{1,2}|\d{4,})|[+-]?(?:\d{1,3}\.)+\d{3},\d+|[+-]?0,\d+")
_DECIMAL_POINT = re.compile(r"[+-]?\d*\.(?:\d{1,2}|\d{4,})|[+-]?(?:\d{1,3},)+\d{3}\.\d+|[+-]?0?\.\d+")
_GROUPED_BY_POINTS = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d+)?")


class Dialect(NamedTuple):
    delimiter: str
    quote: str

    def records(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The cells of each record, without white space around them."""
        if self.delimiter != SPACE:
            for record in csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, skipinitialspace=True):
                yield [cell.strip() for cell in record]
            return
        for line in lines:
            yield [found[found.lastindex or 0] for found in _WORD.finditer(line)]


class Layout(NamedTuple):
    """How a file is laid out: where its records begin, and what its columns are called."""

    dialect: Dialect
    names: tuple[str, ...]
    has_header: bool
    skipped: int
    """Lines before the first record with data."""
    comment: str
    """What lines without data begin with; empty where there are none."""
    decimal: str
    thousands: str | None


def layout_of(content: bytes) -> Layout:
    """The layout of a text in UTF-8."""
    end = 0
    for _ in range(_LEAST_LINES):  # a table of many columns has long lines
        end = content.find(b"\n", end, _LONGEST_HEAD) + 1 or len(content)
    return _layout(_lines_of(content[: max(_HEAD, min(end, _LONGEST_HEAD))].decode(errors="ignore")))


def as_utf8(content: bytes) -> tuple[bytes, list[str]]:
    """The text as UTF-8, and what should be said about its encoding."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _decoded(content, encoding).encode(), []
    head = content[:_HEAD]
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):  # every second byte of Western text is 0
        if head[first::2].count(0) > 0.4 * len(head) / 2 and head[1 - first :: 2].count(0) == 0:
            return _decoded(content, encoding).encode(), []
    if b"\0" in head:
        raise TableProblem("not a text file: it has NUL characters", f"line {head[: head.index(0)].count(10) + 1}")
    if _is_utf8(content):
        return content, []
    encoding = _guessed(content)
    return _decoded(content, encoding).encode(), [f"the text is read as {encoding}"]


def _is_utf8(content: bytes) -> bool:
    """Whether the text is UTF-8, looked at in parts, since memory for all of it takes longer than the reading."""
    if content.isascii():
        return True
    decode = codecs.getincrementaldecoder("utf-8")().decode
    try:
        for begin in range(0, len(content), _HEAD):
            decode(content[begin : begin + _HEAD])
        decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(content: bytes, encoding: str) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TableProblem(
            f"not text in {encoding.upper()}, which it seems to be; save it as UTF-8", f"line {line}"
        ) from None
    if "\0" in text:
        raise TableProblem(
            "not a text file: it has NUL characters", f"line {text[: text.index(chr(0))].count(chr(10)) + 1}"
        )
    return text


def _guessed(content: bytes) -> str:
    """The most likely encoding of bytes that are not UTF-8: Windows' for Western Europe, unless another is likelier."""
    from charset_normalizer import from_bytes

    sample = b"\n".join(itertools.islice((line for line in content.splitlines() if not line.isascii()), 2000))
    matches = from_bytes(sample, cp_isolation=["cp1252", *_OTHER_SCRIPTS])
    chaos = {match.encoding: match.chaos - 0.1 * match.coherence for match in matches}
    best = min(chaos, key=lambda name: chaos[name], default="latin-1")
    western = chaos.get("cp1252")
    if western is not None and (western <= chaos[best] + 0.1):
        return "cp1252"
    return best


def _lines_of(text: str) -> list[str]:
    """The lines, whatever ends them; the last one may be cut, so that it is left out of a long text."""
    lines = io.StringIO(text, newline=None).read().split("\n")
    if len(text) >= _HEAD // 2 and len(lines) > 2:
        lines.pop()
    return lines


def _layout(lines: list[str]) -> Layout:
    skipped, named, comment, marked = _preamble(lines)
    data = [line for line in lines[skipped:] if line.strip() and not (comment and line.startswith(comment))]
    if not data:
        raise TableProblem("no rows")
    dialect = _dialect(data, named)
    try:
        records = [record for record in itertools.islice(dialect.records(data), _HEAD_RECORDS) if any(record)]
    except csv.Error as error:
        raise TableProblem(str(error)) from None
    if not records:
        raise TableProblem("no rows")
    widths = [len(record) for record in records[1:]] or [len(records[0])]
    width = max(set(widths), key=widths.count)
    first = records[0]
    header = _is_header(first, records[1:])
    names = first if header else [""] * max(len(first), width)
    if header:
        skipped += _lines_of_record(lines[skipped:], dialect, comment)
        if width == len(first) + 1 and any(record[-1] for record in records[1:] if len(record) == width):
            names = ["", *first]  # as R writes it: no name above the names of the rows
    elif marked and len(marked) == len(names):
        names = marked
        header = True
    if len(names) < 2:
        raise TableProblem(_one_column(data))
    cells = [cell for record in records[1:] for cell in record]
    decimal, thousands = _decimal(cells)
    return Layout(dialect, tuple(names), header, skipped, comment, decimal, thousands)


def _preamble(lines: list[str]) -> tuple[int, str, str, list[str]]:
    """The number of lines before the first record; the delimiter, the mark of comments and the names that they give."""
    named, comment, last, skipped = "", "", "", 0
    for line in lines:
        if line.lower().startswith("sep=") and len(line.strip("\r\n")) == 5:
            named = line[4]
        elif line.startswith("#") or ((comment == "%" or not comment) and line.startswith("%")):
            comment, last = line[0], line
        elif line.strip():
            break
        skipped += 1
    mark = comment or "#"
    later = [line for line in lines[skipped + 1 :] if line.startswith(mark)]
    records = [line for line in lines[skipped : skipped + 20] if line.strip() and not line.startswith(mark)]
    alike = [line for line in later if any(_is_like(line, record) for record in records)]
    if len(alike) > _MOST_COMMENTED * len(lines[skipped:]):  # colours or hashtags in the first column
        comment = ""
    elif later:
        comment = mark
    return skipped, named, comment, _names_in(last.lstrip("#%"), lines[skipped:])


def _is_like(line: str, record: str) -> bool:
    """Whether a line has as many delimiters as a record."""
    mark = max(_DELIMITERS[:-1], key=record.count)
    return 0 < record.count(mark) == line.count(mark)


def _names_in(comment: str, lines: list[str]) -> list[str]:
    """Names in the comment above the first record, as numpy.savetxt writes them."""
    if not comment.strip() or not lines:
        return []
    dialect = _dialect([line for line in lines if line.strip()][:_HEAD_RECORDS], "")
    return next(iter(dialect.records([comment.strip()])), [])


def _dialect(lines: list[str], named: str) -> Dialect:
    """The delimiter that gives the most regular table."""
    quotes = '"' if any('"' in line for line in lines) or not _single_quoted(lines) else "'"
    if named:
        return Dialect(named, quotes)
    found = {delimiter: _regularity(Dialect(delimiter, quotes), lines) for delimiter in _DELIMITERS}
    return Dialect(max(found, key=lambda delimiter: found[delimiter]), quotes)


def _single_quoted(lines: list[str]) -> bool:
    """Whether cells are in single quotes."""
    pattern = re.compile(r"(?:^|[,;\t| ])'[^']*'(?=$|[,;\t| \r])")
    return sum(bool(pattern.search(line)) for line in lines[:100]) > 0.3 * min(len(lines), 100)


def _regularity(dialect: Dialect, lines: list[str]) -> float:
    """How much like a table the lines are with this delimiter."""
    try:
        records = [record for record in itertools.islice(dialect.records(lines), 60) if any(record)]
    except csv.Error:
        return 0.0
    if not records:
        return 0.0
    widths = [len(record) for record in records]
    common = max(set(widths), key=widths.count)
    if common < 2:
        return 0.0
    same = widths.count(common) / len(widths)
    cells = [cell for record in records[1:] for cell in record if cell] or records[0]
    clean = sum(_is_number(cell) or cell in MISSING for cell in cells) / len(cells)
    mixed = sum(not _MARKS_IN_TEXT.isdisjoint(cell) and not _is_number(cell) for cell in cells) / len(cells)
    rank = 0.02 * _DELIMITERS.index(dialect.delimiter) if dialect.delimiter == SPACE else 0.0
    return same**2 * (1 + clean) * (1 - 0.5 * mixed) * (1 - 0.3 / common) - rank


def _is_number(cell: str) -> bool:
    return parse_number(cell) is not None or ("," in cell and bool(_DECIMAL_COMMA.fullmatch(cell)))


def _is_header(first: list[str], others: list[list[str]]) -> bool:
    """Whether the first record names the columns."""
    if not others:
        return not any(_is_number(cell) for cell in first)
    if [cell for cell in first if cell] and not any(_is_number(cell) for cell in first):
        columns = list(itertools.zip_longest(*[first, *others[:200]], fillvalue=""))
        if any(
            cell not in MISSING and _mostly_numbers(column[1:]) for cell, column in zip(first, columns, strict=False)
        ):
            return True  # a text above numbers
        again = sum(column[0] in column[1:] for column in columns if column[0])
        return again == 0 and len(set(first)) == len(first)
    numbers = [parse_number(cell) for cell in first]
    counted = [float(place) for place in range(len(first))]
    if len(first) > 2 and (numbers == counted or numbers == [place + 1 for place in counted]):
        return any(record[: len(first)] != first for record in others)  # pandas numbers the columns of an array
    if any(is_telling_name(cell) for cell in first):
        return True
    named = [cell for cell, number in zip(first, numbers, strict=True) if number is None and cell not in MISSING]
    if len(named) < len(first) / 2 or len(set(first)) < len(first):
        return False
    above = [
        place for place, number in enumerate(numbers)
        if number is None and first[place] not in MISSING
        and _mostly_numbers([record[place] for record in others[:200] if place < len(record)])
    ]  # fmt: skip
    return bool(above)


def _mostly_numbers(cells: list[str] | tuple[str, ...]) -> bool:
    present = [cell for cell in cells if cell not in MISSING]
    return bool(present) and sum(map(_is_number, present)) > 0.8 * len(present)


def _lines_of_record(lines: list[str], dialect: Dialect, comment: str) -> int:
    """How many lines the first record takes, with the empty ones and comments before it."""
    before = next(n for n, line in enumerate(lines) if line.strip() and not (comment and line.startswith(comment)))
    taken = 0

    def counted() -> Iterator[str]:
        nonlocal taken
        for line in lines[before:]:
            taken += 1
            yield line + "\n"

    next(iter(dialect.records(counted())))
    return before + taken


def _one_column(lines: list[str]) -> str:
    marks = [_NAMES[mark] for mark in _DELIMITERS[:4] if mark in lines[0]]
    seen = f"; the first line has {marks[0]}, the others do not" if marks else ""
    return f"one column only; a table must have features and a target, separated by {', '.join(_NAMES.values())}{seen}"


def _decimal(cells: list[str]) -> tuple[str, str | None]:
    """The decimal sign, and the sign between thousands that pandas can read at once."""
    comma = sum(bool(_DECIMAL_COMMA.fullmatch(cell)) for cell in cells if "," in cell)
    point = sum(bool(_DECIMAL_POINT.fullmatch(cell)) for cell in cells if "." in cell)
    if comma <= point:
        return ".", None
    grouped = point == 0 and any(_GROUPED_BY_POINTS.fullmatch(cell) for cell in cells)
    return ",", "." if grouped else None
