"""Damaged and hostile tables: the right answer, or one clear error before memory is allocated."""

import bz2
import datetime
import gzip
import io
import lzma
import pickle
import re
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pytest

from fastdrop.experiments import DataError, load_table
from fastdrop.experiments.splitting import split_table
from fastdrop.experiments.tables import compression, sources, text, workbooks
from fastdrop.experiments.tables.further_rows import encode
from fastdrop.experiments.tables.reader import opened

TABLE = b"a,b,class\n1,2,x\n2,2,y\n5,1,x\n4,2,y\n"
KIND = list("xyxyxy")


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


def refusal(path, **choices):
    """The error's message: one line that begins with the file's name."""
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}[,:]") as error:
        load_table(path, **choices)
    assert str(error.value).isprintable()
    return str(error.value).removeprefix(str(path))


def written(tmp_path, content):
    path = tmp_path / "given.csv"
    path.write_bytes(content)
    return path


# -- text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'""', ": one column only|: no rows"),
        (b",,,\n" * 50, ": no rows"),
        (b"a,b\0,class\n1,2,x\n", ", line 1: not a text file: it has NUL characters"),
        (b"\0" * 5000, ", line 1: not a text file"),
        (b" " * 1_000_000, ": no rows"),
        (b'a,b,class\n1,2,x\n2,"' + b"1,2,x\n" * 1_000_000, ", line 3: (field larger than field limit|2 cells)"),
        (b'"a' * 120_000, ": one column only"),
        (b"a b class\n" + b'"a ' * 100_000 + b"\n1 2 3\n", ", line 2: 100000 cells where the other lines have 3"),
        (TABLE.replace(b"2,2,y", b"\x1b[2J"), ", line 3: 1 cell where the other lines have 3"),
    ],
)
def test_texts_that_are_no_table(tmp_path, content, words):
    assert re.match(words, refusal(written(tmp_path, content)))


def test_an_endless_line_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "_LONGEST_LINE", 1 << 20)
    path = written(tmp_path, b"a,b\n" + b"1," * (1 << 22) + b"1\n")
    refusal(path)
    tracemalloc.start()
    assert refusal(path) == ", line 2: a line of more than 1,048,576 bytes"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000  # pandas takes more for the cells


def test_rows_of_empty_cells_are_without_a_target(tmp_path):
    for mark in (b",", b"\t", b";"):
        for quoted in (b"2", b'"2"'):
            content = b"a,b,class\n1,%s,x\n2,3,y\n,,\n\n4,5,x\n5,6,y\n" % quoted
            table = load_table(written(tmp_path, content.replace(b",", mark)))
            assert table.lines.tolist() == [2, 3, 6, 7]
            assert "1 row without a target left out" in table.notes


def test_rows_that_begin_with_a_comment_mark_are_rows(tmp_path):
    rows = "".join(f"#{row % 2}0ff00,{row % 5},{'xy'[row % 3 == 0]}\n" for row in range(6))
    table = load_table(written(tmp_path, f"# exported\ncolour,price,class\n{rows}".encode()))
    assert table.lines.tolist() == [3, 4, 5, 6, 7, 8]
    assert table.columns[0].categories == ("#00ff00", "#10ff00")


def test_long_cells_are_read_at_once(tmp_path):
    rows = [f"{row},{'1' * 100_000}-,{'xy'[row % 2]}" for row in range(6)]
    assert len(load_table(written(tmp_path, "\n".join(["a,b,class", *rows]).encode())).labels) == 6


def test_control_characters_do_not_reach_names_and_notes(tmp_path):
    content = b"a\x1b[31m,b,class\n1,Q\x1b[2J,x\n2,q\x1b[2J,y\n3,q,x\n4,q,y\n"
    table = load_table(written(tmp_path, content))
    assert table.columns[0].name == "a?[31m"
    assert all(note.isprintable() for note in table.notes)


