"""`fastdrop bench`: tables in the terminal, JSON and picture; and `fastdrop bench compare`."""

import argparse
import math
from collections.abc import Iterable, Sequence
from typing import Any

import fastdrop as fd
from fastdrop.bench import compare, device, peers, plan, quiet, report, results
from fastdrop.bench.machine import machine
from fastdrop.bench.measure import SUBJECT
from fastdrop.bench.results import Result
from fastdrop.errors import missing_package
from fastdrop.experiments.files import check_target, path_text

try:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Table
except ImportError:
    raise missing_package("rich", "bench", "the benchmark") from None

_FILE_WIDTH = 150
"""Columns where the output is no terminal."""

_HEADINGS = {
    "np.copyto": "np.\ncopyto",
    "plain NumPy": "plain\nNumPy",
    "NumPy at its best": "best\nNumPy",
    "dropout alone": "dropout\nalone",
}


def bench(options: argparse.Namespace) -> int:
    """Measure, print, save; Ctrl-C keeps what was measured."""
    if options.action == "compare":
        return _compare(options)
    if options.action == "torch":
        from fastdrop.cli.bench_torch import bench_torch

        return bench_torch(options)
    if options.action == "dask":
        from fastdrop.cli.bench_dask import bench_dask

        return bench_dask(options)
    if options.action == "tune":
        from fastdrop.cli.bench_tune import bench_tune

        return bench_tune(options)
    if options.save:
        check_target(options.save, ".json")
    if options.plot:
        check_target(options.plot, ".png")
        _need_matplotlib()
    console = make_console()
    if options.scaling:
        from fastdrop.cli.bench_scaling import bench_scaling

        return bench_scaling(options, console)
    on_device = options.device == "cuda"
    about = {**machine(), **device.description()} if on_device else machine()
    cases = _device_cases(options) if on_device else host_cases(options)
    missing = [name for name in peers.missing() if not on_device or name in plan.DEVICE_PEERS]
    for name in missing:
        console.print(f"{name} is not installed: not compared with (pip install {name})")
    measured: list[Result] = []
    status = 0
    try:
        _measure(cases, on_device, measured, console, math.inf if not options.quick else plan.QUICK_LIMIT)
    except KeyboardInterrupt:
        status = 130
        console.print("stopped; this is what was measured:")
    complete = len(measured) == len(cases)
    if not complete and not status:
        console.print(f"{len(cases) - len(measured)} cases left out, so that a quick run ends within a minute")
    done = report.Report(about, measured, missing, "quick" if options.quick else "full", complete)
    _print(done, console)
    if options.save:
        report.save(done, options.save)
        console.print(f"figures: {escape(path_text(options.save))}", soft_wrap=True)
    if options.plot:
        if report.draw(done, options.plot):
            console.print(f"picture: {escape(path_text(options.plot))}", soft_wrap=True)
        else:
            console.print("no picture: no plain float32 dropout was measured")
    return status


def make_console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)


def _need_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise missing_package("matplotlib", "bench", "drawing a picture") from None


def host_cases(options: argparse.Namespace) -> list[plan.Case]:
    threads = sorted(set(options.threads or (1, fd.get_num_threads())))
    before = fd.get_num_threads()
    try:
        for count in threads:  # says what is wrong with a number before anything is measured
            fd.set_num_threads(count)
    finally:
        fd.set_num_threads(before)
    rows = plan.QUICK if options.quick else plan.FULL
    found = plan.cases(rows, threads, _operations(options, plan.OPERATIONS))
    if not found:
        raise ValueError(f"{'; '.join(options.only)}: not part of a quick run")
    return found


def _device_cases(options: argparse.Namespace) -> list[plan.Case]:
    if options.threads:
        raise ValueError("--threads is about CPU threads; it has no meaning with --device cuda")
    rows = plan.DEVICE_QUICK if options.quick else plan.DEVICE
    found = plan.cases(rows, plan.ON_DEVICE, _operations(options, plan.DEVICE_OPERATIONS))
    if not found:
        raise ValueError(f"{'; '.join(options.only)}: not part of this run")
    return found


def _operations(options: argparse.Namespace, known: Sequence[str]) -> list[str]:
    """The operations that --only names; none for all."""
    names = {name.replace("-", " ").lower(): name for name in known}
    found = []
    for only in options.only or ():
        name = names.get(only.replace("-", " ").lower())
        if name is None:
            raise ValueError(f"--only names one of: {'; '.join(known)}; got {only!r}")
        found.append(name)
    return found


