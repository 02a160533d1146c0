"""Emulated kernels read no shared memory that no thread of their block wrote, also where it would change nothing."""

import sys

import emulated_cupy
import emulator
import numpy as np
import pytest
from devices import PTX, kernels_of, same, values
from masks import kept_by_reference

import fastdrop as fd
from fastdrop import reference
from fastdrop.backends.cuda import compiler

pytestmark = pytest.mark.slow


@pytest.fixture(params=["emulated", *PTX])
def cupy(request, monkeypatch):
    kernel = kernels_of(request.param, request.node.nodeid)
    module = emulated_cupy.make()
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(compiler, "kernel", kernel)
    with emulator.set_options(watch_shared=True):
        yield module


LAYERS = [(1, 1, 1), (3, 5, 7), (2, 7, 32), (5, 9, 104), (16, 8, 128), (3, 3, 2048), (2, 3, 2049), (17, 9, 512)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", LAYERS)
def test_dropconnect(cupy, shape, dtype):
    batch, outputs, inputs = shape
    x, weight = values((batch, inputs), dtype), values((outputs, inputs), dtype, 1)
    there = cupy.asarray(x), cupy.asarray(weight)
    for order in emulator.ORDERS:
        with emulator.set_options(order=order):
            y, mask = fd.dropconnect(*there, p=0.3, rng=1)
            dx, dweight, _ = fd.dropconnect_backward(y, *there, mask)
        kept = kept_by_reference(mask)
        same(y.get(), reference.dropconnect(x, weight, None, kept, mask.scale))
        wanted = reference.dropconnect_backward(y.get(), x, weight, kept, mask.scale)
        same(dx.get(), wanted[0])
        same(dweight.get(), wanted[1])


CALLS = {
    "flat": lambda x: fd.dropout(x, 0.3, rng=1),
    "transposed": lambda x: fd.dropout(x.T, 0.3, rng=1),
    "strided": lambda x: fd.dropout(x[:, 3:-2], 0.3, rng=1),
    "slice": lambda x: fd.dropout(x, 0.3, rng=1)[1][3:, ::2](x[3:, ::2]),
    "rows": lambda x: fd.dropout(x, 0.3, rng=1, shared_axes=1),
    "columns": lambda x: fd.dropout(x, 0.3, rng=1, shared_axes=0),
    "bits": lambda x: fd.dropout(x, 0.3, rng=1)[1].packed(like=x),
    "booleans": lambda x: fd.dropout(x, 0.3, rng=1)[1].booleans(like=x),
    "bias": lambda x: fd.bias_activation_dropout(x, x[0], 0.3, activation="gelu", rng=1),
    "bias' gradient": lambda x: fd.bias_activation_dropout_backward(
        x, x, x[0], fd.bias_activation_dropout(x, x[0], 0.3, rng=1)[1]
    ),
    "softmax": lambda x: fd.softmax_dropout(x, 0.3, rng=1),
    "softmax' gradient": lambda x: fd.softmax_dropout_backward(x, x, fd.softmax_dropout(x, 0.3, rng=1)[1]),
    "noise": lambda x: fd.gaussian_dropout(x, 0.3, rng=1),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", CALLS)
def test_other_kernels(cupy, name, dtype):
    for shape in [(1, 1), (5, 33), (70, 65), (3, 4100)]:
        CALLS[name](cupy.asarray(values(shape, dtype)))
