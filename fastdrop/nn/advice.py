"""Warnings about the two classic mistakes with dropout. ``warnings.simplefilter("ignore", category)`` turns one off."""

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from fastdrop.nn.module import Module


class DropoutActiveWarning(UserWarning):
    """A metric is computed from predictions made with dropout on: it changes from call to call."""


class VarianceShiftWarning(UserWarning):
    """Batch normalisation gathers, behind dropout, a variance that is not evaluation's.

    References
    ----------
    Li, Chen, Hu, Yang: "Understanding the disharmony between dropout and batch normalization by variance shift", CVPR
    2019.
    """


_made_with_dropout_on: WeakValueDictionary[int, Any] = WeakValueDictionary()


def remember_dropout_on(outputs: Any) -> None:
    """These outputs come from a model whose dropout was on."""
    _made_with_dropout_on[id(outputs)] = outputs


def check_dropout_off(outputs: Any) -> None:
    """Warn where a model with dropout on has made these outputs."""
    if _made_with_dropout_on.get(id(outputs)) is outputs:
        warnings.warn(
            "these predictions come from a model in training mode: dropout was on, and the metric changes from call to "
            "call; call model.eval() before predicting",
            DropoutActiveWarning,
            stacklevel=3,
        )


def check_order(modules: Iterable["Module"]) -> None:
    """Warn where batch normalisation follows a layer that drops."""
    dropper = ""
    for module in modules:
        if module.drops:
            dropper = dropper or type(module).__name__
        elif module.normalises_batch and dropper:
            warnings.warn(
                f"{dropper} stands before {type(module).__name__}, which learns the variance that dropout adds and "
                "meets another in evaluation: put dropout behind the last batch normalisation",
                VarianceShiftWarning,
                stacklevel=3,
            )
            return
