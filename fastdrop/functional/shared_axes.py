"""Dropout whose keep bits are shared along axes: of feature maps, branches, sequences, words."""

from typing import Any, Literal, Never, overload

from numpy.typing import NDArray

from fastdrop.arguments import normalize_axis, wrong_keywords
from fastdrop.backends import as_input
from fastdrop.functional.dropout import Scaling, dropout
from fastdrop.functional.result import Result
from fastdrop.mask import Mask
from fastdrop.stream import RNG


@overload
def spatial_dropout(
    x: Any,
    p: float = ...,
    *,
    channel_axis: int = ...,
    rng: RNG = ...,
    training: Literal[True] = ...,
    scaling: Scaling = ...,
    out: Any = ...,
) -> Result[Mask]: ...
@overload
def spatial_dropout(
    x: Any,
    p: float = ...,
    *,
    channel_axis: int = ...,
    rng: RNG = ...,
    training: bool,
    scaling: Scaling = ...,
    out: Any = ...,
) -> Result[Mask | None]: ...
def spatial_dropout(
    x: Any,
    p: float = 0.5,
    *,
    channel_axis: int = 1,
    rng: RNG = None,
    training: bool = True,
    scaling: Scaling = "inverted",
    out: Any = None,
    **wrong: Never,
) -> Result[Any]:
    """Drop whole feature maps: one keep bit for each example and channel.

    Neighbours within a map are strongly correlated, so dropping single elements hardly hides anything.

    Parameters
    ----------
    x : array_like of float16, bfloat16 (of ml_dtypes), float32 or float64
        Shape (batch, ...), with the channels on any other axis; any number of positions behind or before them.
    p : float
        Probability of dropping a map.
    channel_axis : int
        1 for channels first, -1 for channels last. Not the batch axis 0.
    rng, training, scaling, out
        As in `dropout`.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype.
    mask : Mask or None
        For `dropout_backward`.

    Raises
    ------
    ValueError
        If x has fewer than two axes or `channel_axis` is the batch axis; otherwise as `dropout`.

    References
    ----------
    Tompson, Goroshin, Jain, LeCun, Bregler: "Efficient object localization using convolutional networks", CVPR 2015,
    section 3.2.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, mask = fd.spatial_dropout(np.ones((2, 3, 4, 4)), p=0.5, rng=1)
    >>> sorted({float(v) for v in y.mean(axis=(2, 3)).ravel()})
    [0.0, 2.0]
    """
    if wrong:
        raise wrong_keywords(spatial_dropout, wrong)
    array = as_input(x, out, "x")
    shared = map_axes(array, channel_axis)
    return dropout(array, p, rng=rng, training=training, shared_axes=shared, scaling=scaling, out=out)


def map_axes(array: NDArray[Any], channel_axis: int) -> tuple[int, ...]:
    """The axes of positions: all but the batch axis 0 and the channels'."""
    if array.ndim < 2:
        raise ValueError(f"feature maps need a batch axis and a channel axis; x has shape {array.shape}")
    channel = normalize_axis(channel_axis, array.ndim, "channel_axis")
    if channel == 0:
        raise ValueError("channel_axis 0 is the batch axis; channels are on another")
    return tuple(axis for axis in range(1, array.ndim) if axis != channel)


@overload
def drop_path(
    x: Any, p: float = ..., *, rng: RNG = ..., training: Literal[True] = ..., out: Any = ...
) -> Result[Mask]: ...
@overload
def drop_path(x: Any, p: float = ..., *, rng: RNG = ..., training: bool, out: Any = ...) -> Result[Mask | None]: ...
def drop_path(
    x: Any, p: float = 0.1, *, rng: RNG = None, training: bool = True, out: Any = None, **wrong: Never
) -> Result[Any]:
    """Drop whole examples: in front of a residual addition, the branch is skipped for them (stochastic depth).

    `dropout_add` with ``shared_axes`` adds in the same pass.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64, shape (batch, ...)
    p : float
        Probability that an example's branch is dropped.
    rng, training, out
        As in `dropout`.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype.
    mask : Mask or None
        For `dropout_backward`.

    Raises
    ------
    ValueError
        If x has no batch axis; otherwise as `dropout`.
    TypeError
        As `dropout`.

    References
    ----------
    Huang, Sun, Liu, Sedra, Weinberger: "Deep networks with stochastic depth", ECCV 2016, equation 2 (there a branch is
    dropped for a whole batch, and scaled in evaluation); Larsson, Maire, Shakhnarovich: "FractalNet", ICLR 2017.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, mask = fd.drop_path(np.ones((6, 2)), p=0.5, rng=1)
    >>> sorted({tuple(row) for row in y.tolist()})
    [(0.0, 0.0), (2.0, 2.0)]
    """
    if wrong:
        raise wrong_keywords(drop_path, wrong)
    array = as_input(x, out, "x")
    if array.ndim == 0:
        raise ValueError("DropPath needs a batch axis; x is a single number")
    shared = range(1, array.ndim)
    return dropout(array, p, rng=rng, training=training, shared_axes=tuple(shared), out=out)


