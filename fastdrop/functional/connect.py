"""DropConnect: dropout of a layer's weights."""

from typing import Any

from numpy.typing import NDArray

from fastdrop.backends import Backend, backend_for
from fastdrop.mask import Mask
from fastdrop.rule import check_probability
from fastdrop.stream import RNG, Stream


def dropconnect(
    x: Any,
    weight: Any,
    bias: Any = None,
    p: float = 0.5,
    *,
    per_example: bool = True,
    rng: RNG = None,
    training: bool = True,
) -> tuple[NDArray[Any], Mask | None]:
    """A linear layer whose connections are dropped with probability p: y = (mask * weight / (1 - p)) x + bias.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64, shape (batch, inputs)
        The half dtypes are widened to float32 first and the results rounded once.
    weight : array_like of x's dtype, shape (outputs, inputs)
    bias : array_like of x's dtype, shape (outputs,), optional
        Never dropped.
    p : float
        Probability of dropping a connection.
    per_example : bool
        True draws a mask for every example, as published; the batch x outputs x inputs decisions are used as they are
        drawn and never stored; a dropped connection contributes nothing, whatever its input. False draws one for the
        whole batch and multiplies matrices: little slower than the product alone, but there an infinite input times a
        dropped weight is NaN, as in any product with a zero.
    rng, training
        As in `dropout`; not training gives the plain product and None.

    Returns
    -------
    y : numpy.ndarray, shape (batch, outputs)
        x's dtype.
    mask : Mask or None
        Of shape (batch, outputs, inputs), or (outputs, inputs) for one mask per batch.

    Raises
    ------
    ValueError
        If p is no probability or the shapes do not fit.
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
    check_probability(p)
    backend, x, weight, bias = _check_layer(x, weight, bias)
    batch, (outputs, inputs) = x.shape[0], weight.shape
    mask: Mask | None = None
    if training:
        shape = (batch, outputs, inputs) if per_example else (outputs, inputs)
        mask = Mask(shape, p, Stream.from_rng(rng))
    dtype = x.dtype
    x, weight, bias = (None if array is None else _widened(backend, array) for array in (x, weight, bias))
    if mask is not None and per_example:
        y = backend.connect_forward(x, weight, bias, mask.recipe)
    else:
        y = x @ (weight if mask is None else backend.masked_weight(weight, mask.recipe)).T
        if bias is not None:
            y += bias
    return y.astype(dtype, copy=False), mask


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
        What it returned.

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
    backend, x, weight, _ = _check_layer(x, weight, None, dy=dy)
    dy = backend.as_input(dy, "dy")
    batch, (outputs, inputs) = x.shape[0], weight.shape
    if dy.shape != (batch, outputs):
        raise ValueError(f"dy has shape {dy.shape}; x {x.shape} and weight {weight.shape} ask for {(batch, outputs)}")
    if dy.dtype != x.dtype:
        raise TypeError(f"dy has dtype {dy.dtype} and x {x.dtype}; give all arrays one dtype")
    if mask is not None and (mask.shared_axes or mask.shape not in ((batch, outputs, inputs), (outputs, inputs))):
        raise ValueError(
            f"a mask of shape {mask.shape} with shared axes {mask.shared_axes} "
            f"does not fit x {x.shape} and weight {weight.shape}: "
            f"needed is {(batch, outputs, inputs)} or {(outputs, inputs)}, no axis shared"
        )
    dtype = x.dtype
    dy, x, weight = (_widened(backend, array) for array in (dy, x, weight))
    if mask is None:
        dx, dweight = dy @ weight, dy.T @ x
    elif mask.shape == (batch, outputs, inputs):
        dx = backend.connect_dx(dy, weight, mask.recipe)
        dweight = backend.connect_dweight(dy, x, mask.recipe)
    else:
        dx, dweight = dy @ backend.masked_weight(weight, mask.recipe), dy.T @ x
        backend.masked_weight(dweight, mask.recipe, out=dweight)
    dx, dweight, dbias = (array.astype(dtype, copy=False) for array in (dx, dweight, dy.sum(axis=0)))
    return dx, dweight, dbias


def _widened(backend: Backend, array: NDArray[Any]) -> NDArray[Any]:
    """float16 and bfloat16 as float32, in which their products are taken (BLAS has none); others as they are."""
    return array.astype(backend.arithmetic(array.dtype), copy=False)


def _check_layer(
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
    for name, array in (("weight", weight), ("bias", bias)):
        if array is not None and array.dtype != x.dtype:
            raise TypeError(f"{name} has dtype {array.dtype} and x {x.dtype}; give all arrays one dtype")
    return backend, x, weight, bias
