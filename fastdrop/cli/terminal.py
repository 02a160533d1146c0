"""Rich's parts, which the commands with tables and progress bars share."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fastdrop.errors import missing_package

try:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table
except ImportError:
    raise missing_package("rich", "experiments", "this command") from None

__all__ = [
    "BarColumn",
    "Console",
    "Progress",
    "Table",
    "TextColumn",
    "TimeRemainingColumn",
    "escape",
    "interrupts",
    "make_console",
    "new_table",
    "time_left",
]

_FILE_WIDTH = 150
"""Columns where the output is not a terminal."""


def make_console() -> Console:
    """A console that is wide enough for tables also where the output is a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)


def new_table(title: str, headings: Sequence[str], left: Sequence[str] = ()) -> Table:
    """A table whose columns are right-aligned but for those in `left`."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=heading not in left)
    return table


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Collects the first Ctrl-C in a list, to stop between two polls; a second Ctrl-C interrupts at once."""
    before = signal.getsignal(signal.SIGINT)
    received: list[int] = []

    def receive(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, receive)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def time_left(progress: float, seconds: float | None) -> str:
    """What a progress bar says of the time that is left; `seconds` is None where it is not known yet."""
    if seconds is None:
        return "starting" if progress == 0 else ""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02} left"
