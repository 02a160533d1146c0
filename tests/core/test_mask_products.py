"""Masks in NumPy expressions: a product applies the mask, other functions refuse it, and so does the pair (y, mask)."""

import pickle

import ml_dtypes
import numpy as np
import pytest

import fastdrop as fd
from fastdrop.multiplicative_noise import MultiplicativeNoise

MAPS = (2, 3, 4, 4)
MASKS = {
    "dropout": lambda: fd.dropout(np.ones(MAPS), 0.75, rng=8)[1],
    "window": lambda: fd.dropout(np.ones((5, *MAPS)), 0.75, rng=8)[1][2],
    "shared axes": lambda: fd.spatial_dropout(np.ones(MAPS), 0.75, rng=8)[1],
    "classic": lambda: fd.dropout(np.ones(MAPS), 0.75, scaling="classic", rng=8)[1],
    "noise": lambda: fd.gaussian_dropout(np.ones(MAPS), 0.75, rng=8)[1],
    "alpha": lambda: fd.alpha_dropout(np.ones(MAPS), 0.75, rng=8)[1],
    "blocks": lambda: fd.dropblock(np.ones(MAPS), 0.3, 2, rng=8)[1],
    "cutout": lambda: fd.cutout(np.ones(MAPS), 3, rng=8)[1],
    "softmax": lambda: fd.softmax_dropout(np.ones(MAPS), 0.75, rng=8)[1],
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_a_product_with_a_mask_is_the_gradient(name, dtype):
    mask = MASKS[name]()
    dy = np.random.default_rng(0).standard_normal(MAPS).astype(dtype)
    wanted = mask(dy)
    out = np.empty_like(dy)
    products = [dy * mask, mask * dy, np.multiply(dy, mask), np.multiply(mask, dy), np.multiply(dy, mask, out=out), out]
    products.append(dy.copy())
    products[-1] *= mask
    for product in products:
        assert product.dtype == dtype
        np.testing.assert_array_equal(product.view(np.uint8), wanted.view(np.uint8))
    np.testing.assert_array_equal(mask * dy.tolist(), mask(dy.astype(float)))


def test_other_kinds_of_arrays_get_no_booleans():
    mask = fd.dropout(np.ones((4, 8)), 0.75, rng=8)[1]
    masked = np.ma.array(np.ones((4, 8)), mask=np.eye(4, 8))
    for call in (lambda: masked * mask, lambda: mask * masked):
        with pytest.raises(TypeError, match="MaskedArray"):
            call()
    pandas = pytest.importorskip("pandas")
    for shape in ((4, 8), (6, 6)):
        array = np.random.default_rng(0).standard_normal(shape)
        mask = fd.dropout(array, 0.75, rng=8)[1]
        frame = pandas.DataFrame(array)
        for product in (frame * mask, mask * frame):
            np.testing.assert_array_equal(product, mask(array))
    series = pandas.Series(np.ones(36))
    np.testing.assert_array_equal(
        series * fd.dropout(np.ones(36), 0.5, rng=1)[1], fd.dropout(np.ones(36), 0.5, rng=1)[0]
    )


def test_a_product_selects():
    mask = fd.dropout(np.ones(1000), 0.5, rng=1)[1]
    for bad in (np.nan, np.inf):
        y = np.full(1000, bad) * mask
        assert (y[~np.asarray(mask)] == 0).all()


@pytest.mark.parametrize("name", MASKS)
def test_no_other_ufunc_takes_a_mask(name):
    mask, x = MASKS[name](), np.ones(MAPS)
    calls = [
        lambda: x + mask, lambda: x - mask, lambda: x / mask, lambda: x @ mask, lambda: x**mask, lambda: x > mask,
        lambda: x == mask, lambda: np.logical_not(mask), lambda: np.sum(mask), lambda: np.add.reduce(mask),
        lambda: np.exp(mask), lambda: np.multiply.outer(x, mask), lambda: np.multiply.reduce(mask),
        lambda: np.maximum(mask, x), lambda: np.isnan(mask), lambda: np.mean(mask), lambda: np.kron(x, mask),
        lambda: np.einsum("abcd,abcd->abcd", x, mask), lambda: np.dot(x, mask), lambda: np.tensordot(x, mask),
        lambda: np.inner(mask, x), lambda: np.vdot(x, mask), lambda: np.concatenate([x, mask]), lambda: np.prod(mask),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(TypeError, match=r"multiplying applies it.*numpy\.asarray\(mask\)"):
            call()
    for call in (lambda: 1 - mask, lambda: ~mask, lambda: mask & mask, lambda: mask / 2):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError, match="apply one after the other"):
        mask * mask
    with pytest.raises(TypeError, match="apply one after the other"):
        np.multiply(mask, mask)
    with pytest.raises(TypeError, match="takes no where"):
        np.multiply(x, mask, where=x > 0)
    with pytest.raises(TypeError, match="takes no dtype"):
        np.multiply(x, mask, dtype=np.float32)
    for number in (2.0, 2, 1j, np.float32(2)):
        for call in (lambda n=number: mask * n, lambda n=number: n * mask):
            with pytest.raises(ValueError, match=r"shape \(2, 3, 4, 4\).*(number|\(\))"):
                call()
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\).*\(4,\)"):
        np.ones(4) * mask
    with pytest.raises(TypeError, match="int64"):
        np.ones(MAPS, np.int64) * mask


