"""`fastdrop sweep`, run as users run it."""

import os
import re
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from experimenttools import SMALL as CONFIG
from experimenttools import row_count

from fastdrop.cli import main as cli
from fastdrop.experiments import ConfigError, Sweep
from fastdrop.experiments.sweeps.plan import train_run
from fastdrop.experiments.sweeps.sweeping import seeds_from

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path):
    """A configuration's file."""
    path = tmp_path / "config.toml"
    CONFIG.save(path)
    return path


def sweep(config, *options):
    return cli.main(["sweep", str(config), *map(str, options)])


def rows_of(printed):
    """The table's cells by the value in the first column."""
    lines = [line.strip("│ ").split("│") for line in printed.splitlines() if line.startswith("│")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_the_curve_is_printed_with_mean_and_deviation(config, capsys):
    assert sweep(config, "--param", "p=0:0.9:0.3", "--seeds", 3, "--processes", 2) == 0
    printed = capsys.readouterr().out
    assert "Dropout rate p: 4 values, 3 seeds for each, 12 runs" in printed
    rows = rows_of(printed)
    assert list(rows) == ["0", "0.3", "0.6", "0.9"]
    plan = Sweep(CONFIG, "rate", (0.0, 0.3, 0.6, 0.9), range(3))
    results = [train_run(run) for run in plan.runs()]
    for value, cells in zip(plan.values, rows.values(), strict=True):
        losses = [result.figure("test_loss") for result in results if result.value == value]
        assert cells[3] == f"{np.mean(losses):.4f} ± {np.std(losses, ddof=1):.4f}"
        assert cells[-1] == "3"


def test_seeds_and_choices(config, capsys):
    assert sweep(config, "--param", "batch-norm=on,off", "--seeds", "4,7", "--new-data", "--processes", 1) == 0
    rows = rows_of(capsys.readouterr().out)
    assert list(rows) == ["on", "off"]
    plan = Sweep(CONFIG, "batch_norm", (True, False), (4, 7), new_data=True)
    losses = [train_run(run).figure("test_loss") for run in plan.runs() if run.value is True]
    assert rows["on"][3].startswith(f"{np.mean(losses):.4f}")


def test_parameters_have_their_former_names(config, capsys):
    assert sweep(config, "--param", "train-share=0.5", "--seeds", 1, "--processes", 1) == 0
    assert "Training fraction: 1 values" in capsys.readouterr().out


def test_seeds_from_text():
    assert seeds_from("3", 5) == (5, 6, 7)
    assert seeds_from("3,", 5) == (3,)
    assert seeds_from("0:4:2 9", 5) == (0, 2, 4, 9)
    for text in ("many", "0.5", "-"):
        with pytest.raises(ConfigError, match="seeds must be a number of seeds, or a list"):
            seeds_from(text, 0)


def test_too_many_seeds_are_refused_before_they_are_created():
    assert len(seeds_from("0005000", 0)) == 5000
    tracemalloc.start()
    for text in ("5001", "5000000", "00005001"):
        with pytest.raises(ConfigError, match=f"at most 5000 runs; got '{text}'"):
            seeds_from(text, 0)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_table_is_saved_and_extended(config, tmp_path, capsys):
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rates.parquet"
    options = ["--param", "p=0,0.5", "--save", path, "--processes", 1]
    assert sweep(config, *options, "--seeds", 2) == 0
    assert "already" not in capsys.readouterr().out
    assert sweep(config, *options, "--seeds", 3) == 0
    printed = capsys.readouterr().out
    assert "4 of the runs are in the table already" in printed
    assert f"table: {path}" in printed
    assert pq.read_table(path)["seed"].to_pylist() == [0, 0, 1, 1, 2, 2]
    assert sweep(config, "--param", "epochs=1,2", "--save", path) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"fastdrop: {path}: this is the table of another sweep: parameter is rate there")


def test_runs_that_diverge_are_reported(tmp_path, capsys):
    path = tmp_path / "config.toml"
    CONFIG.replace(optimizer="sgd", hidden=(64, 64), dropout="none", epochs=5).save(path)
    assert sweep(path, "--param", "learning_rate=0.01,100", "--seeds", 1, "--processes", 1) == 0
    printed = capsys.readouterr().out
    assert "1 diverged, the first: " in printed
    assert rows_of(printed)["100"] == ["–", "–", "–", "–", "–", "0"]


