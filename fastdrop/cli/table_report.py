"""Prints what was read from a table: the target and its classes, the role of each column with its reason, and notes."""

from fastdrop.cli.terminal import Console, Table, escape
from fastdrop.experiments.formats.paths import path_text
from fastdrop.experiments.splitting import Dataset
from fastdrop.experiments.tables import Table as DataTable
from fastdrop.experiments.tables.contents import plural

_MOST_LISTED = 40
_MOST_CLASSES = 12


def print_table(table: DataTable, console: Console) -> None:
    """The target, the classes and the columns."""
    console.print(
        f"[bold]{escape(path_text(table.name))}[/]: {plural(len(table.labels), 'row')}, "
        f"{plural(len(table.columns), 'column')}"
    )
    reason = next((column.reason for column in table.columns if column.role == "target"), "")
    console.print(f"target: [bold]{escape(table.target)}[/] ({escape(reason)})")
    if not table.is_regression:
        counts = [f"{escape(name)} ({plural(count, 'row')})" for name, count in table.class_counts[:_MOST_CLASSES]]
        more = len(table.class_names) - len(counts)
        console.print(f"classes: {', '.join(counts)}{f' and {more} more' if more > 0 else ''}", soft_wrap=True)
    if table.image_shape is not None:
        height, width = table.image_shape
        console.print(f"images of {height} x {width} pixels" + (", in colour" if table.channels > 1 else ""))
        return
    shown = [column for column in table.columns if column.role != "target"]
    if len(shown) > _MOST_LISTED:  # a list of hundreds would hide what follows
        roles = [column.role for column in shown]
        counted = ", ".join(f"{roles.count(role)} {role}" for role in dict.fromkeys(roles))
        console.print(f"columns: {counted}; ignored ones are below")
        shown = [column for column in shown if column.role == "ignored"][:_MOST_LISTED]
    if shown:
        listed = Table("column")
        listed.add_column("role")
        listed.add_column("why", overflow="fold")
        for column in shown:
            style = "dim" if column.role == "ignored" else ""
            listed.add_row(escape(column.name), column.role, escape(column.reason), style=style)
        console.print(listed)


def print_notes(dataset: Dataset, console: Console) -> None:
    """What should be known about the data, and the sizes of the parts."""
    for note in dataset.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    given = "given apart" if dataset.fixed_test else "split at random, with the same fractions of the classes"
    console.print(
        f"{len(dataset.x_train):,} training rows, {len(dataset.x_test):,} test rows ({given}); "
        f"{plural(dataset.features, 'network input')}"
    )