@pytest.mark.parametrize("name", MASKS)
def test_masks_can_be_inspected_as_arrays(name):
    mask = MASKS[name]()
    kept = np.asarray(mask)
    assert kept.dtype == (np.float32 if name == "noise" else np.bool_)
    np.testing.assert_array_equal(np.where(mask, 1, 0), kept != 0)
    assert np.count_nonzero(mask) == np.count_nonzero(kept)
    np.testing.assert_array_equal(np.argwhere(mask), np.argwhere(kept))
    assert np.array_equal(mask, kept)
    target = np.zeros(MAPS)
    if name != "noise":
        np.copyto(target, 1.0, where=mask)
        np.testing.assert_array_equal(target, kept)
    factors = mask.factors(np.float64)
    np.testing.assert_array_equal(factors, mask(np.ones(MAPS)))
    assert mask.factors().dtype == np.float32
    with pytest.raises(TypeError, match="int64"):
        mask.factors(np.int64)
    if name != "noise":
        np.testing.assert_array_equal(factors != 0, kept)


def test_all_masks_have_one_base_class():
    for make in MASKS.values():
        mask = make()
        assert isinstance(mask, MultiplicativeNoise)
        assert mask.shape == MAPS
        assert isinstance(mask.made_by, str)
        assert pickle.loads(pickle.dumps(mask)) == mask


def test_the_pair_is_no_array():
    h = fd.dropout(np.ones((3, 3)), rng=1)
    y, mask = h
    assert (h.y is y, h.mask is mask, isinstance(h, tuple), len(h)) == (True, True, True, 2)
    for call in (
        lambda: h @ np.ones((3, 3)),
        lambda: np.ones((3, 3)) @ h,
        lambda: np.asarray(h),
        lambda: fd.dropout(h),
    ):
        with pytest.raises(TypeError, match=r"pair \(y, mask\)"):
            call()
    assert pickle.loads(pickle.dumps(h))[1] == mask


def test_every_function_returns_such_a_pair():
    x = np.ones(MAPS)
    rows = np.ones((4, 4))
    results = [
        fd.dropout(x), fd.spatial_dropout(x), fd.drop_path(x), fd.locked_dropout(x), fd.embedding_dropout(rows),
        fd.gaussian_dropout(x), fd.alpha_dropout(x), fd.feature_alpha_dropout(x), fd.dropblock(x), fd.cutout(x, 2),
        fd.softmax_dropout(x), fd.zoneout(x, x), fd.dropout_add(x, x), fd.bias_activation_dropout(rows, rows[0]),
        fd.dropconnect(rows, rows), fd.dropout(x, training=False), fd.dropout(x, shared_axes=1, rng=fd.Stream(1)),
    ]  # fmt: skip
    for result in results:
        with pytest.raises(TypeError, match="pair"):
            np.asarray(result)
