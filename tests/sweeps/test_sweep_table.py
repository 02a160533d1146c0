"""The table of a sweep: what stands in it, what is continued, what is refused, and a kill at any moment."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from experimenttools import SMALL as CONFIG
from experimenttools import row_count, trained_runs

pytest.importorskip("pyarrow")
import pyarrow as pa
import pyarrow.parquet as pq

from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import ExperimentConfig, Sweep, SweepStopped, TableError, sweep, sweep_results
from fastdrop.experiments.formats.writing import write_atomically
from fastdrop.experiments.sweeps import parquet
from fastdrop.experiments.sweeps.plan import NO_FIGURES, QUANTITIES, Result
from fastdrop.experiments.sweeps.process_sweep import ProcessSweep
from fastdrop.experiments.sweeps.sweep_table import SweepTable

PLAN = Sweep(CONFIG, "rate", (0.0, 0.3), range(2))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.parquet"


def save(path, plan, results):
    table = SweepTable(path, plan)
    table.add(results)
    table.close()


def opened(path, plan):
    table = SweepTable(path, plan)
    table.close()
    return table


def mark(path, **where):
    """Write a figure into the runs that no training gives, and tell how many these are."""
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
def test_values_come_back_as_they_were(path, parameter, values, kind):
    plan = Sweep(CONFIG.replace(epochs=1), parameter, values, [2**63 - 1])
    results = trained_runs(plan)
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


def test_another_rule_is_another_sweep(path, monkeypatch):
    save(path, PLAN, [])
    monkeypatch.setattr("fastdrop.experiments.sweeps.plan.RULE_VERSION", 2)
    with pytest.raises(TableError, match="rule is 1 there and 2 here"):
        opened(path, PLAN)


def with_former_names(path):
    """Write a table as earlier versions did: fields have their former names."""
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


def test_what_a_run_replaces_makes_no_other_sweep(path):
    save(path, PLAN, trained_runs(PLAN))
    other = CONFIG.replace(rate=0.9, seed=1)
    kept = opened(path, Sweep(other, "rate", (0.3,), [1])).kept
    assert [(result.value, result.seed) for result in kept] == [(0.3, 1)]
    assert kept[0].config == CONFIG.replace(rate=0.3, seed=1)


def test_own_data_count_by_what_stands_in_them(tmp_path, path):
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


@pytest.fixture
def no_patience(monkeypatch):
    monkeypatch.setattr("fastdrop.experiments.sweeps.sweep_table._PATIENCE", 0.0)


def rows_of(path):
    return [(row["rate"], row["seed"]) for row in pq.read_table(path).to_pylist()]


def test_a_program_that_knows_nothing_of_the_lock_is_noticed(path):
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


def test_a_table_has_one_writer_by_whatever_name(path, tmp_path, no_patience, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.parquet").symlink_to(path)
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.chdir(tmp_path / "folder")
    first = SweepTable("../link.parquet", PLAN)  # before there is a file
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
        assert len(opened(name, PLAN).kept) == 4  # at once after the end
    found = {each.name for each in tmp_path.iterdir()}
    assert found == {"folder", "link.parquet", "loop", "others.parquet", "results.parquet"}


def test_a_run_is_in_the_table_once_however_often_it_is_added(path):
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
    SweepTable(sys.argv[2], PLAN).close()  # imports what there is to import
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
    """Two processes that write two rows each into the table that they are told, at the moment that they are told."""
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


def tell(writer, path, moment=0.0):
    writer.stdin.write(f"{path} {moment}\n")
    writer.stdin.flush()


def test_two_processes_that_open_a_table_at_the_same_moment_lose_nothing(tmp_path, writers):
    for trial in range(40):
        path, moment = tmp_path / f"{trial}.parquet", time.time() + 0.01
        for each in writers:
            tell(each, path, moment)
        answers = [each.stdout.readline().strip() for each in writers]
        written = [(rate, seed) for seed, answer in enumerate(answers) if answer == "ok" for rate in (0.0, 0.3)]
        assert rows_of(path) == written, answers
        assert written
    assert not list(tmp_path.glob(".*"))


def test_a_killed_process_has_no_lock(tmp_path, writers, no_patience):
    path = tmp_path / "hold.parquet"
    tell(writers[0], path)
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


def test_what_could_not_be_written_is_tried_once_more_at_the_end(path, monkeypatch):
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
    table._thread.submit(int).result()  # after what stands in line before it
    with pytest.raises(TableError, match="No space left"):
        table.is_written()
    table.close()
    assert len(rows_of(path)) == 4


def failure(path):
    """What is said of a file, which stays as it is."""
    before = path.read_bytes()
    with pytest.raises(TableError) as told:
        opened(path, PLAN)
    assert path.name in str(told.value)
    assert "\n" not in str(told.value)
    assert path.read_bytes() == before
    return str(told.value)


def test_any_flipped_bit_is_refused(path):
    """A few hundred over the file, all of its footer's first bytes and its end among them."""
    save(path, PLAN, trained_runs(PLAN))
    content = path.read_bytes()
    bits = {*range(0, 8 * len(content), 8 * len(content) // 300), *range(8 * len(content) - 128, 8 * len(content))}
    for bit in sorted(bits):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        failure(path)


def test_a_changed_footer_with_a_digest_that_fits_does_not_end_the_process(path, tmp_path):
    """In pyarrow's own accessors a C++ exception does: of the size statistics, where a few bits have that effect."""
    save(path, PLAN, trained_runs(PLAN))
    program = f"""
        import sys
        from fastdrop.experiments import TableError
        from fastdrop.experiments.sweeps import parquet
        import pyarrow.parquet as pq
        content = open({str(path)!r}, "rb").read()
        wanted = pq.read_schema({str(path)!r})
        for place in range(len(content) - 8 - int.from_bytes(content[-8:-4], "little"), len(content) - 8):
            changed = bytearray(content)
            changed[place] ^= 16
            try:
                parquet.decode(parquet.seal(bytes(changed)), wanted)
            except Exception:
                pass
        print("done")
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert found.stdout == "done\n", found.stderr


def test_a_damaged_table_is_told_apart_from_another_sweep_s(path):
    save(path, PLAN, trained_runs(PLAN))
    content = path.read_bytes()
    place = content.rfind(b'"epochs": 2')
    path.write_bytes(content[:place] + b'"epochs": 3' + content[place + 11 :])
    assert "the file is damaged, or another program has changed it" in failure(path)
    pq.write_table(pq.read_table(io.BytesIO(content)), path)  # by another program: the same rows, another file
    assert "another program has changed it; restore a copy" in failure(path)


def sealed(rows):
    """A file with a digest that fits, of rows of any kind."""
    content = pa.BufferOutputStream()
    pq.write_table(rows, content)
    return parquet.seal(content.getvalue().to_pybytes())


def about(change):
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
        (about(lambda text: b"{"), "cannot be read as the table of a sweep"),
        (about(lambda text: b"\xff"), "cannot be read as the table of a sweep"),
        (about(lambda text: b"[" * 100_000), "cannot be read as the table of a sweep"),
        (about(lambda text: b"[]"), "this is not the table of a sweep"),
        (about(lambda text: b'{"format": 2}'), "this is not the table of a sweep"),
        (about(lambda text: text.replace(b'"format": 2', b'"format": 1')), "its format is 1; this fastdrop reads"),
        (about(lambda text: text.replace(b'"parameter"', b'"parametre"')), "parameter is not set there"),
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
                **{f"{share}_{name}_history": [[]] * 4 for share in ("train", "test") for name in ("loss", "accuracy")}
            ),
            "not of one length",
        ),
        (
            replaced(
                **{
                    f"{share}_{name}_history": [[0.0] * 9] * 4
                    for share in ("train", "test")
                    for name in ("loss", "accuracy")
                }
            ),
            "2 epochs cannot have 8",
        ),
        (lambda rows: rows.take([0] * 300_000), "bytes declares"),
    ],
)
def test_a_table_with_rows_that_cannot_be(path, change, words):
    save(path, PLAN, trained_runs(PLAN))
    path.write_bytes(sealed(change(pq.read_table(path))))
    assert words in failure(path)


@pytest.mark.parametrize("column", ["error", "outcome", "optimizer"])
@pytest.mark.parametrize("different", [1, 3])
def test_texts_that_take_more_in_memory_than_in_the_file(path, column, different):
    """A dictionary has each of them once."""
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


def test_long_errors_are_cut_when_they_are_written(path):
    (run, *_) = PLAN.runs()
    save(path, PLAN, [Result(*run, NO_FIGURES, "é" * 4001, diverged=True)])
    (error,) = pq.read_table(path)["error"].to_pylist()
    assert error == "é" * 3999 + "…"
    assert [result.error for result in opened(path, PLAN).kept] == [error]


def test_kinds_and_sizes_of_files_that_are_no_tables(path, tmp_path, monkeypatch):
    for content in (b"", b"PAR1", b"PAR1PAR1", b"PAR1" * 100, b"PAR1" + b"\xff" * 8 + b"PAR1"):
        path.write_bytes(content)
        assert re.search("cannot be read as Parquet|not the table of a sweep", failure(path))
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: nothing may read it
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
    with pytest.raises(TableError) as told:
        opened(path, PLAN)
    name = path.name.encode(errors="backslashreplace").decode()  # some locales have a character for every byte
    assert f"{name}: cannot be read as Parquet" in str(told.value)
    str(told.value).encode()


def test_a_table_that_cannot_be_written_any_more_stops_the_sweep(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    plan = Sweep(CONFIG.replace(epochs=20), "rate", (0.0, 0.3, 0.6), range(30))
    found = sweep_results(plan, processes=1, save=folder / "results.parquet")
    next(found)
    while folder.exists():  # the table may be written while its folder goes
        shutil.rmtree(folder, ignore_errors=True)
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
    results, lengths = trained_runs(plan), []
    for result in results:
        table.add([result])
        table.is_written(hurry=True)
        lengths.append(row_count(path))
    table.close()
    assert lengths == sorted(lengths)
    assert pq.read_table(path).num_rows == plan.count
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_writing_takes_a_small_share_of_the_time(path):
    table = SweepTable(path, PLAN)
    table.wait()
    stamp = path.stat().st_ino
    for result in trained_runs(PLAN):
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
