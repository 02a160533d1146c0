"""Convolution of images, and pooling: over windows and over whole maps. Images are (batch, channels, height, width)."""

import functools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike

from fastdrop.backends import array_module
from fastdrop.nn.module import Array, Module, Parameter


class Conv2d(Module):
    """Convolution with square kernels (cross-correlation, as everywhere in deep learning), plus a bias per channel.

    Parameters
    ----------
    channels_in, channels_out : int
        `weight` has shape (channels_out, channels_in, kernel_size, kernel_size).
    kernel_size : int
        Height and width of the kernels.
    stride : int
        Steps between windows.
    padding : int
        Rows and columns of zeros on every side.
    rng : None, int or numpy.random.Generator
        For the initial weights, as in `Linear`; a unit has channels_in * kernel_size**2 inputs.
    dtype : float32 or float64

    Notes
    -----
    Windows become columns of one matrix, so that the layer is one matrix product ("im2col": Chellapilla, Puri, Simard:
    "High performance convolutional neural networks for document processing", 2006). Within, the batch is
    the last axis: what is copied then are long runs, however small the images are. The result is a view of that memory.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> layer = nn.Conv2d(1, 16, 3, padding=1, rng=0)
    >>> layer(np.ones((32, 1, 8, 8), np.float32)).shape
    (32, 16, 8, 8)
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        rng: int | np.random.Generator | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if min(channels_in, channels_out, kernel_size, stride) < 1 or padding < 0:
            raise ValueError(
                f"channels, kernel_size and stride are at least 1 and padding 0; got {channels_in} and "
                f"{channels_out} channels, kernel_size={kernel_size}, stride={stride}, padding={padding}"
            )
        self.stride, self.padding = stride, padding
        shape = (channels_out, channels_in, kernel_size, kernel_size)
        weight = np.random.default_rng(rng).normal(0.0, math.sqrt(2.0 / math.prod(shape[1:])), shape)
        self.weight = Parameter(weight.astype(dtype))
        self.bias = Parameter(np.zeros(channels_out, dtype))

    def forward(self, x: Array) -> Array:
        channels_out, channels_in, size, _ = self.weight.value.shape
        height, width = self._output_size(x)
        padded = self._padded(x)
        columns = array_module(x).empty((channels_in, size, size, height, width, len(x)), x.dtype)
        for row, column in np.ndindex(size, size):
            columns[:, row, column] = self._shifted(padded, row, column, height, width)
        self._columns = columns.reshape(channels_in * size * size, -1)
        self._padded_shape = padded.shape
        y = self.weight.value.reshape(channels_out, -1) @ self._columns
        y += self.bias.value[:, np.newaxis]
        return y.reshape(channels_out, height, width, len(x)).transpose(3, 0, 1, 2)

    def backward(self, dy: Array) -> Array:
        channels_out, channels_in, size, _ = self.weight.value.shape
        batch, _, height, width = dy.shape
        rows = dy.transpose(1, 2, 3, 0).reshape(channels_out, -1)
        self.weight.grad = (rows @ self._columns.T).reshape(self.weight.value.shape)
        self.bias.grad = rows.sum(axis=1)
        dcolumns = self.weight.value.reshape(channels_out, -1).T @ rows
        dcolumns = dcolumns.reshape(channels_in, size, size, height, width, batch)
        dpadded = array_module(dy).zeros(self._padded_shape, dcolumns.dtype)
        for row, column in np.ndindex(size, size):  # an element gets a gradient from every window that it is in
            view = self._shifted(dpadded, row, column, height, width)
            view += dcolumns[:, row, column]
        return self._inside(dpadded).transpose(3, 0, 1, 2)

    def _output_size(self, x: Array) -> tuple[int, int]:
        """Height and width of the result, if x fits the layer."""
        channels, size = self.weight.value.shape[1:3]
        if x.ndim != 4 or x.shape[1] != channels:
            raise ValueError(f"x has shape {x.shape}; needed is (batch, {channels}, height, width)")
        height, width = (length + 2 * self.padding - size for length in x.shape[2:])
        if min(height, width) < 0:
            raise ValueError(f"images of {x.shape[2]} x {x.shape[3]} are too small for kernels of {size} x {size}")
        return height // self.stride + 1, width // self.stride + 1

    def _padded(self, x: Array) -> Array:
        """x with zero padding, the batch axis last."""
        batch, channels, height, width = x.shape
        shape = (channels, height + 2 * self.padding, width + 2 * self.padding, batch)
        padded: Array = array_module(x).zeros(shape, x.dtype)
        self._inside(padded)[...] = x.transpose(1, 2, 3, 0)
        return padded

    def _inside(self, padded: Array) -> Array:
        """A view without the padding."""
        inside = slice(self.padding, -self.padding or None)
        return padded[:, inside, inside]

    def _shifted(self, padded: Array, row: int, column: int, height: int, width: int) -> Array:
        """A view of the elements at this position of the kernel, for every window."""
        rows = slice(row, row + self.stride * height, self.stride)
        columns = slice(column, column + self.stride * width, self.stride)
        return padded[:, rows, columns]


class _Pool2d(Module):
    """Base of the pooling layers: adjacent square windows. Rows and columns that do not fill a window are left out.

    Parameters
    ----------
    size : int
        Height and width of the windows.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size is at least 1; got {size}")
        self.size = size

    def _places(self, x: Array) -> Iterator[Array]:
        """Views of x: the first element of every window, then the second of every window..."""
        if x.ndim != 4 or min(x.shape[2:]) < self.size:
            raise ValueError(
                f"x has shape {x.shape}; needed is (batch, channels, height, width) "
                f"with at least one window of {self.size} x {self.size}"
            )
        height, width = (length - length % self.size for length in x.shape[2:])
        for row, column in np.ndindex(self.size, self.size):
            yield x[:, :, row : height : self.size, column : width : self.size]


