"""CuPy arrays: checks and layouts here, arithmetic in src_kernels/cuda.

Everything runs on the arrays' device and on CuPy's current stream; nothing waits for it, nothing is copied between
device and host. What each operation is, `fastdrop.backends.cpu` says. While a CUDA graph is captured, memory lives as
`fastdrop.backends.cuda.capture` says.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop._kernels import cpu as kernels
from fastdrop.backends.cuda import capture, compiler, geometry, source, structs
from fastdrop.backends.cuda.device import cupy, is_array
from fastdrop.backends.cuda.geometry import Operand
from fastdrop.backends.cuda.structs import Bits
from fastdrop.backends.dtypes import check_dtype, compute_dtype
from fastdrop.backends.overlap import overlaps_itself
from fastdrop.bit_layout import BitLayout
from fastdrop.rule import KEEP_ALL, NORMAL_GROUP, TILE_COUNTERS

Array = Any
Mask = kernels.MaskFields
NO_DRAW = kernels.Draw(0, 0)
ALL = Bits(NO_DRAW, KEEP_ALL)
"""Of launches without a mask."""

DROPCONNECT_THREADS = 256
"""Of a thread block, as FD_DROPCONNECT_THREADS in src_kernels/cuda/dropconnect.cu."""
EXAMPLES, OUTPUTS = 16, 8
"""Of a thread block of DropConnect's forward kernel."""
GROUPS_WIDTH, GROUPS = 2048, 16
"""Columns that 16 thread blocks of DropConnect's gradient kernel share."""


def as_input(array: Any, name: str) -> Array:
    """An array of a dtype that has kernels."""
    check_dtype(array.dtype, name)
    return array


def prepare_out(x: Array, out: Any, *others: Array) -> tuple[Array, ...]:
    """The array to write to, checked, and the inputs, copied where they overlap it without being the same."""
    if out is None:
        with capture.on(x.device):
            return cupy().empty_like(x), x, *others
    if not is_array(out):
        raise TypeError(f"out is a cupy.ndarray; got {type(out).__name__}")
    if out.shape != x.shape or out.dtype != x.dtype:
        raise ValueError(f"out has shape {out.shape} and dtype {out.dtype}; needed are {x.shape} and {x.dtype}")
    if overlaps_itself(out.shape, out.strides, out.itemsize):
        raise ValueError(f"out has strides {out.strides}: several elements share one place in memory")
    with capture.on(x.device):
        capture.keep(x, *others)
        return out, *[array if _is_apart(array, out) else array.copy() for array in (x, *others)]


def _is_apart(array: Array, out: Array) -> bool:
    """Whether no element of one lies where another element of the other does: the same place for all, or no overlap."""
    if array.data.ptr == out.data.ptr and array.shape == out.shape and array.strides == out.strides:
        return True
    (low, high), (out_low, out_high) = _extent(array), _extent(out)
    return high <= out_low or out_high <= low


def _extent(array: Array) -> tuple[int, int]:
    """The addresses that its elements lie between."""
    low = high = int(array.data.ptr)
    if array.size == 0:
        return low, low
    for size, stride in zip(array.shape, array.strides, strict=True):
        reach = (size - 1) * stride
        low, high = low + min(reach, 0), high + max(reach, 0)
    return low, high + array.itemsize


def _bits_of(mask: Mask | None, shift: float = 0.0) -> Bits:
    return ALL if mask is None else Bits(mask.draw, mask.threshold, mask.scale, shift)


def elementwise(operation: str, out: Array, inputs: tuple[Array, ...], mask: Mask | None, shift: float = 0.0) -> Array:
    """out = an operation of src_kernels/shared/operations.h; inputs broadcast to out. `shift` is alpha dropout's."""
    layout = None if mask is None else mask.layout
    shared_axes = () if mask is None or layout else mask.shared_axes
    return _elementwise(operation, out, inputs, _bits_of(mask, shift), shared_axes, layout)


def multiply(x: Array, out: Array, factor: float) -> Array:
    """out = x * factor; bit for bit x where the factor is 1."""
    if factor == 0.0:
        return _elementwise("dropout", out, (x,), ALL._replace(threshold=0, scale=0.0))
    return _elementwise("multiply" if factor != 1.0 else "dropout", out, (x,), ALL._replace(scale=factor))


