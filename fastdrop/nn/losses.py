"""Softmax cross-entropy and accuracy."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.backends import array_module
from fastdrop.nn import advice
from fastdrop.nn.module import Array, Module


def softmax(logits: Array) -> Array:
    """exp(logits) / sum exp(logits) over the last axis."""
    exponentials: Array = np.exp(logits - logits.max(axis=-1, keepdims=True))
    exponentials /= exponentials.sum(axis=-1, keepdims=True)
    advice.follow(logits, exponentials)
    return exponentials


def softmax_cross_entropy(logits: Array, labels: NDArray[np.integer]) -> tuple[float, Array]:
    """Mean negative log-likelihood of the labels.

    Parameters
    ----------
    logits : numpy.ndarray, shape (batch, classes)
    labels : numpy.ndarray of int, shape (batch,)
        The right class of every example.

    Returns
    -------
    loss : float
        In nats.
    dlogits : numpy.ndarray, shape (batch, classes)
        Gradient of the loss with respect to the logits.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> loss, dlogits = nn.softmax_cross_entropy(np.zeros((1, 2)), np.array([0]))
    >>> round(loss, 4), dlogits.tolist()
    (0.6931, [[-0.5, 0.5]])
    """
    rows = array_module(logits).arange(len(labels))
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    loss = float((log_sum[:, 0] - shifted[rows, labels]).mean())
    dlogits: Array = np.exp(shifted - log_sum)
    dlogits[rows, labels] -= 1
    dlogits /= len(labels)
    return loss, dlogits


def accuracy(logits: Array, labels: NDArray[np.integer]) -> float:
    """Fraction of the examples whose largest logit, or probability, is that of the right class.

    Warns with `DropoutActiveWarning` if a model with dropout still on has made the logits: a result of the model, a
    part of it, or the softmax of either. What NumPy has computed from it, such as several results joined by
    `numpy.concatenate`, is not known to come from a model; `evaluate` predicts in batches, always in evaluation mode.
    """
    advice.check_dropout_off(logits)
    return float((logits.argmax(axis=-1) == labels).mean())


class Evaluation(NamedTuple):
    """What `evaluate` returns: the mean cross-entropy in nats, and the fraction of right predictions."""

    loss: float
    accuracy: float


def evaluate(model: Module, x: Array, labels: NDArray[np.integer], *, batch_size: int = 1024) -> Evaluation:
    """Loss and accuracy of a model in evaluation mode, batch by batch; its modes are restored afterwards.

    Parameters
    ----------
    model : Module
    x : numpy.ndarray or cupy.ndarray, shape (examples, ...)
    labels : numpy.ndarray of int, shape (examples,)
        The right class of every example.
    batch_size : int
        Examples in one call.

    Raises
    ------
    ValueError
        If there are no examples, not as many labels as examples, or batch_size is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> model = nn.Sequential(nn.Dropout(0.5, rng=0), nn.Linear(4, 2, rng=0))
    >>> x, labels = np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])
    >>> nn.evaluate(model, x, labels, batch_size=3).accuracy == nn.accuracy(model.eval()(x), labels)
    True
    """
    if len(x) == 0 or len(labels) != len(x):
        raise ValueError(f"there are {len(x)} examples and {len(labels)} labels; needed is one label for each example")
    if batch_size < 1:
        raise ValueError(f"batch_size is at least 1; got {batch_size}")
    modes = [(module, module.training) for module in model.modules()]
    loss = right = 0.0
    try:
        model.eval()
        for begin in range(0, len(x), batch_size):
            part = slice(begin, begin + batch_size)
            logits, expected = model.forward(x[part]), labels[part]
            loss += softmax_cross_entropy(logits, expected)[0] * len(expected)
            right += accuracy(logits, expected) * len(expected)
    finally:
        for module, mode in modes:
            module.training = mode
    return Evaluation(loss / len(x), right / len(x))
