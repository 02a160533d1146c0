"""Sweeps without the app: their runs, processes and reports of failures."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing.connection import wait

import numpy as np
import pytest
from experimenttools import SMALL as CONFIG
from experimenttools import poll_until

from fastdrop.experiments import ConfigError, SweepStopped, Trainer, sweep, sweep_results
from fastdrop.experiments.sweeps.parameters import MOST_VALUES, PARAMETERS, values_from
from fastdrop.experiments.sweeps.plan import MOST_RUNS, QUANTITIES, Run, Sweep, curve, train_run
from fastdrop.experiments.sweeps.process_sweep import ProcessSweep


@pytest.fixture
def start():
    """A function that starts a sweep which is closed in the end."""
    started = []

    def start(plan, processes=1):
        started.append(ProcessSweep(plan, processes))
        return started[-1]

    yield start
    for run in started:
        run.close(patience=10.0)
        assert all(wait([process.sentinel], timeout=10) for process in run._processes)


@pytest.mark.parametrize(
    ("parameter", "text", "values"),
    [
        ("rate", "0:0.9:0.1", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        ("rate", "0.1, 0.2,0.5", (0.1, 0.2, 0.5)),
        ("rate", "0.1 0.2 0.5", (0.1, 0.2, 0.5)),
        ("rate", " 0.4 : 0 : -0.2 , 0.9", (0.4, 0.2, 0.0, 0.9)),
        ("rate", "0:0.25:0.1", (0.0, 0.1, 0.2)),
        ("rate", "0.5,0.5", (0.5,)),
        ("learning_rate", "1e-4:0.1:x10", (0.0001, 0.001, 0.01, 0.1)),
        ("batch_size", "8:32:x2", (8, 16, 32)),
        ("epochs", "1:3:1, 10", (1, 2, 3, 10)),
        ("optimizer", "sgd, adam", ("sgd", "adam")),
        ("batch_norm", "off, on", (False, True)),
    ],
)
def test_values_from_text(parameter, text, values):
    found = values_from(text, parameter)
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("parameter", "text", "words"),
    [
        ("rate", "", "give at least one value, such as 0:0.9:0.1"),
        ("rate", "half", "'half' is not a number"),
        ("rate", "0:0.9", "start:stop:step"),
        ("rate", "0:0.9:0", "never leads from 0 to 0.9"),
        ("rate", "0:0.9:-0.1", "never leads from 0 to 0.9"),
        ("rate", "0:1:0.00001", f"at most {MOST_VALUES} values"),
        ("rate", "0:1:1e-999999", f"at most {MOST_VALUES} values"),
        ("rate", "nan", "too large"),
        ("batch_size", "1e999999", "too large"),
        ("epochs", "8:2251e99969285477580:x2", "too large"),
        ("batch_size", "8.5", "whole number; got 8.5"),
        ("learning_rate", "0:1:x10", "must start above 0 and grow"),
        ("learning_rate", "1:10:x1", "must start above 0 and grow"),
        ("optimizer", "adam, lion", "one of adam, sgd; got 'lion'"),
        ("hidden", "8", "'hidden' cannot be swept; choose rate"),
        ("seed", "8", "cannot be swept"),
    ],
)
def test_invalid_texts_of_values(parameter, text, words):
    with pytest.raises(ConfigError, match=words):
        values_from(text, parameter)


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_parameter_has_an_example_that_runs(parameter):
    config = CONFIG.replace(dataset="digits", hidden=(8, 8))
    sweep = Sweep(config, parameter, values_from(PARAMETERS[parameter].example, parameter), [3])
    for run in sweep.runs():
        if parameter not in ("rate", "dataset"):
            assert run.config == config.replace(seed=3, **{parameter: run.value})
        assert getattr(run.config, parameter) == run.value
    names = [sweep.name_of(value) for value in sweep.values]
    assert values_from(", ".join(names), parameter) == sweep.values


def test_seeds_and_data():
    runs = list(Sweep(CONFIG, "rate", [0.1, 0.2], range(5, 7)).runs())
    assert [(run.value, run.seed, run.config.seed, run.config.split_seed) for run in runs] == [
        (0.1, 5, 5, 0),
        (0.2, 5, 5, 0),
        (0.1, 6, 6, 0),
        (0.2, 6, 6, 0),
    ]
    runs = list(Sweep(CONFIG, "rate", [0.1], range(5, 7), new_data=True).runs())
    assert [(run.config.seed, run.config.split_seed) for run in runs] == [(5, 5), (6, 6)]


def test_a_swept_rate_applies_to_all_dropout_layers():
    config = CONFIG.replace(hidden=(8, 8), layer_dropout=("none", "standard"), layer_rates=(0.1, 0.2))
    (run,) = Sweep(config, "rate", [0.7], [0]).runs()
    (dropper,) = Trainer(run.config).network.droppers
    assert dropper.p == 0.7


def test_a_swept_data_set_replaces_a_file(tmp_path):
    config = CONFIG.replace(dataset="file", data_file=str(tmp_path / "own.csv"))
    (run,) = Sweep(config, "dataset", ["xor"], [0]).runs()
    assert (run.config.dataset, run.config.data_file) == ("xor", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rate", [0.1, 1.5], [0]), "rate must be from 0 to 1; got 1.5"),
        (("rate", ["much"], [0]), "rate must be a number"),
        (("dropout", ["standard", "zoneout"], [0]), "network mlp does not support dropout 'zoneout'"),
        (("hidden", [8], [0]), "'hidden' cannot be swept"),
        (("rate", [], [0]), "at least one value"),
        (("rate", [0.1], []), "at least one value and one seed"),
        (("rate", [0.1, 0.1], [0]), "a value is given twice"),
        (("rate", [0.1], [1, 1]), "a seed is given twice"),
        (("rate", [0.1], [-1]), "seed must be from 0"),
        (("rate", [0.1], [0.5]), "seed"),
        (("rate", [0.1], [2**40], True), "split_seed must be from 0"),
        (("split_seed", [1], [1], True), "split_seed is swept"),
        (("epochs", range(1, MOST_VALUES + 2), [0]), f"at most {MOST_VALUES} values"),
        (("epochs", range(1, 101), range(MOST_RUNS // 100 + 1)), f"at most {MOST_RUNS} runs"),
    ],
)
def test_invalid_sweeps(arguments, words):
    with pytest.raises(ConfigError, match=words):
        Sweep(CONFIG, *arguments)


def test_a_sweep_without_effect_is_reported():
    own = CONFIG.replace(layer_dropout=("standard",))
    with pytest.raises(ConfigError, match="would change nothing"):
        Sweep(own, "dropout", ["none"], [0])
    assert "No layer has dropout" in Sweep(CONFIG.replace(dropout="none"), "rate", [0.1], [0]).note
    assert "adam" in Sweep(CONFIG, "momentum", [0.1], [0]).note
    assert Sweep(CONFIG.replace(optimizer="sgd"), "momentum", [0.1], [0]).note == ""
    assert Sweep(own, "rate", [0.1], [0]).note == ""


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(start):
    sweep = Sweep(CONFIG, "rate", [0.0, 0.8], range(2), new_data=True)
    found = {}
    for processes in (1, 2):
        run = start(sweep, processes)
        returned = poll_until(run)
        assert run.problem == ""
        assert run.progress == 1.0
        assert run.results == returned
        found[processes] = {(result.value, result.seed): result for result in run.results}
    assert found[1].keys() == found[2].keys() == {(value, seed) for value in (0.0, 0.8) for seed in (0, 1)}
    for key, result in found[1].items():
        np.testing.assert_array_equal(result.figures, found[2][key].figures)
        assert result.history == tuple(list(Trainer(result.config).run())[-1].history)
        assert result.final == result.history[-1]
        assert result.figure("gap") == result.final.train_accuracy - result.final.test_accuracy
    losses = {result.final.train_loss for result in found[1].values()}
    assert len(losses) == 4


def test_mean_and_deviation_over_seeds():
    sweep = Sweep(CONFIG, "rate", [0.9, 0.0], range(3))
    results = [train_run(run) for run in sweep.runs()]
    for quantity in QUANTITIES:
        points = curve(sweep, results, quantity)
        assert [value for value, _ in points] == [0.0, 0.9]
        for value, spread in points:
            figures = [result.figure(quantity) for result in results if result.value == value]
            assert spread.mean == pytest.approx(np.mean(figures))
            assert spread.std == pytest.approx(np.std(figures, ddof=1))
    assert curve(sweep, results[:1], "gap")[0][1].std == 0.0
    assert curve(sweep, [], "gap") == []


def test_a_run_that_diverges_is_a_result(start):
    config = CONFIG.replace(optimizer="sgd", hidden=(64, 64), dropout="none", epochs=5)
    run = start(Sweep(config, "learning_rate", [0.01, 100.0], [0]))
    poll_until(run)
    fine, failed = sorted(run.results, key=lambda result: result.value)
    assert fine.error == ""
    assert "diverged" in failed.error
    assert failed.final is None
    assert np.isnan(failed.figure("test_loss"))
    assert 1 <= len(failed.history) < 6
    assert run.problem == ""
    assert run.progress == 1.0
    assert [value for value, _ in curve(run.sweep, run.results, "test_loss")] == [0.01]


def test_data_that_cannot_be_read_is_a_result(tmp_path):
    config = CONFIG.replace(dataset="file", data_file=str(tmp_path / "none.csv"))
    result = train_run(Run(0.5, 0, config))
    assert "none.csv" in result.error
    assert result.history == ()


def test_the_users_tables_are_swept(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("a,kind,b\n" + "".join(f"{n},{'xy'[n % 2]},{n % 2}\n" for n in range(40)))
    (run,) = Sweep(CONFIG.replace(dataset="file", data_file=str(path), target="kind"), "rate", [0.1], [0]).runs()
    assert train_run(run).figure("train_loss") == list(Trainer(run.config).run())[-1].latest.train_loss


@pytest.mark.slow
def test_cancel_keeps_finished_runs(start):
    run = start(Sweep(CONFIG.replace(epochs=200), "rate", [0.1, 0.2, 0.3], range(20)))
    assert run.seconds_left is None
    poll_until(run, lambda: run.results and run.seconds_left is not None)
    assert 0 < run.progress < 1
    assert run.seconds_left > 0
    run.cancel()
    assert run.cancelled
    assert not run.is_running
    assert run.poll() == []
    assert run.problem == ""
    assert run.seconds_left is None
    assert 1 <= len(run.results) < 60
    for process in run._processes:  # they exit without being killed
        assert wait([process.sentinel], timeout=30)
        while process.exitcode is None:  # the pool's thread has not reaped it yet
            time.sleep(0.01)
        assert process.exitcode == 0


@pytest.mark.slow
def test_progress_within_a_run(start):
    run = start(Sweep(CONFIG.replace(epochs=100_000), "rate", [0.1], [0]))
    poll_until(run, lambda: run.progress > 0)
    assert run.results == []


@pytest.mark.slow
def test_a_process_that_dies_is_reported(start):
    run = start(Sweep(CONFIG.replace(epochs=100), "rate", [0.1, 0.2, 0.3], range(20)), processes=2)
    poll_until(run, lambda: run.results)
    os.kill(run._processes[0].pid, signal.SIGKILL)
    poll_until(run)
    assert "ended unexpectedly" in run.problem
    assert f"The {len(run.results)} finished runs of 60" in run.problem
    assert run.results
    assert not run.cancelled


def test_no_processes_are_refused():
    with pytest.raises(ValueError, match="processes must be at least 1"):
        ProcessSweep(Sweep(CONFIG, "rate", [0.1], [0]), 0)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks into /proc")
def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent("""
        import os, time
        from fastdrop.experiments import ExperimentConfig
        from fastdrop.experiments.sweeps.process_sweep import ProcessSweep
        from fastdrop.experiments.sweeps.plan import Sweep

        if __name__ == "__main__":
            config = ExperimentConfig(dataset="moons", hidden=(8,), epochs=100_000)
            run = ProcessSweep(Sweep(config, "rate", [0.1], [0]), 1)
            while not run.progress:
                run.poll()
                time.sleep(0.01)
            print(*(process.pid for process in run._processes), flush=True)
            os._exit(0)
        """)
    )
    child = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=60)
    (pid,) = map(int, child.stdout.split())

    def alive():
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    deadline = time.monotonic() + 30
    while alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive()


def test_does_not_import_qt():
    code = "import sys, fastdrop.experiments; sys.exit('PySide6' in sys.modules or 'pyqtgraph' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_in_one_call():
    polled = []
    results = sweep(CONFIG.replace(seed=3), "rate", "0:0.8:0.4", seeds=2, processes=2, progress=polled.append)
    plan = Sweep(CONFIG, "rate", (0.0, 0.4, 0.8), (3, 4))
    assert [(result.value, result.seed, result.config) for result in results] == list(plan.runs())
    for run, result in zip(plan.runs(), results, strict=True):
        np.testing.assert_array_equal(result.figures, train_run(run).figures)
    assert polled[-1].progress == 1.0
    assert {id(run) for run in polled} == {id(polled[0])}


def test_results_as_they_come_and_leaving_early():
    plan = Sweep(CONFIG.replace(epochs=50), "rate", (0.1, 0.5), range(50))
    started = []
    for result in sweep_results(plan, processes=1, progress=started.append):
        assert result.outcome == "finished"
        break
    (run,) = set(started)
    assert not run.is_running
    assert all(wait([process.sentinel], timeout=0) for process in run._processes)


@pytest.mark.slow
def test_a_stopped_sweep_yields_the_finished_results():
    plan = Sweep(CONFIG.replace(epochs=100), "rate", (0.1, 0.2, 0.3), range(20))

    killed = []

    def kill(run):
        if run.results and not killed:
            killed.append(run._processes[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(SweepStopped, match="ended unexpectedly") as stopped:
        sweep(plan.config, plan.parameter, plan.values, plan.seeds, processes=1, progress=kill)
    assert 1 <= len(stopped.value.results) < plan.count


def test_a_repeated_result_counts_once(start):
    run = start(Sweep(CONFIG, "rate", (0.1, 0.2), [0]))
    first, second = (train_run(each) for each in run.sweep.runs())
    run._collect = lambda: [first, first]
    assert run.poll() == [first]
    assert run.poll() == []
    assert run.is_running
    assert run.progress == 0.5
    run._collect = lambda: [first, second]
    assert run.poll() == [second]
    assert run.results == [first, second]
    assert not run.is_running
