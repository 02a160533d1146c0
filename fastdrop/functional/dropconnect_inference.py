"""Inference with DropConnect by moment matching."""

from collections.abc import Callable
from typing import Any, Never

import numpy as np
from numpy.typing import NDArray

from fastdrop.arguments import check_flag, check_int, wrong_keywords
from fastdrop.backends import array_module, on_arrays_device, on_device_of
from fastdrop.functional.dropconnect import check_layer, product, widened, with_bias_as_input
from fastdrop.functional.dropout import Scaling
from fastdrop.noise import GaussianNoise
from fastdrop.rule import check_probability, check_scaling, evaluation_scale
from fastdrop.stream import RNG, Drawing


def dropconnect_inference(
    x: Any,
    weight: Any,
    bias: Any = None,
    p: float = 0.5,
    *,
    samples: int = 1000,
    activation: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
    drop_bias: bool = False,
    scaling: Scaling = "inverted",
    rng: RNG = None,
    **wrong: Never,
) -> NDArray[Any]:
    """Inference by moment matching: a layer's activations, averaged over draws of its inputs' normal approximation.

    Over masks, a unit's input is a sum of many independent terms, so nearly normal. Its mean and variance are known:
    u ~ N(keep_prob W x, p keep_prob (W * W)(x * x)) where training does not scale, both divided by keep_prob and its
    square where it does. Drawing `samples` numbers for each unit takes the place of as many masks of the weights.

    Parameters
    ----------
    x, weight, bias, p, drop_bias, scaling
        As in `dropconnect`.
    samples : int
        Draws to average over.
    activation : callable, optional
        What follows the layer, such as ``lambda u: np.maximum(u, 0)``: the average is taken behind it. Without one the
        average tends to the mean, which ``dropconnect(..., training=False)`` gives at once.
    rng
        As in `dropout`.

    Returns
    -------
    r : numpy.ndarray, shape (batch, outputs)
        The mean of activation(u), of x's dtype.

    Raises
    ------
    ValueError, TypeError
        As `dropconnect`; and if `samples` is less than 1.

    References
    ----------
    Wan, Zeiler, Zhang, LeCun, Fergus: "Regularization of neural networks using DropConnect", ICML 2013, algorithm 2.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> x, weight = np.ones((1, 100)), np.zeros((2, 100))
    >>> weight[1] = 0.1
    >>> r = fd.dropconnect_inference(x, weight, p=0.5, activation=lambda u: np.maximum(u, 0), rng=0)
    >>> r.shape, float(r[0, 0]), bool(abs(r[0, 1] - 10) < 0.2)
    ((1, 2), 0.0, True)
    """
    if wrong:
        raise wrong_keywords(dropconnect_inference, wrong)
    samples = check_int(samples, "samples", 1)
    if activation is not None and not callable(activation):
        raise TypeError(f"activation is a function of an array; got {activation!r:.200}")
    mean, variance, dtype = _moments(x, weight, bias, p, drop_bias, scaling)
    xp, wide = array_module(mean), mean.dtype
    with Drawing(rng) as stream, on_device_of(mean):
        deviation, ones = xp.sqrt(variance), xp.ones(mean.shape, wide)
        total = xp.zeros(mean.shape, wide)
        for _ in range(samples):
            z = GaussianNoise(mean.shape, 0.5, stream.draw())(ones) - wide.type(1)  # at p = 0.5 sigma is 1
            with np.errstate(all="ignore"):  # as the kernels have it; not what the activation computes
                u = mean + deviation * z
            r = u if activation is None else activation(u)
            with np.errstate(all="ignore"):
                total += r
        with np.errstate(all="ignore"):
            return (total / wide.type(samples)).astype(dtype)


@np.errstate(all="ignore")  # as the kernels have it
def dropconnect_moments(
    x: Any,
    weight: Any,
    bias: Any = None,
    p: float = 0.5,
    *,
    drop_bias: bool = False,
    scaling: Scaling = "inverted",
    **wrong: Never,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and variance, over masks, of what `dropconnect` returns.

    Parameters
    ----------
    x, weight, bias, p, drop_bias, scaling
        As in `dropconnect`.

    Returns
    -------
    mean, variance : numpy.ndarray, shape (batch, outputs)
        x's dtype.

    Raises
    ------
    ValueError, TypeError
        As `dropconnect`; and if p = 1 with inverted scaling, whose variance is infinite.

    References
    ----------
    Wan et al., as in `dropconnect_inference`.

    Examples
    --------
    >>> import fastdrop as fd
    >>> mean, variance = fd.dropconnect_moments([[1.0, 2.0]], [[3.0, 1.0]], p=0.5)
    >>> mean.item(), variance.item()
    (5.0, 13.0)
    """
    if wrong:
        raise wrong_keywords(dropconnect_moments, wrong)
    mean, variance, dtype = _moments(x, weight, bias, p, drop_bias, scaling)
    return mean.astype(dtype, copy=False), variance.astype(dtype, copy=False)


@on_arrays_device
@np.errstate(all="ignore")  # as the kernels have it
def _moments(
    x: Any, weight: Any, bias: Any, p: float, drop_bias: bool, scaling: str
) -> tuple[NDArray[Any], NDArray[Any], Any]:
    """Mean and variance in the dtype that is computed in, and x's dtype."""
    p, drop_bias = check_probability(p), check_flag(drop_bias, "drop_bias")
    share = evaluation_scale(p)
    if check_scaling(scaling) == "inverted" and share == 0.0:
        raise ValueError("p = 1 with inverted scaling has no variance; p is below 1 here")
    _, x, weight, bias = check_layer(x, weight, bias)
    if drop_bias and bias is None:
        raise ValueError("drop_bias is True, but there is no bias")
    dtype = x.dtype
    x, weight, bias = (None if array is None else widened(array) for array in (x, weight, bias))
    variance = (x * x) @ (weight * weight).T
    if drop_bias:
        variance += bias**2
        mean = product(*with_bias_as_input(x, weight, bias), None, share if scaling == "classic" else 1.0)
    else:
        mean = product(x, weight, bias, share if scaling == "classic" else 1.0)
    factor = 0.0 if share in (0.0, 1.0) else p / share if scaling == "inverted" else p * share
    if factor == 0.0:
        variance[...] = 0.0  # also where x or weight is infinite
    return mean, variance * variance.dtype.type(factor), dtype
