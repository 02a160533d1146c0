"""CuPy arrays: checks and layouts here, arithmetic in src_kernels/*.cu.

Everything runs on the arrays' device and on CuPy's current stream; nothing waits for it, nothing is copied between
device and host. What each operation is, `fastdrop.backends.cpu` says. While a CUDA graph is captured, memory lives as
`fastdrop.backends.cuda.capture` says.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.backends.cuda import capture, compiler, geometry, source, structs
from fastdrop.backends.cuda.device import cupy, is_array
from fastdrop.backends.cuda.geometry import Operand
from fastdrop.backends.dtypes import ITEMSIZES, advice, arithmetic
from fastdrop.backends.layout import overlaps_itself
from fastdrop.backends.window import Window
from fastdrop.rule import KEEP_ALL, LANES, NORMALS
from fastdrop.threads import kernels

__all__ = [
    "apply",
    "arithmetic",
    "as_input",
    "bias_backward",
    "booleans",
    "connect_dweight",
    "connect_dx",
    "connect_forward",
    "elementwise",
    "gaussian",
    "masked_weight",
    "packed_bits",
    "prepare_out",
    "scaled_copy",
    "scratch_like",
    "softmax",
]

Array = Any
Recipe = kernels.Recipe

CONNECT_THREADS = 256
"""Of a block, as FD_CONNECT_THREADS in src_kernels/cuda_connect.cu."""
EXAMPLES, OUTPUTS = 16, 8
"""Of a block of DropConnect's forward kernel."""
GROUPS_WIDTH, GROUPS = 2048, 16
"""Columns that 16 blocks of DropConnect's gradient kernel share."""


def as_input(array: Any, name: str) -> Array:
    """An array of a dtype that has kernels."""
    if array.dtype.name not in ITEMSIZES:
        raise TypeError(f"{name} has dtype {array.dtype}; {advice(array.dtype)}")
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


def apply(
    x: Array, out: Array, recipe: Recipe, shared_axes: tuple[int, ...] = (), window: Window | None = None
) -> Array:
    """out = keep ? x * scale : +0."""
    return _elementwise("dropout", out, (x,), recipe, shared_axes, window)


def elementwise(
    operation: str,
    out: Array,
    inputs: tuple[Array, ...],
    recipe: Recipe,
    shared_axes: tuple[int, ...] = (),
    shift: float = 0.0,
) -> Array:
    """One of the fused operations of src_kernels/operations.h; inputs broadcast to out. `shift` is alpha dropout's."""
    return _elementwise(operation, out, inputs, recipe, shared_axes, None, shift)


def _elementwise(
    operation: str,
    out: Array,
    inputs: tuple[Array, ...],
    recipe: Recipe,
    shared_axes: tuple[int, ...],
    window: Window | None,
    shift: float = 0.0,
) -> Array:
    if out.size == 0:
        return out
    arrays = (out, *inputs)
    operands = tuple(Operand(structs.address(array) % geometry.ACCESS, array.shape, array.strides) for array in arrays)
    first, strides = window or (0, None)
    plan = geometry.plan(operands, shared_axes, out.itemsize, operation in source.WITH_BIAS, strides)
    if plan.kernel == "fd_flat_kernel":
        fields = {"y": out, "x": inputs[0], "second": inputs[-1], **plan.fields}
        packed = structs.pack(structs.FLAT, recipe, shift, **fields)
    else:
        packed = structs.pack_walk(recipe, arrays, {**plan.fields, "first": first}, shift)
    if operation == "dropout" and recipe.scale == 1.0:
        operation = "select"
    expression = source.elementwise(plan.kernel, operation, out.dtype.name, plan.width)
    with _drawing(recipe, out.device):
        _launch(expression, packed, arrays, recipe, *geometry.grid(plan.threads))
    return out


