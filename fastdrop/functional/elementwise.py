"""Dropout of elements and of whole feature maps."""

from collections.abc import Sequence
from typing import Any, Literal

from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from numpy.typing import NDArray

from fastdrop.backends import backend_for, prepare_chunkwise
from fastdrop.blocks import BlockMask, CutoutMask
from fastdrop.mask import Mask
from fastdrop.noise import GaussianNoise
from fastdrop.rule import check_probability, check_scaling, keep_probability, threshold_of
from fastdrop.stream import RNG, Stream

Scaling = Literal["inverted", "classic"]
Recipe = Mask | GaussianNoise | BlockMask | CutoutMask
"""What the functions return beside y: calling it with dy gives dx."""


def dropout(
    x: Any,
    p: float = 0.5,
    *,
    rng: RNG = None,
    training: bool = True,
    shared_axes: int | Sequence[int] | None = None,
    scaling: Scaling = "inverted",
    out: Any = None,
) -> tuple[NDArray[Any], Mask | None]:
    """Set elements to zero with probability p and scale the others, in one pass over memory.

    Parameters
    ----------
    x : array_like, cupy.ndarray or dask.array.Array of float16, bfloat16 (of ml_dtypes), float32 or float64
        Any shape and strides. A CuPy array is computed on its GPU, by the same mask, and gives CuPy arrays; so it is
        with all functions of this package. A Dask array gives one whose chunks are computed when they are asked for,
        each by its window of the mask, ``mask[rows, columns]``: however it is cut, the result is that of the whole
        array. So it is with this function, `spatial_dropout`, `drop_path`, `locked_dropout`, `embedding_dropout` and
        their gradients. Other packages' arrays that speak DLPack: `from_dlpack` shares their memory.
    p : float
        Probability of dropping, 0 to 1, honoured to 2**-40.
    rng : None, int, numpy.random.Generator or Stream
        Where the mask comes from (SPEC 7); see `Stream.from_rng`.
    training : bool
        False returns x's values and None.
    shared_axes : int or sequence of int, optional
        Axes along which one decision is shared (elsewhere called noise_shape or broadcast_dims).
    scaling : {"inverted", "classic"}
        "inverted" multiplies kept elements by 1 / (1 - p) in training; "classic" leaves them, and multiplies by 1 - p
        when `training` is False.
    out : numpy.ndarray, optional
        Where to write, of x's shape and dtype in native byte order; `x` itself works in place. Not with Dask arrays.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype. A dropped element is +0.0, also where x is inf or NaN; a kept one is x times the scale
        (float16 and bfloat16: the product in float32, rounded once).
    mask : Mask or None
        The recipe of the mask, for `dropout_backward`; None if `training` is False. It is drawn by this call, also for
        a Dask array.

    Raises
    ------
    ValueError
        If p is outside [0, 1] or NaN, or an axis or `out` does not fit, or a Dask array has chunks of unknown sizes.
    TypeError
        If x is not of a floating-point dtype that has kernels, p is no number, or x and out are on different devices.
        A call that fails draws no mask.
    BackendUnavailable
        If x is a CuPy array and no GPU can be used.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov: "Dropout: a simple way to prevent neural networks from
    overfitting", JMLR 15 (2014), section 4 (classic scaling) and section 10 (inverted scaling).

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> x = np.arange(1.0, 9.0)
    >>> y, mask = fd.dropout(x, p=0.5, rng=7)
    >>> bool(np.all((y == 0) | (y == 2 * x)))
    True
    >>> dx = fd.dropout_backward(np.ones(8), mask)
    >>> np.array_equal(dx != 0, y != 0)
    True
    """
    backend, array, y = prepare_chunkwise(x, out, "x")
    axes = () if shared_axes is None else tuple(sorted(normalize_axis_tuple(shared_axes, array.ndim, "shared_axes")))
    if not training:
        scale = keep_probability(threshold_of(p)) if check_scaling(scaling) == "classic" else 1.0
        check_probability(p)
        return backend.scaled_copy(array, y, scale), None
    if scaling != "inverted":
        check_scaling(scaling)
    stream = rng if type(rng) is Stream else Stream.from_rng(rng)
    mask = Mask(array.shape, p, stream, axes, scaling)  # nothing that can fail comes after the draw
    return backend.apply(array, y, mask.recipe, axes), mask


