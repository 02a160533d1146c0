"""The expected result of each function, by the documentation and `fastdrop.reference`, without the kernels."""

import functools
import math
from typing import Any

import numpy as np

from fastdrop import reference

ALL = 2**40
ALPHA = -1.0507009873554805 * 1.6732632423543772
"""Where SELU saturates."""


def threshold(p: float) -> int:
    return round((1.0 - p) * ALL)


def scale(p: float) -> float:
    """1 / (1 - p), where anything is dropped and anything kept."""
    drawn = threshold(p)
    return float(drawn > 0) if drawn in (0, ALL) else 1.0 / (1.0 - p)


def evaluation_scale(p: float) -> float:
    """The factor in evaluation, where training does not scale."""
    drawn = threshold(p)
    return float(drawn > 0) if drawn in (0, ALL) else 1.0 - p


@functools.lru_cache(maxsize=8)
def kept(key: int, call: int, p: float, shape: tuple[int, ...], shared: tuple[int, ...] = ()) -> np.ndarray:
    """Which elements are kept."""
    drawn = tuple(1 if axis in shared else size for axis, size in enumerate(shape))
    return np.broadcast_to(reference.keep(key, call, threshold(p), drawn), shape)


def evaluated(x: np.ndarray, factor: float) -> np.ndarray:
    return reference.apply(x, np.full(x.shape, factor != 0.0), factor)


def alpha(x: np.ndarray, chosen: np.ndarray, p: float) -> np.ndarray:
    """a (keep ? x : ALPHA) + b."""
    if threshold(p) == ALL:
        return x
    a = alpha_scale(p)
    return reference.alpha(x, chosen, a, -a * p * ALPHA)


def alpha_scale(p: float) -> float:
    if threshold(p) in (0, ALL):
        return float(threshold(p) > 0)
    return ((1.0 - p) * (1.0 + p * ALPHA**2)) ** -0.5


def zoneout_mean(new: np.ndarray, previous: np.ndarray, p: float) -> np.ndarray:
    if evaluation_scale(p) in (0.0, 1.0):
        return new if evaluation_scale(p) else previous
    wide = reference.compute_dtype(new.dtype)
    mean = wide.type(1.0 - p) * new.astype(wide) + wide.type(p) * previous.astype(wide)
    return mean.astype(new.dtype)


def zoneout_mean_backward(dy: np.ndarray, p: float) -> tuple[np.ndarray, np.ndarray]:
    if evaluation_scale(p) in (0.0, 1.0):
        return evaluated(dy, evaluation_scale(p)), evaluated(dy, 1.0 - evaluation_scale(p))
    return evaluated(dy, 1.0 - p), evaluated(dy, p)


# --- regions


def blocks(key: int, call: int, rate: float, shape: tuple[int, ...], axes: tuple[int, ...], size: int) -> np.ndarray:
    """The elements that DropBlock keeps: seeds lie where a whole block fits, and each drops the block begun there."""
    places, sizes = list(shape), [max(1, min(size, shape[axis])) for axis in axes]
    for axis, block in zip(axes, sizes, strict=True):
        places[axis] = max(0, shape[axis] - block + 1)
    dropped = np.zeros(shape, np.bool_)
    for seed in np.argwhere(~kept(key, call, rate, tuple(places))):
        where: list[Any] = list(seed)
        for axis, block in zip(axes, sizes, strict=True):
            where[axis] = slice(seed[axis], seed[axis] + block)
        dropped[tuple(where)] = True
    return ~dropped


def mean_kept_by_blocks(rate: float, shape: tuple[int, ...], axes: tuple[int, ...], size: int) -> float:
    """The fraction that is kept on average, where a block begins at each place with probability `rate`.

    That is the mean over elements of (1 - rate)^(how many blocks cover it).
    """
    covers = np.ones((), int)
    for axis in axes:
        length, block = shape[axis], max(1, min(size, shape[axis]))
        begins = np.arange(length - block + 1)
        along = [int(((begins <= place) & (place < begins + block)).sum()) for place in range(length)]
        covers = np.multiply.outer(covers, along)
    return float(((1.0 - rate) ** covers).mean())


def regions(x: np.ndarray, chosen: np.ndarray, scaled: bool) -> np.ndarray:
    """Kept elements times all / kept, where blocks are dropped; cutout does not scale."""
    wide = reference.compute_dtype(x.dtype)
    factor = x.size / max(int(np.count_nonzero(chosen)), 1) if scaled else 1.0
    values = (x.astype(wide) * wide.type(factor)).astype(x.dtype) if scaled else x
    return np.where(chosen, values, x.dtype.type(0))


def squares(key: int, call: int, shape: tuple[int, ...], axes: tuple[int, ...], size: int) -> np.ndarray:
    """Which elements cutout keeps."""
    bits = kept(key, call, 0.5, (shape[0], len(axes), 32))
    words = (bits.astype(object) * [2**bit for bit in range(32)]).sum(axis=-1)
    chosen = np.ones(shape, np.bool_)
    for example in range(shape[0]):
        where: list[Any] = [slice(None)] * len(shape)
        where[0] = example
        for number, axis in enumerate(axes):
            begin = words[example, number] * shape[axis] // 2**32 - size // 2
            where[axis] = slice(max(0, begin), max(0, begin + size))
        chosen[tuple(where)] = False
    return chosen


# --- layers


def widened(*arrays: np.ndarray | None) -> list[Any]:
    return [None if array is None else array.astype(reference.compute_dtype(array.dtype)) for array in arrays]


def with_bias_as_input(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, None]:
    bias = np.zeros(len(weight), x.dtype) if bias is None else bias
    ones = np.ones((len(x), 1), x.dtype)
    return np.concatenate([x, ones], axis=1), np.concatenate([weight, bias[:, None]], axis=1), None


def bias_backward(
    dy: np.ndarray, x: np.ndarray, bias: np.ndarray, activation: str, chosen: np.ndarray, factor: float
) -> tuple[np.ndarray, np.ndarray]:
    if x.size == 0:
        return np.empty_like(x), np.zeros_like(bias)
    return reference.bias_activation_dropout_backward(dy, x, bias, activation, chosen, factor)


def connect(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, chosen: np.ndarray, factor: float
) -> tuple[np.ndarray, np.ndarray]:
    """y in float64, and a bound on the rounding errors of a matrix product with any order of summation."""
    wide = [np.zeros(()) if array is None else array.astype(np.float64) for array in (x, weight, bias)]
    masked = np.where(chosen, wide[1], 0.0) * factor
    y, size = wide[0] @ masked.T + wide[2], np.abs(wide[0]) @ np.abs(masked).T + np.abs(wide[2])
    return y, size * (x.shape[1] + 4) * unit(x.dtype)


def connect_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, chosen: np.ndarray, factor: float
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Gradients of `connect` with respect to x, weight and bias, each with its bound."""
    dy, x, weight, eps = dy.astype(np.float64), x.astype(np.float64), weight.astype(np.float64), unit(dy.dtype)
    masked = np.where(chosen, weight, 0.0) * factor
    chosen = np.where(chosen, factor, 0.0)
    terms = math.prod(weight.shape) + len(x) + 4
    return [
        (dy @ masked, np.abs(dy) @ np.abs(masked) * terms * eps),
        (dy.T @ x * chosen, np.abs(dy).T @ np.abs(x) * chosen * terms * eps),
        (dy.sum(axis=0), np.abs(dy).sum(axis=0) * terms * eps),
    ]


def unit(dtype: np.dtype) -> float:
    """The distance between 1 and the next number of a dtype."""
    return {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}[dtype.name]
