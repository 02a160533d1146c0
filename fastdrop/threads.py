"""How many threads a call gets.

A call uses all the cores that the process may use (or OMP_NUM_THREADS, or what `set_num_threads` says), and never more
than OpenMP has been limited to since, as threadpoolctl does for a while. A call that is too small to gain from them
stays on one thread: waking a sleeping team takes about 50 microseconds (seen on 2 cores), in which one thread handles
2**19 elements; an awake one takes 2. The number of threads never changes a result.

Calls that run at the same time, as Dask's threads make them for an array's chunks, share the cores;
src_kernels/cpu/threads.h counts them.

A child made by fork() has no team any more, and waiting for it would hang; there, calls stay on their thread.
"""

import os

from fastdrop._kernels import cpu as kernels

SMALLEST_SHARE = 1 << 18
"""Elements of a thread below which another thread does not pay."""

MOST_THREADS = 1024
"""OpenMP ends the process when the system gives it no more threads; nothing here gains from more."""

_forked = False
_openmp_at_first = kernels.max_threads()
_limit = _openmp_at_first


def set_num_threads(threads: int) -> None:
    """Set how many threads a CPU kernel may use, for the whole process.

    In a child made by fork() calls stay on one thread whatever is set.

    Parameters
    ----------
    threads : int
        From 1 to 1024.

    Raises
    ------
    TypeError, ValueError
        If `threads` is not a whole number from 1 to 1024.

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
        raise TypeError(f"the number of threads is an int from 1 to {MOST_THREADS}; got {threads!r:.200}")
    count = threads.__index__()
    if not 1 <= count <= MOST_THREADS:
        raise ValueError(f"the number of threads is from 1 to {MOST_THREADS}; got {count}")
    _limit = count


def get_num_threads() -> int:
    """Return how many threads a CPU kernel may use."""
    if _forked:
        return 1
    openmp: int = kernels.max_threads()
    return min(_limit, openmp) if openmp < _openmp_at_first else _limit


def threads_for(elements: int) -> int:
    """How many threads a call over this number of elements gets."""
    share = elements // SMALLEST_SHARE
    return 1 if share < 2 else min(get_num_threads(), share)


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
