"""Sweeps' tables: write one, open one, read its rows."""

import pytest
from experimenttools import SMALL as CONFIG

pytest.importorskip("pyarrow")
import pyarrow.parquet as pq

from fastdrop.experiments import Sweep
from fastdrop.experiments.sweeps.sweep_table import SweepTable

PLAN = Sweep(CONFIG, "rate", (0.0, 0.3), range(2))


def save(path, plan, results):
    table = SweepTable(path, plan)
    table.add(results)
    table.close()


def opened(path, plan):
    table = SweepTable(path, plan)
    table.close()
    return table


def rows_of(path):
    return [(row["rate"], row["seed"]) for row in pq.read_table(path).to_pylist()]
