"""`fastdrop bench torch`: what dropout adds to whole training steps."""

import argparse
import math

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastdrop.bench.measure import SUBJECT, Timing
from fastdrop.errors import missing_package
from fastdrop.experiments.files import check_target, path_text

try:
    from fastdrop.bench import torch_steps
except ImportError:
    raise missing_package("torch", "torch", "measuring PyTorch's training steps") from None


def bench_torch(options: argparse.Namespace) -> int:
    """Measure, print, save."""
    if options.save:
        check_target(options.save, ".json")
    console = Console(highlight=False)
    outcomes = []
    for outcome in torch_steps.run():
        outcomes.append(outcome)
        _print(outcome, console)
    if options.save:
        torch_steps.save(outcomes, options.save)
        console.print(f"figures: {escape(path_text(options.save))}", soft_wrap=True)
    return 0


def _print(outcome: torch_steps.Outcome, console: Console) -> None:
    workload = outcome.workload
    table = Table(title=f"{workload.name}, p = {workload.p:g}", title_justify="left")
    table.add_column("dropout")
    for heading in ("ms", "spread", "rounds", f"x {torch_steps.FLOOR}"):
        table.add_column(heading, justify="right")
    table.add_column("promised")
    for name, timing in outcome.candidates.items():
        if not isinstance(timing, Timing):
            console.print(f"failed: {name}: {escape(timing)}", soft_wrap=True)
            continue
        promise = f"at most {workload.promised:.2f}" if name == SUBJECT else ""
        ratio = outcome.ratio(name)
        table.add_row(
            name,
            f"{timing.median * 1e3:.1f}",
            f"{timing.spread:.0%}",
            str(timing.rounds),
            "–" if math.isnan(ratio) else f"{ratio:.3f}",
            promise,
        )
    console.print(table)