def dropout_backward(dy: Any, mask: Recipe | None, *, out: Any = None) -> NDArray[Any]:
    """Gradient of `dropout`, and of its relatives, with respect to x: the same mask and scale, recomputed.

    Parameters
    ----------
    dy : array_like of float16, bfloat16 (of ml_dtypes), float32 or float64
        Gradient with respect to y, of the mask's shape. A Dask array gives one, as in `dropout`.
    mask : Mask, GaussianNoise, BlockMask, CutoutMask or None
        What the forward call returned, or a window of it; None returns dy's values. (Classic scaling multiplies by
        1 - p where `training` is False and returns None like any evaluation: whoever differentiates that multiplies by
        1 - p too.)
    out : numpy.ndarray, optional
        Where to write; `dy` itself works in place.

    Returns
    -------
    dx : numpy.ndarray
        dy's shape and dtype.

    Raises
    ------
    ValueError
        If dy has another shape than the mask.

    Examples
    --------
    >>> import fastdrop as fd
    >>> fd.dropout_backward([1.0, 2.0], None)
    array([1., 2.])
    """
    if mask is not None:
        return mask(dy, out)
    backend, array, dx = prepare_chunkwise(dy, out, "dy")
    return backend.scaled_copy(array, dx, 1.0)


def spatial_dropout(
    x: Any,
    p: float = 0.5,
    *,
    channel_axis: int = 1,
    rng: RNG = None,
    training: bool = True,
    scaling: Scaling = "inverted",
    out: Any = None,
) -> tuple[NDArray[Any], Mask | None]:
    """Drop whole feature maps: one decision per example and channel.

    Neighbours within a map are strongly correlated, so dropping single elements hardly hides anything.

    Parameters
    ----------
    x : array_like of float16, bfloat16 (of ml_dtypes), float32 or float64
        Shape (batch, ...), with the channels on any other axis; any number of positions behind or before them.
    p : float
        Probability of dropping a map.
    channel_axis : int
        1 for channels first, -1 for channels last. Not the batch axis 0.
    rng, training, scaling, out
        As in `dropout`.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype.
    mask : Mask or None
        The recipe, for `spatial_dropout_backward`.

    Raises
    ------
    ValueError
        If x has fewer than two axes or `channel_axis` is the batch axis; otherwise as `dropout`.

    References
    ----------
    Tompson, Goroshin, Jain, LeCun, Bregler: "Efficient object localization using convolutional networks", CVPR 2015,
    section 3.2.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, mask = fd.spatial_dropout(np.ones((2, 3, 4, 4)), p=0.5, rng=1)
    >>> sorted({float(v) for v in y.mean(axis=(2, 3)).ravel()})
    [0.0, 2.0]
    """
    backend = backend_for(x=x, out=out)
    array = backend.as_input(x, "x")
    shared = map_axes(array, channel_axis)
    return dropout(array, p, rng=rng, training=training, shared_axes=shared, scaling=scaling, out=out)


def map_axes(array: NDArray[Any], channel_axis: int) -> tuple[int, ...]:
    """The axes of positions: all but the batch axis 0 and the channels'."""
    if array.ndim < 2:
        raise ValueError(f"feature maps need a batch axis and a channel axis; x has shape {array.shape}")
    channel = normalize_axis_index(channel_axis, array.ndim)
    if channel == 0:
        raise ValueError("channel_axis 0 is the batch axis; channels stand on another")
    return tuple(axis for axis in range(1, array.ndim) if axis != channel)


def spatial_dropout_backward(dy: Any, mask: Mask | None, *, out: Any = None) -> NDArray[Any]:
    """Gradient of `spatial_dropout` with respect to x; the mask knows which axes share a decision.

    Parameters, results and errors are those of `dropout_backward`.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, mask = fd.spatial_dropout(np.ones((2, 3, 5)), p=0.5, rng=3)
    >>> np.array_equal(fd.spatial_dropout_backward(np.ones((2, 3, 5)), mask), y)
    True
    """
    return dropout_backward(dy, mask, out=out)
