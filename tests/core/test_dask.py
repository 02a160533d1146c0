"""Dropout of Dask arrays is lazy, works by chunks, and gives NumPy's result on the whole array bit for bit."""

import pickle
import subprocess
import sys
import textwrap

import ml_dtypes
import numpy as np
import pytest
from devices import same, values

import fastdrop as fd
from fastdrop import Stream

pytestmark = pytest.mark.slow

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def random_chunks(rng, shape):
    """Chunks that split every axis at random places."""
    chunks = []
    for size in shape:
        cuts = np.unique(rng.integers(0, size + 1, rng.integers(0, 5)))
        chunks.append(tuple(np.diff([0, *cuts.tolist(), size]).tolist()) if size else (0,))
    return tuple(tuple(n for n in axis if n) or (0,) for axis in chunks)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_chunking_gives_numpys_result(dtype, p):
    rng = np.random.default_rng(round(100 * p))
    for _ in range(40):
        shape = tuple(rng.integers(1, 40, rng.integers(0, 4)).tolist())
        shared = tuple(axis for axis in range(len(shape)) if rng.random() < 0.3)
        x = values(shape, dtype, int(rng.integers(100)))
        lazy = da.from_array(x, chunks=random_chunks(rng, shape))
        y, mask = fd.dropout(x, p, rng=3, shared_axes=shared)
        found, same_mask = fd.dropout(lazy, p, rng=3, shared_axes=shared)
        assert isinstance(found, da.Array)
        assert (found.chunks, found.dtype, same_mask) == (lazy.chunks, y.dtype, mask)
        same(np.asarray(found.compute()), np.asarray(y))
        same(np.asarray(fd.dropout_backward(lazy, mask).compute()), np.asarray(y))
        same(np.asarray(mask(lazy).compute()), np.asarray(y))


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_large_chunks(scheduler):
    """Long runs that begin anywhere in a tile, in one thread and in several."""
    x = values((700, 5000), np.float32)
    y, mask = fd.dropout(x, 0.3, rng=5)
    for chunks in [(700, 5000), (100, 5000), (333, 1111), (700, 37), (1, 5000)]:
        lazy, other = fd.dropout(da.from_array(x, chunks=chunks), 0.3, rng=5)
        assert other == mask
        same(lazy.compute(scheduler=scheduler), y)


@pytest.mark.parametrize("channel_axis", [1, -1, 2])
def test_feature_maps_that_are_cut(channel_axis):
    """A feature map has one keep bit, also if several chunks hold parts of it."""
    x = values((5, 12, 14, 9), np.float32)
    lazy = da.from_array(x, chunks=(2, 5, 4, 7))
    y, mask = fd.spatial_dropout(x, 0.4, channel_axis=channel_axis, rng=8)
    found, same_mask = fd.spatial_dropout(lazy, 0.4, channel_axis=channel_axis, rng=8)
    assert same_mask == mask
    same(found.compute(), y)
    same(fd.dropout_backward(lazy, same_mask).compute(), y)


@pytest.mark.parametrize(
    ("function", "shape"), [(fd.drop_path, (9, 4, 5)), (fd.locked_dropout, (9, 4, 5)), (fd.embedding_dropout, (40, 7))]
)
def test_relatives_that_share_keep_bits(function, shape):
    x = values(shape, np.float64)
    y, mask = function(x, 0.4, rng=2)
    found, same_mask = function(da.from_array(x, chunks=3), 0.4, rng=2)
    assert same_mask == mask
    same(found.compute(), y)


def test_evaluation():
    x = values((50, 60), np.float16)
    lazy = da.from_array(x, chunks=(7, 60))
    for scaling in ("inverted", "classic"):
        wanted, _ = fd.dropout(x, 0.3, training=False, scaling=scaling)
        found, none = fd.dropout(lazy, 0.3, training=False, scaling=scaling)
        assert none is None
        assert isinstance(found, da.Array)
        same(found.compute(), wanted)
    same(fd.dropout_backward(lazy, None).compute(), x)
    same(fd.spatial_dropout(lazy, 0.3, training=False)[0].compute(), x)


