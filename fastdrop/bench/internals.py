"""What the benchmark needs beyond fastdrop's public functions, in one place."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop import reference
from fastdrop.backends import to_device
from fastdrop.backends.cuda.device import cupy, require
from fastdrop.experiments.blas import blas_library
from fastdrop.info import configuration
from fastdrop.threads import MOST_THREADS, get_num_threads, kernels, set_num_threads, threads_for

__all__ = [
    "MOST_THREADS", "blas_library", "configuration", "cupy", "get_num_threads", "kernels", "reference_keep",
    "reference_normals", "require", "set_num_threads", "threads_for", "to_host",
]  # fmt: skip


def to_host(array: Any) -> NDArray[Any]:
    """The array itself, or a copy of a GPU's array in the CPU's memory."""
    return np.asarray(to_device(array, "cpu"))


def reference_keep(mask: Any, *index: slice) -> NDArray[np.bool_]:
    """Which elements of a slice of the mask are kept, by the rule in plain NumPy.

    `index` has slices along the first axes. Axes that share their draws have size 1 in the result.
    """
    number, stride, axes = np.zeros((), np.int64), 1, len(mask.shape)
    for axis in reversed(range(axes)):
        size = mask.noise_shape[axis]
        positions = np.arange(size)[index[axis]] if axis < len(index) and size > 1 else np.arange(size)
        number = number + (positions * stride).reshape(-1, *[1] * (axes - 1 - axis))
        stride *= size
    return reference.uniform40(mask.draw.key, mask.draw.call, number) < np.uint64(mask.threshold)


def reference_normals(noise: Any, first: int, last: int) -> NDArray[np.float32]:
    """Standard normal numbers of the elements from `first` up to `last`, by the rule in plain NumPy."""
    return reference.normals(noise.draw.key, noise.draw.call, np.arange(first, last))
