"""Work that may take a fraction of the time and no more."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class RateLimiter:
    """Limits work to a fraction of the time: after it took t seconds, the next call waits for t / fraction.

    Parameters
    ----------
    fraction : float
        Of the time, above 0 and at most 1.
    shortest_wait : float
        Seconds between two calls, however short the work is.
    """

    def __init__(self, fraction: float, shortest_wait: float) -> None:
        self._fraction, self._shortest_wait, self._next = fraction, shortest_wait, 0.0

    def __call__(self, work: Callable[[], Result]) -> Result | None:
        """The result of `work`, or None where it is too early for it."""
        begin = time.perf_counter()
        if begin < self._next:
            return None
        result = work()
        end = time.perf_counter()
        self._next = end + max(self._shortest_wait, (end - begin) / self._fraction)
        return result

    @property
    def wait(self) -> float:
        """Seconds until work is allowed again."""
        return max(0.0, self._next - time.perf_counter())

    def reset(self) -> None:
        """Allow the next call at once."""
        self._next = 0.0
