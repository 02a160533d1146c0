"""Every function of the dropout family: its formula in float64, its gradient, layouts, dtypes and what it refuses."""

import pickle
import tracemalloc

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import reference
from fastdrop.rule import ALPHA_DROPPED, SELU_ALPHA, SELU_SCALE

RNG = np.random.default_rng(0)


MEMBERS = {
    "gaussian": (lambda x, **how: fd.gaussian_dropout(x, 0.3, **how), fd.dropout_backward),
    "alpha": (lambda x, **how: fd.alpha_dropout(x, 0.3, **how), fd.dropout_backward),
    "feature alpha": (lambda x, **how: fd.feature_alpha_dropout(x, 0.3, **how), fd.dropout_backward),
    "feature alpha last": (
        lambda x, **how: fd.feature_alpha_dropout(x, 0.3, channel_axis=-1, **how),
        fd.dropout_backward,
    ),
    "DropBlock": (lambda x, **how: fd.dropblock(x, 0.3, 2, **how), fd.dropout_backward),
    "DropBlock last": (lambda x, **how: fd.dropblock(x, 0.3, 3, channel_axis=-1, **how), fd.dropout_backward),
    "cutout": (lambda x, **how: fd.cutout(x, 3, **how), fd.dropout_backward),
    "DropPath": (lambda x, **how: fd.drop_path(x, 0.3, **how), fd.dropout_backward),
    "locked": (lambda x, **how: fd.locked_dropout(x, 0.3, **how), fd.dropout_backward),
}
SHAPE = (3, 4, 5, 6)


def factors(name, mask, shape):
    """The factor and the offset of each element, derived again from the papers."""
    if name == "gaussian":
        z = reference.normals(mask.draw.key, mask.draw.call, np.arange(int(np.prod(shape)))).reshape(shape)
        return 1 + np.sqrt(0.3 / 0.7) * z.astype(np.float64), 0.0
    kept = np.asarray(mask)
    if name.startswith(("alpha", "feature")):
        q, alpha = 1 - mask.p, -SELU_SCALE * SELU_ALPHA
        a = (q + alpha**2 * q * (1 - q)) ** -0.5
        b = -a * (1 - q) * alpha
        return a * kept, a * alpha * ~kept + b
    if name.startswith("DropBlock"):
        return kept * (kept.size / kept.sum()), 0.0
    return (kept, 0.0) if name == "cutout" else (kept * mask.scale, 0.0)


@pytest.mark.parametrize("name", MEMBERS)
def test_formula_and_gradient(name):
    forward, backward = MEMBERS[name]
    x = RNG.standard_normal(SHAPE)
    y, mask = forward(x, rng=5)
    factor, shift = factors(name, mask, SHAPE)
    np.testing.assert_allclose(y, x * factor + shift, rtol=1e-14, atol=1e-14)
    dy = RNG.standard_normal(SHAPE)
    dx = backward(dy, mask)
    np.testing.assert_allclose(dx, dy * factor, rtol=1e-14)
    np.testing.assert_array_equal(fd.dropout_backward(dy, pickle.loads(pickle.dumps(mask))), dx)
    for index in [(0, 0, 0, 0), (2, 3, 4, 5), (1, 2, 0, 3), (0, 1, 4, 1)]:
        above, below = x.copy(), x.copy()
        above[index] += 1e-6
        below[index] -= 1e-6
        change = ((forward(above, rng=5)[0] - forward(below, rng=5)[0]) * dy).sum() / 2e-6
        assert change == pytest.approx(dx[index], abs=1e-7)


@pytest.mark.parametrize("name", MEMBERS)
def test_evaluation_returns_the_values(name):
    forward, backward = MEMBERS[name]
    x = RNG.standard_normal(SHAPE)
    x[0, 0, 0, :2] = np.nan, -0.0
    y, mask = forward(x, training=False)
    assert mask is None
    assert y.tobytes() == x.tobytes()
    assert y is not x
    np.testing.assert_array_equal(backward(x, None), x)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_layouts_and_dtypes_change_no_keep_bit(name, dtype):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    forward, _ = MEMBERS[name]
    x = RNG.standard_normal(SHAPE).astype(dtype)
    y, mask = forward(x, rng=9)
    assert y.dtype == x.dtype
    wanted, wanted_mask = forward(x.astype(np.float64), rng=9)
    assert mask == wanted_mask
    assert hash(mask) == hash(wanted_mask)
    assert (mask == forward(x, rng=10)[1]) is False
    tolerance = {2: 1e-2, 4: 1e-6, 8: 0}[x.dtype.itemsize]
    np.testing.assert_allclose(y.astype(np.float64), wanted, rtol=tolerance, atol=tolerance)
    transposed = np.asfortranarray(x)
    np.testing.assert_array_equal(forward(transposed, rng=9)[0], y)
    out = x.copy()
    assert forward(out, rng=9, out=out)[0] is out
    np.testing.assert_array_equal(out, y)
    apart = np.zeros((*SHAPE[:3], 2 * SHAPE[3]), dtype)[..., ::2]
    forward(x, rng=9, out=apart)
    np.testing.assert_array_equal(apart, y)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_mask_fits_its_shape_only(name):
    _, mask = MEMBERS[name][0](np.ones(SHAPE), rng=1)
    assert np.asarray(mask).shape == SHAPE
    assert str(SHAPE) in repr(mask)
    with pytest.raises(ValueError, match=r"3, 4, 5, 6.*3, 4, 5, 7"):
        mask(np.ones((3, 4, 5, 7)))
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # before, `copy` meant something else
        with pytest.raises(ValueError, match="copy"):
            np.array(mask, copy=False)


