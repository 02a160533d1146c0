"""The arguments of the kernels, laid out as in src_kernels/cuda: every kernel takes one struct, by value."""

import functools
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastdrop.rule import KEEP_ALL

OPERANDS = 3
MOST_AXES = 32

ROUNDS = 10
DRAWS = [
    ("keys", "u4", 2 * ROUNDS),
    ("call", "u8"),
    ("threshold", "u8"),
    ("replayed", "u8"),
    ("scale", "f8"),
    ("shift", "f8"),
]

_DRAWS_ALONE = np.dtype(DRAWS)

FLAT = np.dtype([*DRAWS, ("y", "u8"), ("x", "u8"), ("second", "u8"), ("count", "i8"), ("columns", "i8")])

KEEP_BITS = np.dtype([*DRAWS, ("to", "u8"), ("count", "i8")])

WALK = np.dtype(
    [
        *DRAWS,
        ("data", "u8", OPERANDS),
        ("ndim", "i8"),
        ("shape", "i8", MOST_AXES),
        ("first_bit", "u8"),
        ("bit_stride", "i8", MOST_AXES),
        ("stride", "i8", (OPERANDS, MOST_AXES)),
        ("along", "i8"),
        ("lanes", "i8"),
        ("steps", "i8"),
        ("pieces", "i8"),
        ("threads", "i8"),
    ]
)

BIAS_BACKWARD = np.dtype(
    [
        *DRAWS,
        ("dx", "u8"),
        ("dy", "u8"),
        ("x", "u8"),
        ("bias", "u8"),
        ("sums", "u8"),
        ("rows", "i8"),
        ("columns", "i8"),
        ("group", "i8"),
    ]
)

SOFTMAX = np.dtype([*DRAWS, ("y", "u8"), ("x", "u8"), ("dy", "u8"), ("rows", "i8"), ("columns", "i8")])

GAUSSIAN = np.dtype([*DRAWS, ("y", "u8"), ("x", "u8"), ("count", "i8"), ("sigma", "f8")])

DROPCONNECT = np.dtype(
    [
        *DRAWS,
        ("to", "u8"),
        ("from", "u8"),
        ("factor", "u8"),
        ("bias", "u8"),
        ("batch", "i8"),
        ("outputs", "i8"),
        ("inputs", "i8"),
    ]
)


class Bits(NamedTuple):
    """What the keep bits or noise of a launch depend on, and the numbers of its operation."""

    draw: Any
    threshold: int
    scale: float = 1.0
    shift: float = 0.0

    @property
    def draws(self) -> bool:
        """Whether random numbers are drawn: whether the threshold keeps some and not all."""
        return self.threshold not in (0, KEEP_ALL)


def pack(kind: np.dtype[Any], bits: Bits, **fields: Any) -> NDArray[Any]:
    """One such struct: what decides the mask, and its other fields in their order; arrays as their addresses, None as a
    null pointer.
    """
    packer, names = _packer(kind)
    if tuple(fields) != names:
        raise TypeError(f"the struct has the fields {names}; got {tuple(fields)}")
    draw, threshold, scale, shift = bits
    counter = address(getattr(draw, "counter", None))
    values = [value if isinstance(value, (int, float)) else address(value) for value in fields.values()]
    packed = packer.pack(round_keys(draw.key), draw.call, threshold, counter, scale, shift, *values)
    return np.frombuffer(bytearray(packed), _plain(kind.itemsize))


@functools.cache
def _plain(size: int) -> np.dtype[Any]:
    """Bytes and no fields: CuPy asks an argument what it is, and to describe fields takes NumPy microseconds."""
    return np.dtype((np.void, size))


@functools.cache
def _packer(kind: np.dtype[Any]) -> tuple[struct.Struct, tuple[str, ...]]:
    """What writes such a struct, far faster than NumPy field by field; and the names of the fields behind DRAWS."""
    names = (kind.names or ())[len(DRAWS) :]
    letters = "".join({"u": "Q", "i": "q", "f": "d"}[kind[name].kind] for name in names)
    return struct.Struct(f"={8 * ROUNDS}sQQQdd{letters}"), names


@functools.lru_cache(maxsize=256)
def round_keys(key: int) -> bytes:
    """The two key words of each of Philox's rounds, which grow from round to round."""
    words = []
    for number in range(ROUNDS):
        words.append(((key & 0xFFFFFFFF) + number * 0x9E3779B9) & 0xFFFFFFFF)
        words.append(((key >> 32) + number * 0xBB67AE85) & 0xFFFFFFFF)
    return struct.pack(f"={2 * ROUNDS}I", *words)


def pack_walk(bits: Bits, arrays: Sequence[Any], fields: dict[str, Any]) -> NDArray[Any]:
    """The struct of a walk; lists fill the beginnings of their arrays."""
    axes = fields["ndim"]
    if axes > MOST_AXES:
        raise ValueError(f"these arrays have {axes} axes that no stride joins; at most {MOST_AXES} are possible")
    packed = np.zeros(1, WALK)
    packed[list(_DRAWS_ALONE.names or ())] = pack(_DRAWS_ALONE, bits).view(_DRAWS_ALONE)
    for name, value in fields.items():
        if isinstance(value, int):
            packed[name] = value
    packed["data"][0, : len(arrays)] = [address(array) for array in arrays]
    packed["shape"][0, :axes] = fields["shape"]
    packed["bit_stride"][0, :axes] = fields["bit_stride"]
    packed["stride"][0, : len(arrays), :axes] = fields["stride"]
    return packed.view(_plain(WALK.itemsize))


def address(array: Any) -> int:
    """Where an array's first element lies on its device; 0 for None."""
    return 0 if array is None else int(array.data.ptr)
