"""Dask arrays: lazily, chunk by chunk. A chunk's own type chooses the backend when its turn comes, maybe elsewhere.

What a chunk needs is a few numbers: its mask is the window where it lies, so nothing depends on how an array is cut.
Dask is imported only where there is one of its arrays, and so is loaded.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from fastdrop.backends import window as windows
from fastdrop.backends.cpu import check_class
from fastdrop.backends.cuda import device
from fastdrop.backends.dtypes import ITEMSIZES, advice
from fastdrop.backends.window import Window
from fastdrop.threads import kernels, side_by_side

Array = Any
Recipe = kernels.Recipe

SUPPORTED = "dropout, spatial_dropout, drop_path, locked_dropout, embedding_dropout and their gradients"
ALONE = f"{SUPPORTED} take a Dask array, with no other array and no out beside it"
MOST_DECISIONS = 1 << 56
"""What the mask rule numbers."""

_kinds: dict[type, bool] = {}


def is_array(array: Any) -> bool:
    """Whether it is a Dask array; Dask is not imported to find out."""
    kind = type(array)
    if kind not in _kinds:
        _kinds[kind] = any(cls.__module__.startswith("dask.array.") and cls.__name__ == "Array" for cls in kind.__mro__)
    return _kinds[kind]


def as_input(array: Array, name: str) -> Array:
    """An array of a dtype that has kernels, whose chunks have known places."""
    if not device.is_array(array._meta):
        check_class(array._meta, f"a chunk of {name}")
    if array.dtype.name not in ITEMSIZES:
        raise TypeError(f"{name} has dtype {array.dtype}; {advice(array.dtype)}")
    if any(math.isnan(size) for size in array.shape):
        raise ValueError(
            f"{name} has chunks of unknown sizes, and so shape {array.shape}: which elements a mask drops depends on "
            f"their places; call {name}.compute_chunk_sizes() first"
        )
    if array.size >= MOST_DECISIONS:
        raise ValueError(f"{name} has {array.size} elements; masks number fewer than 2**56")
    return array


def apply(
    x: Array, out: Array, recipe: Recipe, shared_axes: tuple[int, ...] = (), window: Window | None = None
) -> Array:
    """keep ? x * scale : +0, as `fastdrop.backends.cpu.apply` does it; `out` is not written to."""
    recipe = getattr(recipe, "on_host", recipe)
    return _chunkwise(_apply_chunk, x, recipe, window or windows.whole(x.shape, shared_axes))


def scaled_copy(x: Array, out: Array, scale: float) -> Array:
    """x * scale; bit for bit x where scale is 1. `out` is not written to."""
    return _chunkwise(_scale_chunk, x, scale, windows.whole(x.shape, range(x.ndim)))


def _chunkwise(work: Callable[..., Array], x: Array, what: Any, window: Window) -> Array:
    """Lazily, work(chunk, its place, what, window) of every chunk; named after what decides the result."""
    import dask.array as da
    from dask.base import tokenize
    from dask.layers import ArraySliceDep

    axes = tuple(range(x.ndim))
    numbers = (*what, what.scale) if isinstance(what, Recipe) else what
    meta = x._meta.astype(x.dtype.newbyteorder("="))
    name = f"fastdrop{work.__name__}-{tokenize(x.name, numbers, window)}"
    places = ArraySliceDep(x.chunks)
    arguments = (x, axes, places, axes, what, None, window, None)
    return da.blockwise(work, axes, *arguments, name=name, meta=meta, align_arrays=False)


def _apply_chunk(chunk: Array, place: Sequence[slice], recipe: Recipe, window: Window) -> Array:
    backend, x, y = _prepare(chunk)
    with side_by_side():
        return backend.apply(x, y, recipe, (), windows.at(window, place))


def _scale_chunk(chunk: Array, place: Sequence[slice], scale: float, window: Window) -> Array:
    backend, x, y = _prepare(chunk)
    with side_by_side():
        return backend.scaled_copy(x, y, scale)


def _prepare(chunk: Array) -> tuple[Any, Array, Array]:
    from fastdrop.backends.select import prepare

    return prepare(chunk, None, "a chunk")


def _refuse(*arguments: Any, **keywords: Any) -> NoReturn:
    """Stands for the operations that Dask arrays lack: before a mask is drawn, and before anything is computed."""
    raise TypeError(
        f"of fastdrop's functions, {SUPPORTED} take Dask arrays, and this is another one: map it over the chunks with "
        "dask.array.map_blocks, or give it x.compute()"
    )


arithmetic = prepare_out = elementwise = bias_backward = softmax = gaussian = scratch_like = masked_weight = _refuse
packed_bits = booleans = connect_forward = connect_dx = connect_dweight = _refuse
