"""The backend of an array is chosen by the array's type; callers see no difference."""

from fastdrop.backends.exchange import from_dlpack
from fastdrop.backends.select import (
    BACKENDS,
    Backend,
    as_input,
    backend_for,
    backend_named,
    moved,
    namespace,
    on_arrays_device,
    on_device_of,
    prepare,
    prepare_chunkwise,
)
from fastdrop.backends.window import Window, checked_window, cut

__all__ = [
    "BACKENDS",
    "Backend",
    "Window",
    "as_input",
    "backend_for",
    "backend_named",
    "checked_window",
    "cut",
    "from_dlpack",
    "moved",
    "namespace",
    "on_arrays_device",
    "on_device_of",
    "prepare",
    "prepare_chunkwise",
]
