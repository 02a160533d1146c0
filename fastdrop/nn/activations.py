"""Activation functions, each with its derivative: rectified, exponential, Gaussian and saturating units."""

import numpy as np

import fastdrop.functional as F
from fastdrop.backends import array_module
from fastdrop.nn.module import Array, Module


class ReLU(Module):
    """max(x, 0)"""

    def forward(self, x: Array) -> Array:
        y: Array = np.maximum(x, 0)
        self._y = y
        return y

    def backward(self, dy: Array) -> Array:
        return np.where(self._y > 0, dy, dy.dtype.type(0))


class GELU(Module):
    """x Phi(x) with the normal distribution function Phi: the exact one, not its approximation by tanh.

    References
    ----------
    Hendrycks, Gimpel: "Gaussian error linear units (GELUs)", 2016, equation 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> nn.GELU()(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """

    def forward(self, x: Array) -> Array:
        self._x = x
        # NumPy has no normal distribution function; the kernels with a bias have one.
        self._no_bias = array_module(x).zeros(x.shape[-1], x.dtype)
        return F.bias_activation_dropout(x, self._no_bias, 0.0, activation="gelu", training=False)[0]

    def backward(self, dy: Array) -> Array:
        return F.bias_activation_dropout_backward(dy, self._x, self._no_bias, None, activation="gelu")[0]


class SELU(Module):
    """scale * x above 0, scale * alpha (exp(x) - 1) below: keeps mean 0 and variance 1 from layer to layer.

    References
    ----------
    Klambauer, Unterthiner, Mayr, Hochreiter: "Self-normalizing neural networks", NeurIPS 2017, equation 2. The two
    constants solve equations 4 and 5 for the fixed point of mean 0 and variance 1 (their section 2, "stable and
    attracting fixed point (0, 1)").

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> nn.SELU()(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-1.1113,  0.    ,  1.0507])
    """

    scale = 1.0507009873554805
    alpha = 1.6732632423543772

    def forward(self, x: Array) -> Array:
        # exp only of negative values: it could overflow for positive ones.
        y: Array = self.scale * (np.maximum(x, 0) + self.alpha * np.expm1(np.minimum(x, 0)))
        self._y = y
        return y

    def backward(self, dy: Array) -> Array:
        # Below 0 the derivative is scale * alpha * exp(x), which is y + scale * alpha.
        return np.where(self._y > 0, dy * self.scale, dy * (self._y + self.scale * self.alpha))


class Tanh(Module):
    """tanh(x)"""

    def forward(self, x: Array) -> Array:
        y: Array = np.tanh(x)
        self._y = y
        return y

    def backward(self, dy: Array) -> Array:
        return dy * (1 - self._y**2)


class Sigmoid(Module):
    """1 / (1 + exp(-x))

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> nn.Sigmoid()(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """

    def forward(self, x: Array) -> Array:
        self._y = sigmoid(x)
        return self._y

    def backward(self, dy: Array) -> Array:
        return dy * self._y * (1 - self._y)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) for any x: both exponentials are of negative numbers, so that none overflows."""
    y: Array = np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))
    return y
