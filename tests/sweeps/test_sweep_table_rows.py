"""The rows of a sweep's table, and which of them a sweep continues."""

import json
import sys
import time

import numpy as np
import pytest
from experimenttools import SMALL as CONFIG
from experimenttools import trained_runs

pytest.importorskip("pyarrow")
import pyarrow as pa
import pyarrow.parquet as pq
from tabletools import PLAN, opened, save

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import Sweep, TableError, sweep
from fastdrop.experiments.sweeps import parquet
from fastdrop.experiments.sweeps.plan import NO_FIGURES, QUANTITIES, Result
from fastdrop.experiments.sweeps.process_sweep import ProcessSweep
from fastdrop.experiments.sweeps.sweep_table import SweepTable


def mark(path, **where):
    """Write an impossible accuracy into these runs; returns their number."""
    rows = pq.read_table(path)
    changed = [
        row | {"test_accuracy_history": [7.0] * len(row["test_accuracy_history"])}
        if where.items() <= row.items()
        else row
        for row in rows.to_pylist()
    ]
    path.write_bytes(parquet.encode(pa.Table.from_pylist(changed, rows.schema)))
    return sum(where.items() <= row.items() for row in rows.to_pylist())


def test_a_row_is_a_run_with_its_figures_and_curves(path):
    results = trained_runs(PLAN)
    save(path, PLAN, results[::-1])
    rows = pq.read_table(path).to_pylist()
    assert [(row["rate"], row["seed"]) for row in rows] == [(0.0, 0), (0.3, 0), (0.0, 1), (0.3, 1)]
    for row, result in zip(rows, results, strict=True):
        assert {name: row[name] for name in QUANTITIES} == {name: result.figure(name) for name in QUANTITIES}
        assert (row["outcome"], row["error"]) == ("finished", "")
        for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
            assert row[f"{name}_history"] == [getattr(record, name) for record in result.history]
            assert row[f"{name}_history"][-1] == row[name]
    about = json.loads(pq.read_schema(path).metadata[b"fastdrop"])["sweep"]
    assert (about["parameter"], about["rule"], about["new_data"], about["dataset"]) == ("rate", 1, False, "moons")


@pytest.mark.parametrize(
    ("parameter", "values", "kind"),
    [
        ("rate", (0.1, 0.2), pa.float64()),
        ("epochs", (1, 2), pa.int64()),
        ("optimizer", ("sgd", "adam"), pa.string()),
        ("batch_norm", (False, True), pa.bool_()),
    ],
)
def test_values_are_restored_exactly(path, parameter, values, kind):
    plan = Sweep(CONFIG.replace(epochs=1), parameter, values, [2**63 - 1])
    results = trained_runs(plan)
    save(path, plan, results)
    assert pq.read_schema(path).field(parameter).type == kind
    kept = opened(path, plan).kept
    assert [(result.value, result.seed, result.config) for result in kept] == list(plan.runs())
    for result, before in zip(kept, results, strict=True):
        np.testing.assert_array_equal(result.figures, before.figures)


def test_runs_in_the_table_are_not_trained_again(path):
    first = sweep(CONFIG, "rate", (0.0, 0.3), 2, processes=1, save=path)
    assert mark(path, seed=1) == 2
    again = sweep(CONFIG, "rate", (0.0, 0.3), 2, processes=1, save=path)
    for before, after in zip(first, again, strict=True):
        if after.seed == 1:
            assert after.figure("test_accuracy") == 7.0
        else:
            np.testing.assert_array_equal(before.figures, after.figures)


@pytest.mark.slow
def test_values_and_seeds_may_be_added_and_left_out(path):
    small = sweep(CONFIG, "rate", (0.0, 0.3), 2, processes=1, save=path)
    mark(path)
    grown = sweep(CONFIG, "rate", (0.3, 0.6), 3, processes=2, save=path)
    assert [result.figure("test_accuracy") == 7.0 for result in grown] == [True, False, True, False, False, False]
    rows = pq.read_table(path).to_pylist()
    keys = [(row["rate"], row["seed"]) for row in rows]
    assert keys == [(0.0, 0), (0.3, 0), (0.6, 0), (0.0, 1), (0.3, 1), (0.6, 1), (0.3, 2), (0.6, 2)]
    assert len(small) == 4


