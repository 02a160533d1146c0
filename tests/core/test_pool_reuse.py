"""The pool: large results take their memory from it, and their values do not depend on it."""

import numpy as np
import pytest
from pooltools import LARGE, MARKS, NUMPYS, OURS, SMALLEST, address, block, get_handler_name

import fastdrop as fd

pytestmark = MARKS


def test_memory_of_a_deleted_result_is_used_again():
    x = np.ones(LARGE, np.float32)
    y, _ = fd.dropout(x, rng=1)
    first = address(y)
    assert fd.pool_free_bytes() == 0
    del y
    assert fd.pool_free_bytes() == SMALLEST
    y, _ = fd.dropout(x, rng=1)
    assert address(y) == first
    assert fd.pool_free_bytes() == 0


def test_a_loop_uses_two_blocks_in_turns():
    x, seen, stream = np.ones(LARGE, np.float32), set(), fd.Stream(1)
    for _ in range(6):
        y, _ = fd.dropout(x, rng=stream)
        seen.add(address(y))
    assert len(seen) == 2


def test_nothing_of_the_old_values_shows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(LARGE + 5).astype(np.float32)
    fd.set_pool_limit(0)
    wanted = fd.dropout(x, 0.3, rng=7)[0]
    fd.set_pool_limit(1 << 30)
    for _ in range(3):
        y, _ = fd.dropout(x, 0.3, rng=7)
        assert np.array_equal(y, wanted)
        y.fill(np.nan)
        del y
    assert fd.pool_free_bytes() > 0


def results(large, maps, bias, v, w):
    """Results of the public functions, and of backward functions with their own kernels."""
    dropout, mask = fd.dropout(large, rng=1)
    yield "dropout", dropout
    yield "dropout_backward", fd.dropout_backward(large, mask)
    yield "mask * dy", mask * large
    yield "slice", mask[: len(large)](large)
    yield "evaluation", fd.dropout(large, training=False)[0]
    yield "F order", fd.dropout(np.asfortranarray(large), rng=1)[0]
    yield "shared axes", fd.dropout(large, shared_axes=0, rng=1)[0]
    yield "drop_path", fd.drop_path(large, rng=1)[0]
    yield "embedding_dropout", fd.embedding_dropout(large, rng=1)[0]
    yield "locked_dropout", fd.locked_dropout(maps.reshape(16, -1, 64), rng=1)[0]
    yield "spatial_dropout", fd.spatial_dropout(maps, rng=1)[0]
    added, mask = fd.dropout_add(large, large, rng=1)
    yield "dropout_add", added
    yield "dropout_add's backward", fd.dropout_backward(large, mask)
    for activation in ("relu", "gelu"):
        y, mask = fd.bias_activation_dropout(large, bias, activation=activation, rng=1)
        yield activation, y
        backward = fd.bias_activation_dropout_backward(large, large, bias, mask, activation=activation)
        yield f"{activation} backward", backward[0]
    y, mask = fd.softmax_dropout(large, rng=1)
    yield "softmax_dropout", y
    yield "softmax_dropout_backward", fd.softmax_dropout_backward(large, large, mask)
    y, mask = fd.gaussian_dropout(large, rng=1)
    yield "gaussian_dropout", y
    yield "gaussian_dropout_backward", fd.dropout_backward(large, mask)
    yield "alpha_dropout", fd.alpha_dropout(large, rng=1)[0]
    yield "feature_alpha_dropout", fd.feature_alpha_dropout(maps, rng=1)[0]
    y, mask = fd.zoneout(large, large, rng=1)
    yield "zoneout", y
    for name, each in zip(("new", "previous"), fd.zoneout_backward(large, mask), strict=True):
        yield f"zoneout_backward, {name}", each
    yield "dropblock", fd.dropblock(maps, block_size=3, rng=1)[0]
    yield "cutout", fd.cutout(maps, 3, rng=1)[0]
    y, mask = fd.dropconnect(v, w, rng=1)
    yield "dropconnect", y


def test_every_function_takes_its_large_results_from_the_pool():
    rng = np.random.default_rng(0)
    large = rng.standard_normal((4096, 2048), dtype=np.float32)
    inputs = large, large.reshape(16, 8, 256, 256), large[0], np.ones((4096, 2), np.float32), large[:2].T.copy()
    with_pool = {}
    for name, y in results(*inputs):
        assert (name, get_handler_name(y)) == (name, OURS)
        assert y.base is None
        assert y.flags.owndata
        assert y.flags.writeable
        assert y.flags.aligned
        with_pool[name] = y.flags.c_contiguous, y.flags.f_contiguous, float(np.abs(y).sum(dtype=float)), y[0].copy()
        del y
    fd.set_pool_limit(0)
    for name, y in results(*inputs):
        assert (name, get_handler_name(y)) == (name, NUMPYS)
        *facts, row = with_pool[name]
        assert (name, *facts) == (name, y.flags.c_contiguous, y.flags.f_contiguous, float(np.abs(y).sum(dtype=float)))
        assert np.array_equal(y[0], row)


def test_dropconnects_gradients_are_of_the_pool():
    narrow = np.ones((8, 2))
    dx = fd.dropconnect_backward(np.ones((8, 1)), np.ones((8, LARGE // 16)), np.ones((1, LARGE // 16)), connect_mask(8))
    assert get_handler_name(dx[0] if dx[0].base is None else dx[0].base) == OURS
    assert get_handler_name(fd.dropconnect(narrow, np.ones((1, 2)), rng=1)[0]) == NUMPYS


def connect_mask(batch):
    return fd.dropconnect(np.ones((batch, LARGE // 16)), np.ones((1, LARGE // 16)), rng=1)[1]


@pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
def test_every_dtype(dtype):
    dtype = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype)
    y, mask = fd.dropout(np.ones(SMALLEST // dtype.itemsize, dtype), rng=1)
    assert get_handler_name(y) == OURS
    assert y.dtype == dtype
    assert np.array_equal(y[:1000] != 0, np.asarray(mask[:1000]))


def test_only_large_results_use_it():
    kept = block(32)
    first = address(kept)
    del kept
    y, _ = fd.dropout(np.ones(LARGE - 1, np.float32), rng=1)
    assert get_handler_name(y) == NUMPYS
    del y
    assert fd.pool_free_bytes() == SMALLEST
    assert address(block(32)) == first


def test_numpys_own_arrays_never_use_it():
    y = block(32)
    assert get_handler_name(y) == OURS
    assert get_handler_name() == NUMPYS
    for other in (np.empty_like(y), y.copy(), np.zeros(SMALLEST, np.uint8)):
        assert get_handler_name(other) == NUMPYS


def test_views_keep_their_memory():
    y = block(32)
    y[-3:] = 1, 2, 3
    view = y[-3:]
    del y
    assert fd.pool_free_bytes() == 0
    other = block(32)
    other.fill(9)
    assert view.tolist() == [1, 2, 3]
    del view
    assert fd.pool_free_bytes() == SMALLEST
