"""Every elementwise CUDA kernel, in every order of its blocks and threads, against the reference.

Other tests go through many shapes and values; this one is about what they may never launch.
"""

import re

import emulator
import numpy as np
import pytest
from devices import DTYPES, UNSIGNED, same, values
from masks import kept_by_reference, mask_of

import fastdrop as fd
from fastdrop import reference
from fastdrop.backends.cuda import compiler, operations, source

LAYOUTS = {  # shape, the part of it that is used, shared axes
    "contiguous": ((50, 96), lambda a: a, ()),
    "not aligned": ((50 * 96 + 1,), lambda a: a[1:].reshape(50, 96), ()),
    "padded rows": ((40, 200), lambda a: a[:, 3:150], ()),
    "transposed": ((67, 45), lambda a: a.T, ()),
    "rows": ((6, 5, 64), lambda a: a, (2,)),
    "rows, not aligned": ((6, 5, 33), lambda a: a, (2,)),
    "columns": ((6, 40, 64), lambda a: a, (1,)),
    "columns, not aligned": ((6, 40, 33), lambda a: a, (1,)),
}
SHIFT = 0.37


def any_bits(shape, dtype):
    """Values with any bits, NaNs with a payload among them."""
    unsigned = UNSIGNED[np.dtype(dtype).itemsize]
    return np.random.default_rng(0).integers(0, np.iinfo(unsigned).max, shape, unsigned).view(dtype)


def mask_for(shape, axes, scale=None):
    return mask_of(shape, 2**63 + 5, 2**40 + 1, 0.3, scale=scale, shared_axes=axes)


OPERATIONS = {  # what follows x among the operands, and the reference
    "dropout": ([], lambda x, kept, by: reference.apply(x, kept, by.scale)),
    "alpha": ([], lambda x, kept, by: reference.alpha(x, kept, by.scale, SHIFT)),
    "dropout_add": (["second"], lambda x, kept, by, second: reference.dropout_add(x, second, kept, by.scale)),
    "multiply": ([], lambda x, kept, by: reference.apply(x, np.ones_like(kept), by.scale)),
    "blend": (["second"], lambda x, kept, by, second: reference.blend(x, second, kept, by.scale)),
    "bias_relu": (
        ["bias"],
        lambda x, kept, by, bias: reference.bias_activation_dropout(x, bias, "relu", kept, by.scale),
    ),
    "bias_gelu": (
        ["bias"],
        lambda x, kept, by, bias: reference.bias_activation_dropout(x, bias, "gelu", kept, by.scale),
    ),
}


def check_layout(gpu, dtype, name):
    shape, view, axes = LAYOUTS[name]
    memory = {part: values(shape, dtype, seed) for seed, part in enumerate(("x", "second"))}
    here = {part: view(array) for part, array in memory.items()}
    there = {part: view(gpu.put(array)) for part, array in memory.items()}
    here["bias"] = values(here["x"].shape[-1:], dtype, 2)
    there["bias"] = gpu.put(here["bias"])
    mask = mask_for(here["x"].shape, axes)
    kept = np.broadcast_to(kept_by_reference(mask), mask.shape)
    for operation, (others, wanted) in OPERATIONS.items():
        if axes and ("bias" in others or operation == "multiply"):  # no axes to share
            continue
        out = view(gpu.cupy.empty(shape, dtype))
        operands = tuple(there[part] for part in ("x", *others))
        operations.elementwise(operation, out, operands, mask, SHIFT)
        same(gpu.get(out), wanted(here["x"], kept, mask, *(here[part] for part in others)))
    bits = any_bits(shape, dtype)
    out = view(gpu.cupy.empty(shape, dtype))
    operations.elementwise("dropout", out, (view(gpu.put(bits)),), mask_for(here["x"].shape, axes, 1.0))
    check_bits(gpu.get(out), view(bits), kept)


def check_bits(found, x, kept):
    """Without a scale, what is kept is copied bit for bit."""
    unsigned = UNSIGNED[x.dtype.itemsize]
    np.testing.assert_array_equal(found.view(unsigned), np.where(kept, x.view(unsigned), unsigned(0)))


def check_slice(gpu, dtype):
    for scaling in ("inverted", "classic"):
        mask = fd.dropout(np.zeros((30, 70)), 0.3, rng=4, scaling=scaling)[1]
        kept, x = np.asarray(mask)[3:, ::2], values((27, 35), dtype)
        same(gpu.get(mask[3:, ::2](gpu.put(x))), reference.apply(x, kept, mask.scale))
    bits = any_bits(kept.shape, dtype)
    check_bits(gpu.get(mask[3:, ::2](gpu.put(bits))), bits, kept)


@pytest.mark.parametrize("order", emulator.ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_elementwise_kernel(gpu, dtype, order, monkeypatch):
    launched, kernel = set(), compiler.kernel
    monkeypatch.setattr(compiler, "kernel", lambda name, device: launched.add(name) or kernel(name, device))
    with emulator.set_options(order=order):
        for name in LAYOUTS:
            check_layout(gpu, dtype, name)
        check_slice(gpu, dtype)
    wanted = re.compile(
        rf"<{source.TYPES[np.dtype(dtype).name]}, op::({'|'.join([source.SELECT, *source.OPERATIONS])})[,>]"
    )
    every = {name for part in source.instances().values() for name in part if wanted.search(name)}
    assert len(every) > 30
    assert every - launched == set()
