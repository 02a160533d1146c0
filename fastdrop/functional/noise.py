"""Noise that is not zero: Gaussian dropout and alpha dropout."""

import functools
from typing import Any

from numpy.typing import NDArray

from fastdrop.backends import Backend, namespace, on_device_of, prepare
from fastdrop.functional.elementwise import dropout_backward, map_axes
from fastdrop.mask import Mask
from fastdrop.noise import GaussianNoise
from fastdrop.rule import ALPHA_DROPPED, ALPHA_SCALING
from fastdrop.stream import RNG, Stream


def gaussian_dropout(
    x: Any, p: float = 0.5, *, rng: RNG = None, training: bool = True, out: Any = None
) -> tuple[NDArray[Any], GaussianNoise | None]:
    """Multiply by noise of mean 1 and variance p / (1 - p), in one pass: the variance that dropout's factors have.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Any shape and strides.
    p : float
        The rate of the dropout that it stands for, 0 to below 1; the factors are normal, with mean 1 and standard
        deviation sqrt(p / (1 - p)).
    rng, training, out
        As in `dropout`.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype. Nothing is zero, and nothing needs scaling in evaluation.
    noise : GaussianNoise or None
        The recipe of the noise, for `gaussian_dropout_backward`; None if `training` is False.

    Raises
    ------
    ValueError
        If p is outside [0, 1), or out does not fit.
    TypeError
        As `dropout`.

    Notes
    -----
    A noise of one element depends on seed, call number and position alone, and is the same float32 number for every
    dtype, on CPU and GPU; `docs/mask-rule.md` states how it is drawn.

    References
    ----------
    Srivastava et al.: "Dropout", JMLR 15 (2014), section 10.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, noise = fd.gaussian_dropout(np.ones(100_000), p=0.5, rng=7)
    >>> bool(abs(y.mean() - 1) < 0.02), bool(abs(y.std() - 1) < 0.02)
    (True, True)
    >>> dx = fd.gaussian_dropout_backward(np.ones(100_000), noise)
    >>> np.array_equal(dx, y)
    True
    """
    _, array, y = prepare(x, out, "x")
    if not training:
        GaussianNoise((), p, Stream(0))  # says what is wrong with p, here too
        return dropout_backward(array, None, out=y), None
    noise = GaussianNoise(array.shape, p, Stream.from_rng(rng))
    return noise(array, y), noise


def alpha_dropout(
    x: Any, p: float = 0.5, *, rng: RNG = None, training: bool = True, out: Any = None
) -> tuple[NDArray[Any], Mask | None]:
    """Dropout for self-normalising networks: where x has mean 0 and variance 1, so has y.

    A dropped element becomes the value at which SELU saturates, -1.758, instead of 0; then all are scaled by a and
    shifted by b: y = a (keep ? x : -1.758) + b.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Any shape and strides.
    p : float
        Probability of dropping.
    rng, training, out
        As in `dropout`.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype.
    mask : Mask or None
        The recipe, for `alpha_dropout_backward`: dx = a keep(dy). Its `scale` is a.

    Raises
    ------
    ValueError, TypeError
        As `dropout`.

    References
    ----------
    Klambauer, Unterthiner, Mayr, Hochreiter: "Self-normalizing neural networks", NeurIPS 2017, "New dropout technique":
    a = (q + alpha'^2 q (1 - q))^(-1/2) and b = -a (1 - q) alpha', where q is the probability of keeping.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal(100_000)
    >>> y, mask = fd.alpha_dropout(x, p=0.3, rng=1)
    >>> bool(abs(y.mean()) < 0.02), bool(abs(y.std() - 1) < 0.02)
    (True, True)
    """
    backend, array, y = prepare(x, out, "x")
    return _alpha(backend, array, y, p, (), rng, training)


def feature_alpha_dropout(
    x: Any, p: float = 0.5, *, channel_axis: int = 1, rng: RNG = None, training: bool = True, out: Any = None
) -> tuple[NDArray[Any], Mask | None]:
    """Alpha dropout of whole feature maps: one decision per example and channel.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Shape (batch, ...), with the channels on any other axis.
    p, rng, training, out
        As in `alpha_dropout`.
    channel_axis : int
        As in `spatial_dropout`.

    Returns
    -------
    y : numpy.ndarray
    mask : Mask or None
        The recipe, for `feature_alpha_dropout_backward`.

    Raises
    ------
    ValueError, TypeError
        As `spatial_dropout`.

    References
    ----------
    Klambauer et al. 2017, as in `alpha_dropout`; Tompson et al. 2015, as in `spatial_dropout`.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, mask = fd.feature_alpha_dropout(np.zeros((2, 3, 4, 4)), p=0.5, rng=1)
    >>> len({float(v) for v in y.ravel()})
    2
    """
    backend, array, y = prepare(x, out, "x")
    shared = map_axes(array, channel_axis)
    return _alpha(backend, array, y, p, shared, rng, training)


def _alpha(
    backend: Backend, x: NDArray[Any], out: NDArray[Any], p: float, axes: tuple[int, ...], rng: RNG, training: bool
) -> tuple[NDArray[Any], Mask | None]:
    if not training:
        Mask((), p, Stream(0))  # says what is wrong with p, here too
        return backend.scaled_copy(x, out, 1.0), None
    mask = Mask(x.shape, p, Stream.from_rng(rng), axes, ALPHA_SCALING)
    if mask.keep_prob == 1.0:
        return backend.scaled_copy(x, out, 1.0), mask
    shift = -mask.scale * (1.0 - mask.keep_prob) * ALPHA_DROPPED
    columns = _row_length(x.size) if not axes and x.flags.c_contiguous and out.flags.c_contiguous else 0
    shape = (-1, columns) if columns else x.shape
    with on_device_of(x):
        row = namespace(x).full(columns or x.shape[-1:], shift, x.dtype)
    backend.elementwise("alpha", out.reshape(shape), (x.reshape(shape), row), mask.recipe, axes)
    return out, mask


@functools.lru_cache(maxsize=64)
def _row_length(size: int) -> int:
    """Into rows of how many elements an array is divided, so that the row of shifts stays in the caches; 0 for none.

    The kernel takes the shift like a bias, one for each column: a long array's row would be as long as the array.
    """
    return next((length for length in range(min(size, 4096), 63, -1) if size % length == 0), 0)


gaussian_dropout_backward = dropout_backward
alpha_dropout_backward = dropout_backward
feature_alpha_dropout_backward = dropout_backward
