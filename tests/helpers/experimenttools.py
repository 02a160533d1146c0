"""Helpers of the tests of experiments and sweeps."""

import time

from fastdrop.experiments import ExperimentConfig, Trainer
from fastdrop.experiments.sweeps.plan import train_run

SMALL = ExperimentConfig(dataset="moons", hidden=(8,), epochs=2, learning_rate=0.01)
"""A configuration that trains in milliseconds."""
WAIT = 100.0
"""Timeout in seconds, for a busy machine."""


def trained_runs(plan):
    """The results of all runs of a sweep, trained in this process."""
    return [train_run(run) for run in plan.runs()]


def trainer_after(config, steps=5):
    """A trainer after some batches."""
    trainer = Trainer(config)
    for _ in range(steps):
        trainer.step()
    return trainer


def poll_until(run, condition=lambda: False):
    """All results until the sweep ends or the condition holds."""
    found = []
    deadline = time.monotonic() + WAIT
    while run.is_running and not condition():
        assert time.monotonic() < deadline
        found += run.poll()
        time.sleep(0.01)
    return found


def row_count(path):
    """The number of rows of a table. The file is opened once, since it may be replaced while it is read."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read().num_rows
