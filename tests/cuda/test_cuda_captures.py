"""Calls that a CUDA graph captures draw their call numbers on the device."""

import pickle

import numpy as np
import pytest
from cudatools import DRAW, expected
from devices import same, values

import fastdrop as fd
from fastdrop import reference
from fastdrop.backends.cuda import operations


class TestGraphs:
    def capture(self, gpu, monkeypatch):
        if not gpu.emulated:
            pytest.skip("captured for real in test_graph_replays")
        monkeypatch.setattr(gpu.cupy.cuda.stream, "capturing", True)

    def test_a_captured_call_with_a_number_of_the_hosts_is_refused(self, gpu, monkeypatch):
        self.capture(gpu, monkeypatch)
        x = gpu.put(values((4, 8), np.float32))
        for call in (
            lambda: fd.dropout(x, rng=1),
            lambda: fd.softmax_dropout(x, rng=1),
            lambda: fd.dropconnect(x, x, rng=1),
        ):
            with pytest.raises(RuntimeError, match="GraphStream"):
                call()
        with pytest.raises(RuntimeError, match="GraphStream"):
            operations.gaussian(x, x, DRAW, 0.5)
        operations.gaussian(x, x, DRAW, 0.0)  # nothing is drawn
        fd.dropout(x, 0.0)
        fd.dropout(x, training=False)

    def test_calls_are_counted_on_the_device(self, gpu, monkeypatch):
        x = values((40, 96), np.float32)
        there, weight = gpu.put(x), gpu.put(x[:8])
        masks = fd.GraphStream(42)
        self.capture(gpu, monkeypatch)
        step = [fd.dropout(there, 0.3, rng=masks)[1], fd.dropconnect(there, weight, rng=masks)[1]]
        for replay in range(3):
            for number, mask in enumerate(step):
                plain = fd.Mask(mask.shape, mask.p, stream_at(42, 2 * replay + number))
                assert mask.draw.on_host == plain.draw
                np.testing.assert_array_equal(np.asarray(mask), np.asarray(plain))
                np.testing.assert_array_equal(gpu.get(mask.booleans(like=there)), np.asarray(plain))
                np.testing.assert_array_equal(mask.packed(like=x), plain.packed())
            assert pickle.loads(pickle.dumps(step[0])).draw == step[0].draw.on_host
            same(gpu.get(step[0](there)), expected(x, fd.Mask(x.shape, 0.3, stream_at(42, 2 * replay))))
            masks.end_replay() if replay == 0 else masks.counter.__iadd__(np.uint64(2))

    def test_noise_is_counted_on_the_device(self, gpu, monkeypatch):
        x = values((40, 96), np.float32)
        there, masks = gpu.put(x), fd.GraphStream(42)
        self.capture(gpu, monkeypatch)
        draw = masks.draw()
        for replay in range(3):
            y = operations.gaussian(there, gpu.cupy.empty_like(there), draw, 0.5)
            same(gpu.get(y), reference.gaussian(x, 42, replay, 0.5))
            masks.end_replay() if replay == 0 else masks.counter.__iadd__(np.uint64(1))

    def test_the_cpu_has_no_such_counter(self, gpu):
        with pytest.raises(TypeError, match="GraphDraw"):
            fd.dropout(values(9, np.float32), rng=fd.GraphStream(1))


def stream_at(seed, calls):
    stream = fd.Stream(seed)
    stream.state = {**stream.state, "calls": calls}
    return stream


@pytest.mark.gpu
def test_graph_replays():
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("there is no GPU")
    x = values((1000, 33), np.float32)
    there, y, dx = cupy.asarray(x), cupy.empty_like(cupy.asarray(x)), cupy.empty_like(cupy.asarray(x))
    masks, stream = fd.GraphStream(42), cupy.cuda.Stream(non_blocking=True)
    fd.dropout(there, 0.3, rng=0, out=y)  # compiles
    cupy.cuda.Device().synchronize()
    with stream:
        stream.begin_capture()
        _, mask = fd.dropout(there, 0.3, rng=masks, out=y)
        fd.dropout_backward(there, mask, out=dx)
        masks.end_replay()
        graph = stream.end_capture()
        for replay in range(4):
            graph.launch(stream)
            stream.synchronize()
            plain = fd.Mask(x.shape, 0.3, stream_at(42, replay))
            same(y.get(), expected(x, plain))
            same(dx.get(), expected(x, plain))