def _elementwise(
    operation: str,
    out: Array,
    inputs: tuple[Array, ...],
    bits: Bits,
    shared_axes: tuple[int, ...] = (),
    layout: BitLayout | None = None,
) -> Array:
    if out.size == 0:
        return out
    arrays = (out, *inputs)
    operands = tuple(Operand(structs.address(array) % geometry.ACCESS, array.shape, array.strides) for array in arrays)
    first, strides = layout or (0, None)
    plan = geometry.plan(operands, shared_axes, out.itemsize, source.OPERATIONS[operation][1], strides)
    if plan.kernel == "fd_flat_kernel":
        fields = {"y": out, "x": inputs[0], "second": inputs[-1], **plan.fields}
        packed = structs.pack(structs.FLAT, bits, **fields)
    else:
        packed = structs.pack_walk(bits, arrays, {**plan.fields, "first_bit": first})
    if operation == "dropout" and bits.scale == 1.0:
        operation = source.SELECT
    expression = source.elementwise(plan.kernel, operation, out.dtype.name, plan.width)
    with _on_device_of(bits.draw, out.device):
        _launch(expression, packed, arrays, bits.draw, bits.draws, *geometry.grid(plan.threads))
    return out


def _on_device_of(draw: Any, device: Any) -> capture.on:
    """A block on this device, if the draw can be used there."""
    counter = getattr(draw, "counter", None)
    if counter is not None and counter.device.id != device.id:
        raise TypeError(
            f"these arrays are on CUDA device {device.id}, and the GraphStream of this mask counts on CUDA device "
            f"{counter.device.id}: make a GraphStream for them, with another seed, in a block "
            f"`with cupy.cuda.Device({device.id}):`, or move the arrays"
        )
    return capture.on(device)


def _contiguous(array: Array) -> Array:
    """It, or a copy in C order."""
    capture.keep(array)
    return cupy().ascontiguousarray(array)


def _launch(
    expression: str,
    packed: NDArray[Any],
    arrays: Sequence[Array | None],
    draw: Any,
    draws: bool,
    blocks: int,
    threads: int,
) -> None:
    """Launch a kernel on the first array's device, which is the current one, on CuPy's current CUDA stream there.

    draws: whether it draws random numbers.
    """
    if capture.is_captured():
        counter = getattr(draw, "counter", None)
        if counter is None and draws:
            raise RuntimeError(
                "this call is being captured into a CUDA graph, each of whose replays would repeat its mask or "
                "noise; draw it from a fastdrop.GraphStream, whose call number the replays read from the device"
            )
        capture.keep(counter, *arrays)
    compiler.kernel(expression, arrays[0].device.id)((blocks,), (threads,), (packed,))  # type: ignore[union-attr]


