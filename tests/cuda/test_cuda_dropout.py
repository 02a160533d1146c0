"""CUDA dropout against the reference, bit for bit: sizes, layouts, shared axes, evaluation, arrays that overlap.

Emulated on the processor, and on a GPU with `pytest -m gpu`. The emulated runs use the kernels' source and the whole
adapter (tests/emulation). They do not show what only hardware has: races, CuPy's own functions, speed.
"""

import pickle

import numpy as np
import pytest
from cudatools import LAYOUTS, SHARED, SIZES, expected, layer
from devices import DTYPES, same, values
from masks import kept_of

import fastdrop as fd
from fastdrop import reference
from fastdrop._kernels import cpu as kernels
from fastdrop.backends.cuda import operations


@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sizes(gpu, dtype, p):
    stream = fd.Stream(0x0123456789ABCDEF)  # both halves of key and call number count
    stream.state = {**stream.state, "calls": 2**32 - 3}
    for size in SIZES:
        x = values(size, dtype)
        y, mask = fd.dropout(gpu.put(x), p, rng=stream)
        same(gpu.get(y), expected(x, mask))
        np.testing.assert_array_equal(gpu.get(mask.booleans(like=y)), kept_of(mask))
        np.testing.assert_array_equal(gpu.get(mask.packed(like=y)), mask.packed())
        dy = values(size, dtype, 1)
        same(gpu.get(fd.dropout_backward(gpu.put(dy), mask)), expected(dy, mask))


def test_the_threshold_itself_is_dropped(gpu):
    """An element is kept if U < threshold, also where only the last bit of the tail differs."""
    key, call, like = 12, 3, gpu.cupy.zeros(1, np.float32)
    u = reference.uniform40(key, call, np.arange(200))
    for element in range(0, 200, 40):
        for threshold, keep in ((int(u[element]), False), (int(u[element]) + 1, True)):
            kept = operations.booleans(kernels.Draw(key, call), threshold, 200, like)
            assert bool(gpu.get(kept)[element]) == keep


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(gpu, dtype, name):
    shape, view = LAYOUTS[name]
    array = values(shape, dtype)
    x, residual = view(gpu.put(array)), view(gpu.put(values(shape, dtype, 1)))
    host, other = view(array), view(values(shape, dtype, 1))
    bias = values(host.shape[-1:], dtype, 2)
    for p in (0.3, 0.5):
        y, mask = fd.dropout(x, p, rng=9)
        same(gpu.get(y), expected(host, mask))
        flat = gpu.cupy.empty(host.shape, dtype)
        assert fd.dropout(x, p, rng=9, out=flat)[0] is flat
        same(gpu.get(flat), expected(host, mask))
        kept = kept_of(mask)
        for a, b in ((x, residual), (flat, residual), (x, flat)):
            wanted = reference.dropout_add(gpu.get(a), gpu.get(b), kept, mask.scale)
            same(gpu.get(fd.dropout_add(a, b, p, rng=9)[0]), wanted)
        if host.ndim:
            for activation in ("relu", "gelu"):
                y, mask = fd.bias_activation_dropout(x, gpu.put(bias), p, activation=activation, rng=9)
                wanted = reference.bias_activation_dropout(host, bias, activation, kept, mask.scale)
                same(gpu.get(y), wanted)
            same(gpu.get(fd.softmax_dropout(x, p, rng=9)[0]), reference.softmax_dropout(host, kept, mask.scale))
    assert other.shape == host.shape


