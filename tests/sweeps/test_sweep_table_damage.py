"""Damaged files, and files that are no table of a sweep, are refused."""

import io
import os
import re
import subprocess
import sys
import textwrap

import pytest
from experimenttools import SMALL as CONFIG
from experimenttools import trained_runs

pytest.importorskip("pyarrow")
import pyarrow as pa
import pyarrow.parquet as pq
from tabletools import PLAN, opened, save

from fastdrop.experiments import Sweep, TableError
from fastdrop.experiments.sweeps import parquet
from fastdrop.experiments.sweeps.plan import NO_FIGURES, Result
from fastdrop.experiments.sweeps.sweep_table import SweepTable


def test_files_that_are_no_table_of_a_sweep(tmp_path, path):
    with pytest.raises(TableError, match=r"name of a sweep's table must end in \.parquet"):
        SweepTable(tmp_path / "results.csv", PLAN)
    path.write_text("rate,seed\n")
    with pytest.raises(TableError, match=r"results\.parquet: cannot be read as Parquet"):
        opened(path, PLAN)
    assert path.read_text() == "rate,seed\n"
    pq.write_table(pa.table({"rate": [0.1]}), path)
    with pytest.raises(TableError, match="this is not the table of a sweep"):
        opened(path, PLAN)
    path.unlink()
    path.mkdir()
    with pytest.raises(TableError, match=r"results\.parquet"):
        opened(path, PLAN)
    with pytest.raises(TableError, match="there is no folder"):
        opened(tmp_path / "nowhere" / "results.parquet", PLAN)
    save(tmp_path / "short.parquet", PLAN, trained_runs(PLAN))
    content = (tmp_path / "short.parquet").read_bytes()
    (tmp_path / "short.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(TableError, match="cannot be read as Parquet"):
        opened(tmp_path / "short.parquet", PLAN)


def failure(path):
    """The error message of a file, which must stay unchanged."""
    before = path.read_bytes()
    with pytest.raises(TableError) as error:
        opened(path, PLAN)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before
    return str(error.value)


def test_any_flipped_bit_is_refused(path):
    """About 300 bits over the file, and all of its last 128 bits."""
    save(path, PLAN, trained_runs(PLAN))
    content = path.read_bytes()
    bits = {*range(0, 8 * len(content), 8 * len(content) // 300), *range(8 * len(content) - 128, 8 * len(content))}
    for bit in sorted(bits):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        failure(path)


def test_a_changed_footer_with_a_matching_digest_does_not_end_the_process(path, tmp_path):
    """pyarrow's accessors of size statistics can end the process by a C++ exception, for a few changed bits."""
    save(path, PLAN, trained_runs(PLAN))
    program = f"""
        import sys
        from fastdrop.experiments import TableError
        from fastdrop.experiments.sweeps import parquet
        import pyarrow.parquet as pq
        content = open({str(path)!r}, "rb").read()
        expected = pq.read_schema({str(path)!r})
        for place in range(len(content) - 8 - int.from_bytes(content[-8:-4], "little"), len(content) - 8):
            changed = bytearray(content)
            changed[place] ^= 16
            try:
                parquet.decode(parquet.seal(bytes(changed)), expected)
            except Exception:
                pass
        print("done")
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert found.stdout == "done\n", found.stderr


def test_a_damaged_table_is_distinguished_from_another_sweeps_table(path):
    save(path, PLAN, trained_runs(PLAN))
    content = path.read_bytes()
    place = content.rfind(b'"epochs": 2')
    path.write_bytes(content[:place] + b'"epochs": 3' + content[place + 11 :])
    assert "the file is damaged, or another program has changed it" in failure(path)
    pq.write_table(pq.read_table(io.BytesIO(content)), path)  # another program writes the same rows, but other bytes
    assert "another program has changed it; restore a copy" in failure(path)


def sealed(rows):
    """A file of these rows with a correct digest."""
    content = pa.BufferOutputStream()
    pq.write_table(rows, content)
    return parquet.seal(content.getvalue().to_pybytes())


def with_metadata(change):
    def changed(rows):
        metadata = dict(rows.schema.metadata)
        metadata[b"fastdrop"] = change(metadata[b"fastdrop"])
        return rows.replace_schema_metadata({**metadata, b"fastdrop-sha256": metadata.pop(b"fastdrop-sha256")})

    return changed


def replaced(**columns):
    def changed(rows):
        for name, values in columns.items():
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, rows.schema.field(name), pa.array(values, rows.schema.field(name).type))
        return rows

    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_metadata(lambda text: b"{"), "cannot be read as the table of a sweep"),
        (with_metadata(lambda text: b"\xff"), "cannot be read as the table of a sweep"),
        (with_metadata(lambda text: b"[" * 100_000), "cannot be read as the table of a sweep"),
        (with_metadata(lambda text: b"[]"), "this is not the table of a sweep"),
        (with_metadata(lambda text: b'{"format": 2}'), "this is not the table of a sweep"),
        (
            with_metadata(lambda text: text.replace(b'"format": 2', b'"format": 1')),
            "its format is 1; this fastdrop reads",
        ),
        (with_metadata(lambda text: text.replace(b'"parameter"', b'"parametre"')), "parameter is not set there"),
        (lambda rows: rows.drop_columns("seed"), "the columns are not"),
        (lambda rows: rows.append_column("more", rows["seed"]), "the columns are not"),
        (lambda rows: rows.set_column(1, "seed", rows["seed"].cast(pa.int32())), "the columns are not"),
        (lambda rows: pa.concat_tables([rows, rows]), "is there twice"),
        (replaced(seed=[None, 0, 1, 1]), "cannot be"),
        (replaced(outcome=["finished", "lost", "finished", "finished"]), "the outcome 'lost'"),
        (replaced(outcome=["finished", None, "finished", "finished"]), "the outcome None"),
        (replaced(outcome=["diverged"] * 4, error=[None] * 4), "the outcome 'diverged' and the error None"),
        (replaced(error=["", "no memory", "", ""]), "the error 'no memory'"),
        (replaced(error=["", None, "", ""]), "the error None"),
        (replaced(test_loss_history=[[0.1]] * 4), "not of one length"),
        (replaced(test_loss_history=[None, *[[0.1] * 3] * 3]), "cannot be read"),
        (replaced(test_loss_history=[[0.1, None, 0.1]] * 4), "a figure of a run is missing"),
        (
            replaced(
                **{
                    f"{subset}_{name}_history": [[]] * 4
                    for subset in ("train", "test")
                    for name in ("loss", "accuracy")
                }
            ),
            "not of one length",
        ),
        (
            replaced(
                **{
                    f"{subset}_{name}_history": [[0.0] * 9] * 4
                    for subset in ("train", "test")
                    for name in ("loss", "accuracy")
                }
            ),
            "2 epochs cannot have 8",
        ),
        (lambda rows: rows.take([0] * 300_000), "bytes declares"),
    ],
)
def test_a_table_with_invalid_rows(path, change, words):
    save(path, PLAN, trained_runs(PLAN))
    path.write_bytes(sealed(change(pq.read_table(path))))
    assert words in failure(path)


@pytest.mark.parametrize("column", ["error", "outcome", "optimizer"])
@pytest.mark.parametrize("different", [1, 3])
def test_texts_that_take_more_in_memory_than_in_the_file(path, column, different):
    """In the file, a dictionary holds each text once."""
    plan = Sweep(CONFIG.replace(epochs=1), "optimizer", ("sgd", "adam"), range(1))
    save(path, plan, trained_runs(plan))
    rows = pq.read_table(path).take([0] * 2000)
    texts = [str(number % different) * 150_000 for number in range(different)] * len(rows)
    texts = texts[: len(rows)]
    rows = replaced(**{column: texts})(rows)
    content = pa.BufferOutputStream()
    pq.write_table(rows, content, use_dictionary=["outcome", "error", "optimizer"], dictionary_pagesize_limit=1 << 30)
    path.write_bytes(parquet.seal(content.getvalue().to_pybytes()))
    assert path.stat().st_size < 3_000_000
    table = SweepTable(path, plan)
    with pytest.raises(
        TableError, match=r"results\.parquet: its texts take 300,\d+,\d+ bytes; the limit is 268,435,456"
    ):
        table.close()


def test_kinds_and_sizes_of_files_that_are_no_tables(path, tmp_path, monkeypatch):
    for content in (b"", b"PAR1", b"PAR1PAR1", b"PAR1" * 100, b"PAR1" + b"\xff" * 8 + b"PAR1"):
        path.write_bytes(content)
        assert re.search("cannot be read as Parquet|not the table of a sweep", failure(path))
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a sparse file: it must not be read
    table = SweepTable(path, PLAN)
    with pytest.raises(TableError, match="1,099,511,627,776 bytes are too many"):
        table.close()
    path.unlink()
    for make in (os.mkfifo, lambda path: path.symlink_to(path)):
        make(path)
        table = SweepTable(path, PLAN)
        with pytest.raises(
            TableError, match=r"results\.parquet: (this is a folder, a device|.*links lead in a circle|can)"
        ):
            table.close()
        path.unlink()


def test_a_name_that_is_no_text_and_an_error_that_is_none(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff results.parquet")
    (run, *_) = PLAN.runs()
    save(path, PLAN, [Result(*run, NO_FIGURES, str(path))])
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(TableError) as error:
        opened(path, PLAN)
    name = path.name.encode(errors="backslashreplace").decode()  # some locales have a character for every byte
    assert f"{name}: cannot be read as Parquet" in str(error.value)
    str(error.value).encode()
