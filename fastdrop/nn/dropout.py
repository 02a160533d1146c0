"""Layers that drop: units, feature maps, weights. Active while `training`; each backward reuses the last mask."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import fastdrop.functional as F
from fastdrop.mask import Mask
from fastdrop.nn.layers import Linear
from fastdrop.nn.module import Array, Module
from fastdrop.rule import check_probability
from fastdrop.stream import RNG, Stream


class DropoutModule(Module):
    """What the dropping layers share: a rate that may change at any time, a stream, and the last mask."""

    def __init__(self, p: float, rng: RNG) -> None:
        self.p = p
        self.stream = Stream.from_rng(rng)
        self.mask: Mask | None = None

    @property
    def p(self) -> float:
        """Probability of dropping."""
        return self._p

    @p.setter
    def p(self, value: float) -> None:
        self._p = check_probability(value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p:g})"


class Dropout(DropoutModule):
    """Drop single elements; see `fastdrop.dropout`.

    Parameters
    ----------
    p : float
        Probability of dropping; may be changed between calls.
    rng : None, int, numpy.random.Generator or Stream
        Where the masks come from.
    """

    def __init__(self, p: float = 0.5, *, rng: RNG = None) -> None:
        super().__init__(p, rng)

    def forward(self, x: Array) -> Array:
        y, self.mask = F.dropout(x, self.p, rng=self.stream, training=self.training)
        return y

    def backward(self, dy: Array) -> Array:
        return F.dropout_backward(dy, self.mask)


class SpatialDropout(DropoutModule):
    """Drop whole feature maps; see `fastdrop.spatial_dropout`.

    Parameters
    ----------
    p, rng
        As in `Dropout`.
    channel_axis : int
        The axis of the maps.
    """

    def __init__(self, p: float = 0.5, *, channel_axis: int = 1, rng: RNG = None) -> None:
        super().__init__(p, rng)
        self.channel_axis = channel_axis

    def forward(self, x: Array) -> Array:
        y, self.mask = F.spatial_dropout(
            x, self.p, channel_axis=self.channel_axis, rng=self.stream, training=self.training
        )
        return y

    def backward(self, dy: Array) -> Array:
        return F.spatial_dropout_backward(dy, self.mask)


class DropConnectLinear(DropoutModule, Linear):
    """A linear layer whose connections are dropped; see `fastdrop.dropconnect`.

    Parameters
    ----------
    inputs, outputs, dtype
        As in `Linear`.
    p : float
        Probability of dropping a connection.
    per_example : bool
        A mask for every example, or one for the batch.
    rng : None, int or numpy.random.Generator
        For the initial weights.
    mask_rng : None, int, numpy.random.Generator or Stream
        Where the masks come from.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        p: float = 0.5,
        *,
        per_example: bool = True,
        rng: int | np.random.Generator | None = None,
        mask_rng: RNG = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        Linear.__init__(self, inputs, outputs, rng=rng, dtype=dtype)
        DropoutModule.__init__(self, p, mask_rng)
        self.per_example = per_example

    def forward(self, x: Array) -> Array:
        self._x = x
        arguments: dict[str, Any] = {
            "per_example": self.per_example,
            "rng": self.stream,
            "training": self.training,
        }
        y, self.mask = F.dropconnect(x, self.weight.value, self.bias.value, self.p, **arguments)
        return y

    def backward(self, dy: Array) -> Array:
        dx, self.weight.grad, self.bias.grad = F.dropconnect_backward(dy, self._x, self.weight.value, self.mask)
        return dx
