"""`fastdrop bench`: tables in the terminal, JSON and picture; and `fastdrop bench compare` of two files."""

import argparse
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from fastdrop.bench import baselines, compare, device, figures, noise, picture, plan, report, results
from fastdrop.bench.internals import get_num_threads, set_num_threads
from fastdrop.bench.machine import machine
from fastdrop.bench.measure import SUBJECT
from fastdrop.bench.plan import Case
from fastdrop.bench.report import Report
from fastdrop.bench.results import Result
from fastdrop.cli.terminal import BarColumn, Console, Progress, Table, TextColumn, escape, make_console, new_table
from fastdrop.errors import missing_package
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.writing import check_target


def measure(options: argparse.Namespace) -> int:
    """Measure, print, save; Ctrl-C keeps what was measured."""
    if options.save:
        check_target(options.save, ".json")
    if options.plot:
        check_target(options.plot, ".png")
        _need_matplotlib()
    cases, kind = chosen_cases(options)
    console, on_device = make_console(), options.device == "cuda"
    about = {**machine(), **(device.description() if on_device else {})}
    missing = [name for name in baselines.missing() if not on_device or name in plan.ON_GPU]
    for name in missing:
        console.print(f"{name} is not installed: no baseline here (pip install {name})")
    measured: list[Result] = []
    status = 0
    try:
        _measure(cases, measured, console, plan.QUICK_LIMIT if options.quick else math.inf)
    except KeyboardInterrupt:
        status = 130
        console.print("stopped; this is what was measured:")
    complete = len(measured) == len(cases)
    if not complete and not status:
        console.print(f"{len(cases) - len(measured)} cases left out, so that a quick run ends within a minute")
    done = Report(about, measured, missing, kind, complete)
    _print(done, console)
    if options.save:
        report.save(done, options.save)
        console.print(f"figures: {escape(path_text(options.save))}", soft_wrap=True)
    if options.plot:
        drawn = picture.draw(done, options.plot)
        text = f"picture: {escape(path_text(options.plot))}" if drawn else "no picture: no float32 dropout was measured"
        console.print(text, soft_wrap=True)
    return status


def _need_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise missing_package("matplotlib", "bench", "drawing a picture") from None


def chosen_cases(options: argparse.Namespace) -> tuple[list[Case], str]:
    """What the options ask for, and the name of that plan; ValueError where it is nothing."""
    only = operations(options.only or (), plan.DEVICE if options.device == "cuda" else plan.FULL)
    if options.device == "cuda":
        if options.threads or options.scaling:
            raise ValueError("--threads and --scaling are for the CPU; they have no meaning with --device cuda")
        found = plan.device_cases(options.quick, only)
    else:
        threads = thread_counts(options)
        scaling = plan.cases(plan.SCALING, threads, only)
        found = scaling if options.scaling else plan.cpu_cases(options.quick, threads, only)
    if not found:
        raise ValueError(f"{'; '.join(options.only)}: not part of this run")
    return found, "scaling" if options.scaling else "quick" if options.quick else "full"


def thread_counts(options: argparse.Namespace) -> list[int]:
    """The numbers of threads, each checked: those asked for, or 1 and all; with --scaling also powers of two."""
    most = get_num_threads()
    powers = [1 << bit for bit in range(most.bit_length())] if options.scaling else [1]
    counts = sorted({*(options.threads or (*powers, most))})
    try:
        for count in counts:
            set_num_threads(count)
    finally:
        set_num_threads(most)
    return counts


def operations(names: Sequence[str], rows: Iterable[plan.Row]) -> list[str]:
    """The operations with these names; `-` may replace a space."""
    known = {name.replace("-", " ").lower(): name for name in plan.operations(rows)}
    for name in names:
        if name.replace("-", " ").lower() not in known:
            raise ValueError(f"--only names one of: {'; '.join(known.values())}; got {name!r}")
    return [known[name.replace("-", " ").lower()] for name in names]


