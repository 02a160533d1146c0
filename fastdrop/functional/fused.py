"""Dropout together with what stands next to it in a network: one pass over memory instead of two or three.

float16 and bfloat16 are computed in float32 and rounded once. exp and the normal distribution are computed by the
kernels themselves, so that every instruction set gives the same bits.
"""

from typing import Any, Literal, Never, overload

from numpy.typing import NDArray

from fastdrop.arguments import check_flag, normalize_axes, wrong_keywords
from fastdrop.backends import Backend, backend_for, namespace, prepare
from fastdrop.functional.elementwise import Axes
from fastdrop.functional.result import Result, dropped
from fastdrop.mask import Mask
from fastdrop.multiplier import check_made_by
from fastdrop.rule import KEEP_ALL, check_probability, threshold_and_scale
from fastdrop.stream import RNG, Drawing
from fastdrop.threads import kernels

Activation = Literal["relu", "gelu"]

_KEEP_ALL = kernels.Recipe(0, 0, KEEP_ALL)
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
        The recipe, for `bias_activation_dropout_backward`.

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
        recipe = stream.next_recipe(*threshold_and_scale(p, "inverted")) if training else _KEEP_ALL
        y = backend.elementwise(f"bias_{activation}", out, (x, bias), recipe)
        return dropped(y, Mask._of(x.shape, p, recipe, (), _MAKERS[activation]) if training else None)


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
        x's shape and dtype. ReLU's slope at 0 is taken as 0.
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
    dy = _check_gradient(backend, dy, x, mask)
    recipe = mask.recipe if mask else _KEEP_ALL
    return backend.bias_backward(activation, dy, x, bias, recipe)


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
        The recipe, for `dropout_add_backward`.

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
        _check_dtype("residual", residual, x)
        axes = normalize_axes(shared_axes, x.ndim)
        out, x, residual = backend.prepare_out(x, out, residual)
        recipe = stream.next_recipe(*threshold_and_scale(p, "inverted")) if training else _KEEP_ALL
        y = backend.elementwise("dropout_add", out, (x, residual), recipe, axes)
        return dropped(y, Mask._of(x.shape, p, recipe, axes, "dropout_add") if training else None)


def dropout_add_backward(dy: Any, mask: Mask | None, *, out: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Gradients of `dropout_add` with respect to x and residual: the masked dy, and dy itself.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to y.
    mask : Mask or None
        What the forward call returned.
    out : numpy.ndarray, optional
        Where to write the first; `dy` itself works.

    Returns
    -------
    dx : numpy.ndarray
    dresidual : numpy.ndarray
        dy, not a copy of it; a copy where `out` shares memory with dy.

    Raises
    ------
    ValueError
        If dy has another shape than the mask.

    Examples
    --------
    >>> import fastdrop as fd
    >>> fd.dropout_add_backward([1.0, 2.0], None)
    (array([1., 2.]), array([1., 2.]))
    """
    if mask is not None:
        check_made_by(mask, "dropout_add_backward", "dropout_add")
    backend, dy, dx = prepare(dy, out, "dy")
    dresidual = dy.copy() if namespace(dy).may_share_memory(dy, dx) else dy
    return (backend.scaled_copy(dy, dx, 1.0) if mask is None else mask(dy, dx)), dresidual


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
        The recipe, for `softmax_dropout_backward`.

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
        recipe = stream.next_recipe(*threshold_and_scale(p, "inverted")) if training else _KEEP_ALL
        y = backend.softmax(out, x, None, recipe)
        return dropped(y, Mask._of(x.shape, p, recipe, (), "softmax_dropout") if training else None)


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
    dy = _check_gradient(backend, dy, x, mask)
    out, x, dy = backend.prepare_out(x, out, dy)
    recipe = mask.recipe if mask else _KEEP_ALL
    return backend.softmax(out, x, dy, recipe)


def _check_activation(activation: Any) -> None:
    if not isinstance(activation, str) or activation not in _MAKERS:
        raise ValueError(f'activation is "relu" or "gelu"; got {activation!r:.200}')


def _check_bias(x: Any, bias: Any, activation: str, **other: Any) -> tuple[Backend, NDArray[Any], NDArray[Any]]:
    _check_activation(activation)
    backend = backend_for(x=x, bias=bias, **other)
    x, bias = backend.as_input(x, "x"), backend.as_input(bias, "bias")
    if x.ndim == 0 or bias.shape != x.shape[-1:]:
        raise ValueError(f"x has shape {x.shape} and bias {bias.shape}; needed are (..., features) and (features,)")
    _check_dtype("bias", bias, x)
    return backend, x, bias


def _check_rows(x: NDArray[Any]) -> NDArray[Any]:
    if x.ndim == 0:
        raise ValueError("softmax needs an axis to run along; x is a single number")
    return x


def _check_gradient(backend: Backend, dy: Any, x: NDArray[Any], mask: Mask | None) -> NDArray[Any]:
    dy = backend.as_input(dy, "dy")
    if dy.shape != x.shape:
        raise ValueError(f"dy has shape {dy.shape} and x {x.shape}; they are to be equal")
    _check_dtype("dy", dy, x)
    if mask is not None and (mask.shape != x.shape or mask.shared_axes):
        raise ValueError(
            f"a mask of shape {mask.shape} with shared axes {mask.shared_axes} does not fit x {x.shape}, no axis shared"
        )
    return dy


def _check_dtype(name: str, array: NDArray[Any], x: NDArray[Any]) -> None:
    if array.dtype != x.dtype:
        raise TypeError(f"{name} has dtype {array.dtype} and x {x.dtype}; give all arrays one dtype")
