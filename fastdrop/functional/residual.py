"""Dropout and the addition of a residual connection, in one pass over memory."""

from typing import Any, Literal, Never, overload

from fastdrop._kernels import cpu as kernels
from fastdrop.arguments import check_flag, normalize_axes, wrong_keywords
from fastdrop.backends import backend_for
from fastdrop.functional.checks import check_dtypes_equal
from fastdrop.functional.dropout import Axes
from fastdrop.functional.result import Result, dropped
from fastdrop.mask import Mask
from fastdrop.rule import check_probability, threshold_and_scale
from fastdrop.stream import RNG, Drawing


@overload
def dropout_add(
    x: Any,
    residual: Any,
    p: float = ...,
    *,
    shared_axes: Axes = ...,
    rng: RNG = ...,
    training: Literal[True] = ...,
    out: Any = ...,
) -> Result[Mask]: ...
@overload
def dropout_add(
    x: Any, residual: Any, p: float = ..., *, shared_axes: Axes = ..., rng: RNG = ..., training: bool, out: Any = ...
) -> Result[Mask | None]: ...
def dropout_add(
    x: Any,
    residual: Any,
    p: float = 0.5,
    *,
    rng: RNG = None,
    training: bool = True,
    shared_axes: Axes = None,
    out: Any = None,
    **wrong: Never,
) -> Result[Any]:
    """Drop and add to a residual connection: dropout(x) + residual.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
    residual : array_like
        Of x's shape and dtype.
    p : float
        Probability of dropping.
    rng, training, shared_axes, out
        As in `dropout`. Sharing all axes but the first drops whole branches (stochastic depth). `residual` itself
        works as `out`.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype.
    mask : Mask or None
        For `dropout_backward`, which gives the gradient with respect to x; that with respect to residual is dy.

    Raises
    ------
    ValueError, TypeError
        As `dropout`, and if residual does not fit x.

    References
    ----------
    Huang, Sun, Liu, Sedra, Weinberger: "Deep networks with stochastic depth", ECCV 2016.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, mask = fd.dropout_add(np.ones((2, 3)), np.full((2, 3), 10.0), p=0.5, rng=0)
    >>> np.array_equal(y, 10 + 2 * np.asarray(mask))
    True
    """
    if wrong:
        raise wrong_keywords(dropout_add, wrong)
    if training is True:  # the usual case, in compiled code
        usual = kernels.dropout_add(x, residual, p, rng, out, shared_axes)
        if usual is not None:
            return usual
    p, training = check_probability(p), check_flag(training, "training")
    with Drawing(rng) as stream:
        backend = backend_for(x=x, residual=residual, out=out)
        x, residual = backend.as_input(x, "x"), backend.as_input(residual, "residual")
        if x.shape != residual.shape:
            raise ValueError(f"x has shape {x.shape} and residual {residual.shape}; they are to be equal")
        check_dtypes_equal(x, residual=residual)
        axes = normalize_axes(shared_axes, x.ndim)
        out, x, residual = backend.prepare_out(x, out, residual)
        mask = None
        if training:
            numbers = threshold_and_scale(p, "inverted")
            mask = kernels.make_mask(x.shape, p, stream.draw(), *numbers, axes, "dropout_add")
        return dropped(backend.elementwise("dropout_add", out, (x, residual), mask), mask)
