"""Work that may take a share of the time and no more."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class Allowance:
    """Lets something cost at most a share of the time: after it took t seconds, it waits for t / share."""

    def __init__(self, share: float, least: float) -> None:
        self._share, self._least, self._next = share, least, 0.0

    def __call__(self, work: Callable[[], Result]) -> Result | None:
        """The result of `work`, or None where it is not its turn."""
        begin = time.perf_counter()
        if begin < self._next:
            return None
        result = work()
        end = time.perf_counter()
        self._next = end + max(self._least, (end - begin) / self._share)
        return result

    @property
    def due(self) -> float:
        """Seconds until its turn."""
        return max(0.0, self._next - time.perf_counter())

    def now(self) -> None:
        """Make it its turn."""
        self._next = 0.0