def bias_backward(activation: str, dy: Array, x: Array, bias: Array, mask: Mask | None) -> tuple[Array, Array]:
    """dx, and dbias, its sum over all axes but the last."""
    bits = _bits_of(mask)
    with _on_device_of(bits.draw, x.device):
        dy, x, bias = (_contiguous(array) for array in (dy, x, bias))
        dx = cupy().empty(x.shape, x.dtype)
        rows, columns = (x.size // bias.size if bias.size else 0), bias.size
        group = kernels.sum_rows(columns)
        groups = -(-rows // group)
        sums = cupy().zeros((groups, columns), compute_dtype(x.dtype))
        if x.size:
            fields = {"dx": dx, "dy": dy, "x": x, "bias": bias, "sums": sums}
            packed = structs.pack(structs.BIAS_BACKWARD, bits, **fields, rows=rows, columns=columns, group=group)
            threads = groups * geometry.in_warps(columns, geometry.WARP)
            expression = source.bias_backward(activation, x.dtype.name)
            _launch(expression, packed, (dx, dy, x, bias, sums), bits.draw, bits.draws, *geometry.grid(threads))
        return dx, sums.sum(axis=0).astype(bias.dtype)


def softmax(out: Array, x: Array, dy: Array | None, mask: Mask | None) -> Array:
    """Dropout of x's softmax along the last axis; where dy is given, its backward pass."""
    if out.size == 0:
        return out
    bits = _bits_of(mask)
    with _on_device_of(bits.draw, x.device):
        x, dy = _contiguous(x), None if dy is None else _contiguous(dy)
        target = out if out.flags.c_contiguous else cupy().empty(x.shape, x.dtype)
        rows = x.size // x.shape[-1]
        packed = structs.pack(structs.SOFTMAX, bits, y=target, x=x, dy=dy, rows=rows, columns=x.shape[-1])
        expression = source.softmax(x.dtype.name, dy is not None)
        launch = geometry.grid(rows * geometry.WARP)
        _launch(expression, packed, (target, x, dy, out), bits.draw, bits.draws, *launch)
        if target is not out:
            out[...] = target
    return out


def gaussian(x: Array, out: Array, draw: Any, sigma: float) -> Array:
    """out = x * (1 + sigma * z), z standard normal numbers of the draw, in C order."""
    if out.size == 0:
        return out
    with _on_device_of(draw, x.device):
        x = _contiguous(x)
        target = out if out.flags.c_contiguous else cupy().empty(x.shape, x.dtype)
        packed = structs.pack(structs.GAUSSIAN, Bits(draw, KEEP_ALL), y=target, x=x, count=x.size, sigma=float(sigma))
        launch = geometry.grid(-(-x.size // NORMAL_GROUP) * TILE_COUNTERS)
        _launch(source.gaussian(x.dtype.name), packed, (target, x, out), draw, sigma != 0, *launch)
        if target is not out:
            out[...] = target
    return out


@contextmanager
def scratch_like(array: Array) -> Iterator[Array]:
    """Memory of this array's shape and dtype, for a while: of CuPy's pool, where the next call finds it again."""
    with capture.on(array.device):
        scratch = cupy().empty(array.shape, array.dtype)
    yield scratch


def masked_weight(weight: Array, mask: Mask, out: Array) -> Array:
    """out = the weights of one mask per batch."""
    return elementwise("dropout", out, (weight,), mask)


def keep_bits(draw: Any, threshold: int, count: int, like: Array) -> Array:
    """The first `count` keep bits, eight to a byte, lowest bit first; unused bits are 0."""
    bits = Bits(draw, threshold)
    words = _written("fd_keep_bits_kernel", (count + 31) // 32, np.dtype(np.uint32), bits, count, like)
    return words.view(np.uint8)[: (count + 7) // 8]


def booleans(draw: Any, threshold: int, count: int, like: Array) -> Array:
    """The first `count` keep bits."""
    return _written("fd_booleans_kernel", count, np.dtype(np.bool_), Bits(draw, threshold), count, like)


def _written(kernel: str, size: int, dtype: np.dtype[Any], bits: Bits, count: int, like: Array) -> Array:
    """An array of this size, on the device of `like`, that the kernel writes `count` keep bits to."""
    with _on_device_of(bits.draw, like.device):
        to = cupy().empty(size, dtype)
        if count:
            packed = structs.pack(structs.KEEP_BITS, bits, to=to, count=count)
            launch = geometry.grid(geometry.in_warps(count, geometry.WARP_ELEMENTS))
            _launch(kernel, packed, (to,), bits.draw, bits.draws, *launch)
        return to


def dropconnect_forward(x: Array, weight: Array, bias: Array | None, mask: Mask) -> Array:
    """y[b, o] = bias[o] + scale * sum_i keep[b, o, i] * weight[o, i] * x[b, i], the mask never built."""
    (batch, inputs), outputs, bits = x.shape, weight.shape[0], _bits_of(mask)
    with _on_device_of(bits.draw, x.device):
        y = cupy().empty((batch, outputs), x.dtype)
        if y.size:
            x, weight = _contiguous(x), _contiguous(weight)
            bias = None if bias is None else _contiguous(bias)
            fields = {"to": y, "from": x, "factor": weight, "bias": bias}
            sizes = {"batch": batch, "outputs": outputs, "inputs": inputs}
            packed = structs.pack(structs.DROPCONNECT, bits, **fields, **sizes)
            blocks = -(-batch // EXAMPLES) * -(-outputs // OUTPUTS)
            expression = source.dropconnect_forward(x.dtype.name, begins=inputs % 32 == 0)
            _launch(expression, packed, (y, x, weight, bias), bits.draw, bits.draws, blocks, DROPCONNECT_THREADS)
        return y


def dropconnect_dx(dy: Array, weight: Array, mask: Mask) -> Array:
    """dx[b, i] = scale * sum_o keep[b, o, i] * weight[o, i] * dy[b, o]"""
    return _dropconnect_gradient(dy, weight, mask, dweight=False)


def dropconnect_dweight(dy: Array, x: Array, mask: Mask) -> Array:
    """dweight[o, i] = scale * sum_b keep[b, o, i] * dy[b, o] * x[b, i]"""
    return _dropconnect_gradient(dy, x, mask, dweight=True)


def _dropconnect_gradient(dy: Array, other: Array, mask: Mask, dweight: bool) -> Array:
    """Sums over outputs of weights (dx), or over examples of x (dweight)."""
    (batch, outputs), inputs, bits = dy.shape, other.shape[1], _bits_of(mask)
    targets = outputs if dweight else batch
    with _on_device_of(bits.draw, dy.device):
        result = cupy().empty((targets, inputs), dy.dtype)
        if result.size:
            dy, other = _contiguous(dy), _contiguous(other)
            fields = {"to": result, "from": other, "factor": dy, "bias": None}
            sizes = {"batch": batch, "outputs": outputs, "inputs": inputs}
            packed = structs.pack(structs.DROPCONNECT, bits, **fields, **sizes)
            each = source.DROPCONNECT_TARGETS[dweight] * (DROPCONNECT_THREADS // geometry.WARP)
            blocks = -(-inputs // GROUPS_WIDTH) * GROUPS * -(-targets // each)
            expression = source.dropconnect_gradient(dy.dtype.name, dweight, source.DROPCONNECT_TARGETS[dweight])
            _launch(expression, packed, (result, dy, other), bits.draw, bits.draws, blocks, DROPCONNECT_THREADS)
        return result
