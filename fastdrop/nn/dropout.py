"""Layers that drop: units, feature maps, weights. Active while `training`; each backward reuses the last mask."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import fastdrop.functional as F
from fastdrop.arguments import check_int
from fastdrop.multiplicative_noise import MultiplicativeNoise
from fastdrop.nn.layers import Linear
from fastdrop.nn.module import Array, Module
from fastdrop.regions import CutoutMask, check_block_size
from fastdrop.rule import check_probability
from fastdrop.stream import RNG, Stream


class DropoutModule(Module):
    """Base of the dropout layers: a rate that may change at any time, a stream, and the last mask."""

    def __init__(self, p: float, rng: RNG) -> None:
        self.p = p
        self.stream = Stream.from_rng(rng)
        self.mask: Any = None  # what the layer's function returned

    @property
    def p(self) -> float:
        """Probability of dropping."""
        return self._p

    @p.setter
    def p(self, value: float) -> None:
        self._p = check_probability(value)

    @property
    def drops(self) -> bool:
        return self.p > 0

    @property
    def one_mask_per_batch(self) -> bool:
        """Whether all examples of a batch share a mask; several samples in one batch would share it, too."""
        return False

    def drop(self, x: Array) -> tuple[Array, MultiplicativeNoise | None]:
        """The layer's function of `fastdrop.functional`, with the layer's rate, stream and mode."""
        raise NotImplementedError

    def forward(self, x: Array) -> Array:
        y, self.mask = self.drop(x)
        return y

    def backward(self, dy: Array) -> Array:
        return F.dropout_backward(dy, self.mask)

    @property
    def kind(self) -> str:
        return f"{type(self).__name__}(p={self.p:g})"


class Dropout(DropoutModule):
    """Drop single elements; see `fastdrop.dropout`.

    Parameters
    ----------
    p : float
        Probability of dropping; may be changed between calls.
    rng : Stream, or what `Stream.from_rng` takes
        Where the masks come from: every call draws another one. Layers that get equal seeds draw equal masks: give all
        of them one `Stream`.
    """

    def __init__(self, p: float = 0.5, *, rng: RNG = None) -> None:
        super().__init__(p, rng)

    def drop(self, x: Array) -> tuple[Array, MultiplicativeNoise | None]:
        return F.dropout(x, self.p, rng=self.stream, training=self.training)


class GaussianDropout(Dropout):
    """Multiply by noise of mean 1 and variance p / (1 - p); see `fastdrop.gaussian_dropout`. p is below 1."""

    def drop(self, x: Array) -> tuple[Array, MultiplicativeNoise | None]:
        return F.gaussian_dropout(x, self.p, rng=self.stream, training=self.training)


class AlphaDropout(Dropout):
    """Set dropped elements to SELU's saturation value, keeping mean and variance; see `fastdrop.alpha_dropout`."""

    def drop(self, x: Array) -> tuple[Array, MultiplicativeNoise | None]:
        return F.alpha_dropout(x, self.p, rng=self.stream, training=self.training)


class DropPath(Dropout):
    """Drop whole examples of a branch (stochastic depth); see `fastdrop.drop_path`."""

    def drop(self, x: Array) -> tuple[Array, MultiplicativeNoise | None]:
        return F.drop_path(x, self.p, rng=self.stream, training=self.training)


class LockedDropout(Dropout):
    """Drop features of a sequence (batch, steps, features) for all steps; see `fastdrop.locked_dropout`."""

    def drop(self, x: Array) -> tuple[Array, MultiplicativeNoise | None]:
        return F.locked_dropout(x, self.p, rng=self.stream, training=self.training)


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

    def drop(self, x: Array) -> tuple[Array, MultiplicativeNoise | None]:
        return F.spatial_dropout(x, self.p, channel_axis=self.channel_axis, rng=self.stream, training=self.training)


class FeatureAlphaDropout(SpatialDropout):
    """Alpha dropout of whole feature maps; see `fastdrop.feature_alpha_dropout`."""

    def drop(self, x: Array) -> tuple[Array, MultiplicativeNoise | None]:
        return F.feature_alpha_dropout(
            x, self.p, channel_axis=self.channel_axis, rng=self.stream, training=self.training
        )


class DropBlock(DropoutModule):
    """Drop contiguous blocks of feature maps; see `fastdrop.dropblock`.

    Parameters
    ----------
    p, rng
        As in `Dropout`.
    block_size : int
        The block's side.
    channel_axis : int
        The axis of the maps.
    """

    def __init__(self, p: float = 0.1, block_size: int = 7, *, channel_axis: int = 1, rng: RNG = None) -> None:
        super().__init__(p, rng)
        self.block_size = check_block_size(block_size)
        self.channel_axis = channel_axis

    def drop(self, x: Array) -> tuple[Array, MultiplicativeNoise | None]:
        axis = self.channel_axis
        return F.dropblock(x, self.p, self.block_size, channel_axis=axis, rng=self.stream, training=self.training)


class Cutout(Module):
    """Set a square of every image to zero while training; see `fastdrop.cutout`.

    Parameters
    ----------
    size : int
        The square's side.
    channel_axis : int
        The axis of the channels.
    rng : None, int, numpy.random.Generator or Stream
        Where the squares come from.
    """

    def __init__(self, size: int, *, channel_axis: int = 1, rng: RNG = None) -> None:
        self.size = check_int(size, "size", 0)
        self.channel_axis = channel_axis
        self.stream = Stream.from_rng(rng)
        self.mask: CutoutMask | None = None

    def forward(self, x: Array) -> Array:
        y, self.mask = F.cutout(x, self.size, channel_axis=self.channel_axis, rng=self.stream, training=self.training)
        return y

    def backward(self, dy: Array) -> Array:
        return F.dropout_backward(dy, self.mask)


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
    drop_bias : bool
        Drop biases like weights.
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
        drop_bias: bool = False,
        rng: int | np.random.Generator | None = None,
        mask_rng: RNG = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        Linear.__init__(self, inputs, outputs, rng=rng, dtype=dtype)
        DropoutModule.__init__(self, p, mask_rng)
        self.per_example = per_example
        self.drop_bias = drop_bias

    @property
    def one_mask_per_batch(self) -> bool:
        return not self.per_example

    def forward(self, x: Array) -> Array:
        y, self.mask = F.dropconnect(
            x,
            self.weight.value,
            self.bias.value,
            self.p,
            per_example=self.per_example,
            drop_bias=self.drop_bias,
            rng=self.stream,
            training=self.training,
        )
        self._x = x
        return y

    def backward(self, dy: Array) -> Array:
        dx, self.weight.grad, self.bias.grad = F.dropconnect_backward(dy, self._x, self.weight.value, self.mask)
        return dx

    def sampled(
        self, x: Array, samples: int = 1000, *, activation: Callable[[Array], Array] | None = None, rng: RNG = None
    ) -> Array:
        """Inference by moment matching, in place of `forward` and the activation; see `dropconnect_inference`."""
        return F.dropconnect_inference(
            x,
            self.weight.value,
            self.bias.value,
            self.p,
            samples=samples,
            activation=activation,
            drop_bias=self.drop_bias,
            rng=rng,
        )
