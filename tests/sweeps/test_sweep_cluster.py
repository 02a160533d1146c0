"""Sweeps on a real cluster of several processes: the same results, also when workers fail."""

import asyncio
import os
import signal
import sys
import time

import numpy as np
import pytest
from experimenttools import SMALL as CONFIG
from experimenttools import WAIT, poll_until

pytest.importorskip("distributed")
from distributed import Client, Future, LocalCluster

import fastdrop as fd
from fastdrop.errors import BackendUnavailable
from fastdrop.experiments import Sweep, SweepStopped, sweep, sweep_results
from fastdrop.experiments.sweeps import cluster_sweep
from fastdrop.experiments.sweeps.cluster_sweep import ClusterSweep
from fastdrop.experiments.sweeps.plan import train_run
from fastdrop.experiments.sweeps.sweeping import start_sweep

pytestmark = pytest.mark.slow

LONG = CONFIG.replace(epochs=1_000_000)
PORT = ":0"
"""The dashboard's port: any free one, since tests run in parallel."""


@pytest.fixture(scope="module")
def cluster():
    """Three worker processes; a killed one is restarted."""
    with LocalCluster(n_workers=3, threads_per_worker=1, processes=True, dashboard_address=PORT) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        yield client


@pytest.fixture
def start():
    """A function that starts a sweep which is closed in the end."""
    started = []

    def start(plan, client, save=None):
        started.append(start_sweep(plan, client=client, save=save))
        return started[-1]

    yield start
    for run in started:
        run.close(patience=WAIT)
        assert not run._thread.is_alive()


def wait_until(condition):
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def busy(client):
    """Addresses of the workers that are training."""
    return [address for address, tasks in client.processing().items() if any("-run-" in str(task) for task in tasks)]


def kill_one(client):
    """Kill a worker that is training, without a chance to report it; returns its address."""
    wait_until(lambda: busy(client))
    address = busy(client)[0]
    pid = client.run(os.getpid, workers=[address])[address]
    os.kill(pid, signal.SIGKILL)
    return address


def assert_same(results, plan):
    """Each run is there once, with the figures that this process computes."""
    found = {(result.value, result.seed): result for result in results}
    assert len(found) == len(results) == plan.count
    for run in plan.runs():
        result = found[run.value, run.seed]
        assert (result.error, result.config) == ("", run.config)
        np.testing.assert_array_equal(result.figures, train_run(run).figures)


def test_the_same_as_on_local_cores(client):
    plan = Sweep(CONFIG, "rate", (0.0, 0.8), range(3), new_data=True)
    results = sweep(CONFIG, "rate", (0.0, 0.8), range(3), new_data=True, client=client)
    assert_same(results, plan)
    assert [(result.value, result.seed) for result in results] == [(run.value, run.seed) for run in plan.runs()]
    local = sweep(CONFIG, "rate", (0.0, 0.8), range(3), new_data=True, processes=2)
    for here, there in zip(local, results, strict=True):
        np.testing.assert_array_equal(here.figures, there.figures)


