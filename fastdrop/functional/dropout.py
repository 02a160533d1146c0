"""`dropout`, and the backward of everything that multiplies."""

from collections.abc import Sequence
from typing import Any, Literal, Never, overload

from numpy.typing import NDArray

from fastdrop import chunks, threads
from fastdrop._kernels import cpu as kernels
from fastdrop.arguments import check_flag, normalize_axes, wrong_keywords
from fastdrop.backends import prepare
from fastdrop.functional.result import Dropped, Result, dropped
from fastdrop.mask import Mask
from fastdrop.multiplicative_noise import MultiplicativeNoise, check_made_by
from fastdrop.rule import check_probability, check_scaling, evaluation_scale, threshold_and_scale
from fastdrop.stream import RNG, Drawing, Stream

Scaling = Literal["inverted", "classic"]
_INVERTED: Scaling = "inverted"
Axes = int | Sequence[int] | None


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
        each by its slice of the mask, ``mask[rows, columns]``: however it is cut, the result is that of the whole
        array. So it is with this function, `spatial_dropout`, `drop_path`, `locked_dropout`, `embedding_dropout` and
        their gradients. Other packages' arrays that support DLPack: `from_dlpack` shares their memory.
    p : float
        Probability of dropping (not of keeping), 0 to 1, honoured to 2**-41.
    rng : Stream, or what `numpy.random.default_rng` takes
        Where the mask comes from (SPEC 7). A `Stream` gives every call another mask: make one before the training loop.
        A seed gives every call the same one. `numpy.random.seed` has no effect. See `Stream.from_rng`.
    training : bool
        False returns x's values and None. The values are copied; ``out=x`` saves that.
    shared_axes : int or sequence of int, optional
        Axes along which one keep bit is shared (elsewhere called noise_shape or broadcast_dims).
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
        For `dropout_backward`; None if `training` is False. It is drawn by this call, also for a Dask array.

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
    with Drawing(rng) as stream:
        if chunks.has_chunks(x, out):
            array = chunks.as_input(x, out, "x")
            axes = normalize_axes(shared_axes, array.ndim)
            if not training:
                return dropped(chunks.multiply(array, evaluation_scale(p) if scaling == "classic" else 1.0), None)
            mask = kernels.make_mask(array.shape, p, stream.draw(), *numbers, axes)
            return dropped(chunks.apply(mask, array), mask)
        backend, array, y = prepare(x, out, "x")
        axes = normalize_axes(shared_axes, array.ndim)
        if not training:
            return dropped(backend.multiply(array, y, evaluation_scale(p) if scaling == "classic" else 1.0), None)
        mask = kernels.make_mask(array.shape, p, stream.draw(), *numbers, axes)
        return dropped(backend.elementwise("dropout", y, (array,), mask), mask)


def dropout_backward(dy: Any, mask: MultiplicativeNoise | None, *, out: Any = None) -> NDArray[Any]:
    """Gradient with respect to x of every function here that multiplies x by a mask or noise: the product with dy.

    Of `dropout`, `spatial_dropout`, `drop_path`, `locked_dropout`, `embedding_dropout`, `alpha_dropout`,
    `feature_alpha_dropout`, `gaussian_dropout`, `dropblock` and `cutout`; and of `dropout_add`, whose gradient with
    respect to the residual is dy itself. The mask is drawn again, none was stored.

    Parameters
    ----------
    dy : array_like of float16, bfloat16 (of ml_dtypes), float32 or float64
        Gradient with respect to y, of the mask's shape. A Dask array gives one, as in `dropout`.
    mask : Mask, GaussianNoise, BlockMask, CutoutMask or None
        What the forward call returned, or a slice of it; None returns dy's values, copied (``out=dy`` saves that).
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
    if chunks.has_chunks(dy, out):
        return chunks.multiply(chunks.as_input(dy, out, "dy"), 1.0)
    backend, array, dx = prepare(dy, out, "dy")
    return backend.multiply(array, dx, 1.0)


kernels.register(Mask, Dropped, Stream, threshold_and_scale, threads.threads_for, vars(threads))

_LINEAR = ("dropout", "dropout_add", "alpha_dropout", "gaussian_dropout", "dropblock", "cutout")
"""Functions whose backward is the product with the mask. The masks of spatial_dropout and its like are dropout's."""
