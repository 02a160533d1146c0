"""The backend of an array is chosen by the array's type; callers see no difference."""

from fastdrop.backends.select import (
    BACKENDS,
    Backend,
    backend_for,
    backend_named,
    moved,
    namespace,
    on_device_of,
    prepare,
)

__all__ = ["BACKENDS", "Backend", "backend_for", "backend_named", "moved", "namespace", "on_device_of", "prepare"]