class MaxPool2d(_Pool2d):
    """The largest element of every window; where several are equal, the first of them gets the gradient.

    Parameters
    ----------
    size : int
        Height and width of the windows, which are side by side; a rest that fills no window is left out.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """

    def forward(self, x: Array) -> Array:
        self._x = x
        self._y: Array = functools.reduce(np.maximum, self._places(x))
        return self._y

    def backward(self, dy: Array) -> Array:
        dx, zero = np.zeros_like(self._x), dy.dtype.type(0)
        for place, dplace in zip(self._places(self._x), self._places(dx), strict=True):
            largest = place == self._y
            dplace[...] = np.where(largest, dy, zero)
            dy = np.where(largest, zero, dy)  # equal elements that come later get no gradient
        return dx


class AvgPool2d(_Pool2d):
    """The mean of every window.

    Parameters
    ----------
    size : int
        As in `MaxPool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> nn.AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """

    def forward(self, x: Array) -> Array:
        self._x = x  # for its shape and its kind
        total: Array = functools.reduce(np.add, self._places(x))
        return total / self.size**2

    def backward(self, dy: Array) -> Array:
        dx = np.zeros_like(self._x)
        for dplace in self._places(dx):
            dplace[...] = dy / self.size**2
        return dx


class GlobalAveragePool(Module):
    """The mean of every feature map: (batch, channels, positions...) becomes (batch, channels).

    References
    ----------
    Lin, Chen, Yan: "Network in network", ICLR 2014, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastdrop import nn
    >>> nn.GlobalAveragePool()(np.ones((2, 3, 4, 4))).shape
    (2, 3)
    """

    def forward(self, x: Array) -> Array:
        if x.ndim < 3:
            raise ValueError(f"x has shape {x.shape}; needed is (batch, channels, positions...)")
        self._shape = x.shape
        y: Array = x.mean(axis=tuple(range(2, x.ndim)))
        return y

    def backward(self, dy: Array) -> Array:
        part = dy / math.prod(self._shape[2:])
        part = part.reshape(*dy.shape, *(1,) * (len(self._shape) - 2))
        return np.broadcast_to(part, self._shape).copy()
