"""Inputs of the tests of the CUDA backend, and what the reference expects of them."""

import numpy as np
from devices import values
from masks import kept_of

from fastdrop import reference
from fastdrop._kernels import cpu as kernels

# Around every access, word, register row, tile and warp's share.
SIZES = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1025]
SIZES += [2015, 2047, 2048, 2049, 4095, 4096, 4097, 4111, 8191, 8192, 8193, 12_345, 33_000]


def expected(x, mask):
    return reference.apply(x, kept_of(mask), mask.scale)


LAYOUTS = {
    "offset": ((5001,), lambda a: a[1:]),
    "offset by 16 bytes": ((5008,), lambda a: a[8:]),
    "every third": ((9001,), lambda a: a[::3]),
    "backwards": ((5000,), lambda a: a[::-1]),
    "transposed": ((67, 45), lambda a: a.T),
    "backwards both": ((70, 71), lambda a: a[::-1, ::-2]),
    "transposed backwards": ((70, 71), lambda a: a.T[::-1]),
    "padded rows": ((40, 200), lambda a: a[:, 3:150]),
    "padded short rows": ((900, 12), lambda a: a[:, 2:9]),
    "a column of three": ((5000, 3), lambda a: a[:, 1]),
    "permuted": ((5, 6, 7, 8, 9), lambda a: a.transpose(3, 0, 4, 2, 1)),
    "axes rotated": ((3, 41, 100), lambda a: a.transpose(2, 0, 1)),
    "inner axes exchanged": ((7, 33, 65), lambda a: a.transpose(0, 2, 1)),
    "length-1 axes": ((1, 300, 1, 11, 1), lambda a: a),
    "0-d": ((), lambda a: a),
    "empty": ((3, 0, 4), lambda a: a),
    "one row for all": ((1, 33), lambda a: a[np.newaxis, 0].repeat(1, axis=0)),
}


SHARED = [((6, 5, 40), (2,)), ((6, 40, 5), (1,)), ((3, 5, 7, 9), (2, 3)), ((3, 7, 9, 5), (1, 2)), ((4, 30, 33), (1,))]
SHARED += [((4, 9, 1030), (1,)), ((3, 3, 2100), (1,)), ((5, 4200), (1,)), ((3, 5, 2, 70), (0, 3)), ((50,), (0,))]
SHARED += [((3, 5, 7, 9), (0, 1, 2, 3)), ((6, 300, 3), (1,)), ((40, 64), (0,)), ((3, 4, 5, 6, 7), (1, 3))]
SHARED += [((2, 4, 9000), (2,)), ((2, 3000, 8), (1,)), ((70, 2), (1,)), ((1, 9, 1, 64), (0, 2, 1)), ((2, 64, 49), (2,))]


FUSED = [(1, 1), (3, 5), (2, 31), (4, 32), (7, 33), (5, 64), (130, 65), (40, 1024), (3, 4100), (700, 300), (2, 70_001)]


DRAW = kernels.Draw(2**63 + 5, 2**40 + 1)


NORMAL_KEY = (2**63 + 5, 2**40 + 1)


def layer(shape, dtype, seed=0):
    batch, outputs, inputs = shape
    sizes = [(batch, inputs), (outputs, inputs), (outputs,), (batch, outputs)]
    return [values(size, dtype, seed + k) for k, size in enumerate(sizes)]


def far_end(count, start, mask):
    """Keep bits of `count` elements from element `start` on."""
    number = np.arange(start, start + count, dtype=np.uint64)
    key, call, threshold = mask.draw.key, mask.draw.call, mask.threshold
    return reference.uniform40(key, call, number) < np.uint64(threshold)
