"""Dask arrays: lazily, chunk by chunk, each with its slice of the mask.

This is above the backends: a chunk's own type chooses its backend when its turn comes, maybe on another machine. A
chunk needs only the mask, some 200 bytes, so nothing depends on how an array is cut. Dask is imported only where there
is one of its arrays, and so is loaded.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from fastdrop.arguments import MOST_DRAWS
from fastdrop.backends import check_dtype_of, prepare
from fastdrop.backends.select import is_lazy as is_array

ALONE = (
    "dropout, spatial_dropout, drop_path, locked_dropout, embedding_dropout and their gradients take a Dask array, "
    "with no other array and no out beside it"
)


def has_chunks(array: Any, out: Any) -> bool:
    """Whether one of them is a Dask array."""
    return is_array(array) or is_array(out)


def as_input(array: Any, out: Any, name: str) -> Any:
    """A Dask array of a dtype that has kernels, whose chunks have known places; there is nothing to write to."""
    if out is not None or not is_array(array):
        lazy = " and ".join(each for each, value in ((name, array), ("out", out)) if is_array(value))
        raise TypeError(f"{ALONE}; here {lazy} {'are Dask arrays' if ' ' in lazy else 'is a Dask array'}")
    check_dtype_of(array._meta, f"a chunk of {name}")
    if any(math.isnan(size) for size in array.shape):
        raise ValueError(
            f"{name} has chunks of unknown sizes, and so shape {array.shape}: which elements a mask drops depends on "
            f"their places; call {name}.compute_chunk_sizes() first"
        )
    if array.size >= MOST_DRAWS:
        raise ValueError(f"{name} has {array.size} elements; masks number fewer than 2**56")
    return array


def apply(mask: Any, x: Any) -> Any:
    """mask(x), lazily."""
    whole = mask._with(draw=mask._draw_for(None))
    return _map_chunks(_apply_to_chunk, x, whole)


def multiply(x: Any, factor: float) -> Any:
    """x * factor, lazily; bit for bit x where the factor is 1."""
    return _map_chunks(_multiply_chunk, x, factor)


def _map_chunks(function: Callable[..., Any], x: Any, argument: Any) -> Any:
    """function(chunk, its slices, argument) of every chunk, lazily; named after what decides the result."""
    import dask.array as da
    from dask.base import tokenize
    from dask.layers import ArraySliceDep

    axes = tuple(range(x.ndim))
    meta = x._meta.astype(x.dtype.newbyteorder("="))
    name = f"fastdrop{function.__name__}-{tokenize(x.name, argument)}"
    arguments = (x, axes, ArraySliceDep(x.chunks), axes, argument, None)
    return da.blockwise(function, axes, *arguments, name=name, meta=meta, align_arrays=False)


def _apply_to_chunk(chunk: Any, place: Sequence[slice], mask: Any) -> Any:
    return mask[tuple(place)](chunk)


def _multiply_chunk(chunk: Any, place: Sequence[slice], factor: float) -> Any:
    backend, x, y = prepare(chunk, None, "a chunk")
    return backend.multiply(x, y, factor)
