"""Empty arrays of any size, sizes beyond C's integers, and functions that need no memory but their result."""

import numpy as np
import pytest
from calltools import ALL, FUNCTIONS, NO_P

import fastdrop as fd
from fastdrop.regions import block_start_probability


def test_sizes_beyond_the_integers_of_c():
    stream, x = fd.Stream(1), np.ones((2, 2, 4, 4))
    y, mask = fd.cutout(x, 2**63, rng=stream)
    assert not y.any()
    assert mask.size <= 8
    y, _ = fd.dropblock(x, 0.5, 2**70, rng=stream)
    assert {len(set(image.ravel().tolist())) for image in y.reshape(4, 16)} == {1}
    for size in (-1, -(2**70), 1.5, "2", None):
        with pytest.raises((TypeError, ValueError)):
            fd.cutout(x, size, rng=stream)
        with pytest.raises((TypeError, ValueError)):
            fd.dropblock(x, 0.5, size, rng=stream)
    assert stream.calls == 2


@pytest.mark.parametrize("name", [name for name in FUNCTIONS | NO_P if name != "bias_activation_dropout"])
def test_empty_arrays_of_any_size(name):
    for shape in [(0, 2**40), (0, 3, 2**30), (0, 2, 2**20, 2**20), (2**20, 2, 0, 2**20)]:
        if name in ("dropblock", "cutout") and len(shape) == 2:
            shape = (0, 1, 2**40)
        x = np.empty(shape, np.float32)
        for training in (True, False):
            y, mask = ALL[name](x, 0.5, rng=1, training=training)
            assert y.shape == shape
        _, mask = ALL[name](x, 0.5, rng=1)
        results = [mask(x), mask * x, mask.factors()]
        if name == "softmax_dropout":
            results.append(fd.softmax_dropout_backward(x, x, mask))
        elif name == "zoneout":
            results += fd.zoneout_backward(x, mask)
        assert {result.shape for result in results} == {shape}
        assert np.asarray(mask).shape == shape


def test_empty_layers_of_any_size():
    x, weight = np.empty((0, 2**40), np.float32), np.empty((0, 2**40), np.float32)
    for per_example in (True, False):
        for drop_bias in (True, False):
            bias = np.empty(0, np.float32)
            y, mask = fd.dropconnect(x, weight, bias, per_example=per_example, drop_bias=drop_bias, rng=1)
            assert y.shape == (0, 0)
            dx, dweight, dbias = fd.dropconnect_backward(y, x, weight, mask)
            assert (dx.shape, dweight.shape, dbias.shape) == (x.shape, weight.shape, (0,))
    bias = np.broadcast_to(np.float32(1), 2**40)
    assert fd.bias_activation_dropout(x, bias, rng=1)[0].shape == x.shape


def test_the_rate_of_blocks_needs_no_array_as_long_as_the_axis():
    assert block_start_probability(0.3, (2**50,), (1,)) == pytest.approx(0.3)
    for size, length in [(9, 4), (10, 4), (7, 7), (8, 8), (5, 1), (6, 5)]:  # compared with counting every position
        places = np.arange(size)
        covers = np.minimum.reduce([places + 1, size - places, np.full(size, min(length, size - length + 1))])
        rate = block_start_probability(0.25, (size,), (length,))
        assert np.mean((1 - rate) ** covers) == pytest.approx(0.75, abs=1e-12)


def test_alpha_dropout_needs_no_memory_but_its_result():
    import tracemalloc

    x = np.zeros(2**20 + 7, np.float16)
    out = np.empty_like(x)
    fd.alpha_dropout(x, 0.5, rng=1, out=out)
    tracemalloc.start()
    fd.alpha_dropout(x, 0.5, rng=1, out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**16


def test_rates_of_blocks_under_any_error_state():
    x = np.ones((1, 1, 60, 60), np.float32)
    with np.errstate(all="raise"):
        for p in (0.5, 0.999, 1 - 2.0**-40):
            for size in (7, 30, 60):
                fd.dropblock(x, p, size, rng=0)


def test_regions_of_axes_beyond_32_bits():
    size = 2**34 + 5
    mask = fd.CutoutMask((8, 1, size), 3, 2, rng=0)
    words = mask.words.packed().view("<u4").tolist()
    assert mask.centres()[:, 0].tolist() == [word * size >> 32 for word in words]
    assert fd.BlockMask((1, 2**40, 2**40), 0.5, 2**40, (1, 2), rng=0).seeds.p == pytest.approx(0.5)
