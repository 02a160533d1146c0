"""Memory that a CUDA graph uses lives as long as the graph.

A captured launch is replayed with the addresses that it had. CuPy's pool gives memory that nobody holds any more to
the next call, so what a captured call used, temporary arrays included, is held: by the `cupy.cuda.Graph` that the
capture ends with, or, where CuPy did not begin the capture (as under `torch.cuda.graph`), until `release`.
"""

import threading
from typing import Any

from fastdrop.backends.cuda.device import cupy

_without_graph: list[Any] = []
"""What graphs use that no `cupy.cuda.Graph` owns."""


class _Held(threading.local):
    """What the graph that this thread's innermost block captures will hold; None if none is captured."""

    memory: list[Any] | None = None


_held = _Held()


class on:
    """A block in which this device is the current one.

    If a graph is being captured on its current stream, all that this thread allocates in the block, CuPy's own
    temporary memory too, lives as long as the graph.
    """

    __slots__ = ("_allocator", "_before", "_device")

    def __init__(self, device: Any) -> None:
        self._device = device

    def __enter__(self) -> None:
        self._device.__enter__()
        self._before, self._allocator = _held.memory, None
        try:
            _held.memory = _of_graph()
            if _held.memory is not None:
                self._allocator = _holding(_held.memory)
                self._allocator.__enter__()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: Any) -> None:
        _held.memory = self._before
        if self._allocator is not None:
            self._allocator.__exit__(None, None, None)
        self._device.__exit__(None, None, None)


def is_captured() -> bool:
    """Whether what this thread's innermost block launches is captured."""
    return _held.memory is not None


def keep(*arrays: Any) -> None:
    """Have arrays live as long as the graph that is being captured; to be called in a block."""
    if _held.memory is not None:
        _held.memory.append((None, arrays))


def release() -> None:
    """Release what graphs use that no `cupy.cuda.Graph` owns."""
    _without_graph.clear()


def _of_graph() -> list[Any] | None:
    """What the graph that is being captured will hold, the second of each pair; None if none is captured.

    CuPy has such a list for functions that it captures and their arguments; `end_capture` gives it to the graph.
    """
    stream = cupy().cuda.get_current_stream()
    if not stream.is_capturing():
        return None
    held: list[Any] | None = getattr(stream, "_graph_host_funcargs", None)
    return _without_graph if held is None else held


def _holding(held: list[Any]) -> Any:
    """CuPy's current allocator, but what it gives is held."""
    allocate = cupy().cuda.get_allocator()

    def allocate_and_hold(size: int) -> Any:
        memory = allocate(size)
        held.append((None, memory))
        return memory

    return cupy().cuda.using_allocator(allocate_and_hold)
