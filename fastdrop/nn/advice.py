"""Warnings about common mistakes with dropout. ``warnings.simplefilter("ignore", category)`` turns one off."""

import sys
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from fastdrop.nn.module import Module


class DropoutActiveWarning(UserWarning):
    """A metric is computed from predictions made with dropout on: it changes from call to call."""


class DropoutInactiveWarning(UserWarning):
    """Samples that should come from many sub-networks are all equal: nothing was dropped."""


class VarianceShiftWarning(UserWarning):
    """Batch normalisation after dropout learns a variance that differs from the one in evaluation mode.

    References
    ----------
    Li, Chen, Hu, Yang: "Understanding the disharmony between dropout and batch normalization by variance shift", CVPR
    2019.
    """


# By the identity of the array that holds the memory: a part of a result is known by its `base`. The array itself is
# kept beside its identity, since another one may get it after this one is gone.
_made_with_dropout_on: WeakValueDictionary[int, Any] = WeakValueDictionary()


def _holder(array: Any) -> Any:
    """The array that owns the memory of this one."""
    base = getattr(array, "base", None)
    while type(base) is type(array):
        array, base = base, getattr(base, "base", None)
    return array


def remember_dropout_on(outputs: Any) -> None:
    """These outputs come from a model whose dropout was on."""
    holder = _holder(outputs)
    _made_with_dropout_on[id(holder)] = holder


def made_with_dropout_on(outputs: Any) -> bool:
    """Whether these outputs, or those that they are a part of, come from a model whose dropout was on."""
    if not _made_with_dropout_on:
        return False
    holder = _holder(outputs)
    return _made_with_dropout_on.get(id(holder)) is holder


def follow(source: Any, result: Any) -> None:
    """Mark the result as the source: it is computed from it."""
    if made_with_dropout_on(source):
        remember_dropout_on(result)


def check_dropout_off(outputs: Any) -> None:
    """Warn where these outputs come from a model with dropout on."""
    if made_with_dropout_on(outputs):
        warn(
            "these predictions come from a model in training mode: dropout was on, and the metric changes from call to "
            "call; call model.eval() before predicting",
            DropoutActiveWarning,
        )


def check_order(modules: Iterable["Module"]) -> bool:
    """Warn where batch normalisation follows a layer that drops; return whether it does."""
    dropper = ""
    for module in modules:
        if module.drops:
            dropper = dropper or type(module).__name__
        elif module.normalises_batch and dropper:
            _warn_of_shift(dropper, module)
            return True
    return False


def after_training_forward(modules: Iterable["Module"], outputs: Any, warned: bool) -> bool:
    """Remember outputs of a model that drops; unless `warned`, check its order. Return whether it has warned by now.

    A rate may have been raised since the model was made, so that every call looks: one walk over the layers.
    """
    dropper = ""
    for module in modules:
        if module.drops:
            dropper = dropper or type(module).__name__
            if warned:
                break
        elif module.normalises_batch and dropper:
            _warn_of_shift(dropper, module)
            warned = True
            break
    if dropper:
        remember_dropout_on(outputs)
    return warned


def _warn_of_shift(dropper: str, norm: "Module") -> None:
    warn(
        f"{dropper} is before {type(norm).__name__}, which learns the variance that dropout adds and meets another "
        "in evaluation: put dropout behind the last batch normalisation",
        VarianceShiftWarning,
    )


def warn(message: str, category: type[Warning]) -> None:
    """Name the line that called into `fastdrop.nn`, however deep the call is in there."""
    level, package = 2, __name__.rpartition(".")[0]
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(package):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
