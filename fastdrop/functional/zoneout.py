"""Zoneout: units of a recurrent state keep their previous value."""

from typing import Any, Literal, Never, overload

import numpy as np
from numpy.typing import NDArray

from fastdrop._kernels import cpu as kernels
from fastdrop.arguments import check_flag, wrong_keywords
from fastdrop.backends import backend_for, compute_dtype, on_arrays_device, prepare
from fastdrop.functional.result import Result, dropped
from fastdrop.mask import Mask
from fastdrop.multiplicative_noise import check_made_by
from fastdrop.rule import check_probability, evaluation_scale, threshold_and_scale
from fastdrop.stream import RNG, Drawing


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
        For `zoneout_backward`; kept is what is new.

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
            kept = evaluation_scale(p)
            if kept in (0.0, 1.0):  # the one state or the other, also where the other is inf or NaN
                return dropped(backend.multiply(new if kept else previous, out, 1.0), None)
            wide = compute_dtype(new.dtype)
            with np.errstate(all="ignore"):  # as the kernels have it
                out[...] = wide.type(kept) * new.astype(wide) + wide.type(p) * previous.astype(wide)
            return dropped(out, None)
        mask = kernels.make_mask(new.shape, p, stream.draw(), *threshold_and_scale(p, "classic"), (), "zoneout")
        return dropped(backend.elementwise("blend", out, (new, previous), mask), mask)


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
        kept = evaluation_scale(check_probability(p))
        backend, dy, dnew = prepare(dy, None, "dy")
        _, _, dprevious = prepare(dy, None, "dy")
        return backend.multiply(dy, dnew, kept), backend.multiply(dy, dprevious, p if 0 < kept < 1 else 1 - kept)
    check_made_by(mask, "zoneout_backward", "zoneout")
    dnew = mask(dy)
    backend, dy, dprevious = prepare(dy, None, "dy")
    backend.multiply(dy, dprevious, 0.0)
    return dnew, backend.elementwise("blend", dprevious, (dprevious, dy), mask)
