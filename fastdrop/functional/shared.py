"""Decisions that are shared, over an example, over time, over a word; and zoneout, which keeps the past."""

from typing import Any, Literal, Never, overload

import numpy as np
from numpy.typing import NDArray

from fastdrop.arguments import check_flag, normalize_axis, wrong_keywords
from fastdrop.backends import as_input, backend_for, on_arrays_device, prepare
from fastdrop.functional.elementwise import dropout, dropout_backward
from fastdrop.functional.result import Result, dropped
from fastdrop.mask import Mask
from fastdrop.multiplier import check_made_by
from fastdrop.rule import check_probability, mean_share, threshold_and_scale
from fastdrop.stream import RNG, Drawing
from fastdrop.threads import kernels


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
        The recipe, for `drop_path_backward`.

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
        The recipe, for `locked_dropout_backward`.

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
    """Drop whole words of an embedding's table: wherever a dropped word stands in the batch, it is zero.

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
        The recipe, for `embedding_dropout_backward`, which takes the gradient with respect to the table.

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


@overload
def zoneout(
    new: Any, previous: Any, p: float = ..., *, rng: RNG = ..., training: Literal[True] = ..., out: Any = ...
) -> Result[Mask]: ...
@overload
def zoneout(
    new: Any, previous: Any, p: float = ..., *, rng: RNG = ..., training: bool, out: Any = ...
) -> Result[Mask | None]: ...
def zoneout(
    new: Any, previous: Any, p: float = 0.1, *, rng: RNG = None, training: bool = True, out: Any = None, **wrong: Never
) -> Result[Any]:
    """Let units of a recurrent state keep their previous value with probability p, instead of dropping them.

    Parameters
    ----------
    new, previous : array_like of float16, bfloat16, float32 or float64
        The state after this step and the one before it, of one shape and dtype.
    p : float
        Probability that a unit keeps its previous value.
    rng, training, out
        As in `dropout`. Not training gives the expectation, (1 - p) new + p previous.

    Returns
    -------
    state : numpy.ndarray
        Of that shape and dtype; every element is the one or the other, bit for bit.
    mask : Mask or None
        The recipe, for `zoneout_backward`; kept is what is new.

    Raises
    ------
    ValueError, TypeError
        As `dropout`, and if the two states do not fit each other.

    References
    ----------
    Krueger et al.: "Zoneout: regularizing RNNs by randomly preserving hidden activations", ICLR 2017, section 3.

    Examples
    --------
    >>> import fastdrop as fd
    >>> import numpy as np
    >>> state, mask = fd.zoneout(np.ones(1000), np.zeros(1000), p=0.25, rng=3)
    >>> bool(abs(state.mean() - 0.75) < 0.05)
    True
    >>> dnew, dprevious = fd.zoneout_backward(np.ones(1000), mask)
    >>> np.array_equal(dnew, state), np.array_equal(dnew + dprevious, np.ones(1000))
    (True, True)
    """
    if wrong:
        raise wrong_keywords(zoneout, wrong)
    if training is True:  # the usual case, in compiled code
        usual = kernels.zoneout(new, previous, p, rng, out)
        if usual is not None:
            return usual
    return _zoneout(new, previous, check_probability(p), rng, check_flag(training, "training"), out)


@on_arrays_device
def _zoneout(new: Any, previous: Any, p: float, rng: RNG, training: bool, out: Any) -> Result[Any]:
    with Drawing(rng) as stream:
        backend = backend_for(new=new, previous=previous, out=out)
        new, previous = backend.as_input(new, "new"), backend.as_input(previous, "previous")
        if new.shape != previous.shape or new.dtype != previous.dtype:
            raise ValueError(
                f"new has shape {new.shape} and dtype {new.dtype}, previous {previous.shape} and {previous.dtype}; "
                "they are to be equal"
            )
        out, new, previous = backend.prepare_out(new, out, previous)
        if not training:
            share = mean_share(p)
            if share in (0.0, 1.0):  # the one state or the other, also where the other is inf or NaN
                return dropped(backend.scaled_copy(new if share else previous, out, 1.0), None)
            wide = backend.arithmetic(new.dtype)
            with np.errstate(all="ignore"):  # as the kernels have it
                out[...] = wide.type(share) * new.astype(wide) + wide.type(p) * previous.astype(wide)
            return dropped(out, None)
        recipe = stream.next_recipe(*threshold_and_scale(p, "classic"))
        y = backend.elementwise("choose", out, (new, previous), recipe)
        return dropped(y, Mask._of(new.shape, p, recipe, (), "zoneout"))


@on_arrays_device
def zoneout_backward(dy: Any, mask: Mask | None, *, p: float | None = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Gradients of `zoneout` with respect to the new and the previous state: each element's belongs to one of them.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the state.
    mask : Mask or None
        What the forward call returned; None (evaluation) needs `p`.
    p : float, optional
        The rate of a forward call without training.

    Returns
    -------
    dnew, dprevious : numpy.ndarray
        dy's shape and dtype.

    Raises
    ------
    ValueError
        If dy has another shape than the mask, or neither mask nor p is given.
    TypeError
        If the mask is not one of `zoneout`.

    Examples
    --------
    >>> import fastdrop as fd
    >>> fd.zoneout_backward([4.0], None, p=0.25)
    (array([3.]), array([1.]))
    """
    if mask is None:
        if p is None:
            raise ValueError("without a mask, zoneout_backward needs the rate p of the forward call")
        share = mean_share(check_probability(p))
        backend, dy, dnew = prepare(dy, None, "dy")
        _, _, dprevious = prepare(dy, None, "dy")
        return backend.scaled_copy(dy, dnew, share), backend.scaled_copy(
            dy, dprevious, p if 0 < share < 1 else 1 - share
        )
    check_made_by(mask, "zoneout_backward", "zoneout")
    dnew = mask(dy)
    backend, dy, dprevious = prepare(dy, None, "dy")
    backend.scaled_copy(dy, dprevious, 0.0)
    return dnew, backend.elementwise("choose", dprevious, (dprevious, dy), mask.recipe)


drop_path_backward = dropout_backward
locked_dropout_backward = dropout_backward
embedding_dropout_backward = dropout_backward
