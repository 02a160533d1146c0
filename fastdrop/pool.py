"""The pool: memory of large results that is used again.

The C library gives blocks of 32 MiB and more back to the system when they are freed, and the system clears every page
of a new one: for such an array that takes several times as long as dropout does. So results of that size come from a
pool (`src_kernels/cpu/pool.c`), which keeps some of their memory when they are deleted. On Linux the system may take
what is kept whenever memory is short, and counts it as available.
"""

import os

from fastdrop._kernels import cpu as kernels
from fastdrop.arguments import check_int

MOST_BYTES = (1 << 63) - 1

USUAL_MEMORY = 1 << 32
"""Taken where the system does not tell."""


def set_pool_limit(bytes: int) -> None:
    """Set how many bytes of deleted results are kept for the next ones, for the whole process.

    Results of 32 MiB and more, up to the limit, use the pool. What is kept beyond a new limit is given back to the
    system at once, the oldest first. The default is 1 GiB, or a sixteenth of the memory where that is less.

    Parameters
    ----------
    bytes : int
        From 0 to 2**63 - 1; 0 turns the pool off.

    Raises
    ------
    TypeError, ValueError
        If `bytes` is not a whole number from 0 to 2**63 - 1.

    See Also
    --------
    empty_pool : Give back what is kept now.

    Examples
    --------
    >>> import fastdrop as fd
    >>> before = fd.get_pool_limit()
    >>> fd.set_pool_limit(2**28)
    >>> fd.get_pool_limit()
    268435456
    >>> fd.set_pool_limit(before)
    """
    limit = check_int(bytes, "bytes", 0)
    if limit > MOST_BYTES:
        raise ValueError(f"bytes is at most 2**63 - 1; got {limit}")
    kernels.set_pool_limit(limit)


def get_pool_limit() -> int:
    """Return how many bytes of deleted results are kept at most."""
    return kernels.pool_limit()


def pool_free_bytes() -> int:
    """Return how many bytes of deleted results are kept now.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> fd.empty_pool()
    >>> y, mask = fd.dropout(np.ones(2**23, np.float32))
    >>> del y
    >>> fd.pool_free_bytes() == min(2**25, fd.get_pool_limit() // 2**25 * 2**25)
    True
    """
    return kernels.pool_free_bytes()


def empty_pool() -> None:
    """Give all that is kept back to the system. Arrays that are in use stay as they are.

    Examples
    --------
    >>> import fastdrop as fd
    >>> fd.empty_pool()
    >>> fd.pool_free_bytes()
    0
    """
    kernels.empty_pool()


def default_limit() -> int:
    """1 GiB, or a sixteenth of the memory where that is less."""
    try:
        page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        page = pages = -1
    return min(1 << 30, (page * pages if page > 0 and pages > 0 else USUAL_MEMORY) // 16)


kernels.set_pool_limit(default_limit())
if hasattr(os, "register_at_fork"):  # a child shares the pages, and would copy each when it writes
    os.register_at_fork(after_in_child=empty_pool)