def _measure(
    cases: Sequence[plan.Case], on_device: bool, measured: list[Result], console: Console, limit: float
) -> None:
    """Fill `measured` case by case. A terminal gets a bar, a file or a pipe a line for each case."""
    clock = results.Clock(cases)
    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.fields[done]}/{task.fields[cases]}  {task.fields[left]:<8}  {task.description}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(str(cases[0]), total=clock.expected, done=0, cases=len(cases), left=_left(clock))

        def tell(text: str) -> None:
            if console.is_terminal:
                progress.update(task, description=text or str(cases[len(measured)]))
            elif text:
                console.print(text)

        runs = results.run_on_device(cases) if on_device else results.run(cases, tell)
        for number, result in enumerate(runs, start=1):
            measured.append(result)
            clock.finish(result)
            coming = str(cases[number]) if number < len(cases) else ""
            progress.update(task, completed=clock.done, done=number, left=_left(clock), description=coming)
            if not console.is_terminal:
                outcome = "; ".join([result.error or _rate(result), *(result.noise.reasons if result.noise else ())])
                console.print(f"{number}/{len(cases)}  {result.case}: {escape(outcome)}  ({_left(clock)})")
            if clock.seconds > limit:
                break


def _left(clock: results.Clock) -> str:
    seconds = max(0, round(clock.left))
    return f"{seconds // 60}:{seconds % 60:02} left"


def _rate(result: Result) -> str:
    own = result.timing()
    assert own is not None
    rate = result.gigabytes_per_second()
    return time_text(own.median) + ("" if math.isnan(rate) else f", {rate:.1f} GB/s")


def time_text(seconds: float) -> str:
    unit, size = next((pair for pair in (("s", 1.0), ("ms", 1e-3)) if seconds >= pair[1]), ("us", 1e-6))
    return f"{seconds / size:.3g} {unit}"


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _print(done: report.Report, console: Console) -> None:
    about = done.machine
    console.print(f"\n{_about_device(about) if 'device' in about else _about_host(about)}", soft_wrap=True)
    measured = [result for result in done.results if not result.error]
    for operation in dict.fromkeys(result.case.operation for result in measured):
        console.print(_table(operation, [result for result in measured if result.case.operation == operation]))
    _print_errors(done.results, console)
    if done.missing:
        console.print(f"not installed: {', '.join(done.missing)}")
    _print_break_even(done, console)
    console.print(_promises(done))
    _print_remark(done, "", console)


def _print_remark(done: report.Report, name: str, console: Console) -> None:
    """What disturbed a run, where something did."""
    remark = quiet.remark(results.noises(done.results))
    if remark:
        console.print(escape(f"{name}{remark}"), soft_wrap=True)


_ABOUT_FIGURES = (
    "Medians; spread: distance of the quartiles. GB/s counts the arrays that the call reads and writes.\n"
    f"Under another's name: how many times faster {SUBJECT} is, byte for byte"
)


def _about_host(about: dict[str, Any]) -> str:
    caches = ", ".join(f"{name} {size}" for name, size in about["caches"].items())
    return (
        f"{about['processor']}, {about['cores']} cores, {about['instruction set']}; {caches}\n"
        f"{_ABOUT_FIGURES} (plain {SUBJECT}, of its forced builds).\n"
        "best copy: the fastest of memcpy (m), plain stores (p) and streaming stores (s), on the threads and in the\n"
        "pieces that the call gets; np.copyto and NumPy use one thread, JAX and oneDNN their own.\n"
        "!: others used the cores meanwhile, or the repetitions differed much."
    )


def _about_device(about: dict[str, Any]) -> str:
    return (
        f"{about['device']}, {about['multiprocessors']} multiprocessors, L2 {about['L2 bytes'] >> 20} MB; "
        f"host: {about['processor']}, {about['threads']} threads\n"
        f"{_ABOUT_FIGURES}.\n"
        "Times by the device's clock, arrays in turns beyond its L2 cache; copy: from device memory to device memory.\n"
        f"{plan.DEVICE_OR_HOST}: by the host's clock, until the result is there."
    )


def _print_break_even(done: report.Report, console: Console) -> None:
    answer = done.break_even()
    if not answer:
        return
    console.print("Is it worth going to the GPU? Dropout there is faster than on this host's CPU:")
    for label, elements in answer.items():
        where = f"from {elements:,} elements on" if elements else "at no size that was measured"
        console.print(f"  {label}: {where}")