def test_nothing_is_lost_or_counted_twice_when_a_worker_is_killed(client, start, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    plan = Sweep(CONFIG.replace(epochs=30), "rate", (0.0, 0.3, 0.6), range(8))
    path = tmp_path / "results.parquet"
    run = start(plan, client.scheduler.address, path)
    returned = poll_until(run, lambda: len(run.results) >= 3)
    before = set(client.scheduler_info()["workers"])
    killed = kill_one(client)
    assert killed in before
    assert len(run.results) < plan.count
    returned += poll_until(run)
    assert run.problem == ""
    assert run.progress == 1.0
    assert run.results == returned
    assert_same(run.results, plan)
    rows = pq.read_table(path).to_pylist()
    assert [(row["rate"], row["seed"]) for row in rows] == [(each.value, each.seed) for each in plan.runs()]
    assert {row["outcome"] for row in rows} == {"finished"}
    wait_until(lambda: killed not in client.scheduler_info()["workers"])


def test_a_stopped_sweep_is_continued_on_a_cluster_or_locally(client, start, tmp_path):
    pytest.importorskip("pyarrow")
    plan = Sweep(CONFIG.replace(epochs=20), "rate", (0.0, 0.3, 0.6), range(6))
    path = tmp_path / "results.parquet"
    run = start(plan, client, path)
    poll_until(run, lambda: len(run.results) >= 4)
    run.cancel()
    first = len(run.results)
    assert 4 <= first < plan.count
    again = []
    results = sweep(plan.config, "rate", plan.values, plan.seeds, processes=2, save=path, progress=again.append)
    assert again[-1].kept == first
    assert_same(results, plan)


def test_few_runs_are_with_the_scheduler_at_a_time(cluster, client, start):
    plan = Sweep(CONFIG, "rate", np.linspace(0, 0.9, 40).tolist(), range(2))
    run = start(plan, client)
    most = 0
    while run.is_running:
        run.poll()
        waiting = [task for key, task in list(cluster.scheduler.tasks.items()) if "-run-" in str(key)]
        most = max(most, sum(task.state not in ("memory", "released", "forgotten") for task in waiting))
        time.sleep(0.002)
    assert 1 <= most <= 2 * 3
    assert len(run.results) == plan.count


def test_cancel_frees_the_workers(client, start):
    run = start(Sweep(LONG, "rate", (0.1, 0.2, 0.3, 0.4), range(5)), client)
    poll_until(run, lambda: len(busy(client)) == 3)
    assert run.results == []
    held = [Future(key, client) for key in list(client.futures) if "-run-" in str(key)]
    assert held  # so releasing the sweep's futures is not enough
    run.cancel()
    assert run.cancelled
    assert not run.is_running
    assert run.poll() == []
    wait_until(lambda: not busy(client))
    # The scheduler has forgotten the runs; free worker threads show that no training continues.
    futures = client.map(pow, range(12), range(12), pure=False)
    assert client.gather(futures) == [number**number for number in range(12)]
    assert len({address for (address,) in client.who_has(futures).values()}) == 3


def test_leaving_the_loop_stops_the_sweep(client):
    for result in sweep_results(Sweep(CONFIG.replace(epochs=50), "rate", (0.1, 0.2), range(50)), client=client):
        assert result.error == ""
        break
    wait_until(lambda: not busy(client))


def test_runs_that_another_client_cancelled_are_trained_again(client, start):
    plan = Sweep(CONFIG.replace(epochs=30), "rate", (0.0, 0.3), range(6))
    run = start(plan, client)
    poll_until(run, lambda: run.results)
    theirs = [Future(key, client) for key in list(client.futures) if "-run-" in str(key)]
    assert theirs
    client.cancel(theirs, force=True)
    del theirs
    poll_until(run)
    assert run.problem == ""
    assert_same(run.results, plan)


def test_a_run_that_kills_its_workers_is_reported_and_the_others_continue(cluster, client, start, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    plan = Sweep(CONFIG.replace(epochs=60), "rate", (0.0, 0.3), range(6))
    run = start(plan, client)
    poll_until(run, lambda: run.results)
    kill_one(client)
    poll_until(run)
    failed = [result for result in run.results if result.error]
    assert failed
    assert {result.error for result in failed} == {"1 workers died while they trained this run"}
    assert {result.outcome for result in failed} == {"failed"}
    assert len({(result.value, result.seed) for result in run.results}) == len(run.results) == plan.count
    assert run.problem == ""
    wait_until(lambda: len(client.scheduler_info()["workers"]) == 3)


def test_the_users_data_are_sent_to_the_workers(client, monkeypatch):
    content = b"a,kind,b\n" + b"".join(b"%d,%c,%d\n" % (n, b"xy"[n % 2], n % 2) for n in range(40))
    config = CONFIG.replace(dataset="file", data_file="/nowhere/own.csv", target="kind")
    monkeypatch.setattr(cluster_sweep, "read_data", lambda path: content)
    (result,) = sweep(config, "rate", (0.1,), 1, client=client)
    assert (result.error, result.config) == ("", config.replace(rate=0.1))
    assert len(result.history) == 3
    monkeypatch.setattr(cluster_sweep, "read_data", lambda path: content.replace(b"39,", b"39,5,"))
    (result,) = sweep(config, "rate", (0.1,), 1, client=client)
    assert result.error.startswith("/nowhere/own.csv, line 41: 4 cells")
    assert result.outcome == "failed"
    monkeypatch.undo()
    with pytest.raises(SweepStopped, match=r"/nowhere/own\.csv: cannot be read"):
        sweep(config, "rate", (0.1,), 1, client=client)


def test_workers_of_another_version_are_refused(client, monkeypatch):
    monkeypatch.setattr(cluster_sweep, "__version__", "9.9")
    with pytest.raises(
        SweepStopped, match=rf"must have fastdrop 9\.9 .* one has fastdrop {fd.__version__} "
    ) as stopped:
        sweep(CONFIG, "rate", (0.1, 0.2), 2, client=client)
    assert stopped.value.results == []


def test_a_run_that_diverges_is_a_result(client):
    config = CONFIG.replace(optimizer="sgd", hidden=(64, 64), dropout="none", epochs=5)
    fine, failed = sweep(config, "learning_rate", (0.01, 100.0), 1, client=client)
    assert (fine.outcome, failed.outcome) == ("finished", "diverged")
    assert "diverged" in failed.error
    assert 1 <= len(failed.history) < 6


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://127.0.0.1:9", "No cluster answers at tcp://127.0.0.1:9: "),
        ("nonsense", "No cluster answers at nonsense: missing port number"),
        ("foo://bar:1", "No cluster answers at foo://bar:1: unknown address scheme"),
    ],
)
def test_an_address_that_does_not_answer(address, words, monkeypatch, start):
    monkeypatch.setattr(cluster_sweep, "CONNECT_SECONDS", 1.0)
    run = start(Sweep(CONFIG, "rate", (0.1,), [0]), address)
    run.poll()
    assert run.note == f"connecting to {address}"
    longest = 0.0
    while run.is_running:
        begin = time.monotonic()
        run.poll()
        longest = max(longest, time.monotonic() - begin)
        time.sleep(0.01)
    assert run.problem.startswith(words)
    assert run.results == []
    assert longest < 0.5  # half of the time of a call that waits for the address