@pytest.mark.parametrize("dtype", DTYPES)
def test_written_arrays_of_every_layout(gpu, dtype):
    for name, (shape, view) in LAYOUTS.items():
        out = gpu.put(np.zeros(shape, dtype))
        target = view(out)
        x = values(target.shape, dtype)
        y, mask = fd.dropout(gpu.put(x), 0.3, rng=2, out=target)
        assert y is target, name
        same(gpu.get(y), expected(x, mask))
        around = gpu.get(out)
        view(around)[...] = 0
        assert not around.astype(float).any(), f"{name}: written beside the array"
        inplace = view(gpu.put(values(shape, dtype, 3)))
        wanted = expected(gpu.get(inplace), mask)
        fd.dropout(inplace, 0.3, rng=2, out=inplace)
        same(gpu.get(inplace), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_shared_axes(gpu, dtype):
    for shape, axes in SHARED:
        x, residual = values(shape, dtype), values(shape, dtype, 1)
        reversed_axes = tuple(range(len(shape)))[::-1]
        layouts = [(gpu.put(x), gpu.put(residual))]
        layouts.append(
            tuple(
                gpu.put(np.ascontiguousarray(a.transpose(reversed_axes))).transpose(reversed_axes)
                for a in (x, residual)
            )
        )
        padded = [gpu.put(np.concatenate([a, a, a], axis=-1))[..., shape[-1] : 2 * shape[-1]] for a in (x, residual)]
        for a, b in [*layouts, tuple(padded)]:
            for p in (0.4, 0.5):
                y, mask = fd.dropout(a, p, rng=7, shared_axes=axes)
                same(gpu.get(y), expected(x, mask))
                same(gpu.get(mask(a)), expected(x, mask))
                np.testing.assert_array_equal(gpu.get(mask.booleans(like=a)), kept_of(mask))
                y, mask = fd.dropout_add(a, b, p, rng=7, shared_axes=axes)
                same(gpu.get(y), reference.dropout_add(x, residual, kept_of(mask), mask.scale))


@pytest.mark.parametrize("axis", [1, -1])
def test_spatial_dropout(gpu, axis):
    for shape in [(3, 8, 28, 28), (4, 5, 7, 7), (2, 64, 9), (3, 70)]:
        x = values(shape, np.float32)
        y, mask = fd.spatial_dropout(gpu.put(x), 0.5, channel_axis=axis, rng=3)
        same(gpu.get(y), expected(x, mask))
        same(gpu.get(fd.dropout_backward(gpu.put(x), mask)), expected(x, mask))


def test_values_of_dropped_maps_do_not_change_the_result(gpu):
    x = np.full((4, 16, 64), np.nan, np.float32)
    kept = kept_of(fd.spatial_dropout(x, 0.5, rng=1)[1])
    y, _ = fd.spatial_dropout(gpu.put(np.where(kept, np.float32(1), x)), 0.5, rng=1)
    same(gpu.get(y), np.where(kept, np.float32(2), np.float32(0)))


def test_one_mask_on_both_devices(gpu):
    """A mask drawn on one device is applied on the other."""
    x = values((50, 70), np.float32)
    y, mask = fd.dropout(x, 0.3, rng=4)
    same(gpu.get(mask(gpu.put(x))), y)
    again = pickle.loads(pickle.dumps(mask))
    same(gpu.get(again(gpu.put(x))), y)
    gpu.get(mask.packed(like=gpu.put(x)))
    assert gpu.get(fd.dropout_backward(gpu.put(x), None)).tobytes() == x.tobytes()


def test_evaluation(gpu):
    x = values((9, 33), np.float32)
    there = gpu.put(x)
    same(gpu.get(fd.dropout(there, 0.3, training=False)[0]), x)
    classic = fd.dropout(there, 0.25, training=False, scaling="classic")[0]
    same(gpu.get(classic), x * np.float32(0.75))
    assert not gpu.get(fd.dropout(there, 1.0, training=False, scaling="classic")[0]).any()
    y, mask = fd.dropout(there, 0.25, scaling="classic", rng=1)
    same(gpu.get(y), expected(x, mask))


def test_overlapping_arrays(gpu):
    x = values((200, 33), np.float32)
    memory = gpu.put(np.concatenate([x, x]))
    _, mask = fd.dropout(memory[:200], 0.3, rng=1, out=memory[1:201])
    same(gpu.get(memory[1:201]), expected(x, mask))
    square = gpu.put(x[:33])
    fd.dropout(square.T, 0.3, rng=1, out=square)
    same(gpu.get(square), expected(x[:33].T, fd.dropout(x[:33], 0.3, rng=1)[1]))
    y, mask = fd.dropout_add(gpu.put(x), memory[1:201], 0.3, rng=1, out=memory[1:201])
    same(gpu.get(y), reference.dropout_add(x, expected(x, mask), kept_of(mask), mask.scale))


def test_empty_arrays(gpu):
    for shape in ((0, 4), (4, 0), (0,)):
        x, bias = gpu.put(np.zeros(shape, np.float32)), gpu.put(np.zeros(shape[-1], np.float32))
        y, mask = fd.bias_activation_dropout(x, bias)
        dx, dbias = fd.bias_activation_dropout_backward(y, x, bias, mask)
        assert (dx.shape, dbias.shape) == (shape, bias.shape)
        assert not gpu.get(dbias).any()
        y, mask = fd.softmax_dropout(x)
        assert fd.softmax_dropout_backward(y, x, mask).shape == shape
        y, mask = fd.dropout(x)
        assert mask(y).shape == mask.booleans(like=x).shape == shape
    for shape in ((0, 3, 4), (2, 0, 4), (2, 3, 0)):
        x, weight, bias, dy = (gpu.put(array) for array in layer(shape, np.float32))
        y, mask = fd.dropconnect(x, weight, bias)
        assert y.shape == shape[:2]
        assert [g.shape for g in fd.dropconnect_backward(dy, x, weight, mask)] == [x.shape, weight.shape, bias.shape]
        if shape[2] == 0:
            np.testing.assert_array_equal(gpu.get(y), np.broadcast_to(gpu.get(bias), y.shape))


def test_out_whose_elements_share_memory_is_refused(gpu):
    memory, x = gpu.cupy.zeros(100, np.float32), gpu.put(values((4, 6), np.float32))
    for strides in [(0, 4), (4, 4), (8, 4), (4, 12)]:
        out = gpu.cupy.lib.stride_tricks.as_strided(memory, (4, 6), strides)
        with pytest.raises(ValueError, match="one place in memory"):
            fd.dropout(x, out=out)
    assert not gpu.get(memory).any()
