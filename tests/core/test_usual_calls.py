"""The fast path (one compiled step) and the general path give the same values, masks, errors and draws."""

import copy
import gc
import operator
import pickle
import threading

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import threads
from fastdrop._kernels import cpu

X = np.random.default_rng(0).standard_normal((4, 6, 5)).astype(np.float32)
ROW = np.random.default_rng(1).standard_normal(5).astype(np.float32)
OTHER = np.random.default_rng(2).standard_normal(X.shape).astype(np.float32)


def outcome(call, p, rng):
    """A call's result or error, and the stream's state after it."""
    stream = fd.Stream(5) if rng == "stream" else rng
    try:
        found = call(p, stream)
    except (TypeError, ValueError) as error:
        found = (type(error), str(error))
    return found, stream.calls if isinstance(stream, fd.Stream) else None


def same(call, p=0.3):
    """Compare both paths: a float p takes the fast path, NumPy's float64 the general one."""
    for rng in ("stream", 7):
        (usual, calls), (other, wanted) = outcome(call, p, rng), outcome(call, np.float64(p), rng)
        assert calls == wanted
        assert type(usual) is type(other)
        if isinstance(usual, fd.functional.result.Dropped):
            assert usual.y.dtype == other.y.dtype
            assert usual.y.tobytes() == other.y.tobytes()
            assert usual.mask == other.mask
            assert usual.mask.made_by == other.mask.made_by
            assert type(usual.mask) is type(other.mask) is fd.Mask
        else:
            assert usual == other


def test_which_calls_take_the_fast_path(monkeypatch):
    for p, usual in ((0.3, True), (np.float64(0.3), False)):
        assert (cpu.dropout(X, p, fd.Stream(0), None, None) is not None) == usual
    for rng in (None, np.random.default_rng(0), True):
        assert cpu.dropout(X, 0.3, rng, None, None) is None


LAYOUTS = {
    "C": lambda a: a,
    "F": np.asfortranarray,
    "reversed": lambda a: a[::-1],
    "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "not aligned": lambda a: np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    "a list": lambda a: a.tolist(),
    "masked": np.ma.array,
    "integers": lambda a: a.astype(np.int32),
    "float64": lambda a: a.astype(np.float64),
    "float16": lambda a: a.astype(np.float16),
    "one axis less": lambda a: a[0],
    "one axis more": lambda a: a[None],
    "longer": lambda a: np.concatenate([a, a], axis=-1),
    "shorter": lambda a: a[..., :-1].copy(),
    "one element": lambda a: a[..., :1].copy(),
    "nothing": lambda a: None,
    "empty": lambda a: a[..., :0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("p", [0.0, 0.3, 0.5, 1.0])
def test_one_array(layout, p):
    x = LAYOUTS[layout](X)
    same(lambda p, rng: fd.dropout(x, p, rng=rng), p)
    same(lambda p, rng: fd.spatial_dropout(x, p, rng=rng), p)
    same(lambda p, rng: fd.drop_path(x, p, rng=rng), p)
    same(lambda p, rng: fd.locked_dropout(x, p, rng=rng), p)


@pytest.mark.parametrize(("first", "second"), [("C", name) for name in LAYOUTS] + [(name, "C") for name in LAYOUTS])
def test_two_arrays(first, second):
    x, other, bias = LAYOUTS[first](X), LAYOUTS[second](OTHER), LAYOUTS[second](ROW)
    same(lambda p, rng: fd.dropout_add(x, other, p, rng=rng))
    same(lambda p, rng: fd.dropout_add(x, other, p, rng=rng, shared_axes=(1, 2)))
    same(lambda p, rng: fd.zoneout(x, other, p, rng=rng))
    for activation in ("relu", "gelu", "tanh"):
        same(lambda p, rng, name=activation: fd.bias_activation_dropout(x, bias, p, activation=name, rng=rng))


@pytest.mark.parametrize(
    "axes",
    [
        None,
        (),
        0,
        -1,
        (0,),
        (1, 2),
        (2, 1),
        (0, 0),
        (-1,),
        (3,),
        (0, 1, 2),
        [0, 1],
        (True,),
        (np.int64(1),),
        (1.0,),
        "0",
    ],
)
def test_shared_axes(axes):
    same(lambda p, rng: fd.dropout(X, p, rng=rng, shared_axes=axes))
    same(lambda p, rng: fd.dropout_add(X, OTHER, p, rng=rng, shared_axes=axes))


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), float("inf"), -0.0, 1e-300, 2.0**-41, 1 - 2.0**-41])
def test_probabilities(p):
    same(lambda p, rng: fd.dropout(X, p, rng=rng), p)
    same(lambda p, rng: fd.zoneout(X, OTHER, p, rng=rng), p)


@pytest.mark.parametrize("rng", [0, 2**64 - 1, 2**64, -1, 2**100, True, "seed", None.__class__])
def test_seeds(rng):
    outcomes = []
    for p in (0.3, np.float64(0.3)):
        try:
            y, mask = fd.dropout(X, p, rng=rng)
            outcomes.append((y.tobytes(), mask))
        except (TypeError, ValueError) as error:
            outcomes.append((type(error), str(error)))
    assert outcomes[0] == outcomes[1]


def memory():
    """A block of memory, and x at its start."""
    block = np.arange(400, dtype=np.float32)
    return block, block[:60].reshape(4, 15)