@pytest.mark.parametrize("name", MEMBERS)
def test_empty_arrays(name):
    forward, backward = MEMBERS[name]
    for shape in ((0, 4, 5, 6), (3, 0, 5, 6), (3, 4, 0, 6)):
        y, mask = forward(np.ones(shape), rng=1)
        assert y.shape == backward(np.ones(shape), mask).shape == shape


@pytest.mark.parametrize(
    ("p", "error"), [(-0.1, ValueError), (1.5, ValueError), (float("nan"), ValueError), ("a", TypeError)]
)
@pytest.mark.parametrize("training", [True, False])
def test_probabilities_out_of_range(p, error, training):
    x = np.ones(SHAPE)
    for function in (
        fd.gaussian_dropout,
        fd.alpha_dropout,
        fd.feature_alpha_dropout,
        fd.drop_path,
        fd.locked_dropout,
        fd.dropblock,
    ):
        with pytest.raises(error, match="probability"):
            function(x, p, training=training)
    with pytest.raises(error, match="probability"):
        fd.zoneout(x, x, p, training=training)


def test_extreme_rates():
    x = RNG.standard_normal(SHAPE)
    x[0, 0, 0, :3] = np.inf, np.nan, -0.0
    for function in (
        fd.gaussian_dropout,
        fd.alpha_dropout,
        fd.feature_alpha_dropout,
        fd.drop_path,
        fd.locked_dropout,
        fd.dropblock,
    ):
        y, mask = function(x, 0.0, rng=1)
        assert y.tobytes() == x.tobytes(), function
        assert mask is not None
        if function is not fd.gaussian_dropout:
            np.testing.assert_array_equal(function(x, 1.0, rng=1)[0], np.zeros(SHAPE))
    with pytest.raises(ValueError, match="infinite"):
        fd.gaussian_dropout(x, 1.0)
    np.testing.assert_array_equal(fd.zoneout(x, -x, 0.0, rng=1)[0], x)
    np.testing.assert_array_equal(fd.zoneout(x, -x, 1.0, rng=1)[0], -x)


def test_dropped_infinities_do_not_change_the_result():
    x = np.full((50, 8, 5, 6), np.inf)
    for name in ("DropBlock", "cutout", "DropPath", "locked"):
        y, mask = MEMBERS[name][0](x, rng=2)
        np.testing.assert_array_equal(y == 0, ~np.asarray(mask))
    y, mask = fd.alpha_dropout(x, 0.5, rng=2)
    np.testing.assert_array_equal(np.isfinite(y), ~np.asarray(mask))


@pytest.mark.parametrize("function", [fd.alpha_dropout, fd.feature_alpha_dropout])
def test_alpha_dropout_keeps_mean_and_variance(function):
    x = RNG.standard_normal((400, 400, 4))
    for p in (0.05, 0.3, 0.7):
        y, _ = function(x, p, rng=3)
        assert y.mean() == pytest.approx(0, abs=0.02)
        assert y.var() == pytest.approx(1, abs=0.02)


def test_gaussian_dropout_has_dropouts_variance():
    for p in (0.1, 0.5, 0.8):
        y, noise = fd.gaussian_dropout(np.ones(1_000_000), p, rng=3)
        assert noise.sigma == pytest.approx(np.sqrt(p / (1 - p)))
        assert y.mean() == pytest.approx(1, abs=5 * noise.sigma / 1000)
        assert y.std() == pytest.approx(noise.sigma, rel=0.01)


def test_noise_is_the_same_in_every_dtype_and_from_call_to_call_another():
    stream = fd.Stream(4)
    first, second = (fd.gaussian_dropout(np.ones(1000), 0.5, rng=stream)[0] - 1 for _ in range(2))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    single, _ = fd.gaussian_dropout(np.ones(1000, np.float32), 0.5, rng=4)
    np.testing.assert_allclose(single, first + 1, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fd.dropblock(np.ones((2, 3)), 0.1), "positions"),
        (lambda: fd.dropblock(np.ones(SHAPE), 0.1, 0), "block_size.*0"),
        (lambda: fd.cutout(np.ones(SHAPE), -1), "-1"),
        (lambda: fd.cutout(np.ones((2, 3)), 1), "positions"),
        (lambda: fd.drop_path(1.0), "batch"),
        (lambda: fd.embedding_dropout(np.ones(3)), "words, features"),
        (lambda: fd.feature_alpha_dropout(np.ones(SHAPE), channel_axis=0), "batch axis"),
        (lambda: fd.dropout(np.ones(3), scaling="alpha"), "inverted.*alpha"),
        (lambda: fd.dropconnect_inference(np.ones((1, 2)), np.ones((1, 2)), samples=0), "samples.*0"),
        (lambda: fd.dropconnect_moments(np.ones((1, 2)), np.ones((1, 2)), p=1.0), "p = 1"),
        (lambda: fd.dropconnect(np.ones((1, 2)), np.ones((1, 2)), drop_bias=True), "no bias"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_constants():
    assert pytest.approx(-1.7580993408473766) == ALPHA_DROPPED


@pytest.mark.parametrize("shape", [(), (1,), (63,), (5000,), (4099,), (3, 70_000), (8192,), (2, 3, 4097)])
def test_alpha_dropout_of_long_rows_and_single_numbers(shape):
    x = RNG.standard_normal(shape)
    y, mask = fd.alpha_dropout(x, 0.3, rng=1)
    shift = -mask.scale * mask.p * ALPHA_DROPPED
    np.testing.assert_array_equal(y, np.where(np.asarray(mask), x, ALPHA_DROPPED) * mask.scale + shift)
    assert y.shape == shape


def test_alpha_dropout_keeps_no_row_as_long_as_the_array():
    x, out = np.ones(1 << 22), np.ones(1 << 22)
    tracemalloc.start()
    fd.alpha_dropout(x, 0.3, rng=1, out=out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
