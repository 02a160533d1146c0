"""Damaged and hostile files: one clear error names the file, nothing changes, no memory is allocated."""

import errno
import math
import os
import re
import tracemalloc
import zipfile

import numpy as np
import pytest
from fuzz.mutations import HEADERS, archive, npy, with_header

from fastdrop.bench import report
from fastdrop.cli import main as cli
from fastdrop.experiments import (
    ConfigError,
    DataError,
    ExperimentConfig,
    Model,
    load_dataset,
    load_experiment,
    load_table,
)
from fastdrop.experiments.formats import npz
from fastdrop.experiments.formats.npz import Archive
from fastdrop.experiments.formats.reading import Damaged, Unreadable, cleaned, is_text, shown
from fastdrop.experiments.sweeps.plan import read_data
from fastdrop.experiments.tables import arrays

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
X, Y = npy(np.arange(24.0).reshape(8, 3)), npy(np.arange(8) % 2)


# -- archives: tables, previews, experiments


def patched(content, mark, offset, value):
    """The archive with one field replaced in all headers of a kind."""
    places = [at for at in range(len(content) - 4) if content[at : at + 4] == mark]
    for at in places:
        content = content[: at + offset] + value + content[at + offset + len(value) :]
    return content


def points(last):
    """Texts of one character; the last code point may be invalid."""
    return np.array([65, 66, 65, 66, 65, 66, 65, last], "u4").view("U1")


DIRECTORY, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
GOOD = archive([("x.npy", X, DEFLATED), ("y.npy", Y, DEFLATED)])
ARCHIVES = {
    "no arrays": archive([("x.npy", b"hello", STORED), ("y.npy", b"k", STORED)]),
    "empty members": archive([("x.npy", b"", STORED), ("y.npy", b"", STORED)]),
    "no members": archive([]),
    "something else": archive([("x.npy", X, STORED), ("y.npy", Y, STORED), ("README", b"text", STORED)]),
    "twice": archive([("x.npy", X, STORED), ("x.npy", X, STORED), ("y.npy", Y, STORED)]),
    "lzma": archive([("x.npy", X, zipfile.ZIP_LZMA), ("y.npy", Y, STORED)]),
    "bzip2": archive([("x.npy", X, zipfile.ZIP_BZIP2), ("y.npy", Y, STORED)]),
    "encrypted": patched(patched(GOOD, DIRECTORY, 8, b"\x01\x00"), LOCAL, 6, b"\x01\x00"),
    "strongly encrypted": patched(GOOD, DIRECTORY, 8, b"\x41\x00"),
    "patch data": patched(GOOD, DIRECTORY, 8, b"\x20\x00"),
    "unknown method": patched(GOOD, DIRECTORY, 10, b"\x63\x00"),
    "a later zip": patched(GOOD, DIRECTORY, 6, b"\xff\x00"),
    "large members": patched(GOOD, DIRECTORY, 24, b"\xf0\xff\xff\xff"),
    "large compressed members": patched(GOOD, DIRECTORY, 20, b"\xf0\xff\xff\xff"),
    "wrong checksum": patched(GOOD, DIRECTORY, 16, b"\x00\x00\x00\x00"),
    "members at a wrong offset": patched(GOOD, DIRECTORY, 42, b"\xff\xff\xff\x7f"),
    "large directory": patched(GOOD, END, 12, b"\xff\xff\xff\x7f"),
    "no such name": patched(GOOD, DIRECTORY, 46, b"\xff\xff"),
    "a name that is no UTF-8": patched(patched(GOOD, DIRECTORY, 8, b"\x00\x08"), DIRECTORY, 46, b"\xff"),
    "text": b"x,y\n1,2\n",
    "one array": X,
    "nothing": b"",
    "values missing": archive([("x.npy", X[:-8], DEFLATED), ("y.npy", Y, STORED)]),
    "too many values": archive([("x.npy", X + b"12345678", DEFLATED), ("y.npy", Y, STORED)]),
    "objects": archive([("x.npy", npy(np.array([[{}], [1]], object)), STORED), ("y.npy", Y, STORED)]),
    "structured": archive([("x.npy", npy(np.zeros((8, 3), [("a", "f4")])), STORED), ("y.npy", Y, STORED)]),
    "complex": archive([("x.npy", npy(np.zeros((8, 3), complex)), STORED), ("y.npy", Y, STORED)]),
    "dates": archive([("x.npy", X, STORED), ("y.npy", npy(np.arange(8).astype("M8[s]")), STORED)]),
    "no truth": archive([("x.npy", X, STORED), ("y.npy", npy((np.arange(8, dtype="u1") + 6).view("?")), STORED)]),
    "invalid code points": archive([("x.npy", X, STORED), ("y.npy", npy(points(0x110000)), STORED)]),
    "lone surrogates": archive([("x.npy", X, STORED), ("y.npy", npy(points(0xD800)), STORED)]),
    "a header of 4 GB": archive([("x.npy", with_header("", b" " * 99_999, 2, 2**32 - 1), DEFLATED)]),
    "a header of 60 kB": archive([("x.npy", with_header("(" * 60_000), DEFLATED), ("y.npy", Y, STORED)]),
}  # fmt: skip
ARCHIVES |= {
    f"header {number}": archive([("x.npy", with_header(header, bytes(24)), DEFLATED), ("y.npy", Y, STORED)])
    for number, header in enumerate(HEADERS)
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_invalid_archives_are_refused_by_every_reader(name, tmp_path):
    for suffix, read, refused in (
        (".npz", load_table, DataError),
        (".npz", lambda path: load_dataset("file", data_file=str(path)), DataError),
        (".csv", load_table, DataError),
        (".fastdrop", load_experiment, ConfigError),
        (".fdmodel", Model.load, DataError),
    ):
        path = tmp_path / f"given{suffix}"
        path.write_bytes(ARCHIVES[name])
        if name == "one array" and read is load_table:  # a table, whatever its suffix
            assert read(path).features.shape == (8, 2)
            continue
        with pytest.raises(refused, match=rf"^{re.escape(str(path))}[:,] ") as error:
            read(path)
        assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["a\x1b[31m\nb", "a\x9bb", "a\udcff"])
