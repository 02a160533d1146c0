"""`fastdrop reproduce`: runs the experiments behind the claims about dropout."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastdrop.bench.machine import machine
from fastdrop.cli.terminal import BarColumn, Console, Progress, Table, TextColumn, escape, make_console
from fastdrop.errors import missing_package
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.writing import check_target, make_folder
from fastdrop.experiments.studies import (
    OVERVIEW,
    STUDIES,
    Finding,
    Study,
    StudyRunner,
    available_cores,
    compare,
    document_of,
    files_of,
    processes,
    save,
    save_overview,
    saved,
)
from fastdrop.experiments.studies.study import Outcome

_ABOUT = ("processor", "processor family", "cores", "fastdrop", "numpy", "numpy simd", "blas", "blas kernel")
"""What is said of the machine beside the figures."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.description = (
        "Run an experiment on several seeds: a table of means and standard deviations, a picture, and whether the\n"
        "claim holds, does not hold, or is undecided. All experiments take about twelve minutes on two cores. Ctrl-C\n"
        "keeps the finished ones."
    )
    parser.epilog = (
        "examples:\n"
        "  fastdrop reproduce list             names and claims\n"
        "  fastdrop reproduce rates            one of them\n"
        "  fastdrop reproduce all --quick      two seeds, few epochs: a test that everything runs\n"
        "  fastdrop reproduce all --compare docs/experiments\n"
        "                                      compares with the results of another machine\n"
    )
    parser.add_argument("name", metavar="NAME", help="an experiment, all, or list")
    parser.add_argument(
        "--save", type=Path, metavar="FOLDER", default=Path("experiments"), help="(default: experiments)"
    )
    parser.add_argument("--quick", action="store_true", help="two seeds and few epochs, which prove nothing")
    parser.add_argument("--processes", type=int, metavar="N", help="worker processes (default: all cores)")
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="FOLDER",
        help="compare with the figures that another run saved there; exit status 1 where they disagree",
    )


def run(options: argparse.Namespace) -> int:
    """Run one study or all; Ctrl-C keeps the finished ones."""
    _check_matplotlib()
    console = make_console()
    if options.name == "list":
        console.print(_list())
        return 0
    if options.name != "all" and options.name not in STUDIES:
        raise ValueError(f"there is no experiment {options.name!r}; choose all, list, {', '.join(STUDIES)}")
    if options.processes is not None and options.processes < 1:
        raise ValueError(f"--processes must be at least 1; got {options.processes}")
    studies = list(STUDIES.values()) if options.name == "all" else [STUDIES[options.name]]
    others = {study.name: saved(study, options.compare, options.quick) for study in studies if options.compare}
    make_folder(options.save)
    for name in [name for study in studies for name in files_of(study)]:
        check_target(options.save / name)
    if options.name == "all":
        check_target(options.save / OVERVIEW)
    done: list[tuple[Study, dict[str, Any]]] = []
    status = 0
    try:
        with processes(options.processes or available_cores()) as executor:
            _run_all(studies, executor, options, console, done)
    except KeyboardInterrupt:
        status = 130
        console.print(f"stopped; {len(done)} of {len(studies)} experiments are done")
    if options.name == "all" and len(done) == len(studies):
        save_overview(done, options.save)
    if others and _compare(done, others, console) and not status:
        status = 1
    if done:
        console.print(f"pictures, figures and configurations: {escape(path_text(options.save))}", soft_wrap=True)
    return status


def _check_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise missing_package("matplotlib", "experiments", "running the experiments") from None


def _compare(done: Sequence[tuple[Study, dict[str, Any]]], others: dict[str, Any], console: Console) -> bool:
    """Print how each study agrees with another run of it; returns whether any does not."""
    different = False
    for study, document in done:
        other = others[study.name]
        found = compare(document, other)
        different = different or bool(found.differences)
        console.print(f"\n[bold]{study.name}[/], compared with {escape(_kernels(other))}", soft_wrap=True)
        console.print(escape(str(found)), soft_wrap=True)
    return different


def _kernels(document: dict[str, Any]) -> str:
    about = document["machine"]
    kernels = [str(about[name]) for name in ("processor family", "blas", "blas kernel") if name in about]
    return f"a run with {', '.join(kernels)}" if kernels else "another run"


def _list() -> Table:
    table = Table()
    for heading in ("name", "claim"):
        table.add_column(heading)
    for study in STUDIES.values():
        table.add_row(study.name, escape(study.claim))
    return table


class _Clock:
    """Estimates the time left from the expected and the measured durations of the studies."""

    def __init__(self, studies: Sequence[Study]) -> None:
        self.total = sum(study.expected for study in studies)
        self.before = 0.0
        self.begin = time.perf_counter()

    def left(self, study: Study, fraction: float) -> str:
        done = self.before + fraction * study.expected
        elapsed = time.perf_counter() - self.begin
        if done < 0.01 * self.total or elapsed < 2:
            return ""
        seconds = round(elapsed * (self.total - done) / done)
        return f"{seconds // 60}:{seconds % 60:02} left"


def _run_all(
    studies: Sequence[Study],
    executor: object,
    options: argparse.Namespace,
    console: Console,
    done: list[tuple[Study, dict[str, Any]]],
) -> None:
    clock = _Clock(studies)
    about = machine()
    described = {name: about[name] for name in _ABOUT if about.get(name) is not None}
    columns = (TextColumn("{task.description:<18}"), BarColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=clock.total, left="")
        for number, study in enumerate(studies, start=1):
            title = f"{number}/{len(studies)} {study.name}"
            progress.update(task, description=title)

            def report(fraction: float, study: Study = study) -> None:
                left = clock.left(study, fraction)
                progress.update(task, completed=clock.before + fraction * study.expected, left=left)

            begin = time.perf_counter()
            finding = study.measure(StudyRunner(executor, options.quick, report))  # type: ignore[arg-type]
            seconds = time.perf_counter() - begin
            document = document_of(study, finding, seconds, described, options.quick)
            save(study, finding, document, options.save)
            clock.before += study.expected
            done.append((study, document))
            _print(title, study, finding, seconds, console)
            if not console.is_terminal and number < len(studies):
                console.print(f"  ({clock.left(study, 0.0) or 'more to come'})")


def _print(title: str, study: Study, finding: Finding, seconds: float, console: Console) -> None:
    console.print(f"\n[bold]{title}[/]  ({seconds:.0f} s)")
    console.print(f"claim: {escape(study.claim)}")
    color = "green" if finding.verdict == Outcome.HOLDS else "yellow"
    console.print(f"[{color}]{finding.verdict}[/]. {escape(finding.sentence)}")
    for name, part in finding.parts.items():
        console.print(f"  {escape(f'{name}: {part.outcome} ({part.measure})')}", soft_wrap=True)
    table = Table()
    for place, heading in enumerate(finding.columns):
        table.add_column(escape(heading), justify="left" if place == 0 else "right")
    for row in finding.rows:
        table.add_row(*map(escape, row))
    console.print(table)
