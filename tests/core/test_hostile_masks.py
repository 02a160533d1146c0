"""Masks that are not valid: shapes, axes, saved states, and masks of another function."""

import pickle

import numpy as np
import pytest
from calltools import ROWS, values

import fastdrop as fd
from fastdrop.bit_layout import BitLayout

# --- shapes, axes and states


BAD_SHAPES = [-1, (2, -3), (2.0, 3), "23", None, (2**63,), (2, 2**80), (1,) * 65, [[2], [3]], ("a",), {2: 3}, 2**57]


@pytest.mark.parametrize("shape", BAD_SHAPES, ids=str)
def test_invalid_shapes_are_refused(shape):
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
def test_invalid_axes_are_refused(axes):
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
    """Attributes can be set later, so the constructor's checks are not enough."""
    mask = fd.Mask((2, 3), 0.5, fd.Stream(1))
    mask.shared_axes = axes
    with pytest.raises(ValueError, match="no axis"):
        mask(np.ones((2, 3), np.float32))


def changed(state, name, value):
    """The state with another value of this entry, or without the entry if the value is an ellipsis."""
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
def test_invalid_states_are_refused(make, name, value):
    mask = fd.Mask((4, 6), 0.5, fd.Stream(1), 1)
    whole = {"mask": mask, "slice": mask[1:, ::2], "noise": fd.GaussianNoise((4, 6), 0.5, fd.Stream(1))}[make]
    state = whole.__getstate__()
    if name not in state and name != "recipe":  # an entry of older versions
        pytest.skip("it has no such state")
    loaded = type(whole).__new__(type(whole))
    with pytest.raises((TypeError, ValueError)):
        loaded.__setstate__(changed(state, name, value))


@pytest.mark.parametrize("layout", [(1,), (0, (1,)), (0, (1, 2, 3)), (-1, (1, 2)), (0, (2**63, 1)), (0.5, (1, 2)), 5])
def test_invalid_layouts_are_refused(layout):
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
def test_invalid_states_of_regions_are_refused(name, value):
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
def test_invalid_states_of_streams_are_refused(state):
    stream = fd.Stream(3)
    fd.dropout(np.ones(3), rng=stream)
    before = stream.state
    with pytest.raises((TypeError, ValueError), match=r"state|key"):
        stream.state = state
    assert stream.state == before


# --- masks and the backward functions of others


def backwards():
    """Backward functions, each with the functions whose masks it accepts."""
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
def test_backward_refuses_what_is_no_mask(backward):
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


# --- activations, and arrays of booleans


def test_the_mask_of_another_activation():
    x, bias = values(ROWS), values(8)
    for one, other in (("relu", "gelu"), ("gelu", "relu")):
        _, mask = fd.bias_activation_dropout(x, bias, activation=one, rng=1)
        fd.bias_activation_dropout_backward(x, x, bias, mask, activation=one)
        with pytest.raises(TypeError, match=rf"activation='{other}'.*of bias_activation_dropout.activation='{one}'"):
            fd.bias_activation_dropout_backward(x, x, bias, mask, activation=other)


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
