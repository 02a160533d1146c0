"""Blocks of the pool, the names of memory handlers, and the marks of the pool's tests."""

import subprocess
import sys

import numpy as np
import pytest

from fastdrop._kernels import cpu

try:
    from numpy._core import _multiarray_umath as umath
    from numpy._core.multiarray import get_handler_name
except ModuleNotFoundError:  # NumPy 1.26
    from numpy.core import _multiarray_umath as umath
    from numpy.core.multiarray import get_handler_name

__all__ = ["LARGE", "MARKS", "MB", "NUMPYS", "OURS", "SMALLEST", "address", "block", "get_handler_name", "run", "umath"]


MB = 1 << 20
SMALLEST = 32 * MB
LARGE = SMALLEST // 4
"""The smallest array of the pool, in float32 elements."""
OURS, NUMPYS = "fastdrop_pool", "default_allocator"
MARKS = [
    pytest.mark.skipif(sys.maxsize < 2**32, reason="arrays of 32 MiB are many for 32 bits"),
    pytest.mark.usefixtures("fresh_pool"),
]


def block(megabytes):
    """An unwritten array of the pool: its pages are not allocated."""
    return cpu.empty_like(np.broadcast_to(np.uint8(0), (megabytes * MB,)))


def address(array):
    return array.ctypes.data


def run(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