def test_slices_of_mask_and_of_the_result():
    x = values((90, 110), np.float32)
    lazy = da.from_array(x, chunks=(20, 33))
    y, mask = fd.dropout(lazy, 0.3, rng=4)
    whole = mask(x)
    same(y[10:70:3, ::-1].compute(), whole[10:70:3, ::-1])
    same(mask[10:70:3, ::-1](lazy[10:70:3, ::-1]).compute(), whole[10:70:3, ::-1])
    same(mask[5, 20:](lazy[5, 20:]).compute(), whole[5, 20:])


def test_chunks_of_every_kind():
    """Chunks that are empty, have the other byte order, or are read-only."""
    empty = da.zeros((0, 5), chunks=(1, 2), dtype=np.float32)
    assert fd.dropout(empty, 0.5, rng=0)[0].compute().shape == (0, 5)
    gap = da.concatenate([da.ones((3, 4)), da.ones((0, 4)), da.ones((2, 4))], axis=0)
    same(fd.dropout(gap, 0.5, rng=0)[0].compute(), fd.dropout(np.ones((5, 4)), 0.5, rng=0)[0])
    x = values((30, 20), np.float32)
    foreign = da.from_array(x.astype(x.dtype.newbyteorder()), chunks=(7, 20))
    y, _ = fd.dropout(foreign, 0.5, rng=0)
    assert y.dtype == np.float32
    same(y.compute(), fd.dropout(x, 0.5, rng=0)[0])
    frozen = x.copy()
    frozen.flags.writeable = False
    same(fd.dropout(da.from_array(frozen, chunks=(7, 20)), 0.5, rng=0)[0].compute(), fd.dropout(x, 0.5, rng=0)[0])
    np.testing.assert_array_equal(frozen, x)


def test_the_mask_is_drawn_when_the_call_is_made():
    stream = Stream(7)
    x = da.ones((40, 50), chunks=(9, 50))
    first, one = fd.dropout(x, 0.5, rng=stream)
    second, two = fd.dropout(x, 0.5, rng=stream)
    assert (one.draw.call, two.draw.call, stream.calls) == (0, 1, 2)
    later, earlier = second.compute(), first.compute()
    same(first.compute(), earlier)
    same(earlier, one(np.ones((40, 50))))
    same(later, two(np.ones((40, 50))))
    assert stream.calls == 2
    unseeded, _ = fd.dropout(x, 0.5)
    same(unseeded.compute(), unseeded.compute())


def test_names_follow_from_what_decides_the_result():
    x = da.ones((40, 50), chunks=(9, 50))
    name = fd.dropout(x, 0.5, rng=1)[0].name
    assert fd.dropout(x, 0.5, rng=1)[0].name == name
    mask = fd.dropout(x, 0.5, rng=1)[1]
    assert mask(x).name == name
    others = [
        fd.dropout(x, 0.5, rng=2)[0],
        fd.dropout(x, 0.4, rng=1)[0],
        fd.dropout(x, 0.5, rng=1, scaling="classic")[0],
        fd.dropout(x, 0.5, rng=1, shared_axes=0)[0],
        fd.dropout(x + 1, 0.5, rng=1)[0],
        fd.dropout(x.rechunk((40, 9)), 0.5, rng=1)[0],
        mask[::-1](x),
        fd.dropout(x, 0.5, training=False)[0],
        fd.dropout(x, 0.5, training=False, scaling="classic")[0],
    ]
    assert len({name, *(array.name for array in others)}) == 10


