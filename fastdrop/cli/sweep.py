"""`fastdrop sweep`: one parameter over a range, several seeds of each value, with progress, a table, and a way back."""

import argparse
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from fastdrop.errors import missing_package
from fastdrop.experiments.archive import load_experiment
from fastdrop.experiments.config import ConfigError
from fastdrop.experiments.files import path_text
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

try:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Table
except ImportError:
    raise missing_package("rich", "experiments", "a sweep in the terminal") from None

_POLL_SECONDS = 0.1
_FILE_WIDTH = 130
"""Columns where the output is no terminal."""


def sweep(options: argparse.Namespace) -> int:
    """Train all runs; 0 if all came to an end, 1 if some failed, 130 after Ctrl-C."""
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)
    if options.processes is not None and options.processes < 1:
        raise ValueError(f"--processes is at least 1; got {options.processes}")
    plan = _plan(options)
    run = start_sweep(plan, client=options.cluster, processes=options.processes, save=options.save)
    if run.table is not None:
        run.table.wait()
    console.print(
        f"[bold]{PARAMETERS[plan.parameter].title}[/]: {len(plan.values)} values, {len(plan.seeds)} seeds of each, "
        f"{plan.count} runs"
    )
    if plan.note:
        console.print(f"[yellow]note:[/] {escape(plan.note)}")
    _train(run, console)
    if run.results:
        console.print(_table(run))
    return _tell_end(run, options, console)


def _plan(options: argparse.Namespace) -> Sweep:
    name, equals, text = options.param.partition("=")
    if not equals:
        raise ConfigError(f"--param is name=values, such as p=0:0.9:0.1; got {options.param!r}")
    name = {"p": "rate"}.get(name.strip(), name.strip().replace("-", "_"))
    config = load_experiment(options.config).config
    seeds = seeds_from(options.seeds, config.seed)
    return Sweep(config, name, values_from(text, name), seeds, options.new_data)


def _train(run: SweepRun, console: Console) -> None:
    """Until the sweep ends, or Ctrl-C."""
    columns = (
        TextColumn("{task.fields[runs]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[left]}"),
    )
    known = 0
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with closing(run), _interrupts() as interrupts, bar as progress:
        task = progress.add_task("", total=1.0, runs="", left="")
        while run.is_running:
            run.poll()
            if run.kept > known:
                console.print(f"{run.kept} of them are in the table already")
                known = run.kept
            runs = f"{len(run.results)} of {run.sweep.count} runs"
            progress.update(task, completed=run.progress, runs=runs, left=_left(run))
            if interrupts:
                run.cancel()
            elif run.is_running:
                time.sleep(_POLL_SECONDS)
    if run.problem and not run.results:
        raise OSError(run.problem)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Gathers the first Ctrl-C, which is obeyed between two steps and not within one; a second one interrupts."""
    before = signal.getsignal(signal.SIGINT)
    came: list[int] = []

    def gather(number: int, frame: object) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, gather)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


def _left(run: SweepRun) -> str:
    if run.note:
        return run.note
    if run.seconds_left is None:
        return "starting" if run.progress == 0 else ""
    seconds = round(run.seconds_left)
    return f"{seconds // 60}:{seconds % 60:02} left"


def _table(run: SweepRun) -> Table:
    """The curve: mean ± standard deviation over seeds, of the runs that came to their end."""
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
    """What came of it, and how to go on; the exit status."""
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
            "The same command trains those that are missing."
            if options.save
            else "With --save FILE.parquet a sweep can be continued.",
        )
    return 130 if run.cancelled else 0 if done == run.sweep.count else 1
