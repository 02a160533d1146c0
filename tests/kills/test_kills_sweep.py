"""A sweep that is killed 100 times, in one process and in two: part of `make kills`, 2 minutes.

After each kill the table opens, has all its earlier rows, and no run twice; the same sweep continues from there. A
finished table is bit for bit that of a sweep without kills, and the folder holds no other file.
"""

import os
import random
import signal
import time

import pyarrow.parquet as pq
import pytest
from victim import Victim

from fastdrop.experiments import ExperimentConfig, sweep

pytestmark = [pytest.mark.native, pytest.mark.timeout(3600)]
SEED = 30
KILLS = 50
"""Kills for each number of processes."""
CONFIG = ExperimentConfig(dataset="moons", hidden=(8,), epochs=20, learning_rate=0.01)
NAME = "rates.parquet"


def run(processes, save=None):
    return sweep(CONFIG, "rate", "0:0.5:0.1", 20, processes=processes, save=save)


WRITERS = {"sweep": lambda folder, processes: run(processes, folder / NAME)}


@pytest.fixture(scope="module")
def expected():
    return {(each.value, each.seed): [record.test_loss for record in each.history] for each in run(2)}


@pytest.fixture
def victim():
    found = Victim(__file__)
    yield found
    found.close()


def rows_of(path):
    rows = pq.read_table(path).to_pylist() if path.exists() else []
    found = {(row["rate"], row["seed"]): row["test_loss_history"] for row in rows}
    assert len(found) == len(rows), "a run is there twice"
    return found


def wait_for_writes(path, count, end):
    """Wait until the table was written this many more times, or the sweep has ended."""
    stamps = set()
    while len(stamps) <= count and os.listdir(path.parent) != [path.name] and time.monotonic() < end:
        stamps.add(path.stat().st_mtime_ns if path.exists() else 0)
        time.sleep(0.001)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_sweep_that_is_killed_again_and_again(victim, tmp_path, expected, processes):
    rng = random.Random(f"{SEED} {processes}")
    killed = sweeps = grown = 0
    before = {}
    folder = tmp_path / "0"
    folder.mkdir()
    while killed < KILLS:
        victim.begin("sweep", folder, processes)
        stamp = os.stat(folder).st_mtime_ns
        victim.go()
        end = time.monotonic() + 300
        while os.stat(folder).st_mtime_ns == stamp and time.monotonic() < end:  # until it has opened the table
            time.sleep(0.001)
        wait_for_writes(folder / NAME, rng.randrange(3), end)
        time.sleep(rng.uniform(0.0, 0.3))
        victim.kill()
        status = victim.end()
        rows = rows_of(folder / NAME)
        assert before.items() <= rows.items(), "rows were lost or changed"
        assert rows.items() <= expected.items()
        grown += len(rows) > len(before)
        before = rows
        killed += status == -signal.SIGKILL
        if status == 0:
            assert rows == expected
            assert os.listdir(folder) == [NAME]
            sweeps, before = sweeps + 1, {}
            folder = tmp_path / str(sweeps)
            folder.mkdir()
    print(f"{processes} processes, seed {SEED}: {killed} kills, {sweeps} sweeps came to their end")
    assert grown >= KILLS // 4
    victim.write("sweep", folder, processes)
    assert rows_of(folder / NAME) == expected
    assert os.listdir(folder) == [NAME]
