"""The user's own tables: CSV and NPZ files."""

from fastdrop.experiments.errors import DataError
from fastdrop.experiments.tables.contents import Facts, Preview, Table
from fastdrop.experiments.tables.reader import SUFFIXES, preview_table, read_table, send_facts

__all__ = ["SUFFIXES", "DataError", "Facts", "Preview", "Table", "preview_table", "read_table", "send_facts"]
