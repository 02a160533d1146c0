"""Layers without dropout: linear, rectifier, batch normalisation, and changes of shape."""

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastdrop.nn.module import Array, Module, Parameter


class Linear(Module):
    """y = x weight^T + bias.

    Parameters
    ----------
    inputs, outputs : int
        Features in and out; `weight` has shape (outputs, inputs).
    rng : None, int or numpy.random.Generator
        For the initial weights: normal with variance 2 / inputs (He et al., "Delving deep into rectifiers", ICCV 2015,
        equation 10).
    dtype : float32 or float64
    """

    def __init__(
        self, inputs: int, outputs: int, *, rng: int | np.random.Generator | None = None, dtype: DTypeLike = np.float32
    ) -> None:
        generator = np.random.default_rng(rng)
        weight = generator.normal(0.0, math.sqrt(2.0 / inputs), (outputs, inputs))
        self.weight = Parameter(weight.astype(dtype))
        self.bias = Parameter(np.zeros(outputs, dtype))

    def forward(self, x: Array) -> Array:
        self._x = x
        return x @ self.weight.value.T + self.bias.value

    def backward(self, dy: Array) -> Array:
        self.weight.grad = dy.T @ self._x
        self.bias.grad = dy.sum(axis=0)
        return dy @ self.weight.value


class ReLU(Module):
    """max(x, 0)"""

    def forward(self, x: Array) -> Array:
        y: Array = np.maximum(x, 0)
        self._y = y
        return y

    def backward(self, dy: Array) -> Array:
        return np.where(self._y > 0, dy, dy.dtype.type(0))


class BatchNorm(Module):
    """Normalise every feature, or channel, over the batch; then scale and shift.

    Parameters
    ----------
    features : int
        Size of axis 1.
    momentum : float
        Weight of the newest batch in the gathered mean and variance that evaluation uses.
    eps : float
        Added to the variance.
    dtype : float32 or float64

    References
    ----------
    Ioffe, Szegedy: "Batch normalization", ICML 2015, algorithm 1. The gathered variance is the unbiased one, as there.
    """

    normalises_batch = True
    buffers = ("running_mean", "running_var")

    def __init__(
        self, features: int, *, momentum: float = 0.1, eps: float = 1e-5, dtype: DTypeLike = np.float32
    ) -> None:
        self.gamma = Parameter(np.ones(features, dtype))
        self.beta = Parameter(np.zeros(features, dtype))
        self.running_mean = np.zeros(features, dtype)
        self.running_var = np.ones(features, dtype)
        self.momentum = momentum
        self.eps = eps

    def forward(self, x: Array) -> Array:
        axes = (0, *range(2, x.ndim))
        self._shape = (1, -1, *(1,) * (x.ndim - 2))
        if self.training:
            mean, var = x.mean(axis=axes), x.var(axis=axes)
            count = x.size // x.shape[1]
            unbiased = var * (count / max(count - 1, 1))
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (unbiased - self.running_var)
        else:
            mean, var = self.running_mean, self.running_var
        self._inverse_std = (1 / np.sqrt(var + self.eps)).reshape(self._shape)
        self._normalised = (x - mean.reshape(self._shape)) * self._inverse_std
        self._from_batch = self.training
        return self._normalised * self.gamma.value.reshape(self._shape) + self.beta.value.reshape(self._shape)

    def backward(self, dy: Array) -> Array:
        axes = (0, *range(2, dy.ndim))
        self.gamma.grad = (dy * self._normalised).sum(axis=axes)
        self.beta.grad = dy.sum(axis=axes)
        dx: Array = dy * self.gamma.value.reshape(self._shape) * self._inverse_std
        if not self._from_batch:
            return dx
        correction = self._normalised * (dx * self._normalised).mean(axis=axes, keepdims=True)
        return dx - dx.mean(axis=axes, keepdims=True) - correction


class Reshape(Module):
    """Give every example the shape `shape`; the batch axis stays."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def forward(self, x: Array) -> Array:
        self._x_shape = x.shape
        return x.reshape(x.shape[0], *self.shape)

    def backward(self, dy: Array) -> NDArray[Any]:
        return dy.reshape(self._x_shape)


class Flatten(Reshape):
    """Make every example a row of features."""

    def __init__(self) -> None:
        super().__init__(-1)
