"""Bias, activation and dropout in one pass over memory.

float16 and bfloat16 are computed in float32 and rounded once. exp and the normal distribution are computed by the
kernels themselves, so that every instruction set gives the same bits.
"""

from typing import Any, Literal, Never, overload

from numpy.typing import NDArray

from fastdrop._kernels import cpu as kernels
from fastdrop.arguments import check_flag, wrong_keywords
from fastdrop.backends import Backend, backend_for
from fastdrop.functional.checks import check_dtypes_equal, check_gradient
from fastdrop.functional.result import Result, dropped
from fastdrop.mask import Mask
from fastdrop.multiplicative_noise import check_made_by
from fastdrop.rule import check_probability, threshold_and_scale
from fastdrop.stream import RNG, Drawing

Activation = Literal["relu", "gelu"]

_MAKERS = {name: f"bias_activation_dropout(activation={name!r})" for name in ("relu", "gelu")}
"""Whose mask it is: backward with another activation would give another function's gradient."""


@overload
def bias_activation_dropout(
    x: Any,
    bias: Any,
    p: float = ...,
    *,
    activation: Activation = ...,
    rng: RNG = ...,
    training: Literal[True] = ...,
    out: Any = ...,
) -> Result[Mask]: ...
@overload
def bias_activation_dropout(
    x: Any, bias: Any, p: float = ..., *, activation: Activation = ..., rng: RNG = ..., training: bool, out: Any = ...
) -> Result[Mask | None]: ...
def bias_activation_dropout(
    x: Any,
    bias: Any,
    p: float = 0.5,
    *,
    activation: Activation = "relu",
    rng: RNG = None,
    training: bool = True,
    out: Any = None,
    **wrong: Never,
) -> Result[Any]:
    """Add a bias, apply an activation function and drop: dropout(activation(x + bias)).

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64, shape (..., features)
    bias : array_like of x's dtype, shape (features,)
    p : float
        Probability of dropping.
    activation : {"relu", "gelu"}
        GELU is z Phi(z) with the normal distribution function Phi, not its approximation by tanh.
    rng, training, out
        As in `dropout`; not training gives activation(x + bias) and None.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype.
    mask : Mask or None
        For `bias_activation_dropout_backward`.

    Raises
    ------
    ValueError
        If p is no probability, the activation is unknown, or bias or out does not fit.
    TypeError
        If the dtypes differ or have no kernels.

    References
    ----------
    Hendrycks, Gimpel: "Gaussian error linear units (GELUs)", 2016, equation 2.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> x, bias = np.array([[1.0, -2.0], [3.0, 0.5]]), np.array([1.0, 1.0])
    >>> fd.bias_activation_dropout(x, bias, p=0.0)[0]
    array([[2. , 0. ],
           [4. , 1.5]])
    """
    if wrong:
        raise wrong_keywords(bias_activation_dropout, wrong)
    if training is True and type(activation) is str and activation in _MAKERS:  # the usual case, in compiled code
        usual = kernels.bias_activation(x, bias, activation, p, rng, out, _MAKERS[activation])
        if usual is not None:
            return usual
    p, training = check_probability(p), check_flag(training, "training")
    with Drawing(rng) as stream:
        backend, x, bias = _check_bias(x, bias, activation, out=out)
        out, x, bias = backend.prepare_out(x, out, bias)
        mask = None
        if training:
            numbers = threshold_and_scale(p, "inverted")
            mask = kernels.make_mask(x.shape, p, stream.draw(), *numbers, (), _MAKERS[activation])
        return dropped(backend.elementwise(f"bias_{activation}", out, (x, bias), mask), mask)


def bias_activation_dropout_backward(
    dy: Any, x: Any, bias: Any, mask: Mask | None, *, activation: Activation = "relu"
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Gradients of `bias_activation_dropout` with respect to x and bias.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to y, of x's shape and dtype.
    x, bias, activation
        What the forward call was given.
    mask : Mask or None
        What it returned.

    Returns
    -------
    dx : numpy.ndarray
        x's shape and dtype. ReLU's derivative at 0 is taken as 0.
    dbias : numpy.ndarray, shape (features,)
        The sum of dx over all axes but the last, taken before rounding to a half dtype, in an order that does not
        depend on the number of threads.

    Raises
    ------
    ValueError, TypeError
        If shapes or dtypes do not fit each other or the mask.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> x, bias = np.array([[1.0, -2.0], [3.0, 0.5]]), np.array([1.0, 1.0])
    >>> dx, dbias = fd.bias_activation_dropout_backward(np.ones((2, 2)), x, bias, None)
    >>> dbias
    array([2., 1.])
    """
    _check_activation(activation)
    if mask is not None:
        check_made_by(mask, "bias_activation_dropout_backward", _MAKERS[activation])
    backend, x, bias = _check_bias(x, bias, activation, dy=dy)
    dy = check_gradient(backend, dy, x, mask)
    return backend.bias_backward(activation, dy, x, bias, mask)


def _check_activation(activation: Any) -> None:
    if not isinstance(activation, str) or activation not in _MAKERS:
        raise ValueError(f'activation is "relu" or "gelu"; got {activation!r:.200}')


def _check_bias(x: Any, bias: Any, activation: str, **other: Any) -> tuple[Backend, NDArray[Any], NDArray[Any]]:
    _check_activation(activation)
    backend = backend_for(x=x, bias=bias, **other)
    x, bias = backend.as_input(x, "x"), backend.as_input(bias, "bias")
    if x.ndim == 0 or bias.shape != x.shape[-1:]:
        raise ValueError(f"x has shape {x.shape} and bias {bias.shape}; needed are (..., features) and (features,)")
    check_dtypes_equal(x, bias=bias)
    return backend, x, bias
