"""`fastdrop bench dask` on tiny chunks: what it checks, prints and keeps. No test asserts a time."""

import json

import numpy as np
import pytest

import fastdrop as fd
from fastdrop.cli import main as cli

pytest.importorskip("dask.array")
from fastdrop.bench import dask_arrays

pytestmark = pytest.mark.slow

TINY = dask_arrays.Plan(chunks=11, chunk_bytes=40_000)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(dask_arrays, "plan", lambda gigabytes: TINY)


def test_every_chunk_is_measured_once():
    parts = list(dask_arrays.run(TINY))
    assert len(parts) == dask_arrays.PARTS
    assert sum(part.chunks for part in parts) == TINY.chunks
    assert all(set(part.seconds) == {"fastdrop", "copy"} and min(part.seconds.values()) > 0 for part in parts)


def test_an_array_of_one_chunk():
    (part,) = dask_arrays.run(dask_arrays.Plan(1, 4000))
    assert part.chunks == 1


def test_a_wrong_chunk_is_found(monkeypatch):
    def wrong(x, p, rng):
        y, mask = right(x, p, rng=rng)
        return y.map_blocks(lambda chunk: chunk + np.float32(1), meta=y._meta), mask

    right = fd.dropout
    monkeypatch.setattr(fd, "dropout", wrong)
    with pytest.raises(AssertionError):
        next(dask_arrays.run(TINY))


def test_a_mask_of_another_chunk_is_found(monkeypatch):
    def wrong(x, p, rng):
        y, mask = right(x, p, rng=rng)
        return y[::-1].map_blocks(lambda chunk: chunk[::-1].copy(), meta=y._meta), mask

    right = fd.dropout
    monkeypatch.setattr(fd, "dropout", wrong)
    with pytest.raises(AssertionError):
        next(dask_arrays.run(TINY))


def test_the_summary_counts_all_parts():
    parts = [dask_arrays.Part(2, {"fastdrop": 1.0, "copy": 0.5}), dask_arrays.Part(4, {"fastdrop": 1.0, "copy": 2.5})]
    found = dask_arrays.summary(dask_arrays.Plan(6, 10**9), parts)
    assert found["gigabytes"] == 6
    assert found["gigabytes per second"] == {"fastdrop": 3.0, "copy": 2.0}
    assert found["share of the copy"] == 1.5
    assert found["share of the copy by part"] == {"median": 1.5, "lowest": 0.5, "highest": 2.5}


def test_it_prints_and_saves(tiny, tmp_path, capsys):
    path = tmp_path / "dask.json"
    assert cli.main(["bench", "dask", "--save", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "11 chunks" in printed
    assert "at least 0.9 is the goal" in printed
    document = json.loads(path.read_text())
    assert (document["format"], document["version"]) == ("fastdrop bench dask", 1)
    assert sum(part["chunks"] for part in document["parts"]) == 11
    assert document["machine"]["cores"]


def test_ctrl_c_keeps_what_was_measured(tiny, tmp_path, monkeypatch, capsys):
    def stops(what):
        yield dask_arrays.Part(3, {"fastdrop": 1.0, "copy": 1.0})
        raise KeyboardInterrupt

    monkeypatch.setattr(dask_arrays, "run", stops)
    path = tmp_path / "dask.json"
    assert cli.main(["bench", "dask", "--save", str(path)]) == 130
    assert "stopped" in capsys.readouterr().out
    assert len(json.loads(path.read_text())["parts"]) == 1


@pytest.mark.parametrize("size", ["0", "-1", "nan", "inf", "1e30"])
def test_impossible_sizes_are_refused(size, capsys):
    assert cli.main(["bench", "dask", f"--gigabytes={size}"]) == 2
    assert "gigabytes; got" in capsys.readouterr().err


def test_the_default_is_64_gigabytes_of_quarter_gigabyte_chunks():
    assert dask_arrays.plan(64.0) == (250, 256_000_000)
