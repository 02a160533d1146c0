"""The user's own tables: files of any kind, and data in memory."""

from fastdrop.experiments.errors import DataError
from fastdrop.experiments.tables.contents import ROLES, Column, Table
from fastdrop.experiments.tables.reader import load_table
from fastdrop.experiments.tables.sources import SUFFIXES, is_table

__all__ = ["ROLES", "SUFFIXES", "Column", "DataError", "Table", "is_table", "load_table"]
