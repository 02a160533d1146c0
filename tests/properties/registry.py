"""Which public names have a property: `test_inventory.py` looks for those that have none."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

COVERED: set[str] = set()


def covers(*names: str) -> Callable[[T], T]:
    """Mark a test as covering these public names, `Class.method` for methods."""
    COVERED.update(names)
    return lambda test: test
