"""Whether there is a GPU to use, and what to install where there is none."""

import functools
import importlib
from typing import Any

from fastdrop.errors import BackendUnavailable

_INSTALL = "pip install 'fastdrop-kernels[cuda13]' (or [cuda12], for drivers before version 580)"


def cupy() -> Any:
    """The package CuPy, imported when it is first asked for."""
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        if error.name != "cupy":
            raise BackendUnavailable(f"CuPy is installed and cannot be imported: {error}") from error
        raise BackendUnavailable(f"the CUDA backend needs the package CuPy; install it with: {_INSTALL}") from None


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


@functools.lru_cache(maxsize=4)
def missing(package: Any) -> str:
    """What keeps CuPy from a GPU here; empty if nothing does."""
    try:
        if package.cuda.runtime.getDeviceCount() > 0:
            return ""
        reason = "no device found"
    except Exception as error:  # the driver's errors have no common class
        reason = str(error)
    return (
        f"no CUDA GPU can be used here ({reason}); needed are an NVIDIA GPU and its driver, "
        f"and a CuPy that fits the driver: {_INSTALL}"
    )


_kinds: dict[type, bool] = {}


def is_array(array: Any) -> bool:
    """Whether it is a CuPy array; CuPy is not imported to find out."""
    kind = type(array)
    if kind not in _kinds:
        _kinds[kind] = any(
            cls.__module__.partition(".")[0] == "cupy" and cls.__name__ == "ndarray" for cls in kind.__mro__
        )
    return _kinds[kind]
