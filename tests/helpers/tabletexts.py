"""Small tables as text: written, read, and their roles."""

from fastdrop.experiments import load_table


def read(tmp_path, text, name="t.csv", **choices):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_table(path, **choices)


def lines(text):
    return text.replace("/", "\n") + "\n"


def roles(table):
    return {column.name: column.role for column in table.columns}
