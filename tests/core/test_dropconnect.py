"""DropConnect against the reference and against numerical gradients."""

import tracemalloc

import numpy as np
import pytest
from masks import kept_by_reference

import fastdrop as fd
from fastdrop import reference

SHAPES = [
    (1, 1, 1),
    (3, 5, 7),
    (4, 3, 31),
    (2, 7, 32),
    (5, 9, 104),  # rows that start at byte boundaries, 4 + 1 of both factors, several registers and a remainder
    (5, 2, 33),
    (3, 3, 2048),
    (2, 3, 2049),
    (6, 70, 130),
    (4, 9, 5000),
    (6, 3, 33000),  # a row's keep bits are drawn in two pieces
    (9, 140, 1),
]


def layer(shape, dtype, seed=0):
    batch, outputs, inputs = shape
    rng = np.random.default_rng(seed)
    arrays = [(batch, inputs), (outputs, inputs), (outputs,), (batch, outputs)]
    return [rng.standard_normal(size).astype(dtype) for size in arrays]


@pytest.mark.slow
@pytest.mark.parametrize("per_example", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_against_the_reference(isa, thread_count, shape, dtype, per_example):
    x, weight, bias, dy = layer(shape, dtype)
    for p in (0.3, 0.5):
        y, mask = fd.dropconnect(x, weight, bias, p, per_example=per_example, rng=17)
        assert mask.shape == (shape if per_example else shape[1:])
        kept = kept_by_reference(mask)
        np.testing.assert_array_equal(np.asarray(mask), kept)
        # One mask per batch is multiplied by BLAS, which sums in another order; otherwise bit for bit.
        exact = 0 if per_example else np.finfo(dtype).eps * 40 * np.sqrt(max(shape)) * np.abs(weight).max()
        tolerance = {"rtol": 0, "atol": exact}
        np.testing.assert_allclose(y, reference.dropconnect(x, weight, bias, kept, mask.scale), **tolerance)
        gradients = fd.dropconnect_backward(dy, x, weight, mask)
        for found, wanted in zip(
            gradients, reference.dropconnect_backward(dy, x, weight, kept, mask.scale), strict=True
        ):
            assert found.dtype == dtype
            np.testing.assert_allclose(found, wanted, **tolerance)


def test_threads_and_instruction_sets_change_no_bit(monkeypatch):
    from fastdrop import threads
    from fastdrop._kernels import cpu

    monkeypatch.setattr(threads, "SMALLEST_SHARE", 1)
    x, weight, bias, dy = layer((7, 33, 1000), np.float32)
    results = []
    isa, count = cpu.current_isa(), fd.get_num_threads()
    try:
        for name in cpu.available_isas():
            cpu.use_isa(name)
            for number in (1, 2, 3):
                fd.set_num_threads(number)
                y, mask = fd.dropconnect(x, weight, bias, 0.3, rng=1)
                results.append((y, *fd.dropconnect_backward(dy, x, weight, mask)))
    finally:
        cpu.use_isa(isa)
        fd.set_num_threads(count)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_strided_inputs():
    x, weight, bias, _ = layer((6, 8, 50), np.float64)
    y, _ = fd.dropconnect(x, weight, bias, 0.5, rng=3)
    x2, w2, b2 = np.asfortranarray(x), np.asfortranarray(weight), np.repeat(bias, 2)[::2]
    np.testing.assert_array_equal(fd.dropconnect(x2, w2, b2, 0.5, rng=3)[0], y)


@pytest.mark.parametrize("per_example", [True, False, None])
def test_the_gradient_of_the_bias_is_the_same_for_any_layout(per_example):
    """The last bits of NumPy's sums depend on the layout."""
    x, weight, bias, dy = layer((513, 5, 3), np.float32)
    mask = None if per_example is None else fd.dropconnect(x, weight, bias, per_example=per_example, rng=3)[1]
    wanted = fd.dropconnect_backward(dy, x, weight, mask)[2]
    np.testing.assert_array_equal(fd.dropconnect_backward(np.asfortranarray(dy), x, weight, mask)[2], wanted)


def test_examples_get_different_masks():
    _, mask = fd.dropconnect(np.ones((2, 100)), np.ones((50, 100)), p=0.5, rng=1)
    first, second = np.asarray(mask)
    assert abs((first == second).mean() - 0.5) < 0.05


def test_a_dropped_infinite_weight_contributes_nothing():
    weight = np.ones((1, 64))
    weight[0, 5] = np.inf
    for rng in range(20):
        y, mask = fd.dropconnect(np.ones((1, 64)), weight, p=0.5, rng=rng)
        assert np.isfinite(y[0, 0]) == (not np.asarray(mask)[0, 0, 5])


def test_the_mask_is_never_built():
    batch, outputs, inputs = 64, 512, 512
    x, weight, bias, dy = layer((batch, outputs, inputs), np.float32)
    fd.dropconnect(x, weight, bias, 0.5, rng=0)
    tracemalloc.start()
    y, mask = fd.dropconnect(x, weight, bias, 0.5, rng=0)
    gradients = fd.dropconnect_backward(dy, x, weight, mask)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    results = y.nbytes + sum(gradient.nbytes for gradient in gradients)
    assert peak < results + 100_000  # as booleans the mask would take 16 MB, as bits 2 MB


@pytest.mark.parametrize("per_example", [True, False])
def test_numerical_gradients(per_example):
    x, weight, bias, dy = layer((3, 4, 5), np.float64)
    _, mask = fd.dropconnect(x, weight, bias, 0.4, per_example=per_example, rng=2)

    def loss():
        return float((fd.dropconnect(x, weight, bias, 0.4, per_example=per_example, rng=2)[0] * dy).sum())

    for array, gradient in zip((x, weight, bias), fd.dropconnect_backward(dy, x, weight, mask), strict=True):
        for index in np.ndindex(array.shape):
            before = array[index]
            array[index] = before + 1e-6
            above = loss()
            array[index] = before - 1e-6
            below = loss()
            array[index] = before
            assert gradient[index] == pytest.approx((above - below) / 2e-6, abs=1e-8)
