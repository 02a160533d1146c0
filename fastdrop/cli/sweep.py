"""`fastdrop sweep`: one parameter over a range, several seeds for each value, with progress and a table."""

import argparse
import time
from contextlib import closing
from pathlib import Path

from fastdrop.cli.configs import config_of
from fastdrop.cli.terminal import (
    BarColumn,
    Console,
    Progress,
    Table,
    TextColumn,
    escape,
    interrupts,
    make_console,
    time_left,
)
from fastdrop.experiments.config import FIELDS
from fastdrop.experiments.errors import ConfigError
from fastdrop.experiments.fields import former_names
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.sweeps import (
    PARAMETERS,
    QUANTITIES,
    Sweep,
    SweepRun,
    curve,
    seeds_from,
    start_sweep,
    values_from,
)

_POLL_SECONDS = 0.1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.description = (
        "Train every value of a parameter with every seed, on all cores or on a cluster, and print the curve. The\n"
        "number of processes does not change the results. Ctrl-C stops; with --save, the same command continues."
    )
    parser.epilog = (
        "examples:\n"
        "  fastdrop sweep config.toml --param p=0:0.9:0.1 --seeds 20 --save rates.parquet\n"
        "  fastdrop sweep config.toml --param optimizer=adam,sgd --seeds 0,1,5\n"
        "  fastdrop sweep config.toml --param batch_size=8:256:x2 --cluster tcp://10.0.0.5:8786\n"
        "\nparameters:\n" + "".join(f"  {name:<24} {known.title}\n" for name, known in PARAMETERS.items())
    )
    parser.add_argument("config", type=Path, metavar="FILE", help="an experiment (.toml, .fastdrop) or a table")
    parser.add_argument("--param", required=True, metavar="NAME=VALUES", help="see below; p is the dropout rate")
    parser.add_argument("--seeds", default="5", metavar="N", help="how many, or a list such as 0,1,2 (default: 5)")
    parser.add_argument("--new-data", action="store_true", help="each seed also decides the data and their split")
    parser.add_argument("--save", type=Path, metavar="FILE.parquet", help="a table that is written during the sweep")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--processes", type=int, metavar="N", help="worker processes here (default: all cores)")
    where.add_argument("--cluster", metavar="ADDRESS", help="the scheduler of a dask.distributed cluster")


def run(options: argparse.Namespace) -> int:
    """Train all runs; 0 if all ended, 1 if some failed, 130 after Ctrl-C."""
    console = make_console()
    if options.processes is not None and options.processes < 1:
        raise ValueError(f"--processes must be at least 1; got {options.processes}")
    plan = _plan(options)
    sweep = start_sweep(plan, client=options.cluster, processes=options.processes, save=options.save)
    if sweep.table is not None:
        sweep.table.wait()
    console.print(
        f"[bold]{PARAMETERS[plan.parameter].title}[/]: {len(plan.values)} values, {len(plan.seeds)} seeds for each, "
        f"{plan.count} runs"
    )
    if plan.note:
        console.print(f"[yellow]note:[/] {escape(plan.note)}")
    _train(sweep, console)
    if sweep.results:
        console.print(_table(sweep))
    return _tell_end(sweep, options, console)


def _plan(options: argparse.Namespace) -> Sweep:
    name, equals, text = options.param.partition("=")
    if not equals:
        raise ConfigError(f"--param must be NAME=VALUES, such as p=0:0.9:0.1; got {options.param!r}")
    name = name.strip().replace("-", "_")
    name = {"p": "rate", **former_names(FIELDS)}.get(name, name)
    config = config_of(options.config)
    seeds = seeds_from(options.seeds, config.seed)
    return Sweep(config, name, values_from(text, name), seeds, options.new_data)


def _train(run: SweepRun, console: Console) -> None:
    """Show the progress until the sweep ends, or Ctrl-C."""
    columns = (
        TextColumn("{task.fields[runs]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[left]}"),
    )
    known = 0
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with closing(run), interrupts() as interrupted, bar as progress:
        task = progress.add_task("", total=1.0, runs="", left="")
        while run.is_running:
            run.poll()
            if run.kept > known:
                console.print(f"{run.kept} of the runs are in the table already")
                known = run.kept
            runs = f"{len(run.results)} of {run.sweep.count} runs"
            progress.update(
                task, completed=run.progress, runs=runs, left=run.note or time_left(run.progress, run.seconds_left)
            )
            if interrupted:
                run.cancel()
            elif run.is_running:
                time.sleep(_POLL_SECONDS)
    if run.problem and not run.results:
        raise OSError(run.problem)


def _table(run: SweepRun) -> Table:
    """The curve: mean ± standard deviation over the seeds of finished runs."""
    plan = run.sweep
    points = {name: dict(curve(plan, run.results, name)) for name in QUANTITIES}
    table = Table(PARAMETERS[plan.parameter].title)
    for name in (*QUANTITIES, "seeds"):
        table.add_column(name.replace("_", " "), justify="right")
    values = plan.values if PARAMETERS[plan.parameter].choices else sorted(plan.values)
    for value in values:
        finished = sum(result.value == value and not result.error for result in run.results)
        cells = [f"{points[name][value]:.4f}" if value in points[name] else "–" for name in QUANTITIES]
        table.add_row(escape(plan.name_of(value)), *cells, str(finished))
    return table


def _tell_end(run: SweepRun, options: argparse.Namespace, console: Console) -> int:
    """Print how the sweep ended and how to continue it; the exit status."""
    for outcome, color in (("diverged", "yellow"), ("failed", "red")):
        errors = [result.error for result in run.results if result.outcome == outcome]
        if errors:
            console.print(f"[{color}]{len(errors)} {outcome}[/], the first: {escape(errors[0])}", soft_wrap=True)
    done = sum(result.outcome != "failed" for result in run.results)
    if run.problem:
        console.print(f"[red]{escape(run.problem)}[/]", soft_wrap=True)
    if run.cancelled:
        console.print(f"stopped; {done} of {run.sweep.count} runs are done")
    if options.save:
        console.print(f"table: {escape(path_text(options.save))}", soft_wrap=True)
    if done < run.sweep.count:
        console.print(
            "The same command trains the missing runs."
            if options.save
            else "With --save FILE.parquet a sweep can be continued."
        )
    return 130 if run.cancelled else 0 if done == run.sweep.count else 1