def _table(operation: str, found: Sequence[Result]) -> Table:
    names = (plan.BEST_COPY if name in plan.COPY_KINDS else name for result in found for name in result.candidates)
    others = [name for name in dict.fromkeys(names) if name != SUBJECT]
    others = [name for name in others if any(result.timing(name) for result in found)]
    table = Table(title=operation, title_justify="left")
    for heading in ("size", "dtype"):
        table.add_column(heading)
    for heading in ("p", "threads", "time", "spread", "GB/s", "Gel/s"):
        table.add_column(heading, justify="right")
    for name in others:
        table.add_column(_HEADINGS.get(name, name.replace(" ", "\n")), justify="right")
    for result in found:
        own, case = result.timing(), result.case
        if own is None:
            continue
        table.add_row(
            case.size,
            case.dtype,
            f"{case.p:g}",
            str(case.threads) if case.threads else "GPU",
            ("! " if result.noise and result.noise.reasons else "") + time_text(own.median),
            f"{own.spread:.0%}",
            _number(result.gigabytes_per_second()),
            _number(result.gigaelements_per_second()),
            *(_speed(result, name) for name in others),
        )
    return table


def _speed(result: Result, name: str) -> str:
    """How many times faster fastdrop is; of the best copy also which one it was."""
    mark = f" {result.best_copy[0]}" if name == plan.BEST_COPY and result.best_copy else ""
    return _number(result.speed(name)) + mark


def _print_errors(found: Iterable[Result], console: Console) -> None:
    """Each error once, with how often it came."""
    errors: dict[tuple[str, str, str], int] = {}
    for result in found:
        for name, text in result.candidates.items():
            if isinstance(text, str):
                key = (name, result.case.operation, text)
                errors[key] = errors.get(key, 0) + 1
    for (name, operation, text), times in errors.items():
        console.print(f"failed: {name}, {operation} ({times} cases): {escape(text)}", soft_wrap=True)


def _promises(done: report.Report) -> Table:
    where = "for an NVIDIA H200; " if "device" in done.machine else ""
    table = Table(title=f"promises ({where}float32 unless said)", title_justify="left")
    for heading in ("what", "needs", "threads", "promised"):
        table.add_column(heading)
    for heading in ("worst", "median", "cases"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for outcome in done.outcomes():
        promise = outcome.promise
        table.add_row(
            promise.what,
            ", ".join(promise.needs),
            promise.threads_text,
            promise.bound_text,
            _number(outcome.worst),
            _number(outcome.median),
            str(outcome.cases),
            escape(outcome.verdict),
        )
    return table


def _compare(options: argparse.Namespace) -> int:
    """`fastdrop bench compare` with two files, or with two builds."""
    if options.builds:
        if options.first:
            raise ValueError(f"{options.first}: --builds measures; it takes no saved runs")
        from fastdrop.cli.bench_builds import bench_builds

        return bench_builds(options)
    if not options.second:
        raise ValueError("name two saved runs (A.json B.json), or two builds (--builds A B)")
    if options.quick or options.only or options.save:
        raise ValueError("--quick, --only and --save are for --builds: saved runs are compared as they are")
    return compare_files(options)


def compare_files(options: argparse.Namespace) -> int:
    """`fastdrop bench compare A.json B.json`."""
    first, second = report.load(options.first), report.load(options.second)
    console = make_console()
    for path, one in ((options.first, first), (options.second, second)):
        _print_remark(one, f"{path_text(path)}: ", console)
    for name, (one, other) in compare.differences(first, second).items():
        console.print(escape(f"{name} differs: {one} and {other}"), soft_wrap=True)
    changes = list(compare.compare(first, second))
    if not changes:
        raise ValueError(f"{options.first} and {options.second} have no case in common")
    table = Table(title="changed beyond noise", title_justify="left")
    for heading in ("case", "before", "after", "faster by", "share of yardstick", "verdict"):
        table.add_column(heading, justify="left" if heading in ("case", "verdict") else "right")
    for change in changes:
        if change.verdict:
            table.add_row(
                escape(f"{change.case}{change.candidate.removeprefix(SUBJECT)}"),
                *map(time_text, change.seconds),
                f"x {change.faster:.2f}",
                "–" if change.share is None else f"x {change.share:.2f} of {escape(change.yardstick)}",
                escape(change.verdict),
            )
    changed = sum(1 for change in changes if change.verdict)
    if changed:
        console.print(table)
    only_first, only_second = compare.unmatched(first, second)
    console.print(
        f"{changed} of {len(changes)} figures changed beyond noise; "
        f"{only_first} cases are in the first file alone, {only_second} in the second"
    )
    return 0
