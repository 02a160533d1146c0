"""The backend of an array is chosen by the array's type; callers see no difference."""

from fastdrop.backends.dtypes import compute_dtype
from fastdrop.backends.exchange import from_dlpack
from fastdrop.backends.select import (
    BACKENDS,
    Backend,
    array_module,
    as_input,
    backend_for,
    backend_named,
    check_dtype_of,
    on_arrays_device,
    on_device_of,
    prepare,
    to_device,
)

__all__ = [
    "BACKENDS",
    "Backend",
    "array_module",
    "as_input",
    "backend_for",
    "backend_named",
    "check_dtype_of",
    "compute_dtype",
    "from_dlpack",
    "on_arrays_device",
    "on_device_of",
    "prepare",
    "to_device",
]
