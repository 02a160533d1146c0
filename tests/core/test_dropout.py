"""The dropout kernels against the reference, bit for bit."""

import multiprocessing
import pickle
import threading

import ml_dtypes
import numpy as np
import pytest
from masks import kept_by_reference

import fastdrop as fd
from fastdrop import reference
from fastdrop._kernels import cpu

DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
UNSIGNED = {2: np.uint16, 4: np.uint32, 8: np.uint64}
# Around every vector width, word, register row and tile.
SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1023, 1025]
SIZES += [2015, 2047, 2048, 2049, 2079, 4095, 4096, 4097, 6143, 10_007]


def values(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def expected(x, mask):
    kept = kept_by_reference(mask)
    return reference.apply(x, np.broadcast_to(kept, x.shape), mask.scale)


def same_bits(a, b):
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    unsigned = UNSIGNED[a.dtype.itemsize]
    np.testing.assert_array_equal(np.ascontiguousarray(a).view(unsigned), np.ascontiguousarray(b).view(unsigned))


@pytest.mark.parametrize("p", [0.0, 0.1, 0.25, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_sizes(isa, thread_count, dtype, p):
    stream = fd.Stream(0x0123456789ABCDEF)  # both halves of key and call number count
    stream.state = {**stream.state, "calls": 2**32 - 3}
    for size in SIZES:
        x = values(size, dtype)
        y, mask = fd.dropout(x, p, rng=stream)
        same_bits(y, expected(x, mask))
        np.testing.assert_array_equal(np.asarray(mask), kept_by_reference(mask))
        dy = values(size, dtype, 1)
        same_bits(fd.dropout_backward(dy, mask), expected(dy, mask))


def views(dtype):
    """Arrays of every layout."""
    yield "transposed", values((67, 45), dtype).T
    yield "Fortran", np.asfortranarray(values((13, 17, 19), dtype))
    yield "every third", values(9001, dtype)[::3]
    yield "backwards", values(5000, dtype)[::-1]
    yield "backwards both", values((70, 71), dtype)[::-1, ::-2]
    yield "padded rows", values((40, 200), dtype)[:, 3:150]
    yield "offset", values(5001, dtype)[1:]
    yield "broadcast", np.broadcast_to(values(33, dtype), (77, 33))
    yield "permuted", values((5, 6, 7, 8, 9), dtype).transpose(3, 0, 4, 2, 1)
    yield "length-1 axes", values((1, 300, 1, 11, 1), dtype)
    yield "0-d", np.array(3.5, dtype)
    yield "empty", values((3, 0, 4), dtype)
    size = np.dtype(dtype).itemsize
    unaligned = np.zeros(4004 * size + 1, np.uint8)[1:].view(np.uint8)
    yield "unaligned", unaligned[: 4000 * size].view(dtype)
    if dtype is not ml_dtypes.bfloat16:  # bfloat16 has no other byte order
        yield "foreign byte order", values(3000, dtype).astype(np.dtype(dtype).newbyteorder())
    yield "Fortran, thin", np.asfortranarray(values((5000, 3), dtype))
    yield "axes rotated", values((3, 41, 300), dtype).transpose(2, 0, 1)
    yield "columns of a larger Fortran array", np.asfortranarray(values((200, 700), dtype))[3:197, 5:]


@pytest.mark.parametrize("p", [0.3, 0.5])
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(isa, thread_count, dtype, p):
    for name, x in views(dtype):
        native = x.astype(x.dtype.newbyteorder("="))
        y, mask = fd.dropout(x, p, rng=3)
        same_bits(y, expected(native, mask))
        out = np.full(x.shape, np.nan, dtype)
        assert fd.dropout(x, p, rng=3, out=out)[0] is out, name
        same_bits(out, y)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_fortran_order_across_blocks(isa, thread_count, dtype):
    """Arrays whose memory order differs from the order of the keep bits are processed in blocks of 256 x 4096."""
    x = np.asfortranarray(values((260, 4200), dtype))
    y, mask = fd.dropout(x, 0.5, rng=3)
    assert y.flags.f_contiguous
    same_bits(y, expected(x, mask))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_layout_gives_one_mask(dtype):
    x = values((31, 37, 41), dtype)
    masks = [np.asarray(fd.dropout(view, 0.3, rng=8)[1]) for view in (x, np.asfortranarray(x), x[::-1, :, ::-1])]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


SHARED = [(), (0,), (1,), (2,), (3,), (0, 1), (2, 3), (1, 2), (0, 3), (1, 2, 3), (0, 1, 2, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(5, 64, 7, 9), (4, 3, 33, 2), (3, 5, 2, 700), (2, 1, 5, 2100)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_shared_axes(isa, thread_count, dtype, shape):
    for shared in SHARED:
        for x in (values(shape, dtype), values(shape[::-1], dtype).transpose(3, 2, 1, 0)):
            y, mask = fd.dropout(x, 0.3, rng=21, shared_axes=shared)
            assert mask.noise_shape == tuple(1 if a in shared else n for a, n in enumerate(shape))
            same_bits(y, expected(x, mask))
            same_bits(fd.dropout_backward(x, mask), y)
            np.testing.assert_array_equal(np.asarray(mask), np.broadcast_to(kept_by_reference(mask), shape))


@pytest.mark.parametrize(
    ("shape", "channel_axis", "noise_shape"),
    [
        ((4, 6), 1, (4, 6)),
        ((4, 6, 50), 1, (4, 6, 1)),
        ((4, 50, 6), -1, (4, 1, 6)),
        ((4, 6, 9, 8), 1, (4, 6, 1, 1)),
        ((4, 9, 8, 70), -1, (4, 1, 1, 70)),
        ((2, 3, 4, 5, 6), 2, (2, 1, 4, 1, 1)),
        ((3, 4, 4, 5000), -1, (3, 1, 1, 5000)),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_spatial(isa, thread_count, dtype, shape, channel_axis, noise_shape):
    x = values(shape, dtype)
    y, mask = fd.spatial_dropout(x, 0.4, channel_axis=channel_axis, rng=6)
    assert mask.noise_shape == noise_shape
    same_bits(y, expected(x, mask))
    same_bits(fd.dropout_backward(x, mask), y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropped_is_zero_and_kept_is_scaled_whatever_the_value(isa, dtype):
    largest, tiny = ml_dtypes.finfo(dtype).max, ml_dtypes.finfo(dtype).smallest_subnormal
    x = np.resize(np.array([np.inf, -np.inf, np.nan, -0.0, tiny, -1.0, largest], dtype), 5000)
    with np.errstate(over="ignore"):
        y, mask = fd.dropout(x, 0.5, rng=2)
        kept = np.asarray(mask)
        same_bits(y[~kept], np.zeros(np.count_nonzero(~kept), dtype))
        same_bits(y[kept], x[kept] * dtype(2))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_every_half_value_is_rounded_once(isa, dtype):
    """All 65,536 values times scales that need rounding: a product in float32, rounded to nearest, ties to even."""
    x = np.arange(2**16, dtype=np.uint16).view(dtype)
    x = x[~np.isnan(x.astype(np.float32))]
    for p in (0.1, 0.3, 0.75):
        with np.errstate(over="ignore"):
            y, mask = fd.dropout(x, p, rng=1)
            wanted = (x.astype(np.float32) * np.float32(mask.scale)).astype(dtype)
        kept = np.asarray(mask)
        same_bits(y[kept], wanted[kept])
        same_bits(y[~kept], np.zeros(np.count_nonzero(~kept), dtype))


SIGNALLING = {2: 0x7C01, 4: 0x7F800001, 8: 0x7FF0000000000001}


@pytest.mark.parametrize("dtype", DTYPES)
def test_p_zero_returns_the_bits(isa, dtype):
    unsigned = UNSIGNED[np.dtype(dtype).itemsize]
    # including signalling NaNs, which a multiplication by one would change
    x = np.random.default_rng(0).integers(0, np.iinfo(unsigned).max, 3000, dtype=unsigned, endpoint=True).view(dtype)
    signalling = np.array([SIGNALLING[np.dtype(dtype).itemsize]], unsigned).view(dtype)
    x = np.concatenate([x, signalling])
    for array in (x, x[::2]):
        same_bits(fd.dropout(array, 0.0, rng=1)[0], array)
        same_bits(fd.dropout(array, 0.3, rng=1, training=False)[0], array)
        same_bits(fd.dropout_backward(array, None), array)
        kept = fd.dropout(array, 0.5, rng=1, scaling="classic")
        same_bits(kept[0][np.asarray(kept[1])], array[np.asarray(kept[1])])


def test_p_one_returns_zeros():
    y, mask = fd.dropout(np.array([np.nan, np.inf, 1.0]), 1.0, rng=0)
    same_bits(y, np.zeros(3))
    assert mask.keep_prob == 0
    assert mask.scale == 0
    assert not np.asarray(mask).any()


def test_classic_scaling():
    x = values(1000, np.float32)
    y, mask = fd.dropout(x, 0.25, rng=4, scaling="classic")
    kept = np.asarray(mask)
    same_bits(y[kept], x[kept])
    evaluated, none = fd.dropout(x, 0.25, rng=4, scaling="classic", training=False)
    assert none is None
    same_bits(evaluated, x * np.float32(0.75))
    half = x.astype(np.float16)
    evaluated, _ = fd.dropout(half, 0.3, scaling="classic", training=False)
    same_bits(evaluated, (half.astype(np.float32) * np.float32(0.7)).astype(np.float16))


def test_classic_evaluation_at_p_one_is_zero():
    x = np.array([np.inf, -1.0, np.nan, 1.0])
    same_bits(fd.dropout(x, 1.0, scaling="classic", training=False)[0], np.zeros(4))


def test_in_place_and_overlapping():
    x = values(9000, np.float32)
    wanted, _ = fd.dropout(x, 0.3, rng=5)
    inplace = x.copy()
    assert fd.dropout(inplace, 0.3, rng=5, out=inplace)[0] is inplace
    same_bits(inplace, wanted)
    for shift in (1, 7, 2048):
        memory = np.concatenate([x, x])
        source, target = memory[:9000], memory[shift : shift + 9000]
        fd.dropout(source, 0.3, rng=5, out=target)
        same_bits(target, wanted)
    reverse = x.copy()
    fd.dropout(reverse, 0.3, rng=5, out=reverse[::-1])
    same_bits(reverse[::-1], wanted)


def test_in_place_with_several_threads(isa, thread_count):
    """No element is processed twice where threads share the work."""
    x = values(5 * 2048 + 77, np.float32)
    y = x.copy()
    _, mask = fd.dropout(y, 0.3, rng=5, out=y)
    same_bits(y, expected(x, mask))


def test_nothing_beside_the_target_is_written(isa, thread_count):
    for size in SIZES:
        memory = np.full(size + 64, 7.0, np.float32)
        fd.dropout(values(size, np.float32), 0.5, rng=1, out=memory[32 : 32 + size])
        assert (memory[:32] == 7).all()
        assert (memory[32 + size :] == 7).all()


@pytest.mark.parametrize("hint", [*cpu.HINTS, "cached"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_alignment(isa, dtype, hint):
    """x and y at every offset within a cache line, with guard values on both sides, for every prefetch setting."""
    in_force = cpu.large_arrays()
    size, count = np.dtype(dtype).itemsize, 3 * 2048 + 77
    rng = np.random.default_rng(5)
    memory = [np.zeros(count * size + 192, np.uint8) for _ in range(2)]
    starts = [-array.ctypes.data % 64 for array in memory]
    cpu.set_large_arrays(*("none", 0, 1 << 60) if hint == "cached" else (hint, 2048, 0))
    try:
        for place in range(0, 64, size):
            other = int(rng.integers(0, 64 // size)) * size
            x, y = (
                array[start + where : start + where + count * size].view(dtype)
                for array, start, where in zip(memory, starts, (place, other), strict=True)
            )
            x[...] = values(count, dtype, place)
            memory[1][...] = 0xAB
            _, mask = fd.dropout(x, 0.3, rng=place, out=y)
            same_bits(y, expected(x, mask))
            assert (memory[1][: starts[1] + other] == 0xAB).all()
            assert (memory[1][starts[1] + other + count * size :] == 0xAB).all()
    finally:
        cpu.set_large_arrays(*in_force)


@pytest.mark.parametrize("channels", [100, 2048, 2100, 5000])
def test_channels_last_across_tiles(isa, thread_count, channels):
    x = values((3, 11, channels), np.float32)
    for view in (x, x[:, ::-1, ::-1]):
        y, mask = fd.spatial_dropout(view, 0.3, channel_axis=-1, rng=2)
        same_bits(y, expected(view, mask))


def test_a_failing_call_draws_no_mask():
    stream, x = fd.Stream(0), np.ones(5)
    for call in (
        lambda: fd.dropout(x, 0.5, rng=stream, out=np.ones(4)),
        lambda: fd.dropout(x, 2.0, rng=stream),
        lambda: fd.dropconnect(np.ones((2, 3)), np.ones((2, 4)), rng=stream),
    ):
        with pytest.raises(ValueError, match=r"shape|p is"):
            call()
    assert stream.calls == 0


def test_first_part_of_a_mask():
    for axes in [(), 0, 2]:
        _, mask = fd.dropout(np.zeros((6, 50, 3)), 0.4, rng=1, shared_axes=axes)
        np.testing.assert_array_equal(mask[0].booleans(), np.asarray(mask)[0])


def test_packed_bits_and_asarray():
    _, mask = fd.dropout(np.zeros((3, 5, 7)), 0.4, rng=12)
    flat = np.asarray(mask).ravel()
    np.testing.assert_array_equal(mask.packed(), np.packbits(flat, bitorder="little"))
    assert np.array(mask, dtype=np.float32).sum() == flat.sum()
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # before, `copy` meant something else
        with pytest.raises(ValueError, match="copy"):
            np.asarray(mask, copy=False)


def test_a_mask_is_small_and_equal_by_what_it_draws():
    _, one = fd.dropout(np.zeros((2000, 1000), np.float32), 0.5, rng=1)
    _, same = fd.dropout(np.zeros((2000, 1000), np.float32), 0.5, rng=1)
    _, other = fd.dropout(np.zeros((2000, 1000), np.float32), 0.5, rng=2)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    saved = pickle.dumps(one)
    assert len(saved) < 300
    assert pickle.loads(saved) == one


def test_streams_advance_spawn_and_restore():
    stream = fd.Stream(9)
    x = np.ones(500)
    first, second = (fd.dropout(x, 0.5, rng=stream)[1] for _ in range(2))
    assert (first.draw.call, second.draw.call, stream.calls) == (0, 1, 2)
    children = stream.spawn(3)
    assert len({child.key for child in [stream, *children]}) == 4
    copy = pickle.loads(pickle.dumps(stream))
    assert fd.dropout(x, 0.5, rng=copy)[1] == fd.dropout(x, 0.5, rng=stream)[1]
    assert [child.key for child in copy.spawn(2)] == [child.key for child in stream.spawn(2)]
    with pytest.raises(ValueError, match="version 2"):
        stream.state = {**stream.state, "rule_version": 2}


def test_rng_follows_spec_7():
    x = np.ones(300)
    assert fd.dropout(x, 0.5, rng=3)[1] == fd.dropout(x, 0.5, rng=fd.Stream(3))[1]
    generators = [np.random.default_rng(1) for _ in range(2)]
    assert fd.dropout(x, 0.5, rng=generators[0])[1] == fd.dropout(x, 0.5, rng=generators[1])[1]
    assert fd.dropout(x, 0.5, rng=generators[0])[1] != fd.dropout(x, 0.5, rng=3)[1]
    assert fd.dropout(x, 0.5)[1] != fd.dropout(x, 0.5)[1]


def test_many_python_threads_share_a_stream():
    stream, x = fd.Stream(0), values(70_000, np.float32)
    masks, lock = [], threading.Lock()

    def work():
        for _ in range(20):
            y, mask = fd.dropout(x, 0.5, rng=stream)
            assert np.array_equal(y != 0, np.asarray(mask))
            with lock:
                masks.append(mask)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(mask.draw.call for mask in masks) == list(range(80))


def _dropout_in_child(size):
    return float(fd.dropout(np.ones(size, np.float32), 0.5, rng=1)[0].sum())


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX warns of fork, if another test has loaded it
def test_a_forked_child_works():
    wanted = _dropout_in_child(1 << 20)  # the parent's OpenMP threads have started
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_dropout_in_child, (1 << 20,)).get(timeout=30) == wanted
