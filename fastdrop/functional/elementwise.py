"""Dropout of elements and of whole feature maps."""

from collections.abc import Sequence
from typing import Any, Literal, Never, overload

from numpy.typing import NDArray

from fastdrop import threads
from fastdrop.arguments import check_flag, normalize_axes, normalize_axis, wrong_keywords
from fastdrop.backends import as_input, prepare_chunkwise
from fastdrop.blocks import BlockMask, CutoutMask
from fastdrop.functional.result import Dropped, Result, dropped
from fastdrop.mask import Mask
from fastdrop.multiplier import check_made_by
from fastdrop.noise import GaussianNoise
from fastdrop.rule import check_probability, check_scaling, mean_share, threshold_and_scale
from fastdrop.stream import RNG, Drawing, Stream
from fastdrop.threads import kernels

Scaling = Literal["inverted", "classic"]
_INVERTED: Scaling = "inverted"
Axes = int | Sequence[int] | None
Recipe = Mask | GaussianNoise | BlockMask | CutoutMask
"""What the functions return beside y: calling it with dy gives dx."""


@overload
def dropout(
    x: Any,
    p: float = ...,
    *,
    rng: RNG = ...,
    training: Literal[True] = ...,
    shared_axes: Axes = ...,
    scaling: Scaling = ...,
    out: Any = ...,
) -> Result[Mask]: ...
@overload
def dropout(
    x: Any,
    p: float = ...,
    *,
    rng: RNG = ...,
    training: bool,
    shared_axes: Axes = ...,
    scaling: Scaling = ...,
    out: Any = ...,
) -> Result[Mask | None]: ...
def dropout(
    x: Any,
    p: float = 0.5,
    *,
    rng: RNG = None,
    training: bool = True,
    shared_axes: Axes = None,
    scaling: Scaling = _INVERTED,
    out: Any = None,
    **wrong: Never,
) -> Result[Any]:
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
        Probability of dropping (not of keeping), 0 to 1, honoured to 2**-40.
    rng : Stream, or what `numpy.random.default_rng` takes
        Where the mask comes from (SPEC 7). A `Stream` gives every call another mask: make one before the training loop.
        A seed gives every call the same one. `numpy.random.seed` has no effect. See `Stream.from_rng`.
    training : bool
        False returns x's values and None. The values are copied; ``out=x`` saves that.
    shared_axes : int or sequence of int, optional
        Axes along which one decision is shared (elsewhere called noise_shape or broadcast_dims).
    scaling : {"inverted", "classic"}
        "inverted" multiplies kept elements by 1 / (1 - p), computed in double precision, in training; "classic" leaves
        them, and multiplies by 1 - p when `training` is False.
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
        A call that fails, for whatever reason, draws no mask.
    BackendUnavailable
        If x is a CuPy array and no GPU can be used.

    Notes
    -----
    A product that overflows is inf, and a NaN stays a NaN (its sign and payload depend on the processor where anything
    is computed); neither warns, whatever `numpy.errstate` says. To check gradients numerically, keep the mask:
    ``mask(x)`` applies it to other values.

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
    if wrong:
        raise wrong_keywords(dropout, wrong)
    if training is True and scaling is _INVERTED:  # the usual case, in compiled code
        usual = kernels.dropout(x, p, rng, out, shared_axes)
        if usual is not None:
            return usual
    p = check_probability(p)
    numbers = threshold_and_scale(p, check_scaling(scaling))
    training = check_flag(training, "training")
    with Drawing(rng) as drawing:
        backend, array, y = prepare_chunkwise(x, out, "x")
        axes = normalize_axes(shared_axes, array.ndim)
        if not training:
            return dropped(backend.scaled_copy(array, y, mean_share(p) if scaling == "classic" else 1.0), None)
        recipe = drawing.next_recipe(*numbers)
        return dropped(backend.apply(array, y, recipe, axes), Mask._of(array.shape, p, recipe, axes))


def dropout_backward(dy: Any, mask: Recipe | None, *, out: Any = None) -> NDArray[Any]:
    """Gradient of `dropout`, and of its relatives, with respect to x: the same mask and scale, recomputed.

    Parameters
    ----------
    dy : array_like of float16, bfloat16 (of ml_dtypes), float32 or float64
        Gradient with respect to y, of the mask's shape. A Dask array gives one, as in `dropout`.
    mask : Mask, GaussianNoise, BlockMask, CutoutMask or None
        What the forward call returned, or a window of it; None returns dy's values, copied (``out=dy`` saves that).
        Classic scaling multiplies by 1 - p where `training` is False and returns None like any evaluation: its gradient
        is 1 - p times dy.
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
    TypeError
        If `mask` is none of these, or of a function whose backward computes more: `softmax_dropout`, `zoneout`,
        `bias_activation_dropout`, `dropconnect`.

    Examples
    --------
    >>> import fastdrop as fd
    >>> fd.dropout_backward([1.0, 2.0], None)
    array([1., 2.])
    """
    if mask is not None:
        if type(mask) is not Mask or mask.made_by != "dropout":
            check_made_by(mask, "dropout_backward", *_LINEAR)
        return mask(dy, out)
    backend, array, dx = prepare_chunkwise(dy, out, "dy")
    return backend.scaled_copy(array, dx, 1.0)


kernels.register(Mask, Dropped, Stream, threshold_and_scale, threads.threads_for, vars(threads))

_LINEAR = ("dropout", "dropout_add", "alpha_dropout", "gaussian_dropout", "dropblock", "cutout")
"""Functions whose backward is the product with the mask. spatial_dropout and its like are dropout's."""


@overload
def spatial_dropout(
    x: Any,
    p: float = ...,
    *,
    channel_axis: int = ...,
    rng: RNG = ...,
    training: Literal[True] = ...,
    scaling: Scaling = ...,
    out: Any = ...,
) -> Result[Mask]: ...
@overload
def spatial_dropout(
    x: Any,
    p: float = ...,
    *,
    channel_axis: int = ...,
    rng: RNG = ...,
    training: bool,
    scaling: Scaling = ...,
    out: Any = ...,
) -> Result[Mask | None]: ...
def spatial_dropout(
    x: Any,
    p: float = 0.5,
    *,
    channel_axis: int = 1,
    rng: RNG = None,
    training: bool = True,
    scaling: Scaling = "inverted",
    out: Any = None,
    **wrong: Never,
) -> Result[Any]:
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
    if wrong:
        raise wrong_keywords(spatial_dropout, wrong)
    array = as_input(x, out, "x")
    shared = map_axes(array, channel_axis)
    return dropout(array, p, rng=rng, training=training, shared_axes=shared, scaling=scaling, out=out)


def map_axes(array: NDArray[Any], channel_axis: int) -> tuple[int, ...]:
    """The axes of positions: all but the batch axis 0 and the channels'."""
    if array.ndim < 2:
        raise ValueError(f"feature maps need a batch axis and a channel axis; x has shape {array.shape}")
    channel = normalize_axis(channel_axis, array.ndim, "channel_axis")
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
