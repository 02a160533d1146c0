"""Embedding of words, with dropout of whole words."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

import fastdrop.functional as F
from fastdrop.backends import array_module
from fastdrop.nn.dropout import DropoutModule
from fastdrop.nn.module import Array, Parameter
from fastdrop.stream import RNG


class Embedding(DropoutModule):
    """Look up a row of `weight` for every word: (...) becomes (..., features).

    Dropout here drops words, not occurrences: the features of a dropped word are 0 everywhere in the batch.

    Parameters
    ----------
    words, features : int
        `weight` has shape (words, features).
    p : float
        Probability of dropping a word.
    rng : None, int or numpy.random.Generator
        For the initial weights: standard normal.
    mask_rng : None, int, numpy.random.Generator or Stream
        Where the masks come from.
    dtype : float32 or float64

    References
    ----------
    Gal, Ghahramani: "A theoretically grounded application of dropout in recurrent neural networks", NeurIPS 2016,
    section 4.2 (dropping word types). Merity, Keskar, Socher: "Regularizing and optimizing LSTM language models",
    ICLR 2018, section 4.3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> layer = nn.Embedding(10, 4, p=0.5, rng=0, mask_rng=0)
    >>> y = layer(np.array([[7, 1, 7], [2, 7, 3]]))
    >>> y.shape, bool((y[0, 0] == y[0, 2]).all() and (y[0, 0] == y[1, 1]).all())
    ((2, 3, 4), True)
    """

    def __init__(
        self,
        words: int,
        features: int,
        *,
        p: float = 0.0,
        rng: int | np.random.Generator | None = None,
        mask_rng: RNG = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(p, mask_rng)
        self.weight = Parameter(np.random.default_rng(rng).standard_normal((words, features)).astype(dtype))

    @property
    def one_mask_per_batch(self) -> bool:
        return True

    def forward(self, x: NDArray[Any]) -> Array:
        """The words' features; x holds whole numbers from 0 to words - 1, of any dtype."""
        self._ids = self._checked(x)
        weight, self.mask = F.dropout(self.weight.value, self.p, rng=self.stream, training=self.training, shared_axes=1)
        return weight[self._ids]

    def backward(self, dy: Array) -> Array:
        """Sets the weights' gradient; returns zeros, since a word's number has no gradient."""
        package = array_module(dy)
        grad = package.zeros(self.weight.value.shape, self.weight.value.dtype)
        package.add.at(grad, self._ids, dy)  # not grad[ids] += dy: that would count a word once
        self.weight.grad = F.dropout_backward(grad, self.mask)
        zeros: Array = package.zeros(self._ids.shape, self.weight.value.dtype)
        return zeros

    def _checked(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """x as integers, if it holds words' numbers. Negative indices, which NumPy would accept, are refused."""
        words = len(self.weight.value)
        outside = ~((x >= 0) & (x < words))  # also True for NaN
        if outside.any():
            raise IndexError(f"there is a word number {x[outside][0].item()}; this embedding has {words} words, from 0")
        ids = x.astype(np.int64)
        if (ids != x).any():
            raise ValueError(f"words have whole numbers; there is a {x[ids != x][0].item()}")
        return ids
