"""`fastdrop bench tune`: the constants for large arrays, measured on this machine."""

import argparse

from fastdrop.bench import tuning
from fastdrop.bench.internals import configuration
from fastdrop.cli.terminal import escape, make_console, new_table
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.formats.writing import check_target


def bench_tune(options: argparse.Namespace) -> int:
    """Measure, print, save."""
    if options.save:
        check_target(options.save, ".json")
    console = make_console()
    about = configuration()
    console.print(
        f"processor family: {about['processor family']}; in use: {about['prefetch']}, non-temporal stores above "
        f"{about['non-temporal above']}. Takes about a minute.",
        soft_wrap=True,
    )
    best = tuning.hints()
    headings = ("cache, bytes ahead", "times as fast", "least", "most")
    table = new_table("prefetches, against those in use (2^24 float32, non-temporal stores)", headings, headings[:1])
    for hint in best:
        figures = (hint.gain, min(hint.gains), max(hint.gains))
        table.add_row(tuning.name(hint.setting), *(f"{gain:.2f}" for gain in figures))
    console.print(table)
    console.print("non-temporal stores against plain ones, where the result is read afterwards:")
    found = []
    for size in tuning.sizes():
        found.append(size)
        gains = size.gains.values()
        text = f"2^{size.elements.bit_length() - 1} ({8 * size.elements >> 20} MB in all)"
        console.print(f"  {text}: {size.gain:.2f} times as fast ({min(gains):.2f} to {max(gains):.2f})")
    for sentence in tuning.advice(best[0], found):
        console.print(sentence, soft_wrap=True)
    if options.save:
        tuning.save(best, found, options.save)
        console.print(f"figures: {escape(path_text(options.save))}", soft_wrap=True)
    return 0
