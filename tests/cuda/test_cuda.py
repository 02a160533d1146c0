"""The CUDA backend against the reference, bit for bit: emulated on the processor, and on a GPU with `pytest -m gpu`.

The emulated runs use the very text of the kernels and all of the adapter (tests/emulation); what they cannot show is
the hardware: races, what CuPy's own functions do, speed.
"""

import math
import pickle
import sys

import emulated_cupy
import emulator
import numpy as np
import pytest
from devices import DTYPES, finfo, same, values
from masks import kept_by_reference, mask_of

import fastdrop as fd
from fastdrop import nn, reference, rule
from fastdrop._kernels import cpu as kernels
from fastdrop.backends.cuda import device, geometry, operations, source
from fastdrop.experiments import ExperimentConfig, Trainer

# Around every access, word, register row, tile and warp's share.
SIZES = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1025]
SIZES += [2015, 2047, 2048, 2049, 4095, 4096, 4097, 4111, 8191, 8192, 8193, 12_345, 33_000]


def kept_of(mask):
    return np.broadcast_to(kept_by_reference(mask), mask.shape)


def expected(x, mask):
    return reference.apply(x, kept_of(mask), mask.scale)


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
    """keep is U < threshold, also where only the last bit of the tail tells."""
    key, call, like = 12, 3, gpu.cupy.zeros(1, np.float32)
    u = reference.uniform40(key, call, np.arange(200))
    for element in range(0, 200, 40):
        for threshold, keep in ((int(u[element]), False), (int(u[element]) + 1, True)):
            kept = operations.booleans(kernels.Draw(key, call), threshold, 200, like)
            assert bool(gpu.get(kept)[element]) == keep


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
    "axes turned": ((3, 41, 100), lambda a: a.transpose(2, 0, 1)),
    "inner axes turned": ((7, 33, 65), lambda a: a.transpose(0, 2, 1)),
    "length-1 axes": ((1, 300, 1, 11, 1), lambda a: a),
    "0-d": ((), lambda a: a),
    "empty": ((3, 0, 4), lambda a: a),
    "one row for all": ((1, 33), lambda a: a[np.newaxis, 0].repeat(1, axis=0)),
}


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