def test_nothing_is_computed_before_it_is_asked_for():
    def fail(block):
        raise AssertionError("computed")

    x = da.map_blocks(fail, da.ones((6, 6), chunks=3), dtype=np.float32, meta=np.empty((0, 0), np.float32))
    y, _ = fd.dropout(x, 0.5, rng=0)
    z, _ = fd.spatial_dropout(y, 0.5, rng=0)
    assert z.shape == (6, 6)
    with pytest.raises(AssertionError, match="computed"):
        z.compute()


def test_a_chunks_task_is_small():
    """A task holds a mask and the chunk's location: its size does not depend on the array's."""
    x = da.ones((10**6, 10**6), chunks=(10**4, 10**4), dtype=np.float32)
    y, _ = fd.dropout(x, 0.3, rng=0, shared_axes=0)
    layer = y.dask.layers[y.name]
    assert len(pickle.dumps(layer)) < 5000
    tasks = dict(layer)
    assert len(tasks) == 10**4
    assert len(pickle.dumps(tasks[(y.name, 37, 99)])) < 1000


def test_no_task_sees_the_whole():
    """An array of 4 GB in chunks of 16 MB: the process never holds more than a few chunks."""
    program = """
        import resource
        import dask, dask.array as da, numpy as np
        import fastdrop as fd
        x = da.ones((2**15, 2**15), chunks=(2**11, 2**11), dtype=np.float32)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        y, mask = fd.dropout(x, 0.5, rng=1)
        with dask.config.set(scheduler="synchronous"):
            kept = int((y != 0).sum().compute())
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(kept, grown // 1024)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    kept, grown = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert abs(kept - 2**29) < 6 * 2**14  # six standard deviations
    assert grown < 300


def test_on_a_cluster_of_processes():
    distributed = pytest.importorskip("distributed")
    x = values((300, 400), np.float32)
    lazy = da.from_array(x, chunks=(70, 90))
    y, mask = fd.dropout(lazy, 0.3, rng=11)
    maps, _ = fd.spatial_dropout(lazy, 0.3, channel_axis=-1, rng=11)
    dx = fd.dropout_backward(y, mask)
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        processes = set(client.run(lambda: __import__("os").getpid()).values())
        assert len(processes) == 2
        found, found_maps, found_dx = dask.compute(y, maps, dx, scheduler=client)
    wanted, wanted_mask = fd.dropout(x, 0.3, rng=11)
    assert mask == wanted_mask
    same(found, wanted)
    same(found_dx, wanted_mask(wanted))
    same(found_maps, fd.spatial_dropout(x, 0.3, channel_axis=-1, rng=11)[0])


@pytest.mark.parametrize("shared", [None, 1])
def test_chunks_on_a_gpu_are_computed_there(gpu, shared):
    x = values((60, 70), np.float32)
    meta = gpu.put(np.empty((0, 0), np.float32))
    lazy = da.map_blocks(gpu.put, da.from_array(x, chunks=((25, 35), 70)), meta=meta)
    y, mask = fd.dropout(lazy, 0.3, rng=6, shared_axes=shared)
    assert type(y._meta) is type(meta)
    wanted = mask(x)
    for number, rows in enumerate((slice(25), slice(25, None))):
        same(gpu.get(y.blocks[number].compute()), wanted[rows])


class TestRefusals:
    x = da.ones((6, 8), chunks=3)

    def test_unknown_chunks(self):
        unknown = self.x[self.x[:, 0] > 0]
        stream = Stream(0)
        for call in (
            lambda: fd.dropout(unknown, 0.5, rng=stream),
            lambda: fd.spatial_dropout(unknown, 0.5, rng=stream),
            lambda: fd.dropout_backward(unknown, fd.dropout(np.ones((6, 8)), rng=0)[1]),
        ):
            with pytest.raises(ValueError, match=r"compute_chunk_sizes\(\)"):
                call()
        assert stream.calls == 0
        known = unknown.compute_chunk_sizes()
        same(fd.dropout(known, 0.5, rng=0)[0].compute(), fd.dropout(np.ones((6, 8)), 0.5, rng=0)[0])

    @pytest.mark.parametrize("out", [np.ones((6, 8)), x], ids=["numpy", "dask"])
    def test_out(self, out):
        stream = Stream(0)
        for call in (
            lambda: fd.dropout(self.x, 0.5, rng=stream, out=out),
            lambda: fd.spatial_dropout(self.x, 0.5, rng=stream, out=out),
            lambda: fd.dropout_backward(self.x, None, out=out),
        ):
            with pytest.raises(TypeError, match=r"no out beside it; here (x|dy)( is a| and out are) Dask array"):
                call()
        assert stream.calls == 0

    def test_dtypes_and_sizes(self):
        with pytest.raises(TypeError, match="int64; convert it first"):
            fd.dropout(da.ones((6, 8), dtype=np.int64), rng=0)
        with pytest.raises(ValueError, match=r"2\*\*56"):
            fd.dropout(da.ones((2**28, 2**28), chunks=(2**20, 2**20)), rng=0)
        with pytest.raises(ValueError, match=r"\(6, 8\).*\(8, 6\)"):
            fd.dropout(np.ones((6, 8)), rng=0)[1](self.x.T)
        with pytest.raises(ValueError, match="p is the probability"):
            fd.dropout(self.x, 1.5, rng=0)

    def test_other_functions(self):
        """Functions without Dask support raise before they draw a mask or compute."""
        stream, x, row = Stream(0), self.x, np.ones(8)
        images = da.ones((2, 3, 8, 8), chunks=2)
        calls = [
            lambda: fd.gaussian_dropout(x, 0.5, rng=stream),
            lambda: fd.alpha_dropout(x, 0.5, rng=stream),
            lambda: fd.feature_alpha_dropout(x, 0.5, rng=stream),
            lambda: fd.softmax_dropout(x, 0.5, rng=stream),
            lambda: fd.dropout_add(x, x, 0.5, rng=stream),
            lambda: fd.bias_activation_dropout(x, row, 0.5, rng=stream),
            lambda: fd.zoneout(x, x, 0.5, rng=stream),
            lambda: fd.dropblock(images, 0.5, 3, rng=stream),
            lambda: fd.cutout(images, 3, rng=stream),
            lambda: fd.dropconnect(x, np.ones((4, 8)), rng=stream),
            lambda: fd.dropconnect(x, np.ones((4, 8)), training=False),
            lambda: fd.gaussian_dropout(np.ones((6, 8)), 0.5, rng=0)[1](x),
            lambda: fd.cutout(np.ones((2, 3, 8, 8)), 3, rng=0)[1](images),
            lambda: fd.softmax_dropout_backward(x, x, None),
        ]
        for number, call in enumerate(calls):
            with pytest.raises(TypeError, match="Dask array"):
                pytest.fail(f"call {number} returned {call()}")
        assert stream.calls == 0

    def test_masks_of_the_kind_of_a_dask_array(self):
        mask = fd.dropout(np.ones((6, 8)), rng=0)[1]
        for part in (mask, mask[::-1]):
            with pytest.raises(TypeError, match="Dask array"):
                part.booleans(like=self.x)


def test_dask_is_not_imported():
    program = """
        import sys
        import numpy as np, fastdrop as fd
        y, mask = fd.dropout(np.ones((4, 4)), rng=0)
        mask[1:](np.ones((3, 4))), fd.spatial_dropout([[1.0, 2.0]], rng=0)
        assert "dask" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_products_with_a_mask_are_lazy():
    x = da.ones((8, 8), chunks=3)
    y, mask = fd.dropout(x, 0.5, rng=1)
    for product in (x * mask, mask * x, np.multiply(x, mask)):
        assert isinstance(product, da.Array)
        assert np.array_equal(product.compute(), y.compute())
    (computed,) = dask.compute(fd.dropout(x, 0.5, rng=1))
    assert isinstance(computed[0], np.ndarray)
    assert computed[1] == mask