def _drawing(recipe: Recipe, device: Any) -> capture.on:
    """A block on this device, where the recipe can be drawn."""
    counter = getattr(recipe, "counter", None)
    if counter is not None and counter.device.id != device.id:
        raise TypeError(
            f"these arrays are on CUDA device {device.id}, and the GraphStream of this mask counts on CUDA device "
            f"{counter.device.id}: make a GraphStream for them, with a seed of its own, in a block "
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
    recipe: Recipe,
    blocks: int,
    threads: int,
    draws: bool | None = None,
) -> None:
    """Launch a kernel on the first array's device, which is the current one, on CuPy's current stream there.

    draws: whether it draws random numbers; None: if the threshold asks for some.
    """
    if capture.is_captured():
        counter = getattr(recipe, "counter", None)
        if counter is None and (recipe.threshold not in (0, KEEP_ALL) if draws is None else draws):
            raise RuntimeError(
                "this call is being captured into a CUDA graph, each of whose replays would repeat its mask or "
                "noise; draw it from a fastdrop.GraphStream, whose call number the replays read from the device"
            )
        capture.keep(counter, *arrays)
    compiler.kernel(expression, arrays[0].device.id)((blocks,), (threads,), (packed,))  # type: ignore[union-attr]


def bias_backward(activation: str, dy: Array, x: Array, bias: Array, recipe: Recipe) -> tuple[Array, Array]:
    """dx, and dbias, its sum over all axes but the last."""
    with _drawing(recipe, x.device):
        dy, x, bias = (_contiguous(array) for array in (dy, x, bias))
        dx = cupy().empty(x.shape, x.dtype)
        rows, columns = (x.size // bias.size if bias.size else 0), bias.size
        block = kernels.sum_rows(columns)
        blocks = -(-rows // block)
        sums = cupy().zeros((blocks, columns), arithmetic(x.dtype))
        if x.size:
            fields = {"dx": dx, "dy": dy, "x": x, "bias": bias, "sums": sums}
            packed = structs.pack(structs.BIAS_BACKWARD, recipe, **fields, rows=rows, columns=columns, block=block)
            threads = blocks * geometry.in_warps(columns, geometry.WARP)
            expression = source.bias_backward(activation, x.dtype.name)
            _launch(expression, packed, (dx, dy, x, bias, sums), recipe, *geometry.grid(threads))
        return dx, sums.sum(axis=0).astype(bias.dtype)


def softmax(out: Array, x: Array, dy: Array | None, recipe: Recipe) -> Array:
    """Dropout of x's softmax along the last axis; where dy is given, its backward pass."""
    if out.size == 0:
        return out
    with _drawing(recipe, x.device):
        x, dy = _contiguous(x), None if dy is None else _contiguous(dy)
        target = out if out.flags.c_contiguous else cupy().empty(x.shape, x.dtype)
        rows = x.size // x.shape[-1]
        packed = structs.pack(structs.SOFTMAX, recipe, y=target, x=x, dy=dy, rows=rows, columns=x.shape[-1])
        expression = source.softmax(x.dtype.name, dy is not None)
        _launch(expression, packed, (target, x, dy, out), recipe, *geometry.grid(rows * geometry.WARP))
        if target is not out:
            out[...] = target
    return out


def gaussian(x: Array, out: Array, recipe: Recipe, sigma: float) -> Array:
    """out = x * (1 + sigma * z), z standard normal numbers of the recipe's key and call, in C order."""
    if out.size == 0:
        return out
    with _drawing(recipe, x.device):
        x = _contiguous(x)
        target = out if out.flags.c_contiguous else cupy().empty(x.shape, x.dtype)
        packed = structs.pack(structs.GAUSSIAN, recipe, y=target, x=x, count=x.size, sigma=float(sigma))
        launch = geometry.grid(-(-x.size // NORMALS) * LANES)
        _launch(source.gaussian(x.dtype.name), packed, (target, x, out), recipe, *launch, draws=sigma != 0)
        if target is not out:
            out[...] = target
    return out


def scaled_copy(x: Array, out: Array, scale: float) -> Array:
    """out = x * scale; bit for bit x where scale is 1."""
    if scale == 0.0:
        return apply(x, out, Recipe(0, 0, 0, 0.0))
    return apply(x, out, Recipe(0, 0, KEEP_ALL, scale))


@contextmanager
def scratch_like(array: Array) -> Iterator[Array]:
    """Memory of this array's shape and dtype, for a while: of CuPy's pool, where the next call finds it again."""
    with capture.on(array.device):
        scratch = cupy().empty(array.shape, array.dtype)
    yield scratch


def masked_weight(weight: Array, recipe: Recipe, out: Array) -> Array:
    """out = the weights of one mask per batch."""
    return apply(weight, out, recipe)


def packed_bits(recipe: Recipe, count: int, like: Array) -> Array:
    """The keep bits of decisions 0 to count - 1, eight to a byte, lowest bit first; unused bits are 0."""
    words = _decisions("fd_bits_kernel", (count + 31) // 32, np.dtype(np.uint32), recipe, count, like)
    return words.view(np.uint8)[: (count + 7) // 8]


def booleans(recipe: Recipe, count: int, like: Array) -> Array:
    """Whether decisions 0 to count - 1 are "keep"."""
    return _decisions("fd_booleans_kernel", count, np.dtype(np.bool_), recipe, count, like)


def _decisions(kernel: str, size: int, dtype: np.dtype[Any], recipe: Recipe, count: int, like: Array) -> Array:
    """An array of this size, on the device of `like`, that the kernel writes `count` decisions to."""
    with _drawing(recipe, like.device):
        to = cupy().empty(size, dtype)
        if count:
            packed = structs.pack(structs.DECISIONS, recipe, to=to, count=count)
            _launch(kernel, packed, (to,), recipe, *geometry.grid(geometry.in_warps(count, geometry.WARP_ELEMENTS)))
        return to


def connect_forward(x: Array, weight: Array, bias: Array | None, recipe: Recipe) -> Array:
    """y[b, o] = bias[o] + scale * sum_i keep[b, o, i] * weight[o, i] * x[b, i], the mask never built."""
    (batch, inputs), outputs = x.shape, weight.shape[0]
    with _drawing(recipe, x.device):
        y = cupy().empty((batch, outputs), x.dtype)
        if y.size:
            x, weight = _contiguous(x), _contiguous(weight)
            bias = None if bias is None else _contiguous(bias)
            fields = {"to": y, "from": x, "factor": weight, "bias": bias}
            packed = _connect(recipe, batch, outputs, inputs, fields)
            blocks = -(-batch // EXAMPLES) * -(-outputs // OUTPUTS)
            expression = source.connect_forward(x.dtype.name, begins=inputs % 32 == 0)
            _launch(expression, packed, (y, x, weight, bias), recipe, blocks, CONNECT_THREADS)
        return y


def connect_dx(dy: Array, weight: Array, recipe: Recipe) -> Array:
    """dx[b, i] = scale * sum_o keep[b, o, i] * weight[o, i] * dy[b, o]"""
    return _connect_gradient(dy, weight, recipe, dweight=False)


def connect_dweight(dy: Array, x: Array, recipe: Recipe) -> Array:
    """dweight[o, i] = scale * sum_b keep[b, o, i] * dy[b, o] * x[b, i]"""
    return _connect_gradient(dy, x, recipe, dweight=True)


def _connect_gradient(dy: Array, other: Array, recipe: Recipe, dweight: bool) -> Array:
    """Sums over outputs of weights (dx), or over examples of x (dweight)."""
    (batch, outputs), inputs = dy.shape, other.shape[1]
    targets = outputs if dweight else batch
    with _drawing(recipe, dy.device):
        result = cupy().empty((targets, inputs), dy.dtype)
        if result.size:
            dy, other = _contiguous(dy), _contiguous(other)
            fields = {"to": result, "from": other, "factor": dy, "bias": None}
            packed = _connect(recipe, batch, outputs, inputs, fields)
            each = source.CONNECT_TARGETS[dweight] * (CONNECT_THREADS // geometry.WARP)
            blocks = -(-inputs // GROUPS_WIDTH) * GROUPS * -(-targets // each)
            expression = source.connect_gradient(dy.dtype.name, dweight, source.CONNECT_TARGETS[dweight])
            _launch(expression, packed, (result, dy, other), recipe, blocks, CONNECT_THREADS)
        return result


def _connect(recipe: Recipe, batch: int, outputs: int, inputs: int, fields: dict[str, Any]) -> NDArray[Any]:
    return structs.pack(structs.CONNECT, recipe, **fields, batch=batch, outputs=outputs, inputs=inputs)
