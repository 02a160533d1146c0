"""Small tables of text in several dialects, and where their rows begin."""

import csv
import datetime
from typing import NamedTuple

import numpy as np


class Dialect(NamedTuple):
    """How a seed is written."""

    delimiter: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    end: str = "\n"
    quote: str = '"'
    comment: str = ""
    header: bool = True
    sep: bool = False


DIALECTS = {
    "c": Dialect(),
    "s": Dialect(";", ","),
    "t": Dialect("\t", end="\r\n"),
    "b": Dialect("|"),
    "w": Dialect(" "),
    "n": Dialect(header=False),
    "h": Dialect(comment="#"),
    "p": Dialect(";", sep=True),
    "m": Dialect(encoding="utf-8-sig", end="\r\n"),
    "u": Dialect(encoding="utf-16"),
    "l": Dialect(";", encoding="cp1252"),
    "q": Dialect(quote="'"),
}
"""By the first character of an input, which is no part of the file."""


def rows():
    """Cells of many kinds, by column."""
    rng = np.random.default_rng(0)
    for row in range(12):
        yield {
            "number": round(float(rng.normal()), 3),
            "day": (datetime.date(2020, 1, 30) + datetime.timedelta(3 * row)).isoformat(),
            "size": rng.integers(1, 5),
            "colour": "" if row == 4 else ("red", "dark blue", "größer")[row % 3],
            "mixed": ("?", "1200", "7 %")[row % 3] if row % 4 == 0 else str(row % 5),
            "kind": "xy"[(row // 2) % 2],
        }


def seed_of(dialect):
    """A small table in a dialect."""

    def cell(value):
        text = str(value).replace(".", dialect.decimal) if isinstance(value, float) else str(value)
        special = (dialect.delimiter, " ", dialect.quote) if dialect.delimiter == " " else (dialect.delimiter,)
        quoted = dialect.quote == "'" or any(mark in text for mark in special) or not text
        return f"{dialect.quote}{text}{dialect.quote}" if quoted and (text or dialect.delimiter == " ") else text

    found = list(rows())
    lines = [dialect.delimiter.join(map(cell, row.values())) for row in found]
    if dialect.header:
        lines.insert(0, dialect.delimiter.join(found[0]))
    if dialect.comment:
        lines[3:3] = [f"{dialect.comment} a comment, with commas"]
        lines.insert(0, f"{dialect.comment} made by hand")
    if dialect.sep:
        lines.insert(0, f"sep={dialect.delimiter}")
    return (dialect.end.join(lines) + dialect.end).encode(dialect.encoding)


def expected_rows(content, dialect):
    """The lines at which the records begin, found by the csv module; None for a text that is not regular."""
    try:
        text = content.decode(dialect.encoding)
        if "\0" in text or "\r" in text.replace("\r\n", "\n"):
            return None
        text = text.replace("\r\n", "\n")
        lines = text.split("\n")
        if dialect.delimiter == " " and dialect.quote in text:
            return None
        records, begin = [], 1
        options = {"delimiter": dialect.delimiter, "quotechar": dialect.quote, "strict": True}
        reader = csv.reader((line + "\n" for line in lines), skipinitialspace=True, **options)
        for record in reader:
            first, begin = begin, reader.line_num + 1
            line = lines[first - 1]
            if not line.strip() or (dialect.comment and line.startswith(dialect.comment)):
                continue
            if line.startswith(("#", "%")):  # a comment, or a row of colours: not for this function to say
                return None
            if line.lower().startswith("sep=") and len(line) == 5 and not records:
                continue
            records.append((first, line.split() if dialect.delimiter == " " else record))
    except (UnicodeDecodeError, csv.Error):
        return None
    widths = {len(record) for _, record in records}
    if len(records) < 6 or len(widths) != 1 or widths == {1}:
        return None
    return [first for first, _ in records]
