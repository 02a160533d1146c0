"""Previews of the user's files, and the facts about their training data."""

import multiprocessing

import numpy as np
import pytest

from fastdrop.experiments import DataError
from fastdrop.experiments.tables import Facts, preview_table, send_facts


def test_csv(tmp_path):
    path = tmp_path / "good.csv"
    path.write_text("﻿a, b,kind\r\n1,2.50,x\r\n\r\n3,,y\r\n5,6\r\n", "utf-8")
    preview = preview_table(path)
    assert preview.columns == ("a", "b", "kind")
    assert preview.rows == (("1", "2.50", "x"), ("3", "", "y"), ("5", "6"))  # unconverted, valid or not
    assert preview.row_count == 3
    assert preview.arrays == {}


def test_csv_without_a_header(tmp_path):
    path = tmp_path / "bare.CSV"
    path.write_text("1,2,x\n3,4,y\n")
    preview = preview_table(path)
    assert preview.columns == ("column 1", "column 2", "column 3")
    assert preview.row_count == len(preview.rows) == 2


@pytest.mark.parametrize("header", ["a,b\n", ""])
@pytest.mark.parametrize(("lines", "count"), [(3, 3), (4, 4), (6, None), (50, None)])
def test_csv_counts_what_the_head_shows(tmp_path, header, lines, count):
    path = tmp_path / "long.csv"
    path.write_text(header + "".join(f"{line},x\n" for line in range(lines)))
    preview = preview_table(path, 4)
    assert preview.rows == tuple((str(line), "x") for line in range(min(lines, 4)))
    assert preview.row_count == count


def test_csv_reads_the_head_only(tmp_path):
    path = tmp_path / "bad tail.csv"
    path.write_bytes(b"a,b\n" + b"1,x\n" * 100_000 + b"\xff\xff,x\n")
    assert len(preview_table(path).rows) == 20
    path.write_text("1" * 5_000_000)  # a line without an end
    with pytest.raises(DataError, match="field limit"):
        preview_table(path)


def test_npz(tmp_path):
    path = tmp_path / "good.npz"
    x = np.arange(24.0).reshape(6, 2, 2) / 3
    np.savez_compressed(path, x=x, y=np.array(["b", "a"] * 3), other=np.float64(3))
    preview = preview_table(path, 4)
    assert preview.arrays == {"x": (6, 2, 2), "y": (6,), "other": ()}
    assert preview.columns == ("column 1", "column 2", "column 3", "column 4", "y")
    assert preview.row_count == 6
    assert len(preview.rows) == 4
    assert preview.rows[1] == ("1.33333", "1.66667", "2", "2.33333", "a")


@pytest.mark.parametrize(
    ("arrays", "columns", "rows"),
    [
        ({"x": np.ones((3, 2))}, ("column 1", "column 2"), (("1", "1"),) * 3),
        ({"y": np.arange(2)}, ("y",), (("0",), ("1",))),
        ({"z": np.ones((3, 2))}, (), ()),
        ({"x": np.asfortranarray(np.ones((3, 2)))}, (), ()),
        ({"x": np.ones((0, 2)), "y": np.ones(0)}, ("column 1", "column 2", "y"), ()),
        ({"x": np.float64(3)}, (), ()),
    ],
)
def test_npz_of_other_arrays(tmp_path, arrays, columns, rows):
    path = tmp_path / "odd.npz"
    np.savez(path, **arrays)
    preview = preview_table(path)
    assert (preview.columns, preview.rows) == (columns, rows)
    assert preview.arrays == {name: array.shape for name, array in arrays.items()}


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.csv: cannot be read"):
        preview_table(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match=r"\.csv or \.npz"):
        preview_table(tmp_path / "x.xlsx")
    path = tmp_path / "bad.csv"
    for content, words in ((b"\xff\xfe\x00a,b", "UTF-8"), (b"\n\n", "no rows")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"bad\.csv: .*{words}"):
            preview_table(path)
    path = tmp_path / "bad.npz"
    for content in (b"PK\x03\x04garbage", b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.npz: .*is damaged or another format"):
            preview_table(path)
    np.savez(path, x=np.array([{}], object))
    with pytest.raises(DataError, match=r"bad\.npz: .*holds objects"):
        preview_table(path)
    np.savez(path, x=np.ones((100, 100)))
    content = path.read_bytes()
    path.write_bytes(content[:1000])
    with pytest.raises(DataError, match=r"bad\.npz"):
        preview_table(path)


def facts(path, label):
    ours, theirs = multiprocessing.Pipe(duplex=False)
    with ours, theirs:
        send_facts(theirs, str(path), label)
        return ours.recv()


def test_facts(tmp_path):
    path = tmp_path / "good.csv"
    path.write_text("a,b,kind\n1,0,x\n2,0,y\n3,1,x\n4,1,y\n5,1,x\n")
    assert facts(path, "") == Facts(5, 2, (("x", 3), ("y", 2)))
    assert facts(path, "b") == f"{path}, row 2, column 'kind': 'x' is text; features must be numbers"
    assert facts(tmp_path / "nothing.csv", "").startswith(f"{tmp_path / 'nothing.csv'}: cannot be read")
