"""Softmax and dropout of its probabilities, as attention has them, in one pass."""

from typing import Any, Literal, Never, overload

from numpy.typing import NDArray

from fastdrop._kernels import cpu as kernels
from fastdrop.arguments import check_flag, wrong_keywords
from fastdrop.backends import backend_for
from fastdrop.functional.checks import check_gradient
from fastdrop.functional.result import Result, dropped
from fastdrop.mask import Mask
from fastdrop.multiplicative_noise import check_made_by
from fastdrop.rule import check_probability, threshold_and_scale
from fastdrop.stream import RNG, Drawing


@overload
def softmax_dropout(
    x: Any, p: float = ..., *, rng: RNG = ..., training: Literal[True] = ..., out: Any = ...
) -> Result[Mask]: ...
@overload
def softmax_dropout(
    x: Any, p: float = ..., *, rng: RNG = ..., training: bool, out: Any = ...
) -> Result[Mask | None]: ...
def softmax_dropout(
    x: Any, p: float = 0.5, *, rng: RNG = None, training: bool = True, out: Any = None, **wrong: Never
) -> Result[Any]:
    """Softmax along the last axis and dropout of its probabilities, as attention does it.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64, shape (..., columns)
        Scores; -inf gives a probability of 0.
    p : float
        Probability of dropping.
    rng, training, out
        As in `dropout`; not training gives the softmax and None.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype. A row sums to 1 in expectation, not in each draw.
    mask : Mask or None
        For `softmax_dropout_backward`.

    Raises
    ------
    ValueError
        If p is no probability, x has no axis, or out does not fit.
    TypeError
        If the dtype has no kernels.

    Notes
    -----
    Rows are read in C order; an array with other strides is copied first.

    References
    ----------
    Vaswani et al.: "Attention is all you need", NeurIPS 2017, section 5.4.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, mask = fd.softmax_dropout(np.zeros((2, 4)), p=0.0)
    >>> y[0]
    array([0.25, 0.25, 0.25, 0.25])
    """
    if wrong:
        raise wrong_keywords(softmax_dropout, wrong)
    p, training = check_probability(p), check_flag(training, "training")
    with Drawing(rng) as stream:
        backend = backend_for(x=x, out=out)
        x = _check_rows(backend.as_input(x, "x"))
        out, x = backend.prepare_out(x, out)
        mask = None
        if training:
            numbers = threshold_and_scale(p, "inverted")
            mask = kernels.make_mask(x.shape, p, stream.draw(), *numbers, (), "softmax_dropout")
        return dropped(backend.softmax(out, x, None, mask), mask)


def softmax_dropout_backward(dy: Any, x: Any, mask: Mask | None, *, out: Any = None) -> NDArray[Any]:
    """Gradient of `softmax_dropout` with respect to x; the probabilities are computed again, none are stored.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to y, of x's shape and dtype.
    x : array_like
        What the forward call was given.
    mask : Mask or None
        What it returned.
    out : numpy.ndarray, optional
        Where to write; `dy` or `x` works in place.

    Returns
    -------
    dx : numpy.ndarray
        x's shape and dtype.

    Raises
    ------
    ValueError, TypeError
        If shapes or dtypes do not fit each other or the mask.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> fd.softmax_dropout_backward(np.array([[1.0, 0.0]]), np.zeros((1, 2)), None)
    array([[ 0.25, -0.25]])
    """
    if mask is not None:
        check_made_by(mask, "softmax_dropout_backward", "softmax_dropout")
    backend = backend_for(dy=dy, x=x, out=out)
    x = _check_rows(backend.as_input(x, "x"))
    dy = check_gradient(backend, dy, x, mask)
    out, x, dy = backend.prepare_out(x, out, dy)
    return backend.softmax(out, x, dy, mask)


def _check_rows(x: NDArray[Any]) -> NDArray[Any]:
    if x.ndim == 0:
        raise ValueError("softmax needs an axis to run along; x is a single number")
    return x
