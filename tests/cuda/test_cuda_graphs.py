"""CUDA graphs: memory that a captured call uses lives as long as the graph; counters stand on the arrays' device.

A capture is emulated as far as that can be: what is captured runs once, and is not replayed. On a GPU it is.
"""

import contextlib
import gc
import weakref

import numpy as np
import pytest
from devices import same, values

import fastdrop as fd
from fastdrop.backends.cuda import operations

pytestmark = pytest.mark.slow

only_emulated = pytest.mark.parametrize("gpu", ["emulated"], indirect=True)
"""For what looks into the emulated pool, or needs a second device."""


@pytest.fixture
def emulated(gpu):
    put, gpu.inputs = gpu.put, []
    gpu.put = lambda array: gpu.inputs.append(put(array)) or gpu.inputs[-1]  # inputs are the caller's to hold
    yield gpu
    gpu.cupy.cuda.stream.end_capture()
    fd.GraphStream.release()


class Memory:
    """Weak references to all memory that is given in a block."""

    def __init__(self):
        self.given = []

    @contextlib.contextmanager
    def watched(self, cupy):
        allocate = cupy.cuda.get_allocator()

        def remember(size):
            pointer = allocate(size)
            self.given.append(weakref.ref(pointer.mem))
            return pointer

        with cupy.cuda.using_allocator(remember):
            yield

    def lost(self):
        gc.collect()
        return sum(reference() is None for reference in self.given)


SHAPE = (6, 8, 40)


def transposed(gpu, dtype=np.float32, seed=0):
    """Not contiguous: operations that want rows copy it."""
    return gpu.put(np.ascontiguousarray(values(SHAPE, dtype, seed).transpose(2, 1, 0))).transpose(2, 1, 0)


def layer(gpu, dtype=np.float32):
    return [gpu.put(values(shape, dtype, seed)) for seed, shape in enumerate([(6, 40), (5, 40), (5,)])]


def overlapping(gpu, call):
    memory = gpu.put(values((9, 8, 40), np.float32))
    return call(memory[:6], memory[1:7])


def mask_of(function, p, masks):
    """A mask as this function makes it, but without its forward pass."""
    mask = fd.Mask(SHAPE, p, masks)
    mask.made_by = function
    return mask


def seen(gpu, drop, look):
    """What `look` makes of the mask of `drop(x)`, and of x."""
    x = transposed(gpu)
    return look(drop(x)[1], x)


def backward_of_connections(gpu, masks, dtype=np.float32, **how):
    x, weight, bias = layer(gpu, dtype)
    y, mask = fd.dropconnect(x, weight, bias, rng=masks, **how)
    return fd.dropconnect_backward(y, x, weight, mask)


