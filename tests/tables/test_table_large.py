"""Text files that pandas reads from their path, by several threads: the same cells as from their content."""

import gzip

import numpy as np
import pandas as pd
import pytest

from fastdrop.experiments import DataError, load_table
from fastdrop.experiments.tables import text

ROWS = 180_000


def _lines(first, second):
    """Lines that look different in the second half of the file."""
    return [first if row < ROWS // 2 else second for row in range(ROWS)]


def _table(*more):
    rng = np.random.default_rng(0)
    numbers = [f"{value:.15f}" for value in rng.normal(size=ROWS)]
    return [",".join(cells) for cells in zip(numbers, numbers[::-1], *more, ["u", "v", "w"] * (ROWS // 3), strict=True)]


def _file(rows, header="a,b,class", end="\n", before=""):
    return (before + end.join([header, *rows]) + end).encode()


FILES = {
    "plain": _file(_table()),
    "CRLF": _file(_table(), end="\r\n"),
    "BOM": b"\xef\xbb\xbf" + _file(_table()),
    "quoted line end in the header": _file(_table(), header='"a\nb",b,class'),
    "quoted cells": _file(_table(_lines('"x, y"', "z")), header="a,b,c,class"),
    "title": _file(_table(), before="# a title\n"),
    "spaces": _file(_table(_lines(" x", "  y ")), header="a,b,c,class"),
    "numbers, then texts": _file(_table(_lines("007", "x1")), header="a,b,c,class"),
    "whole numbers, then others": _file(_table(_lines("1", "2.5")), header="a,b,c,class"),
    "booleans, then texts": _file(_table(_lines("True", "maybe")), header="a,b,c,class"),
    "empty, then texts": _file(_table(_lines("", "late")), header="a,b,c,class"),
    "letters with accents": _file(_table(_lines("é", "ü")), header="a,b,c,class"),
    "Latin-1": _file(_table(_lines("é", "ü")), header="a,b,c,class").decode().encode("latin-1"),
    "an empty line": _file(_table()).replace(b"\n", b"\n\n", 1),
    "no line end": _file(_table())[:-1],
}


@pytest.mark.parametrize("kind", FILES)
def test_a_large_file_is_read_as_its_content_is(tmp_path, monkeypatch, kind):
    path = tmp_path / "large.csv"
    path.write_bytes(FILES[kind])
    found = load_table(path)
    sources = []
    monkeypatch.setattr(text, "_LARGE", 1 << 40)
    reading = pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda source, **options: sources.append(source) or reading(source, **options))
    expected = load_table(path)
    assert not any(isinstance(source, str) for source in sources)
    assert found.columns == expected.columns
    assert found.notes == expected.notes
    assert len(found.labels) == ROWS
    np.testing.assert_array_equal(found.features, expected.features)
    np.testing.assert_array_equal(found.lines, expected.lines)
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_pandas_is_given_the_path(tmp_path, monkeypatch):
    path = tmp_path / "large.csv"
    path.write_bytes(FILES["plain"])
    sources = []
    reading = pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda source, **options: sources.append(source) or reading(source, **options))
    load_table(path)
    assert sources == [str(path)]


@pytest.mark.parametrize("name", ["large.csv.gz", "~", "large.zip"])
def test_the_name_means_nothing_to_pandas(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(FILES["plain"])
    assert len(load_table(name).labels) == ROWS


@pytest.mark.parametrize("part", [1, 2, 3, 7, 1 << 18])
def test_spaces_before_quotes(tmp_path, monkeypatch, part):
    """Where a part of the file ends between a delimiter and a space, too."""
    monkeypatch.setattr(text, "_PART", part)
    path = tmp_path / "spaces.csv"
    path.write_bytes(b'a,b,class\n1, "x, y",u\n2,"x, y",v\n3,z,u\n4,z,v\n')
    table = load_table(path)
    assert table.columns[1].categories == ("x, y", "z")
    assert table.features.tolist() == [[1, 0], [2, 0], [3, 1], [4, 1]]


def test_a_letter_that_is_cut_at_the_end_is_no_utf8(tmp_path):
    path = tmp_path / "cut.csv"
    path.write_bytes("a,class\n1,café\n2,thé\n3,café\n4,thé".encode("latin-1"))
    table = load_table(path)
    assert table.class_names == ("café", "thé")
    path.write_bytes(b"a,class\n1,tea\n2,th\xc3\xa9\n3,tea\n4,th\xc3\xa9\n5,\xe9")
    assert "the text is read as cp1252" in load_table(path).notes


def test_a_compressed_file_is_read_from_its_content(tmp_path):
    path = tmp_path / "large.csv"
    path.write_bytes(gzip.compress(FILES["plain"], 1))
    assert len(load_table(path).labels) == ROWS


@pytest.mark.parametrize(("row", "cells"), [("1,2", 2), ("1,2,u,4", 4)])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("line", [2, ROWS // 2, ROWS + 1])
def test_a_line_of_another_length_is_named(tmp_path, row, cells, quote, line):
    rows = _table()
    rows[0] = rows[0].replace("u", f"{quote}u{quote}")
    rows[line - 2] = row
    path = tmp_path / "large.csv"
    path.write_bytes(_file(rows))
    with pytest.raises(DataError, match=f"line {line}: {cells} cells where the other lines have 3"):
        load_table(path)
