"""Which kernel walks arrays of these shapes and strides, and with how many threads. Plain numbers in and out.

Axes are merged as src_kernels/cpu/elementwise.pxi does it for the CPU, so that keep bits are numbered alike.
The first keep bit of a mask's slice goes to the kernel as it is; it does not change the plan.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastdrop.bit_layout import whole

THREADS = 128
"""Of a thread block: FD_MOST_THREADS in src_kernels/cuda/common.cuh."""
FEW_WARPS = 2048
"""Below this number, every warp is a thread block, so that they spread over all multiprocessors."""
WARP = 32
WARP_ELEMENTS = 4096
"""Two tiles, which a warp draws at once."""
ACCESS = 16
"""Bytes of the widest access."""
AT_ONCE, MOST_STEPS = 4, 32
"""Accesses of a thread that walks: in flight at the same time, and altogether."""
ENOUGH_THREADS = 1 << 17
"""Walks become longer only beyond this number."""


class Operand(NamedTuple):
    """How an array lies in memory."""

    place: int
    """Its first byte's address, modulo ACCESS: so one plan serves all arrays that lie alike."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Axis(NamedTuple):
    """An axis, or several that one stride can walk; strides of keep bits in bits, of operands in bytes."""

    size: int
    bit_stride: int
    strides: tuple[int, ...]


class Plan(NamedTuple):
    """A kernel, the elements that it takes in one access (0: no choice), and the fields of its struct."""

    kernel: str
    width: int
    threads: int
    fields: dict[str, Any]


def merge(shape: tuple[int, ...], bit_strides: Sequence[int], operands: Sequence[Operand]) -> list[Axis]:
    """The axes of arrays that broadcast to `shape`, as few as possible; none for a single element."""
    axes: list[Axis] = []  # from the last to the first
    for axis in range(len(shape) - 1, -1, -1):
        size, stride = shape[axis], bit_strides[axis]
        if size == 1:
            continue
        strides = tuple(_stride(operand, axis - len(shape)) for operand in operands)
        if axes:
            inner = axes[-1]
            whole = tuple(s * inner.size for s in inner.strides)
            if stride == inner.bit_stride * inner.size and strides == whole:
                axes[-1] = inner._replace(size=inner.size * size)
                continue
        axes.append(Axis(size, stride, strides))
    return axes[::-1]


def _stride(operand: Operand, axis: int) -> int:
    """Its stride along an axis counted from the end; 0 where it is broadcast."""
    return operand.strides[axis] if len(operand.shape) >= -axis and operand.shape[axis] > 1 else 0


@functools.lru_cache(maxsize=1024)
def plan(
    operands: tuple[Operand, ...],
    shared_axes: tuple[int, ...],
    itemsize: int,
    has_bias: bool,
    bit_strides: tuple[int, ...] | None = None,
) -> Plan:
    """How to walk these arrays; the others broadcast to the first, which is written. `has_bias`: the last is a bias.

    `bit_strides`: those of a mask's slice.
    """
    out = operands[0]
    if bit_strides is not None:
        return _sliced(merge(out.shape, bit_strides, operands), operands, itemsize)
    shared = any(out.shape[axis] > 1 for axis in shared_axes)
    if has_bias and not shared and all(is_contiguous(operand, itemsize) for operand in operands):
        # The bias begins again with every row, whose end no access may cross.
        return _flat(operands, itemsize, math.prod(out.shape), out.shape[-1])
    return _plan(merge(out.shape, whole(out.shape, shared_axes).strides, operands), operands, itemsize)


def is_contiguous(operand: Operand, itemsize: int) -> bool:
    """Whether its elements lie side by side in C order."""
    wanted = itemsize
    for size, stride in zip(operand.shape[::-1], operand.strides[::-1], strict=True):
        if size > 1 and stride != wanted:
            return False
        wanted *= size
    return True


def _flat(operands: Sequence[Operand], itemsize: int, count: int, columns: int) -> Plan:
    """Elements side by side; in rows of this many columns if there is a bias, else 0."""
    width = _width(operands, itemsize)
    if columns % width:
        width = 1
    return Plan("fd_flat_kernel", width, in_warps(count, WARP_ELEMENTS), {"count": count, "columns": columns})


def _plan(axes: list[Axis], operands: Sequence[Operand], itemsize: int) -> Plan:
    if not axes or (len(axes) == 1 and axes[0].bit_stride == 1 and set(axes[0].strides) == {itemsize}):
        return _flat(operands, itemsize, axes[0].size if axes else 1, 0)
    fields = _fields(axes, operands)
    if any(axis.bit_stride == 0 for axis in axes):
        return _shared(axes, operands, itemsize, fields)
    near = _near(axes)
    if near == len(axes) - 1:
        threads = in_warps(math.prod(fields["shape"]), WARP_ELEMENTS)
        return Plan("fd_strided_kernel", 0, threads, {**fields, "threads": threads})
    return _transposed(fields, near)


