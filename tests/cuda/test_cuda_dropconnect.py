"""DropConnect on CUDA against the reference."""

import math

import emulator
import numpy as np
import pytest
from cudatools import far_end, layer
from devices import DTYPES, finfo, same, values
from masks import kept_by_reference

import fastdrop as fd
from fastdrop import reference

CONNECT = [(1, 1, 1), (3, 5, 7), (4, 3, 31), (2, 7, 32), (5, 9, 104), (5, 2, 33), (3, 3, 2048), (2, 3, 2049)]
CONNECT += [
    (6, 70, 130),
    (4, 9, 5000),
    (9, 140, 1),
    (17, 9, 512),
    (18, 35, 96),
    (2, 17, 4096),
    (33, 2, 2080),
    (3, 5, 1536),
    (5, 6, 256),
    (3, 4, 1024),
]


@pytest.mark.slow
@pytest.mark.parametrize("per_example", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dropconnect(gpu, dtype, per_example):
    for shape in CONNECT:
        x, weight, bias, dy = layer(shape, dtype)
        for p in (0.3, 0.5):
            there = [gpu.put(array) for array in (x, weight, bias)]
            y, mask = fd.dropconnect(*there, p, per_example=per_example, rng=17)
            gradients = fd.dropconnect_backward(gpu.put(dy), *there[:2], mask)
            kept = kept_by_reference(mask)
            wide = reference.compute_dtype(np.dtype(dtype))
            xw, ww, bw, dw = (array.astype(wide) for array in (x, weight, bias, dy))
            wanted = [reference.dropconnect(xw, ww, bw, kept, mask.scale)]
            wanted += reference.dropconnect_backward(dw, xw, ww, kept, mask.scale)
            for found, other in zip([y, *gradients[:2]], wanted[:3], strict=True):
                if per_example:
                    same(gpu.get(found), other.astype(dtype))
                else:  # the library chooses the product's summation order
                    near(gpu.get(found), other, max(shape))
            near(gpu.get(gradients[2]), wanted[3], max(shape))


def near(found, wanted, terms):
    eps = float(finfo(found.dtype).eps)
    largest = np.abs(wanted).max() + 1
    tolerance = (eps + 40 * math.sqrt(terms) * float(np.finfo(wanted.dtype).eps)) * largest
    np.testing.assert_allclose(found.astype(float), wanted.astype(float), rtol=0, atol=tolerance)


def test_dropped_infinite_weights_contribute_nothing(gpu):
    weight = np.ones((1, 64), np.float32)
    weight[0, 5] = np.inf
    for rng in range(10):
        y, mask = fd.dropconnect(gpu.put(np.ones((1, 64), np.float32)), gpu.put(weight), p=0.5, rng=rng)
        assert np.isfinite(gpu.get(y)[0, 0]) == (not np.asarray(mask)[0, 0, 5])


@pytest.mark.slow
def test_dropconnect_with_far_keep_bits(gpu):
    """The last example's keep bits have indices beyond 2^32."""
    batch, outputs, inputs = 2**15 + 1, 2048, 96
    x, weight = values((batch, inputs), np.float32), values((outputs, inputs), np.float32, 1)
    blocks = 1 if gpu.emulated else None
    with emulator.set_options(only_last_blocks=blocks):
        y, mask = fd.dropconnect(gpu.put(x), gpu.put(weight), p=0.3, rng=1)
    first = ((batch - 1) * outputs + outputs - 8) * inputs
    assert first > 2**32
    kept = far_end(8 * inputs, first, mask).reshape(1, 8, inputs)
    same(gpu.get(y[-1:, -8:]), reference.dropconnect(x[-1:], weight[-8:], None, kept, mask.scale))
