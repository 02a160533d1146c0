"""Sweeps: one parameter over a range, several seeds for each value; on the local cores or on a cluster.

`plan` has what is trained and its results; `sweep_run` a running sweep, in local processes (`process_sweep`) or on a
cluster (`cluster_sweep`); `sweep_table` keeps the results in a file (`parquet`); `sweeping` runs a sweep in one call.
"""

from fastdrop.experiments.sweeps.parameters import PARAMETERS, values_from
from fastdrop.experiments.sweeps.plan import QUANTITIES, Result, Run, Sweep, curve, train_run
from fastdrop.experiments.sweeps.sweep_run import SweepRun
from fastdrop.experiments.sweeps.sweep_table import SweepTable, TableError
from fastdrop.experiments.sweeps.sweeping import SweepStopped, seeds_from, start_sweep, sweep, sweep_results

__all__ = [
    "PARAMETERS",
    "QUANTITIES",
    "Result",
    "Run",
    "Sweep",
    "SweepRun",
    "SweepStopped",
    "SweepTable",
    "TableError",
    "curve",
    "seeds_from",
    "start_sweep",
    "sweep",
    "sweep_results",
    "train_run",
    "values_from",
]
