"""DropConnect: dropout of a layer's weights."""

from typing import Any, Literal, Never, overload

import numpy as np
from numpy.typing import NDArray

from fastdrop._kernels import cpu as kernels
from fastdrop.arguments import check_draws, check_flag, wrong_keywords
from fastdrop.backends import Backend, array_module, backend_for, compute_dtype, on_arrays_device, on_device_of
from fastdrop.functional.checks import check_dtypes_equal, check_whole
from fastdrop.functional.dropout import Scaling
from fastdrop.functional.result import Result, dropped
from fastdrop.mask import Mask
from fastdrop.multiplicative_noise import check_made_by
from fastdrop.rule import check_probability, check_scaling, evaluation_scale, threshold_and_scale
from fastdrop.stream import RNG, Drawing


@overload
def dropconnect(
    x: Any,
    weight: Any,
    bias: Any = ...,
    p: float = ...,
    *,
    per_example: bool = ...,
    drop_bias: bool = ...,
    scaling: Scaling = ...,
    rng: RNG = ...,
    training: Literal[True] = ...,
) -> Result[Mask]: ...
@overload
def dropconnect(
    x: Any,
    weight: Any,
    bias: Any = ...,
    p: float = ...,
    *,
    per_example: bool = ...,
    drop_bias: bool = ...,
    scaling: Scaling = ...,
    rng: RNG = ...,
    training: bool,
) -> Result[Mask | None]: ...
@on_arrays_device
@np.errstate(all="ignore")  # as the kernels have it
def dropconnect(
    x: Any,
    weight: Any,
    bias: Any = None,
    p: float = 0.5,
    *,
    per_example: bool = True,
    drop_bias: bool = False,
    scaling: Scaling = "inverted",
    rng: RNG = None,
    training: bool = True,
    **wrong: Never,
) -> Result[Any]:
    """A linear layer whose connections are dropped with probability p: y = (mask * weight / (1 - p)) x + bias.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64, shape (batch, inputs)
        The half dtypes are widened to float32 first and the results rounded once.
    weight : array_like of x's dtype, shape (outputs, inputs)
    bias : array_like of x's dtype, shape (outputs,), optional
        Dropped only if `drop_bias`.
    p : float
        Probability of dropping a connection.
    per_example : bool
        True draws a mask for every example, as published; the batch x outputs x inputs keep bits are used as they are
        drawn and never stored; a dropped connection contributes nothing, whatever its input. False draws one for the
        whole batch and multiplies matrices: little slower than the product alone, but there an infinite input times a
        dropped weight is NaN, as in any product with a zero.
    drop_bias : bool
        Drop biases like weights, as published: a bias is then one more input, which is 1.
    scaling : {"inverted", "classic"}
        "classic", as published, does not scale in training, and multiplies weights by 1 - p when `training` is False
        (biases, too, if they are dropped). The mean is then right; `dropconnect_inference` also uses
        the variance.
    rng, training
        As in `dropout`; not training gives the product by the mean weights and None.

    Returns
    -------
    y : numpy.ndarray, shape (batch, outputs)
        x's dtype.
    mask : Mask or None
        Of shape (batch, outputs, inputs), or (outputs, inputs) for one mask per batch; with `drop_bias` there is one
        input more.

    Raises
    ------
    ValueError
        If p is no probability, the scaling is unknown, there is no bias to drop, or the shapes do not fit.
    TypeError
        If the dtypes differ or have no kernels.

    References
    ----------
    Wan, Zeiler, Zhang, LeCun, Fergus: "Regularization of neural networks using DropConnect", ICML 2013, equation 3.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> x, weight, bias = np.ones((4, 8)), np.ones((3, 8)), np.zeros(3)
    >>> y, mask = fd.dropconnect(x, weight, bias, p=0.5, rng=5)
    >>> bool(np.all(y == 2 * np.asarray(mask).sum(axis=-1)))
    True
    >>> dx, dweight, dbias = fd.dropconnect_backward(np.ones((4, 3)), x, weight, mask)
    """
    if wrong:
        raise wrong_keywords(dropconnect, wrong)
    p, training, drop_bias = check_probability(p), check_flag(training, "training"), check_flag(drop_bias, "drop_bias")
    per_example, numbers = check_flag(per_example, "per_example"), threshold_and_scale(p, check_scaling(scaling))
    with Drawing(rng) as stream:
        backend, x, weight, bias = check_layer(x, weight, bias)
        if drop_bias:
            if bias is None:
                raise ValueError("drop_bias is True, but there is no bias")
            (x, weight), bias = with_bias_as_input(x, weight, bias), None
        shape = (x.shape[0], *weight.shape) if per_example else weight.shape
        check_draws(shape, ())
        dtype = x.dtype
        x, weight, bias = (None if array is None else widened(array) for array in (x, weight, bias))
        if not training:
            y = product(x, weight, bias, evaluation_scale(p) if scaling == "classic" else 1.0)
            return dropped(y.astype(dtype, copy=False), None)
        if per_example:
            mask = kernels.make_mask(shape, p, stream.draw(), *numbers, (), "dropconnect")
            y = backend.dropconnect_forward(x, weight, bias, mask)
        else:
            with backend.scratch_like(weight) as scratch:
                mask = kernels.make_mask(shape, p, stream.draw(), *numbers, (), "dropconnect")
                y = product(x, backend.masked_weight(weight, mask, scratch), bias)
        return dropped(y.astype(dtype, copy=False), mask)


