"""NumPy arrays: checks and layouts here, arithmetic in fastdrop._kernels.cpu."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop._kernels import cpu as kernels
from fastdrop.backends.dtypes import advice, compute_dtype, no_array
from fastdrop.backends.exchange import on_host, supports_dlpack
from fastdrop.rule import TILE
from fastdrop.threads import threads_for

Array = NDArray[np.floating[Any]]
Mask = kernels.MaskFields


def as_input(array: Any, name: str) -> Array:
    """An aligned array of a dtype that has kernels, in native byte order; copied only where it is not one already."""
    if type(array) is np.ndarray and kernels.is_kernel_ready(array):
        return array
    check_class(array, name)
    result = _as_array(
        on_host(array, name) if supports_dlpack(array) and not isinstance(array, np.ndarray) else array, name
    )
    if not _has_kernels(result.dtype):
        if result.dtype == object and not isinstance(array, np.ndarray):
            raise TypeError(f"{name} is {no_array(array)}")
        raise TypeError(f"{name} has dtype {result.dtype}; {advice(result.dtype)}")
    if not result.dtype.isnative:
        result = result.astype(result.dtype.newbyteorder("="))
    return result if result.flags.aligned else result.copy(order="K")


def _as_array(array: Any, name: str) -> NDArray[Any]:
    try:
        return np.asarray(array)
    except ValueError as error:  # lists of several lengths
        raise ValueError(f"{name} is no array: {error}") from None


def check_class(array: Any, name: str) -> None:
    """Refuse a subclass of ndarray: its mask or its unit would be lost, and nobody would see it.

    A file in memory is an array as any other; results are not written to it.
    """
    if isinstance(array, np.ndarray) and type(array) not in (np.ndarray, np.memmap):
        raise TypeError(
            f"{name} is a {type(array).__name__}, and results are plain arrays: what it is beyond its values would be "
            f"lost; give numpy.asarray({name}) if that may be"
        )


def _has_kernels(dtype: np.dtype[Any]) -> bool:
    if dtype.name == "bfloat16":  # a dtype of ml_dtypes', which need not be installed
        kernels.register_bfloat16(dtype.num)
        return True
    return dtype.kind == "f" and dtype.itemsize in (2, 4, 8)


def prepare_out(x: Array, out: Any, *others: Array) -> tuple[Array, ...]:
    """The array to write to, checked, and the inputs, copied where they overlap it without being the same."""
    if out is None:
        return kernels.empty_like(x), x, *others
    check_class(out, "out")
    if not others and kernels.is_writable_target(x, out):
        return out, x
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a numpy.ndarray; got {type(out).__name__}")
    if out.shape != x.shape or out.dtype != x.dtype:
        raise ValueError(f"out has shape {out.shape} and dtype {out.dtype}; needed are {x.shape} and {x.dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    if kernels.overlaps_itself(out):
        raise ValueError(f"out has strides {out.strides}: several elements share one place in memory")
    return out, *[array if _is_apart(array, out) else array.copy(order="K") for array in (x, *others)]


def _is_apart(array: Array, out: Array) -> bool:
    if array.ndim < out.ndim:  # it is broadcast
        return not np.may_share_memory(array, out)
    return kernels.is_apart(array, out)


def elementwise(operation: str, out: Array, inputs: tuple[Array, ...], mask: Mask | None, shift: float = 0.0) -> Array:
    """out = one of the operations of src_kernels/shared/operations.h; inputs broadcast to out.

    Keep bits are numbered in C order over the axes that the mask does not share, or as its layout says; without a mask,
    every element is kept and none is scaled. `shift` is alpha dropout's. out and inputs as `prepare_out` gives them.
    """
    target = out if kernels.is_kernel_ready(out) else kernels.empty_like(inputs[0])
    kernels.elementwise(operation, (target, *inputs), mask, threads_for(target.size), shift)
    if target is not out:
        out[...] = target
    return out


def multiply(x: Array, out: Array, factor: float) -> Array:
    """out = x * factor; bit for bit x where the factor is 1."""
    if factor == 1.0:
        np.copyto(out, x)
    elif factor == 0.0:
        out[...] = 0  # also where x is inf or NaN
    elif kernels.is_kernel_ready(out):
        kernels.multiply(out, x, factor, threads_for(x.size))
    else:
        target = kernels.empty_like(x)
        kernels.multiply(target, x, factor, threads_for(x.size))
        out[...] = target
    return out


def bias_backward(activation: str, dy: Array, x: Array, bias: Array, mask: Mask | None) -> tuple[Array, Array]:
    """dx, and dbias, its sum over all axes but the last."""
    dy, x, bias = (np.ascontiguousarray(array) for array in (dy, x, bias))
    dx = kernels.empty_like(x)
    rows = x.size // bias.size if bias.size else 0
    # Groups of rows are added up on their own and then together, whatever the number of threads.
    sums = np.zeros((-(-rows // kernels.sum_rows(bias.size)), bias.size), compute_dtype(x.dtype))
    kernels.bias_backward(activation, dx, dy, x, bias, sums, mask, threads_for(x.size))
    with np.errstate(all="ignore"):  # as the kernels have it
        return dx, sums.sum(axis=0).astype(bias.dtype)


def softmax(out: Array, x: Array, dy: Array | None, mask: Mask | None) -> Array:
    """Dropout of x's softmax along the last axis; where dy is given, its backward pass."""
    x, dy = np.ascontiguousarray(x), None if dy is None else np.ascontiguousarray(dy)
    target = out if out.flags.c_contiguous and kernels.is_kernel_ready(out) else kernels.empty_like(x)
    kernels.softmax(target, x, dy, mask, threads_for(x.size) if x.shape[-1] < x.size else 1)
    if target is not out:
        out[...] = target
    return out