@overload
def locked_dropout(
    x: Any, p: float = ..., *, time_axis: int = ..., rng: RNG = ..., training: Literal[True] = ..., out: Any = ...
) -> Result[Mask]: ...
@overload
def locked_dropout(
    x: Any, p: float = ..., *, time_axis: int = ..., rng: RNG = ..., training: bool, out: Any = ...
) -> Result[Mask | None]: ...
def locked_dropout(
    x: Any,
    p: float = 0.5,
    *,
    time_axis: int = 1,
    rng: RNG = None,
    training: bool = True,
    out: Any = None,
    **wrong: Never,
) -> Result[Any]:
    """Drop features of a sequence for all its steps: one mask along time, another for every example.

    Parameters
    ----------
    x : array_like of float16, bfloat16, float32 or float64
        Shape (batch, steps, features), or (steps, batch, features) with ``time_axis=0``.
    p : float
        Probability of dropping.
    time_axis : int
        The axis of the steps.
    rng, training, out
        As in `dropout`.

    Returns
    -------
    y : numpy.ndarray
        x's shape and dtype.
    mask : Mask or None
        For `dropout_backward`.

    Raises
    ------
    ValueError, TypeError
        As `dropout`.

    References
    ----------
    Gal, Ghahramani: "A theoretically grounded application of dropout in recurrent neural networks", NeurIPS 2016,
    section 4.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> y, mask = fd.locked_dropout(np.ones((2, 5, 3)), p=0.5, rng=0)
    >>> bool((y == y[:, :1]).all())
    True
    """
    if wrong:
        raise wrong_keywords(locked_dropout, wrong)
    array = as_input(x, out, "x")
    axis = normalize_axis(time_axis, array.ndim, "time_axis")
    return dropout(array, p, rng=rng, training=training, shared_axes=(axis,), out=out)


@overload
def embedding_dropout(
    weight: Any, p: float = ..., *, rng: RNG = ..., training: Literal[True] = ..., out: Any = ...
) -> Result[Mask]: ...
@overload
def embedding_dropout(
    weight: Any, p: float = ..., *, rng: RNG = ..., training: bool, out: Any = ...
) -> Result[Mask | None]: ...
def embedding_dropout(
    weight: Any, p: float = 0.1, *, rng: RNG = None, training: bool = True, out: Any = None, **wrong: Never
) -> Result[Any]:
    """Drop whole words of an embedding's table: a dropped word is zero at every place in the batch.

    Parameters
    ----------
    weight : array_like of float16, bfloat16, float32 or float64, shape (words, features)
    p : float
        Probability of dropping a word.
    rng, training, out
        As in `dropout`.

    Returns
    -------
    dropped : numpy.ndarray
        The table to look words up in, ``dropped[ids]``.
    mask : Mask or None
        For `dropout_backward`, which takes the gradient with respect to the table.

    Raises
    ------
    ValueError
        If weight does not have two axes; otherwise as `dropout`.
    TypeError
        As `dropout`.

    References
    ----------
    Gal, Ghahramani 2016, as in `locked_dropout`, section 4.2; Merity, Keskar, Socher: "Regularizing and optimizing LSTM
    language models", ICLR 2018, section 4.3.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> table, mask = fd.embedding_dropout(np.ones((5, 3)), p=0.5, rng=0)
    >>> table[[1, 4, 1]].shape, bool((table == table[:, :1]).all())
    ((3, 3), True)
    """
    if wrong:
        raise wrong_keywords(embedding_dropout, wrong)
    array = as_input(weight, out, "weight")
    if array.ndim != 2:
        raise ValueError(f"an embedding's table has shape (words, features); got {array.shape}")
    return dropout(array, p, rng=rng, training=training, shared_axes=(1,), out=out)
