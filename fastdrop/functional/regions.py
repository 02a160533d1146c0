"""Dropout of contiguous regions: DropBlock and cutout."""

from typing import Any, Literal, Never, overload

from fastdrop.arguments import check_flag, wrong_keywords
from fastdrop.backends import prepare
from fastdrop.functional.result import Result, dropped
from fastdrop.functional.shared_axes import map_axes
from fastdrop.regions import BlockMask, CutoutMask, check_block_size, check_size
from fastdrop.rule import check_probability
from fastdrop.stream import RNG, Drawing


@overload
def dropblock(
    x: Any,
    p: float = ...,
    block_size: int = ...,
    *,
    channel_axis: int = ...,
    rng: RNG = ...,
    training: Literal[True] = ...,
    out: Any = ...,
) -> Result[BlockMask]: ...
@overload
def dropblock(
    x: Any,
    p: float = ...,
    block_size: int = ...,
    *,
    channel_axis: int = ...,
    rng: RNG = ...,
    training: bool,
    out: Any = ...,
) -> Result[BlockMask | None]: ...
def dropblock(
    x: Any,
    p: float = 0.1,
    block_size: int = 7,
    *,
    channel_axis: int = 1,
    rng: RNG = None,
    training: bool = True,
    out: Any = None,
    **wrong: Never,
) -> Result[Any]:
    """Drop contiguous blocks of every feature map, which neighbours cannot make up for.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Shape (batch, ...), with the channels on any other axis and one to three axes of positions.
    p : float
        The fraction of elements that is dropped, on average: the probability with which blocks begin is computed from
        it exactly, with borders and overlaps (`fastdrop.regions.block_start_probability`).
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
        For `dropout_backward`.

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
    if wrong:
        raise wrong_keywords(dropblock, wrong)
    p, size, training = check_probability(p), check_block_size(block_size), check_flag(training, "training")
    with Drawing(rng) as stream:
        backend, array, y = prepare(x, out, "x")
        axes = map_axes(array, channel_axis)
        if not axes:
            raise ValueError(f"DropBlock needs positions beside batch and channels; x has shape {array.shape}")
        if not training:
            return dropped(backend.multiply(array, y, 1.0), None)
        mask = BlockMask(array.shape, p, size, axes, stream.draw())
        return dropped(mask(array, y), mask)


@overload
def cutout(
    x: Any, size: int, *, channel_axis: int = ..., rng: RNG = ..., training: Literal[True] = ..., out: Any = ...
) -> Result[CutoutMask]: ...
@overload
def cutout(
    x: Any, size: int, *, channel_axis: int = ..., rng: RNG = ..., training: bool, out: Any = ...
) -> Result[CutoutMask | None]: ...
def cutout(
    x: Any, size: int, *, channel_axis: int = 1, rng: RNG = None, training: bool = True, out: Any = None, **wrong: Never
) -> Result[Any]:
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
        For `dropout_backward`.

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
    if wrong:
        raise wrong_keywords(cutout, wrong)
    training = check_flag(training, "training")
    with Drawing(rng) as stream:
        backend, array, y = prepare(x, out, "x")
        axes = map_axes(array, channel_axis)
        if not axes:
            raise ValueError(f"cutout needs positions beside batch and channels; x has shape {array.shape}")
        size = check_size(size, array.shape)
        if not training:
            return dropped(backend.multiply(array, y, 1.0), None)
        mask = CutoutMask(array.shape, size, axes, stream.draw())
        return dropped(mask(array, y), mask)