@pytest.mark.parametrize(
    ("suffix", "read"),
    [
        (".csv", load_table),
        (".npz", load_table),
        (".fdmodel", Model.load),
        (".fastdrop", load_experiment),
        (".toml", load_experiment),
        (".toml", ExperimentConfig.load),
        (".json", report.load),
    ],
)
def test_file_names_in_messages_are_printable(tmp_path, name, suffix, read):
    path = tmp_path / f"{name}{suffix}"
    path.write_bytes(b"x")
    with pytest.raises(ValueError, match=r"a.*: ") as error:
        read(path)
    assert str(error.value).isprintable()


def nested(levels):
    return [nested(levels - 1)] * 16 if levels else "x" * 90


def test_values_in_messages_are_short():
    for value in (nested(5), "x" * 1000, 10**1000, 10**5000, {number: nested(2) for number in range(9)}):
        assert len(shown(value)) <= 301


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\x7f", "\x85", "\x9b", "\ud800"])
def test_control_characters_are_not_text(character):
    assert not is_text(f"a{character}b")
    assert cleaned(f"a{character}b") == "a?b"
    assert is_text("ä€\U0001f600\t")


def test_declared_sizes_allocate_no_memory(tmp_path):
    path = tmp_path / "given.npz"
    huge = with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }", bytes(800))
    bomb = with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000, 1000), }", bytes(8_000_000))
    declares_more = patched(archive([("x.npy", bomb, DEFLATED)]), DIRECTORY, 24, b"\xf0\xff\xff\x0f")
    for content in (archive([("x.npy", huge, DEFLATED)]), declares_more, ARCHIVES["a header of 4 GB"]):
        path.write_bytes(content)
        with pytest.raises(Damaged):
            Archive(path)  # triggers imports on first use
        tracemalloc.start()
        with pytest.raises(Damaged):
            Archive(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5_000_000


def test_more_than_the_limit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "LARGEST", 1 << 20)
    path = tmp_path / "given.npz"
    np.savez_compressed(path, x=np.zeros((1 << 17, 1)), y=np.zeros(8))
    with pytest.raises(DataError, match=r"it is too large: its arrays take 1\.0 MiB; the limit is 1\.0 MiB"):
        load_table(path)
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"y has shape \(8,\) for 131,072 examples"):
        load_table(path)


