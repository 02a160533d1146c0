"""Results and inputs that share memory, and memory beside an array, which no call touches."""

import ctypes

import numpy as np
import pytest
from calltools import ALL, FUNCTIONS, NO_P, SHAPE, values

import fastdrop as fd
from fastdrop.backends.overlap import overlaps_itself
from fastdrop.threads import kernels


def views(size, shape, dtype=np.float32):
    """Pairs of arrays over the same memory: equal, shifted, backwards, interleaved, through DLPack and other types."""

    class Foreign:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    memory = values(2 * size + 8, dtype)
    whole = memory[:size].reshape(shape)
    return {
        "the same": (whole, whole),
        "an equal view": (whole, memory[:size].reshape(shape)),
        "shifted by one": (whole, memory[1 : size + 1].reshape(shape)),
        "shifted by many": (whole, memory[7 : size + 7].reshape(shape)),
        "backwards": (whole, memory[:size][::-1].reshape(shape)),
        "every other": (whole, memory[: 2 * size : 2].reshape(shape)),
        "through DLPack": (Foreign(whole), fd.from_dlpack(Foreign(whole))),
        "the last element alone": (whole, memory[size - 1 : 2 * size - 1].reshape(shape)),
    }


VIEWS = list(views(8, (8,)))


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("trained", [True, False])
def test_two_gradients_do_not_share_what_out_overwrites(view, trained):
    size = 4096
    dy, out = views(size, (64, 64))[view]
    if not out.flags.writeable:
        pytest.skip("what NumPy 1 gets by DLPack is read-only")
    before = np.array(fd.from_dlpack(dy))
    _, mask = fd.dropout_add(before, before, 0.5, rng=1, training=trained)
    wanted = before if mask is None else mask(before)
    dx = fd.dropout_backward(dy, mask, out=out)
    assert dx is out
    np.testing.assert_array_equal(dx, wanted)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", FUNCTIONS | NO_P)
def test_out_that_shares_memory_with_an_input(name, view):
    x, out = views(96, SHAPE)[view]
    if not out.flags.writeable:
        pytest.skip("what NumPy 1 gets by DLPack is read-only")
    call = ALL[name]
    if name == "bias_activation_dropout" and view == "through DLPack":
        x = fd.from_dlpack(x)  # the bias is a part of x
    wanted, mask = call(np.array(fd.from_dlpack(x)), 0.5, rng=3)
    y, same_mask = call(x, 0.5, rng=3, out=out)
    assert y is out
    assert same_mask == mask
    np.testing.assert_array_equal(y, wanted)


def test_out_that_shares_memory_with_the_second_input():
    memory = values(200)
    for first, second, out in [(0, 96, 96), (0, 96, 100), (96, 0, 3), (0, 96, 50), (50, 0, 50), (0, 0, 0)]:
        x, other = (memory.copy()[k : k + 96].reshape(6, 16) for k in (first, second))
        for call in (fd.zoneout, fd.dropout_add):
            wanted = call(x, other, 0.5, rng=1)[0]
            buffer = memory.copy()
            parts = [buffer[k : k + 96].reshape(6, 16) for k in (first, second, out)]
            np.testing.assert_array_equal(call(*parts[:2], 0.5, rng=1, out=parts[2])[0], wanted)
        _, mask = fd.softmax_dropout(x, rng=1)
        wanted = fd.softmax_dropout_backward(other, x, mask)
        buffer = memory.copy()
        parts = [buffer[k : k + 96].reshape(6, 16) for k in (first, second, out)]
        np.testing.assert_array_equal(fd.softmax_dropout_backward(parts[1], parts[0], mask, out=parts[2]), wanted)
    for columns in (1, 16, 96):  # the bias overlaps the result
        buffer = memory.copy()
        x, bias = buffer[:96].reshape(-1, columns), buffer[96 : 96 + columns]
        wanted = fd.bias_activation_dropout(x.copy(), bias.copy(), 0.5, rng=1)[0]
        out = buffer[96:192].reshape(-1, columns)
        np.testing.assert_array_equal(fd.bias_activation_dropout(x, bias, 0.5, rng=1, out=out)[0], wanted)