def test_runs_that_fail_are_reported(tmp_path, capsys):
    path = tmp_path / "config.toml"
    CONFIG.replace(dataset="file", data_file="none.csv").save(path)
    assert sweep(path, "--param", "p=0.1", "--seeds", 2, "--processes", 1) == 1
    printed = capsys.readouterr().out
    assert "2 failed, the first: " in printed
    assert "none.csv" in printed
    assert "With --save FILE.parquet a sweep can be continued." in printed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--param", "0:1:0.1"], "--param must be NAME=VALUES, such as p=0:0.9:0.1; got '0:1:0.1'"),
        (["--param", "hidden=8"], "'hidden' cannot be swept; choose rate"),
        (["--param", "p=half"], "'half' is not a number"),
        (["--param", "p=2"], "rate must be from 0 to 1; got 2.0"),
        (["--param", "p="], "give at least one value, such as 0:0.9:0.1"),
        (["--param", "p=0.1", "--seeds", "none"], "seeds must be a number of seeds"),
        (["--param", "p=0.1", "--seeds", "99999999999"], "at most 5000 runs; got '99999999999'"),
        (["--param", "p=0.1", "--seeds", "9" * 5000], "at most 5000 runs; got '9999"),
        (["--param", "p=0.1", "--seeds", "0"], "at least one value and one seed"),
        (["--param", "p=0.1", "--processes", "0"], "--processes must be at least 1; got 0"),
        (
            ["--param", "p=0.1", "--save", "rates.csv"],
            "rates.csv: the name of a sweep's table must end in .parquet",
        ),
        (["--param", "p=0.1", "--cluster", "nonsense"], "No cluster answers at nonsense: missing port number"),
    ],
)
def test_errors_are_one_line(config, options, words, capsys):
    assert sweep(config, *options) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("fastdrop: ")
    assert error.count("\n") == 1


def test_an_invalid_address_gives_one_line_of_error(config):
    command = [sys.executable, "-m", "fastdrop.cli.main", "sweep", str(config), "--param", "p=0.1", "--cluster", "none"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1


def test_a_missing_configuration(tmp_path, capsys):
    assert sweep(tmp_path / "none.toml", "--param", "p=0.1") == 2
    assert "none.toml" in capsys.readouterr().err


def test_local_cores_or_a_cluster(config, capsys):
    with pytest.raises(SystemExit):
        sweep(config, "--param", "p=0.1", "--processes", 1, "--cluster", "tcp://127.0.0.1:9")
    assert "not allowed with argument" in capsys.readouterr().err


def test_help_names_the_parameters(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["sweep", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "usage: fastdrop sweep" in printed
    assert "learning_rate" in printed


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as a signal")
@pytest.mark.parametrize("when", ["starting", "training"])
def test_interrupted_and_continued(tmp_path, when, start_group):
    """Ctrl-C in a terminal goes to the whole group of processes."""
    pytest.importorskip("pyarrow.parquet")
    path, config = tmp_path / "rates.parquet", tmp_path / "config.toml"
    CONFIG.replace(epochs=40).save(config)
    command = [sys.executable, "-m", "fastdrop.cli.main", "sweep", str(config), "--param", "p=0:0.9:0.1", "--seeds"]
    command += ["6", "--processes", "2", "--save", str(path)]
    child = start_group(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (path.exists() and (when == "starting" or row_count(path) >= 1)):
        time.sleep(0.01)
    if when == "starting":  # the processes are starting, before they run any code of fastdrop
        while time.monotonic() < deadline and len(children(child.pid)) < 3:  # one of them is the resource tracker
            time.sleep(0.005)
        time.sleep(0.2)
    os.killpg(child.pid, signal.SIGINT)
    printed, error = child.communicate(timeout=30)
    assert error == ""
    assert child.returncode == 130
    done = int(re.search(r"stopped; (\d+) of 60 runs are done", printed)[1])
    assert "The same command trains the missing runs." in printed
    assert done == row_count(path) < 60
    if when == "training":
        assert done >= 1
        last = subprocess.run(command, capture_output=True, text=True, check=True, timeout=110)
        assert f"{done} of the runs are in the table already" in last.stdout
        assert row_count(path) == 60


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def test_on_a_cluster(config, capsys):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0"
    ) as cluster:
        options = ["--param", "p=0,0.5", "--seeds", 2, "--cluster", cluster.scheduler_address]
        assert sweep(config, *options) == 0
    printed = capsys.readouterr().out
    plan = Sweep(CONFIG, "rate", (0.0, 0.5), range(2))
    losses = [train_run(run).figure("test_loss") for run in plan.runs() if run.value == 0.5]
    assert rows_of(printed)["0.5"][3].startswith(f"{np.mean(losses):.4f}")
