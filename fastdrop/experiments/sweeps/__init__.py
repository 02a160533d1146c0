"""Sweeps: one parameter over a range, several seeds of each value; on the local cores or on a cluster.

`plan` says what is trained and what comes of it, `driver` how a sweep is asked for news, by `processes` and by
`cluster`; the `table` keeps results, `sweeping` is the whole in one call.
"""

from fastdrop.experiments.sweeps.driver import SweepRun
from fastdrop.experiments.sweeps.parameters import PARAMETERS, values_from
from fastdrop.experiments.sweeps.plan import QUANTITIES, Result, Run, Sweep, curve, train_run
from fastdrop.experiments.sweeps.sweeping import SweepStopped, seeds_from, start_sweep, sweep, sweep_results
from fastdrop.experiments.sweeps.table import SweepTable, TableError

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
