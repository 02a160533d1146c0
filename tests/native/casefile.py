"""The file of cases: what replay.c reads.

`cases.bin` holds the operands' bytes, `cases.txt` a line of words for each case, which refers to them:

    name kernel dtype operation threads stores nan sweep large key call threshold scale shift first_tile operands ndim
    then for each operand: type, offset of its bytes, their number, offset of the first element in them, offset of the
    expected bytes (-1: read-only); then the shape, the keep bits' strides, and each operand's strides

first_tile is where the bits begin, of elementwise kernels the first keep bit, of Gaussian noise the first group.
threads is the largest number to run with (1 or 3), stores 1 or 2 (with non-temporal stores as well; 3 for the kinds of
a copy), sweep 0 for one alignment, 1 for each of the written operand's, 2 for all pairs. All numbers are little-endian.
"""

import ctypes
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastdrop._kernels import cpu

try:
    from numpy.lib.array_utils import byte_bounds
except ImportError:  # NumPy 1
    from numpy import byte_bounds

FILLED, ABSENT, SAME_AS_FIRST = -1, -2, -3
ANY_NAN, EXACT = range(2)
OPERATIONS = list(cpu.operations())
UNSET = 0xA5


class MaskNumbers(NamedTuple):
    key: int
    call: int
    threshold: int


NO_MASK = MaskNumbers(0, 0, 0)


class Operand(NamedTuple):
    """Bytes in the file (or FILLED, ABSENT, SAME_AS_FIRST) and, for one that is written, the bytes expected."""

    type: str
    data: int
    bytes: int
    first: int = 0
    expected: int = -1
    strides: tuple[int, ...] = ()


class CaseFile:
    """Collects cases; `save` writes both files."""

    def __init__(self):
        self.blobs, self.size, self.lines, self.largest = [], 0, [], 0

    def put(self, data):
        """The offset of these bytes in the file."""
        data = data.tobytes() if isinstance(data, np.ndarray) else bytes(data)
        offset = self.size
        self.blobs.append(data)
        self.size += len(data)
        return offset

    def read(self, array):
        """A read-only operand: the memory that the array spans."""
        low, high = byte_bounds(array)
        offset = self.put(ctypes.string_at(low, high - low))
        return Operand(array.dtype.name, offset, high - low, array.ctypes.data - low, -1, array.strides)

    def written(self, array, data=FILLED):
        """A written operand with the expected result; bytes between its elements must not change."""
        operand = self.read(array)
        return operand._replace(data=data, expected=operand.data)

    def add(
        self,
        name,
        kernel,
        operands,
        shape,
        *,
        mask=NO_MASK,
        scale=0.0,
        shift=0.0,
        dtype=None,
        bit_strides=None,
        operation=0,
        threads=1,
        stores=1,
        nan=ANY_NAN,
        sweep=0,
        large=None,
        first_tile=0,
    ):
        dtype = dtype or operands[0].type
        biggest = max(operand.bytes for operand in operands)
        large = biggest > 100_000 if large is None else large
        self.largest = max(self.largest, biggest)
        assert " " not in name, name
        words = [
            name,
            kernel,
            dtype,
            operation,
            threads,
            stores,
            nan,
            sweep,
            int(large),
            *mask,
            float(scale).hex(),
            float(shift).hex(),
        ]
        words += [first_tile, len(operands), len(shape)]
        for operand in operands:
            words += operand[:5]
        rows = [shape, bit_strides or [0] * len(shape)]
        rows += [operand.strides or [0] * len(shape) for operand in operands]
        for row in rows:
            assert len(row) == len(shape), (name, row, shape)
            words += row
        self.lines.append(" ".join(map(str, words)))

    def save(self, folder):
        Path(folder, "cases.bin").write_bytes(b"".join(self.blobs))
        Path(folder, "cases.txt").write_text("\n".join([f"{self.largest} {self.size}", *self.lines, ""]))


def walk(shape, strides, bit_strides):
    """Merge neighbouring axes that one stride covers, as src_kernels/cpu/elementwise.pxi does."""
    axes = []  # from the last to the first: size, keep bit stride, operands' strides
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            continue
        row = [bit_strides[axis], *(stride[axis] for stride in strides)]
        if axes and all(
            step == size * inner for step, inner in zip(row, axes[-1][1], strict=True) for size in [axes[-1][0]]
        ):
            axes[-1] = (axes[-1][0] * shape[axis], axes[-1][1])
        else:
            axes.append((shape[axis], row))
    axes.reverse()
    return (
        [size for size, _ in axes],
        [row[0] for _, row in axes],
        [[row[k + 1] for _, row in axes] for k in range(len(strides))],
    )


def bit_strides_of(shape, shared=()):
    """Keep bits are numbered in C order over the axes that are not shared."""
    strides, step = [0] * len(shape), 1
    for axis in reversed(range(len(shape))):
        if axis not in shared:
            strides[axis] = step
            step *= shape[axis]
    return strides


def bit_numbers_of(shape, strides):
    """The number of every element's keep bit."""
    number = np.zeros(shape, np.uint64)
    for axis, stride in enumerate(strides):
        steps = [int(stride) * k % 2**64 for k in range(shape[axis])]
        number += np.array(steps, np.uint64).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    assert number.size == math.prod(shape)
    return number
