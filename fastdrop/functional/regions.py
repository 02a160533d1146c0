"""Dropout of contiguous regions: DropBlock and cutout."""

import operator
from typing import Any

from numpy.typing import NDArray

from fastdrop.backends import prepare
from fastdrop.blocks import BlockMask, CutoutMask
from fastdrop.functional.elementwise import dropout_backward, map_axes
from fastdrop.stream import RNG, Stream


def dropblock(
    x: Any,
    p: float = 0.1,
    block_size: int = 7,
    *,
    channel_axis: int = 1,
    rng: RNG = None,
    training: bool = True,
    out: Any = None,
) -> tuple[NDArray[Any], BlockMask | None]:
    """Drop contiguous blocks of every feature map, which neighbours cannot make up for.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Shape (batch, ...), with the channels on any other axis and one to three axes of positions.
    p : float
        The share of elements that is dropped, on average: the rate at which blocks begin is computed from it exactly,
        with borders and overlaps (`fastdrop.blocks.seed_rate`).
    block_size : int
        Elements of a block along each axis of positions; where a map is smaller, the map.
    channel_axis : int
        As in `spatial_dropout`.
    rng, training, out
        As in `dropout`.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype. Kept elements are multiplied by all elements / kept elements of this very mask.
    mask : BlockMask or None
        The recipe, for `dropblock_backward`.

    Raises
    ------
    ValueError
        If p is no probability, the block is empty, x has no positions, or out does not fit.
    TypeError
        As `dropout`.

    References
    ----------
    Ghiasi, Lin, Le: "DropBlock: a regularization method for convolutional networks", NeurIPS 2018, algorithm 1; masks
    differ from channel to channel.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, mask = fd.dropblock(np.ones((8, 16, 14, 14), np.float32), p=0.2, block_size=3, rng=0)
    >>> bool(abs((y == 0).mean() - 0.2) < 0.02), round(float(y.mean()), 4)
    (True, 1.0)
    """
    backend, array, y = prepare(x, out, "x")
    size = operator.index(block_size)
    if size < 1:
        raise ValueError(f"block_size is at least 1; got {size}")
    axes = map_axes(array, channel_axis)
    if not axes:
        raise ValueError(f"DropBlock needs positions beside batch and channels; x has shape {array.shape}")
    mask = BlockMask(array.shape, p, size, axes, Stream.from_rng(rng) if training else Stream(0))
    return (mask(array, y), mask) if training else (backend.scaled_copy(array, y, 1.0), None)


def cutout(
    x: Any, size: int, *, channel_axis: int = 1, rng: RNG = None, training: bool = True, out: Any = None
) -> tuple[NDArray[Any], CutoutMask | None]:
    """Set one square of every image to zero, in all channels; nothing is scaled.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Shape (batch, ...), with the channels on any other axis.
    size : int
        The square's side. Its centre is any pixel, so that a part of it may lie outside.
    channel_axis, rng, training, out
        As in `dropblock`.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype.
    mask : CutoutMask or None
        The recipe, for `cutout_backward`.

    Raises
    ------
    ValueError
        If size is negative, x has no positions, or out does not fit.
    TypeError
        As `dropout`.

    References
    ----------
    DeVries, Taylor: "Improved regularization of convolutional neural networks with cutout", 2017, section 3.2.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, mask = fd.cutout(np.ones((1, 1, 5, 5)), 3, rng=5)
    >>> y[0, 0].astype(int).tolist()
    [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]
    """
    backend, array, y = prepare(x, out, "x")
    size = operator.index(size)
    if size < 0:
        raise ValueError(f"size is not negative; got {size}")
    axes = map_axes(array, channel_axis)
    if not axes:
        raise ValueError(f"cutout needs positions beside batch and channels; x has shape {array.shape}")
    if not training:
        return backend.scaled_copy(array, y, 1.0), None
    mask = CutoutMask(array.shape, size, axes, Stream.from_rng(rng))
    return mask(array, y), mask


dropblock_backward = dropout_backward
cutout_backward = dropout_backward
