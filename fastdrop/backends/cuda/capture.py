"""Memory that a CUDA graph uses lives as long as the graph.

A captured launch is replayed with the addresses that it had. CuPy's pool gives memory that nobody holds any more to
whoever asks next, so what a captured call used, temporary arrays included, is held: by the `cupy.cuda.Graph` that the
capture ends with, or, where CuPy did not begin the capture (as under `torch.cuda.graph`), until `release`.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from fastdrop.backends.cuda.device import cupy

_without_graph: list[Any] = []
"""What graphs use that no `cupy.cuda.Graph` stands for."""


@contextlib.contextmanager
def on(device: Any) -> Iterator[bool]:
    """This device is the current one; gives whether a graph is being captured on its current stream.

    If so, all that this thread allocates in here lives as long as the graph, CuPy's own temporary memory too.
    """
    with device:
        held = _held_by_graph()
        if held is None:
            yield False
            return
        allocate = cupy().cuda.get_allocator()

        def allocate_and_hold(size: int) -> Any:
            memory = allocate(size)
            held.append((None, memory))
            return memory

        with cupy().cuda.using_allocator(allocate_and_hold):
            yield True


def keep(*arrays: Any) -> None:
    """Have arrays live as long as the graph that is being captured on the current stream, if one is."""
    held = _held_by_graph()
    if held is not None:
        held.append((None, arrays))


def release() -> None:
    """Let go of what graphs use that no `cupy.cuda.Graph` stands for."""
    _without_graph.clear()


def _held_by_graph() -> list[Any] | None:
    """What the graph that is being captured will hold, the second of each pair; None if none is captured.

    CuPy has such a list for functions that it captures and their arguments; `end_capture` gives it to the graph.
    """
    stream = cupy().cuda.get_current_stream()
    if not stream.is_capturing():
        return None
    held: list[Any] | None = getattr(stream, "_graph_host_funcargs", None)
    return _without_graph if held is None else held