def test_formulas_are_texts(tmp_path):
    rows = "".join(f"=A{row % 2},{row % 5},{'xy'[row % 2]}\n" for row in range(10))
    column = load_table(written(tmp_path, f"a,b,class\n{rows}".encode())).columns[0]
    assert (column.role, column.categories) == ("category", ("=A0", "=A1"))


# -- files in files


@pytest.mark.parametrize(
    "compress", [gzip.compress, bz2.compress, lzma.compress, lambda content: zipped(a_csv=content)]
)
def test_compressed_text(tmp_path, monkeypatch, compress):
    """A bomb is refused once it is larger than the limit, and a small file takes little memory."""
    path = written(tmp_path, compress(TABLE))
    np.testing.assert_array_equal(load_table(path).features, [[1, 2], [2, 2], [5, 1], [4, 2]])
    for module in (sources, text):
        monkeypatch.setattr(module, "LARGEST_TEXT", 1 << 20)
    monkeypatch.setattr(compression, "_CHUNK", 1 << 16)
    tracemalloc.start()
    load_table(path)
    path.write_bytes(compress(bytes(1 << 26)))
    tracemalloc.clear_traces()
    tracemalloc.reset_peak()
    assert "too large; the limit is 1.0 MiB after decompression" in refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16_000_000  # xz alone takes 8 MB


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_damaged_compressed_text(tmp_path, compress):
    content = compress(TABLE * 100)
    for damaged in (content[:-9], content[:40], content[:20] + b"\xff\0\xff\0" + content[24:]):
        assert "its compressed data are damaged" in refusal(written(tmp_path, damaged))


def test_files_in_files(tmp_path):
    npy = io.BytesIO()
    np.save(npy, np.eye(4))
    for content, words in (
        (zipped(a_zip=zipped(a_csv=TABLE)), "'a.zip' inside it is an archive again"),
        (zipped(a_csv=TABLE, b_csv=TABLE), "must hold one table; this one holds a.csv, b.csv"),
        (zipped(), "not a text file"),
        (gzip.compress(gzip.compress(gzip.compress(TABLE))), "inside it cannot be read; unpack it"),
        (gzip.compress(npy.getvalue()), "inside it cannot be read; unpack it"),
        (pickle.dumps(pd.DataFrame({"a": [1, 2]})), "a pickle, which is never read"),
    ):
        assert re.search(words, refusal(written(tmp_path, content)))
    assert load_table(written(tmp_path, zipped(a_csv_gz=gzip.compress(TABLE)))).features.shape == (4, 2)


# -- spreadsheets


def sheet(frame, suffix, tmp_path, old=b"", new=b""):
    """A spreadsheet with changed XML."""
    path = tmp_path / f"given.{suffix}"
    frame.to_excel(str(path), index=False)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name).replace(old, new) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


FRAME = pd.DataFrame({"a": [1, 2, 5, 4], "b": [2, 2, 1, 2], "class": list("xyxy")})


@pytest.mark.parametrize(
    ("suffix", "old", "new", "words"),
    [
        ("xlsx", b"", b"", ""),
        (
            "xlsx",
            b'r="B5"',
            b'r="XFD1048576"',
            "a sheet has 1,048,576 rows and 16,384 columns, perhaps because of one cell",
        ),
        ("xlsx", b"</sheetData>", b"", "damaged, or not a spreadsheet"),
        ("ods", b"", b"", ""),
        (
            "ods",
            b"<table:table-row>",
            b'<table:table-row table:number-rows-repeated="99999999">',
            "too large: a sheet has",
        ),
    ],
)
def test_spreadsheets(tmp_path, suffix, old, new, words):
    """A cell far from the others would end the process."""
    pytest.importorskip("openpyxl" if suffix == "xlsx" else "odf")
    path = sheet(FRAME, suffix, tmp_path, old, new)
    if words:
        assert re.search(words, refusal(path))
    else:
        np.testing.assert_array_equal(load_table(path).features, [[1, 2], [2, 2], [5, 1], [4, 2]])