def _sliced(axes: list[Axis], operands: Sequence[Operand], itemsize: int) -> Plan:
    """Keep bits that do not begin with the first one, or do not follow each other: never flat, never strided."""
    axes = axes or [Axis(1, 0, (itemsize,) * len(operands))]
    fields, step = _fields(axes, operands), axes[-1].bit_stride
    if step == 0 or (step == 1 and any(axis.bit_stride == 0 for axis in axes)):
        return _shared(axes, operands, itemsize, fields)
    near = _near(axes)
    if step == 1 and near < len(axes) - 1:
        return _transposed(fields, near)
    *rows, columns = fields["shape"]
    pieces = math.prod(rows) * -(-columns // WARP)
    threads = in_warps(pieces, WARP)
    return Plan("fd_stepped_kernel", 0, threads, {**fields, "pieces": pieces, "threads": threads})


def _fields(axes: Sequence[Axis], operands: Sequence[Operand]) -> dict[str, Any]:
    return {
        "ndim": len(axes),
        "shape": [axis.size for axis in axes],
        "bit_stride": [axis.bit_stride for axis in axes],
        "stride": [[axis.strides[k] for axis in axes] for k in range(len(operands))],
    }


def _near(axes: Sequence[Axis]) -> int:
    """The axis that memory runs along: the written array's decides where two disagree."""
    return min(range(len(axes)), key=lambda k: (*(abs(s) for s in axes[k].strides[:2]), -k))


def _transposed(fields: dict[str, Any], near: int) -> Plan:
    *rows, columns = fields["shape"]
    threads = math.prod(rows) * -(-columns // 32)
    return Plan("fd_transposed_kernel", 0, threads, {**fields, "along": near, "threads": threads})


def _shared(axes: list[Axis], operands: Sequence[Operand], itemsize: int, fields: dict[str, Any]) -> Plan:
    return (_rows if axes[-1].bit_stride == 0 else _columns)(axes, operands, itemsize, fields)


def _rows(axes: list[Axis], operands: Sequence[Operand], itemsize: int, fields: dict[str, Any]) -> Plan:
    """Lanes side by side in a row, as many as it has accesses; rows cut into pieces where they are long."""
    rows, columns = math.prod(axis.size for axis in axes[:-1]), axes[-1].size
    width = _width(operands, itemsize, axes)
    accesses = -(-columns // width)
    lanes = 1 << (min(accesses, WARP) - 1).bit_length()
    each = -(-accesses // lanes)
    steps = _steps(rows * lanes * each)
    pieces = -(-each // steps)
    threads = rows * pieces * lanes
    return Plan("fd_rows_kernel", width, threads, {**fields, **_walk(lanes, steps, pieces, threads)})


def _columns(axes: list[Axis], operands: Sequence[Operand], itemsize: int, fields: dict[str, Any]) -> Plan:
    """A thread walks along the longest axis that shares keep bits; where rows are short, lanes share positions."""
    along = max((k for k in range(len(axes)) if axes[k].bit_stride == 0), key=lambda k: axes[k].size)
    length, columns = axes[along].size, axes[-1].size
    width = _width(operands, itemsize, axes)
    if columns % width:
        width = 1
    across = columns // width
    outer = math.prod(axis.size for axis in axes[:-1]) // length
    lanes = min(length, max(1, WARP // across))
    steps = _steps(outer * across * length)
    pieces = -(-length // (lanes * steps))
    threads = outer * pieces * lanes * across
    return Plan("fd_columns_kernel", width, threads, {**fields, "along": along, **_walk(lanes, steps, pieces, threads)})


def _walk(lanes: int, steps: int, pieces: int, threads: int) -> dict[str, int]:
    return {"lanes": lanes, "steps": steps, "pieces": pieces, "threads": threads}


def _steps(accesses: int) -> int:
    """Of a thread: few while there are not enough threads to fill the device."""
    return max(AT_ONCE, min(MOST_STEPS, accesses // ENOUGH_THREADS))


def _width(operands: Sequence[Operand], itemsize: int, axes: Sequence[Axis] = ()) -> int:
    """Elements of one access: 16 bytes where every run of elements begins at a multiple of them, otherwise one."""
    places = [operand.place for operand in operands]
    places += [stride for axis in axes[:-1] for stride in axis.strides]
    side_by_side = not axes or set(axes[-1].strides) == {itemsize}
    return ACCESS // itemsize if side_by_side and all(place % ACCESS == 0 for place in places) else 1


def in_warps(count: int, each: int) -> int:
    """The threads of the warps that have work where each warp takes `each` elements."""
    return -(-count // each) * WARP


def grid(threads: int) -> tuple[int, int]:
    """Thread blocks, and threads of each, for this many threads altogether."""
    block = THREADS if threads >= FEW_WARPS * WARP else WARP
    return -(-threads // block), block
