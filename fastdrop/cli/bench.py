"""`fastdrop bench`: the table in the terminal and the JSON."""

import argparse
import json

import fastdrop as fd
from fastdrop.bench.cpu import OPERATIONS, Timing, machine, run
from fastdrop.errors import missing_package
from fastdrop.experiments.files import write_atomically

try:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table
except ImportError:
    raise missing_package("rich", "experiments", "the benchmark") from None

_SMALLEST = 1 << 12


def bench(options: argparse.Namespace) -> int:
    """Measure, print, save; Ctrl-C keeps what was measured."""
    if options.elements < _SMALLEST:
        raise ValueError(f"--elements is at least {_SMALLEST}; got {options.elements}")
    if options.save and not options.save.absolute().parent.is_dir():
        raise ValueError(f"{options.save}: there is no folder {options.save.absolute().parent}")
    console = Console()
    threads = options.threads or sorted({1, fd.get_num_threads()})
    results: list[tuple[int, Timing]] = []
    interrupted = False
    before = fd.get_num_threads()
    try:
        with Progress(console=console) as progress:
            task = progress.add_task("measuring", total=len(threads) * OPERATIONS)
            for count in threads:
                fd.set_num_threads(count)
                for timing in run(options.elements):
                    results.append((count, timing))
                    progress.update(task, advance=1, description=timing.operation)
    except KeyboardInterrupt:
        interrupted = True
        console.print("stopped; this is what was measured:")
    finally:
        fd.set_num_threads(before)
    console.print(_table(results))
    if options.save:
        document = {"machine": machine(), "results": [_record(count, timing) for count, timing in results]}
        write_atomically(options.save, (json.dumps(document, indent=1) + "\n").encode())
        console.print(f"figures: {options.save}")
    return 130 if interrupted else 0


def _table(results: list[tuple[int, Timing]]) -> Table:
    table = Table(title="float32; medians; GB/s counts 8 bytes per element and pass")
    for heading in ("operation", "elements", "p", "threads", "GB/s", "x NumPy at its best", "x numpy.copyto"):
        table.add_column(heading, justify="left" if heading == "operation" else "right")
    for count, timing in results:
        table.add_row(
            timing.operation,
            f"{timing.elements:,}",
            f"{timing.p:g}",
            str(count),
            f"{timing.gigabytes_per_second:.1f}",
            f"{timing.speedup:.1f}",
            f"{timing.of_copy:.2f}",
        )
    return table


def _record(threads: int, timing: Timing) -> dict[str, object]:
    seconds = {"fastdrop": timing.fastdrop, "numpy": timing.numpy, "copy": timing.copy}
    return {
        "operation": timing.operation,
        "elements": timing.elements,
        "p": timing.p,
        "passes": timing.passes,
        "threads": threads,
        "median_seconds": seconds,
    }
