"""Which keep bit an element of a mask has, also after the mask was sliced. Plain numbers in and out."""

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastdrop.arguments import MOST_AXES


class BitLayout(NamedTuple):
    """The keep bit at an index is number ``first + sum(index[axis] * strides[axis])``."""

    first: int
    strides: tuple[int, ...]
    """One for each axis: 0 where one keep bit is shared, negative where a slice goes backwards."""


class Sliced(NamedTuple):
    """What basic slicing makes of a mask's geometry."""

    shape: tuple[int, ...]
    shared_axes: tuple[int, ...]
    layout: BitLayout | None
    """None: the keep bits are those of a whole mask of this shape."""


def checked_layout(numbers: Any, ndim: int) -> BitLayout:
    """A saved layout, if a mask of `ndim` axes can have it."""
    try:
        first, strides = numbers
        layout = BitLayout(operator.index(first), tuple(operator.index(stride) for stride in strides))
    except (TypeError, ValueError):
        raise ValueError(f"this is not the state of a mask's slice: {numbers!r:.200}") from None
    if not 0 <= layout.first < 2**63 or len(layout.strides) != ndim or any(abs(s) >= 2**63 for s in layout.strides):
        raise ValueError(f"this is not the state of a mask's slice with {ndim} axes: {numbers!r:.200}")
    return layout


def whole(shape: Sequence[int], shared_axes: Sequence[int]) -> BitLayout:
    """Of a whole mask: keep bits numbered in C order over the axes that are not shared.

    >>> whole((5, 2, 3), (1,))
    BitLayout(first=0, strides=(3, 0, 1))
    """
    strides, stride = [0] * len(shape), 1
    for axis in range(len(shape) - 1, -1, -1):
        if axis not in shared_axes:
            strides[axis], stride = stride, stride * shape[axis]
    return _normal(shape, 0, strides)


def _normal(shape: Sequence[int], first: int, strides: Sequence[int]) -> BitLayout:
    """Equal for equal keep bits: where an axis has no second element, its stride means nothing."""
    if 0 in shape:
        return BitLayout(0, (0,) * len(shape))
    return BitLayout(first, tuple(stride if size > 1 else 0 for size, stride in zip(shape, strides, strict=True)))


def sliced(shape: tuple[int, ...], shared_axes: tuple[int, ...], layout: BitLayout | None, index: Any) -> Sliced:
    """Basic slicing as NumPy does it: slices, integers, an ellipsis and None.

    >>> sliced((4, 6), (), None, (slice(None, None, -1), slice(1, 5, 2)))
    Sliced(shape=(4, 2), shared_axes=(), layout=BitLayout(first=19, strides=(-6, 2)))
    """
    first, strides = layout or whole(shape, shared_axes)
    new_shape: list[int] = []
    new_strides: list[int] = []
    new_shared: list[int] = []
    axis = 0
    for item in _complete(index, len(shape)):
        if item is None:
            new_shape.append(1)
            new_strides.append(0)
            continue
        size, stride = shape[axis], strides[axis]
        if isinstance(item, slice):
            start, stop, step = item.indices(size)
            if axis in shared_axes:
                new_shared.append(len(new_shape))
            new_shape.append(len(range(start, stop, step)))
            new_strides.append(stride * step)
            first += stride * start
        else:
            if not -size <= item < size:
                raise IndexError(f"index {item} is out of bounds for axis {axis} with size {size}")
            first += stride * (item % size)
        axis += 1
    if len(new_shape) > MOST_AXES:
        raise IndexError(f"a slice of {len(new_shape)} axes; there are at most {MOST_AXES}")
    found = _normal(new_shape, first, new_strides)
    made = Sliced(tuple(new_shape), tuple(new_shared), found)
    return made._replace(layout=None) if found == whole(made.shape, made.shared_axes) else made


def _complete(index: Any, ndim: int) -> list[Any]:
    """None, a slice or an int for each axis of the array and of the result, in order."""
    items = [_checked(item) for item in (index if isinstance(index, tuple) else (index,))]
    if items.count(...) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    named = sum(item is not None and item is not ... for item in items)
    if named > ndim:
        raise IndexError(f"too many indices for mask: mask is {ndim}-dimensional, but {named} were indexed")
    place = items.index(...) if ... in items else len(items)
    return [*items[:place], *[slice(None)] * (ndim - named), *items[place + 1 :]]


def _checked(item: Any) -> Any:
    if item is None or item is ... or isinstance(item, slice):
        return item
    if not isinstance(item, (bool, np.bool_)):
        try:
            return operator.index(item)
        except TypeError:
            pass
    kind = type(item).__name__
    if isinstance(item, (bool, np.bool_)) or (hasattr(item, "__len__") and not isinstance(item, (str, bytes))):
        raise TypeError(
            f"a mask is sliced by slices, integers, ... and None; a {kind} picks single elements: "
            "index the array numpy.asarray(mask)"
        )
    raise IndexError(f"a mask is sliced by slices, integers, ... and None; got a {kind}")
