"""Softmax cross-entropy, and how often the largest output is right."""

import numpy as np
from numpy.typing import NDArray

from fastdrop.backends import namespace
from fastdrop.nn import advice
from fastdrop.nn.module import Array


def softmax(logits: Array) -> Array:
    """exp(logits) / sum exp(logits) over the last axis."""
    exponentials: Array = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


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
    rows = namespace(logits).arange(len(labels))
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    loss = float((log_sum[:, 0] - shifted[rows, labels]).mean())
    dlogits: Array = np.exp(shifted - log_sum)
    dlogits[rows, labels] -= 1
    dlogits /= len(labels)
    return loss, dlogits


def accuracy(logits: Array, labels: NDArray[np.integer]) -> float:
    """Share of the examples whose largest logit stands at the right class.

    Warns with `DropoutActiveWarning` if a model with dropout still on has made the logits.
    """
    advice.check_dropout_off(logits)
    return float((logits.argmax(axis=-1) == labels).mean())