@pytest.mark.parametrize("strides", [(0, 4), (4, 4), (8, 4), (12, 4), (4, 12), (-4, 4), (4, -4), (20, 8)])
def test_out_whose_elements_share_memory_is_refused(strides):
    """With (12, 4), rows of six elements start three elements apart."""
    memory = np.zeros(100, np.float32)
    out = np.lib.stride_tricks.as_strided(memory[40:], (4, 6), strides)
    for call in (fd.dropout, fd.alpha_dropout, fd.softmax_dropout):
        with pytest.raises(ValueError, match="one place in memory"):
            call(np.ones((4, 6), np.float32), out=out)
    assert not memory.any()


def test_both_ways_to_see_overlaps_agree():
    rng, memory = np.random.default_rng(0), np.zeros(10**5, np.float32)
    for _ in range(3000):
        shape = tuple(rng.integers(0, 5, rng.integers(0, 5)))
        strides = tuple(4 * int(step) for step in rng.choice([-30, -6, -2, -1, 0, 1, 2, 3, 5, 6, 12, 30], len(shape)))
        array = np.lib.stride_tricks.as_strided(memory[5000:], shape, strides)
        found = kernels.overlaps_itself(array)
        assert found == overlaps_itself(shape, strides, 4)
        places = np.zeros(1, int)
        for size, step in zip(shape, strides, strict=True):
            places = (places[:, None] + step * np.arange(size)).ravel()
        if not found:
            assert len(set(places.tolist())) == len(places)


def test_out_with_any_strides_that_do_not_meet():
    memory = np.zeros(1000, np.float32)
    x = values((4, 6))
    wanted = fd.dropout(x, 0.5, rng=1)[0]
    for strides in [(24, 4), (4, 16), (-24, 4), (24, -4), (28, 4), (48, 8), (4, -16)]:
        out = np.lib.stride_tricks.as_strided(memory[500:], (4, 6), strides)
        np.testing.assert_array_equal(fd.dropout(x, 0.5, rng=1, out=out)[0], wanted)
    for out in (np.empty((6, 4), np.float32).T, np.empty((4, 12), np.float32)[:, ::2], np.empty((8, 6), "f4")[::-2]):
        np.testing.assert_array_equal(fd.dropout(x, 0.5, rng=1, out=out)[0], wanted)


def test_guarded_memory_is_not_touched():
    """Arrays that start or end at a protected page: an access outside would crash."""
    mmap = pytest.importorskip("mmap")
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 3 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "mprotect"):
        pytest.skip("no mprotect here")
    for outer in (address, address + 2 * page):
        assert libc.mprotect(ctypes.c_void_p(outer), ctypes.c_size_t(page), 0) == 0
    try:
        for count in (1, 31, 33, 100, page // 4):
            at_end = (ctypes.c_float * count).from_address(address + 2 * page - 4 * count)
            at_start = (ctypes.c_float * count).from_address(address + page)
            for x in (np.frombuffer(at_end, np.float32), np.frombuffer(at_start, np.float32)):
                for call in (fd.dropout, fd.alpha_dropout, fd.gaussian_dropout, fd.softmax_dropout):
                    y = call(x, 0.5, rng=1)[0]
                    assert call(x.copy(), 0.5, rng=1, out=x)[0] is x
                    np.testing.assert_array_equal(
                        x, call(x * 0, 0.5, rng=1)[0] if call is not fd.gaussian_dropout else y
                    )
                    x[...] = 0
                del y
            del x
    finally:
        for outer in (address, address + 2 * page):
            libc.mprotect(ctypes.c_void_p(outer), ctypes.c_size_t(page), 3)