def test_a_memory_error_is_reported_with_the_file(tmp_path, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    path = tmp_path / "given.npz"
    path.write_bytes(GOOD)
    monkeypatch.setattr(np.lib.format, "read_array", full)
    with pytest.raises(DataError, match=r"given\.npz: too large for this machine's memory"):
        load_table(path)


def test_files_of_other_programs_are_read(tmp_path):
    x, y = np.arange(24.0).reshape(8, 3), np.array(["no", "yes"] * 4)
    plain = tmp_path / "plain.npz"
    np.savez(plain, x=x, y=y)
    for number, (other_x, other_y) in enumerate(
        [
            (x.astype(">f8"), y),
            (np.asfortranarray(x), y.astype(">U3")),
            (x.astype("i2"), y.astype("S3")),
            (x, y == "yes"),
        ]
    ):
        path = tmp_path / f"{number}.npz"
        np.savez_compressed(path, x=other_x, y=other_y)
        found = load_table(path)
        np.testing.assert_array_equal(found.features, x)
        np.testing.assert_array_equal(found.labels, [0, 1] * 4)
        assert found.class_names == (("no", "yes") if number != 3 else ("False", "True"))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_rows_without_a_label_are_left_out(tmp_path, value):
    path = tmp_path / "given.npz"
    np.savez(path, x=np.arange(12.0).reshape(6, 2), y=[0, 1, 0, 1, value, 1])
    table = load_table(path)
    np.testing.assert_array_equal(table.labels, [0, 1, 0, 1, 1])
    np.testing.assert_array_equal(table.features[:, 0], [0, 2, 4, 6, 10])
    assert table.lines.tolist() == [1, 2, 3, 4, 6]
    assert "1 row without a label left out" in table.notes


def test_columns_and_names_have_a_limit(tmp_path):
    path = tmp_path / "given.npz"
    np.savez_compressed(path, x=np.zeros((2, 2_000_000), "u1"), y=[0, 1])
    with pytest.raises(DataError, match="2,000,000 columns; at most 1,000,000"):
        load_table(path)
    np.savez_compressed(path, x=np.zeros((4, 1)), y=["a", "a", "b" * 5000, "b" * 5000])
    with pytest.raises(DataError, match="name of more than 1,000 characters"):
        load_table(path)


@pytest.mark.slow
@pytest.mark.parametrize("longest", [1000, 1001, 130_000])
def test_a_long_label_takes_no_memory_in_the_rows_of_others(tmp_path, longest):
    path = tmp_path / "given.csv"
    path.write_text("a,b\n" + f"1,{'z' * longest}\n" * 2 + "2,q\n" * 20_000)

    def read():
        if longest <= 1000:
            return load_table(path).class_names
        with pytest.raises(DataError, match=r"given\.csv, column 'b': .* name of more than 1,000 characters"):
            load_table(path)
        return None

    read()
    tracemalloc.start()
    assert read() in (None, ("q", "z" * longest))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


def test_archives_are_limited_by_their_converted_size(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "LARGEST", 1 << 20)
    monkeypatch.setattr(Archive, "read", lambda archive, name: pytest.fail(f"{name} is read"))
    path = tmp_path / "given.npz"
    for x, y, words in (
        (np.zeros((200, 1000), "u1"), np.arange(200) % 2, r"too large: .*1\.5 MiB; the limit is 1\.0 MiB"),
        (np.zeros((200, 700), "f2"), np.arange(200) % 2, r"too large: "),
        (np.zeros((8, 2)), np.zeros(8, "U1001"), "a class has a name of more than 1,000 characters"),
        (np.zeros((8, 2)), np.zeros(8, "S100000"), "a class has a name of more than 1,000 characters"),
        (np.zeros((800, 2)), np.zeros(800, "U900"), "too large: "),
    ):
        np.savez_compressed(path, x=x, y=y)
        with pytest.raises(DataError, match=rf"given\.npz.*{words}"):
            load_table(path)


def test_values_beyond_float32(tmp_path):
    path = tmp_path / "given.npz"
    for scale in (1e300, 1e39):
        np.savez(path, x=np.arange(16.0).reshape(8, 2) * scale, y=np.arange(8) % 2)
        with pytest.raises(DataError, match="too large; rescale them"):
            load_dataset("file", data_file=str(path), train_fraction=0.5)
    np.savez(path, x=np.arange(16.0).reshape(8, 2) * 1e-320, y=np.arange(8) % 2)
    assert np.isfinite(load_dataset("file", data_file=str(path), train_fraction=0.5).x_train).all()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_and_folders_are_refused_at_once(tmp_path):
    pipe = tmp_path / "pipe"
    for suffix, read, refused in (
        (".npz", load_table, DataError),
        (".csv", load_table, DataError),
        (".fdmodel", Model.load, DataError),
        (".fastdrop", load_experiment, ConfigError),
        (".toml", load_experiment, ConfigError),
        (".json", report.load, ValueError),
        (".csv", lambda path: read_data(str(path)), DataError),
    ):
        path = pipe.with_suffix(suffix)
        if not path.exists():
            os.mkfifo(path)
        with pytest.raises(refused, match="cannot be read: this is not a regular file"):
            read(path)
        for odd in ("a\0b", "\ud800", "x" * 5000):
            with pytest.raises(refused, match="cannot be read"):
                read(odd + suffix)
        folder = tmp_path / f"folder{suffix}"
        folder.mkdir(exist_ok=True)
        words = (
            "a folder must have one folder of pictures" if read is load_table else "cannot be read: this is a folder"
        )
        with pytest.raises(refused, match=words):
            read(folder)


def test_large_files_are_refused_unread(tmp_path):
    """Files with a hole of 1 TiB, of every format."""
    begins = {"a.csv": b"a,b\n", "a.npz": b"PK\3\4", "a.npy": X[:128], "a.parquet": b"PAR1", "a.gz": b"\x1f\x8b",
              "t-ubyte": b"\0\0\x08\1", "given.toml": b"", "given.json": b"", "a.fdmodel": b"PK\3\4"}  # fmt: skip
    readers = {"given.toml": load_experiment, "given.json": report.load, "a.fdmodel": Model.load}
    for name, begin in begins.items():
        path = tmp_path / name
        with path.open("wb") as file:
            file.write(begin)
            file.truncate(1 << 40)
        words = "not a model" if name == "a.fdmodel" else r"too large: 1024\.0 GiB"
        with pytest.raises(ValueError, match=rf"{name}: {words}"):
            readers.get(name, load_table)(path)


# -- the command line


def test_commands_refuse_hostile_files_in_one_line(tmp_path, capsys):
    contents = {"npz.fastdrop": ARCHIVES["no arrays"], "deep.toml": b"[" * 9999, "bytes.toml": b"\xff\x00"}
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        for command in (["train", "--config"], ["sweep", "--param", "p=0:0.5:0.5", "--processes", "1"]):
            assert cli.main([*command, str(path)]) == 2
            printed = capsys.readouterr()
            assert printed.err.startswith(f"fastdrop: {path}: ")
            assert len(printed.err.splitlines()) == 1
    path = tmp_path / "table.npz"
    path.write_bytes(ARCHIVES["header 0"])
    assert cli.main(["train", "--data", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.slow
def test_a_table_that_cannot_be_read_fails_each_run_of_a_sweep(tmp_path, capsys):
    path = tmp_path / "table.npz"
    path.write_bytes(ARCHIVES["header 0"])
    config = tmp_path / "run.toml"
    ExperimentConfig(dataset="file", data_file=str(path), hidden=(4,), epochs=1).save(config)
    assert cli.main(["sweep", str(config), "--param", "p=0:0.5:0.5", "--seeds", "1", "--processes", "1"]) == 1
    printed = capsys.readouterr()
    assert "2 failed" in printed.out
    assert "not an archive of plain arrays" in printed.out
    assert printed.err == ""


def test_the_safe_reader_agrees_with_numpy(tmp_path):
    """It reads files of `numpy.savez` as `numpy.load` does."""
    written = {"a": np.arange(3), "b/c": np.array("text"), "d": np.ones((2, 0, 3), "f2"), "e": np.array(["", "é"])}
    path = tmp_path / "given.npz"
    np.savez_compressed(path, **written)
    with Archive(path) as archive, np.load(path) as other:
        assert list(archive.headers) == list(other)
        for name in written:
            found = archive.read(name)
            assert (found.shape, found.dtype) == (other[name].shape, other[name].dtype)
            np.testing.assert_array_equal(found, other[name])
    with pytest.raises(Unreadable, match=f"cannot be read: {os.strerror(errno.ENOENT)}"):
        Archive(tmp_path / "gone.npz")
