"""`fastdrop bench tune`: the constants for streaming, measured on this machine."""

import argparse

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastdrop.bench import tuning
from fastdrop.experiments.files import check_target, path_text
from fastdrop.info import configuration


def bench_tune(options: argparse.Namespace) -> int:
    """Measure, print, save."""
    if options.save:
        check_target(options.save, ".json")
    console = Console(highlight=False)
    about = configuration()
    console.print(
        f"processor family: {about['processor family']}; in force: {about['prefetch']}, streams above "
        f"{about['streams above']}. Takes about a minute.",
        soft_wrap=True,
    )
    best = tuning.hints()
    table = Table(title="prefetches, against those in force (2^24 float32, streaming)", title_justify="left")
    for heading in ("cache, bytes ahead", "times as fast", "least", "most"):
        table.add_column(heading, justify="left" if heading.startswith("cache") else "right")
    for hint in best:
        table.add_row(
            tuning.name(hint.setting), *(f"{gain:.2f}" for gain in (hint.gain, min(hint.gains), max(hint.gains)))
        )
    console.print(table)
    found = []
    console.print("streaming against not streaming, with a reader of the result behind:")
    for figures in tuning.sizes():
        found.append(figures)
        of_readers = figures.gains.values()
        size = f"2^{figures.elements.bit_length() - 1} ({8 * figures.elements >> 20} MB in all)"
        console.print(f"  {size}: {figures.gain:.2f} times as fast ({min(of_readers):.2f} to {max(of_readers):.2f})")
    for sentence in tuning.advice(best[0], found):
        console.print(sentence, soft_wrap=True)
    if options.save:
        tuning.save(best, found, options.save)
        console.print(f"figures: {escape(path_text(options.save))}", soft_wrap=True)
    return 0
