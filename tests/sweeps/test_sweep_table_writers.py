"""A sweep's table has one writer, and it is complete at every moment, also when a process is killed."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from experimenttools import SMALL as CONFIG
from experimenttools import row_count, trained_runs

pytest.importorskip("pyarrow")
import pyarrow.parquet as pq
from tabletools import PLAN, opened, rows_of, save

from fastdrop.experiments import ExperimentConfig, Sweep, SweepStopped, TableError, sweep_results
from fastdrop.experiments.formats.writing import write_atomically
from fastdrop.experiments.sweeps.sweep_table import SweepTable


@pytest.fixture
def no_patience(monkeypatch):
    monkeypatch.setattr("fastdrop.experiments.sweeps.sweep_table._PATIENCE", 0.0)


def test_a_program_that_ignores_the_lock_is_noticed(path):
    other = path.with_name("other.parquet")
    results = trained_runs(PLAN)
    save(other, PLAN, results[:1])
    first = SweepTable(path, PLAN)
    first.wait()
    os.replace(other, path)
    first.add(results[1:])
    with pytest.raises(TableError, match="another program has changed this table"):
        first.close()
    assert rows_of(path) == [(0.0, 0)]
    opened(path, PLAN)  # the lock is free


def test_a_table_has_one_writer_under_any_name(path, tmp_path, no_patience, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.parquet").symlink_to(path)
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.chdir(tmp_path / "folder")
    first = SweepTable("../link.parquet", PLAN)  # before the file exists
    first.wait()
    monkeypatch.chdir("/")
    names = [path, tmp_path / "link.parquet", tmp_path / "loop" / "folder" / ".." / "results.parquet"]
    for name in names:
        second = SweepTable(name, PLAN)
        words = r"this program has this table open for a sweep; wait until it ends, or choose another name"
        with pytest.raises(TableError, match=rf"{name.name}: {words}"):
            second.close()
    opened(tmp_path / "others.parquet", PLAN)  # another table in the folder is free
    first.add(trained_runs(PLAN))
    first.close()
    for name in names:
        assert len(opened(name, PLAN).kept) == 4  # immediately after the end
    found = {each.name for each in tmp_path.iterdir()}
    assert found == {"folder", "link.parquet", "loop", "others.parquet", "results.parquet"}


def test_a_run_added_twice_is_in_the_table_once(path):
    results = trained_runs(PLAN)
    table = SweepTable(path, PLAN)
    table.add(results[:2] * 2)
    table.close()
    save(path, PLAN, results)
    save(path, PLAN, results)
    assert rows_of(path) == [(0.0, 0), (0.3, 0), (0.0, 1), (0.3, 1)]


def test_a_table_that_cannot_be_opened_does_not_stay_locked(path):
    save(path, PLAN, trained_runs(PLAN))
    other = Sweep(CONFIG.replace(epochs=3), "rate", (0.0,), [0])
    for _ in range(2):
        table = SweepTable(path, other)
        with pytest.raises(TableError, match="another sweep"):
            table.wait()
        save(path, PLAN, [])
        with pytest.raises(TableError, match="another sweep"):
            table.close()


WRITER = """
    import sys, time
    import numpy as np
    from fastdrop.experiments import ExperimentConfig, Sweep, TableError
    from fastdrop.experiments.sweeps.plan import Result
    from fastdrop.experiments.sweeps.sweep_table import SweepTable

    CONFIG = ExperimentConfig(dataset="moons", hidden=(8,), epochs=2, learning_rate=0.01)
    PLAN = Sweep(CONFIG, "rate", (0.0, 0.3), [int(sys.argv[1])])
    SweepTable(sys.argv[2], PLAN).close()  # triggers imports on first use
    print("ready", flush=True)
    for line in sys.stdin:
        path, moment = line.rsplit(maxsplit=1)
        while time.time() < float(moment):
            pass
        table = SweepTable(path, PLAN)
        table.add([Result(*run, np.zeros((3, 4))) for run in PLAN.runs()])
        try:
            if "hold" in path:
                table.wait()
                print("held", flush=True)
                time.sleep(60)
            table.close()
            print("ok", flush=True)
        except TableError as error:
            print(error, flush=True)
