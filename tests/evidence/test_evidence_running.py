"""A running comparison: its processes, its progress, its end."""

import os
import signal
import time
from multiprocessing.connection import wait

import numpy as np
import pytest
from experimenttools import SMALL, poll_until

from fastdrop.experiments import ConfigError
from fastdrop.experiments.evidence import EvidencePlan, EvidenceRun, does_dropout_help
from fastdrop.experiments.evidence.training import train_split

LONG = SMALL.replace(epochs=100_000)


@pytest.fixture
def start():
    """A function that starts a comparison which is closed in the end."""
    started = []

    def start(plan, processes=1):
        started.append(EvidenceRun(plan, processes))
        return started[-1]

    yield start
    for run in started:
        run.close(patience=10.0)
        assert all(wait([process.sentinel], timeout=10) for process in run._processes)


def fields(result):
    """Everything in a result, in types that can be compared."""
    arms = [
        (arm.validation.tolist(), arm.test.tolist(), arm.train_loss, arm.validation_loss)
        for arm in (result.baseline, result.dropout)
    ]
    labels = result.validation_labels.tolist(), result.test_labels.tolist()
    return result.number, result.rate, arms, result.validation_losses, labels, result.train_rows, result.majority


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(start):
    plan = EvidencePlan(SMALL.replace(dataset="wine"), splits=3, rates=(0.2, 0.8))
    here = [fields(train_split(plan, number)) for number in range(3)]
    sentences = set()
    for processes in (1, 2):
        run = start(plan, processes)
        assert run.progress == 0.0
        assert run.seconds_left is None
        assert run.evidence is None
        returned = poll_until(run)
        assert run.results == returned
        assert (run.problem, run.failed, run.progress, run.cancelled) == ("", [], 1.0, False)
        assert sorted(fields(result) for result in run.results) == here
        assert [result.number for result in run.evidence.results] == [0, 1, 2]
        sentences.add(run.evidence.sentence)
    assert len(sentences) == 1


def test_cancel_keeps_finished_splits(start):
    run = start(EvidencePlan(SMALL.replace(epochs=30), splits=200))
    poll_until(run, lambda: len(run.results) >= 2 and run.seconds_left is not None)
    assert 0 < run.progress < 1
    assert run.seconds_left > 0
    run.cancel()
    assert run.cancelled
    assert not run.is_running
    assert run.poll() == []
    assert run.seconds_left is None
    assert run.problem == ""
    count = len(run.results)
    assert 2 <= count < 200
    assert f"{count} " in run.evidence.sentence
    assert f"{200 - count} of 200 splits were not finished." in run.evidence.notes
    for process in run._processes:  # they exit without being killed
        assert wait([process.sentinel], timeout=30)
        while process.exitcode is None:  # the pool's thread has not reaped it yet
            time.sleep(0.01)
        assert process.exitcode == 0


def test_progress_within_a_split(start):
    run = start(EvidencePlan(LONG, splits=1))
    poll_until(run, lambda: run.progress > 0)
    assert run.results == []
    assert run.evidence is None


def test_a_process_that_dies_is_reported(start):
    run = start(EvidencePlan(SMALL.replace(epochs=30), splits=200), processes=2)
    poll_until(run, lambda: run.results)
    os.kill(run._processes[0].pid, signal.SIGKILL)
    poll_until(run)
    assert "ended unexpectedly" in run.problem
    assert f"The {len(run.results)} finished splits of 200 are kept." in run.problem
    assert len(run.evidence.results) == len(run.results)
    assert run.evidence is run.evidence


def test_splits_that_fail_are_counted_and_none_at_all_is_a_problem(start, tmp_path):
    config = SMALL.replace(dataset="file", data_file=str(tmp_path / "none.csv"))
    run = start(EvidencePlan(config, splits=2))
    assert poll_until(run) == []
    assert [failed.number for failed in run.failed] == [0, 1]
    assert run.problem.startswith("No split has a result: ")
    assert "none.csv" in run.problem
    assert run.evidence is None
    with pytest.raises(RuntimeError, match=r"none\.csv"):
        does_dropout_help(config, splits=1, processes=1)


def test_refusals():
    with pytest.raises(ValueError, match="processes must be at least 1"):
        EvidenceRun(EvidencePlan(SMALL), 0)
    with pytest.raises(ConfigError, match="no dropout"):
        does_dropout_help(SMALL.replace(dropout="none"))


@pytest.mark.slow
def test_known_effects_are_found():
    """Dropout keeps a large network from memorising wrong labels; at 0.9 it keeps a small one from learning."""
    helps = SMALL.replace(dataset="noisy-labels", hidden=(64,), epochs=40)
    evidence = does_dropout_help(helps, rates=(0.5, 0.8), processes=2)
    assert "p = 0.8 chosen in every split) raised the test accuracy by " in evidence.sentence
    assert np.mean(evidence.differences) == pytest.approx(evidence.interval.mean)
    assert evidence.rates_chosen == {0.5: 0, 0.8: 10}
    assert evidence.dropout.log_loss.value < evidence.baseline.log_loss.value
    evidence = does_dropout_help(SMALL.replace(epochs=10, hidden=(64,)), rates=(0.9,), processes=2)
    assert evidence.sentence.startswith("Dropout (standard, p = 0.9) lowered the test accuracy by ")
