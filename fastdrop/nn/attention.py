"""Self-attention with dropout, and positions. Sequences are (batch, steps, features)."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

import fastdrop.functional as F
from fastdrop.backends import array_module
from fastdrop.nn.dropout import DropoutModule
from fastdrop.nn.layers import Linear
from fastdrop.nn.module import Array, Module, Parameter
from fastdrop.stream import RNG


class SoftmaxDropout(DropoutModule):
    """Softmax over the last axis and dropout of its probabilities; see `fastdrop.softmax_dropout`.

    Parameters
    ----------
    p, rng
        As in `Dropout`.
    """

    def __init__(self, p: float = 0.5, *, rng: RNG = None) -> None:
        super().__init__(p, rng)

    def forward(self, x: Array) -> Array:
        y, self.mask = F.softmax_dropout(x, self.p, rng=self.stream, training=self.training)
        self._x = x  # once nothing can fail: a backward pass takes both from one forward pass
        return y

    def backward(self, dy: Array) -> Array:
        return F.softmax_dropout_backward(dy, self._x, self.mask)


class MultiHeadAttention(Module):
    """Every step looks at all steps of its sequence, or at itself and those before, in several heads.

    Parameters
    ----------
    features : int
        (batch, steps, features) in and out.
    heads : int
        Has to divide features; each head has features / heads of them.
    p : float
        Probability of dropping an attention weight.
    causal : bool
        Whether later steps are hidden.
    rng : None, int or numpy.random.Generator
        For the initial weights: normal with variance 1 / features.
    mask_rng : None, int, numpy.random.Generator or Stream
        Where the masks come from.
    dtype : float32 or float64

    References
    ----------
    Vaswani et al.: "Attention is all you need", NeurIPS 2017, equation 1 and section 3.2.2. The dropout of attention
    weights is that of its implementation, in one pass with the softmax: see `fastdrop.softmax_dropout`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> layer = nn.MultiHeadAttention(8, 2, p=0.1, rng=0, mask_rng=0)
    >>> layer(np.ones((2, 5, 8), np.float32)).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        p: float = 0.0,
        causal: bool = False,
        rng: int | np.random.Generator | None = None,
        mask_rng: RNG = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if heads < 1 or features % heads:
            raise ValueError(f"heads divide features; got {heads} heads for {features} features")
        generator = np.random.default_rng(rng)
        self.heads, self.causal = heads, causal
        self.projection = Linear(features, 3 * features, rng=generator, dtype=dtype)
        self.softmax = SoftmaxDropout(p, rng=mask_rng)
        self.output = Linear(features, features, rng=generator, dtype=dtype)
        for layer in (self.projection, self.output):  # no rectifier follows that would halve the variance
            layer.weight.value *= math.sqrt(0.5)

    def children(self) -> Iterator[tuple[str, Module]]:
        for name in ("projection", "softmax", "output"):
            yield name, getattr(self, name)

    def forward(self, x: Array) -> Array:
        if x.ndim != 3:
            raise ValueError(f"x has shape {x.shape}; needed is (batch, steps, features)")
        batch, steps, features = x.shape
        size = features // self.heads
        # (query key value, batch, heads, steps, size)
        parts = self.projection.forward(x).reshape(batch, steps, 3, self.heads, size).transpose(2, 0, 3, 1, 4)
        self._query, self._key, self._value = parts[0] * (1 / math.sqrt(size)), parts[1], parts[2]
        scores = self._query @ self._key.swapaxes(2, 3)
        if self.causal:
            step = array_module(x).arange(steps)
            scores = np.where(step[:, np.newaxis] >= step, scores, scores.dtype.type(-math.inf))
        self._weights = self.softmax(scores)
        return self.output((self._weights @ self._value).swapaxes(1, 2).reshape(x.shape))

    def backward(self, dy: Array) -> Array:
        batch, heads, steps, size = self._query.shape
        dheads = self.output.backward(dy).reshape(batch, steps, heads, size).swapaxes(1, 2)
        dscores = self.softmax.backward(dheads @ self._value.swapaxes(2, 3))
        dparts = array_module(dy).empty((batch, steps, 3, heads, size), dheads.dtype)
        dquery, dkey, dvalue = dparts.transpose(2, 0, 3, 1, 4)
        dquery[...] = dscores @ self._key * (1 / math.sqrt(size))
        dkey[...] = dscores.swapaxes(2, 3) @ self._query
        dvalue[...] = self._weights.swapaxes(2, 3) @ dheads
        return self.projection.backward(dparts.reshape(batch, steps, -1))


class LearnedPositions(Module):
    """Add a trained array, so that attention can tell the steps apart.

    Parameters
    ----------
    steps, features : int
        Steps at most, and features; shorter sequences get the first rows.
    rng : None, int or numpy.random.Generator
        For the initial values: normal with standard deviation 0.02.
    dtype : float32 or float64

    References
    ----------
    Gehring, Auli, Grangier, Yarats, Dauphin: "Convolutional sequence to sequence learning", ICML 2017, section 3.1.
    The initial values are those of Devlin et al.: "BERT", NAACL 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> nn.LearnedPositions(5, 8, rng=0)(np.ones((2, 5, 8), np.float32)).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        steps: int,
        features: int,
        *,
        rng: int | np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.weight = Parameter(np.random.default_rng(rng).normal(0.0, 0.02, (steps, features)).astype(dtype))

    def forward(self, x: Array) -> Array:
        steps, features = self.weight.value.shape
        if x.ndim != 3 or x.shape[1] > steps or x.shape[2] != features:
            raise ValueError(f"x has shape {x.shape}; needed is (batch, at most {steps} steps, {features})")
        return x + self.weight.value[: x.shape[1]]

    def backward(self, dy: Array) -> Array:
        self.weight.grad = np.zeros_like(self.weight.value)
        self.weight.grad[: dy.shape[1]] = dy.sum(axis=0)
        return dy
