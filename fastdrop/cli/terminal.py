"""Rich's parts, which the commands with tables and progress bars share."""

from fastdrop.errors import missing_package

try:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table
except ImportError:
    raise missing_package("rich", "experiments", "this command") from None

__all__ = ["BarColumn", "Console", "Progress", "Table", "TextColumn", "TimeRemainingColumn", "escape", "make_console"]

_FILE_WIDTH = 130
"""Columns where the output is not a terminal."""


def make_console() -> Console:
    """A console that is wide enough for tables also where the output is a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)