def gaussian(x: Array, out: Array, draw: kernels.Draw, sigma: float) -> Array:
    """out = x * (1 + sigma * z), z standard normal numbers of the draw, in C order.

    out and x as `prepare_out` gives them.
    """
    x = np.ascontiguousarray(x)
    target = out if out.flags.c_contiguous and kernels.is_kernel_ready(out) else kernels.empty_like(x)
    kernels.gaussian(target, x, draw, sigma, threads_for(x.size))
    if target is not out:
        out[...] = target
    return out


_scratch = threading.local()


@contextmanager
def scratch_like(array: Array) -> Iterator[Array]:
    """Memory of this array's shape and dtype, for a while: the same again for the next call of a thread.

    Memory from the system comes zeroed, page by page: for weights of 8 MB that took longer than masking them. A call
    that interrupts another one, from a signal handler, finds the thread's memory in use and allocates its own.
    """
    buffer = _scratch.__dict__.pop("buffer", None)
    if buffer is None or buffer.nbytes < array.nbytes:
        buffer = np.empty(array.nbytes, np.uint8)
    try:
        yield buffer[: array.nbytes].view(array.dtype).reshape(array.shape)
    finally:
        _scratch.buffer = buffer


def masked_weight(weight: Array, mask: Mask, out: Array) -> Array:
    """out = the weights of one mask per batch, for a product at once.

    BLAS's threads spin on the other cores in expectation of their next product: below 2**21 weights a thread of ours
    there costs more (0.2 ms, 2 cores) than it takes off.
    """
    kernels.elementwise("dropout", (out, weight), mask, threads_for(weight.size // 4))
    return out


def keep_bits(draw: kernels.Draw, threshold: int, count: int, like: Any) -> NDArray[np.uint8]:
    """The first `count` keep bits, eight to a byte, lowest bit first; unused bits are 0.

    On the device of `like`, where a backend has several.
    """
    words = np.empty((count + 31) // 32, np.uint32)
    kernels.keep_bits(words, draw, threshold, threads_for(count))
    packed = words.astype("<u4", copy=False).view(np.uint8)[: (count + 7) // 8]
    if count % 8:
        packed[-1] &= (1 << count % 8) - 1
    return packed


def booleans(draw: kernels.Draw, threshold: int, count: int, like: Any) -> NDArray[np.bool_]:
    """The first `count` keep bits."""
    return np.unpackbits(keep_bits(draw, threshold, count, like), count=count, bitorder="little").view(np.bool_)


def _masked_products(x: Array, weight: Array) -> int:
    return threads_for(x.shape[0] * weight.size if weight.size >= TILE else 0)


def dropconnect_forward(x: Array, weight: Array, bias: Array | None, mask: Mask) -> Array:
    """y[b, o] = bias[o] + scale * sum_i keep[b, o, i] * weight[o, i] * x[b, i], the mask never built."""
    y = kernels.empty_like(x, (x.shape[0], weight.shape[0]))
    bias = None if bias is None else np.ascontiguousarray(bias)
    x, weight = np.ascontiguousarray(x), np.ascontiguousarray(weight)
    kernels.dropconnect_forward(x, weight, bias, y, mask, _masked_products(x, weight))
    return y


def dropconnect_dx(dy: Array, weight: Array, mask: Mask) -> Array:
    """dx[b, i] = scale * sum_o keep[b, o, i] * weight[o, i] * dy[b, o]"""
    dx = kernels.empty_like(dy, (dy.shape[0], weight.shape[1]))
    dy, weight = np.ascontiguousarray(dy), np.ascontiguousarray(weight)
    kernels.dropconnect_dx(dy, weight, dx, mask, _masked_products(dy, weight))
    return dx


def dropconnect_dweight(dy: Array, x: Array, mask: Mask) -> Array:
    """dweight[o, i] = scale * sum_b keep[b, o, i] * dy[b, o] * x[b, i]"""
    dweight = kernels.empty_like(x, (dy.shape[1], x.shape[1]))
    dy, x = np.ascontiguousarray(dy), np.ascontiguousarray(x)
    kernels.dropconnect_dweight(dy, x, dweight, mask, _masked_products(x, dweight))
    return dweight