CALLS = {
    "dropout": lambda gpu, masks: fd.dropout(transposed(gpu), rng=masks),
    "dropout, overlapping": lambda gpu, masks: overlapping(gpu, lambda x, y: fd.dropout(x, rng=masks, out=y)),
    "spatial dropout": lambda gpu, masks: fd.spatial_dropout(transposed(gpu), rng=masks),
    "evaluation": lambda gpu, masks: fd.dropout(transposed(gpu), 0.3, training=False, scaling="classic"),
    "a mask applied later": lambda gpu, masks: fd.dropout(transposed(gpu), rng=masks)[1](transposed(gpu)),
    "a slice": lambda gpu, masks: seen(
        gpu, lambda x: fd.dropout(x, rng=masks), lambda mask, x: mask[1:, ::2](x[1:, ::2])
    ),
    "booleans": lambda gpu, masks: seen(gpu, lambda x: fd.dropout(x, rng=masks), lambda mask, x: mask.booleans(like=x)),
    "packed": lambda gpu, masks: seen(gpu, lambda x: fd.dropout(x, rng=masks), lambda mask, x: mask.packed(like=x)),
    "dropout and addition": lambda gpu, masks: overlapping(
        gpu, lambda x, y: fd.dropout_add(x, transposed(gpu), rng=masks, out=y)
    ),
    "bias and GELU": lambda gpu, masks: fd.bias_activation_dropout(
        transposed(gpu), gpu.put(values(80, np.float32))[::2], activation="gelu", rng=masks
    ),
    "bias' gradient": lambda gpu, masks: fd.bias_activation_dropout_backward(
        transposed(gpu),
        transposed(gpu),
        gpu.put(values(40, np.float32)),
        mask_of("bias_activation_dropout(activation='relu')", 0.3, masks),
    ),
    "bias' gradient, half": lambda gpu, masks: fd.bias_activation_dropout_backward(
        transposed(gpu, np.float16), transposed(gpu, np.float16), gpu.put(values(40, np.float16)), None
    ),
    "softmax": lambda gpu, masks: fd.softmax_dropout(transposed(gpu), rng=masks, out=transposed(gpu)),
    "softmax in evaluation": lambda gpu, masks: fd.softmax_dropout(transposed(gpu), training=False),
    "softmax' gradient": lambda gpu, masks: fd.softmax_dropout_backward(
        transposed(gpu), transposed(gpu), mask_of("softmax_dropout", 0.3, masks), out=transposed(gpu)
    ),
    "Gaussian noise": lambda gpu, masks: fd.gaussian_dropout(transposed(gpu), rng=masks, out=transposed(gpu)),
    "alpha": lambda gpu, masks: fd.alpha_dropout(transposed(gpu), rng=masks),
    "feature alpha": lambda gpu, masks: fd.feature_alpha_dropout(transposed(gpu), rng=masks),
    "blocks": lambda gpu, masks: fd.dropblock(transposed(gpu), 0.2, 3, rng=masks),
    "blocks, half": lambda gpu, masks: fd.dropblock(transposed(gpu, np.float16), 0.2, 3, rng=masks),
    "blocks' booleans": lambda gpu, masks: seen(
        gpu, lambda x: fd.dropblock(x, 0.2, 3, rng=masks), lambda mask, x: mask.booleans(like=x)
    ),
    "cutout": lambda gpu, masks: fd.cutout(transposed(gpu), 3, rng=masks),
    "DropConnect": lambda gpu, masks: fd.dropconnect(*layer(gpu), rng=masks),
    "DropConnect's gradients": lambda gpu, masks: backward_of_connections(gpu, masks),
    "DropConnect, biases too": lambda gpu, masks: backward_of_connections(gpu, masks, drop_bias=True),
    "DropConnect, half": lambda gpu, masks: fd.dropconnect(*layer(gpu, np.float16), rng=masks),
    "DropConnect's gradients, half": lambda gpu, masks: backward_of_connections(gpu, masks, np.float16),
    "DropConnect per batch, half": lambda gpu, masks: backward_of_connections(
        gpu, masks, np.float16, per_example=False
    ),
    "DropConnect's inference": lambda gpu, masks: fd.dropconnect_inference(*layer(gpu), samples=3, rng=masks),
    "zoneout in evaluation": lambda gpu, masks: fd.zoneout(
        transposed(gpu), transposed(gpu, seed=1), 0.3, training=False
    ),
    "zoneout gradients in evaluation": lambda gpu, masks: fd.zoneout_backward(transposed(gpu), None, p=0.3),
    "shared booleans": lambda gpu, masks: seen(
        gpu, lambda x: fd.spatial_dropout(x, rng=masks), lambda mask, x: mask.booleans(like=x)
    ),
    "a slice's bits": lambda gpu, masks: seen(
        gpu, lambda x: fd.dropout(x, rng=masks), lambda mask, x: mask[1:, ::2].packed(like=x)
    ),
    "a slice's booleans": lambda gpu, masks: seen(
        gpu, lambda x: fd.spatial_dropout(x, rng=masks), lambda mask, x: mask[1:, ::2].booleans(like=x)
    ),
    "DropConnect per batch": lambda gpu, masks: fd.dropconnect(*layer(gpu), rng=masks, per_example=False),
    "zoneout": lambda gpu, masks: fd.zoneout(transposed(gpu), transposed(gpu, seed=1), rng=masks),
    "zoneout's gradients": lambda gpu, masks: fd.zoneout_backward(
        transposed(gpu), fd.zoneout(transposed(gpu), transposed(gpu, seed=1), rng=masks)[1]
    ),
}


