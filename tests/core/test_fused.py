"""The fused operations against the reference, bit for bit, and against independent formulas."""

import math

import ml_dtypes
import numpy as np
import pytest
from masks import kept_of

import fastdrop as fd
from fastdrop import reference

DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
SHAPES = [(1, 1), (3, 5), (2, 31), (4, 32), (7, 33), (5, 64), (130, 65), (40, 1024), (3, 4100), (700, 300), (2, 70_001)]
ACTIVATIONS = ["relu", "gelu"]


def values(shape, dtype, seed=0, width=3):
    return (np.random.default_rng(seed).standard_normal(shape) * width).astype(dtype)


def same(found, wanted):
    """The same bits; NaNs as NaNs, whatever their payload."""
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    unsigned = {2: np.uint16, 4: np.uint32, 8: np.uint64}[found.dtype.itemsize]
    nan = np.isnan(wanted.astype(np.float64))
    np.testing.assert_array_equal(np.isnan(found.astype(np.float64)), nan)
    np.testing.assert_array_equal(found.view(unsigned)[~nan], wanted.view(unsigned)[~nan])


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_against_the_reference(isa, thread_count, dtype, p):
    for shape in SHAPES:
        x, residual, dy = (values(shape, dtype, seed) for seed in range(3))
        bias = values(shape[-1:], dtype, 3)
        y, mask = fd.dropout_add(x, residual, p, rng=5)
        kept = kept_of(mask)
        same(y, reference.dropout_add(x, residual, kept, mask.scale))
        same(fd.dropout_backward(dy, mask), reference.apply(dy, kept, mask.scale))
        for activation in ACTIVATIONS:
            y, mask = fd.bias_activation_dropout(x, bias, p, activation=activation, rng=5)
            same(y, reference.bias_activation_dropout(x, bias, activation, kept, mask.scale))
            found = fd.bias_activation_dropout_backward(dy, x, bias, mask, activation=activation)
            wanted = reference.bias_activation_dropout_backward(dy, x, bias, activation, kept, mask.scale)
            for one, other in zip(found, wanted, strict=True):
                same(one, other)
        y, mask = fd.softmax_dropout(x, p, rng=5)
        same(y, reference.softmax_dropout(x, kept, mask.scale))
        same(fd.softmax_dropout_backward(dy, x, mask), reference.softmax_dropout_backward(dy, x, kept, mask.scale))


@pytest.mark.slow
def test_long_rows_of_softmax_draw_their_keep_bits_twice(isa):
    x, dy = values((2, 600_001), np.float32), values((2, 600_001), np.float32, 1)
    y, mask = fd.softmax_dropout(x, 0.3, rng=2)
    same(y, reference.softmax_dropout(x, kept_of(mask), mask.scale))
    wanted = reference.softmax_dropout_backward(dy, x, kept_of(mask), mask.scale)
    same(fd.softmax_dropout_backward(dy, x, mask), wanted)


def test_more_rows_of_softmax_than_are_drawn_at_once(isa):
    """Rows are drawn in pieces of about 2**18 keep bits: the second piece begins at a later row."""
    x, dy = values((290, 1001), np.float32), values((290, 1001), np.float32, 1)
    threads = fd.get_num_threads()
    fd.set_num_threads(1)
    try:
        y, mask = fd.softmax_dropout(x, 0.5, rng=2)
        same(y, reference.softmax_dropout(x, kept_of(mask), mask.scale))
        wanted = reference.softmax_dropout_backward(dy, x, kept_of(mask), mask.scale)
        same(fd.softmax_dropout_backward(dy, x, mask), wanted)
    finally:
        fd.set_num_threads(threads)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_are_accurate(dtype):
    """exp, GELU and softmax against the C library's functions, which the reference does not use."""
    accuracy = 4 * np.finfo(dtype).eps
    x = np.linspace(-80, 0, 5001).astype(dtype)
    np.testing.assert_allclose(reference.exp(x), np.exp(x.astype(np.float64)), rtol=accuracy)
    z = np.linspace(-9, 9, 5001).astype(dtype)
    gelu = np.array([float(v) * 0.5 * math.erfc(-float(v) / math.sqrt(2)) for v in z])
    y, _ = fd.bias_activation_dropout(z, np.zeros_like(z), 0.0, activation="gelu")
    np.testing.assert_allclose(y, gelu, rtol=60 * accuracy, atol=1e-30)
    rows = values((20, 77), dtype)
    e = np.exp(rows.astype(np.float64) - rows.max(axis=-1, keepdims=True))
    y, mask = fd.softmax_dropout(rows, training=False)
    assert mask is None
    np.testing.assert_allclose(y, e / e.sum(axis=-1, keepdims=True), rtol=4 * accuracy)