OUTS = {
    "none": lambda block, x, other: None,
    "x itself": lambda block, x, other: x,
    "the other itself": lambda block, x, other: other,
    "shifted from x": lambda block, x, other: block[1:61].reshape(4, 15),
    "shifted from the other": lambda block, x, other: block[101:161].reshape(4, 15),
    "apart": lambda block, x, other: block[200:260].reshape(4, 15),
    "one place": lambda block, x, other: np.lib.stride_tricks.as_strided(block[300:], (4, 15), (0, 4)),
    "of another shape": lambda block, x, other: block[200:260].reshape(15, 4),
    "of another dtype": lambda block, x, other: np.zeros((4, 15)),
    "read-only": lambda block, x, other: np.broadcast_to(np.float32(0), (4, 15)),
    "a list": lambda block, x, other: [0.0],
}
CALLS = {
    "dropout": lambda x, other, row, out, p, rng: fd.dropout(x, p, rng=rng, out=out),
    "dropout_add": lambda x, other, row, out, p, rng: fd.dropout_add(x, other, p, rng=rng, out=out),
    "zoneout": lambda x, other, row, out, p, rng: fd.zoneout(x, other, p, rng=rng, out=out),
    "bias": lambda x, other, row, out, p, rng: fd.bias_activation_dropout(x, row, p, rng=rng, out=out),
}


@pytest.mark.parametrize(("where", "name"), [(where, name) for where in OUTS for name in CALLS])
def test_where_the_result_goes(where, name):
    found = []
    for p in (0.3, np.float64(0.3)):
        block, x = memory()
        other, row = block[100:160].reshape(4, 15), block[110:125]
        stream = fd.Stream(3)
        out = OUTS[where](block, x, other)
        try:
            y, mask = CALLS[name](x, other, row, out, p, stream)
            assert out is None or y is out
            found.append((y.tobytes(), mask, block.tobytes(), stream.calls))
        except (TypeError, ValueError) as error:
            found.append((type(error), str(error), block.tobytes(), stream.calls))
            assert stream.calls == 0
    assert found[0] == found[1]


def test_scaling_is_remembered_by_function():
    """Zoneout never scales and dropout does, no matter which of them uses this p first."""
    for p in (0.371, 0.372):
        first, second = (fd.dropout, fd.zoneout) if p == 0.371 else (fd.zoneout, fd.dropout)
        for call in (first, second):
            given = (X, OTHER) if call is fd.zoneout else (X,)
            y, mask = call(*given, p, rng=fd.Stream(1))
            assert mask.scale == (1.0 if call is fd.zoneout else 1 / (1 - p))
            kept = np.asarray(mask)
            assert np.array_equal(y[kept], X[kept] if call is fd.zoneout else X[kept] * np.float32(mask.scale))


def test_more_probabilities_than_are_remembered():
    for step in range(600):
        p = step / 1000
        assert fd.dropout(X, p, rng=0)[1].scale == fd.Mask(X.shape, p, rng=0).scale


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_masks_product(layout, monkeypatch):
    mask = fd.dropout(X, 0.3, rng=fd.Stream(0))[1]
    found = []
    for way in (cpu.apply_mask, lambda *_: None):
        monkeypatch.setattr(cpu, "multiply", way)
        try:
            found.append(mask(LAYOUTS[layout](X)).tobytes())
        except (TypeError, ValueError) as error:
            found.append((type(error), str(error)))
    assert found[0] == found[1]


def test_many_elements_get_more_threads(monkeypatch):
    asked = []
    monkeypatch.setattr(threads, "SMALLEST_SHARE", 10)
    known = threads.threads_for
    cpu.register(fd.Mask, fd.functional.result.Dropped, fd.Stream, *registered(lambda n: asked.append(n) or known(n)))
    try:
        fd.dropout(X, 0.3, rng=0)
        fd.dropout(X[0, 0], 0.3, rng=0)
    finally:
        cpu.register(fd.Mask, fd.functional.result.Dropped, fd.Stream, *registered(known))
    assert asked == [X.size]


def registered(threads_for):
    from fastdrop.rule import threshold_and_scale

    return threshold_and_scale, threads_for, vars(threads)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_mask_is_pickled_by_every_protocol(protocol):
    class_, mask = fd.Mask, fd.dropout(X, 0.3, rng=0)[1]
    for each in (mask, mask[1:, ::2], class_((3, 4), 0.5, rng=1)):
        again = pickle.loads(pickle.dumps(each, protocol))
        assert again == each
        assert type(again) is type(each)
    assert copy.copy(mask) == copy.deepcopy(mask) == mask


def test_other_threads_see_only_complete_objects():
    """Garbage collectors and memory profilers must find complete objects."""
    x = np.ones(1 << 20, np.float32)
    done = threading.Event()

    def drop():
        while not done.is_set():
            fd.dropout(x, 0.5, rng=0)

    thread = threading.Thread(target=drop)
    thread.start()
    seen = 0
    try:
        for _ in range(2000):
            for each in gc.get_objects(0):
                if type(each) is fd.functional.result.Dropped:
                    assert each[0] is not None
                    assert each[1] is not None
                    seen += 1
            if seen > 100:
                break
    finally:
        done.set()
        thread.join()


def test_attributes_of_a_mask_are_what_they_were():
    mask = fd.dropout(X, 0.3, rng=0)[1]
    assert operator.attrgetter("shape", "p", "shared_axes", "made_by")(mask) == (X.shape, 0.3, (), "dropout")
    with pytest.raises(AttributeError):
        mask.another = 1
