"""Gaussian dropout: multiplication by normal noise."""

from typing import Any, Literal, Never, overload

from fastdrop.arguments import check_flag, wrong_keywords
from fastdrop.backends import prepare
from fastdrop.functional.result import Result, dropped
from fastdrop.noise import GaussianNoise, check_noise
from fastdrop.stream import RNG, Drawing


@overload
def gaussian_dropout(
    x: Any, p: float = ..., *, rng: RNG = ..., training: Literal[True] = ..., out: Any = ...
) -> Result[GaussianNoise]: ...
@overload
def gaussian_dropout(
    x: Any, p: float = ..., *, rng: RNG = ..., training: bool, out: Any = ...
) -> Result[GaussianNoise | None]: ...
def gaussian_dropout(
    x: Any, p: float = 0.5, *, rng: RNG = None, training: bool = True, out: Any = None, **wrong: Never
) -> Result[Any]:
    """Multiply by noise of mean 1 and variance p / (1 - p), in one pass: the variance that dropout's factors have.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Any shape and strides.
    p : float
        The rate of the dropout that it replaces, 0 to below 1; the factors are normal, with mean 1 and standard
        deviation sqrt(p / (1 - p)).
    rng, training, out
        As in `dropout`.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype. Nothing is zero, and nothing needs scaling in evaluation.
    noise : GaussianNoise or None
        For `dropout_backward`; None if `training` is False.

    Raises
    ------
    ValueError
        If p is outside [0, 1), or out does not fit.
    TypeError
        As `dropout`.

    Notes
    -----
    The noise of an element depends on seed, call number and position, and is the same float32 number for every
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
    >>> dx = fd.dropout_backward(np.ones(100_000), noise)
    >>> np.array_equal(dx, y)
    True
    """
    if wrong:
        raise wrong_keywords(gaussian_dropout, wrong)
    p, training = check_noise(p), check_flag(training, "training")
    with Drawing(rng) as stream:
        backend, array, y = prepare(x, out, "x")
        if not training:
            return dropped(backend.multiply(array, y, 1.0), None)
        noise = GaussianNoise(array.shape, p, stream.draw())
        return dropped(noise(array, y), noise)
