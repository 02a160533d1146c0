"""The CUDA kernels in every launch geometry, on more than 2^31 elements, and the list of their instances."""

import sys

import emulated_cupy
import emulator
import numpy as np
import pytest
from cudatools import expected, far_end
from devices import same, values
from masks import kept_of

import fastdrop as fd
from fastdrop import reference
from fastdrop.backends.cuda import geometry, source


@pytest.fixture
def fresh_plans():
    """Plans are cached: clear those of a test that changes the constants they depend on."""
    yield
    geometry.plan.cache_clear()


@pytest.mark.slow
def test_every_launch_geometry(gpu, monkeypatch, fresh_plans):
    """Other block sizes, strided walks in more and shorter pieces, and threads that start in another order."""
    x, images, rows = values(9001, np.float32), values((5, 6, 17, 24), np.float16), values((70, 130), np.float32)
    bias = values(130, np.float32, 1)
    for threads in (32, 64, 96, 128):
        for few in (0, 1 << 30):
            monkeypatch.setattr(geometry, "THREADS", threads)
            monkeypatch.setattr(geometry, "FEW_WARPS", few)
            for most, enough in ((4, 1), (32, 1), (5, 1 << 20), (7, 100)):
                monkeypatch.setattr(geometry, "MOST_STEPS", most)
                monkeypatch.setattr(geometry, "ENOUGH_THREADS", enough)
                geometry.plan.cache_clear()
                with emulator.set_options(order="backwards" if threads == 64 else None):
                    y, mask = fd.dropout(gpu.put(x), 0.3, rng=1)
                    same(gpu.get(y), expected(x, mask))
                    for axes in ((2, 3), (1, 2), (1, 3)):
                        y, mask = fd.dropout(gpu.put(images), 0.3, rng=1, shared_axes=axes)
                        same(gpu.get(y), expected(images, mask))
                    y, mask = fd.dropout(gpu.put(rows).T, 0.3, rng=1)
                    same(gpu.get(y), expected(rows.T, mask))
            with emulator.set_options(order="backwards"):
                dx, _ = fd.bias_activation_dropout_backward(gpu.put(rows), gpu.put(rows), gpu.put(bias), None)
                y, mask = fd.softmax_dropout(gpu.put(rows), 0.5, rng=1)
                z, connected = fd.dropconnect(gpu.put(rows), gpu.put(rows[:20]), p=0.3, rng=1)
                gradients = fd.dropconnect_backward(z, gpu.put(rows), gpu.put(rows[:20]), connected)
            same(gpu.get(y), reference.softmax_dropout(rows, kept_of(mask), mask.scale))
            assert np.array_equal(gpu.get(dx) != 0, (rows + bias > 0) & (rows != 0))
            wanted = reference.dropconnect(rows, rows[:20], None, kept_of(connected), connected.scale)
            same(gpu.get(z), wanted)
            wanted = reference.dropconnect_backward(wanted, rows, rows[:20], kept_of(connected), connected.scale)
            same(gpu.get(gradients[0]), wanted[0])
            same(gpu.get(gradients[1]), wanted[1])


@pytest.mark.skipif(sys.platform != "linux", reason="pages that nobody touches must cost nothing")
def test_more_than_2_to_the_31_elements(gpu):
    """Only the last blocks run where there is no GPU: the memory before them is never touched."""
    count = 2**31 + 5000
    if gpu.emulated:
        x, y = (np.zeros(count, np.float16).view(emulated_cupy.ndarray) for _ in range(2))
    else:
        x, y = gpu.cupy.zeros(count, np.float16), gpu.cupy.empty(count, np.float16)
    tail = 9000
    x[-tail:] = gpu.put(values(tail, np.float16))
    with emulator.set_options(only_last_blocks=2):
        _, mask = fd.dropout(x, 0.3, rng=1, out=y)
    wanted = reference.apply(values(tail, np.float16), far_end(tail, count - tail, mask), mask.scale)
    same(gpu.get(y[-tail:]), wanted)
    with emulator.set_options(only_last_blocks=80):  # not aligned: one element at a time
        _, mask = fd.dropout(x[: 2**31 + 2], 0.3, rng=1, out=y[5 : 2**31 + 7])
    part = gpu.get(y[2**31 - 1 : 2**31 + 7])
    kept = far_end(8, 2**31 - 6, mask)
    same(part, reference.apply(gpu.get(x[2**31 - 6 : 2**31 + 2]), kept, mask.scale))
    rows = x[: 2**31].reshape(2**20, 2**11)
    with emulator.set_options(only_last_blocks=2):
        _, mask = fd.dropout(rows, 0.3, rng=1, shared_axes=1, out=y[: 2**31].reshape(2**20, 2**11))
    kept = far_end(1, 2**20 - 1, mask)
    same(
        gpu.get(y[2**31 - 2048 : 2**31]),
        reference.apply(gpu.get(x[2**31 - 2048 : 2**31]), np.broadcast_to(kept, 2048), mask.scale),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="pages that nobody touches must cost nothing")
def test_more_than_2_to_the_32_strided_elements(gpu):
    rows, columns = 2**21 + 3, 2**11
    shape = (rows, columns + 8)
    memory = np.zeros(shape, np.float16).view(emulated_cupy.ndarray) if gpu.emulated else gpu.cupy.zeros(shape, "f2")
    x = memory[:, :columns]
    tail = values((2, columns), np.float16)
    x[-2:] = gpu.put(tail)
    with emulator.set_options(only_last_blocks=3):
        _, mask = fd.dropout(x, 0.3, rng=1, out=x)
    kept = far_end(2 * columns, (rows - 2) * columns, mask).reshape(2, columns)
    same(gpu.get(x[-2:]), reference.apply(tail, kept, mask.scale))


def test_every_instance_has_a_file():
    found = source.instances()
    assert set(found) == {"flat.cu", "walk.cu", "fused.cu", "gaussian.cu", "dropconnect.cu"}
    names = [name for names in found.values() for name in names]
    assert len(names) == len(set(names)) > 100
    for file in found:
        assert '#include "' not in source.text(file)
