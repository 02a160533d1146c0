"""The transformer's block and its parts: a fused linear layer, and residual connections with stochastic depth."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import fastdrop.functional as F
from fastdrop.functional.bias_activation import Activation
from fastdrop.nn.attention import MultiHeadAttention
from fastdrop.nn.dropout import DropoutModule
from fastdrop.nn.layers import LayerNorm, Linear
from fastdrop.nn.module import Array, Module, Sequential
from fastdrop.stream import RNG, Stream


class LinearActivationDropout(DropoutModule, Linear):
    """dropout(activation(x weight^T + bias)); see `fastdrop.bias_activation_dropout`.

    Parameters
    ----------
    inputs, outputs, rng, dtype
        As in `Linear`.
    p : float
        Probability of dropping an output.
    activation : {"gelu", "relu"}
    mask_rng : None, int, numpy.random.Generator or Stream
        Where the masks come from.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> layer = nn.LinearActivationDropout(4, 6, 0.2, rng=0, mask_rng=0)
    >>> layer(np.ones((2, 3, 4), np.float32)).shape
    (2, 3, 6)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        p: float = 0.5,
        *,
        activation: Activation = "gelu",
        rng: int | np.random.Generator | None = None,
        mask_rng: RNG = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        Linear.__init__(self, inputs, outputs, rng=rng, dtype=dtype)
        DropoutModule.__init__(self, p, mask_rng)
        self.activation = activation

    def forward(self, x: Array) -> Array:
        sums = self.product(x)
        arguments: dict[str, Any] = {
            "activation": self.activation,
            "rng": self.stream,
            "training": self.training,
        }
        y, self.mask = F.bias_activation_dropout(sums, self.bias.value, self.p, **arguments)
        self._sums = sums
        return y

    def backward(self, dy: Array) -> Array:
        dsums, self.bias.grad = F.bias_activation_dropout_backward(
            dy, self._sums, self.bias.value, self.mask, activation=self.activation
        )
        return self.product_backward(dsums)


class Residual(DropoutModule):
    """x + branch(x), where the whole branch is dropped from an example with probability p: stochastic depth.

    Parameters
    ----------
    branch : Module
        Its result has its input's shape.
    p : float
        Probability of dropping the branch.
    rng : None, int, numpy.random.Generator or Stream
        Where the masks come from.

    References
    ----------
    He, Zhang, Ren, Sun: "Deep residual learning for image recognition", CVPR 2016, equation 1. Huang, Sun, Liu, Sedra,
    Weinberger: "Deep networks with stochastic depth", ECCV 2016, here decided for every example.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> x = np.ones((4, 3), np.float32)
    >>> nn.Residual(nn.ReLU(), 0.5, rng=0)(x)[:, 0].tolist()
    [1.0, 3.0, 1.0, 3.0]
    """

    def __init__(self, branch: Module, p: float = 0.0, *, rng: RNG = None) -> None:
        super().__init__(p, rng)
        self.branch = branch

    def children(self) -> Iterator[tuple[str, Module]]:
        yield "branch", self.branch

    def forward(self, x: Array) -> Array:
        shared = tuple(range(1, x.ndim))
        y, self.mask = F.dropout_add(
            self.branch.forward(x), x, self.p, rng=self.stream, training=self.training, shared_axes=shared
        )
        return y

    def backward(self, dy: Array) -> Array:
        dbranch, dx = F.dropout_backward(dy, self.mask), dy
        return self.branch.backward(dbranch) + dx


class TransformerBlock(Sequential):
    """Attention, then an MLP on every step; each after a normalisation and with a residual connection.

    Parameters
    ----------
    features : int
        (batch, steps, features) in and out.
    heads : int
        Of the attention; see `MultiHeadAttention`.
    hidden : int
        Units of the MLP's hidden layer, which are GELUs.
    p : float
        Probability of dropping a hidden unit.
    attention_p : float, optional
        Probability of dropping an attention weight; p if none is given.
    drop_path : float
        Probability of dropping each of the two branches from an example; see `Residual`.
    causal, rng, dtype
        As in `MultiHeadAttention`.
    mask_rng : None, int, numpy.random.Generator or Stream
        Where all masks come from: one stream.

    References
    ----------
    Vaswani et al.: "Attention is all you need", NeurIPS 2017, section 3.1. Xiong et al.: "On layer normalization in the
    transformer architecture", ICML 2020, figure 1b: normalisation within the branches ("pre-norm").

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> block = nn.TransformerBlock(8, 2, 32, p=0.1, drop_path=0.1, rng=0, mask_rng=0)
    >>> block(np.ones((2, 5, 8), np.float32)).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        features: int,
        heads: int,
        hidden: int,
        *,
        p: float = 0.1,
        attention_p: float | None = None,
        drop_path: float = 0.0,
        causal: bool = False,
        rng: int | np.random.Generator | None = None,
        mask_rng: RNG = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        generator, stream = np.random.default_rng(rng), Stream.from_rng(mask_rng)
        attention_p = p if attention_p is None else attention_p
        attention = MultiHeadAttention(
            features, heads, p=attention_p, causal=causal, rng=generator, mask_rng=stream, dtype=dtype
        )
        first = LinearActivationDropout(features, hidden, p, rng=generator, mask_rng=stream, dtype=dtype)
        second = Linear(hidden, features, rng=generator, dtype=dtype)
        super().__init__(
            Residual(Sequential(LayerNorm(features, dtype=dtype), attention), drop_path, rng=stream),
            Residual(Sequential(LayerNorm(features, dtype=dtype), first, second), drop_path, rng=stream),
        )