def _measure(cases: Sequence[Case], measured: list[Result], console: Console, limit: float) -> None:
    """Fill `measured` case by case. A terminal gets a bar, a file or a pipe a line for each case."""
    clock = results.Clock(cases)
    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.fields[done]}/{task.fields[cases]}  {task.fields[left]:<8}  {task.description}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(str(cases[0]), total=clock.expected, done=0, cases=len(cases), left=_left(clock))
        for number, result in enumerate(results.run(cases, limit), start=1):
            measured.append(result)
            clock.finish(result)
            coming = str(cases[number]) if number < len(cases) else ""
            progress.update(task, completed=clock.done, done=number, left=_left(clock), description=coming)
            if not console.is_terminal:
                outcome = "; ".join([result.error or _rate(result), *(result.noise.reasons if result.noise else ())])
                console.print(
                    f"{number}/{len(cases)}  {result.case}: {escape(outcome)}  ({_left(clock)})", soft_wrap=True
                )


def _left(clock: results.Clock) -> str:
    return f"{round(clock.left) // 60}:{round(clock.left) % 60:02} left"


def _rate(result: Result) -> str:
    (time, _), _, (rate, _) = figures.cells(result)
    return f"{time}, {rate} GB/s"


def _print(done: Report, console: Console) -> None:
    about = done.machine
    console.print(f"\n{_about_device(about) if 'device' in about else _about_host(about)}", soft_wrap=True)
    measured = [result for result in done.results if not result.error]
    tables: dict[str, list[Result]] = {}
    for result in measured:
        tables.setdefault(f"{result.case.operation}, {result.case.dtype}", []).append(result)
    for title, found in tables.items():
        console.print(_table(title, found))
    _print_errors(done.results, console)
    if done.plan == "scaling":
        console.print(_scaling(measured))
    for label, elements in done.break_even().items():
        where = f"from {elements:,} elements on" if elements else "at no size that was measured"
        console.print(f"dropout on the GPU is faster than on this CPU, {label}: {where}")
    if done.plan != "scaling":
        _print_targets(done, console)
    _print_remark(done, "", console)


def _print_remark(done: Report, name: str, console: Console) -> None:
    """What disturbed a run, if anything."""
    remark = noise.remark(results.noises(done.results))
    if remark:
        console.print(escape(f"{name}{remark}"), soft_wrap=True)


_ABOUT_FIGURES = (
    "Medians; spread: distance of the quartiles. GB/s counts the arrays that a call reads and writes.\n"
    f"Under the name of a baseline: how many times faster {SUBJECT} is, by bytes"
)


def _about_host(about: dict[str, Any]) -> str:
    caches = ", ".join(f"{name} {size}" for name, size in about["caches"].items())
    return (
        f"{about['processor']}, {about['cores']} cores, {about['instruction set']}; {caches}\n{_ABOUT_FIGURES}.\n"
        "best copy: the fastest of memcpy (m), plain stores (p) and non-temporal stores (n), on the threads and in\n"
        "the slices that the call gets; np.copyto and NumPy use one thread, JAX its own.\n"
        "!: other programs used the cores meanwhile, or the repetitions differed much."
    )


def _about_device(about: dict[str, Any]) -> str:
    return (
        f"{about['device']}, {about['multiprocessors']} multiprocessors, L2 {about['L2 bytes'] >> 20} MB; "
        f"CPU: {about['processor']}, {about['threads']} threads\n{_ABOUT_FIGURES}.\n"
        "Times by the device's clock, arrays in turns beyond its L2 cache; copy: from device memory to device memory.\n"
        f"{plan.DEVICE_OR_HOST}: by the CPU's clock, until the result is there."
    )


def _table(title: str, found: Sequence[Result]) -> Table:
    names = (plan.BEST_COPY if name in plan.COPY_KINDS else name for result in found for name in result.candidates)
    others = [name for name in dict.fromkeys(names) if name != SUBJECT]
    others = [name for name in others if any(result.timing(name) for result in found)]
    columns = [re.sub(r" |(?<=[a-z])\.", "\n", name.removeprefix(f"{SUBJECT} ")) for name in others]
    table = new_table(title, (*figures.HEADINGS, *columns), ("size",))
    for result in found:
        texts = [text for text, _ in (*figures.case_cells(result), *figures.cells(result))]
        table.add_row(*texts, *(_speed(result, name) for name in others))
    return table


