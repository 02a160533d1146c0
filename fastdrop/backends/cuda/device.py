"""Whether there is a GPU to use, and what to install where there is none."""

import functools
import importlib
import importlib.util
import os
from typing import Any

import numpy as np

from fastdrop.errors import BackendUnavailable, missing_package

INSTALL = "pip install 'fastdrop-kernels[cuda13]' (or [cuda12], for drivers before version 580)"


def cupy() -> Any:
    """The package CuPy, imported when it is first asked for."""
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        if error.name != "cupy":
            raise BackendUnavailable(f"CuPy is installed and cannot be imported: {error}") from error
        raise BackendUnavailable(f"the CUDA backend needs the package CuPy; install it with: {INSTALL}") from None
    except OSError as error:  # it makes its cache's folder in the home folder
        raise BackendUnavailable(
            f"CuPy is installed and cannot be imported: {error}; set CUPY_CACHE_DIR to a folder that can be written to"
        ) from error


def require() -> Any:
    """CuPy, if there is a GPU that it can use."""
    package = cupy()
    why = missing(package)
    if why:
        raise BackendUnavailable(why)
    return package


def count() -> int:
    """How many GPUs there are."""
    return int(require().cuda.runtime.getDeviceCount())


def missing(package: Any) -> str:
    """What keeps CuPy from a GPU here; empty if nothing does."""
    return _missing(package, os.getpid())


@functools.lru_cache(maxsize=4)
def _missing(package: Any, process: int) -> str:
    global _found_by
    if _found_by not in (0, process):
        return (
            f"this process was forked from process {_found_by} after that had used the GPU, which CUDA does not allow: "
            'start it by multiprocessing.get_context("spawn"), or fork before the GPU is used'
        )
    try:
        if package.cuda.runtime.getDeviceCount() > 0:
            _found_by = process
            return ""
        reason = "no device found"
    except Exception as error:  # the driver's errors have no common class
        reason = str(error)
    return (
        f"no CUDA GPU can be used here ({reason}); needed are an NVIDIA GPU and its driver, "
        f"and a CuPy that fits the driver: {INSTALL}"
    )


_found_by = 0
"""The process that found a GPU; 0: none has, yet."""


def check_bfloat16() -> None:
    """Raise where CuPy does not make arrays of bfloat16, which it does not say by itself."""
    if np.lib.NumpyVersion(np.__version__) < NUMPY_OF_BFLOAT16:
        raise BackendUnavailable(
            f"bfloat16 on CUDA needs NumPy {NUMPY_OF_BFLOAT16} or newer, and this is {np.__version__}: "
            f"pip install 'numpy>={NUMPY_OF_BFLOAT16}'"
        )
    if importlib.util.find_spec("ml_dtypes") is None:
        raise missing_package("ml_dtypes", "cuda13", "bfloat16 on CUDA")


NUMPY_OF_BFLOAT16 = "2.1.2"
"""The first NumPy with which CuPy has bfloat16; before, NumPy's loops for other packages' dtypes are wrong."""


_kinds: dict[type, bool] = {}


def is_array(array: Any) -> bool:
    """Whether it is a CuPy array; CuPy is not imported to find out."""
    kind = type(array)
    if kind not in _kinds:
        _kinds[kind] = any(
            cls.__module__.partition(".")[0] == "cupy" and cls.__name__ == "ndarray" for cls in kind.__mro__
        )
    return _kinds[kind]
