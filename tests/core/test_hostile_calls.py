"""Calls that try to get a wrong answer, a crash or a lost random number: overlapping arrays, unfit arguments."""

import ctypes
import os
import pickle
import subprocess
import sys
import threading

import ml_dtypes
import numpy as np
import pytest

import fastdrop as fd
from fastdrop.backends import cpu
from fastdrop.backends.overlap import overlaps_itself
from fastdrop.bit_layout import BitLayout
from fastdrop.regions import block_start_probability
from fastdrop.threads import kernels

SHAPE = (2, 3, 4, 4)
"""Of every x here: feature maps, rows for softmax, and something to share."""
ROWS = (6, 8)


def values(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# Every function that draws: how it is called with x, p, and further keywords.
FUNCTIONS = {
    "dropout": lambda x, p, **how: fd.dropout(x, p, **how),
    "dropout, shared axes": lambda x, p, **how: fd.dropout(x, p, shared_axes=-1, **how),
    "spatial_dropout": lambda x, p, **how: fd.spatial_dropout(x, p, **how),
    "drop_path": lambda x, p, **how: fd.drop_path(x, p, **how),
    "locked_dropout": lambda x, p, **how: fd.locked_dropout(x, p, **how),
    "gaussian_dropout": lambda x, p, **how: fd.gaussian_dropout(x, p, **how),
    "alpha_dropout": lambda x, p, **how: fd.alpha_dropout(x, p, **how),
    "feature_alpha_dropout": lambda x, p, **how: fd.feature_alpha_dropout(x, p, **how),
    "dropblock": lambda x, p, **how: fd.dropblock(x, p, 2, **how),
    "softmax_dropout": lambda x, p, **how: fd.softmax_dropout(x, p, **how),
    "zoneout": lambda x, p, **how: fd.zoneout(x, x, p, **how),
    "dropout_add": lambda x, p, **how: fd.dropout_add(x, x, p, **how),
    "bias_activation_dropout": lambda x, p, **how: fd.bias_activation_dropout(
        x, x.reshape(-1)[: x.shape[-1]], p, **how
    ),
}
NO_P = {"cutout": lambda x, p, **how: fd.cutout(x, 2, **how)}
NO_OUT = {
    "dropconnect": lambda x, p, **how: fd.dropconnect(x.reshape(6, 16), np.ones((3, 16), x.dtype), p=p, **how),
    "dropconnect per batch": lambda x, p, **how: fd.dropconnect(
        x.reshape(6, 16), np.ones((3, 16), x.dtype), p=p, per_example=False, **how
    ),
}
ALL = FUNCTIONS | NO_P | NO_OUT


# --- results and inputs that share memory


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
        x = fd.from_dlpack(x)  # the bias is a part of it
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
    for columns in (1, 16, 96):  # a bias that lies where the result goes
        buffer = memory.copy()
        x, bias = buffer[:96].reshape(-1, columns), buffer[96 : 96 + columns]
        wanted = fd.bias_activation_dropout(x.copy(), bias.copy(), 0.5, rng=1)[0]
        out = buffer[96:192].reshape(-1, columns)
        np.testing.assert_array_equal(fd.bias_activation_dropout(x, bias, 0.5, rng=1, out=out)[0], wanted)


@pytest.mark.parametrize("strides", [(0, 4), (4, 4), (8, 4), (12, 4), (4, 12), (-4, 4), (4, -4), (20, 8)])
def test_out_whose_elements_share_memory_is_refused(strides):
    """(12, 4) steps by three elements from row to row of six."""
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


# --- what reaches C


BAD_SHAPES = [-1, (2, -3), (2.0, 3), "23", None, (2**63,), (2, 2**80), (1,) * 65, [[2], [3]], ("a",), {2: 3}, 2**57]


@pytest.mark.parametrize("shape", BAD_SHAPES, ids=str)
def test_shapes_that_are_none(shape):
    stream = fd.Stream(1)
    for make in (fd.Mask, fd.GaussianNoise):
        with pytest.raises((TypeError, ValueError), match=r"shape|draws"):
            make(shape, 0.5, stream)
    with pytest.raises((TypeError, ValueError), match=r"shape|axes|axis"):
        fd.BlockMask(shape, 0.5, 3, (1,), stream)
    with pytest.raises((TypeError, ValueError), match=r"shape|axes|axis"):
        fd.CutoutMask(shape, 3, (1,), stream)
    assert stream.calls == 0


@pytest.mark.parametrize(
    "axes", [10**6, 70, 2, -3, (0, 0), (0, 5), 2**70, "0", 0.5, (0.0,), [None], (True, 1.5)], ids=str
)
def test_axes_that_are_none(axes):
    stream = fd.Stream(1)
    with pytest.raises((TypeError, ValueError, OverflowError)):
        fd.Mask((2, 3), 0.5, stream, axes)
    with pytest.raises((TypeError, ValueError, OverflowError)):
        fd.BlockMask((2, 3), 0.5, 3, axes, stream)
    with pytest.raises((TypeError, ValueError, OverflowError)):
        fd.CutoutMask((2, 3), 3, axes, stream)
    assert stream.calls == 0


def test_a_mask_by_its_constructor_is_the_functions():
    for shape, axes in [((2, 3, 4), ()), (5, ()), ([2, 3], 0), (np.array([2, 3]), [-1]), ((), ())]:
        mask = fd.Mask(shape, 0.5, 7, axes)
        y, same = fd.dropout(np.ones(mask.shape), 0.5, rng=7, shared_axes=axes)
        assert mask == same
        np.testing.assert_array_equal(mask(np.ones(mask.shape)), y)


@pytest.mark.parametrize("axes", [(70,), (-1,), (2,), (10**6,)])
def test_axes_are_checked_again_in_c(axes):
    """Attributes can be set, and so get there unchecked."""
    mask = fd.Mask((2, 3), 0.5, fd.Stream(1))
    mask.shared_axes = axes
    with pytest.raises(ValueError, match="no axis"):
        mask(np.ones((2, 3), np.float32))


def changed(state, name, value):
    """The state with another value under this name; without it where the value is an ellipsis."""
    rest = {key: old for key, old in state.items() if key != name}
    return rest if value is ... else {**rest, name: value}


STATES = [
    *(("shape", value) for value in [..., None, (2, -3), (2**63, 3), (2**57, 3), (1,) * 65, "23", 2.5]),
    *(("shared_axes", value) for value in [..., (70,), (-9,), "1", 1.5]),
    *(("p", value) for value in [..., 2.0, float("nan"), "half", None]),
    *((name, value) for name in ("key", "call") for value in [..., -1, 2**64, "abc", 1.5, None]),
    *(("threshold", value) for value in [..., -1, 2**40 + 1, 2**64, "abc", 1.5, None]),
    *(
        ("recipe", value)
        for value in [(1, 2, 3, 4), (1, 2, 2**41), (-1, 2, 3), (2**64, 0, 0), "abc", (1.5, 2, 3), None]
    ),
    *(("scale", value) for value in [..., float("inf"), float("nan"), "2", None]),
    *(("made_by", value) for value in [None, 5]),
    *(("rule_version", value) for value in [..., 2, None]),
]


@pytest.mark.parametrize(("name", "value"), STATES)
@pytest.mark.parametrize("make", ["mask", "slice", "noise"])
def test_states_that_nobody_saved(make, name, value):
    mask = fd.Mask((4, 6), 0.5, fd.Stream(1), 1)
    whole = {"mask": mask, "slice": mask[1:, ::2], "noise": fd.GaussianNoise((4, 6), 0.5, fd.Stream(1))}[make]
    state = whole.__getstate__()
    if name not in state and name != "recipe":  # which older versions wrote
        pytest.skip("it has no such state")
    loaded = type(whole).__new__(type(whole))
    with pytest.raises((TypeError, ValueError)):
        loaded.__setstate__(changed(state, name, value))


@pytest.mark.parametrize("layout", [(1,), (0, (1,)), (0, (1, 2, 3)), (-1, (1, 2)), (0, (2**63, 1)), (0.5, (1, 2)), 5])
def test_layouts_that_nobody_sliced(layout):
    part = fd.Mask((4, 6), 0.5, fd.Stream(1))[1:, ::2]
    loaded = fd.Mask.__new__(fd.Mask)
    with pytest.raises(ValueError, match="slice"):
        loaded.__setstate__({**part.__getstate__(), "layout": layout})
    part.layout = BitLayout(0, (1,))
    with pytest.raises(ValueError, match="strides"):
        part(np.ones((3, 3)))


REGIONS = [
    ("axes", (5,)), ("axes", (0,)), ("axes", None), ("shape", (2, -1, 3)), ("shape", None), ("rule_version", 3),
    ("block", (0, 1)), ("block", (1,)), ("block", None), ("p", 3.0), ("seeds", None),
    ("seeds", fd.Mask((1,), 0.5, 1)), ("size", -1), ("size", "x"), ("words", fd.Mask((9, 9, 32), 0.5, 1)),
    ("words", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), REGIONS, ids=str)
def test_states_of_regions_that_nobody_saved(name, value):
    x = np.ones((2, 3, 5, 5))
    for mask in (fd.dropblock(x, 0.3, 2, rng=1)[1], fd.cutout(x, 2, rng=1)[1]):
        again = pickle.loads(pickle.dumps(mask))
        assert (again, hash(again)) == (mask, hash(mask))
        np.testing.assert_array_equal(again(x), mask(x))
        state = mask.__getstate__()
        if name in state:
            with pytest.raises((TypeError, ValueError)):
                type(mask).__new__(type(mask)).__setstate__({**state, name: value})


@pytest.mark.parametrize("state", [5, None, [], "x", {}, {"rule_version": 1}, {"rule_version": 1, "key": -1}])
def test_states_of_streams_that_nobody_saved(state):
    stream = fd.Stream(3)
    fd.dropout(np.ones(3), rng=stream)
    before = stream.state
    with pytest.raises((TypeError, ValueError), match=r"state|key"):
        stream.state = state
    assert stream.state == before


# --- a call that fails draws nothing


def sources():
    """Whatever advances, with a function that says how far."""
    return {
        "stream": (fd.Stream(1), lambda rng: rng.state),
        "Generator": (np.random.default_rng(1), lambda rng: rng.bit_generator.state),
        "Generator of MT19937": (np.random.Generator(np.random.MT19937(1)), lambda rng: str(rng.bit_generator.state)),
        "BitGenerator": (np.random.Philox(1), lambda rng: str(rng.state)),
        "RandomState": (np.random.RandomState(1), lambda rng: str(rng.get_state())),
    }


def failures(name):
    """Calls that cannot succeed."""
    call = ALL[name]
    x = values(SHAPE)
    huge = np.broadcast_to(np.float32(1), (2, 2, 2**22, 2**22))  # 2**48 bytes, more than there are addresses
    yield lambda rng: call(x.astype(int), 0.5, rng=rng)
    yield lambda rng: call(x, 0.5, rng=rng, training="yes")
    yield lambda rng: call(x, 0.5, rng=rng, seed=3)
    if name not in NO_P:
        for p in (2.0, float("nan"), "half", None, True, 1j, np.timedelta64(0, "s"), np.array([0.5]), 10**400):
            yield lambda rng, p=p: call(x, p, rng=rng)
    if name not in NO_OUT:
        for out in (np.empty((2, 3), "f4"), np.empty(SHAPE), "out", np.broadcast_to(np.float32(0), SHAPE)):
            yield lambda rng, out=out: call(x, 0.5, rng=rng, out=out)
        if name != "bias_activation_dropout":
            yield lambda rng: call(huge, 0.5, rng=rng)
            yield lambda rng: call(np.ma.masked_array(x), 0.5, rng=rng)


@pytest.mark.parametrize("name", ALL)
def test_a_call_that_fails_draws_nothing(name):
    for kind, (rng, state) in sources().items():
        before = state(rng)
        for number, fail in enumerate(failures(name)):
            with pytest.raises((TypeError, ValueError, MemoryError)):
                fail(rng)
            assert state(rng) == before, (kind, number)
        ALL[name](values(SHAPE), 0.5, rng=rng)
        assert state(rng) != before


LATE = ["elementwise", "multiply", "softmax", "gaussian", "dropconnect_forward", "masked_weight", "scratch_like"]


@pytest.mark.parametrize("name", [name for name in ALL if name != "dropout"])
@pytest.mark.parametrize("at", [*LATE, "numpy.multiply", "numpy.copyto", "numpy.zeros"])
def test_what_fails_after_the_draw_gives_it_back(monkeypatch, name, at):
    """Memory that ends while results are computed, a launch that fails."""

    def out_of_memory(*arguments, **keywords):
        raise MemoryError

    for rng, state in sources().values():
        before = state(rng)
        failed = False
        with monkeypatch.context() as patch:
            patch.setattr(*((np, at[6:]) if at.startswith("numpy.") else (cpu, at)), out_of_memory)
            try:
                ALL[name](values(SHAPE), 0.5, rng=rng)
            except MemoryError:
                failed = True
        assert (state(rng) == before) == failed


def test_an_activation_that_fails_draws_nothing():
    stream, calls = fd.Stream(1), []

    def activation(u):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("no")
        return u

    with pytest.raises(RuntimeError, match="no"):
        fd.dropconnect_inference(np.ones((2, 3)), np.ones((4, 3)), samples=5, activation=activation, rng=stream)
    assert (stream.calls, len(calls)) == (0, 3)


def test_numbers_that_others_follow_are_not_given_back():
    """Else two masks would be the same."""
    stream = fd.Stream(1)

    def activation(u):
        if stream.calls == 2:
            fd.dropout(np.ones(3), rng=stream)
            raise RuntimeError
        return u

    with pytest.raises(RuntimeError):
        fd.dropconnect_inference(np.ones((2, 3)), np.ones((4, 3)), samples=5, activation=activation, rng=stream)
    assert stream.calls == 3


def test_sizes_that_no_number_of_c_holds():
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


def test_a_masked_dask_array_draws_nothing():
    da = pytest.importorskip("dask.array")
    for rng, state in sources().values():
        before = state(rng)
        for x in (da.ma.masked_array(da.ones((4, 4), chunks=2), False), da.ones((4, 4), dtype=int, chunks=2)):
            with pytest.raises(TypeError):
                fd.dropout(x, rng=rng)
        assert state(rng) == before


# --- empty results need no memory


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
    for size, length in [(9, 4), (10, 4), (7, 7), (8, 8), (5, 1), (6, 5)]:  # against counting each place
        places = np.arange(size)
        covers = np.minimum.reduce([places + 1, size - places, np.full(size, min(length, size - length + 1))])
        rate = block_start_probability(0.25, (size,), (length,))
        assert np.mean((1 - rate) ** covers) == pytest.approx(0.75, abs=1e-12)


# --- state that outlives a call


def test_dropconnect_called_in_the_middle_of_dropconnect():
    """As a signal handler does it: between the weights' masking and their product."""
    x, weight = values((4, 64)), values((8, 64), seed=1)
    other = values((8, 64), seed=2)
    wanted = fd.dropconnect(x, weight, p=0.5, per_example=False, rng=1)[0]
    dy = np.ones((4, 8), np.float32)
    mask = fd.dropconnect(x, weight, p=0.5, per_example=False, rng=1)[1]
    gradients = fd.dropconnect_backward(dy, x, weight, mask)
    inner = []

    def interrupt(frame, event, argument):
        if event == "return" and frame.f_code.co_name == "masked_weight":
            sys.setprofile(None)
            inner.append(fd.dropconnect(x, other, p=0.3, per_example=False, rng=2)[0])
            sys.setprofile(interrupt)

    try:
        sys.setprofile(interrupt)
        y = fd.dropconnect(x, weight, p=0.5, per_example=False, rng=1)[0]
        found = fd.dropconnect_backward(dy, x, weight, mask)
    finally:
        sys.setprofile(None)
    np.testing.assert_array_equal(y, wanted)
    for one, two in zip(found, gradients, strict=True):
        np.testing.assert_array_equal(one, two)
    assert len(inner) == 3
    for result in inner:
        np.testing.assert_array_equal(result, fd.dropconnect(x, other, p=0.3, per_example=False, rng=2)[0])


def test_dropconnect_in_many_threads():
    weights = [values((8, 64), seed=seed) for seed in range(4)]
    x = values((4, 64))
    wanted = [fd.dropconnect(x, weight, per_example=False, rng=1)[0] for weight in weights]
    wrong = []

    def work(number):
        for _ in range(200):
            if not np.array_equal(fd.dropconnect(x, weights[number], per_example=False, rng=1)[0], wanted[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


PINNED = """
import os, sys
import numpy as np
import fastdrop as fd
fd.set_num_threads(2)
x = np.ones(2**21, np.float32)
if sys.argv[1] == "pinned":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # this thread alone
before = len(os.listdir("/proc/self/task"))
fd.dropout(x, rng=1)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to pin a thread here")
def test_a_pinned_thread_gets_no_worker_elsewhere(tmp_path):
    if len(os.sched_getaffinity(0)) < 2 or not kernels.has_openmp():
        pytest.skip("one core, or no OpenMP")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    environment |= {"OPENBLAS_NUM_THREADS": "1"}
    for how, workers in (("pinned", "0"), ("free", "1")):
        command = [sys.executable, "-c", PINNED, how]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert result.stdout.strip() == workers


# --- masks and the backward functions of others


def backwards():
    """Backward functions, with the functions whose masks they take."""
    x, bias, weight = values(ROWS), values(8), values((3, 8))
    dy = np.ones((6, 3), np.float32)
    linear = {"dropout", "spatial_dropout", "gaussian_dropout", "alpha_dropout", "dropblock", "cutout", "dropout_add"}
    return {
        "dropout_backward": (lambda mask: fd.dropout_backward(values(mask.shape), mask), linear),
        "zoneout_backward": (lambda mask: fd.zoneout_backward(values(mask.shape), mask), {"zoneout"}),
        "softmax_dropout_backward": (lambda mask: fd.softmax_dropout_backward(x, x, mask), {"softmax_dropout"}),
        "bias_activation_dropout_backward": (
            lambda mask: fd.bias_activation_dropout_backward(x, x, bias, mask),
            {"bias_activation_dropout"},
        ),
        "dropconnect_backward": (lambda mask: fd.dropconnect_backward(dy, x, weight, mask), {"dropconnect"}),
    }


def masks():
    x, maps, bias, weight = values(ROWS), values((2, 3, 4, 4)), values(8), values((3, 8))
    return {
        "dropout": fd.dropout(x, rng=1)[1],
        "spatial_dropout": fd.spatial_dropout(maps, rng=1)[1],
        "gaussian_dropout": fd.gaussian_dropout(x, rng=1)[1],
        "alpha_dropout": fd.alpha_dropout(x, rng=1)[1],
        "dropblock": fd.dropblock(maps, block_size=2, rng=1)[1],
        "cutout": fd.cutout(maps, 2, rng=1)[1],
        "zoneout": fd.zoneout(x, x, rng=1)[1],
        "dropout_add": fd.dropout_add(x, x, rng=1)[1],
        "softmax_dropout": fd.softmax_dropout(x, rng=1)[1],
        "bias_activation_dropout": fd.bias_activation_dropout(x, bias, rng=1)[1],
        "dropconnect": fd.dropconnect(x, weight, rng=1)[1],
    }


@pytest.mark.parametrize("maker", masks())
@pytest.mark.parametrize("backward", backwards())
def test_a_backward_takes_the_masks_of_its_own_function(backward, maker):
    call, makers = backwards()[backward]
    for mask in (masks()[maker], pickle.loads(pickle.dumps(masks()[maker]))):
        if maker in makers:
            call(mask)
        else:
            named = "dropout" if maker == "spatial_dropout" else maker
            with pytest.raises(TypeError, match=rf"^{backward} takes the mask.* of {named}"):
                call(mask)


@pytest.mark.parametrize("backward", backwards())
def test_what_is_no_mask_at_all(backward):
    arrays = {
        "dropout_backward": (np.ones(ROWS),),
        "zoneout_backward": (np.ones(ROWS),),
        "softmax_dropout_backward": (np.ones(ROWS), np.ones(ROWS)),
        "bias_activation_dropout_backward": (np.ones(ROWS), np.ones(ROWS), np.ones(8)),
        "dropconnect_backward": (np.ones((6, 3)), np.ones(ROWS), np.ones((3, 8))),
    }[backward]
    for mask in (np.ones(ROWS, bool), np.ones(ROWS), 0.5, "mask", True, [True], fd.dropout(np.ones(3)), fd.Stream(1)):
        with pytest.raises(TypeError, match=rf"^{backward} takes the mask"):
            getattr(fd, backward)(*arrays, mask)


# --- evaluation selects where training selects


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
def test_evaluation_takes_what_is_certain_alone(bad, dtype):
    one, odd = np.ones(5, dtype), np.full(5, bad, dtype)
    for training in (True, False):
        assert (fd.zoneout(one, odd, 0.0, training=training)[0] == 1).all()
        assert (fd.zoneout(odd, one, 1.0, training=training)[0] == 1).all()
        assert (fd.dropout(odd, 1.0, scaling="classic", training=training)[0] == 0).all()
    dnew, dprevious = fd.zoneout_backward(odd, None, p=0.0)
    assert np.array_equal(dnew, odd, equal_nan=True)
    assert (dprevious == 0).all()
    dnew, dprevious = fd.zoneout_backward(odd, None, p=1.0)
    assert (dnew == 0).all()
    assert np.array_equal(dprevious, odd, equal_nan=True)
    layer = [[bad]], [[1.0]], [2.0]
    x, weight, bias = (np.array(array, dtype) for array in layer)
    for arguments in ((x, weight), (weight, x)):
        with np.errstate(all="ignore"):
            assert fd.dropconnect(*arguments, bias, 1.0, scaling="classic", training=False)[0].item() == 2
            y = fd.dropconnect(*arguments, bias, 1.0, scaling="classic", drop_bias=True, training=False)[0]
            assert y.item() == 0
            assert fd.dropconnect_moments(*arguments, p=0.0)[1].item() == 0
            assert fd.dropconnect_moments(*arguments, p=1.0, scaling="classic")[1].item() == 0


def test_evaluation_is_the_expectation_between():
    new, previous = values(100), values(100, seed=1)
    y = fd.zoneout(new, previous, 0.25, training=False)[0]
    np.testing.assert_allclose(y, 0.75 * new + 0.25 * previous, rtol=1e-6)
    np.testing.assert_array_equal(fd.dropout(new, 0.25, scaling="classic", training=False)[0], new * np.float32(0.75))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_the_expectation_of_half_precision_rounds_once(dtype):
    new, previous = values(1000, dtype), values(1000, dtype, 1)
    for p in (0.1, 0.3, 0.7):
        one, other = (array.astype(np.float32) for array in (new, previous))
        wanted = (np.float32(1 - p) * one + np.float32(p) * other).astype(dtype)
        np.testing.assert_array_equal(fd.zoneout(new, previous, p, training=False)[0], wanted)
        dnew, dprevious = fd.zoneout_backward(new, None, p=p)
        np.testing.assert_array_equal(dnew, (np.float32(1 - p) * one).astype(dtype))
        np.testing.assert_array_equal(dprevious, (np.float32(p) * one).astype(dtype))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(64,), (5, 33), (4099,), (2**12 + 43,)])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_alpha_dropout_of_half_precision_rounds_once(dtype, shape, p):
    x = values(shape, dtype)
    y, mask = fd.alpha_dropout(x, p, rng=0)
    q, limit = 1 - p, -1.7580993408473766
    a = (q + limit**2 * q * p) ** -0.5
    exact = np.where(np.asarray(mask), x.astype(np.float64), limit) * a - a * p * limit
    error = np.abs(y.astype(np.float64) - exact)
    bits = 11 if dtype is np.float16 else 8
    assert (error <= (2.0**-bits * 1.001) * np.maximum(np.abs(exact), 2.0**-12)).all()  # half a unit in the last place


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


# --- arguments that are nearly right


NO_NUMBERS = [True, False, np.True_, 0j, 1 + 0j, np.complex64(0.5), np.timedelta64(0, "s"), np.datetime64(0, "s")]


@pytest.mark.parametrize("p", [*NO_NUMBERS, "0.5", b"0", None, [0.5], np.array([0.5]), object()], ids=range(14))
def test_what_is_no_probability(p):
    x = values(SHAPE)
    for call in (FUNCTIONS | NO_OUT).values():
        for training in (True, False):
            with pytest.raises(TypeError, match="probability"):
                call(x, p, training=training)
    for make in (lambda: fd.Mask((3,), p, 1), lambda: fd.GaussianNoise((3,), p, 1), lambda: fd.nn.Dropout(p)):
        with pytest.raises(TypeError, match="probability"):
            make()


def test_numbers_that_are_probabilities():
    from decimal import Decimal
    from fractions import Fraction

    for p in (
        0,
        1,
        0.5,
        Fraction(1, 2),
        Decimal("0.5"),
        np.float16(0.5),
        np.int8(1),
        np.array(0.5),
        ml_dtypes.bfloat16(0.5),
    ):
        assert type(fd.dropout(np.ones(3), p, rng=1)[1].p) is float


def test_long_double_is_told_to_become_float64():
    with pytest.raises(TypeError, match=r"astype\(numpy\.float64\)"):
        fd.dropout(np.ones(3, np.longdouble))
    with pytest.raises(TypeError, match=r"astype\(numpy\.float32\)"):
        fd.dropout(np.ones(3, int))


def test_training_is_a_truth_value():
    for call in ALL.values():
        for training in ("test", None, 1, 0, [], np.array([True])):
            with pytest.raises(TypeError, match="training is True or False"):
                call(values(SHAPE), 0.5, training=training)
        call(values(SHAPE), 0.5, training=np.True_)


def test_guarded_memory_is_not_touched():
    """A hostile mask of every kind, applied in a process of its own whose arrays end where memory does."""
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


# --- what a sceptic found


def test_the_mask_of_another_activation():
    x, bias = values(ROWS), values(8)
    for one, other in (("relu", "gelu"), ("gelu", "relu")):
        _, mask = fd.bias_activation_dropout(x, bias, activation=one, rng=1)
        fd.bias_activation_dropout_backward(x, x, bias, mask, activation=one)
        with pytest.raises(TypeError, match=rf"activation='{other}'.*of bias_activation_dropout.activation='{one}'"):
            fd.bias_activation_dropout_backward(x, x, bias, mask, activation=other)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_moments_of_half_precision_round_once(dtype):
    x, weight, bias = values((5, 40), dtype), values((3, 40), dtype, 1), values(3, dtype, 2)
    wide = [array.astype(np.float32) for array in (x, weight, bias)]
    for drop_bias in (True, False):
        for scaling in ("inverted", "classic"):
            how = {"p": 0.3, "drop_bias": drop_bias, "scaling": scaling}
            for found, wanted in zip(
                fd.dropconnect_moments(x, weight, bias, **how), fd.dropconnect_moments(*wide, **how), strict=True
            ):
                np.testing.assert_array_equal(found, wanted.astype(dtype))
    large = np.full((1, 1), 300, np.float16), np.ones((1, 1), np.float16)
    assert fd.dropconnect_inference(*large, p=0.5, samples=500, rng=1).item() == pytest.approx(300, rel=0.2)


@pytest.mark.parametrize("p", [1e-13, 1 - 1e-13])
def test_rates_that_round_to_all_or_nothing(p):
    odd = [np.nan]
    for training in (True, False):
        new, previous = ([1.0], odd) if p < 0.5 else (odd, [1.0])
        assert fd.zoneout(new, previous, p, training=training)[0] == 1
        assert fd.dropout([2.0], p, scaling="classic", training=training)[0] == (2.0 if p < 0.5 else 0.0)
    assert fd.dropout([np.inf], 1 - 1e-13, scaling="classic", training=False)[0] == 0


def test_generators_that_others_have_drawn_from_are_left_alone():
    for kind, (rng, _) in sources().items():
        inner = []

        def activation(u, rng=rng, inner=inner):
            inner.append(fd.dropout(np.ones(50), rng=rng)[1])
            raise RuntimeError

        with pytest.raises(RuntimeError):
            fd.dropconnect_inference(np.ones((4, 8)), np.ones((3, 8)), rng=rng, activation=activation)
        later = [fd.dropout(np.ones(50), rng=rng)[1] for _ in range(4)]
        assert inner[0] not in later, kind


def test_streams_of_a_users_own_class():
    class Mine(fd.Stream):
        def __init__(self, name):
            super().__init__(3)
            self.name = name

    stream = Mine("a")
    fd.dropout(np.ones(3), rng=stream)
    import copy

    for again in (copy.copy(stream), copy.deepcopy(stream)):
        assert (type(again), again.name, again.state) == (Mine, "a", stream.state)
    assert pickle.loads(pickle.dumps(fd.Stream(5))).state == fd.Stream(5).state


@pytest.mark.parametrize("number", [True, np.True_, 2**40, -(2**70), 1.0, "1", None, [0.5]], ids=str)
def test_what_is_no_axis_or_size(number):
    x, stream = values(SHAPE), fd.Stream(1)
    calls = [
        lambda: fd.spatial_dropout(x, channel_axis=number, rng=stream),
        lambda: fd.locked_dropout(x, time_axis=number, rng=stream),
        lambda: fd.dropblock(x, channel_axis=number, rng=stream),
        lambda: fd.Mask((2, number), 0.5, stream) if number not in (2**40,) else fd.Mask((2, -number), 0.5, stream),
        lambda: stream.spawn(number),
    ]
    if isinstance(number, int) and abs(number) > 1:
        del calls[-1]  # an int, and refused for its size
    if number is not None:
        calls.append(lambda: fd.dropout(x, shared_axes=number, rng=stream))
        calls.append(lambda: fd.dropout(x, shared_axes=[number], rng=stream))
    if number not in (2**40,):
        calls.append(lambda: fd.cutout(x, number, rng=stream))
        calls.append(lambda: fd.dropblock(x, block_size=number, rng=stream))
    for call in calls:
        with pytest.raises((TypeError, ValueError), match=r"axis|axes|size|int"):
            call()
    assert (stream.calls, stream.state["spawned"]) == (0, 0)


def test_regions_warn_as_little_as_kernels():
    x = np.full(SHAPE, 3e38, np.float32)
    with np.errstate(all="raise"):
        fd.dropblock(x, 0.5, 2, rng=1)
        fd.zoneout(x, -x, 0.5, training=False)
        fd.dropconnect(x.reshape(6, 16), np.ones((3, 16), np.float32), rng=1)
    large, weight, dy = np.full((6, 16), 6e4, np.float16), np.full((3, 16), 6e4, np.float16), np.full((6, 3), 6e4, "f2")
    with np.errstate(all="raise"):
        for per_example in (True, False):
            _, mask = fd.dropconnect(large, weight, per_example=per_example, rng=1)
            fd.dropconnect_backward(dy, large, weight, mask)
        fd.dropconnect(large, weight, training=False)
        fd.dropconnect_backward(dy, large, weight, None)
        fd.dropconnect_moments(large, weight)
        fd.dropconnect_inference(large, weight, samples=2, rng=1)
        _, mask = fd.bias_activation_dropout(large, large[0], rng=1)
        fd.bias_activation_dropout_backward(large, large, large[0], mask)


@pytest.mark.parametrize(
    "call",
    [
        lambda: fd.set_num_threads("x" * 10**6),
        lambda: fd.dropout([1.0], **{"k" * 10**6: 1}),
        lambda: fd.dropout([1.0], p=10**4000),
        lambda: fd.mc_dropout(lambda x: x, np.ones((1, 1)), outputs="x" * 10**6),
        lambda: fd.set_pool_limit("x" * 10**6),
        lambda: fd.Stream(-(10**4000)),
        lambda: fd.Stream("x" * 10**6),
    ],
)
def test_a_message_is_short_however_long_the_argument(call):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert 10 < len(str(error.value)) < 500


@pytest.mark.parametrize(
    "call", [fd.dropout, lambda x, **how: fd.dropblock(x, 0.3, 3, **how), lambda x, **how: fd.cutout(x, 3, **how)]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_booleans_may_be_written_to(call, channels):
    _, mask = call(np.ones((2, channels, 5, 5)), rng=0)
    for found in (mask.booleans(), np.asarray(mask), np.array(mask)):
        assert found.flags.writeable
        found[...] = False
    assert mask.booleans().any()


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


def test_alpha_dropout_of_a_rate_that_drops_nothing():
    x = np.array([1.0, 3.0])
    y, mask = fd.alpha_dropout(x, 2.0**-42, rng=0)
    assert (y == x).all()
    assert (fd.dropout_backward(x, mask) == x).all()