@pytest.fixture
def two_threads():
    """Kernels may use two threads; the old number is restored after the test."""
    before = fd.get_num_threads()
    fd.set_num_threads(2)
    yield
    fd.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_a_sweep_waits_for_workers_and_reports_a_lost_cluster(start, monkeypatch):
    monkeypatch.setattr(cluster_sweep, "CONNECT_SECONDS", 1.0)
    plan = Sweep(CONFIG, "rate", (0.0, 0.3), range(2))
    with LocalCluster(n_workers=0, threads_per_worker=2, processes=False, dashboard_address=PORT) as cluster:
        run = start(plan, cluster.scheduler_address)
        poll_until(run, lambda: "waiting for workers" in run.note)
        wait_until(lambda: any("-run-" in str(key) for key in list(cluster.scheduler.tasks)))  # a run is queued
        cluster.scale(1)
        poll_until(run)
        assert_same(run.results, plan)  # two at a time, in two threads of this process
        assert fd.get_num_threads() == 2
        run = start(Sweep(LONG, "rate", (0.1,), [0]), cluster.scheduler_address)
        poll_until(run, lambda: run._thread.is_alive() and run.note == "")
        run.close(WAIT)
        run = start(Sweep(CONFIG.replace(epochs=2000), "rate", (0.1, 0.2, 0.3, 0.4), [0]), cluster.scheduler_address)
        poll_until(run, lambda: run._thread.is_alive() and run.note == "")
    poll_until(run)
    assert "does not answer any more" in run.problem


@pytest.mark.parametrize(
    ("problem", "times", "outcome", "words"),
    [
        (cluster_sweep._Interrupted(), 5, "finished", ""),
        (RuntimeError("no luck"), 2, "finished", ""),
        (RuntimeError("no luck"), 3, "failed", "RuntimeError: no luck"),
        (TimeoutError(), 3, "failed", "TimeoutError"),
    ],
)
def test_a_task_that_fails_is_tried_again(start, monkeypatch, problem, times, outcome, words):
    plan = Sweep(CONFIG, "rate", (0.3,), [0])
    left = [problem] * times

    def train(run, look):
        if left:
            raise left.pop()
        return train_run(run, look)

    monkeypatch.setattr(cluster_sweep, "train_run", train)  # the workers are threads of this process
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=PORT) as cluster:
        run = start(plan, cluster.scheduler_address)
        poll_until(run)
        run.close(WAIT)
    assert [(result.outcome, result.error) for result in run.results] == [(outcome, words)]
    assert left == []


def test_workers_without_the_required_packages_are_reported(start, monkeypatch):
    def train(run, look):
        raise ModuleNotFoundError("No module named 'threadpoolctl'")

    monkeypatch.setattr(cluster_sweep, "train_run", train)
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=PORT) as cluster:
        run = start(Sweep(CONFIG, "rate", (0.3,), [0]), cluster.scheduler_address)
        poll_until(run)
        run.close(WAIT)
    assert (
        "with its extra experiments, the same as here; ModuleNotFoundError: No module named 'threadpool" in run.problem
    )


def test_invalid_clients(client, monkeypatch):
    async def refused():
        async with Client(client.scheduler.address, asynchronous=True, set_as_default=False) as other:
            with pytest.raises(ValueError, match="must be synchronous"):
                ClusterSweep(Sweep(CONFIG, "rate", (0.1,), [0]), other)

    asyncio.run(refused())
    with pytest.raises(ValueError, match="not both"):
        sweep(CONFIG, "rate", (0.1,), 1, client=client, processes=2)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BackendUnavailable, match=r"distributed.*fastdrop-kernels\[dask\]"):
        sweep(CONFIG, "rate", (0.1,), 1, client="tcp://127.0.0.1:9")