@only_emulated
@pytest.mark.parametrize("name", CALLS)
def test_what_a_captured_call_uses_lives_as_long_as_the_graph(emulated, name):
    memory, cupy = Memory(), emulated.cupy
    with memory.watched(cupy):
        masks = fd.GraphStream(3)
        cupy.cuda.stream.begin_capture()
        result = CALLS[name](emulated, masks)  # this is the caller's to hold, too
        masks.end_replay()
        del masks
        graph = cupy.cuda.stream.end_capture()
    assert memory.given
    assert memory.lost() == 0
    del graph, result
    emulated.inputs.clear()
    assert memory.lost() == len(memory.given)


@only_emulated
@pytest.mark.parametrize("name", ["bias' gradient", "softmax", "Gaussian noise", "blocks"])
def test_what_another_package_captures_is_held_until_it_is_released(emulated, name):
    memory, cupy = Memory(), emulated.cupy
    with memory.watched(cupy):
        masks = fd.GraphStream(3)
        cupy.cuda.stream.capturing = True  # and CuPy did not begin it
        result = CALLS[name](emulated, masks)
        masks.end_replay()
        del masks
        cupy.cuda.stream.capturing = False
    assert memory.lost() == 0
    del result
    emulated.inputs.clear()
    fd.GraphStream.release()
    assert memory.lost() == len(memory.given)


@only_emulated
@pytest.mark.parametrize("name", CALLS)
def test_outside_a_capture_nothing_is_held(emulated, name):
    memory = Memory()
    with memory.watched(emulated.cupy):
        masks = fd.GraphStream(3)
        result = CALLS[name](emulated, masks)
        masks.end_replay()
        del masks, result
    emulated.inputs.clear()
    assert memory.lost() == len(memory.given)


@pytest.mark.gpu
@pytest.mark.parametrize("name", CALLS)
def test_replays_when_all_memory_has_been_used_again(name):
    """What CuPy's pool gives away after the capture is overwritten before the launch."""
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("there is no GPU")
    stream, inputs, copies = cupy.cuda.Stream(non_blocking=True), [], []
    with stream:
        recorder = Recorder(cupy, inputs)
        wanted = arrays_of(CALLS[name](recorder, fd.GraphStream(3)))  # compiles, too
        wanted = [array.get() for array in wanted]
        copies, masks = recorder.copies, fd.GraphStream(3)
        for array, copy in zip(inputs, copies, strict=True):
            array[...] = copy
        stream.synchronize()
        stream.begin_capture()
        result = arrays_of(CALLS[name](Given(inputs), masks))
        masks.end_replay()
        graph = stream.end_capture()
        del masks
        gc.collect()
        rubbish = [cupy.full(1 << size, 0x7D, np.uint8) for size in range(4, 22) for _ in range(20)]
        for array, copy in zip(inputs, copies, strict=True):
            array[...] = copy
        graph.launch(stream)
        stream.synchronize()
    assert len(rubbish) == 360
    for found, array in zip(result, wanted, strict=True):
        (same if array.dtype.kind == "f" else np.testing.assert_array_equal)(found.get(), array)


class Recorder:
    """Makes a call's inputs, and remembers them."""

    def __init__(self, cupy, inputs):
        self.cupy, self.inputs, self.copies = cupy, inputs, []

    def put(self, array):
        self.inputs.append(self.cupy.asarray(array))
        self.copies.append(self.inputs[-1].copy())
        return self.inputs[-1]


class Given:
    """Gives them again: while a graph is captured, nothing can be copied from the host."""

    def __init__(self, inputs):
        self.left = iter(inputs)

    def put(self, array):
        return next(self.left)


def arrays_of(result):
    parts = result if isinstance(result, tuple) else (result,)
    return [part for part in parts if type(part).__module__.partition(".")[0] == "cupy"]


NOT_DRAWING = ["evaluation", "softmax in evaluation", "bias' gradient, half"]
NOT_DRAWING += ["zoneout in evaluation", "zoneout gradients in evaluation"]
DRAWING = [name for name in CALLS if name not in NOT_DRAWING]


