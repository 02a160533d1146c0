"""Thread policy, in one place.

A call uses all the cores that the process may use (or OMP_NUM_THREADS, or what `set_num_threads` says), unless it
is too small to gain from it: waking a team costs microseconds, in which one thread handles tens of thousands of
elements. The number of threads never changes a result.

A child made by fork() has no team any more, and waiting for it would hang; there, calls stay on their thread until
`set_num_threads` is called in a fresh process.
"""

import os

from fastdrop._kernels import cpu

SMALLEST_SHARE = 1 << 14
"""Decisions per thread below which another thread does not pay."""

_forked = False
_limit = cpu.max_threads()


def set_num_threads(threads: int) -> None:
    """Set how many threads a CPU kernel may use, for the whole process.

    Parameters
    ----------
    threads : int
        At least 1.

    Raises
    ------
    TypeError, ValueError
        If `threads` is not a whole number of at least 1.

    Examples
    --------
    >>> import fastdrop as fd
    >>> before = fd.get_num_threads()
    >>> fd.set_num_threads(1)
    >>> fd.get_num_threads()
    1
    >>> fd.set_num_threads(before)
    """
    global _limit
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise TypeError(f"the number of threads is an int of at least 1; got {threads!r}")
    count = threads.__index__()
    if count < 1:
        raise ValueError(f"the number of threads is an int of at least 1; got {count}")
    _limit = count


def get_num_threads() -> int:
    """Return how many threads a CPU kernel may use."""
    return 1 if _forked else _limit


def threads_for(decisions: int) -> int:
    """How many threads a call over so many elements gets."""
    return max(1, min(get_num_threads(), decisions // SMALLEST_SHARE))


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
