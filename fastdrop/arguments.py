"""Checks of arguments that all public functions share, and messages that name the right argument."""

import functools
import inspect
import math
import operator
from collections.abc import Callable
from typing import Any, Never, ParamSpec

import numpy as np
from numpy.exceptions import AxisError

__all__ = [
    "check_draws",
    "check_flag",
    "check_int",
    "check_shape",
    "naming_keywords",
    "normalize_axes",
    "normalize_axis",
    "wrong_keywords",
]

P = ParamSpec("P")

MOST_AXES = 64
"""Of an array: NumPy 2's limit, and the kernels'."""
MOST_DRAWS = 1 << 56
"""What the mask rule numbers."""

_MEANT = {
    "rng": "seed random_state generator gen key prng rngs state",
    "p": "rate prob probability drop_prob drop_rate dropout dropout_rate drop ratio dropout_ratio p_drop",
    "p = 1 - {name}": "keep_prob keep_probability keep_rate keep p_keep retain_prob",
    "shared_axes": "noise_shape broadcast_dims mask_shape axis axes",
    "channel_axis": "data_format",
    "training": "train is_training is_train train_mode mode deterministic inference test evaluate",
    "out=x": "inplace in_place",
    "out": "output dst",
    "block_size": "block size kernel_size",
    "samples": "n n_samples num_samples",
}
"""What our keywords are called elsewhere."""


def check_flag(flag: Any, name: str) -> bool:
    """The flag as a bool, if it is one."""
    if flag is True or flag is False or isinstance(flag, np.bool_):
        return bool(flag)
    raise TypeError(f"{name} is True or False; got {flag!r:.200}")


def check_int(number: Any, name: str, least: int | None = None) -> int:
    """The number as an int, if it is one: no truth value, and no less than `least`."""
    if isinstance(number, (bool, np.bool_)) or not hasattr(number, "__index__"):
        raise TypeError(f"{name} is an int; got {number!r:.200}")
    try:
        value = operator.index(number)
    except TypeError:
        raise TypeError(f"{name} is an int; got {number!r:.200}") from None
    if least is not None and value < least:
        raise ValueError(f"{name} is at least {least}; got {value}")
    return value


def check_shape(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple, if arrays can have it."""
    several = isinstance(shape, (tuple, list)) or (isinstance(shape, np.ndarray) and shape.ndim == 1)
    sizes = tuple(check_int(size, "each size of a shape") for size in (shape if several else (shape,)))
    if len(sizes) > MOST_AXES or any(size < 0 or size >= 2**63 for size in sizes):
        raise ValueError(f"a shape has at most {MOST_AXES} sizes, each from 0 to 2**63 - 1; got {shape!r:.200}")
    return sizes


def check_draws(shape: tuple[int, ...], shared_axes: tuple[int, ...]) -> None:
    """Raise where the mask rule cannot number all draws of a mask."""
    draws = math.prod(1 if axis in shared_axes else size for axis, size in enumerate(shape))
    if draws > MOST_DRAWS and 0 not in shape:
        raise ValueError(f"a mask of shape {shape} has {draws} draws; at most 2**56 can be numbered")


def normalize_axes(axes: Any, ndim: int, name: str = "shared_axes") -> tuple[int, ...]:
    """Axes as a tuple of numbers from 0 on, ascending; None is none."""
    if axes is None:
        return ()
    several = isinstance(axes, (tuple, list, range)) or (isinstance(axes, np.ndarray) and axes.ndim == 1)
    found = sorted(normalize_axis(axis, ndim, name) for axis in (axes if several else (axes,)))
    if len(set(found)) < len(found):
        raise ValueError(f"{name} names an axis twice: {axes!r:.200}")
    return tuple(found)


def normalize_axis(axis: Any, ndim: int, name: str) -> int:
    """An axis as a number from 0 on."""
    number = check_int(axis, name)
    if not -ndim <= number < ndim:
        raise AxisError(f"{name}: axis {number} is out of bounds for an array of {ndim} axes")
    return number % ndim


def wrong_keywords(function: Callable[..., Any], keywords: dict[str, Never]) -> TypeError:
    """The error for keywords that a function does not have: it names those that are meant."""
    return _error(f"{function.__name__}()", inspect.signature(function), list(keywords))


def naming_keywords(init: Callable[P, None]) -> Callable[P, None]:
    """A class's `__init__` that raises the same error for keywords that it does not take."""
    signature = inspect.signature(init)
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}:
        return init

    @functools.wraps(init)
    def checked(*arguments: P.args, **keywords: P.kwargs) -> None:
        unknown = [name for name in keywords if name not in signature.parameters]
        if unknown:
            raise _error(f"{type(arguments[0]).__name__}()", signature, unknown)
        init(*arguments, **keywords)

    return checked


def _error(called: str, signature: inspect.Signature, unknown: list[str]) -> TypeError:
    known = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name != "self"
    ]
    advice = []
    for name in unknown:
        for ours, theirs in _MEANT.items():
            if name.lower() in theirs.split() and ours.split("=")[0].strip() in known:
                advice.append(f"{name} is called {ours.format(name=name)} here")
    if "p" in known and any("p = " in line for line in advice):
        advice.append("p is the probability of dropping")
    wrong = f"{', '.join(repr(name) for name in unknown):.200}"
    return TypeError(
        f"{called} has no keyword {wrong}{': ' if advice else ''}{'; '.join(advice)}. It takes {', '.join(known)}"
    )
