"""Sweeps in one call: on the local cores, or on a cluster."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fastdrop.experiments.config import ExperimentConfig
from fastdrop.experiments.errors import ConfigError
from fastdrop.experiments.formats.reading import shown
from fastdrop.experiments.parallel import available_cores
from fastdrop.experiments.sweeps.parameters import values_from
from fastdrop.experiments.sweeps.plan import MOST_RUNS, Result, Sweep
from fastdrop.experiments.sweeps.process_sweep import ProcessSweep
from fastdrop.experiments.sweeps.sweep_run import SweepRun
from fastdrop.experiments.sweeps.sweep_table import SweepTable

if TYPE_CHECKING:
    from distributed import Client

_POLL_SECONDS = 0.05


class SweepStopped(RuntimeError):
    """A sweep that stopped early; `results` are the results until then."""

    def __init__(self, reason: str, results: Sequence[Result]) -> None:
        super().__init__(reason)
        self.results = list(results)


def start_sweep(
    sweep: Sweep,
    *,
    client: "Client | str | None" = None,
    processes: int | None = None,
    save: str | os.PathLike[str] | None = None,
) -> SweepRun:
    """Start a sweep and return a handle to poll; the parameters are those of `sweep`."""
    if client is not None and processes is not None:
        raise ValueError("give either client or processes, not both")
    if client is None:
        run: SweepRun = ProcessSweep(sweep, available_cores() if processes is None else processes)
    else:
        from fastdrop.experiments.sweeps.cluster_sweep import ClusterSweep

        run = ClusterSweep(sweep, client)
    run.table = None if save is None else SweepTable(save, sweep)
    return run


def seeds_from(text: str, first: int) -> tuple[int, ...]:
    """Seeds from text: "20" is a number of seeds, from `first` on; "0,1,5" and "0:9:1" are lists.

    >>> from fastdrop.experiments.sweeps.sweeping import seeds_from
    >>> seeds_from("3", 7), seeds_from("1,5", 7)
    ((7, 8, 9), (1, 5))
    """
    try:
        if text.isdecimal():
            if len(text.lstrip("0")) > len(str(MOST_RUNS)) or int(text) > MOST_RUNS:
                raise ConfigError(f"a sweep has at most {MOST_RUNS} runs; got {shown(text)}")
            return tuple(range(first, first + int(text)))
        return values_from(text, "split_seed")
    except ConfigError as error:
        raise ConfigError(f"seeds must be a number of seeds, or a list such as 0,1,2: {error}", "seed") from None


def sweep(
    config: ExperimentConfig,
    parameter: str,
    values: Sequence[Any] | str,
    seeds: Sequence[int] | int = 5,
    *,
    new_data: bool = False,
    client: "Client | str | None" = None,
    processes: int | None = None,
    save: str | os.PathLike[str] | None = None,
    progress: Callable[[SweepRun], None] | None = None,
) -> list[Result]:
    """Train every value of a parameter with every seed.

    A run depends on its configuration alone: any number of processes or workers gives the same numbers, bit for bit
    on processors of one kind (matrix products round differently on others).

    Parameters
    ----------
    config : ExperimentConfig
        The configuration of all runs, apart from the parameter and the seed.
    parameter : str
        A key of `fastdrop.experiments.sweeps.parameters.PARAMETERS`, such as "rate".
    values : sequence or str
        Values of that field; text such as "0:0.9:0.1" is read by `fastdrop.experiments.sweeps.parameters.values_from`.
    seeds : sequence of int, or int
        A number of seeds starts at the configuration's seed.
    new_data : bool
        Whether each seed also decides the data and their split.
    client : distributed.Client or str, optional
        A cluster, or its scheduler's address; its workers have the same fastdrop. A `data_file` is sent to them. A lost
        worker's runs are trained by others.
    processes : int, optional
        On the local cores, one thread each; all cores by default. They import the main program: a script calls this
        below ``if __name__ == "__main__":``.
    save : path-like, optional
        A Parquet table that is written during the sweep: see `fastdrop.experiments.sweeps.SweepTable`. The same call
        continues a sweep that was stopped; more values or seeds may be added.
    progress : callable, optional
        Called several times a second with the running sweep: its `progress`, `seconds_left` and `results`.

    Returns
    -------
    list of Result
        In the order of `Sweep.runs`: all values with the first seed, then with the next. A run that failed or diverged
        has an `error`.

    Raises
    ------
    ConfigError
        If there is no such parameter, or a value or seed is invalid.
    SweepStopped
        If a process died, or the cluster cannot be reached; its `results` are the results until then.
    TableError
        If the table belongs to another sweep, or cannot be read or written.

    Examples
    --------
    >>> import fastdrop.experiments as fde
    >>> config = fde.ExperimentConfig(dataset="moons", hidden=(8,), epochs=2)
    >>> results = fde.sweep(config, "rate", "0:0.5:0.5", seeds=2, processes=1)
    >>> [(result.value, result.seed) for result in results]
    [(0.0, 0), (0.5, 0), (0.0, 1), (0.5, 1)]
    >>> 0 <= results[0].figure("test_accuracy") <= 1
    True
    """
    values = values_from(values, parameter) if isinstance(values, str) else values
    seeds = range(config.seed, config.seed + seeds) if isinstance(seeds, int) else seeds
    plan = Sweep(config, parameter, values, seeds, new_data)
    found = sweep_results(plan, client=client, processes=processes, save=save, progress=progress)
    by_run = {(result.value, result.seed): result for result in found}
    return [by_run[run.value, run.seed] for run in plan.runs()]


def sweep_results(
    sweep: Sweep,
    *,
    client: "Client | str | None" = None,
    processes: int | None = None,
    save: str | os.PathLike[str] | None = None,
    progress: Callable[[SweepRun], None] | None = None,
) -> Iterator[Result]:
    """Yield the results of a sweep as they arrive, those of the table first; see `sweep`. Leaving the loop stops it.

    Examples
    --------
    >>> import fastdrop.experiments as fde
    >>> sweep = fde.Sweep(fde.ExperimentConfig(dataset="moons", hidden=(8,), epochs=2), "rate", (0.0, 0.5), [7])
    >>> for result in fde.sweep_results(sweep, processes=1):
    ...     print(result.value, result.outcome)
    0.0 finished
    0.5 finished
    """
    run = start_sweep(sweep, client=client, processes=processes, save=save)
    try:
        if run.table is not None:
            run.table.wait()
        while run.is_running:
            yield from run.poll()
            if progress is not None:
                progress(run)
            time.sleep(_POLL_SECONDS if run.is_running else 0.0)
    finally:
        run.close(patience=5.0)
    if run.problem:
        raise SweepStopped(run.problem, run.results)