SHARED = [((6, 5, 40), (2,)), ((6, 40, 5), (1,)), ((3, 5, 7, 9), (2, 3)), ((3, 7, 9, 5), (1, 2)), ((4, 30, 33), (1,))]
SHARED += [((4, 9, 1030), (1,)), ((3, 3, 2100), (1,)), ((5, 4200), (1,)), ((3, 5, 2, 70), (0, 3)), ((50,), (0,))]
SHARED += [((3, 5, 7, 9), (0, 1, 2, 3)), ((6, 300, 3), (1,)), ((40, 64), (0,)), ((3, 4, 5, 6, 7), (1, 3))]
SHARED += [((2, 4, 9000), (2,)), ((2, 3000, 8), (1,)), ((70, 2), (1,)), ((1, 9, 1, 64), (0, 2, 1)), ((2, 64, 49), (2,))]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_shared_axes(gpu, dtype):
    for shape, axes in SHARED:
        x, residual = values(shape, dtype), values(shape, dtype, 1)
        turned = tuple(range(len(shape)))[::-1]
        layouts = [(gpu.put(x), gpu.put(residual))]
        layouts.append(
            tuple(gpu.put(np.ascontiguousarray(a.transpose(turned))).transpose(turned) for a in (x, residual))
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


def test_what_a_dropped_map_holds_does_not_show(gpu):
    x = np.full((4, 16, 64), np.nan, np.float32)
    kept = kept_of(fd.spatial_dropout(x, 0.5, rng=1)[1])
    y, _ = fd.spatial_dropout(gpu.put(np.where(kept, np.float32(1), x)), 0.5, rng=1)
    same(gpu.get(y), np.where(kept, np.float32(2), np.float32(0)))


FUSED = [(1, 1), (3, 5), (2, 31), (4, 32), (7, 33), (5, 64), (130, 65), (40, 1024), (3, 4100), (700, 300), (2, 70_001)]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_operations(gpu, dtype):
    for shape in FUSED:
        for p in (0.3, 0.5) if math.prod(shape) < 10_000 else (0.3,):
            x, residual, dy = (values(shape, dtype, seed, 3) for seed in range(3))
            bias = values(shape[-1:], dtype, 3)
            there = {"x": gpu.put(x), "dy": gpu.put(dy), "bias": gpu.put(bias)}
            y, mask = fd.dropout_add(there["x"], gpu.put(residual), p, rng=5)
            kept = kept_of(mask)
            same(gpu.get(y), reference.dropout_add(x, residual, kept, mask.scale))
            same(gpu.get(fd.dropout_backward(there["dy"], mask)), reference.apply(dy, kept, mask.scale))
            for activation in ("relu", "gelu"):
                y, mask = fd.bias_activation_dropout(there["x"], there["bias"], p, activation=activation, rng=5)
                same(gpu.get(y), reference.bias_activation_dropout(x, bias, activation, kept, mask.scale))
                found = fd.bias_activation_dropout_backward(**there, mask=mask, activation=activation)
                wanted = reference.bias_activation_dropout_backward(dy, x, bias, activation, kept, mask.scale)
                same(gpu.get(found[0]), wanted[0])
                if gpu.emulated:
                    same(gpu.get(found[1]), wanted[1])
                else:  # CuPy adds the blocks' sums in an order of its own
                    error = np.abs(gpu.get(found[1]).astype(float) - wanted[1].astype(float))
                    assert (error <= 1e-2 * np.abs(wanted[1].astype(float)).max() + 1e-3).all()
            y, mask = fd.softmax_dropout(there["x"], p, rng=5)
            same(gpu.get(y), reference.softmax_dropout(x, kept, mask.scale))
            wanted = reference.softmax_dropout_backward(dy, x, kept, mask.scale)
            same(gpu.get(fd.softmax_dropout_backward(there["dy"], there["x"], mask)), wanted)


def test_softmax_of_every_width(gpu):
    for columns in [*range(1, 70), 1023, 1024, 1025, 2050]:
        x, dy = values((3, columns), np.float32, 0, 3), values((3, columns), np.float32, 1)
        y, mask = fd.softmax_dropout(gpu.put(x), 0.3, rng=columns)
        kept = kept_of(mask)
        same(gpu.get(y), reference.softmax_dropout(x, kept, mask.scale))
        found = fd.softmax_dropout_backward(gpu.put(dy), gpu.put(x), mask)
        same(gpu.get(found), reference.softmax_dropout_backward(dy, x, kept, mask.scale))
        turned = gpu.put(np.ascontiguousarray(x.T)).T
        fd.softmax_dropout(turned, 0.3, rng=columns, out=turned)
        same(gpu.get(turned), reference.softmax_dropout(x, kept, mask.scale))


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(gpu, dtype):
    special = np.array([np.inf, -np.inf, np.nan, -0.0, 0.0, 1.0, -1.0, 1e-45, 6e-8, 1e-310], dtype)
    x = np.resize(special, (9, 40))
    bias, dy = np.zeros(40, dtype), np.ones_like(x)
    there, bias_there, dy_there = gpu.put(x), gpu.put(bias), gpu.put(dy)
    with np.errstate(all="ignore"):
        for p in (0.0, 0.3, 0.5):
            y, mask = fd.dropout(there, p, rng=0)
            same(gpu.get(y), expected(x, mask))
            kept = kept_of(mask)
            assert not np.isnan(gpu.get(y).astype(float)[~kept]).any()
            for activation in ("relu", "gelu"):
                y, mask = fd.bias_activation_dropout(there, bias_there, p, activation=activation, rng=0)
                same(gpu.get(y), reference.bias_activation_dropout(x, bias, activation, kept, mask.scale))
                found, _ = fd.bias_activation_dropout_backward(dy_there, there, bias_there, mask, activation=activation)
                wanted, _ = reference.bias_activation_dropout_backward(dy, x, bias, activation, kept, mask.scale)
                same(gpu.get(found), wanted)
        unscaled = gpu.get(fd.dropout(there, 0.0)[0])  # not even a NaN's payload changes
        assert unscaled.tobytes() == x.tobytes()
        rows = np.where(np.arange(40) % 3 == 0, dtype(-np.inf), dtype(1)) * np.ones((5, 1), dtype)
        y, mask = fd.softmax_dropout(gpu.put(rows), 0.5, rng=0)
        same(gpu.get(y), reference.softmax_dropout(rows, kept_of(mask), mask.scale))
        nothing = fd.softmax_dropout(gpu.put(np.full((1, 8), -np.inf, dtype)), 0.0)[0]
        assert np.isnan(gpu.get(nothing).astype(float)).all()


PLACES = ["blend", "alpha"]


DRAW = kernels.Draw(2**63 + 5, 2**40 + 1)


def mask_for(shape, p, scale=None, shared_axes=()):
    return mask_of(shape, DRAW.key, DRAW.call, p, scale=scale, shared_axes=shared_axes)


def inputs_of(operation, shape, dtype):
    """x, and the second operand, which alpha dropout does without."""
    return values(shape, dtype), values(shape, dtype, 1)


SHIFT = 0.37
"""Alpha dropout's: no half dtype has this number."""


def wanted(operation, x, second, mask):
    kept = kept_of(mask)
    with np.errstate(all="ignore"):
        if operation == "alpha":
            return reference.alpha(x, kept, mask.scale, SHIFT)
        return reference.blend(x, second, kept, mask.scale)


def run(operation, out, x, second, mask):
    if operation == "alpha":
        return operations.elementwise("alpha", out, (x,), mask, SHIFT)
    return operations.elementwise("blend", out, (x, second), mask)


@pytest.mark.parametrize("operation", PLACES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_takes_a_dropped_elements_place(gpu, dtype, operation):
    for shape in FUSED:
        x, second = inputs_of(operation, shape, dtype)
        for p, scale in [(0.3, None), (0.5, 1.0), (0.0, None), (1.0, None)] if shape[0] < 100 else [(0.3, None)]:
            mask = mask_for(shape, p, scale)
            there = gpu.put(x)
            out = gpu.cupy.empty_like(there)
            assert run(operation, out, there, gpu.put(second), mask) is out
            same(gpu.get(out), wanted(operation, x, second, mask))
            run(operation, there, there, gpu.put(second), mask)
            same(gpu.get(there), gpu.get(out))


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_of_what_takes_its_place(gpu, dtype, name):
    shape, view = LAYOUTS[name]
    x = view(values(shape, dtype))
    mask = mask_for(x.shape, 0.3)
    for operation in PLACES if x.ndim else ["blend"]:
        second = inputs_of(operation, x.shape, dtype)[1]
        for out in (gpu.cupy.empty(x.shape, dtype), view(gpu.put(np.empty(shape, dtype)))):
            run(operation, out, view(gpu.put(values(shape, dtype))), gpu.put(second), mask)
            same(gpu.get(out), wanted(operation, x, second, mask))


@pytest.mark.parametrize("operation", PLACES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_shared_axes_of_what_takes_its_place(gpu, dtype, operation):
    for shape, axes in [*SHARED, ((1, 64), (0,)), ((1, 1), (0,)), ((1, 7), (0, 1))]:
        x, second = inputs_of(operation, shape, dtype)
        padded = np.concatenate([x, x, x], axis=-1)
        mask, turned = mask_for(shape, 0.4, shared_axes=axes), tuple(range(len(shape)))[::-1]
        for array in (
            gpu.put(x),
            gpu.put(np.ascontiguousarray(x.transpose(turned))).transpose(turned),
            gpu.put(padded)[..., shape[-1] : 2 * shape[-1]],
        ):
            out = gpu.cupy.empty_like(array)
            run(operation, out, array, gpu.put(second), mask)
            same(gpu.get(out), wanted(operation, x, second, mask))


def test_the_second_operand_broadcasts(gpu):
    x = values((6, 70, 33), np.float32)
    for shape in [(1, 1, 1), (33,), (70, 1), (6, 1, 33), (1, 70, 33)]:
        second = values(shape, np.float32, 1)
        for axes in [(), (1,), (2,), (0, 2)]:
            out = gpu.cupy.empty(x.shape, x.dtype)
            mask = mask_for(x.shape, 0.3, shared_axes=axes)
            operations.elementwise("blend", out, (gpu.put(x), gpu.put(second)), mask)
            same(gpu.get(out), wanted("blend", x, second, mask))


def test_what_is_not_chosen_does_not_show(gpu):
    for shape, axes in [((9, 40), ()), ((6000,), ()), ((4, 16, 64), (2,)), ((4, 64, 16), (1,))]:
        mask = mask_for(shape, 0.5, 1.0, axes)
        kept = kept_of(mask)
        x, second = values(shape, np.float32), values(shape, np.float32, 1)
        one, other = np.where(kept, x, np.float32(np.nan)), np.where(kept, np.float32(np.inf), second)
        out = gpu.cupy.empty(shape, np.float32)
        operations.elementwise("blend", out, (gpu.put(one), gpu.put(other)), mask)
        assert gpu.get(out).tobytes() == np.where(kept, x, second).tobytes()
        operations.elementwise("alpha", out, (gpu.put(one),), mask)
        assert gpu.get(out).tobytes() == np.where(kept, x, np.float32(rule.ALPHA_DROPPED)).tobytes()


NORMAL_KEY = (2**63 + 5, 2**40 + 1)


def noisy(x, sigma):
    with np.errstate(all="ignore"):
        return reference.gaussian(x, *NORMAL_KEY, sigma)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_noise(gpu, dtype):
    for size in [0, *SIZES]:
        x = values(size, dtype)
        for sigma in (0.0, 0.65, 1e3) if size < 5000 else (0.65,):
            out = gpu.cupy.empty(size, dtype)
            assert operations.gaussian(gpu.put(x), out, DRAW, sigma) is out
            same(gpu.get(out), noisy(x, sigma))


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_noise_of_every_layout(gpu, dtype, name):
    shape, view = LAYOUTS[name]
    x = view(values(shape, dtype))
    for out in (gpu.cupy.empty(x.shape, dtype), gpu.cupy.empty(x.shape[::-1], dtype).T):
        operations.gaussian(view(gpu.put(values(shape, dtype))), out, DRAW, 0.5)
        same(gpu.get(out), noisy(x, 0.5))
    inplace = view(gpu.put(values(shape, dtype)))
    operations.gaussian(inplace, inplace, DRAW, 0.5)
    same(gpu.get(inplace), noisy(x, 0.5))


def test_gaussian_noise_of_special_values(gpu):
    for dtype in DTYPES:
        x = np.resize(np.array([np.inf, -np.inf, np.nan, -0.0, 0.0, 1.0, 65504.0, 1e-45, 6e-8, 1e-310], dtype), 1000)
        for sigma in (0.0, 0.5, 40.0):
            there = gpu.put(x)
            same(gpu.get(operations.gaussian(there, there, DRAW, sigma)), noisy(x, sigma))


def test_gaussian_noise_in_every_geometry(gpu, monkeypatch):
    x = values(9001, np.float32)
    for threads in (32, 64, 96, 128):
        for few in (0, 1 << 30):
            monkeypatch.setattr(geometry, "THREADS", threads)
            monkeypatch.setattr(geometry, "FEW_WARPS", few)
            with emulator.set_options(order="backwards" if threads == 64 else None):
                there = gpu.put(x)
                same(gpu.get(operations.gaussian(there, there, DRAW, 0.5)), noisy(x, 0.5))


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


def layer(shape, dtype, seed=0):
    batch, outputs, inputs = shape
    sizes = [(batch, inputs), (outputs, inputs), (outputs,), (batch, outputs)]
    return [values(size, dtype, seed + k) for k, size in enumerate(sizes)]


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
                else:  # the product's order is the library's
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


def test_one_mask_on_both_devices(gpu):
    """What is drawn on one device is undone on the other."""
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


@pytest.fixture
def fresh_plans():
    """Plans are remembered; not those of a test that changes what they depend on."""
    yield
    geometry.plan.cache_clear()


@pytest.mark.slow
def test_every_launch_geometry(gpu, monkeypatch, fresh_plans):
    """Blocks of other sizes, walks cut into more and shorter pieces, and threads that start in another order."""
    x, images, rows = values(9001, np.float32), values((5, 6, 17, 24), np.float16), values((70, 130), np.float32)
    bias = values(130, np.float32, 1)
    for threads in (32, 64, 96, 128):
        for few in (0, 1 << 30):
            monkeypatch.setattr(geometry, "THREADS", threads)
            monkeypatch.setattr(geometry, "FEW_WARPS", few)
            for most, enough in ((4, 1), (32, 1), (5, 1 << 20), (7, 100)):
                monkeypatch.setattr(geometry, "MOST_STEPS", most)
                monkeypatch.setattr(geometry, "ENOUGH_THREADS", enough)
                geometry.plan.cache_clear()
                with emulator.set_options(order="backwards" if threads == 64 else None):
                    y, mask = fd.dropout(gpu.put(x), 0.3, rng=1)
                    same(gpu.get(y), expected(x, mask))
                    for axes in ((2, 3), (1, 2), (1, 3)):
                        y, mask = fd.dropout(gpu.put(images), 0.3, rng=1, shared_axes=axes)
                        same(gpu.get(y), expected(images, mask))
                    y, mask = fd.dropout(gpu.put(rows).T, 0.3, rng=1)
                    same(gpu.get(y), expected(rows.T, mask))
            with emulator.set_options(order="backwards"):
                dx, _ = fd.bias_activation_dropout_backward(gpu.put(rows), gpu.put(rows), gpu.put(bias), None)
                y, mask = fd.softmax_dropout(gpu.put(rows), 0.5, rng=1)
                z, connected = fd.dropconnect(gpu.put(rows), gpu.put(rows[:20]), p=0.3, rng=1)
                gradients = fd.dropconnect_backward(z, gpu.put(rows), gpu.put(rows[:20]), connected)
            same(gpu.get(y), reference.softmax_dropout(rows, kept_of(mask), mask.scale))
            assert np.array_equal(gpu.get(dx) != 0, (rows + bias > 0) & (rows != 0))
            wanted = reference.dropconnect(rows, rows[:20], None, kept_of(connected), connected.scale)
            same(gpu.get(z), wanted)
            wanted = reference.dropconnect_backward(wanted, rows, rows[:20], kept_of(connected), connected.scale)
            same(gpu.get(gradients[0]), wanted[0])
            same(gpu.get(gradients[1]), wanted[1])


def far_end(count, start, mask):
    """Decisions with numbers from `start` on."""
    number = np.arange(start, start + count, dtype=np.uint64)
    key, call, threshold = mask.draw.key, mask.draw.call, mask.threshold
    return reference.uniform40(key, call, number) < np.uint64(threshold)


@pytest.mark.skipif(sys.platform != "linux", reason="pages that nobody touches must cost nothing")
def test_more_than_2_to_the_31_elements(gpu):
    """Only the last blocks run where there is no GPU: the memory before them is never touched."""
    count = 2**31 + 5000
    if gpu.emulated:
        x, y = (np.zeros(count, np.float16).view(emulated_cupy.ndarray) for _ in range(2))
    else:
        x, y = gpu.cupy.zeros(count, np.float16), gpu.cupy.empty(count, np.float16)
    tail = 9000
    x[-tail:] = gpu.put(values(tail, np.float16))
    with emulator.set_options(only_last_blocks=2):
        _, mask = fd.dropout(x, 0.3, rng=1, out=y)
    wanted = reference.apply(values(tail, np.float16), far_end(tail, count - tail, mask), mask.scale)
    same(gpu.get(y[-tail:]), wanted)
    with emulator.set_options(only_last_blocks=80):  # not aligned: one element at a time
        _, mask = fd.dropout(x[: 2**31 + 2], 0.3, rng=1, out=y[5 : 2**31 + 7])
    part = gpu.get(y[2**31 - 1 : 2**31 + 7])
    kept = far_end(8, 2**31 - 6, mask)
    same(part, reference.apply(gpu.get(x[2**31 - 6 : 2**31 + 2]), kept, mask.scale))
    rows = x[: 2**31].reshape(2**20, 2**11)
    with emulator.set_options(only_last_blocks=2):
        _, mask = fd.dropout(rows, 0.3, rng=1, shared_axes=1, out=y[: 2**31].reshape(2**20, 2**11))
    kept = far_end(1, 2**20 - 1, mask)
    same(
        gpu.get(y[2**31 - 2048 : 2**31]),
        reference.apply(gpu.get(x[2**31 - 2048 : 2**31]), np.broadcast_to(kept, 2048), mask.scale),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="pages that nobody touches must cost nothing")
def test_more_than_2_to_the_32_strided_elements(gpu):
    rows, columns = 2**21 + 3, 2**11
    shape = (rows, columns + 8)
    memory = np.zeros(shape, np.float16).view(emulated_cupy.ndarray) if gpu.emulated else gpu.cupy.zeros(shape, "f2")
    x = memory[:, :columns]
    tail = values((2, columns), np.float16)
    x[-2:] = gpu.put(tail)
    with emulator.set_options(only_last_blocks=3):
        _, mask = fd.dropout(x, 0.3, rng=1, out=x)
    kept = far_end(2 * columns, (rows - 2) * columns, mask).reshape(2, columns)
    same(gpu.get(x[-2:]), reference.apply(tail, kept, mask.scale))


@pytest.mark.skipif(sys.platform != "linux", reason="pages that nobody touches must cost nothing")
def test_gaussian_noise_of_more_than_2_to_the_32_elements(gpu):
    count = 2**32 + 1000
    x = np.zeros(count, np.float16).view(emulated_cupy.ndarray) if gpu.emulated else gpu.cupy.zeros(count, "f2")
    x[-3000:] = gpu.put(values(3000, np.float16))
    with emulator.set_options(only_last_blocks=7):
        operations.gaussian(x, x, DRAW, 0.5)
    z = reference.normals(*NORMAL_KEY, np.arange(count - 3000, count, dtype=np.uint64))
    noise = np.float32(1) + np.float32(0.5) * z
    same(gpu.get(x[-3000:]), (values(3000, np.float16).astype(np.float32) * noise).astype(np.float16))


@pytest.mark.slow
def test_dropconnect_with_far_keep_bits(gpu):
    """The last example's keep bits have numbers beyond 2^32."""
    batch, outputs, inputs = 2**15 + 1, 2048, 96
    x, weight = values((batch, inputs), np.float32), values((outputs, inputs), np.float32, 1)
    blocks = 1 if gpu.emulated else None
    with emulator.set_options(only_last_blocks=blocks):
        y, mask = fd.dropconnect(gpu.put(x), gpu.put(weight), p=0.3, rng=1)
    first = ((batch - 1) * outputs + outputs - 8) * inputs
    assert first > 2**32
    kept = far_end(8 * inputs, first, mask).reshape(1, 8, inputs)
    same(gpu.get(y[-1:, -8:]), reference.dropconnect(x[-1:], weight[-8:], None, kept, mask.scale))


class TestGraphs:
    def capture(self, gpu, monkeypatch):
        if not gpu.emulated:
            pytest.skip("captured for real in test_graph_replays")
        monkeypatch.setattr(gpu.cupy.cuda.stream, "capturing", True)

    def test_a_captured_call_with_a_number_of_the_hosts_is_refused(self, gpu, monkeypatch):
        self.capture(gpu, monkeypatch)
        x = gpu.put(values((4, 8), np.float32))
        for call in (
            lambda: fd.dropout(x, rng=1),
            lambda: fd.softmax_dropout(x, rng=1),
            lambda: fd.dropconnect(x, x, rng=1),
        ):
            with pytest.raises(RuntimeError, match="GraphStream"):
                call()
        with pytest.raises(RuntimeError, match="GraphStream"):
            operations.gaussian(x, x, DRAW, 0.5)
        operations.gaussian(x, x, DRAW, 0.0)  # nothing is drawn
        fd.dropout(x, 0.0)
        fd.dropout(x, training=False)

    def test_calls_are_counted_on_the_device(self, gpu, monkeypatch):
        x = values((40, 96), np.float32)
        there, weight = gpu.put(x), gpu.put(x[:8])
        masks = fd.GraphStream(42)
        self.capture(gpu, monkeypatch)
        step = [fd.dropout(there, 0.3, rng=masks)[1], fd.dropconnect(there, weight, rng=masks)[1]]
        for replay in range(3):
            for number, mask in enumerate(step):
                plain = fd.Mask(mask.shape, mask.p, stream_at(42, 2 * replay + number))
                assert mask.draw.on_host == plain.draw
                np.testing.assert_array_equal(np.asarray(mask), np.asarray(plain))
                np.testing.assert_array_equal(gpu.get(mask.booleans(like=there)), np.asarray(plain))
                np.testing.assert_array_equal(mask.packed(like=x), plain.packed())
            assert pickle.loads(pickle.dumps(step[0])).draw == step[0].draw.on_host
            same(gpu.get(step[0](there)), expected(x, fd.Mask(x.shape, 0.3, stream_at(42, 2 * replay))))
            masks.end_replay() if replay == 0 else masks.counter.__iadd__(np.uint64(2))

    def test_noise_is_counted_on_the_device(self, gpu, monkeypatch):
        x = values((40, 96), np.float32)
        there, masks = gpu.put(x), fd.GraphStream(42)
        self.capture(gpu, monkeypatch)
        draw = masks.draw()
        for replay in range(3):
            y = operations.gaussian(there, gpu.cupy.empty_like(there), draw, 0.5)
            same(gpu.get(y), reference.gaussian(x, 42, replay, 0.5))
            masks.end_replay() if replay == 0 else masks.counter.__iadd__(np.uint64(1))

    def test_the_cpu_has_no_such_counter(self, gpu):
        with pytest.raises(TypeError, match="GraphDraw"):
            fd.dropout(values(9, np.float32), rng=fd.GraphStream(1))


def stream_at(seed, calls):
    stream = fd.Stream(seed)
    stream.state = {**stream.state, "calls": calls}
    return stream


@pytest.mark.gpu
def test_graph_replays():
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("there is no GPU")
    x = values((1000, 33), np.float32)
    there, y, dx = cupy.asarray(x), cupy.empty_like(cupy.asarray(x)), cupy.empty_like(cupy.asarray(x))
    masks, stream = fd.GraphStream(42), cupy.cuda.Stream(non_blocking=True)
    fd.dropout(there, 0.3, rng=0, out=y)  # compiles
    cupy.cuda.Device().synchronize()
    with stream:
        stream.begin_capture()
        _, mask = fd.dropout(there, 0.3, rng=masks, out=y)
        fd.dropout_backward(there, mask, out=dx)
        masks.end_replay()
        graph = stream.end_capture()
        for replay in range(4):
            graph.launch(stream)
            stream.synchronize()
            plain = fd.Mask(x.shape, 0.3, stream_at(42, replay))
            same(y.get(), expected(x, plain))
            same(dx.get(), expected(x, plain))


def test_a_mixture_of_devices_is_refused(gpu):
    x, weight = values((4, 6), np.float32), values((3, 6), np.float32)
    there = gpu.put(x)
    _, mask = fd.softmax_dropout(x, rng=0)
    for call, words in (
        (lambda: fd.dropout(there, out=x), "x is on CUDA device 0, out is a NumPy array"),
        (lambda: fd.dropout(x, out=there), "x is a NumPy array, out is on CUDA device 0"),
        (lambda: fd.dropout([1.0], out=there), "x is a list"),
        (lambda: fd.dropconnect(there, weight), "weight is a NumPy array"),
        (lambda: fd.dropconnect_backward(x, there, gpu.put(weight), None), "dy is a NumPy array"),
        (lambda: fd.dropout_add(x, there), "residual is on CUDA device 0"),
        (lambda: fd.bias_activation_dropout(there, x[0]), "bias is a NumPy array"),
        (lambda: fd.bias_activation_dropout_backward(x, there, there[0], None), "dy is a NumPy array"),
        (lambda: fd.softmax_dropout_backward(there, x, mask), "x is a NumPy array"),
        (lambda: fd.softmax_dropout(there, out=x), "out is a NumPy array"),
        (lambda: fd.spatial_dropout(there, out=x), "out is a NumPy array"),
    ):
        with pytest.raises(TypeError, match=words) as raised:
            call()
        assert "cupy.asarray" in str(raised.value)


ASKING = [
    lambda: fd.GraphStream(1),
    lambda: nn.Linear(2, 3).to("cuda"),
    lambda: Trainer(ExperimentConfig(dataset="xor", backend="cuda")),
    lambda: fd.dropout(type("ndarray", (), {"__module__": "cupy"})()),
    lambda: fd.dropout(np.ones(3), out=type("ndarray", (), {"__module__": "cupy"})()),
]


@pytest.mark.parametrize("ask", ASKING)
def test_without_cupy_the_error_says_what_to_install(monkeypatch, ask):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(fd.BackendUnavailable, match=r"pip install 'fastdrop-kernels\[cuda13\]'"):
        ask()


@pytest.mark.parametrize("ask", ASKING)
def test_a_cupy_that_cannot_make_its_cache_is_told(monkeypatch, ask):
    def fail(name):
        raise NotADirectoryError(20, "Not a directory", "/dev/null/home")

    monkeypatch.setattr(device.importlib, "import_module", fail)
    with pytest.raises(fd.BackendUnavailable, match=r"cannot be imported: .*/dev/null/home.*CUPY_CACHE_DIR"):
        ask()


@pytest.mark.parametrize("ask", ASKING)
def test_without_a_gpu_the_error_says_why(monkeypatch, ask):
    module = emulated_cupy.make()

    def fail():
        raise RuntimeError("no CUDA-capable device is detected")

    module.cuda.runtime.getDeviceCount = fail
    monkeypatch.setitem(sys.modules, "cupy", module)
    with pytest.raises(fd.BackendUnavailable, match=r"no CUDA-capable device is detected.*driver"):
        ask()


def test_an_unknown_backend_is_named():
    with pytest.raises(ValueError, match="'tpu'"):
        nn.Linear(2, 3).to("tpu")
    with pytest.raises(ValueError, match="'tpu'"):
        ExperimentConfig(backend="tpu")


def test_arrays_of_two_gpus_are_refused(gpu):
    if not gpu.emulated:
        pytest.skip("needs two GPUs")
    x, other = gpu.put(values((4, 6), np.float32)), gpu.put(values((4, 6), np.float32))
    other.number = 1
    with pytest.raises(TypeError, match="x is on CUDA device 0, residual is on CUDA device 1"):
        fd.dropout_add(x, other)


def test_unfit_arrays(gpu):
    x = gpu.put(values((4, 6), np.float32))
    for call, error, words in (
        (lambda: fd.dropout(gpu.put(np.ones(3, np.int64))), TypeError, "int64.*astype"),
        (lambda: fd.dropout(gpu.put(np.ones(3, complex))), TypeError, r"complex128.*\.real"),
        (lambda: fd.dropout(x, 1.5), ValueError, "1.5"),
        (lambda: fd.dropout(x, out=x[:3]), ValueError, r"\(3, 6\).*\(4, 6\)"),
        (lambda: fd.dropout(x, out=gpu.put(np.ones((4, 6)))), ValueError, "float64.*float32"),
        (lambda: fd.dropout(x, shared_axes=2), ValueError, "axis|axes"),
        (lambda: fd.dropout_backward(x, fd.dropout(x[:2], rng=0)[1]), ValueError, r"\(2, 6\).*\(4, 6\)"),
        (lambda: fd.bias_activation_dropout(x, x[0, :5]), ValueError, r"\(4, 6\).*\(5,\)"),
    ):
        with pytest.raises(error, match=words):
            call()


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


@pytest.mark.filterwarnings("ignore::fastdrop.nn.VarianceShiftWarning")
def test_layers_train_alike_on_both_devices(gpu):
    """The same masks, so the same numbers but for the order in which products and sums are added.

    Adam trains no bias in front of batch normalisation: its gradient is rounding noise, which Adam scales up.
    """

    def trained(backend, batch_norm):
        x, labels = values((60, 32), np.float32), np.arange(60) % 5
        model = nn.Sequential(
            nn.DropConnectLinear(32, 24, rng=0, mask_rng=1),
            *([nn.BatchNorm(24)] if batch_norm else []),
            nn.ReLU(),
            nn.Reshape(3, 8),
            nn.SpatialDropout(0.3, rng=2),
            nn.Flatten(),
            nn.Dropout(0.2, rng=3),
            nn.Linear(24, 5, rng=4),
        ).to(backend)
        optimizer = nn.SGD(model.parameters()) if batch_norm else nn.Adam(model.parameters())
        if backend == "cuda":
            x, labels = gpu.put(x), gpu.put(labels)
        losses = []
        for _ in range(5):
            loss, dlogits = nn.softmax_cross_entropy(model.train()(x), labels)
            model.backward(dlogits)
            optimizer.step()
            losses.append(loss)
        return losses, nn.accuracy(model.eval()(x), labels), model

    for batch_norm in (True, False):
        (losses, accuracy, model), (others, other_accuracy, other) = (trained(b, batch_norm) for b in ("cpu", "cuda"))
        np.testing.assert_allclose(losses, others, rtol=1e-4)
        assert abs(accuracy - other_accuracy) <= 1.5 / 60
        other.to("cpu")
        for (name, one), (_, two) in zip(model.parameters(), other.parameters(), strict=True):
            np.testing.assert_allclose(one.value, two.value, rtol=1e-2, atol=1e-4, err_msg=name)


LAYERS = {
    "convolution": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, stride=2, rng=0),
            nn.GELU(),
            nn.MaxPool2d(2),
            nn.SpatialDropout(0.4, rng=1),
            nn.Conv2d(8, 6, 2, rng=2),
            nn.SELU(),
            nn.GlobalAveragePool(),
        ),
        lambda: values((5, 3, 12, 9), np.float32),
    ),
    "pooling": (lambda: nn.Sequential(nn.Tanh(), nn.AvgPool2d(2)), lambda: values((5, 3, 9, 8), np.float32)),
    "recurrence": (
        lambda: nn.Sequential(
            nn.LSTM(6, 8, p=0.3, recurrent_p=0.2, zoneout=0.4, rng=0, mask_rng=1), nn.Sigmoid(), nn.LastStep()
        ),
        lambda: values((5, 7, 6), np.float32),
    ),
    "attention": (
        lambda: nn.Sequential(
            nn.LearnedPositions(9, 6, rng=1),
            nn.TransformerBlock(6, 2, 8, p=0.3, drop_path=0.3, causal=True, rng=0, mask_rng=1),
            nn.MeanOverSteps(),
        ),
        lambda: values((5, 7, 6), np.float32),
    ),
    "words": (
        lambda: nn.Sequential(nn.Embedding(9, 6, p=0.4, rng=0, mask_rng=1), nn.LockedDropout(0.3, rng=2)),
        lambda: np.arange(20).reshape(4, 5) ** 2 % 9,
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_compute_alike_on_both_devices(gpu, name):
    """Results and all gradients, with dropout and without."""
    make, data = LAYERS[name]
    x, here, there = data(), make(), make().to("cuda")
    assert make().summary(x.shape[1:]) == there.summary(x.shape[1:])
    for training in (True, False):
        y, other = here.train(training)(x), there.train(training)(gpu.put(x))
        np.testing.assert_allclose(gpu.get(other), y, rtol=1e-4, atol=1e-5)
        dy = values(y.shape, np.float32, 1)
        np.testing.assert_allclose(gpu.get(there.backward(gpu.put(dy))), here.backward(dy), rtol=1e-3, atol=1e-5)
        for (key, one), (_, two) in zip(here.parameters(), there.parameters(), strict=True):
            np.testing.assert_allclose(gpu.get(two.grad), one.grad, rtol=1e-3, atol=1e-4, err_msg=key)


def test_words_that_an_embedding_lacks_are_named(gpu):
    layer = nn.Embedding(5, 2, rng=0).to("cuda")
    with pytest.raises(IndexError, match="word number 7; this embedding has 5 words"):
        layer(gpu.put(np.array([[1, 7]])))


@pytest.mark.slow
@pytest.mark.parametrize("dropout", ["standard", "spatial", "dropconnect"])
def test_experiments_train_alike_on_both_devices(gpu, dropout):
    pytest.importorskip("sklearn")
    pytest.importorskip("threadpoolctl")
    config = ExperimentConfig(
        dataset="moons", hidden=(16, 8), epochs=2, dropout=dropout, batch_norm=True, rate=0.3, optimizer="sgd"
    )
    here, there = Trainer(config), Trainer(config.replace(backend="cuda"))
    for one, two in zip(here.run(), there.run(), strict=True):
        assert one.latest.epoch == two.latest.epoch
        np.testing.assert_allclose(losses(one), losses(two), rtol=1e-3)
        np.testing.assert_allclose(accuracies(one), accuracies(two), atol=1.5 / len(here.dataset.x_test))
        for first, second in zip(one.layers, two.layers, strict=True):
            assert type(second.values) is np.ndarray
            np.testing.assert_allclose(first.values, second.values, rtol=1e-2, atol=1e-3)
            if first.kept is not None:
                np.testing.assert_array_equal(first.kept, second.kept)
    for name, weight in there.weights().items():
        assert type(weight) is np.ndarray
        np.testing.assert_allclose(weight, here.weights()[name], rtol=1e-2, atol=1e-3)


def losses(snapshot):
    return [snapshot.latest.train_loss, snapshot.latest.test_loss]


def accuracies(snapshot):
    return [snapshot.latest.train_accuracy, snapshot.latest.test_accuracy]


def test_every_instance_has_a_file():
    found = source.instances()
    assert set(found) == {"flat.cu", "walk.cu", "fused.cu", "gaussian.cu", "dropconnect.cu"}
    names = [name for names in found.values() for name in names]
    assert len(names) == len(set(names)) > 100
    for file in found:
        assert '#include "' not in source.text(file)


def test_out_whose_elements_share_memory_is_refused(gpu):
    memory, x = gpu.cupy.zeros(100, np.float32), gpu.put(values((4, 6), np.float32))
    for strides in [(0, 4), (4, 4), (8, 4), (4, 12)]:
        out = gpu.cupy.lib.stride_tricks.as_strided(memory, (4, 6), strides)
        with pytest.raises(ValueError, match="one place in memory"):
            fd.dropout(x, out=out)
    assert not gpu.get(memory).any()
