"""`fastdrop bench compare --builds`: two builds measured in turns, and which of them is faster."""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack, closing
from statistics import median

from fastdrop.bench import builds, noise, plan
from fastdrop.bench.builds import Build, Pairing
from fastdrop.bench.figures import time_text
from fastdrop.cli.bench import operations, thread_counts
from fastdrop.cli.terminal import Console, escape, make_console, new_table
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.writing import check_target


def bench_builds(options: argparse.Namespace) -> int:
    """Measure, print, save; Ctrl-C, and a build that ends, keep what was measured."""
    if options.first:
        raise ValueError(f"{options.first}: --builds measures; it takes no saved runs")
    if options.save:
        check_target(options.save, ".json")
    only = operations(options.only or (), plan.FULL)
    found = plan.cpu_cases(options.quick, thread_counts(options), only)
    cases = [case for case in found if case.operation in builds.OPERATIONS]
    if not cases:
        raise ValueError(f"{'; '.join(only)}: not part of this run")
    console = make_console()
    pairings: list[Pairing] = []
    with ExitStack() as stack:
        pair = [stack.enter_context(closing(Build(path))) for path in options.builds]
        for letter, build in zip("AB", pair, strict=True):
            about = ", ".join(f"{name} {value}" for name, value in build.about.items())
            console.print(escape(f"{letter}: {path_text(build.path)} ({about})"), soft_wrap=True)
        try:
            for pairing in builds.compare((pair[0], pair[1]), cases):
                pairings.append(pairing)
                console.print(f"{len(pairings)}/{len(cases)}  {_line(pairing)}", soft_wrap=True)
        except KeyboardInterrupt:
            console.print("stopped; this is what was measured:")
            return 130
        finally:
            if pairings:
                _print(pairings, console)
            if pairings and options.save:
                builds.save((pair[0], pair[1]), pairings, len(pairings) == len(cases), options.save)
                console.print(f"figures: {escape(path_text(options.save))}", soft_wrap=True)
    return 0


def _reasons(pairing: Pairing) -> list[str]:
    return pairing.noise.reasons if pairing.noise else []


def _line(pairing: Pairing) -> str:
    ratio = "" if pairing.error else f"x {median(pairing.ratios):.3f}, "
    return escape(f"{pairing.case}: {ratio}{'; '.join([pairing.verdict, *_reasons(pairing)])}")


def _print(found: Sequence[Pairing], console: Console) -> None:
    headings = ("case", "A", "B", "B faster by", "quartiles", "worst", "pairs", "verdict")
    table = new_table("B against A, pair by pair: above 1, B is faster", headings, ("case", "verdict"))
    for pairing in found:
        if pairing.error:
            table.add_row(escape(str(pairing.case)), *["–"] * 6, escape(pairing.error))
            continue
        low, high = pairing.quartiles
        table.add_row(
            escape(str(pairing.case)),
            *map(time_text, pairing.seconds),
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
    remark = noise.remark([pairing.noise for pairing in found if pairing.noise])
    if remark:
        console.print(escape(remark), soft_wrap=True)
