"""The table of a sweep: what stands in it, what is continued, what is refused, and a kill at any moment."""

import json
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

pytest.importorskip("pyarrow")
import pyarrow as pa
import pyarrow.parquet as pq

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import ExperimentConfig, Sweep, SweepStopped, TableError, sweep, sweep_results
from fastdrop.experiments.sweeps.plan import NO_FIGURES, QUANTITIES, Result, train_run
from fastdrop.experiments.sweeps.processes import ProcessSweep
from fastdrop.experiments.sweeps.table import SweepTable

CONFIG = ExperimentConfig(dataset="moons", hidden=(8,), epochs=2, learning_rate=0.01)
PLAN = Sweep(CONFIG, "rate", (0.0, 0.3), range(2))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.parquet"


def trained(plan):
    return [train_run(run) for run in plan.runs()]


def save(path, plan, results):
    table = SweepTable(path, plan)
    table.add(results)
    table.close()


def opened(path, plan):
    table = SweepTable(path, plan)
    table.close()
    return table


def count(path):
    """Rows of a table that may be replaced while it is read: opened once."""
    with pq.ParquetFile(path) as file:
        return file.read().num_rows


def mark(path, **where):
    """Write a figure into the runs that no training gives, and tell how many these are."""
    rows = pq.read_table(path)
    changed = [
        row | {"test_accuracy_history": [7.0]} if where.items() <= row.items() else row for row in rows.to_pylist()
    ]
    pq.write_table(pa.Table.from_pylist(changed, rows.schema), path)
    return sum(where.items() <= row.items() for row in rows.to_pylist())


def test_a_row_is_a_run_with_its_figures_and_curves(path):
    results = trained(PLAN)
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
def test_values_come_back_as_they_were(path, parameter, values, kind):
    plan = Sweep(CONFIG.replace(epochs=1), parameter, values, [2**63 - 1])
    results = trained(plan)
    save(path, plan, results)
    assert pq.read_schema(path).field(parameter).type == kind
    kept = opened(path, plan).kept
    assert [(result.value, result.seed, result.config) for result in kept] == list(plan.runs())
    for result, before in zip(kept, results, strict=True):
        np.testing.assert_array_equal(result.figures, before.figures)


def test_what_is_in_the_table_is_not_trained_again(path):
    first = sweep(CONFIG, "rate", (0.0, 0.3), 2, processes=1, save=path)
    assert mark(path, seed=1) == 2
    again = sweep(CONFIG, "rate", (0.0, 0.3), 2, processes=1, save=path)
    for before, after in zip(first, again, strict=True):
        if after.seed == 1:
            assert after.figure("test_accuracy") == 7.0
        else:
            np.testing.assert_array_equal(before.figures, after.figures)


def test_values_and_seeds_may_be_added_and_left_out(path):
    small = sweep(CONFIG, "rate", (0.0, 0.3), 2, processes=1, save=path)
    mark(path)
    grown = sweep(CONFIG, "rate", (0.3, 0.6), 3, processes=2, save=path)
    assert [result.figure("test_accuracy") == 7.0 for result in grown] == [True, False, True, False, False, False]
    rows = pq.read_table(path).to_pylist()
    keys = [(row["rate"], row["seed"]) for row in rows]
    assert keys == [(0.0, 0), (0.3, 0), (0.6, 0), (0.0, 1), (0.3, 1), (0.6, 1), (0.3, 2), (0.6, 2)]
    assert len(small) == 4


def test_the_file_is_the_same_for_any_number_of_processes(tmp_path):
    paths = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    for processes, path in enumerate(paths, start=1):
        sweep(CONFIG, "rate", (0.3, 0.0, 0.6), 3, processes=processes, save=path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_failures_are_trained_again_and_divergence_is_a_result(path):
    results = trained(PLAN)
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
        (Sweep(CONFIG.replace(data_seed=1), "rate", (0.0,), [0]), "data_seed is 0 there and 1 here$"),
        (Sweep(CONFIG, "noise", (0.0,), [0]), "another sweep: parameter is rate there and noise here$"),
        (Sweep(CONFIG, "rate", (0.0,), [0], True), "new_data is False there and True here"),
    ],
)
def test_the_table_of_another_sweep_is_refused_and_left_alone(path, other, words):
    save(path, PLAN, trained(PLAN))
    before = path.read_bytes()
    with pytest.raises(TableError, match=words):
        sweep(other.config, other.parameter, other.values, other.seeds, new_data=other.new_data, save=path)
    assert path.read_bytes() == before


def test_another_rule_is_another_sweep(path, monkeypatch):
    save(path, PLAN, [])
    monkeypatch.setattr("fastdrop.experiments.sweeps.plan.RULE_VERSION", 2)
    with pytest.raises(TableError, match="rule is 1 there and 2 here"):
        opened(path, PLAN)


def test_what_a_run_replaces_makes_no_other_sweep(path):
    save(path, PLAN, trained(PLAN))
    other = CONFIG.replace(rate=0.9, seed=1)
    kept = opened(path, Sweep(other, "rate", (0.3,), [1])).kept
    assert [(result.value, result.seed) for result in kept] == [(0.3, 1)]
    assert kept[0].config == CONFIG.replace(rate=0.3, seed=1)