"""


@pytest.fixture
def writers(tmp_path):
    """Two processes that write two rows each into a given table at a given time."""
    found = []
    for number in range(2):
        command = [sys.executable, "-c", textwrap.dedent(WRITER), str(number), tmp_path / f"own-{number}.parquet"]
        found.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for each in found:
        assert each.stdout.readline() == "ready\n"
    yield found
    for each in found:
        each.kill()
        each.communicate()


def send(writer, path, moment=0.0):
    writer.stdin.write(f"{path} {moment}\n")
    writer.stdin.flush()


def test_two_processes_that_open_a_table_at_the_same_moment_lose_nothing(tmp_path, writers):
    for trial in range(40):
        path, moment = tmp_path / f"{trial}.parquet", time.time() + 0.01
        for each in writers:
            send(each, path, moment)
        answers = [each.stdout.readline().strip() for each in writers]
        written = [(rate, seed) for seed, answer in enumerate(answers) if answer == "ok" for rate in (0.0, 0.3)]
        assert rows_of(path) == written, answers
        assert written
    assert not list(tmp_path.glob(".*"))


def test_a_killed_process_releases_its_lock(tmp_path, writers, no_patience):
    path = tmp_path / "hold.parquet"
    send(writers[0], path)
    assert writers[0].stdout.readline() == "held\n"
    with pytest.raises(TableError, match=rf"hold\.parquet: process {writers[0].pid} on \S+ has this table open"):
        opened(path, PLAN)
    writers[0].kill()
    writers[0].wait()
    save(path, PLAN, trained_runs(PLAN))
    assert rows_of(path) == [(0.0, 0), (0.3, 0), (0.0, 1), (0.3, 1)]
    assert not list(tmp_path.glob(".*"))


def test_a_child_of_fork_does_not_hold_the_table(path, no_patience):
    code = """
        import os, sys, time, warnings
        from fastdrop.experiments import ExperimentConfig, Sweep
        from fastdrop.experiments.sweeps.sweep_table import SweepTable
        table = SweepTable(sys.argv[1], Sweep(ExperimentConfig(dataset="moons"), "rate", (0.0,), [0]))
        table.wait()
        warnings.simplefilter("ignore")
        child = os.fork()
        if not child:
            os.close(1)
            time.sleep(60)
            os._exit(0)
        print(child, flush=True)
        os.kill(os.getpid(), 9)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), path]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child = int(parent.communicate()[0])
    try:
        opened(path, Sweep(ExperimentConfig(dataset="moons"), "rate", (0.0,), [1]))
        os.kill(child, 0)  # it still runs
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_failed_write_is_tried_again_at_the_end(path, monkeypatch):
    table = SweepTable(path, PLAN)
    table.wait()
    written = iter([OSError(28, "No space left on device")])

    def write(path, content):
        for error in written:
            raise error
        write_atomically(path, content)

    monkeypatch.setattr("fastdrop.experiments.sweeps.sweep_table.write_atomically", write)
    table.add(trained_runs(PLAN))
    assert not table.is_written(hurry=True)
    table._thread.submit(int).result()  # after the queued writes
    with pytest.raises(TableError, match="No space left"):
        table.is_written()
    table.close()
    assert len(rows_of(path)) == 4


def test_a_table_that_becomes_unwritable_stops_the_sweep(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    plan = Sweep(CONFIG.replace(epochs=20), "rate", (0.0, 0.3, 0.6), range(30))
    found = sweep_results(plan, processes=1, save=folder / "results.parquet")
    next(found)
    while folder.exists():  # the table may be written while its folder is removed
        shutil.rmtree(folder, ignore_errors=True)
    with pytest.raises(SweepStopped, match=r"results\.parquet: ") as stopped:
        list(found)
    assert 1 <= len(stopped.value.results) < plan.count


def test_the_table_is_complete_at_every_moment(path):
    plan = Sweep(CONFIG.replace(epochs=1), "rate", (0.0, 0.3), range(20))
    table = SweepTable(path, plan)
    table.wait()
    results, lengths = trained_runs(plan), []
    for result in results:
        table.add([result])
        table.is_written(hurry=True)
        lengths.append(row_count(path))
    table.close()
    assert lengths == sorted(lengths)
    assert pq.read_table(path).num_rows == plan.count
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_writing_takes_a_small_fraction_of_the_time(path):
    table = SweepTable(path, PLAN)
    table.wait()
    stamp = path.stat().st_ino
    for result in trained_runs(PLAN):
        table.add([result])
        assert not table.is_written()
        table._thread.submit(int).result()  # after the queued writes
    assert path.stat().st_ino == stamp  # written less than a second ago
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


@pytest.mark.slow
def test_a_sweep_that_is_killed_is_continued(path, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED))
    command = [sys.executable, script, path]
    rows, kills = 0, 0
    for _ in range(2):
        child = subprocess.Popen(command)
        while child.poll() is None:
            if path.exists() and row_count(path) > rows:
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
            (result,) = trained_runs(Sweep(run, "rate", [row["rate"]], [row["seed"]]))
            assert row["test_loss_history"] == [record.test_loss for record in result.history]
