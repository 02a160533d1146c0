"""Thread policy, in one place; so the compiled kernels are loaded here, and handed on from here.

A call uses all the cores that the process may use (or OMP_NUM_THREADS, or what `set_num_threads` says), and never more
than OpenMP has been limited to since, as threadpoolctl does for a while; unless it is too small to gain from it: waking
a sleeping team takes about 50 microseconds (seen on 2 cores), in which one thread handles 2**19 elements; an awake one
takes 2. The number of threads never changes a result.

GNU's OpenMP lets an idle team spin for milliseconds, on cores that the next matrix product wants: a DropConnect layer
took 8.0 ms of which 1.2 were the product (2 cores, 1448 x 1448). So the team is asked to sleep after about 1000 rounds,
which made that 1.7 ms and kept calls in quick succession as fast as before. It reads this from the environment when it
is loaded, and only then; a policy that the user has set stands.

Calls that run at the same time, as Dask's threads make them for an array's chunks, share the cores: else each of these
threads would have a team of that many. dispatch.c counts them.

A child made by fork() has no team any more, and waiting for it would hang; there, calls stay on their
thread.
"""

import os

from fastdrop import processor

_SPIN = "GOMP_SPINCOUNT"
_spin_is_ours = not {_SPIN, "OMP_WAIT_POLICY"} & os.environ.keys()
if _spin_is_ours:
    os.environ[_SPIN] = "1000"
try:
    from fastdrop._kernels import cpu as kernels
except ModuleNotFoundError as error:
    if error.name not in ("fastdrop._kernels", "fastdrop._kernels.cpu"):
        raise
    raise ImportError(
        f"the compiled kernels of fastdrop are not beside {os.path.dirname(__file__)}: this is its source, which hides "
        "the package that may be installed. Start Python in another folder; or, to work on the source, run "
        "`pip install -e .` there"
    ) from None
finally:
    if _spin_is_ours:
        del os.environ[_SPIN]
processor.configure(kernels)

SMALLEST_SHARE = 1 << 18
"""Decisions per thread below which another thread does not pay."""

MOST_THREADS = 1024
"""OpenMP ends the process when the system gives it no more threads; nothing here gains from so many."""

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


def threads_for(decisions: int) -> int:
    """How many threads a call over so many elements gets."""
    share = decisions // SMALLEST_SHARE
    return 1 if share < 2 else min(get_num_threads(), share)


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