def _speed(result: Result, name: str) -> str:
    """How many times faster fastdrop is; of the best copy also which one it was."""
    mark = f" {result.best_copy[0]}" if name == plan.BEST_COPY and result.best_copy else ""
    return figures.number_text(result.speed(name)) + mark


def _print_errors(found: Iterable[Result], console: Console) -> None:
    """Each error once, with the number of cases."""
    errors: dict[tuple[str, str, str], int] = {}
    for result in found:
        for name, text in result.candidates.items():
            if isinstance(text, str):
                key = (name, result.case.operation, text)
                errors[key] = errors.get(key, 0) + 1
    for (name, operation, text), times in errors.items():
        console.print(f"failed: {name}, {operation} ({times} cases): {escape(text)}", soft_wrap=True)


def _scaling(found: Sequence[Result]) -> Table:
    headings = ("case", "speed-up", "efficiency", "efficiency of the copy")
    table = new_table(
        "scaling, against one thread (where the copy scales as badly, memory is the limit)", headings, headings[:1]
    )
    for each in figures.scaling(found):
        table.add_row(str(each.result.case), *map(figures.number_text, each[1:]))
    return table


def _print_targets(done: Report, console: Console) -> None:
    where = "for an NVIDIA H200; " if "device" in done.machine else ""
    headings = ("what", "threads", "target", "worst", "median", "cases", "verdict")
    table = new_table(f"targets ({where}float32 unless said)", headings, ("what", "threads", "target", "verdict"))
    outcomes = done.outcomes()
    for target, cases, worst, middle, verdict in outcomes:
        if cases:
            figures_of = map(figures.number_text, (worst, middle))
            table.add_row(target.what, target.threads_text, target.text, *figures_of, str(cases), escape(verdict))
    if table.row_count:
        console.print(table)
    unmeasured = [outcome.target.what for outcome in outcomes if not outcome.cases]
    if unmeasured:
        console.print(f"targets that were not measured: {'; '.join(unmeasured)}", soft_wrap=True)


def compare_files(options: argparse.Namespace) -> int:
    """`fastdrop bench compare A.json B.json`."""
    if not options.second:
        raise ValueError("name two saved runs (A.json B.json), or two builds (--builds A B)")
    if options.quick or options.only or options.save:
        raise ValueError("--quick, --only and --save are for --builds: saved runs are compared as they are")
    first, second = report.load(options.first), report.load(options.second)
    console = make_console()
    for path, one in ((options.first, first), (options.second, second)):
        _print_remark(one, f"{path_text(path)}: ", console)
    for name, (one, other) in compare.differences(first, second).items():
        console.print(escape(f"{name} differs: {one} and {other}"), soft_wrap=True)
    changes = list(compare.compare(first, second))
    if not changes:
        raise ValueError(f"{options.first} and {options.second} have no case in common")
    headings = ("case", "before", "after", "faster by", "against the baseline", "verdict")
    table = new_table("changed beyond noise", headings, ("case", "verdict"))
    changed = [change for change in changes if change.verdict]
    for change in changed:
        table.add_row(
            escape(f"{change.case}{change.candidate.removeprefix(SUBJECT)}"),
            *map(figures.time_text, change.seconds),
            f"x {change.faster:.2f}",
            "–" if change.share is None else f"x {change.share:.2f} ({escape(change.baseline)})",
            escape(change.verdict),
        )
    if changed:
        console.print(table)
    only_first, only_second = compare.unmatched(first, second)
    console.print(
        f"{len(changed)} of {len(changes)} figures changed beyond noise; "
        f"{only_first} cases are in the first file alone, {only_second} in the second"
    )
    return 0
