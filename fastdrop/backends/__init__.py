"""The backend of an array is chosen by the array's type; callers see no difference."""

from fastdrop.backends.select import Backend, backend_for, prepare

__all__ = ["Backend", "backend_for", "prepare"]