def test_the_cells_of_an_xlsb_sheet_are_counted():
    """Its records are a kind, a size and this number of bytes: row 3, cells in columns 1 and 5, row 9."""
    part = b"\x81\1\0\0\4\3\0\0\0\1\4\1\0\0\0\1\4\5\0\0\0\x93\2\2zz\0\4\x09\0\0\0"
    assert workbooks._box_of_records(part) == (7, 5)
    assert workbooks._box_of_records(b"\xff" * 50) == (0, 0)


# -- Arrow


def test_arrow_files_are_checked_before_they_become_a_data_frame(tmp_path):
    pa = pytest.importorskip("pyarrow")
    path, size = tmp_path / "given.feather", 1 << 30
    with pa.ipc.new_file(path, pa.schema([("a", pa.null()), ("b", pa.null())])) as file:
        file.write_table(pa.table({"a": pa.nulls(size), "b": pa.nulls(size)}))
    assert refusal(path) == ": too large: 16.0 GiB; the limit is 8.0 GiB"
    with pa.ipc.new_file(path, pa.schema([("a", pa.string()), ("class", pa.string())])) as file:
        file.write_table(pa.table({"a": list("abcdef"), "class": ["x", "yy"] * 3}))
    offsets = np.arange(7, dtype="i4").tobytes()
    assert path.read_bytes().count(offsets) == 1
    path.write_bytes(path.read_bytes().replace(offsets, offsets[:-4] + b"\0\0\0\x40"))
    assert ": damaged, or not a Feather file" in refusal(path)


# -- in memory


@pytest.mark.parametrize(
    ("values", "role", "texts"),
    [
        ([[1, 2], [3], [1, 2], [3], [1, 2], [3]], "category", ["[1, 2]", "[3]"]),
        ([{"q": 1}, None, {"q": 2}] * 2, "category", ["{'q': 1}", "missing"]),
        ([True, "True", 1, "true", False, 0], "category", ["True", "True"]),
        ([0.0, -0.0, 1.0] * 2, "number", ["0", "0"]),
        ([10**30, 1] * 3, "number", ["1e+30", "1"]),
        pytest.param(
            [datetime.date(2020, 1, 2), datetime.date(2820, 2, 14), None] * 2,
            "date",
            ["2020-01-02", "2820-02-14"],
            marks=pytest.mark.skipif(pd.__version__ < "3", reason="pandas 2 counts nanoseconds, until the year 2262"),
        ),
    ],
)
def test_cells_of_many_types(values, role, texts):
    table = load_table(pd.DataFrame({"a": values, "b": [3, 1, 2, 2, 1, 1], "class": KIND}))
    assert table.columns[0].role == role
    assert [table.columns[0].text(value) for value in table.features[:2, 0]] == texts


def test_columns_of_the_same_name_stay_apart():
    """The second column of a name is the second one for a model too; so is one that differs in case alone."""
    for names in (["a", "a", "class"], ["a", "A", "class"]):
        frame = pd.DataFrame([[row % 5, row % 3, "xy"[row % 2]] for row in range(12)], columns=names)
        table = load_table(frame)
        features, _ = encode(table.columns, opened(frame))
        np.testing.assert_array_equal(features, [[row % 5, row % 3] for row in range(12)])
        np.testing.assert_array_equal(table.features, features)


@pytest.mark.parametrize(
    "data",
    [None, 3, (), pd.Series([1.0]), pd.DataFrame(), {"x": [[1], [1, 2]], "y": [1, 2]}, {1: [1]}, (np.ones((4, 2)), 3)],
)
def test_what_is_no_table_is_refused_in_one_line(data):
    with pytest.raises(DataError, match=r"^the ") as error:
        load_table(data)
    assert len(str(error.value).splitlines()) == 1


def test_masked_and_empty_examples():
    x = np.ma.masked_equal(np.arange(24.0).reshape(12, 2), 3)
    table = load_table((x, [0, 1] * 6))
    assert np.argwhere(np.isnan(table.features)).tolist() == [[1, 1]]
    images = np.full((12, 4, 4), np.nan)
    assert not split_table(load_table((images, [0, 1] * 6)), 0.5, 0).x_train.any()
