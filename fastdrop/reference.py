"""The mask rule in plain NumPy: slow, short, and the oracle of every test.

It draws all 40 bits of U(i) for every element and compares; the kernels draw only what the comparison needs.
`docs/mask-rule.md` states the same rule in words.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastdrop.rule import LANES, PLANES, PURPOSE_TAIL, TAIL_BITS, TILE

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox4x32(counter: NDArray[np.uint64], key: tuple[int, int], rounds: int = 10) -> NDArray[np.uint64]:
    """Philox4x32 of the counters (..., 4), each word in the low half of a uint64 (Salmon et al. 2011, section 3.3)."""
    x0, x1, x2, x3 = (np.asarray(counter, np.uint64)[..., j] for j in range(4))
    key0, key1 = key
    for _ in range(rounds):
        a = np.uint64(0xD2511F53) * x0
        b = np.uint64(0xCD9E8D57) * x2
        x0, x1, x2, x3 = (b >> _HALF) ^ x1 ^ np.uint64(key0), b & _LOW, (a >> _HALF) ^ x3 ^ np.uint64(key1), a & _LOW
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([x0, x1, x2, x3], axis=-1)


def draw(key: int, call: int, purpose: int, index: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The blocks (..., 4) numbered `index` of one purpose (a plane's number, or the tail)."""
    counter = np.empty((*index.shape, 4), np.uint64)
    counter[..., 0] = index & _LOW
    counter[..., 1] = (index >> _HALF) | np.uint64(purpose << 24)
    counter[..., 2] = call & 0xFFFFFFFF
    counter[..., 3] = call >> 32
    return philox4x32(counter, (key & 0xFFFFFFFF, key >> 32))


def uniform40(key: int, call: int, element: Any) -> NDArray[np.uint64]:
    """U(i) for the elements given: 40 bits, eight from the planes and 32 from the tail."""
    element = np.asarray(element, np.uint64)
    tile, place = element // np.uint64(TILE), element % np.uint64(TILE)
    word, lane = place // np.uint64(32 * LANES), place // np.uint64(32) % np.uint64(LANES)
    bit = place % np.uint64(32)
    value = np.zeros(element.shape, np.uint64)
    for plane in range(PLANES):
        block = draw(key, call, plane, tile * np.uint64(LANES) + lane)
        words = np.take_along_axis(block, word[..., None].astype(np.intp), axis=-1)[..., 0]
        value = value << np.uint64(1) | (words >> bit & np.uint64(1))
    return value << np.uint64(TAIL_BITS) | draw(key, call, PURPOSE_TAIL, element)[..., 0]


def keep(key: int, call: int, threshold: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which of the decisions of an array of this shape, numbered in C order, are "keep"."""
    return (uniform40(key, call, np.arange(math.prod(shape))) < np.uint64(threshold)).reshape(shape)


def apply(x: NDArray[Any], kept: NDArray[np.bool_], scale: float) -> NDArray[Any]:
    """Kept elements times scale (bit for bit where scale is 1), dropped ones +0."""
    scaled = x if scale == 1 else x * x.dtype.type(scale)
    return np.where(kept, scaled, x.dtype.type(0))


def dropconnect(
    x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any] | None, kept: NDArray[np.bool_], scale: float
) -> NDArray[Any]:
    """x (batch, in), weight (out, in), kept (out, in) or (batch, out, in) -> (batch, out)."""
    y = np.where(kept, weight * x[:, None, :], 0).sum(axis=-1) * scale
    return y if bias is None else y + bias


def dropconnect_backward(
    dy: NDArray[Any], x: NDArray[Any], weight: NDArray[Any], kept: NDArray[np.bool_], scale: float
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The gradients with respect to x, weight and bias."""
    dx = np.where(kept, weight * dy[:, :, None], 0).sum(axis=1) * scale
    dweight = np.where(kept, dy[:, :, None] * x[:, None, :], 0).sum(axis=0) * scale
    return dx, dweight, dy.sum(axis=0)