def numerical_gradient(function, x, dy, step=1e-6):
    """The gradient of sum(dy * function(x)) by differences."""
    result = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        result[index] = ((function(up) - function(down)) * dy).sum() / (2 * step)
    return result


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_bias_activation(activation):
    x, dy, bias = values((4, 9), float, 0, 1), values((4, 9), float, 1, 1), values(9, float, 2, 1)
    _, mask = fd.bias_activation_dropout(x, bias, 0.3, activation=activation, rng=1)
    kept, scale = kept_of(mask), mask.scale

    def forward(x, bias):
        return reference.bias_activation_dropout(x, bias, activation, kept, scale)

    dx, dbias = fd.bias_activation_dropout_backward(dy, x, bias, mask, activation=activation)
    np.testing.assert_allclose(dx, numerical_gradient(lambda v: forward(v, bias), x, dy), atol=1e-7)
    np.testing.assert_allclose(dbias, numerical_gradient(lambda v: forward(x, v), bias, dy), atol=1e-7)


def test_gradient_of_softmax():
    x, dy = values((3, 7), float, 0, 1), values((3, 7), float, 1, 1)
    _, mask = fd.softmax_dropout(x, 0.3, rng=1)
    wanted = numerical_gradient(lambda v: reference.softmax_dropout(v, kept_of(mask), mask.scale), x, dy)
    np.testing.assert_allclose(fd.softmax_dropout_backward(dy, x, mask), wanted, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(isa, dtype):
    special = np.array([np.inf, -np.inf, np.nan, -0.0, 0.0, 1.0, -1.0], dtype)
    x = np.resize(special, (9, 40))
    bias, dy = np.zeros(40, dtype), np.ones_like(x)
    with np.errstate(all="ignore"):
        for activation in ACTIVATIONS:
            y, mask = fd.bias_activation_dropout(x, bias, 0.5, activation=activation, rng=0)
            kept = kept_of(mask)
            same(y, reference.bias_activation_dropout(x, bias, activation, kept, mask.scale))
            assert not np.isnan(y.astype(float)[~kept]).any()
            found, _ = fd.bias_activation_dropout_backward(dy, x, bias, mask, activation=activation)
            wanted, _ = reference.bias_activation_dropout_backward(dy, x, bias, activation, kept, mask.scale)
            same(found, wanted)
        masked = np.where(np.arange(40) % 3 == 0, dtype(-np.inf), dtype(1)) * np.ones((5, 1), dtype)
        y, mask = fd.softmax_dropout(masked, 0.5, rng=0)
        same(y, reference.softmax_dropout(masked, kept_of(mask), mask.scale))
        assert (y[:, ::3] == 0).all()
        nothing = fd.softmax_dropout(np.full((1, 8), -np.inf, dtype), 0.0)[0]
        assert np.isnan(nothing.astype(float)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_and_in_place(isa, thread_count, dtype):
    bias = values(130, dtype, 9)
    for x in (values((130, 70), dtype).T, values((70, 260), dtype)[:, ::2], values((70, 130), dtype)[::-1]):
        flat, dy = np.ascontiguousarray(x), values(x.shape, dtype, 1)
        for call in (
            lambda v, **k: fd.bias_activation_dropout(v, bias, 0.3, rng=1, **k),
            lambda v, flat=flat, **k: fd.dropout_add(v, flat, 0.3, rng=1, **k),
            lambda v, **k: fd.softmax_dropout(v, 0.3, rng=1, **k),
        ):
            wanted, mask = call(flat)
            same(np.ascontiguousarray(call(x)[0]), wanted)
            inplace = flat.copy()
            assert call(inplace, out=inplace)[0] is inplace
            same(inplace, wanted)
            transposed = np.empty(x.shape[::-1], dtype).T
            call(x, out=transposed)
            same(np.ascontiguousarray(transposed), wanted)
            overlapping = np.concatenate([flat, flat])
            call(overlapping[: len(flat)], out=overlapping[1 : len(flat) + 1])
            same(overlapping[1 : len(flat) + 1], wanted)
        one = fd.softmax_dropout_backward(dy, x, mask)
        other = dy.copy()
        same(fd.softmax_dropout_backward(other, x, mask, out=other), one)


def test_drop_path_with_a_residual(isa, thread_count):
    x, residual = values((50, 8, 9), np.float32), values((50, 8, 9), np.float32, 1)
    y, mask = fd.dropout_add(x, residual, 0.4, rng=3, shared_axes=(1, 2))
    assert mask.noise_shape == (50, 1, 1)
    same(y, reference.dropout_add(x, residual, kept_of(mask), mask.scale))


def test_without_training_nothing_is_dropped():
    x, bias = values((6, 10), np.float32), values(10, np.float32, 1)
    y, mask = fd.bias_activation_dropout(x, bias, 0.9, training=False)
    assert mask is None
    np.testing.assert_array_equal(y, np.maximum(x + bias, 0))
    dx, dbias = fd.bias_activation_dropout_backward(np.ones_like(x), x, bias, None)
    np.testing.assert_array_equal(dx, (x + bias > 0).astype(np.float32))
    np.testing.assert_allclose(dbias, dx.sum(axis=0))
    np.testing.assert_array_equal(fd.dropout_add(x, x, 0.9, training=False)[0], x + x)


def test_the_number_of_threads_changes_no_sum(monkeypatch):
    from fastdrop import threads

    monkeypatch.setattr(threads, "SMALLEST_SHARE", 1)
    x, bias = values((3000, 100), np.float32), values(100, np.float32, 1)
    _, mask = fd.bias_activation_dropout(x, bias, 0.3, rng=1)
    before, results = fd.get_num_threads(), []
    try:
        for count in (1, 2, 3, 5):
            fd.set_num_threads(count)
            results.append(fd.bias_activation_dropout_backward(x, x, bias, mask)[1])
    finally:
        fd.set_num_threads(before)
    for other in results[1:]:
        same(results[0], other)


def test_empty_arrays():
    for shape in ((0, 4), (4, 0), (0,)):
        x, bias = np.zeros(shape, np.float32), np.zeros(shape[-1], np.float32)
        y, mask = fd.bias_activation_dropout(x, bias)
        dx, dbias = fd.bias_activation_dropout_backward(y, x, bias, mask)
        assert (dx.shape, dbias.shape) == (shape, bias.shape)
        assert not dbias.any()
        y, mask = fd.softmax_dropout(x)
        assert fd.softmax_dropout_backward(y, x, mask).shape == shape


X, BIAS = np.ones((4, 6), np.float32), np.ones(6, np.float32)
MASK, ROWS = fd.bias_activation_dropout(X, BIAS, rng=0)[1], fd.softmax_dropout(X, rng=0)[1]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fd.bias_activation_dropout(X, BIAS[:5]), ValueError, r"\(4, 6\).*\(5,\)"),
        (lambda: fd.bias_activation_dropout(X, BIAS.astype(float)), TypeError, "float64.*float32"),
        (lambda: fd.bias_activation_dropout(X, BIAS, activation="tanh"), ValueError, "'tanh'"),
        (lambda: fd.bias_activation_dropout(X, BIAS, 1.5), ValueError, "1.5"),
        (lambda: fd.bias_activation_dropout(X, BIAS, out=X[:2]), ValueError, "out has shape"),
        (lambda: fd.bias_activation_dropout_backward(X[:2], X, BIAS, MASK), ValueError, r"\(2, 6\).*\(4, 6\)"),
        (lambda: fd.bias_activation_dropout_backward(X[:2], X[:2], BIAS, MASK), ValueError, r"mask of shape \(4, 6\)"),
        (lambda: fd.dropout_add(X, X.T), ValueError, r"\(4, 6\).*\(6, 4\)"),
        (lambda: fd.dropout_add(X, X.astype(np.float16)), TypeError, "float16.*float32"),
        (lambda: fd.dropout_add(X, X, rng=0, shared_axes=2), ValueError, r"axis|axes"),
        (lambda: fd.softmax_dropout(np.float32(1)), ValueError, "axis"),
        (lambda: fd.softmax_dropout(X.astype(int)), TypeError, "int64"),
        (lambda: fd.softmax_dropout_backward(X, X[:2], ROWS), ValueError, "equal"),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
