"""Evaluation mode selects where training selects, rates of 0 and 1 included; half precision is rounded once."""

import ml_dtypes
import numpy as np
import pytest
from calltools import values

import fastdrop as fd


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_evaluation_at_rates_0_and_1_ignores_dropped_values(bad, dtype):
    one, odd = np.ones(5, dtype), np.full(5, bad, dtype)
    for training in (True, False):
        assert (fd.zoneout(one, odd, 0.0, training=training)[0] == 1).all()
        assert (fd.zoneout(odd, one, 1.0, training=training)[0] == 1).all()
        assert (fd.dropout(odd, 1.0, scaling="classic", training=training)[0] == 0).all()
    dnew, dprevious = fd.zoneout_backward(odd, None, p=0.0)
    assert np.array_equal(dnew, odd, equal_nan=True)
    assert (dprevious == 0).all()
    dnew, dprevious = fd.zoneout_backward(odd, None, p=1.0)
    assert (dnew == 0).all()
    assert np.array_equal(dprevious, odd, equal_nan=True)
    layer = [[bad]], [[1.0]], [2.0]
    x, weight, bias = (np.array(array, dtype) for array in layer)
    for arguments in ((x, weight), (weight, x)):
        with np.errstate(all="ignore"):
            assert fd.dropconnect(*arguments, bias, 1.0, scaling="classic", training=False)[0].item() == 2
            y = fd.dropconnect(*arguments, bias, 1.0, scaling="classic", drop_bias=True, training=False)[0]
            assert y.item() == 0
            assert fd.dropconnect_moments(*arguments, p=0.0)[1].item() == 0
            assert fd.dropconnect_moments(*arguments, p=1.0, scaling="classic")[1].item() == 0


def test_evaluation_is_the_expectation_between():
    new, previous = values(100), values(100, seed=1)
    y = fd.zoneout(new, previous, 0.25, training=False)[0]
    np.testing.assert_allclose(y, 0.75 * new + 0.25 * previous, rtol=1e-6)
    np.testing.assert_array_equal(fd.dropout(new, 0.25, scaling="classic", training=False)[0], new * np.float32(0.75))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_the_expectation_of_half_precision_rounds_once(dtype):
    new, previous = values(1000, dtype), values(1000, dtype, 1)
    for p in (0.1, 0.3, 0.7):
        one, other = (array.astype(np.float32) for array in (new, previous))
        wanted = (np.float32(1 - p) * one + np.float32(p) * other).astype(dtype)
        np.testing.assert_array_equal(fd.zoneout(new, previous, p, training=False)[0], wanted)
        dnew, dprevious = fd.zoneout_backward(new, None, p=p)
        np.testing.assert_array_equal(dnew, (np.float32(1 - p) * one).astype(dtype))
        np.testing.assert_array_equal(dprevious, (np.float32(p) * one).astype(dtype))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(64,), (5, 33), (4099,), (2**12 + 43,)])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_alpha_dropout_of_half_precision_rounds_once(dtype, shape, p):
    x = values(shape, dtype)
    y, mask = fd.alpha_dropout(x, p, rng=0)
    q, limit = 1 - p, -1.7580993408473766
    a = (q + limit**2 * q * p) ** -0.5
    exact = np.where(np.asarray(mask), x.astype(np.float64), limit) * a - a * p * limit
    error = np.abs(y.astype(np.float64) - exact)
    bits = 11 if dtype is np.float16 else 8
    assert (error <= (2.0**-bits * 1.001) * np.maximum(np.abs(exact), 2.0**-12)).all()  # half a unit in the last place


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_moments_of_half_precision_round_once(dtype):
    x, weight, bias = values((5, 40), dtype), values((3, 40), dtype, 1), values(3, dtype, 2)
    wide = [array.astype(np.float32) for array in (x, weight, bias)]
    for drop_bias in (True, False):
        for scaling in ("inverted", "classic"):
            how = {"p": 0.3, "drop_bias": drop_bias, "scaling": scaling}
            for found, wanted in zip(
                fd.dropconnect_moments(x, weight, bias, **how), fd.dropconnect_moments(*wide, **how), strict=True
            ):
                np.testing.assert_array_equal(found, wanted.astype(dtype))
    large = np.full((1, 1), 300, np.float16), np.ones((1, 1), np.float16)
    assert fd.dropconnect_inference(*large, p=0.5, samples=500, rng=1).item() == pytest.approx(300, rel=0.2)


@pytest.mark.parametrize("p", [1e-13, 1 - 1e-13])
def test_rates_that_round_to_all_or_nothing(p):
    odd = [np.nan]
    for training in (True, False):
        new, previous = ([1.0], odd) if p < 0.5 else (odd, [1.0])
        assert fd.zoneout(new, previous, p, training=training)[0] == 1
        assert fd.dropout([2.0], p, scaling="classic", training=training)[0] == (2.0 if p < 0.5 else 0.0)
    assert fd.dropout([np.inf], 1 - 1e-13, scaling="classic", training=False)[0] == 0


def test_alpha_dropout_of_a_rate_that_drops_nothing():
    x = np.array([1.0, 3.0])
    y, mask = fd.alpha_dropout(x, 2.0**-42, rng=0)
    assert (y == x).all()
    assert (fd.dropout_backward(x, mask) == x).all()
