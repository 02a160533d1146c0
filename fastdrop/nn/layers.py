"""Layers without dropout: linear, normalisation of batches and of layers, and changes of shape."""

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastdrop.nn.module import Array, Module, Parameter


class Linear(Module):
    """y = x weight^T + bias, on the last axis.

    Parameters
    ----------
    inputs, outputs : int
        (..., inputs) becomes (..., outputs); `weight` has shape (outputs, inputs).
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
        return self.product(x) + self.bias.value

    def backward(self, dy: Array) -> Array:
        self.bias.grad = dy.reshape(-1, dy.shape[-1]).sum(axis=0)
        return self.product_backward(dy)

    def product(self, x: Array) -> Array:
        """x weight^T: one product of two matrices, however many axes x has in front of its features."""
        self._x = x
        rows = x.reshape(-1, x.shape[-1])
        return (rows @ self.weight.value.T).reshape(*x.shape[:-1], len(self.weight.value))

    def product_backward(self, dy: Array) -> Array:
        """Sets the weights' gradient; returns that with respect to x."""
        rows = dy.reshape(-1, dy.shape[-1])
        self.weight.grad = rows.T @ self._x.reshape(-1, self._x.shape[-1])
        return (rows @ self.weight.value).reshape(self._x.shape)


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


class LayerNorm(Module):
    """Normalise every example's features, on the last axis; then scale and shift.

    Parameters
    ----------
    features : int
        Size of the last axis.
    eps : float
        Added to the variance.
    dtype : float32 or float64

    References
    ----------
    Ba, Kiros, Hinton: "Layer normalization", 2016, equations 3 and 4.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> nn.LayerNorm(4, dtype=np.float64)(np.array([1.0, 2.0, 3.0, 4.0])).round(2)
    array([-1.34, -0.45,  0.45,  1.34])
    """

    def __init__(self, features: int, *, eps: float = 1e-5, dtype: DTypeLike = np.float32) -> None:
        self.gamma = Parameter(np.ones(features, dtype))
        self.beta = Parameter(np.zeros(features, dtype))
        self.eps = eps

    def forward(self, x: Array) -> Array:
        if x.shape[-1:] != self.gamma.value.shape:
            raise ValueError(f"x has shape {x.shape}; its last axis is to have {len(self.gamma.value)} features")
        centred = x - x.mean(axis=-1, keepdims=True)
        self._inverse_std = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.eps)
        self._normalised = centred * self._inverse_std
        return self._normalised * self.gamma.value + self.beta.value

    def backward(self, dy: Array) -> Array:
        axes = tuple(range(dy.ndim - 1))
        self.gamma.grad = (dy * self._normalised).sum(axis=axes)
        self.beta.grad = dy.sum(axis=axes)
        dx: Array = dy * self.gamma.value
        correction = self._normalised * (dx * self._normalised).mean(axis=-1, keepdims=True)
        return (dx - dx.mean(axis=-1, keepdims=True) - correction) * self._inverse_std


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
