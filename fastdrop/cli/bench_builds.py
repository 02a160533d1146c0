"""`fastdrop bench compare --builds`: two builds that take turns, and which of them is faster."""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack, closing
from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastdrop.bench import builds, plan, quiet
from fastdrop.bench.builds import Build, Pairing
from fastdrop.cli import bench
from fastdrop.experiments.files import check_target, path_text


def bench_builds(options: argparse.Namespace) -> int:
    """Measure, print, save; Ctrl-C, and a build that ends, keep what was measured."""
    if options.save:
        check_target(options.save, ".json")
    cases = _cases(options)
    console = bench.make_console()
    found: list[Pairing] = []
    with ExitStack() as stack:
        first, second = (stack.enter_context(closing(Build(path))) for path in options.builds)
        for letter, build in zip("AB", (first, second), strict=True):
            about = ", ".join(f"{name} {value}" for name, value in build.about.items())
            console.print(escape(f"{letter}: {path_text(build.path)} ({about})"), soft_wrap=True)
        status = 0
        try:
            for pairing in builds.compare((first, second), cases, lambda text: _tell(text, console)):
                found.append(pairing)
                console.print(f"{len(found)}/{len(cases)}  {_line(pairing)}", soft_wrap=True)
        except KeyboardInterrupt:
            status = 130
            console.print("stopped; this is what was measured:")
        finally:
            if found:
                _print(found, console)
            if found and options.save:
                builds.save((first, second), found, len(found) == len(cases), options.save)
                console.print(f"figures: {escape(path_text(options.save))}", soft_wrap=True)
    return status


def _cases(options: argparse.Namespace) -> list[plan.Case]:
    """Of the benchmark's plan, what the workers can measure."""
    cases = [case for case in bench.host_cases(options) if case.operation in builds.OPERATIONS]
    if not cases:
        raise ValueError(f"builds are compared in: {'; '.join(builds.OPERATIONS)}; got --only {' '.join(options.only)}")
    return cases


def _tell(text: str, console: Console) -> None:
    if text:
        console.print(text)


def _line(pairing: Pairing) -> str:
    ratio = "" if pairing.error else f"x {median(pairing.ratios):.3f}, "
    return escape(f"{pairing.case}: {ratio}{'; '.join([pairing.verdict, *_reasons(pairing)])}")


def _reasons(pairing: Pairing) -> list[str]:
    return pairing.noise.reasons if pairing.noise else []


def _print(found: Sequence[Pairing], console: Console) -> None:
    table = Table(title="B against A, pair by pair: above 1, B is faster", title_justify="left")
    for heading in ("case", "A", "B", "B faster by", "quartiles", "worst", "pairs", "verdict"):
        table.add_column(heading, justify="left" if heading in ("case", "verdict") else "right")
    for pairing in found:
        if pairing.error:
            table.add_row(escape(str(pairing.case)), *["–"] * 6, escape(pairing.error))
            continue
        low, high = pairing.quartiles
        table.add_row(
            escape(str(pairing.case)),
            *map(bench.time_text, pairing.seconds),
            f"{'! ' if _reasons(pairing) else ''}x {median(pairing.ratios):.3f}",
            f"{low:.3f} – {high:.3f}",
            f"{min(pairing.ratios):.3f}",
            str(len(pairing.ratios)),
            pairing.verdict,
        )
    console.print(table)
    for word in ("faster", "slower"):
        count = sum(pairing.verdict.startswith(word) for pairing in found)
        console.print(f"B is {word} in {count} of {len(found)} cases")
    remark = quiet.remark([pairing.noise for pairing in found if pairing.noise])
    if remark:
        console.print(escape(remark), soft_wrap=True)
