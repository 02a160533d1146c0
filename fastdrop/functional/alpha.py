"""Alpha dropout, which keeps mean and variance of self-normalising networks."""

from collections.abc import Callable
from typing import Any, Literal, Never, overload

from fastdrop._kernels import cpu as kernels
from fastdrop.arguments import check_flag, wrong_keywords
from fastdrop.backends import prepare
from fastdrop.functional.result import Result, dropped
from fastdrop.functional.shared_axes import map_axes
from fastdrop.mask import Mask
from fastdrop.rule import ALPHA_DROPPED, KEEP_ALL, alpha_scale, check_probability, threshold_of
from fastdrop.stream import RNG, Drawing


@overload
def alpha_dropout(
    x: Any, p: float = ..., *, rng: RNG = ..., training: Literal[True] = ..., out: Any = ...
) -> Result[Mask]: ...
@overload
def alpha_dropout(x: Any, p: float = ..., *, rng: RNG = ..., training: bool, out: Any = ...) -> Result[Mask | None]: ...
def alpha_dropout(
    x: Any, p: float = 0.5, *, rng: RNG = None, training: bool = True, out: Any = None, **wrong: Never
) -> Result[Any]:
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
        For `dropout_backward`: dx = keep ? a dy : 0. Its `scale` is a.

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
    if wrong:
        raise wrong_keywords(alpha_dropout, wrong)
    return _alpha(x, p, lambda _: (), rng, training, out)


@overload
def feature_alpha_dropout(
    x: Any, p: float = ..., *, channel_axis: int = ..., rng: RNG = ..., training: Literal[True] = ..., out: Any = ...
) -> Result[Mask]: ...
@overload
def feature_alpha_dropout(
    x: Any, p: float = ..., *, channel_axis: int = ..., rng: RNG = ..., training: bool, out: Any = ...
) -> Result[Mask | None]: ...
def feature_alpha_dropout(
    x: Any,
    p: float = 0.5,
    *,
    channel_axis: int = 1,
    rng: RNG = None,
    training: bool = True,
    out: Any = None,
    **wrong: Never,
) -> Result[Any]:
    """Alpha dropout of whole feature maps: one keep bit for each example and channel.

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
        For `dropout_backward`.

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
    if wrong:
        raise wrong_keywords(feature_alpha_dropout, wrong)
    return _alpha(x, p, lambda array: map_axes(array, channel_axis), rng, training, out)


def _alpha(
    x: Any, p: float, axes_of: Callable[[Any], tuple[int, ...]], rng: RNG, training: bool, out: Any
) -> Result[Any]:
    """Alpha dropout with one keep bit along these axes of x."""
    p, training = check_probability(p), check_flag(training, "training")
    with Drawing(rng) as stream:
        backend, array, y = prepare(x, out, "x")
        axes = axes_of(array)
        if not training:
            return dropped(backend.multiply(array, y, 1.0), None)
        threshold, scale = threshold_of(p), alpha_scale(p)
        mask = kernels.make_mask(array.shape, p, stream.draw(), threshold, scale, axes, "alpha_dropout")
        if threshold == KEEP_ALL:
            return dropped(backend.multiply(array, y, 1.0), mask)
        shift = -scale * p * ALPHA_DROPPED
        return dropped(backend.elementwise("alpha", y, (array,), mask, shift), mask)
