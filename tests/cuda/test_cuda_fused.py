"""The fused CUDA kernels against the reference, bit for bit: bias and activation, softmax, blend and alpha dropout."""

import math

import numpy as np
import pytest
from cudatools import DRAW, FUSED, LAYOUTS, SHARED, expected
from devices import DTYPES, same, values
from masks import SHIFT, alpha_or_blend, kept_of, mask_of

import fastdrop as fd
from fastdrop import reference, rule
from fastdrop.backends.cuda import operations


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
                else:  # CuPy adds the blocks' sums in another order
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
        transposed = gpu.put(np.ascontiguousarray(x.T)).T
        fd.softmax_dropout(transposed, 0.3, rng=columns, out=transposed)
        same(gpu.get(transposed), reference.softmax_dropout(x, kept, mask.scale))


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


def mask_for(shape, p, scale=None, shared_axes=()):
    return mask_of(shape, DRAW.key, DRAW.call, p, scale=scale, shared_axes=shared_axes)


def inputs_of(operation, shape, dtype):
    """x and the second operand, which alpha dropout ignores."""
    return values(shape, dtype), values(shape, dtype, 1)


def result_of(operation, x, second, mask):
    return alpha_or_blend(operation, x, second, kept_of(mask), mask.scale)


def run(operation, out, x, second, mask):
    if operation == "alpha":
        return operations.elementwise("alpha", out, (x,), mask, SHIFT)
    return operations.elementwise("blend", out, (x, second), mask)


@pytest.mark.parametrize("operation", PLACES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_blend_and_alpha(gpu, dtype, operation):
    for shape in FUSED:
        x, second = inputs_of(operation, shape, dtype)
        for p, scale in [(0.3, None), (0.5, 1.0), (0.0, None), (1.0, None)] if shape[0] < 100 else [(0.3, None)]:
            mask = mask_for(shape, p, scale)
            there = gpu.put(x)
            out = gpu.cupy.empty_like(there)
            assert run(operation, out, there, gpu.put(second), mask) is out
            same(gpu.get(out), result_of(operation, x, second, mask))
            run(operation, there, there, gpu.put(second), mask)
            same(gpu.get(there), gpu.get(out))


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_of_blend_and_alpha(gpu, dtype, name):
    shape, view = LAYOUTS[name]
    x = view(values(shape, dtype))
    mask = mask_for(x.shape, 0.3)
    for operation in PLACES if x.ndim else ["blend"]:
        second = inputs_of(operation, x.shape, dtype)[1]
        for out in (gpu.cupy.empty(x.shape, dtype), view(gpu.put(np.empty(shape, dtype)))):
            run(operation, out, view(gpu.put(values(shape, dtype))), gpu.put(second), mask)
            same(gpu.get(out), result_of(operation, x, second, mask))


@pytest.mark.parametrize("operation", PLACES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_shared_axes_of_blend_and_alpha(gpu, dtype, operation):
    for shape, axes in [*SHARED, ((1, 64), (0,)), ((1, 1), (0,)), ((1, 7), (0, 1))]:
        x, second = inputs_of(operation, shape, dtype)
        padded = np.concatenate([x, x, x], axis=-1)
        mask, reversed_axes = mask_for(shape, 0.4, shared_axes=axes), tuple(range(len(shape)))[::-1]
        for array in (
            gpu.put(x),
            gpu.put(np.ascontiguousarray(x.transpose(reversed_axes))).transpose(reversed_axes),
            gpu.put(padded)[..., shape[-1] : 2 * shape[-1]],
        ):
            out = gpu.cupy.empty_like(array)
            run(operation, out, array, gpu.put(second), mask)
            same(gpu.get(out), result_of(operation, x, second, mask))


def test_the_second_operand_broadcasts(gpu):
    x = values((6, 70, 33), np.float32)
    for shape in [(1, 1, 1), (33,), (70, 1), (6, 1, 33), (1, 70, 33)]:
        second = values(shape, np.float32, 1)
        for axes in [(), (1,), (2,), (0, 2)]:
            out = gpu.cupy.empty(x.shape, x.dtype)
            mask = mask_for(x.shape, 0.3, shared_axes=axes)
            operations.elementwise("blend", out, (gpu.put(x), gpu.put(second)), mask)
            same(gpu.get(out), result_of("blend", x, second, mask))


def test_unselected_values_do_not_change_the_result(gpu):
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