@pytest.mark.slow
def test_the_file_is_the_same_for_any_number_of_processes(tmp_path):
    paths = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    for processes, path in enumerate(paths, start=1):
        sweep(CONFIG, "rate", (0.3, 0.0, 0.6), 3, processes=processes, save=path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_failures_are_trained_again_and_divergence_is_a_result(path):
    results = trained_runs(PLAN)
    failed = Result(*_run(results[0]), NO_FIGURES, "no memory")
    diverged = Result(*_run(results[1]), results[1].figures[:2], "the loss diverged", True)
    save(path, PLAN, [failed, diverged, *results[2:]])
    rows = pq.read_table(path).to_pylist()
    assert [(row["outcome"], row["error"]) for row in rows[:2]] == [
        ("failed", "no memory"),
        ("diverged", "the loss diverged"),
    ]
    assert rows[1]["test_accuracy"] is None
    assert rows[1]["test_accuracy_history"] == list(diverged.figures[:, 3])
    run = ProcessSweep(PLAN, 1)
    run.table = SweepTable(path, PLAN)
    while run.is_running:
        run.poll()
        time.sleep(0.01)
    run.close(10.0)
    assert (run.kept, run._handed_out) == (3, 1)
    found = {(result.value, result.seed): result for result in run.results}
    np.testing.assert_array_equal(found[0.0, 0].figures, results[0].figures)
    assert found[0.3, 0].diverged
    assert [row["outcome"] for row in pq.read_table(path).to_pylist()] == ["finished", "diverged", *["finished"] * 2]


def _run(result):
    return result.value, result.seed, result.config


def test_failed_runs_of_other_seeds_stay(path):
    (run, *_) = PLAN.runs()
    save(path, PLAN, [Result(*run, NO_FIGURES, "no memory")])
    opened(path, Sweep(CONFIG, "rate", (0.0,), [5]))
    assert [row["outcome"] for row in pq.read_table(path).to_pylist()] == ["failed"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Sweep(CONFIG.replace(epochs=3), "rate", (0.0,), [0]), "another sweep: epochs is 2 there and 3 here$"),
        (Sweep(CONFIG.replace(hidden=(9,)), "rate", (0.0,), [0]), r"hidden is \[8\] there and \[9\] here$"),
        (Sweep(CONFIG.replace(split_seed=1), "rate", (0.0,), [0]), "split_seed is 0 there and 1 here$"),
        (Sweep(CONFIG, "noise", (0.0,), [0]), "another sweep: parameter is rate there and noise here$"),
        (Sweep(CONFIG, "rate", (0.0,), [0], True), "new_data is False there and True here"),
    ],
)
def test_the_table_of_another_sweep_is_refused_and_left_alone(path, other, words):
    save(path, PLAN, trained_runs(PLAN))
    before = path.read_bytes()
    with pytest.raises(TableError, match=words):
        sweep(other.config, other.parameter, other.values, other.seeds, new_data=other.new_data, save=path)
    assert path.read_bytes() == before


def test_another_mask_rule_is_another_sweep(path, monkeypatch):
    save(path, PLAN, [])
    monkeypatch.setattr("fastdrop.experiments.sweeps.plan.RULE_VERSION", 2)
    with pytest.raises(TableError, match="rule is 1 there and 2 here"):
        opened(path, PLAN)


def with_former_names(path):
    """Rewrite a table with the former names of fields, as earlier versions wrote it."""
    former = {"train_fraction": "train_share", "split_seed": "data_seed", "dropout_schedule": "rate_schedule"}
    rows = pq.read_table(path)
    metadata = dict(rows.schema.metadata)
    about = json.loads(metadata[b"fastdrop"])
    about["sweep"] = {former.get(name, name): value for name, value in about["sweep"].items()}
    about["sweep"]["parameter"] = former.get(about["sweep"]["parameter"], about["sweep"]["parameter"])
    rows = rows.rename_columns([former.get(name, name) for name in rows.column_names])
    rows = rows.replace_schema_metadata({**metadata, b"fastdrop": json.dumps(about).encode()})
    path.write_bytes(parquet.encode(rows))


@pytest.mark.parametrize("parameter", ["rate", "train_fraction"])
def test_a_table_with_former_names_of_fields_is_continued(path, parameter):
    first, both = Sweep(CONFIG, parameter, (0.5,), [0]), Sweep(CONFIG, parameter, (0.5, 0.6), [0])
    save(path, first, trained_runs(first))
    with_former_names(path)
    assert "train_share" in str(pq.read_schema(path).metadata)
    assert [result.value for result in opened(path, both).kept] == [0.5]
    save(path, both, trained_runs(both))
    assert pq.read_table(path)[parameter].to_pylist() == [0.5, 0.6]
    assert "train_share" not in str(pq.read_schema(path).metadata)
    with_former_names(path)
    with pytest.raises(TableError, match=r"split_seed is 0 there and 1 here$"):
        opened(path, Sweep(CONFIG.replace(split_seed=1), parameter, (0.5,), [0]))


def test_fields_that_runs_replace_do_not_identify_a_sweep(path):
    save(path, PLAN, trained_runs(PLAN))
    other = CONFIG.replace(rate=0.9, seed=1)
    kept = opened(path, Sweep(other, "rate", (0.3,), [1])).kept
    assert [(result.value, result.seed) for result in kept] == [(0.3, 1)]
    assert kept[0].config == CONFIG.replace(rate=0.3, seed=1)


def test_the_users_data_are_identified_by_content(tmp_path, path):
    def plan(name):
        config = CONFIG.replace(dataset="file", data_file=str(tmp_path / name))
        return Sweep(config, "rate", (0.0,), [0])

    (tmp_path / "a.csv").write_text("a,b\n" + "1,x\n2,y\n" * 20)
    save(path, plan("a.csv"), trained_runs(plan("a.csv")))
    (tmp_path / "a.csv").rename(tmp_path / "moved.csv")
    assert len(opened(path, plan("moved.csv")).kept) == 1
    with pytest.raises(TableError, match=r"a\.csv: cannot be read"):
        opened(path, plan("a.csv"))
    (tmp_path / "a.csv").write_text("a,b\n" + "1,x\n3,y\n" * 20)
    with pytest.raises(TableError, match=r"data is [0-9a-f]{64} there"):
        opened(path, plan("a.csv"))


def test_long_errors_are_cut_when_they_are_written(path):
    (run, *_) = PLAN.runs()
    save(path, PLAN, [Result(*run, NO_FIGURES, "é" * 4001, diverged=True)])
    (error,) = pq.read_table(path)["error"].to_pylist()
    assert error == "é" * 3999 + "…"
    assert [result.error for result in opened(path, PLAN).kept] == [error]


def test_missing_pyarrow_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BackendUnavailable, match=r"pyarrow.*fastdrop-kernels\[parquet\]"):
        sweep(CONFIG, "rate", (0.0,), 1, save=path)