def product(x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any] | None, share: float = 1.0) -> NDArray[Any]:
    """share * x weight^T + bias; nothing of the product where the share is 0."""
    y = x @ weight.T
    if share == 0.0:
        y[...] = 0.0  # also where x or weight is infinite
    elif share != 1.0:
        y *= y.dtype.type(share)
    if bias is not None:
        y += bias
    return y


def with_bias_as_input(x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """x with a further input of ones, and the weights with the biases beside them."""
    xp = array_module(x)
    with on_device_of(x):
        ones = xp.ones((x.shape[0], 1), x.dtype)
        return xp.concatenate([x, ones], axis=1), xp.concatenate([weight, bias[:, None]], axis=1)


@on_arrays_device
@np.errstate(all="ignore")  # as the kernels have it
def dropconnect_backward(
    dy: Any, x: Any, weight: Any, mask: Mask | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Gradients of `dropconnect` with respect to x, weight and bias.

    Parameters
    ----------
    dy : array_like, shape (batch, outputs)
        Gradient with respect to y.
    x, weight : array_like
        What the forward call was given.
    mask : Mask or None
        What it returned. None is evaluation with inverted scaling; with classic scaling, the gradients of an evaluation
        are these, but for a bias that is not dropped, times 1 - p.

    Returns
    -------
    dx : numpy.ndarray, shape (batch, inputs)
    dweight : numpy.ndarray, shape (outputs, inputs)
    dbias : numpy.ndarray, shape (outputs,)

    Raises
    ------
    ValueError
        If a shape does not fit the others or the mask.
    TypeError
        If the dtypes differ or have no kernels.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> x, weight = np.ones((2, 4)), np.ones((3, 4))
    >>> dx, dweight, dbias = fd.dropconnect_backward(np.ones((2, 3)), x, weight, None)
    >>> dx.shape, dweight.shape, dbias.shape
    ((2, 4), (3, 4), (3,))
    """
    if mask is not None:
        check_made_by(mask, "dropconnect_backward", "dropconnect")
        check_whole(mask)
    backend, x, weight, _ = check_layer(x, weight, None, dy=dy)
    dy = backend.as_input(dy, "dy")
    batch, (outputs, inputs) = x.shape[0], weight.shape
    if dy.shape != (batch, outputs):
        raise ValueError(f"dy has shape {dy.shape}; x {x.shape} and weight {weight.shape} ask for {(batch, outputs)}")
    check_dtypes_equal(x, dy=dy)
    drop_bias = mask is not None and mask.shape[-1:] == (inputs + 1,)
    columns = inputs + drop_bias
    if mask is not None and (mask.shared_axes or mask.shape not in ((batch, outputs, columns), (outputs, columns))):
        raise ValueError(
            f"a mask of shape {mask.shape} with shared axes {mask.shared_axes} "
            f"does not fit x {x.shape} and weight {weight.shape}: "
            f"needed is {(batch, outputs, inputs)} or {(outputs, inputs)}, no axis shared"
        )
    dtype = x.dtype
    dy, x, weight = (widened(array) for array in (dy, x, weight))
    if drop_bias:  # the further input has no gradient, so its weights do not matter here
        with on_device_of(x):
            x, weight = with_bias_as_input(x, weight, array_module(x).zeros(outputs, x.dtype))
    if mask is None:
        dx, dweight = dy @ weight, dy.T @ x
    elif len(mask.shape) == 3:
        dx = backend.dropconnect_dx(dy, weight, mask)
        dweight = backend.dropconnect_dweight(dy, x, mask)
    else:
        with backend.scratch_like(weight) as scratch:
            dx, dweight = dy @ backend.masked_weight(weight, mask, scratch), dy.T @ x
        backend.masked_weight(dweight, mask, dweight)
    # NumPy's order of a sum follows the memory's layout: rows in C order, so that no layout changes a bit
    dbias = dweight[:, -1].copy() if drop_bias else array_module(dy).ascontiguousarray(dy).sum(axis=0)
    dx, dweight, dbias = (array.astype(dtype, copy=drop_bias) for array in (dx[:, :inputs], dweight[:, :inputs], dbias))
    return dx, dweight, dbias


def widened(array: NDArray[Any]) -> NDArray[Any]:
    """float16 and bfloat16 as float32, in which their products are taken (BLAS has none); others as they are."""
    return array.astype(compute_dtype(array.dtype), copy=False)


def check_layer(
    x: Any, weight: Any, bias: Any, **other: Any
) -> tuple[Backend, NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """The backend of these arrays and of any other one, and the layer's arrays checked."""
    backend = backend_for(x=x, weight=weight, bias=bias, **other)
    x, weight = backend.as_input(x, "x"), backend.as_input(weight, "weight")
    if x.ndim != 2 or weight.ndim != 2 or x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"x has shape {x.shape} and weight {weight.shape}; needed are (batch, inputs) and (outputs, inputs)"
        )
    if bias is not None:
        bias = backend.as_input(bias, "bias")
        if bias.shape != (weight.shape[0],):
            raise ValueError(f"bias has shape {bias.shape}; weight {weight.shape} asks for {(weight.shape[0],)}")
    check_dtypes_equal(x, weight=weight, bias=bias)
    return backend, x, weight, bias