@pytest.fixture
def launched(monkeypatch):
    """The kernels that are launched."""
    names, launch = [], operations._launch
    monkeypatch.setattr(
        operations, "_launch", lambda name, *rest, **more: names.append(name) or launch(name, *rest, **more)
    )
    return names


@only_emulated
@pytest.mark.parametrize("name", DRAWING)
def test_a_counter_on_another_gpu_is_refused(emulated, launched, name):
    masks = fd.GraphStream(3)
    with (
        emulated.cupy.cuda.Device(1),
        pytest.raises(TypeError, match=r"device 1.*counts on CUDA device 0.*Device\(1\)"),
    ):
        CALLS[name](emulated, masks)
    assert launched == []


@only_emulated
@pytest.mark.parametrize(
    ("made_by", "use"),
    [
        ("dropout", lambda mask, x: mask(x)),
        ("dropout", lambda mask, x: mask(x, x)),
        ("dropout", lambda mask, x: mask[1:](x[1:])),
        ("dropout", lambda mask, x: mask.booleans(like=x)),
        ("dropout", lambda mask, x: mask.packed(like=x)),
        ("dropout", lambda mask, x: mask[::2].booleans(like=x)),
        ("dropout", lambda mask, x: fd.dropout_backward(x, mask)),
        ("softmax_dropout", lambda mask, x: fd.softmax_dropout_backward(x, x, mask)),
        (
            "bias_activation_dropout(activation='relu')",
            lambda mask, x: fd.bias_activation_dropout_backward(x, x, x[0, 0], mask),
        ),
        ("zoneout", lambda mask, x: fd.zoneout_backward(x, mask)),
    ],
)
@pytest.mark.parametrize("p", [0.3, 0.0])
def test_a_mask_is_refused_on_another_gpu_later(emulated, made_by, use, p):
    x = emulated.put(values(SHAPE, np.float32))
    with emulated.cupy.cuda.Device(1):
        there = emulated.put(values(SHAPE, np.float32))
    before = there.get()
    _, mask = fd.dropout(x, p, rng=fd.GraphStream(3))
    mask.made_by = made_by
    with pytest.raises(TypeError, match="GraphStream"):
        use(mask, there)
    same(there.get(), before)


@only_emulated
@pytest.mark.parametrize("function", [fd.gaussian_dropout, fd.dropblock, lambda x, rng: fd.cutout(x, 3, rng=rng)])
def test_other_noises_are_refused_on_another_gpu_later(emulated, function):
    _, mask = function(emulated.put(values(SHAPE, np.float32)), rng=fd.GraphStream(3))
    with emulated.cupy.cuda.Device(1):
        there = emulated.put(values(SHAPE, np.float32))
    with pytest.raises(TypeError, match="GraphStream"):
        mask(there)


@only_emulated
def test_a_graph_stream_serves_the_gpu_that_was_current_when_it_was_made(emulated):
    with emulated.cupy.cuda.Device(1):
        masks, x = fd.GraphStream(3), emulated.put(values(SHAPE, np.float32))
    y, _ = fd.dropout(x, rng=masks)  # whichever device is the current one now
    masks.end_replay()
    assert y.device.id == masks.counter.device.id == 1
    assert masks.counter.get()[0] == 1


@only_emulated
@pytest.mark.parametrize("name", ["cutout", "blocks"])
def test_regions_of_a_captured_call_are_new_in_every_replay(emulated, name):
    """So a call number of the host's is refused, and a GraphStream's is read on the device."""
    call, cupy = CALLS[name], emulated.cupy
    cupy.cuda.stream.begin_capture()
    with pytest.raises(RuntimeError, match="GraphStream"):
        call(emulated, fd.Stream(3))
    masks = fd.GraphStream(3)
    _, mask = call(emulated, masks)
    x = emulated.put(values(SHAPE, np.float32))
    masks.end_replay()
    stream = fd.Stream(3)
    wanted = [call(emulated_cpu, stream)[1] for _ in range(2)][1]
    cupy.cuda.stream.end_capture()
    same(mask(x).get(), wanted(values(SHAPE, np.float32)))


class emulated_cpu:
    """Where NumPy's arrays are."""

    put = staticmethod(np.asarray)