def test_own_data_count_by_what_stands_in_them(tmp_path, path):
    def plan(name):
        config = CONFIG.replace(dataset="file", data_file=str(tmp_path / name))
        return Sweep(config, "rate", (0.0,), [0])

    (tmp_path / "a.csv").write_text("a,b\n" + "1,x\n2,y\n" * 20)
    save(path, plan("a.csv"), trained(plan("a.csv")))
    (tmp_path / "a.csv").rename(tmp_path / "moved.csv")
    assert len(opened(path, plan("moved.csv")).kept) == 1
    with pytest.raises(TableError, match=r"a\.csv: cannot be read"):
        opened(path, plan("a.csv"))
    (tmp_path / "a.csv").write_text("a,b\n" + "1,x\n3,y\n" * 20)
    with pytest.raises(TableError, match=r"data is [0-9a-f]{64} there"):
        opened(path, plan("a.csv"))


def test_files_that_are_no_table_of_a_sweep(tmp_path, path):
    with pytest.raises(TableError, match=r"results go into a \.parquet file"):
        SweepTable(tmp_path / "results.csv", PLAN)
    path.write_text("rate,seed\n")
    with pytest.raises(TableError, match=r"results\.parquet: cannot be read as Parquet"):
        opened(path, PLAN)
    assert path.read_text() == "rate,seed\n"
    pq.write_table(pa.table({"rate": [0.1]}), path)
    with pytest.raises(TableError, match="this is no table of a sweep"):
        opened(path, PLAN)
    path.unlink()
    path.mkdir()
    with pytest.raises(TableError, match=r"results\.parquet"):
        opened(path, PLAN)
    with pytest.raises(TableError, match="there is no folder"):
        opened(tmp_path / "nowhere" / "results.parquet", PLAN)
    save(tmp_path / "short.parquet", PLAN, trained(PLAN))
    content = (tmp_path / "short.parquet").read_bytes()
    (tmp_path / "short.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(TableError, match="cannot be read as Parquet"):
        opened(tmp_path / "short.parquet", PLAN)


def test_two_sweeps_do_not_write_over_each_other(path):
    first = SweepTable(path, PLAN)
    first.wait()
    results = trained(PLAN)
    save(path, PLAN, results[:1])
    first.add(results[1:])
    with pytest.raises(TableError, match="another program has changed this table"):
        first.close()
    assert [(row["rate"], row["seed"]) for row in pq.read_table(path).to_pylist()] == [(0.0, 0)]


def test_a_table_that_cannot_be_written_any_more_stops_the_sweep(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    plan = Sweep(CONFIG.replace(epochs=20), "rate", (0.0, 0.3, 0.6), range(30))
    found = sweep_results(plan, processes=1, save=folder / "results.parquet")
    next(found)
    (folder / "results.parquet").unlink()
    folder.rmdir()
    with pytest.raises(SweepStopped, match=r"results\.parquet: ") as stopped:
        list(found)
    assert 1 <= len(stopped.value.results) < plan.count


def test_pyarrow_is_asked_for(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BackendUnavailable, match=r"pyarrow.*fastdrop-kernels\[parquet\]"):
        sweep(CONFIG, "rate", (0.0,), 1, save=path)


def test_the_table_is_whole_whenever_one_looks(path):
    plan = Sweep(CONFIG.replace(epochs=1), "rate", (0.0, 0.3), range(20))
    table = SweepTable(path, plan)
    table.wait()
    results, lengths = trained(plan), []
    for result in results:
        table.add([result])
        table.is_written(hurry=True)
        lengths.append(count(path))
    table.close()
    assert lengths == sorted(lengths)
    assert pq.read_table(path).num_rows == plan.count
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_writing_takes_a_small_share_of_the_time(path):
    table = SweepTable(path, PLAN)
    table.wait()
    stamp = path.stat().st_ino
    for result in trained(PLAN):
        table.add([result])
        assert not table.is_written()
        table._thread.submit(int).result()  # after what stands in line before it
    assert path.stat().st_ino == stamp  # a second has not passed
    table.close()
    assert path.stat().st_ino != stamp


KILLED = """
    import sys
    from fastdrop.experiments import ExperimentConfig, sweep

    if __name__ == "__main__":
        config = ExperimentConfig(dataset="moons", hidden=(8,), epochs=30, learning_rate=0.01)
        results = sweep(config, "rate", "0:0.5:0.1", seeds=5, processes=2, save=sys.argv[1])
        print(len(results))
"""


def test_a_sweep_that_is_killed_is_continued(path, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    command = [sys.executable, script, path]
    rows, kills = 0, 0
    for _ in range(2):
        child = subprocess.Popen(command)
        while child.poll() is None:
            if path.exists() and count(path) > rows:
                child.send_signal(signal.SIGKILL)
                kills += child.wait() == -signal.SIGKILL
            time.sleep(0.02)
        rows = pq.read_table(path).num_rows
    assert kills >= 1
    first = pq.read_table(path).to_pylist()
    assert 1 <= len(first) <= 30
    last = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert last.stdout == "30\n"
    rows = pq.read_table(path).to_pylist()
    assert len({(row["rate"], row["seed"]) for row in rows}) == len(rows) == 30
    for row in rows:
        if row in first[:2] or row["seed"] == 4:
            run = ExperimentConfig(
                dataset="moons", hidden=(8,), epochs=30, learning_rate=0.01, rate=row["rate"], seed=row["seed"]
            )
            (result,) = trained(Sweep(run, "rate", [row["rate"]], [row["seed"]]))
            assert row["test_loss_history"] == [record.test_loss for record in result.history]
